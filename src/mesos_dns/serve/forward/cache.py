"""The cache of what upstreams answered, for all clients of a worker. Pure: time is an argument.

Times are seconds of a clock that never goes back. Four kinds are kept, each with room of its own, so that none
can push out another: answers that found something, NXDOMAIN and NODATA, both only once they are asked for again, what is new, and failures.
"""

import struct
from math import inf
from typing import TYPE_CHECKING, Final, NamedTuple

from mesos_dns.dns import message as msg
from mesos_dns.dns.message import Query
from mesos_dns.serve.forward.keeping import TTL, Kept, is_answer, kept
from mesos_dns.serve.forward.records import AD, HEADER, BadReplyError
from mesos_dns.serve.forward.segments import Segments

if TYPE_CHECKING:
    from collections.abc import Container

_TAIL: Final = struct.Struct("!HHH")
_FLAGS: Final = struct.Struct("!H")
#: The TTL of what is older than its TTL (RFC 8767 section 4).
_STALE_TTL_SECONDS: Final = 30
#: What is stale is given at once for so long after upstreams failed (RFC 8767 section 5: the failure recheck timer).
_RECHECK_SECONDS: Final = 30
#: How long a failure is remembered; each that follows, for twice as long as the one before (RFC 9520 section 3.2).
_FAILURE_SECONDS: Final = 5
#: How long it is remembered at most, and how long after its end another still counts as one that follows.
_MOST_FAILURE_SECONDS: Final = 300
#: NXDOMAIN and NODATA are believed no longer than this (RFC 2308 section 5 wants one to three hours).
_MOST_NEGATIVE_SECONDS: Final = 3 * 3600
#: Questions since the last answer that make it worth to ask again before its end.
_POPULAR_TIMES: Final = 3
#: The last part of an answer's life, in which that is done.
_PREFETCH_PER_LIFE: Final = 0.1
#: The part of the octets for NXDOMAIN and NODATA: enough for the addresses of the other family, which many names lack.
_NEGATIVE_PER_ROOM: Final = 1 / 8
#: The part of the octets for answers that nobody has asked for again, which are not looked into until somebody does: most
#: names of a flood are never, and to look takes as long as the rest of an answer.
_NEW_PER_ROOM: Final = 1 / 8
#: The part of the octets for failures.
_FAILURES_PER_ROOM: Final = 1 / 32
#: Octets that an answer takes beside those of its name, its message and its offsets: objects, times, places in dictionaries.
_ENTRY_OCTETS: Final = 520
#: Octets that it takes in addition if its addresses are rotated.
_RUN_OCTETS: Final = 160
#: Octets that an answer takes beside those of its name and its message before it is looked into.
_NEW_OCTETS: Final = 370
#: Octets that a failure takes beside those of its name.
_FAILURE_OCTETS: Final = 320


class Found(NamedTuple):
    """What the cache has for a question, and what to do.

    `fresh`: answer with `reply`; with `prefetch` ask upstreams, too, for the next ones. `failed`: say SERVFAIL at once; there
    is no `reply`. Neither: `reply` is stale; with `recheck` ask upstreams, and answer with it if they are silent or fail,
    else answer with it at once.
    """

    reply: bytes
    fresh: bool = False
    prefetch: bool = False
    recheck: bool = False
    failed: bool = False


_FAILED: Final = Found(b"", failed=True)


def cache_key(query: Query) -> bytes:
    """What the answer to `query` depends on: name in lower case, type, class, and the bits that upstreams see.

    DO and CD (RFC 4035 section 3.2, RFC 6840 section 5.9); RD, without which an upstream tells only what it has at hand;
    AD, which asks for AD as DO does (RFC 6840 section 5.7).
    """
    bits = query.flags & (msg.COPIED | AD)
    if query.edns is not None and query.edns.do:
        bits = bits & ~AD | msg.DO
    return query.name + _TAIL.pack(query.qtype, query.qclass, bits)


