"""What a Mesos master told us, reduced to what names need. Pure values.

Sources yield these: a `Snapshot` of the whole cluster, or a `Delta` against what they yielded
before. Everything is already normalised: addresses are packed octets, unusable elements are gone
and counted in `Snapshot.skipped`.
"""

from collections.abc import Mapping
from typing import Final, Literal

import msgspec

#: Framework id, task id, and a number from 0 that tells repeated ids apart.
TaskKey = tuple[str, str, int]


class DiscoveryPort(msgspec.Struct, frozen=True, gc=False):
    """One port of a task's DiscoveryInfo. `number` is unchecked by Mesos (0 or > 65535 occur)."""

    number: int
    name: str = ""
    protocol: str = ""


class PortMapping(msgspec.Struct, frozen=True, gc=False):
    """`host_port` of the agent leads to `container_port`; `protocol` in lower case, "" if the mapping does not say."""

    host_port: int
    container_port: int
    protocol: str = ""


class Network(msgspec.Struct, frozen=True, gc=False):
    """How a task can be reached.

    | `mode` | the task | reached at |
    |---|---|---|
    | `host` | has its agent's network, or none | the agent, at its own ports |
    | `bridge` | is on a network of its agent alone | the agent, at mapped ports |
    | `container` | is on a network that spans agents | its own addresses, at its own ports |
    | `unknown` | the state does not tell | what its status says |

    `mappings` has only those without which the ports of the task's discovery information would be misunderstood: the others tell
    nothing new, and they would be different for every task. On a `bridge` those are discovery ports that are the container's; on a
    `container` network those that are the agent's, and what the container's are at the agent.
    """

    mode: Literal["unknown", "host", "bridge", "container"] = "unknown"
    mappings: tuple[PortMapping, ...] = ()


#: The networks of all tasks but those with mappings.
UNKNOWN_NETWORK: Final = Network()
HOST_NETWORK: Final = Network("host")
BRIDGE_NETWORK: Final = Network("bridge")
CONTAINER_NETWORK: Final = Network("container")


class Task(msgspec.Struct, frozen=True, gc=False):
    """One task in state TASK_RUNNING.

    `ports` are the `resources.ports` ranges (first, last), inclusive, unexpanded.
    `discovery_name` is "" without DiscoveryInfo (or with an empty name: Go treats both alike).
    The address fields hold packed addresses (4 or 16 octets, IPv4-mapped IPv6 as 4) in the order in
    which the chosen status gave them: the newest TASK_RUNNING status, or, when none has arrived
    yet, the newest status with network infos (`mesos-api` fact: TASK_STARTING carries them, too).
    `healthy` is the verdict of the newest status that has one: None without any, and for a task whose label says that its health
    is not to count.
    """

    id: str
    name: str
    framework_id: str
    agent_id: str
    ports: tuple[tuple[int, int], ...] = ()
    discovery_name: str = ""
    discovery_ports: tuple[DiscoveryPort, ...] = ()
    netinfo: tuple[bytes, ...] = ()
    docker: tuple[bytes, ...] = ()
    mesos: tuple[bytes, ...] = ()
    healthy: bool | None = None
    network: Network = UNKNOWN_NETWORK


#: Tasks that a source tells of although they do not run: more than people can look through, and few beside 100,000 that run.
MAX_NOT_RUNNING: Final = 1000


class NotRunning(msgspec.Struct, frozen=True, gc=False):
    """A task that has not ended and does not run, so it has no names: `state` says why (`TASK_STAGING`, `TASK_KILLING`). `task` is read as if it ran."""

    task: Task
    state: str


class Framework(msgspec.Struct, frozen=True, gc=False):
    """One registered framework.

    `host` is the host part of its PID, or its `hostname` if it has no PID; an address or a name,
    possibly "". `port` is None without PID. `id` is made unique by the decoder: a missing or
    repeated one becomes "#N", N being the position in the document.
    """

    id: str
    name: str
    host: str = ""
    port: int | None = None
    recovered: bool = False


class Agent(msgspec.Struct, frozen=True, gc=False):
    """One registered agent. `host` is the host part of its PID: an address or a name.

    `host` is "" (and `port` 0) if the PID is missing or unreadable: the agent has no records then, but it
    exists, so that tasks on it keep the addresses that they have of their own.
    """

    id: str
    host: str
    port: int


