"""Random histories of a cluster and its masters, seen through polls, event streams and clock ticks.

`Mesos` is a small model of what masters do: a registry that outlives them, agents that come back with their tasks, schedulers that
come back by themselves. What may still come back must not be lost, and what cannot must not stay.
"""

import math

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.names.test_reconciler import Names

from mesos_dns.mesos.state import Agent, Concealed, Delta, Endpoint, Framework, NotShown, Snapshot, Task
from mesos_dns.names.reconciler import GRACE, SETTLING, Why

AGENTS = {f"A{n}": Agent(f"A{n}", f"10.1.0.{n}", 5051) for n in range(4)}
FRAMEWORKS = {f"F{n}": Framework(f"F{n}", f"fw{n}", f"10.2.0.{n}", 8080) for n in range(3)}
LEADER = Endpoint("10.0.0.1", 5050)

agents = st.sampled_from(sorted(AGENTS))
frameworks = st.sampled_from(sorted(FRAMEWORKS))


class Mesos:
    """The cluster as it is, and what the leading master knows of it. `era` is how much its states tell."""

    def __init__(self, era):
        self.era = era
        self.master = 1
        self.elected = 0.0
        self.registry_read = True
        self.admitted = set()
        self.registered = set()
        self.connected = set()
        self.ended = set()
        #: Tasks of whose end it tells, by framework.
        self.told = {}
        self.running = {}

    @property
    def listed(self):
        """Frameworks in the state: connected ones, and since Mesos 1.2 those of agents that are back."""
        if self.era != "1.2":
            return set(self.connected)
        return self.connected | {key[0] for key, task in self.running.items() if task.agent_id in self.registered}

    @property
    def known(self):
        """Tasks in the state."""
        return {
            key: task
            for key, task in self.running.items()
            if task.agent_id in self.registered and key[0] in self.listed
        }

    def tell(self, keys):
        """List them as ended, or as unreachable."""
        for framework_id, task_id, _ in keys:
            self.told.setdefault(framework_id, set()).add(task_id)

    def framework(self, framework_id):
        """As the state has it: without an address while only agents speak for it."""
        known = FRAMEWORKS[framework_id]
        if framework_id in self.connected:
            return known
        return Framework(known.id, known.name, recovered=True)

    def snapshot(self, not_shown, hidden=frozenset()):
        """Its state, without `hidden` frameworks and all that belongs to them."""
        uses = any(key[0] in hidden for key in self.known)
        recovered = unregistered = None
        if self.era == "1.2":
            recovered = frozenset(self.admitted - self.registered if self.registry_read else ())
        if self.era != "silent":
            orphans = {key[0] for key, task in self.running.items() if task.agent_id in self.registered}
            unregistered = frozenset(orphans - self.listed)
        return Snapshot(
            f"m{self.master}",
            LEADER,
            (LEADER,),
            {} if not_shown.agents else {key: AGENTS[key] for key in self.registered},
            {} if not_shown.frameworks else {key: self.framework(key) for key in self.listed - hidden},
            {} if not_shown.frameworks else {key: task for key, task in self.known.items() if key[0] not in hidden},
            recovered_agents=recovered,
            unregistered_frameworks=unregistered,
            completed_frameworks=frozenset(self.ended - hidden),
            not_shown=not_shown,
            ended_tasks={
                framework_id: frozenset(tasks)
                for framework_id, tasks in self.told.items()
                if framework_id not in hidden
            },
            concealed=Concealed(frameworks=uses),
        )


