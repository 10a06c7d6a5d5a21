"""The whole simulated installation: what runs on the agents, which schedulers are connected, which masters live.

The truth stands here; what a master knows of it stands in its `ledger.Ledger`. Verbs take effect at
once and tell every master that leads and listens; what is noted for later goes to the agenda.
"""

import functools
import random
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, Final

from mesos_dns.demo import identity
from mesos_dns.demo.agenda import Agenda
from mesos_dns.demo.catalog import FRAMEWORKS, Application, Framework
from mesos_dns.demo.cluster import TERMINAL, Agent, Status, Task, make_agents
from mesos_dns.demo.document import MasterIdentity
from mesos_dns.demo.generator import Population
from mesos_dns.demo.ledger import Key, Ledger, Notice
from mesos_dns.demo.parts import Machine, Scheduler, Seat
from mesos_dns.demo.releases import LATEST, Release

#: Told the index of a master and an event of it.
Listener = Callable[[int, Notice], None]


#: Seconds that a status waits for its acknowledgement at least and at most.
Delay = tuple[float, float]
AT_ONCE: Final[Delay] = (0.0, 0.0)


class World:
    """An installation of `population` under `endpoints`, the first of which leads and knows everything."""

    def __init__(
        self,
        population: Population,
        endpoints: Sequence[tuple[str, int]],
        start: float,
        *,
        release: Release = LATEST,
        cluster: str = "demo",
        rng: random.Random | None = None,
    ) -> None:
        self.release = release
        self.cluster = cluster
        self.origin = population.origin
        self.agenda = Agenda(start)
        self.rng = rng or random.Random("world")
        self.start = start
        self.placement = population.placement
        self.acknowledged_after: Delay = AT_ONCE
        self.listener: Listener = lambda _index, _notice: None
        self._agents_made = len(population.agents)
        self.machines = {agent.number: Machine(agent) for agent in population.agents}
        self.tasks: dict[Key, Task] = {task.key: task for task in population.tasks}
        #: Statuses that agents have and that are not acknowledged yet, oldest first.
        self.pending: dict[Key, deque[Status]] = {}
        self.schedulers = {framework.number: Scheduler(framework, start - 3000.0) for framework in FRAMEWORKS}
        self.masters = [
            Seat(MasterIdentity(identity.uuid(self.rng), address, port, start - 3600.0, cluster))
            for address, port in endpoints
        ]
        self._begin()

    def __repr__(self) -> str:
        return f"World(now={self.now:.3f}, tasks={len(self.tasks)}, leader={self.leader})"

    @property
    def now(self) -> float:
        """The virtual time."""
        return self.agenda.now

    @property
    def stamp(self) -> float:
        """The virtual time as Mesos writes it, in whole microseconds."""
        return round(self.agenda.now, 6)

    @property
    def leader(self) -> int | None:
        """The index of the master that leads, lives and is heard; None while there is none."""
        for index, seat in enumerate(self.masters):
            if seat.ledger is not None and seat.up and not seat.frozen and seat.heard:
                return index
        return None

    @property
    def ledgers(self) -> list[Ledger]:
        """What the masters know that agents and schedulers talk to: one, or none. None hears them before its registry is read."""
        return [ledger for ledger in self._elected if ledger.registry_read]

    @property
    def _elected(self) -> list[Ledger]:
        return [
            seat.ledger
            for seat in self.masters
            if seat.ledger is not None and seat.up and not seat.frozen and seat.heard
        ]

    def _begin(self) -> None:
        if not self.masters:
            return
        ledger = self.elect(0, at=self.start - 3599.0)
        # Nobody can have subscribed yet, and the events of a large cluster take long to make.
        emit, ledger.emit = ledger.emit, None
        ledger.read_registry(())
        for scheduler in self.schedulers.values():
            ledger.subscribe_framework(scheduler.framework, scheduler.registered)
        for machine in self.machines.values():
            ledger.register_agent(machine.agent, self.start - 3000.0)
        for task in self.tasks.values():
            ledger.launch(task)
        ledger.emit = emit

    # Tasks.

    def launch(self, application: Application, number: int, now: float | None = None) -> Task:
        """Start an instance on agent `number`: TASK_STAGING, known to the leader. Raises PortsExhaustedError."""
        self.connect(application.framework)
        task = self.placement.launch(application, self.machines[number].agent, self.now if now is None else now)
        self.tasks[task.key] = task
        for ledger in self.ledgers:
            ledger.launch(task)
        return task

    def connect(self, framework: Framework) -> None:
        """Register a framework that nobody has heard of."""
        if framework.number not in self.schedulers:
            self.schedulers[framework.number] = Scheduler(framework, self.stamp)
            for ledger in self.ledgers:
                ledger.subscribe_framework(framework, self.stamp)

    def update(self, key: Key, state: str, **more: Any) -> Task:
        """Give the agent of a task a new status of it. `more` are fields of `Status`.

        It reaches the leader when the statuses before it are acknowledged; meanwhile only the state is told.
        """
        status = Status(state, more.pop("timestamp", self.stamp), **more)
        task = self.tasks[key] = self.tasks[key].with_status(status)
        waiting = self.pending.setdefault(key, deque())
        waiting.append(status)
        if len(waiting) == 1:
            self._deliver(key)
        return task

    def _deliver(self, key: Key) -> None:
        task = self.tasks[key]
        machine = self.machines.get(task.agent.number)
        if machine is None or not machine.active or machine.lost_at is not None:
            return
        for ledger in self.ledgers:
            if task.agent.number in ledger.agents:
                status = self.pending[key][0]
                ledger.update(key, status, task.state)
                if self._acknowledges(task):
                    self._acknowledge_soon(key, status)

    def _acknowledges(self, task: Task) -> bool:
        scheduler = self.schedulers.get(task.framework.number)
        return scheduler is not None and scheduler.connected and scheduler.acknowledges

    def _acknowledge_soon(self, key: Key, status: Status) -> None:
        if self.acknowledged_after == AT_ONCE:
            self.acknowledge(key)
            return

        def arrive() -> None:
            waiting, task = self.pending.get(key), self.tasks.get(key)
            # The way leads through the leader to the agent; what gets lost there is sent again.
            if not waiting or waiting[0] is not status or task is None or not self._acknowledges(task):
                return
            if any(task.agent.number in ledger.agents for ledger in self.ledgers):
                self.acknowledge(key)

        self.agenda.after(self.rng.uniform(*self.acknowledged_after), arrive)

    def acknowledge(self, key: Key) -> None:
        """Let the scheduler acknowledge the oldest status of a task; a terminal task is forgotten then."""
        waiting = self.pending.get(key)
        if not waiting:
            return
        waiting.popleft()
        if waiting:
            self._deliver(key)
            return
        del self.pending[key]
        if self.tasks[key].state in TERMINAL:
            self.placement.release(self.tasks.pop(key))
            for ledger in self.ledgers:
                ledger.acknowledge(key)

    def retry(self) -> None:
        """Let the agents send what is not acknowledged again, now with the latest state."""
        for key in list(self.pending):
            if key in self.pending:
                self._deliver(key)

    def silently(self, key: Key, **more: Any) -> Task:
        """Repeat the last status of a task with other fields: no release sends an event for that."""
        last = self.tasks[key].statuses[-1]
        return self.update(key, last.state, **({"healthy": last.healthy, "located": last.located} | more))

    # Agents.

    def add_agent(self, *, master_id: str | None = None) -> Agent:
        """Let a new machine register: AGENT_ADDED. `master_id`: the master whose id begins its own."""
        number, self._agents_made = self._agents_made, self._agents_made + 1
        made = make_agents(self.rng, number + 1, master_id or self.origin)[-1]
        agent = replace(made, origin=self.origin)
        self.placement.add(agent)
        self.machines[number] = Machine(agent)
        for ledger in self.ledgers:
            ledger.register_agent(agent, self.stamp)
        return agent

    def silence_agent(self, number: int) -> None:
        """Break an agent's connection: it turns inactive, its tasks stay listed."""
        self.machines[number].active = False
        for ledger in self.ledgers:
            ledger.agent_silent(number)

    def lose_agent(self, number: int) -> None:
        """Let the leader give an agent up: its tasks are unreachable, and no AGENT_REMOVED is sent."""
        machine = self.machines[number]
        machine.active, machine.lost_at = False, self.stamp
        for ledger in self.ledgers:
            ledger.agent_unreachable(number, self.stamp)

    def return_agent(self, number: int, *, without: Iterable[Key] = ()) -> None:
        """Let an agent come back with its tasks; those in `without` failed meanwhile and wait for acknowledgement."""
        machine = self.machines[number]
        machine.active, machine.lost_at = True, None
        for key in without:
            failed = Status("TASK_FAILED", self.stamp, reason="REASON_EXECUTOR_TERMINATED", message="Abnormal exit")
            self.tasks[key] = self.tasks[key].with_status(failed)
            self.pending.setdefault(key, deque()).append(failed)
        self.reregister(number)

    def reregister(self, number: int) -> None:
        """Let an agent tell the leader what it runs, and send again what is not acknowledged."""
        machine = self.machines.get(number)
        if machine is None or not machine.active:
            return
        mine = [task for task in self.tasks.values() if task.agent.number == number]
        frameworks = {task.framework.number: task.framework for task in mine}
        for ledger in self.ledgers:
            ledger.reregister_agent(machine.agent, mine, frameworks.values(), self.stamp)
            ledger.set_agent(number, deactivated=machine.deactivated, draining=machine.draining)
        for task in mine:
            if task.key in self.pending:
                self._deliver(task.key)

    def unregister_agent(self, number: int) -> None:
        """Shut an agent down properly: TASK_LOST, AGENT_REMOVED; it never comes back."""
        self._discard(number)
        for ledger in self.ledgers:
            ledger.unregister_agent(number, self.stamp)

    def agent_gone(self, number: int) -> None:
        """Mark an agent gone: TASK_GONE_BY_OPERATOR, no AGENT_REMOVED; it never comes back."""
        self._discard(number)
        for ledger in self.ledgers:
            ledger.agent_gone(number, self.stamp)

    def _discard(self, number: int) -> None:
        del self.machines[number]
        for key in [task.key for task in self.tasks.values() if task.agent.number == number]:
            del self.tasks[key]
            self.pending.pop(key, None)

    def set_agent(self, number: int, *, deactivated: bool | None = None, draining: str | None = None) -> None:
        """Deactivate or drain an agent, which stays registered with its tasks. Silent."""
        machine = self.machines[number]
        machine.deactivated = machine.deactivated if deactivated is None else deactivated
        machine.draining = machine.draining if draining is None else draining
        for ledger in self.ledgers:
            ledger.set_agent(number, deactivated=deactivated, draining=draining)

    def readdress_agent(self, number: int, address: str) -> None:
        """Let an agent re-register with another address. Silent: its pid is other than before."""
        machine = self.machines[number]
        machine.agent = replace(machine.agent, address=address)
        for ledger in self.ledgers:
            ledger.replace_agent(machine.agent)

    # Schedulers.

    def disconnect(self, number: int) -> None:
        """Cut a scheduler off. Silent; nothing is acknowledged from now on."""
        self.schedulers[number].connected = False
        for ledger in self.ledgers:
            ledger.framework_disconnected(number)

    def reconnect(self, number: int, framework: Framework | None = None) -> None:
        """Let a scheduler connect (again), perhaps with other data; it acknowledges what waits."""
        scheduler = self.schedulers[number]
        scheduler.framework = framework or scheduler.framework
        scheduler.connected = True
        for ledger in self.ledgers:
            ledger.subscribe_framework(scheduler.framework, self.stamp, again=True)
        self.retry()

    def hold_acknowledgements(self, number: int, hold: bool = True) -> None:
        """Make a connected scheduler slow: it acknowledges nothing until `hold` is False."""
        self.schedulers[number].acknowledges = not hold
        if not hold:
            self.retry()

    def tear_down(self, number: int) -> None:
        """Remove a framework with all its tasks: TASK_KILLED for each, then FRAMEWORK_REMOVED."""
        for key in [key for key in self.tasks if key[0] == number]:
            self.placement.release(self.tasks.pop(key))
            self.pending.pop(key, None)
        self.schedulers.pop(number, None)
        for ledger in self.ledgers:
            ledger.remove_framework(number, self.stamp)

    # Masters.

    def elect(self, index: int, at: float | None = None) -> Ledger:
        """Make a master the leader with an empty ledger, its registry unread; the others that live redirect to it.

        A frozen one notices nothing. A leader that still lives ends, as in Mesos: its `up` turns False. Raises ValueError
        when the master is dead.
        """
        if not self.masters[index].up:
            raise ValueError(f"master {index} is dead, so it cannot lead: start it first")
        for other, seat in enumerate(self.masters):
            if other != index and not seat.frozen and seat.up:
                seat.believed = index
                if seat.ledger is not None and seat.heard:
                    self.kill(other)
        seat = self.masters[index]
        seat.believed, seat.heard = index, True
        elected = self.stamp if at is None else at
        seat.ledger = Ledger(seat.identity, self.origin, self.release, elected, self._emit(index))
        return seat.ledger

    def rename(self, index: int, hostname: str) -> None:
        """Give a master another `--hostname`, which redirects to it name."""
        seat = self.masters[index]
        seat.identity = replace(seat.identity, hostname=hostname)
        if seat.ledger is not None:
            seat.ledger.master = seat.identity

    def _emit(self, index: int) -> Callable[[Notice], None]:
        return lambda notice: self.listener(index, notice)

    def read_registry(self) -> None:
        """Let the new leader learn whom to expect."""
        for ledger in self._elected:
            ledger.read_registry(
                (machine.agent for machine in self.machines.values() if machine.lost_at is None),
                (number for number, machine in self.machines.items() if machine.lost_at is not None),
                self.stamp,
            )

    def come_back(self, over: float = 0.0) -> None:
        """Let agents and connected schedulers return to a new leader, at random moments within `over` seconds."""
        for number in list(self.machines):
            self._within(over, functools.partial(self.reregister, number))
        for number in list(self.schedulers):
            self._within(over, functools.partial(self._resubscribe, number))

    def _within(self, over: float, action: Callable[[], None]) -> None:
        if over > 0:
            self.agenda.after(self.rng.random() * over, action)
        else:
            action()

    def _resubscribe(self, number: int) -> None:
        scheduler = self.schedulers.get(number)
        if scheduler is not None and scheduler.connected:
            self.reconnect(number)

    def kill(self, index: int) -> None:
        """End a master: its connections break, its port is closed; the others still believe in it."""
        seat = self.masters[index]
        seat.up, seat.frozen, seat.ledger = False, False, None

    def start_master(self, index: int, *, routed: bool = True) -> None:
        """Start a dead master: with a new id, following whom the others follow (even if that is itself)."""
        seat = self.masters[index]
        seat.identity = replace(seat.identity, id=identity.uuid(self.rng), started=self.stamp)
        believed = next((other.believed for other in self.masters if other.up and other.believed is not None), None)
        seat.up, seat.routed, seat.heard, seat.ledger, seat.believed = True, routed, True, None, believed

    def nobody_leads(self) -> None:
        """Let every living master that does not lead know no leader: 503."""
        for seat in self.masters:
            if seat.up and not seat.frozen and seat.ledger is None:
                seat.believed = None

    def usurp(self, index: int, *, copied: bool = True) -> None:
        """Make a second master claim to lead. Nobody talks to it: it shows what the leader knows now, or nothing."""
        seat = self.masters[index]
        pretended = Ledger(seat.identity, self.origin, self.release, self.stamp, self._emit(index))
        pretended.read_registry(())
        for ledger in self.ledgers if copied else ():
            for known in ledger.frameworks.values():
                pretended.subscribe_framework(known.framework, known.registered)
            for agent in ledger.agents.values():
                pretended.register_agent(agent.agent, agent.registered)
            for task in ledger.tasks.values():
                pretended.launch(task)
        seat.ledger, seat.heard = pretended, False
