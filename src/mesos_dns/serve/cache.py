"""The response cache: finished responses, and which of them a question gets. Pure.

What is kept of a response is up to the listener, whose `Store` makes it: pieces, or something that the
listener can send at once. Keys are those of `keys`.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import cycle, repeat
from typing import Final, Generic, Protocol, TypeVar, overload

from mesos_dns.serve.render import Orders, Response
from mesos_dns.serve.request import part_start

T = TypeVar("T")

#: Responses that have an answer: the names that clients really ask.
_MOST_FOUND: Final = 100_000
#: NXDOMAIN and NODATA: enough for search lists, useless to a flood of random names.
_MOST_MISSING: Final = 20_000
#: Octets that an order takes beside those of its records: the object that the store makes of it.
ORDER_OCTETS: Final = 100
#: Octets of responses to one question that are kept ready, each of them; beyond, each is made when it is wanted.
_READY: Final = 16 * 1024
#: Octets of all responses of one cache that found something, and of those that did not.
FOUND_OCTETS: Final = 32 * 1024 * 1024
MISSING_OCTETS: Final = 4 * 1024 * 1024
#: The same of answers of upstreams, and how many. They are dropped after a second: popular names, not all names.
OUTSIDE_OCTETS: Final = 4 * 1024 * 1024
_MOST_OUTSIDE: Final = 4096


class Store(Protocol[T]):
    """Where responses are kept, and how much of them."""

    #: Octets that may be kept at the same time.
    room: int

    def weight(self, orders: Orders) -> int:
        """Octets that `orders` will take."""

    def put(self, orders: Orders) -> Sequence[T]:
        """Keep responses: what the listener can send, for each window.

        What was put first is dropped first, when there is no more room.
        """

    def in_turn(self, kept: Sequence[T]) -> Iterator[T]:
        """What `put` gave, one after the other without end."""

    def clear(self) -> None:
        """Everything that was put is dropped."""


class _Windows(Sequence[Response]):
    """The responses of `orders`, each made when it is wanted: all of them would take many times the memory."""

    def __init__(self, orders: Orders) -> None:
        self._orders = orders

    def __repr__(self) -> str:
        return f"_Windows({len(self)})"

    def __len__(self) -> int:
        return len(self._orders.windows)

    @overload
    def __getitem__(self, n: int) -> Response: ...
    @overload
    def __getitem__(self, n: slice) -> Sequence[Response]: ...
    def __getitem__(self, n: int | slice) -> Response | Sequence[Response]:
        if isinstance(n, slice):
            return [self[i] for i in range(*n.indices(len(self)))]
        octets, windows, opt, end, found, _ = self._orders
        header, start, stop = windows[n]
        return Response(header, octets[start:stop], opt, end, found)


def _whole(orders: Orders) -> int:
    """Octets of all responses together."""
    return sum(stop - start for _, start, stop in orders.windows)


def _endlessly(kept: Sequence[T]) -> Iterator[T]:
    while True:
        yield from kept


class Pieces:
    """Keeps responses as they are."""

    def __init__(self, room: int) -> None:
        self.room = room

    def __repr__(self) -> str:
        return f"Pieces(room={self.room})"

    def weight(self, orders: Orders) -> int:
        """Part of Store."""
        several = _whole(orders)
        return (several if several <= _READY else len(orders.octets)) + ORDER_OCTETS * len(orders.windows)

    def put(self, orders: Orders) -> Sequence[Response]:
        """Part of Store."""
        windows = _Windows(orders)
        return [*windows] if _whole(orders) <= _READY else windows

    def in_turn(self, kept: Sequence[Response]) -> Iterator[Response]:
        """Part of Store."""
        return cycle(kept) if isinstance(kept, list) else _endlessly(kept)

    def clear(self) -> None:
        """Part of Store."""


#: The keys of a response, and its octets.
_Kept = tuple[tuple[bytes, ...], int]


class _Kind(Generic[T]):
    """Responses that found something, or those that did not, in the order of their arrival."""

    def __init__(self, most: int, store: Store[T]) -> None:
        self.store = store
        self.most = most
        self._begin()

    def _begin(self) -> None:
        self._queue: deque[_Kept] = deque()
        self._room = self.store.room
        #: Hashes of keys that were asked for once.
        self.asked: set[int] = set()

    def __len__(self) -> int:
        return len(self._queue)

    def asked_again(self, keys: Iterable[bytes]) -> set[int]:
        """The hashes of those keys that were asked for before. Who asks is remembered, but only so many."""
        hashes = [*map(hash, keys)]
        again = self.asked.intersection(hashes)
        if len(self.asked) >= self.most:
            self.asked.clear()
        self.asked.update(hashes)
        return again

    def push(self, keys: tuple[bytes, ...], weight: int) -> list[bytes]:
        """Take the keys of a response; the keys that have to go for it, before it is put into the store."""
        self._queue.append((keys, weight))
        self._room -= weight
        gone: list[bytes] = []
        while len(self._queue) > self.most or self._room < 0:
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


class ResponseCache(Generic[T]):
    """A bounded map of key → responses: first in, first out.

    Responses that found something and those that did not are bounded separately, in number and in
    octets. A flood of unknown names therefore only ever evicts other unknown names. Only what is asked for
    again is kept: random names never are, and most names not between two changes of a busy zone.
    So are answers of upstreams, if there is a store for them: their times to live count down, so all are dropped each second.
    """

    def __init__(
        self,
        found: Store[T],
        missing: Store[T],
        most_found: int = _MOST_FOUND,
        most_missing: int = _MOST_MISSING,
        outside: Store[T] | None = None,
        *,
        outside_for_all: bool = True,
    ) -> None:
        """Answers of upstreams are among `entries` only if they are `outside_for_all`: then whoever asks may have them."""
        #: Each entry gives what the store made of the responses, in turn and without end. Read by the
        #: answering loops directly: a call for each packet would cost more than the look-up.
        self.entries: dict[bytes, Iterator[T]] = {}
        #: The parts of truncated answers: which of them a client gets, says `part_start`.
        self.parts: dict[bytes, Sequence[T]] = {}
        #: Answers of upstreams that not all clients may have.
        self.outside: dict[bytes, T] = {}
        self._outside_for_all = outside_for_all
        self._found = _Kind(most_found, found)
        self._missing = _Kind(most_missing, missing)
        self._outside = None if outside is None else _Kind(_MOST_OUTSIDE, outside)
        self._garbage: list[dict[bytes, Iterator[T]] | dict[bytes, Sequence[T]] | deque[_Kept] | set[int]] = []

    def __repr__(self) -> str:
        return f"ResponseCache(found={len(self._found)}, missing={len(self._missing)})"

    def part(self, key: bytes, client: bytes, owner: bytes) -> T | None:
        """What is kept for that client of a truncated answer."""
        parts = self.parts.get(key)
        return None if parts is None else parts[part_start(client, owner, len(parts))]

    def should_cache(self, key: bytes, *, found: bool) -> bool:
        """Whether the response to `key` is worth keeping: it is when the key was asked for before."""
        return bool((self._found if found else self._missing).asked_again((key,)))

    def repeated(self, keys: Sequence[bytes]) -> list[bytes]:
        """Those of `keys`, which found nothing, that are worth keeping: the same as `should_cache` for many."""
        again = self._missing.asked_again(keys)
        return [key for key in keys if hash(key) in again] if again else []

    def cache_orders(self, keys: tuple[bytes, ...], orders: Orders) -> None:
        """Keep responses under each of `keys`; the oldest of their kind go when there is no room.

        Must not be called between a look-up and the sending of what was found: the store may put the new
        response where an old one was.
        """
        kind = self._found if orders.found else self._missing
        if not self._make_room(kind, keys, kind.store.weight(orders)):
            return
        kept = kind.store.put(orders)
        if orders.by_client:
            for key in keys:
                self.parts[key] = kept
            return
        entry = repeat(kept[0]) if len(kept) == 1 else kind.store.in_turn(kept)
        for key in keys:
            self.entries[key] = entry

    def cache_turns(self, key: bytes, turns: Iterator[T], weight: int) -> None:
        """Keep what gives responses to `key` in turn and without end, and takes about `weight` octets."""
        if self._make_room(self._found, (key,), weight):
            self.entries[key] = turns

    def cache_outside(self, key: bytes, response: Response) -> None:
        """Keep an answer of an upstream until `forget_outside`, which must be called within a second or so.

        As with `cache_orders`, not between a look-up and the sending of what was found.
        """
        header, body, opt, end, found, *_ = response
        orders = Orders(body, ((header, 0, len(body)),), opt, end, found)
        kind = self._outside
        if kind is not None and self._make_room(kind, (key,), kind.store.weight(orders)):
            kept = kind.store.put(orders)[0]
            if self._outside_for_all:
                self.entries[key] = repeat(kept)
            else:
                self.outside[key] = kept

    def forget_outside(self) -> None:
        """Drop the answers of upstreams. Below a millisecond, as they are few."""
        if self._outside is not None:
            dropped, _ = self._outside.forget()
            for keys, _ in dropped:
                for key in keys:
                    self.entries.pop(key, None)
            self.outside.clear()

    def _make_room(self, kind: _Kind[T], keys: tuple[bytes, ...], weight: int) -> bool:
        if weight > kind.store.room or any(
            key in self.entries or key in self.parts or key in self.outside for key in keys
        ):
            return False
        for gone in kind.push(keys, weight):
            if self.entries.pop(gone, None) is None and self.outside.pop(gone, None) is None:
                del self.parts[gone]
        return True

    def forget(self) -> None:
        """Drop everything, since the zone changed. Freed bit by bit in `reclaim`: 100,000 responses at once take 23 ms."""
        outside = () if self._outside is None else self._outside.forget()
        for dropped in (self.entries, self.parts, *self._found.forget(), *self._missing.forget(), *outside):
            if dropped:
                self._garbage.append(dropped)
        self.entries = {}
        self.parts = {}
        # At most `_MOST_OUTSIDE`, below a millisecond.
        self.outside.clear()

    @property
    def has_garbage(self) -> bool:
        """Whether something that was dropped is yet to be freed."""
        return bool(self._garbage)

    def reclaim(self, most: int) -> None:
        """Free up to `most` things of what was dropped. A response makes four: to be called with more than that for each."""
        while self._garbage and most > 0:
            dropped = self._garbage[-1]
            count = min(most, len(dropped))
            for _ in range(count):
                dropped.popitem() if isinstance(dropped, dict) else dropped.pop()
            most -= count + 1
            if not dropped:
                self._garbage.pop()
