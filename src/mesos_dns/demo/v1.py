"""The JSON of the operator API (`/api/v1`): tasks, statuses, agents, frameworks and events.

Written from the same values as `wire`, but by the rules of protobuf's JSON form: ids are objects,
resources are arrays, labels are nested, unset fields are left out. Shapes follow recordings of a
real Mesos 1.11.
"""

import base64
import hashlib
from collections.abc import Iterable, Sequence
from typing import Final

from mesos_dns.demo import wire
from mesos_dns.demo.catalog import Framework
from mesos_dns.demo.cluster import FIRST_PORT, LAST_PORT, Agent, Status, Task
from mesos_dns.demo.releases import LATEST, Release
from mesos_dns.demo.wire import AgentView, FrameworkView, Json

#: Seconds between heartbeats: constant in Mesos.
HEARTBEAT_INTERVAL: Final = 15.0

HEALTH_REASON: Final = "REASON_TASK_HEALTH_CHECK_STATUS_UPDATED"


def value(text: str) -> Json:
    """Return an id."""
    return {"value": text}


def _scalar(name: str, amount: float) -> Json:
    return {"name": name, "type": "SCALAR", "scalar": {"value": round(amount, 6)}}


def _ranges(name: str, ports: Iterable[int]) -> Json:
    ranges: list[Json] = []
    for port in sorted(ports):
        if ranges and port == ranges[-1]["end"] + 1:
            ranges[-1]["end"] = port
        else:
            ranges.append({"begin": port, "end": port})
    return {"name": name, "type": "RANGES", "ranges": {"range": ranges}}


def resources(cpus: float, mem: float, ports: Iterable[int], extra: Json) -> list[Json]:
    """Return an array of resources, each with the members of `extra`; no ports, no entry."""
    taken = tuple(ports)
    entries = [_scalar("cpus", cpus), _scalar("mem", mem)]
    if taken:
        entries.append(_ranges("ports", taken))
    return [entry | extra for entry in entries]


def _allocated(tasks: Sequence[Task]) -> list[Json]:
    by_role: dict[str, list[Task]] = {}
    for task in tasks:
        by_role.setdefault(task.framework.role, []).append(task)
    return [
        entry
        for role, mine in by_role.items()
        for entry in resources(
            sum(task.application.cpus for task in mine),
            sum(task.application.mem for task in mine),
            (port for task in mine for port in task.ports),
            {"role": "*", "allocation_info": {"role": role}},
        )
    ]


def nanoseconds(seconds: float) -> Json:
    """Return a time as the operator API writes it."""
    return {"nanoseconds": round(seconds * 1_000_000) * 1000}


def task_json(task: Task, release: Release = LATEST, *, event: bool = False) -> Json:
    """Return a task as in GET_TASKS, or as in TASK_ADDED (`event`), which lacks the master's own bookkeeping."""
    application = task.application
    extra: Json = {"allocation_info": {"role": application.framework.role}} if release.at_least(1, 3) else {}
    found: Json = {
        "name": application.name,
        "task_id": value(task.id),
        "framework_id": value(wire.framework_id(task.agent.cluster_id, task.framework)),
        "agent_id": value(task.agent.id),
        "state": task.state,
        "resources": resources(application.cpus, application.mem, task.ports, extra),
    }
    if task.executor_id:
        found["executor_id"] = value(task.executor_id)
    if task.statuses:
        found["statuses"] = [status_json(task, status, release) for status in task.statuses]
    from_agent = [status for status in task.statuses if status.located]
    if from_agent and not event:
        found["status_update_state"] = from_agent[-1].state
        found["status_update_uuid"] = _uuid(task, from_agent[-1])
    if application.labels:
        found["labels"] = labels(application.labels)
    if application.has_discovery:
        found["discovery"] = wire.discovery_json(task)
    container = wire.container_json(task)
    if container is not None:
        found["container"] = container
    if application.framework.user != "root":
        found["user"] = application.framework.user
    if application.health is not None and release.at_least(1, 8):
        found["health_check"] = wire.health_check_json(application.health)
    return found


def labels(pairs: Iterable[tuple[str, str]]) -> Json:
    """Return labels in the nested form."""
    return {"labels": [{"key": key, "value": text} for key, text in pairs]}


def status_json(task: Task, status: Status, release: Release = LATEST) -> Json:
    """Return a whole status. Those from executors carry a uuid and addresses, those of the master neither."""
    found: Json = {"task_id": value(task.id), "state": status.state}
    if status.message:
        found["message"] = status.message
    found["source"] = "SOURCE_EXECUTOR" if status.located else "SOURCE_MASTER"
    if status.reason:
        found["reason"] = status.reason
    found["agent_id"] = value(task.agent.id)
    if status.located:
        found["executor_id"] = value(task.executor_id or task.id)
    found["timestamp"] = status.timestamp
    if status.located:
        found["uuid"] = _uuid(task, status)
    if status.healthy is not None:
        found["healthy"] = status.healthy
    if status.labels:
        found["labels"] = labels(status.labels)
    if status.located:
        container: Json = {"network_infos": [wire.network_info_json(task, status)]}
        if release.at_least(1, 1):
            container = {"container_id": value(task.container_id), **container}
        found["container_status"] = container | {"executor_pid": 10_000 + _digest(task.container_id)[0] * 64}
    if status.state == "TASK_UNREACHABLE":
        found["unreachable_time"] = nanoseconds(status.timestamp)
    return found


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


