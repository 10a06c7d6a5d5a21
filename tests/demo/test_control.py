import json

import aiohttp
import pytest
from tests.demo.story import PLAIN, Story

from mesos_dns.demo import control, http


@pytest.fixture
async def told(free_ports):
    """A story, and a function that gives an order and returns status and text."""
    (port,) = free_ports(1)
    story = Story(agents=3, masters=3)
    listener = http.Listener("127.0.0.1", port, lambda: control.application(story.world))

    async with http.listening([listener]), aiohttp.ClientSession() as session:

        async def order(path, method="POST"):
            async with session.request(method, f"http://127.0.0.1:{port}/{path}") as response:
                return response.status, await response.text()

        yield story, order


async def test_every_order_is_obeyed(told):
    story, order = told
    story.run(PLAIN, 1)
    script = ["lose/1", "return/1", "unregister/2", "gone/0", "add-agent", "disconnect/0", "reconnect/0", "tear-down/1",
              "usurp/2", "freeze/0", "thaw/0", "kill/0", "nobody", "elect/1", "back", "start/0"]  # fmt: skip
    assert {line.partition("/")[0] for line in script} == set(control.ORDERS)
    for line in script:
        assert (await order(f"demo/{line}"))[0] == 200, line

    story.wait(3.0)
    assert story.world.leader == 1
    assert sorted(story.world.ledgers[0].agents) == [1, 3]
    assert 1 not in story.world.ledgers[0].frameworks
    assert [seat.up for seat in story.world.masters] == [True, True, True]


@pytest.mark.parametrize(
    ("path", "status", "text"),
    [
        ("demo/kill/3", 400, "'3' is no master, expected one of [0, 1, 2]\n"),
        ("demo/lose", 400, "'' is no agent, expected one of [0, 1, 2]\n"),
        ("demo/tear-down/x", 400, "'x' is no framework, expected one of [0, 1, 2, 3, 4, 5, 6]\n"),
        ("demo/explode/1", 404, "no such order; GET / lists them\n"),
        ("", 404, "no such order; GET / lists them\n"),
    ],
)
async def test_what_cannot_be_obeyed(told, path, status, text):
    assert await told[1](path) == (status, text)


async def test_a_dead_master_cannot_lead(told):
    await told[1]("demo/kill/1")

    assert await told[1]("demo/elect/1") == (409, "master 1 is dead, so it cannot lead: start it first\n")


async def test_the_orders_are_listed(told):
    status, text = await told[1]("", "GET")

    assert status == 200
    assert "POST /demo/kill/MASTER  kill a master: connections break\n" in text
    assert "POST /demo/nobody  let nobody know a leader\n" in text


async def test_the_truth_is_told_whatever_masters_know(told):
    story, order = told
    story.run(PLAIN, 1)
    story.world.kill(0)
    told_now = json.loads((await order("demo/tasks", "GET"))[1])

    assert told_now["leader"] is None
    (task,) = told_now["tasks"]
    assert (task["name"], task["framework"], task["state"], task["lost"]) == (
        "plain",
        "marathon",
        "TASK_RUNNING",
        False,
    )
    assert task["agent"] in task["addresses"]
    story.world.lose_agent(1)
    assert json.loads((await order("demo/tasks", "GET"))[1])["tasks"][0]["lost"]
