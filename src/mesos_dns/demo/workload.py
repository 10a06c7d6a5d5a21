"""The life of tasks and agents: launched, failed, killed, moved, finished; lost and back again."""

import random
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from mesos_dns.demo.agenda import Agenda
from mesos_dns.demo.catalog import FRAMEWORKS, Application
from mesos_dns.demo.cluster import Agent, Task
from mesos_dns.demo.generator import Population

Key = tuple[int, str]

#: Told the number of an agent.
Hook = Callable[[int], None]

#: `--max_completed_tasks_per_framework` of the simulated master: enough to look at, few to send.
MAX_COMPLETED: Final = 50

#: Seconds. Mesos gives a silent agent 75 s; a demo should not make people wait.
AGENT_TIMEOUT: Final = 4.0
AGENT_ABSENCE: Final = (10.0, 20.0)
ACKNOWLEDGED_AFTER: Final = 0.3


@dataclass(slots=True)
class Machine:
    """An agent's condition. `lost_at` = when the master gave it up; None while it is registered."""

    agent: Agent
    active: bool = True
    lost_at: float | None = None


class Workload:
    """Tasks and agents. `ready` says whether the schedulers can launch anything at present."""

    def __init__(
        self,
        agenda: Agenda,
        rng: random.Random,
        population: Population,
    ) -> None:
        self._agenda = agenda
        self._rng = rng
        self._placement = population.placement
        self.ready: Callable[[], bool] = lambda: True
        self.on_agent_removed: Hook = lambda _number: None
        self.on_agent_returned: Hook = lambda _number: None
        self.machines = {agent.number: Machine(agent) for agent in population.agents}
        self.tasks: dict[Key, Task] = {task.key: task for task in population.tasks}
        #: Tasks of lost agents as they were; they come back with their agent.
        self.unreachable: dict[Key, Task] = {}
        #: Instances that run or are on their way, by (framework number, task name); surplus is not started again.
        self._instances = Counter((task.framework.number, task.application.name) for task in population.tasks)
        self.completed = {framework.number: deque[Task](maxlen=MAX_COMPLETED) for framework in FRAMEWORKS}

    def __repr__(self) -> str:
        return f"Workload(tasks={len(self.tasks)}, unreachable={len(self.unreachable)})"

    @property
    def present(self) -> list[int]:
        """The numbers of the agents that are alive."""
        return [number for number, machine in self.machines.items() if machine.active]

    def begin(self) -> None:
        """Give the batch jobs among the first tasks an end."""
        for task in list(self.tasks.values()):
            self._resume(task)

    # What a scheduler or an accident does.

    def launch(self, application: Application, *, instead_of: Task | None = None) -> None:
        """Start an instance on a random agent, or try again soon when nothing can be launched now."""
        self._instances[_owner(application)] += 1
        self._place(application, instead_of)

    def _place(self, application: Application, instead_of: Task | None) -> None:
        choices = [number for number in self.present if instead_of is None or number != instead_of.agent.number]
        if not self.ready() or not choices:
            self._agenda.after(0.5, lambda: self._place(application, instead_of))
            return
        agent = self.machines[self._rng.choice(choices)].agent
        task = self._placement.launch(application, agent, self._agenda.now)
        self.tasks[task.key] = task
        if instead_of is not None:
            old = instead_of.key
            self._say("moved", f"{_title(task)} moves from {instead_of.agent.address} to {agent.address}")
            self._agenda.after(3.0, lambda: self.kill(old))
        self._resume(task)

    def move(self, key: Key) -> None:
        """Start a replacement on another agent; kill the old instance when that runs."""
        self.launch(self.tasks[key].application, instead_of=self.tasks[key])

    def fail(self, key: Key) -> None:
        """Let a running task fail; its framework starts another one."""
        task = self.tasks.get(key)
        if task is not None and task.state == "TASK_RUNNING":
            self._say("failed", f"{_title(task)} failed on {task.agent.address}")
            self._end(task, "TASK_FAILED")

    def kill(self, key: Key) -> None:
        """Kill a task the gentle way: TASK_KILLING first."""
        task = self.tasks.get(key)
        if task is None or task.state != "TASK_RUNNING":
            return
        self._say("killed", f"{_title(task)} is killed on {task.agent.address}")
        self._update(task, "TASK_KILLING")
        self._agenda.after(0.5 + self._rng.random(), lambda: self._killed(key))

    def lose(self, number: int) -> None:
        """Cut agent `number` off: first inactive, then given up, back after a while."""
        machine = self.machines[number]
        if not machine.active:
            return
        machine.active = False
        self._say("agent", f"agent {machine.agent.address} does not answer any more")
        self._agenda.after(AGENT_TIMEOUT, lambda: self._give_up(machine))
        self._agenda.after(AGENT_TIMEOUT + self._rng.uniform(*AGENT_ABSENCE), lambda: self._come_back(machine))

    # The steps in between.

    def _resume(self, task: Task) -> None:
        """Note the next step of `task` from the state it is in."""
        key = task.key
        if task.state == "TASK_STAGING":
            self._agenda.after(0.1 + 0.3 * self._rng.random(), lambda: self._starting(key))
        elif task.state == "TASK_STARTING":
            self._agenda.after(0.1 + 0.7 * self._rng.random(), lambda: self._running(key))
        elif task.state == "TASK_KILLING":
            self._agenda.after(0.5, lambda: self._killed(key))
        elif task.application.lifetime is not None:
            lifetime = task.application.lifetime * (0.5 + self._rng.random())
            self._agenda.after(lifetime, lambda: self._finished(key))

    def _starting(self, key: Key) -> None:
        task = self.tasks.get(key)
        if task is not None and task.state == "TASK_STAGING":
            self._resume(self._update(task, "TASK_STARTING"))

    def _running(self, key: Key) -> None:
        task = self.tasks.get(key)
        if task is None or task.state != "TASK_STARTING":
            return
        self._say("started", f"{_title(task)} runs on {task.agent.address}")
        self._resume(self._update(task, "TASK_RUNNING"))
        if task.application.health is not None:
            self._agenda.after(2.0, lambda: self._healthy(key))

    def _healthy(self, key: Key) -> None:
        task = self.tasks.get(key)
        if task is not None and task.state == "TASK_RUNNING":
            self._update(task, "TASK_RUNNING", healthy=True)

    def _killed(self, key: Key) -> None:
        task = self.tasks.get(key)
        if task is not None and task.state == "TASK_KILLING":
            self._end(task, "TASK_KILLED")

    def _finished(self, key: Key) -> None:
        task = self.tasks.get(key)
        if task is not None and task.state == "TASK_RUNNING":
            self._say("finished", f"{_title(task)} finished on {task.agent.address}")
            self._end(task, "TASK_FINISHED")

    def _end(self, task: Task, state: str) -> None:
        """Make `task` terminal; it stays in `tasks` until its scheduler has acknowledged that."""
        ended = self._update(task, state)
        self._agenda.after(ACKNOWLEDGED_AFTER, lambda: self._acknowledge(ended))
        owner = _owner(task.application)
        self._instances[owner] -= 1
        # Surplus, as left by a move or by a lost agent that came back, is not started again.
        if self._instances[owner] < task.application.instances:
            self._instances[owner] += 1
            self._agenda.after(1.0 + 2.0 * self._rng.random(), lambda: self._place(task.application, None))

    def _acknowledge(self, task: Task) -> None:
        # An agent that was lost meanwhile reports the end when it is back; nobody waits for that here.
        self.tasks.pop(task.key, None)
        self.unreachable.pop(task.key, None)
        self._placement.release(task)
        self.completed[task.framework.number].append(task)

    def _give_up(self, machine: Machine) -> None:
        machine.lost_at = round(self._agenda.now, 6)
        for key, task in list(self.tasks.items()):
            if task.agent is machine.agent:
                self.unreachable[key] = self.tasks.pop(key)
        self.on_agent_removed(machine.agent.number)
        self._say("agent", f"agent {machine.agent.address} is given up, its tasks are unreachable")

    def _come_back(self, machine: Machine) -> None:
        machine.active = True
        machine.lost_at = None
        self.on_agent_returned(machine.agent.number)
        self._say("agent", f"agent {machine.agent.address} is back with its tasks")
        for key, task in list(self.unreachable.items()):
            if task.agent is machine.agent:
                self.tasks[key] = self.unreachable.pop(key)
                self._resume(task)

    def _update(self, task: Task, state: str, *, healthy: bool | None = None) -> Task:
        updated = task.turned(state, round(self._agenda.now, 6), healthy=healthy)
        self.tasks[task.key] = updated
        return updated

    def _say(self, kind: str, text: str) -> None:
        self._agenda.tell(kind, text)


def _owner(application: Application) -> Key:
    return (application.framework.number, application.name)


def _title(task: Task) -> str:
    return f"{task.application.name} ({task.framework.name})"
