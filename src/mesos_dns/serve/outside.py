"""Answers about outside names, as far as a batched listener keeps or sends them itself. Edge: a socket."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

from mesos_dns.dns.message import HEADER_SIZE
from mesos_dns.serve.batch import QUESTION_ROOM
from mesos_dns.serve.cache import ResponseCache
from mesos_dns.serve.outbox import Outbox
from mesos_dns.serve.render import Response
from mesos_dns.serve.traffic import Traffic

#: Seconds for which an answer of an upstream is given without another look: its times to live are right to the second.
OUTSIDE_SECONDS: Final = 1.0
#: Answers of upstreams that are remembered for as long as having been given, to be kept the next time.
_MOST_KNOWN: Final = 16_384

#: Where a reply goes: in the form of `Batch.peer`, or of Python's sockets, an address and ancillary data.
Peer = bytes | tuple[tuple[object, ...], list[tuple[int, int, bytes]]]


class FastForward(Protocol):
    """The short way of questions that are not ours and like those before.

    `routes` has, by parent, what to hand to `take` for the names below it (lower-case wire form).
    """

    @property
    def routes(self) -> Mapping[bytes, Any]:
        """The same dictionary each time."""

    def take(self, route: Any, key: bytes, octets: bytes, client: bytes, listener: Any, peer: Any) -> bool:
        """Have the question in `octets`, whose key is `key`, answered with the next `send` or later, through `listener`; or False."""

    def send(self) -> bool:
        """Forward what was taken. Whether that scheduled something on the loop."""


class NoFastForward:
    """The same without any."""

    def __init__(self) -> None:
        self.routes: Mapping[bytes, Any] = {}

    def take(self, *_: object) -> bool:
        """Nothing is taken."""
        return False

    def send(self) -> bool:
        """Nothing is sent."""
        return False


class Outside:
    """Sends late replies of one socket, many at once, and keeps answers in the listener's `cache` for a moment.

    `send` sends a single reply; `failed` is told how many could not be sent; `traffic` learns what was replied.
    """

    def __init__(
        self,
        fd: int,
        outbox: Outbox,
        cache: ResponseCache[bytes],
        send: Callable[[bytes, tuple[object, ...], list[tuple[int, int, bytes]]], None],
        failed: Callable[[int], None],
        traffic: Traffic,
    ) -> None:
        self._fd = fd
        self._outbox = outbox
        self._cache = cache
        self._send = send
        self._failed = failed
        self._traffic = traffic
        #: What waits for `flush`.
        self._peers: list[bytes] = []
        self._replies: list[bytes] = []
        #: Keys of answers that were given since the last time that such were forgotten.
        self._known: set[bytes] = set()
        self._forgetting: asyncio.TimerHandle | None = None
        #: Set when something is scheduled on the loop.
        self.scheduled = False

    def __repr__(self) -> str:
        return f"Outside(known={len(self._known)}, to_send={len(self._replies)})"

    def stop(self) -> None:
        """Schedule nothing more."""
        if self._forgetting is not None:
            self._forgetting.cancel()

    def reply(self, peer: Peer, message: bytes) -> None:
        """Send `message`, with the next `flush` at the latest."""
        self._traffic.replied[message[3] & 15, len(message)] += 1
        if isinstance(peer, bytes):
            self._peers.append(peer)
            self._replies.append(message)
            if len(self._replies) >= self._outbox.size:
                self.flush()
        else:
            self._send(message, *peer)

    def flush(self) -> None:
        """Send what waits to be sent."""
        peers, replies = self._peers, self._replies
        if replies:
            self._peers, self._replies = [], []
            failed = self._outbox.send(self._fd, peers, replies)
            if failed:
                self._failed(failed)

    def known(self, key: bytes, message: bytes, question_end: int, opt: bytes) -> None:
        """What was replied to a query with this key may be replied to all such for a second; it ends in our OPT record `opt`.

        It is kept from the second time on: what is asked for once a second is not worth it.
        """
        if question_end > QUESTION_ROOM:
            return
        if key in self._known:
            body = message[question_end : len(message) - len(opt)]
            self.keep(key, Response(message[2:HEADER_SIZE], body, opt, question_end, True))
        elif len(self._known) < _MOST_KNOWN:
            self._known.add(key)
            self._forget_soon()

    def keep(self, key: bytes, response: Response) -> None:
        """Keep `response` for a second. Not between a look-up and the sending of what was found."""
        self._cache.cache_outside(key, response)
        self._forget_soon()

    def _forget_soon(self) -> None:
        if self._forgetting is None:
            self.scheduled = True
            self._forgetting = asyncio.get_running_loop().call_later(OUTSIDE_SECONDS, self._forget)

    def _forget(self) -> None:
        self._forgetting = None
        self._known.clear()
        self._cache.forget_outside()
