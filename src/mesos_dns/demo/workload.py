"""The life of tasks and agents: launched, failed, killed, moved, finished; lost and back again."""

import random
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

from mesos_dns.demo.catalog import Application
from mesos_dns.demo.cluster import Task
from mesos_dns.demo.ledger import Key
from mesos_dns.demo.parts import Machine
from mesos_dns.demo.v1 import HEALTH_REASON
from mesos_dns.demo.world import World

#: Seconds. Mesos gives a silent agent 75 s; a demo should not make people wait.
AGENT_TIMEOUT: Final = 4.0
AGENT_ABSENCE: Final = (10.0, 20.0)
#: Schedulers answer a status after this long; a task that moves on meanwhile has a state ahead of its statuses.
ACKNOWLEDGED_AFTER: Final = (0.05, 0.45)

#: Whether something can happen now.
Ready = Callable[[], bool]


class Workload:
    """What happens to tasks and agents by itself. `ready` says whether the schedulers can launch anything at present."""

    def __init__(self, world: World, rng: random.Random) -> None:
        self._world = world
        self._agenda = world.agenda
        self._rng = rng
        world.acknowledged_after = ACKNOWLEDGED_AFTER
        self.ready: Ready = lambda: True
        #: Instances that run or are on their way, by (framework number, task name); surplus is not started again.
        self._instances = Counter((task.framework.number, task.application.name) for task in world.tasks.values())

    def __repr__(self) -> str:
        return f"Workload({self._world!r})"

    @property
    def machines(self) -> dict[int, Machine]:
        """Every agent by number."""
        return self._world.machines

    @property
    def tasks(self) -> dict[Key, Task]:
        """The tasks on agents that are not given up."""
        return {key: task for key, task in self._world.tasks.items() if not self._lost(task)}

    @property
    def unreachable(self) -> dict[Key, Task]:
        """The tasks of lost agents as they were; they come back with their agent."""
        return {key: task for key, task in self._world.tasks.items() if self._lost(task)}

    def _lost(self, task: Task) -> bool:
        return self.machines[task.agent.number].lost_at is not None

    def _task(self, key: Key, state: str) -> Task | None:
        """Return the task if it is within reach and in `state`."""
        task = self._world.tasks.get(key)
        return task if task is not None and task.state == state and not self._lost(task) else None

    @property
    def present(self) -> list[int]:
        """The numbers of the agents that are alive."""
        return [number for number, machine in self.machines.items() if machine.active]

    def begin(self) -> None:
        """Give the batch jobs among the first tasks an end."""
        for task in list(self._world.tasks.values()):
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
        task = self._world.launch(application, self._rng.choice(choices))
        agent = task.agent
        if instead_of is not None:
            old = instead_of.key
            self._say("moved", f"{_title(task)} moves from {instead_of.agent.address} to {agent.address}")
            self._agenda.after(3.0, lambda: self.kill(old))
        self._resume(task)

    def move(self, key: Key) -> None:
        """Start a replacement on another agent; kill the old instance when that runs."""
        task = self._world.tasks[key]
        self.launch(task.application, instead_of=task)

    def fail(self, key: Key) -> None:
        """Let a running task fail; its framework starts another one."""
        task = self._task(key, "TASK_RUNNING")
        if task is not None:
            self._say("failed", f"{_title(task)} failed on {task.agent.address}")
            self._end(task, "TASK_FAILED")

    def kill(self, key: Key) -> None:
        """Kill a task the gentle way: TASK_KILLING first."""
        task = self._task(key, "TASK_RUNNING")
        if task is None:
            return
        self._say("killed", f"{_title(task)} is killed on {task.agent.address}")
        self._update(task, "TASK_KILLING")
        self._agenda.after(0.5 + self._rng.random(), lambda: self._killed(key))

    def lose(self, number: int) -> None:
        """Cut agent `number` off: first inactive, then given up, back after a while."""
        machine = self.machines[number]
        if not machine.active:
            return
        self._world.silence_agent(number)
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
        task = self._task(key, "TASK_STAGING")
        if task is not None:
            self._resume(self._update(task, "TASK_STARTING"))

    def _running(self, key: Key) -> None:
        task = self._task(key, "TASK_STARTING")
        if task is None:
            return
        self._say("started", f"{_title(task)} runs on {task.agent.address}")
        self._resume(self._update(task, "TASK_RUNNING"))
        if task.application.health is not None:
            self._agenda.after(2.0, lambda: self._healthy(key))

    def _healthy(self, key: Key) -> None:
        task = self._task(key, "TASK_RUNNING")
        if task is not None:
            self._update(task, "TASK_RUNNING", healthy=True, reason=HEALTH_REASON)

    def _killed(self, key: Key) -> None:
        task = self._task(key, "TASK_KILLING")
        if task is not None:
            self._end(task, "TASK_KILLED")

    def _finished(self, key: Key) -> None:
        task = self._task(key, "TASK_RUNNING")
        if task is not None:
            self._say("finished", f"{_title(task)} finished on {task.agent.address}")
            self._end(task, "TASK_FINISHED")

    def _end(self, task: Task, state: str) -> None:
        """Make `task` terminal; it stays listed until its scheduler has acknowledged that."""
        self._update(task, state)
        owner = _owner(task.application)
        self._instances[owner] -= 1
        # Surplus, as left by a move or by a lost agent that came back, is not started again.
        if self._instances[owner] < task.application.instances:
            self._instances[owner] += 1
            self._agenda.after(1.0 + 2.0 * self._rng.random(), lambda: self._place(task.application, None))

    def _give_up(self, machine: Machine) -> None:
        if machine.agent.number not in self.machines:
            return  # shut down for good meanwhile
        self._world.lose_agent(machine.agent.number)
        self._say("agent", f"agent {machine.agent.address} is given up, its tasks are unreachable")

    def _come_back(self, machine: Machine) -> None:
        if machine.agent.number not in self.machines:
            return
        self._world.return_agent(machine.agent.number)
        self._say("agent", f"agent {machine.agent.address} is back with its tasks")
        for task in list(self._world.tasks.values()):
            if task.agent.number == machine.agent.number:
                self._resume(task)

    def _update(self, task: Task, state: str, **more: Any) -> Task:
        return self._world.update(task.key, state, **more)

    def _say(self, kind: str, text: str) -> None:
        self._agenda.tell(kind, text)


def _owner(application: Application) -> Key:
    return (application.framework.number, application.name)


def _title(task: Task) -> str:
    return f"{task.application.name} ({task.framework.name})"
