"""What is counted is what was asked and answered: held against a count of every reply, whichever way it took."""

import dns.flags
import dns.message
import dns.opcode
import dns.rcode
import dns.rdatatype
import pytest
from tests.serve.asking import ask, make_answerer
from tests.serve.test_responder import ZONE, Hot, make_responder, udp_socket

from mesos_dns import metrics
from mesos_dns.dns import message as msg
from mesos_dns.serve import traffic as module
from mesos_dns.serve.keys import any_key
from mesos_dns.serve.policy import Drop, Refuse
from mesos_dns.serve.request import Forward, Request, Transport
from mesos_dns.serve.responder import Responder
from mesos_dns.serve.traffic import SIZES, Kind, Traffic, kind_of

__all__ = ["udp_socket"]

NAME = "chronos.marathon.mesos."
QUESTIONS = [
    *(ask(NAME), ask(NAME, "AAAA"), ask(NAME, payload=1232), ask(NAME, payload=1232, ednsflags=dns.flags.DO)),
    *(ask(NAME.upper()), ask(NAME, "HTTPS"), ask(NAME, "TXT"), ask(NAME, "ANY"), ask(NAME, "SOA")),
    *(ask("nobody.mesos."), ask("nobody2.mesos."), ask("nobody3.mesos.", "AAAA"), ask("nobody4.mesos.", payload=4096)),
    *(ask("mesos.", "NS"), ask("mesos.", "SOA"), ask(NAME, "AXFR"), ask("many.mesos."), ask("many.mesos.", "SRV")),
    *(ask("www.example.com."), ask(NAME, payload=512)),
]


def number(responder, series):
    return responder.counts(whole=True).get(series, 0)


def by_label(responder, name, label):
    """The numbers of a metric by one of its labels."""
    found = {}
    for series, count in responder.counts(whole=True).items():
        parsed, labels = metrics.parse(series)
        if parsed == name:
            found[labels[label]] = found.get(labels[label], 0) + count
    return {value: count for value, count in found.items() if count}


class Tally:
    """Counts replies as they come, each by itself."""

    def __init__(self):
        self.types, self.rcodes, self.octets, self.do = {}, {}, 0, 0

    def take(self, query, reply):
        asked = dns.message.from_wire(query)
        rrtype = dns.rdatatype.to_text(asked.question[0].rdtype)
        self.types[rrtype] = self.types.get(rrtype, 0) + 1
        self.do += bool(asked.ednsflags & dns.flags.DO)
        if reply is not None:
            rcode = dns.rcode.to_text(dns.message.from_wire(reply).rcode())
            self.rcodes[rcode] = self.rcodes.get(rcode, 0) + 1
            self.octets += len(reply)


@pytest.mark.parametrize("transport", [Transport.UDP, Transport.TCP])
def test_every_reply_is_counted_once_however_it_was_found(transport):
    responder, tally = make_responder(ZONE), Tally()
    respond = responder.respond_udp if transport is Transport.UDP else responder.respond_tcp
    for again in range(5):
        for query in QUESTIONS:
            reply = respond(query, b"\x0a\0\0\1")
            if isinstance(reply, Forward):
                reply = msg.Rejected(query, msg.REFUSED, len(query)).reply()
                responder.forwarded(reply, transport)
            tally.take(query, reply)
        if again in (1, 3):
            responder.forget()
        if again == 2:
            responder.reclaim(10**6)
    assert by_label(responder, "dns_requests", "type") == tally.types
    assert by_label(responder, "dns_requests", "proto") == {transport.value: len(QUESTIONS) * 5}
    assert by_label(responder, "dns_requests", "family") == {"1": len(QUESTIONS) * 5}
    assert by_label(responder, "dns_responses", "rcode") == tally.rcodes
    assert number(responder, f'dns_do_requests{{proto="{transport.value}"}}') == tally.do
    assert number(responder, f'dns_response_size_bytes_bucket{{proto="{transport.value}",le="+Inf"}}') == 5 * len(
        QUESTIONS
    )
    assert number(responder, f'dns_response_size_bytes_sum{{proto="{transport.value}"}}') == tally.octets


