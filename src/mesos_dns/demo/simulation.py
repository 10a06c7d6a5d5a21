"""The cluster over virtual time: the same seed and the same times give the same cluster.

Nothing here reads a clock or a socket. `advance(now)` lets happen what is due; `sight(master)` is
what a client of one master would see at that moment.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from mesos_dns.demo.agenda import Agenda, Event
from mesos_dns.demo.catalog import FRAMEWORKS
from mesos_dns.demo.cluster import Task
from mesos_dns.demo.document import ClusterView, MasterIdentity
from mesos_dns.demo.election import Election, Pace
from mesos_dns.demo.generator import populate
from mesos_dns.demo.wire import AgentView, FrameworkView
from mesos_dns.demo.workload import Workload


@dataclass(frozen=True, slots=True)
class Down:
    """The master is dead: its port refuses connections."""


@dataclass(frozen=True, slots=True)
class NoLeader:
    """The master lives and knows no leader."""


@dataclass(frozen=True, slots=True)
class Follows:
    """The master lives and redirects to `leader`, which may be dead already."""

    leader: MasterIdentity


@dataclass(frozen=True, slots=True)
class Leads:
    """The master leads and knows this much of the cluster."""

    view: ClusterView


Sight = Down | NoLeader | Follows | Leads


@dataclass(frozen=True, slots=True)
class Plan:
    """What to simulate. `churn` in events per second and `failover_every` in seconds; 0 = never."""

    seed: int = 1
    agents: int = 6
    tasks: int = 40
    churn: float = 0.5
    failover_every: float = 90.0
    pace: Pace = field(default_factory=Pace)


class Simulation:
    """A cluster that starts at rest at virtual time `start` (seconds since 1970)."""

    def __init__(self, plan: Plan, masters: Sequence[tuple[str, int]], start: float) -> None:
        population = populate(seed=plan.seed, agents=plan.agents, tasks=plan.tasks, now=start)
        self.plan = plan
        self._start = start
        self._origin = population.origin
        self._rng = random.Random(f"simulation {plan.seed}")
        self._agenda = Agenda(start)
        self.workload = Workload(self._agenda, self._rng, population)
        self.election = Election(self._agenda, self._rng, masters, lambda: self.workload.present, plan.pace)
        self.workload.ready = lambda: self.election.settled
        self.workload.on_agent_removed = self.election.agent_removed
        self.workload.on_agent_returned = self.election.agent_returned
        if plan.churn > 0:
            self.workload.begin()
            self._agenda.after(self._rng.expovariate(plan.churn), self._disturb)
        if plan.failover_every > 0:
            self._agenda.after(plan.failover_every, self._fail_over)

    def __repr__(self) -> str:
        return f"Simulation(now={self.now:.3f}, {self.workload!r}, {self.election!r})"

    @property
    def now(self) -> float:
        """The virtual time."""
        return self._agenda.now

    def advance(self, now: float) -> list[Event]:
        """Let everything happen up to `now`; returns what people would like to know, in order."""
        self._agenda.run_until(now)
        return self._agenda.take_events()

    def sight(self, index: int) -> Sight:
        """Look at the cluster through master `index`."""
        election = self.election
        if not election.up[index]:
            return Down()
        if election.leader == index:
            return Leads(self._view(index))
        if election.believed is None:
            return NoLeader()
        return Follows(election.masters[election.believed])

    def _view(self, index: int) -> ClusterView:
        election, workload = self.election, self.workload
        by_agent: dict[int, list[Task]] = {}
        for task in workload.tasks.values():
            by_agent.setdefault(task.agent.number, []).append(task)
        agents = tuple(
            self._agent_view(number, back, by_agent.get(number, [])) for number, back in election.agents_back.items()
        )
        recovered = tuple(
            machine.agent
            for number, machine in workload.machines.items()
            if election.registry_read and number not in election.agents_back and machine.lost_at is None
        )
        frameworks = tuple(
            view for framework in FRAMEWORKS if (view := self._framework_view(framework.number, agents)) is not None
        )
        lost = sum(machine.lost_at is not None for machine in workload.machines.values())
        return ClusterView(election.masters[index], election.elected, agents, frameworks, recovered, lost)

    def _agent_view(self, number: int, back: float | None, tasks: list[Task]) -> AgentView:
        machine = self.workload.machines[number]
        registered = self._start - 3000.0 if back is None else back
        return AgentView(machine.agent, registered, back, machine.active, tuple(tasks))

    def _framework_view(self, number: int, agents: tuple[AgentView, ...]) -> FrameworkView | None:
        """Show a framework as soon as its scheduler or an agent with a task of it is back."""
        election, workload = self.election, self.workload
        tasks = tuple(task for agent in agents for task in agent.tasks if task.framework.number == number)
        connected = number in election.frameworks_back
        if not connected and not tasks:
            return None
        back = election.frameworks_back.get(number)
        # A new leader knows neither tasks that ended nor those that got lost before its time.
        unreachable = tuple(
            task.turned("TASK_UNREACHABLE", lost_at, located=False)
            for task in workload.unreachable.values()
            if task.framework.number == number
            and (lost_at := workload.machines[task.agent.number].lost_at) is not None
            and lost_at >= election.elected
        )
        completed = tuple(
            task for task in workload.completed[number] if task.statuses[-1].timestamp >= election.elected
        )
        registered = 0.0 if not connected else self._start - 3000.0 if back is None else back
        framework = FRAMEWORKS[number]
        return FrameworkView(framework, self._origin, registered, back, not connected, tasks, unreachable, completed)

    def _disturb(self) -> None:
        self._agenda.after(self._rng.expovariate(self.plan.churn), self._disturb)
        workload = self.workload
        running = [key for key, task in workload.tasks.items() if task.state == "TASK_RUNNING"]
        if not running or not self.election.settled:
            return
        key = self._rng.choice(running)
        chance = self._rng.random()
        if chance < 0.4 and len(workload.present) > 1:
            workload.move(key)
        elif chance < 0.65:
            workload.fail(key)
        elif chance < 0.93:
            workload.kill(key)
        elif len(workload.present) == len(workload.machines) > 1:
            workload.lose(self._rng.choice(workload.present))

    def _fail_over(self) -> None:
        self._agenda.after(self.plan.failover_every, self._fail_over)
        self.election.fail_over()
