"""Events of simulated masters, as they should be and as they should not."""

import asyncio

import pytest
from tests.mesos.following import following, truth

from mesos_dns.demo.live import Cluster
from mesos_dns.mesos import doubts, streaming, waiting


async def test_a_state_and_then_what_changes():
    async with Cluster(agents=3, tasks=10) as cluster, following(cluster) as mirror:
        await mirror.next()
        assert mirror.status.is_live
        assert (mirror.status.using, mirror.status.why) == ("events", "")
        await cluster.subscribed(1)
        task = cluster.run("fresh")
        await mirror.until(lambda: "fresh" in mirror.names())
        cluster.finish(task)
        await mirror.until(lambda: "fresh" not in mirror.names())
        now = await truth(cluster)
        assert (mirror.tasks, mirror.agents, mirror.frameworks) == (now.tasks, now.agents, now.frameworks)
        assert mirror.snapshots == 1
        assert mirror.status.events >= 4


async def test_a_task_that_is_not_running_has_no_names_yet():
    async with Cluster(agents=1, tasks=0) as cluster, following(cluster) as mirror:
        await mirror.next()
        await cluster.subscribed(1)
        task = cluster.launch("slow")
        other = cluster.run("other")
        await mirror.until(lambda: "other" in mirror.names())
        assert "slow" not in mirror.names()
        assert waits(mirror) == [("slow", "TASK_STAGING")]
        cluster.update(task, "TASK_RUNNING")
        await mirror.until(lambda: "slow" in mirror.names())
        assert waits(mirror) == []
        cluster.update(other, "TASK_KILLING")
        await mirror.until(lambda: "other" not in mirror.names())


def waits(mirror):
    return [(one.task.name, one.state) for one in mirror.source.not_running()]


async def test_tasks_that_are_not_running_while_the_state_is_polled():
    async with Cluster(agents=1, tasks=0) as cluster, following(cluster, fallback=True) as mirror:
        assert waits(mirror) == []
        for path in ("/master/api/v1", "/api/v1"):
            cluster.settings.refuse[path] = (403, "no")
        cluster.launch("slow")
        await mirror.next()
        assert (mirror.status.using, waits(mirror)) == ("polling", [("slow", "TASK_STAGING")])


async def test_ten_thousand_events_at_once():
    async with Cluster(agents=3, tasks=0) as cluster, following(cluster) as mirror:
        await mirror.next()
        await cluster.subscribed(1)
        for number in range(3400):
            cluster.run(f"burst-{number}")
        await mirror.until(lambda: len(mirror.tasks) == 3400)
        assert mirror.snapshots == 1
        assert len(mirror.deltas) < 1000, "they are taken together"


async def test_agents_that_are_given_up_are_found_by_a_summary():
    async with Cluster(agents=3, tasks=12) as cluster, following(cluster) as mirror:
        await mirror.next()
        await cluster.subscribed(1)
        cluster.world.lose_agent(0)
        await mirror.until(lambda: len(mirror.agents) == 2)
        now = await truth(cluster)
        assert mirror.tasks == now.tasks
        cluster.world.return_agent(0)
        await mirror.until(lambda: len(mirror.agents) == 3)
        now = await truth(cluster)
        await mirror.until(lambda: mirror.tasks == now.tasks)
        assert mirror.snapshots == 1


async def test_frameworks_have_the_addresses_of_their_schedulers():
    async with Cluster(agents=2, tasks=5) as cluster, following(cluster) as mirror:
        await mirror.next()
        assert mirror.frameworks == (await truth(cluster)).frameworks
        await cluster.subscribed(1)
        cluster.world.tear_down(0)
        await mirror.until(lambda: not any(one.name == "marathon" for one in mirror.frameworks.values()))
        assert not any(key[0] not in mirror.frameworks for key in mirror.tasks)


# --- silent changes --------------------------------------------------------------------------------


async def test_what_changes_without_an_event_is_found_by_reading_again():
    async with Cluster(agents=2, tasks=4) as cluster, following(cluster, reconcile=0.3) as mirror:
        await mirror.next()
        await cluster.subscribed(1)
        task = cluster.run("silent")
        await mirror.until(lambda: "silent" in mirror.names())
        cluster.world.silently(task.key, addresses=(("IPv4", "10.9.9.9"),))
        packed = bytes([10, 9, 9, 9])
        await mirror.until(lambda: any(one.netinfo == (packed,) for one in mirror.tasks.values()))
        assert mirror.status.differences >= 1
        assert mirror.status.reads >= 1
        assert mirror.vanished == []


