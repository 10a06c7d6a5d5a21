"""A framework's tasks keep their order, whatever they are called."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesos_dns.names.index import TasksOfFramework


def key(n):
    return "F", f"t{n}", 0


def test_order_is_that_of_arrival_and_outlives_a_new_name():
    tasks = TasksOfFramework()
    for n in range(3):
        tasks.add(key(n), b"web")
    tasks.rename(key(0), b"web", b"db")
    assert list(tasks) == [key(0), key(1), key(2)]
    assert list(tasks.called(b"web")) == [key(1), key(2)]
    assert list(tasks.called(b"db")) == [key(0)]


@pytest.mark.parametrize("count", [1, 8, 9, 30])
def test_all_that_came_can_go(count):
    tasks = TasksOfFramework()
    for n in range(count):
        tasks.add(key(n), b"web")
    assert list(tasks.called(b"web")) == list(tasks) == [key(n) for n in range(count)]
    for n in range(count):
        tasks.remove(key(n), b"web")
    assert (len(tasks), list(tasks), list(tasks.labels())) == (0, [], [])


@given(st.lists(st.tuples(st.integers(0, 30), st.sampled_from([b"a", b"b", None]))))
def test_it_is_a_dictionary_of_labels(steps):
    tasks, model = TasksOfFramework(), {}
    for n, label in steps:
        old = model.get(key(n))
        if label is None:
            if model.pop(key(n), None) is not None:
                tasks.remove(key(n), old)
        elif old is None:
            tasks.add(key(n), label)
            model[key(n)] = label
        else:
            tasks.rename(key(n), old, label)
            model[key(n)] = label
    assert list(tasks) == list(model)
    assert set(tasks.labels()) == set(model.values())
    for label in (b"a", b"b"):
        assert set(tasks.called(label)) == {one for one, its in model.items() if its == label}
