"""A change of master, step by step: what a source sees, and what must stay. Random ones are in test_failovers.py."""

import math

import pytest
from tests.names.cluster import rules

from mesos_dns.mesos.state import Agent, Delta, Endpoint, Framework, NotShown, Snapshot, Task
from mesos_dns.names.model import Model
from mesos_dns.names.naming import Naming
from mesos_dns.names.reconciler import GRACE, SCHEDULER_GRACE, SETTLING, Reconciler, Why

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
    """What a master says that knows these agents and frameworks (by id), and their tasks or the given ones.

    Without `recovered` it is one from before Mesos 1.2.
    """
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
        frozenset(more.pop("recovered")) if "recovered" in more else None,
        **more,
    )


class Names:
    """The model under a reconciler."""

    def __init__(self, grace=None):
        self.model = Model(Naming(rules()))
        self.reconciler = Reconciler(self.model, grace)

    def see(self, observation, now=0.0):
        """Take an observation, or None for a clock tick."""
        delta = self.reconciler.reconcile(observation, now)
        for _ in self.model.apply(delta):
            pass
        return delta

    def held(self, why=None):
        """What is held (for this reason), without the key's last part for tasks."""
        return {
            one.key[1] if one.kind == "task" else one.key
            for one in self.reconciler.held()
            if why in (None, one.hold.why)
        }

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
    assert names.see(state(), 1.0) == Delta()


def test_an_equal_task_that_is_another_object_changes_nothing(names):
    copies = {key: Task(task.id, task.name, task.framework_id, task.agent_id) for key, task in TASKS.items()}
    snapshot = Snapshot("m1", M1, (M1,), dict(AGENTS), dict(FRAMEWORKS), copies)
    assert not names.see(snapshot, 1.0).tasks


def test_the_empty_state_of_a_new_master_drops_nothing(names):
    names.see(state("m2", [], []), now=100.0)
    assert names.agents == set(AGENTS)
    assert names.tasks == set(TASKS)
    assert repr(names.reconciler) == "Reconciler(master='m2', held agents=3, held frameworks=2, held tasks=6)"


def test_the_window_of_a_failover_of_mesos_1_2(names):
    # The registry is read: the master expects all three. One after the other comes back.
    names.see(state("m2", [], [], recovered=[]), now=100.0)
    assert names.held(Why.REGISTRY) == set(AGENTS)
    names.see(state("m2", [], [], recovered=AGENTS), now=101.0)
    assert names.tasks == set(TASKS)
    assert names.held(Why.EXPECTED) == set(AGENTS)
    names.see(state("m2", ["A-0"], FRAMEWORKS, recovered=["A-1", "A-2"]), now=102.0)
    assert names.tasks == set(TASKS)
    # A-1 is back without its task of F2: that is positive evidence.
    without = [key for key, task in TASKS.items() if task.agent_id != "A-2" and key != ("F2", "F2-A-1", 0)]
    names.see(state("m2", ["A-0", "A-1"], FRAMEWORKS, without, recovered=["A-2"]), now=103.0)
    assert names.tasks == set(TASKS) - {("F2", "F2-A-1", 0)}
    # The master gives A-2 up: it is marked unreachable long before our own time is up.
    names.see(state("m2", ["A-0", "A-1"], FRAMEWORKS, without, recovered=[]), now=110.0)
    assert names.agents == {"A-0", "A-1"}
    assert names.tasks == set(without)
    assert repr(names.reconciler) == "Reconciler(master='m2', held agents=0, held frameworks=0, held tasks=0)"


def test_an_agent_of_which_an_old_master_says_nothing_is_kept_until_the_time_is_up(names):
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


# --- what Mesos 1.2 and later say besides -------------------------------------------------------


def test_a_failover_that_no_poll_saw_leaves_no_names_of_a_framework_that_ended(names):
    """All agents are back, none is expected: the key alone, empty, says that F2's tasks are nowhere."""
    names.see(state("m2", AGENTS, ["F1"], recovered=[]), now=100.0)
    assert names.tasks == {key for key in TASKS if key[0] == "F1"}
    # Its scheduler may be on its way, but not for the whole grace.
    assert names.held(Why.SCHEDULER) == {"F2"}
    assert names.reconciler.next_deadline == 100.0 + SCHEDULER_GRACE
    names.see(None, now=100.0 + SCHEDULER_GRACE)
    assert set(names.model.frameworks) == {"F1"}
    assert names.reconciler.next_deadline is None


def test_an_agent_that_the_old_master_dropped_between_two_polls_is_gone(names):
    names.see(state("m2", ["A-0"], FRAMEWORKS, recovered=["A-1"]), now=100.0)
    assert names.agents == {"A-0", "A-1"}
    assert names.tasks == {key for key, task in TASKS.items() if task.agent_id != "A-2"}


def test_before_the_registry_is_read_nothing_expected_means_nothing(names):
    names.see(state("m2", [], [], recovered=[]), now=100.0)
    assert (names.agents, names.tasks) == (set(AGENTS), set(TASKS))
    assert names.held() == {*AGENTS, *FRAMEWORKS, *(key[1] for key in TASKS)}


