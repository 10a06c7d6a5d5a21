"""What is counted of each upstream: questions, failures, and how long its answers took. Pure.

Apart from `health`, which knows an upstream as it is now: counts must never step back, also when upstreams come and go.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from mesos_dns.metrics import CONFIGURED, Distribution, counter, gauge, histogram
from mesos_dns.serve.forward.health import UpstreamState
from mesos_dns.serve.forward.options import Upstream

#: Upper bounds of the buckets of round-trip times, in seconds: from a cache in the same rack to the longest wait.
_DURATIONS: Final = (0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
#: Upstreams that are counted apart; the counts of all beyond are those of one, called `other`. A resolv.conf has three.
_MOST_OBSERVED: Final = 256
_OTHER: Final = Upstream("other", 0)

REQUESTS: Final = counter("forward_requests", "Questions sent to an upstream.", to=CONFIGURED)
FAILURES: Final = counter(
    "forward_failures",
    "Questions to an upstream that got an answer that is no use, such as SERVFAIL, or an error of the network.",
    to=CONFIGURED,
)
_DURATION: Final = histogram(
    "forward_request_duration_seconds", "How long usable answers of an upstream took.", _DURATIONS, to=CONFIGURED
)
_UP: Final = gauge(
    "forward_upstream_up",
    "Whether an upstream is asked: 0 while its circuit is open, so that it gets probes alone.",
    by_worker=True,
    to=CONFIGURED,
)
RTT: Final = gauge(
    "forward_upstream_rtt_seconds", "Smoothed round-trip time of an upstream.", by_worker=True, to=CONFIGURED
)


class UpstreamCounts:
    """Counts of one upstream."""

    __slots__ = ("durations", "failures", "requests")

    def __init__(self, label: str) -> None:
        self.requests = 0
        self.failures = 0
        self.durations = Distribution(_DURATION, label)

    def __repr__(self) -> str:
        return f"UpstreamCounts(requests={self.requests}, failures={self.failures})"


class Observed:
    """Counts of all upstreams of a worker, those included that it does not ask any more."""

    def __init__(self) -> None:
        self._counts: dict[Upstream, UpstreamCounts] = {}

    def __repr__(self) -> str:
        return f"Observed({self._counts!r})"

    def of(self, upstream: Upstream) -> UpstreamCounts:
        """Where to count what happens with an upstream."""
        found = self._counts.get(upstream)
        if found is None:
            if len(self._counts) >= _MOST_OBSERVED:
                upstream = _OTHER
            found = self._counts.setdefault(upstream, UpstreamCounts(label(upstream)))
        return found

    def numbers(self) -> Iterator[tuple[str, float]]:
        """All counts, by series."""
        for upstream, counts in self._counts.items():
            name = label(upstream)
            yield REQUESTS.series(name), counts.requests
            yield FAILURES.series(name), counts.failures
            yield from counts.durations.numbers()


def gauges(states: Iterable[UpstreamState[Upstream]], now: float) -> Iterator[tuple[str, float]]:
    """How upstreams do at `now`, by series; those that were never asked are left out, for nobody knows."""
    for state in states:
        if not state.asked:
            continue
        name = label(state.key)
        yield _UP.series(name), 0 if state.status(now).state == "open" else 1
        if state.srtt is not None:
            yield RTT.series(name), state.srtt


def summary(upstream: Upstream, gauges: Iterable[Mapping[str, float]]) -> tuple[int, int, int | None]:
    """What the gauges of all workers say of an upstream: how many ask it, how many give it probes alone, and the shortest round trip, in milliseconds.

    Workers that never asked it say nothing.
    """
    name = label(upstream)
    each = [measured for measured in gauges if _UP.series(name) in measured]
    up = sum(measured[_UP.series(name)] > 0 for measured in each)
    times = [measured[RTT.series(name)] for measured in each if RTT.series(name) in measured]
    return up, len(each) - up, round(1000 * min(times)) if times else None


def label(upstream: Upstream) -> str:
    """What an upstream is called: `10.0.0.1:53`, or `10.0.0.1:853#name` if it is asked over TLS."""
    if upstream is _OTHER:
        return upstream.host
    host = f"[{upstream.host}]" if ":" in upstream.host else upstream.host
    return f"{host}:{upstream.port}" + (f"#{upstream.tls_name}" if upstream.tls_name else "")
