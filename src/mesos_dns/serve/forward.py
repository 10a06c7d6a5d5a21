"""Names that are not ours: ask the upstreams, in order, and pass their answer on."""

import asyncio
import contextlib
import logging
import os
import secrets
import socket
import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from mesos_dns.concurrency import spawn
from mesos_dns.dns import message as msg
from mesos_dns.dns import name as names
from mesos_dns.dns.message import Query
from mesos_dns.limits import MAX_FORWARDS
from mesos_dns.logs import RateLimited
from mesos_dns.metrics import Counts, counter
from mesos_dns.serve import rewrite
from mesos_dns.serve.request import Forward
from mesos_dns.serve.rewrite import BadReplyError

log = logging.getLogger(__name__)

_FORWARDED: Final = counter("forwarded", "Questions that an upstream answered.")
_REFUSED: Final = counter("forward_refused", "Questions for which there is no upstream.")
_FAILED: Final = counter("forward_failed", "Questions that no upstream answered.")
_SHED: Final = counter("forward_shed", "Questions answered with SERVFAIL at once: too many were under way.")

_LENGTH: Final = struct.Struct("!H")

#: Host (an address) and port.
Upstream = tuple[str, int]


class Forwarder:
    """Asks upstreams over UDP, over TCP when the answer is truncated.

    `upstreams` maps zones (lower-case wire form, the root for all the rest) to servers in order of
    preference; `timeout` is seconds for each attempt. Any RCODE is an answer and ends the search; the next
    server is asked only if one is silent or unreachable.
    """

    def __init__(
        self,
        upstreams: Mapping[bytes, Sequence[Upstream]],
        timeout: float,
        *,
        truncate_bit: bool,
        refuse: Callable[[Query, int, int], bytes],
    ) -> None:
        self._upstreams = upstreams
        self._timeout = timeout
        self._truncate_bit = truncate_bit
        self._refuse = refuse
        self._pending = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._warn = RateLimited(log)
        #: Upstreams that failed when they were asked last.
        self._failing: set[Upstream] = set()
        self.counters = Counts()

    def __repr__(self) -> str:
        return f"Forwarder(zones={len(self._upstreams)}, pending={self._pending})"

    @property
    def pending(self) -> int:
        """How many questions are under way."""
        return self._pending

    def submit(self, forward: Forward, limit: int, send: Callable[[bytes], None]) -> None:
        """Answer `forward` with at most `limit` octets by calling `send`, now or later, exactly once."""
        query = forward.query
        servers = self.servers_for(query.name)
        if not servers:
            self.counters.add(_REFUSED)
            send(self._refuse(query, msg.REFUSED, msg.EDE_PROHIBITED))
        elif self._pending >= MAX_FORWARDS:
            # Names of the zone must stay answerable when the upstreams hang.
            self.counters.add(_SHED)
            send(self._refuse(query, msg.SERVFAIL, msg.EDE_NO_REACHABLE_AUTHORITY))
        else:
            self._pending += 1
            self._idle.clear()
            spawn(self._answer(forward, servers, limit, send), name="forward")

    def servers_for(self, name: bytes) -> Sequence[Upstream]:
        """The upstreams of the closest zone above `name`; none of the default ones if that has none."""
        while name not in self._upstreams:
            if name == names.ROOT:
                return ()
            name = names.parent(name)
        return self._upstreams[name]

    async def drained(self) -> None:
        """Wait until no query is pending."""
        await self._idle.wait()

    async def _answer(
        self, forward: Forward, servers: Sequence[Upstream], limit: int, send: Callable[[bytes], None]
    ) -> None:
        try:
            reply = await self._ask(forward, servers, limit)
            if reply is None:
                self.counters.add(_FAILED)
                reply = self._refuse(forward.query, msg.SERVFAIL, msg.EDE_NO_REACHABLE_AUTHORITY)
            else:
                self.counters.add(_FORWARDED)
            send(reply)
        finally:
            self._pending -= 1
            if not self._pending:
                self._idle.set()

    async def _ask(self, forward: Forward, servers: Sequence[Upstream], limit: int) -> bytes | None:
        for server in servers:
            try:
                reply = await self._ask_one(forward, server, limit)
            except TimeoutError:
                reason = f"no answer within {self._timeout:g} s"
            except (OSError, BadReplyError) as error:
                reason = _words(error)
            else:
                if server in self._failing:
                    self._failing.discard(server)
                    self._warn.over(f"{server}", "upstream %s port %d answers again", *server)
                return reply
            self._failing.add(server)
            self._warn.warning(
                f"{server}", "upstream %s port %d failed: %s; the next one is asked, if there is one", *server, reason
            )
        return None

    async def _ask_one(self, forward: Forward, server: Upstream, limit: int) -> bytes:
        """The reply for the client. Raises TimeoutError, OSError or BadReplyError."""
        query = forward.query
        sent = rewrite.question(query, secrets.randbits(16))
        length = query.question_end - 12
        reply = await _exchange_udp(server, sent, length, within=self._timeout)
        if rewrite.is_truncated(reply):
            try:
                complete = await _exchange_tcp(server, sent, length, within=self._timeout)
                return rewrite.for_client(complete, forward, limit, truncate_bit=self._truncate_bit)
            except TimeoutError:
                reason = f"no answer within {self._timeout:g} s"
            except (OSError, BadReplyError) as error:
                reason = _words(error)
            # The truncated answer is one: it says itself that there is more.
            self._warn.warning(f"tcp {server}", "upstream %s port %d does not answer over TCP: %s", *server, reason)
        return rewrite.for_client(reply, forward, limit, truncate_bit=self._truncate_bit)


