"""Starts the workers, feeds them the zone, restarts those that die, drains them.

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
    EDITS_PER_FRAME,
    FEED_BUFFER,
    FEED_PORTION,
    FRAME_OCTETS,
    HEALTHY_SECONDS,
    MAX_FEED_BACKLOG,
    RESTART_SECONDS,
    STOP_SECONDS,
)
from mesos_dns.names.feed import (
    Begin,
    Counters,
    Edits,
    End,
    FeedError,
    FrameReader,
    Listener,
    Load,
    Serving,
    Settings,
    encode,
)
from mesos_dns.names.zone import Change, Node, Owners, Zone
from mesos_dns.nursery import Child, Nursery, ended
from mesos_dns.sockets import Pair

log = logging.getLogger(__name__)


class Slot:
    """The place of one worker: its sockets, its process, its feed. Lives longer than any process."""

    def __init__(
        self,
        number: int,
        pair: Pair,
        settings: Settings,
        zone: Zone,
        nursery: Nursery,
        on_news: Callable[[], None],
    ) -> None:
        self.number = number
        self.restarts = 0
        #: The serial that the worker answers from; 0 while it has none.
        self.serving = 0
        self.pid: int | None = None
        self.counters: Counter[str] = Counter()
        self._pair = pair
        listeners = [Listener(pair.udp.fileno(), udp=True), Listener(pair.tcp.fileno(), udp=False)]
        self._settings = msgspec.structs.replace(settings, listeners=listeners)
        self._zone = zone
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
        return f"Slot({self.number}, pid={self.pid}, serving={self.serving}, restarts={self.restarts})"

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
                    sys.executable, "-m", "mesos_dns.worker", str(theirs.fileno()), pass_fds=fds
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
        self.serving = 0
        self._finished_counters += self.counters
        self.counters = Counter()
        self._on_news()

    async def _feed(self, writer: asyncio.StreamWriter) -> None:
        try:
            # Nothing is lost while a new worker loads what others had already: queries wait in the socket.
            hold = self._settings.hold or bool(self._zone.serial)
            writer.write(encode(msgspec.structs.replace(self._settings, hold=hold)))
            while True:
                if self._stale and not self._zone.behind:
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
                if not self._backlog and (not self._stale or self._zone.behind):
                    await self._news.wait()
        except OSError as error:
            log.info("the feed of worker %d broke: %s", self.number, error)

    async def _send_snapshot(self, writer: asyncio.StreamWriter) -> None:
        """All names, read while the zone may change: such changes follow, and adding twice is harmless.

        While the first state is still being taken the zone has no serial. The snapshot then stays
        open, and the edits that lead to the first serial complete it: workers load as control does.
        """
        self._drop_backlog()
        self._stale = False
        serial = self._zone.serial
        owners = list(self._zone)
        writer.write(encode(Begin()))
        for start in range(0, len(owners), EDITS_PER_FRAME):
            nodes: list[tuple[Owners, Node]] = [
                ((owner,), node)
                for owner in owners[start : start + EDITS_PER_FRAME]
                if (node := self._zone.node(owner)) is not None
            ]
            writer.write(encode(Load(nodes)))
            await writer.drain()
        if serial:
            writer.write(encode(End(serial)))

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        frames = FrameReader()
        try:
            while octets := await reader.read(65536):
                frames.feed(octets)
                for frame in frames:
                    if isinstance(frame, Serving):
                        self.serving = frame.serial
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


def _frames(change: Change) -> list[bytes]:
    """The frames of a change, none of which keeps a worker busy for long; the last has the serial."""
    nodes, edits = change.nodes, change.edits
    portions = [Edits(0, [], nodes[i : i + EDITS_PER_FRAME]) for i in range(0, len(nodes), EDITS_PER_FRAME)]
    portions += [Edits(0, edits[i : i + EDITS_PER_FRAME]) for i in range(0, len(edits), EDITS_PER_FRAME)]
    portions = portions or [Edits(0, [])]
    portions[-1] = msgspec.structs.replace(portions[-1], serial=change.serial)
    frames: list[bytes] = []
    portions.reverse()
    while portions:
        portion = portions.pop()
        frame = encode(portion)
        # Sizes tell how long it takes to apply, and are to be had for nothing.
        half = max(len(portion.nodes), len(portion.edits)) // 2
        if len(frame) > FRAME_OCTETS and half:
            portions.append(Edits(portion.serial, portion.edits[half:], portion.nodes[half:]))
            portions.append(Edits(0, portion.edits[:half], portion.nodes[:half]))
        else:
            frames.append(frame)
    return frames


class WorkerPool:
    """All workers of one generation. `zone` is the authoritative one; `publish` tells what changed in it."""

    def __init__(self, pairs: Sequence[Pair], settings: Settings, zone: Zone, nursery: Nursery) -> None:
        self._zone = zone
        self._changed = asyncio.Event()
        self.slots = [Slot(n, pair, settings, zone, nursery, self._changed.set) for n, pair in enumerate(pairs)]

    def __repr__(self) -> str:
        return f"WorkerPool({self.slots!r})"

    def start(self) -> None:
        """Start all workers."""
        for slot in self.slots:
            slot.start()

    async def stop(self) -> None:
        """Drain all workers."""
        await asyncio.gather(*(slot.stop() for slot in self.slots))

    def publish(self, change: Change) -> None:
        """Pass a change on; its serial is the zone's new one, or 0 if more follow before it is reached."""
        frames = _frames(change) if any(slot.wants_changes for slot in self.slots) else []
        for slot in self.slots:
            slot.push(frames)

    async def serving(self) -> None:
        """Wait until every worker serves some version of the zone."""
        while self.behind():
            self._changed.clear()
            await self._changed.wait()

    def behind(self) -> list[Slot]:
        """The workers that have no zone to answer from."""
        return [slot for slot in self.slots if not slot.serving]
