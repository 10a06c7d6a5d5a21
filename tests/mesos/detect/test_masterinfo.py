"""Where a master is, from what it wrote into ZooKeeper: three formats, three ways to tell an address, and any octets."""

import gzip
import ipaddress
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesos_dns.mesos.detect.masterinfo import (
    MAX_NODE_OCTETS,
    READERS,
    MasterInfoError,
    from_json,
    from_pid,
    from_protobuf,
    read,
)
from mesos_dns.mesos.state import Endpoint

RECORDED = [
    json.loads(line)
    for line in gzip.decompress(
        (Path(__file__).parents[2] / "fixtures" / "mesos" / "zookeeper.jsonl.gz").read_bytes()
    ).splitlines()
]
M = Endpoint("10.0.0.1", 5050)


def as_json(**info):
    return json.dumps(info).encode()


# --- JSON ------------------------------------------------------------------------------------------


def test_those_of_a_real_mesos():
    texts = {node for event in RECORDED for node in event.get("nodes", {}).values()}
    assert {from_json(text.encode()) for text in texts} == {Endpoint(f"127.0.0.{n}", 5050) for n in (21, 22, 23)}


@pytest.mark.parametrize(
    "missing", [(), ("address",), ("address", "pid"), ("address", "ip", "port"), ("pid", "ip", "port")]
)
def test_a_real_one_says_the_same_in_three_ways(missing):
    info = json.loads(next(iter(RECORDED[1]["nodes"].values())))
    kept = {key: value for key, value in info.items() if key not in missing}
    assert from_json(json.dumps(kept).encode()) == Endpoint("127.0.0.22", 5050)


@pytest.mark.parametrize(
    "info",
    [
        {"address": {"ip": "10.0.0.1", "port": 5050}, "pid": "master@10.0.0.2:5050", "ip": 50331658, "port": 5050},
        {"address": {"hostname": "x", "port": 5050}, "pid": "master@10.0.0.1:5050", "ip": 33554442, "port": 5050},
        {"address": {"ip": "master.example", "port": 5050}, "pid": "master@10.0.0.1:5050"},
        {"address": {"ip": "10.0.0.2"}, "pid": "master@10.0.0.1:5050"},
        {"address": {"ip": "10.0.0.2", "port": 0}, "pid": "master@10.0.0.1:5050"},
        {"address": {"ip": "10.0.0.2", "port": True}, "pid": "master@10.0.0.1:5050"},
        {"address": {"ip": "10.0.0.2/24", "port": 5050}, "pid": "master@10.0.0.1:5050"},
        {"address": None, "pid": "master@10.0.0.1:5050"},
        {"address": [], "pid": "no pid", "ip": 16777226, "port": 5050},
        {"pid": "master@master.example:5050", "ip": 16777226, "port": 5050},
        {"ip": 16777226, "port": 5050, "hostname": "x"},
    ],
)
def test_what_counts(info):
    assert from_json(as_json(**info)) == M


def test_ipv6():
    assert from_json(as_json(address={"ip": "fd00::1", "port": 5050})) == Endpoint("fd00::1", 5050)
    assert from_json(as_json(pid="master@[fd00::1]:5050")) == Endpoint("fd00::1", 5050)
    assert from_json(as_json(address={"ip": "::ffff:10.0.0.1", "port": 5050})) == M


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"7",
        b"null",
        b"{",
        b"\xff",
        b"[" * 100_000,
        as_json(),
        as_json(ip=0, port=5050),
        as_json(ip=1, port=70000),
        as_json(ip=-1, port=5050),
        as_json(ip=1 << 32, port=5050),
        as_json(ip=1.5, port=5050),
        as_json(pid="master@x"),
    ],
)
def test_what_is_no_masterinfo_in_json(data):
    with pytest.raises(MasterInfoError, match=r"no JSON|names no address"):
        from_json(data)


# --- protobuf --------------------------------------------------------------------------------------


def varint(number):
    octets = bytearray()
    while number > 0x7F:
        octets.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*octets, number])


def field(number, value):
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


