"""Questions to upstreams over UDP, from sockets that serve a few questions each. Edge: asyncio and sockets.

A socket for each question costs more than all the rest: to make it, watch it and close it. So each serves `QUESTIONS_PER_SOCKET`, within
`SOCKET_SECONDS`; then it takes no more, and is closed when its last question is answered or given up. One timer serves all.

What a forged reply has to guess (RFC 5452). Sockets are connected, so that the kernel passes on only what says it is from the upstream.
Then its port must be one that is open (one of `ip_local_port_range`, by default 28,232, drawn by the kernel: 14.8 bits), and it must
have the ID (drawn anew for each question: 16 bits) together with the question. Of the questions in flight on one socket each has an ID of its
own and only its own question is taken as an answer to it, so a datagram can hit but one of them. To who knows no
port the odds are those of one socket for each question, 30.8 bits; with all ports from 1024 on it would be 32.0. That bit is
given up on purpose: below the kernel's range are ports that others rely on, such as those that Mesos offers to tasks,
and `ip_local_reserved_ports` is the operator's word. Who can find out which ports are open (CVE-2020-25705) has 16 bits left,
as he has with one socket for each question; but may use what he found for the rest of the socket's time, hence both limits.

Tried, and not worth it: gathering what is sent and received for `sendmmsg` and `recvmmsg`. Each datagram got cheaper by 0.1 µs of 2.
"""

import asyncio
import errno
import logging
import socket
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from mesos_dns.dns import message as msg
from mesos_dns.logs import RateLimited
from mesos_dns.metrics import Counts, counter
from mesos_dns.serve.forward.flights import Flight, Flights
from mesos_dns.serve.forward.inflight import Ids, Question, Timers, canceled
from mesos_dns.serve.forward.options import Upstream
from mesos_dns.serve.forward.rewrite import answers
from mesos_dns.serve.loop import add_reader, remove_reader

log = logging.getLogger(__name__)

_STRAY: Final = counter(
    "upstream_strays", "Datagrams from an upstream's address that answer nothing: late, repeated or forged."
)

#: Questions that one socket serves. To make and close one takes 15 µs: a question's share of that is 1 µs.
QUESTIONS_PER_SOCKET: Final = 16
#: Seconds for which a socket takes questions: whoever finds its port has no more time to use it.
SOCKET_SECONDS: Final = 1.0
#: Sockets to one upstream. When so many wait for their last replies, the youngest one serves more questions than it should.
MOST_SOCKETS_PER_UPSTREAM: Final = 256
#: Datagrams that are read from a socket before others get their turn: what a socket is owed, and strays.
MOST_DATAGRAMS_PER_TURN: Final = 2 * QUESTIONS_PER_SOCKET


class _Peer:
    """The sockets to one upstream."""

    def __init__(self, upstream: Upstream) -> None:
        self.upstream = upstream
        #: All that are open, the oldest first.
        self.ports: dict[Port, None] = {}
        #: The one that the next question goes to.
        self.current: Port | None = None
        #: Questions in flight.
        self.pending = 0


