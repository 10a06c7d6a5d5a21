"""Questions to upstreams over TCP and TLS, several on one connection. Edge: asyncio and sockets.

A connection is kept for the next questions (RFC 7766 section 6.2.1), which do not wait for the replies to those before (section 6.2.1.1);
replies may come in any order and are matched by ID and question. One that its upstream closes, as it may at any time, costs no
question an answer if it gave some before: those in flight go over a new one (section 6.2.4), as long as each gives at least one. A
connection on which a question got no answer in time takes no more: its upstream may be gone without a word.

Over TLS (RFC 7858) an upstream is asked only if it proves its name: the strict profile of RFC 8310; there is no way back to plain TCP.
Queries are not padded (RFC 8467): that is an option of the OPT record, and whoever makes the query makes that.
"""

import asyncio
import contextlib
import errno
import os
import socket
import ssl
import struct
from collections.abc import Callable
from typing import Final

from mesos_dns.quoting import quoted
from mesos_dns.serve.channel import Channel
from mesos_dns.serve.forward.inflight import Ids, Question, Timers, canceled
from mesos_dns.serve.forward.options import Upstream
from mesos_dns.serve.forward.rewrite import answers
from mesos_dns.serve.loop import add_reader, remove_reader

#: Seconds that a connection without questions is kept: "of the order of a few seconds" (RFC 7766 section 6.2.3).
IDLE_SECONDS: Final = 5.0
#: Connections to one upstream. One does for most (RFC 7766 section 6.2.2), but some upstreams answer each in order.
MOST_CONNECTIONS_PER_UPSTREAM: Final = 4
#: Questions that wait on each connection before another one is made.
MANY_QUESTIONS_PER_CONNECTION: Final = 16
#: Octets that an upstream has not taken from us beyond which the connection is given up: hundreds of questions.
MOST_UNSENT_OCTETS: Final = 64 * 1024
#: Seconds after which a connection ends whose other side does not even acknowledge what it was sent: nobody is there any more.
#: The kernel itself would send it again and again for a quarter of an hour.
UNACKNOWLEDGED_SECONDS: Final = 3.0
#: Octets read at once: nearly every message fits. Larger blocks of memory would be mapped for each reading.
_READ_OCTETS: Final = 64 * 1024
_LENGTH: Final = struct.Struct("!H")


