"""`/master/tasks` of the simulated masters: what it lists, in which order, and how it is cut."""

import aiohttp
import pytest

from mesos_dns.demo.access import Rights
from mesos_dns.demo.catalog import KAFKA
from mesos_dns.demo.live import Cluster


@pytest.fixture
async def session():
    async with aiohttp.ClientSession() as opened:
        yield opened


async def listed(session, cluster, path="/master/tasks", **query):
    async with session.get(cluster.urls[0] + path, params=query) as answer:
        assert answer.status == 200
        return (await answer.json())["tasks"]


def names(tasks):
    return [task["name"] for task in tasks]


@pytest.fixture
async def cluster():
    """Three tasks that began one after the other, the second of another framework, and one that no status is known of."""
    clock = iter(range(1_700_000_000, 1_800_000_000))
    async with Cluster(clock=lambda: float(next(clock))) as started:
        started.run("oldest")
        started.run("other", framework=KAFKA)
        started.run("newest")
        started.launch("staging")
        yield started


async def test_tasks_are_as_in_the_state(cluster, session):
    async with session.get(f"{cluster.urls[0]}/master/state") as answer:
        state = await answer.json()
    shown = {task["id"]: task for framework in state["frameworks"] for task in framework["tasks"]}
    assert {task["id"]: task for task in await listed(session, cluster)} == shown
    assert len(shown) == 4


async def test_the_newest_come_first_unless_the_oldest_are_asked_for(cluster, session):
    assert names(await listed(session, cluster)) == ["newest", "other", "oldest", "staging"]
    assert names(await listed(session, cluster, order="asc")) == ["staging", "oldest", "other", "newest"]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"limit": "2"}, ["newest", "other"]),
        ({"offset": "1", "limit": "2"}, ["other", "oldest"]),
        ({"offset": "9"}, []),
        ({"limit": "x", "offset": "-"}, ["newest", "other", "oldest", "staging"]),
    ],
)
async def test_parts_of_the_list(cluster, session, query, found):
    assert names(await listed(session, cluster, **query)) == found


async def test_no_more_than_a_hundred_unless_asked_for(session):
    async with Cluster(tasks=120) as cluster:
        assert len(await listed(session, cluster)) == 100
        assert len(await listed(session, cluster, limit="1000")) == 120


async def test_tasks_can_be_chosen(cluster, session):
    (newest, other, *_) = await listed(session, cluster)
    of = {"framework_id": newest["framework_id"]}
    assert names(await listed(session, cluster, **of)) == ["newest", "oldest", "staging"]
    assert await listed(session, cluster, task_id=other["id"]) == [other]
    assert await listed(session, cluster, **of, task_id=newest["id"]) == [newest]
    assert await listed(session, cluster, **of, task_id=other["id"]) == []


async def test_what_ended_or_is_unreachable_is_listed_and_so_are_completed_frameworks(cluster, session):
    cluster.finish(cluster.run("ended"))
    cluster.world.tear_down(KAFKA.number)
    cluster.world.lose_agent(0)
    states = {task["name"]: task["state"] for task in await listed(session, cluster)}
    assert (states["ended"], states["other"]) == ("TASK_FINISHED", "TASK_KILLED")
    assert len(states) == 5


async def test_rights_filter_tasks_but_not_the_counts_of_the_summary(cluster, session):
    cluster.settings.door.anonymous = Rights(frozenset({"marathon"}), frozenset({"oldest"}))
    assert names(await listed(session, cluster)) == ["oldest"]
    async with session.get(f"{cluster.urls[0]}/master/state-summary") as answer:
        (framework,) = (await answer.json())["frameworks"]
    assert (framework["name"], framework["TASK_RUNNING"], framework["TASK_STAGING"]) == ("marathon", 2, 1)


@pytest.mark.parametrize(
    ("version", "here", "missing", "selects"),
    [
        ("0.24.0", ["/tasks.json"], ["/tasks"], False),
        ("1.3.0", ["/tasks.json", "/tasks", "/master/tasks"], [], False),
        ("1.7.3", ["/tasks.json", "/tasks"], [], True),
        ("1.11.0", ["/tasks"], ["/tasks.json", "/master/tasks.json"], True),
    ],
)
async def test_releases(session, version, here, missing, selects):
    async with Cluster(tasks=6, version=version) as cluster:
        for path in here:
            assert len(await listed(session, cluster, path, task_id="nobody")) == (0 if selects else 6)
        for path in missing:
            async with session.get(cluster.urls[0] + path) as answer:
                assert answer.status == 404


async def test_the_others_redirect_with_the_query(session):
    async with Cluster(masters=2) as cluster:
        url = f"{cluster.urls[1]}/tasks?task_id=x"
        async with session.get(url, allow_redirects=False) as answer:
            assert (answer.status, answer.headers["Location"]) == (
                307,
                f"//{cluster.endpoints[0]}/master/tasks?task_id=x",
            )
