"""One worker as control sees it: its sockets, its process, its feed.

Each worker has a feed: a Unix stream socket pair. A worker that is new, or that fell too far behind,
gets a snapshot in chunks, and after it what changed meanwhile; the others get the changes alone.
"""

import asyncio
import contextlib
import logging
import signal
import socket
import sys
from collections import Counter, deque
from collections.abc import Callable, Sequence

import msgspec

from mesos_dns.concurrency import spawn
from mesos_dns.limits import (
    FEED_BUFFER,
    FEED_PORTION,
    HEALTHY_SECONDS,
    MAX_FEED_BACKLOG,
    RESTART_SECONDS,
    STOP_SECONDS,
)
from mesos_dns.sockets import Pair
from mesos_dns.workers.protocol import (
    Ack,
    Counters,
    FeedError,
    FrameReader,
    Listener,
    Settings,
    encode,
)
from mesos_dns.workers.replication import snapshot_frames
from mesos_dns.workers.spawner import Child, Nursery, ended
from mesos_dns.zone.zones import Zones

log = logging.getLogger(__name__)


class Slot:
    """The place of one worker: its sockets, its process, its feed. Lives longer than any process."""

    def __init__(
        self,
        number: int,
        pair: Pair,
        settings: Settings,
        zones: Zones,
        nursery: Nursery,
        on_news: Callable[[], None],
    ) -> None:
        self.number = number
        self.restarts = 0
        #: The serials that the worker answers from, by apex.
        self.serving: dict[bytes, int] = {}
        self.pid: int | None = None
        self.counters: Counter[str] = Counter()
        self._pair = pair
        listeners = [Listener(pair.udp.fileno(), udp=True), Listener(pair.tcp.fileno(), udp=False)]
        self._settings = msgspec.structs.replace(settings, listeners=listeners)
        self._zones = zones
        self._nursery = nursery
        self._on_news = on_news
        self._news = asyncio.Event()
        self._stale = True  # The worker lacks a snapshot.
        self._backlog: deque[bytes] = deque()
        self._backlog_size = 0
        self._process: Child | None = None
        self._stopping = asyncio.Event()
        self._life: asyncio.Task[None] | None = None
        self._finished_counters: Counter[str] = Counter()

    def __repr__(self) -> str:
        return f"Slot({self.number}, pid={self.pid}, serving={[*self.serving.values()]}, restarts={self.restarts})"

    @property
    def is_serving(self) -> bool:
        """Whether the worker answers from every zone."""
        return len(self.serving) == len(self._zones)

    @property
    def _behind(self) -> bool:
        """Whether there is no snapshot to be had yet."""
        return any(zone.behind for zone in self._zones)

    @property
    def wants_changes(self) -> bool:
        """Whether changes must be queued: a worker without a snapshot gets them with that."""
        return not self._stale

    def push(self, frames: Sequence[bytes]) -> None:
        """Queue frames for the worker."""
        if not self._stale:
            self._backlog.extend(frames)
            self._backlog_size += sum(map(len, frames))
            if self._backlog_size > MAX_FEED_BACKLOG:
                log.warning("worker %d does not read its feed; it gets a new snapshot", self.number)
                self._drop_backlog()
                self._stale = True
        self._news.set()

    def start(self) -> None:
        """Keep a worker running in the background until `stop`."""
        self._life = spawn(self._run(), name=f"worker {self.number}")

    async def stop(self) -> None:
        """Drain the worker, kill it if it does not end in time, and tidy up after it."""
        self._stopping.set()
        if self._life is None:
            return
        self._end_process(signal.SIGTERM)
        _, late = await asyncio.wait([self._life], timeout=STOP_SECONDS)
        if late:
            log.warning("worker %d does not end on SIGTERM; it is killed", self.number)
            self._end_process(signal.SIGKILL)
            await asyncio.wait(late)

    def _end_process(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        failures = 0
        while not self._stopping.is_set():
            started = loop.time()
            try:
                await self._run_once()
            except OSError as error:
                log.error("worker %d cannot be started: %s", self.number, error)  # noqa: TRY400 - says it all
            if self._stopping.is_set():
                return
            failures = 0 if loop.time() - started >= HEALTHY_SECONDS else failures + 1
            delay = RESTART_SECONDS[min(failures, len(RESTART_SECONDS)) - 1] if failures else 0.0
            self.restarts += 1
            log.warning("worker %d ended unasked; another starts in %.1f s", self.number, delay)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(delay):
                    await self._stopping.wait()

    # --- one process ---------------------------------------------------------------------------

    async def _run_once(self) -> None:
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                fds = (theirs.fileno(), self._pair.udp.fileno(), self._pair.tcp.fileno())
                self._process = process = await self._nursery.start(
                    sys.executable, "-m", "mesos_dns.workers.worker", str(theirs.fileno()), pass_fds=fds
                )
            # Control is busy in turns of 20 ms while it takes a large state: what a worker can work on
            # meanwhile must be in the socket by then.
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, FEED_BUFFER)
            reader, writer = await asyncio.open_connection(sock=ours)
            writer.transport.set_write_buffer_limits(high=FEED_BUFFER)
        except BaseException:
            ours.close()
            raise
        self.pid = process.pid
        self._drop_backlog()
        self._stale = True
        feeding = spawn(self._feed(writer), name=f"feed worker {self.number}")
        listening = spawn(self._listen(reader), name=f"listen to worker {self.number}")
        if self._stopping.is_set():
            self._end_process(signal.SIGTERM)
        await listening
        await ended(process)
        feeding.cancel()
        writer.close()
        self.pid = None
        self.serving = {}
        self._finished_counters += self.counters
        self.counters = Counter()
        self._on_news()

    async def _feed(self, writer: asyncio.StreamWriter) -> None:
        try:
            # Nothing is lost while a new worker loads what others had already: queries wait in the socket.
            hold = self._settings.hold or self._zones.loaded
            writer.write(encode(msgspec.structs.replace(self._settings, hold=hold)))
            while True:
                if self._stale and not self._behind:
                    await self._send_snapshot(writer)
                while self._backlog:
                    # Together, since each writing is a system call: a slice of a state has a dozen frames.
                    frames = []
                    size = 0
                    while self._backlog and size < FEED_PORTION:
                        frames.append(self._backlog.popleft())
                        size += len(frames[-1])
                    self._backlog_size -= size
                    writer.write(b"".join(frames))
                    await writer.drain()
                self._news.clear()
                if not self._backlog and (not self._stale or self._behind):
                    await self._news.wait()
        except OSError as error:
            log.info("the feed of worker %d broke: %s", self.number, error)

    async def _send_snapshot(self, writer: asyncio.StreamWriter) -> None:
        """Send all names, read while the zone may change: such changes follow, and adding twice is harmless."""
        self._drop_backlog()
        self._stale = False
        for zone in self._zones:
            for frame in snapshot_frames(zone):
                writer.write(frame)
                await writer.drain()

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        frames = FrameReader()
        try:
            while octets := await reader.read(65536):
                frames.feed(octets)
                for frame in frames:
                    if isinstance(frame, Ack):
                        self.serving[frame.zone] = frame.serial
                        self._on_news()
                    elif isinstance(frame, Counters):
                        self.counters = Counter(frame.counts)
        except OSError:
            pass  # It died before it had read everything.
        except FeedError as error:
            log.warning("worker %d cannot be understood, it is replaced: %s", self.number, error)
            self._end_process(signal.SIGTERM)

    def _drop_backlog(self) -> None:
        self._backlog.clear()
        self._backlog_size = 0

    def total_counters(self) -> Counter[str]:
        """Counts of all processes that this slot has had."""
        return self._finished_counters + self.counters
