"""How many queries a worker answers in a second, from what it reports with each tick. Pure; time comes in."""

from collections import deque
from collections.abc import Mapping
from typing import Final

#: Reports from which a rate is made: ten seconds of them, so that it is steady enough to read.
REPORTS: Final = 20
#: What is answered, one way or another. Each of these is exact with every report; those by RCODE lag behind.
ANSWERED: Final = (
    *("cache_hits", "cache_misses", "forwarded", "forward_cached", "forward_private", "forward_failed"),
    *(
        "rejected",
        "refused",
        "recursion_refused",
        "forward_refused",
        "forward_looped",
        "forward_not_recursive",
        "forward_shed",
    ),
)


class Rate:
    """Answers per second over the last REPORTS reports of one process."""

    def __init__(self) -> None:
        self._reports: deque[tuple[float, float]] = deque(maxlen=REPORTS + 1)

    def __repr__(self) -> str:
        return f"Rate({self.per_second:.1f}/s)"

    def note(self, now: float, counters: Mapping[str, float]) -> None:
        """Take note of what a process has counted up to `now`, in seconds."""
        self._reports.append((now, sum(counters.get(name, 0) for name in ANSWERED)))

    @property
    def per_second(self) -> float:
        """The rate; 0 before the second report."""
        if len(self._reports) < 2:
            return 0.0
        (begun, before), (now, answers) = self._reports[0], self._reports[-1]
        return (answers - before) / (now - begun) if now > begun else 0.0
