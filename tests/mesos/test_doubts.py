"""When a doubt leads to reading the whole state."""

from mesos_dns.mesos.doubts import CALM_SECONDS, DOUBT_SECONDS, Doubts

WHY = "something"


def test_no_doubt_is_never_due():
    assert Doubts(600.0).due("", 5.0) == float("inf")


def test_a_doubt_is_due_after_a_while_however_often_it_is_looked_at():
    doubts = Doubts(600.0)
    assert [doubts.due(WHY, now) for now in (100.0, 101.0, 104.0)] == [100.0 + DOUBT_SECONDS] * 3


def test_a_doubt_that_is_dispelled_begins_anew():
    doubts = Doubts(600.0)
    doubts.due(WHY, 100.0)
    doubts.due("", 102.0)
    assert doubts.due(WHY, 104.0) == 104.0 + DOUBT_SECONDS


def pauses(doubts, calm, count):
    """Seconds that each of so many doubts waits, if each comes so long after the state was read because of the one before."""
    found, now = [], 0.0
    for _ in range(count):
        due = doubts.due(WHY, now)
        found.append(due - now)
        doubts.read(due)
        now = due + calm
    return found


def test_each_further_doubt_waits_twice_as_long_up_to_a_limit():
    assert pauses(Doubts(60.0), 1.0, 6) == [5.0, 10.0, 20.0, 40.0, 60.0, 60.0]


def test_a_while_without_a_doubt_makes_that_good():
    doubts = Doubts(600.0)
    assert pauses(doubts, CALM_SECONDS, 4) == [DOUBT_SECONDS] * 4
    assert pauses(Doubts(600.0), CALM_SECONDS - 1.0, 4) == [5.0, 10.0, 20.0, 40.0]


def test_a_state_that_was_to_be_read_anyway_makes_it_good_too():
    doubts = Doubts(600.0)
    pauses(doubts, 1.0, 3)
    doubts.due("", 100.0)
    doubts.read(100.0)
    assert doubts.due(WHY, 101.0) == 101.0 + DOUBT_SECONDS
