"""The JSON of a Mesos 1.11 master: tasks, agents, frameworks, the state and its summary.

Field names, order, types and what is left out follow recordings of a real 1.11 cluster; the fields
that those did not exercise (docker containers, health checks, pids of schedulers) follow the writers
in Mesos' `src/common/http.cpp` and `src/master/http.cpp`. Numbers that are doubles there are floats
here, so that they print as `1.0`.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from mesos_dns.demo.catalog import Framework, Network
from mesos_dns.demo.cluster import FIRST_PORT, LAST_PORT, Agent, Status, Task, discovery_port

VERSION = "1.11.0"
BUILD = {"build_date": "2020-11-24 00:00:00", "build_time": 1606176000.0, "build_user": "mesos"}

#: A JSON object as Python holds it.
Json = dict[str, Any]

TASK_STATES = (
    "TASK_STAGING",
    "TASK_STARTING",
    "TASK_RUNNING",
    "TASK_KILLING",
    "TASK_FINISHED",
    "TASK_KILLED",
    "TASK_FAILED",
    "TASK_LOST",
    "TASK_ERROR",
    "TASK_UNREACHABLE",
)
AGENT_CAPABILITIES = (
    "MULTI_ROLE",
    "HIERARCHICAL_ROLE",
    "RESERVATION_REFINEMENT",
    "RESOURCE_PROVIDER",
    "RESIZE_VOLUME",
    "AGENT_OPERATION_FEEDBACK",
    "AGENT_DRAINING",
    "TASK_RESOURCE_LIMITS",
)
_NETWORK_NAMES = {Network.USER: "overlay", Network.CNI: "dcos", Network.MAPPED: "mesos-bridge", Network.CNI6: "dcos6"}
_PROBES: dict[str, Json] = {
    "HTTP": {"http": {"protocol": "IPv4", "scheme": "http", "port": 80, "path": "/health"}},
    "TCP": {"tcp": {"protocol": "IPv4", "port": 80}},
}


def dump(value: object) -> bytes:
    """Compact JSON, as the master writes it."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def port_ranges(ports: Iterable[int]) -> str:
    """Return the text form of a ports resource: `[31000-31001, 31005-31005]`."""
    ranges: list[list[int]] = []
    for port in sorted(ports):
        if ranges and port == ranges[-1][1] + 1:
            ranges[-1][1] = port
        else:
            ranges.append([port, port])
    return "[" + ", ".join(f"{low}-{high}" for low, high in ranges) + "]"


def resources(cpus: float, mem: float, disk: float, ports: Iterable[int] = ()) -> Json:
    """Return a resources object; `ports` is absent without ports."""
    value: Json = {"disk": disk, "mem": mem, "gpus": 0.0, "cpus": round(cpus, 6)}
    taken = tuple(ports)
    if taken:
        value["ports"] = port_ranges(taken)
    return value


def used(tasks: Sequence[Task]) -> Json:
    """Return what `tasks` use together."""
    return resources(
        sum((task.application.cpus for task in tasks), 0.0),
        sum((task.application.mem for task in tasks), 0.0),
        0.0,
        (port for task in tasks for port in task.ports),
    )


def task_json(task: Task) -> Json:
    """Return a task as in `tasks`, `unreachable_tasks` and `completed_tasks` (Mesos' `Full<Task>` writer)."""
    application = task.application
    value: Json = {
        "id": task.id,
        "name": application.name,
        "framework_id": framework_id(task.agent.cluster_id, task.framework),
        "executor_id": task.executor_id,
        "slave_id": task.agent.id,
        "state": task.state,
        "resources": resources(application.cpus, application.mem, 0.0, task.ports),
        "role": application.framework.role,
        "statuses": [status_json(task, status) for status in task.statuses],
        "user": application.framework.user,
    }
    if application.labels:
        value["labels"] = [{"key": key, "value": text} for key, text in application.labels]
    if application.has_discovery:
        value["discovery"] = discovery_json(task)
    container = container_json(task)
    if container is not None:
        value["container"] = container
    if application.health is not None:
        value["health_check"] = health_check_json(application.health)
    return value


def health_check_json(kind: str) -> Json:
    """Return the definition of a health check of `kind` HTTP or TCP: the same in both APIs."""
    return {
        "type": kind,
        "delay_seconds": 15.0,
        "interval_seconds": 10.0,
        "timeout_seconds": 20.0,
        "consecutive_failures": 3,
        "grace_period_seconds": 300.0,
    } | _PROBES[kind]


def status_json(task: Task, status: Status) -> Json:
    """One status; states that the master or the agent made up carry no container status."""
    value: Json = {"state": status.state, "timestamp": status.timestamp}
    if status.located:
        value["container_status"] = {
            "container_id": {"value": task.container_id},
            "network_infos": [network_info_json(task, status)],
        }
    if status.labels:
        value["labels"] = [{"key": key, "value": text} for key, text in status.labels]
    if status.healthy is not None:
        value["healthy"] = status.healthy
    return value