def test_a_listener_of_its_own_cache_counts_the_same(udp_socket):
    responder, tally = make_responder(ZONE), Tally()
    hot = Hot(responder, udp_socket)
    queries = [query for query in QUESTIONS if query != ask("www.example.com.")]
    for again in range(6):
        for query in queries:
            tally.take(query, hot.ask(query))
        if again in (2, 4):
            responder.forget()
    assert by_label(responder, "dns_requests", "type") == tally.types
    assert by_label(responder, "dns_responses", "rcode") == tally.rcodes
    assert number(responder, 'dns_response_size_bytes_sum{proto="udp"}') == tally.octets
    assert responder.hits > 0


def test_what_a_policy_drops_is_not_asked_and_what_it_refuses_is():
    class Judge:
        usual = frozenset()
        verdict = Drop()

        def judge(self, _):
            return self.verdict

    responder = Responder(make_answerer(), Judge())
    responder.respond_udp(ask(NAME))
    assert by_label(responder, "dns_requests", "type") == {}
    responder.policy.verdict = Refuse(msg.REFUSED)
    responder.respond_udp(ask(NAME))
    assert by_label(responder, "dns_requests", "type") == {"A": 1}
    assert by_label(responder, "dns_responses", "rcode") == {"REFUSED": 1}


def test_odd_messages_make_no_series_of_their_own():
    responder = make_responder(ZONE)
    for rrtype in range(1, 300):
        query = bytearray(ask(NAME))
        query[-4:-2] = rrtype.to_bytes(2, "big")
        responder.respond_udp(bytes(query))
    for opcode in range(1, 16):
        query = bytearray(ask(NAME))
        query[2] |= opcode << 3
        responder.respond_udp(bytes(query))
    responder.respond_udp(b"short")
    found = by_label(responder, "dns_requests", "type")
    assert found.keys() <= {*module.TYPES.values(), "other"}
    assert sum(found.values()) == 299 + 15
    assert by_label(responder, "dns_responses", "rcode")["NOTIMP"] == 15


def test_badvers_is_told_apart():
    responder = make_responder(ZONE)
    query = bytearray(ask(NAME, payload=1232))
    query[-5] = 1
    responder.respond_udp(bytes(query))
    assert by_label(responder, "dns_responses", "rcode") == {"BADVERS": 1}


@pytest.mark.parametrize(
    ("rrtype", "options", "qtype", "do"),
    [
        ("A", {}, 1, False),
        ("HTTPS", {}, 65, False),
        ("ANY", {}, 255, False),
        ("AAAA", {"payload": 1232}, 28, False),
        ("SRV", {"payload": 512, "ednsflags": dns.flags.DO}, 33, True),
    ],
)
def test_a_key_tells_what_was_asked(rrtype, options, qtype, do):
    query = ask(NAME, rrtype, **options)
    header = bytes((0x84, 0x03, *bytes(8)))
    assert kind_of(any_key(query), header, 100) == Kind(qtype, do, 3, len(query), 100)


def test_new_questions_are_added_up_before_they_are_too_many(monkeypatch):
    monkeypatch.setattr(module, "_MOST_FRESH", 10)
    traffic = Traffic(Transport.UDP)
    for n in range(100):
        traffic.add_fresh(any_key(ask(NAME)), n.to_bytes(10, "big"), 50)
        assert len(traffic.fresh) < 10
    numbers = dict(traffic.numbers())
    assert numbers['dns_requests{proto="udp",family="1",type="A"}'] == 100
    assert repr(traffic) == "Traffic('udp', responses=100)"


def test_a_part_of_the_kept_responses_is_looked_at_each_time_and_none_if_none_was_given(monkeypatch):
    monkeypatch.setattr("mesos_dns.serve.responder._MOST_COUNTED_AT_ONCE", 1)
    responder = make_responder(ZONE)
    queries = [ask(NAME), ask(NAME, "AAAA"), ask("nobody.mesos.")]
    for query in [*queries, *queries, *queries]:
        responder.respond_udp(query)

    def told():
        return sum(count for series, count in responder.counts().items() if series.startswith("dns_requests"))

    assert responder.hits == 3
    seen = [told() for _ in range(6)]
    assert seen == sorted(seen)
    assert (seen[0], seen[-1]) == (7, 9)
    assert responder._counting == (0, 0)


def test_buckets_are_those_of_coredns():
    assert SIZES == (100, 200, 300, 400, 511, 1023, 2047, 4095, 8291, 16000, 32000, 48000, 64000)


def test_a_request_by_itself():
    responder = make_responder(ZONE)
    responder.respond(Request(ask(NAME), b"", Transport.TCP))
    assert by_label(responder, "dns_requests", "proto") == {"tcp": 1}
