"""What is going to happen in the simulation, in the order of virtual time."""

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field

Action = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Event:
    """Something that a person would like to know: its virtual time, a kind (one word) and a sentence."""

    time: float
    kind: str
    text: str


@dataclass(slots=True)
class Agenda:
    """Actions and their times. Ties are run in the order in which they were noted.

    Its size follows the tasks: each has at most a few actions noted. `happened` collects what the
    actions tell, until `take_events` is called.
    """

    now: float
    happened: list[Event] = field(default_factory=list)
    _queue: list[tuple[float, int, Action]] = field(default_factory=list)
    _noted: int = 0

    def after(self, delay: float, action: Action) -> None:
        """Note `action` for `delay` seconds (0 or more) from now."""
        if delay < 0:
            raise ValueError(f"delay of {delay} s, expected 0 or more: the past is over")
        self._noted += 1
        heapq.heappush(self._queue, (self.now + delay, self._noted, action))

    def run_until(self, time: float) -> None:
        """Run everything that is due up to and including `time`, also what that notes meanwhile."""
        while self._queue and self._queue[0][0] <= time:
            self.now, _, action = heapq.heappop(self._queue)
            action()
        self.now = max(self.now, time)

    def tell(self, kind: str, text: str) -> None:
        """Tell people that something happened just now."""
        self.happened.append(Event(self.now, kind, text))

    def take_events(self) -> list[Event]:
        """Hand over what has been told since the last call."""
        events, self.happened = self.happened, []
        return events