async def test_reading_again_tears_no_gap():
    """While states are read again and again, tasks start and end; none is ever missing, none stays."""
    async with Cluster(agents=3, tasks=20) as cluster, following(cluster, reconcile=0.05) as mirror:
        await mirror.next()
        await cluster.subscribed(1)
        running = {f"t{number}": cluster.run(f"t{number}") for number in range(5)}
        for number in range(5, 60):
            running[f"t{number}"] = cluster.run(f"t{number}")
            ended = f"t{number - 5}"
            cluster.finish(running.pop(ended))
            await mirror.until(lambda number=number: f"t{number}" in mirror.names())
            await mirror.until(lambda ended=ended: ended not in mirror.names())
            assert running.keys() <= set(mirror.names())
        await mirror.until(lambda: mirror.status.reads >= 3)
        assert mirror.status.differences == 0


async def test_an_update_of_an_unknown_task_is_looked_into(monkeypatch, caplog):
    monkeypatch.setattr(doubts, "DOUBT_SECONDS", 0.05)
    async with Cluster(agents=2, tasks=4) as cluster, following(cluster) as mirror:
        await mirror.next()
        await cluster.subscribed(1)
        (stream,) = cluster.subscribers
        stream.send(
            b'{"type":"TASK_UPDATED","task_updated":{"framework_id":{"value":"F"},"state":"TASK_RUNNING",'
            b'"status":{"task_id":{"value":"nobody"},"state":"TASK_RUNNING"}}}'
        )
        await mirror.until(lambda: mirror.snapshots == 2)
        assert mirror.status.differences == 0
        assert "tell of an update of a task that was never shown" in caplog.text


async def test_garbage_events_cost_nothing_but_another_look(monkeypatch, caplog):
    monkeypatch.setattr(doubts, "DOUBT_SECONDS", 0.05)
    async with Cluster(agents=2, tasks=4) as cluster, following(cluster) as mirror:
        await mirror.next()
        await cluster.subscribed(1)
        (stream,) = cluster.subscribers
        for garbage in (
            b"",
            b"{",
            b"[]",
            b'{"type":7}',
            b'{"type":"NEW","new":{}}',
            b'{"type":"TASK_ADDED"}',
            b"\xff\xfe",
        ):
            stream.send(garbage)
        cluster.run("after")
        await mirror.until(lambda: "after" in mirror.names())
        await mirror.until(lambda: mirror.snapshots == 2)
        assert mirror.vanished == []
        assert "an event that cannot be read" in caplog.text


# --- broken streams --------------------------------------------------------------------------------


BREAKS = {
    "cut in the middle of a record": lambda stream: stream.cut(b'120\n{"ty'),
    "ended": lambda stream: stream.end(),
    "reset": lambda stream: stream.abort(),
    "a record of absurd length": lambda stream: stream.send_raw(b"999999999999\n"),
    "no length": lambda stream: stream.send_raw(b"hello\n"),
}


@pytest.mark.parametrize("broken", BREAKS.values(), ids=BREAKS)
async def test_a_broken_stream_is_begun_anew_at_once(broken, caplog):
    async with Cluster(agents=2, tasks=6) as cluster, following(cluster) as mirror:
        await mirror.next()
        await cluster.subscribed(1)
        broken(cluster.subscribers[0])
        await mirror.until(lambda: mirror.snapshots == 2)
        await cluster.subscribed(1)
        cluster.run("after")
        await mirror.until(lambda: "after" in mirror.names())
        assert mirror.vanished == []
        assert mirror.status.failures == 1
        assert "the events ended, the records stay as they are" in caplog.text
        assert "following the events of the leading master" in caplog.text


async def test_a_stream_that_breaks_again_and_again_is_not_asked_for_without_a_pause(monkeypatch):
    pauses = []
    async with Cluster(agents=1, tasks=1) as cluster, following(cluster) as mirror:
        pause = waiting.pause

        async def note(detector, known, seconds):
            pauses.append(seconds)
            await pause(detector, known, 0)

        monkeypatch.setattr(waiting, "pause", note)
        for number in range(4):
            await mirror.until(lambda number=number: mirror.snapshots == number + 1)
            await cluster.subscribed(1)
            cluster.subscribers[0].abort()
        await mirror.until(lambda: mirror.snapshots == 5)
        assert pauses == [0.5, 1.0, 2.0]


async def test_a_silent_stream_is_dead_after_five_heartbeats(caplog):
    async with Cluster(agents=1, tasks=3) as cluster:
        cluster.settings.heartbeat = 0.2
        async with following(cluster) as mirror:
            await mirror.next()
            await cluster.subscribed(1)
            cluster.subscribers[0].talk(False)
            await mirror.until(lambda: mirror.snapshots == 2)
            assert "5 heartbeats are missing" in caplog.text
            assert mirror.vanished == []


