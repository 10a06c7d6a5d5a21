"""The whole state of a master as text, in pieces, with encoded tasks remembered between polls."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from mesos_dns.demo import wire
from mesos_dns.demo.cluster import Agent, Task
from mesos_dns.demo.wire import AgentView, FrameworkView, Json

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


#: What follows the last element of `frameworks`.
CLOSING: Final = b'],"completed_frameworks":[],"orphan_tasks":[],"unregistered_frameworks":[]}'


@dataclass(frozen=True, slots=True)
class MasterIdentity:
    """One master. `hostname` is its address, as on a host without reverse look-up."""

    id: str
    address: str
    port: int
    started: float

    @property
    def endpoint(self) -> str:
        """`address:port`."""
        return f"{self.address}:{self.port}"

    @property
    def pid(self) -> str:
        """`master@address:port`."""
        return f"master@{self.endpoint}"


@dataclass(frozen=True, slots=True)
class ClusterView:
    """What the leading master knows at one moment."""

    master: MasterIdentity
    elected: float
    agents: tuple[AgentView, ...]
    frameworks: tuple[FrameworkView, ...]
    recovered: tuple[Agent, ...] = ()
    unreachable_agents: int = 0


class TaskTexts:
    """Encoded tasks. Tasks are immutable, so a text stays right as long as the task is the same object.

    `keep` bounds the memory to the tasks of the last document.
    """

    def __init__(self) -> None:
        self._texts: dict[tuple[int, str], tuple[Task, bytes]] = {}

    def __repr__(self) -> str:
        return f"TaskTexts({len(self._texts)})"

    def text(self, task: Task) -> bytes:
        """Return the JSON of `task`, encoded at most once."""
        known = self._texts.get(task.key)
        if known is not None and known[0] is task:
            return known[1]
        text = wire.dump(wire.task_json(task))
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
    """Return the body of `/master/state` in pieces that need not be in memory together."""
    yield opening(view)
    yield from _separated(wire.dump(wire.agent_json(agent)) for agent in view.agents)
    yield middle(view.recovered)
    for number, framework in enumerate(view.frameworks):
        before, after = framework_edges(framework)
        yield b"," if number else b""
        yield before
        yield from _separated(text(task) for task in framework.tasks)
        yield after
    yield CLOSING


def opening(view: ClusterView) -> bytes:
    """Return the beginning of the document, up to the first element of `slaves`."""
    return wire.dump(_head(view))[:-1] + b',"slaves":['


def middle(recovered: Iterable[Agent]) -> bytes:
    """Return what stands between the last element of `slaves` and the first of `frameworks`."""
    elements = wire.dump([wire.recovered_agent_json(agent) for agent in recovered])
    return b'],"recovered_slaves":' + elements + b',"frameworks":['


def framework_edges(view: FrameworkView) -> tuple[bytes, bytes]:
    """Return what stands before the first and after the last element of `tasks` in a framework."""
    before = wire.dump(wire.framework_head(view))[:-1] + b',"tasks":['
    return before, b"]," + wire.dump(wire.framework_tail(view))[1:]


def summary(view: ClusterView) -> bytes:
    """Return the body of `/master/state-summary`: agents and frameworks with counters, no tasks, no leader."""
    origin = view.frameworks[0].master_id if view.frameworks else view.master.id
    return wire.dump(
        {
            "hostname": view.master.address,
            "cluster": "demo",
            "slaves": [wire.agent_summary(agent, origin) for agent in view.agents],
            "frameworks": [wire.framework_summary(framework) for framework in view.frameworks],
        }
    )


def _head(view: ClusterView) -> Json:
    master = view.master
    return {
        "version": wire.VERSION,
        **wire.BUILD,
        "start_time": master.started,
        "elected_time": view.elected,
        "id": master.id,
        "pid": master.pid,
        "hostname": master.address,
        "capabilities": ["AGENT_UPDATE", "AGENT_DRAINING", "QUOTA_V2"],
        "activated_slaves": float(sum(agent.active for agent in view.agents)),
        "deactivated_slaves": float(sum(not agent.active for agent in view.agents)),
        "unreachable_slaves": float(view.unreachable_agents),
        "leader": master.pid,
        "leader_info": {"id": master.id, "pid": master.pid, "port": master.port, "hostname": master.address},
        "cluster": "demo",
        "flags": _FLAGS | {"hostname": master.address, "ip": master.address, "port": str(master.port)},
    }


def _separated(texts: Iterable[bytes]) -> Iterator[bytes]:
    for number, text in enumerate(texts):
        if number:
            yield b","
        yield text
