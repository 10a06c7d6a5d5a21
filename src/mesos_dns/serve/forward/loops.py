"""Forwarding loops: does an upstream ask us what we ask it? Pure; time and randomness come in.

An upstream that is this server itself is refused with the configuration. What no configuration shows is a way round: A forwards to B, and B, another
Mesos-DNS or a resolver, back to A. A message carries nothing to tell such a question by: B gives it another ID and takes out our
options (RFC 6891 section 6.2.1), and who asks the same as we just did, from an upstream's address, may be any program on that machine. So, as dnsmasq
and CoreDNS do, each upstream is sent a probe: a question for a name that nobody else can make, since it holds a keyed hash. It reaches
one of our own sockets only by a loop.

All workers know the key, so it does not matter which of them the probe comes back to. That worker knows then which upstream leads back, and its
answer, which only it can make, tells the worker that sent the probe, if it comes through (a validating resolver would not let it pass).

A probe is sent with the first question for an upstream; and later, at most once a minute, when it is silent or says SERVFAIL, as one in
a loop does. An upstream that leads back is not asked for a minute, then it is, with another probe.
"""

import hashlib
import hmac
import struct
from collections.abc import Mapping, Sequence
from typing import Final

from mesos_dns.dns import message as msg
from mesos_dns.dns import rdata as rd
from mesos_dns.dns.message import Query
from mesos_dns.limits import MAX_NAME
from mesos_dns.serve.forward.options import Upstream
from mesos_dns.serve.request import Forward

#: A zone (lower-case wire form) and one of its upstreams.
Route = tuple[bytes, Upstream]

#: Seconds between two probes of one upstream, and for which one that leads back is not asked.
PROBE_SECONDS: Final = 60.0
#: Octets of randomness in a probe.
NONCE_SIZE: Final = 6

#: The label of a probe begins so, for whoever finds it in a log; then in hexadecimal digits number of the route, nonce and hash.
_PREFIX: Final = b"mesos-dns-loop-"
_HASH_SIZE: Final = 8
#: Octets of the label of a probe.
PROBE_LABEL_SIZE: Final = len(_PREFIX) + 2 * (2 + NONCE_SIZE + _HASH_SIZE)
_HEADER: Final = struct.Struct("!HHHHHH")
_RR: Final = struct.Struct("!HHHIH")


class LoopWatch:
    """Which upstreams lead back to this server. `key` is the same in all its workers, and known to nobody else."""

    def __init__(self, key: bytes, routes: Sequence[Route]) -> None:
        self._routes = tuple(routes)
        # Who knows other routes has other numbers for them, as two workers have for a moment when they change: it takes no
        # probe of the other for its own.
        said = "\n".join(f"{zone.hex()} {' '.join(map(str, server))}" for zone, server in self._routes)
        self._key = hmac.digest(key, said.encode(), hashlib.sha256)
        self._numbers = {route: n for n, route in enumerate(self._routes)}
        #: When each was probed last.
        self._probed: dict[Route, float] = {}
        #: Until when each that leads back is not asked.
        self._looping: dict[Route, float] = {}

    def __repr__(self) -> str:
        return f"LoopWatch(routes={len(self._routes)}, looping={len(self._looping)})"

    @property
    def knows_loops(self) -> bool:
        """Whether any route leads back, or did."""
        return bool(self._looping)

    def leads_back(self, route: Route, now: float) -> bool:
        """Whether `route` is not to be asked at `now` (seconds)."""
        return bool(self._looping) and now < self._looping.get(route, now)

    def is_due(self, route: Route, now: float, *, failed: bool) -> bool:
        """Whether to probe `route` at `now`. `failed` says that it was silent, or said SERVFAIL."""
        last = self._probed.get(route)
        if last is None:
            return route in self._numbers and 1 + PROBE_LABEL_SIZE + len(route[0]) <= MAX_NAME
        return now - last >= PROBE_SECONDS and (failed or route in self._looping) and not self.leads_back(route, now)

    def probe(self, route: Route, now: float, identifier: int, nonce: bytes) -> bytes:
        """The message to send to `route`, for which it is due. `nonce` has NONCE_SIZE random octets."""
        self._probed[route] = now
        self._looping.pop(route, None)
        label = self._label(self._numbers[route].to_bytes(2) + nonce)
        header = _HEADER.pack(identifier, msg.RD, 1, 0, 0, 0)
        return header + bytes((PROBE_LABEL_SIZE,)) + label + route[0] + struct.pack("!HH", rd.TXT, rd.CLASS_IN)

    def returned(self, query: Query, now: float) -> Route | None:
        """The route whose probe `query` is, that leads back from now on; None if it is none."""
        name = query.name
        if not name.startswith(_PREFIX, 1) or name[0] != PROBE_LABEL_SIZE:
            return None
        label = name[1 : 1 + PROBE_LABEL_SIZE]
        try:
            said = bytes.fromhex(label[len(_PREFIX) :].decode("ascii"))[: 2 + NONCE_SIZE]
        except ValueError:
            return None
        number = int.from_bytes(said[:2])
        if not hmac.compare_digest(label, self._label(said)) or number >= len(self._routes):
            return None
        route = self._routes[number]
        if name[1 + PROBE_LABEL_SIZE :] != route[0]:
            return None
        self._looping[route] = now + PROBE_SECONDS
        return route

    def answer(self, forward: Forward) -> bytes:
        """The reply to a probe that came back: a TXT record with a text that only we can make."""
        query = forward.query
        text = self._text(query.name)
        opt = b"" if query.edns is None else msg.opt(do=query.edns.do, options=forward.options)
        header = struct.pack("!HHHHH", msg.QR | msg.AA | query.flags & msg.COPIED, 1, 1, 0, 1 if opt else 0)
        record = _RR.pack(0xC00C, rd.TXT, rd.CLASS_IN, 0, len(text)) + text
        return query.octets[:2] + header + query.octets[12 : query.question_end] + record + opt

    def learn(self, route: Route, probe: bytes, reply: bytes, now: float) -> bool:
        """Whether `reply` says that `probe`, which was sent to `route`, came back; then `route` leads back from now on."""
        if self._text(probe[12:-4].lower()) not in reply[len(probe) :]:
            return False
        self._looping[route] = now + PROBE_SECONDS
        return True

    def _label(self, said: bytes) -> bytes:
        return _PREFIX + (said + self._hash(b"probe" + said)).hex().encode()

    def _text(self, name: bytes) -> bytes:
        """The rdata of the answer to a probe (RFC 1035 section 3.3.14)."""
        text = self._hash(b"answer" + name).hex().encode()
        return bytes((len(text),)) + text

    def _hash(self, said: bytes) -> bytes:
        return hmac.digest(self._key, said, hashlib.sha256)[:_HASH_SIZE]


def routes_of(upstreams: Mapping[bytes, Sequence[Upstream]]) -> list[Route]:
    """Every pair of a zone and one of its upstreams, in an order that depends on nothing else."""
    return [(zone, server) for zone in sorted(upstreams) for server in upstreams[zone]]
