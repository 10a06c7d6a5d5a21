"""Who contributes records: counts of contributors, and what they change in the zone. Pure."""

from collections.abc import Iterable, Iterator, Mapping

from mesos_dns.dns.rdata import Record
from mesos_dns.zone.change import RRsetChange, ZoneChange
from mesos_dns.zone.rrsets import Owners, RdataSet, RRsets
from mesos_dns.zone.zone import Zone

#: Owners, each once, and record sets that they are given. One entity gives no record twice: what is there
#: several times is given by several entities.
Contribution = tuple[Owners, RRsets]


def contributions(records: Iterable[Record]) -> list[Contribution]:
    """The same as contributions."""
    return [((owner,), ((rrtype, (rdata,)),)) for owner, rrtype, rdata in records]


def records_of(contributed: Iterable[Contribution]) -> list[Record]:
    """The same as records."""
    return [
        (owner, rrtype, rdata)
        for owners, rrsets in contributed
        for owner in owners
        for rrtype, rdataset in rrsets
        for rdata in rdataset
    ]


#: Up to so many rdata a look through all is faster than making a set of them.
FEW = 8


class ContributorCounts:
    """Counts how many entities contribute each record of a zone, and says what changes.

    A record with one contributor costs nothing here: being in the zone is its count. Only what
    several entities contribute is written down.
    """

    def __init__(self, zone: Zone) -> None:
        self._zone = zone
        #: Contributors beyond the first.
        self._extra: dict[Record, int] = {}

    def __repr__(self) -> str:
        return f"ContributorCounts({self._zone!r}, shared records={len(self._extra)})"

    def is_shared(self, record: Record) -> bool:
        """Whether more than one entity contributes `record`."""
        return record in self._extra

    def apply(self, withdrawn: Iterable[Contribution], contributed: Iterable[Contribution]) -> list[RRsetChange]:
        """Count contributions off and on, and alter the zone accordingly; what was altered. The serial stays.

        Withdrawing what nobody contributes alters nothing.
        """
        return self.settle(withdrawn, [(owners, (), rrsets) for owners, rrsets in contributed])

    def settle(self, withdrawn: Iterable[Contribution], given: list[RRsetChange]) -> list[RRsetChange]:
        """The same for contributions in the form of changes that only give."""
        lost = _by_owner(withdrawn)
        # Given to owners that have records, or lose some.
        others: dict[bytes, list[RRsets]] = {}
        if lost:
            left: list[RRsetChange] = []
            for owners, _, rrsets in given:
                for owner in owners:
                    if owner in lost:
                        others.setdefault(owner, []).append(rrsets)
                left.append((tuple([owner for owner in owners if owner not in lost]), (), rrsets))
            given = left
        present = self._zone.place(given)
        for place, owner in present:
            others.setdefault(owner, []).append(given[place][2])
        altered: list[RRsetChange] = []
        for owner, more in others.items():
            altered += self._of_owner(owner, more, lost.pop(owner, ()))
        for owner, gone in lost.items():
            altered += self._of_owner(owner, (), gone)
        self._zone.apply(ZoneChange(self._zone.serial, altered))
        return (_without(given, present) if others else given) + altered

    def _of_owner(self, owner: bytes, gained: Iterable[RRsets], lost: Iterable[RRsets]) -> Iterator[RRsetChange]:
        """Count what `owner` gains and loses; the change that can be seen, if there is one."""
        balance: dict[int, dict[bytes, int]] = {}
        for by, changed in ((1, gained), (-1, lost)):
            for rrsets in changed:
                for rrtype, rdataset in rrsets:
                    changes = balance.setdefault(rrtype, {})
                    for rdata in rdataset:
                        changes[rdata] = changes.get(rdata, 0) + by
        removed: list[tuple[int, RdataSet]] = []
        added: list[tuple[int, RdataSet]] = []
        for rrtype in sorted(balance):
            gone, new = self._count(owner, rrtype, balance[rrtype])
            if gone:
                removed.append((rrtype, gone))
            if new:
                added.append((rrtype, new))
        if removed or added:
            yield ((owner,), tuple(removed), tuple(added))

    def _count(self, owner: bytes, rrtype: int, changes: Mapping[bytes, int]) -> tuple[RdataSet, RdataSet]:
        """Count `changes` (by how many contributors each rdata gains); which rdata vanish and appear."""
        rdataset = self._zone.rdataset(owner, rrtype)
        present = frozenset(rdataset) if len(rdataset) > FEW else rdataset
        removed, added = [], []
        for rdata, by in changes.items():
            if by == 0:
                continue
            record = owner, rrtype, rdata
            before = self._extra.get(record, 0) + 1 if rdata in present else 0
            after = before + by
            if after > 1:
                self._extra[record] = after - 1
            elif before > 1:
                del self._extra[record]
            if before == 0 < after:
                added.append(rdata)
            elif after <= 0 < before:
                removed.append(rdata)
        return tuple(removed), tuple(added)


def _by_owner(contributed: Iterable[Contribution]) -> dict[bytes, list[RRsets]]:
    """What each owner is given."""
    found: dict[bytes, list[RRsets]] = {}
    for owners, rrsets in contributed:
        for owner in owners:
            found.setdefault(owner, []).append(rrsets)
    return found


def _without(given: Iterable[RRsetChange], present: Iterable[tuple[int, bytes]]) -> list[RRsetChange]:
    """The changes but for these owners at these places, and for those that then have none."""
    left = [*given]
    for place, owner in present:
        owners, removed, added = left[place]
        left[place] = tuple([one for one in owners if one != owner]), removed, added
    return [change for change in left if change[0]]
