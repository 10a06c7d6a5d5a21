"""A bounded table in which what is asked once cannot push out what is asked again (segmented LRU). Pure."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Final, Generic, TypeVar

T = TypeVar("T")

#: The part of a table for what was asked again.
_PROTECTED_PER_ROOM: Final = 0.8
#: The part of a table that one value may take: half of what is left to those that were asked once.
_LARGEST_PER_ROOM: Final = 0.1


class Segments(Generic[T]):
    """Values by key, at most `room` octets of them; `weight` tells what a value takes with its key.

    A value begins in the probationary segment; when it is asked for, it moves to the protected one, which holds four
    fifths. What has no place there any more goes back, and what has none in the probationary segment is dropped: each
    time what was not used for longest. Nothing here takes longer the more there is, but for the growth of dictionaries.
    """

    def __init__(self, room: int, weight: Callable[[bytes, T], int]) -> None:
        self._room = room
        self._weight = weight
        self._probationary: OrderedDict[bytes, T] = OrderedDict()
        self._protected: OrderedDict[bytes, T] = OrderedDict()
        self._protected_octets = 0
        self._octets = 0

    def __repr__(self) -> str:
        return f"Segments({len(self)} values, {self._octets} of {self._room} octets)"

    def __contains__(self, key: bytes) -> bool:
        return key in self._protected or key in self._probationary

    def __len__(self) -> int:
        return len(self._probationary) + len(self._protected)

    @property
    def octets(self) -> int:
        """What all values weigh."""
        return self._octets

    def get(self, key: bytes) -> T | None:
        """The value, which is then protected."""
        value = self._protected.get(key)
        if value is not None:
            self._protected.move_to_end(key)
            return value
        value = self._probationary.pop(key, None)
        if value is not None:
            self._protected[key] = value
            self._protected_octets += self._weight(key, value)
            self._demote()
        return value

    def put(self, key: bytes, value: T) -> None:
        """Take `value` instead of the one that `key` had, in the same segment. One that is too large is not taken."""
        known = key in self._protected
        self.discard(key)
        weight = self._weight(key, value)
        if weight > self._room * _LARGEST_PER_ROOM:
            return
        self._octets += weight
        if known:
            self._protected[key] = value
            self._protected_octets += weight
            self._demote()
        else:
            self._probationary[key] = value
        # More than a fifth is probationary then, hence something older than `value`, too.
        while self._octets > self._room:
            self._octets -= self._weight(*self._probationary.popitem(last=False))

    @property
    def places(self) -> "tuple[OrderedDict[bytes, T], OrderedDict[bytes, T]]":
        """Where its values are, for those who look into many."""
        return self._protected, self._probationary

    def add(self, key: bytes, value: T, weight: int) -> None:
        """Take `value`, whose weight is `weight`, under a key that is not in."""
        if weight > self._room * _LARGEST_PER_ROOM:
            return
        self._octets += weight
        self._probationary[key] = value
        while self._octets > self._room:
            self._octets -= self._weight(*self._probationary.popitem(last=False))

    def pop(self, key: bytes) -> T | None:
        """The value of `key`, which has none from now on."""
        value = self._probationary.get(key) or self._protected.get(key)
        self.discard(key)
        return value

    def discard(self, key: bytes) -> None:
        """Drop the value of `key`, if it has one."""
        value = self._probationary.pop(key, None)
        if value is not None:
            self._octets -= self._weight(key, value)
            return
        value = self._protected.pop(key, None)
        if value is not None:
            weight = self._weight(key, value)
            self._octets -= weight
            self._protected_octets -= weight

    def _demote(self) -> None:
        while self._protected_octets > self._room * _PROTECTED_PER_ROOM:
            key, value = self._protected.popitem(last=False)
            self._protected_octets -= self._weight(key, value)
            self._probationary[key] = value
