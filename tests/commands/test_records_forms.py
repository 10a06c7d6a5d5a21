"""What `mesos-dns records` prints is the zone, in three forms."""

import gzip
import json

import dns.rdatatype
import dns.zone
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.commands.given import CONFIG, STATES, parsed
from tests.names.cluster import packed
from tests.zone.changes import edit

from mesos_dns.commands.records import FORMATS, zone_of
from mesos_dns.dns import name as names
from mesos_dns.dns import rdata as rd
from mesos_dns.zone.change import ZoneChange
from mesos_dns.zone.zone import Authority, Zone


def lines(zone, form):
    return list(FORMATS[form](zone))


def zone_at(path):
    return zone_of(CONFIG, path, resolve=False)


def everything(zone):
    return set(zone.records()) | {(owner, rd.DNAME, other) for owner, other in zone.authority.redirects}


# --- the zone file -------------------------------------------------------------------------------


@pytest.mark.parametrize("state", STATES, ids=lambda path: path.stem)
def test_a_zone_file_is_the_zone(saved, state):
    zone = zone_at(saved(gzip.decompress(state.read_bytes())))
    assert len(zone) > 10
    start = {(zone.authority.apex, rd.SOA, zone.soa()), (zone.authority.apex, rd.NS, zone.authority.mname)}
    assert parsed("\n".join(lines(zone, "zone"))) == everything(zone) | start


LABELS = st.binary(min_size=1, max_size=63).map(bytes.lower)
RDATAS = st.one_of(
    st.tuples(st.just(rd.A), st.binary(min_size=4, max_size=4)),
    st.tuples(st.just(rd.AAAA), st.binary(min_size=16, max_size=16)),
    st.tuples(
        st.just(rd.SRV),
        st.builds(
            lambda weight, port, label: rd.srv(weight, port, names.from_labels([label, b"mesos"])),
            st.integers(0, 0xFFFF),
            st.integers(0, 0xFFFF),
            LABELS,
        ),
    ),
)
AUTHORITY = Authority(
    names.from_text("mesos"), names.from_text("ns1.mesos"), names.from_text("a\\b.mesos"), 1, 2, 3, 4, 60
)


@given(st.lists(st.tuples(st.lists(LABELS, max_size=3), RDATAS), max_size=10))
def test_whatever_octets_names_have(contents):
    zone = Zone(AUTHORITY)
    for labels, (rrtype, rdata) in contents:
        owner = names.from_labels([*labels, b"mesos"])
        zone.apply(ZoneChange(1, (edit(owner, rrtype, (), (rdata,)),)))
    start = {(AUTHORITY.apex, rd.SOA, zone.soa()), (AUTHORITY.apex, rd.NS, AUTHORITY.mname)}
    assert parsed("\n".join(lines(zone, "zone"))) == everything(zone) | start


def test_a_name_of_this_server_in_another_zone_is_left_out():
    zone = Zone(AUTHORITY)
    zone.apply(ZoneChange(7, (edit(names.from_text("ns.example"), rd.A, (), packed("192.0.2.1")),)))
    assert lines(zone, "zone") == [
        "$ORIGIN mesos.",
        "$TTL 60",
        r"@ IN SOA ns1.mesos. a\\b.mesos. 7 1 2 3 4",
        "@ IN NS ns1.mesos.",
    ]
    assert lines(zone, "table") == ["ns.example.  A     192.0.2.1"]


# --- table and JSON ------------------------------------------------------------------------------


def small_zone():
    zone = Zone(AUTHORITY)
    edits = (
        edit(names.from_text("b.mesos"), rd.A, (), packed("10.0.0.2", "10.0.0.1")),
        edit(names.from_text("a.b.mesos"), rd.AAAA, (), packed("2001:db8::1")),
        edit(names.from_text("_a._tcp.mesos"), rd.SRV, (), (rd.srv(1, 80, names.from_text("b.mesos")),)),
    )
    zone.apply(ZoneChange(7, edits))
    return zone


def test_a_table_has_aligned_columns_and_an_order_that_does_not_change():
    assert lines(small_zone(), "table") == [
        "_a._tcp.mesos.  SRV   0 1 80 b.mesos.",
        "b.mesos.        A     10.0.0.1",
        "b.mesos.        A     10.0.0.2",
        "a.b.mesos.      AAAA  2001:db8::1",
    ]


def test_one_long_name_does_not_push_the_columns_apart():
    zone = small_zone()
    long = names.from_labels([b"x" * 63, b"x" * 63, b"mesos"])
    zone.apply(ZoneChange(8, (edit(long, rd.A, (), packed("10.0.0.3")),)))
    assert max(line.index(" ") for line in lines(zone, "table")) > 100
    assert "b.mesos." + 52 * " " + "  A     10.0.0.1" in lines(zone, "table")


def test_json():
    (text,) = lines(small_zone(), "json")
    assert json.loads(text) == {
        "zone": "mesos.",
        "soa": r"ns1.mesos. a\\b.mesos. 7 1 2 3 4",
        "records": [
            {"name": "_a._tcp.mesos.", "type": "SRV", "ttl": 60, "data": "0 1 80 b.mesos."},
            {"name": "b.mesos.", "type": "A", "ttl": 60, "data": "10.0.0.1"},
            {"name": "b.mesos.", "type": "A", "ttl": 60, "data": "10.0.0.2"},
            {"name": "a.b.mesos.", "type": "AAAA", "ttl": 60, "data": "2001:db8::1"},
        ],
    }


@pytest.mark.parametrize("state", STATES, ids=lambda path: path.stem)
def test_table_and_json_have_all_records(saved, state):
    zone = zone_at(saved(gzip.decompress(state.read_bytes())))
    wanted = {
        (names.to_text(owner), dns.rdatatype.to_text(rrtype), rd.to_text(rrtype, rdata))
        for owner, rrtype, rdata in everything(zone)
    }
    (text,) = lines(zone, "json")
    assert {(each["name"], each["type"], each["data"]) for each in json.loads(text)["records"]} == wanted
    assert len(lines(zone, "table")) == len(wanted)


def test_an_empty_zone():
    zone = Zone(AUTHORITY)
    assert lines(zone, "table") == []
    assert json.loads(lines(zone, "json")[0])["records"] == []
    assert len(parsed("\n".join(lines(zone, "zone")))) == 2
