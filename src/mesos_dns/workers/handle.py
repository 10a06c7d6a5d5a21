"""One worker as control sees it: its sockets, its process, what it is told.

Control and worker talk over a Unix stream socket pair. A worker that is new, or that fell too far behind,
gets a snapshot in chunks, and after it what changed meanwhile; the others get the changes alone.

However a process ends that was not told to (it dies, says nothing, cannot be understood, its connection breaks), the same
follows: the reason is logged and counted, what is left of it is killed, and another starts.
"""

import asyncio
import contextlib
import logging
import signal
import socket
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec

from mesos_dns.certificates import KeyPair
from mesos_dns.concurrency import spawn
from mesos_dns.dns import name as names
from mesos_dns.dns.prefixes import Prefix
from mesos_dns.metrics import Metric, counter, summed
from mesos_dns.querylog.logs import QueryLog
from mesos_dns.serve.forward.options import ForwardOptions
from mesos_dns.sockets import Pair
from mesos_dns.workers.collecting import Collecting
from mesos_dns.workers.liveness import TICK_SECONDS, Liveness, Verdict
from mesos_dns.workers.propagation import Propagation
from mesos_dns.workers.protocol import (
    DRAIN_SECONDS,
    Ack,
    CookieSecrets,
    Declared,
    Frame,
    FrameReader,
    Heartbeat,
    Listen,
    Listener,
    Networks,
    ProtocolError,
    QueryLogs,
    Renew,
    Report,
    Resolvers,
    Settings,
    ToWorker,
    UpstreamHealth,
    encode,
)
from mesos_dns.workers.questions import Asking
from mesos_dns.workers.rates import Rate
from mesos_dns.workers.replication import snapshot_frames
from mesos_dns.workers.spawner import Child, ProcessSpawner, end_of, ended, look_at
from mesos_dns.zone.zones import Zones

log = logging.getLogger(__name__)

_RESTARTS: Final = counter(
    "worker_restarts", "Workers that were started anew because the one before had ended unasked."
)

