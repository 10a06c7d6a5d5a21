"""Whoever follows the events of a simulated master knows what its snapshot says: the rules a subscriber has to live by."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.demo.story import CUSTOM, JOB, OVERLAY, PLAIN, WEB, Story

from mesos_dns.demo.cluster import LIVE

APPLICATIONS = (PLAIN, WEB, CUSTOM, OVERLAY, JOB)
VERBS = (
    "run",
    "finish",
    "fail",
    "kill",
    "lose",
    "return",
    "unregister",
    "gone",
    "add",
    "tear",
    "away",
    "back",
    "health",
)


class Follower:
    """Tasks by (framework, task) with their state and newest health, agents, frameworks; built from events alone."""

    def __init__(self, state):
        self.tasks = {_key(task): _known(task) for task in state["get_tasks"].get("tasks", [])}
        self.agents = {agent["agent_info"]["id"]["value"] for agent in state["get_agents"].get("agents", [])}
        self.frameworks = {
            entry["framework_info"]["id"]["value"] for entry in state["get_frameworks"].get("frameworks", [])
        }

    def take(self, event):
        match event["type"]:
            case "TASK_ADDED":
                task = event["task_added"]["task"]
                self.tasks[_key(task)] = _known(task)
            case "TASK_UPDATED":
                update = event["task_updated"]
                key = (update["framework_id"]["value"], update["status"]["task_id"]["value"])
                assert key in self.tasks, "an update of a task that was never told of"
                self.tasks[key] = (update["state"], update["status"].get("healthy"))
            case "AGENT_ADDED":
                self.agents.add(event["agent_added"]["agent"]["agent_info"]["id"]["value"])
            case "AGENT_REMOVED":
                self.agents.remove(event["agent_removed"]["agent_id"]["value"])
            case "FRAMEWORK_ADDED" | "FRAMEWORK_UPDATED":
                framework = event[event["type"].lower()]["framework"]
                self.frameworks.add(framework["framework_info"]["id"]["value"])
            case "FRAMEWORK_REMOVED":
                gone = event["framework_removed"]["framework_info"]["id"]["value"]
                self.frameworks.remove(gone)
                assert not [key for key, (state, _) in self.tasks.items() if key[0] == gone and state in LIVE]

    @property
    def live(self):
        return {key: known for key, known in self.tasks.items() if known[0] in LIVE}


def _key(task):
    return (task["framework_id"]["value"], task["task_id"]["value"])


def _known(task):
    return (task["state"], task.get("statuses", [{}])[-1].get("healthy"))


def play(story, verb, pick):
    world = story.world
    running = [key for key, task in world.tasks.items() if task.state == "TASK_RUNNING"]
    reachable = [key for key in running if world.machines[world.tasks[key].agent.number].lost_at is None]
    here = [number for number, machine in world.machines.items() if machine.lost_at is None]
    lost = [number for number, machine in world.machines.items() if machine.lost_at is not None]
    away = [number for number, scheduler in world.schedulers.items() if not scheduler.connected]
    present = [number for number, scheduler in world.schedulers.items() if scheduler.connected]
    ends = {"finish": "TASK_FINISHED", "fail": "TASK_FAILED", "kill": "TASK_KILLING"}
    if verb == "run" and here:
        story.run(APPLICATIONS[pick % len(APPLICATIONS)], here[pick % len(here)])
    elif verb in ends and reachable:
        world.update(reachable[pick % len(reachable)], ends[verb])
    elif verb == "health" and reachable:
        story.health(reachable[pick % len(reachable)], pick % 2 == 0)
    elif verb in {"lose", "unregister", "gone"} and here:
        {"lose": world.lose_agent, "unregister": world.unregister_agent, "gone": world.agent_gone}[verb](
            here[pick % len(here)]
        )
    elif verb == "return" and lost:
        world.return_agent(lost[pick % len(lost)])
    elif verb == "add":
        world.add_agent()
    elif verb == "tear" and present:
        world.tear_down(present[pick % len(present)])
    elif verb == "away" and present:
        world.disconnect(present[pick % len(present)])
    elif verb == "back" and away:
        world.reconnect(away[pick % len(away)])


@pytest.mark.parametrize("version", ["1.7.3", "1.11.0"])
@settings(max_examples=60, deadline=None)
@given(script=st.lists(st.tuples(st.sampled_from(VERBS), st.integers(0, 100)), max_size=40), failover=st.booleans())
def test_the_events_lead_from_one_snapshot_to_the_next(version, script, failover):
    story = Story(version, agents=3, tasks=6)
    half = len(script) // 2
    for verb, pick in script[:half]:
        play(story, verb, pick)
    if failover:
        story.world.kill(0)
        story.world.elect(1)
        story.world.read_registry()
        story.events.clear()
    follower = Follower(story.call())
    seen = len(story.events)
    if failover:
        story.world.come_back()
    for verb, pick in script[half:]:
        play(story, verb, pick)
    # Whose scheduler is away acknowledges nothing: the state then runs ahead of what is told.
    for number in list(story.world.schedulers):
        story.world.reconnect(number)
    for event in story.events[seen:]:
        follower.take(event)

    told = Follower(story.call())
    assert follower.live == told.live
    assert follower.frameworks == told.frameworks
    lost = {agent for agent in follower.agents if agent not in told.agents}
    assert told.agents <= follower.agents, "agents that are given up or gone are no event, but those that come are"
    assert not lost & {agent.agent.id for agent in story.world.machines.values() if agent.lost_at is None}
