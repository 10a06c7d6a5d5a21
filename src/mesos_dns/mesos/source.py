"""What every source of truth about the cluster, and every detector of masters, looks like from outside. Pure: types only."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from types import TracebackType
from typing import Protocol

import msgspec

from mesos_dns.mesos.asked import MasterStatus
from mesos_dns.mesos.state import Endpoint, NotRunning, Observation


class DetectorStatus(msgspec.Struct, frozen=True):
    """How it goes with whoever tells the masters, such as ZooKeeper.

    `origin` is what people call it, without credentials. It is heard (`connected`) or silent since `since`, a time of the monotonic
    clock in seconds. `masters` are as many as it has named, `leader` is the leading one that it named last; `trouble` says what hinders it
    at present, "" if nothing does.
    """

    origin: str
    connected: bool
    since: float
    masters: int = 0
    leader: Endpoint | None = None
    trouble: str = ""

    def notes(self, now: float) -> list[str]:
        """Lines for people if anything is wrong at `now` (of the monotonic clock)."""
        if not self.connected:
            return [
                f"{self.origin} has been silent for {_duration(now - self.since)}: {self.trouble or 'no server answers'}"
            ]
        return [f"{self.origin}: {self.trouble}"] if self.trouble else []

    def as_json(self, now: float) -> dict[str, object]:
        """The same as plain values; times in whole seconds."""
        return {
            "origin": self.origin,
            "connected": self.connected,
            "seconds": round(now - self.since),
            "masters": self.masters,
            "leader": "" if self.leader is None else str(self.leader),
            "trouble": self.trouble,
        }


class SourceStatus(msgspec.Struct, frozen=True):
    """How reading the cluster goes. Replaced as a whole, never edited.

    `leader` is the endpoint that gave the last good state. `last_success` is a time of the monotonic clock, in seconds, None before
    the first (with events, when one or a heartbeat came last); `polls` counts polls, or streams of events that began; `last_duration` the seconds from request to decoded state; `octets` the size of that state's document.
    `last_error` is the text of the latest failure and stays after a success; `consecutive_failures` tells whether it is current.
    `cluster` is the name that the cluster gives itself, "" for none. `is_live`: what happens is yielded when it happens, so silence
    says that nothing did. True of an open stream of events, never of polling. `detector` tells how it goes with whoever names the
    masters; None for a list.

    `using` is how the cluster is followed at the moment, "events" or "polling"; `why` is the reason if it is not the way that was asked for.
    Of events: `events` counts those that told of something, `reads` the whole states that were read besides the first, `differences` what
    those had that the events had not told; `skipped` parts of the present stream that could not be used, by reason.

    `masters` are those that are known, in their order, and others that were asked.
    """

    leader: Endpoint | None = None
    polls: int = 0
    failures: int = 0
    consecutive_failures: int = 0
    last_error: str = ""
    last_success: float | None = None
    last_duration: float | None = None
    octets: int = 0
    is_live: bool = False
    cluster: str = ""
    using: str = "polling"
    why: str = ""
    events: int = 0
    reads: int = 0
    differences: int = 0
    skipped: Mapping[str, int] = {}
    detector: DetectorStatus | None = None
    masters: tuple[MasterStatus, ...] = ()

    def notes(self, now: float) -> list[str]:
        """Lines for people: how old the last good state is at `now` (of the monotonic clock), and what fails at present."""
        lines = []
        if self.last_success is not None:
            lines.append(f"state of the cluster: {_duration(now - self.last_success)} old, from {self.leader}")
        if self.consecutive_failures:
            count = self.consecutive_failures
            one, many = ("poll", "polls") if self.using == "polling" else ("attempt", "attempts")
            what = "" if self.using == "polling" else " to follow the events"
            tries = f"the last {one}{what}" if count == 1 else f"the last {count} {many}{what}"
            lines.append(f"{tries} failed: {' '.join(self.last_error.split())}")
        if self.why and self.using == "polling":
            lines.append(f"the state is polled: {' '.join(self.why.split())}")
        if self.detector is not None:
            lines += self.detector.notes(now)
        return lines

    def as_json(self, now: float) -> dict[str, object]:
        """The same as plain values; times in whole seconds."""
        return {
            "leader": "" if self.leader is None else str(self.leader),
            "age": None if self.last_success is None else round(now - self.last_success),
            "live": self.is_live,
            "cluster": self.cluster,
            "using": self.using,
            "why": self.why,
            "events": self.events,
            "reads": self.reads,
            "differences": self.differences,
            "polls": self.polls,
            "failures": self.failures,
            "failures_in_a_row": self.consecutive_failures,
            "last_error": self.last_error,
            "took_us": None if self.last_duration is None else round(self.last_duration * 1e6),
            "octets": self.octets,
            "detector": None if self.detector is None else self.detector.as_json(now),
        }


def _duration(seconds: float) -> str:
    """In the largest unit of which there are two, so that nobody divides in his head."""
    for unit, length in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length:.0f} {unit}"
    return f"{max(seconds, 0.0):.0f} s"


class Source(Protocol):
    """Yields what happens in the cluster, for ever. A failure yields nothing: what was yielded before stays true."""

    @property
    def status(self) -> SourceStatus:
        """How it goes at the moment."""
        ...

    def not_running(self) -> Sequence[NotRunning]:
        """Tasks that have not ended and do not run, as far as it is known: `MAX_NOT_RUNNING` at most. Takes no longer than those take to list."""
        ...

    def observations(self) -> AsyncGenerator[Observation, None]:
        """Start over with a Snapshot; then further snapshots, or deltas against what was yielded before.

        The reader closes the generator (`contextlib.aclosing`); connections end with it.
        """
        ...


class KnownMasters(msgspec.Struct, frozen=True):
    """What a detector knows: all masters in its order, and which of them it thinks leads.

    `leader` is None if it does not know: then whoever answered last, and the others in their order, are asked. The order
    gives `masterN` its number.
    """

    masters: tuple[Endpoint, ...] = ()
    leader: Endpoint | None = None


class MasterDetector(Protocol):
    """Knows the masters, and says when that changes. It works only while it is entered as a context, by one source.

    What it knows stays when its own origin (ZooKeeper, say) cannot be reached: stale beats gone. Another leader ends a
    request that is under way to a master that is none, or no longer; any change ends the pause between two polls, or two attempts. So a detector
    reports changes at a bounded rate.
    """

    @property
    def known(self) -> KnownMasters:
        """What it knows at the moment."""
        ...

    @property
    def status(self) -> DetectorStatus | None:
        """How it goes at the moment; None for a list, with which nothing can go wrong."""
        ...

    async def changed(self, known: KnownMasters) -> None:
        """Return as soon as it knows something else than `known`; at once if it does already. May be cancelled."""
        ...

    async def __aenter__(self) -> object:
        """Begin to look. May wait for the first answer, within bounds."""
        ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop looking and close connections."""
        ...
