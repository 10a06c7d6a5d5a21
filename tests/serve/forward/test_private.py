"""Names that are answered here and asked of nobody."""

import ipaddress

import dns.flags
import dns.rcode
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.serve.asking import ask, parse, read, texts

from mesos_dns.config import Config
from mesos_dns.dns import name as names
from mesos_dns.serve.forward.private import SPECIAL_USE, PrivateZones, zones_of
from mesos_dns.serve.request import Forward

ZONES = list(zones_of(["special-use"]))


def private(*forwarded, zones=ZONES, recursion=True):
    return PrivateZones(zones, list(map(names.from_text, forwarded)), recursion=recursion)


def reply(zones, *question, options=b"", **more):
    """The message for a client, or None."""
    octets = zones.answer(Forward(parse(ask(*question, **more)), options=options))
    assert octets is None or len(octets) <= 512
    return octets and read(octets)


SOA = "nobody.invalid. 1 3600 1200 604800 10800"


# --- which -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "zone"),
    [
        ("printer.local.", "local."),
        ("LOCAL.", "local."),
        ("ip-10-0-0-1.ec2.internal.", "internal."),
        ("a.b.home.arpa.", "home.arpa."),
        ("x.onion.", "onion."),
        ("1.0.0.10.in-addr.arpa.", "10.in-addr.arpa."),
        ("1.0.31.172.in-addr.arpa.", "31.172.in-addr.arpa."),
    ],
)
def test_private_names(name, zone):
    message = reply(private(), name, "PTR")
    assert message.flags & 0xFFF0 == dns.flags.QR | dns.flags.AA | dns.flags.RD | dns.flags.RA
    assert message.rcode() == (0 if name.lower() == zone else dns.rcode.NXDOMAIN)
    assert message.answer == message.additional == []
    (text,) = texts(message.authority)
    owner, _, _, _, mname, rest = text.split(" ", 5)
    assert (owner.lower(), mname.lower(), rest) == (zone, zone, SOA)
    assert message.edns == -1


@pytest.mark.parametrize(
    "name",
    [
        ".",
        "com.",
        "arpa.",
        "in-addr.arpa.",
        "172.in-addr.arpa.",
        "32.172.in-addr.arpa.",
        "1.63.100.in-addr.arpa.",
        "1.128.100.in-addr.arpa.",
        "1.1.1.1.in-addr.arpa.",
        "xlocal.",
        "local.example.com.",
        "ip6.arpa.",
        "example.com.",
        "example.",
    ],
)
def test_other_names_are_forwarded(name):
    assert reply(private(), name) is None


PRIVATE_NETWORKS = [
    *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16"),
    *("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "255.255.255.255/32"),
    *("::/128", "::1/128", "fd00::/8", "fe80::/10", "2001:db8::/32"),
]


@given(
    st.one_of(
        st.ip_addresses(),
        st.sampled_from(PRIVATE_NETWORKS).flatmap(lambda network: st.ip_addresses(network=network)),
    )
)
def test_reverse_names_of_the_networks_that_are_documented(address):
    inside = any(
        address in network
        for network in map(ipaddress.ip_network, PRIVATE_NETWORKS)
        if network.version == address.version
    )
    assert (private().zone_of(names.from_text(address.reverse_pointer)) is not None) is inside


def test_the_edges_of_the_networks():
    found = {}
    for text in PRIVATE_NETWORKS:
        network = ipaddress.ip_network(text)
        found[text] = tuple(
            private().zone_of(names.from_text(network[end].reverse_pointer)) is not None for end in (0, -1)
        )
    assert found == dict.fromkeys(PRIVATE_NETWORKS, (True, True))
    for text in ("9.255.255.255", "11.0.0.0", "172.15.255.255", "172.32.0.0", "fc00::1", "fec0::", "::2"):
        assert private().zone_of(names.from_text(ipaddress.ip_address(text).reverse_pointer)) is None


def test_the_word_for_all_of_them_is_the_default():
    assert Config().private_zones == ("special-use",)
    assert [names.from_text(zone) for zone in SPECIAL_USE] == ZONES
    assert len(set(ZONES)) == len(ZONES)
    assert list(zones_of(["Special-Use", "Corp.Example"])) == [*ZONES, names.from_text("corp.example")]


# --- unless somebody knows them ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("forwarded", "name", "zone"),
    [
        (["ec2.internal"], "ip-10-0-0-1.ec2.internal", None),
        (["ec2.internal"], "ec2.internal", None),
        (["ec2.internal"], "corp.internal", "internal"),
        (["internal"], "corp.internal", None),
        (["internal"], "internal", None),
        (["arpa"], "1.0.0.10.in-addr.arpa", "10.in-addr.arpa"),
        (["0.10.in-addr.arpa"], "1.0.0.10.in-addr.arpa", None),
        (["."], "printer.local", "local"),
    ],
)
def test_the_closest_zone_decides_and_resolvers_beat_privacy(forwarded, name, zone):
    found = private(*forwarded).zone_of(names.from_text(name))
    assert found == (None if zone is None else names.from_text(zone))