def test_a_framework_is_kept_as_long_as_an_expected_agent_may_bring_it_back(names):
    names.see(state("m2", ["A-0"], ["F1"], recovered=["A-1", "A-2"]), now=100.0)
    names.see(state("m2", ["A-0"], ["F1"], recovered=["A-1", "A-2"]), now=100.0 + SCHEDULER_GRACE)
    assert "F2" in names.model.frameworks
    assert ("F2", "F2-A-1", 0) in names.tasks
    names.see(state("m2", AGENTS, ["F1"], recovered=[]), now=101.0 + SCHEDULER_GRACE)
    assert set(names.model.frameworks) == {"F1"}


def test_a_completed_framework_is_gone_at_once(names):
    completed = frozenset(["F2"])
    names.see(state("m2", [], [], recovered=AGENTS, completed_frameworks=completed), now=100.0)
    assert set(names.model.frameworks) == {"F1"}
    assert names.tasks == {key for key in TASKS if key[0] == "F1"}


def test_an_expected_agent_is_not_kept_for_ever(names):
    names.see(state("m2", ["A-0"], FRAMEWORKS, recovered=["A-1", "A-2"]), now=100.0)
    names.see(state("m2", ["A-0"], FRAMEWORKS, recovered=["A-1", "A-2"]), now=100.0 + GRACE)
    assert names.agents == {"A-0"}
    assert names.held() == set()


def test_before_mesos_1_2_orphans_tell_of_their_frameworks(names):
    """`unregistered_frameworks` has those whose tasks are orphans; what is in neither list has ended."""
    tell = {"unregistered_frameworks": frozenset(["F1"])}
    names.see(state("m2", ["A-0"], [], **tell), now=100.0)
    assert ("F1", "F1-A-0", 0) in names.tasks
    assert names.held(Why.FRAMEWORK) == {"F1-A-0"}
    assert ("F2", "F2-A-0", 0) not in names.tasks
    assert ("F2", "F2-A-1", 0) in names.tasks


# --- deltas and time ----------------------------------------------------------------------------


def test_a_hold_ends_by_time_alone(names):
    names.see(state("m2", ["A-0"], FRAMEWORKS), now=100.0)
    assert names.reconciler.next_deadline == 100.0 + GRACE
    assert names.see(None, now=100.0 + GRACE - 0.1) == Delta()
    assert names.agents == set(AGENTS)
    delta = names.see(None, now=100.0 + GRACE)
    assert set(delta.agents_gone) == {"A-1", "A-2"}
    assert names.tasks == {key for key, task in TASKS.items() if task.agent_id == "A-0"}
    assert names.reconciler.next_deadline is None
    assert names.see(None, now=1000.0 + GRACE) == Delta()


def test_a_delta_ends_holds_whose_time_is_up_too(names):
    names.see(state("m2", [], []), now=100.0)
    names.see(Delta(frameworks={"F1": FRAMEWORKS["F1"]}), now=100.0 + GRACE)
    assert (names.agents, set(names.model.frameworks)) == (set(), {"F1"})


def test_without_a_failover_deltas_pass_as_they_are(names):
    delta = Delta(tasks_gone=(("F1", "F1-A-0", 0),), agents_gone=("A-2",))
    assert names.see(delta) is delta
    assert names.reconciler.next_deadline is None


def test_an_agent_that_is_back_is_given_time_for_its_tasks_whatever_the_order(names):
    names.see(state("m2", [], [], recovered=AGENTS), now=100.0)
    one, other = (("F1", "F1-A-0", 0), ("F2", "F2-A-0", 0))
    names.see(Delta(tasks={one: TASKS[one]}), now=101.0)
    names.see(Delta(agents={"A-0": AGENTS["A-0"]}, frameworks=FRAMEWORKS), now=101.5)
    assert names.held() == {"A-1", "A-2", "F2-A-0", "F1-A-1", "F2-A-1", "F1-A-2", "F2-A-2"}
    assert names.reconciler.next_deadline == 101.5 + SETTLING
    # A task that comes after its agent is as good.
    names.see(Delta(agents={"A-1": AGENTS["A-1"]}), now=102.0)
    late = {key: TASKS[key] for key in (("F1", "F1-A-1", 0), ("F2", "F2-A-1", 0))}
    names.see(Delta(tasks=late), now=102.1)
    names.see(None, now=101.5 + SETTLING)
    assert names.tasks == set(TASKS) - {other}
    names.see(None, now=102.0 + SETTLING)
    assert names.tasks == set(TASKS) - {other}
    assert names.held() == {"A-2", "F1-A-2", "F2-A-2"}


def test_what_a_delta_says_is_gone_is_gone_with_all_that_is_held_with_it(names):
    names.see(state("m2", [], [], recovered=AGENTS), now=100.0)
    names.see(Delta(agents_gone=("A-0",), tasks_gone=(("F1", "F1-A-1", 0),)), now=101.0)
    assert names.agents == {"A-1", "A-2"}
    assert names.held() == {"A-1", "A-2", "F1", "F2", "F2-A-1", "F1-A-2", "F2-A-2"}
    names.see(Delta(frameworks_gone=("F2",)), now=102.0)
    assert set(names.model.tasks) == {("F1", "F1-A-2", 0)}