class UdpPool:
    """Asks upstreams over UDP. One for each worker and event loop.

    At most `most` questions are in flight, and at most `most_per_upstream` to one of the upstreams; what is beyond fails with ENOBUFS.
    What is counted goes into `counters`, if that is given.
    """

    def __init__(self, *, most: int, most_per_upstream: int, counters: Counts | None = None) -> None:
        self._most = most
        self._most_per_upstream = most_per_upstream
        self._loop = asyncio.get_running_loop()
        self.timers = Timers()
        self._ids = Ids()
        #: Those with open sockets.
        self._peers: dict[Upstream, _Peer] = {}
        self._closed = False
        self._warn = RateLimited(log)
        #: Where datagrams are received.
        self.buffer = memoryview(bytearray(msg.TCP_SIZE))
        #: Questions in flight.
        self.pending = 0
        self.counters = Counts() if counters is None else counters
        #: Whose flights there are, if any are.
        self.flights: Flights | None = None

    def __repr__(self) -> str:
        return f"UdpPool(pending={self.pending}, sockets={self.sockets})"

    @property
    def sockets(self) -> int:
        """How many are open."""
        return sum(len(peer.ports) for peer in self._peers.values())

    def ask(
        self,
        upstream: Upstream,
        octets: bytes,
        question_end: int,
        on_reply: Callable[[bytes], bool],
        on_error: Callable[[OSError | None], None],
        deadline: float,
    ) -> Question:
        """Send the query `octets`, under an ID of our own, and tell what becomes of it until it is over.

        `question_end` is where its question section ends; `deadline` is in the loop's time. `on_reply` gets each datagram that answers
        it (`rewrite.answers`), whatever else is in it, until it says that this one will do. Or `on_error` is called, once: with None at the
        deadline, with an OSError if the upstream refuses or nothing can be sent. Neither is called before this returns.
        """
        peer = self._peers.get(upstream)
        if peer is None:
            peer = self._peers[upstream] = _Peer(upstream)
        question = Question(octets, question_end - 12, on_reply, on_error)
        port = peer.current
        if self.pending >= self._most or peer.pending >= self._most_per_upstream:
            return self._fail_soon(peer, question, self._no_room())
        try:
            if port is None or port.left <= 0:
                port = self._next_port(peer)
            waiting = port.waiting
            while (identifier := self._ids.draw()) in waiting:
                pass
            question.sent = identifier + octets[2:]
            port.send(question.sent)
        except OSError as error:
            if isinstance(error, ConnectionRefusedError) and port is not None:
                # What an earlier datagram was answered with.
                self._loop.call_soon(port.fail, error)
            return self._fail_soon(peer, question, error)
        port.left -= 1
        question.port = port
        waiting[identifier] = question
        self.pending += 1
        peer.pending += 1
        question.tick = self.timers.watch(question, deadline)
        return question

    def launch(
        self, upstream: Upstream, flights: Sequence[Flight], under_way: deque[tuple[Flight, "Port", bytes]]
    ) -> tuple[int, bool]:
        """Send the questions of `flights`, and note them in `under_way`. How many could be sent, and whether that scheduled something."""
        peer = self._peers.get(upstream)
        if peer is None:
            peer = self._peers[upstream] = _Peer(upstream)
        port, draw = peer.current, self._ids.draw
        sent, scheduled = 0, False
        try:
            for flight in flights:
                if port is None or port.left <= 0:
                    scheduled = True
                    port = self._next_port(peer)
                waiting = port.waiting
                while (identifier := draw()) in waiting:
                    pass
                port.send(flight.message(identifier))
                port.left -= 1
                waiting[identifier] = flight
                under_way.append((flight, port, identifier))
                sent += 1
        except OSError as error:
            if isinstance(error, ConnectionRefusedError) and port is not None:
                # What an earlier datagram was answered with.
                self._loop.call_soon(port.fail, error.with_traceback(None))
            if not peer.ports:
                self._peers.pop(upstream, None)
        self.pending += sent
        peer.pending += sent
        return sent, scheduled

    def close(self) -> None:
        """Close all sockets. Questions in flight fail with ECANCELED, and so does what is asked from now on."""
        self._closed = True
        self._most = 0
        for peer in list(self._peers.values()):
            for port in list(peer.ports):
                port.fail(canceled())
        self.timers.stop()

    # --- for its sockets -----------------------------------------------------------------------

    def closed(self, peer: _Peer, port: "Port") -> None:
        """A socket is closed."""
        del peer.ports[port]
        if peer.current is port:
            peer.current = None
        if not peer.ports:
            self._peers.pop(peer.upstream, None)

    def stray(self) -> None:
        """A datagram answered nothing."""
        self.counters.add(_STRAY)

    # --- its own -------------------------------------------------------------------------------

    def _next_port(self, peer: _Peer) -> "Port":
        """A fresh socket, or the youngest if none can be had. OSError if there is none."""
        if len(peer.ports) < MOST_SOCKETS_PER_UPSTREAM:
            try:
                port = Port(self, peer)
            except OSError as error:
                if not peer.ports:
                    raise
                self._warn.warning(
                    "socket",
                    "cannot have another socket for upstream %s port %d: %s",
                    *peer.upstream.address,
                    error.strerror,
                )
            else:
                peer.ports[port] = None
                peer.current = port
                return port
        return next(reversed(peer.ports))

    def _no_room(self) -> OSError:
        return canceled() if self._closed else OSError(errno.ENOBUFS, "too many questions are under way")

    def _fail_soon(self, peer: _Peer, question: Question, error: OSError) -> Question:
        """Have a question fail that could not be sent."""
        if not peer.ports:
            self._peers.pop(peer.upstream, None)
        # What its traceback leads to would lead back here.
        self._loop.call_soon(question.fail, error.with_traceback(None))
        return question


