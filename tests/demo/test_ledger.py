"""What each release tells its subscribers, and what it keeps to itself."""

import json
from dataclasses import replace

import pytest
from tests.demo.story import PLAIN, WEB, Story

from mesos_dns.demo import document
from mesos_dns.demo.catalog import KAFKA, MARATHON, Application, Network, Port
from mesos_dns.demo.releases import KNOWN, release

EVERY = [version for version in KNOWN if release(version).has_v1]
STRANGE = Application(replace(MARATHON, number=9, name="strange"), "odd", Network.HOST)


def test_from_1_1_a_task_on_its_way_tells_every_status():
    story = Story()
    story.run(PLAIN)

    assert story.kinds() == ["TASK_ADDED TASK_STAGING", "TASK_UPDATED TASK_STARTING", "TASK_UPDATED TASK_RUNNING"]


@pytest.mark.parametrize("version", EVERY)
def test_updates_carry_a_status_since_1_1(version):
    story = Story(version)
    story.run(PLAIN)
    update = story.events[1]["task_updated"]

    assert set(update) == (
        {"task_id", "framework_id", "agent_id", "state"} if version == "1.0.0" else {"framework_id", "status", "state"}
    )


@pytest.mark.parametrize("version", EVERY)
def test_a_state_that_ran_ahead_hides_the_running_status_before_1_7(version):
    """MESOS-9000: the agent told TASK_RUNNING beside the status TASK_STARTING."""
    story = Story(version)
    story.world.hold_acknowledgements(0)
    key = story.world.launch(PLAIN, 0).key
    story.world.update(key, "TASK_STARTING")
    story.world.update(key, "TASK_RUNNING")
    assert story.kinds()[1:] == ["TASK_UPDATED TASK_STARTING"]

    story.world.retry()
    story.world.hold_acknowledgements(0, hold=False)

    ahead = "TASK_UPDATED TASK_RUNNING" + ("" if version == "1.0.0" else " by TASK_STARTING")
    fixed = release(version).at_least(1, 7)
    assert story.kinds()[2:] == ["TASK_UPDATED TASK_RUNNING"] if fixed else story.kinds()[2:] == [ahead]
    (task,) = story.call()["get_tasks"]["tasks"]
    assert [status["state"] for status in task["statuses"]] == ["TASK_STARTING", "TASK_RUNNING"]


@pytest.mark.parametrize("version", EVERY)
def test_health_results_are_events_where_they_were_repaired(version):
    story = Story(version)
    key = story.run(WEB)
    before = len(story.events)
    story.health(key, False)
    story.health(key, True)

    told = version in {"1.5.3", "1.6.2", "clusterd"} or release(version).at_least(1, 7)
    assert story.kinds(before) == ["TASK_UPDATED TASK_RUNNING"] * 2 * told
    (task,) = story.call()["get_tasks"]["tasks"]
    assert task["statuses"][-1]["healthy"] is True
    if told:
        assert [event["task_updated"]["status"]["healthy"] for event in story.events[before:]] == [False, True]


@pytest.mark.parametrize("version", EVERY)
def test_a_repeated_state_is_silent_in_every_release(version):
    story = Story(version)
    key = story.run(PLAIN)
    before = len(story.events)
    story.world.silently(key, addresses=(("IPv4", "10.9.9.9"),), labels=(("a", "b"),))

    assert story.kinds(before) == []
    (task,) = story.call()["get_tasks"]["tasks"]
    (info,) = task["statuses"][-1]["container_status"]["network_infos"]
    assert info["ip_addresses"] == [{"protocol": "IPv4", "ip_address": "10.9.9.9"}]
    assert len(task["statuses"]) == 2


@pytest.mark.parametrize("version", EVERY)
def test_an_agent_given_up_is_no_event_but_its_tasks_are(version):
    story = Story(version)
    story.run(PLAIN)
    before = len(story.events)
    story.world.silence_agent(0)
    assert story.kinds(before) == []
    story.world.lose_agent(0)

    state = "TASK_LOST" if version == "1.0.0" else "TASK_UNREACHABLE"
    assert story.kinds(before) == [f"TASK_UPDATED {state}"]
    told = story.call()
    assert len(told["get_agents"]["agents"]) == 1
    listed = "unreachable_tasks" if release(version).at_least(1, 2) else "completed_tasks"
    assert [task["state"] for task in told["get_tasks"][listed]] == [state]


def test_frameworks_that_do_not_know_partitions_lose_their_tasks():
    story = Story()
    story.run(replace(PLAIN, framework=replace(MARATHON, number=8, partition_aware=False)))
    story.world.lose_agent(0)

    assert story.kinds()[-1] == "TASK_UPDATED TASK_LOST"


