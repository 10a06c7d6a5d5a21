"""How often something was given is known to the last time, though nobody counts."""

from itertools import chain, islice, repeat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesos_dns.serve.turns import ByClient, Counted, times_given, turns


class Made:
    """A sequence that makes its values when they are wanted."""

    def __init__(self, size):
        self._size = size

    def __len__(self):
        return self._size

    def __getitem__(self, n):
        if n >= self._size:
            raise IndexError
        return f"made {n}"


@pytest.mark.parametrize("values", [["a"], ["a", "b"], ("a", "b", "c"), [*map(str, range(100))], Made(1), Made(5)])
@pytest.mark.parametrize("count", [0, 1, 2, 5, 31, 32, 33, 100, 1000])
def test_values_come_in_turn_and_are_counted(values, count):
    entry, source = turns(values)
    expected = islice(chain.from_iterable(repeat([values[n] for n in range(len(values))])), count)
    assert [*islice(entry, count)] == [*expected]
    assert times_given(source) == count


@given(st.integers(1, 70), st.lists(st.integers(0, 70), max_size=8))
def test_the_count_is_right_after_each_look(size, takes):
    entry, source = turns([*range(size)])
    total = 0
    for take in takes:
        [*islice(entry, take)]
        total += take
        assert times_given(source) == total


def test_what_makes_its_values_itself_is_counted_as_well():
    counted = Counted(iter("abc"))
    assert (next(counted), next(iter(counted)), times_given(counted)) == ("a", "b", 2)
    assert repr(counted) == "Counted(2 given)"


def test_those_by_client_are_counted_by_whoever_gives_them():
    parts = ByClient(["a", "b"])
    parts.times += 3
    assert (times_given(parts), repr(parts)) == (3, "ByClient(2 values, 3 given)")
    assert repr(turns("ab")[1]) == "Rounds(2 values, 0 given)"
