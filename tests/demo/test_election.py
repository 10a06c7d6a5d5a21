"""A failover as a transcript: what each master shows, moment by moment."""

from mesos_dns.demo.catalog import FRAMEWORKS
from mesos_dns.demo.cluster import LIVE
from mesos_dns.demo.election import Pace
from mesos_dns.demo.simulation import Down, Follows, Leads, NoLeader, Plan, Simulation

MASTERS = [("127.0.0.1", 15050), ("127.0.0.1", 15051), ("127.0.0.1", 15052)]
START = 1_700_000_000.0
PACE = Pace(session_expiry=4.0, election=0.5, registry=0.25, reregistration=2.0, restart=8.0)


def simulation(**changes):
    plan = {"agents": 6, "tasks": 30, "churn": 0.0, "failover_every": 10.0, "pace": PACE} | changes
    return Simulation(Plan(**plan), MASTERS, START)


def kinds(running):
    return [type(running.sight(index)) for index in range(3)]


def view(running):
    return next(sight.view for index in range(3) if isinstance(sight := running.sight(index), Leads))


def live(running):
    return sum(task.state in LIVE for task in running.workload.tasks.values())


def test_at_first_one_master_leads_and_the_others_name_it():
    running = simulation()

    assert kinds(running) == [Leads, Follows, Follows]
    assert running.sight(1).leader.endpoint == "127.0.0.1:15050"
    assert len(view(running).agents) == 6
    assert view(running).recovered == ()


def test_until_the_session_expires_the_others_redirect_to_the_dead_master():
    running = simulation()
    running.advance(START + 10.1)

    assert kinds(running) == [Down, Follows, Follows]
    assert running.sight(1).leader.endpoint == "127.0.0.1:15050"


def test_then_nobody_leads():
    running = simulation()
    running.advance(START + 14.1)

    assert kinds(running) == [Down, NoLeader, NoLeader]


def test_the_new_leader_knows_nothing_at_first_not_even_whom_it_misses():
    running = simulation()
    running.advance(START + 14.6)

    assert kinds(running).count(Leads) == 1
    assert (view(running).agents, view(running).frameworks, view(running).recovered) == ((), (), ())
    assert view(running).elected == START + 14.5


def test_then_it_misses_every_agent():
    running = simulation()
    running.advance(START + 14.75)

    assert len(view(running).recovered) + len(view(running).agents) == 6
    assert len(view(running).recovered) >= 4


def test_agents_come_back_one_by_one_with_their_tasks_and_frameworks_are_recovered_until_their_schedulers_are_back():
    running = simulation()
    seen_agents, seen_tasks, seen_recovered = [], [], False
    for step in range(40):
        running.advance(START + 14.5 + step * 0.075)
        now = view(running)
        seen_agents.append(len(now.agents))
        seen_tasks.append(sum(len(framework.tasks) for framework in now.frameworks))
        seen_recovered = seen_recovered or any(framework.recovered for framework in now.frameworks)
        here = {agent.agent.id for agent in now.agents}
        assert {task.agent.id for framework in now.frameworks for task in framework.tasks} <= here
        assert here.isdisjoint(agent.id for agent in now.recovered)

    assert seen_agents == sorted(seen_agents)
    assert len(set(seen_agents)) >= 4, "agents come back gradually"
    assert (seen_agents[-1], seen_tasks[-1], len(now.frameworks)) == (6, 30, len(FRAMEWORKS))
    assert seen_recovered
    assert not any(framework.recovered for framework in now.frameworks)
    assert all(framework.reregistered is not None for framework in now.frameworks)


def test_ids_of_agents_and_frameworks_stay_and_the_dead_master_returns_with_a_new_id():
    running = simulation(failover_every=0.0)
    agents = {agent.agent.id for agent in view(running).agents}
    dead = running.election.masters[0]

    assert running.election.fail_over()
    running.advance(START + 30)

    assert {agent.agent.id for agent in view(running).agents} == agents
    assert running.sight(0) == Follows(view(running).master)
    assert running.election.masters[0].id != dead.id
    assert running.election.masters[0].endpoint == dead.endpoint


def test_a_second_failover_waits_until_somebody_leads():
    running = simulation(failover_every=0.0)

    assert running.election.fail_over()
    assert not running.election.fail_over()
    running.advance(START + 7)
    assert running.election.fail_over(), "two of three are up again or still"


def test_tasks_are_launched_only_while_the_schedulers_are_connected():
    running = simulation(failover_every=0.0)
    task = next(iter(running.workload.tasks.values()))
    running.election.fail_over()
    running.workload.fail(task.key)

    running.advance(START + 5)
    assert live(running) == 29
    running.advance(START + 30)
    assert live(running) == 30


def test_an_agent_that_is_away_during_the_failover_is_neither_registered_nor_expected():
    running = simulation(failover_every=0.0)
    running.workload.lose(3)
    running.advance(START + 4.0)
    running.election.fail_over()
    running.advance(START + 8.8)

    numbers = {agent.number for agent in view(running).recovered} | {
        agent.agent.number for agent in view(running).agents
    }
    assert numbers == {0, 1, 2, 4, 5}
    assert view(running).unreachable_agents == 1
    running.advance(START + 40)
    assert {agent.agent.number for agent in view(running).agents} == set(range(6))
