"""Counters: declared once, with labels that nobody outside can multiply."""

import pytest

from mesos_dns import metrics
from mesos_dns.metrics import Counts, Metric, counter

DROPPED = Metric("dropped", "Queries that got no answer.", (("transport", ("udp", "tcp")), ("why", ("policy", "bad"))))
PLAIN = Metric("plain", "Without labels.")


def test_series_are_named_by_their_labels():
    assert PLAIN.series() == "plain"
    assert DROPPED.series("udp", "bad") == 'dropped{transport="udp",why="bad"}'


def test_a_value_that_was_not_declared_makes_no_series_of_its_own():
    counts = Counts()
    for value in map(str, range(1000)):
        counts.add(DROPPED, "udp", value)
    assert counts.snapshot() == {'dropped{transport="udp",why="other"}': 1000}


@pytest.mark.parametrize("values", [(), ("udp",), ("udp", "bad", "more")])
def test_each_label_has_a_value(values):
    with pytest.raises(ValueError, match="zip"):
        DROPPED.series(*values)


def test_counts_only_grow():
    counts = Counts()
    counts.add(PLAIN)
    counts.add(PLAIN, times=4)
    assert (counts["plain"], counts["other"], list(counts)) == (5, 0, ["plain"])
    assert repr(counts) == "Counts({'plain': 5})"


def test_a_name_is_declared_once(monkeypatch):
    monkeypatch.setattr(metrics, "_declared", {})
    metric = counter("questions", "How many came.", transport=("udp",))
    assert metrics.declared() == {"questions": metric}
    with pytest.raises(ValueError, match="the metric 'questions' is declared twice"):
        counter("questions", "Again.")
