"""One UDP socket, what its listeners have in common, however they answer. Edge: asyncio and sockets."""

import asyncio
import logging
import socket
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any, Final

from mesos_dns.dns import message as msg
from mesos_dns.logs import RateLimited
from mesos_dns.metrics import counter
from mesos_dns.serve.addresses import Ancillary, PackedAddresses
from mesos_dns.serve.ancillary import ask_for_source, is_wildcard, with_any_interface
from mesos_dns.serve.limiting import ResponseLimit
from mesos_dns.serve.loop import DirectReader, add_reader, remove_reader
from mesos_dns.serve.recorder import Recorder
from mesos_dns.serve.request import Forward, Request, Transport
from mesos_dns.serve.responder import ForwardTo, Responder

log = logging.getLogger(__name__)

SEND_FAILED: Final = counter("udp_send_failed", "Replies over UDP that the kernel did not take.")

#: Datagrams that one UDP socket may have answered before TCP, forwarding and zone changes get their
#: turn: about 2 ms.
MAX_DATAGRAMS_PER_WAKE: Final = 256
#: Turns of a listener that stops: more than the kernel keeps datagrams for, and an end although more keep coming.
_LAST_TURNS: Final = 100


class UdpListener(ABC):
    """One bound UDP socket and what answers it. `start` and `stop` say when."""

    def __init__(
        self, sock: socket.socket, responder: Responder, forward: ForwardTo, limit: ResponseLimit | None = None
    ) -> None:
        self._socket = sock
        self._fd = sock.fileno()
        self._responder = responder
        self._forward = forward
        self._limit = limit
        self._packed = PackedAddresses(sock.family)
        self._client = self._packed.client
        self._warn = RateLimited(log)
        self._forwarded = False
        #: Puts down what is answered; None without a query log.
        self._recorder: Recorder | None = None
        self._listens = False
        self._wildcard = is_wildcard(sock)
        sock.setblocking(False)
        if self._wildcard:
            ask_for_source(sock)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._socket.getsockname()!r})"

    async def start(self) -> None:
        """Answer from now on, in the running event loop."""
        self._listens = True
        add_reader(self._fd, self.reader())

    async def stop(self) -> None:
        """Answer what has already arrived, and no more."""
        self._listens = False
        remove_reader(self._fd)
        for _ in range(_LAST_TURNS):
            if not self._take_turn():
                break
            await asyncio.sleep(0)

    def record(self, recorder: Recorder | None) -> None:
        """Put down what is answered from now on, or no more."""
        self._recorder = recorder
        if self._listens:
            remove_reader(self._fd)
            add_reader(self._fd, self.reader())

    def reader(self) -> DirectReader:
        """What answers what has arrived, but not more than others can wait for. Forwarding is scheduled."""
        return self._read

    def _read(self, _: float = 0.0, /) -> bool:
        self._forwarded = False
        self._take_turn()
        return not self._forwarded

    def _take_turn(self) -> int:
        answered = 0
        try:
            for count in self._answer_some():
                answered += count
                if answered >= MAX_DATAGRAMS_PER_WAKE:
                    break
        except OSError as error:
            self._cannot_receive(error)
        self._responder.reclaim(answered)
        return answered

    def _cannot_receive(self, error: OSError) -> None:
        self._warn.warning(
            "receive", "cannot receive from %s port %d: %s", *self._socket.getsockname()[:2], error.strerror or error
        )

    @abstractmethod
    def _answer_some(self) -> Iterator[int]:
        """Answer some datagrams, and say how many; then the next, until none waits. OSError if none can be received."""

    def _submit(self, forward: Forward, send: Callable[[bytes], None]) -> bytes | None:
        self._forwarded = True
        if self._limit is not None:
            send = self._limit.sender(forward, send)
        return self._forward(forward, msg.udp_limit(forward.query.edns), send)

    def _later(self, forward: Forward, address: tuple[Any, ...], ancillary: Ancillary) -> Callable[[bytes], None]:
        """What sends the reply to a forwarded query when it comes."""

        def send(late: bytes) -> None:
            self._send_late(late, address, ancillary)

        return send if self._recorder is None else self._recorder.late(Transport.UDP, address[1], forward, send)

    def _send_answer(self, request: Request, reply: bytes, address: tuple[Any, ...], ancillary: Ancillary) -> None:
        """Send the reply to a single datagram."""
        began = time.time()
        self._send(reply, address, ancillary)
        if self._recorder is not None:
            self._forwarded = True  # What is put down is handed on by a timer.
            self._recorder.put(Transport.UDP, request.client, address[1], request.octets, reply, began)

    def _send_late(self, reply: bytes, address: tuple[object, ...], ancillary: Ancillary) -> None:
        """Send the reply to a forwarded query."""
        self._responder.forwarded(reply, Transport.UDP)
        self._send(reply, address, ancillary)

    def _send(self, reply: bytes, address: tuple[object, ...], ancillary: Ancillary) -> None:
        try:
            if ancillary:
                self._socket.sendmsg([reply], with_any_interface(ancillary), 0, address)
            else:
                self._socket.sendto(reply, address)
        except OSError:
            self._responder.count(SEND_FAILED)