class StreamPool:
    """Asks upstreams over TCP, and those that have a name to prove over TLS. One for each worker and event loop.

    `context` says by which authorities (`tls.strict_context`). At most `most` questions are in flight; what is beyond fails with
    ENOBUFS.
    """

    def __init__(self, *, most: int, context: ssl.SSLContext | None = None) -> None:
        self._most = most
        self._context = context
        self._loop = asyncio.get_running_loop()
        self.timers = Timers()
        self.ids = Ids()
        #: Open connections, the oldest first, of upstreams that have any.
        self._connections: dict[Upstream, dict[_Connection, None]] = {}
        self._closed = False
        #: Questions in flight.
        self.pending = 0

    def __repr__(self) -> str:
        return f"StreamPool(pending={self.pending}, connections={self.connections})"

    @property
    def connections(self) -> int:
        """How many are open, or about to be."""
        return sum(map(len, self._connections.values()))

    def ask(
        self,
        upstream: Upstream,
        octets: bytes,
        question_end: int,
        on_reply: Callable[[bytes], bool],
        on_error: Callable[[OSError | None], None],
        deadline: float,
        *,
        alone: bool = False,
    ) -> Question:
        """As `UdpPool.ask`. Errors are those of the connection, too, among them ssl.SSLError.

        A question that is `alone` gets a connection that no other question was, or will be, sent over.
        """
        question = _StreamQuestion(octets, question_end - 12, on_reply, on_error)
        question.alone = alone
        if self.pending >= self._most:
            error: OSError | None = OSError(errno.ENOBUFS, "too many questions are under way")
        else:
            error = self.carry(upstream, question)
        if error is None:
            self.pending += 1
            question.tick = self.timers.watch(question, deadline)
        else:
            self._loop.call_soon(question.fail, error)
        return question

    def close(self) -> None:
        """Close all connections. Questions in flight fail with ECANCELED, and so does what is asked from now on."""
        self._closed = True
        for connections in list(self._connections.values()):
            for connection in list(connections):
                connection.end(canceled())
        self.timers.stop()

    # --- for its connections -------------------------------------------------------------------

    def carry(self, upstream: Upstream, question: "_StreamQuestion") -> OSError | None:
        """Send a question over the connection with the fewest, or a new one. Gives why it cannot be sent."""
        if self._closed:
            return canceled()
        connections = self._connections.get(upstream, {})
        usable = [] if question.alone else [connection for connection in connections if not connection.retired]
        best = min(usable, key=lambda connection: len(connection.waiting), default=None)
        if best is None or len(best.waiting) >= MANY_QUESTIONS_PER_CONNECTION:
            if len(connections) < MOST_CONNECTIONS_PER_UPSTREAM:
                try:
                    best = self._connect(upstream)
                except OSError as error:
                    if best is None:
                        return error.with_traceback(None)
            elif best is None:
                return OSError(errno.ENOBUFS, "all connections to it wait for their last replies")
        best.put(question)
        best.retired = best.retired or question.alone
        return None

    def over(self, question: Question) -> None:
        """A question is over."""
        self.timers.unwatch(question, question.tick)
        self.pending -= 1

    def gone(self, upstream: Upstream, connection: "_Connection") -> None:
        """A connection is closed."""
        connections = self._connections[upstream]
        del connections[connection]
        if not connections:
            del self._connections[upstream]

    # --- its own -------------------------------------------------------------------------------

    def _connect(self, upstream: Upstream) -> "_Connection":
        name, tls = upstream.tls_name, None
        if name:
            if self._context is None:
                raise OSError(errno.EPROTO, "there are no authorities to verify it with")
            try:
                tls = Channel(self._context, name)
            except ValueError as error:
                raise OSError(errno.EINVAL, f"{quoted(name)} cannot be the name of a server: {error}") from None
        connection = _Connection(self, upstream, tls)
        self._connections.setdefault(upstream, {})[connection] = None
        return connection


class _StreamQuestion(Question):
    __slots__ = ("alone",)

    alone: bool

    def expired(self) -> None:
        """Its deadline has come: perhaps nobody is there any more."""
        if isinstance(self.port, _Connection):
            self.port.retired = True
        super().expired()