class _Entry:
    """An answer. `reply` is what was given last: its TTLs are those at the time `counted`, and its addresses in that order."""

    __slots__ = ("asked", "counted", "expires", "prefetch_from", "recheck_from", "reply", "run", "ttls")

    def __init__(self, answer: Kept, seconds: int, now: float) -> None:
        self.reply = answer.octets
        self.ttls = answer.ttls
        self.run = answer.run
        self.counted = now
        self.expires = now + seconds
        self.prefetch_from = now + seconds * (1 - _PREFETCH_PER_LIFE)
        self.recheck_from = now
        self.asked = 0

    def fresh(self, now: float) -> bytes:
        """The reply with TTLs less by its age, but not below 1; those that were 0 stay so."""
        if now >= self.counted + 1:
            passed = int(now - self.counted)
            octets = bytearray(self.reply)
            read, write = TTL.unpack_from, TTL.pack_into
            for at in self.ttls:
                (ttl,) = read(octets, at)
                write(octets, at, ttl - passed if ttl > passed else ttl and 1)
            self.reply = bytes(octets)
            self.counted += passed
        return self._rotated()

    def stale(self) -> bytes:
        """The reply after its end; signatures may have ended, too, so it does not say AD."""
        if self.counted < inf:
            octets = bytearray(self.reply)
            for at in self.ttls:
                TTL.pack_into(octets, at, _STALE_TTL_SECONDS)
            _FLAGS.pack_into(octets, 2, HEADER.unpack_from(octets)[1] & ~AD)
            self.reply = bytes(octets)
            self.counted = inf
        return self._rotated()

    def _rotated(self) -> bytes:
        if self.run is not None:
            start, end, size = self.run
            octets, second = self.reply, start + size
            self.reply = octets[:start] + octets[second:end] + octets[start:second] + octets[end:]
        return self.reply

    @staticmethod
    def weight(key: bytes, entry: "_Entry") -> int:
        """Octets that `entry` takes under `key`."""
        base = _ENTRY_OCTETS if entry.run is None else _ENTRY_OCTETS + _RUN_OCTETS
        return base + len(key) + len(entry.reply) + 2 * len(entry.ttls)


class _New(NamedTuple):
    """An answer as it came, `at` that time."""

    reply: bytes
    question_end: int
    at: float

    @staticmethod
    def weight(key: bytes, new: "_New") -> int:
        """Octets that it takes under `key`."""
        return _NEW_OCTETS + len(key) + len(new.reply)


#: What the class does itself, but for a call.
_new: Final = tuple.__new__


class _Failure(NamedTuple):
    """Upstreams failed; they are not asked before `until`, which is `seconds` after."""

    until: float
    seconds: int

    @staticmethod
    def weight(key: bytes, _: "_Failure") -> int:
        """Octets that a failure takes under `key`."""
        return _FAILURE_OCTETS + len(key)


