"""A worker process: a replica of the zone, the listeners, the forwarder. Composition root.

Started by the supervisor as `python -m mesos_dns.worker FD`, FD being its end of the feed. It ends
when the feed ends, and on SIGTERM after it has answered what had already arrived.
"""

import asyncio
import gc
import logging
import resource
import signal
import socket
import sys
from random import Random

from mesos_dns import logs
from mesos_dns.concurrency import spawn
from mesos_dns.limits import COUNTERS_SECONDS, DRAIN_SECONDS, GC_OBJECTS, GC_ROUNDS, LONGEST_PAUSE, OPEN_FILES
from mesos_dns.names.feed import (
    Begin,
    Counters,
    Edits,
    End,
    FeedError,
    Frame,
    FrameReader,
    FromWorker,
    Load,
    Serving,
    Settings,
    encode,
)
from mesos_dns.names.zone import Change, Zone
from mesos_dns.serve.answer import Answerer, AnswerOptions
from mesos_dns.serve.forward import Forwarder
from mesos_dns.serve.loop import DirectEventLoop
from mesos_dns.serve.responder import Responder
from mesos_dns.serve.tcp import TcpListener
from mesos_dns.serve.udp import BatchedListener, PlainListener, udp_listener

log = logging.getLogger(__name__)


class Worker:
    """One worker, alive from its first `Settings` frame to `drain`."""

    def __init__(self, settings: Settings, tell: "Feed") -> None:
        self._tell = tell
        self._hold = settings.hold
        self._options = AnswerOptions(settings.recursion, settings.truncate_bit)
        self._random = Random()  # noqa: S311 - it spreads load; nothing secret hangs on it
        self._zone = Zone(settings.authority)
        self._loading: Zone | None = None
        answerer = Answerer(self._zone, self._options, self._random)
        self._responder = Responder(answerer)
        self._forwarder = Forwarder(
            settings.upstreams, settings.timeout, truncate_bit=settings.truncate_bit, refuse=answerer.refusal
        )
        self._listeners: list[BatchedListener | PlainListener | TcpListener] = []
        for listener in settings.listeners:
            sock = socket.socket(fileno=listener.fd)
            kind = udp_listener if listener.udp else TcpListener
            self._listeners.append(kind(sock, self._responder, self._forwarder.submit))

    def __repr__(self) -> str:
        return f"Worker({self._zone!r}, {self._responder!r})"

    @property
    def has_zone(self) -> bool:
        """Whether there is a zone to answer from."""
        return bool(self._zone.serial)

    async def start(self) -> None:
        """Listen: until the zone is there, its names get SERVFAIL, or nothing at all if that is `hold`'s wish."""
        if not self._hold:
            await self._listen()

    async def _listen(self) -> None:
        for listener in self._listeners:
            await listener.start()

    async def drain(self) -> None:
        """Answer what has arrived, wait a bounded time for upstreams, and stop."""
        for listener in self._listeners:
            await listener.stop()
        try:
            async with asyncio.timeout(DRAIN_SECONDS):
                await self._forwarder.drained()
        except TimeoutError:
            log.warning("stopping although upstreams still owe answers: %r", self._forwarder)

    def take(self, frame: Frame) -> None:
        """Apply one frame from control. Short, since packets wait meanwhile."""
        match frame:
            case Edits(serial, edits, nodes):
                zone = self._zone if self._loading is None else self._loading
                zone.apply(Change(serial or zone.serial, tuple(edits), nodes))
                if serial and self._loading is not None:
                    self._loaded(serial)
                elif zone is self._zone:
                    self._responder.forget()
                    if serial:
                        self._tell.send(Serving(serial))
            case Load(nodes) if self._loading is not None:
                self._loading.apply(Change(0, (), nodes))
            case Begin():
                self._loading = Zone(self._zone.authority)
                # Millions of objects that live long and form no cycles: to look at them again and
                # again would cost seconds.
                gc.disable()
            case End(serial) if self._loading is not None:
                self._loaded(serial)
            case _:
                raise FeedError(f"an unexpected frame: {type(frame).__name__}")

    def _loaded(self, serial: int) -> None:
        """Answer from the zone that was being loaded."""
        assert self._loading is not None
        self._zone, self._loading = self._loading, None
        self._zone.apply(Change(serial, ()))
        self._responder.use(Answerer(self._zone, self._options, self._random))
        gc.freeze()
        gc.enable()
        if self._hold:
            self._hold = False
            spawn(self._listen(), name="start listening")
        self._tell.send(Serving(serial))

    def counters(self) -> dict[str, int]:
        """Counts since the start."""
        counts = self._responder.counts()
        counts.update(self._forwarder.counters)
        return dict(counts)


