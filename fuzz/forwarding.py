"""What upstreams send: it is refused, or a well-formed answer to the question comes out that says nothing about our zones."""

import struct
from functools import cache

from tests.serve.asking import ask, option, parse
from tests.serve.forward.test_fast import form_of, short_way

from fuzz import reading
from mesos_dns.dns import message as msg
from mesos_dns.dns import name as names
from mesos_dns.dns.message import Query
from mesos_dns.dns.rdata import OPT
from mesos_dns.serve.forward import rewrite
from mesos_dns.serve.forward.cache import ForwardCache, cache_key
from mesos_dns.serve.forward.check import usable
from mesos_dns.serve.forward.fast import Tails
from mesos_dns.serve.forward.records import BadReplyError
from mesos_dns.serve.request import Forward

_OWN = (names.from_text("mesos"), names.from_text("10.in-addr.arpa"))
_IDENTIFIER = 0x1234
_CLIENT = bytes((192, 0, 2, 1))
#: Octets of an input before the records: which question, flags, three counts.
_HEAD = struct.Struct("!BHBBB")
#: Seconds after which what was kept is asked for: fresh, and stale.
_LATER = (0.0, 3.5, 4000.0)


def replies(octets: bytes) -> None:
    """A reply behind the question that was asked: which question, its flags and counts, and what stands behind the question."""
    if len(octets) < _HEAD.size:
        return
    which, flags, *counts = _HEAD.unpack_from(octets)
    query = _queries()[which % len(_queries())]
    sent = rewrite.question(query, _IDENTIFIER)
    question = query.octets[12 : query.question_end]
    header = struct.pack("!6H", _IDENTIFIER, flags | msg.QR, 1, *counts)
    reply = header + question + octets[_HEAD.size :]
    _take(query, sent, reply)
    _compare(query, query.octets[:2] + reply[2:])
    # The whole of it as a reply of anybody: nothing of it fits but by chance.
    rewrite.answers(octets, sent, len(question))


def _take(query: Query, sent: bytes, reply: bytes) -> None:
    """What becomes of a reply in `serve.forward`."""
    assert rewrite.answers(reply, sent, query.question_end - 12)
    rewrite.extended_rcode(reply, query.question_end)
    try:
        reply = usable(reply, query.question_end, _OWN)
    except BadReplyError:
        return
    assert usable(reply, query.question_end, _OWN) == reply
    _check_clients(query, reply)
    cache = ForwardCache(100_000, min_ttl=0, max_ttl=3600, stale_seconds=86_400)
    key = cache_key(query)
    cache.put(key, reply, query.question_end, 0.0)
    for now in _LATER:
        found = cache.find(key, now)
        if found is not None and not found.failed:
            assert len(found.reply) <= len(reply)
            _check_clients(query, found.reply)
    assert 0 <= cache.octets <= 100_000


def _compare(query: Query, reply: bytes) -> None:
    """The fast way, where it knows one, says what the full one says; also for another name, with what the first one left behind."""
    if form_of(query.octets) is None or query.octets[12] != 3:
        return
    tails = Tails(_OWN)
    for label in (b"www", b"abc", b"www"):
        octets, came = query.octets[:13] + label + query.octets[16:], reply[:13] + label + reply[16:]
        for trusted in (False, True):
            short = short_way(octets, came, trusted=trusted, tails=tails)
            if short is not None:
                whole = usable(came, query.question_end, _OWN)
                forward = Forward(parse(octets), _CLIENT)
                expected = rewrite.for_client(
                    whole, forward, msg.udp_limit(query.edns), truncate_bit=True, trusted=trusted
                )
                assert short == expected


def _check_clients(query: Query, reply: bytes) -> None:
    limit = msg.udp_limit(query.edns)
    for largest in (limit, msg.TCP_SIZE):
        for truncate_bit in (True, False):
            try:
                out = rewrite.for_client(
                    reply, Forward(query, _CLIENT), largest, truncate_bit=truncate_bit, trusted=True
                )
            except BadReplyError:
                continue
            _check(query, out, largest)


def _check(query: Query, out: bytes, largest: int) -> None:
    assert len(out) <= largest
    found = reading.message(out)
    assert out[:2] == query.octets[:2]
    assert found.question == query.octets[12 : query.question_end]
    assert len(found.options) == (query.edns is not None)
    for record in found.records:
        assert record.rrtype == OPT or not any(names.is_below_or_at(record.owner, apex) for apex in _OWN), record


@cache
def _queries() -> list[Query]:
    asked = [
        ask("www.example.test.", identifier=0xBEEF),
        ask("www.example.test.", "AAAA", payload=1232, ednsflags=0x8000),
        ask("WWW.example.TEST.", "ANY", payload=512, options=[option(10, b"12345678")]),
        ask("example.test.", "SOA", flags=0x0130),
        ask("_sip._tcp.example.test.", "SRV", payload=4096),
        ask(".", "NS", payload=700),
        ask("alias.example.test.", "CNAME"),
        ask("www.example.test.", "A", "ANY"),
    ]
    return [parse(octets) for octets in asked]