class Endpoint(msgspec.Struct, frozen=True):
    """Host (address text without brackets, or name) and port of a master."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class NotShown(msgspec.Struct, frozen=True):
    """Parts of the cluster that an observation says nothing about: what is missing there may well exist.

    `agents` and `frameworks` (with all tasks) are those parts as a whole, `tasks_of` the frameworks (ids) that were shown without
    their tasks. A state of Mesos always shows everything; one that went through a proxy, or a summary, may not.
    """

    agents: bool = False
    frameworks: bool = False
    tasks_of: frozenset[str] = frozenset()


class Concealed(msgspec.Struct, frozen=True):
    """What a master hides of its cluster, as the sums in its state tell (authorization, Mesos 1.0 and later).

    `frameworks`: agents have more resources in use than all frameworks shown, so some are not. `tasks_of`: frameworks (ids) that
    use resources, and whose tasks are not shown.
    """

    frameworks: bool = False
    tasks_of: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return self.frameworks or bool(self.tasks_of)


class Hidden(msgspec.Struct, frozen=True):
    """What a state did not show, and whether the master concealed its flags, as it does to those who may not see all."""

    concealed: Concealed = Concealed()
    not_shown: NotShown = NotShown()
    flags: bool = False


class Snapshot(msgspec.Struct, frozen=True):
    """The whole cluster as one leading master knows it.

    `tasks` maps (framework id, task id, n) to a running task, in document order; n is 0 but for
    repeated ids in one framework. `frameworks` and `agents` are keyed by their ids.
    `master_id` changes with each elected master. `leader` is None if the state names none. `masters` are the masters in
    the order of the source (configured list, or ZooKeeper sequence), the leader included or not.

    What the master says about what is missing: `recovered_agents` are the agents that its registry has and that have not come back
    since it was elected; None if it does not tell (before Mesos 1.2, or a registry that only lives in memory).
    `unregistered_frameworks` are frameworks (ids) that have tasks on registered agents but are not in `frameworks`; None if it does
    not tell. `completed_frameworks` have ended for good. `ended_tasks` are tasks (ids by framework id) that it shows in another state
    than running, as completed or as unreachable: the newest only, for masters keep a number of them. `not_shown` are the parts of the state
    that are missing altogether, `concealed` what authorization leaves out of it.

    Whose state it is: `cluster` is the cluster's name, `ensemble` the ZooKeeper servers and path of its election (sorted, without
    credentials); "" if it does not tell. `elected_time` is when the master was elected, by its own clock (Unix time).
    `reregister_timeout` are the seconds that it gives agents to come back after a failover; None if it does not tell.

    `skipped` counts, per reason, elements that could not be used; `skipped_examples` shows the first few.
    `not_running` are tasks that have not ended and do not run, `MAX_NOT_RUNNING` of them at most.
    `pid` is the master that gave the state (None if it does not say), `hostname` how it calls its host ("" likewise). `flags_hidden` is true if the master
    concealed its flags: a sign that authorization filters the whole state (Mesos 1.0 and later).
    """

    master_id: str
    leader: Endpoint | None
    masters: tuple[Endpoint, ...]
    agents: Mapping[str, Agent]
    frameworks: Mapping[str, Framework]
    tasks: Mapping[TaskKey, Task]
    recovered_agents: frozenset[str] | None = None
    unregistered_frameworks: frozenset[str] | None = None
    completed_frameworks: frozenset[str] = frozenset()
    not_shown: NotShown = NotShown()
    skipped: Mapping[str, int] = msgspec.field(default_factory=dict)
    skipped_examples: Mapping[str, tuple[str, ...]] = msgspec.field(default_factory=dict)
    pid: Endpoint | None = None
    flags_hidden: bool = False
    ended_tasks: Mapping[str, frozenset[str]] = msgspec.field(default_factory=dict)
    concealed: Concealed = Concealed()
    hostname: str = ""
    cluster: str = ""
    ensemble: str = ""
    elected_time: float | None = None
    reregister_timeout: float | None = None
    not_running: tuple[NotRunning, ...] = ()


class Delta(msgspec.Struct, frozen=True):
    """What changed since the source's last observation: upserts, and keys that are gone."""

    agents: Mapping[str, Agent] = msgspec.field(default_factory=dict)
    frameworks: Mapping[str, Framework] = msgspec.field(default_factory=dict)
    tasks: Mapping[TaskKey, Task] = msgspec.field(default_factory=dict)
    agents_gone: tuple[str, ...] = ()
    frameworks_gone: tuple[str, ...] = ()
    tasks_gone: tuple[TaskKey, ...] = ()


Observation = Snapshot | Delta
