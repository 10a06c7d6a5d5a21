"""The table of names is read as it is written, and a new kind of name is one entry of it."""

import subprocess
import sys
from pathlib import Path

import pytest

from mesos_dns.names import table
from mesos_dns.names.table import Pattern, place


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("NAME.FW", Pattern("NAME", place(("FW",), ()))),
        ("CANON.FW.slave", Pattern("CANON", place(("FW",), ("slave",)))),
        ("_NAME._PROTO.FW", Pattern("_NAME", place(("_PROTO", "FW"), ()))),
        ("_PORT._NAME._PROTO.FW.slave", Pattern("_PORT._NAME", place(("_PROTO", "FW"), ("slave",)))),
        ("NAME.FW._PROTO", Pattern("NAME", place(("FW", "_PROTO"), ()))),
        ("_framework._tcp.FW", Pattern("", place(("_framework", "_tcp", "FW"), ()))),
        ("slave", Pattern("", place(("slave",), ()))),
    ],
)
def test_patterns(text, pattern):
    assert table._pattern(text) == pattern


def test_a_target_is_the_owner_of_an_address():
    for rules in (table.TASK_RULES, table.FRAMEWORK_RULES, table.AGENT_RULES, table.LEADER_RULES, table.MASTER_RULES):
        addresses = {rule.owner for rule in rules if rule.target is None}
        assert {rule.target for rule in rules if rule.target is not None} <= addresses


def test_the_names_of_the_cluster_are_reserved():
    assert sorted(table.CLUSTER_LABELS) == [b"agent", b"leader", b"master", b"slave"]
    assert sorted(table.AGENT_LABELS) == [b"agent", b"slave"]
    assert sorted(table.SCHEDULER_LABELS) == [b"framework"]


@pytest.mark.parametrize(
    ("label", "reserved"),
    [
        (b"leader", True),
        (b"master", True),
        (b"master0", True),
        (b"master10", True),
        (b"masterx", False),
        (b"web", False),
    ],
)
def test_masters_are_reserved_by_number(label, reserved):
    assert table.is_of_cluster(label) == reserved


#: Runs the property tests of both ways of naming, and of provenance, with more entries in the table.
MORE_NAMES = """
import sys
import pytest
from mesos_dns.names import table
table.TASK_RULES += (
    table._addresses("NAME.FW.agent", "agent addresses"),
    table._addresses("CANON.FW.agent", "agent addresses"),
    table._service("_NAME._PROTO.FW.agent", "host ports", "CANON.FW.agent"),
    table._service("_PORT._NAME._PROTO.FW.agent", "discovery ports", "CANON.FW.agent", "no host ports"),
)
sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", *sys.argv[1:]]))
"""


def test_a_new_kind_of_name_is_one_entry():
    here = Path(__file__).parent
    tests = [
        f"{here / 'test_both_ways.py'}::test_both_ways_of_naming_give_the_same_records_and_reasons",
        f"{here / 'test_provenance.py'}::test_contributors_are_exactly_those_whose_naming_gives_the_record",
    ]
    done = subprocess.run(
        [sys.executable, "-c", MORE_NAMES, *tests],
        cwd=here.parent.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