def network_info_json(task: Task, status: Status) -> Json:
    """Return the NetworkInfo of a status that came from an executor: the same in both APIs."""
    addresses = task.addresses if status.addresses is None else status.addresses
    info: Json = {"ip_addresses": [{"protocol": protocol, "ip_address": text} for protocol, text in addresses]}
    name = _NETWORK_NAMES.get(task.application.network)
    if name is not None:
        info["name"] = name
    if task.application.network is Network.MAPPED:
        info["port_mappings"] = _port_mappings(task)
    return info


def _port_mappings(task: Task) -> list[Json]:
    return [
        {"host_port": host, "container_port": port.container_port, "protocol": port.protocol or "tcp"}
        for host, port in zip(task.ports, task.application.ports, strict=False)
    ]


def discovery_json(task: Task) -> Json:
    """Return the DiscoveryInfo of a task whose framework sends one: the same in both APIs."""
    application = task.application
    value: Json = {"visibility": "FRAMEWORK", "name": application.discovery}
    ports: list[Json] = []
    for index, port in enumerate(application.ports):
        entry: Json = {"number": discovery_port(task, index, port)}
        if port.name:
            entry["name"] = port.name
        if port.protocol:
            entry["protocol"] = port.protocol
        if port.name == "http":
            entry["labels"] = {"labels": [{"key": f"VIP_{index}", "value": f"/{application.discovery}:80"}]}
        ports.append(entry)
    if ports:
        value["ports"] = {"ports": ports}
    return value


def container_json(task: Task) -> Json | None:
    """Return the ContainerInfo of the task; host networking of a custom executor needs none."""
    application = task.application
    if application.custom_executor and application.network is Network.HOST:
        return None
    requested: list[Json] = []
    name = _NETWORK_NAMES.get(application.network)
    if name is not None:
        requested.append({"ip_addresses": [{"protocol": "IPv4"}], "name": name, "labels": {}})
    if application.network is Network.MAPPED:
        requested[0]["port_mappings"] = _port_mappings(task)
    if application.network in {Network.CNI, Network.CNI6, Network.MAPPED}:
        image = {"type": "DOCKER", "docker": {"name": application.image}, "cached": True}
        return {"type": "MESOS", "mesos": {"image": image}, "network_infos": requested}
    docker: Json = {"image": application.image, "network": application.network.name}
    if application.network is not Network.HOST:
        mapped = _port_mappings(task)
        docker |= {"port_mappings": mapped} if mapped else {}
    docker |= {
        "privileged": False,
        "parameters": [
            {"key": "label", "value": f"MESOS_TASK_ID={task.id}"},
            {"key": "log-driver", "value": "json-file"},
        ],
        "force_pull_image": False,
    }
    volumes = [{"container_path": "/etc/ssl/certs", "host_path": "/etc/ssl/certs", "mode": "RO"}]
    value: Json = {"type": "DOCKER", "volumes": volumes, "docker": docker}
    if requested:
        value["network_infos"] = requested
    return value


@dataclass(frozen=True, slots=True)
class AgentView:
    """An agent as one master knows it."""

    agent: Agent
    registered: float
    reregistered: float | None
    active: bool
    tasks: tuple[Task, ...]
    deactivated: bool = False
    #: `DRAINING` or `DRAINED`; empty while nobody drains it.
    draining: str = ""


def agent_json(view: AgentView) -> Json:
    """Return an element of `slaves`."""
    total = resources(64.0, 262144.0, 1048576.0) | {"ports": f"[{FIRST_PORT}-{LAST_PORT}]"}
    value = recovered_agent_json(view.agent)
    value |= {"pid": f"slave(1)@{view.agent.address}:5051", "registered_time": view.registered}
    if view.reregistered is not None:
        value["reregistered_time"] = view.reregistered
    return value | {
        "resources": total,
        "used_resources": used(view.tasks),
        "offered_resources": resources(0.0, 0.0, 0.0),
        "reserved_resources": {},
        "unreserved_resources": total,
        "active": view.active,
        "deactivated": view.deactivated,
        "version": VERSION,
        "capabilities": list(AGENT_CAPABILITIES),
        **({"drain_info": drain_json(view.draining)} if view.draining else {}),
    }


def drain_json(state: str) -> Json:
    """Return the DrainInfo of an agent: the same in both APIs."""
    return {"state": state, "config": {"max_grace_period": {"nanoseconds": 60_000_000_000}, "mark_gone": False}}


def recovered_agent_json(agent: Agent) -> Json:
    """Return an element of `recovered_slaves`: read from the registry, hence without pid."""
    return {
        "id": agent.id,
        "hostname": agent.hostname,
        "port": 5051,
        "attributes": attributes(agent),
    }


