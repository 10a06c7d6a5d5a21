"""What is counted and measured: declared beside the code that does it, with its meaning and the values that its labels may have. Pure.

    _SHED = counter("forward_shed", "Questions refused since too many were under way.", transport=("udp", "tcp"))
    counts.add(_SHED, "udp")

A process counts in a `Counts` of its own. Workers declare to control what they count, and report it as plain numbers by series. Counters only
ever grow, and control adds those of processes and configurations that are gone, so that sums never step back. What is declared is shown by
`GET /metrics` without further ado, as `mesos_dns_NAME`.
"""

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Final, NamedTuple

from mesos_dns.quoting import quoted

#: What a label's value becomes that was not declared: the network must not be able to make series.
OTHER: Final = "other"
#: For a label whose values are those of the code or of the configuration, which are few, and never those of the network.
CONFIGURED: Final[tuple[str, ...]] = ()

COUNTER: Final = "counter"
GAUGE: Final = "gauge"
HISTOGRAM: Final = "histogram"

_ESCAPES: Final = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})
_ESCAPED: Final = re.compile(r"\\(.)")
_LABEL: Final = re.compile(r'([a-z_]+)="((?:[^"\\]|\\.)*)",?')


class Metric(NamedTuple):
    """What is declared. `labels` has each label's name and the values that it may have.

    `kind` is COUNTER, GAUGE or HISTOGRAM; `buckets` are the upper bounds of a histogram's buckets, but for the last one, which has none.
    `by_worker`: each worker has a gauge of its own, to which control gives the label `worker`.
    """

    name: str
    help: str
    labels: tuple[tuple[str, tuple[str, ...]], ...] = ()
    kind: str = COUNTER
    buckets: tuple[float, ...] = ()
    by_worker: bool = False

    def series(self, *values: str) -> str:
        """The name of one series: `name`, or `name{label="value"}` for these values of its labels, in their order."""
        return self._series("", values, "")

    def bucket(self, bound: str, *values: str) -> str:
        """The same of one bucket of a histogram, up to `bound`."""
        return self._series("_bucket", values, f'le="{bound}"')

    def sum(self, *values: str) -> str:
        """The same of the sum of what a histogram has observed."""
        return self._series("_sum", values, "")

    def _series(self, suffix: str, values: tuple[str, ...], last: str) -> str:
        pairs = [
            f'{label}="{(value if value in allowed or not allowed else OTHER).translate(_ESCAPES)}"'
            for (label, allowed), value in zip(self.labels, values, strict=True)
        ]
        if last:
            pairs.append(last)
        return f"{self.name}{suffix}{{{','.join(pairs)}}}" if pairs else self.name + suffix


_declared: Final[dict[str, Metric]] = {}


def counter(name: str, help: str, **labels: tuple[str, ...]) -> Metric:  # noqa: A002 - as the exposition format calls it
    """Declare a counter; each name once. Raises ValueError for a second one of that name."""
    return _declare(Metric(name, help, tuple(labels.items())))


def gauge(name: str, help: str, *, by_worker: bool = False, **labels: tuple[str, ...]) -> Metric:  # noqa: A002 - as above
    """Declare a gauge: a number that is what it is at present."""
    return _declare(Metric(name, help, tuple(labels.items()), GAUGE, (), by_worker))


def histogram(name: str, help: str, buckets: Sequence[float], **labels: tuple[str, ...]) -> Metric:  # noqa: A002 - as above
    """Declare a histogram with these upper bounds, in rising order."""
    return _declare(Metric(name, help, tuple(labels.items()), HISTOGRAM, tuple(buckets)))


def _declare(metric: Metric) -> Metric:
    if metric.name in _declared:
        raise ValueError(f"the metric {quoted(metric.name)} is declared twice")
    _declared[metric.name] = metric
    return metric


def declared() -> Mapping[str, Metric]:
    """All metrics of the modules that are imported, by name."""
    return _declared


def parse(series: str) -> tuple[str, dict[str, str]]:
    """Name and labels of a series that `Metric` has made."""
    name, brace, rest = series.partition("{")
    if not brace:
        return name, {}
    return name, {found[1]: _ESCAPED.sub(_unescaped, found[2]) for found in _LABEL.finditer(rest)}


def _unescaped(found: re.Match[str]) -> str:
    return "\n" if found[1] == "n" else found[1]


def with_worker(metric: Metric) -> Metric:
    """What control shows of a gauge that each worker has: with the label `worker` in front."""
    return metric._replace(labels=(("worker", CONFIGURED), *metric.labels))


class Distribution:
    """What a histogram has observed, of one set of label values. To observe takes half a microsecond."""

    __slots__ = ("_bounds", "_series", "counts", "total")

    def __init__(self, metric: Metric, *values: str) -> None:
        self._bounds = bounds = metric.buckets
        #: The series that show it: reports are made again and again.
        self._series = (
            *(metric.bucket(bound, *values) for bound in (*map(bound_text, bounds), "+Inf")),
            metric.sum(*values),
        )
        #: How many fell into each bucket and no smaller one; the last has those beyond all bounds.
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def __repr__(self) -> str:
        return f"Distribution({sum(self.counts)} observed)"

    def observe(self, value: float, times: int = 1) -> None:
        """Take note of a value, or of several equal ones."""
        self.counts[bisect_left(self._bounds, value)] += times
        self.total += value * times

    def numbers(self) -> Iterator[tuple[str, float]]:
        """The series that show it, and their numbers. All of them only ever grow."""
        return zip(self._series, (*accumulate(self.counts), self.total), strict=True)


def bound_text(bound: float) -> str:
    """A bucket's upper bound as OpenMetrics wants it: always with a point."""
    return str(float(bound))


def is_counter(series: str) -> bool:
    """Whether a series of counts is no part of a histogram: people read these one by one."""
    return not series.partition("{")[0].endswith(("_bucket", "_sum"))


def summed(*counted: Mapping[str, float]) -> dict[str, float]:
    """The sums of counts, by series."""
    found: dict[str, float] = {}
    for counts in counted:
        for series, count in counts.items():
            found[series] = found.get(series, 0) + count
    return found


class Counts:
    """Counts since the process, or the part of it that owns this, began."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._distributions: dict[tuple[Metric, tuple[str, ...]], Distribution] = {}

    def __repr__(self) -> str:
        return f"Counts({dict(self._counts)!r})"

    def __iter__(self) -> Iterator[str]:
        return iter(self._counts)

    def __getitem__(self, series: str) -> int:
        """The count of a series; 0 if nothing was counted."""
        return self._counts[series]

    def add(self, metric: Metric, *values: str, times: int = 1) -> None:
        """Count `times` more of the series with these label values."""
        self._counts[metric.series(*values)] += times

    def distribution(self, metric: Metric, *values: str) -> Distribution:
        """What observes for a histogram with these label values. Keep it: it is to be called for each value."""
        found = self._distributions.get((metric, values))
        if found is None:
            found = self._distributions[metric, values] = Distribution(metric, *values)
        return found

    def snapshot(self) -> dict[str, float]:
        """The counts as they are, by series."""
        found: dict[str, float] = dict(self._counts)
        for distribution in self._distributions.values():
            found.update(distribution.numbers())
        return found
