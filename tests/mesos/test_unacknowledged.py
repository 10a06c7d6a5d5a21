"""Tasks of simulated masters that begin to run without an event, because nobody acknowledges their first status."""

import asyncio

import pytest
from tests.mesos.following import PATIENCE, following

from mesos_dns.demo.access import Rights
from mesos_dns.demo.catalog import KAFKA, MARATHON
from mesos_dns.demo.live import Cluster
from mesos_dns.mesos import doubts, subscription
from mesos_dns.mesos import following as following_module


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Summaries come as fast as they may, and the whole is not read again before the test is over."""
    for name in ("SUMMARY_SECONDS", "WAITING_TASKS_SECONDS"):
        monkeypatch.setattr(following_module, name, 0.05)
    monkeypatch.setattr(doubts, "DOUBT_SECONDS", 600.0)


def unannounced(cluster, name, **more):
    """A task whose agent has told the state TASK_RUNNING, beside the status TASK_STARTING once more."""
    task = cluster.run(name, **more)
    cluster.world.retry()
    assert cluster.ledger.tasks[task.key].state == "TASK_RUNNING"
    assert [status.state for status in cluster.ledger.tasks[task.key].statuses] == ["TASK_STARTING"]
    return task


class Requests:
    """How often a document was asked for."""

    def __init__(self, cluster):
        self.counts = {}
        self._news = asyncio.Event()
        cluster.settings.edit = self._note

    def _note(self, what, document):
        self.counts[what] = self.counts.get(what, 0) + 1
        self._news.set()
        return document

    def __getitem__(self, what):
        return self.counts.get(what, 0)

    async def until(self, what, count):
        async with asyncio.timeout(PATIENCE):
            while self[what] < count:
                self._news.clear()
                await self._news.wait()


@pytest.mark.parametrize("version", ["1.7.3", "1.11.0"])
async def test_each_is_found_without_reading_the_whole_again(version):
    async with Cluster(agents=2, tasks=5, version=version) as cluster, following(cluster) as mirror:
        await mirror.next()
        await cluster.subscribed(1)
        cluster.world.disconnect(MARATHON.number)
        for name in ("one", "two", "three"):
            unannounced(cluster, name)
            await mirror.until(lambda name=name: name in mirror.names())
        assert (mirror.snapshots, mirror.status.reads) == (1, 0)
        assert mirror.vanished == []


async def test_one_that_waited_from_the_beginning():
    async with Cluster(agents=2, tasks=5) as cluster:
        cluster.world.hold_acknowledgements(MARATHON.number)
        cluster.run("slow")
        async with following(cluster) as mirror:
            await mirror.next()
            assert "slow" not in mirror.names()
            cluster.world.retry()
            await mirror.until(lambda: "slow" in mirror.names())
            assert mirror.status.reads == 0


async def test_it_stays_until_an_event_ends_it():
    async with Cluster(agents=2, tasks=5) as cluster, following(cluster) as mirror:
        await mirror.next()
        await cluster.subscribed(1)
        cluster.world.hold_acknowledgements(MARATHON.number)
        task = unannounced(cluster, "held")
        await mirror.until(lambda: "held" in mirror.names())
        cluster.world.hold_acknowledgements(MARATHON.number, hold=False)
        cluster.finish(task)
        await mirror.until(lambda: "held" not in mirror.names())
        assert mirror.vanished == [task.id]


async def test_many_that_wait_are_no_reason_to_ask():
    async with Cluster(agents=2, tasks=5) as cluster, following(cluster) as mirror:
        await mirror.next()
        requests = Requests(cluster)
        await cluster.subscribed(1)
        for number in range(300):
            cluster.launch(f"staging-{number}", framework=KAFKA)
        found = asyncio.ensure_future(mirror.until(lambda: "held" in mirror.names()))
        await requests.until("/master/state-summary", 5)
        assert requests["/master/tasks"] == 0
        cluster.world.disconnect(MARATHON.number)
        unannounced(cluster, "held")
        await found
        assert requests["/master/tasks"] == 1


async def test_one_behind_many_of_its_framework_gets_its_turn(monkeypatch):
    monkeypatch.setattr(subscription, "MOST_TASKS_ASKED", 5)
    async with Cluster(agents=2, tasks=5) as cluster, following(cluster) as mirror:
        await mirror.next()
        requests = Requests(cluster)
        await cluster.subscribed(1)
        cluster.world.disconnect(MARATHON.number)
        for number in range(15):
            cluster.launch(f"staging-{number}")
        unannounced(cluster, "held")
        await mirror.until(lambda: "held" in mirror.names())
        assert requests["/master/tasks"] == 16
        assert mirror.status.reads == 0


@pytest.mark.parametrize("status", [401, 403, 404, 500, 503])
async def test_a_master_that_does_not_show_tasks_is_asked_for_all(monkeypatch, status, caplog):
    monkeypatch.setattr(doubts, "DOUBT_SECONDS", 0.05)
    async with Cluster(agents=2, tasks=5) as cluster, following(cluster) as mirror:
        await mirror.next()
        await cluster.subscribed(1)
        cluster.settings.refuse["/master/tasks"] = (status, "no")
        cluster.world.disconnect(MARATHON.number)
        unannounced(cluster, "held")
        await mirror.until(lambda: "held" in mirror.names())
        assert mirror.status.reads == 1
        assert "its events tell of fewer running tasks than there are" in caplog.text


async def test_an_answer_that_is_none_is_no_harm(monkeypatch):
    monkeypatch.setattr(doubts, "DOUBT_SECONDS", 0.05)
    async with Cluster(agents=2, tasks=5) as cluster, following(cluster) as mirror:
        await mirror.next()
        await cluster.subscribed(1)
        cluster.settings.edit = lambda what, document: [] if what == "/master/tasks" else document
        cluster.world.disconnect(MARATHON.number)
        unannounced(cluster, "held")
        await mirror.until(lambda: "held" in mirror.names())
        assert mirror.status.reads == 1


async def test_tasks_that_may_not_be_seen_are_looked_for_once(monkeypatch):
    """The summary counts what VIEW_TASK hides elsewhere; a task that waits makes that visible."""
    monkeypatch.setattr(doubts, "DOUBT_SECONDS", 0.05)
    async with Cluster(agents=2, tasks=0) as cluster:
        cluster.settings.door.anonymous = Rights(tasks=frozenset({"seen", "waits"}))
        cluster.run("seen")
        cluster.run("hidden")
        cluster.launch("waits")
        async with following(cluster) as mirror:
            await mirror.next()
            await mirror.until(lambda: mirror.status.reads == 1)
            requests = Requests(cluster)
            found = asyncio.ensure_future(mirror.until(lambda: len(mirror.tasks) == 2))
            await requests.until("/master/state-summary", 5)
            assert (requests["/master/tasks"], mirror.status.reads) == (0, 1)
            cluster.world.disconnect(MARATHON.number)
            unannounced(cluster, "seen")
            await found
            assert mirror.names() == ["seen", "seen"]
            assert (requests["/master/tasks"] > 0, mirror.status.reads) == (True, 1)
