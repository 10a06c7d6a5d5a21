"""The cluster over virtual time: the same seed and the same times give the same cluster.

Nothing here reads a clock or a socket. `advance(now)` lets happen what is due; `sight(master)` is
what a client of one master would see at that moment.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from mesos_dns.demo.agenda import Event
from mesos_dns.demo.document import ClusterView, MasterIdentity
from mesos_dns.demo.election import Election, Pace
from mesos_dns.demo.generator import populate
from mesos_dns.demo.releases import LATEST, Release
from mesos_dns.demo.workload import Workload
from mesos_dns.demo.world import World


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
    release: Release = LATEST


class Simulation:
    """A cluster that starts at rest at virtual time `start` (seconds since 1970)."""

    def __init__(self, plan: Plan, masters: Sequence[tuple[str, int]], start: float) -> None:
        population = populate(seed=plan.seed, agents=plan.agents, tasks=plan.tasks, now=start)
        self.plan = plan
        self._rng = random.Random(f"simulation {plan.seed}")
        self.world = World(population, masters, start, release=plan.release, rng=self._rng)
        self._agenda = self.world.agenda
        self.workload = Workload(self.world, self._rng)
        self.election = Election(self.world, plan.pace)
        self.workload.ready = lambda: self.election.settled
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
        seat = self.world.masters[index]
        if not seat.up:
            return Down()
        if seat.ledger is not None:
            return Leads(seat.ledger.view())
        if seat.believed is None:
            return NoLeader()
        return Follows(self.world.masters[seat.believed].identity)

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
