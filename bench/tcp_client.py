"""Asks over TCP in the ways that dnsperf does not: one question a connection, or large answers without end.

    python -m bench.tcp_client --port 5300 --queries FILE --per-connection 1 --connections 16 --seconds 5
    python -m bench.tcp_client --port 5300 --queries FILE --depth 4 --connections 200 --seconds 5
    python -m bench.tcp_client --port 8853 --queries FILE --per-connection 1 --tls

Every connection keeps `depth` questions out, reads the whole of each reply, and is closed by this side
after `per-connection` replies; another one takes its place. Prints `begun` when each of them has had
its first reply, or after five seconds, and at the end one JSON object; ends early on SIGTERM.

Ends after `seconds` and after `count` replies, whichever comes first. Nothing waits for anything but
readiness, so one process keeps a server busy; its own processor time is none of the server's figure.
"""

import argparse
import json
import select
import signal
import socket
import ssl
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bench.prober import messages
from mesos_dns.serve.channel import Channel

#: Seconds without an octet after which a connection has failed: as long as a client would wait.
PATIENCE: Final = 5.0
#: Seconds between two looks for connections that have failed by then.
_LOOK: Final = 0.5
#: Linux' IP_BIND_ADDRESS_NO_PORT: the port is chosen when connecting, and may serve several addresses.
_NO_PORT: Final = 24
#: Addresses of the loopback to ask from in turn. A port that was used is not free again for a minute
#: (TIME_WAIT), and each address has 28,000: together enough for 100,000 connections a second.
_SOURCES: Final = tuple(f"127.0.{place >> 8}.{place & 255}" for place in range(2, 258))
_AT_ONCE: Final = 2**18


class Replies:
    """Pure: cuts what a connection receives into messages."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, octets: bytes) -> Iterator[bytes]:
        """The messages that are complete now, without their lengths."""
        data, place = self._rest + octets if self._rest else octets, 0
        while len(data) - place >= 2:
            end = place + 2 + int.from_bytes(data[place : place + 2], "big")
            if end > len(data):
                break
            yield data[place + 2 : end]
            place = end
        self._rest = data[place:]


@dataclass(slots=True)
class Connection:
    """One connection: what it still has to send, and when its questions left."""

    socket: socket.socket
    number: int
    replies: Replies = field(default_factory=Replies)
    #: Octets that the socket did not take yet.
    waiting: bytes = b""
    #: What is said goes through it, over TLS.
    channel: Channel | None = None
    #: True while it is watched for room to send.
    blocked: bool = False
    #: Questions that were given to it, and replies that it got.
    asked: int = 0
    answered: int = 0
    #: When each question that is out was asked, the oldest first.
    times: list[float] = field(default_factory=list)
    last: float = 0.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do; `per_connection` and `count` are 0 where nothing is limited."""

    port: int
    questions: Sequence[bytes]
    connections: int
    seconds: float
    depth: int = 1
    per_connection: int = 0
    count: int = 0
    address: str = "127.0.0.1"
    tls: bool = False


