"""Who leads: the smallest sequence number over all labels, whatever else stands there. Also as a real Mesos did it."""

import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesos_dns.mesos.detect.election import MAX_CONTENDERS, contenders, outcome
from mesos_dns.mesos.detect.masterinfo import MasterInfoError, read
from mesos_dns.mesos.source import KnownMasters
from mesos_dns.mesos.state import Endpoint

RECORDED = [
    json.loads(line)
    for line in gzip.decompress(
        (Path(__file__).parents[2] / "fixtures" / "mesos" / "zookeeper.jsonl.gz").read_bytes()
    ).splitlines()
]
A, B, C, S = (Endpoint(f"10.0.0.{n}", 5050) for n in (1, 2, 3, 9))


def names(*children):
    return [contender.name for contender in contenders(children)]


@pytest.mark.parametrize(
    ("children", "order"),
    [
        (["json.info_0000000003", "json.info_0000000001"], ["json.info_0000000001", "json.info_0000000003"]),
        (["json.info_0000000005", "info_0000000004"], ["info_0000000004", "json.info_0000000005"]),
        (
            ["0000000002", "json.info_0000000003", "info_0000000001"],
            ["info_0000000001", "0000000002", "json.info_0000000003"],
        ),
        (["log_replicas", "json.info_0000000001"], ["json.info_0000000001"]),
        (["json.info_9", "json.info_0000000010"], ["json.info_9", "json.info_0000000010"]),
        (["json.info_-2147483648", "json.info_0000000000"], ["json.info_-2147483648", "json.info_0000000000"]),
        (
            [
                "log_replicas",
                "x_0000000001",
                "json.info_",
                "_0000000001x",
                "json.info_1x",
                "json.info",
                "",
                "JSON.INFO_1",
            ],
            [],
        ),
        (["json.info_00000000001", "json.info_\u0661"], []),
        ([], []),
    ],
)
def test_the_order_of_contenders(children, order):
    assert names(*children) == order


def test_nobody_needs_more_contenders():
    many = [f"json.info_{n:010}" for n in range(10 * MAX_CONTENDERS)]
    assert names(*reversed(many)) == many[:MAX_CONTENDERS]


@given(st.lists(st.text() | st.from_regex(r"(json\.info_|info_|)[0-9]{10}", fullmatch=True)))
def test_any_children_can_be_ordered(children):
    found = contenders(children)
    assert [one.sequence for one in found] == sorted(one.sequence for one in found)
    assert {one.name for one in found} <= set(children)


NODES = contenders(["json.info_0000000001", "json.info_0000000002", "json.info_0000000003"])
FIRST, SECOND, THIRD = (node.name for node in NODES)


def test_the_first_leads_and_all_are_masters_in_their_order():
    assert outcome(NODES, {FIRST: C, SECOND: A, THIRD: B}, [], [S]) == KnownMasters((C, A, B), C)


def test_a_master_that_came_back_counts_once():
    assert outcome(NODES, {FIRST: A, SECOND: B, THIRD: A}, [], []) == KnownMasters((A, B), A)


def test_if_the_first_cannot_be_read_somebody_unknown_leads():
    assert outcome(NODES, {SECOND: A, THIRD: B}, [S], [S]) == KnownMasters((A, B), None)


def test_without_contenders_those_known_before_stay_and_then_the_listed_ones():
    assert outcome([], {}, [A, B], [B, S]) == KnownMasters((A, B, S), None)
    assert outcome(NODES, {}, [], [S]) == KnownMasters((S,), None)
    assert outcome([], {}, [], []) == KnownMasters()


def test_the_elections_of_a_real_mesos():
    """Three masters: the leader killed, ended, stopped and continued, then ZooKeeper killed: each time the next one leads."""
    leaders = []
    known = KnownMasters()
    for event in RECORDED:
        if "children" in event:
            standing = contenders(event["children"])
            endpoints = {name: read("json.info", text.encode()) for name, text in event["nodes"].items()}
            known = outcome(standing, endpoints, known.masters, [])
            assert len(known.masters) in {2, 3}
            leaders.append(known.leader.host[-2:])
    assert leaders == ["22", "23", "23", "21", "21", "22", "22", "22", "22"]


def test_the_reader_knows_all_labels_that_are_contenders():
    for contender in contenders(["json.info_1", "info_2", "3"]):
        with pytest.raises(MasterInfoError):
            read(contender.label, b"x")
