"""DNS over TCP (RFC 7766): pipelining, replies out of order, and bounds on everything.

Not with asyncio's transports: to make one costs twice what a question costs. The listener has plain sockets, and a poller of its own
(see `readiness`). A connection is accepted, read and answered in one go, since its question has mostly come by then, and watched only if
it stays open. The turn of all connections together is short; what is left over waits for the next one, after datagrams had theirs.
"""

import asyncio
import contextlib
import errno
import logging
import os
import socket
import struct
from collections import deque
from functools import partial
from time import monotonic
from typing import ClassVar, Final

from mesos_dns.dns import message as msg
from mesos_dns.dns.prefixes import client_of
from mesos_dns.limits import MAX_TCP_CONNECTIONS
from mesos_dns.logs import RateLimited
from mesos_dns.metrics import counter, gauge
from mesos_dns.serve.accepting import PASSING, acceptor
from mesos_dns.serve.connections import Connection, Connections, State
from mesos_dns.serve.readiness import GONE, READ, WRITE, Poller, SelectorPoller, poller
from mesos_dns.serve.recorder import Recorder, Respond, Send, port_of
from mesos_dns.serve.request import CLOSE, Forward, Transport
from mesos_dns.serve.responder import ForwardTo, Responder
from mesos_dns.serve.room import Kind, Room

log = logging.getLogger(__name__)

_CONNECTIONS: Final = counter("tcp_connections", "TCP connections accepted.")
_OPEN: Final = gauge("tcp_open_connections", "TCP connections of clients that are open.", by_worker=True)
_REFUSED: Final = counter("tcp_refused", "TCP connections closed at once: all others were waiting for answers.")
_EVICTED: Final = counter("tcp_evicted", "Idle TCP connections closed for newer ones.")
_OVER_SHARE: Final = counter(
    "tcp_over_share",
    "Connections over TCP and TLS of clients that had as many as one may have: an idle one of their own made room, or none.",
)

#: Connections of one client, over IPv6 a network of 64 bits: resolvers pipeline, and many tasks may share the address of their agent.
MAX_TCP_PER_CLIENT: Final = 200
#: Forwarded queries under way for one connection; then no more is read from it.
MAX_TCP_PENDING: Final = 100
#: Seconds that a connection may stay without a complete query (RFC 7766 section 6.2.3).
TCP_IDLE_SECONDS: Final = 10.0
#: Seconds of work on all connections before other work gets its turn. A datagram that comes meanwhile waits no longer.
TURN_SECONDS: Final = 0.001
#: Queries of one connection answered before the next connection gets its turn: about 0.5 ms.
QUERIES_PER_TURN: Final = 100
#: Octets of replies that end a connection's turn as well: who asks for giants and reads nothing must not have 100 waiting on each connection.
OCTETS_PER_TURN: Final = 64 * 1024
#: Octets received in one go: 100 queries of 40 octets come at once, and no more than can be answered soon.
CHUNK: Final = 8 * 1024
#: Octets handed to the kernel in one go, of those that a slow client did not take yet.
_PORTION: Final = 256 * 1024
#: Connections that the poller tells of in one go, and that are accepted in one go; the time is bounded as well.
_READY_AT_ONCE, _ACCEPTED_AT_ONCE = 64, 32
#: Connections that wait in the kernel to be accepted: those of a second or so.
_BACKLOG: Final = 512
#: Seconds without accepting after descriptors or memory ran out: soon enough for clients, and no busy loop.
ACCEPT_PAUSE: Final = 0.2
#: Seconds that clients get to take replies that wait for them when the listener stops.
_TAKE_SECONDS: Final = 1.0

_LENGTHS: Final = struct.Struct("!H")


