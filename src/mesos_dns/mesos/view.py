"""What is known of a cluster while its events are followed. Pure.

A view begins with a state and takes events; `take_delta` says what changed since the last time that it was asked, so what waits for a slow
reader is no longer than the cluster is large. The rules are those of section 3.8 of what is known of Mesos' interfaces: the state of
a task decides what becomes of it, never the name of an event; tasks come before their agent or framework; agents that are
marked unreachable are not announced, so a summary of the state is wanted from time to time.
"""

from collections.abc import Mapping
from itertools import islice
from typing import Final

from mesos_dns.mesos.decoding.evidence import Flags
from mesos_dns.mesos.decoding.members import Skipped
from mesos_dns.mesos.decoding.tasks import RUNNING, TaskReader
from mesos_dns.mesos.decoding.v1 import FrameworkShown, State
from mesos_dns.mesos.decoding.v1_calls import Master, Summary
from mesos_dns.mesos.decoding.v1_events import (
    AgentGone,
    AgentShown,
    Event,
    FrameworkGone,
    FrameworkSeen,
    TaskNews,
    TaskShown,
)
from mesos_dns.mesos.decoding.v1_tasks import ENDED, LiveTask, key_of, live_task, updated
from mesos_dns.mesos.running import RunningTasks
from mesos_dns.mesos.state import (
    MAX_NOT_RUNNING,
    Agent,
    Concealed,
    Delta,
    Endpoint,
    Framework,
    NotRunning,
    NotShown,
    Snapshot,
    Task,
    TaskKey,
)

#: Tasks that have not ended, agents, and frameworks of one view: ten times the largest clusters. A master that announces more is mad.
MAX_ENTITIES: Final = 1_000_000
#: States that many tasks of one agent get at once when the agent is given up.
_WITH_AGENT: Final = frozenset({"TASK_UNREACHABLE", "TASK_LOST", "TASK_GONE_BY_OPERATOR"})
#: The doubt that a later summary may dispel.
_FEWER: Final = "fewer running tasks than there are"

Address = tuple[str, int | None]


