"""What fits into a reply, which part of what does not, and in which order."""

import socket
import struct
from random import Random

import dns.flags
import dns.message
import dns.rcode
import pytest
from tests.serve.asking import AUTHORITY, RECORDS, ask, make_answerer, make_zone, parse, read, reply_of, texts
from tests.zone.changes import edit

from mesos_dns.dns import message as msg
from mesos_dns.dns import name as names
from mesos_dns.dns import rdata as rd
from mesos_dns.serve.request import part_start
from mesos_dns.zone.change import ZoneChange
from mesos_dns.zone.zone import Zone

TC = dns.flags.TC


@pytest.fixture(scope="module")
def answerer():
    return make_answerer()


def reply_to(answerer, octets, *, tcp=False):
    query = parse(octets)
    limit = msg.TCP_SIZE if tcp else msg.udp_limit(query.edns)
    reply = reply_of(answerer, query, limit, tcp=tcp)
    assert isinstance(reply, bytes), reply
    assert len(reply) <= limit
    return read(reply)


# --- size --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["many.mesos.", "_many._tcp.mesos."])
@pytest.mark.parametrize("edns", [{}, {"payload": 512}, {"payload": 0}, {"payload": 900}])
def test_what_does_not_fit_is_truncated_to_as_many_whole_records_as_do(answerer, name, edns):
    octets = ask(name, "A" if name[0] == "m" else "SRV", **edns)
    limit = msg.udp_limit(parse(octets).edns)
    octets_out = reply_of(answerer, parse(octets), limit)
    reply = read(octets_out)
    assert reply.flags & TC
    assert (reply.authority, reply.additional) == ([], [])
    assert reply.edns == (0 if edns else -1)
    part, whole = texts(reply.answer), texts(reply_to(answerer, octets, tcp=True).answer)
    assert len(part) == len(set(part)) > 5
    assert set(part) < set(whole)
    # No further one fits: an A record has 16 octets, an SRV record at most 34.
    assert limit - (16 if name[0] == "m" else 34) < len(octets_out) <= limit


def test_a_client_sees_the_same_part_each_time_and_from_every_server():
    table = next(line for line in RECORDS.splitlines() if line.startswith("_many")).split()
    shuffled = Random(1).sample(table[2:], len(table) - 2)
    servers = [make_answerer(seed=0), make_answerer(make_zone(f"{table[0]} SRV {' '.join(shuffled)}"), seed=1)]
    seen = set()
    for n in range(200):
        client = bytes((192, 0, 2, n))
        parts = [
            texts(read(reply_of(server, parse(ask("_many._tcp.mesos.", "SRV")), 512, client)).answer)
            for server in servers * 2
        ]
        assert all(part == parts[0] for part in parts)
        seen.add(parts[0][0])
    # Others see others, and together they see all.
    assert len(seen) > 50


def test_a_part_begins_where_the_client_and_the_name_say():
    client, owner = bytes((192, 0, 2, 7)), names.from_text("many.mesos")
    reply = read(reply_of(make_answerer(), parse(ask("MANY.mesos.")), 512, client))
    everything = sorted(socket.inet_aton(f"10.9.{n // 250}.{n % 250}") for n in range(60))
    start = part_start(client, owner, 60)
    expected = (everything + everything)[start : start + 30]
    assert [socket.inet_aton(rdata.address) for rdata in reply.answer[0]] == expected


@pytest.mark.parametrize("payload", [1232, 4096, 65535])
def test_edns_makes_room_up_to_our_own_size(answerer, payload):
    reply = reply_to(answerer, ask("many.mesos.", payload=payload))
    assert not reply.flags & TC
    assert len(texts(reply.answer)) == 60
    reply = reply_to(answerer, ask("_many._tcp.mesos.", "SRV", payload=payload))
    assert reply.flags & TC


def test_over_tcp_everything_fits(answerer):
    assert len(texts(reply_to(answerer, ask("_many._tcp.mesos.", "SRV"), tcp=True).answer)) == 60


def test_without_the_truncate_bit_a_random_part_is_sent():
    answerer = make_answerer(truncate_bit=False)
    seen = set()
    for _ in range(40):
        reply = reply_to(answerer, ask("many.mesos."))
        assert not reply.flags & TC
        part = texts(reply.answer)
        # 512 - 12 - 16 octets of question - 4 of type and class make room for 30 records of 16.
        assert len(part) == len(set(part)) == 30
        seen |= set(part)
    assert len(seen) == 60


def test_without_the_truncate_bit_addresses_belong_to_the_part_that_is_sent():
    table = "_s._tcp.mesos SRV " + " ".join(f"a-quite-long-target-name-{n}.mesos:1" for n in range(30))
    table += "".join(f"\na-quite-long-target-name-{n}.mesos A 10.0.0.{n}" for n in range(30))
    answerer = make_answerer(make_zone(table), truncate_bit=False)
    for _ in range(20):
        reply = reply_to(answerer, ask("_s._tcp.mesos.", "SRV"))
        targets = {line.split()[-1] for line in texts(reply.answer)}
        assert targets
        assert {line.split()[0] for line in texts(reply.additional)} <= targets


