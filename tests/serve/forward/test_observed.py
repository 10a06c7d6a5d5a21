"""What is counted of upstreams, by names that no client can make."""

import pytest

from mesos_dns.serve.forward import observed as module
from mesos_dns.serve.forward.health import UpstreamState
from mesos_dns.serve.forward.observed import Observed, gauges, label, summary
from mesos_dns.serve.forward.options import Upstream

ONE = Upstream("10.0.0.1", 53)


@pytest.mark.parametrize(
    ("upstream", "text"),
    [
        (ONE, "10.0.0.1:53"),
        (Upstream("2001:db8::1", 53), "[2001:db8::1]:53"),
        (Upstream("9.9.9.9", 853, "dns.quad9.net"), "9.9.9.9:853#dns.quad9.net"),
    ],
)
def test_labels(upstream, text):
    assert label(upstream) == text


def test_counts_of_each_upstream():
    it = Observed()
    it.of(ONE).requests += 3
    it.of(ONE).failures += 1
    it.of(ONE).durations.observe(0.002)
    found = dict(it.numbers())
    assert found['forward_requests{to="10.0.0.1:53"}'] == 3
    assert found['forward_failures{to="10.0.0.1:53"}'] == 1
    assert found['forward_request_duration_seconds_bucket{to="10.0.0.1:53",le="0.001"}'] == 0
    assert found['forward_request_duration_seconds_bucket{to="10.0.0.1:53",le="0.0025"}'] == 1
    assert found['forward_request_duration_seconds_sum{to="10.0.0.1:53"}'] == 0.002
    assert repr(it.of(ONE)) == "UpstreamCounts(requests=3, failures=1)"


def test_upstreams_that_come_and_go_are_bounded(monkeypatch):
    monkeypatch.setattr(module, "_MOST_OBSERVED", 3)
    it = Observed()
    for n in range(10):
        it.of(Upstream(f"10.0.0.{n}", 53)).requests += 1
    counted = {series: count for series, count in it.numbers() if series.startswith("forward_requests")}
    assert len(counted) == 4
    assert counted['forward_requests{to="other"}'] == 7


def test_how_an_upstream_does():
    state = UpstreamState(ONE)
    assert dict(gauges([state], 0.0)) == {}
    state.asked = 1
    state.answered(0.002, 1.0, edns=True)
    assert dict(gauges([state], 1.0)) == {
        'forward_upstream_up{to="10.0.0.1:53"}': 1,
        'forward_upstream_rtt_seconds{to="10.0.0.1:53"}': 0.002,
    }
    state.refused(2.0, "Connection refused", lambda: 0.0)
    assert dict(gauges([state], 2.0))['forward_upstream_up{to="10.0.0.1:53"}'] == 0


def test_what_all_workers_say_of_an_upstream():
    one, other, idle = UpstreamState(ONE), UpstreamState(ONE), UpstreamState(ONE)
    for state in (one, other):
        state.asked = 1
    one.answered(0.012, 1.0, edns=True)
    other.refused(2.0, "Connection refused", lambda: 0.0)
    measured = [dict(gauges([state], 2.0)) for state in (one, other, idle)]
    assert summary(ONE, measured) == (1, 1, 12)
    assert summary(Upstream("10.0.0.2", 53), measured) == (0, 0, None)
