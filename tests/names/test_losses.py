"""Losses that are too sudden to be believed, states that conceal something, and the grace that masters tell."""

import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.names.test_reconciler import M1, M2, Names

from mesos_dns.mesos.state import Agent, Concealed, Delta, Framework, Snapshot, Task
from mesos_dns.names.holds import LOSS_GRACE, SUDDEN_LOSS_TASKS, Cause, Total, Why, is_sudden, totals, unexplained
from mesos_dns.names.reconciler import GRACE, MAX_GRACE, SCHEDULER_GRACE

AGENTS = {f"A{n}": Agent(f"A{n}", f"10.1.0.{n}", 5051) for n in range(4)}
FRAMEWORKS = {f"F{n}": Framework(f"F{n}", f"fw{n}", f"10.2.0.{n}", 8080) for n in range(2)}
#: Forty tasks: five of each framework on each agent.
TASKS = {
    (framework, f"{framework}-{agent}-{n}", 0): Task(f"{framework}-{agent}-{n}", "web", framework, agent)
    for framework, agent, n in itertools.product(FRAMEWORKS, AGENTS, range(5))
}
OF_F1 = {key for key in TASKS if key[0] == "F1"}


def state(master="m1", agents=AGENTS, frameworks=FRAMEWORKS, without=(), recovered=(), **more):
    """What a master says of these agents and frameworks, without some tasks."""
    tasks = {
        key: task
        for key, task in TASKS.items()
        if key[0] in frameworks and task.agent_id in agents and key not in without
    }
    return Snapshot(
        master,
        M1 if master == "m1" else M2,
        (M1, M2),
        {key: AGENTS[key] for key in agents},
        {key: FRAMEWORKS[key] for key in frameworks},
        tasks,
        frozenset(recovered),
        **more,
    )


def ended(keys):
    found = {}
    for framework, task, _ in keys:
        found.setdefault(framework, set()).add(task)
    return {framework: frozenset(tasks) for framework, tasks in found.items()}


@pytest.fixture
def names():
    names = Names()
    names.see(state())
    assert names.tasks == set(TASKS)
    return names


# --- sudden losses -----------------------------------------------------------------------------


def test_a_sudden_loss_is_held_for_a_short_time(names):
    names.see(state(frameworks=[]), now=100.0)
    assert names.tasks == set(TASKS)
    assert set(names.model.frameworks) == set(FRAMEWORKS)
    assert names.held(Why.LOSS) == {key[1] for key in TASKS} | set(FRAMEWORKS)
    assert names.reconciler.next_deadline == 100.0 + LOSS_GRACE
    names.see(state(frameworks=[]), now=99.0 + LOSS_GRACE)
    assert names.tasks == set(TASKS)
    names.see(state(frameworks=[]), now=100.0 + LOSS_GRACE)
    assert names.tasks == set()
    assert not names.reconciler.is_holding


def test_agents_that_vanish_with_most_tasks_are_held_with_them(names):
    names.see(state(agents=["A0"]), now=100.0)
    assert names.agents == set(AGENTS)
    assert names.tasks == set(TASKS)
    names.see(None, now=100.0 + LOSS_GRACE)
    assert names.agents == {"A0"}
    assert {TASKS[key].agent_id for key in names.tasks} == {"A0"}


def test_what_is_back_is_not_held_any_more(names):
    names.see(state(frameworks=[]), now=100.0)
    names.see(state(), now=110.0)
    assert not names.reconciler.is_holding
    # And may be lost again.
    names.see(state(frameworks=[]), now=120.0)
    assert names.reconciler.next_deadline == 120.0 + LOSS_GRACE


def test_half_of_the_tasks_and_those_of_a_small_cluster_are_no_sudden_loss(names):
    names.see(state(frameworks=["F0"]), now=100.0)
    assert names.tasks == set(TASKS) - OF_F1
    few = [key for key in TASKS if key not in list(TASKS)[: SUDDEN_LOSS_TASKS - 1]]
    names.see(state(frameworks=["F0"], without=few), now=200.0)
    assert len(names.tasks) == SUDDEN_LOSS_TASKS - 1
    names.see(state(frameworks=[]), now=300.0)
    assert names.tasks == set()
    assert not names.reconciler.is_holding


def test_what_ends_while_the_rest_of_a_loss_is_held_goes(names):
    names.see(state(frameworks=[]), now=100.0)
    names.see(state(frameworks=["F0"], without=TASKS, completed_frameworks=frozenset(["F1"])), now=110.0)
    assert names.tasks == set(TASKS) - OF_F1
    some = list(set(TASKS) - OF_F1)[:12]
    names.see(state(frameworks=["F0"], without=TASKS, ended_tasks=ended(some)), now=120.0)
    assert names.tasks == set(), "more than half of them ended: the master does not list all"


