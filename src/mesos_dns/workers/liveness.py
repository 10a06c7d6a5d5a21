"""When a worker that says nothing counts as lost. Pure: what is known of its process comes in.

A worker reports with each tick of the clock. One that has not is stopped, stuck, or does not get a processor; only the last
gets well by waiting, and replacing it would make things worse.
"""

from enum import Enum
from typing import Final, NamedTuple

#: Seconds between two ticks, and between two reports of a worker.
TICK_SECONDS: Final = 0.5
#: Ticks without a word after which a worker that was heard before is lost: its queries must not wait longer.
SILENT_TICKS: Final = 4
#: The same of one whose process is stopped (SIGSTOP, a debugger): that is no matter of load.
STOPPED_TICKS: Final = 2
#: The same of one that waits for a processor, and of one that starts: on a busy machine imports alone take seconds.
STARVED_TICKS: Final = 20
STARTING_TICKS: Final = 60
#: The share of a tick that a process gets when it is not starved.
_FAIR_SHARE: Final = 0.25


class Process(NamedTuple):
    """What the system says of a process: its state (R, S, D, T, … of proc(5)), and seconds of processor time used so far."""

    state: str
    cpu: float


class Verdict(Enum):
    """What a tick says of a worker."""

    WELL = "well"
    SILENT = "silent"
    LOST = "lost"


class Liveness:
    """Follows one process of a worker, from its start, tick by tick."""

    def __init__(self) -> None:
        #: Ticks since the worker was heard.
        self.silent = 0
        self._was_heard = False
        self._heard_in_tick = False
        #: Processor time when it was heard last.
        self._cpu = 0.0

    def __repr__(self) -> str:
        return f"Liveness(silent={self.silent})"

    @property
    def seconds(self) -> float:
        """How long the worker has been silent, to the tick."""
        return self.silent * TICK_SECONDS

    def hear(self) -> None:
        """Take note that the worker has said something."""
        self.silent = 0
        self._was_heard = self._heard_in_tick = True

    def tick(self, process: Process | None) -> Verdict:
        """Take note of a tick of the clock; `process` is how the system sees the worker, None if it cannot tell."""
        heard, self._heard_in_tick = self._heard_in_tick, False
        if heard:
            self._cpu = process.cpu if process is not None else 0.0
            return Verdict.WELL
        self.silent += 1
        if self.silent >= self._patience(process):
            return Verdict.LOST
        return Verdict.SILENT if self._was_heard and self.silent > 1 else Verdict.WELL

    def _patience(self, process: Process | None) -> int:
        if process is not None and process.state in ("T", "t"):
            return STOPPED_TICKS
        if not self._was_heard:
            return STARTING_TICKS
        if process is not None and process.state in ("R", "D"):
            used = process.cpu - self._cpu
            if used < _FAIR_SHARE * self.seconds:
                return STARVED_TICKS
        return SILENT_TICKS
