"""Values that are given one after the other without end, and how often that was done. Pure.

An answering loop takes the next value of an iterator for each packet, in C. So the count is kept there as well, where it costs nothing:
`itertools.repeat` counts down, and the iterator of a tuple knows what is left. Both tell by `operator.length_hint` (PEP 424).
"""

import sys
from collections.abc import Iterator, Sequence
from itertools import chain, repeat
from operator import length_hint
from typing import Final, Generic, TypeVar

T = TypeVar("T")

#: How often something is given: at a million times a second for 290,000 years.
ENDLESS: Final = sys.maxsize
#: Values of one round: each round is begun in Python, which takes as long as a tenth of an answer.
_ROUND: Final = 32


def turns(values: Sequence[T]) -> tuple[Iterator[T], object]:
    """An iterator that gives `values` in turn, and what `times_given` tells its count of."""
    if len(values) == 1:
        single = repeat(values[0], ENDLESS)
        return single, single
    rounds = Rounds(values)
    return chain.from_iterable(repeat(rounds)), rounds


def times_given(source: object) -> int:
    """How many values were given."""
    return ENDLESS - length_hint(source)


class Rounds(Generic[T]):
    """Gives values in rounds. A sequence that is no tuple or list makes each value when it is wanted, and is asked for it then."""

    __slots__ = ("_begun", "_left", "_size", "_values")

    def __init__(self, values: Sequence[T]) -> None:
        if isinstance(values, tuple | list):
            values = tuple(values) * max(1, _ROUND // len(values))
        self._values = values
        self._size = len(values)
        #: Rounds that were begun, and what is left of the present one.
        self._begun = 0
        self._left: object = ()

    def __repr__(self) -> str:
        return f"Rounds({self._size} values, {times_given(self)} given)"

    def __iter__(self) -> Iterator[T]:
        self._begun += 1
        if isinstance(self._values, tuple):
            whole = iter(self._values)
            self._left = whole
            return whole
        places = iter(range(self._size))
        self._left = places
        return map(self._values.__getitem__, places)

    def __length_hint__(self) -> int:
        return ENDLESS - (self._begun * self._size - length_hint(self._left))


class Counted(Generic[T]):
    """Gives what another iterator does, and counts in Python: for what takes long anyway."""

    __slots__ = ("_values", "times")

    def __init__(self, values: Iterator[T]) -> None:
        self._values = values
        self.times = 0

    def __repr__(self) -> str:
        return f"Counted({self.times} given)"

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        self.times += 1
        return next(self._values)

    def __length_hint__(self) -> int:
        return ENDLESS - self.times


class ByClient(Generic[T]):
    """Values of which each client has its own; whoever gives one adds to `times`."""

    __slots__ = ("times", "values")

    def __init__(self, values: Sequence[T]) -> None:
        self.values = values
        self.times = 0

    def __repr__(self) -> str:
        return f"ByClient({len(self.values)} values, {self.times} given)"

    def __length_hint__(self) -> int:
        return ENDLESS - self.times
