"""Asks at a fixed rate whatever happens, and writes down how long each answer took.

    python -m bench.prober --port 5300 --queries FILE --rate 2000 --seconds 10

An open loop: a question leaves when its time has come, answered or not, so a server that stalls
cannot hide the stall by slowing the questions down. Prints `begun` after its warm-up, and at the end
one JSON object; ends early on SIGTERM.

What is measured is the server: a delay runs from the moment before the packet is sent until the
kernel received the reply (SO_TIMESTAMPNS), so a prober that wakes late is not blamed on the server.
It asks for real-time priority, because with two cores it shares one with what it watches.
"""

import argparse
import json
import os
import select
import signal
import socket
import struct
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

from bench.spread import tail

#: Linux' SO_TIMESTAMPNS, which the socket module does not name.
_TIMESTAMP: Final = 35
#: Several sockets, so that the kernel spreads the questions over all workers of a server.
_SOCKETS: Final = 8
#: A reply that takes longer counts as lost: clients ask again after five seconds (resolv.conf(5)).
LOST_AFTER: Final = 5.0
_IDS: Final = 2**16
#: What is printed when the questions begin to count.
BEGUN: Final = "begun"
#: Seconds at the start that do not count: this program and the server's pages are cold.
_WARM_UP: Final = 0.3


def messages(stream: bytes) -> list[bytes]:
    """The messages of a file that `wire.stream` made; ValueError when it ends within one."""
    found, place = [], 0
    while place < len(stream):
        end = place + 2 + int.from_bytes(stream[place : place + 2], "big")
        if end > len(stream):
            raise ValueError(f"the stream ends within the message at octet {place}")
        found.append(stream[place + 2 : end])
        place = end
    return found


@dataclass(slots=True)
class Probe:
    """Questions on their way. Identifiers count up; at most 65,536 are out at a time."""

    questions: Sequence[bytes]
    sockets: list[socket.socket]
    sent_at: list[int] = field(default_factory=lambda: [0] * _IDS)
    delays_ms: list[float] = field(default_factory=list)
    #: Seconds since the start at which each delay above the limit began, to find what caused it.
    slow: list[tuple[float, float]] = field(default_factory=list)
    sent: int = 0
    #: Questions of the warm-up: sent, but not counted.
    uncounted: int = 0
    started: int = 0
    #: How much later than due each question left: what this machine does to a process that only waits.
    lags_ms: list[float] = field(default_factory=list)

    def send(self, due: float) -> None:
        """Send the next question, which was due at monotonic second `due`."""
        identifier = self.sent % _IDS
        question = self.questions[self.sent % len(self.questions)]
        packet = identifier.to_bytes(2, "big") + question[2:]
        self.lags_ms.append((time.monotonic() - due) * 1000)
        out = self.sockets[self.sent % len(self.sockets)]
        self.sent += 1
        self.sent_at[identifier] = time.clock_gettime_ns(time.CLOCK_REALTIME)
        try:
            out.send(packet)
        except OSError:  # nobody listens (ICMP says so), or a full buffer: lost, as for any client
            return

    @property
    def counted(self) -> int:
        """How many questions were sent since the warm-up."""
        return self.sent - self.uncounted

    def start_counting(self) -> None:
        """Forget what has been measured until now; replies to what is out do not count any more."""
        self.uncounted = self.sent
        self.sent_at = [0] * _IDS
        self.delays_ms.clear()
        self.slow.clear()
        self.lags_ms.clear()
        self.started = time.clock_gettime_ns(time.CLOCK_REALTIME)

    def receive(self, ready: socket.socket) -> None:
        """Take all replies that a socket holds."""
        while True:
            try:
                packet, ancillary, _, _ = ready.recvmsg(4096, 128)
            except BlockingIOError:
                return
            except OSError:  # refused: the server is not there at the moment
                continue
            sent_at = self.sent_at[int.from_bytes(packet[:2], "big")]
            if not sent_at:  # answered twice
                continue
            self.sent_at[int.from_bytes(packet[:2], "big")] = 0
            delay = max(received_at(ancillary) - sent_at, 0) / 1e6
            if delay > LOST_AFTER * 1000:
                continue
            self.delays_ms.append(delay)
            if delay > 5:
                self.slow.append(((sent_at - self.started) / 1e9, delay))


def received_at(ancillary: Sequence[tuple[int, int, bytes]]) -> int:
    """When the kernel got a packet, in nanoseconds of the real-time clock."""
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == _TIMESTAMP:
            seconds, nanoseconds = struct.unpack("qq", data[:16])
            return int(seconds) * 10**9 + int(nanoseconds)
    return time.clock_gettime_ns(time.CLOCK_REALTIME)


def run(probe: Probe, rate: float, seconds: float, stopped: list[int]) -> None:
    """Ask until the time is over or `stopped` holds a signal, then wait for what is still out."""
    pace(probe, rate, _WARM_UP, stopped)
    probe.start_counting()
    print(BEGUN, flush=True)
    pace(probe, rate, seconds, stopped)
    until = time.monotonic() + LOST_AFTER
    while len(probe.delays_ms) < probe.counted and time.monotonic() < until:
        listen(probe, 0.1)


def pace(probe: Probe, rate: float, seconds: float, stopped: list[int]) -> None:
    """Send each question when it is due."""
    started = time.monotonic()
    step = 0
    while step < rate * seconds and not stopped:
        due = started + step / rate
        wait = due - time.monotonic()
        if wait <= 0:
            probe.send(due)
            step += 1
        else:
            listen(probe, wait)


def listen(probe: Probe, seconds: float) -> None:
    """Take the replies that come within that time."""
    # Not poll or epoll: those round up to whole milliseconds, and a question is due each half.
    ready, _, _ = select.select(probe.sockets, (), (), seconds)
    for each in ready:
        probe.receive(each)


def _socket(address: str, port: int) -> socket.socket:
    made = socket.socket(type=socket.SOCK_DGRAM)
    made.setsockopt(socket.SOL_SOCKET, _TIMESTAMP, 1)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**20)
    made.setblocking(False)
    made.connect((address, port))
    return made


def real_time() -> bool:
    """Ask for real-time priority; needs root or CAP_SYS_NICE."""
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    except OSError:
        return False
    return True


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.prober", description=__doc__)
    parser.add_argument("--address", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--queries", type=Path, required=True)
    parser.add_argument("--rate", type=float, default=2000)
    parser.add_argument("--seconds", type=float, default=10)
    options = parser.parse_args()
    stopped: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _frame: stopped.append(number))
    sockets = [_socket(options.address, options.port) for _ in range(_SOCKETS)]
    probe = Probe(messages(options.queries.read_bytes()), sockets)
    first = real_time()
    run(probe, options.rate, options.seconds, stopped)
    result = asdict(tail(probe.delays_ms, probe.counted - len(probe.delays_ms)))
    result |= {"sent": probe.counted, "lag": asdict(tail(probe.lags_ms, 0)), "real_time": first}
    slowest = sorted(probe.slow, key=lambda found: found[1], reverse=True)[:20]
    print(json.dumps(result | {"slow": [[round(at, 3), round(delay, 2)] for at, delay in slowest]}))


if __name__ == "__main__":
    main()
