"""Both APIs of a master give the same model; what cannot be used costs only itself."""

import contextlib
import copy
import gzip
import json
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.examples import fewer
from tests.mesos.decoding import shapes
from tests.mesos.decoding.clusters import clusters, statuses, tasks

from mesos_dns.mesos.decoding.document import StateError
from mesos_dns.mesos.decoding.members import Skipped
from mesos_dns.mesos.decoding.tasks import TaskReader
from mesos_dns.mesos.decoding.v0 import Decoder
from mesos_dns.mesos.decoding.v1 import read_first
from mesos_dns.mesos.decoding.v1_calls import read_flags, read_master, read_summary
from mesos_dns.mesos.decoding.v1_events import Other, TaskNews, read_event
from mesos_dns.mesos.state import Endpoint, NotShown
from mesos_dns.mesos.view import View

A = Endpoint("10.0.0.1", 5050)
FIXTURES = Path(__file__).parents[2] / "fixtures" / "mesos"


def view_of(record, **options):
    reader = TaskReader()
    state = read_first(record, reader, **options)
    return View(state, reader, Skipped())


def snapshot_of(view, summary=None):
    if summary is not None:
        view.begin_summary()
        view.take_summary(read_summary(summary, Skipped()))
    return view.take_snapshot(read_master(shapes.MASTER), A, (A,), read_flags(shapes.FLAGS))


def take(view, *records):
    skipped = Skipped()
    for record in records:
        event = read_event(record, skipped)
        if event is not None:
            view.take(event)
    return skipped.counts


def cluster(*found, **more):
    base = {
        "agents": {"S0": "slave(1)@10.1.0.1:5051"},
        "recovered": [],
        "frameworks": [{"id": "F0", "name": "fw", "hostname": "h", "pid": "s@10.2.0.1:9", "recovered": False}],
        "completed": [],
        "tasks": list(found),
    }
    return base | more


def task(task_id="t", state="TASK_RUNNING", **more):
    plain = {"name": "web", "framework": "F0", "agent": "S0", "ports": [], "statuses": [], "labels": []}
    return {"id": task_id, "state": state, **plain, "discovery": None, "container": None, **more}


def status(state="TASK_RUNNING", timestamp=1.0, address="10.9.0.1", **more):
    infos = [{"ip_addresses": [{"ip_address": address}]}]
    return {"state": state, "timestamp": timestamp, "labels": [], "container_status": {"network_infos": infos}, **more}


# --- one cluster in both shapes ------------------------------------------------------------------


@given(clusters())
@fewer(2)
def test_both_shapes_give_the_same_model(found):
    old = Decoder().decode(shapes.v0_state(found), masters=(A,))
    new = snapshot_of(view_of(shapes.subscribed(found)), shapes.summary(found))
    assert in_any_order(new) == in_any_order(old)


def in_any_order(snapshot):
    """Tasks stand in another order in the two shapes, so the first few examples of what is wrong with them are others."""
    examples = {kind: ("",) * len(texts) for kind, texts in snapshot.skipped_examples.items()}
    not_running = tuple(sorted(snapshot.not_running, key=repr))
    return msgspec.structs.replace(snapshot, skipped_examples=examples, not_running=not_running)


