"""The simulated documents have the shape of those that a real Mesos 1.11 cluster wrote."""

import gzip
import json
from pathlib import Path

import pytest

from mesos_dns.demo.document import TaskTexts, state, summary
from mesos_dns.demo.simulation import Leads, Plan, Simulation

FIXTURES = Path(__file__).parent.parent / "fixtures" / "demo"
MASTERS = [("127.0.0.1", 15050 + number) for number in range(3)]
START = 1_700_000_000.0

# What the recorded cluster, which had no docker and no libprocess schedulers, could not show.
# Types from Mesos 1.11: src/common/http.cpp, src/master/http.cpp, include/mesos/mesos.proto.
NOT_RECORDED = {
    "frameworks[].pid": str,
    "frameworks[].tasks[].user": str,
    "frameworks[].tasks[].container": dict,
    "frameworks[].tasks[].container.*": object,
    "frameworks[].tasks[].health_check": dict,
    "frameworks[].tasks[].health_check.*": object,
    "frameworks[].tasks[].statuses[].healthy": bool,
    "recovered_slaves[]": dict,
    "recovered_slaves[].*": object,
}
# Keys that each operator or framework chooses.
FREE = ("flags.", "slaves[].attributes.", "recovered_slaves[].attributes.")
# A member that some elements have and others have not, in the recordings, too.
TASK_LISTS = ("unreachable_tasks", "completed_tasks")


def paths(value, path=""):
    """Yield the path and value of everything in a document; list elements share one path."""
    for task_list in TASK_LISTS:
        path = path.replace(f".{task_list}[]", ".tasks[]")
    yield path, value
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


def recorded(kind):
    return [json.loads(gzip.decompress(path.read_bytes())) for path in sorted(FIXTURES.glob(f"*.{kind}.json.gz"))]


def unrecorded_type(path):
    for pattern, kind in NOT_RECORDED.items():
        if path == pattern or (pattern.endswith("*") and path.startswith(pattern[:-1])):
            return kind
    return None


def simulated(render):
    """Documents of all situations: at rest, with churn, with a lost agent, in and after a failover."""
    simulation = Simulation(Plan(tasks=40, churn=3.0, failover_every=40.0), MASTERS, START)
    documents = []
    in_between, window = range(44), [44.0 + step / 10 for step in range(30)]
    for second in (*in_between, *window):
        simulation.advance(START + second)
        for index in range(len(MASTERS)):
            sight = simulation.sight(index)
            if isinstance(sight, Leads):
                documents.append(json.loads(render(sight.view)))
    return documents


@pytest.fixture(scope="module")
def states():
    texts = TaskTexts()
    return simulated(lambda view: state(view, texts))


@pytest.fixture(scope="module")
def summaries():
    return simulated(summary)


@pytest.mark.parametrize("kind", ["state", "summary"])
def test_every_simulated_field_is_a_field_of_mesos_with_the_same_type(kind, states, summaries):
    types, _ = shapes(recorded(kind))
    found, _ = shapes(states if kind == "state" else summaries)

    unknown = {
        path: kinds
        for path, kinds in found.items()
        if not path.startswith(FREE)
        and not (path in types and kinds <= types[path])
        and not ((expected := unrecorded_type(path)) and all(issubclass(kind, expected) for kind in kinds))
    }

    assert unknown == {}


@pytest.mark.parametrize("kind", ["state", "summary"])
def test_what_mesos_always_writes_is_always_there(kind, states, summaries):
    _, required = shapes(recorded(kind))
    _, given = shapes(states if kind == "state" else summaries)

    missing = {
        path: keys - given[path]
        for path, keys in required.items()
        if path in given and path != "flags" and not (path + ".").startswith(FREE)
    }

    # Registered long before, `completed_frameworks` are not simulated; everything else has to be there.
    assert {path: keys for path, keys in missing.items() if keys} == {}


def test_the_simulation_shows_every_situation_that_was_recorded(states):
    tasks = [task for document in states for framework in document["frameworks"] for task in framework["tasks"]]

    assert {task["state"] for task in tasks} >= {
        "TASK_STAGING", "TASK_STARTING", "TASK_RUNNING", "TASK_KILLING", "TASK_KILLED", "TASK_FAILED",
    }  # fmt: skip
    assert any(document["recovered_slaves"] for document in states)
    assert any(not document["slaves"] and not document["recovered_slaves"] for document in states)
    assert any(framework["recovered"] for document in states for framework in document["frameworks"])
    assert any(framework["unreachable_tasks"] for document in states for framework in document["frameworks"])
    assert any(framework["completed_tasks"] for document in states for framework in document["frameworks"])
    assert any("pid" not in framework for framework in states[0]["frameworks"])
    assert any("reregistered_time" in agent for agent in states[-1]["slaves"])


def test_addresses_are_what_each_kind_of_network_gives(states):
    tasks = [task for framework in states[0]["frameworks"] for task in framework["tasks"]]
    by_name = {task["name"]: task for task in tasks}

    def addresses(name):
        infos = by_name[name]["statuses"][-1]["container_status"]["network_infos"]
        return [entry["ip_address"] for info in infos for entry in info["ip_addresses"]]

    assert [address[:3] for address in addresses("nginx")] == ["10.", "fd0"]
    assert addresses("web")[1].startswith("fd00:")
    assert addresses("web")[1].endswith("/64")
    assert not addresses("Redis_Cache")[1].endswith("/64")
    assert addresses("checkout.prod.shop")[0].startswith("172.17.")
    assert by_name["checkout.prod.shop"]["container"]["docker"]["network"] == "BRIDGE"
