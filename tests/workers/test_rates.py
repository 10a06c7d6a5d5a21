from hypothesis import given
from hypothesis import strategies as st

from mesos_dns import metrics
from mesos_dns.serve.forward import forwarder
from mesos_dns.workers import worker
from mesos_dns.workers.rates import ANSWERED, REPORTS, Rate


def test_answers_in_the_last_ten_seconds_whatever_came_before():
    rate = Rate()
    assert rate.per_second == 0.0
    for tick in range(100):
        rate.note(tick / 2, {"cache_hits": 1000 * min(tick, 50), "cache_misses": 7})
    assert rate.per_second == 0.0
    for tick in range(100, 100 + REPORTS):
        rate.note(tick / 2, {"cache_hits": 50_000 + 10 * (tick - 99), "cache_misses": 7})
    assert rate.per_second == 20.0


def test_what_it_sums_up_is_counted_somewhere():
    assert worker
    assert forwarder
    assert set(ANSWERED) <= metrics.declared().keys()


@given(st.lists(st.tuples(st.floats(0, 1e9), st.integers(0, 10**12))))
def test_any_clock_gives_a_rate(reports):
    rate = Rate()
    for now, hits in reports:
        rate.note(now, {"cache_hits": hits})
    assert isinstance(rate.per_second, float)
