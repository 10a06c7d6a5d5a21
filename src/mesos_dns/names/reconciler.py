"""From one observation to the next, across master failovers. Pure; time comes in as an argument.

A freshly elected master answers with an empty cluster and learns of agents, frameworks and tasks only as the agents
re-register (Mesos gives them 10 minutes). Whoever believes that first answer drops every name. So after a change of master, absence
alone is no evidence, and what is absent is *held*: it stays in the model until the master says more, or the time is up.

What becomes of that which the model has and a state lacks. Without a change of master it is gone, at once, unless the loss is
sudden (below). After one:

| what is absent | what the state says besides | what becomes of it |
|---|---|---|
| agent | no `recovered_slaves`: before Mesos 1.2, or a registry in memory | held for GRACE |
| | `recovered_slaves`, but neither it nor `slaves` has had an agent since the election: the registry is not read yet | held for GRACE |
| | it is in `recovered_slaves` | held for GRACE |
| | it is not: never admitted, marked unreachable, or removed | gone |
| framework | it is in `completed_frameworks` | gone, with its tasks |
| | an agent with one of its tasks is held, or the frameworks of agents that are back are not told (below) | held for GRACE |
| | no agent speaks for it any more: only its scheduler could | held for SCHEDULER_GRACE |
| task | its agent is held | held with its agent |
| | its agent is back, its framework is present | gone |
| | its agent is back, its framework is absent, and the frameworks of agents that are back are told | gone |
| | its agent is back, its framework is absent, and they are not told | held with its framework |
| | its agent or its framework is gone | gone |

The frameworks of agents that are back are told if the state has `recovered_slaves` (Mesos 1.2 and later list such frameworks, as
`recovered`, before their schedulers are back), or if it has `unregistered_frameworks` without this one (before Mesos 1.2 it names the frameworks
whose tasks are orphans).

GRACE stands for the configured time, else the one that the master's flags tell, else GRACE; SCHEDULER_GRACE is never longer. Both begin
when the change of master is noticed, by the clock of this machine; another change begins them anew. The former master counts as
another one, should it come back. What was seen with the present master is not held when it vanishes.

With or without a change of master:

| what an observation does not show (`Snapshot.not_shown`) | what becomes of it |
|---|---|
| agents, frameworks (with their tasks), or the tasks of one framework | held as long as they are not shown; an agent that is gone takes its tasks along |
| the address of a framework that is `recovered`, whose scheduler is not back | stays as it was |
| frameworks (with their tasks), or the tasks of one, that vanished when the state began to conceal some (`Snapshot.concealed`), unless it says that they ended | held as long as it conceals some; an agent that is gone takes its tasks along |
| without a change of master: more than half of the tasks, of whose end the state says nothing (`holds.unexplained`) | held for LOSS_GRACE, and their agents and frameworks with them |

Deltas and time:

| observation | what it ends |
|---|---|
| a delta that has the entity, or says that it is gone | the hold of that entity; tasks held with it are gone if it is gone |
| a delta that has a held agent, or the framework that a task is held with | the tasks held with it go after SETTLING, unless they come |
| anything, a clock tick too | every hold whose time is up: that entity is gone, with the tasks on it |
"""

import bisect
import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Final, TypeVar

from msgspec.structs import replace

from mesos_dns.mesos.state import Concealed, Delta, Framework, Observation, Snapshot, TaskKey
from mesos_dns.names.holds import CONCEALED, LOSS_GRACE, NOT_SHOWN, Held, Hold, Why, is_sudden, unexplained
from mesos_dns.names.model import Model

K = TypeVar("K")

#: Seconds. Mesos marks agents unreachable that are not back after `--agent_reregister_timeout`, by default and at least this long.
GRACE: Final = 600.0
#: Seconds. The longest that a master's flags may make the grace: whoever gives agents weeks does not want names of that age.
MAX_GRACE: Final = 86400.0
#: Seconds. A scheduler that lost its master tries again at least once a minute (libmesos caps its back-off there): time for two tries.
SCHEDULER_GRACE: Final = 120.0
#: Seconds. The events of one returning agent come within milliseconds, tasks before the agent on Mesos 1.11; no order is promised.
SETTLING: Final = 10.0


