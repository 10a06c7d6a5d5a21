"""Event streams of one master: RecordIO over chunked HTTP, well-behaved or not.

A record is its length in decimal, a newline, and that many octets. Normally each record is one chunk,
as recorded; `Manners` and the verbs of `Subscriber` make streams slow, silent, cut or garbled.
"""

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from mesos_dns.demo.access import Rights

HEARTBEAT: Final = b'{"type":"HEARTBEAT"}'

#: `--max_operator_event_stream_subscribers`, the default of Mesos.
MAX_SUBSCRIBERS: Final = 1000
#: Records that a slow reader may be behind; Mesos keeps any number (MESOS-7748), a test tool should not.
MAX_BEHIND: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Manners:
    """How octets are written. `piece` = at most so many at a time (random sizes), cut anywhere; None = one record per chunk.

    `pause` = seconds between two pieces.
    """

    piece: int | None = None
    pause: float = 0.0


def record(body: bytes) -> bytes:
    """Return `body` as a RecordIO record."""
    return b"%d\n%b" % (len(body), body)


@dataclass(frozen=True, slots=True)
class _Parcel:
    """Octets to write. `tag` is handed to `on_written`; `then` = what comes after: nothing, "cut" or "end"."""

    data: bytes
    tag: int | None = None
    then: str = ""


class Subscriber:
    """One running SUBSCRIBE. Everything that is sent waits in an outbox until the reader takes it."""

    def __init__(self, rights: Rights, manners: Manners, on_written: Callable[[int, float], None]) -> None:
        self.rights = rights
        self.manners = manners
        self._silenced = False
        self._frozen = False
        self._on_written = on_written
        self._outbox: deque[_Parcel] = deque()
        self._wake = asyncio.Event()
        self._transport: asyncio.Transport | None = None
        self._random = random.Random("manners")

    def __repr__(self) -> str:
        return f"Subscriber(waiting={len(self._outbox)}, talking={self.talking})"

    def send(self, body: bytes, tag: int | None = None) -> None:
        """Send one record. `tag` comes back with the monotonic time at which it is written."""
        self._put(_Parcel(record(body), tag))

    def send_raw(self, data: bytes) -> None:
        """Send octets as they are, inside a chunk: wrong lengths, garbage, half a record."""
        self._put(_Parcel(data))

    def cut(self, data: bytes = b"") -> None:
        """Send `data` unframed, then close the connection inside the chunking."""
        self._last(_Parcel(data, then="cut"))

    def end(self) -> None:
        """End the response properly, with the last chunk."""
        self._last(_Parcel(b"", then="end"))

    def abort(self) -> None:
        """Break the connection at once; what waits is lost."""
        self._outbox.clear()
        self._put(_Parcel(b"", then="cut"))
        if self._transport is not None:
            self._transport.abort()

    @property
    def talking(self) -> bool:
        """While False nothing is written, not even heartbeats; the connection stays open."""
        return not (self._silenced or self._frozen)

    def talk(self, talking: bool = True) -> None:
        """Fall silent without closing, or go on."""
        self._silenced = not talking
        self._wake.set()

    def freeze(self, frozen: bool) -> None:
        """Fall silent because the master is stopped, or go on where that is all."""
        if self._frozen != frozen:
            self._frozen = frozen
            self._wake.set()

    def _last(self, parcel: _Parcel) -> None:
        if not self.talking:
            self._outbox.clear()
        self._put(parcel)

    def _put(self, parcel: _Parcel) -> None:
        if len(self._outbox) < MAX_BEHIND:
            self._outbox.append(parcel)
        self._wake.set()

    async def serve(self, request: web.Request, first: Iterable[bytes], heartbeat: float | None) -> web.StreamResponse:
        """Answer `request` with the pieces of `first`, then with what is sent, until that ends.

        `heartbeat` in seconds, the first one at once; None = there are none.
        """
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        response.enable_chunked_encoding()
        self._transport = request.transport
        await response.prepare(request)
        loop = asyncio.get_running_loop()
        for piece in first:
            await self._write(response, piece)
        beat = loop.time()
        try:
            while True:
                if heartbeat is not None and self.talking and loop.time() >= beat:
                    beat = loop.time() + heartbeat
                    await self._write(response, record(HEARTBEAT))
                await self._wait(None if heartbeat is None else beat - loop.time())
                for parcel in self._take():
                    if parcel.tag is not None:
                        self._on_written(parcel.tag, time.monotonic())
                    if parcel.data:
                        await self._write(response, parcel.data)
                    if parcel.then == "end":
                        return response
                    if parcel.then == "cut":
                        if self._transport is not None:
                            self._transport.close()
                        return response
        finally:
            self._transport = None

    async def _wait(self, seconds: float | None) -> None:
        if self._outbox and (self.talking or self._outbox[0].then):
            return
        self._wake.clear()
        try:
            async with asyncio.timeout(seconds if self.talking else None):
                await self._wake.wait()
        except TimeoutError:
            pass  # time for a heartbeat

    def _take(self) -> Iterator[_Parcel]:
        while self._outbox and (self.talking or self._outbox[0].then):
            yield self._outbox.popleft()

    async def _write(self, response: web.StreamResponse, data: bytes) -> None:
        await write(response, data, self.manners, self._random)


async def write(response: web.StreamResponse, data: bytes, manners: Manners, rng: random.Random) -> None:
    """Write `data` with these manners."""
    if manners.piece is None:
        await response.write(data)
        return
    start = 0
    while start < len(data):
        size = rng.randint(1, manners.piece)
        await response.write(data[start : start + size])
        start += size
        await asyncio.sleep(manners.pause)


class Streams:
    """The subscribers of one master, oldest first."""

    def __init__(self, limit: int | None = MAX_SUBSCRIBERS) -> None:
        self.limit = limit
        self.subscribers: list[Subscriber] = []

    def __repr__(self) -> str:
        return f"Streams({len(self.subscribers)})"

    def add(self, subscriber: Subscriber) -> None:
        """Take another subscriber; one too many closes the oldest connection."""
        self.subscribers.append(subscriber)
        if self.limit is not None and len(self.subscribers) > self.limit:
            self.subscribers.pop(0).end()

    def remove(self, subscriber: Subscriber) -> None:
        """Forget a subscriber, if it is still known."""
        if subscriber in self.subscribers:
            self.subscribers.remove(subscriber)

    def abort(self) -> None:
        """Break every connection, as the death of a master does."""
        for subscriber in self.subscribers:
            subscriber.abort()
        self.subscribers.clear()

    def freeze(self, frozen: bool) -> None:
        """Stop all with their master, or let them go on."""
        for subscriber in self.subscribers:
            subscriber.freeze(frozen)