#: Octets on their way to a worker, in the kernel and in control each.
LINK_BUFFER: Final = 4 * 1024 * 1024
#: Octets of frames that are written together, roughly: what a worker reads in one go.
WRITE_PORTION: Final = 256 * 1024
#: Octets waiting for a worker that does not read before it is given a new snapshot instead.
MAX_BACKLOG: Final = 256 * 1024 * 1024
#: Seconds from the end of a worker to the start of the next: at once first, then more and more.
RESTART_SECONDS: Final = (0.0, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
#: A worker that lived this many seconds was healthy: the next restart is at once again.
HEALTHY_SECONDS: Final = 10.0
#: Seconds that a worker gets to drain and end before it is killed.
STOP_SECONDS: Final = DRAIN_SECONDS + 2.0


class WorkerHandle:
    """The place of one worker. Lives longer than any process."""

    def __init__(
        self,
        number: int,
        pair: Pair,
        settings: Settings,
        zones: Zones,
        spawner: ProcessSpawner,
        on_news: Callable[[], None],
        propagation: Propagation,
    ) -> None:
        """`on_news` is called whenever `serving` or `trouble` may have changed; `propagation` is told what the worker answers from."""
        self.number = number
        self.restarts = 0
        #: The serials that the worker answers from, by apex.
        self.serving: dict[bytes, int] = {}
        self.pid: int | None = None
        self.counters: dict[str, float] = {}
        #: What the present process measures, by series, and what its code has declared.
        self.gauges: Mapping[str, float] = {}
        self.declared: Mapping[str, Metric] = {}
        #: How upstreams do for the present process, and how many queries it answers.
        self.upstreams: Sequence[UpstreamHealth] = ()
        self.rate = Rate()
        self._pair = pair
        listeners = [Listener(pair.udp.fileno(), udp=True), Listener(pair.tcp.fileno(), udp=False)]
        if pair.tls is not None:
            listeners.append(Listener(pair.tls.fileno(), udp=False, tls=True))
        #: Takes what it puts down in query logs, of which these are kept.
        self.on_records: Callable[[bytes], None] = _drop
        self._collecting: Collecting | None = None
        self._logs: list[QueryLog] = []
        #: Asks the process questions that come to control; None without such.
        self.asking: Asking | None = None
        self._settings = msgspec.structs.replace(settings, listeners=listeners)
        #: Files that the worker must be able to read; whatever else it has no business with.
        self._files = tuple(filter(None, (settings.forward.ca_file,)))
        self._zones = zones
        self._spawner = spawner
        self._on_news = on_news
        self._propagation = propagation
        self._news = asyncio.Event()
        #: What has changed in the settings since the worker was told, by its kind; and a heartbeat when one is due.
        self._changes: dict[type, ToWorker] = {}
        self._stale = True  # The worker lacks a snapshot.
        self._may_listen = False
        self._backlog: deque[bytes] = deque()
        self._backlog_size = 0
        self._process: Child | None = None
        self._liveness = Liveness()
        self._stopping = asyncio.Event()
        self._life: asyncio.Task[None] | None = None
        self._finished_counters: dict[str, float] = {}

    def __repr__(self) -> str:
        serving = [*self.serving.values()]
        return f"WorkerHandle({self.number}, pid={self.pid}, serving={serving}, restarts={self.restarts})"

    @property
    def is_serving(self) -> bool:
        """Whether the worker answers from every zone."""
        return len(self.serving) == len(self._zones)

    @property
    def trouble(self) -> str | None:
        """Why not all queries that come to this worker are answered as they should be; None if they are."""
        if self.pid is None:
            return f"worker {self.number} is not running"
        if not self.is_serving:
            return f"worker {self.number} has no zone yet (pid {self.pid})"
        if self._liveness.silent > 1:
            return f"worker {self.number} has said nothing for {self._liveness.seconds:.1f} s (pid {self.pid})"
        return None

    @property
    def wants_changes(self) -> bool:
        """Whether changes must be queued: a worker without a snapshot gets them with that."""
        return not self._stale

    @property
    def _behind(self) -> bool:
        """Whether there is no snapshot to be had yet."""
        return any(zone.behind for zone in self._zones)

    def total_counters(self) -> dict[str, float]:
        """Counts of all processes that this place has had, and how many there were beyond the first."""
        return summed(self._finished_counters, self.counters, {_RESTARTS.series(): self.restarts})

    def status(self) -> dict[str, object]:
        """How the worker does, for people and programs: plain values."""
        return {
            "number": self.number,
            "pid": self.pid,
            "restarts": self.restarts,
            "serials": {names.to_text(apex): serial for apex, serial in self.serving.items()},
            "trouble": self.trouble or "",
            "answers_per_second": round(self.rate.per_second),
        }

    def push(self, frames: Sequence[bytes]) -> None:
        """Queue frames for the worker."""
        if not self._stale:
            self._backlog.extend(frames)
            self._backlog_size += sum(map(len, frames))
            if self._backlog_size > MAX_BACKLOG:
                log.warning("worker %d does not read what it is told; it gets a new snapshot", self.number)
                self._drop_backlog()
                self._stale = True
        self._news.set()

    def renew(self, pair: KeyPair) -> None:
        """Show new connections over TLS another certificate."""
        self._settings = msgspec.structs.replace(self._settings, tls=pair)
        self._changes[Renew] = Renew(pair)
        self._news.set()

    def use_cookies(self, cookies: CookieSecrets) -> None:
        """Have the worker, and those that follow it, work with other secrets."""
        self._settings = msgspec.structs.replace(self._settings, cookies=cookies)
        self._changes[CookieSecrets] = cookies
        self._news.set()

    def listen(self) -> None:
        """Let the worker answer what comes to its sockets, which must be bound."""
        self._may_listen = True
        self._news.set()

    def forward(self, options: ForwardOptions) -> None:
        """Have the worker, and those that come after it, ask the upstreams of `options`; all else in it must be as it was."""
        self._settings = msgspec.structs.replace(self._settings, forward=options)
        self._changes[Resolvers] = Resolvers(options.upstreams)
        self._news.set()

    def keep_logs(self, logs: Sequence[QueryLog]) -> None:
        """Have the worker, and those that follow it, keep these query logs and no others."""
        self._logs = [*logs]
        self._changes[QueryLogs] = QueryLogs(self._logs)
        self._news.set()

    def networks_found(self, networks: tuple[Prefix, ...]) -> None:
        """Tell the worker, and each one after it, of the networks of this machine's interfaces."""
        self._settings = msgspec.structs.replace(self._settings, networks=networks)
        self._changes[Networks] = Networks(networks)
        self._news.set()

    def start(self) -> None:
        """Keep a worker running in the background until `stop`."""
        self._life = spawn(self._run(), name=f"worker {self.number}")

    async def stop(self) -> None:
        """Drain the worker, kill it if it does not end in time, and tidy up after it."""
        self._stopping.set()
        if self._life is None:
            return
        self._signal(signal.SIGTERM)
        _, late = await asyncio.wait([self._life], timeout=STOP_SECONDS)
        if late:
            log.warning("worker %d does not end on SIGTERM; it is killed", self.number)
            self._signal(signal.SIGKILL)
            await asyncio.wait(late)

    def kill(self) -> None:
        """End the worker at once, without a successor."""
        self._stopping.set()
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        failures = 0
        while not self._stopping.is_set():
            started = loop.time()
            try:
                reason = await self._run_once()
            except OSError as error:
                reason = f"cannot be started: {error}"
            if self._stopping.is_set():
                return
            failures = 0 if loop.time() - started >= HEALTHY_SECONDS else failures + 1
            delay = RESTART_SECONDS[min(failures, len(RESTART_SECONDS)) - 1] if failures else 0.0
            self.restarts += 1
            log.warning("worker %d %s; another starts in %.1f s", self.number, reason, delay)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(delay):
                    await self._stopping.wait()

    # --- one process ---------------------------------------------------------------------------

    async def _run_once(self) -> str:
        """Start a process and accompany it to its end; what happened to it."""
        reader, writer = await self._start_process()
        process = self._process
        assert process is not None
        self._drop_backlog()
        self._stale = True
        self._liveness = Liveness()
        self.pid = process.pid
        parts = [
            spawn(part, name=f"{name} worker {self.number}")
            for name, part in (
                ("replicate to", self._replicate(writer)),
                ("listen to", self._listen_to(reader)),
                ("watch", self._watch(process.pid)),
            )
        ]
        if self._stopping.is_set():
            self._signal(signal.SIGTERM)
        try:
            await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
            fault = "; ".join(filter(None, (part.result() for part in parts if part.done())))
            if fault and not self._stopping.is_set():
                self._signal(signal.SIGKILL)
            elif not self._stopping.is_set():
                # Its end of the connection is closed: it ends, or it is stuck on its way.
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(STOP_SECONDS):
                        await ended(process)
                self._signal(signal.SIGKILL)
            await ended(process)
        finally:
            for part in parts:
                part.cancel()
            writer.close()
            if self.asking is not None:
                self.asking.close()
            if self._collecting is not None:
                self._collecting.close()
        await asyncio.wait(parts)
        with contextlib.suppress(OSError):  # The other end is closed, so this takes no time.
            await writer.wait_closed()
        # If the connection broke: the reader keeps the exception, and that, by its traceback, all that keeps the reader.
        if (error := reader.exception()) is not None:
            error.__traceback__ = None
        self.pid = None
        self.serving = {}
        self._propagation.gone(self.number)
        self._finished_counters = summed(self._finished_counters, self.counters)
        self.counters = {}
        self.gauges = {}
        self.upstreams = ()
        self.rate = Rate()
        self._on_news()
        return f"{fault}, and was killed" if fault else f"ended unasked ({end_of(process.returncode)})"

    async def _start_process(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        ours, theirs = socket.socketpair()
        try:
            with theirs, contextlib.ExitStack() as stack:
                fds = (theirs.fileno(), *(listener.fd for listener in self._settings.listeners))
                fds += (self._open_records(stack),)
                if self._settings.questions:
                    fds += (await self._open_questions(stack),)
                # With -P, or a file that lies in the working folder could be taken for a module of ours.
                command = (sys.executable, "-P", "-m", "mesos_dns.workers.worker")
                arguments = (str(self.number), str(theirs.fileno()), *self._files)
                self._process = await self._spawner.start(*command, *arguments, pass_fds=fds)
            # Control is busy in turns of 20 ms while it takes a large state: what a worker can work on
            # meanwhile must be in the socket by then.
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, LINK_BUFFER)
            reader, writer = await asyncio.open_connection(sock=ours)
            writer.transport.set_write_buffer_limits(high=LINK_BUFFER)
        except BaseException:
            ours.close()
            raise
        return reader, writer

    async def _open_questions(self, stack: contextlib.ExitStack) -> int:
        """Make the connection for questions; the worker's end of it, which `stack` closes here."""
        ours, theirs = socket.socketpair()
        stack.enter_context(theirs)
        asking = Asking()
        await asyncio.get_running_loop().create_connection(lambda: asking, sock=ours)
        self.asking = asking
        self._settings = msgspec.structs.replace(self._settings, questions_fd=theirs.fileno())
        return theirs.fileno()

    def _open_records(self, stack: contextlib.ExitStack) -> int:
        """Make the connection for query logs, on which a packet stays one; the worker's end of it, which `stack` closes here."""
        ours, theirs = socket.socketpair(type=socket.SOCK_SEQPACKET)
        stack.enter_context(theirs)
        self._collecting = Collecting(ours, self.on_records)
        self._settings = msgspec.structs.replace(self._settings, records_fd=theirs.fileno())
        return theirs.fileno()

    async def _watch(self, pid: int) -> str:
        """Wait until the worker is lost; why."""
        while True:
            await asyncio.sleep(TICK_SECONDS)
            before = self._liveness.silent
            process = look_at(pid)
            verdict = self._liveness.tick(process)
            if verdict is Verdict.LOST:
                state = f", process state {process.state}" if process is not None else ""
                return f"said nothing for {self._liveness.seconds:.1f} s{state}"
            if before != self._liveness.silent:
                self._on_news()
            # With this wake of the process, not with one of its own.
            self._changes[Heartbeat] = Heartbeat()
            self._news.set()

    async def _replicate(self, writer: asyncio.StreamWriter) -> str:
        """Tell the worker what it has to know, for ever; why that is not possible any more ("" if it closed its end)."""
        try:
            # Nothing is lost while a new worker loads what others had already: queries wait in the socket.
            hold = self._settings.hold or self._zones.loaded
            self._changes.clear()
            writer.write(encode(msgspec.structs.replace(self._settings, hold=hold)))
            if self._logs:
                writer.write(encode(QueryLogs(self._logs)))
            listens = False
            while True:
                while self._changes:
                    writer.write(encode(self._changes.popitem()[1]))
                if self._may_listen and not listens:
                    listens = True
                    writer.write(encode(Listen()))
                if self._stale and not self._behind:
                    await self._send_snapshot(writer)
                while self._backlog:
                    writer.write(self._next_portion())
                    await writer.drain()
                self._news.clear()
                is_done = not self._backlog and (not self._stale or self._behind)
                if is_done and listens == self._may_listen and not self._changes:
                    await self._news.wait()
        except OSError as error:
            log.info("the connection to worker %d broke: %s", self.number, error.strerror or error)
            return ""
        except Exception:
            log.exception("worker %d cannot be fed: please report it", self.number)
            return "could not be fed"

    def _next_portion(self) -> bytes:
        """Some frames of the backlog: together, since each writing is a system call, and a slice of a state has a dozen."""
        frames = []
        size = 0
        while self._backlog and size < WRITE_PORTION:
            frames.append(self._backlog.popleft())
            size += len(frames[-1])
        self._backlog_size -= size
        return b"".join(frames)

    async def _send_snapshot(self, writer: asyncio.StreamWriter) -> None:
        """Send all names, read while the zone may change: such changes follow, and adding twice is harmless."""
        self._drop_backlog()
        self._stale = False
        for zone in self._zones:
            for frame in snapshot_frames(zone):
                writer.write(frame)
                await writer.drain()

    async def _listen_to(self, reader: asyncio.StreamReader) -> str:
        """Take what the worker says until it closes its end ("") or cannot be understood (why)."""
        frames = FrameReader()
        try:
            while octets := await reader.read(65536):
                frames.feed(octets)
                for frame in frames:
                    self._take(frame)
        except OSError:
            pass  # It died before it had read everything.
        except ProtocolError as error:
            return f"cannot be understood ({error})"
        return ""

    def _take(self, frame: Frame) -> None:
        was_silent = self._liveness.silent
        self._liveness.hear()
        if was_silent:
            self._on_news()
        match frame:
            case Ack(apex, serial):
                self.serving[apex] = serial
                self._on_news()
                self._propagation.acknowledged(apex, self.number, serial, asyncio.get_running_loop().time())
            case Report(counts, gauges, upstreams):
                self.counters.update(counts)
                self.rate.note(asyncio.get_running_loop().time(), self.counters)
                if gauges is not None:
                    self.gauges = gauges
                if upstreams is not None:
                    self.upstreams = upstreams
            case Declared(metrics):
                self.declared = {metric.name: metric for metric in metrics}
            case _:
                raise ProtocolError(f"a frame that is not for control: {type(frame).__name__}")

    def _drop_backlog(self) -> None:
        self._backlog.clear()
        self._backlog_size = 0


def _drop(_parcel: bytes) -> None:
    """Take records of a query log that nobody wants."""