def test_an_agent_marked_gone_takes_its_tasks_along_without_agent_removed():
    story = Story()
    story.run(PLAIN)
    story.world.agent_gone(0)

    assert story.kinds()[-1] == "TASK_UPDATED TASK_GONE_BY_OPERATOR"
    assert story.events[-1]["task_updated"]["status"]["reason"] == "REASON_AGENT_REMOVED_BY_OPERATOR"
    assert [task["state"] for task in story.call()["get_tasks"]["completed_tasks"]] == ["TASK_GONE_BY_OPERATOR"]


@pytest.mark.parametrize("version", EVERY)
def test_after_a_failover_tasks_come_before_their_agent(version):
    story = Story(version, agents=1)
    story.run(PLAIN)
    story.run(WEB)
    story.world.kill(0)
    story.world.elect(1)
    story.world.read_registry()
    story.world.reconnect(0)
    before = len(story.events)
    story.world.reregister(0)

    agent = ["AGENT_ADDED"] if version != "1.0.0" else []
    assert story.kinds(before) == ["TASK_ADDED TASK_RUNNING"] * 2 + agent


@pytest.mark.parametrize("version", EVERY)
def test_frameworks_known_from_agents_only_are_announced_where_that_was_repaired(version):
    """MESOS-9785."""
    story = Story(version, agents=1)
    story.run(PLAIN)
    story.world.kill(0)
    story.world.elect(1)
    story.world.read_registry()
    before = len(story.events)
    story.world.reregister(0)

    told = story.kinds(before)
    if version in {"1.7.3", "1.9.0", "1.10.0", "1.11.0", "clusterd"}:
        assert told == ["AGENT_ADDED", "FRAMEWORK_ADDED", "TASK_ADDED TASK_RUNNING"]
        framework = story.events[before + 1]["framework_added"]["framework"]
        assert (framework["active"], framework["recovered"]) == (False, True)
    else:
        assert told == ["TASK_ADDED TASK_RUNNING"] + ["AGENT_ADDED"] * (version != "1.0.0")
    story.world.reconnect(0)
    assert story.kinds()[before + len(told) :] == ["FRAMEWORK_UPDATED"] * release(version).at_least(1, 4)


def test_tasks_that_ended_unnoticed_are_added_in_their_last_state():
    story = Story(agents=1)
    gone, ended = story.run(PLAIN), story.run(WEB)
    story.world.lose_agent(0)
    story.world.disconnect(0)
    before = len(story.events)
    story.world.return_agent(0, without=[gone])

    assert sorted(story.kinds(before)) == ["AGENT_ADDED", "TASK_ADDED TASK_FAILED", "TASK_ADDED TASK_RUNNING"]
    assert story.kinds()[-1] == "AGENT_ADDED"
    story.world.reconnect(0)
    assert {task["task_id"]["value"] for task in story.call()["get_tasks"]["tasks"]} == {ended[1]}


def test_a_terminal_task_stays_listed_until_its_scheduler_is_back():
    story = Story()
    key = story.run(PLAIN)
    story.world.disconnect(0)
    story.world.update(key, "TASK_FINISHED")

    assert [task["state"] for task in story.call()["get_tasks"]["tasks"]] == ["TASK_FINISHED"]
    assert story.call()["get_frameworks"]["frameworks"][0]["connected"] is False
    story.world.reconnect(0)
    assert story.call()["get_tasks"]["tasks"] == []
    assert [task["state"] for task in story.call()["get_tasks"]["completed_tasks"]] == ["TASK_FINISHED"]


@pytest.mark.parametrize("version", EVERY)
def test_frameworks_are_events_since_1_4(version):
    story = Story(version)
    story.world.launch(STRANGE, 0)
    story.world.disconnect(9)
    story.world.reconnect(9, replace(STRANGE.framework, hostname="elsewhere"))
    story.world.reconnect(9)
    story.world.tear_down(9)

    kinds = [kind for kind in story.kinds() if kind.startswith("FRAMEWORK")]
    again = not release(version).at_least(1, 11)
    expected = ["FRAMEWORK_ADDED", "FRAMEWORK_UPDATED"] + ["FRAMEWORK_UPDATED"] * again + ["FRAMEWORK_REMOVED"]
    assert kinds == expected * release(version).at_least(1, 4)
    assert "TASK_UPDATED TASK_KILLED" in story.kinds()
    completed = story.call()["get_frameworks"]["completed_frameworks"]
    assert [framework["framework_info"]["name"] for framework in completed] == ["strange"]


def test_draining_and_a_new_address_are_silent():
    story = Story()
    story.world.set_agent(0, deactivated=True, draining="DRAINING")
    story.world.readdress_agent(1, "10.0.0.99")

    assert story.events == []
    first, second = story.call()["get_agents"]["agents"]
    assert (first["deactivated"], first["active"], first["drain_info"]["state"]) == (True, False, "DRAINING")
    assert second["pid"] == "slave(1)@10.0.0.99:5051"


