"""The zone and the counts against a naive picture of both, under any series of changes."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from tests.zone.changes import edit

from mesos_dns.dns import name as names
from mesos_dns.dns import rdata as rd
from mesos_dns.dns.rdata import AAAA, SRV, A
from mesos_dns.zone.change import ZoneChange
from mesos_dns.zone.contributors import ContributorCounts, contributions
from mesos_dns.zone.zone import Authority, Zone

APEX = b"\5mesos\0"
AUTHORITY = Authority(APEX, b"\3ns1\5mesos\0", b"\4root\5mesos\0", 60, 600, 86400, 60, 60)
ONE, TWO, THREE = b"\1\1\1\1", b"\2\2\2\2", b"\3\3\3\3"


def at(text):
    return names.from_text(text)


@pytest.fixture
def zone():
    return Zone(AUTHORITY)


def add(zone, owner, *rdataset, rrtype=A):
    zone.apply(ZoneChange(zone.serial + 1, (edit(at(owner), rrtype, (), rdataset),)))


def remove(zone, owner, *rdataset, rrtype=A):
    zone.apply(ZoneChange(zone.serial + 1, (edit(at(owner), rrtype, rdataset, ()),)))


# --- examples ----------------------------------------------------------------------------------


def test_an_empty_zone_has_its_apex_only(zone):
    assert zone.exists(APEX)
    assert not zone.exists(at("leader.mesos"))
    assert (len(zone), list(zone), zone.serial) == (0, [], 0)
    assert repr(zone) == "Zone('mesos.', serial=0, names=0)"


def test_a_record_set_is_a_set(zone):
    add(zone, "blah.mesos", ONE)
    add(zone, "blah.mesos", ONE, TWO)
    assert zone.rdataset(at("blah.mesos"), A) == (ONE, TWO)


def test_types_stand_in_ascending_order(zone):
    add(zone, "x.mesos", b"s", rrtype=SRV)
    add(zone, "x.mesos", b"6", rrtype=AAAA)
    add(zone, "x.mesos", ONE)
    assert zone.rrsets(at("x.mesos")) == ((A, (ONE,)), (AAAA, (b"6",)), (SRV, (b"s",)))
    assert zone.rdataset(at("x.mesos"), rd.TXT) == ()


def test_owners_with_equal_sets_share_them(zone):
    add(zone, "a.mesos", ONE)
    add(zone, "b.mesos", bytes(bytearray(ONE)))
    assert zone.rrsets(at("a.mesos")) is zone.rrsets(at("b.mesos"))


def test_empty_non_terminals_appear_and_vanish(zone):
    add(zone, "_http._tcp.fw.mesos", ONE)
    assert zone.exists(at("_tcp.fw.mesos"))
    assert zone.exists(at("fw.mesos"))
    assert zone.rrsets(at("fw.mesos")) is None
    assert not zone.exists(at("_udp.fw.mesos"))
    add(zone, "fw.mesos", TWO)
    remove(zone, "_http._tcp.fw.mesos", ONE)
    assert not zone.exists(at("_tcp.fw.mesos"))
    assert zone.exists(at("fw.mesos"))
    remove(zone, "fw.mesos", TWO)
    assert not zone.exists(at("fw.mesos"))


def test_a_name_with_records_becomes_an_empty_non_terminal_and_goes_with_its_last_descendant(zone):
    add(zone, "fw.mesos", ONE)
    add(zone, "a.fw.mesos", ONE)
    add(zone, "b.fw.mesos", ONE)
    remove(zone, "fw.mesos", ONE)
    remove(zone, "a.fw.mesos", ONE)
    assert zone.exists(at("fw.mesos"))
    remove(zone, "b.fw.mesos", ONE)
    assert not zone.exists(at("fw.mesos"))
    assert zone._children == {}


def test_a_name_outside_the_apex_has_records_and_no_ancestors(zone):
    add(zone, "ns.example.org", ONE)
    assert zone.rdataset(at("ns.example.org"), A) == (ONE,)
    assert not zone.exists(at("example.org"))
    remove(zone, "ns.example.org", ONE)
    assert len(zone) == 0


def test_the_apex_may_have_records_of_its_own(zone):
    add(zone, "mesos", ONE)
    assert zone.rdataset(APEX, A) == (ONE,)
    remove(zone, "mesos", ONE)
    assert zone.exists(APEX)


def test_removing_what_is_not_there_alters_nothing(zone):
    add(zone, "a.mesos", ONE)
    remove(zone, "a.mesos", TWO)
    remove(zone, "b.mesos", ONE)
    assert list(zone.records()) == [(at("a.mesos"), A, ONE)]


def test_the_soa_carries_the_serial_and_the_authority(zone):
    zone.apply(ZoneChange(4711, ()))
    fields = rd.soa_fields(zone.soa())
    assert fields == (b"\3ns1\5mesos\0", b"\4root\5mesos\0", 4711, 60, 600, 86400, 60)


def test_the_counts_names_only_what_becomes_visible(zone):
    counts = ContributorCounts(zone)
    one = (at("slave.mesos"), A, ONE)

    def settle(withdrawn, contributed):
        return counts.apply(contributions(withdrawn), contributions(contributed))

    assert settle([], [one]) == [edit(at("slave.mesos"), A, (), (ONE,))]
    assert settle([], [one, one]) == []
    assert repr(counts) == "ContributorCounts(Zone('mesos.', serial=0, names=1), shared records=1)"
    assert settle([one, one], []) == []
    assert settle([one], [one]) == []
    assert settle([one], []) == [edit(at("slave.mesos"), A, (ONE,), ())]
    assert repr(counts) == "ContributorCounts(Zone('mesos.', serial=0, names=0), shared records=0)"


# --- any series of changes ---------------------------------------------------------------------

OWNERS = st.sampled_from(
    [
        at(text)
        for text in [
            "mesos",
            "a.mesos",
            "b.a.mesos",
            "c.b.a.mesos",
            "d.b.a.mesos",
            "e.mesos",
            "x.e.mesos",
            "f.g.h.mesos",
            "g.h.mesos",
            "xmesos",
            "org",
            "n.org",
        ]
    ]
)
RECORDS = st.tuples(OWNERS, st.sampled_from([A, SRV]), st.sampled_from([ONE, TWO, THREE]))


def existing(records):
    """By definition: names with records, and all names above them up to the apex (RFC 8020)."""
    found = {APEX}
    for owner in {owner for owner, _, _ in records}:
        found.add(owner)
        above = owner
        while names.is_below_or_at(above, APEX) and above != APEX:
            above = names.parent(above)
            found.add(above)
    return found


EVERYTHING = existing(
    [(owner, A, ONE) for owner in map(at, ["c.b.a.mesos", "d.b.a.mesos", "x.e.mesos", "f.g.h.mesos"])]
)
EVERYTHING |= {at("n.org"), at("org"), at("xmesos")}


class ZoneAndCounts(RuleBasedStateMachine):
    """Contributions come and go; a replica takes the same changes, some of them twice."""

    def __init__(self):
        super().__init__()
        self.zone = Zone(AUTHORITY)
        self.replica = Zone(AUTHORITY)
        self.counts = ContributorCounts(self.zone)
        self.contributed = Counter()

    @rule(new=st.lists(RECORDS, max_size=6), data=st.data(), twice=st.booleans())
    def change(self, new, data, twice):
        present = list(self.contributed.elements())
        gone = data.draw(st.lists(st.sampled_from(range(len(present))), unique=True, max_size=6)) if present else []
        withdrawn = [present[i] for i in gone]
        before = {record: n for record, n in self.contributed.items() if n > 0}
        found = self.counts.apply(contributions(withdrawn), contributions(new))
        self.contributed.update(new)
        self.contributed.subtract(withdrawn)
        after = {record: n for record, n in self.contributed.items() if n > 0}
        assert bool(found) == (before.keys() != after.keys())
        change = ZoneChange(self.zone.serial + 1, found)
        self.zone.apply(ZoneChange(change.serial, ()))
        self.replica.apply(change)
        if twice:
            self.replica.apply(change)

    @invariant()
    def the_records_are_those_with_a_contributor(self):
        visible = {record for record, n in self.contributed.items() if n > 0}
        for zone in (self.zone, self.replica):
            records = list(zone.records())
            assert len(records) == len(set(records))
            assert set(records) == visible
            assert {name for name in EVERYTHING if zone.exists(name)} == existing(visible)
            assert set(zone) == {owner for owner, _, _ in visible}
        assert self.replica.serial == self.zone.serial

    @invariant()
    def the_counts_writes_down_only_what_is_shared(self):
        assert self.counts._extra == {record: n - 1 for record, n in self.contributed.items() if n > 1}


TestZoneAndCounts = ZoneAndCounts.TestCase
TestZoneAndCounts.settings = settings(max_examples=40, stateful_step_count=15)  # an example is 15 steps


@given(st.lists(RECORDS, max_size=30), st.randoms(use_true_random=False))
def test_the_order_of_changes_does_not_matter(records, random):
    one, other = Zone(AUTHORITY), Zone(AUTHORITY)
    for owner, rrtype, rdata in records:
        one.apply(ZoneChange(1, (edit(owner, rrtype, (), (rdata,)),)))
    random.shuffle(records)
    for owner, rrtype, rdata in records:
        other.apply(ZoneChange(1, (edit(owner, rrtype, (), (rdata,)),)))
    assert set(one.records()) == set(other.records())
    assert one._children == other._children


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("web.fw.agent.mesos", "web.fw.slave.mesos"),
        ("fw.agent.mesos", "fw.slave.mesos"),
        ("agent.mesos", "agent.mesos"),
        ("web.agent.fw.mesos", "web.agent.fw.mesos"),
        ("web.xagent.mesos", "web.xagent.mesos"),
        ("mesos", "mesos"),
        ("example", "example"),
    ],
)
def test_names_below_a_redirect_are_those_below_another(name, other):
    redirects = ((names.from_text("agent.mesos"), names.from_text("slave.mesos")),)
    zone = Zone(AUTHORITY._replace(redirects=redirects))
    assert zone.redirected(names.from_text(name)) == names.from_text(other)
    assert zone.exists(names.from_text("agent.mesos"))
    assert Zone(AUTHORITY).redirected(names.from_text(name)) == names.from_text(name)
