"""What a worker puts down in query logs: formatted at once, gathered, and handed to control; nothing waits for it. Edge: a socket.

Without a log there is no recorder, and listeners do nothing for it.
"""

import asyncio
import socket
import time
from collections.abc import Callable, Sequence
from random import Random
from typing import Final

from mesos_dns.dns.prefixes import Prefix
from mesos_dns.metrics import Counts, counter
from mesos_dns.querylog import dnstap, framestream, lines
from mesos_dns.querylog.answered import Answered, rcode_of
from mesos_dns.querylog.logs import QueryLog, parcels
from mesos_dns.querylog.selection import Selector
from mesos_dns.serve.batch import SILENCE, Batch
from mesos_dns.serve.outside import Outside
from mesos_dns.serve.request import Forward, Reply, Transport

#: Why answers are missing from a query log: there were more than a worker may look at and format in the time, more than control took, or more
#: than the destination took.
REASONS: Final = ("worker", "control", "destination")
DROPPED: Final = counter(
    "query_log_dropped",
    "Answers that are missing from query logs: a worker had too many, control or the destination did not keep up.",
    reason=REASONS,
)
RECORDED: Final = counter("query_log_records", "Answers that were put down in query logs.")
#: Seconds for which answers are gathered.
GATHERING_SECONDS: Final = 0.05
#: Octets of records of one log in that time: 5 MB a second.
MOST_GATHERED: Final = 256 * 1024
#: Seconds of processor time in that time for looking at answers and putting them down: a fifth of it, so that a worker that has no time to spare
#: still answers.
MOST_WORK_SECONDS: Final = 0.01
#: Octets in the kernel on their way to control, which may be busy for a part of a second.
LINK_ROOM: Final = 1024 * 1024


#: Answers a message of a client, who may be told how long the connection may stay idle.
Respond = Callable[[bytes, bytes, int], Reply]
#: Sends a reply.
Send = Callable[[bytes], None]
UDP: Final = Transport.UDP.value


class Noted(bytes):
    """Where a reply goes, in the form of `Batch.peer`, and what was asked, so that the reply can be put down when it comes."""

    client: bytes
    port: int
    query: bytes
    began: float


class _Log:
    """One log, and what is gathered for it."""

    def __init__(self, wanted: QueryLog, networks: Sequence[Prefix], chance: Callable[[], float]) -> None:
        self.number = wanted.number
        self.dnstap = wanted.dnstap
        self.selector = Selector(wanted.selection, networks, chance)
        self.records: list[bytes] = []
        self.room = MOST_GATHERED

    def __repr__(self) -> str:
        return f"_Log({self.number}, records={len(self.records)})"


