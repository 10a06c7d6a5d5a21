"""Agents, placement and tasks: the immutable values that the simulation replaces one by one."""

import random
from collections import Counter
from dataclasses import dataclass, field, replace

from mesos_dns.demo import identity
from mesos_dns.demo.catalog import CHRONOS, MARATHON, USER_MARATHON, Application, Framework, Network, Port

#: The host ports that an agent offers and that tasks take from the low end, as in a default DC/OS.
FIRST_PORT, LAST_PORT = 10000, 32000

#: States in which a task holds its resources and is listed under `tasks`.
LIVE = frozenset({"TASK_STAGING", "TASK_STARTING", "TASK_RUNNING", "TASK_KILLING"})

#: States after which a task only waits for its scheduler's acknowledgement.
TERMINAL = frozenset(
    {"TASK_FINISHED", "TASK_FAILED", "TASK_KILLED", "TASK_ERROR", "TASK_LOST", "TASK_DROPPED", "TASK_GONE"}
)


@dataclass(frozen=True, slots=True)
class Agent:
    """One machine. `master_id` is the master that first registered it: it begins the agent's id."""

    number: int
    master_id: str
    address: str
    address6: str
    hostname: str
    rack: str
    #: The master that registered the frameworks, where that is another one: it begins their ids.
    origin: str = ""

    @property
    def cluster_id(self) -> str:
        """The master id with which the ids of all frameworks of its cluster begin."""
        return self.origin or self.master_id

    @property
    def id(self) -> str:
        """`<master id>-S<n>` (Mesos: the number restarts with every elected master)."""
        return f"{self.master_id}-S{self.number}"


@dataclass(frozen=True, slots=True)
class Status:
    """One entry of a task's `statuses`. `located` = it came from an executor and carries addresses."""

    state: str
    timestamp: float
    healthy: bool | None = None
    located: bool = True
    reason: str = ""
    message: str = ""
    labels: tuple[tuple[str, str], ...] = ()
    #: (protocol, address); None = those of the task.
    addresses: tuple[tuple[str, str], ...] | None = None


@dataclass(frozen=True, slots=True)
class Task:
    """One instance of an application on an agent; `addresses` as the agent prints them (CNI IPv6: with `/64`)."""

    id: str
    application: Application
    agent: Agent
    ports: tuple[int, ...]
    addresses: tuple[tuple[str, str], ...]
    container_id: str
    executor_id: str
    state: str
    statuses: tuple[Status, ...] = ()

    @property
    def framework(self) -> Framework:
        """The framework that runs it."""
        return self.application.framework

    @property
    def key(self) -> tuple[int, str]:
        """Unique among live tasks: (framework number, task id)."""
        return (self.application.framework.number, self.id)

    def turned(self, state: str, now: float, *, healthy: bool | None = None, located: bool = True) -> "Task":
        """Return the task after a status update, merged by the master's rule: equal states replace the last entry."""
        return self.with_status(Status(state, now, healthy, located))

    def with_status(self, status: Status, latest: str | None = None) -> "Task":
        """Return the task after `status`; `latest` is the state that the agent knows already, if that is a later one."""
        kept = self.statuses[:-1] if self.statuses and self.statuses[-1].state == status.state else self.statuses
        return replace(self, state=latest or status.state, statuses=(*kept, status))


class PortsExhaustedError(ValueError):
    """No agent has a free port left; the message says what to change."""


@dataclass(slots=True)
class Ports:
    """The host ports in use on one agent."""

    used: set[int] = field(default_factory=set)
    cursor: int = FIRST_PORT

    def take(self, count: int) -> tuple[int, ...]:
        """`count` free ports, distinct, going round the range so that ports are not reused at once."""
        if len(self.used) + count > LAST_PORT - FIRST_PORT + 1:
            raise PortsExhaustedError(
                f"an agent has no {count} free ports left of {LAST_PORT - FIRST_PORT + 1}: use more agents or fewer tasks"
            )
        taken: list[int] = []
        while len(taken) < count:
            if self.cursor not in self.used:
                taken.append(self.cursor)
                self.used.add(self.cursor)
            self.cursor = self.cursor + 1 if self.cursor < LAST_PORT else FIRST_PORT
        return tuple(taken)

    def release(self, ports: tuple[int, ...]) -> None:
        """Give ports back."""
        self.used.difference_update(ports)


