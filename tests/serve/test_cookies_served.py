"""Cookies in replies: whichever way a reply comes about, it has the cookie of the one who asked, and nobody else's."""

from itertools import product

import dns.flags
import dns.message
import dns.rcode
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.serve.asking import ask, make_answerer, make_responder, make_zone, option, read, texts
from tests.serve.test_cookies import NOW, SECRET, Clock
from tests.serve.test_udp import SPARSE, V4, V6, WAYS, Server, _waiting

from mesos_dns.dns import message as msg
from mesos_dns.serve import batch as batches
from mesos_dns.serve.cookies import ServerCookies, has_cookie
from mesos_dns.serve.forward import fast as forward_fast
from mesos_dns.serve.keys import any_key
from mesos_dns.serve.policy import Refuse
from mesos_dns.serve.request import Forward, Request, Transport
from mesos_dns.serve.responder import Responder

ZONE = make_zone()
NAME = "chronos.marathon.mesos."
HOSTS = {"127.0.0.1": b"\x7f\0\0\1", "::1": bytes(15) + b"\1"}
COOKIE = 10


def cookies():
    return ServerCookies([SECRET], Clock())


def responder(policy=None, server_id=b""):
    answerer = make_answerer(ZONE)
    answerer.options = answerer.options._replace(server_id=server_id)
    return Responder(answerer, policy, cookies())


def cookie_in(reply):
    """The data of the COOKIE options of a reply."""
    return [found.to_wire() for found in read(reply).options if int(found.otype) == COOKIE]


def cookie_for(cookie, client):
    return cookies().option(cookie, client)[4:]


QUESTIONS = [
    *((NAME, "A"), ("nope.mesos.", "A"), ("many.mesos.", "A"), ("_many._tcp.mesos.", "SRV"), ("mesos.", "ANY")),
    *(("liquor.marathon.mesos.", "A"), (NAME, "TXT"), ("mesos.", "AXFR"), ("x.nope.mesos.", "AAAA")),
]
FORMS = [
    {"payload": size, "ednsflags": flags, "cookie": cookie, "more": more}
    for size, flags, (cookie, more) in (
        *product((512, 4096), (0, 0x8000), ((8, []), (24, []))),
        *product((1232,), (0,), ((16, []), (8, [option(3)]), (0, []), (0, [option(3)]))),
    )
]


def asked(number, form, name, kind):
    """A query, and its cookie, which no other has."""
    cookie = number.to_bytes(4) * 10
    cookie = cookie[: form["cookie"]]
    options = [*([option(COOKIE, cookie)] if cookie else []), *form["more"]]
    edns = {key: form[key] for key in ("payload", "ednsflags")}
    return ask(name, kind, identifier=number & 0xFFFF, options=options, **edns), cookie


def check(octets, cookie, reply, client, *, server_id=b""):
    """The reply to `octets` is right for that client, and as long as that of a responder without a memory, which fits."""
    expected = responder(server_id=server_id).respond_udp(octets, client)
    assert (len(reply), reply[:12]) == (len(expected), expected[:12])
    options = msg.option(COOKIE, cookie_for(cookie, client)) if cookie else b""
    options += msg.option(3, server_id) if server_id and octets.endswith(b"\0\3\0\0") else b""
    do = octets[octets.index(b"\0\0\x29", 12) + 7] & 0x80
    assert reply.endswith(msg.opt(do=bool(do), options=options))


@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize("form", FORMS)
def test_a_reply_with_a_cookie_fits_and_says_what_one_without_says(question, form):
    octets, cookie = asked(1, form, *question)
    reply = responder(server_id=b"ns7").respond_udp(octets, b"abcd")
    assert len(reply) <= min(form["payload"], 1232)
    assert cookie_in(reply) == ([cookie_for(cookie, b"abcd")] if cookie else [])
    plain, _ = asked(1, form | {"cookie": 0}, *question)
    found, expected = read(reply), read(responder().respond_udp(plain, b"abcd"))
    if not found.flags & dns.flags.TC:
        assert sorted(texts(found.answer)) == sorted(texts(expected.answer))
        assert texts(found.authority) == texts(expected.authority)
    assert found.rcode() == expected.rcode()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("family", "address", "host"),
    [(V4, "127.0.0.1", "127.0.0.1"), (V4, "0.0.0.0", "127.0.0.1"), (V6, "::1", "::1"), (V6, "::", "::1")],
)
def test_in_a_crowd_everybody_gets_the_cookie_that_is_for_them(way, family, address, host):
    server = Server(way, family, address, responder(server_id=b"ns7"))
    client = server.client(host)
    number = octets = 0
    for question in QUESTIONS[:6]:
        for _ in range(3):  # Fresh, kept, and given again.
            sent = {}
            for form in FORMS:
                number += 1
                query, cookie = asked(number, form, *question)
                sent[query[:2]] = query, cookie
                client.send(query)
            server.listener._take_turn()
            replies = list(_waiting(client))
            assert {reply[:2] for reply in replies} == set(sent)
            for reply in replies:
                check(*sent[reply[:2]], reply, HOSTS[host], server_id=b"ns7")
            octets += sum(map(len, replies))
    assert server.responder.hits > len(QUESTIONS[:6]) * 6
    # Parts of a truncated answer are counted as alike, which they nearly are.
    assert server.responder.counts()['dns_response_size_bytes_sum{proto="udp"}'] == pytest.approx(octets, rel=0.005)
    server.close()