@pytest.mark.parametrize(
    "evidence",
    [
        pytest.param({"frameworks": [], "completed_frameworks": frozenset(FRAMEWORKS)}, id="a teardown of all"),
        pytest.param({"without": TASKS, "ended_tasks": ended(TASKS)}, id="all tasks ended"),
        pytest.param({"agents": [], "ended_tasks": ended(TASKS)}, id="all agents were lost, with word of their tasks"),
    ],
)
def test_what_is_told_to_have_ended_is_believed_at_once(names, evidence):
    names.see(state(**evidence), now=100.0)
    assert names.tasks == set()
    assert not names.reconciler.is_holding


def test_a_change_of_master_has_rules_of_its_own(names):
    names.see(state("m2", frameworks=[]), now=100.0)
    assert names.held(Why.LOSS) == set()
    assert names.tasks == set(), "the agents are back without them"


def test_a_change_of_master_in_the_middle_of_a_loss_ends_nothing_early(names):
    names.see(state(frameworks=[]), now=100.0)
    names.see(state("m2", [], [], recovered=AGENTS), now=110.0)
    assert names.tasks == set(TASKS)
    assert names.held(Why.LOSS) == set()
    names.see(None, now=109.0 + GRACE)
    assert names.tasks == set(TASKS)


def test_events_are_believed_at_once(names):
    names.see(Delta(tasks_gone=tuple(TASKS), frameworks_gone=tuple(FRAMEWORKS)), now=100.0)
    assert names.tasks == set()
    assert not names.reconciler.is_holding


@settings(max_examples=60)
@given(data=st.data())
def test_random_losses_under_one_master(data):
    """Without a change of master: what is shown is there; what is not is held for LOSS_GRACE at most, and for a sudden loss alone."""
    names, now = Names(), 0.0
    names.see(state())
    subsets = st.sampled_from([(), ("A0",), ("A0", "A1", "A2"), tuple(AGENTS)])
    last_shown = set(TASKS)
    for _ in range(data.draw(st.integers(1, 6))):
        now += data.draw(st.sampled_from([1.0, 30.0, LOSS_GRACE]))
        over = set(data.draw(st.sampled_from([[], sorted(TASKS)[:7], sorted(OF_F1), sorted(TASKS)])))
        snapshot = state(
            agents=data.draw(subsets),
            frameworks=data.draw(st.sampled_from([[], ["F0"], ["F1"], list(FRAMEWORKS)])),
            without=over,
            ended_tasks=ended(over) if data.draw(st.booleans()) else {},
            completed_frameworks=frozenset(data.draw(st.sampled_from([[], ["F9"]]))),
        )
        before = set(names.model.tasks)
        was_held = {one.key for one in names.reconciler.held() if one.kind == "task"}
        names.see(snapshot, now)
        shown = set(snapshot.tasks)
        held = {one.key: one.hold for one in names.reconciler.held() if one.kind == "task"}
        assert set(names.model.tasks) == shown | held.keys()
        assert not shown & held.keys()
        assert held.keys() <= before
        for hold in held.values():
            assert hold.why is Why.LOSS
            assert now < hold.until <= now + LOSS_GRACE
        # Nothing of which there is word, if it is of all.
        if snapshot.ended_tasks == ended(over):
            assert not held.keys() & over
        if fresh := held.keys() - was_held:
            assert is_sudden(len(fresh), len(last_shown))
        for key in held:
            assert names.model.tasks[key].agent_id in names.model.agents
            assert key[0] in names.model.frameworks
        last_shown = shown
    names.see(None, now + LOSS_GRACE)
    assert not names.reconciler.is_holding


@given(
    lost=st.sets(st.tuples(st.sampled_from("FG"), st.sampled_from("abcdefgh"), st.just(0))),
    told=st.dictionaries(st.sampled_from("FG"), st.frozensets(st.sampled_from("abcdefgh"))),
    completed=st.frozensets(st.sampled_from("FG")),
)
def test_what_is_unexplained(lost, told, completed):
    snapshot = state(ended_tasks=told, completed_frameworks=completed)
    found = set(unexplained(lost, snapshot))
    assert found <= {key for key in lost if key[0] not in completed and key[1] not in told.get(key[0], ())}
    for framework in "FG":
        its = {key for key in lost if key[0] == framework}
        if framework not in completed and not told.get(framework, frozenset()) & {key[1] for key in its}:
            assert its <= found


# --- states that conceal something -------------------------------------------------------------

ALL_FRAMEWORKS = Concealed(frameworks=True)


def test_frameworks_that_vanish_when_a_state_begins_to_conceal_some_are_held(names):
    names.see(state(frameworks=["F0"], concealed=ALL_FRAMEWORKS), now=100.0)
    assert names.tasks == set(TASKS)
    assert names.held(Why.CONCEALED) == {"F1"} | {key[1] for key in OF_F1}
    assert names.reconciler.next_deadline is None
    # What is shown besides is believed.
    one = next(key for key in TASKS if key[0] == "F0")
    names.see(state(frameworks=["F0"], without=[one], concealed=ALL_FRAMEWORKS), now=9e6)
    assert names.tasks == set(TASKS) - {one}
    names.see(state(frameworks=["F0"], without=[one]), now=9e6 + 1)
    assert names.tasks == set(TASKS) - OF_F1 - {one}