class Failovers(RuleBasedStateMachine):
    """Each rule is one thing that happens, or one look at it."""

    def __init__(self):
        super().__init__()
        self.names = Names()
        self.now = 0.0
        self.numbers = iter(range(10_000))
        #: The master that was seen last, when a change of it was noticed, and what was known then.
        self.seen = None
        self.noticed = -math.inf
        #: The state that the model was brought up to last; None while an event stream goes on from there.
        self.last = None
        self.subscribed = False
        #: Running tasks that have records.
        self.promised = set()
        #: Whether time has passed in which nobody was heard.
        self.unheard = False

    @initialize(era=st.sampled_from(["1.2", "orphans", "silent"]), hidden=st.frozensets(frameworks, min_size=1))
    def start(self, era, hidden):
        """`hidden` are the frameworks that authorization conceals while it is in force."""
        self.mesos = Mesos(era)
        self.hidden = hidden
        for each in AGENTS:
            self.agent_comes(each)
        for each in FRAMEWORKS:
            self.scheduler_comes(each)
        for agent_id in AGENTS:
            for framework_id in FRAMEWORKS:
                self.task_starts(framework_id, agent_id)
        self.poll(subscribe=False)

    # --- what happens in the cluster -----------------------------------------------------------

    @rule(agent_id=agents)
    def agent_comes(self, agent_id):
        """A new agent registers, or one that is awaited comes back with what it runs."""
        mesos = self.mesos
        if not mesos.registry_read or agent_id in mesos.registered:
            return
        before = mesos.listed
        mesos.admitted.add(agent_id)
        mesos.registered.add(agent_id)
        tasks = {key: task for key, task in mesos.known.items() if task.agent_id == agent_id}
        # As recorded from Mesos 1.11: tasks first.
        self.event(Delta(tasks=tasks))
        new = {key: mesos.framework(key) for key in mesos.listed - before}
        self.event(Delta(agents={agent_id: AGENTS[agent_id]}, frameworks=new))

    @rule(agent_id=agents)
    def agent_goes(self, agent_id):
        """It is marked unreachable or removed; the registry forgets that it was admitted."""
        mesos = self.mesos
        if not mesos.registry_read or agent_id not in mesos.admitted:
            return
        gone = tuple(key for key, task in mesos.running.items() if task.agent_id == agent_id)
        for key in gone:
            del mesos.running[key]
        mesos.tell(gone)
        mesos.admitted.discard(agent_id)
        mesos.registered.discard(agent_id)
        self.event(Delta(agents_gone=(agent_id,), tasks_gone=gone))

    @rule(framework_id=frameworks)
    def scheduler_comes(self, framework_id):
        mesos = self.mesos
        if framework_id in mesos.ended or framework_id in mesos.connected:
            return
        mesos.connected.add(framework_id)
        # Orphans have a framework again.
        tasks = {key: task for key, task in mesos.known.items() if key[0] == framework_id}
        self.event(Delta(frameworks={framework_id: FRAMEWORKS[framework_id]}, tasks=tasks))

    @rule(framework_id=frameworks)
    def framework_ends(self, framework_id):
        """A teardown ends what runs on agents that are there, and later what returns."""
        mesos = self.mesos
        if framework_id not in mesos.connected:
            return
        mesos.connected.discard(framework_id)
        mesos.ended.add(framework_id)
        gone = tuple(key for key in mesos.running if key[0] == framework_id)
        for key in gone:
            del mesos.running[key]
        self.event(Delta(frameworks_gone=(framework_id,), tasks_gone=gone))

    @rule(framework_id=frameworks, agent_id=agents)
    def task_starts(self, framework_id, agent_id):
        mesos = self.mesos
        if framework_id not in mesos.connected or agent_id not in mesos.registered:
            return
        task = Task(f"t{next(self.numbers)}", "web", framework_id, agent_id)
        mesos.running[framework_id, task.id, 0] = task
        self.event(Delta(tasks={(framework_id, task.id, 0): task}))

    @rule(data=st.data())
    def task_ends(self, data):
        """Perhaps on an agent that is not back, so that nobody is told."""
        mesos = self.mesos
        if not mesos.running:
            return
        key = data.draw(st.sampled_from(sorted(mesos.running)))
        task = mesos.running.pop(key)
        if task.agent_id in mesos.registered:
            mesos.tell([key])
            self.event(Delta(tasks_gone=(key,)))

    @rule()
    def master_dies(self):
        """The next one knows nothing yet. Streams end."""
        mesos = self.mesos
        mesos.master += 1
        mesos.registry_read = False
        mesos.registered = set()
        mesos.connected = set()
        mesos.ended = set()
        mesos.told = {}
        self.subscribed = False

    @rule()
    def registry_is_read(self):
        self.mesos.registry_read = True

    @precondition(lambda self: self.mesos.registry_read)
    @rule()
    def everybody_comes_back(self):
        for agent_id in sorted(self.mesos.admitted):
            self.agent_comes(agent_id)
        for framework_id in FRAMEWORKS:
            self.scheduler_comes(framework_id)

    # --- what is seen of it --------------------------------------------------------------------

    def see(self, observation):
        self.names.see(observation, self.now)
        self.unheard = False

    def event(self, delta):
        if self.subscribed:
            self.see(delta)
            self.last = None

    @rule(
        subscribe=st.booleans(), not_shown=st.sampled_from([NotShown()] * 4 + [NotShown(True), NotShown(False, True)])
    )
    def poll(self, subscribe, not_shown=NotShown()):  # noqa: B008 - a constant
        """A whole state; perhaps followed by events."""
        self.look(self.mesos.snapshot(not_shown), subscribe=subscribe)
        self.check_what_a_state_says()

    # Orphans use resources, too, so before Mesos 1.2 sums are not compared. And what uses nothing leaves no trace.
    @precondition(lambda self: self.mesos.era == "1.2" and any(key[0] in self.hidden for key in self.mesos.known))
    @rule()
    def filtered_poll(self):
        """A state that authorization has filtered."""
        self.look(self.mesos.snapshot(NotShown(), self.hidden), subscribe=False)

    def look(self, snapshot, *, subscribe):
        if self.seen not in (None, self.mesos.master):
            self.noticed = self.now
        self.seen = self.mesos.master
        self.subscribed = subscribe
        self.see(snapshot)
        self.last = snapshot

    @rule(seconds=st.sampled_from([0.5, SETTLING, 60.0, 300.0, GRACE]))
    def time_passes(self, seconds):
        """With a tick at each deadline on the way, if there is a stream of events: else nobody knows what has happened."""
        end = self.now + seconds
        while self.subscribed and (deadline := self.names.reconciler.next_deadline) is not None and deadline <= end:
            self.now = max(self.now, deadline)
            self.see(None)
            assert self.names.reconciler.next_deadline != deadline
        self.now = end
        self.unheard |= not self.subscribed

    # --- what must hold ------------------------------------------------------------------------

    def held(self):
        return list(self.names.reconciler.held())

    def check_what_a_state_says(self):
        """What it has is there. Once Mesos tells of its agents, what it has not is there for a reason that it gives."""
        model, state = self.names.model, self.last
        assert model.tasks.keys() >= state.tasks.keys()
        assert model.agents.keys() >= state.agents.keys()
        assert model.frameworks.keys() >= state.frameworks.keys()
        if self.mesos.era == "1.2" and not state.not_shown.agents and (state.agents or state.recovered_agents):
            assert model.agents.keys() <= state.agents.keys() | state.recovered_agents
            if not state.not_shown.frameworks:
                lost = [
                    key for key in model.tasks.keys() - state.tasks.keys() if model.tasks[key].agent_id in state.agents
                ]
                assert lost == []
        if not state.not_shown.frameworks:
            assert not model.frameworks.keys() & state.completed_frameworks

    @invariant()
    def what_runs_keeps_its_records(self):
        """Every running task that ever had them, while its agent may come back: for the whole grace, and then if the master has it."""
        present = self.names.tasks & self.mesos.running.keys()
        self.promised &= self.mesos.running.keys()
        if self.now >= self.noticed + GRACE > -math.inf:
            self.promised &= self.mesos.known.keys() | present
        assert self.promised <= present
        self.promised = present

    @invariant()
    def nothing_is_held_without_a_failover_or_beyond_its_time(self):
        for one in self.held():
            if one.hold.why in {Why.NOT_SHOWN, Why.CONCEALED}:
                assert one.hold.until == math.inf
                continue
            assert self.noticed > -math.inf
            assert one.hold.until <= self.noticed + GRACE
            assert self.now < one.hold.until or self.unheard

    @invariant()
    def what_is_held_is_what_the_last_state_lacks(self):
        if self.last is None:
            return
        model = self.names.model
        held = {(one.kind, one.key) for one in self.held()}
        for kind, have, said in (
            ("agent", model.agents, self.last.agents),
            ("framework", model.frameworks, self.last.frameworks),
            ("task", model.tasks, self.last.tasks),
        ):
            lacking = {(kind, key) for key in have.keys() - said.keys()}
            assert lacking == {one for one in held if one[0] == kind}
            assert self.names.reconciler.held_counts[kind] == len(lacking)


Failovers.TestCase.settings = settings(stateful_step_count=40, max_examples=60)
test_random_histories = Failovers.TestCase
