"""A change of master, step by step: what a poller sees, and what must stay."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.names.cluster import rules

from mesos_dns.mesos.state import Agent, Endpoint, Framework, Snapshot, Task
from mesos_dns.names.model import Model
from mesos_dns.names.naming import Naming
from mesos_dns.names.reconciler import GRACE, Reconciler

M1, M2 = Endpoint("10.0.0.1", 5050), Endpoint("10.0.0.2", 5050)
AGENTS = {f"A-{n}": Agent(f"A-{n}", f"10.1.0.{n}", 5051) for n in range(3)}
FRAMEWORKS = {
    "F1": Framework("F1", "marathon", "10.2.0.1", 8080),
    "F2": Framework("F2", "chronos", "10.2.0.2", 4400),
}
#: Two tasks on each agent, one of each framework.
TASKS = {
    (framework, f"{framework}-{agent}", 0): Task(f"{framework}-{agent}", "web", framework, agent)
    for agent in AGENTS
    for framework in FRAMEWORKS
}


def state(master="m1", agents=AGENTS, frameworks=FRAMEWORKS, tasks=None, **more):
    """What a master says that knows these agents and frameworks (by id), and their tasks or the given ones."""
    if tasks is None:
        tasks = [key for key in TASKS if key[0] in frameworks and TASKS[key].agent_id in agents]
    leader = M1 if master == "m1" else M2
    return Snapshot(
        master,
        leader,
        (M1, M2),
        {key: AGENTS[key] for key in agents},
        {key: more.pop(key, FRAMEWORKS[key]) for key in frameworks},
        {key: TASKS[key] for key in tasks},
        frozenset(more.pop("recovered", ())),
    )


class Names:
    """The model under a reconciler."""

    def __init__(self):
        self.model = Model(Naming(rules()))
        self.reconciler = Reconciler(self.model)

    def see(self, snapshot, now=0.0):
        for _ in self.model.apply(self.reconciler.delta(snapshot, now)):
            pass

    @property
    def agents(self):
        return set(self.model.agents)

    @property
    def tasks(self):
        """Tasks that have records: their agent and framework are known."""
        return {key for key in self.model.tasks if list(self.model.task_records(key))}


@pytest.fixture
def names():
    names = Names()
    names.see(state())
    return names


def test_one_master_is_believed_at_once(names):
    names.see(state(agents=["A-0"], frameworks=["F1"]))
    assert names.agents == {"A-0"}
    assert set(names.model.frameworks) == {"F1"}
    assert names.tasks == {("F1", "F1-A-0", 0)}


def test_the_same_state_again_changes_nothing(names):
    delta = names.reconciler.delta(state(), 1.0)
    assert not any((delta.agents, delta.frameworks, delta.tasks))
    assert not any((delta.agents_gone, delta.frameworks_gone, delta.tasks_gone))


def test_an_equal_task_that_is_another_object_changes_nothing(names):
    copies = {key: Task(task.id, task.name, task.framework_id, task.agent_id) for key, task in TASKS.items()}
    snapshot = Snapshot("m1", M1, (M1,), dict(AGENTS), dict(FRAMEWORKS), copies)
    assert not names.reconciler.delta(snapshot, 1.0).tasks


def test_the_empty_state_of_a_new_master_drops_nothing(names):
    names.see(state("m2", [], []), now=100.0)
    assert names.agents == set(AGENTS)
    assert names.tasks == set(TASKS)
    assert repr(names.reconciler) == "Reconciler(master='m2', awaited agents=3, awaited frameworks=2)"


def test_the_window_of_a_failover_of_mesos_1_2(names):
    # The registry is read: the master expects all three. One after the other comes back.
    names.see(state("m2", [], []), now=100.0)
    names.see(state("m2", [], [], recovered=AGENTS), now=101.0)
    assert names.tasks == set(TASKS)
    names.see(state("m2", ["A-0"], FRAMEWORKS, recovered=["A-1", "A-2"]), now=102.0)
    assert names.tasks == set(TASKS)
    # A-1 is back without its task of F2: that is positive evidence.
    without = [key for key, task in TASKS.items() if task.agent_id != "A-2" and key != ("F2", "F2-A-1", 0)]
    names.see(state("m2", ["A-0", "A-1"], FRAMEWORKS, without, recovered=["A-2"]), now=103.0)
    assert names.tasks == set(TASKS) - {("F2", "F2-A-1", 0)}
    # The master gives A-2 up: it is marked unreachable long before our own time is up.
    names.see(state("m2", ["A-0", "A-1"], FRAMEWORKS, without), now=110.0)
    assert names.agents == {"A-0", "A-1"}
    assert names.tasks == set(without)
    assert repr(names.reconciler) == "Reconciler(master='m2', awaited agents=0, awaited frameworks=0)"


def test_an_agent_that_the_master_never_expected_is_kept_until_the_time_is_up(names):
    names.see(state("m2", ["A-0"], FRAMEWORKS), now=100.0)
    names.see(state("m2", ["A-0"], FRAMEWORKS), now=100.0 + GRACE - 0.1)
    assert names.agents == set(AGENTS)
    names.see(state("m2", ["A-0"], FRAMEWORKS), now=100.0 + GRACE)
    assert names.agents == {"A-0"}
    assert names.tasks == {key for key, task in TASKS.items() if task.agent_id == "A-0"}


def test_what_the_new_master_says_is_taken_at_once(names):
    names.see(state("m2", [], []), now=100.0)
    new_key = ("F1", "new", 0)
    snapshot = Snapshot(
        "m2",
        M2,
        (M1, M2),
        {"A-0": Agent("A-0", "10.1.0.99", 5051)},
        {"F1": FRAMEWORKS["F1"]},
        {new_key: Task("new", "new", "F1", "A-0")},
    )
    names.see(snapshot, now=101.0)
    assert names.model.agents["A-0"].host == "10.1.0.99"
    assert new_key in names.tasks
    assert ("F1", "F1-A-0", 0) not in names.tasks
    # Nobody has spoken for F2 on A-0, which before Mesos 1.2 means nothing.
    assert ("F2", "F2-A-0", 0) in names.tasks


def test_before_mesos_1_2_a_framework_comes_back_after_its_agents(names):
    """Its tasks are orphans of the new master until then, and in no list that we read."""
    names.see(state("m2", AGENTS, []), now=100.0)
    assert names.tasks == set(TASKS)
    names.see(state("m2", AGENTS, ["F1"]), now=101.0)
    assert names.tasks == set(TASKS)
    # F2 is back with one of its tasks only: the others are gone.
    present = [key for key in TASKS if key[0] == "F1"] + [("F2", "F2-A-0", 0)]
    names.see(state("m2", AGENTS, FRAMEWORKS, present), now=102.0)
    assert names.tasks == set(present)


def test_with_mesos_1_2_an_agent_that_is_back_without_a_frameworks_task_has_lost_it(names):
    names.see(state("m2", [], [], recovered=AGENTS), now=100.0)
    names.see(state("m2", ["A-0"], ["F1"], recovered=["A-1", "A-2"]), now=101.0)
    assert ("F2", "F2-A-0", 0) not in names.tasks
    assert ("F2", "F2-A-1", 0) in names.tasks
    assert "F2" in names.model.frameworks


def test_a_framework_that_never_comes_back_goes_when_the_time_is_up(names):
    names.see(state("m2", AGENTS, ["F1"]), now=100.0)
    names.see(state("m2", AGENTS, ["F1"]), now=100.0 + GRACE)
    assert set(names.model.frameworks) == {"F1"}
    assert names.tasks == {key for key in TASKS if key[0] == "F1"}


def test_a_recovered_framework_without_pid_keeps_its_address(names):
    recovered = Framework("F1", "marathon", "", None, recovered=True)
    names.see(state("m2", AGENTS, FRAMEWORKS, F1=recovered), now=100.0)
    kept = names.model.frameworks["F1"]
    assert (kept.host, kept.port) == ("10.2.0.1", 8080)
    # Its scheduler is back, elsewhere.
    moved = Framework("F1", "marathon", "10.2.0.7", 8081)
    names.see(state("m2", AGENTS, FRAMEWORKS, F1=moved), now=101.0)
    assert names.model.frameworks["F1"] == moved


def test_a_framework_that_loses_its_pid_without_being_recovered_loses_its_address(names):
    names.see(state(F1=Framework("F1", "marathon")))
    assert names.model.frameworks["F1"].host == ""


def test_a_second_failover_within_the_first_starts_the_time_anew(names):
    names.see(state("m2", ["A-0"], FRAMEWORKS), now=100.0)
    names.see(state("m3", [], []), now=500.0)
    names.see(state("m3", ["A-1"], FRAMEWORKS), now=100.0 + GRACE)
    assert names.agents == set(AGENTS)
    names.see(state("m3", ["A-1"], FRAMEWORKS), now=500.0 + GRACE)
    assert names.agents == {"A-1"}


def test_an_old_master_without_an_id_is_told_apart_by_the_leader():
    nameless = Names()
    nameless.see(Snapshot("", M1, (M1,), dict(AGENTS), dict(FRAMEWORKS), dict(TASKS)))
    nameless.see(Snapshot("", M2, (M1,), {}, {}, {}), now=1.0)
    assert nameless.tasks == set(TASKS)
    nameless.see(Snapshot("", M2, (M1,), {}, {}, {}), now=1.0 + GRACE)
    assert nameless.tasks == set()


SUBSETS = st.sets(st.sampled_from(list(AGENTS)))
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["m1", "m2"]),
        SUBSETS,
        st.sets(st.sampled_from(list(FRAMEWORKS))),
        SUBSETS,
        st.sampled_from([1.0, 60.0, GRACE]),
    ),
    max_size=8,
)


@given(STEPS)
def test_what_a_master_names_is_there_and_in_the_end_nothing_else(steps):
    names = Names()
    now = 0.0
    for master, agents, frameworks, recovered, seconds in steps:
        now += seconds
        snapshot = state(master, agents, frameworks, recovered=recovered - agents)
        names.see(snapshot, now)
        assert names.agents >= agents
        assert names.tasks >= set(snapshot.tasks)
        assert names.tasks <= set(TASKS)
    last = state("m1", ["A-0"], ["F1"])
    names.see(last, now)
    names.see(last, now + GRACE)
    assert names.agents == {"A-0"}
    assert names.tasks == set(last.tasks)