def test_a_teardown_in_a_state_that_conceals_something_is_believed(names):
    names.see(state(frameworks=["F0"], concealed=ALL_FRAMEWORKS), now=100.0)
    names.see(state(frameworks=["F0"], concealed=ALL_FRAMEWORKS, completed_frameworks=frozenset(["F1"])), now=110.0)
    assert names.tasks == set(TASKS) - OF_F1


def test_an_agent_that_goes_takes_concealed_tasks_along(names):
    names.see(state(frameworks=[], concealed=ALL_FRAMEWORKS), now=100.0)
    names.see(state(agents=["A0"], frameworks=[], concealed=ALL_FRAMEWORKS), now=110.0)
    assert {TASKS[key].agent_id for key in names.tasks} == {"A0"}


def test_what_goes_while_others_were_concealed_all_the_time_is_gone():
    """Rights to a part of the frameworks: the state always conceals some, and that says nothing about those that are known."""
    names = Names()
    names.see(state(concealed=ALL_FRAMEWORKS))
    names.see(state(frameworks=["F0"], concealed=ALL_FRAMEWORKS), now=100.0)
    assert names.tasks == set(TASKS) - OF_F1


def test_concealed_frameworks_are_held_through_a_change_of_master(names):
    names.see(state(frameworks=[], concealed=ALL_FRAMEWORKS), now=100.0)
    names.see(state("m2", frameworks=[], concealed=ALL_FRAMEWORKS), now=110.0)
    names.see(state("m2", frameworks=[], concealed=ALL_FRAMEWORKS), now=9e6)
    assert names.tasks == set(TASKS)


def test_a_new_master_that_conceals_what_the_former_one_showed(names):
    names.see(state("m2", frameworks=[], concealed=ALL_FRAMEWORKS), now=100.0)
    assert names.tasks == set(TASKS)
    assert names.held(Why.CONCEALED) >= set(FRAMEWORKS)


def test_tasks_that_a_framework_conceals_are_held_unless_they_are_told_to_have_ended(names):
    concealed = Concealed(tasks_of=frozenset(["F1"]))
    over = sorted(OF_F1)[:1]
    names.see(state(without=OF_F1, concealed=concealed, ended_tasks=ended(over)), now=100.0)
    assert names.tasks == set(TASKS) - set(over)
    names.see(state(without=OF_F1, concealed=concealed), now=9e6)
    assert names.tasks == set(TASKS) - set(over)
    names.see(state(without=OF_F1), now=9e6 + 1)
    assert names.tasks == set(TASKS) - OF_F1


# --- grace -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("configured", "told", "grace"),
    [(None, None, GRACE), (None, 900.0, 900.0), (30.0, 900.0, 30.0), (None, 9e9, MAX_GRACE), (None, 0.0, GRACE)],
)
def test_how_long_a_change_of_master_is_held(configured, told, grace):
    names = Names(configured)
    names.see(state())
    names.see(state("m2", [], [], recovered=AGENTS, reregister_timeout=told), now=100.0)
    assert names.reconciler.grace == grace
    assert {one.hold.until for one in names.reconciler.held()} == {100.0 + grace}
    # A master that conceals its flags tells nothing new.
    names.see(state("m2", [], [], recovered=AGENTS), now=101.0)
    assert names.reconciler.grace == grace
    names.see(state("m2", [], [], recovered=AGENTS), now=99.0 + grace)
    assert names.tasks == set(TASKS)
    names.see(state("m2", [], [], recovered=AGENTS), now=100.0 + grace)
    assert names.tasks == set()


def test_a_scheduler_has_no_longer_than_the_grace():
    for configured, seconds in ((30.0, 30.0), (None, SCHEDULER_GRACE)):
        names = Names(configured)
        names.see(state(frameworks=["F0"]))
        names.see(state("m2", frameworks=[]), now=100.0)
        assert {one.hold.until for one in names.reconciler.held()} == {100.0 + seconds}


def test_totals_by_cause(names):
    names.see(state(frameworks=["F0"], concealed=ALL_FRAMEWORKS), now=100.0)
    assert totals(names.reconciler.held()) == {Cause.CONCEALED: Total(0, 1, 20, math.inf)}
    assert str(Total(1, 0, 20)) == "1 agents, 20 tasks"
    names = Names()
    names.see(state())
    names.see(state("m2", [], [], recovered=AGENTS), now=100.0)
    assert totals(names.reconciler.held()) == {Cause.FAILOVER: Total(4, 2, 40, 100.0 + GRACE)}
