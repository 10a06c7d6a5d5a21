import ipaddress

import dns.rdata
import dns.rdataclass
import dns.rdatatype
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesos_dns.dns import name as names
from mesos_dns.dns import rdata as rd

SHORT = st.integers(0, 0xFFFF)
LONG = st.integers(0, 0xFFFFFFFF)
NAME = st.lists(st.binary(min_size=1, max_size=63), max_size=3).map(names.from_labels)


def oracle(rrtype, wire):
    return dns.rdata.from_wire(dns.rdataclass.IN, rrtype, wire, 0, len(wire))


@given(SHORT, SHORT, NAME)
def test_srv_is_that_of_dnspython(weight, port, target):
    wire = rd.srv(weight, port, target)
    found = oracle(rd.SRV, wire)
    assert (found.priority, found.weight, found.port, found.target.to_wire()) == (0, weight, port, target)
    assert rd.srv_fields(wire) == (0, weight, port, target)
    assert dns.rdata.from_text("IN", "SRV", rd.to_text(rd.SRV, wire)) == found


@given(NAME, NAME, LONG, LONG, LONG, LONG, LONG)
def test_soa_is_that_of_dnspython(mname, rname, serial, refresh, retry, expire, minimum):
    wire = rd.soa(mname, rname, serial, refresh, retry, expire, minimum)
    found = oracle(rd.SOA, wire)
    assert (found.mname.to_wire(), found.rname.to_wire()) == (mname, rname)
    assert (found.serial, found.refresh, found.retry, found.expire, found.minimum) == (
        serial,
        refresh,
        retry,
        expire,
        minimum,
    )
    assert rd.soa_fields(wire) == (mname, rname, serial, refresh, retry, expire, minimum)
    text = " ".join(rd.to_text(rd.SOA, wire).split(" ")[2:])
    assert text == f"{serial} {refresh} {retry} {expire} {minimum}"


@given(st.sampled_from([rd.NS, rd.PTR, rd.CNAME]), NAME)
def test_names_as_rdata_are_those_of_dnspython(rrtype, name):
    assert dns.rdata.from_text("IN", rrtype, rd.to_text(rrtype, name)) == oracle(rrtype, name)


@given(st.ip_addresses(v=4) | st.ip_addresses(v=6))
def test_addresses_are_those_of_the_standard_library(address):
    packed = rd.pack_address(str(address))
    mapped = getattr(address, "ipv4_mapped", None)
    assert packed == (mapped or address).packed
    rrtype = rd.A if len(packed) == 4 else rd.AAAA
    assert rrtype == (rd.A if len(packed) == 4 else rd.AAAA)
    assert ipaddress.ip_address(rd.to_text(rrtype, packed)) == (mapped or address)
    assert rd.to_text(rrtype, packed) == rd.address_text(packed)
    assert oracle(rrtype, packed).address is not None


@pytest.mark.parametrize(
    ("text", "packed"),
    [
        ("10.3.0.1", b"\n\3\0\1"),
        ("0.0.0.0", bytes(4)),
        ("2001:0DB8::1", b"\x20\x01\x0d\xb8" + bytes(11) + b"\1"),
        ("::ffff:10.7.20.29", b"\n\7\x14\x1d"),
        ("::", bytes(16)),
    ],
)
def test_addresses_that_are_packed(text, packed):
    assert rd.pack_address(text) == packed


@pytest.mark.parametrize("text", ["", "10.0.0", "010.7.20.26", " 10.7.20.27", "[fd00::1]", "fe80::1%eth0", "host"])
def test_texts_that_are_no_addresses(text):
    assert rd.pack_address(text) is None


@given(st.integers(256, 65535), st.binary(max_size=40))
def test_unknown_types_are_written_so_that_others_can_read_them(rrtype, octets):
    wire = dns.rdata.GenericRdata(dns.rdataclass.IN, rrtype, octets)
    if dns.rdatatype.is_metatype(rrtype):
        return
    assert rd.to_text(rrtype, octets).split() == wire.to_text().split()


@pytest.mark.parametrize("text", ["A", "aaaa", "SRV", "MX", "https", "ANY", "TYPE66", "type1"])
def test_types_as_people_call_them(text):
    number = rd.type_of(text)
    assert number == dns.rdatatype.from_text(text)
    assert rd.type_of(rd.type_text(number)) == number


@pytest.mark.parametrize("text", ["", "B", "TYPE", "TYPE0", "TYPE65536", "TYPE-1", "TYPE\u0661", "66"])
def test_types_that_are_none(text):
    with pytest.raises(ValueError, match="expected a type such as A, AAAA, SRV or TYPE65, found"):
        rd.type_of(text)
