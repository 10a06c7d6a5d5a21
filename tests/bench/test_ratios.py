import math

import pytest
from bench.tables import Figure
from hypothesis import given
from hypothesis import strategies as st

from bench import ratios

RUNS = {"Mesos-DNS": [9.0, 8.0, 20.0], "before": [18.0, 8.0, 10.0], "NSD": [10.0, 10.0, 20.0]}


def test_each_run_is_divided_by_the_one_of_its_turn():
    assert ratios.of_runs(RUNS["Mesos-DNS"], RUNS["NSD"]) == (0.9, 0.8, 1.0)


def test_runs_that_were_not_interleaved_are_refused():
    with pytest.raises(ValueError, match="3 runs beside 2"):
        ratios.of_runs([1.0, 2.0, 3.0], [1.0, 2.0])


@pytest.mark.parametrize(
    ("mine", "theirs", "ratio"),
    [(0.0, 0.0, 1.0), (1.0, 0.0, math.inf), (math.inf, 2.0, math.inf), (2.0, math.inf, 0.0), (math.inf, math.inf, 1.0)],
)
def test_nothing_and_no_answer_have_ratios_too(mine, theirs, ratio):
    assert ratios.of_runs([mine], [theirs]) == (ratio,)


@given(st.lists(st.floats(min_value=0), max_size=5))
def test_a_server_beside_itself_has_the_ratio_one(runs):
    assert all(ratio == pytest.approx(1) for ratio in ratios.of_runs(runs, runs))


def test_every_program_is_compared_with_the_peer_and_ours_with_the_one_before():
    assert ratios.columns(RUNS, ["Mesos-DNS", "before"], "NSD") == {
        "ours/NSD": (0.9, 0.8, 1.0),
        "before/NSD": (1.8, 0.8, 0.5),
        "ours/before": (0.5, 1.0, 2.0),
    }


def test_without_another_checkout_there_is_one_ratio():
    assert list(ratios.columns(RUNS, ["Mesos-DNS"], "NSD")) == ["ours/NSD"]


def test_what_was_not_measured_has_no_ratio():
    assert ratios.columns({"Mesos-DNS": [1.0]}, ["Mesos-DNS", "before"], "NSD") == {}
    assert ratios.columns(RUNS, ["Mesos-DNS"], "") == {}


def test_rows_and_columns_of_another_checkout_are_compared_with_their_own():
    found = [
        Figure("start", "ready, s", "10 tasks", (2.0, 3.0)),
        Figure("start", "ready, s", "10 tasks, before", (4.0, 3.0)),
        Figure("tail", "quiet", "p50", (1.0,)),
        Figure("tail", "quiet, before", "p50", (2.0,)),
        Figure("tail", "busy, before", "p50", (2.0,)),
        Figure("start", "lost", "10 tasks", (2.0,)),
        Figure("start", "lost", "10 tasks, before", (2.0, 1.0)),
    ]
    assert ratios.beside(found, "before") == [
        Figure("start", "ready, s", "10 tasks, ours/before", (0.5, 1.0)),
        Figure("tail", "quiet, ours/before", "p50", (0.5,)),
    ]


def test_every_server_comes_first_in_its_turn():
    assert ["".join(ratios.turned("ABC", turn)) for turn in range(4)] == ["ABC", "BCA", "CAB", "ABC"]
    assert ratios.turned([], 1) == []
