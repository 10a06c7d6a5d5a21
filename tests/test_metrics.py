"""Counters: declared once, with labels that nobody outside can multiply."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesos_dns import metrics
from mesos_dns.metrics import CONFIGURED, HISTOGRAM, Counts, Metric, counter, gauge, histogram

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


@pytest.mark.parametrize(
    "value", ["10.0.0.1:53", 'a "quoted" one', "back\\slash", "two\nlines", "comma, brace} = x", ""]
)
def test_a_series_can_be_read_again_whatever_a_configured_label_holds(value):
    metric = Metric("asked", "How often.", (("to", CONFIGURED), ("transport", ("udp", "tcp"))))
    assert metrics.parse(metric.series(value, "udp")) == ("asked", {"to": value, "transport": "udp"})
    assert metrics.parse(PLAIN.series()) == ("plain", {})


@given(st.text(), st.text())
def test_any_text_survives(one, other):
    metric = Metric("asked", "How often.", (("to", CONFIGURED), ("from", CONFIGURED)))
    assert metrics.parse(metric.series(one, other)) == ("asked", {"to": one, "from": other})


def test_a_histogram_counts_into_its_buckets():
    metric = Metric("seconds", "How long.", (("to", CONFIGURED),), HISTOGRAM, (0.1, 1.0))
    counts = Counts()
    observed = counts.distribution(metric, "a")
    assert counts.distribution(metric, "a") is observed
    for value in (0.05, 0.1, 0.5, 7.0):
        observed.observe(value)
    observed.observe(0.25, times=2)
    assert counts.snapshot() == {
        'seconds_bucket{to="a",le="0.1"}': 2,
        'seconds_bucket{to="a",le="1.0"}': 5,
        'seconds_bucket{to="a",le="+Inf"}': 6,
        'seconds_sum{to="a"}': pytest.approx(8.15),
    }
    assert repr(observed) == "Distribution(6 observed)"
    assert [*filter(metrics.is_counter, counts.snapshot())] == []


def test_sums():
    assert metrics.summed({"a": 1}, {}, {"a": 2, "b": 0.5}) == {"a": 3, "b": 0.5}


def test_gauges_and_histograms_are_declared_as_well(monkeypatch):
    monkeypatch.setattr(metrics, "_declared", {})
    open_ones = gauge("open", "Open ones.", by_worker=True, kind=("a", "b"))
    assert metrics.with_worker(open_ones).series("3", "b") == 'open{worker="3",kind="b"}'
    assert histogram("took", "How long.", [1, 2]).buckets == (1, 2)
    assert [*metrics.declared()] == ["open", "took"]
