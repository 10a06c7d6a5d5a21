from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesos_dns.demo.cluster import LIVE
from mesos_dns.demo.document import TaskTexts, state
from mesos_dns.demo.simulation import Leads, Plan, Simulation

MASTERS = [("127.0.0.1", 15050 + number) for number in range(3)]
START = 1_700_000_000.0


def simulation(**changes):
    return Simulation(Plan(**({"churn": 5.0, "failover_every": 30.0} | changes)), MASTERS, START)


def leading(running):
    return next(sight.view for index in range(3) if isinstance(sight := running.sight(index), Leads))


@settings(max_examples=20)  # an example is a simulated cluster
@given(st.lists(st.floats(0.01, 8.0), max_size=12), st.integers(0, 5))
def test_the_steps_of_the_clock_do_not_change_what_happens(steps, seed):
    at_once, stepwise = simulation(seed=seed), simulation(seed=seed)
    end = START + sum(steps)

    expected = at_once.advance(end)
    seen = [event for index in range(len(steps)) for event in stepwise.advance(START + sum(steps[: index + 1]))]

    assert seen == expected
    assert [at_once.sight(index) for index in range(3)] == [stepwise.sight(index) for index in range(3)]


def test_the_same_seed_gives_the_same_document():
    first, second = simulation(), simulation()
    first.advance(START + 20)
    second.advance(START + 20)

    assert state(leading(first), TaskTexts()) == state(leading(second), TaskTexts())


def test_without_churn_and_failover_nothing_ever_happens():
    running = simulation(churn=0.0, failover_every=0.0)
    before = leading(running)

    assert running.advance(START + 3600) == []
    assert leading(running) == before


def test_tasks_go_through_the_states_of_mesos_in_order():
    running = simulation(failover_every=0.0)
    seen = {}
    for step in range(400):
        running.advance(START + step * 0.05)
        for key, task in running.workload.tasks.items():
            history = seen.setdefault(key, [])
            if not history or history[-1] != task.state:
                history.append(task.state)

    launched = [history for history in seen.values() if history[0] == "TASK_STAGING"]
    assert {tuple(history[:3]) for history in launched if len(history) >= 3} == {
        ("TASK_STAGING", "TASK_STARTING", "TASK_RUNNING")
    }
    ends = {tuple(history[-2:]) for history in seen.values()}
    assert ("TASK_KILLING", "TASK_KILLED") in ends
    assert ("TASK_RUNNING", "TASK_FAILED") in ends


def test_statuses_are_one_per_run_of_equal_states():
    running = simulation()
    running.advance(START + 25)

    for task in leading(running).frameworks[0].tasks:
        states = [status.state for status in task.statuses]
        assert all(one != other for one, other in pairwise(states))
        assert [status.timestamp for status in task.statuses] == sorted(status.timestamp for status in task.statuses)


def test_churn_keeps_the_number_of_instances_about_the_same():
    running = simulation(tasks=60, failover_every=0.0)
    running.advance(START + 600)
    tasks = [*running.workload.tasks.values(), *running.workload.unreachable.values()]

    assert 50 <= len(tasks) <= 75
    wanted = Counter((task.framework.number, task.application.name) for task in tasks)
    assert wanted[(0, "nginx")] >= 1


def test_a_host_port_is_never_held_twice():
    running = simulation(tasks=60)
    for second in range(0, 120, 3):
        running.advance(START + second)
        everything = [*running.workload.tasks.values(), *running.workload.unreachable.values()]
        held = [(task.agent.number, port) for task in everything for port in task.ports]
        assert len(held) == len(set(held))


def test_a_lost_agent_is_first_inactive_then_gone_then_back_with_its_tasks():
    running = simulation(churn=0.0, failover_every=0.0)
    mine = {task.id for task in running.workload.tasks.values() if task.agent.number == 2}
    assert mine

    def seen():
        view = leading(running)
        agents = {agent.agent.number: agent.active for agent in view.agents}
        tasks = {task.id for framework in view.frameworks for task in framework.tasks}
        unreachable = {task.id: task.state for framework in view.frameworks for task in framework.unreachable}
        return (
            agents.get(2),
            mine <= tasks,
            set(unreachable) == mine and set(unreachable.values()) == {"TASK_UNREACHABLE"},
        )

    assert seen() == (True, True, False)
    running.workload.lose(2)
    assert seen() == (False, True, False)
    running.advance(START + 4.5)
    assert seen() == (None, False, True)
    assert leading(running).unreachable_agents == 1
    running.advance(START + 30)
    assert seen() == (True, True, False)
    assert next(agent.reregistered for agent in leading(running).agents if agent.agent.number == 2) is not None


def test_an_agent_that_is_shut_down_while_it_is_lost_does_not_come_back():
    running = simulation(churn=0.0, failover_every=0.0)
    running.workload.lose(2)
    running.advance(START + 1)
    running.world.unregister_agent(2)
    running.advance(START + 60)

    assert sorted(agent.agent.number for agent in leading(running).agents) == [0, 1, 3, 4, 5]


def test_a_failing_task_is_listed_until_acknowledged_then_completed_and_replaced():
    running = simulation(churn=0.0, failover_every=0.0)
    task = next(task for task in running.workload.tasks.values() if task.application.name == "nginx")
    running.workload.fail(task.key)

    framework = leading(running).frameworks[0]
    assert [other.state for other in framework.tasks if other.id == task.id] == ["TASK_FAILED"]
    running.advance(START + 0.5)
    framework = leading(running).frameworks[0]
    assert task.id not in {other.id for other in framework.tasks}
    assert [other.id for other in framework.completed] == [task.id]
    running.advance(START + 10)
    framework = leading(running).frameworks[0]
    nginx = [other for other in framework.tasks if other.application.name == "nginx"]
    assert [other.state for other in nginx] == ["TASK_RUNNING"] * 3
    assert task.id not in {other.id for other in nginx}


def test_a_moved_task_runs_on_another_agent_before_the_old_one_is_killed():
    running = simulation(churn=0.0, failover_every=0.0)
    old = next(task for task in running.workload.tasks.values() if task.application.name == "dns-cache")
    running.workload.move(old.key)

    running.advance(START + 2)
    both = [task for task in running.workload.tasks.values() if task.application.name == "dns-cache"]
    assert [task.state for task in both] == ["TASK_RUNNING", "TASK_RUNNING"]
    assert len({task.agent.number for task in both}) == 2
    running.advance(START + 10)
    assert [task.id for task in running.workload.tasks.values() if task.application.name == "dns-cache"] == [both[1].id]


@pytest.mark.parametrize("tasks", [0, 1, 5])
def test_tiny_clusters_work(tasks):
    running = simulation(tasks=tasks, agents=1)
    running.advance(START + 100)

    assert {task.state for task in running.workload.tasks.values()} <= LIVE | {
        "TASK_FAILED",
        "TASK_KILLED",
        "TASK_FINISHED",
    }
