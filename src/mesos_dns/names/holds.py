"""What is held, why, and until when; and when a loss is too sudden to be believed. Pure."""

import enum
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final, Literal, NamedTuple, Protocol

from mesos_dns.mesos.state import Snapshot, TaskKey

#: Seconds that a sudden loss is held: the next poll of the default RefreshSeconds confirms it, or takes it back.
LOSS_GRACE: Final = 60.0
#: Running tasks below which no loss is sudden: the few of a small cluster end together every day.
SUDDEN_LOSS_TASKS: Final = 20


class Cause(enum.Enum):
    """What happened that makes us hold; the value says it to people, behind "because"."""

    FAILOVER = "the leading master changed"
    NOT_SHOWN = "the state lacks a list"
    CONCEALED = "the state conceals frameworks or tasks that use resources"
    LOSS = "most tasks vanished at once, and nothing says that they ended"


class Why(enum.Enum):
    """Why something is held; the value says it to people."""

    REGISTRY = "the new master does not tell which agents it expects"
    EXPECTED = "the new master expects it back"
    AGENT = "its agent is not back yet"
    FRAMEWORK = "its framework is not back yet"
    SCHEDULER = "its scheduler may still register"
    SETTLING = "its agent has just come back"
    NOT_SHOWN = "the last state did not show this part of the cluster"
    CONCEALED = "the last state conceals frameworks or tasks that use resources"
    LOSS = "most tasks vanished at once, and nothing says that they ended"

    @property
    def cause(self) -> Cause:
        """What it comes from."""
        return _CAUSES.get(self, Cause.FAILOVER)


_CAUSES: Final = {Why.NOT_SHOWN: Cause.NOT_SHOWN, Why.CONCEALED: Cause.CONCEALED, Why.LOSS: Cause.LOSS}


class Hold(NamedTuple):
    """Why something is held, and until when in the caller's clock: infinity if no time ends it."""

    why: Why
    until: float


class Held(NamedTuple):
    """One held entity: an agent or framework by its id, a task by its key."""

    kind: Literal["agent", "framework", "task"]
    key: str | TaskKey
    hold: Hold


class Holds(Protocol):
    """Knows why one of them is held; None if it is not."""

    def hold_of_agent(self, agent_id: str) -> Hold | None:
        """Of an agent."""

    def hold_of_framework(self, framework_id: str) -> Hold | None:
        """Of a framework."""

    def hold_of_task(self, key: TaskKey) -> Hold | None:
        """Of a task."""


NOT_SHOWN: Final = Hold(Why.NOT_SHOWN, math.inf)
CONCEALED: Final = Hold(Why.CONCEALED, math.inf)


def unexplained(lost: Iterable[TaskKey], snapshot: Snapshot) -> list[TaskKey]:
    """Those of the `lost` tasks of whose end the snapshot says nothing.

    It does say so by a framework that has completed, and by a task in another state than running, completed or unreachable. Masters keep
    1000 such tasks of each framework, so more may have ended than are listed: all of a framework's are taken as ended if at least half of
    those that are lost, or half of those that are listed, are both.
    """
    by_framework: dict[str, list[TaskKey]] = {}
    for key in lost:
        by_framework.setdefault(key[0], []).append(key)
    found: list[TaskKey] = []
    for framework_id, keys in by_framework.items():
        if framework_id in snapshot.completed_frameworks:
            continue
        listed = snapshot.ended_tasks.get(framework_id, frozenset())
        without = [key for key in keys if key[1] not in listed]
        told = len(keys) - len(without)
        if not told or 2 * told < min(len(keys), len(listed)):
            found += without
    return found


def is_sudden(lost: int, shown: int) -> bool:
    """Whether to lose so many of the tasks that were shown is too much to be believed at once."""
    return shown >= SUDDEN_LOSS_TASKS and 2 * lost > shown


class Total(NamedTuple):
    """How many are held for one cause, and the latest end of their holds."""

    agents: int = 0
    frameworks: int = 0
    tasks: int = 0
    until: float = -math.inf

    def __str__(self) -> str:
        counts = ((self.agents, "agents"), (self.frameworks, "frameworks"), (self.tasks, "tasks"))
        return ", ".join(f"{count} {what}" for count, what in counts if count)


def totals(held: Iterable[Held]) -> Mapping[Cause, Total]:
    """What is held, by cause."""
    counts: Counter[tuple[Cause, str]] = Counter()
    until: dict[Cause, float] = {}
    for kind, _, hold in held:
        cause = hold.why.cause
        counts[cause, kind] += 1
        until[cause] = max(until.get(cause, -math.inf), hold.until)
    return {
        cause: Total(counts[cause, "agent"], counts[cause, "framework"], counts[cause, "task"], until[cause])
        for cause in Cause
        if cause in until
    }
