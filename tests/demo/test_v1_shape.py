"""The operator API's documents and events have the shape of those that a real Mesos 1.11 wrote, key by key."""

import gzip
import json
from itertools import groupby
from pathlib import Path

import pytest
from tests.demo.story import CNI, CUSTOM, JOB, OVERLAY, PLAIN, WEB, Story

FIXTURES = Path(__file__).parent.parent / "fixtures" / "demo" / "v1"

# What the recorded cluster did not run: docker, health checks, users; nor did it lose a leader with all its agents away.
NOT_RECORDED = {
    "task.user": str,
    "task.container": dict,
    "task.health_check": dict,
    "status.healthy": bool,
    "status.labels": dict,
    "agents.recovered_agents[]": dict,
}
# Left out where it is empty, which the recorded frameworks' never was.
EMPTY = {"allocated_resources"}
# Keys that some frameworks and executors choose, and parts that are protobuf dumps of what they sent.
INSIDE = ("task.container.", "task.health_check.", "agents.recovered_agents[].", "executors.")


def named(path):
    """Give tasks, statuses and the rest one name wherever they stand."""
    for prefix, name in (
        ("task_added.task", "task"),
        ("get_tasks.tasks[]", "task"),
        ("get_tasks.unreachable_tasks[]", "task"),
        ("get_tasks.completed_tasks[]", "task"),
        ("task_updated.status", "status"),
        ("get_agents", "agents"),
        ("get_executors", "executors"),
        ("framework_added.framework.framework_info", "framework_info"),
        ("framework_updated.framework.framework_info", "framework_info"),
        ("framework_removed.framework_info", "framework_info"),
        ("get_frameworks.frameworks[].framework_info", "framework_info"),
        ("get_frameworks.completed_frameworks[].framework_info", "framework_info"),
        ("framework_updated.framework", "framework_added.framework"),
    ):
        if path.startswith(prefix):
            path = name + path.removeprefix(prefix)
    return path.replace("task.statuses[]", "status")