@pytest.mark.skipif(not batches.available(), reason="needs recvmmsg of Linux")
@pytest.mark.parametrize(("family", "address", "host"), [(V4, "127.0.0.1", "127.0.0.1"), (V6, "::", "::1")])
def test_alone_as_well(family, address, host):
    server = Server("batched", family, address, responder())
    client = server.client(host)
    number = 0
    for _ in range(4):
        for question, form in product(QUESTIONS[:4], FORMS[::2]):
            number += 1
            octets, cookie = asked(number, form, *question)
            client.send(octets)
            assert server.read(next(SPARSE))
            (reply,) = _waiting(client)
            check(octets, cookie, reply, HOSTS[host])
    server.close()


@pytest.mark.skipif(not batches.available(), reason="needs recvmmsg of Linux")
def test_a_client_of_ipv4_is_one_also_over_ipv6():
    server = Server("batched", V6, "::", responder())
    client = server.client("::ffff:127.0.0.1")
    for number in range(8):
        octets, cookie = asked(number, FORMS[0], NAME, "A")
        client.send(octets)
        client.send(octets)
        server.listener._take_turn()
        assert [cookie_in(reply) for reply in _waiting(client)] == [[cookie_for(cookie, HOSTS["127.0.0.1"])]] * 2
    server.close()


@pytest.mark.parametrize("way", WAYS)
def test_long_datagrams_spoil_nobody_s_cookie(way):
    server = Server(way, responder=responder())
    client = server.client()
    long_name = ".".join(["x" * 60] * 3) + ".mesos."
    number = 0
    for turn in range(4):
        sent = {}
        for n in range(60):
            number += 1
            question = (long_name, "A") if n % 7 == 3 else (NAME, "A")
            octets, cookie = asked(number, FORMS[n % 8 if turn % 2 else 4], *question)
            if n % 11 == 5:
                octets += bytes(300)
            sent[octets[:2]] = octets, cookie
            client.send(octets)
        server.listener._take_turn()
        for reply in _waiting(client):
            _, cookie = sent.pop(reply[:2])
            assert cookie_in(reply) == [cookie_for(cookie, HOSTS["127.0.0.1"])]
        assert sent == {}
    server.close()


def test_who_is_outside_gets_its_cookie_too():
    forward = responder().respond_udp(ask("example.org.", payload=1232, options=[option(COOKIE, bytes(8))]), b"abcd")
    assert isinstance(forward, Forward)
    assert forward.options[4:] == cookie_for(bytes(8), b"abcd")


@pytest.mark.parametrize("transport", list(Transport))
def test_without_cookies_they_are_an_option_like_others(transport):
    plain = make_responder(ZONE)
    for _ in range(3):
        for octets in (ask(NAME, payload=1232, options=[option(COOKIE, bytes(size))]) for size in (8, 24)):
            reply = read(plain.respond(Request(octets, b"abcd", transport)))
            assert (texts(reply.answer), reply.options) == ([f"{NAME} 60 IN A 1.2.3.11"], ())
    # It is refused all the same if it is none.
    assert plain.respond_udp(ask(NAME, payload=1232, options=[option(COOKIE, b"x")]))[3] & 15 == msg.FORMERR


def test_over_tcp_as_well():
    ours = responder()
    for number in range(4):
        octets, cookie = asked(number, FORMS[0], NAME, "A")
        reply = ours.respond_tcp(octets, b"abcd", 100)
        assert cookie_in(reply) == [cookie_for(cookie, b"abcd")]
        assert texts(read(reply).answer) == [f"{NAME} 60 IN A 1.2.3.11"]


# --- nothing but a cookie ----------------------------------------------------------------------


def cookie_query(cookie, version=0):
    query = dns.message.Message(4711)
    query.flags = dns.flags.RD
    query.use_edns(edns=version, options=[option(COOKIE, cookie)])
    return query.to_wire()


