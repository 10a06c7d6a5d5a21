import json

import pytest

from mesos_dns.demo.generator import leader_identity, state_text


def generated(**changes):
    return b"".join(state_text(**({"seed": 1, "agents": 20, "tasks": 300, "leader": "127.0.0.1:5050"} | changes)))


@pytest.mark.parametrize(("tasks", "agents"), [(0, 1), (1, 1), (7, 3), (300, 20), (1234, 50)])
def test_the_state_has_exactly_the_tasks_and_agents_that_were_asked_for(tasks, agents):
    document = json.loads(generated(tasks=tasks, agents=agents))

    found = [task for framework in document["frameworks"] for task in framework["tasks"]]
    assert len(found) == len({(task["framework_id"], task["id"]) for task in found}) == tasks
    assert len(document["slaves"]) == len({agent["pid"] for agent in document["slaves"]}) == agents
    assert {task["slave_id"] for task in found} <= {agent["id"] for agent in document["slaves"]}
    assert {task["state"] for task in found} <= {"TASK_RUNNING"}


def test_the_same_seed_gives_the_same_octets_and_another_seed_others():
    assert generated() == generated()
    assert generated(seed=2) != generated()


def test_a_host_port_of_an_agent_belongs_to_one_task():
    document = json.loads(generated(tasks=2000, agents=5))

    taken = [
        (task["slave_id"], port)
        for framework in document["frameworks"]
        for task in framework["tasks"]
        for span in task["resources"].get("ports", "[]")[1:-1].split(", ")
        if span
        for port in range(int(span.split("-")[0]), int(span.split("-")[1]) + 1)
    ]

    assert len(taken) == len(set(taken)) > 1000


def test_what_agents_and_frameworks_use_is_the_sum_of_their_tasks():
    document = json.loads(generated())
    tasks = [task for framework in document["frameworks"] for task in framework["tasks"]]

    for agent in document["slaves"]:
        mine = [task["resources"]["cpus"] for task in tasks if task["slave_id"] == agent["id"]]
        assert agent["used_resources"]["cpus"] == pytest.approx(sum(mine))
    for framework in document["frameworks"]:
        mine = [task["resources"]["mem"] for task in framework["tasks"]]
        assert framework["used_resources"]["mem"] == pytest.approx(sum(mine))


def test_tasks_are_as_large_as_real_ones_and_applications_have_several():
    body = generated(tasks=3000, agents=300)
    document = json.loads(body)
    tasks = [task for framework in document["frameworks"] for task in framework["tasks"]]
    applications = {(task["framework_id"], task["name"]) for task in tasks}

    assert 2000 < len(body) / 3000 < 3000
    assert 2.0 < len(tasks) / len(applications) < 4.0


def test_the_leader_is_the_one_that_was_named():
    document = json.loads(generated(leader="10.9.8.7:1234"))

    assert document["leader"] == document["pid"] == "master@10.9.8.7:1234"
    assert document["leader_info"]["port"] == 1234


@pytest.mark.parametrize(
    "leader", ["", "127.0.0.1", ":5050", "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:65536", "a:b", "a:²"]
)
def test_a_leader_without_address_or_port_is_refused(leader):
    with pytest.raises(ValueError, match="ADDRESS:PORT"):
        leader_identity(leader, 1)


def test_too_many_tasks_for_the_ports_of_the_agents_say_what_to_do():
    with pytest.raises(ValueError, match="use more agents or fewer tasks"):
        generated(tasks=40_000, agents=1)


@pytest.mark.parametrize(
    ("numbers", "complaint"), [({"agents": 0}, "number of agents"), ({"tasks": -1}, "number of tasks")]
)
def test_impossible_numbers_are_refused(numbers, complaint):
    with pytest.raises(ValueError, match=complaint):
        generated(**numbers)
