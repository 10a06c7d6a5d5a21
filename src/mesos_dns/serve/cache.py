"""Finished replies, remembered. Pure.

What is kept of a reply is up to the listener, whose `Store` makes it: head and tail, or something that the
listener can send at once. Keys are those of `keys`.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from itertools import cycle, repeat
from typing import Generic, Protocol, TypeVar

from mesos_dns.limits import MEMO_FOUND, MEMO_NOT_FOUND

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Store(Protocol[T_co]):
    """Where finished replies are kept, and how much of them."""

    #: Octets of heads and tails that may be kept at the same time.
    room: int

    def put(self, head: bytes, tail: bytes, question_end: int) -> T_co:
        """Keep a reply: octets 2 to 12 of the message, and those behind its question, which ends at `question_end`.

        What was put first is dropped first, when there is no more room.
        """

    def clear(self) -> None:
        """Everything that was put is dropped."""


#: Head, tail, and where the question in between ends.
Parts = tuple[bytes, bytes, int]


class Pieces:
    """Keeps replies in pieces, as they are."""

    def __init__(self, room: int) -> None:
        self.room = room

    def __repr__(self) -> str:
        return f"Pieces(room={self.room})"

    def put(self, head: bytes, tail: bytes, question_end: int) -> Parts:
        """Part of Store."""
        return head, tail, question_end

    def clear(self) -> None:
        """Part of Store."""


#: The keys of a reply, and its octets.
_Kept = tuple[tuple[bytes, ...], int]


class _Kind(Generic[T]):
    """Replies that found something, or those that did not, in the order of their arrival."""

    def __init__(self, most: int, store: Store[T]) -> None:
        self.store = store
        self._most = most
        self._begin()

    def _begin(self) -> None:
        self._queue: deque[_Kept] = deque()
        self._room = self.store.room
        #: Hashes of keys that were asked for once.
        self.asked: set[int] = set()

    def __len__(self) -> int:
        return len(self._queue)

    def is_asked_again(self, key: bytes) -> bool:
        """Whether `key` was asked for before. Who asks is remembered, but only so many."""
        known = hash(key)
        if known in self.asked:
            return True
        if len(self.asked) >= self._most:
            self.asked.clear()
        self.asked.add(known)
        return False

    def push(self, keys: tuple[bytes, ...], weight: int) -> list[bytes]:
        """Take the keys of a reply; the keys that have to go for it, before it is put into the store."""
        self._queue.append((keys, weight))
        self._room -= weight
        gone: list[bytes] = []
        while len(self._queue) > self._most or self._room < 0:
            keys, weight = self._queue.popleft()
            self._room += weight
            gone += keys
        return gone

    def forget(self) -> tuple[deque[_Kept], set[int]]:
        """Begin anew; what is to be freed bit by bit."""
        dropped = self._queue, self.asked
        self._begin()
        self.store.clear()
        return dropped


class Memo(Generic[T]):
    """A bounded map of key → replies to give in turn: first in, first out.

    Replies that found something and those that did not are bounded separately, in number and in
    octets. A flood of unknown names therefore only ever evicts other unknown names. Only what is asked for
    again is kept: random names never are, and most names not between two changes of a busy zone.
    """

    def __init__(
        self, found: Store[T], missing: Store[T], most_found: int = MEMO_FOUND, most_missing: int = MEMO_NOT_FOUND
    ) -> None:
        #: Each entry gives what the store made of the replies, in turn and without end. Read by the
        #: answering loops directly: a call for each packet would cost more than the look-up.
        self.entries: dict[bytes, Iterator[T]] = {}
        self._found = _Kind(most_found, found)
        self._missing = _Kind(most_missing, missing)
        self._garbage: list[dict[bytes, Iterator[T]] | deque[_Kept] | set[int]] = []

    def __repr__(self) -> str:
        return f"Memo(found={len(self._found)}, missing={len(self._missing)})"

    def wants(self, key: bytes, *, found: bool) -> bool:
        """Whether the reply to `key` is worth keeping: it is when the key was asked for before."""
        return (self._found if found else self._missing).is_asked_again(key)

    def remember(
        self, keys: tuple[bytes, ...], head: bytes, tails: Sequence[bytes], question_end: int, *, found: bool
    ) -> None:
        """Keep replies under each of `keys`, one reply for each tail; the oldest of their kind go when there is no room.

        Must not be called between a look-up and the sending of what was found: the store may put the new
        reply where an old one was.
        """
        kind = self._found if found else self._missing
        weight = len(head) * len(tails) + sum(map(len, tails))
        if weight > kind.store.room or any(key in self.entries for key in keys):
            return
        for gone in kind.push(keys, weight):
            del self.entries[gone]
        kept = [kind.store.put(head, tail, question_end) for tail in tails]
        entry = repeat(kept[0]) if len(kept) == 1 else cycle(kept)
        for key in keys:
            self.entries[key] = entry

    def forget(self) -> None:
        """Drop everything, since the zone changed. Freed bit by bit in `sweep`: 100,000 replies at once take 23 ms."""
        for dropped in (self.entries, *self._found.forget(), *self._missing.forget()):
            if dropped:
                self._garbage.append(dropped)
        self.entries = {}

    def sweep(self, most: int) -> None:
        """Free up to `most` things of what was dropped. A reply makes four: to be called with more than that for each."""
        while self._garbage and most > 0:
            dropped = self._garbage[-1]
            count = min(most, len(dropped))
            for _ in range(count):
                dropped.popitem() if isinstance(dropped, dict) else dropped.pop()
            most -= count + 1
            if not dropped:
                self._garbage.pop()
