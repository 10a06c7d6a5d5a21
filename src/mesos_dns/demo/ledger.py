"""What one leading master knows, and the events that it sends when that changes.

Verbs are what agents, schedulers and operators tell a master; each changes the knowledge and emits
what a subscriber of the given release would get, in the order in which that release sends it. Much
is silent, as it is in Mesos: see each verb.
"""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from mesos_dns.demo import v1, wire
from mesos_dns.demo.catalog import Framework
from mesos_dns.demo.cluster import TERMINAL, Agent, Status, Task
from mesos_dns.demo.document import ClusterView, MasterIdentity
from mesos_dns.demo.releases import Release
from mesos_dns.demo.wire import AgentView, FrameworkView, Json

Key = tuple[int, str]

#: `--max_completed_tasks_per_framework` of the simulated master: enough to look at, few to send.
MAX_COMPLETED: Final = 50
#: `--max_unreachable_tasks_per_framework`, the default of Mesos.
MAX_UNREACHABLE: Final = 1000
#: `--max_completed_frameworks`, the default of Mesos.
MAX_COMPLETED_FRAMEWORKS: Final = 50


@dataclass(frozen=True, slots=True)
class Notice:
    """An event for subscribers. `framework` and `task` say what the reader must be allowed to see; None: everybody may see it."""

    kind: str
    body: Json
    framework: Framework | None = None
    task: Task | None = None


@dataclass(slots=True)
class KnownAgent:
    """A registered agent."""

    agent: Agent
    registered: float
    reregistered: float | None = None
    active: bool = True
    deactivated: bool = False
    draining: str = ""
    tasks: dict[Key, Task] = field(default_factory=dict)

    def view(self) -> AgentView:
        """Return it as the documents show it."""
        return AgentView(
            self.agent,
            self.registered,
            self.reregistered,
            self.active and not self.deactivated,
            tuple(self.tasks.values()),
            self.deactivated,
            self.draining,
        )


@dataclass(slots=True)
class KnownFramework:
    """A framework; `recovered` = its scheduler has not been here since this master leads."""

    framework: Framework
    registered: float = 0.0
    reregistered: float | None = None
    recovered: bool = False
    connected: bool = True
    unregistered: float = 0.0
    unreachable: dict[Key, Task] = field(default_factory=dict)
    completed: deque[Task] = field(default_factory=lambda: deque(maxlen=MAX_COMPLETED))