class _Connection:
    """One connection to an upstream, and the questions that wait for a reply on it."""

    def __init__(self, pool: StreamPool, upstream: Upstream, tls: Channel | None) -> None:
        """Begin to connect. Raises OSError if that fails at once."""
        family = socket.AF_INET6 if ":" in upstream.host else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        self._loop = asyncio.get_running_loop()
        try:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(UNACKNOWLEDGED_SECONDS * 1000))
            with contextlib.suppress(BlockingIOError):
                self._socket.connect(upstream.address)
            self._loop.add_writer(self._socket.fileno(), self._connected)
        except OSError:
            self._socket.close()
            raise
        self._pool = pool
        self._upstream = upstream
        self._tls = tls
        #: By ID.
        self.waiting: dict[bytes, _StreamQuestion] = {}
        #: It takes no more questions.
        self.retired = False
        self._open = False
        #: It is told when the socket takes octets: at first that it is connected.
        self._held = True
        self._unsent = bytearray()
        self._received = bytearray()
        #: It has given an answer.
        self._proven = False
        self._idle: int | None = None

    def __repr__(self) -> str:
        return f"_Connection({self._upstream}, waiting={len(self.waiting)}, retired={self.retired})"

    # --- questions -----------------------------------------------------------------------------

    def put(self, question: _StreamQuestion) -> None:
        """Send a question, now or when that is possible. What goes wrong becomes known later."""
        if self._idle is not None:
            self._pool.timers.unwatch(self, self._idle)
            self._idle = None
        while (identifier := self._pool.ids.draw()) in self.waiting:
            pass
        question.sent = identifier + question.sent[2:]
        question.port = self
        self.waiting[identifier] = question
        self._say(_LENGTH.pack(len(question.sent)) + question.sent)

    def forget(self, question: Question) -> None:
        """A question is over."""
        del self.waiting[question.sent[:2]]
        self._pool.over(question)
        self._rest()

    def expired(self) -> None:
        """It was idle for long enough."""
        self._idle = None
        self._close()

    def end(self, error: OSError) -> None:
        """Close, and have all questions fail that wait."""
        waiting = list(self.waiting.values())
        self._close()
        for question in waiting:
            question.fail(error)

    def _lost(self, error: OSError) -> None:
        """The upstream has closed it, or it broke. What waits goes over another one, if there was any answer on this."""
        if not self._proven:
            self.end(error)
            return
        waiting = list(self.waiting.values())
        self.waiting.clear()
        self._close()
        failed = []
        for question in waiting:
            question.port = None
            cause = self._pool.carry(self._upstream, question)
            if cause is not None:
                self._pool.over(question)
                failed.append((question, cause))
        # Not before all have a connection: who is told may ask, and cancel others.
        for question, cause in failed:
            question.fail(cause)

    def _rest(self) -> None:
        """Without questions: end if it takes no more, or else wait for the next."""
        if self.waiting or self._socket.fileno() < 0:
            return
        if self.retired:
            self._close()
        elif self._idle is None:
            self._idle = self._pool.timers.watch(self, self._loop.time() + IDLE_SECONDS)

    # --- octets --------------------------------------------------------------------------------

    def _say(self, octets: bytes) -> None:
        try:
            if self._tls is not None:
                self._tls.send(octets)
                octets = self._tls.outgoing()
            self._unsent += octets
            self._send()
        except OSError as error:
            self.retired = True
            self._loop.call_soon(self._lost, error.with_traceback(None))

    def _send(self) -> None:
        """Send what the socket takes, once it is connected, and have the rest sent when it takes more. Raises OSError."""
        if self._open:
            with contextlib.suppress(BlockingIOError):
                while self._unsent:
                    del self._unsent[: self._socket.send(self._unsent)]
            if self._held != bool(self._unsent):
                self._held = bool(self._unsent)
                if self._held:
                    self._loop.add_writer(self._socket.fileno(), self._writable)
                else:
                    self._loop.remove_writer(self._socket.fileno())
        if len(self._unsent) > MOST_UNSENT_OCTETS:
            raise OSError(errno.ENOBUFS, "it does not take what it is asked")

    def _connected(self) -> None:
        try:
            if number := self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                raise OSError(number, os.strerror(number))  # noqa: TRY301 - as `connect` does when it waits
            self._loop.add_writer(self._socket.fileno(), self._writable)
            add_reader(self._socket.fileno(), self._read)
            self._open = True
            self._send()
        except OSError as error:
            self._lost(error.with_traceback(None))

    def _writable(self) -> None:
        try:
            self._send()
        except OSError as error:
            self._lost(error.with_traceback(None))

    def _read(self, _: float = 0.0, /) -> bool:
        """Take what has come, once: more makes the socket readable again."""
        try:
            octets = self._socket.recv(_READ_OCTETS)
            if not octets:
                self._lost(OSError(errno.ECONNRESET, "it closed the connection before its answer was complete"))
            elif self._tls is None:
                self._take(octets)
            else:
                try:
                    said = self._tls.receive(octets)
                finally:
                    self._unsent += self._tls.outgoing()
                    self._send()
                self._take(said)
        except BlockingIOError:
            pass
        except OSError as error:
            self._lost(error.with_traceback(None))
        return False

    def _take(self, octets: bytes) -> None:
        received = self._received
        received += octets
        at = 0
        while len(received) - at >= 2:
            end = at + 2 + _LENGTH.unpack_from(received, at)[0]
            if end > len(received):
                break
            reply = bytes(received[at + 2 : end])
            at = end
            question = self.waiting.get(reply[:2])
            if question is None:
                continue  # It was given up.
            self._proven = True
            if answers(reply, question.sent, question.length):
                question.take(reply)
            else:
                question.fail(OSError(errno.EBADMSG, "over TCP it answers another question"))
        del received[:at]

    def _close(self) -> None:
        if self._socket.fileno() < 0:
            return
        self._loop.remove_writer(self._socket.fileno())
        remove_reader(self._socket.fileno())
        self._socket.close()
        if self._idle is not None:
            self._pool.timers.unwatch(self, self._idle)
            self._idle = None
        self._pool.gone(self._upstream, self)
