"""The response cache: finished responses, and which of them a question gets. Pure.

What is kept of a response is up to the listener, whose `Store` makes it: pieces, or something that the
listener can send at once. Keys are those of `keys`.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import Final, Generic, Protocol, TypeVar, overload

from mesos_dns.serve.render import Orders, Response
from mesos_dns.serve.request import Transport, part_start
from mesos_dns.serve.traffic import Kind, Traffic, kind_of
from mesos_dns.serve.turns import ByClient, Counted, times_given, turns

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

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


class Store(Protocol[T_co]):
    """Where responses are kept, and how much of them."""

    #: Octets that may be kept at the same time.
    room: int

    def weight(self, orders: Orders) -> int:
        """Octets that `orders` will take."""

    def put(self, orders: Orders) -> Sequence[T_co]:
        """Keep responses: what the listener can send, for each window.

        What was put first is dropped first, when there is no more room.
        """

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

    def clear(self) -> None:
        """Part of Store."""


class _Kept:
    """A response with its keys, and how often it was given."""

    __slots__ = ("counted", "keys", "kind", "source", "weight")

    def __init__(self, keys: tuple[bytes, ...], weight: int, kind: Kind, source: object) -> None:
        self.keys = keys
        self.weight = weight
        self.kind = kind
        #: What knows how often it was given, and how often of those the traffic knows of.
        self.source = source
        self.counted = 0

    def __repr__(self) -> str:
        return f"_Kept({self.kind}, counted={self.counted})"

    def count(self, traffic: Traffic) -> None:
        """Tell the traffic how often it was given since the last time."""
        given = times_given(self.source)
        if given != self.counted:
            traffic.add(self.kind, given - self.counted)
            self.counted = given


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

    def make_room(self, weight: int) -> Iterator[_Kept]:
        """What has to go for a response of so many octets, which `push` takes then."""
        self._room -= weight
        while len(self._queue) >= self.most or self._room < 0:
            gone = self._queue.popleft()
            self._room += gone.weight
            yield gone

    def push(self, kept: _Kept) -> None:
        """Take a response for which there is room."""
        self._queue.append(kept)

    def __iter__(self) -> Iterator[_Kept]:
        return iter(self._queue)

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
        traffic: Traffic | None = None,
        *,
        outside_for_all: bool = True,
    ) -> None:
        """`traffic` is told how often each response is given.

        Answers of upstreams are among `entries` only if they are `outside_for_all`: then whoever asks may have them.
        """
        #: Each entry gives what the store made of the responses, in turn and without end. Read by the
        #: answering loops directly: a call for each packet would cost more than the look-up.
        self.entries: dict[bytes, Iterator[T]] = {}
        #: The parts of truncated answers: which of them a client gets, says `part_start`.
        self.parts: dict[bytes, ByClient[T]] = {}
        self._traffic = Traffic(Transport.UDP) if traffic is None else traffic
        #: Answers of upstreams that not all clients may have.
        self.outside: dict[bytes, Iterator[T]] = {}
        self._outside_for_all = outside_for_all
        self._found = _Kind(most_found, found)
        self._missing = _Kind(most_missing, missing)
        self._outside = None if outside is None else _Kind(_MOST_OUTSIDE, outside)
        self._garbage: list[dict[bytes, Iterator[T]] | dict[bytes, ByClient[T]] | deque[_Kept] | set[int]] = []

    def __repr__(self) -> str:
        return f"ResponseCache(found={len(self._found)}, missing={len(self._missing)})"

    def part(self, key: bytes, client: bytes, owner: bytes) -> T | None:
        """What is kept for that client of a truncated answer."""
        parts = self.parts.get(key)
        if parts is None:
            return None
        parts.times += 1
        return parts.values[part_start(client, owner, len(parts.values))]

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
        weight = kind.store.weight(orders)
        if not self._make_room(kind, keys, weight):
            return
        responses = kind.store.put(orders)
        if orders.by_client:
            parts = ByClient(responses)
            for key in keys:
                self.parts[key] = parts
            kind.push(_Kept(keys, weight, _kind_of(keys[0], orders), parts))
            return
        entry, source = turns(responses)
        for key in keys:
            self.entries[key] = entry
        kind.push(_Kept(keys, weight, _kind_of(keys[0], orders), source))

    def cache_turns(self, key: bytes, responses: Iterator[T], header: bytes, weight: int) -> None:
        """Keep what gives responses to `key` in turn and without end, and takes about `weight` octets, a third of them in each response."""
        if self._make_room(self._found, (key,), weight):
            counted = self.entries[key] = Counted(responses)
            self._found.push(_Kept((key,), weight, kind_of(key, header, weight // 3), counted))

    def cache_outside(self, key: bytes, response: Response) -> None:
        """Keep an answer of an upstream until `forget_outside`, which must be called within a second or so.

        As with `cache_orders`, not between a look-up and the sending of what was found.
        """
        header, body, opt, end, found, *_ = response
        orders = Orders(body, ((header, 0, len(body)),), opt, end, found)
        kind = self._outside
        weight = 0 if kind is None else kind.store.weight(orders)
        if kind is not None and self._make_room(kind, (key,), weight):
            entry, source = turns(kind.store.put(orders))
            (self.entries if self._outside_for_all else self.outside)[key] = entry
            kind.push(_Kept((key,), weight, _kind_of(key, orders), source))

    def forget_outside(self) -> None:
        """Drop the answers of upstreams. Below a millisecond, as they are few."""
        if self._outside is not None:
            dropped, _ = self._outside.forget()
            for kept in dropped:
                for key in kept.keys:
                    self.entries.pop(key, None)
                kept.count(self._traffic)
            self.outside.clear()

    def _make_room(self, kind: _Kind[T], keys: tuple[bytes, ...], weight: int) -> bool:
        if weight > kind.store.room or any(
            key in self.entries or key in self.parts or key in self.outside for key in keys
        ):
            return False
        for gone in kind.make_room(weight):
            gone.count(self._traffic)
            for key in gone.keys:
                if self.entries.pop(key, None) is None and self.outside.pop(key, None) is None:
                    del self.parts[key]
        return True

    def count_some(self, start: int, most: int) -> int:
        """Tell the traffic how often up to `most` responses were given, from the one at place `start` on; how many these were."""
        kinds = [self._found, self._missing, *([self._outside] if self._outside is not None else [])]
        counted = 0
        for kept in islice(chain.from_iterable(kinds), start, start + most):
            kept.count(self._traffic)
            counted += 1
        return counted

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

    def __len__(self) -> int:
        """How many responses are kept."""
        return len(self._found) + len(self._missing) + (0 if self._outside is None else len(self._outside))

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
                if isinstance(dropped, dict):
                    dropped.popitem()
                elif isinstance(dropped, set):
                    dropped.pop()
                else:
                    dropped.pop().count(self._traffic)
            most -= count + 1
            if not dropped:
                self._garbage.pop()

    def count_dropped(self) -> None:
        """Tell the traffic of what was dropped and is not freed yet: the end of a worker does not wait for that."""
        for dropped in self._garbage:
            if isinstance(dropped, deque):
                for kept in dropped:
                    kept.count(self._traffic)


def _kind_of(key: bytes, orders: Orders) -> Kind:
    header, start, stop = orders.windows[0]
    return kind_of(key, header, orders.question_end + stop - start + len(orders.opt))
