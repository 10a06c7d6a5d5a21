"""From contributions to the changes of one zone, each with one serial. Pure; the time comes in."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence

from mesos_dns.dns.rdata import Record
from mesos_dns.zone.change import RRsetChange, ZoneChange
from mesos_dns.zone.contributors import Contribution, ContributorCounts
from mesos_dns.zone.zone import Zone

#: Takes the parts of a zone's changes in their order.
Publish = Callable[[ZoneChange], None]


class ZoneEditor:
    """Alters `zone`, and publishes what replicas need to follow it.

    What is contributed up to `complete` is one change. It gets its serial with its first part: the Unix time that `epoch` gives,
    or one more than the serial before (first `last_serial`) if that is not less (RFC 1982 allows no step back).
    """

    def __init__(self, zone: Zone, publish: Publish, epoch: Callable[[], float], last_serial: int = 0) -> None:
        self.zone = zone
        self._publish = publish
        self._epoch = epoch
        self._last_serial = last_serial
        self._counts = ContributorCounts(zone)
        #: Of the change under way; 0 if there is none.
        self._serial = 0
        #: The latest part, which is held back: it may be the one that completes the change.
        self._latest: Sequence[RRsetChange] = ()
        self._uncounted: deque[list[RRsetChange]] = deque()
        #: Changes that were completed, and records that came and went with them; records by type.
        self.changes = self.added = self.removed = 0
        self.records: dict[int, int] = {}

    def __repr__(self) -> str:
        return f"ZoneEditor({self.zone!r})"

    def is_shared(self, record: Record) -> bool:
        """Whether more than one entity contributes `record`."""
        return self._counts.is_shared(record)

    def contribute(self, withdrawn: Sequence[Contribution], contributed: Sequence[Contribution]) -> None:
        """Add a part to the change under way, if these contributions alter anything."""
        altered = self._counts.apply(withdrawn, contributed)
        if altered:
            self._tally(altered)
            self._add(altered)

    def load(self, contributed: Sequence[Contribution]) -> None:
        """Add a part of a first state: it is published first, and counted piece by piece by `count` when all are.

        As good as what counting would make of it, as long as nothing is withdrawn. Until all is counted the zone is behind its
        replicas, which answer that much sooner.
        """
        self.zone.behind = True
        given: list[RRsetChange] = [(owners, (), rrsets) for owners, rrsets in contributed]
        self._add(given)
        self._uncounted.append(given)

    def count(self) -> Iterator[None]:
        """Count what was loaded, a piece at each step, and give the zone the serial that its replicas have."""
        while self._uncounted:
            self._tally(self._counts.settle((), self._uncounted.popleft()))
            yield
        if self.zone.behind:
            self.zone.behind = False
            self._settle()
            # Whoever waits for a zone that can be copied looks again, though nothing changed.
            self._publish(ZoneChange(self.zone.serial, (), complete=False))

    def flush(self) -> None:
        """Publish what is held back, though the change goes on."""
        if self._latest:
            self._publish(ZoneChange(self._serial, self._latest, complete=False))
            self._latest = ()

    def complete(self) -> None:
        """End the change under way. Does nothing if there is none, but a zone without a serial gets its first."""
        if not self._serial and self.zone.serial:
            return
        self._begin()
        self.changes += 1
        self._publish(ZoneChange(self._serial, self._latest))
        self._latest = ()
        if not self.zone.behind:
            self._settle()

    def _tally(self, altered: Sequence[RRsetChange]) -> None:
        """Keep the numbers of records in step."""
        records = self.records
        for owners, removed, added in altered:
            names = len(owners)
            for rrtype, rdataset in added:
                count = names * len(rdataset)
                self.added += count
                records[rrtype] = records.get(rrtype, 0) + count
            for rrtype, rdataset in removed:
                count = names * len(rdataset)
                self.removed += count
                records[rrtype] -= count

    def _settle(self) -> None:
        self.zone.apply(ZoneChange(self._serial, ()))
        self._serial = 0

    def _begin(self) -> None:
        if not self._serial:
            # 0 would mean that nothing is loaded.
            self._serial = max(self._last_serial + 1, int(self._epoch())) & 0xFFFFFFFF or 1
            self._last_serial = self._serial

    def _add(self, altered: Sequence[RRsetChange]) -> None:
        self._begin()
        self.flush()
        self._latest = altered
