import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesos_dns.mesos.decoding.grammar import parse_address, parse_endpoint, parse_pid, parse_ranges, split_host_port
from mesos_dns.mesos.state import Endpoint


@pytest.mark.parametrize(
    ("text", "packed"),
    [
        ("10.7.20.1", b"\x0a\x07\x14\x01"),
        ("0.0.0.0", b"\0\0\0\0"),
        ("255.255.255.255", b"\xff\xff\xff\xff"),
        ("10.7.20.28/24", b"\x0a\x07\x14\x1c"),
        ("fd00::5/64", b"\xfd\0" + bytes(13) + b"\x05"),
        ("FD00:0:0:0:0:0:ABCD:0001", b"\xfd\0" + bytes(10) + b"\xab\xcd\0\x01"),
        ("64:ff9b::1.2.3.4", b"\0\x64\xff\x9b" + bytes(8) + b"\x01\x02\x03\x04"),
        ("::ffff:10.7.20.29", b"\x0a\x07\x14\x1d"),
        ("::", bytes(16)),
    ],
)
def test_addresses(text, packed):
    assert parse_address(text) == packed


@pytest.mark.parametrize(
    "text",
    [
        *[
            "",
            " ",
            "nope",
            "10.0.0",
            "10.0.0.300",
            "1.2.3.4.5",
            "010.7.20.26",
            "1.2.3.04",
            " 10.7.20.27",
            "10.7.20.27 ",
        ],
        *[
            "+1.2.3.4",
            "1_0.2.3.4",
            "1.2.3.-4",
            "\u0661.\u0662.\u0663.\u0664",
            "fe80::1%eth0",
            "[fd00::1]",
            "1::2::3",
            "::ffff:1.2.3.04",
        ],
        *["10.0.0.1/", "10.0.0.1/x", "10.0.0.1/129", "10.0.0.1/-1", "/24", "10.0.0.1/24/24"],
    ],
)
def test_what_is_no_address(text):
    assert parse_address(text) is None


@given(st.ip_addresses())
def test_every_written_address_is_read(address):
    packed = parse_address(str(address))
    assert packed is not None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    assert packed == (mapped or address).packed


@given(st.text())
def test_no_text_breaks_the_grammars(text):
    packed = parse_address(text)
    assert packed is None or len(packed) in {4, 16}
    assert parse_pid(text) is None or "@" in text
    parse_endpoint(text)
    ranges, bad = parse_ranges(text)
    assert bad >= 0
    assert all(0 <= first <= last <= 65535 for first, last in ranges)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("slave(1)@127.0.0.1:5051", ("127.0.0.1", 5051)),
        ('" slave(1)@127.0.0.1:5051 "', ("127.0.0.1", 5051)),
        ("  slave(1)@[2001:db8::1]:5051  ", ("2001:db8::1", 5051)),
        ("slave(1)@2001:db8::1:5051", ("2001:db8::1", 5051)),
        ("a@b@c:1", ("c", 1)),
        ("s@sched-redis:8080", ("sched-redis", 8080)),
        ("s@10.7.2.36:http", ("10.7.2.36", None)),
        ("s@10.7.2.36:65536", ("10.7.2.36", None)),
        ("s@10.7.2.36:", ("10.7.2.36", None)),
        ("s@:9000", ("", 9000)),
    ],
)
def test_pids(text, found):
    assert parse_pid(text) == found


@pytest.mark.parametrize("text", ["", "x", "@", "1@", "3@4", "s@[::1", "s@[::1]", "slave(1)"])
def test_what_is_no_pid(text):
    assert parse_pid(text) is None


def test_leader_needs_host_and_port():
    assert parse_endpoint("master@144.76.157.37:5050") == Endpoint("144.76.157.37", 5050)
    assert parse_endpoint("5@[2001:db8::1]:7") == Endpoint("2001:db8::1", 7)
    for text in ("", "@", "1@", "@2", "3@4", "master!144.76.157.37;5050", "m@:5050", "m@h:x"):
        assert parse_endpoint(text) is None


def test_host_and_port():
    assert split_host_port("[::1]:80") == ("::1", 80)
    assert split_host_port("host") is None


@pytest.mark.parametrize(
    ("text", "ranges", "bad"),
    [
        ("[31111-31111, 31115-31117]", ((31111, 31111), (31115, 31117)), 0),
        ("[ 31000-31001 , 31005-31005 ]", ((31000, 31001), (31005, 31005)), 0),
        ("[31001-31001,31001-31001,31000-31002]", ((31001, 31001), (31001, 31001), (31000, 31002)), 0),
        ("", (), 0),
        ("[]", (), 0),
        ("[31005-31003]", (), 0),
        ("[a-b, 31010-31010, 31011-x]", ((31010, 31010),), 2),
        ("[31000]", (), 1),
        ("31000-31001", (), 1),
        ("[1-2-3]", ((1, 2),), 0),
        ("[-5-10]", (), 1),
        ("[65530-70000]", ((65530, 65535),), 0),
        ("[70000-70001]", (), 1),
        ("[1-99999999999999999999999999]", ((1, 65535),), 0),
        ("[1-2", ((1, 2),), 0),
        ("[,]", (), 2),
    ],
)
def test_port_ranges(text, ranges, bad):
    assert parse_ranges(text) == (ranges, bad)
