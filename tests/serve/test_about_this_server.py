"""What a server says of itself: names of class CHAOS (RFC 4892), and NSID (RFC 5001)."""

from random import Random

import dns.flags
import dns.rcode
import pytest
from tests.serve.asking import ask, make_answerer, make_zone, option, parse, read, reply_of, texts
from tests.serve.test_answer import AA, QR, RD, reply_to

from mesos_dns.serve.answer import Answerer, AnswerOptions
from mesos_dns.serve.cookies import ServerCookies
from mesos_dns.serve.request import Forward
from mesos_dns.serve.responder import Responder
from mesos_dns.zone.zones import Zones


def answerer_that(**says):
    return Answerer(Zones([make_zone()]), AnswerOptions(**says), Random(0))


@pytest.mark.parametrize(
    ("name", "text"),
    [("id.server.", "ns-a"), ("HostName.Bind.", "ns-a"), ("version.server.", "7 beta"), ("version.BIND.", "7 beta")],
)
@pytest.mark.parametrize("rdtype", ["TXT", "ANY"])
@pytest.mark.parametrize("edns", [{}, {"payload": 512, "ednsflags": dns.flags.DO}])
def test_a_server_says_who_it_is(name, text, rdtype, edns):
    answerer = answerer_that(server_id=b"ns-a", version=b"7 beta")
    reply = reply_to(answerer, ask(name, rdtype, "CH", **edns))
    assert (reply.rcode(), reply.flags) == (dns.rcode.NOERROR, QR | AA | RD)
    assert texts(reply.answer) == [f'{name} 0 CH TXT "{text}"']
    assert (reply.edns, reply.ednsflags) == ((0, dns.flags.DO) if edns else (-1, 0))


def test_it_has_no_other_record_of_itself():
    reply = reply_to(answerer_that(server_id=b"ns-a"), ask("id.server.", "A", "CH"))
    assert (reply.rcode(), reply.answer, reply.authority) == (dns.rcode.NOERROR, [], [])


def test_what_it_may_not_say_it_refuses_to_say():
    answerer = answerer_that(server_id=b"ns-a")
    assert reply_to(answerer, ask("version.bind.", "TXT", "CH")).rcode() == dns.rcode.REFUSED


def test_these_are_ordinary_names_of_the_internet():
    query = parse(ask("id.server.", "TXT"))
    assert reply_of(make_answerer(), query, 512, tcp=False) == Forward(query)


def test_the_longest_that_a_server_says_of_itself_fits_512_octets():
    text = bytes(range(128))
    octets = ask("hostname.bind.", "TXT", "CH", payload=512, options=[option(3), option(10, bytes(8))])
    ours = Responder(answerer_that(server_id=text), cookies=ServerCookies([bytes(16)], lambda: 0.0))
    reply = ours.respond_udp(octets, bytes(16))
    assert len(reply) <= 512
    assert [found.to_wire()[:8] for found in read(reply).options] == [bytes(8), text[:8]]
    # And so does any refusal.
    longest = ".".join(["x" * 63] * 3 + ["x" * 61]) + "."
    octets = ask(longest, "A", "CH", payload=512, options=[option(3), option(10, bytes(8))])
    assert len(ours.respond_udp(octets, bytes(16))) <= 512


# --- NSID --------------------------------------------------------------------------------------


@pytest.mark.parametrize("tcp", [False, True])
@pytest.mark.parametrize("name", ["chronos.marathon.mesos.", "many.mesos.", "nope.mesos.", "mesos.", "x.example.*."])
def test_who_asks_with_nsid_is_told(name, tcp):
    ours = Responder(answerer_that(server_id=b"ns-a"))
    respond = ours.respond_tcp if tcp else ours.respond_udp
    for _ in range(3):
        told = respond(ask(name, payload=1232, options=[option(3)]))
        if isinstance(told, Forward):
            assert told.options == b"\0\3\0\4ns-a"
            continue
        assert [(int(found.otype), found.to_wire()) for found in read(told).options] == [(3, b"ns-a")]
        assert read(respond(ask(name, payload=1232))).options == ()
        assert read(respond(ask(name))).edns == -1


def test_a_server_without_an_id_tells_none():
    ours = Responder(make_answerer())
    assert read(ours.respond_udp(ask("mesos.", "SOA", payload=1232, options=[option(3)]))).options == ()
