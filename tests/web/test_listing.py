"""Frameworks, agents and tasks, a page at a time."""

import json

import pytest
from tests.web.given import task, tasks

from mesos_dns.mesos.state import Delta
from mesos_dns.web.listing import MAX_PAGE_ENTRIES


async def told(get, path):
    reply = await get(path)
    assert reply.short[:2] == (200, "application/json"), reply.body
    return json.loads(reply.body)


async def test_frameworks_by_name(get):
    assert await told(get, "/v1/frameworks") == {
        "total": 3,
        "offset": 0,
        "frameworks": [
            {"id": "fw-3", "name": "chronos", "host": "", "port": None, "tasks": 1},
            {"id": "fw-2", "name": "idle <one>", "host": "", "port": None, "tasks": 0},
            {"id": "fw-1", "name": "marathon", "host": "10.0.0.9", "port": 8080, "tasks": 3},
        ],
    }


async def test_agents_by_host(get):
    assert await told(get, "/v1/agents?offset=1") == {
        "total": 2,
        "offset": 1,
        "agents": [{"id": "4242-S1", "host": "10.0.0.2", "port": 5051, "addresses": ["10.0.0.2"], "tasks": 1}],
    }


async def test_tasks_of_a_framework(get):
    found = await told(get, "/v1/tasks?framework=fw-1&limit=2")
    assert (found["total"], [each["id"] for each in found["tasks"]]) == (3, ["nginx.1", "lost.1"])
    rest = await told(get, "/v1/tasks?framework=fw-1&limit=2&offset=2")
    assert rest["tasks"] == [
        {
            "id": "db.1",
            "name": "db",
            "framework": "marathon",
            "framework_id": "fw-1",
            "agent": "10.0.0.1",
            "agent_id": "4242-S0",
            "health": "",
            "dns": "store.marathon.mesos.",
            "addresses": ["192.0.2.7", "192.0.2.8", "2001:db8::7", "2001:db8::8"],
        }
    ]


async def test_a_task_whose_agent_nobody_knows_has_no_name(get):
    (lost,) = (await told(get, "/v1/tasks?agent=4242-S7"))["tasks"]
    assert (lost["id"], lost["agent"], lost["agent_id"], lost["dns"], lost["addresses"]) == (
        "lost.1",
        "",
        "4242-S7",
        "",
        [],
    )


async def test_health_is_told(get, cluster):
    cluster.take(Delta(tasks=tasks(task("well", healthy=True), task("ill", healthy=False))))
    found = await told(get, "/v1/tasks?framework=fw-1")
    assert [each["health"] for each in found["tasks"]] == ["", "", "", "healthy", "unhealthy"]


async def test_all_tasks_and_those_of_nobody(get):
    assert (await told(get, "/v1/tasks"))["total"] == 4
    for query in ("framework=none", "agent=none", "framework="):
        assert await told(get, f"/v1/tasks?{query}") == {"total": 0, "offset": 0, "tasks": []}


@pytest.mark.parametrize("path", ["/v1/frameworks", "/v1/agents", "/v1/tasks"])
async def test_parts(get, cluster, path):
    name = path.rpartition("/")[2]
    assert (await told(get, f"{path}?offset=99"))[name] == []
    assert len((await told(get, f"{path}?limit=1"))[name]) == 1
    for limit in ("0", str(MAX_PAGE_ENTRIES + 1), "x", ""):
        reply = await get(f"{path}?limit={limit}")
        assert reply.body == f"400: limit: expected a number from 1 to 500, found '{limit}'"
    assert (await get(f"{path}?offset=-1")).body == "400: offset: expected a number from 0 to 1000000000, found '-1'"
    cluster.enumeration_on = False
    assert (await get(path)).status == 404


async def test_a_framework_or_an_agent_and_not_both(get):
    assert (await get("/v1/tasks?framework=a&agent=b")).body == "400: framework, agent: expected one of them"
