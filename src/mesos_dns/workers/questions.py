"""Questions that come to control over HTTPS: control asks a worker, which answers them like any others (see `answering`).

So names, policies, caches and upstreams are those of DNS over any other way. Edge: asyncio, over a socket of its own, since the
connection for zones may be full of them.
"""

import asyncio
import logging
from typing import Final

from mesos_dns.concurrency import let_go
from mesos_dns.workers.protocol import Ask, Frame, FrameReader, ProtocolError, Told, encode

log = logging.getLogger(__name__)

#: Questions that one worker has not answered yet: more than HTTP connections ask at once, so that only a fault reaches it.
MAX_QUESTIONS: Final = 2000


class NoAnswerError(Exception):
    """The worker cannot be asked, or has ended before it answered."""


class Asking(asyncio.Protocol):
    """Control's side: asks one worker."""

    def __init__(self) -> None:
        self._reader = FrameReader()
        self._transport: asyncio.Transport | None = None
        self._waiting: dict[int, asyncio.Future[bytes]] = {}
        self._number = 0

    def __repr__(self) -> str:
        return f"Asking({'open' if self.is_open else 'closed'}, waiting={len(self._waiting)})"

    @property
    def is_open(self) -> bool:
        """Whether the worker can be asked."""
        return self._transport is not None and not self._transport.is_closing()

    async def ask(self, octets: bytes, client: bytes) -> bytes:
        """The reply to any message of `client`, its packed address; empty if it deserves none. Raises NoAnswerError."""
        if self._transport is None or not self.is_open or len(self._waiting) >= MAX_QUESTIONS:
            raise NoAnswerError
        self._number += 1
        number = self._number
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        try:
            self._transport.write(encode(Ask(number, client, octets)))
            return await future
        finally:
            self._waiting.pop(number, None)

    def close(self) -> None:
        """Ask no more; who still waits gets no answer."""
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Part of asyncio.Protocol."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Part of asyncio.Protocol."""
        self._reader.feed(data)
        try:
            for frame in self._reader:
                self._take(frame)
        except ProtocolError as error:
            log.error("a worker is asked no more questions that come over HTTPS: %s", error)  # noqa: TRY400 - the peer's mistake
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - why does not matter
        """Part of asyncio.Protocol."""
        transport, self._transport = self._transport, None
        if transport is not None:
            let_go(transport)
        waiting, self._waiting = self._waiting, {}
        for future in waiting.values():
            if not future.done():
                future.set_exception(NoAnswerError())

    def _take(self, frame: Frame) -> None:
        if not isinstance(frame, Told):
            raise ProtocolError(f"a frame that answers no question: {type(frame).__name__}")
        future = self._waiting.pop(frame.number, None)
        if future is not None and not future.done():
            future.set_result(frame.octets)
