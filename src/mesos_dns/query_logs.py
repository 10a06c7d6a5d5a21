"""The query logs of one configuration: which are kept at the moment, and where what workers put down goes. Edge: asyncio.

One log has the destination of the configuration, and may be switched on and off at runtime. Others are for those who look on (`follow`), as long as they do.
"""

import asyncio
import logging
import struct
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import msgspec

from mesos_dns.logs import RateLimited
from mesos_dns.query_log_writer import QueryLogWriter
from mesos_dns.querylog.destination import Destination
from mesos_dns.querylog.logs import QueryLog, unpack
from mesos_dns.querylog.selection import Selection

log = logging.getLogger(__name__)

#: The number of the log that has a destination. Those who look on have numbers above.
_MAIN: Final = 0
#: Who may look on at the same time: each of them costs workers as much as a log.
MAX_FOLLOWERS: Final = 4
#: Octets of records that wait for one of them; what is more is dropped.
MOST_FOLLOWED: Final = 256 * 1024


class QueryLogPlan(msgspec.Struct, frozen=True):
    """What the configuration says: where to, from the start or when it is switched on, which answers, and how large a file may become."""

    destination: Destination | None = None
    on: bool = True
    selection: Selection = Selection()
    most_octets: int = 0


class NoDestinationError(Exception):
    """The log cannot be switched on: the configuration does not say where it is to be written."""


class TooManyError(Exception):
    """As many look on as may."""


class State(NamedTuple):
    """How the log does: `until` is a Unix time, None without an end; `trouble` is "" if it can be written."""

    destination: str
    on: bool
    until: float | None
    written: int
    dropped: int
    trouble: str


class QueryLogs:
    """Keeps them. `keep` tells workers which ones there are."""

    def __init__(self, plan: QueryLogPlan, keep: Callable[[Sequence[QueryLog]], None]) -> None:
        self._plan = plan
        self._keep = keep
        destination = plan.destination
        self._writer = None if destination is None else QueryLogWriter(destination, plan.most_octets)
        #: What is in the main log at the moment; None if it is off.
        self._selection = plan.selection if plan.on and destination is not None else None
        self._until: float | None = None
        self._ending: asyncio.TimerHandle | None = None
        self._followers: dict[int, Follower] = {}
        self._warn = RateLimited(log)

    def __repr__(self) -> str:
        return f"QueryLogs({self._writer!r}, on={self._selection is not None}, followers={len(self._followers)})"

    @property
    def kept(self) -> list[QueryLog]:
        """The logs that workers keep at the moment."""
        found = [QueryLog(number, False, each.selection) for number, each in self._followers.items()]
        if self._selection is not None and self._plan.destination is not None:
            found.append(QueryLog(_MAIN, self._plan.destination.dnstap, self._selection))
        return found

    @property
    def dropped(self) -> int:
        """Answers that workers handed on and that nobody took."""
        return 0 if self._writer is None else self._writer.dropped

    def state(self) -> State:
        """How the main log does."""
        writer, is_on = self._writer, self._selection is not None
        if writer is None:
            return State("", False, None, 0, 0, "")
        return State(str(writer.destination), is_on, self._until, writer.written, writer.dropped, writer.trouble)

    def switch_on(self, selection: Selection | None, seconds: float) -> None:
        """Write what `selection` takes (None: what the configuration says) for so many seconds from now on. Raises NoDestinationError."""
        if self._writer is None:
            raise NoDestinationError
        self._stop_clock()
        self._selection = self._plan.selection if selection is None else selection
        self._until = time.time() + seconds
        self._ending = asyncio.get_running_loop().call_later(seconds, self._end)
        self._keep(self.kept)
        log.warning("query log: on for %.0f s, to %s", seconds, self._writer.destination)

    def switch_off(self) -> None:
        """Write nothing more."""
        if self._selection is not None:
            self._stop_clock()
            self._selection = None
            self._keep(self.kept)
            log.warning("query log: off")

    def _end(self) -> None:
        """The time is over: what the configuration says counts again."""
        self._stop_clock()
        self._selection = self._plan.selection if self._plan.on else None
        self._keep(self.kept)
        log.warning("query log: the time is over; it is %s, as configured", "on" if self._plan.on else "off")

    def _stop_clock(self) -> None:
        if self._ending is not None:
            self._ending.cancel()
        self._ending = self._until = None

    def follow(self, selection: Selection) -> "Follower":
        """Look on from now on, until the follower is closed. Raises TooManyError."""
        if len(self._followers) >= MAX_FOLLOWERS:
            raise TooManyError
        number = next(number for number in range(1, MAX_FOLLOWERS + 1) if number not in self._followers)
        follower = self._followers[number] = Follower(number, selection, self._leave)
        self._keep(self.kept)
        return follower

    def _leave(self, follower: "Follower") -> None:
        if self._followers.get(follower.number) is follower:
            del self._followers[follower.number]
            self._keep(self.kept)

    def take(self, parcel: bytes) -> None:
        """Take what a worker handed on."""
        try:
            number, records, octets = unpack(parcel)
        except struct.error:
            self._warn.warning("parcel", "query log: a worker handed on what is no record")
            return
        if number == _MAIN and self._writer is not None:
            self._writer.put(octets, records)
        elif number in self._followers:
            self._followers[number].put(octets, records)

    def renew(self) -> None:
        """Open the destination anew: the file may have been moved away."""
        if self._writer is not None:
            self._writer.renew()

    async def stop(self) -> None:
        """Write what is there, within a bounded time."""
        self._stop_clock()
        for follower in self._followers.values():
            follower.end()
        if self._writer is not None:
            await asyncio.get_running_loop().run_in_executor(None, self._writer.close)
        # Workers lead here, and this to them: after `gc.freeze` nobody would find the cycle.
        self._keep = _keep_nothing


def _keep_nothing(_logs: Sequence[QueryLog]) -> None:
    """Tell workers that are gone."""


class Follower:
    """Somebody who looks on: takes lines of JSON as they come."""

    def __init__(self, number: int, selection: Selection, leave: "Callable[[Follower], None]") -> None:
        self.number = number
        self.selection = selection
        #: Lines that were dropped since they were not taken in time.
        self.dropped = 0
        self.ended = False
        self._leave = leave
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._news = asyncio.Event()

    def __repr__(self) -> str:
        return f"Follower({self.number}, waiting={self._size})"

    def put(self, octets: bytes, records: int) -> None:
        """Keep lines until they are taken."""
        if self._size + len(octets) > MOST_FOLLOWED:
            self.dropped += records
        else:
            self._waiting.append(octets)
            self._size += len(octets)
        self._news.set()

    def close(self) -> None:
        """Look on no more."""
        self._leave(self)

    def end(self) -> None:
        """Tell that no more lines come."""
        self.ended = True
        self._news.set()

    async def lines(self) -> tuple[list[bytes], int]:
        """The lines that have come, and how many were dropped before: waits until there is something, or no more will come."""
        await self._news.wait()
        if not self.ended:
            self._news.clear()
        found, dropped = b"".join(self._waiting).splitlines(), self.dropped
        self._waiting.clear()
        self._size = self.dropped = 0
        return found, dropped