class Client:
    """Keeps the connections of a plan going; `run` returns what came of it."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._poll = select.epoll()
        self._open: dict[int, Connection] = {}
        #: Numbers of the connections that have not had a reply yet.
        self._waited_for = set(range(plan.connections))
        self._begun = False
        #: Questions as they go over TCP, each with its length.
        self._context = unverified() if plan.tls else None
        self._framed = [len(question).to_bytes(2, "big") + question for question in plan.questions]
        self.codes: Counter[int] = Counter()
        self.sent = self.answered = self.failed = self.octets = self.asked = self.opened = 0
        self.delay = self.slowest = 0.0
        self.stopped = False
        self._ending = False

    def run(self) -> dict[str, float | dict[int, int]]:
        """Ask until the time is over, enough is answered or `stopped` is set; then wait for what is still out.

        It waits because a server has worked for those replies as well.
        """
        started = time.monotonic()
        for number in range(self._plan.connections):
            self._connect(number)
        look = started + _LOOK
        while self._open:
            if not self._ending and self._over(started):
                self._end()
            for descriptor, event in self._poll.poll(0.1):
                self._turn(self._open[descriptor], event)
            if (now := time.monotonic()) > look:
                look = now + _LOOK
                self._give_up(now - PATIENCE)
                if now > started + PATIENCE:
                    self._begin()
        seconds = time.monotonic() - started
        self._poll.close()
        return {
            "sent": self.sent,
            "answered": self.answered,
            "failed": self.failed,
            "octets": self.octets,
            "asked": self.asked,
            "opened": self.opened,
            "seconds": seconds,
            "delay": self.delay,
            "slowest": self.slowest,
            "codes": dict(self.codes),
        }

    def _over(self, started: float) -> bool:
        enough = bool(self._plan.count) and self.answered >= self._plan.count
        return self.stopped or enough or time.monotonic() > started + self._plan.seconds

    def _end(self) -> None:
        """Ask no more; connections with nothing out are closed."""
        self._ending = True
        for connection in [each for each in self._open.values() if not each.times]:
            self._close(connection)

    def _connect(self, number: int) -> None:
        if self._ending:
            return
        made = socket.socket()
        made.setblocking(False)
        made.setsockopt(socket.IPPROTO_IP, _NO_PORT, 1)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        made.bind((_SOURCES[self.opened % len(_SOURCES)], 0))
        made.connect_ex((self._plan.address, self._plan.port))  # a failure shows as an event
        self.opened += 1
        connection = Connection(made, number, last=time.monotonic())
        if self._context is not None:
            connection.channel = Channel(self._context, self._plan.address)
        self._open[made.fileno()] = connection
        self._poll.register(made, select.EPOLLIN)
        self._ask(connection)

    def _ask(self, connection: Connection) -> None:
        """Fill up what is out to `depth`."""
        limit = connection.answered + self._plan.depth
        if self._plan.per_connection:
            limit = min(limit, self._plan.per_connection)
        now = time.monotonic()
        more = []
        while connection.asked < limit:
            more.append(self._framed[self.sent % len(self._framed)])
            connection.times.append(now)
            connection.asked += 1
            self.sent += 1
        if more:
            connection.waiting += self._on_wire(connection, b"".join(more))
            self.asked += sum(map(len, more)) - 2 * len(more)
            self._send(connection)

    def _on_wire(self, connection: Connection, said: bytes) -> bytes:
        if connection.channel is None:
            return said
        connection.channel.send(said)
        return connection.channel.outgoing()

    def _heard(self, connection: Connection, octets: bytes) -> bytes:
        """What is said by octets from the wire; over TLS the next step of a handshake may follow."""
        if connection.channel is None:
            return octets
        said = connection.channel.receive(octets)
        connection.waiting += connection.channel.outgoing()
        if connection.waiting:
            self._send(connection)
        return said

    def _send(self, connection: Connection) -> None:
        try:
            taken = connection.socket.send(connection.waiting)
            connection.waiting = connection.waiting[taken:]
        except BlockingIOError:  # connecting, or the server does not read
            pass
        except OSError:  # what became of it is told when it is read
            connection.waiting = b""
        if bool(connection.waiting) != connection.blocked:
            connection.blocked = not connection.blocked
            self._poll.modify(connection.socket, select.EPOLLIN | (select.EPOLLOUT if connection.blocked else 0))

    def _turn(self, connection: Connection, event: int) -> None:
        if event & select.EPOLLOUT:
            self._send(connection)
        if event & ~select.EPOLLOUT:
            self._receive(connection)

    def _receive(self, connection: Connection) -> None:
        try:
            octets = connection.socket.recv(_AT_ONCE)
        except BlockingIOError:
            return
        except OSError:
            octets = b""
        if not octets:
            self._fail(connection)
            return
        now = connection.last = time.monotonic()
        try:
            said = self._heard(connection, octets)
        except ssl.SSLError:
            self._fail(connection)
            return
        for reply in connection.replies.feed(said):
            self._take(connection, reply, now)
        if self._ending:
            if not connection.times:
                self._close(connection)
        elif self._plan.per_connection and connection.answered >= self._plan.per_connection:
            self._close(connection)
            self._connect(connection.number)
        else:
            self._ask(connection)

    def _take(self, connection: Connection, reply: bytes, now: float) -> None:
        # Servers may answer out of turn (RFC 7766 section 6.2.1.1): then the delays are swapped, their sum stays.
        delay = now - connection.times.pop(0)
        connection.answered += 1
        self.answered += 1
        self.delay += delay
        self.slowest = max(self.slowest, delay)
        self.octets += len(reply)
        self.codes[reply[3] & 15] += 1
        self._waited_for.discard(connection.number)
        if not self._waited_for:
            self._begin()

    def _begin(self) -> None:
        """Say once that everything is under way."""
        if not self._begun:
            self._begun = True
            print("begun", flush=True)

    def _give_up(self, before: float) -> None:
        for connection in [each for each in self._open.values() if each.last < before]:
            self._fail(connection)

    def _fail(self, connection: Connection) -> None:
        """What is out on this connection is lost; another one takes its place."""
        self.failed += len(connection.times)
        self._close(connection)
        self._connect(connection.number)

    def _close(self, connection: Connection) -> None:
        del self._open[connection.socket.fileno()]
        connection.socket.close()


def unverified() -> ssl.SSLContext:
    """A client's side of TLS that takes any certificate: it is the server's time that counts. Each connection has a handshake of its own."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.tcp_client", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--queries", type=Path, required=True)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--depth", type=int, default=1, help="questions out on each connection")
    parser.add_argument("--per-connection", type=int, default=0, help="replies after which one is closed; 0: never")
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--count", type=int, default=0, help="replies after which it ends; 0: only the time ends it")
    parser.add_argument("--tls", action="store_true", help="speak TLS, and take any certificate")
    options = parser.parse_args()
    plan = Plan(
        options.port,
        messages(options.queries.read_bytes()),
        options.connections,
        options.seconds,
        options.depth,
        options.per_connection,
        options.count,
        tls=options.tls,
    )
    client = Client(plan)

    def stop(*_: object) -> None:
        client.stopped = True

    signal.signal(signal.SIGTERM, stop)
    print(json.dumps(client.run()))


if __name__ == "__main__":
    main()