class ForwardCache:
    """Upstreams' replies by `cache_key`, in at most `octets` octets; 0 keeps none.

    Answers are kept for their TTL, but for `min_ttl` seconds at least and `max_ttl` at most (TTLs that clients see are never
    raised), and are `stale_seconds` longer at hand for when no upstream answers (RFC 8767).
    """

    def __init__(self, octets: int, *, min_ttl: int, max_ttl: int, stale_seconds: float) -> None:
        negative, failures = int(octets * _NEGATIVE_PER_ROOM), int(octets * _FAILURES_PER_ROOM)
        new = int(octets * _NEW_PER_ROOM)
        self._new = Segments(new, _New.weight)
        self._positive = Segments(octets - negative - failures - new, _Entry.weight)
        self._negative = Segments(negative, _Entry.weight)
        self._failures = Segments(failures, _Failure.weight)
        #: Where to look for what is kept, whatever it is.
        self._places: tuple[Container[bytes], ...] = (
            *self._new.places,
            *self._positive.places,
            *self._negative.places,
            *self._failures.places,
        )
        self._min_ttl = min_ttl
        self._max_ttl = max_ttl
        self._stale_seconds = stale_seconds

    def __repr__(self) -> str:
        parts = f"{self._positive!r}, negative {self._negative!r}, new {self._new!r}, failures {self._failures!r}"
        return f"ForwardCache({parts})"

    def __len__(self) -> int:
        return len(self._positive) + len(self._negative) + len(self._new) + len(self._failures)

    @property
    def octets(self) -> int:
        """Octets in use."""
        return self._positive.octets + self._negative.octets + self._new.octets + self._failures.octets

    def find(self, key: bytes, now: float) -> Found | None:
        """What there is for a question of a client; None if upstreams must be asked."""
        entry = self._entry(key)
        if entry is None:
            failure = self._failures.get(key)
            return _FAILED if failure is not None and now < failure.until else None
        if now < entry.expires:
            entry.asked += 1
            if now < entry.prefetch_from or entry.asked < _POPULAR_TIMES:
                return Found(entry.fresh(now), fresh=True)
            entry.prefetch_from = inf
            return Found(entry.fresh(now), fresh=True, prefetch=True)
        if now < entry.expires + self._stale_seconds:
            return Found(entry.stale(), recheck=now >= entry.recheck_from)
        return None  # It stays, so that the next answer takes its place among those that are asked for.

    def fresh(self, key: bytes, now: float) -> bytes | None:
        """The reply that `find` gives, if that is fresh and there is nothing to do but to give it."""
        entry = self._entry(key)
        if entry is None or now >= entry.expires or (now >= entry.prefetch_from and entry.asked + 1 >= _POPULAR_TIMES):
            return None
        entry.asked += 1
        return entry.fresh(now)

    def put(self, key: bytes, reply: bytes, question_end: int, now: float) -> None:
        """An upstream's `reply`, whose question ends at `question_end`, is kept if that is allowed and useful.

        What is no answer (TC, RCODEs other than NOERROR and NXDOMAIN, nonsense) changes nothing. An answer takes the place
        of what was kept for the key, even if it is not kept itself.
        """
        if not is_answer(reply, question_end):
            return
        if key in self._positive or key in self._negative:
            self._keep(key, reply, question_end, now)
        else:
            self._failures.discard(key)
            self._new.put(key, _New(reply, question_end, now))

    def __contains__(self, key: bytes) -> bool:
        for place in self._places:  # noqa: SIM110 - a generator would cost more than what it says
            if key in place:
                return True
        return False

    def add(self, key: bytes, reply: bytes, question_end: int, now: float) -> None:
        """Keep an answer (`is_answer`) to a question about which nothing is kept."""
        self._new.add(key, _new(_New, (reply, question_end, now)), _NEW_OCTETS + len(key) + len(reply))

    def _entry(self, key: bytes) -> _Entry | None:
        """What is kept for `key`. What is new is looked into."""
        entry = self._positive.get(key) or self._negative.get(key)
        if entry is not None:
            return entry
        new = self._new.pop(key)
        if new is None:
            return None
        self._keep(key, *new)
        return self._positive.get(key) or self._negative.get(key)

    def _keep(self, key: bytes, reply: bytes, question_end: int, now: float) -> None:
        """Take an answer apart, and keep it if that is allowed."""
        try:
            answer = kept(reply, question_end, _TAIL.unpack_from(key, len(key) - _TAIL.size)[0])
        except BadReplyError:
            return
        self._failures.discard(key)
        seconds = 0 if answer is None else self._seconds(answer)
        if answer is None or seconds <= 0:
            self._positive.discard(key)
            self._negative.discard(key)
            return
        place, other = (self._negative, self._positive) if answer.negative else (self._positive, self._negative)
        place.put(key, _Entry(answer, seconds, now))
        other.discard(key)

    def _seconds(self, answer: Kept) -> int:
        most = min(self._max_ttl, _MOST_NEGATIVE_SECONDS) if answer.negative else self._max_ttl
        return min(max(answer.seconds, self._min_ttl), most)

    def fail(self, key: bytes, now: float) -> None:
        """Upstreams were asked, and all were silent or refused: no NOERROR, no NXDOMAIN (RFC 9520 section 2).

        What is fresh or stale is then given without asking for a while; without that the failure is remembered.
        """
        entry = self._entry(key)
        if entry is not None:
            if now < entry.expires + self._stale_seconds:
                entry.recheck_from = now + _RECHECK_SECONDS
                return
            self._positive.discard(key)
            self._negative.discard(key)
        last = self._failures.get(key)
        if last is None or now >= last.until + _MOST_FAILURE_SECONDS:
            seconds = _FAILURE_SECONDS
        elif now >= last.until:
            seconds = min(2 * last.seconds, _MOST_FAILURE_SECONDS)
        else:
            return  # One of several that were under way at the same time.
        self._failures.put(key, _Failure(now + seconds, seconds))