def test_without_private_zones_all_are_forwarded():
    for name in ("printer.local.", "localhost.", "1.0.0.10.in-addr.arpa."):
        assert reply(private(zones=()), name) is None


def test_ds_at_the_zone_itself_is_a_question_for_the_zone_above():
    assert reply(private(), "home.arpa.", "DS") is None
    assert reply(private(), ".", "DS") is None
    assert reply(private(), "a.home.arpa.", "DS").rcode() == dns.rcode.NXDOMAIN


# --- what is said ------------------------------------------------------------------------------


def test_soa_and_ns_stand_at_the_apex():
    assert texts(reply(private(), "Local.", "SOA").answer) == [f"Local. 10800 IN SOA Local. {SOA}"]
    assert texts(reply(private(), "local.", "ANY").answer) == [f"local. 10800 IN SOA local. {SOA}"]
    assert texts(reply(private(), "local.", "NS").answer) == ["local. 10800 IN NS local."]
    assert reply(private(), "local.", "SOA").authority == []
    assert reply(private(), "a.local.", "SOA").rcode() == dns.rcode.NXDOMAIN


@pytest.mark.parametrize("name", ["localhost.", "www.LocalHost.", "a.b.localhost."])
def test_localhost_is_this_machine(name):
    assert texts(reply(private(), name, "A").answer) == [f"{name} 10800 IN A 127.0.0.1"]
    assert texts(reply(private(), name, "AAAA").answer) == [f"{name} 10800 IN AAAA ::1"]
    other = reply(private(), name, "MX")
    assert (other.rcode(), other.answer, len(other.authority)) == (0, [], 1)
    # Who configures resolvers for it gets what they say.
    assert reply(private("localhost"), name, "A") is None


def test_flags_class_and_edns():
    message = reply(private(recursion=False), "a.local.", flags=dns.flags.RD | dns.flags.CD)
    assert message.flags & 0xFFF0 == dns.flags.QR | dns.flags.AA | dns.flags.RD | dns.flags.CD
    assert not reply(private(), "a.local.", "A", "ANY").flags & dns.flags.AA
    message = reply(private(), "a.local.", payload=4096, ednsflags=dns.flags.DO)
    assert (message.edns, message.payload, message.ednsflags, message.options) == (0, 1232, dns.flags.DO, ())
    keepalive = b"\0\x0b\0\2\0\1"
    message = reply(private(), "a.local.", options=keepalive, payload=1232)
    assert [int(one.otype) for one in message.options] == [11]


def test_the_longest_name_fits_a_client_without_edns():
    name = ".".join(["x" * 63] * 3 + ["y" * 55]) + ".local."
    assert reply(private(), name).rcode() == dns.rcode.NXDOMAIN


@given(st.lists(st.binary(min_size=1, max_size=20), max_size=8), st.sampled_from(ZONES), st.integers(0, 65535))
def test_any_name_below_is_answered(labels, zone, qtype):
    name = b"".join(bytes((len(label),)) + label for label in labels) + zone
    octets = b"\1\2\1\0\0\1\0\0\0\0\0\0" + name + qtype.to_bytes(2) + b"\0\1"
    out = private().answer(Forward(parse(octets)))
    if out is None:
        assert (qtype, name) == (43, zone)
    else:
        assert (out[:2], out[3] & 15 in (0, 3), out[12 : len(octets)]) == (octets[:2], True, octets[12:])
        read(out)
