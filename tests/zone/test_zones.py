"""Which zone a name belongs to."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.zone.test_zone import AUTHORITY

from mesos_dns.dns import name as names
from mesos_dns.zone.change import ZoneChange
from mesos_dns.zone.zone import Zone
from mesos_dns.zone.zones import Zones

APEXES = [names.from_text(text) for text in ("mesos", "a.mesos", "c.b.a.mesos", "10.in-addr.arpa")]
ZONES = Zones.of([AUTHORITY._replace(apex=apex) for apex in APEXES])


def found(text, zones=ZONES):
    zone = zones.find(names.from_text(text))
    return None if zone is None else names.to_text(zone.authority.apex)


@pytest.mark.parametrize(
    ("name", "apex"),
    [
        ("mesos", "mesos."),
        ("x.mesos", "mesos."),
        ("a.mesos", "a.mesos."),
        ("b.a.mesos", "a.mesos."),
        ("c.b.a.mesos", "c.b.a.mesos."),
        ("x.y.c.b.a.mesos", "c.b.a.mesos."),
        ("xa.mesos", "mesos."),
        ("1.0.0.10.in-addr.arpa", "10.in-addr.arpa."),
        ("xmesos", None),
        ("example.org", None),
        (".", None),
    ],
)
def test_a_name_belongs_to_the_longest_apex_above_it(name, apex):
    assert found(name) == apex


LABELS = st.lists(st.sampled_from(["a", "b", "c", "mesos", "x"]), max_size=5)


@given(LABELS, st.sets(st.sampled_from(APEXES)))
def test_as_by_definition(labels, apexes):
    name = names.from_text(".".join(labels))
    above = [apex for apex in apexes if names.is_below_or_at(name, apex)]
    zone = Zones.of([AUTHORITY._replace(apex=apex) for apex in apexes]).find(name)
    assert (zone and zone.authority.apex) == (max(above, key=len) if above else None)


def test_the_root_may_be_a_zone():
    assert found("example.org", Zones.of([AUTHORITY._replace(apex=names.ROOT)])) == "."


def test_a_zone_is_put_in_the_place_of_the_one_with_its_apex():
    zones = Zones.of([AUTHORITY, AUTHORITY._replace(apex=APEXES[1])])
    new = Zone(AUTHORITY)
    zones.replace(new)
    assert zones[APEXES[0]] is new
    assert [zone.authority.apex for zone in zones] == APEXES[:2]
    with pytest.raises(KeyError):
        zones.replace(Zone(AUTHORITY._replace(apex=APEXES[2])))
    assert len(zones) == 2


def test_zones_are_loaded_when_all_are():
    zones = Zones.of([AUTHORITY, AUTHORITY._replace(apex=APEXES[1])])
    zones[APEXES[0]].apply(ZoneChange(1, ()))
    assert not zones.loaded
    zones[APEXES[1]].apply(ZoneChange(1, ()))
    assert zones.loaded
    assert repr(zones) == "Zones([Zone('mesos.', serial=1, names=0), Zone('a.mesos.', serial=1, names=0)])"