@given(clusters(), st.data())
@fewer(2)
def test_events_lead_to_the_same_model_as_a_state_read_after_them(found, data):
    """The master's rule: a status of the same state as the last one takes its place, another one is appended."""
    view = view_of(shapes.subscribed(found))
    after = copy.deepcopy(found)
    living = {(one["framework"], one["id"]): one for one in after["tasks"]}
    frameworks = [one["id"] for one in after["frameworks"]]
    for _ in range(data.draw(st.integers(0, 8)) if frameworks else 0):
        key = data.draw(st.tuples(st.sampled_from(frameworks), st.sampled_from("abcd")))
        one = living.get(key)
        if one is None or data.draw(st.booleans()):
            one = living[key] = data.draw(tasks(identity=st.just(key)))
            take(view, shapes.task_added(one))
            continue
        if one["state"] in {"TASK_FINISHED", "TASK_UNREACHABLE"}:
            continue
        update = data.draw(statuses())
        one["state"] = data.draw(st.sampled_from([update["state"], "TASK_RUNNING", "TASK_FINISHED"]))
        take(view, shapes.task_updated(one, update, one["state"]))
        if one["statuses"] and one["statuses"][-1]["state"] == update["state"]:
            one["statuses"].pop()
        one["statuses"].append(update)
    after["tasks"] = list(living.values())
    assert view.doubt == ""
    old = Decoder().decode(shapes.v0_state(after), masters=(A,))
    new = snapshot_of(view, shapes.summary(after))
    assert (new.tasks, new.agents, new.frameworks) == (old.tasks, old.agents, old.frameworks)


def recorded(name):
    return gzip.decompress((FIXTURES / f"events-{name}.json.gz").read_bytes()).splitlines()


def test_a_real_master_in_both_shapes():
    """Recorded from Mesos 1.11 at one moment of rest."""
    document, state, summary, flags, master = recorded("both_shapes")
    leader = read_master(master)
    old = Decoder().decode(document)
    view = view_of(b'{"type":"SUBSCRIBED","subscribed":{"get_state":%s}}' % state)
    view.begin_summary()
    view.take_summary(read_summary(summary, Skipped()))
    new = view.take_snapshot(leader, leader.pid, (), read_flags(flags))
    assert len(new.tasks) > 10
    assert new == old


def test_a_real_stream():
    """A recorded stream of Mesos 1.11: agents that come, die and leave, tasks of all kinds, frameworks that come and go."""
    first, *events, last = recorded("stream")
    view = view_of(first)
    take(view, *events)
    after = view_of(b'{"type":"SUBSCRIBED","subscribed":{"get_state":%s}}' % last)
    assert view.doubt == ""
    running = {key: live.task for key, live in view.tasks.items() if live.is_running}
    assert running == {key: live.task for key, live in after.tasks.items() if live.is_running}
    assert len(running) > 10
    assert view.frameworks.keys() == after.frameworks.keys()


# --- what is unusual in a state --------------------------------------------------------------------


def test_no_state_is_no_state():
    reader = TaskReader()
    for record in (
        b"",
        b"[]",
        b"<html>",
        b'{"type":"SUBSCRIBED"}',
        b'{"type":"SUBSCRIBED","subscribed":{"get_state":7}}',
    ):
        with pytest.raises(StateError):
            read_first(record, reader)
    assert read_first(b'{"type":"HEARTBEAT"}', reader) is None


@pytest.mark.parametrize("value", ["7", "null", '"x"', "{}", "[null]", "[7]", '[{"task_id":7}]', "[[]]"])
@pytest.mark.parametrize(
    "part", ["get_tasks.tasks", "get_agents.agents", "get_frameworks.frameworks", "get_tasks", "get_agents"]
)
def test_a_part_of_a_wrong_type_costs_only_itself(part, value):
    state = shapes.v1_state(cluster(task()))
    *above, last = part.split(".")
    owner = state[above[0]] if above else state
    owner[last] = json.loads(value)
    view = view_of(json.dumps({"type": "SUBSCRIBED", "subscribed": {"get_state": state}}).encode())
    if "tasks" not in part:
        assert [*view.tasks] == [("F0", "t", 0)]
    if "agents" not in part:
        assert [*view.agents] == ["S0"]
    if "frameworks" not in part:
        assert [*view.frameworks] == ["F0"]