LONG = ".".join(["a" * 63, "b" * 63, "c" * 63, "d" * 50, "mesos."])


@pytest.mark.parametrize("truncate_bit", [True, False])
def test_a_record_that_fits_no_datagram(truncate_bit):
    target = LONG.replace("a", "x")
    answerer = make_answerer(make_zone(f"{LONG} SRV {target}:80"), truncate_bit=truncate_bit)
    reply = reply_to(answerer, ask(LONG, "SRV"))
    assert reply.answer == []
    assert bool(reply.flags & TC) is truncate_bit
    assert len(texts(reply_to(answerer, ask(LONG, "SRV"), tcp=True).answer)) == 1


def test_a_negative_answer_that_fits_no_datagram():
    long = names.from_text(LONG)
    answerer = make_answerer(make_zone(authority=AUTHORITY._replace(mname=long, rname=long)))
    reply = reply_to(answerer, ask("e" * 63 + LONG[63:]))
    assert reply.rcode() == dns.rcode.NXDOMAIN
    assert reply.flags & TC
    assert texts(reply_to(answerer, ask("e" * 63 + LONG[63:]), tcp=True).authority)


def test_addresses_that_do_not_fit_are_left_out_in_whole_sets_without_tc():
    targets = " ".join(f"target-{n}.mesos:{n}" for n in range(8))
    table = f"_s._tcp.mesos SRV {targets}"
    table += "".join(f"\ntarget-{n}.mesos A 10.0.{n}.1 10.0.{n}.2 10.0.{n}.3" for n in range(8))
    reply = reply_to(make_answerer(make_zone(table)), ask("_s._tcp.mesos.", "SRV"))
    assert not reply.flags & TC
    assert len(texts(reply.answer)) == 8
    sets = [len(rrset) for rrset in reply.additional]
    assert sets
    assert set(sets) == {3}
    assert len(sets) < 8


def huge(count):
    zone = Zone(AUTHORITY)
    rdataset = tuple(struct.pack("!I", n) for n in range(count))
    zone.apply(ZoneChange(1, (edit(names.from_text("huge.mesos"), rd.A, (), rdataset),)))
    return zone


def test_more_than_64_kilobytes_are_the_clients_part_over_tcp_where_tc_would_point_nowhere():
    answerer = make_answerer(huge(6000))
    query = parse(ask("huge.mesos."))
    parts = []
    for client in (b"1", b"1", b"2"):
        reply = read(reply_of(answerer, query, msg.TCP_SIZE, client, tcp=True))
        assert not reply.flags & TC
        parts.append({rdata.address for rdata in reply.answer[0]})
        # All but the room for an OPT record with options, which do not change the part.
        assert len(parts[-1]) == (65535 - 128 - 28) // 16
    assert parts[0] == parts[1] != parts[2]


def test_of_more_record_sets_than_fit_over_tcp_a_part_is_sent():
    zone = huge(4000)
    zone.apply(ZoneChange(2, (edit(names.from_text("huge.mesos"), rd.AAAA, (), tuple(map(bytes, batched(2000)))),)))
    seen = set()
    for n in range(20):
        octets = reply_of(make_answerer(zone), parse(ask("huge.mesos.", "ANY")), msg.TCP_SIZE, b"%d" % n, tcp=True)
        assert msg.TCP_SIZE - 28 < len(octets) <= msg.TCP_SIZE
        seen |= set(rdatas(octets, 12 + len("\4huge\5mesos\0") + 4))
    assert len(seen) == 6000


def rdatas(octets, at):
    """The data of all records from `at` on, whose owners are pointers."""
    while at < len(octets):
        owner, length = struct.unpack_from("!H8xH", octets, at)
        assert owner == 0xC00C
        at += 12 + length
        yield octets[at - length : at]


def batched(count):
    return [struct.pack("!QQ", 1 << 60, n) for n in range(count)]


def test_a_huge_set_is_truncated_over_udp_at_little_cost():
    reply = reply_to(make_answerer(huge(6000)), ask("huge.mesos."))
    assert reply.flags & TC
    assert len(texts(reply.answer)) == 30


def test_addresses_beyond_the_reach_of_pointers_are_right():
    table = "_s._tcp.mesos SRV " + " ".join(f"target-{n}.mesos:1" for n in range(600))
    table += "".join(f"\ntarget-{n}.mesos A 10.0.{n // 250}.{n % 250}" for n in range(600))
    reply = reply_to(make_answerer(make_zone(table)), ask("_s._tcp.mesos.", "SRV"), tcp=True)
    assert len(texts(reply.answer)) == 600
    assert set(texts(reply.additional)) == {f"target-{n}.mesos. 60 IN A 10.0.{n // 250}.{n % 250}" for n in range(600)}


# --- rotations ---------------------------------------------------------------------------------


def test_every_record_comes_first_now_and_then(answerer):
    firsts = {texts(reply_to(answerer, ask("many.mesos."), tcp=True).answer)[0] for _ in range(150)}
    assert len(firsts) > 40
