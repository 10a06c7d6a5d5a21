"""A worker's end of the connection to control. Edge: asyncio."""

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from mesos_dns import logs, metrics, privileges
from mesos_dns.concurrency import spawn
from mesos_dns.workers.liveness import TICK_SECONDS
from mesos_dns.workers.protocol import (
    Declared,
    Frame,
    FrameReader,
    FromWorker,
    Heartbeat,
    ProtocolError,
    Report,
    Settings,
    UpstreamHealth,
    encode,
)

if TYPE_CHECKING:
    from mesos_dns.workers.worker import Worker

log = logging.getLogger(__name__)

#: Seconds that a worker pauses at the most between two frames of a change.
LONGEST_PAUSE: Final = 0.005
#: Seconds without a word from control after which that is told: it may be busy that long, not longer.
CONTROL_SILENT_SECONDS: Final = 15.0

#: Tells control something.
Tell = Callable[[FromWorker], None]


class ControlLink(asyncio.Protocol):
    """The worker's end of the connection to control. Frames are taken one at a time, packets in between.

    `begin` makes the worker of the first frame.
    """

    def __init__(self, ended: asyncio.Event, begin: "Callable[[Settings, Tell], Worker]") -> None:
        self._ended = ended
        self._begin = begin
        self._reader = FrameReader()
        #: When control was heard last, in the clock of the event loop.
        self.heard_at = asyncio.get_running_loop().time()
        self._silent = False
        self._scheduled = False
        self._ticking: asyncio.TimerHandle | None = None
        #: What control was told last.
        self._counted: dict[str, float] = {}
        self._measured: dict[str, float] = {}
        self._upstreams: list[UpstreamHealth] = []
        self.worker: Worker | None = None
        #: It ended because the system gave it no memory: then even to log that may be too much.
        self.lacked_memory = False

    def __repr__(self) -> str:
        return f"ControlLink({self._reader!r})"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Part of asyncio.Protocol."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Part of asyncio.Protocol."""
        self._reader.feed(data)
        self.heard_at = asyncio.get_running_loop().time()
        if self._silent:
            self._silent = False
            log.warning("control is heard again")
        if not self._scheduled:
            self._scheduled = True
            # What has arrived is worked off before more is read: the buffer stays small.
            self._transport.pause_reading()
            asyncio.get_running_loop().call_soon(self._take_next)

    def connection_lost(self, exc: Exception | None) -> None:
        """Part of asyncio.Protocol. Without control there is nothing to live for."""
        self.lacked_memory |= isinstance(exc, MemoryError)
        self._ended.set()

    def tick(self) -> None:
        """Report, and tell if control has not been heard for long: names then stay as they are. Then again and again."""
        # A timer, and no task that waits with a time-out: that takes several turns of the loop, each with its caches cold.
        self._ticking = asyncio.get_running_loop().call_later(TICK_SECONDS, self.tick)
        self.report()
        silence = asyncio.get_running_loop().time() - self.heard_at
        if silence > CONTROL_SILENT_SECONDS and not self._silent:
            self._silent = True
            log.warning("control has said nothing for %.0f s: names stay as they are until it does", silence)

    def report(self, *, whole: bool = False) -> None:
        """Tell what has been counted, and what is measured; `whole` as `Responder.counts` has it."""
        if self.worker is None:
            return
        counts, gauges = self.worker.counters(whole=whole), self.worker.gauges()
        before = self._counted
        changed = {series: count for series, count in counts.items() if before.get(series) != count}
        upstreams = self.worker.upstreams()
        told = upstreams if upstreams != self._upstreams else None
        self.send(Report(changed, gauges if gauges != self._measured else None, told))
        self._counted, self._measured, self._upstreams = counts, gauges, upstreams

    def stop_ticking(self) -> None:
        """Report no more by itself."""
        if self._ticking is not None:
            self._ticking.cancel()

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
        except ProtocolError as error:
            log.error("worker ends, control will start another: %s", error)  # noqa: TRY400 - the peer's mistake
            self._ended.set()
            return
        except Exception as error:
            # A worker that takes no more frames would answer with what it has for ever. First of all, for without memory nothing can be logged.
            self._ended.set()
            self.lacked_memory |= isinstance(error, MemoryError)
            log.exception("worker ends, control will start another")
            return
        if self.worker is not None and self.worker.has_zone and not isinstance(frame, Heartbeat):
            # Twice as long a pause as the frame took: a process that is busy without end waits for its turn at
            # the processor, and the packets with it, when a large state keeps all processors busy.
            loop.call_later(min(2 * (loop.time() - begun), LONGEST_PAUSE), self._take_next)
        else:
            loop.call_soon(self._take_next)

    def _take(self, frame: Frame) -> None:
        if self.worker is not None:
            self.worker.take(frame)
        elif isinstance(frame, Settings):
            logs.configure(frame.verbosity, as_json=frame.log_json)
            if frame.tls is not None:
                # It has a private key.
                privileges.forbid_dumps()
            self.worker = self._begin(frame, self.send)
            spawn(self.worker.connect(), name="take questions")
            self.send(Declared([*metrics.declared().values()]))
        else:
            raise ProtocolError(f"{type(frame).__name__} came before Settings")
