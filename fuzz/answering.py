"""What clients send: that it is understood or refused, and that the fast ways to an answer say what the full one says."""

import socket
import struct
from collections.abc import Iterator
from functools import cache
from random import Random
from typing import Any

import dns.exception
import dns.message
from tests.serve.asking import AUTHORITY, make_zone
from tests.serve.hot import CLIENT, Hot

from fuzz import reading
from mesos_dns.dns import message as msg
from mesos_dns.dns import name as names
from mesos_dns.serve.answer import Answerer, AnswerOptions
from mesos_dns.serve.cookies import ServerCookies
from mesos_dns.serve.keys import EdnsForms
from mesos_dns.serve.request import CLOSE, Forward, Reply, Request, Transport
from mesos_dns.serve.responder import Responder
from mesos_dns.zone.zone import Zone
from mesos_dns.zone.zones import Zones

#: How often each message is asked: twice fresh, and then from what is kept.
_TIMES = 3
#: Messages of one input: enough for one to be answered from what another one left behind.
_MOST_MESSAGES = 6


def queries(octets: bytes) -> None:
    """A message is a query, an error or silence; of a query is understood what dnspython understands."""
    found = msg.parse(octets)
    if found is None:
        assert len(octets) < 12 or octets[2] & 0x80
        return
    if isinstance(found, msg.Rejected):
        reply = reading.message(found.reply())
        assert reply.identifier == int.from_bytes(octets[:2])
        assert reply.flags & 0x8000
        assert reply.flags & 15 == found.rcode
        assert len(found.reply()) <= max(len(octets), 12)
        return
    if isinstance(found, msg.CookieQuery):
        assert octets[4:12] == bytes(7) + b"\1"
        assert len(msg.find_option(found.edns.options, msg.COOKIE) or b"") in msg.COOKIE_SIZES
        return
    assert 17 <= found.question_end <= len(octets)
    name, end = reading.name(octets, 12)
    assert (name.lower(), end + 4) == (found.name, found.question_end)
    try:
        theirs = dns.message.from_wire(octets, question_only=True)
    except dns.exception.DNSException:
        return
    (question,) = theirs.question
    assert (question.rdtype, question.rdclass) == (found.qtype, found.qclass)
    assert question.name.canonicalize().to_wire() == found.name


def answers(octets: bytes) -> None:
    """Whatever was asked before, each way to an answer gives what a fresh one would be: UDP in batches, UDP, TCP.

    The first octet chooses the server; messages follow as they would over TCP, the last one may be cut.
    """
    if not octets:
        return
    server = _servers()[octets[0] % len(_servers())]
    server.forget()
    for message in _messages(octets[1:]):
        for _ in range(_TIMES):
            server.ask(message)


def _messages(octets: bytes) -> Iterator[bytes]:
    at = 0
    for _ in range(_MOST_MESSAGES):
        if at + 2 > len(octets):
            return
        end = at + 2 + int.from_bytes(octets[at : at + 2])
        yield octets[at + 2 : end]
        at = end


class Server:
    """All ways to an answer from the same zones, and the full one to compare them with."""

    def __init__(self, zones: list[Zone], cookies: ServerCookies | None = None, **options: Any) -> None:
        self._sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._sock.bind(("127.0.0.1", 0))
        answerer = Answerer(Zones(zones), AnswerOptions(**options), Random(0))
        self._cookies = cookies
        self._responder = Responder(answerer, cookies=cookies)
        self._fresh = Responder(answerer, cookies=cookies)
        self._hot = Hot(self._responder, self._sock)
        #: Without the bit, what does not fit is any part of the answer.
        self._any_part = not options.get("truncate_bit", True)

    def forget(self) -> None:
        """As if nothing had been asked before."""
        self._responder.forget()
        self._responder.reclaim(1_000_000)
        self._hot.listener._edns = EdnsForms()

    def ask(self, octets: bytes) -> None:
        """Ask in all ways, and compare."""
        udp, tcp = (
            self._fresh.respond_fresh(Request(octets, CLIENT, transport))
            for transport in (Transport.UDP, Transport.TCP)
        )
        for way, reply, expected in (
            ("UDP in batches", self._hot.ask(octets), udp),
            ("UDP", self._responder.respond_udp(octets, CLIENT), udp),
            ("TCP", self._responder.respond_tcp(octets, CLIENT), tcp),
        ):
            assert same(reply, expected, any_part=self._any_part), (
                f"{way}: {octets!r} got {reply!r}, expected {expected!r}"
            )
        for reply, largest in ((udp, msg.UDP_SIZE), (tcp, msg.TCP_SIZE)):
            check(octets, reply, largest, says_cookies=self._cookies is not None)


def check(octets: bytes, reply: Reply, largest: int, *, says_cookies: bool) -> None:
    """A reply to any octets is silence, or a well-formed message that belongs to them and that its client can take."""
    if not isinstance(reply, bytes):
        assert reply is None or reply is CLOSE or isinstance(reply, Forward)
        return
    found = reading.message(reply)
    assert reply[:2] == octets[:2]
    assert found.flags & msg.QR
    assert not found.flags & 0x0060, "AD or Z is set"
    assert octets[12:].startswith(found.question)
    assert len(reply) <= largest
    query = msg.parse(octets)
    assert query is not None
    edns = None
    if isinstance(query, msg.Query) or (says_cookies and isinstance(query, msg.CookieQuery)):
        edns = query.edns
    assert len(found.options) == (edns is not None)
    if edns is not None:
        asked = msg.find_option(edns.options, msg.COOKIE)
        told = msg.find_option(found.options[0].rdata, msg.COOKIE)
        assert (told is not None) == (says_cookies and asked is not None)
    if largest != msg.TCP_SIZE:
        assert len(reply) <= msg.udp_limit(edns)


def same(one: Reply, other: Reply, *, any_part: bool) -> bool:
    """Whether two replies differ in nothing but the order of their records; with `any_part` in the data of as many records."""
    if one == other or not (isinstance(one, bytes) and isinstance(other, bytes)):
        return one == other
    if len(one) != len(other) or one[:12] != other[:12]:
        return False
    first, second = reading.message(one), reading.message(other)
    if any_part:
        first, second = (
            each._replace(records=[record._replace(rdata=b"") for record in each.records]) for each in (first, second)
        )
    return first.question == second.question and sorted(first.records) == sorted(second.records)


@cache
def _servers() -> list[Server]:
    other = AUTHORITY._replace(apex=names.from_text("marathon.mesos"), redirects=())
    return [
        Server([make_zone()]),
        Server([make_zone()], truncate_bit=False, recursion=False),
        Server([make_zone(), make_zone("a.marathon.mesos A 10.0.0.1", other)]),
        Server([make_zone(serial=0)]),
        Server([make_zone()], ServerCookies([bytes(16)], lambda: 1559731985.5), server_id=b"ns-a", version=b"1"),
    ]


def framed(*messages: bytes, server: int = 0) -> bytes:
    """An input for `answers`."""
    return bytes((server,)) + b"".join(struct.pack("!H", len(message)) + message for message in messages)