@pytest.mark.parametrize(
    ("cookie", "rcode"),
    [
        (b"12345678", "NOERROR"),
        (cookies().option(b"12345678", b"abcd")[4:], "NOERROR"),
        (cookies().option(b"12345678", b"dcba")[4:], "BADCOOKIE"),
        (ServerCookies([SECRET], Clock(NOW - 3601)).option(b"12345678", b"abcd")[4:], "BADCOOKIE"),
        (b"12345678" * 2, "BADCOOKIE"),
        (b"12345678" * 5, "BADCOOKIE"),
    ],
)
@pytest.mark.parametrize("transport", list(Transport))
def test_a_client_may_ask_for_its_cookie_and_whether_it_is_right(cookie, rcode, transport):
    ours = responder()
    reply = ours.respond(Request(cookie_query(cookie), b"abcd", transport))
    assert cookie_in(reply) == [cookie_for(cookie, b"abcd")]
    found = read(reply)
    assert (found.rcode(), found.question, found.id, found.flags) == (
        *(dns.rcode.from_text(rcode), [], 4711),
        dns.flags.QR | dns.flags.RD | dns.rcode.to_flags(dns.rcode.from_text(rcode))[0],
    )
    assert ours.counts()["cookies_told"] == 1


def test_a_question_for_a_cookie_in_another_version_of_edns():
    assert read(responder().respond_udp(cookie_query(bytes(8), version=1), b"abcd")).rcode() == dns.rcode.BADVERS


def test_without_cookies_there_must_be_a_question():
    assert make_responder(ZONE).respond_udp(cookie_query(bytes(8)), b"abcd")[3] & 15 == msg.FORMERR


# --- policies ----------------------------------------------------------------------------------


class Strict:
    """Answers nobody who has no right cookie, and asks whoever has one of any kind to come again."""

    usual = frozenset()

    def __init__(self):
        self.cookies = cookies()

    def judge(self, request):
        if self.cookies.has_valid_cookie(request):
            return None
        return Refuse(msg.BADCOOKIE) if has_cookie(request) else Refuse(msg.REFUSED, msg.EDE_PROHIBITED)


@pytest.mark.parametrize("way", WAYS)
def test_who_is_told_badcookie_comes_again_with_a_good_one(way):
    server = Server(way, responder=responder(Strict()))
    client = server.client()

    def reply_to(*options):
        client.send(ask(NAME, payload=1232, options=options))
        server.listener._take_turn()
        (reply,) = _waiting(client)
        return read(reply)

    for _ in range(3):
        assert reply_to().rcode() == dns.rcode.REFUSED
        told = reply_to(option(COOKIE, b"12345678"))
        assert (told.rcode(), texts(told.answer)) == (dns.rcode.BADCOOKIE, [])
        again = reply_to(option(COOKIE, told.options[0].to_wire()))
        assert (again.rcode(), texts(again.answer)) == (dns.rcode.NOERROR, [f"{NAME} 60 IN A 1.2.3.11"])
    server.close()


# --- any query ---------------------------------------------------------------------------------


@given(
    st.sampled_from(QUESTIONS),
    st.sampled_from([0, 512, 600, 1231, 1232, 4096]),
    st.sampled_from([0, 0x8000, 0x4000]),
    st.lists(
        st.tuples(st.sampled_from([3, COOKIE, COOKIE, 11, 12, 65001]), st.binary(min_size=0, max_size=40)), max_size=3
    ),
)
@settings(max_examples=60, deadline=None)
def test_the_cookie_is_the_first_of_the_options_and_right_or_the_query_is_wrong(question, payload, flags, options):
    given = [option(*each) for each in options]
    octets = ask(*question, payload=payload, ednsflags=flags, options=given)
    ours, sent = responder(server_id=b"ns7"), [data for code, data in options if code == COOKIE]
    for _ in range(3):
        reply = ours.respond_udp(octets, b"abcd")
        if sent and len(sent[0]) not in msg.COOKIE_SIZES:
            assert reply[3] & 15 == msg.FORMERR
        else:
            assert len(reply) <= min(max(payload, 512), 1232)
            assert cookie_in(reply) == ([cookie_for(sent[0], b"abcd")] if sent else [])


def test_the_short_way_of_outside_questions_knows_no_cookies():
    """Its replies are the same for all clients."""
    for flags in (0x0100, 0x0120):
        for edns in ({"payload": 1232}, {"payload": 512, "ednsflags": 0x8000}):
            plain = any_key(ask("www.example.org.", flags=flags, **edns))
            cookie = any_key(ask("www.example.org.", flags=flags, **edns, options=[option(COOKIE, bytes(8))]))
            assert plain[:10] + plain[-1:] in forward_fast.FORMS
            assert cookie[:10] + cookie[-1:] not in forward_fast.FORMS