class Ledger:
    """The knowledge of one master since it was elected at `elected` (seconds since 1970)."""

    def __init__(
        self,
        master: MasterIdentity,
        origin: str,
        release: Release,
        elected: float,
        emit: Callable[[Notice], None] | None = None,
    ) -> None:
        self.master = master
        self.origin = origin
        self.release = release
        self.elected = elected
        #: Told of every event; None while nobody listens, which saves making them.
        self.emit = emit
        #: Whether the registry has been read: before, nobody is expected and the operator API says 503.
        self.registry_read = False
        self.recovered: dict[int, Agent] = {}
        self.agents: dict[int, KnownAgent] = {}
        self.frameworks: dict[int, KnownFramework] = {}
        self.completed_frameworks: deque[KnownFramework] = deque(maxlen=MAX_COMPLETED_FRAMEWORKS)
        self.tasks: dict[Key, Task] = {}
        self.unreachable_agents: dict[int, float] = {}

    def __repr__(self) -> str:
        return f"Ledger({self.master.endpoint}, agents={len(self.agents)}, tasks={len(self.tasks)})"

    # Agents.

    def read_registry(self, expected: Iterable[Agent], unreachable: Iterable[int] = (), now: float = 0.0) -> None:
        """Learn from the registry which agents there were. Silent."""
        self.registry_read = True
        self.recovered = {agent.number: agent for agent in expected if agent.number not in self.agents}
        self.unreachable_agents = dict.fromkeys(unreachable, now)

    def register_agent(self, agent: Agent, now: float) -> None:
        """Admit a new agent: AGENT_ADDED."""
        known = self.agents[agent.number] = KnownAgent(agent, now)
        self._agent_added(known)

    def reregister_agent(
        self, agent: Agent, tasks: Iterable[Task], frameworks: Iterable[Framework], now: float
    ) -> None:
        """Take an agent back with its tasks, and with the frameworks that it knows.

        TASK_ADDED of tasks of known frameworks come before AGENT_ADDED; then each newly recovered framework with its
        tasks, which releases with MESOS-9785 do not announce. Silent when the agent was registered all the time.
        """
        if agent.number in self.agents:
            self.agents[agent.number].active = True
            self.agents[agent.number].reregistered = now
            return
        self.recovered.pop(agent.number, None)
        self.unreachable_agents.pop(agent.number, None)
        known = KnownAgent(agent, now, now)
        mine = list(tasks)
        strangers = {framework.number: framework for framework in frameworks if framework.number not in self.frameworks}
        for framework in strangers.values():
            self.frameworks[framework.number] = KnownFramework(framework, recovered=True, connected=False)
        later = strangers if self.release.announces_recovered else {}
        self.agents[agent.number] = known
        for task in mine:
            self._keep(task)
            self.frameworks[task.framework.number].unreachable.pop(task.key, None)
        for task in mine:
            if task.framework.number not in later:
                self._task_added(task)
        self._agent_added(known)
        for number in later:
            self._framework_event("FRAMEWORK_ADDED", self.frameworks[number])
            for task in mine:
                if task.framework.number == number:
                    self._task_added(task)

    def agent_silent(self, number: int) -> None:
        """Note that an agent's connection broke: `active` turns false. Silent."""
        if number in self.agents:
            self.agents[number].active = False

    def agent_unreachable(self, number: int, now: float) -> None:
        """Give an agent up: TASK_UPDATED for each of its tasks, no AGENT_REMOVED."""
        self._give_up(number, now, gone=False)

    def agent_gone(self, number: int, now: float) -> None:
        """Believe an operator that an agent never comes back: TASK_GONE_BY_OPERATOR, no AGENT_REMOVED."""
        self._give_up(number, now, gone=True)

    def _give_up(self, number: int, now: float, *, gone: bool) -> None:
        known = self.agents.pop(number, None)
        expected = self.recovered.pop(number, None)
        if known is None and expected is None:
            return
        if not gone:
            self.unreachable_agents[number] = now
        for task in list(known.tasks.values()) if known is not None else ():
            state = self._lost_state(task.framework, gone=gone)
            reason = "REASON_AGENT_REMOVED_BY_OPERATOR" if gone else "REASON_AGENT_REMOVED"
            status = Status(
                state, now, located=False, reason=reason, message="Agent gone" if gone else "health check timed out"
            )
            ended = task.with_status(status)
            self._forget(task)
            if gone or not self.release.recovers_agents:
                self.frameworks[task.framework.number].completed.append(ended)
            else:
                unreachable = self.frameworks[task.framework.number].unreachable
                unreachable[task.key] = ended
                while len(unreachable) > MAX_UNREACHABLE:
                    del unreachable[next(iter(unreachable))]
            if task.state not in TERMINAL:
                self._task_updated(ended, status)

    def _lost_state(self, framework: Framework, *, gone: bool) -> str:
        if not (self.release.partition_states and framework.partition_aware):
            return "TASK_LOST"
        return "TASK_GONE_BY_OPERATOR" if gone else "TASK_UNREACHABLE"

    def unregister_agent(self, number: int, now: float) -> None:
        """Let an agent leave properly: TASK_LOST for each of its tasks, then AGENT_REMOVED."""
        known = self.agents.pop(number, None)
        if known is None:
            return
        message = f"Agent {known.agent.hostname} removed: the agent unregistered"
        for task in list(known.tasks.values()):
            status = Status("TASK_LOST", now, located=False, reason="REASON_AGENT_REMOVED", message=message)
            ended = task.with_status(status)
            self._forget(task)
            self.frameworks[task.framework.number].completed.append(ended)
            if task.state not in TERMINAL:
                self._task_updated(ended, status)
        if self.release.agent_events and self.emit is not None:
            self.emit(Notice("AGENT_REMOVED", {"agent_removed": {"agent_id": v1.value(known.agent.id)}}))

    def set_agent(self, number: int, *, deactivated: bool | None = None, draining: str | None = None) -> None:
        """Deactivate or drain an agent. Silent."""
        known = self.agents[number]
        known.deactivated = known.deactivated if deactivated is None else deactivated
        known.draining = known.draining if draining is None else draining

    def replace_agent(self, agent: Agent) -> None:
        """Take over changed attributes, address or host name on a plain re-registration. Silent."""
        self.agents[agent.number].agent = agent

    # Schedulers.

    def subscribe_framework(self, framework: Framework, now: float, *, again: bool = False) -> None:
        """Let a scheduler connect: FRAMEWORK_ADDED when it is new here, else FRAMEWORK_UPDATED.

        `again`: it has an id already, so that it re-registers.
        """
        known = self.frameworks.get(framework.number)
        if known is None:
            known = KnownFramework(framework, now, now if again else None)
            self.frameworks[framework.number] = known
            self._framework_event("FRAMEWORK_ADDED", known)
            return
        unchanged = known.framework == framework and known.connected and not known.recovered
        known.framework = framework
        known.registered = known.registered or now
        known.reregistered = now
        known.recovered, known.connected = False, True
        if not (unchanged and self.release.skips_unchanged_frameworks):
            self._framework_event("FRAMEWORK_UPDATED", known)

    def framework_disconnected(self, number: int) -> None:
        """Note that a scheduler is away. Silent."""
        self.frameworks[number].connected = False

    def remove_framework(self, number: int, now: float) -> None:
        """Tear a framework down: TASK_KILLED for each live task, then FRAMEWORK_REMOVED."""
        known = self.frameworks.pop(number, None)
        if known is None:
            return
        for task in [task for task in self.tasks.values() if task.framework.number == number]:
            status = Status("TASK_KILLED", now, located=False, message=f"Framework {known.framework.name} removed")
            ended = task.with_status(status)
            self._forget(task)
            known.completed.append(ended)
            if task.state not in TERMINAL:
                self._task_updated(ended, status)
        if self.release.framework_events and self.emit is not None:
            identifier = wire.framework_id(self.origin, known.framework)
            info = v1.framework_info_json(known.framework, identifier)
            self.emit(Notice("FRAMEWORK_REMOVED", {"framework_removed": {"framework_info": info}}, known.framework))
        known.connected, known.unregistered = False, now
        self.completed_frameworks.append(known)

    # Tasks.

    def launch(self, task: Task) -> None:
        """Accept a task for launch: TASK_ADDED, in TASK_STAGING and without statuses."""
        self._keep(task)
        self._task_added(task)

    def update(self, key: Key, status: Status, latest: str | None = None) -> None:
        """Take a status; `latest` is the state that the agent knows already, if that is a later one.

        TASK_UPDATED follows the rules of the release. A repeated status of the same state changes the task in silence.
        """
        task = self.tasks.get(key)
        if task is None:
            return
        delivered = task.statuses[-1].state if task.statuses else None
        updated = task.with_status(status, latest)
        self._keep(updated)
        health = status.reason == v1.HEALTH_REASON and self.release.tells_health
        news = status.state != delivered if self.release.tells_every_status else updated.state != task.state
        if news or health:
            self._task_updated(updated, status)

    def acknowledge(self, key: Key) -> None:
        """Move a terminal task to the completed ones, as its scheduler has acknowledged the end. Silent."""
        task = self.tasks.get(key)
        if task is not None and task.state in TERMINAL:
            self._forget(task)
            self.frameworks[task.framework.number].completed.append(task)

    def _keep(self, task: Task) -> None:
        self.tasks[task.key] = task
        known = self.agents.get(task.agent.number)
        if known is not None:
            known.tasks[task.key] = task

    def _forget(self, task: Task) -> None:
        self.tasks.pop(task.key, None)
        known = self.agents.get(task.agent.number)
        if known is not None:
            known.tasks.pop(task.key, None)

    # Events.

    def _task_added(self, task: Task) -> None:
        if self.emit is None:
            return
        body = {"task_added": {"task": v1.task_json(task, self.release, event=True)}}
        self.emit(Notice("TASK_ADDED", body, task.framework, task))

    def _task_updated(self, task: Task, status: Status) -> None:
        if self.emit is None:
            return
        framework = v1.value(wire.framework_id(self.origin, task.framework))
        body: Json
        if self.release.status_in_updates:
            body = {"framework_id": framework, "status": v1.status_json(task, status, self.release)}
        else:
            body = {"task_id": v1.value(task.id), "framework_id": framework, "agent_id": v1.value(task.agent.id)}
            if task.executor_id:
                body["executor_id"] = v1.value(task.executor_id)
        body["state"] = task.state
        self.emit(Notice("TASK_UPDATED", {"task_updated": body}, task.framework, task))

    def _agent_added(self, known: KnownAgent) -> None:
        if self.release.agent_events and self.emit is not None:
            agent = v1.agent_json(known.view(), self.release, event=True)
            self.emit(Notice("AGENT_ADDED", {"agent_added": {"agent": agent}}))

    def _framework_event(self, kind: str, known: KnownFramework) -> None:
        if self.release.framework_events and self.emit is not None:
            framework = v1.framework_json(self._framework_view(known, ()), self.release, event=True)
            self.emit(Notice(kind, {kind.lower(): {"framework": framework}}, known.framework))

    # The documents.

    def view(self) -> ClusterView:
        """Return everything known, as the documents show it.

        Releases before 1.2 know no recovered frameworks: their tasks are orphans.
        """
        shown = {
            number: known
            for number, known in self.frameworks.items()
            if self.release.recovers_agents or not known.recovered
        }
        by_framework: dict[int, list[Task]] = {number: [] for number in self.frameworks}
        orphans = tuple(task for task in self.tasks.values() if task.framework.number not in shown)
        for task in self.tasks.values():
            by_framework[task.framework.number].append(task)
        return ClusterView(
            self.master,
            self.elected,
            tuple(known.view() for known in self.agents.values()),
            tuple(self._framework_view(known, tuple(by_framework[number])) for number, known in shown.items()),
            tuple(self.recovered.values()),
            len(self.unreachable_agents),
            tuple(self._framework_view(known, ()) for known in self.completed_frameworks),
            orphans=orphans,
            release=self.release,
        )

    def _framework_view(self, known: KnownFramework, tasks: tuple[Task, ...]) -> FrameworkView:
        return FrameworkView(
            known.framework,
            self.origin,
            known.registered,
            known.reregistered,
            known.recovered,
            tasks,
            tuple(known.unreachable.values()),
            tuple(known.completed),
            known.connected,
            known.connected,
            known.unregistered,
        )