class Port:
    """A connected socket, and the questions that wait for a reply on it."""

    def __init__(self, pool: UdpPool, peer: _Peer) -> None:
        """Raises OSError."""
        family = socket.AF_INET6 if ":" in peer.upstream.host else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            self._socket.connect(peer.upstream.address)
            add_reader(self._socket.fileno(), self._read)
        except OSError:
            self._socket.close()
            raise
        self.pool = pool
        self._peer = peer
        #: By ID.
        self.waiting: dict[bytes, Question | Flight] = {}
        #: How many questions it may still take.
        self.left = QUESTIONS_PER_SOCKET
        self.send = self._socket.send
        self._tick = pool.timers.watch(self, asyncio.get_running_loop().time() + SOCKET_SECONDS)

    def __repr__(self) -> str:
        return f"Port({self._peer.upstream}, waiting={len(self.waiting)}, left={self.left})"

    def _read(self, _: float = 0.0, /) -> bool:
        """Take what has come. What is done with a reply may schedule anything, so the loop gets its turn."""
        waiting, receive, buffer = self.waiting, self._socket.recv_into, self.pool.buffer
        last: Flight | None = None
        flights, usual = self.pool.flights, True
        try:
            for _n in range(MOST_DATAGRAMS_PER_TURN):
                reply = buffer[: receive(buffer)].tobytes()
                identifier = reply[:2]
                question = waiting.get(identifier)
                if isinstance(question, Flight):
                    if flights is not None:
                        last = question
                        usual &= flights.replied(self, identifier, question, reply)
                elif question is None or not answers(reply, question.sent, question.length):
                    self.pool.stray()
                    continue
                else:
                    usual = False
                    question.take(reply)
                if not waiting:
                    break
        except BlockingIOError:
            pass
        except OSError as error:
            usual = False
            self.fail(error.with_traceback(None))
        if last is not None and flights is not None:
            flights.settle(last)
        if self.left <= 0 and not waiting:
            self._close()
        return usual

    def landed(self, identifier: bytes) -> None:
        """A flight is over. Whoever reads sees to it that the socket is closed with the last one."""
        del self.waiting[identifier]
        self.pool.pending -= 1
        self._peer.pending -= 1

    def adopt(self, sent: bytes, length: int, deadline: float) -> Question:
        """Make of a flight, which was sent with these octets, the question of somebody who says what becomes of it."""
        question = self.waiting[sent[:2]] = Question(sent, length, None, None)
        question.port = self
        question.tick = self.pool.timers.watch(question, deadline)
        return question

    def forget(self, question: Question) -> None:
        """A question is over."""
        del self.waiting[question.sent[:2]]
        self.pool.timers.unwatch(question, question.tick)
        self.pool.pending -= 1
        self._peer.pending -= 1
        if self.left <= 0 and not self.waiting:
            self._close()

    def fail(self, error: OSError) -> None:
        """The upstream cannot be reached: tell all who wait, and close."""
        self.left = 0
        if not self.waiting:
            self._close()
        for identifier, question in list(self.waiting.items()):
            if isinstance(question, Question):
                question.fail(error)
            elif self.pool.flights is not None:
                self.pool.flights.failed(self, identifier, question, error)

    def expired(self) -> None:
        """It has been used for long enough."""
        self.left = 0
        if not self.waiting:
            self._close()

    def _close(self) -> None:
        if self._socket.fileno() < 0:
            return
        remove_reader(self._socket.fileno())
        self._socket.close()
        self.pool.timers.unwatch(self, self._tick)
        self.pool.closed(self._peer, self)
