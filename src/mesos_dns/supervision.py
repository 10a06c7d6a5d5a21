"""Keeps the service manager informed: ready, reloading, ending, alive, and in one line how the program does.

*Alive* means that a worker has just answered a question about the domain, put to it by control. It does not come through the port:
a flood that fills the sockets is no reason to start the program anew, which would lose all names.
"""

import asyncio
import contextlib
import enum
import logging
import time
import traceback
from collections.abc import Callable
from typing import Final, Protocol

from mesos_dns.concurrency import spawn
from mesos_dns.dns import message as msg
from mesos_dns.dns import rdata as rd
from mesos_dns.logs import RateLimited
from mesos_dns.systemd import ServiceManager
from mesos_dns.zone.zone import Zone

log = logging.getLogger(__name__)

#: Seconds between two words to the service manager, if its watchdog does not want them sooner.
BEAT_SECONDS: Final = 10.0
#: Seconds that a start or an end may go on after each word: three words may be late.
EXTENSION_SECONDS: Final = 3 * BEAT_SECONDS
#: Who is said to ask: this machine.
_CLIENT: Final = b"\x7f\0\0\1"


class Supervised(Protocol):
    """What is told about: the generation that serves."""

    @property
    def zone(self) -> Zone:
        """The zone of the Mesos domain."""

    @property
    def workers(self) -> int:
        """How many there ought to be."""

    def ready(self) -> tuple[bool, list[str]]:
        """Whether all is served; the reasons if not."""

    def notes(self) -> list[str]:
        """How old the names are, and what fails at present."""

    async def ask(self, octets: bytes, client: bytes) -> bytes | None:
        """A worker's reply to a DNS message, None if none can be asked."""


class Phase(enum.Enum):
    """Where the program is in its life."""

    STARTING = enum.auto()
    SERVING = enum.auto()
    RELOADING = enum.auto()
    ENDING = enum.auto()


def status_line(supervised: Supervised) -> str:
    """For people: how many names, which serial, how old, and what hinders; or why there are none."""
    is_ready, reasons = supervised.ready()
    zone = supervised.zone
    served = [f"{len(zone)} names, serial {zone.serial}"] if zone.serial else []
    return "; ".join([*([] if is_ready else reasons), *served, *supervised.notes()])


async def is_answered(supervised: Supervised, seconds: float) -> bool:
    """Whether a worker says within `seconds` who has authority over the domain. Each is given its share of the time. True without workers."""
    count = supervised.workers
    for number in range(count):
        question = msg.question(number, supervised.zone.authority.apex, rd.SOA)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds / count):
                reply = await supervised.ask(question, _CLIENT)
                # SERVFAIL: it is there, and of no use. Any other code is an answer that is meant.
                if reply and reply[3] & 0xF != msg.SERVFAIL:
                    return True
    return not count


class Supervision:
    """Tells `manager`, if there is one, from `start` to `stop`."""

    def __init__(self, manager: ServiceManager, current: Callable[[], Supervised | None]) -> None:
        """`current` gives what serves at present; None before there is anything."""
        self._manager = manager
        self._current = current
        self._phase = Phase.STARTING
        #: Seconds for which the program serves on although it ends.
        self._leaving = 0.0
        self._beating: asyncio.Task[None] | None = None
        self._warn = RateLimited(log)

    def __repr__(self) -> str:
        return f"Supervision({self._manager!r}, {self._phase.name})"

    @property
    def seconds(self) -> float:
        """Seconds between two words. sd_watchdog_enabled(3) advises half of the watchdog's time; with a quarter two may fail."""
        watchdog = self._manager.watchdog
        return BEAT_SECONDS if watchdog is None else min(BEAT_SECONDS, watchdog / 4)

    def start(self) -> None:
        """Say now and then how it goes."""
        if self._manager.is_there:
            self._beating = spawn(self._beat(), name="tell systemd")

    def stop(self) -> None:
        """Say no more."""
        if self._beating is not None:
            self._beating.cancel()

    def serving(self) -> None:
        """Names are served: the start, or a reload, is over."""
        if self._phase is not Phase.ENDING:
            self._phase = Phase.SERVING
            self._tell({"READY": 1})

    def reloading(self) -> None:
        """A reload begins. Before names are served it belongs to the start."""
        if self._phase in {Phase.SERVING, Phase.RELOADING}:
            self._phase = Phase.RELOADING
            self._tell({"RELOADING": 1, "MONOTONIC_USEC": time.monotonic_ns() // 1000})

    def reloaded(self) -> None:
        """The reload is over, however it went."""
        if self._phase is Phase.RELOADING:
            self.serving()

    def ending(self, seconds: float) -> None:
        """The program ends, and serves on for so long."""
        self._phase = Phase.ENDING
        self._leaving = seconds
        self._tell({"STOPPING": 1})

    def _tell(self, assignments: dict[str, object]) -> None:
        if self._phase in {Phase.STARTING, Phase.ENDING}:
            # However long masters are away: a start is given up only if this is not said any more.
            assignments["EXTEND_TIMEOUT_USEC"] = int((EXTENSION_SECONDS + self._leaving) * 1e6)
        supervised = self._current()
        if supervised is not None:
            before = {Phase.RELOADING: "reloading; ", Phase.ENDING: "ending; "}.get(self._phase, "")
            try:
                assignments["STATUS"] = before + status_line(supervised)
            except Exception:  # noqa: BLE001 - a line for people is no reason to be taken for dead
                self._warn.log(
                    logging.ERROR,
                    "mistake",
                    "the line for systemd failed by an internal error: please report it\n%s",
                    traceback.format_exc(),
                )
        self._manager.tell(assignments)

    async def _beat(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            begun = loop.time()
            alive: dict[str, object] = {"WATCHDOG": 1} if await self._is_alive() else {}
            # A word that was lost is said again: only a start and the end of a reload hang on it.
            again: dict[str, object] = {"READY": 1} if self._phase is Phase.SERVING else {}
            self._tell({**again, **alive})
            await asyncio.sleep(max(self.seconds - (loop.time() - begun), 0.0))

    async def _is_alive(self) -> bool:
        """Whether the watchdog is told so."""
        supervised = self._current()
        if self._manager.watchdog is None or supervised is None or self._phase is Phase.STARTING:
            return False
        answered = await is_answered(supervised, self.seconds)
        if answered:
            self._warn.over("alive", "a worker answers again what this server asks itself")
        else:
            self._warn.warning(
                "alive",
                "no worker answers within %.1f s what this server asks itself: the watchdog of systemd is not told that all is well",
                self.seconds,
            )
        return answered