class View:
    """One subscription's knowledge."""

    def __init__(
        self,
        state: State,
        reader: TaskReader,
        skipped: Skipped,
        addresses: Mapping[str, Address] | None = None,
        unshown: Mapping[str, int] | None = None,
    ) -> None:
        """`addresses` and `unshown` are of frameworks known from before; `skipped` counts what later events lack."""
        self.tasks = state.tasks
        self.agents = state.agents
        self.frameworks = state.frameworks
        #: Where schedulers listen: of their PIDs, or host names without a port.
        self.addresses: dict[str, Address] = {
            key: address for key, address in (addresses or {}).items() if key in state.frameworks
        }
        #: Why the whole should be read again before long; "" if there is no reason.
        self.doubt = ""
        #: Whether PIDs or agents may have changed without an event.
        self.wants_summary = True
        #: Agents and frameworks that tasks refer to and that are not known (yet).
        self.unknown_agents: set[str] = set()
        self.unknown_frameworks: set[str] = set()
        self._state = state
        #: What the last summary told besides.
        self._told_agents = self._told_frameworks = False
        self._conceals_frameworks = False
        self._cluster = ""
        self._reader = reader
        self._skipped = skipped
        self._live_on_agent: dict[str, int] = {}
        self._live_in_framework: dict[str, int] = {}
        self._running = RunningTasks(unshown)
        #: What changed since the last delta; None stands for what is gone.
        self._changed_tasks: dict[TaskKey, Task | None] = {}
        self._changed_agents: dict[str, Agent | None] = {}
        self._changed_frameworks: dict[str, Framework | None] = {}
        #: What events told of while a summary is under way; None if none is.
        self._touched: set[str] | None = None
        #: Tasks that have not ended and do not run; those first about which the master was not asked for longest.
        self.waiting: dict[TaskKey, None] = {}
        for key, live in self.tasks.items():
            self._count(live, 1)
            if not live.is_running:
                self.waiting[key] = None

    def __repr__(self) -> str:
        return f"View(agents={len(self.agents)}, frameworks={len(self.frameworks)}, tasks={len(self.tasks)})"

    # --- reading -------------------------------------------------------------------------------

    @property
    def is_changed(self) -> bool:
        """Whether there is a delta to take."""
        return bool(self._changed_tasks or self._changed_agents or self._changed_frameworks)

    def not_running(self) -> list[NotRunning]:
        """Tasks that have not ended and do not run, `MAX_NOT_RUNNING` at most."""
        found = (self.tasks[key] for key in islice(self.waiting, MAX_NOT_RUNNING))
        return [NotRunning(live.task, live.state) for live in found]

    def take_delta(self) -> Delta:
        """What changed since the last delta or snapshot."""
        tasks, agents, frameworks = self._changed_tasks, self._changed_agents, self._changed_frameworks
        self._forget_changes()
        return Delta(
            agents={key: new for key, new in agents.items() if new is not None},
            frameworks={key: new for key, new in frameworks.items() if new is not None},
            tasks={key: new for key, new in tasks.items() if new is not None},
            agents_gone=tuple(key for key, new in agents.items() if new is None),
            frameworks_gone=tuple(key for key, new in frameworks.items() if new is None),
            tasks_gone=tuple(key for key, new in tasks.items() if new is None),
        )

    def take_snapshot(
        self, master: Master, leader: Endpoint, masters: tuple[Endpoint, ...], flags: Flags | None
    ) -> Snapshot:
        """Everything; deltas are against it from now on. `leader` is where the master was asked; its flags are None if it hides them."""
        self._forget_changes()
        state = self._state
        number = master.number
        recovered = state.recovered_agents
        if recovered is None and number is not None and (1, 2, 0) <= number < (1, 10, 0):
            recovered = frozenset()  # an empty list, which these leave out
        pid = master.pid or leader
        told = flags or Flags()
        ended = {key: set(ids) for key, ids in state.ended_tasks.items()}
        for key, live in self.tasks.items():
            if not live.is_running:
                ended.setdefault(key[0], set()).add(key[1])
        return Snapshot(
            master_id=master.id,
            leader=pid,
            masters=masters,
            agents=dict(self.agents),
            frameworks={key: self._framework(shown) for key, shown in self.frameworks.items()},
            tasks={key: live.task for key, live in self.tasks.items() if live.is_running},
            recovered_agents=None
            if recovered is None or told.registry == "in_memory"
            else recovered - self.agents.keys(),
            unregistered_frameworks=frozenset(),
            completed_frameworks=state.completed_frameworks - self.frameworks.keys(),
            not_shown=NotShown(
                # What a summary told is shown.
                agents=state.not_shown.agents and not self._told_agents,
                frameworks=state.not_shown.frameworks and not self._told_frameworks,
                tasks_of=frozenset(self.frameworks) if state.lacks_tasks else frozenset(),
            ),
            skipped=dict(state.skipped.counts),
            skipped_examples=dict(state.skipped.examples),
            pid=pid,
            flags_hidden=flags is None,
            ended_tasks={key: frozenset(ids) for key, ids in ended.items() if key in self.frameworks},
            concealed=Concealed(self._conceals_frameworks),
            cluster=self._cluster or told.cluster,
            ensemble=told.ensemble,
            elected_time=master.elected_time,
            hostname=master.hostname,
            reregister_timeout=told.reregister_timeout,
            not_running=tuple(self.not_running()),
        )

    def differences(self, other: "View") -> int:
        """How many agents, frameworks and running tasks the two see differently, addresses of frameworks apart."""
        return (
            _differing(self.agents, other.agents)
            + _differing(self.frameworks, other.frameworks)
            + _differing_tasks(self.tasks, other.tasks)
        )

    def by_digest(self) -> dict[int, LiveTask]:
        """The tasks that need not be read again if they are shown in the same octets."""
        return {live.digest: live for live in self.tasks.values() if live.digest}

    def _forget_changes(self) -> None:
        self._changed_tasks, self._changed_agents, self._changed_frameworks = {}, {}, {}

    def _framework(self, shown: FrameworkShown) -> Framework:
        host, port = self.addresses.get(shown.id, ("", None))
        return Framework(shown.id, shown.name, host, port, shown.recovered)

    # --- events --------------------------------------------------------------------------------

    def take(self, event: Event) -> None:
        """Take an event."""
        match event:
            case TaskNews():
                self._update_task(event)
            case TaskShown():
                self._show_task(event)
            case AgentShown():
                self._touch(event.agent.id)
                if self._has_room(self.agents):
                    self._set_agent(event.agent)
            case AgentGone():
                self._touch(event.agent_id)
                self._drop_agent(event.agent_id)
            case FrameworkSeen():
                # Its PID may be another one now.
                self.wants_summary = True
                self._touch(event.framework.id)
                if self._has_room(self.frameworks):
                    self._set_framework(event.framework)
            case FrameworkGone():
                self._touch(event.framework_id)
                self._drop_framework(event.framework_id)

    def _update_task(self, news: TaskNews) -> None:
        key = news.framework_id, news.task_id, 0
        before = self.tasks.get(key)
        if news.state in ENDED:
            self._drop_task(key, before, news.state)
        elif before is None:
            self.doubt = "an update of a task that was never shown"
        else:
            problems = news.problems
            self._set_task(key, before, updated(before, news.state, news.status, self._reader, problems))
            self._report(problems if news.state == RUNNING else [])

    def _show_task(self, shown: TaskShown) -> None:
        key = shown.framework_id, shown.entry.id or "", 0
        before = self.tasks.get(key)
        state = shown.entry.state or ""
        if state in ENDED:
            self._drop_task(key, before, state)
        elif before is not None or self._has_room(self.tasks):
            live = live_task(shown.framework_id, shown.entry, self._reader, shown.problems)
            self._set_task(key_of(live.task), before, live)
            self._report(shown.problems if live.is_running else [])
            if live.task.agent_id not in self.agents:
                self.unknown_agents.add(live.task.agent_id)
            if shown.framework_id not in self.frameworks:
                self.unknown_frameworks.add(shown.framework_id)
                self.wants_summary = True

    def _set_task(self, key: TaskKey, before: LiveTask | None, live: LiveTask) -> None:
        if before is not None:
            self._count(before, -1)
        self._count(live, 1)
        self.tasks[key] = live
        if live.is_running:
            self.waiting.pop(key, None)
        else:
            self.waiting[key] = None
        was = before.task if before is not None and before.is_running else None
        now = live.task if live.is_running else None
        if was != now:
            self._changed_tasks[key] = now

    def _drop_task(self, key: TaskKey, before: LiveTask | None, state: str) -> None:
        if before is None:
            return
        del self.tasks[key]
        self.waiting.pop(key, None)
        self._count(before, -1)
        if before.is_running or key in self._changed_tasks:
            self._changed_tasks[key] = None
        if state in _WITH_AGENT and before.task.agent_id not in self._live_on_agent:
            self.wants_summary = True  # its last one: the agent itself may be given up

    def _count(self, live: LiveTask, by: int) -> None:
        framework_id = live.task.framework_id
        _add(self._live_on_agent, live.task.agent_id, by)
        _add(self._live_in_framework, framework_id, by)
        if live.is_running:
            self._running.add(framework_id, by)

    def _set_agent(self, agent: Agent) -> None:
        self.unknown_agents.discard(agent.id)
        if self.agents.get(agent.id) != agent:
            self.agents[agent.id] = agent
            self._changed_agents[agent.id] = agent

    def _drop_agent(self, agent_id: str) -> None:
        if self.agents.pop(agent_id, None) is not None:
            self._changed_agents[agent_id] = None

    def _set_framework(self, shown: FrameworkShown) -> None:
        self.unknown_frameworks.discard(shown.id)
        before = self.frameworks.get(shown.id)
        was = None if before is None else self._framework(before)
        self.frameworks[shown.id] = shown
        self._note_framework(shown, was)

    def _note_framework(self, shown: FrameworkShown, was: Framework | None) -> None:
        now = self._framework(shown)
        if now != was:
            self._changed_frameworks[shown.id] = now

    def _drop_framework(self, framework_id: str) -> None:
        if framework_id in self._live_in_framework:
            for key in [key for key in self.tasks if key[0] == framework_id]:
                self._drop_task(key, self.tasks[key], "TASK_KILLED")
        self.addresses.pop(framework_id, None)
        self.unknown_frameworks.discard(framework_id)
        if self.frameworks.pop(framework_id, None) is not None:
            self._changed_frameworks[framework_id] = None

    def _has_room(self, owner: Mapping[str, object] | Mapping[TaskKey, object]) -> bool:
        if len(owner) < MAX_ENTITIES:
            return True
        self.doubt = f"more than {MAX_ENTITIES} tasks, agents or frameworks"
        return False

    def _touch(self, key: str) -> None:
        if self._touched is not None:
            self._touched.add(key)

    def _report(self, problems: list[tuple[str, str]]) -> None:
        for problem in problems:
            self._skipped.add(*problem)

    # --- summaries -----------------------------------------------------------------------------

    def begin_summary(self) -> None:
        """A summary is asked for: what events tell from now on is newer than it may be."""
        self.wants_summary = False
        self._touched = set()
        self._running.begin()

    def take_summary(self, summary: Summary | None) -> None:
        """Take addresses and agents of a summary; None if none could be had: host names stand in for unknown addresses then."""
        touched, self._touched = self._touched or set(), None
        if summary is not None:
            self._told_agents = summary.agents is not None
            self._told_frameworks = summary.frameworks is not None
            self._conceals_frameworks, self._cluster = summary.conceals_frameworks, summary.cluster
            self._take_agents(summary.agents, touched)
            self._take_frameworks(summary.frameworks or {}, touched)
        for shown in self.frameworks.values():
            if shown.id not in self.addresses:
                self._set_address(shown, (shown.hostname, None))
        for kind, unknown in (("agent", self.unknown_agents), ("framework", self.unknown_frameworks)):
            if unknown and summary is not None:
                unknown.clear()
                self.doubt = f"a task of an unknown {kind}"

    def _take_agents(self, agents: Mapping[str, Agent] | None, touched: set[str]) -> None:
        if agents is None:
            return
        for agent_id, agent in agents.items():
            if agent_id not in touched and self._has_room(self.agents):
                self._set_agent(agent)
        for agent_id in [one for one in self.agents if one not in agents and one not in touched]:
            self._drop_agent(agent_id)

    def _take_frameworks(self, frameworks: Mapping[str, Framework], touched: set[str]) -> None:
        for key, found in frameworks.items():
            shown = self.frameworks.get(key)
            if key not in touched and self._has_room(self.frameworks):
                # Before Mesos 1.9 those recovered from agents are not announced.
                hostname = shown.hostname if shown is not None else ""
                self._set_framework(FrameworkShown(key, found.name, hostname, found.recovered))
            shown = self.frameworks.get(key)
            if shown is not None:
                self._set_address(shown, (found.host, found.port))

    def _set_address(self, shown: FrameworkShown, address: Address) -> None:
        was = self._framework(shown)
        self.addresses[shown.id] = address
        self._note_framework(shown, was)

    # --- tasks that run without an event -------------------------------------------------------

    def compare_running(self, counted: Mapping[str, int]) -> None:
        """Compare a summary's counts of running tasks with what is known, before `take_summary` has it. `end_comparison` is to follow."""
        running = self._running
        waiting = [key for key, live in self._live_in_framework.items() if live > running.known(key)]
        running.compare(counted, waiting)

    def may_run(self, limit: int) -> list[TaskKey]:
        """What the master is to be asked about: tasks that wait, of frameworks with more running ones than are known."""
        lacking = self._running.lacking()
        return list(islice((key for key in self.waiting if key[0] in lacking), limit)) if lacking else []

    def begin_task(self, key: TaskKey) -> LiveTask | None:
        """The master is to be asked about one of these: what is known of it, None if there is no need any more."""
        if key not in self.waiting or self._running.lack(key[0]) <= 0:
            return None
        # Others come first the next time.
        self.waiting[key] = self.waiting.pop(key)
        return self.tasks[key]

    def take_task(self, before: LiveTask, shown: TaskShown) -> None:
        """Take a task as the master shows it, unless an event about it came since `before` was what is known of it."""
        if self.tasks.get(key_of(before.task)) is before:
            self._show_task(shown)

    def end_comparison(self) -> None:
        """Whatever could be asked has been. Tasks that are missing still are a reason to read the whole again."""
        are_missing = self._running.end()
        if are_missing:
            self.doubt = self.doubt or _FEWER
        elif are_missing is False and self.doubt == _FEWER:
            self.doubt = ""

    @property
    def unshown(self) -> Mapping[str, int]:
        """Running tasks by framework that summaries count and the view after this one need not look for, if it does not show them either."""
        return self._running.unshown()


def _add(counts: dict[str, int], key: str, by: int) -> None:
    count = counts.get(key, 0) + by
    if count:
        counts[key] = count
    else:
        del counts[key]


def _differing(one: Mapping[str, object], other: Mapping[str, object]) -> int:
    return len(one.keys() ^ other.keys()) + sum(key in other and other[key] != value for key, value in one.items())


def _differing_tasks(one: Mapping[TaskKey, LiveTask], other: Mapping[TaskKey, LiveTask]) -> int:
    here = sum(_differs(live, other.get(key)) for key, live in one.items())
    return here + sum(live.is_running and key not in one for key, live in other.items())


def _differs(live: LiveTask, other: LiveTask | None) -> bool:
    if live is other:
        return False
    now = None if other is None or not other.is_running else other.task
    return (live.task if live.is_running else None) != now
