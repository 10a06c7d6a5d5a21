"""Rate limits and cookies: whose address is proven, and who is asked to prove it."""

import dns.rcode
from hypothesis import given
from hypothesis import strategies as st
from tests.serve.asking import ask, option, parse, read
from tests.serve.test_cookies import CLIENT, MINE, OTHER, cookies

from mesos_dns.dns import message as msg
from mesos_dns.serve.challenge import CookieCredentials

NAME = "chronos.marathon.mesos."


def query(*sent):
    return ask(NAME, payload=1232, options=[option(msg.COOKIE, cookie) for cookie in sent])


def cookie_in(reply):
    (found,) = [each for each in reply.options if each.otype == msg.COOKIE]
    return found.to_wire()


def test_who_is_challenged_comes_again_and_is_not_held_back():
    credentials = CookieCredentials(cookies())
    first = query(MINE)
    assert not credentials.proven(first, CLIENT)
    reply = credentials.challenge(first, CLIENT)
    assert reply is not None
    assert len(reply) <= len(first) + 16
    told = read(reply)
    assert told.rcode() == dns.rcode.BADCOOKIE
    assert not told.answer
    again = query(cookie_in(told))
    assert credentials.proven(again, CLIENT)
    assert not credentials.proven(again, OTHER)
    assert credentials.challenge(again, OTHER) is not None


def test_who_sends_no_cookie_cannot_be_challenged():
    credentials = CookieCredentials(cookies())
    for octets in (ask(NAME), ask(NAME, payload=1232), query(b"short"), query(MINE)[:-1]):
        assert not credentials.proven(octets, CLIENT)
        assert credentials.challenge(octets, CLIENT) is None


@given(st.binary(max_size=80), st.sampled_from([CLIENT, bytes(16)]))
def test_any_octets_may_come(octets, client):
    credentials = CookieCredentials(cookies())
    for sent in (octets, query(octets)):
        assert not credentials.proven(sent, client)
        reply = credentials.challenge(sent, client)
        assert reply is None or read(reply).question == read_question(sent)


def read_question(octets):
    return read(parse(octets).octets[:2] + b"\x80" + octets[3:]).question