def _words(error: Exception) -> str:
    """The system's words, without number and Python's brackets."""
    return getattr(error, "strerror", None) or str(error)


async def _exchange_udp(server: Upstream, sent: bytes, question_length: int, *, within: float) -> bytes:
    """One question from a fresh socket, hence a fresh source port.

    The socket is connected: the kernel drops what other addresses send. Datagrams that do not answer
    the question are passed over. Raises TimeoutError or OSError.
    """
    deadline = asyncio.get_running_loop().time() + within
    with _socket(server, socket.SOCK_DGRAM) as sock:
        sock.connect(server)
        sock.send(sent)
        while True:
            await _ready(sock, deadline)
            with contextlib.suppress(BlockingIOError):
                # Not until nothing is left: a flood of forged replies would never let go of the loop.
                for _ in range(16):
                    reply = sock.recv(msg.TCP_SIZE)
                    if rewrite.answers(reply, sent, question_length):
                        return reply


async def _exchange_tcp(server: Upstream, sent: bytes, question_length: int, *, within: float) -> bytes:
    """The same question over a connection of its own. Raises TimeoutError, OSError or BadReplyError."""
    deadline = asyncio.get_running_loop().time() + within
    with _socket(server, socket.SOCK_STREAM) as sock:
        with contextlib.suppress(BlockingIOError):
            sock.connect(server)
        await _ready(sock, deadline, to_write=True)
        if number := sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            raise OSError(number, os.strerror(number))
        sock.sendall(_LENGTH.pack(len(sent)) + sent)  # Fits into the buffer of a new connection.
        received = bytearray()
        while len(received) < 2 or len(received) < 2 + _LENGTH.unpack_from(received)[0]:
            await _ready(sock, deadline)
            piece = sock.recv(2 + msg.TCP_SIZE)
            if not piece:
                raise BadReplyError("it closed the connection before its answer was complete")
            received += piece
    reply = bytes(received[2 : 2 + _LENGTH.unpack_from(received)[0]])
    if not rewrite.answers(reply, sent, question_length):
        raise BadReplyError("over TCP it answers another question")
    return reply


def _socket(server: Upstream, kind: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in server[0] else socket.AF_INET
    return socket.socket(family, kind | socket.SOCK_NONBLOCK)


async def _ready(sock: socket.socket, deadline: float, *, to_write: bool = False) -> None:
    """Wait until something can be read from `sock` (or written). Raises TimeoutError at `deadline`, in the loop's time.

    No exception is set on a future, as asyncio's own ways do: its traceback would lead to the frame that holds the
    future, and that circle would stay until the garbage collector looks at everything.
    """
    loop = asyncio.get_running_loop()
    if loop.time() >= deadline:
        # Checked here, too: a socket that is always readable would always come before the timer.
        raise TimeoutError
    ready: asyncio.Future[bool] = loop.create_future()
    watch, unwatch = (loop.add_writer, loop.remove_writer) if to_write else (loop.add_reader, loop.remove_reader)
    watch(sock.fileno(), _settle, ready, True)
    timer = loop.call_at(deadline, _settle, ready, False)
    try:
        in_time = await ready
    finally:
        timer.cancel()
        unwatch(sock.fileno())
    if not in_time:
        raise TimeoutError


def _settle(future: asyncio.Future[bool], outcome: bool) -> None:
    if not future.done():
        future.set_result(outcome)
