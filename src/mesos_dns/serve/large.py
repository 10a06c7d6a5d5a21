"""Answers that are too large for the response cache: rendered once for each version of a zone, then cut. Pure.

The records are laid out in a ring: all of them, and from the first on again as many as one message holds. So every
rotation of the answer is one slice, and each record can come first equally often. The additional section is the same
behind every rotation: its owners point into the question, which never moves, and not into the answer.
"""

import struct
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from typing import Final, NamedTuple

from mesos_dns.dns.message import TCP_SIZE
from mesos_dns.dns.rdata import AAAA, CLASS_IN, NS, SRV, A

#: Octets of all answers beyond 64 KiB that one worker remembers: those of 20 applications with 2,000 instances each.
LARGE_ANSWERS_OCTETS: Final = 8 * 1024 * 1024
#: Octets of records beyond which an answer is not laid out as a whole. A message holds 64 KiB, and to lay out a
#: megabyte takes 3 ms; of larger sets only what one message holds is rendered, each time anew.
LARGEST_LAID_OUT: Final = 1024 * 1024
#: Octets of a message over TCP without its OPT record, which differs between clients that share an answer.
_LIMIT: Final = TCP_SIZE - 128
#: Octets of the smallest record behind a compressed owner: an A record.
_SMALLEST_RECORD: Final = 16
_RR: Final = struct.Struct("!HHIH")
#: A pointer to the question's name, which every message has at offset 12 (RFC 1035 section 4.1.4).
_QUESTION: Final = 12
_QNAME: Final = b"\xc0\x0c"
#: Where in the rdata the name begins whose addresses help (RFC 2782, RFC 1035 section 3.3.11).
_TARGETS: Final = {SRV: 6, NS: 0}

#: Record sets of one owner: type, and the rdata of each record.
Sets = Sequence[tuple[int, Sequence[bytes]]]
#: Gives the record sets of an owner, None if it has none.
Lookup = Callable[[bytes], Sets | None]


class Part(NamedTuple):
    """What stands behind the question: `octets` has `answers` records of the answer, then `additionals` more."""

    answers: int
    additionals: int
    octets: bytes


class LargeAnswer(NamedTuple):
    """The records that answer one question, ready to be sent in any rotation.

    `ring` holds all `records` records, and then again as many as one message of `room` octets holds; `starts` says where
    in it each record begins, and where the last one ends. The `additionals` records in `additional` follow only if the
    whole answer fits.
    """

    ring: bytes
    starts: Sequence[int]
    records: int
    room: int
    additional: bytes
    additionals: int

    @property
    def octets(self) -> int:
        """Octets of memory, roughly."""
        return len(self.ring) + 4 * len(self.starts) + len(self.additional)

    def fits(self) -> bool:
        """Whether one message holds all records."""
        return self.starts[self.records] <= self.room

    def part(self, start: int) -> Part:
        """The answer from the record at `start` on (0 to `records` - 1): all records, or as many whole ones as fit."""
        starts = self.starts
        begin = starts[start]
        end = begin + starts[self.records]
        if self.fits():
            return Part(self.records, self.additionals, self.ring[begin:end] + self.additional)
        last = bisect_right(starts, begin + self.room) - 1
        return Part(last - start, 0, self.ring[begin : starts[last]])


def render(question: bytes, sets: Sets, ttl: int, limit: int, lookup: Lookup) -> LargeAnswer:
    """The answer with `sets` to a question for the name `question`.

    `question` is in wire form and lower case. A message up to the end of its additional records has at most `limit`
    octets: whoever appends an OPT record takes its octets off. Whole address sets of targets are added, as far as
    they fit (RFC 2181 section 9 asks for no TC if others are left out); none if the answer itself had to be cut.
    """
    room = limit - _QUESTION - len(question) - 4
    records: list[bytes] = []
    for rrtype, rdataset in sets:
        fronts = {n: _QNAME + _RR.pack(rrtype, CLASS_IN, ttl, n) for n in set(map(len, rdataset))}
        records += [fronts[len(rdata)] + rdata for rdata in rdataset]
    starts = list(accumulate(map(len, records), initial=0))
    size = starts[-1]
    again = bisect_right(starts, room) - 1
    starts += [size + start for start in starts[1 : again + 1]]
    ring = b"".join(records + records[:again])
    count, additional = _additional(question, sets, ttl, room - size, lookup)
    return LargeAnswer(ring, array("I", starts), len(records), room, additional, count)


