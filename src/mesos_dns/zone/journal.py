"""What appeared in the zones and vanished from them, when and why: the newest changes. Pure; the time comes in."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from mesos_dns.dns.rdata import Record
from mesos_dns.zone.change import ZoneChange

#: Records of one change that are told; of the others only how many they are. A large service that is scaled has some hundred.
MOST_RECORDS: Final = 1000
#: Octets of names and data in all changes that are kept, about a third of what they take: hours of a busy cluster.
MOST_OCTETS: Final = 2 * 1024 * 1024
#: Changes that are kept.
MOST_CHANGES: Final = 10_000
#: Octets that a record takes beside its owner and its data, reckoned against `MOST_OCTETS`.
_RECORD_OCTETS: Final = 16


class Because(NamedTuple):
    """Why a zone changed: what happened in the cluster, in words, and how many more such things than those told."""

    texts: tuple[str, ...] = ()
    more: int = 0


class Change(NamedTuple):
    """One change of the zone with the apex `zone` (wire form). `at` is a Unix time.

    `more_appeared` and `more_vanished` count records beyond those that are told.
    """

    zone: bytes
    serial: int
    at: float
    because: Because
    appeared: tuple[Record, ...] = ()
    vanished: tuple[Record, ...] = ()
    more_appeared: int = 0
    more_vanished: int = 0

    def at_name(self, owner: bytes) -> "Change | None":
        """The part of it that is about one name, as far as its records are told; None if there is none."""
        appeared = tuple([record for record in self.appeared if record[0] == owner])
        vanished = tuple([record for record in self.vanished if record[0] == owner])
        if not appeared and not vanished:
            return None
        return self._replace(appeared=appeared, vanished=vanished, more_appeared=0, more_vanished=0)

    @property
    def octets(self) -> int:
        """What it is reckoned with."""
        records = sum(_RECORD_OCTETS + len(owner) + len(rdata) for owner, _, rdata in (*self.appeared, *self.vanished))
        return records + sum(map(len, self.because.texts))


class Since(NamedTuple):
    """Changes after some serial, the oldest first. Not `complete` if there may have been others before them."""

    changes: list[Change]
    complete: bool


class Journal:
    """The newest changes of all zones."""

    def __init__(self) -> None:
        self._changes: deque[Change] = deque()
        self._octets = 0
        #: The serial up to which changes are not here any more; None if all that ever were are.
        self._forgotten: int | None = None
        #: Grows with each change.
        self.count = 0

    def inherit(self, former: "Journal") -> None:
        """Begin with what `former` has."""
        self._changes = deque(former._changes)
        self._octets, self._forgotten, self.count = former._octets, former._forgotten, former.count

    def __repr__(self) -> str:
        return f"Journal({len(self._changes)} changes, {self._octets} octets)"

    def __len__(self) -> int:
        return len(self._changes)

    def __reversed__(self) -> Iterator[Change]:
        """The newest first."""
        return reversed(self._changes)

    def add(self, change: Change) -> None:
        """Note a change, and forget the oldest if there is no room."""
        self._changes.append(change)
        self._octets += change.octets
        self.count += 1
        while len(self._changes) > MOST_CHANGES or self._octets > MOST_OCTETS:
            gone = self._changes.popleft()
            self._octets -= gone.octets
            self._forgotten = gone.serial

    def since(self, serial: int, present: int) -> Since:
        """What changed after `serial`; everything there is for 0. `present` is the serial of the zone.

        After one of the future, which another server told, or this one before its clock was set back, nobody knows what changed: nothing
        is told, and it is not complete. Go on from the present one then.
        """
        if serial > max(present, self._changes[-1].serial if self._changes else 0):
            return Since([], complete=False)
        newer: list[Change] = []
        for change in reversed(self._changes):
            if change.serial <= serial:
                return Since(newer[::-1], complete=True)
            newer.append(change)
        complete = self._forgotten is None or self._forgotten <= serial
        return Since(newer[::-1], complete)


class ChangeNotes:
    """Gathers the parts of the change that is under way in one zone."""

    def __init__(self, zone: bytes, journal: Journal) -> None:
        self._zone = zone
        self._journal = journal
        self._begin()

    def __repr__(self) -> str:
        return f"ChangeNotes({len(self._appeared)} appeared, {len(self._vanished)} vanished)"

    def add(self, part: ZoneChange, because: Because, at: float, *, in_full: bool = True) -> None:
        """Note a part, whose records are only counted unless `in_full`. What changes nothing is no change."""
        most = MOST_RECORDS if in_full else 0
        for owners, lost, gained in part.changes:
            # A change in several parts may take in one what it gives back in another.
            self._more_vanished += _note(self._vanished, self._appeared, owners, lost, most)
            self._more_appeared += _note(self._appeared, self._vanished, owners, gained, most)
        if not part.complete:
            return
        told = tuple(self._appeared), tuple(self._vanished)
        change = Change(self._zone, part.serial, at, because, *told, self._more_appeared, self._more_vanished)
        self._begin()
        if change.appeared or change.vanished or change.more_appeared or change.more_vanished:
            self._journal.add(change)

    def _begin(self) -> None:
        self._appeared: dict[Record, None] = {}
        self._vanished: dict[Record, None] = {}
        self._more_appeared = self._more_vanished = 0


def _note(
    told: dict[Record, None],
    opposite: dict[Record, None],
    owners: Sequence[bytes],
    rrsets: Iterable[tuple[int, Sequence[bytes]]],
    most: int,
) -> int:
    """Add the records, as long as `told` has fewer than `most`, or undo what is `opposite`; how many had no room."""
    if len(told) >= most and not opposite:
        return len(owners) * sum(len(rdataset) for _, rdataset in rrsets)
    left = 0
    for record in _records(owners, rrsets):
        if record in opposite:
            del opposite[record]
        elif len(told) < most:
            told[record] = None
        else:
            left += 1
    return left


def _records(owners: Sequence[bytes], rrsets: Iterable[tuple[int, Sequence[bytes]]]) -> Iterator[Record]:
    for rrtype, rdataset in rrsets:
        for owner in owners:
            for rdata in rdataset:
                yield owner, rrtype, rdata
