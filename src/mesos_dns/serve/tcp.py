"""DNS over TCP (RFC 7766): pipelining, replies out of order, and bounds on everything.

All complete queries of a received chunk are answered with one write. A query that has to be
forwarded does not hold back those behind it.
"""

import asyncio
import socket
import struct
from collections import Counter
from typing import Any, Final, cast

from mesos_dns.dns import message as msg
from mesos_dns.limits import (
    MAX_TCP_CONNECTIONS,
    MAX_TCP_PENDING,
    MAX_TCP_PER_CLIENT,
    OCTETS_PER_TURN,
    QUERIES_PER_TURN,
    TCP_IDLE_SECONDS,
)
from mesos_dns.serve.request import CLOSE, Forward
from mesos_dns.serve.responder import ForwardTo, Responder

_LENGTH: Final = struct.Struct("!H")


class TcpListener:
    """One listening TCP socket and its connections, all bounded."""

    def __init__(
        self, sock: socket.socket, responder: Responder, forward: ForwardTo, *, idle: float = TCP_IDLE_SECONDS
    ) -> None:
        self.responder = responder
        self.forward = forward
        self.idle = idle
        self._socket = sock
        self._server: asyncio.Server | None = None
        self._connections: set[_Connection] = set()
        self._per_client: Counter[str] = Counter()

    def __repr__(self) -> str:
        return f"TcpListener({self._socket.getsockname()!r}, connections={len(self._connections)})"

    async def start(self) -> None:
        """Accept connections from now on."""
        self._server = await asyncio.get_running_loop().create_server(lambda: _Connection(self), sock=self._socket)

    async def stop(self) -> None:
        """Accept no more, answer what has arrived, close."""
        if self._server is not None:
            self._server.close()
        for connection in list(self._connections):
            connection.finish()

    def admit(self, connection: "_Connection", client: str) -> bool:
        """Whether one more connection of this client is within the bounds; if so it counts."""
        if len(self._connections) >= MAX_TCP_CONNECTIONS or self._per_client[client] >= MAX_TCP_PER_CLIENT:
            self.responder.count("tcp_refused")
            return False
        self._connections.add(connection)
        self._per_client[client] += 1
        self.responder.count("tcp_connections")
        return True

    def release(self, connection: "_Connection", client: str) -> None:
        """Forget a connection that `admit` let in."""
        self._connections.discard(connection)
        self._per_client[client] -= 1
        if not self._per_client[client]:
            del self._per_client[client]


class _Connection(asyncio.Protocol):
    """One client. `_pending` counts queries whose forwarded answer is still to come."""

    def __init__(self, listener: TcpListener) -> None:
        self._listener = listener
        self._responder = listener.responder
        self._client = ""
        self._admitted = False
        self._buffer = bytearray()
        self._pending = 0
        self._unread = False  # The client does not read its replies.
        self._turning = False  # A turn is running or scheduled.
        self._finishing = False
        self._timer: asyncio.TimerHandle | None = None

    # --- callbacks of asyncio ------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        peer: Any = transport.get_extra_info("peername")
        self._client = peer[0] if peer else ""
        self._admitted = self._listener.admit(self, self._client)
        if not self._admitted:
            self._transport.abort()
            return
        self._transport.set_write_buffer_limits(high=128 * 1024)
        self._restart_timer()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - why does not matter
        if self._timer is not None:
            self._timer.cancel()
        if self._admitted:
            self._listener.release(self, self._client)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._turning and not self._blocked:
            self._turn()

    def eof_received(self) -> bool:
        """The client has asked all it wanted; it still gets its answers."""
        self.finish()
        return True

    def pause_writing(self) -> None:
        self._unread = True
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._unread = False
        self._unblock()

    # --- answering -----------------------------------------------------------------------------

    def finish(self) -> None:
        """Close as soon as nothing is left to answer."""
        self._finishing = True
        self._close_if_done()

    @property
    def _blocked(self) -> bool:
        """Whether no more is read and answered for now."""
        return self._unread or self._pending >= MAX_TCP_PENDING

    def _turn(self) -> None:
        """Answer some of the complete queries in the buffer, with one write; the rest in the next turn."""
        self._turning = True
        out = []
        at = 0
        buffer = self._buffer
        answered = 0
        room = OCTETS_PER_TURN
        while answered < QUERIES_PER_TURN and room > 0 and not self._blocked and len(buffer) - at >= 2:
            end = at + 2 + (buffer[at] << 8 | buffer[at + 1])
            if len(buffer) < end:
                break
            reply = self._responder.respond_tcp(bytes(buffer[at + 2 : end]))
            at = end
            answered += 1
            if isinstance(reply, bytes):
                out.append(_LENGTH.pack(len(reply)) + reply)
                room -= len(reply)
            elif reply is CLOSE:
                self._finishing = True
                break
            elif reply is not None:
                self._forward(reply)
        if at:
            del buffer[:at]
            self._restart_timer()
        if out and not self._transport.is_closing():
            self._transport.write(b"".join(out))
        self._responder.reclaim(answered)
        self._turning = (answered == QUERIES_PER_TURN or room <= 0) and not self._blocked
        if self._turning:
            # Reading stops meanwhile, or a fast sender could fill the memory.
            self._transport.pause_reading()
            asyncio.get_running_loop().call_soon(self._next_turn)
        self._close_if_done()

    def _next_turn(self) -> None:
        self._turning = False
        if not self._transport.is_closing() and not self._blocked:
            self._transport.resume_reading()
            self._turn()

    def _forward(self, forward: Forward) -> None:
        self._pending += 1
        if self._blocked:
            self._transport.pause_reading()
        self._listener.forward(forward, msg.TCP_SIZE, self._forwarded)

    def _forwarded(self, reply: bytes) -> None:
        was_blocked = self._blocked
        self._pending -= 1
        if not self._transport.is_closing():
            self._transport.write(_LENGTH.pack(len(reply)) + reply)
            self._restart_timer()
        if was_blocked:
            self._unblock()
        self._close_if_done()

    def _unblock(self) -> None:
        if not self._blocked and not self._transport.is_closing():
            self._transport.resume_reading()
            if not self._turning:
                self._turning = True
                asyncio.get_running_loop().call_soon(self._next_turn)

    def _close_if_done(self) -> None:
        if self._finishing and not self._pending and not self._turning and not self._blocked:
            self._transport.close()

    # --- time ----------------------------------------------------------------------------------

    def _restart_timer(self) -> None:
        # A timer per connection, moved only when it fires: queries must not pay for it.
        self._deadline = asyncio.get_running_loop().time() + self._listener.idle
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_at(self._deadline, self._on_timer)

    def _on_timer(self) -> None:
        loop = asyncio.get_running_loop()
        if loop.time() < self._deadline or self._pending:
            self._timer = loop.call_at(max(self._deadline, loop.time() + 0.1), self._on_timer)
            return
        # Idle, half a query for too long, or replies that nobody reads.
        self._timer = None
        self._transport.abort()