class TcpListener:
    """One listening TCP socket and its connections, all bounded.

    `idle` is how many seconds a connection may stay without a query; `others` is how many connections there may be in this process beside these.
    """

    kind: ClassVar = Kind("TCP", _CONNECTIONS, _REFUSED, _EVICTED)
    transport: ClassVar = Transport.TCP

    def __init__(
        self,
        sock: socket.socket,
        responder: Responder,
        forward: ForwardTo,
        *,
        idle: float = TCP_IDLE_SECONDS,
        most: int = MAX_TCP_CONNECTIONS,
        most_per_client: int = MAX_TCP_PER_CLIENT,
        others: int = 0,
    ) -> None:
        self.responder = responder
        self.forward = forward
        self.idle = idle
        sock.setblocking(False)
        self._socket = sock
        self._listening = sock.fileno()
        self._poller: Poller = poller()
        self._connections = Connections(most, most_per_client)
        self._by_fd: dict[int, Connection] = {}
        #: Connections that are ready, or have queries left, in the order in which they are served.
        self._queue: deque[Connection] = deque()
        self._scheduled = False
        #: When the present turn ends, and the time-out that clients are told in it (RFC 7828), in units of 100 ms.
        self._until = 0.0
        self._keepalive = 0
        self._timer: asyncio.TimerHandle | None = None
        self._pause: asyncio.TimerHandle | None = None
        self._stopping = False
        self._settled = asyncio.Event()
        self._warn = RateLimited(log)
        #: Puts down what is answered; None without a query log.
        self._recorder: Recorder | None = None
        self._room = Room(self.kind, self._connections, self._warn, others)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._name()!r}, connections={len(self._connections)})"

    def _name(self) -> object:
        return self._socket.getsockname() if self._socket.fileno() >= 0 else "closed"

    def gauges(self) -> dict[str, float]:
        """What is at present, by series."""
        return {_OPEN.series(): len(self._connections)}

    def record(self, recorder: Recorder | None) -> None:
        """Put down what is answered from now on, or no more."""
        self._recorder = recorder

    async def start(self) -> None:
        """Accept connections from now on, in the running event loop."""
        self._loop = asyncio.get_running_loop()
        self._socket.listen(_BACKLOG)
        # Inherited by what is accepted. Else the second small reply would wait for the client's delayed ACK.
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._accept_one = acceptor(self._socket)
        self._room.fit_into_files()
        self._poller.register(self._listening, READ)
        self._loop.add_reader(self._poller.fileno(), self._on_ready)

    async def stop(self) -> None:
        """Accept no more, answer what has arrived, close.

        Clients get a bounded time to take their replies. Connections that are owed a forwarded answer get it
        afterwards, when it comes.
        """
        if self._stopping:
            return
        self._loop = asyncio.get_running_loop()
        if self._pause is not None:
            self._pause.cancel()
        # Control holds this socket, too, so that closing it here would not end its events.
        with contextlib.suppress(OSError):  # Not if this listener never started.
            self._poller.unregister(self._listening)
        self._socket.close()
        self._stopping = True
        for connection in list(self._connections):
            self._read_rest(connection)
        self._schedule()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_TAKE_SECONDS):
                await self._settled.wait()

    # --- new connections -----------------------------------------------------------------------

    def _accept(self, now: float) -> int:
        """Take new connections, and answer what they ask at once; how many queries were answered.

        This takes half of a turn at most: the other half is for those that are here already.
        """
        half = now + TURN_SECONDS / 2
        answered = taken = 0
        for _ in range(_ACCEPTED_AT_ONCE):
            try:
                accepted = self._accept_one()
            except OSError as error:
                if error.errno in PASSING or self._make_room_for_file(error, now):
                    continue
                break
            if accepted is None:
                break
            fd, address = accepted
            connection = self._admit(fd, client_of(address), now)
            if connection is not None:
                taken += 1
                answered += self._serve(connection, now)
            if monotonic() >= half:
                break
        self.responder.count(self.kind.taken, taken)
        return answered

    def _admit(self, fd: int, client: bytes, now: float) -> Connection | None:
        """Take a connection, and close another one if there are too many; None if all others are owed answers."""
        connections = self._connections
        if connections.crowded(client) and not self._make_room(client, now):
            os.close(fd)
            self.responder.count(self.kind.refused)
            return None
        connection = self._by_fd[fd] = self._connection(fd, client)
        connections.add(connection, now)
        if self._timer is None:
            self._timer = self._loop.call_at(now + self.idle, self._on_timer)
        return connection

    def _make_room(self, client: bytes, now: float) -> bool:
        """Close the idlest connection for a new one of `client`; false if there is none that may be closed."""
        if self._connections.is_over_its_share(client):
            self.responder.count(_OVER_SHARE)
        closed = self._room.to_close(client, now)
        if closed is None:
            return False
        self._close(closed)
        self.responder.count(self.kind.evicted)
        return True

    def _make_room_for_file(self, error: OSError, now: float) -> bool:
        """No connection can be accepted for lack of files, memory or the like: close the idlest one, or pause and return false."""
        self._room.tell_exhausted(self._name(), error)
        idlest = next(self._connections.candidates(b"", now), None) if error.errno == errno.EMFILE else None
        if idlest is not None:
            self._close(idlest)
            self.responder.count(self.kind.evicted)
            return True
        self._poller.modify(self._listening, 0)
        self._pause = self._loop.call_later(ACCEPT_PAUSE, self._accept_again)
        return False

    def _accept_again(self) -> None:
        self._pause = None
        self._poller.modify(self._listening, READ)

    # --- turns ---------------------------------------------------------------------------------

    def _on_ready(self) -> None:
        """Some connection is ready: serve it now, unless a turn comes anyway."""
        if not self._scheduled:
            self._turn()

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        """Take new connections, and serve those that are ready or have queries left, each once, until the time is over."""
        self._scheduled = False
        if self._poller.closed:
            return
        now = monotonic()
        self._until = now + TURN_SECONDS
        self._keepalive = 0 if self._connections.under_pressure() else min(int(self.idle * 10), 0xFFFF)
        queue = self._queue
        answered = 0
        newcomers = False
        for fd, events in self._poller.poll(0, _READY_AT_ONCE):
            connection = self._by_fd.get(fd)
            if connection is None:
                newcomers |= fd == self._listening
            elif events & GONE:
                self._close(connection)
            elif not connection.queued:
                connection.queued = True
                queue.append(connection)
        # Not before: a new connection may get the number of one that is closed for it.
        if newcomers:
            answered += self._accept(now)
        for _ in range(len(queue)):
            connection = queue.popleft()
            connection.queued = False
            if not connection.closed:
                answered += self._serve(connection, now)
            if monotonic() >= self._until:
                break
        self._end_turn(answered)

    def _end_turn(self, answered: int) -> None:
        self.responder.reclaim(answered)
        if self._queue:
            self._schedule()
        elif self._stopping:
            self._tell_settled()

    # --- one connection ------------------------------------------------------------------------

    def _connection(self, fd: int, client: bytes) -> Connection:
        return Connection(fd, client)

    def _respond(self) -> Respond:
        return self.responder.respond_tcp

    def _serve(self, connection: Connection, now: float) -> int:
        """Send, receive and answer what can be now; how many queries were answered."""
        if connection.unsent:
            self._send(connection, b"")
            if connection.closed:
                return 0
            if connection.unsent:
                self._wait(connection, now, active=False)
                return 0
        if (
            not (connection.buffer and connection.has_query())
            and not connection.ending
            and not self._receive(connection)
        ):
            return 0
        answered = self._answer(connection) if connection.buffer else 0
        if not connection.closed:
            self._wait(connection, now, active=answered > 0)
        return answered

    def _receive(self, connection: Connection) -> bool:
        """Take what has come; false if the connection is gone."""
        try:
            data = os.read(connection.fd, CHUNK)
        except BlockingIOError:
            return True
        except OSError:
            self._close(connection)
            return False
        return self._take(connection, data) if data else self._ended(connection)

    def _take(self, connection: Connection, data: bytes) -> bool:
        """Take `data` off the wire; false if the connection is gone."""
        connection.buffer = connection.buffer + data if connection.buffer else data
        return True

    def _ended(self, connection: Connection) -> bool:
        """The client has asked all it wanted: it still gets its answers. False if none is owed to it."""
        if not connection.pending and not connection.has_query():
            self._close(connection)
            return False
        connection.ending = True
        return True

    def _answer(self, connection: Connection) -> int:
        """Answer complete queries in the buffer, with one write, as far as bounds allow; how many."""
        client, keepalive, until = connection.client, self._keepalive, self._until
        respond = self._respond()
        if self._recorder is not None:
            respond = self._recorder.responding(respond, self.transport, connection.fd)
        buffer = connection.buffer
        received = len(buffer)
        replies: list[bytes] = []
        at = answered = size = 0
        connection.answering = True
        try:
            while received - at >= 2 and connection.pending < MAX_TCP_PENDING:
                end = at + 2 + (buffer[at] << 8 | buffer[at + 1])
                if end > received:
                    break
                reply = respond(buffer[at + 2 : end], client, keepalive)
                at = end
                answered += 1
                if isinstance(reply, bytes):
                    replies += (_LENGTHS.pack(len(reply)), reply)
                    size += len(reply)
                elif isinstance(reply, Forward):
                    self._ask_others(connection, reply)
                elif reply is CLOSE:
                    connection.ending = True
                    at = received
                if answered >= QUERIES_PER_TURN or size >= OCTETS_PER_TURN or monotonic() >= until:
                    break
        except BaseException:
            self._close(connection)
            raise
        connection.answering = False
        connection.buffer = buffer[at:]
        if replies and not connection.closed:
            self._send(connection, b"".join(replies))
        return answered

    def _ask_others(self, connection: Connection, forward: Forward) -> None:
        connection.pending += 1
        send: Send = partial(self._forwarded, connection, forward.query.octets)
        if self._recorder is not None:
            send = self._recorder.late(self.transport, port_of(connection.fd), forward, send)
        self.forward(forward, msg.TCP_SIZE, send)

    def _wrapped(self, query: bytes, reply: bytes) -> bytes:  # noqa: ARG002 - for those who have to know
        """The reply to a forwarded query as this listener sends it."""
        return reply

    def _forwarded(self, connection: Connection, query: bytes, reply: bytes) -> None:
        """A forwarded answer has come, perhaps while its connection's other queries are being answered."""
        connection.pending -= 1
        reply = self._wrapped(query, reply)
        self.responder.forwarded(reply, Transport.TCP)
        if connection.closed:
            return
        self._send(connection, _LENGTHS.pack(len(reply)) + reply)
        if not connection.answering and not connection.closed:
            self._wait(connection, monotonic(), active=True)

    def _send(self, connection: Connection, data: bytes) -> None:
        """Send what has not been sent yet, and `data` behind it; what the client does not take now waits."""
        unsent = connection.unsent
        try:
            if unsent is None:
                sent = os.write(connection.fd, data)
                if sent < len(data):
                    connection.unsent = bytearray(data[sent:])
            else:
                unsent += data
                with memoryview(unsent) as view:
                    sent = os.write(connection.fd, view[:_PORTION])
                del unsent[:sent]
                if not unsent:
                    connection.unsent = None
        except BlockingIOError:
            if unsent is None:
                connection.unsent = bytearray(data)
        except OSError:
            self._close(connection)

    def _wait(self, connection: Connection, now: float, *, active: bool) -> None:
        """Wait for what comes next on a connection, or close it if nothing does.

        `active`: it has asked or taken something just now.
        """
        if connection.unsent:
            state, watch = State.UNREAD, WRITE
        else:
            state = State.ASKING if connection.pending else State.IDLE
            blocked = connection.pending >= MAX_TCP_PENDING
            watch = 0 if blocked or connection.ending else READ
            if connection.buffer and not blocked and not connection.queued and connection.has_query():
                connection.queued = True
                self._queue.append(connection)
                self._schedule()
            elif connection.ending and not connection.pending and not connection.queued:
                self._close(connection)
                return
        if active or state is not connection.state:
            self._connections.touch(connection, state, now)
        if watch != connection.watched:
            self._watch(connection, watch)

    def _watch(self, connection: Connection, events: int) -> None:
        try:
            if connection.watched is None:
                self._poller.register(connection.fd, events)
            else:
                self._poller.modify(connection.fd, events)
        except OSError as error:  # No memory, or too many watches of this user.
            self._warn.warning(
                "watch", "%s: a connection is closed, it cannot be watched: %s", self.kind.name, error.strerror
            )
            self._close(connection)
        else:
            connection.watched = events

    def _close(self, connection: Connection) -> None:
        if connection.closed:
            return
        connection.closed = True
        if isinstance(self._poller, SelectorPoller):
            self._poller.unregister(connection.fd)
        os.close(connection.fd)
        del self._by_fd[connection.fd]
        self._connections.remove(connection)
        if self._stopping:
            self._schedule()

    # --- time ----------------------------------------------------------------------------------

    def _on_timer(self) -> None:
        """Close what is idle, sent half a query, or takes no replies, for too long. One timer for all: queries must not pay for it."""
        for connection in self._connections.expired(monotonic() - self.idle):
            if not connection.queued:
                self._close(connection)
        oldest = self._connections.oldest()
        self._timer = None if oldest is None else self._loop.call_at(oldest + self.idle, self._on_timer)

    # --- the end -------------------------------------------------------------------------------

    def _read_rest(self, connection: Connection) -> None:
        """Take what a connection has sent until now, and nothing after that."""
        for _ in range(OCTETS_PER_TURN // CHUNK):
            before = len(connection.buffer)
            if connection.ending:
                break
            if not self._receive(connection):
                return
            if len(connection.buffer) == before:
                break
        connection.ending = True
        if not connection.queued:
            connection.queued = True
            self._queue.append(connection)

    def _tell_settled(self) -> None:
        """Tell if only forwarded answers are still to come. With the last connection everything is let go."""
        if not self._connections.wait_for_clients():
            self._settled.set()
        if not self._connections and not self._poller.closed:
            self._loop.remove_reader(self._poller.fileno())
            self._poller.close()
            if self._timer is not None:
                self._timer.cancel()
