from bench.lifecycle import kinds
from bench.saved_state import Poll


def polls(names):
    return [Poll(name, float(place), (place * 1.0, place * 0.5)) for place, name in enumerate(names)]


def test_polls_are_told_by_what_is_new_in_them():
    found = kinds(polls(["base", "one", "base", "many", "base", "base", "base"]))
    assert [kind for kind, _, _ in found] == ["one", "one", "many", "many", "none"]


def test_a_poll_costs_what_is_spent_until_the_next():
    ((_, poll, cost),) = kinds(polls(["base", "one", "base"]))
    assert poll.name == "one"
    assert cost == (1.0, 0.5)


def test_polls_before_anybody_looked_tell_nothing():
    early = Poll("base", -1.0, ())
    assert [kind for kind, _, _ in kinds([early, early, *polls(["base", "one", "base"])])] == ["none", "one"]


def test_too_few_polls_tell_nothing():
    assert kinds(polls(["base", "one"])) == []