def excerpt(rdataset: Sequence[bytes], start: int, limit: int) -> Sequence[bytes]:
    """As much of `rdataset` as a message of `limit` octets could hold, from the one at `start` on."""
    most = limit // _SMALLEST_RECORD
    run = rdataset[start : start + most]
    return [*run, *rdataset[: min(most - len(run), start)]]


def least_size(sets: Sets) -> int:
    """Octets that the records of `sets` take at the least, at the cost of a look at each set."""
    return sum(len(rdataset) * _SMALLEST_RECORD for _, rdataset in sets)


def _additional(question: bytes, sets: Sets, ttl: int, room: int, lookup: Lookup) -> tuple[int, bytes]:
    """How many address records of targets fit into `room` octets, and these."""
    fronts = {A: _RR.pack(A, CLASS_IN, ttl, 4), AAAA: _RR.pack(AAAA, CLASS_IN, ttl, 16)}
    pointers = _pointers(question)
    #: What stands for the name above a target: nearly all targets have one of a few.
    above: dict[bytes, bytes] = {}
    count = 0
    parts: list[bytes] = []
    for target in _targets(sets) if room >= _SMALLEST_RECORD else ():
        rrsets = lookup(target)
        if rrsets is None:
            continue
        owner = pointers.get(target)
        if owner is None:
            first = target[0] + 1
            rest = target[first:]
            if rest not in above:
                above[rest] = compressed(rest, pointers)
            owner = target[:first] + above[rest]
        for rrtype, rdataset in rrsets:
            if rrtype in fronts:
                front = owner + fronts[rrtype]
                size = len(rdataset) * (len(front) + len(rdataset[0]))
                if size <= room:
                    room -= size
                    count += len(rdataset)
                    parts.append(front + front.join(rdataset))
        if room < _SMALLEST_RECORD:
            break
    return count, b"".join(parts)


def _targets(sets: Sets) -> dict[bytes, None]:
    """The names whose addresses help, each once, in lower case."""
    targets: dict[bytes, None] = {}
    for rrtype, rdataset in sets:
        skip = _TARGETS.get(rrtype)
        if skip is not None:
            targets.update(dict.fromkeys([rdata[skip:].lower() for rdata in rdataset]))
    return targets


def _pointers(question: bytes) -> dict[bytes, bytes]:
    """A compression pointer to each suffix of the question's name but the root."""
    return {question[at:]: struct.pack("!H", 0xC000 | _QUESTION + at) for at in _boundaries(question)}


def _boundaries(name: bytes) -> Iterator[int]:
    """Where the labels of `name` begin, without the root."""
    at = 0
    while at < len(name) and (length := name[at]):
        yield at
        at += length + 1


def compressed(name: bytes, pointers: dict[bytes, bytes]) -> bytes:
    """`name` with its longest suffix that `pointers` knows replaced by the pointer to it; as it is if none is known."""
    for at in _boundaries(name):
        pointer = pointers.get(name[at:])
        if pointer is not None:
            return name[:at] + pointer
    return name


class LargeAnswers:
    """Answers that fit no message, laid out to be cut: bounded in octets, first in, first out.

    There is nothing to empty when the zone changes: an answer holds for as long as its records are the same object.
    """

    def __init__(self, room: int = LARGE_ANSWERS_OCTETS) -> None:
        self._all = self._room = room
        self._answers: dict[tuple[bytes, int], tuple[Sequence[bytes], LargeAnswer]] = {}

    def __repr__(self) -> str:
        return f"LargeAnswers({len(self._answers)}, octets={self._all - self._room})"

    def part(self, question: bytes, rrtype: int, rdataset: Sequence[bytes], ttl: int, start: int) -> Part:
        """As many of the records that answer `question` as fit over TCP, from the one at `start` on, without additional ones.

        `question` is in wire form and lower case.
        """
        if len(rdataset) * _SMALLEST_RECORD > LARGEST_LAID_OUT:
            run = ((rrtype, excerpt(rdataset, start, _LIMIT)),)
            return render(question, run, ttl, _LIMIT, _nothing).part(0)
        key = question, rrtype
        known = self._answers.get(key)
        if known is not None and known[0] is rdataset:
            return known[1].part(start)
        answer = render(question, ((rrtype, rdataset),), ttl, _LIMIT, _nothing)
        if known is not None:
            self._drop(key)
        self._room -= answer.octets
        self._answers[key] = rdataset, answer
        while self._room < 0:
            self._drop(next(iter(self._answers)))
        return answer.part(start)

    def _drop(self, key: tuple[bytes, int]) -> None:
        _, answer = self._answers.pop(key)
        self._room += answer.octets


def _nothing(_: bytes) -> None:
    """No addresses: what was cut leaves no room for them, and those of others would only mislead."""