class Reconciler:
    """Compares observations with the model: the delta that leads to them, less what may come back."""

    def __init__(self, model: Model, grace: float | None = None) -> None:
        """`grace`: seconds that what a change of master hid is held; None for what the master's flags tell."""
        self._model = model
        self._configured = grace
        #: What the newest flags that could be read said.
        self._told: float | None = None
        self._master: str | None = None
        #: When the change to the present master was noticed; minus infinity if there was none.
        self._changed = -math.inf
        #: What the former master knew and the present one has neither shown nor given up.
        self._awaited_agents: set[str] = set()
        self._awaited_frameworks: set[str] = set()
        #: Whether the present master has shown that it knows of any agent.
        self._registry_read = False
        #: Whether it lists frameworks as soon as an agent with one of their tasks is back.
        self._lists_recovered = False
        #: What the last state concealed.
        self._concealed = Concealed()
        self._agents: dict[str, Hold] = {}
        self._frameworks: dict[str, Hold] = {}
        #: By agent, for an agent that comes back or goes concerns all of its tasks.
        self._tasks: dict[str, dict[TaskKey, Hold]] = {}
        #: The times at which holds may end. What no hold says (any more) ends nothing.
        self._deadlines: list[float] = []

    def __repr__(self) -> str:
        return (
            f"Reconciler(master={self._master!r}, held agents={len(self._agents)}, "
            f"held frameworks={len(self._frameworks)}, held tasks={sum(map(len, self._tasks.values()))})"
        )

    def inherit(self, former: "Reconciler") -> None:
        """Go on where `former` is, whose model this one's model has taken over."""
        self._master = former._master
        self._changed = former._changed
        self._awaited_agents = set(former._awaited_agents)
        self._awaited_frameworks = set(former._awaited_frameworks)
        self._registry_read = former._registry_read
        self._lists_recovered = former._lists_recovered
        self._told = former._told
        self._concealed = former._concealed
        self._agents = dict(former._agents)
        self._frameworks = dict(former._frameworks)
        self._tasks = {agent_id: dict(tasks) for agent_id, tasks in former._tasks.items()}
        self._deadlines = list(former._deadlines)

    @property
    def grace(self) -> float:
        """Seconds that what a change of master hid is held at most."""
        return self._configured or self._told or GRACE

    @property
    def is_holding(self) -> bool:
        """Whether anything is held; costs nothing."""
        return bool(self._agents or self._frameworks or self._tasks)

    @property
    def next_deadline(self) -> float | None:
        """When to reconcile at the latest, with or without an observation; None if no time ends anything.

        What was to end then may have ended before.
        """
        return self._deadlines[0] if self._deadlines else None

    @property
    def held_counts(self) -> dict[str, int]:
        """How much is held, by kind, at the cost of a look at each agent with held tasks."""
        tasks = sum(map(len, self._tasks.values()))
        return {"agent": len(self._agents), "framework": len(self._frameworks), "task": tasks}

    def held(self) -> Iterator[Held]:
        """What is in the model although the last observation lacks it."""
        for agent_id, hold in self._agents.items():
            yield Held("agent", agent_id, hold)
        for framework_id, hold in self._frameworks.items():
            yield Held("framework", framework_id, hold)
        for tasks in self._tasks.values():
            for key, hold in tasks.items():
                yield Held("task", key, hold)

    def hold_of_agent(self, agent_id: str) -> Hold | None:
        """Why and until when an agent is held; None if it is not."""
        return self._agents.get(agent_id)

    def hold_of_framework(self, framework_id: str) -> Hold | None:
        """The same of a framework."""
        return self._frameworks.get(framework_id)

    def hold_of_task(self, key: TaskKey) -> Hold | None:
        """The same of a task."""
        task = self._model.tasks.get(key)
        return None if task is None else self._tasks.get(task.agent_id, {}).get(key)

    def reconcile(self, observation: Observation | None, now: float) -> Delta:
        """What to apply to the model; None if nothing was observed, but time has passed. `now`: seconds of any steady clock.

        The delta must be applied before the next call. Time ends holds, so call it with None only while events are heard as they
        happen. Between two polls, or while no master answers, nobody knows what has come back: the next state ends what is overdue.
        """
        if isinstance(observation, Snapshot):
            return self._take_snapshot(observation, now)
        return self._take_delta(Delta() if observation is None else observation, now)

    # --- snapshots -----------------------------------------------------------------------------

    def _take_snapshot(self, snapshot: Snapshot, now: float) -> Delta:
        is_new = self._note_master(snapshot, now)
        self._note_returns(snapshot)
        model = self._model
        before = self._tasks
        frameworks = {key: self._keep_address(new) for key, new in snapshot.frameworks.items()}
        # In this order: what becomes of a framework depends on its agents, of a task on both.
        agents_gone = self._miss_agents(snapshot)
        frameworks_gone = self._miss_frameworks(snapshot, now)
        tasks_gone = self._miss_tasks(snapshot, agents_gone, frameworks_gone)
        if spared := self._losses(snapshot, tasks_gone, before, now, is_new=is_new):
            tasks_gone = [key for key in tasks_gone if key not in spared]
            for key, hold in spared.items():
                agent_id = model.tasks[key].agent_id
                self._tasks.setdefault(agent_id, {})[key] = hold
                _spare(agent_id, agents_gone, self._agents, hold)
                _spare(key[0], frameworks_gone, self._frameworks, hold)
        self._concealed = snapshot.concealed
        self._deadlines = sorted({one.hold.until for one in self.held()} - {math.inf})
        return Delta(
            agents={key: new for key, new in snapshot.agents.items() if model.agents.get(key) != new},
            frameworks={key: new for key, new in frameworks.items() if model.frameworks.get(key) != new},
            # An unchanged task is mostly the very same object, which the decoder remembered.
            tasks={
                key: new
                for key, new in snapshot.tasks.items()
                if (old := model.tasks.get(key)) is not new and old != new
            },
            agents_gone=tuple(agents_gone),
            frameworks_gone=tuple(frameworks_gone),
            tasks_gone=tuple(tasks_gone),
        )

    def _note_master(self, snapshot: Snapshot, now: float) -> bool:
        """Whether it is another one than before."""
        if snapshot.reregister_timeout is not None:
            self._told = min(snapshot.reregister_timeout, MAX_GRACE)
        master = snapshot.master_id or str(snapshot.leader)
        is_new = self._master not in (None, master)
        if is_new:
            self._awaited_agents = set(self._model.agents)
            self._awaited_frameworks = set(self._model.frameworks)
            self._registry_read = False
            self._changed = now
        self._master = master
        if now >= self._changed + self.grace:
            self._awaited_agents.clear()
            self._awaited_frameworks.clear()
        return is_new

    def _note_returns(self, snapshot: Snapshot) -> None:
        self._awaited_agents -= snapshot.agents.keys()
        self._awaited_frameworks -= snapshot.frameworks.keys()
        self._awaited_frameworks -= snapshot.completed_frameworks
        recovered = snapshot.recovered_agents
        self._lists_recovered = recovered is not None
        if snapshot.agents or recovered:
            self._registry_read = True
        if recovered is not None and self._registry_read and not snapshot.not_shown.agents:
            self._awaited_agents &= recovered

    def _miss_agents(self, snapshot: Snapshot) -> set[str]:
        """Hold the agents that the snapshot lacks, or return them as gone."""
        absent = self._model.agents.keys() - snapshot.agents.keys()
        if snapshot.not_shown.agents:
            self._agents = dict.fromkeys(absent, NOT_SHOWN)
            return set()
        registry, expected = (Hold(why, self._changed + self.grace) for why in (Why.REGISTRY, Why.EXPECTED))
        recovered = snapshot.recovered_agents or ()
        self._agents = {
            agent_id: expected if agent_id in recovered else registry for agent_id in absent & self._awaited_agents
        }
        return absent - self._awaited_agents

    def _miss_frameworks(self, snapshot: Snapshot, now: float) -> set[str]:
        """Do the same with frameworks, once it is known which agents are awaited."""
        absent = self._model.frameworks.keys() - snapshot.frameworks.keys()
        if snapshot.not_shown.frameworks:
            ended = absent & snapshot.completed_frameworks
            self._frameworks = dict.fromkeys(absent - ended, NOT_SHOWN)
            return ended
        by_agents = Hold(Why.AGENT, self._changed + self.grace)
        by_scheduler = Hold(Why.SCHEDULER, self._changed + min(SCHEDULER_GRACE, self.grace))
        concealed = {each for each in absent if self._is_concealed(each, snapshot)}
        self._frameworks = dict.fromkeys(concealed, CONCEALED)
        for framework_id in (absent & self._awaited_frameworks) - concealed:
            lost = self._is_told(framework_id, snapshot) and not self._is_awaited_on_an_agent(framework_id)
            hold = by_scheduler if lost else by_agents
            if now < hold.until:
                self._frameworks[framework_id] = hold
        return absent - self._frameworks.keys()

    def _miss_tasks(
        self, snapshot: Snapshot, agents_gone: Collection[str], frameworks_gone: Collection[str]
    ) -> list[TaskKey]:
        """Do the same with tasks, once it is known what is held besides."""
        before, self._tasks = self._tasks, {}
        not_shown = snapshot.not_shown
        by_agent, by_framework = (Hold(why, self._changed + self.grace) for why in (Why.AGENT, Why.FRAMEWORK))
        gone = []
        for key, task in self._model.tasks.items():
            if key in snapshot.tasks:
                continue
            framework_id, agent_id = key[0], task.agent_id
            if agent_id in agents_gone or framework_id in frameworks_gone:
                gone.append(key)
                continue
            if not_shown.frameworks or framework_id in not_shown.tasks_of:
                hold = NOT_SHOWN
            elif agent_id in self._awaited_agents:
                hold = by_agent
            elif self._frameworks.get(framework_id) is CONCEALED or (
                framework_id in snapshot.concealed.tasks_of
                and self._is_concealed_task(key, snapshot, before.get(agent_id, {}).get(key))
            ):
                hold = CONCEALED
            elif framework_id in self._frameworks and not self._is_told(framework_id, snapshot):
                hold = by_framework
            else:
                gone.append(key)
                continue
            self._tasks.setdefault(agent_id, {})[key] = hold
        return gone

    def _is_concealed(self, framework_id: str, snapshot: Snapshot) -> bool:
        """Whether an absent framework may be one that the state conceals: it vanished when the state began to do so."""
        if not snapshot.concealed.frameworks or framework_id in snapshot.completed_frameworks:
            return False
        if self._frameworks.get(framework_id) is CONCEALED:
            return True
        if self._concealed.frameworks:
            return False
        # What it uses is part of the sum only on agents that are there. Without any it may just not be back after a change of master.
        tasks = self._model.tasks_of_framework(framework_id)
        return framework_id not in self._awaited_frameworks or any(
            self._model.tasks[key].agent_id in snapshot.agents for key in tasks
        )

    def _is_concealed_task(self, key: TaskKey, snapshot: Snapshot, before: Hold | None) -> bool:
        """The same of a task whose framework is shown without its tasks."""
        began = key[0] not in self._concealed.tasks_of
        return (began or before is CONCEALED) and key[1] not in snapshot.ended_tasks.get(key[0], ())

    def _losses(
        self,
        snapshot: Snapshot,
        gone: Collection[TaskKey],
        before: Mapping[str, Mapping[TaskKey, Hold]],
        now: float,
        *,
        is_new: bool,
    ) -> dict[TaskKey, Hold]:
        """Those of the tasks that are `gone` which are not to be believed gone yet. `before`: the holds as they were; `is_new`: the master is another one."""
        if not gone:
            return {}
        fresh = []
        kept = {}
        for key in gone:
            hold = before.get(self._model.tasks[key].agent_id, {}).get(key)
            if hold is None:
                fresh.append(key)
            elif hold.why is Why.LOSS and now < hold.until:
                kept[key] = hold
        spared = {key: kept[key] for key in unexplained(kept, snapshot)}
        lost = [] if is_new else unexplained(fresh, snapshot)
        if is_sudden(len(lost), len(self._model.tasks) - sum(map(len, before.values()))):
            spared |= dict.fromkeys(lost, Hold(Why.LOSS, now + LOSS_GRACE))
        return spared

    def _is_told(self, framework_id: str, snapshot: Snapshot) -> bool:
        """Whether the master would list this framework, or its tasks, if an agent that is back had one of its tasks."""
        unregistered = snapshot.unregistered_frameworks
        if unregistered is not None and framework_id in unregistered:
            return False
        if snapshot.recovered_agents is not None:
            return self._registry_read
        return unregistered is not None

    def _is_awaited_on_an_agent(self, framework_id: str) -> bool:
        """Whether one of the framework's tasks, as far as the model knows, is on an agent that may come back."""
        awaited, tasks = self._awaited_agents, self._model.tasks
        return bool(awaited) and any(
            tasks[key].agent_id in awaited for key in self._model.tasks_of_framework(framework_id)
        )

    def _keep_address(self, new: Framework) -> Framework:
        """A framework recovered from agents has no PID until its scheduler is back: the old one stays."""
        old = self._model.frameworks.get(new.id)
        if new.recovered and new.port is None and old is not None and old.name == new.name:
            return Framework(new.id, new.name, old.host, old.port, recovered=True)
        return new

    # --- deltas and time -----------------------------------------------------------------------

    def _take_delta(self, delta: Delta, now: float) -> Delta:
        self._awaited_agents.difference_update(delta.agents, delta.agents_gone)
        self._awaited_frameworks.difference_update(delta.frameworks, delta.frameworks_gone)
        if not self.is_holding:
            return self._with_addresses(delta)
        # What is both gone and given was replaced: it is there.
        agents_gone = dict.fromkeys(key for key in delta.agents_gone if key not in delta.agents)
        frameworks_gone = dict.fromkeys(key for key in delta.frameworks_gone if key not in delta.frameworks)
        self._let_settle(delta, now + SETTLING)
        agents_gone.update(dict.fromkeys(self._end_holds(self._agents, agents_gone, now)))
        frameworks_gone.update(dict.fromkeys(self._end_holds(self._frameworks, frameworks_gone, now)))
        self._awaited_agents.difference_update(agents_gone)
        self._awaited_frameworks.difference_update(frameworks_gone)
        tasks_gone = [*delta.tasks_gone, *self._end_task_holds(delta, agents_gone, frameworks_gone, now)]
        del self._deadlines[: bisect.bisect_right(self._deadlines, now)]
        if not self.is_holding:
            self._deadlines.clear()
        return self._with_addresses(
            Delta(
                agents=delta.agents,
                frameworks=delta.frameworks,
                tasks=delta.tasks,
                agents_gone=tuple(dict.fromkeys((*delta.agents_gone, *agents_gone))),
                frameworks_gone=tuple(dict.fromkeys((*delta.frameworks_gone, *frameworks_gone))),
                tasks_gone=tuple(tasks_gone),
            )
        )

    def _with_addresses(self, delta: Delta) -> Delta:
        if not delta.frameworks:
            return delta
        return replace(delta, frameworks={key: self._keep_address(new) for key, new in delta.frameworks.items()})

    def _let_settle(self, delta: Delta, until: float) -> None:
        """End the holds of agents and frameworks that are back; tasks held with them go at `until`, unless they come."""
        settling = Hold(Why.SETTLING, until)
        back = {key for key in delta.frameworks if self._frameworks.pop(key, None) is not None}
        settled = False
        for agent_id in delta.agents:
            if self._agents.pop(agent_id, None) is None:
                continue
            tasks = self._tasks.get(agent_id, {})
            for key, hold in tasks.items():
                if hold.why is Why.AGENT:
                    is_told = self._lists_recovered or key[0] not in self._frameworks
                    tasks[key] = settling if is_told else Hold(Why.FRAMEWORK, hold.until)
                    settled = True
        for tasks in self._tasks.values() if back else ():
            for key, hold in tasks.items():
                if hold.why is Why.FRAMEWORK and key[0] in back:
                    tasks[key] = settling
                    settled = True
        if settled:
            bisect.insort(self._deadlines, until)

    def _end_holds(self, holds: dict[str, Hold], gone: Iterable[str], now: float) -> list[str]:
        """Forget the holds of what is gone; end those whose time is up, and return them."""
        for key in gone:
            holds.pop(key, None)
        return _end_overdue(holds, now) if self._is_due(now) else []

    def _end_task_holds(
        self, delta: Delta, agents_gone: Iterable[str], frameworks_gone: Collection[str], now: float
    ) -> Iterator[TaskKey]:
        """End the holds of tasks that the delta, or time, ends; yields those that are gone by that and are not in the delta."""
        for key in (*delta.tasks, *delta.tasks_gone):
            known = self._model.tasks.get(key)
            if known is not None and (tasks := self._tasks.get(known.agent_id)) is not None:
                tasks.pop(key, None)
        for agent_id in agents_gone:
            yield from self._tasks.pop(agent_id, {})
        if frameworks_gone:
            for tasks in self._tasks.values():
                for key in [key for key in tasks if key[0] in frameworks_gone]:
                    del tasks[key]
                    yield key
        if self._is_due(now):
            for tasks in self._tasks.values():
                yield from _end_overdue(tasks, now)
            self._tasks = {agent_id: tasks for agent_id, tasks in self._tasks.items() if tasks}

    def _is_due(self, now: float) -> bool:
        return bool(self._deadlines) and self._deadlines[0] <= now


def _spare(key: str, gone: set[str], holds: dict[str, Hold], hold: Hold) -> None:
    """Hold what was taken as gone."""
    if key in gone:
        gone.discard(key)
        holds[key] = hold


def _end_overdue(holds: dict[K, Hold], now: float) -> list[K]:
    """Forget the holds whose time is up, and return whose they were."""
    overdue = [key for key, hold in holds.items() if hold.until <= now]
    for key in overdue:
        del holds[key]
    return overdue