class Placement:
    """Makes tasks: ids, ports and addresses. Deterministic: the same calls give the same tasks."""

    def __init__(self, rng: random.Random, agents: tuple[Agent, ...]) -> None:
        self._rng = rng
        self._ports = {agent.number: Ports() for agent in agents}
        self._serial = 0
        self._instances: Counter[tuple[int, str]] = Counter()

    def launch(self, application: Application, agent: Agent, now: float) -> Task:
        """Return a new task in TASK_STAGING on `agent`, its ports taken. Raises PortsExhaustedError."""
        ports = self._ports[agent.number].take(_host_port_count(application))
        self._serial += 1
        ordinal = self._instances[(application.framework.number, application.name)] = (
            self._instances[(application.framework.number, application.name)] + 1
        )
        task_id = self._task_id(application, ordinal, now)
        return Task(
            task_id,
            application,
            agent,
            ports,
            self._addresses(application.network, agent),
            identity.uuid(self._rng),
            f"{application.name}-executor.{self._serial}" if application.custom_executor else "",
            "TASK_STAGING",
        )

    def add(self, agent: Agent) -> None:
        """Offer the ports of another agent."""
        self._ports[agent.number] = Ports()

    def release(self, task: Task) -> None:
        """Free the ports of a task that is over."""
        self._ports[task.agent.number].release(task.ports)

    def _task_id(self, application: Application, ordinal: int, now: float) -> str:
        if application.framework in {MARATHON, USER_MARATHON}:
            return f"{application.name.replace('.', '_')}.instance-{identity.uuid(self._rng)}._app.{ordinal}"
        if application.framework is CHRONOS:
            return f"ct:{int(now * 1000)}:{ordinal}:{application.name.partition(':')[2]}:"
        return f"{application.name}-{ordinal}__{identity.uuid(self._rng)}"

    def _addresses(self, network: Network, agent: Agent) -> tuple[tuple[str, str], ...]:
        serial = self._serial
        if network is Network.HOST:
            return (("IPv4", agent.address), ("IPv6", agent.address6))
        if network in {Network.BRIDGE, Network.MAPPED}:
            return (("IPv4", identity.bridge_address(serial)),)
        address = identity.container_address(serial)
        if network is Network.CNI:
            return (("IPv4", address),)
        address6 = identity.container_address6(agent.number, serial)
        # Mesos up to trunk leaves the prefix length on the IPv6 address of a CNI network.
        return (("IPv4", address), ("IPv6", f"{address6}/64" if network is Network.CNI6 else address6))


def _host_port_count(application: Application) -> int:
    """Containers with an address of their own take no host ports; those with nameless ones take them all."""
    if application.network in {Network.HOST, Network.BRIDGE, Network.MAPPED}:
        return len(application.ports)
    return 0


def discovery_port(task: Task, index: int, port: Port) -> int:
    """Return the number in the discovery info: the host port if the task has host ports, else the container's."""
    return task.ports[index] if task.ports else port.container_port


def make_agents(rng: random.Random, count: int, master_id: str) -> tuple[Agent, ...]:
    """`count` agents, numbered from 0. Raises ValueError outside 1 to identity.MAX_AGENTS."""
    if not 1 <= count <= identity.MAX_AGENTS:
        raise ValueError(f"the number of agents is {count}, expected 1 to {identity.MAX_AGENTS}")
    return tuple(
        Agent(
            number,
            master_id,
            identity.agent_address(number),
            identity.agent_address6(number),
            f"agent-{number}.example",
            f"r{rng.randrange(1, 20)}",
        )
        for number in range(count)
    )


def settled(placement: Placement, application: Application, agent: Agent, now: float, rng: random.Random) -> Task:
    """Return a task that has been running for a while: with the statuses that its way to TASK_RUNNING left."""
    age = 60.0 + rng.random() * 86400.0
    started = round(now - age, 6)
    task = placement.launch(application, agent, started)
    running = task.turned("TASK_STARTING", started).turned("TASK_RUNNING", round(started + 0.2 + rng.random(), 6))
    if application.health is None:
        return running
    return running.turned("TASK_RUNNING", round(started + 2.0 + rng.random(), 6), healthy=True)