def attributes(agent: Agent) -> dict[str, str]:
    """Return what the operator says about the machine."""
    return {"rack": agent.rack, "zone": f"z{agent.number % 3}"}


def framework_id(master_id: str, framework: Framework) -> str:
    """`<master id>-<four digits>`: the id stays when another master takes over."""
    return f"{master_id}-{framework.number:04d}"


@dataclass(frozen=True, slots=True)
class FrameworkView:
    """A framework as one master knows it; `recovered` = known from agents only, its scheduler is not back."""

    framework: Framework
    master_id: str
    registered: float
    reregistered: float | None
    recovered: bool
    tasks: tuple[Task, ...]
    unreachable: tuple[Task, ...] = ()
    completed: tuple[Task, ...] = ()
    #: False while the scheduler is away, as it is for recovered frameworks.
    connected: bool = True
    active: bool = True
    #: When it was torn down; 0 while it is not.
    unregistered: float = 0.0


def framework_capabilities(framework: Framework) -> list[str]:
    """Return what the scheduler says that it understands."""
    capabilities = ["RESERVATION_REFINEMENT", "TASK_KILLING_STATE"]
    if framework.partition_aware:
        capabilities.append("PARTITION_AWARE")
    return ["MULTI_ROLE", *capabilities] if framework.multi_role else capabilities


def _framework_base(view: FrameworkView) -> Json:
    framework = view.framework
    value: Json = {
        "id": framework_id(view.master_id, framework),
        "name": framework.name,
        "used_resources": used(view.tasks),
        "offered_resources": resources(0.0, 0.0, 0.0),
        "capabilities": framework_capabilities(framework),
        "hostname": framework.hostname,
        "webui_url": framework.webui_url,
        "active": view.active and not view.recovered,
        "connected": view.connected and not view.recovered,
        "recovered": view.recovered,
    }
    if framework.scheduler is not None and not view.recovered:
        value["pid"] = f"scheduler-{value['id'][:8]}@{framework.scheduler}"
    return value


def framework_head(view: FrameworkView) -> Json:
    """Return a framework without its task lists, which are long and cached as text elsewhere."""
    framework = view.framework
    value = _framework_base(view) | {
        "user": framework.user,
        "failover_timeout": framework.failover_timeout,
        "checkpoint": framework.failover_timeout > 0,
        "registered_time": view.registered,
        "unregistered_time": view.unregistered,
        "resources": used(view.tasks),
    }
    if view.reregistered is not None:
        value["reregistered_time"] = view.reregistered
    return value | ({"roles": [framework.role]} if framework.multi_role else {"role": framework.role})


def executor_json(task: Task) -> Json:
    """Return the executor of a task that has one of its own (generated ones are not listed)."""
    return {
        "executor_id": task.executor_id,
        "name": task.application.name,
        "framework_id": framework_id(task.agent.cluster_id, task.framework),
        "command": {"shell": True, "value": "exec ./executor", "argv": [], "uris": []},
        "resources": resources(0.1, 32.0, 0.0),
        "role": task.framework.role,
        "type": "CUSTOM",
        "slave_id": task.agent.id,
    }


def framework_tail(view: FrameworkView) -> Json:
    """Return what follows `tasks` in a framework."""
    return {
        "unreachable_tasks": [task_json(task) for task in view.unreachable],
        "completed_tasks": [task_json(task) for task in view.completed],
        "offers": [],
        "executors": [executor_json(task) for task in view.tasks if task.executor_id],
        "offer_constraints": {},
    }


def framework_json(view: FrameworkView) -> Json:
    """Return an element of `frameworks`."""
    return framework_head(view) | {"tasks": [task_json(task) for task in view.tasks]} | framework_tail(view)


def counts(tasks: Iterable[Task]) -> dict[str, int]:
    """Return the `TASK_*` counters of the summary (integers there, unlike the state's)."""
    counters = dict.fromkeys(TASK_STATES, 0)
    for task in tasks:
        counters[task.state] = counters.get(task.state, 0) + 1
    return counters


def agent_summary(view: AgentView) -> Json:
    """Return an agent in `/master/state-summary`."""
    owners = {task.framework.number: task.framework for task in view.tasks}
    ids = [framework_id(view.agent.cluster_id, owners[number]) for number in sorted(owners)]
    return agent_json(view) | counts(view.tasks) | {"framework_ids": ids}


def framework_summary(view: FrameworkView) -> Json:
    """Return a framework in `/master/state-summary`."""
    ids = sorted({task.agent.id for task in view.tasks})
    everything = (*view.tasks, *view.unreachable, *view.completed)
    return _framework_base(view) | counts(everything) | {"slave_ids": ids}