@pytest.mark.parametrize(
    ("written", "lacking"),
    [(True, NotShown(agents=True, frameworks=True)), (False, NotShown())],
)
def test_lists_that_are_left_out(written, lacking):
    """Up to Mesos 1.9 that means that they are empty."""
    record = b'{"type":"SUBSCRIBED","subscribed":{"get_state":{"get_tasks":{},"get_agents":{},"get_frameworks":{}}}}'
    found = read_first(record, TaskReader(), writes_empty_lists=written)
    assert (found.not_shown, found.lacks_tasks) == (lacking, written)


def test_what_is_nearly_json():
    found = shapes.subscribed(cluster(task(), task("u", name="?")))
    found = found.replace(b'"state": "TASK_RUNNING"', b'"limits": {"cpus": Infinity}, "state": "TASK_RUNNING"')
    found = found.replace(b'"name": "?"', b'"name": "\xff\\ud800"')
    view = view_of(found)
    assert {key[1]: live.task.name for key, live in view.tasks.items()} == {"t": "web", "u": "\ufffd\ufffd"}


def test_unusable_elements_are_counted():
    state = shapes.v1_state(cluster(task()))
    state["get_tasks"]["tasks"] += [{"task_id": 5, "state": "TASK_RUNNING"}, "x", None]
    state["get_tasks"]["tasks"] += [{**shapes.v1_task(task("r")), "resources": 5, "statuses": [7]}]
    state["get_agents"]["agents"] += [{"agent_info": {"id": {"value": "S9"}}, "pid": 5}, 7, None]
    state["get_frameworks"]["frameworks"] += [{"framework_info": {"name": "x"}}, {"framework_info": 5}, None]
    view = view_of(json.dumps({"type": "SUBSCRIBED", "subscribed": {"get_state": state}}).encode())
    assert [key[1] for key in view.tasks] == ["t", "r"]
    assert [*view.agents] == ["S0", "S9"]
    assert snapshot_of(view).skipped == {
        "task: bad type": 2,
        "task: bad resources": 1,
        "task: bad status": 1,
        "agent: bad pid": 1,
        "agent: bad type": 1,
        "framework: no id": 1,
        "framework: bad type": 1,
    }


def test_what_did_not_change_is_not_read_again():
    found = cluster(task(statuses=[status()]), task("u"))
    view = view_of(shapes.subscribed(found))
    found["tasks"][1]["name"] = "other"
    again = view_of(shapes.subscribed(found), known=view.by_digest())
    assert again.tasks["F0", "t", 0] is view.tasks["F0", "t", 0]
    assert again.tasks["F0", "u", 0].task.name == "other"
    assert view.differences(again) == again.differences(view) == 1


def test_repeated_ids_are_told_apart_as_in_the_other_api():
    found = cluster(task(name="a"), task(name="b"), task("t", "TASK_STAGING", name="c"))
    old = Decoder().decode(shapes.v0_state(found))
    assert snapshot_of(view_of(shapes.subscribed(found))).tasks == old.tasks


# --- unusual events ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "record",
    [
        *(
            b"",
            b"{",
            b"[]",
            b"7",
            b"null",
            b"{}",
            b'{"type":7}',
            b'{"type":null}',
            b'{"type":"TASK_ADDED"}',
            b"\xff" * 9,
        ),
        *(shapes.event(kind) for kind in ("TASK_UPDATED", "AGENT_ADDED", "AGENT_REMOVED", "FRAMEWORK_REMOVED")),
        *(shapes.event("TASK_ADDED", task=value) for value in (7, None, [], "x", {"task_id": 7})),
        *(shapes.event("TASK_UPDATED", framework_id=value, status={}) for value in (7, None, [], {"value": "F"})),
        *(
            shapes.event("AGENT_ADDED", agent=value)
            for value in (7, None, {}, {"agent_info": {}}, {"agent_info": {"id": 7}})
        ),
        *(
            shapes.event("FRAMEWORK_ADDED", framework=value)
            for value in (7, None, {}, {"framework_info": {"id": {"value": 7}}})
        ),
        shapes.event("AGENT_REMOVED", agent_id={"value": 7}),
        shapes.event("FRAMEWORK_REMOVED", framework_info={"id": 7}),
        b"[" * 100_000,
    ],
)
def test_an_event_that_cannot_be_used_is_counted(record):
    skipped = Skipped()
    assert read_event(record, skipped) is None
    assert skipped.counts["event: unusable"] == 1


