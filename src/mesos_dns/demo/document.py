"""The whole state of a master as text, in pieces, with encoded tasks remembered between polls."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from mesos_dns.demo import wire
from mesos_dns.demo.cluster import Agent, Task
from mesos_dns.demo.releases import LATEST, Release
from mesos_dns.demo.since import pruned
from mesos_dns.demo.wire import AgentView, FrameworkView, Json

#: Tasks in `/master/tasks` unless a limit is given, as in Mesos.
TASKS_LIMIT: Final = 100

_FLAGS: Final = {
    "agent_ping_timeout": "15secs",
    "agent_reregister_timeout": "10mins",
    "allocation_interval": "1secs",
    "allocator": "hierarchical",
    "authenticate_agents": "false",
    "authenticate_frameworks": "false",
    "authenticate_http_readonly": "false",
    "authenticate_http_readwrite": "false",
    "authorizers": "local",
    "cluster": "demo",
    "framework_sorter": "drf",
    "hostname_lookup": "true",
    "http_authenticators": "basic",
    "logging_level": "INFO",
    "max_agent_ping_timeouts": "5",
    "max_completed_frameworks": "50",
    "max_completed_tasks_per_framework": "50",
    "max_unreachable_tasks_per_framework": "1000",
    "quorum": "2",
    "registry": "replicated_log",
    "role_sorter": "drf",
    "root_submissions": "true",
    "version": "false",
    "zk_session_timeout": "10secs",
}


@dataclass(frozen=True, slots=True)
class MasterIdentity:
    """One master of the cluster named `cluster` (its `--cluster`)."""

    id: str
    address: str
    port: int
    started: float
    cluster: str = "demo"
    #: What `--hostname` says; empty = the address, as on a host without reverse look-up.
    hostname: str = ""

    @property
    def name(self) -> str:
        """What it calls itself, and what redirects to it name."""
        return self.hostname or self.address

    @property
    def endpoint(self) -> str:
        """`address:port`."""
        return f"{self.address}:{self.port}"

    @property
    def location(self) -> str:
        """`name:port`, as in redirects."""
        return f"{self.name}:{self.port}"

    @property
    def pid(self) -> str:
        """`master@address:port`."""
        return f"master@{self.endpoint}"


@dataclass(frozen=True, slots=True)
class ClusterView:
    """What a master knows at one moment."""

    master: MasterIdentity
    #: None: this master does not lead, and knows nothing but perhaps who does.
    elected: float | None
    agents: tuple[AgentView, ...]
    frameworks: tuple[FrameworkView, ...]
    recovered: tuple[Agent, ...] = ()
    unreachable_agents: int = 0
    completed_frameworks: tuple[FrameworkView, ...] = ()
    #: Tasks of frameworks that are not here yet, in releases that know no recovered frameworks.
    orphans: tuple[Task, ...] = ()
    #: False: the reader may not see the flags, nor the name of the cluster.
    flags: bool = True
    #: Whom a master that does not lead takes for the leader.
    leader: MasterIdentity | None = None
    release: Release = LATEST


class TaskTexts:
    """Encoded tasks. Tasks are immutable, so a text stays right as long as the task is the same object.

    `keep` bounds the memory to the tasks of the last document.
    """

    def __init__(self, encode: Callable[[Task], Json] = wire.task_json) -> None:
        self._encode = encode
        self._texts: dict[tuple[int, str], tuple[Task, bytes]] = {}

    def __repr__(self) -> str:
        return f"TaskTexts({len(self._texts)})"

    def text(self, task: Task) -> bytes:
        """Return the JSON of `task`, encoded at most once."""
        known = self._texts.get(task.key)
        if known is not None and known[0] is task:
            return known[1]
        text = wire.dump(self._encode(task))
        self._texts[task.key] = (task, text)
        return text

    def keep(self, keys: set[tuple[int, str]]) -> None:
        """Forget every task that is not in `keys`."""
        for key in self._texts.keys() - keys:
            del self._texts[key]


def state(view: ClusterView, texts: TaskTexts) -> bytes:
    """Return the body of `/master/state`."""
    body = b"".join(state_pieces(view, texts.text))
    texts.keep({task.key for framework in view.frameworks for task in framework.tasks})
    return body


def state_pieces(view: ClusterView, text: Callable[[Task], bytes]) -> Iterator[bytes]:
    """Return the body of `/master/state` in pieces that need not be in memory together.

    `text` encodes a task for the release of `view`.
    """
    yield opening(view)
    yield from _separated(wire.dump(pruned("agent", wire.agent_json(agent), view.release)) for agent in view.agents)
    yield middle(view.recovered, view.release)
    for number, framework in enumerate(view.frameworks):
        before, after = framework_edges(framework, view.release)
        yield b"," if number else b""
        yield before
        yield from _separated(text(task) for task in framework.tasks)
        yield after
    yield closing(view)


def task_encoder(release: Release) -> Callable[[Task], Json]:
    """Return what makes the JSON of a task as `release` shows it."""
    return lambda task: pruned("task", wire.task_json(task), release)


def opening(view: ClusterView) -> bytes:
    """Return the beginning of the document, up to the first element of `slaves`."""
    return wire.dump(_head(view))[:-1] + b',"slaves":['


def middle(recovered: Iterable[Agent], release: Release = LATEST) -> bytes:
    """Return what stands between the last element of `slaves` and the first of `frameworks`."""
    elements = wire.dump([wire.recovered_agent_json(agent) for agent in recovered])
    return (b'],"recovered_slaves":' + elements if release.recovers_agents else b"]") + b',"frameworks":['


def closing(view: ClusterView) -> bytes:
    """Return what follows the last element of `frameworks`."""
    strangers = {wire.framework_id(task.agent.cluster_id, task.framework): None for task in view.orphans}
    last = {
        "completed_frameworks": [_framework(framework, view.release) for framework in view.completed_frameworks],
        "orphan_tasks": [pruned("task", wire.task_json(task), view.release) for task in view.orphans],
        "unregistered_frameworks": list(strangers),
    }
    return b"]," + wire.dump(last)[1:]


def framework_edges(view: FrameworkView, release: Release = LATEST) -> tuple[bytes, bytes]:
    """Return what stands before the first and after the last element of `tasks` in a framework."""
    before = wire.dump(pruned("framework", wire.framework_head(view), release))[:-1] + b',"tasks":['
    return before, b"]," + wire.dump(_tail(view, release))[1:]


def _tail(view: FrameworkView, release: Release) -> Json:
    tail = pruned("framework", wire.framework_tail(view), release)
    for name in ("unreachable_tasks", "completed_tasks"):
        if name in tail:
            tail[name] = [pruned("task", task, release) for task in tail[name]]
    return tail


def _framework(view: FrameworkView, release: Release) -> Json:
    return pruned("framework", wire.framework_head(view), release) | {"tasks": []} | _tail(view, release)


def summary(view: ClusterView) -> bytes:
    """Return the body of `/master/state-summary`: agents and frameworks with counters, no tasks, no leader."""
    release = view.release
    cluster = {"cluster": view.master.cluster} if view.flags else {}
    return wire.dump(
        {
            "hostname": view.master.name,
            **cluster,
            "slaves": [pruned("agent", wire.agent_summary(agent), release) for agent in view.agents],
            "frameworks": [
                pruned("framework", wire.framework_summary(framework), release) for framework in view.frameworks
            ],
        }
    )


def slaves(view: ClusterView) -> bytes:
    """Return the body of `/master/slaves`."""
    release = view.release
    found: Json = {"slaves": [pruned("agent", wire.agent_json(agent), release) for agent in view.agents]}
    if release.recovers_agents:
        found["recovered_slaves"] = [wire.recovered_agent_json(agent) for agent in view.recovered]
    return wire.dump(found)


def frameworks(view: ClusterView, text: Callable[[Task], bytes]) -> bytes:
    """Return the body of `/master/frameworks`."""
    found = []
    for framework in view.frameworks:
        before, after = framework_edges(framework, view.release)
        found.append(before + b",".join(text(task) for task in framework.tasks) + after)
    completed = wire.dump([_framework(framework, view.release) for framework in view.completed_frameworks])
    return (
        b'{"frameworks":['
        + b",".join(found)
        + b'],"completed_frameworks":'
        + completed
        + b',"unregistered_frameworks":[]}'
    )


def tasks(view: ClusterView, text: Callable[[Task], bytes], query: Mapping[str, str]) -> bytes:
    """Return the body of `/master/tasks`: what lives, is unreachable or has ended, of completed frameworks, too; the newest first.

    `query` may hold `limit`, `offset` and `order` ("asc"), and from 1.4 on `framework_id` and `task_id`. Numbers that are none are ignored.
    """
    selects = query if view.release.selects_tasks else {}
    found = [
        task
        for framework in (*view.frameworks, *view.completed_frameworks)
        if selects.get("framework_id") in {None, wire.framework_id(framework.master_id, framework.framework)}
        for task in (*framework.tasks, *framework.unreachable, *framework.completed)
        if selects.get("task_id") in {None, task.id}
    ]
    # By the first status; a task without one is older than all others.
    found.sort(
        key=lambda task: task.statuses[0].timestamp if task.statuses else float("-inf"),
        reverse=query.get("order") != "asc",
    )
    offset = _number(query.get("offset"), 0)
    shown = found[offset : offset + _number(query.get("limit"), TASKS_LIMIT)]
    return b'{"tasks":[' + b",".join(map(text, shown)) + b"]}"


def _number(text: str | None, otherwise: int) -> int:
    return int(text) if text is not None and text.isascii() and text.isdigit() else otherwise


def flags(master: MasterIdentity) -> dict[str, str]:
    """Return the flags of a master."""
    own = {"cluster": master.cluster, "hostname": master.name, "ip": master.address, "port": str(master.port)}
    return _FLAGS | own


def _head(view: ClusterView) -> Json:
    master = view.master
    leader = master if view.elected is not None else view.leader
    head: Json = {
        "version": str(view.release),
        **wire.BUILD,
        "start_time": master.started,
        **({} if view.elected is None else {"elected_time": view.elected}),
        "id": master.id,
        "pid": master.pid,
        "hostname": master.name,
        "capabilities": ["AGENT_UPDATE", "AGENT_DRAINING", "QUOTA_V2"],
        "activated_slaves": float(sum(agent.active for agent in view.agents)),
        "deactivated_slaves": float(sum(not agent.active for agent in view.agents)),
        "unreachable_slaves": float(view.unreachable_agents),
    }
    if leader is not None:
        head["leader"] = leader.pid
        head["leader_info"] = {"id": leader.id, "pid": leader.pid, "port": leader.port, "hostname": leader.name}
    if view.flags:
        head |= {"cluster": master.cluster, "flags": flags(master)}
    return pruned("state", head, view.release)


def _separated(texts: Iterable[bytes]) -> Iterator[bytes]:
    for number, text in enumerate(texts):
        if number:
            yield b","
        yield text