async def test_octets_that_trickle_are_no_heartbeats():
    async with Cluster(agents=1, tasks=3) as cluster:
        cluster.settings.heartbeat = 0.2
        async with following(cluster) as mirror:
            await mirror.next()
            await cluster.subscribed(1)
            stream = cluster.subscribers[0]
            stream.talk(False)
            stream.send_raw(b"1000\n")
            pending = asyncio.ensure_future(mirror.until(lambda: mirror.snapshots == 2))
            while not pending.done():
                stream.send_raw(b" ")
                await asyncio.wait([pending], timeout=0.05)
            await pending


# --- polling instead -------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [401, 403, 404, 405, 415, 501, 503])
async def test_a_master_without_events_for_us_is_polled(status, caplog, monkeypatch):
    monkeypatch.setattr(streaming, "REFUSED_RETRY_SECONDS", 0.3)
    async with Cluster(agents=2, tasks=4) as cluster:
        for path in ("/master/api/v1", "/api/v1"):
            cluster.settings.refuse[path] = (status, "no")
        async with following(cluster, fallback=True) as mirror:
            await mirror.next()
            assert mirror.status.using == "polling"
            assert str(status) in mirror.status.why or "no leader" in mirror.status.why
            assert len(mirror.tasks) == 4
            cluster.run("polled")
            await mirror.until(lambda: "polled" in mirror.names())
            assert caplog.text.count("so its state is polled") == 1
            cluster.settings.refuse.clear()
            await mirror.until(lambda: mirror.status.using == "events")
            assert (mirror.status.why, mirror.status.is_live) == ("", True)
            cluster.run("told")
            await mirror.until(lambda: "told" in mirror.names())
            assert mirror.vanished == []


@pytest.mark.parametrize(
    ("version", "using", "why"),
    [
        ("0.28.0", "polling", "status 404"),
        ("1.0.0", "polling", "Mesos 1.0.0 tells neither"),
        ("1.4.0", "polling", "MESOS-8469"),
        ("1.5.0", "polling", "MESOS-9000"),
        ("1.6.0", "polling", "MESOS-9000"),
        ("1.7.3", "events", ""),
        ("1.8.1", "events", ""),
        ("1.9.0", "events", ""),
        ("1.11.0", "events", ""),
        ("clusterd", "events", ""),
    ],
)
async def test_what_a_version_can(version, using, why):
    async with Cluster(agents=2, tasks=6, version=version) as cluster, following(cluster, fallback=True) as mirror:
        await mirror.next()
        assert mirror.status.using == using
        assert why in mirror.status.why
        task = cluster.run("fresh")
        await mirror.until(lambda: "fresh" in mirror.names())
        now = await truth(cluster)
        await mirror.until(lambda: mirror.tasks == now.tasks)
        cluster.finish(task)
        await mirror.until(lambda: "fresh" not in mirror.names())
        cluster.world.lose_agent(0)
        await mirror.until(lambda: len(mirror.agents) == 1)


@pytest.mark.parametrize("version", ["1.0.0", "1.1.0", "1.4.0", "1.6.0"])
async def test_events_that_lack_something_are_followed_if_that_is_asked_for(version, caplog):
    async with Cluster(agents=2, tasks=6, version=version) as cluster, following(cluster) as mirror:
        await mirror.next()
        assert "are followed as MesosSource asks, but Mesos" in caplog.text
        await cluster.subscribed(1)
        cluster.run("fresh")
        await mirror.until(lambda: "fresh" in mirror.names())


async def test_no_count_steps_back_when_the_way_changes(monkeypatch):
    monkeypatch.setattr(streaming, "REFUSED_RETRY_SECONDS", 0.3)

    def counts():
        return mirror.status.polls, mirror.status.failures

    async with Cluster(agents=2, tasks=4) as cluster:
        for path in ("/master/api/v1", "/api/v1"):
            cluster.settings.refuse[path] = (403, "no")
        async with following(cluster, fallback=True) as mirror:
            await mirror.next()
            assert mirror.status.using == "polling"
            polled = counts()
            # That there are no events is told, and is no failure.
            assert polled[0] > 0 == polled[1]
            cluster.settings.refuse.clear()
            await mirror.until(lambda: mirror.status.using == "events")
            followed = counts()
            assert followed[0] > polled[0]
            assert followed[1] >= polled[1]
        assert counts() >= followed


async def test_another_leader_is_asked_for_events_at_once():
    async with Cluster(masters=2, agents=2, tasks=4) as cluster:
        for path in ("/master/api/v1", "/api/v1"):
            cluster.settings.refuse[path] = (403, "no")
        async with following(cluster, fallback=True) as mirror:
            await mirror.next()
            assert mirror.status.using == "polling"
            cluster.settings.refuse.clear()
            await cluster.kill()
            await cluster.take_over(1)
            await mirror.until(lambda: mirror.status.using == "events")