def paths(value, path=""):
    yield named(path), value
    if isinstance(value, dict):
        for key, member in value.items():
            yield from paths(member, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for element in value:
            yield from paths(element, f"{path}[]")


def shapes(documents):
    """Return path -> JSON types, and path -> the keys that every object there has."""
    types, required = {}, {}
    for document in documents:
        for path, value in paths(document):
            types.setdefault(path, set()).add(type(value))
            if isinstance(value, dict) and value:
                required[path] = required.get(path, set(value)) & set(value)
    return types, required


def recorded_states():
    return [
        json.loads(gzip.decompress(path.read_bytes()))["get_state"] for path in sorted(FIXTURES.glob("*.state.json.gz"))
    ] + [event["subscribed"]["get_state"] for event in recorded_events() if event["type"] == "SUBSCRIBED"]


def recorded_events(*names):
    files = [FIXTURES / f"{name}.jsonl.gz" for name in names] or sorted(FIXTURES.glob("*.jsonl.gz"))
    return [
        json.loads(line)["event"] for path in files for line in gzip.decompress(path.read_bytes()).decode().splitlines()
    ]


@pytest.fixture(scope="module")
def told():
    """States and events of a story with everything in it."""
    story = Story(agents=3)
    states = [story.call()]
    web = story.run(WEB)
    story.health(web, False)
    plain = story.run(PLAIN, 1)
    keys = [story.run(application, 1) for application in (CUSTOM, OVERLAY, CNI, JOB)]
    states.append(story.call())
    story.world.update(keys[3], "TASK_FINISHED")
    story.world.update(plain, "TASK_KILLING")
    story.world.update(plain, "TASK_KILLED")
    story.world.lose_agent(1)
    states.append(story.call())
    story.world.return_agent(1, without=[keys[0]])
    story.world.add_agent()
    story.world.set_agent(2, deactivated=True)
    states.append(story.call())
    story.world.unregister_agent(3)
    story.world.kill(0)
    story.wait(8)
    story.world.elect(1)
    story.world.read_registry()
    states.append(story.call())
    story.world.reregister(0)
    states.append(story.call())
    story.world.come_back()
    story.world.tear_down(0)
    states.append(story.call())
    return states, story.events


@pytest.mark.parametrize("what", ["states", "events"])
def test_every_simulated_field_is_a_field_of_mesos_with_the_same_type(what, told):
    states, events = told
    recorded = recorded_states() + [event for event in recorded_events() if event["type"] != "SUBSCRIBED"]
    types, _ = shapes(recorded)
    found, _ = shapes(states if what == "states" else events)

    unknown = {
        path: kinds
        for path, kinds in found.items()
        if not path.startswith(INSIDE)
        and not (path in types and kinds <= types[path])
        and not (path in NOT_RECORDED and kinds == {NOT_RECORDED[path]})
        and not any(path.startswith(f"{free}.") for free in NOT_RECORDED)
    }

    assert unknown == {}


@pytest.mark.parametrize("what", ["states", "events"])
def test_what_mesos_always_writes_is_always_there(what, told):
    states, events = told
    recorded = [event for event in recorded_events() if event["type"] != "SUBSCRIBED"]
    _, required = shapes(recorded_states() if what == "states" else recorded)
    found, given = shapes(states if what == "states" else events)

    missing = {
        path: keys - given[path] - EMPTY
        for path, keys in required.items()
        if path in given and path and not path.startswith(INSIDE)
    }

    assert {path: keys for path, keys in missing.items() if keys} == {}
    assert set(found) >= {"task", "status", "agents.agents[]"} if what == "states" else {"task", "status"}


def test_every_recorded_field_is_simulated_but_for_those_named_here(told):
    recorded, _ = shapes(recorded_states() + [event for event in recorded_events() if event["type"] != "SUBSCRIBED"])
    found, _ = shapes([*told[0], *told[1]])
    missing = {path for path in recorded.keys() - found.keys() if not path.startswith(INSIDE)}

    never = ("labels", "kill_policy", "parent", "environment", "location", "version", "completed_frameworks")
    assert {path for path in missing if not any(part in path for part in never)} == set()


def test_an_agent_that_is_lost_returns_and_leaves_tells_what_the_recorded_one_did():
    """Recorded: agent joins, task on it, kill -9, back again, SIGUSR1 (the events between heartbeats)."""
    story = Story()
    agent = story.world.add_agent()
    key = story.run(PLAIN, agent.number)
    story.world.lose_agent(agent.number)
    story.world.return_agent(agent.number)
    story.world.unregister_agent(agent.number)

    assert story.kinds() == [
        "AGENT_ADDED",
        "TASK_ADDED TASK_STAGING",
        "TASK_UPDATED TASK_STARTING",
        "TASK_UPDATED TASK_RUNNING",
        "TASK_UPDATED TASK_UNREACHABLE",
        "TASK_ADDED TASK_RUNNING",
        "AGENT_ADDED",
        "TASK_UPDATED TASK_LOST",
        "AGENT_REMOVED",
    ]
    assert key not in story.world.tasks
    recorded = Story()
    recorded.events = [event for event in recorded_events("events") if event["type"] != "HEARTBEAT"]
    start = recorded.kinds().index("AGENT_ADDED")
    assert recorded.kinds()[start : start + 9] == story.kinds()


def test_a_torn_down_framework_tells_what_the_recorded_one_did():
    story = Story()
    for _ in range(29):
        story.run(PLAIN)
    before = len(story.events)
    story.world.tear_down(0)

    recorded = Story()
    recorded.events = [event for event in recorded_events("teardown")[1:] if event["type"] != "HEARTBEAT"]
    assert story.kinds(before) == recorded.kinds()
    assert [(kind, len(list(group))) for kind, group in groupby(story.kinds(before))] == [
        ("TASK_UPDATED TASK_KILLED", 29),
        ("FRAMEWORK_REMOVED", 1),
    ]