class Feed(asyncio.Protocol):
    """The worker's end of the feed. Frames are taken one at a time, packets in between."""

    def __init__(self, ended: asyncio.Event) -> None:
        self._ended = ended
        self._reader = FrameReader()
        self._scheduled = False
        self.worker: Worker | None = None

    def __repr__(self) -> str:
        return f"Feed({self._reader!r})"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Part of asyncio.Protocol."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Part of asyncio.Protocol."""
        self._reader.feed(data)
        if not self._scheduled:
            self._scheduled = True
            # What has arrived is worked off before more is read: the buffer stays small.
            self._transport.pause_reading()
            asyncio.get_running_loop().call_soon(self._take_next)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - why does not matter
        """Part of asyncio.Protocol. Without control there is nothing to live for."""
        self._ended.set()

    def send(self, frame: FromWorker) -> None:
        """Tell control."""
        if not self._transport.is_closing():
            self._transport.write(encode(frame))

    def _take_next(self) -> None:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        try:
            frame = next(self._reader, None)
            if frame is None:
                self._scheduled = False
                self._transport.resume_reading()
                return
            self._take(frame)
        except FeedError as error:
            log.error("worker ends, control will start another: %s", error)  # noqa: TRY400 - the peer's mistake
            self._ended.set()
            return
        except Exception:
            # A worker that takes no more frames would answer with what it has for ever.
            log.exception("worker ends, control will start another")
            self._ended.set()
            return
        if self.worker is not None and self.worker.has_zone:
            # Twice as long a pause as the frame took: a process that is busy without end waits for its turn at
            # the processor, and the packets with it, when a large state keeps all processors busy.
            loop.call_later(min(2 * (loop.time() - begun), LONGEST_PAUSE), self._take_next)
        else:
            loop.call_soon(self._take_next)

    def _take(self, frame: Frame) -> None:
        if self.worker is not None:
            self.worker.take(frame)
        elif isinstance(frame, Settings):
            logs.configure(frame.verbosity)
            self.worker = Worker(frame, self)
            spawn(self.worker.start(), name="start listening")
        else:
            raise FeedError(f"{type(frame).__name__} came before Settings")


async def serve(fd: int) -> None:
    """Run a worker over the inherited feed socket `fd` until it is told to end."""
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    # Ctrl-C goes to the whole process group; control decides what it means.
    loop.add_signal_handler(signal.SIGINT, lambda: None)
    loop.add_signal_handler(signal.SIGHUP, lambda: None)
    feed = Feed(ended)
    await loop.create_connection(lambda: feed, sock=socket.socket(fileno=fd))
    while not ended.is_set():
        try:
            async with asyncio.timeout(COUNTERS_SECONDS):
                await ended.wait()
        except TimeoutError:
            if feed.worker is not None:
                feed.send(Counters(feed.worker.counters()))
    # Whoever ends control and workers together sends SIGTERM, and control then sends it again.
    loop.remove_signal_handler(signal.SIGTERM)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if feed.worker is not None:
        await feed.worker.drain()
        feed.send(Counters(feed.worker.counters()))


def _allow_many_files() -> None:
    """Raise the limit of open files: connections and upstream sockets may need more than the usual 1024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, OPEN_FILES)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def main() -> None:
    """Entry point of the worker process."""
    logs.configure(0)
    # Answers and zone changes make objects that stay and have no cycles. The youngest are looked at often,
    # which costs little and finds what has cycles after all. Looking at those that survived once more made
    # answers wait up to 60 ms while 100,000 tasks arrived, and finds next to nothing.
    gc.set_threshold(GC_OBJECTS, GC_ROUNDS, GC_ROUNDS)
    _allow_many_files()
    with asyncio.Runner(loop_factory=DirectEventLoop) as runner:
        runner.run(serve(int(sys.argv[1])))


if __name__ == "__main__":
    main()
