"""What a client of an older master finds in a state, and what it does not."""

import json

import pytest
from tests.demo.story import CNI, Story

from mesos_dns.demo import document


def told(version):
    story = Story(version, agents=1)
    story.run(CNI)
    return json.loads(document.state(story.world.ledgers[0].view(), story_texts(story)))


def story_texts(story):
    return document.TaskTexts(document.task_encoder(story.world.release))


def info(state):
    (task,) = next(framework["tasks"] for framework in state["frameworks"] if framework["tasks"])
    (found,) = task["statuses"][-1]["container_status"]["network_infos"]
    return found


@pytest.mark.parametrize(
    ("version", "keys"),
    [
        ("0.25.0", {"ip_address"}),
        ("0.26.0", {"ip_address", "ip_addresses"}),
        ("0.28.0", {"ip_address", "ip_addresses"}),
        ("1.0.0", {"ip_addresses", "name"}),
        ("1.11.0", {"ip_addresses", "name"}),
    ],
)
def test_addresses_of_containers(version, keys):
    found = info(told(version))

    assert set(found) == keys
    if "ip_addresses" in keys:
        assert ("protocol" in found["ip_addresses"][0]) == (version == "1.11.0")
        assert found.get("ip_address") in {None, found["ip_addresses"][0]["ip_address"]}


@pytest.mark.parametrize(
    ("version", "pid", "roles", "recovered", "agent_version"),
    [
        ("0.22.0", False, False, False, None),
        ("0.23.0", True, False, False, None),
        ("0.26.0", True, False, False, "0.26.0"),
        ("1.2.0", True, True, True, "1.2.0"),
        ("1.10.0", True, True, True, "1.10.0"),
    ],
)
def test_frameworks_and_agents(version, pid, roles, recovered, agent_version):
    state = told(version)
    marathon = state["frameworks"][0]

    assert ("pid" in marathon, "roles" in marathon, "recovered" in marathon) == (pid, roles, recovered)
    assert ("role" in marathon) != roles
    assert "recovered_slaves" in state or not recovered
    assert state["slaves"][0].get("version") == agent_version
    assert state["version"] == version
    assert "offer_constraints" not in marathon