class Recorder:
    """Puts down answers in `logs`, at least one. `sock` leads to control, a packet for each parcel; `said` are identity and version of dnstap."""

    def __init__(
        self,
        logs: Sequence[QueryLog],
        sock: socket.socket,
        counters: Counts,
        said: tuple[bytes, bytes],
        networks: Sequence[Prefix],
    ) -> None:
        chance = Random().random  # noqa: S311 - which answers are a sample is no secret
        self._logs = [_Log(each, networks, chance) for each in logs]
        self._socket = sock
        self._said = said
        self._sending: asyncio.TimerHandle | None = None
        #: Seconds of work on records since they were handed over last, and answers that were passed over since.
        self._worked = 0.0
        self._missing = 0
        self._counters = counters

    def __repr__(self) -> str:
        return f"Recorder({self._logs!r})"

    def networks_found(self, networks: Sequence[Prefix]) -> None:
        """Take other networks of this machine's interfaces."""
        for log in self._logs:
            log.selector.use(networks)

    def put(self, transport: Transport, client: bytes, port: int, query: bytes, reply: bytes, began: float) -> None:
        """Put down an answer where it is wanted, with the fields of `Answered`. It ends now."""
        if self._worked >= MOST_WORK_SECONDS:
            self._pass_over(1)
            return
        begun = time.thread_time()
        wanting = self._wanting(client, query)
        if wanting:
            self._note(wanting, Answered(transport.value, client, port, query, reply, began, time.time()))
        self._worked += time.thread_time() - begun

    def put_batch(
        self, batch: Batch, questions: bytes, lengths: Sequence[int], descriptors: Sequence[bytes], began: float
    ) -> None:
        """Put down the answers of a batch that was sent a moment ago: `questions` are as they came."""
        begun, ended = time.thread_time() - self._worked, time.time()
        for i, descriptor in enumerate(descriptors):
            if descriptor == SILENCE:
                continue
            if self._worked >= MOST_WORK_SECONDS:
                self._pass_over(len(descriptors) - i - descriptors[i:].count(SILENCE))
                return
            client, query = batch.client(i), batch.as_received(i, lengths[i], questions)
            wanting = self._wanting(client, query)
            if wanting:
                answered = Answered(UDP, client, batch.port(i), query, batch.as_sent(i), began, ended)
                self._note(wanting, answered)
                self._worked = time.thread_time() - begun
        self._worked = time.thread_time() - begun

    def _wanting(self, client: bytes, query: bytes) -> list[_Log]:
        """The logs that may want the answer to this query."""
        return [log for log in self._logs if log.selector.asks(client, query)]

    def _note(self, wanting: Sequence[_Log], answered: Answered) -> None:
        rcode = rcode_of(answered.reply)
        for log in wanting:
            if not log.selector.takes(rcode):
                continue
            if log.room <= 0:
                self._pass_over(1)
                continue
            record = self._record(log, answered)
            log.records.append(record)
            log.room -= len(record)
            self._hand_over_soon()

    def _pass_over(self, answers: int) -> None:
        """Take note of answers that are missing, or that nobody looked at."""
        self._missing += answers
        self._hand_over_soon()

    def _hand_over_soon(self) -> None:
        if self._sending is None:
            self._sending = asyncio.get_running_loop().call_later(GATHERING_SECONDS, self.flush)

    def _record(self, log: _Log, answered: Answered) -> bytes:
        if log.dnstap:
            return framestream.frame(dnstap.payload(answered, *self._said))
        return lines.line(answered)

    def flush(self) -> None:
        """Hand over what is gathered. Control that does not keep up gets less of it."""
        if self._sending is not None:
            self._sending.cancel()
            self._sending = None
        self._worked = 0.0
        if self._missing:
            self._counters.add(DROPPED, "worker", times=self._missing)
            self._missing = 0
        for log in self._logs:
            records, log.records, log.room = log.records, [], MOST_GATHERED
            for count, parcel in parcels(log.number, records):
                try:
                    self._socket.send(parcel, socket.MSG_DONTWAIT)
                    self._counters.add(RECORDED, times=count)
                except OSError:
                    self._counters.add(DROPPED, "control", times=count)

    # --- what comes in by other ways -----------------------------------------------------------

    def noted(self, batch: Batch, i: int, octets: bytes) -> Noted:
        """Where the reply to datagram i goes, with what is to be put down then."""
        peer = Noted(batch.peer(i))
        peer.client, peer.port, peer.query, peer.began = batch.client(i), batch.port(i), octets, time.time()
        return peer

    def responding(self, respond: Respond, transport: Transport, fd: int) -> Respond:
        """`respond` for the connection `fd`, whose replies are put down, too."""

        def respond_and_put(octets: bytes, client: bytes, keepalive: int) -> Reply:
            began = time.time()
            reply = respond(octets, client, keepalive)
            if isinstance(reply, bytes):
                self.put(transport, client, port_of(fd), octets, reply, began)
            return reply

        return respond_and_put

    def late(self, transport: Transport, port: int, forward: Forward, send: Send) -> Send:
        """`send` for the reply to a forwarded query, which is put down, too."""
        began = time.time()

        def put_and_send(reply: bytes) -> None:
            send(reply)
            self.put(transport, forward.client, port, forward.query.octets, reply, began)

        return put_and_send


class NotedOutside:
    """Sends late replies as `outside` does, and puts them down."""

    def __init__(self, outside: Outside, recorder: Recorder) -> None:
        self._outside = outside
        self._recorder = recorder
        #: Part of what listens to forwarded replies.
        self.flush = outside.flush
        self.known = outside.known

    def __repr__(self) -> str:
        return f"NotedOutside({self._outside!r})"

    def reply(self, peer: Noted, message: bytes) -> None:
        """Send `message`, with the next `flush` at the latest."""
        self._outside.reply(peer, message)
        self._recorder.put(Transport.UDP, peer.client, peer.port, peer.query, message, peer.began)


def port_of(fd: int) -> int:
    """The port of the other end of a connection; 0 if it is gone."""
    sock = socket.socket(fileno=fd)
    try:
        return int(sock.getpeername()[1])
    except OSError:
        return 0
    finally:
        sock.detach()
