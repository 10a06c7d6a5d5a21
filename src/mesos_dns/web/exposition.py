"""Metrics as text for Prometheus, or for whoever takes OpenMetrics. Pure: numbers by series in, text out.

The library writes the formats, and chooses between them by the `Accept` header.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, NamedTuple

from prometheus_client.core import Metric as Family
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector, CollectorRegistry

from mesos_dns import metrics
from mesos_dns.metrics import Metric
from mesos_dns.web.views import Pieces

#: What stands in front of all names, but for those that every Prometheus client has.
NAMESPACE: Final = "mesos_dns_"
_COMMON: Final = "process_"
#: What ends an OpenMetrics text.
_END: Final = "# EOF\n"
_SUFFIXES: Final = ("_bucket", "_sum")


class Exposition(NamedTuple):
    """A body, piece by piece, and its content type."""

    content_type: str
    pieces: Pieces


def exposition(accept: str | None, declared: Mapping[str, Metric], numbers: Mapping[str, float]) -> Exposition:
    """Show all `numbers` that are declared, in the format that a client with this `Accept` header prefers. Each family is a piece."""
    encode, content_type = choose_encoder(accept or "")
    return Exposition(
        content_type, _pieces(encode, families(declared, numbers), ends=content_type.startswith("application/"))
    )


def shown_name(metric: Metric) -> str:
    """What a metric is called by those who read it: with the suffix that counters have."""
    return _family_name(metric) + ("_total" if metric.kind == metrics.COUNTER else "")


def _family_name(metric: Metric) -> str:
    return metric.name if metric.name.startswith(_COMMON) else NAMESPACE + metric.name


def _pieces(encode: Callable[[Collector], bytes], found: Iterable[Family], *, ends: bool) -> Pieces:
    for family in found:
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_One(family))
        yield encode(registry).decode().removesuffix(_END)
    if ends:
        yield _END


class _One(Collector):
    """Gives the library one family that is ready."""

    def __init__(self, family: Family) -> None:
        self._family = family

    def collect(self) -> Iterator[Family]:
        yield self._family


def families(declared: Mapping[str, Metric], numbers: Mapping[str, float]) -> list[Family]:
    """The numbers by what was declared, by name; what was not declared is left out."""
    found: dict[str, Family] = {}
    for series, number in numbers.items():
        name, labels = metrics.parse(series)
        suffix = ""
        if name not in declared:
            suffix = next((one for one in _SUFFIXES if name.endswith(one)), "")
            name = name.removesuffix(suffix)
        metric = declared.get(name)
        if metric is None:
            continue
        family = found.get(name)
        if family is None:
            family = found[name] = Family(_family_name(metric), metric.help, metric.kind)
        if metric.kind == metrics.COUNTER:
            suffix = "_total"
        family.add_sample(family.name + suffix, labels, number)
        if labels.get("le") == "+Inf":
            # What lies in any bucket are all.
            count = {label: value for label, value in labels.items() if label != "le"}
            family.add_sample(family.name + "_count", count, number)
    return [found[name] for name in sorted(found)]