def _uuid(task: Task, status: Status) -> str:
    """Return 16 octets that belong to this status alone, as base64."""
    return base64.b64encode(_digest(f"{task.key} {status.state} {status.timestamp!r} {status.healthy}")).decode()


def agent_info_json(agent: Agent) -> Json:
    """Return an AgentInfo, as an agent sends it when it registers."""
    return {
        "hostname": agent.hostname,
        "port": 5051,
        "resources": _total({}),
        "attributes": [
            {"name": name, "type": "TEXT", "text": {"value": text}} for name, text in wire.attributes(agent).items()
        ],
        "id": value(agent.id),
    }


def _total(extra: Json) -> list[Json]:
    ports = {"name": "ports", "type": "RANGES", "ranges": {"range": [{"begin": FIRST_PORT, "end": LAST_PORT}]}}
    entries = [_scalar("cpus", 64.0), _scalar("mem", 262144.0), _scalar("disk", 1048576.0), ports]
    return [entry | extra for entry in entries]


def agent_json(view: AgentView, release: Release = LATEST, *, event: bool = False) -> Json:
    """Return an agent as in GET_AGENTS, or as in AGENT_ADDED (`event`)."""
    checkpoint = {} if event else {"checkpoint": True}
    found: Json = {"agent_info": agent_info_json(view.agent) | checkpoint, "active": view.active}
    if release.at_least(1, 9):
        found["deactivated"] = view.deactivated
    found |= {
        "version": str(release),
        "pid": f"slave(1)@{view.agent.address}:5051",
        "registered_time": nanoseconds(view.registered),
    }
    if view.reregistered is not None:
        found["reregistered_time"] = nanoseconds(view.reregistered)
    found["total_resources"] = _total({"role": "*"})
    if view.tasks:
        found["allocated_resources"] = _allocated(view.tasks)
    if release.at_least(1, 3):
        found["capabilities"] = [{"type": name} for name in wire.AGENT_CAPABILITIES]
    if view.draining and release.at_least(1, 9):
        found["drain_info"] = wire.drain_json(view.draining)
    return found


def framework_info_json(framework: Framework, identifier: str) -> Json:
    """Return a FrameworkInfo, as a scheduler sends it."""
    found: Json = {
        "user": framework.user,
        "name": framework.name,
        "id": value(identifier),
        "failover_timeout": framework.failover_timeout,
        "checkpoint": framework.failover_timeout > 0,
    }
    found |= {"roles": [framework.role]} if framework.multi_role else {"role": framework.role}
    if framework.hostname:
        found["hostname"] = framework.hostname
    if framework.webui_url:
        found["webui_url"] = framework.webui_url
    return found | {"capabilities": [{"type": name} for name in wire.framework_capabilities(framework)]}


def framework_json(view: FrameworkView, release: Release = LATEST, *, event: bool = False) -> Json:
    """Return a framework as in GET_FRAMEWORKS, or as in FRAMEWORK_ADDED and FRAMEWORK_UPDATED (`event`)."""
    identifier = wire.framework_id(view.master_id, view.framework)
    found: Json = {
        "framework_info": framework_info_json(view.framework, identifier),
        "active": view.active and not view.recovered,
        "connected": view.connected and not view.recovered,
    }
    if release.recovers_agents:
        found["recovered"] = view.recovered
    back = view.registered if view.reregistered is None else view.reregistered
    times = {"registered_time": nanoseconds(view.registered), "reregistered_time": nanoseconds(back)}
    if event:
        # Events always have all the times, snapshots only those that are known.
        return found | times | {"unregistered_time": nanoseconds(view.unregistered)}
    if not view.recovered:
        found |= times
    if view.unregistered:
        found["unregistered_time"] = nanoseconds(view.unregistered)
    if view.tasks:
        found["allocated_resources"] = _allocated(view.tasks)
    return found | ({"offer_constraints": {}} if release.at_least(1, 11) else {})


def executor_json(task: Task) -> Json:
    """Return an element of GET_EXECUTORS for a task with an executor of its own."""
    info: Json = {
        "executor_id": value(task.executor_id),
        "name": task.application.name,
        "type": "CUSTOM",
        "framework_id": value(wire.framework_id(task.agent.cluster_id, task.framework)),
        "resources": resources(0.1, 32.0, (), {"allocation_info": {"role": task.framework.role}}),
        "command": {"shell": True, "value": "exec ./executor"},
    }
    return {"executor_info": info, "agent_id": value(task.agent.id)}
