"""What a task's statuses and labels say of its health."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesos_dns.mesos.decoding.v0 import Decoder


def decoded(statuses=(), **more):
    task = {"id": "t", "name": "web", "slave_id": "S0", "state": "TASK_RUNNING", "statuses": list(statuses), **more}
    framework = {"id": "F", "name": "fw", "tasks": [task]}
    body = {"leader": "master@10.0.0.1:5050", "slaves": [], "frameworks": [framework]}
    snapshot = Decoder().decode(json.dumps(body).encode())
    (found,) = snapshot.tasks.values()
    return found, dict(snapshot.skipped)


def status(timestamp, healthy=None, state="TASK_RUNNING"):
    found = {"state": state, "timestamp": timestamp}
    return found if healthy is None else {**found, "healthy": healthy}


@pytest.mark.parametrize(
    ("statuses", "healthy"),
    [
        ([], None),
        ([status(1)], None),
        ([status(1, healthy=True)], True),
        ([status(1, healthy=False)], False),
        ([status(1, healthy=True), status(2, healthy=False)], False),
        ([status(2, healthy=True), status(1, healthy=False)], True),
        ([status(1, healthy=False), status(2)], False),  # the newer one says nothing
        ([status(1, healthy=True), status(1, healthy=False)], False),  # arrived later
        ([status(1, healthy=True, state="TASK_STARTING"), None], True),
        ([{"healthy": False}], False),
        ([status(-5, healthy=False)], False),
    ],
)
def test_the_newest_status_that_has_a_verdict_counts(statuses, healthy):
    assert decoded(statuses)[0].healthy is healthy


@given(st.permutations([status(1, healthy=True), status(2), status(3, healthy=False), status(4)]))
def test_the_order_of_statuses_means_nothing(statuses):
    assert decoded(statuses)[0].healthy is False


def test_a_label_takes_the_verdict_back():
    sick = [status(1, healthy=False)]
    other = {"key": "owner", "value": "mesos-dns.health"}
    label = {"key": "mesos-dns.health", "value": "ignore"}
    assert decoded(sick, labels=[other, None])[0].healthy is False
    assert decoded(sick, labels=[other, label])[0].healthy is None
    assert decoded(sick, Labels=[label])[0].healthy is None  # read the forgiving way


@pytest.mark.parametrize("value", [None, "", "Ignore", "on"])
def test_another_value_of_the_label_is_reported(value):
    task, skipped = decoded([status(1, healthy=False)], labels=[{"key": "mesos-dns.health", "value": value}])
    assert task.healthy is False
    assert skipped == {"label: unknown value": 1}
