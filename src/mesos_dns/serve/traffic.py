"""What clients ask and get, by type, RCODE and size, at next to no cost for each packet. Pure.

Nothing is counted for a packet that the response cache answers: how often a response was given is known where it is kept (see `turns`), and all
that is counted here follows from it. So the cache is looked through, a part at each tick of the clock, and when responses are dropped. A new
question costs one addition, under what its answer has in common with many others; what that is, is worked out with the report.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from mesos_dns.dns.message import HEADER_SIZE, RCODES, Query
from mesos_dns.metrics import OTHER, Distribution, counter, histogram
from mesos_dns.serve.keys import BEHIND_NAME, BEHIND_NAME_EDNS, COOKIE_DO, OPT_OWNER_AND_TYPE, SMALL_COOKIE_DO, SMALL_DO
from mesos_dns.serve.keys import DO as DO_MARK
from mesos_dns.serve.request import Transport

#: Query types that have a name here; all others are one.
TYPES: Final = {
    1: "A", 2: "NS", 5: "CNAME", 6: "SOA", 12: "PTR", 15: "MX", 16: "TXT", 28: "AAAA", 33: "SRV", 35: "NAPTR", 39: "DNAME", 43: "DS",
    46: "RRSIG", 47: "NSEC", 48: "DNSKEY", 50: "NSEC3", 52: "TLSA", 64: "SVCB", 65: "HTTPS", 251: "IXFR", 252: "AXFR", 255: "ANY",
}  # fmt: skip
#: Families of the sockets that are asked at: of IPv4 alone, of IPv6 alone, or of both (`::`), where the former are not looked for.
FAMILIES: Final = ("1", "2", "both")
#: Sizes of messages in octets, as CoreDNS has them.
SIZES: Final = (100, 200, 300, 400, 511, 1023, 2047, 4095, 8291, 16000, 32000, 48000, 64000)

_PROTOCOLS: Final = tuple([transport.value for transport in Transport])
_REQUESTS: Final = counter(
    "dns_requests",
    "Queries, by transport, address family of the socket (1 IPv4, 2 IPv6, both) and type. Without those that a policy dropped, or that were ignored.",
    proto=_PROTOCOLS,
    family=FAMILIES,
    type=(*TYPES.values(), OTHER),
)
_DO: Final = counter("dns_do_requests", "Queries with the DO bit (RFC 3225).", proto=_PROTOCOLS)
_RESPONSES: Final = counter(
    "dns_responses", "Replies, by RCODE, those of upstreams included.", rcode=(*RCODES.values(), OTHER)
)
_REQUEST_SIZE: Final = histogram(
    "dns_request_size_bytes", "Sizes of queries, without what their EDNS options take.", SIZES, proto=_PROTOCOLS
)
_RESPONSE_SIZE: Final = histogram("dns_response_size_bytes", "Sizes of replies.", SIZES, proto=_PROTOCOLS)

#: Entries of new questions that are added up before they are worked out, whether a report is due or not.
_MOST_FRESH: Final = 2048
#: Keys fold letters, and the types 65 to 90 with them: of those only HTTPS is asked for. See `keys`.
_FOLDED_HTTPS: Final = 97
#: Octets of a query that its key lacks: its ID, with EDNS that and the rest of its OPT record but for the mark.
_BESIDE_KEY: Final = 2
_BESIDE_KEY_EDNS: Final = 9
_DO_MARKS: Final = frozenset({DO_MARK, SMALL_DO, COOKIE_DO, SMALL_COOKIE_DO})
#: Octets at the end of a key that tell type, EDNS and DO.
TAIL: Final = BEHIND_NAME_EDNS


class Kind(NamedTuple):
    """What all responses of one entry of a cache have in common."""

    qtype: int
    do: bool
    rcode: int
    #: Octets of the query without EDNS options, and of the reply.
    asked: int
    given: int


def kind_of(key: bytes, header: bytes, given: int) -> Kind:
    """That of responses to `key`; `header` has octets 2 to 12, `given` are the octets of the whole reply."""
    qtype, do, beside = _read_tail(key[-TAIL:])
    return Kind(qtype, do, header[1] & 15, len(key) + beside, given)


def _read_tail(tail: bytes) -> tuple[int, bool, int]:
    """Type, DO, and the octets of the query that the key lacks."""
    # The mark is a capital letter, which stands in no other key.
    edns = tail[-4:-1] == OPT_OWNER_AND_TYPE and tail[-1:].isupper()
    behind = BEHIND_NAME_EDNS if edns else BEHIND_NAME
    qtype = int.from_bytes(tail[-behind : len(tail) - behind + 2], "big")
    do = edns and tail[-1:] in _DO_MARKS
    return (65 if qtype == _FOLDED_HTTPS else qtype), do, _BESIDE_KEY_EDNS if edns else _BESIDE_KEY


class Ready:
    """A response, and how often it was given: whoever gives it adds to `times`."""

    __slots__ = ("descriptor", "kind", "times")

    def __init__(self, descriptor: bytes, kind: Kind) -> None:
        self.descriptor = descriptor
        self.kind = kind
        self.times = 0

    def __repr__(self) -> str:
        return f"Ready({self.kind}, {self.times} given)"


class Traffic:
    """What was asked and answered over one transport. `family` is one of FAMILIES."""

    def __init__(self, transport: Transport, family: str = "1") -> None:
        self._proto = transport.value
        self.family = family
        self._types: defaultdict[str, int] = defaultdict(int)
        self._rcodes: defaultdict[str, int] = defaultdict(int)
        self._do = 0
        self._asked_sizes = Distribution(_REQUEST_SIZE, self._proto)
        self._given_sizes = Distribution(_RESPONSE_SIZE, self._proto)
        #: How often what was given to new questions, by response header, end of the key, octets of the key, and octets of the response
        #: behind its question but for those of a plain OPT record. Whoever adds sees to it that `settle_if_many` is called.
        self.fresh: defaultdict[tuple[bytes, bytes, int, int], int] = defaultdict(int)
        #: The same of questions that are forwarded the short way, by end and octets of the key; and of their replies, by RCODE and octets.
        self.asked: defaultdict[tuple[bytes, int], int] = defaultdict(int)
        self.replied: defaultdict[tuple[int, int], int] = defaultdict(int)
        self._ready: list[Ready] = []

    def __repr__(self) -> str:
        return f"Traffic({self._proto!r}, responses={sum(self._rcodes.values())})"

    def add(self, kind: Kind, times: int) -> None:
        """A response of this kind was given so often."""
        qtype, do, rcode, asked, given = kind
        self._question(qtype, asked, times, do=do)
        self._rcodes[RCODES.get(rcode, OTHER)] += times
        self._given_sizes.observe(given, times)

    def _question(self, qtype: int, octets: int, times: int, *, do: bool) -> None:
        self._types[TYPES.get(qtype, OTHER)] += times
        if do:
            self._do += times
        self._asked_sizes.observe(octets, times)

    def add_fresh(self, key: bytes, header: bytes, body: int) -> None:
        """A response with so many octets behind its question was given to a new question with this key."""
        self.fresh[header, key[-TAIL:], len(key), body] += 1
        self.settle_if_many()

    def question(self, query: Query) -> None:
        """A query came that is parsed; what becomes of it is told by `reply`."""
        self._question(query.qtype, len(query.octets), 1, do=query.edns is not None and query.edns.do)

    def unread(self, octets: bytes) -> None:
        """The same of one without a question that could be read."""
        self._types[OTHER] += 1
        self._asked_sizes.observe(len(octets))

    def reply(self, octets: bytes, *, opt: bytes = b"") -> None:
        """A whole reply was given; `opt` is its OPT record if that may hold a part of its RCODE."""
        if len(octets) < HEADER_SIZE:
            return
        rcode = octets[3] & 15 | (opt[5] << 4 if opt else 0)
        self._rcodes[RCODES.get(rcode, OTHER)] += 1
        self._given_sizes.observe(len(octets))

    def watch(self, ready: Ready) -> Ready:
        """Count what is given of a response from now on."""
        self._ready.append(ready)
        return ready

    @property
    def ready_count(self) -> int:
        """How many responses are watched."""
        return len(self._ready)

    def drop_ready(self) -> None:
        """The responses that are watched will be given no more."""
        self._count_ready()
        self._ready.clear()

    def _count_ready(self) -> None:
        for ready in self._ready:
            if ready.times:
                self.add(ready.kind, ready.times)
                ready.times = 0

    def settle(self) -> None:
        """Work out what new questions were, and those that were forwarded."""
        # Cleared in place: an answering loop may have them at hand.
        for (tail, size), times in self.asked.items():
            qtype, do, beside = _read_tail(tail)
            self._question(qtype, size + beside, times, do=do)
        self.asked.clear()
        for (rcode, size), times in self.replied.items():
            self._rcodes[RCODES.get(rcode, OTHER)] += times
            self._given_sizes.observe(size, times)
        self.replied.clear()
        fresh, self.fresh = self.fresh, defaultdict(int)
        for (header, tail, size, body), times in fresh.items():
            qtype, do, beside = _read_tail(tail)
            # With EDNS the key ends in a part of an OPT record, and the reply in one that is as long as a whole one without options.
            asked = size + beside
            self.add(Kind(qtype, do, header[1] & 15, asked, asked + body), times)

    def settle_if_many(self) -> None:
        """The same if they are many: what is not known before is bounded."""
        if len(self.fresh) + len(self.asked) + len(self.replied) >= _MOST_FRESH:
            self.settle()

    def numbers(self) -> Iterator[tuple[str, float]]:
        """All counts, by series."""
        self.settle()
        self._count_ready()
        for qtype, count in self._types.items():
            yield _REQUESTS.series(self._proto, self.family, qtype), count
        yield _DO.series(self._proto), self._do
        yield from self._asked_sizes.numbers()
        yield from self._given_sizes.numbers()

    @property
    def is_used(self) -> bool:
        """Whether anything came over this transport."""
        return bool(self._types or self.fresh or self.asked or self._ready)

    @property
    def rcodes(self) -> dict[str, int]:
        """Replies by RCODE."""
        return dict(self._rcodes)


def responses(traffic: Iterable[Traffic]) -> Iterator[tuple[str, float]]:
    """Replies by RCODE over all transports, by series."""
    found: defaultdict[str, int] = defaultdict(int)
    for each in traffic:
        for rcode, count in each.rcodes.items():
            found[rcode] += count
    return ((_RESPONSES.series(rcode), count) for rcode, count in found.items())