def test_before_mesos_1_2_the_tasks_of_a_returned_agent_wait_for_their_framework(names):
    names.see(state("m2", [], []), now=100.0)
    names.see(Delta(agents={"A-0": AGENTS["A-0"]}), now=101.0)
    assert names.held(Why.FRAMEWORK) == {"F1-A-0", "F2-A-0"}
    names.see(None, now=101.0 + SETTLING)
    assert names.tasks == set(TASKS)
    names.see(Delta(frameworks={"F2": FRAMEWORKS["F2"]}), now=200.0)
    names.see(None, now=200.0 + SETTLING)
    assert names.tasks == set(TASKS) - {("F2", "F2-A-0", 0)}


def test_an_agent_that_is_replaced_is_there(names):
    names.see(state("m2", [], [], recovered=AGENTS), now=100.0)
    moved = Agent("A-0", "10.1.0.99", 5051)
    names.see(Delta(agents={"A-0": moved}, agents_gone=("A-0",)), now=101.0)
    assert names.model.agents["A-0"] == moved
    assert "A-0" not in names.held()


def test_a_recovered_framework_in_a_delta_keeps_its_address(names):
    names.see(Delta(frameworks={"F1": Framework("F1", "marathon", "", None, recovered=True)}))
    assert names.model.frameworks["F1"].host == "10.2.0.1"


def test_what_came_by_a_delta_is_not_held_when_it_vanishes(names):
    names.see(state("m2", [], [], recovered=AGENTS), now=100.0)
    names.see(Delta(agents=AGENTS, frameworks=FRAMEWORKS, tasks=TASKS), now=101.0)
    assert names.held() == set()
    names.see(state("m2", ["A-0"], ["F1"], recovered=["A-1"]), now=102.0)
    assert names.agents == {"A-0"}
    assert set(names.model.frameworks) == {"F1"}


# --- what is not shown ---------------------------------------------------------------------------


def test_a_state_without_frameworks_drops_none_of_them(names):
    lacking = state(agents=["A-0"], frameworks=[], not_shown=NotShown(frameworks=True))
    names.see(lacking)
    assert set(names.model.frameworks) == set(FRAMEWORKS)
    # An agent that is gone takes its tasks along: that much was shown.
    assert names.tasks == {key for key, task in TASKS.items() if task.agent_id == "A-0"}
    assert {one.hold for one in names.reconciler.held()} == {(Why.NOT_SHOWN, math.inf)}
    assert names.reconciler.next_deadline is None
    names.see(None, now=10 * GRACE)
    assert len(names.tasks) == 2
    names.see(state(agents=["A-0"], frameworks=["F1"]), now=20 * GRACE)
    assert names.tasks == {("F1", "F1-A-0", 0)}
    assert names.held() == set()


def test_a_state_without_agents_drops_none_of_them(names):
    present = [("F1", "F1-A-0", 0), ("F2", "F2-A-1", 0)]
    names.see(state(agents=[], tasks=present, not_shown=NotShown(agents=True)))
    assert names.agents == set(AGENTS) == names.held()
    assert names.tasks == set(present)


def test_a_framework_without_its_tasks_keeps_them(names):
    tasks = [key for key in TASKS if key[0] == "F2" and key[1] != "F2-A-2"]
    names.see(state(tasks=tasks, not_shown=NotShown(tasks_of=frozenset(["F1"]))))
    assert names.tasks == set(TASKS) - {("F2", "F2-A-2", 0)}


def test_an_ended_framework_goes_even_if_frameworks_are_not_shown(names):
    ended = frozenset(["F1"])
    names.see(state(frameworks=[], not_shown=NotShown(frameworks=True), completed_frameworks=ended))
    assert set(names.model.frameworks) == {"F2"}


def test_a_state_without_agents_after_a_failover_says_nothing_about_them(names):
    nothing = NotShown(agents=True)
    names.see(state("m2", [], FRAMEWORKS, [], recovered=["A-0"], not_shown=nothing), now=100.0)
    assert names.agents == set(AGENTS)
    assert names.tasks == set(TASKS)
    # Time ends what it was given for: the tasks. Of agents nobody has said anything.
    names.see(None, now=100.0 + GRACE)
    assert (names.agents, names.tasks) == (set(AGENTS), set())


def test_a_heir_goes_on_where_the_former_was(names):
    names.see(state("m2", ["A-0"], FRAMEWORKS, recovered=["A-1"]), now=100.0)
    heir = Names()
    heir.reconciler.inherit(names.reconciler)
    for _ in heir.model.apply(names.model.everything()):
        pass
    assert heir.held() == names.held() == {"A-1", "F1-A-1", "F2-A-1"}
    assert heir.reconciler.next_deadline == 100.0 + GRACE
    heir.see(None, now=100.0 + GRACE)
    assert heir.agents == {"A-0"}
    assert names.held() == {"A-1", "F1-A-1", "F2-A-1"}
