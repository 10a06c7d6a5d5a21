"""What clients asked and got over the last quarter of an hour, in steps of some seconds. Pure; times and counts come in.

Control counts up sums for all workers that there ever were; here they become what was counted in each step, so that a page can draw it at
once, without a Prometheus beside it.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final, NamedTuple

from mesos_dns.metrics import parse

#: Seconds of a step: a chart on a telephone has room for 180 of them.
STEP_SECONDS: Final = 5.0
#: Steps that are kept: 15 minutes.
MOST_STEPS: Final = 180
#: Series whose place is remembered: all that there are, mostly; the others are found again each time.
_MOST_SERIES: Final = 2048

#: Where an answer came from, and the counters that say so: a response that was ready, records of the zones or what is known of private ones, an upstream,
#: or nowhere, for it was refused, failed, or made no sense.
_ORIGINS: Final = {
    "cache_hits": "cache",
    "forward_cached": "cache",
    "cache_misses": "fresh",
    "forward_private": "fresh",
    "forwarded": "upstream",
    **dict.fromkeys(
        (
            *("rejected", "refused", "recursion_refused", "forward_failed", "forward_refused", "forward_looped"),
            *("forward_not_recursive", "forward_shed"),
        ),
        "none",
    ),
}
#: Counters by type of query and by RCODE, and the label that tells it.
_LABELLED: Final = {"dns_requests": ("types", "type"), "dns_responses": ("rcodes", "rcode")}


class Step(NamedTuple):
    """What was counted within so many `seconds` that ended at the Unix time `at`; each by its name, without those of which there were none."""

    at: float
    seconds: float
    types: Mapping[str, int]
    rcodes: Mapping[str, int]
    origins: Mapping[str, int]


#: What a step is made of: counts by group and name.
_Sums = dict[tuple[str, str], float]


class History:
    """The newest steps. `note` it every STEP_SECONDS or so."""

    def __init__(self) -> None:
        self._steps: deque[Step] = deque(maxlen=MOST_STEPS)
        self._before: _Sums | None = None
        self._noted = 0.0
        #: Steps that there ever were.
        self.count = 0

    def __repr__(self) -> str:
        return f"History({len(self._steps)} steps)"

    def note(self, now: float, at: float, counters: Mapping[str, float]) -> None:
        """Take what was counted up to now: `now` in seconds of a steady clock, `at` as Unix time. The first time begins a step only."""
        sums = _sums(counters)
        before, self._before = self._before, sums
        seconds, self._noted = now - self._noted, now
        if before is None or seconds <= 0:
            return
        grown = {key: round(count - before.get(key, 0)) for key, count in sums.items()}
        # A worker that has just ended may have counted more than its last report said; nothing ever shrinks.
        named = [(group, name, count) for (group, name), count in grown.items() if count > 0]
        groups = [
            {name: count for its, name, count in named if its == group} for group in ("types", "rcodes", "origins")
        ]
        self._steps.append(Step(at, seconds, *groups))
        self.count += 1

    def after(self, count: int) -> Iterable[Step]:
        """The steps after the first `count` that there ever were, as far as they are kept; the oldest first."""
        return list(self._steps)[max(0, len(self._steps) - max(0, self.count - count)) :]


def _sums(counters: Mapping[str, float]) -> _Sums:
    found: _Sums = {}
    for series, count in counters.items():
        place = _place(series)
        if place is not None:
            found[place] = found.get(place, 0) + count
    return found


@lru_cache(_MOST_SERIES)
def _place(series: str) -> tuple[str, str] | None:
    """The group and the name that a series counts for; None for most."""
    name, labels = parse(series)
    if name in _ORIGINS:
        return "origins", _ORIGINS[name]
    group, label = _LABELLED.get(name, ("", ""))
    return (group, labels.get(label, "")) if group else None