#: What Mesos 0.23 wrote: id, ip, port, pid, hostname, version.
OLD = (
    field(1, b"20150826-101010-16777226-5050-1")
    + field(2, 16777226)
    + field(3, 5050)
    + field(4, b"master@10.0.0.1:5050")
    + field(5, b"m1.example")
    + field(6, b"0.23.0")
)


def test_octets_as_they_stand_in_zookeeper():
    assert (
        from_protobuf(bytes.fromhex("0a01 61 10 8a808008 18 ba27 22 14 6d617374657240 31302e302e302e31 3a35303530"))
        == M
    )


def test_protobuf_of_old_masters():
    assert from_protobuf(OLD) == M
    assert from_protobuf(field(1, b"x") + field(2, 16777226)) == M  # the port has a default
    assert from_protobuf(OLD + field(7, field(1, b"m1") + field(2, b"10.0.0.9") + field(3, 5051))) == Endpoint(
        "10.0.0.9", 5051
    )


def test_unknown_fields_are_passed_over():
    unknown = (
        field(99, b"x" * 300)
        + varint(98 << 3 | 1)
        + bytes(8)
        + varint(97 << 3 | 5)
        + bytes(4)
        + field(96, (1 << 64) - 1)
    )
    assert from_protobuf(unknown + OLD + unknown) == M


def test_of_equal_fields_the_last_counts_and_messages_add_up():
    assert from_protobuf(field(4, b"master@10.0.0.2:5050") + OLD) == M
    assert from_protobuf(field(7, field(2, b"10.0.0.1")) + field(7, field(3, 5050))) == M


def test_a_field_of_another_type_is_none():
    assert from_protobuf(field(7, 5) + OLD) == M
    assert from_protobuf(field(4, 5) + field(2, 16777226)) == M


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "names no address"),
        (field(1, b"x"), "names no address"),
        (OLD[:-1], "ends within"),
        (b"\x80" * 11, "does not end"),
        (b"\x0b", "wire type 3"),
        (b"\x12\xff\xff\xff\xff\x0f", "ends within"),
        (b"\x09\0", "ends within"),
        (b"{}", "wire type 3"),
    ],
)
def test_what_is_no_masterinfo_in_protobuf(data, why):
    with pytest.raises(MasterInfoError, match=why):
        from_protobuf(data)


@given(st.lists(st.tuples(st.integers(10, 1 << 28), st.integers(0, (1 << 64) - 1) | st.binary(max_size=300))))
def test_fields_that_nobody_knows_do_no_harm(more):
    octets = b"".join(field(*one) for one in more)
    assert from_protobuf(octets + OLD) == from_protobuf(OLD + octets) == M


@given(st.ip_addresses(v=4).filter(int), st.integers(1, 65535))
def test_addresses_as_numbers(address, port):
    number = int.from_bytes(address.packed, "little")
    endpoint = Endpoint(str(address), port)
    assert from_protobuf(field(2, number) + field(3, port)) == endpoint
    assert from_json(as_json(ip=number, port=port)) == endpoint


# --- PIDs, and all of them -------------------------------------------------------------------------


def test_pids_of_the_oldest_masters():
    assert from_pid(b"master@10.0.0.1:5050") == from_pid(b"master@10.0.0.1:5050\n") == M


@pytest.mark.parametrize(
    "data", [b"", b"10.0.0.1:5050", b"master@", b"master@x:5050", b"master@10.0.0.1:0", b"\xff@\xff:1"]
)
def test_what_is_no_pid(data):
    with pytest.raises(MasterInfoError, match="no PID"):
        from_pid(data)


@pytest.mark.parametrize("label", READERS)
@given(data=st.binary())
def test_any_octets_give_an_endpoint_or_a_reason(label, data):
    try:
        endpoint = read(label, data)
    except MasterInfoError:
        return
    ipaddress.ip_address(endpoint.host)
    assert 1 <= endpoint.port <= 65535


@pytest.mark.parametrize("label", READERS)
def test_a_huge_node_is_not_looked_at(label):
    with pytest.raises(MasterInfoError, match="has 65537 octets"):
        read(label, bytes(MAX_NODE_OCTETS + 1))
