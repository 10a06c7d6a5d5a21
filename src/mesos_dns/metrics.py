"""What is counted: declared beside the code that counts it, with its meaning and the values that its labels may have. Pure.

    _SHED = counter("forward_shed", "Questions refused since too many were under way.", transport=("udp", "tcp"))
    counts.add(_SHED, "udp")

A process counts in a `Counts` of its own. Workers report theirs to control as plain numbers by series; these only ever grow, and control adds
those of processes and configurations that are gone, so that sums never step back.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from mesos_dns.quoting import quoted

#: What a label's value becomes that was not declared: the network must not be able to make series.
OTHER: Final = "other"


class Metric(NamedTuple):
    """A declared counter. `labels` has each label's name and the values that it may have."""

    name: str
    help: str
    labels: tuple[tuple[str, tuple[str, ...]], ...] = ()

    def series(self, *values: str) -> str:
        """The name of one series: `name`, or `name{label="value"}` for these values of its labels, in their order."""
        if not self.labels and not values:
            return self.name
        pairs = [
            f'{label}="{value if value in allowed else OTHER}"'
            for (label, allowed), value in zip(self.labels, values, strict=True)
        ]
        return f"{self.name}{{{','.join(pairs)}}}"


_declared: Final[dict[str, Metric]] = {}


def counter(name: str, help: str, **labels: tuple[str, ...]) -> Metric:  # noqa: A002 - as the exposition format calls it
    """Declare a counter; each name once. Raises ValueError for a second one of that name."""
    if name in _declared:
        raise ValueError(f"the metric {quoted(name)} is declared twice")
    metric = _declared[name] = Metric(name, help, tuple(labels.items()))
    return metric


def declared() -> Mapping[str, Metric]:
    """All counters of the modules that are imported, by name."""
    return _declared


class Counts:
    """Counts since the process, or the part of it that owns this, began."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

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

    def snapshot(self) -> dict[str, int]:
        """The counts as they are, by series."""
        return dict(self._counts)
