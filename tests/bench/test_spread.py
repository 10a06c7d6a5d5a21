import math

import pytest
from bench.spread import percentile, spread, tail
from hypothesis import given
from hypothesis import strategies as st

numbers = st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=50)


def test_the_median_of_an_even_count_lies_between():
    assert spread([4.0, 1.0, 3.0, 2.0]).median == 2.5


def test_a_spread_keeps_its_ends():
    found = spread([10.8, 10.6, 11.2])
    assert (found.median, found.minimum, found.maximum, found.runs) == (10.8, 10.6, 11.2, 3)


def test_no_runs_have_no_spread():
    with pytest.raises(ValueError, match="at least one run"):
        spread([])


def test_percentiles_are_values_that_occurred():
    ordered = [float(value) for value in range(1, 1001)]
    assert percentile(ordered, 50) == 500
    assert percentile(ordered, 99) == 990
    assert percentile(ordered, 99.9) == 999
    assert percentile(ordered, 100) == 1000


@pytest.mark.parametrize("percent", [0, -1, 100.1])
def test_a_percentile_outside_its_range_is_refused(percent):
    with pytest.raises(ValueError, match="expected more than 0"):
        percentile([1.0], percent)


def test_a_percentile_of_nothing_is_refused():
    with pytest.raises(ValueError, match="at least one"):
        percentile([], 50)


@given(numbers, st.floats(min_value=0.001, max_value=100))
def test_at_least_that_share_is_not_above_a_percentile(values, percent):
    found = percentile(sorted(values), percent)
    assert found in values
    assert sum(value <= found for value in values) >= math.floor(len(values) * percent / 100)


def test_a_tail_counts_what_got_no_answer():
    found = tail([1.0] * 98 + [9.0, 2.0], lost=3)
    assert (found.answered, found.lost, found.p50, found.p99, found.worst) == (100, 3, 1.0, 2.0, 9.0)


def test_without_an_answer_every_delay_is_infinite():
    found = tail([], lost=5)
    assert found.answered == 0
    assert found.p50 == math.inf
