"""One task in an answer of `/master/tasks`."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.examples import fewer
from tests.mesos.decoding import shapes
from tests.mesos.decoding.clusters import clusters

from mesos_dns.mesos.decoding.document import StateError
from mesos_dns.mesos.decoding.members import Skipped
from mesos_dns.mesos.decoding.tasks import TaskReader
from mesos_dns.mesos.decoding.v0 import Decoder
from mesos_dns.mesos.decoding.v0_tasks import read_running

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["tasks", "id", "framework_id", "state", "statuses", "labels", "Tasks", "x"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


def plain(**more):
    return {"id": "t", "framework_id": "F", "slave_id": "S", "name": "web", "state": "TASK_RUNNING", **more}


def read(*tasks, skipped=None):
    body = json.dumps({"tasks": tasks}).encode()
    return read_running(body, "F", "t", Skipped() if skipped is None else skipped)


@given(clusters())
@fewer(3)
def test_a_task_means_the_same_as_in_the_state(found):
    """Whatever else the answer lists: before Mesos 1.4 that is everything."""
    known = Decoder().decode(shapes.v0_state(found)).tasks
    body = json.dumps({"tasks": [shapes.v0_task(task) for task in found["tasks"]]}).encode()
    for task in found["tasks"]:
        shown = read_running(body, task["framework"], task["id"], Skipped())
        expected = known.get((task["framework"], task["id"], 0))
        if expected is None:
            assert shown is None
        else:
            assert TaskReader().read(shown.entry, shown.framework_id, []) == expected


@given(JSON | st.binary(max_size=30))
def test_anything_is_an_answer_or_none(value):
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    try:
        shown = read_running(body, "F", "t", Skipped())
    except StateError:
        return
    assert shown is None or (shown.framework_id, shown.entry.id, shown.entry.state) == ("F", "t", "TASK_RUNNING")


@given(st.lists(JSON, max_size=3), st.lists(JSON, max_size=3))
def test_what_else_is_in_the_list_costs_only_itself(before, after):
    shown = read(*before, plain(), *after)
    assert (shown.framework_id, shown.entry.id) == ("F", "t")


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}", b'{"tasks":null}', b'{"tasks":7}', b'{"tasks":['])
def test_what_is_no_list_of_tasks(body):
    with pytest.raises(StateError):
        read_running(body, "F", "t", Skipped())


def test_only_a_running_task_of_both_ids_is_meant():
    others = [plain(state="TASK_FAILED"), plain(framework_id="G"), plain(id="u"), plain(state="TASK_STARTING"), None]
    assert read(*others) is None
    assert read(*others, plain(name="this")).entry.name == "this"


def test_what_cannot_be_used_is_counted():
    skipped = Skipped()
    assert read(plain(id=7), "x", plain(statuses=5), skipped=skipped).problems == [
        ("task: bad status", "expected a list, found a number")
    ]
    assert skipped.counts == {"task: bad type": 2}


def test_what_is_nearly_json():
    body = b'{"TASKS":[{"ID":"t","framework_id":"F","state":"TASK_RUNNING","limits":{"cpus":Infinity},"name":"\xff"}]}'
    assert read_running(body, "F", "t", Skipped()).entry.name == "\ufffd"


def test_an_ignored_health_check_is_read():
    labels = [{"key": "mesos-dns.health", "value": "ignore"}]
    statuses = [{"state": "TASK_STARTING", "healthy": False}]
    entry = read(plain(labels=labels, statuses=statuses)).entry
    assert TaskReader().read(entry, "F", []).healthy is None