@pytest.mark.parametrize("kind", ["HEARTBEAT", "SUBSCRIBED", "SOMETHING_NEW"])
def test_events_that_say_nothing_about_names(kind):
    assert read_event(shapes.event(kind, what=7), Skipped()) == Other(kind)


def test_parts_of_an_event_that_have_a_wrong_type_cost_only_themselves():
    bad = {**status(), "healthy": "yes", "timestamp": "now"}
    found = read_event(shapes.task_updated(task(), bad), Skipped())
    assert isinstance(found, TaskNews)
    assert (found.framework_id, found.task_id, found.state) == ("F0", "t", "TASK_RUNNING")
    assert found.status.container_status.network_infos[0].ip_addresses[0].ip_address == "10.9.0.1"
    added = {**shapes.v1_task(task()), "resources": "x", "discovery": 7}
    assert read_event(shapes.event("TASK_ADDED", task=added), Skipped()).entry.name == "web"


def test_an_update_of_mesos_1_0_has_no_status():
    event = shapes.event("TASK_UPDATED", framework_id={"value": "F"}, task_id={"value": "t"}, state="TASK_RUNNING")
    assert read_event(event, Skipped()) == ("F", "t", "TASK_RUNNING", None, [])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4) | st.just("TASK_ADDED"),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "type",
                    "task_added",
                    "task",
                    "task_updated",
                    "status",
                    "state",
                    "framework_id",
                    "task_id",
                    "value",
                    "statuses",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(st.sampled_from(["TASK_ADDED", "TASK_UPDATED", "AGENT_ADDED", "FRAMEWORK_UPDATED", "AGENT_REMOVED"]), JSON)
def test_any_json_is_an_event_or_none(kind, payload):
    view = view_of(shapes.subscribed(cluster(task())))
    take(view, json.dumps({"type": kind, kind.lower(): payload}).encode())
    view.take_delta()


@given(st.binary(max_size=60))
def test_any_octets_are_an_event_or_none(record):
    read_event(record, Skipped())


@given(JSON)
def test_any_json_is_a_state_or_none(state):
    with contextlib.suppress(StateError):
        read_first(json.dumps({"type": "SUBSCRIBED", "subscribed": {"get_state": state}}).encode(), TaskReader())


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"get_master":{}}', b'{"get_master":{"master_info":{"id":""}}}', b"\xff"]
)
def test_answers_that_are_none(body):
    with pytest.raises(StateError):
        read_master(body)
    with pytest.raises(StateError):
        read_flags(body)


@pytest.mark.parametrize(
    ("version", "number"),
    [
        ("1.11.0", (1, 11, 0)),
        ("1.5", (1, 5, 0)),
        ("1.8.0-rc1", (1, 8, 0)),
        ("", None),
        ("x", None),
        ("99999.1.1", None),
    ],
)
def test_versions(version, number):
    body = json.dumps({"get_master": {"master_info": {"id": "M", "version": version}}}).encode()
    assert read_master(body).number == number


def test_a_summary_is_read_tolerantly():
    body = b'{"slaves":[{"id":"S","pid":7},7,null],"frameworks":[7,{"id":"F","pid":"x@1.2.3.4:5"},{"name":"?"}],"x":Infinity}'
    skipped = Skipped()
    found = read_summary(body, skipped)
    assert [*found.agents] == ["S"]
    assert {key: (one.host, one.port) for key, one in found.frameworks.items()} == {"F": ("1.2.3.4", 5)}
    assert read_summary(b"{}", skipped).agents is None
    with pytest.raises(StateError):
        read_summary(b"<html>", skipped)
