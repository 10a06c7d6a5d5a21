"""What came of asking each master, and who led: for the status. Pure; time comes in."""

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Final, Literal

import msgspec

from mesos_dns.mesos.errors import MasterError, NoLeaderError, NotLeadingError, RedirectError
from mesos_dns.mesos.state import Endpoint

#: Masters of which this is remembered: clusters have up to seven, and redirects may name others.
MAX_ASKED: Final = 32
#: Characters of an error that are kept: it may repeat what a master said.
MAX_ERROR: Final = 500
#: Leading masters that are remembered, the newest: a week of one failover a day, and what flapped in between.
MAX_LEADERS: Final = 50

#: It leads; it answers, and does not lead; it has not answered lately, or was never asked.
Role = Literal["leading", "standby", "unknown"]


class MasterStatus(msgspec.Struct, frozen=True):
    """What is known of asking one master.

    `answered` is when its last answer was complete (the monotonic clock, in seconds; None before the first), `seconds` how long it took; to say that
    it does not lead is an answer. `last_error` is the last failure in words, "" if there was none, at `failed`; it stays after an answer.
    """

    endpoint: Endpoint
    answered: float | None = None
    seconds: float | None = None
    leads: bool = False
    last_error: str = ""
    failed: float | None = None

    @property
    def failing(self) -> bool:
        """Whether the last attempt failed."""
        return self.failed is not None and (self.answered is None or self.answered < self.failed)

    def role(self, leader: Endpoint | None) -> Role:
        """What it is, if `leader` is whom the cluster is read from."""
        if self.failing:
            return "unknown"
        if self.endpoint == leader:
            return "leading"
        return "standby" if self.answered is not None and not self.leads else "unknown"

    def as_json(self, leader: Endpoint | None, now: float) -> dict[str, object]:
        """The same as plain values; times in seconds ago, `took_us` in microseconds."""
        return {
            "master": str(self.endpoint),
            "role": self.role(leader),
            "answered": None if self.answered is None else round(now - self.answered),
            "took_us": None if self.seconds is None else round(self.seconds * 1e6),
            "failing": self.failing,
            "failed": None if self.failed is None else round(now - self.failed),
            "last_error": self.last_error,
        }


class Asked:
    """Remembers the last answer and the last error of each master that was asked."""

    def __init__(self) -> None:
        self._found: dict[Endpoint, MasterStatus] = {}

    def __repr__(self) -> str:
        return f"Asked({[*map(str, self._found)]})"

    def answered(self, endpoint: Endpoint, now: float, seconds: float) -> None:
        """A complete answer to what only a leader answers came at `now`, after so many seconds."""
        self._note(endpoint, answered=now, seconds=seconds, leads=True)

    def failed(self, error: MasterError, now: float, seconds: float) -> None:
        """Something else came of it at `now`."""
        if isinstance(error, RedirectError | NoLeaderError | NotLeadingError):
            self._note(error.endpoint, answered=now, seconds=seconds, leads=False)
        else:
            self._note(error.endpoint, failed=now, last_error=" ".join(error.text.split())[:MAX_ERROR])

    def masters(self, known: Iterable[Endpoint]) -> tuple[MasterStatus, ...]:
        """The `known` masters in their order, asked or not, then others that were asked."""
        listed = dict.fromkeys(known)
        others = [each for each in self._found.values() if each.endpoint not in listed]
        return (*(self._found.get(endpoint) or MasterStatus(endpoint) for endpoint in listed), *others)

    def masters_heard(self, known: Iterable[Endpoint], endpoint: Endpoint, at: float) -> tuple[MasterStatus, ...]:
        """The same if the stream of events of the master at `endpoint` was heard last at `at`, which is an answer, too."""
        return tuple(
            msgspec.structs.replace(each, answered=at, leads=True)
            if each.endpoint == endpoint and (each.answered is None or each.answered < at)
            else each
            for each in self.masters(known)
        )

    def _note(self, endpoint: Endpoint, **changes: object) -> None:
        before = self._found.pop(endpoint, None) or MasterStatus(endpoint)
        while len(self._found) >= MAX_ASKED:
            del self._found[next(iter(self._found))]
        self._found[endpoint] = msgspec.structs.replace(before, **changes)


class Leadership(msgspec.Struct, frozen=True):
    """A master that was followed from the Unix time `at` on, until the next one was."""

    at: float
    leader: str
    master_id: str
    cluster: str = ""


class Leaders:
    """The newest leading masters that were followed, the present one last."""

    def __init__(self) -> None:
        self._known: deque[Leadership] = deque(maxlen=MAX_LEADERS)
        #: How often another one was followed than before.
        self.changes = 0

    def __repr__(self) -> str:
        return f"Leaders({len(self._known)}, changes={self.changes})"

    def __iter__(self) -> Iterator[Leadership]:
        return iter(self._known)

    def inherit(self, former: "Leaders") -> None:
        """Begin with those that `former` remembers; changes are counted anew."""
        self._known = deque(former, MAX_LEADERS)

    def note(self, leadership: Leadership) -> None:
        """Take note of the master that a state is from, if it is another one than before."""
        if not self._known or self._known[-1].master_id != leadership.master_id:
            self.changes += bool(self._known)
            self._known.append(leadership)
