"""Several zones behind one server: each name is answered from the closest zone above it, by the fast way as by the full one."""

from random import Random

import dns.rcode
import pytest
from tests.serve.asking import AUTHORITY, ask, edits, read, texts

from mesos_dns.dns import name as names
from mesos_dns.serve.answer import Answerer, AnswerOptions
from mesos_dns.serve.fast import FastAnswers
from mesos_dns.serve.keys import any_key
from mesos_dns.serve.request import Forward
from mesos_dns.serve.responder import Responder
from mesos_dns.zone.change import ZoneChange
from mesos_dns.zone.zones import Zones

MESOS, INNER, REVERSE = (names.from_text(text) for text in ("mesos", "inner.mesos", "10.in-addr.arpa"))
CLIENT = b"\1\2\3\4"


@pytest.fixture
def zones():
    zones = Zones.of([AUTHORITY._replace(apex=apex) for apex in (MESOS, INNER, REVERSE)])
    zones[MESOS].apply(ZoneChange(11, list(edits("web.mesos A 10.0.0.1\ndeep.sub.mesos A 10.0.0.2"))))
    zones[INNER].apply(ZoneChange(22, list(edits("web.inner.mesos A 10.0.0.3\ninner.mesos A 10.0.0.4"))))
    zones[REVERSE].apply(ZoneChange(33, list(edits("1.0.0.10.in-addr.arpa A 10.0.0.5"))))
    return zones


def answerer(zones):
    return Answerer(zones, AnswerOptions(), Random(1))


@pytest.mark.parametrize("tcp", [False, True])
@pytest.mark.parametrize(
    ("name", "rcode", "answer", "apex", "serial"),
    [
        ("web.mesos.", "NOERROR", ["10.0.0.1"], None, None),
        ("web.inner.mesos.", "NOERROR", ["10.0.0.3"], None, None),
        ("inner.mesos.", "NOERROR", ["10.0.0.4"], None, None),
        ("1.0.0.10.in-addr.arpa.", "NOERROR", ["10.0.0.5"], None, None),
        ("sub.mesos.", "NOERROR", [], "mesos.", 11),
        ("nope.mesos.", "NXDOMAIN", [], "mesos.", 11),
        ("nope.inner.mesos.", "NXDOMAIN", [], "inner.mesos.", 22),
        ("a.b.inner.mesos.", "NXDOMAIN", [], "inner.mesos.", 22),
        ("2.0.0.10.in-addr.arpa.", "NXDOMAIN", [], "10.in-addr.arpa.", 33),
        ("0.0.10.in-addr.arpa.", "NOERROR", [], "10.in-addr.arpa.", 33),
    ],
)
def test_a_name_is_answered_from_the_closest_zone(zones, tcp, name, rcode, answer, apex, serial):
    octets = ask(name)
    responder = Responder(answerer(zones))
    respond = responder.respond_tcp if tcp else responder.respond_udp
    fast = FastAnswers(answerer(zones), tcp=tcp).respond(any_key(octets), CLIENT)
    replies = [respond(octets, CLIENT) for _ in range(4)]
    if fast is not None:
        replies.append(fast.message(octets))
    for reply in map(read, replies):
        assert dns.rcode.to_text(reply.rcode()) == rcode
        assert [text.split()[-1] for text in texts(reply.answer)] == answer
        if apex:
            (soa,) = reply.authority
            assert (soa.name.to_text(), soa[0].serial) == (apex, serial)


@pytest.mark.parametrize("name", ["example.org.", "arpa.", "11.in-addr.arpa.", "xmesos.", "."])
def test_what_is_in_none_of_them_is_forwarded(zones, name):
    assert isinstance(Responder(answerer(zones)).respond_udp(ask(name), CLIENT), Forward)


def test_a_zone_without_anything_yet_costs_the_others_nothing(zones):
    zones.replace(type(zones[INNER])(zones[INNER].authority))
    responder = Responder(answerer(zones))
    assert read(responder.respond_udp(ask("web.inner.mesos."), CLIENT)).rcode() == dns.rcode.SERVFAIL
    assert read(responder.respond_udp(ask("web.mesos."), CLIENT)).rcode() == dns.rcode.NOERROR


@pytest.mark.parametrize("octets", [b"\x40" + bytes(70), b"\7inner", b"\xff" * 40, b"\5mesos", b"\1"])
def test_names_that_are_none_are_not_looked_for(zones, octets):
    key = ask("x.")[2:12] + octets + b"\0\0\1\0\1"
    assert FastAnswers(answerer(zones), tcp=False).respond(key, CLIENT) is None


def test_a_name_is_known_not_to_exist_without_a_look_only_if_there_is_one_zone(zones):
    assert not FastAnswers(answerer(zones), tcp=False).is_unknown(names.from_text("nope.mesos"))
    assert FastAnswers(answerer(Zones([zones[MESOS]])), tcp=False).is_unknown(names.from_text("nope.mesos"))
