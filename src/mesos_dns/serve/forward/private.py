"""Names that no resolver of the Internet knows anything about, and that are none of its business: answered here. Pure.

Reverse names of private addresses, `localhost`, `local` and their like exist in one network at most. Asked of a public resolver they tell strangers
what runs inside, and burden servers that exist only to say no to them. So each such zone is an empty one here (RFC 6303 section 3): its SOA
and NS at the apex, NXDOMAIN below, and the addresses of `localhost` (RFC 6761 section 6.3). There is no extended error with that: it is
what these zones say, and nothing was filtered.

Who knows such a zone has a resolver for it: the closest configured zone above a name decides, and one that has resolvers beats a private
one at the same place. DS belongs to the zone above (RFC 4035 section 3.1.4.1): the question at the apex of a private zone is not about it, and a
validator behind us needs the answer, to learn that nothing is signed there.
"""

import struct
from collections.abc import Collection, Iterator
from typing import Final

from mesos_dns.dns import message as msg
from mesos_dns.dns import name as names
from mesos_dns.dns import rdata as rd
from mesos_dns.dns.message import Query
from mesos_dns.serve.request import Forward

#: The word that stands for all of `SPECIAL_USE` in a list of zones.
SPECIAL_USE_WORD: Final = "special-use"

#: By whom each is reserved.
SPECIAL_USE: Final = (
    *("test", "localhost", "invalid"),  # RFC 6761
    "onion",  # RFC 7686
    "local",  # RFC 6762: found by multicast, if at all
    "internal",  # ICANN, 2024
    "home.arpa",  # RFC 8375
    "resolver.arpa",  # RFC 9462: means each resolver itself
    # RFC 6303 section 4.1: private IPv4 addresses (RFC 1918).
    "10.in-addr.arpa",
    *(f"{n}.172.in-addr.arpa" for n in range(16, 32)),
    "168.192.in-addr.arpa",
    # Section 4.2: this network, loopback, link-local, documentation, broadcast.
    *("0.in-addr.arpa", "127.in-addr.arpa", "254.169.in-addr.arpa"),
    *("2.0.192.in-addr.arpa", "100.51.198.in-addr.arpa", "113.0.203.in-addr.arpa"),
    "255.255.255.255.in-addr.arpa",
    # RFC 7793: addresses that carriers share (100.64.0.0/10).
    *(f"{n}.100.in-addr.arpa" for n in range(64, 128)),
    # RFC 6303 sections 4.3 to 4.6: :: and ::1, unique local (fd00::/8), link-local (fe80::/10), documentation (2001:db8::/32).
    *("0." * 32 + "ip6.arpa", "1." + "0." * 31 + "ip6.arpa"),
    "d.f.ip6.arpa",
    *(f"{digit}.e.f.ip6.arpa" for digit in "89ab"),
    "8.b.d.0.1.0.0.2.ip6.arpa",
)

_LOCALHOST: Final = names.from_text("localhost")
_LOOPBACK: Final = {rd.A: bytes((127, 0, 0, 1)), rd.AAAA: bytes(15) + b"\1"}
_DS: Final = 43
_HEADER: Final = struct.Struct("!HHHHH")
_RR: Final = struct.Struct("!HHIH")
_RNAME: Final = names.from_text("nobody.invalid")
#: Serial, refresh, retry, expire and minimum, and the TTL of all records (RFC 6303 section 3).
_NUMBERS: Final = struct.pack("!IIIII", 1, 3600, 1200, 604800, 10800)
_TTL: Final = 10800


def zones_of(texts: Collection[str]) -> Iterator[bytes]:
    """The apexes (lower-case wire form) of a list of zones, in which one word stands for all of `SPECIAL_USE`. Raises BadNameError."""
    for text in texts:
        yield from map(names.from_text, SPECIAL_USE if text.lower() == SPECIAL_USE_WORD else (text,))


class PrivateZones:
    """Answers for names in `zones`, unless one of `forwarded` is as close to the name or closer; both in lower-case wire form.

    `recursion` sets RA.
    """

    def __init__(self, zones: Collection[bytes], forwarded: Collection[bytes], *, recursion: bool) -> None:
        self._zones = frozenset(zones) - frozenset(forwarded)
        self._forwarded = frozenset(forwarded) - {names.ROOT}
        self._flags = msg.QR | msg.AA | (msg.RA if recursion else 0)

    def __repr__(self) -> str:
        return f"PrivateZones({len(self._zones)})"

    def zone_of(self, name: bytes) -> bytes | None:
        """The private zone that `name` (lower-case wire form) lies in; None if there is none, or a closer zone is forwarded."""
        while name not in self._zones:
            if name == names.ROOT or name in self._forwarded:
                return None
            name = names.parent(name)
        return name

    def answer(self, forward: Forward) -> bytes | None:
        """The whole reply if the question is about a private name, else None. It fits every client (512 octets)."""
        query = forward.query
        name = query.name
        if query.qtype == _DS and name != names.ROOT:
            name = names.parent(name)
        apex = self.zone_of(name)
        return None if apex is None else self._reply(query, apex, forward.options)

    def _reply(self, query: Query, apex: bytes, options: bytes) -> bytes:
        # Every owner here is the question's name, or ends it.
        zone = struct.pack("!H", 0xC000 | 12 + len(query.name) - len(apex))
        soa = zone + _rr(rd.SOA, zone + _RNAME + _NUMBERS)
        answer = b""
        flags = self._flags | query.flags & msg.COPIED
        if query.name == apex and query.qtype in (rd.SOA, rd.ANY):
            answer = soa
        elif query.name == apex and query.qtype == rd.NS:
            answer = zone + _rr(rd.NS, zone)
        elif apex == _LOCALHOST and query.qtype in _LOOPBACK:
            answer = b"\xc0\x0c" + _rr(query.qtype, _LOOPBACK[query.qtype])
        elif apex not in (query.name, _LOCALHOST):
            flags |= msg.NXDOMAIN
        if query.qclass == rd.CLASS_ANY:
            flags &= ~msg.AA  # As for our own zones.
        opt = b"" if query.edns is None else msg.opt(do=query.edns.do, options=options)
        header = _HEADER.pack(flags, 1, 1 if answer else 0, 0 if answer else 1, 1 if opt else 0)
        return query.octets[:2] + header + query.octets[12 : query.question_end] + (answer or soa) + opt


def _rr(rrtype: int, rdata: bytes) -> bytes:
    """A record without its owner."""
    return _RR.pack(rrtype, rd.CLASS_IN, _TTL, len(rdata)) + rdata