@pytest.mark.parametrize("version", EVERY)
def test_empty_lists_are_written_since_1_10(version):
    told = Story(version, agents=1).call("GET_TASKS")

    assert told == (
        {"tasks": [], "unreachable_tasks": [], "completed_tasks": []} if release(version).at_least(1, 10) else {}
    )


def test_a_new_leader_expects_the_agents_of_the_registry():
    story = Story(agents=3)
    story.world.lose_agent(2)
    story.world.kill(0)
    story.world.elect(1)
    assert story.world.masters[1].ledger.recovered == {}
    assert story.world.ledgers == [], "nobody talks to it before"
    story.world.read_registry()

    expected = story.call("GET_AGENTS")["recovered_agents"]
    assert [agent["hostname"] for agent in expected] == ["agent-0.example", "agent-1.example"]
    assert all("pid" not in agent for agent in expected)


def test_a_usurper_shows_what_it_knew_and_hears_nothing():
    story = Story()
    story.run(PLAIN)
    story.world.usurp(1)
    story.run(WEB)

    true, false = (seat.ledger for seat in story.world.masters)
    assert (len(true.tasks), len(false.tasks)) == (2, 1)
    assert story.world.leader == 0


def test_what_a_frozen_leader_misses_it_does_not_learn():
    story = Story()
    story.world.masters[0].frozen = True
    story.world.elect(1)
    story.world.read_registry()
    story.world.come_back()
    story.run(PLAIN)
    story.world.masters[0].frozen = False

    old, new = (seat.ledger for seat in story.world.masters)
    assert (len(old.tasks), len(new.tasks)) == (0, 1)


def test_two_schedulers_hold_their_own_statuses():
    story = Story()
    story.world.hold_acknowledgements(0)
    mine = story.world.launch(PLAIN, 0).key
    other = story.world.launch(replace(PLAIN, framework=KAFKA), 0).key
    for key in (mine, other):
        for state in ("TASK_STARTING", "TASK_RUNNING"):
            story.world.update(key, state)

    assert {key: ledger_state(story, key) for key in (mine, other)} == {mine: "TASK_STARTING", other: "TASK_RUNNING"}


def ledger_state(story, key):
    return story.world.ledgers[0].tasks[key].state


@pytest.mark.parametrize("text", ["", "1", "1.x.0", "one", "1.2.3.4", "-1.0"])
def test_a_version_that_is_none(text):
    with pytest.raises(ValueError, match="expected one like"):
        release(text)


@pytest.mark.parametrize(("version", "orphans"), [("0.28.0", True), ("1.1.0", True), ("1.2.0", False)])
def test_before_1_2_tasks_wait_as_orphans_for_their_scheduler(version, orphans):
    story = Story(version, agents=1)
    story.run(PLAIN)
    story.world.kill(0)
    story.world.elect(1)
    story.world.read_registry()
    story.world.reregister(0)

    def state():
        return json.loads(document.state(story.world.ledgers[0].view(), document.TaskTexts()))

    told = state()
    assert (len(told["orphan_tasks"]), len(told["unregistered_frameworks"])) == (orphans, orphans)
    assert [len(framework["tasks"]) for framework in told["frameworks"]] == ([] if orphans else [1])
    if version == "1.1.0":
        assert len(story.call("GET_TASKS")["orphan_tasks"]) == 1
    story.world.reconnect(0)
    told = state()
    assert (told["orphan_tasks"], len(told["frameworks"][0]["tasks"])) == ([], 1)


@pytest.mark.parametrize(
    ("network", "own", "mapped"),
    [
        (Network.HOST, False, ()),
        (Network.BRIDGE, True, ("docker",)),
        (Network.USER, True, ()),
        (Network.CNI, True, ()),
        (Network.CNI6, True, ()),
        (Network.MAPPED, True, ("requested", "status")),
    ],
)
def test_networks_look_alike_in_both_apis(network, own, mapped):
    story = Story(agents=1)
    application = Application(MARATHON, "web", network, (Port("http", "tcp", 80),), "web")
    story.run(application)
    (new,) = story.call()["get_tasks"]["tasks"]
    (old,) = json.loads(document.state(story.world.ledgers[0].view(), document.TaskTexts()))["frameworks"][0]["tasks"]

    assert new["container"] == old["container"]
    assert new["discovery"] == old["discovery"]
    infos = [task["statuses"][-1]["container_status"]["network_infos"] for task in (new, old)]
    assert infos[0] == infos[1]
    assert (infos[0][0]["ip_addresses"][0]["ip_address"] != story.world.machines[0].agent.address) == own
    found = {
        "docker": "port_mappings" in new["container"].get("docker", {}),
        "requested": any("port_mappings" in info for info in new["container"].get("network_infos", [])),
        "status": "port_mappings" in infos[0][0],
    }
    assert {name for name, there in found.items() if there} == set(mapped)
    assert ("ports" in old["resources"]) == (network in {Network.HOST, Network.BRIDGE, Network.MAPPED})
