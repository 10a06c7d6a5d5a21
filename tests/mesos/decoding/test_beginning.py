"""The first octets of a state: what is complete there is read, whatever follows, and nothing raises."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.examples import fewer

from mesos_dns.mesos.decoding.beginning import Beginning, read_beginning
from mesos_dns.mesos.state import Endpoint

STATE = json.dumps(
    {
        "version": "1.11.0",
        "start_time": 1500000000.5,
        "capabilities": ["AGENT_UPDATE"],
        "pid": "master@10.0.0.1:5050",
        "leader": "master@10.0.0.2:5050",
        "slaves": [{"id": "S1"}],
        "frameworks": [],
    }
).encode()
WHOLE = Beginning(
    is_state=True,
    version="1.11.0",
    pid=Endpoint("10.0.0.1", 5050),
    leader=Endpoint("10.0.0.2", 5050),
    start_time=1500000000.5,
)


def test_a_whole_state():
    assert read_beginning(STATE) == WHOLE


def test_it_may_break_off_in_the_lists():
    assert read_beginning(STATE[: STATE.index(b'"S1"')]) == WHOLE


@given(st.integers(0, len(STATE)))
def test_where_it_breaks_off_members_before_are_read(length):
    found = read_beginning(STATE[:length])
    for name in ("version", "pid", "leader", "start_time"):
        # What is not complete is not there: never a part of it.
        assert getattr(found, name) in (getattr(WHOLE, name), "" if name == "version" else None)


@given(st.binary(max_size=200))
def test_any_octets_are_read(octets):
    read_beginning(octets)


@fewer(4)
@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(), lambda one: st.lists(one) | st.dictionaries(st.text(), one)
    )
)
def test_any_json_is_read(document):
    read_beginning(json.dumps(document).encode())


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"{",
        b"[]",
        b"<html>",
        b'{"version"',
        b'{"version":',
        b'{"version":1.',
        b"{1:2}",
        b"{" * 100_000,
        b'{"a":' + b"[" * 100_000,
    ],
)
def test_what_is_no_state_has_nothing(octets):
    assert read_beginning(octets) == Beginning(is_state=False)


@pytest.mark.parametrize(
    ("member", "value"),
    [("version", 5), ("pid", "nonsense"), ("pid", None), ("leader", {}), ("start_time", "now"), ("start_time", 1e300)],
)
def test_a_member_of_another_kind_is_as_if_it_were_not_there(member, value):
    found = read_beginning(json.dumps({member: value, "slaves": []}).encode())
    assert found == Beginning(is_state=True)


def test_a_version_is_fit_for_a_terminal():
    assert read_beginning(json.dumps({"version": "1\x1b[2J" + "9" * 1000, "slaves": []}).encode()).version == (
        "1\\x1b[2J" + "9" * 55
    )
