"""Pure: what many measurements of one thing come to."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Spread:
    """Several runs of one measurement. The median is reported; the ends say how far to trust it."""

    median: float
    minimum: float
    maximum: float
    runs: int


def spread(values: Sequence[float]) -> Spread:
    """Median, minimum and maximum of `values`; ValueError when there are none."""
    if not values:
        raise ValueError("no values: a spread needs at least one run")
    return Spread(statistics.median(values), min(values), max(values), len(values))


def percentile(ordered: Sequence[float], percent: float) -> float:
    """The nearest-rank percentile of values that are sorted upwards: always a value that occurred."""
    if not ordered:
        raise ValueError("no values: a percentile needs at least one")
    if not 0 < percent <= 100:
        raise ValueError(f"percentile {percent}: expected more than 0 and at most 100")
    # Rounded first: 99.9 % of 1000 is 999.0000000000001 in binary floating point.
    rank = math.ceil(round(len(ordered) * percent / 100, 6))
    return ordered[rank - 1]


@dataclass(frozen=True, slots=True)
class Tail:
    """Delays in milliseconds as a client sees them; `lost` queries were never answered."""

    answered: int
    lost: int
    p50: float
    p99: float
    p999: float
    worst: float
    #: What the machine alone does to a process that only waits for its time: its delay, p99.9.
    noise: float = 0.0


def tail(delays_ms: Sequence[float], lost: int) -> Tail:
    """Summarise delays in any order; without a single answer every delay is infinite."""
    if not delays_ms:
        return Tail(0, lost, math.inf, math.inf, math.inf, math.inf)
    ordered = sorted(delays_ms)
    return Tail(
        answered=len(ordered),
        lost=lost,
        p50=percentile(ordered, 50),
        p99=percentile(ordered, 99),
        p999=percentile(ordered, 99.9),
        worst=ordered[-1],
    )
