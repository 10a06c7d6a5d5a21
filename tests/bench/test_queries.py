import random
from dataclasses import replace

import dns.message
import dns.rdatatype
import pytest
from bench.zonefile import ZoneNames, zone_names

from bench import queries, wire

ZONE = zone_names(
    [
        "mesos. 60 IN SOA ns1.mesos. root.mesos. 1 60 60 60 60",
        "ns1.mesos. 60 IN A 10.0.0.1",
        "web-1.marathon.mesos. 60 IN A 10.0.0.2",
        "db.marathon.slave.mesos. 60 IN A 10.0.0.3",
        "_web-1._tcp.marathon.mesos. 60 IN SRV 0 0 31000 web-1.marathon.mesos.",
    ]
)
ZONE = replace(ZONE, services=("_of60._tcp.marathon.mesos.", "_of200._tcp.marathon.mesos."))
BY_NAME = {workload.name: workload for workload in queries.WORKLOADS}


@pytest.fixture(autouse=True)
def few(monkeypatch):
    monkeypatch.setattr(queries, "REPEATED", 200)
    monkeypatch.setattr(queries, "UNREPEATED_PER_SECOND", 200)


def asked(name, seed=1):
    return [dns.message.from_wire(octets) for octets in queries.questions(BY_NAME[name], ZONE, seconds=1, seed=seed)]


def names(messages):
    return [message.question[0].name.to_text() for message in messages]


@pytest.mark.parametrize("workload", queries.WORKLOADS, ids=lambda workload: workload.name)
def test_every_question_is_well_formed_and_comes_again_for_the_same_seed(workload):
    messages = asked(workload.name)
    assert len(messages) == (100 if "srv-" in workload.name else 200)
    assert all(len(message.question) == 1 for message in messages)
    assert names(asked(workload.name)) == names(messages)


def test_known_names_are_asked_for_by_type():
    assert set(names(asked("a"))) == set(ZONE.by_type["A"])
    assert set(names(asked("srv"))) == {"_web-1._tcp.marathon.mesos."}


def test_unknown_names_stand_beside_known_ones_and_repeat(monkeypatch):
    monkeypatch.setattr(queries, "UNKNOWN", 5)
    found = set(names(asked("nxdomain")))
    assert len(found) == 5
    assert not found & set(ZONE.by_type["A"])
    assert {name.split(".", 1)[1] for name in found} <= {"mesos.", "marathon.mesos.", "marathon.slave.mesos."}


def test_unique_names_never_repeat_and_differ_from_run_to_run():
    first, second = names(asked("unique", seed=1)), names(asked("unique", seed=2))
    assert len(set(first + second)) == 400


def test_the_mix_has_its_shares():
    messages = asked("mix")
    types = [dns.rdatatype.to_text(message.question[0].rdtype) for message in messages]
    assert (types.count("A"), types.count("SRV"), types.count("AAAA")) == (140, 40, 20)
    assert sum(name not in {*ZONE.by_type["A"], *ZONE.by_type["SRV"]} for name in names(messages)) == 20


def test_random_case_changes_letters_and_nothing_else():
    plain = {name.lower() for name in ZONE.by_type["A"]}
    found = names(asked("case"))
    assert {name.lower() for name in found} == plain
    assert len(set(found)) > 20


def test_the_case_of_digits_hyphens_and_lengths_stays():
    octets = wire.query("a-1.Z.", wire.A)
    bits = queries.case_bits(octets).to_bytes(len(octets), "big")
    assert bits[12:20] == b"\0\x20\0\0\0\x20\0\0"


def test_cookies_never_repeat():
    cookies = {message.options[0].to_wire() for message in asked("cookies")}
    assert len(cookies) == 200
    assert all(len(cookie) == 8 for cookie in cookies)


def test_sizes_vary_and_some_queries_have_no_edns():
    sizes = {message.payload for message in asked("sizes") if message.edns >= 0}
    assert {512, 1232, 4096} <= sizes
    assert any(message.edns < 0 for message in asked("sizes"))


def test_forwarded_names_lie_in_their_zone_and_never_repeat():
    found = names(dns.message.from_wire(octets) for octets in queries.forwarded("forward.test.", seconds=3, seed=1))
    assert len(set(found)) == 200
    assert all(name.endswith(".forward.test.") for name in found)


def test_a_zone_without_such_records_is_refused():
    bare = ZoneNames("mesos.", {"A": (), "AAAA": (), "SRV": ()}, 1, 1)
    with pytest.raises(ValueError, match="no SRV records"):
        queries.questions(BY_NAME["srv"], bare, seconds=1, seed=1)


def test_unknown_names_are_random_beyond_the_first_label():
    found = queries.unknown_names(ZONE, random.Random(1), 3)
    assert len(set(found)) == 3
