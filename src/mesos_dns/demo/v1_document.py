"""The answers of `/api/v1` as text in pieces, with encoded tasks remembered between requests."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

from mesos_dns.demo import v1, wire
from mesos_dns.demo.cluster import Task
from mesos_dns.demo.document import ClusterView, MasterIdentity
from mesos_dns.demo.releases import Release
from mesos_dns.demo.wire import Json

Texts = Callable[[Task], bytes]

#: The calls that ask for a part of the cluster, and the member of the answer that holds it.
PARTS: Final = {
    "GET_TASKS": "get_tasks",
    "GET_EXECUTORS": "get_executors",
    "GET_FRAMEWORKS": "get_frameworks",
    "GET_AGENTS": "get_agents",
    "GET_STATE": "get_state",
}


def answer(call: str, view: ClusterView, text: Texts, release: Release) -> Iterator[bytes]:
    """Return the whole answer to a call of `PARTS`."""
    yield f'{{"type":"{call}","{PARTS[call]}":'.encode()
    yield from part(call, view, text, release)
    yield b"}"


def subscribed(view: ClusterView, text: Texts, release: Release, interval: float) -> Iterator[bytes]:
    """Return the SUBSCRIBED event."""
    yield b'{"type":"SUBSCRIBED","subscribed":{"get_state":'
    yield from part("GET_STATE", view, text, release)
    yield b',"heartbeat_interval_seconds":' + wire.dump(float(interval)) + b"}}" if release.heartbeats else b"}}"


def part(call: str, view: ClusterView, text: Texts, release: Release) -> Iterator[bytes]:
    """Return the JSON object of one call of `PARTS`."""
    match call:
        case "GET_TASKS":
            yield from _lists(_tasks(view, text, release), release)
        case "GET_EXECUTORS":
            owners = [task for framework in view.frameworks for task in framework.tasks if task.executor_id]
            yield from _lists({"executors": (wire.dump(v1.executor_json(task)) for task in owners)}, release)
        case "GET_FRAMEWORKS":
            lists = {"frameworks": view.frameworks, "completed_frameworks": view.completed_frameworks}
            yield from _lists(
                {
                    name: (wire.dump(v1.framework_json(framework, release)) for framework in frameworks)
                    for name, frameworks in lists.items()
                },
                release,
            )
        case "GET_AGENTS":
            agents: dict[str, Iterable[bytes]] = {
                "agents": (wire.dump(v1.agent_json(agent, release)) for agent in view.agents)
            }
            if release.recovers_agents:
                agents["recovered_agents"] = (wire.dump(v1.agent_info_json(agent)) for agent in view.recovered)
            yield from _lists(agents, release)
        case "GET_STATE":
            for number, name in enumerate(("GET_TASKS", "GET_EXECUTORS", "GET_FRAMEWORKS", "GET_AGENTS")):
                yield (b"," if number else b"{") + f'"{PARTS[name]}":'.encode()
                yield from part(name, view, text, release)
            yield b"}"


def _tasks(view: ClusterView, text: Texts, release: Release) -> dict[str, Iterable[bytes]]:
    everybody = (*view.frameworks, *view.completed_frameworks)
    lists: dict[str, Iterable[bytes]] = {
        "tasks": (text(task) for framework in view.frameworks for task in framework.tasks)
    }
    if view.orphans:
        lists["orphan_tasks"] = (text(task) for task in view.orphans)
    if release.recovers_agents:
        lists["unreachable_tasks"] = (text(task) for framework in everybody for task in framework.unreachable)
    lists["completed_tasks"] = (text(task) for framework in everybody for task in framework.completed)
    return lists


def _lists(lists: dict[str, Iterable[bytes]], release: Release) -> Iterator[bytes]:
    """Return an object of lists; releases before 1.10 leave empty ones out."""
    yield b"{"
    before = b""
    for name, elements in lists.items():
        opened = False
        for element in elements:
            yield (b"," if opened else before + f'"{name}":['.encode()) + element
            opened = True
        if not opened and release.empty_lists:
            yield before + f'"{name}":['.encode()
            opened = True
        if opened:
            yield b"]"
            before = b","
    yield b"}"


def master(identity: MasterIdentity, elected: float, release: Release) -> Json:
    """Return the answer to GET_MASTER. `ip` is the network-order address read as a little-endian integer."""
    info = master_info(identity, release)
    times = {"start_time": identity.started, "elected_time": elected} if release.at_least(1, 5) else {}
    return {"type": "GET_MASTER", "get_master": {"master_info": info, **times}}


def master_info(identity: MasterIdentity, release: Release) -> Json:
    """Return a MasterInfo, also what stands in ZooKeeper."""
    info: Json = {
        "id": identity.id,
        "ip": int.from_bytes(bytes(map(int, identity.address.split("."))), "little"),
        "port": identity.port,
        "pid": identity.pid,
        "hostname": identity.name,
        "version": str(release),
        "address": {
            "hostname": identity.name,
            "ip": identity.address,
            "port": identity.port,
        },
    }
    if release.at_least(1, 5):
        info["capabilities"] = [{"type": "AGENT_UPDATE"}]
    if release.at_least(1, 9):
        # The last one is QUOTA_V2, which the protobuf of the API does not know: 1.11 writes an empty object.
        info["capabilities"] += [{"type": "AGENT_DRAINING"}, {}]
    return info


def flags(found: Mapping[str, str]) -> Json:
    """Return the answer to GET_FLAGS."""
    return {"type": "GET_FLAGS", "get_flags": {"flags": [{"name": name, "value": found[name]} for name in found]}}


def version(release: Release) -> Json:
    """Return the answer to GET_VERSION."""
    info = {"version": str(release), **wire.BUILD}
    return {"type": "GET_VERSION", "get_version": {"version_info": info}}
