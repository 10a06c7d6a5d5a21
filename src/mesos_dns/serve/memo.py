"""Finished replies, remembered. Pure.

The key is the query without its ID, its EDNS size and options, in lower case. Thus neither random
letter case (0x20) nor cookies nor differing EDNS sizes defeat it, and header flags that a reply
copies are part of it. Folding the case also folds flag and type octets: types 65 to 90 onto 97 to
122, of which this zone has none, so that their replies are alike (NODATA, NXDOMAIN).
"""

from collections import deque
from collections.abc import Callable, Iterator
from itertools import chain, cycle
from typing import NamedTuple

from mesos_dns.limits import MEMO_FOUND, MEMO_NOT_FOUND, MEMO_OCTETS

#: Header octets 2 to 12, and the tail, or a function that gives one tail after the other.
Entry = tuple[bytes, bytes | Callable[[], bytes]]

#: What ends the key of a query with EDNS: without and with the DO bit. Capitals set these keys apart
#: from those of plain queries, which are datagrams in lower case.
_PLAIN, _DO = b"E", b"D"
#: The end of an OPT record without options, from its extended RCODE on: 6 octets.
_NO_OPTIONS = {bytes(6): _PLAIN, b"\0\0\x80\0\0\0": _DO}
#: The same of one with just a client cookie (RFC 7873), without the 8 octets that differ.
_COOKIE = {bytes(5) + b"\x0c\0\x0a\0\x08": _PLAIN, b"\0\0\x80\0\0\x0c\0\x0a\0\x08": _DO}
#: Octets of these records, and of the part of them that the key includes (owner and type).
_NO_OPTIONS_SIZE, _COOKIE_SIZE, _KEPT = 11, 23, 3


class _Queue:
    """Keys of one kind of entry in the order of their arrival, with the octets that each weighs."""

    def __init__(self, most: int, most_octets: int) -> None:
        self._keys: deque[bytes] = deque()
        self._weights: deque[int] = deque()
        self._most = most
        self._room = most_octets

    def __len__(self) -> int:
        return len(self._keys)

    def push(self, key: bytes, weight: int) -> list[bytes]:
        """Take a key; the keys that have to go for it."""
        self._keys.append(key)
        self._weights.append(weight)
        self._room -= weight
        gone = []
        while len(self._keys) > self._most or self._room < 0:
            gone.append(self._keys.popleft())
            self._room += self._weights.popleft()
        return gone


class Memo:
    """A bounded map of key → entry: first in, first out.

    Replies that found something and those that did not are bounded separately, in number and in
    octets. A flood of unknown names therefore only ever evicts other unknown names.
    """

    def __init__(self, found: int = MEMO_FOUND, missing: int = MEMO_NOT_FOUND, octets: int = MEMO_OCTETS) -> None:
        #: Read by the answering loops directly: a call per packet would cost more than the look-up.
        self.entries: dict[bytes, Entry] = {}
        self._bounds = found, missing, octets
        self._begin()
        self._garbage: list[dict[bytes, Entry]] = []
        #: Hashes of keys that found nothing lately. It outlives changes of the zone.
        self._asked: set[int] = set()

    def _begin(self) -> None:
        found, missing, octets = self._bounds
        self._found = _Queue(found, octets)
        self._missing = _Queue(missing, octets)

    def __repr__(self) -> str:
        return f"Memo(found={len(self._found)}, missing={len(self._missing)})"

    def remember(
        self, key: bytes, head: bytes, tail: bytes, others: Iterator[bytes] | None, size: int, *, found: bool
    ) -> None:
        """Keep a rendering under `key`; the oldest of its kind go when there is no room.

        `tail` is for the one who asked first; those who ask later get `others` in turn, if there are any.
        What was not found is kept when it is asked for again: random names never are.
        """
        if not found and not self._asked_before(key):
            return
        if key not in self.entries:
            entry = head, tail if others is None else _in_turn(others)
            self._keep(key, entry, max(size, len(tail)), found=found)

    def _asked_before(self, key: bytes) -> bool:
        known = hash(key)
        if known in self._asked:
            return True
        if len(self._asked) >= MEMO_NOT_FOUND:
            self._asked.clear()
        self._asked.add(known)
        return False

    def _keep(self, key: bytes, entry: Entry, size: int, *, found: bool) -> None:
        queue = self._found if found else self._missing
        self.entries[key] = entry
        for gone in queue.push(key, size + len(key)):
            del self.entries[gone]

    def forget(self) -> None:
        """Drop everything, since the zone changed. Freed bit by bit in `sweep`, not all at once."""
        if self.entries:
            self._garbage.append(self.entries)
            self.entries = {}
            self._begin()

    def sweep(self, most: int = 500) -> None:
        """Free up to `most` dropped entries: more than one batch of packets can add."""
        while self._garbage and most:
            dropped = self._garbage[-1]
            if dropped:
                dropped.popitem()
                most -= 1
            else:
                self._garbage.pop()


def _in_turn(tails: Iterator[bytes]) -> Callable[[], bytes]:
    """A function that gives one of `tails` after the other, again and again; each is made only once."""
    made: list[bytes] = []

    def first_round() -> Iterator[bytes]:
        for tail in tails:
            made.append(tail)
            yield tail

    # `cycle` reads the list when its turn comes: by then all are in it.
    return chain(first_round(), cycle(made)).__next__


def common_edns_key(view: memoryview, at: int, end: int) -> tuple[bytes, int] | None:
    """The key of the datagram in view[at:end], and how many octets stand behind its question.

    For the answering loops: fast, because it knows only the two OPT records that nearly all clients
    send, and looks for them from the end. None for all others; then `edns_key` has to look.
    """
    mark = _NO_OPTIONS.get(view[end - 6 : end].tobytes())
    if mark is not None:
        return view[at + 2 : end - _NO_OPTIONS_SIZE + _KEPT].tobytes().lower() + mark, _NO_OPTIONS_SIZE
    mark = _COOKIE.get(view[end - 18 : end - 8].tobytes())
    if mark is not None:
        return view[at + 2 : end - _COOKIE_SIZE + _KEPT].tobytes().lower() + mark, _COOKIE_SIZE
    return None


class EdnsKey(NamedTuple):
    """The key of a query with EDNS, where its question ends, and its UDP size."""

    key: bytes
    question_end: int
    size: int


def edns_key(octets: bytes) -> EdnsKey | None:
    """The key of a query with one well-formed OPT record at its end.

    None if it is anything else: then `dns.message.parse` has to look at it.
    """
    # The first zero octet ends the name: if another name had one inside a label, its octets before
    # it would not be those of the entry that is found.
    end = octets.find(0, 12) + 5
    length = len(octets)
    at = end + 11
    # Root owner, type 41; then, behind the size, extended RCODE 0 and version 0.
    if at > length or end < 17 or octets[end : end + 3] != b"\0\0\x29" or octets[end + 5 : end + 7] != b"\0\0":
        return None
    if at + (octets[end + 9] << 8 | octets[end + 10]) != length:
        return None
    while at < length:
        at += 4 + (octets[at + 2] << 8 | octets[at + 3]) if at + 4 <= length else length
    if at != length:
        return None
    key = octets[2 : end + _KEPT].lower() + (_DO if octets[end + 7] & 0x80 else _PLAIN)
    return EdnsKey(key, end, octets[end + 3] << 8 | octets[end + 4])
