"""The worker's side of questions that come to control over HTTPS: answered like any others, in short turns. Edge: asyncio."""

import asyncio
import logging
from functools import partial
from time import monotonic, time
from typing import Final

from mesos_dns.concurrency import let_go
from mesos_dns.dns import message as msg
from mesos_dns.dns.padding import pad
from mesos_dns.metrics import counter
from mesos_dns.serve.recorder import Recorder, Send
from mesos_dns.serve.request import Forward, Request, Transport
from mesos_dns.serve.responder import ForwardTo, Responder
from mesos_dns.workers.protocol import Ask, FrameReader, ProtocolError, Told, encode

log = logging.getLogger(__name__)

_QUERIES: Final = counter("https_queries", "Queries that came over HTTPS.")

#: Seconds of work on such questions before others get their turn.
TURN_SECONDS: Final = 0.001


class Answering(asyncio.Protocol):
    """The worker's side: answers what control asks, in short turns."""

    def __init__(self, responder: Responder, forward: ForwardTo) -> None:
        self._responder = responder
        self._forward = forward
        self._reader = FrameReader()
        self._transport: asyncio.Transport | None = None
        self._scheduled = False
        self._recorder: Recorder | None = None

    def record(self, recorder: Recorder | None) -> None:
        """Put down what is answered from now on, or no more."""
        self._recorder = recorder

    def __repr__(self) -> str:
        return f"Answering({self._reader!r})"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Part of asyncio.Protocol."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Part of asyncio.Protocol."""
        self._reader.feed(data)
        if not self._scheduled:
            self._take_some()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - why does not matter
        """Part of asyncio.Protocol. Control asks no more, or is gone; then the worker ends by its other connection."""
        transport, self._transport = self._transport, None
        if transport is not None:
            let_go(transport)

    def _take_some(self) -> None:
        self._scheduled = False
        until = monotonic() + TURN_SECONDS
        try:
            for frame in self._reader:
                if isinstance(frame, Ask):
                    self._answer(frame)
                if monotonic() >= until:
                    self._scheduled = True
                    asyncio.get_running_loop().call_soon(self._take_some)
                    return
        except ProtocolError as error:
            log.error("questions that come over HTTPS are taken no more: %s", error)  # noqa: TRY400 - the peer's mistake
            if self._transport is not None:
                self._transport.close()

    def _answer(self, asked: Ask) -> None:
        self._responder.count(_QUERIES)
        tell: Send = partial(self._tell, asked.number, asked.octets)
        recorder, began = self._recorder, time()
        reply = self._responder.respond(Request(asked.octets, asked.client, Transport.HTTPS))
        if isinstance(reply, Forward):
            if recorder is not None:
                tell = recorder.late(Transport.HTTPS, 0, reply, tell)
            self._forward(reply, msg.TCP_SIZE, tell)
            return
        tell(reply if isinstance(reply, bytes) else b"")
        if recorder is not None and isinstance(reply, bytes):
            recorder.put(Transport.HTTPS, asked.client, 0, asked.octets, reply, began)

    def _tell(self, number: int, query: bytes, reply: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(encode(Told(number, pad(query, reply) if reply else reply)))
