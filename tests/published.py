"""A publisher for tests: what it publishes goes to a replica of the zone, which looks over its shoulder."""

from collections import Counter

from tests.names.cluster import rules

from mesos_dns.dns import name as names
from mesos_dns.dns import rdata as rd
from mesos_dns.names.model import Model
from mesos_dns.names.naming import Naming
from mesos_dns.publisher import Publisher
from mesos_dns.zone.zone import Authority, Zone
from mesos_dns.zone.zones import Zones

AUTHORITY = Authority(
    names.from_text("mesos"), names.from_text("mesos-dns.mesos"), names.from_text("root.mesos"), 60, 600, 86400, 30, 60
)
HERE = rd.pack_address("192.0.2.53")
NOW = 1_700_000_000


class Time:
    """A steady clock and the Unix time, both still until told otherwise."""

    def __init__(self):
        self.now = 0.0

    def clock(self):
        return self.now

    def epoch(self):
        return NOW + self.now


class Published:
    """A publisher, everything that it published, and the zone that follows from that alone."""

    def __init__(self, time=None, last_serial=0):
        self.time = Time() if time is None else time
        self.parts = []
        self.edits = []
        self.replica = Zone(AUTHORITY)
        self.zone = Zone(AUTHORITY)
        self.publisher = Publisher(
            Model(Naming(rules())),
            Zones([self.zone]),
            self.publish,
            clock=self.time.clock,
            epoch=self.time.epoch,
            last_serial=last_serial,
        )

    def publish(self, apex, change):
        assert apex == AUTHORITY.apex
        self.parts.append((change.serial, change.complete))
        for owners, removed, added in change.changes:
            self.edits += [(owner, rrtype) for owner in owners for rrtype, _ in removed + added]
        self.replica.apply(change)

    def addresses(self, owner):
        return sorted(map(rd.address_text, self.zone.rdataset(names.from_text(owner), rd.A)))

    @property
    def reached(self):
        """The serials that workers were told of."""
        return [serial for serial, complete in self.parts if complete]

    def take_news(self):
        """What was published since the last time, as owners and types."""
        news = {(names.to_text(owner), rd.TYPE_TEXT[rrtype]) for owner, rrtype in self.edits}
        self.edits.clear()
        self.parts.clear()
        return news

    def assert_replicated(self):
        assert everything(self.replica) == everything(self.zone)
        assert self.replica.serial == self.zone.serial
        self.assert_counted()

    def assert_counted(self):
        """The numbers of records are kept in step with the zone, without a look at it."""
        (editor,) = self.publisher.editors
        counted = Counter()
        for _, rrtype, rdataset in everything(self.zone):
            counted[rrtype] += len(rdataset)
        assert {rrtype: count for rrtype, count in editor.records.items() if count} == counted
        assert editor.added - editor.removed == counted.total()


def everything(zone):
    return {(owner, rrtype, frozenset(rdataset)) for owner in zone for rrtype, rdataset in zone.rrsets(owner)}
