"""Leaders of simulated masters that die, hang, or are others than they seem, while their events are followed."""

import asyncio
import dataclasses
import logging

import pytest
from tests.mesos.following import PATIENCE, Detector, endpoints, following, truth

from mesos_dns.demo.live import Cluster
from mesos_dns.mesos import silence as silence_module
from mesos_dns.mesos import streaming
from mesos_dns.mesos.http.client import MasterClient

# --- leaders ---------------------------------------------------------------------------------------


async def test_the_leader_dies_and_another_one_takes_over():
    async with Cluster(masters=3, agents=3, tasks=9) as cluster, following(cluster) as mirror:
        await mirror.next()
        first = mirror.snapshot.master_id
        await cluster.subscribed(1)
        await cluster.kill()
        await cluster.take_over(1)
        await mirror.until(lambda: mirror.snapshot.master_id != first)
        assert mirror.status.leader == endpoints(cluster)[1]
        now = await truth(cluster)
        await mirror.until(lambda: mirror.tasks == now.tasks)


async def test_a_leader_that_hangs_is_left_when_another_one_says_that_it_leads():
    """Long before its heartbeats are given up."""
    async with Cluster(masters=3, agents=3, tasks=9) as cluster:
        cluster.settings.heartbeat = 1.0
        async with following(cluster) as mirror:
            await mirror.next()
            first = mirror.snapshot.master_id
            await cluster.subscribed(1)
            await cluster.freeze(0)
            await cluster.take_over(1)
            await mirror.until(lambda: mirror.snapshot.master_id != first)
            assert mirror.status.leader == endpoints(cluster)[1]
            assert "says that it leads" in mirror.status.last_error


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(silence_module, "QUIET_SECONDS", 0.2)
    monkeypatch.setattr(silence_module, "SILENCE_SECONDS", 0.2)


class Calls(list):
    """Every call of the operator API: the master, and what kind of call."""

    async def until(self, master, count):
        """Wait until a master has been called so often."""
        async with asyncio.timeout(PATIENCE):
            while sum(called == master for called, _ in self) < count:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.01)


@pytest.fixture
def calls(monkeypatch):
    recorded, call = Calls(), MasterClient.call

    async def record(self, endpoint, kind):
        recorded.append((endpoint, kind))
        return await call(self, endpoint, kind)

    monkeypatch.setattr(MasterClient, "call", record)
    return recorded


@pytest.mark.usefixtures("impatient")
async def test_a_leader_that_hangs_is_left_before_its_next_heartbeat_is_due(caplog):
    caplog.set_level(logging.INFO)
    async with Cluster(masters=3, agents=3, tasks=9) as cluster:
        cluster.settings.heartbeat = 600.0
        async with following(cluster) as mirror:
            await mirror.next()
            first = mirror.snapshot.master_id
            await cluster.subscribed(1)
            await cluster.freeze(0)
            await cluster.take_over(1)
            await mirror.until(lambda: mirror.snapshot.master_id != first)
            assert mirror.status.leader == endpoints(cluster)[1]
            assert "says that it leads" in mirror.status.last_error
            assert "it is still waited for, and the others are asked who leads" in caplog.text
            assert mirror.vanished == []


@pytest.mark.usefixtures("impatient")
async def test_a_leader_that_is_asked_and_answers_is_followed_on(calls, monkeypatch):
    """Nothing happens for a long time, and its heartbeats are rare."""
    monkeypatch.setattr(silence_module, "SILENCE_SECONDS", PATIENCE)
    async with Cluster(masters=3, agents=3, tasks=9) as cluster:
        cluster.settings.heartbeat = 600.0
        async with following(cluster) as mirror:
            await mirror.next()
            await cluster.subscribed(1)
            calls.clear()
            reading = asyncio.ensure_future(mirror.next())
            leader = endpoints(cluster)[0]
            await calls.until(leader, 4)
            assert set(calls) == {(leader, "GET_MASTER")}
            assert mirror.status.is_live
            cluster.run("late")
            await reading
            await mirror.until(lambda: "late" in mirror.names())
            assert (mirror.snapshots, mirror.status.failures) == (1, 0)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("named", ["by its address", "by its host name"])
async def test_a_leader_that_is_silent_for_long_and_still_leads_is_followed_on(named, calls, caplog):
    """It is busy. The others are asked again and again, and point to it. `localhost` is what its host calls itself."""
    caplog.set_level(logging.INFO)
    async with Cluster(masters=3, agents=3, tasks=9) as cluster:
        if named == "by its host name":
            for seat in cluster.world.masters:
                seat.identity = dataclasses.replace(seat.identity, hostname="localhost")
            cluster.ledger.master = cluster.world.masters[0].identity
        cluster.settings.heartbeat = 600.0
        async with following(cluster) as mirror:
            await mirror.next()
            await cluster.subscribed(1)
            calls.clear()
            await cluster.freeze(0)
            reading = asyncio.ensure_future(mirror.next())
            for follower in endpoints(cluster)[1:]:
                await calls.until(follower, 3)
            # The leader by one name alone: by another it would be waited for again.
            assert len({called for called, _ in calls}) == 3
            assert not mirror.status.is_live
            assert not reading.done()
            await cluster.freeze(0, frozen=False)
            cluster.run("late")
            await reading
            await mirror.until(lambda: "late" in mirror.names())
            assert (mirror.snapshots, mirror.status.failures) == (1, 0)
            assert mirror.status.is_live
            assert caplog.text.count("it is still waited for") == 1


@pytest.mark.usefixtures("impatient")
async def test_a_leader_without_heartbeats_that_hangs_is_left():
    """Before Mesos 1.5 a stream may be silent for ever."""
    async with Cluster(masters=3, agents=3, tasks=9, version="1.4.0") as cluster, following(cluster) as mirror:
        await mirror.next()
        first = mirror.snapshot.master_id
        await cluster.subscribed(1)
        await cluster.freeze(0)
        await cluster.take_over(1)
        await mirror.until(lambda: mirror.snapshot.master_id != first)
        assert "says that it leads" in mirror.status.last_error


@pytest.mark.usefixtures("impatient")
async def test_another_master_at_the_same_address_ends_a_silent_stream():
    """Its host lost power and is back: nothing has closed the connection to the process before."""
    async with Cluster(masters=2, agents=2, tasks=4) as cluster:
        cluster.settings.heartbeat = 600.0
        async with following(cluster) as mirror:
            await mirror.next()
            await cluster.subscribed(1)
            cluster.subscribers[0].talk(False)
            cluster.ledger.master = dataclasses.replace(cluster.ledger.master, id="another")
            await mirror.until(lambda: mirror.snapshot.master_id == "another")
            assert mirror.status.leader == endpoints(cluster)[0]
            assert mirror.vanished == []


@pytest.mark.usefixtures("impatient")
async def test_the_only_master_is_waited_for(calls):
    async with Cluster(masters=1, agents=1, tasks=3) as cluster:
        cluster.settings.heartbeat = 600.0
        async with following(cluster) as mirror:
            await mirror.next()
            await cluster.subscribed(1)
            calls.clear()
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(1.0):
                    await mirror.next()
            assert calls == []


async def test_the_word_of_the_detector_ends_a_stream():
    async with Cluster(masters=2, agents=2, tasks=4) as cluster:
        masters = endpoints(cluster)
        detector = Detector(masters, masters[0])
        async with following(cluster, detector=detector) as mirror:
            await mirror.next()
            first = mirror.snapshot.master_id
            await cluster.freeze(0)
            await cluster.take_over(1)
            detector.learns(masters, masters[1])
            await mirror.until(lambda: mirror.snapshot.master_id != first)
            assert mirror.status.leader == masters[1]


async def test_other_masters_are_told_without_a_break():
    async with Cluster(masters=2, agents=2, tasks=4) as cluster:
        masters = endpoints(cluster)
        detector = Detector(masters[:1], masters[0])
        async with following(cluster, detector=detector) as mirror:
            await mirror.next()
            detector.learns(masters, masters[0])
            await mirror.until(lambda: mirror.snapshot.masters == masters)
            assert (mirror.status.failures, len(cluster.subscribers)) == (0, 1)


async def test_nobody_leads_for_a_while(caplog):
    async with Cluster(masters=2, agents=2, tasks=4) as cluster, following(cluster) as mirror:
        await mirror.next()
        await cluster.kill()
        await cluster.start(0)
        await cluster.nobody_leads()
        pending = asyncio.ensure_future(mirror.until(lambda: mirror.snapshots == 2))
        while mirror.status.consecutive_failures < 1:
            assert not pending.done()
            await asyncio.sleep(0.01)
        assert not mirror.status.is_live
        assert "the records stay as they are; next try" in caplog.text
        await cluster.take_over(0)
        await pending
        assert mirror.status.is_live


async def test_another_cluster_is_not_believed(caplog):
    async with Cluster(agents=2, tasks=4) as cluster, Cluster(agents=2, tasks=4, name="other", seed=2) as other:
        detector = Detector(endpoints(cluster))
        both = (*endpoints(cluster), *endpoints(other))
        async with following(cluster, detector=detector) as mirror:
            await mirror.next()
            ours = mirror.snapshot.cluster
            detector.learns(both)
            await mirror.until(lambda: mirror.snapshot.masters == both)
            await cluster.kill()
            pending = asyncio.ensure_future(mirror.next())
            while "leads another cluster" not in mirror.status.last_error:
                assert not pending.done()
                await asyncio.sleep(0.01)
            assert "its address in Masters wrong" in caplog.text
            await cluster.start(0)
            await cluster.take_over(0)
            await pending
            assert mirror.snapshot.cluster == ours


async def test_whom_the_detector_names_is_ours_whatever_it_is_called():
    async with Cluster(agents=2, tasks=4) as cluster, Cluster(agents=2, tasks=4, name="other", seed=2) as other:
        detector = Detector(endpoints(cluster))
        async with following(cluster, detector=detector) as mirror:
            await mirror.next()
            detector.learns(endpoints(other), leader=endpoints(other)[0])
            await mirror.until(lambda: mirror.snapshot.leader == endpoints(other)[0])
            assert mirror.snapshot.cluster == "other"


async def test_what_events_told_of_the_cluster_holds_for_polls_too(monkeypatch):
    monkeypatch.setattr(streaming, "REFUSED_RETRY_SECONDS", 0.3)
    async with Cluster(agents=2, tasks=4) as cluster, Cluster(agents=2, tasks=4, name="other", seed=2) as other:
        for path in ("/master/api/v1", "/api/v1"):
            other.settings.refuse[path] = (501, "no")
        detector = Detector(endpoints(cluster))
        async with following(cluster, detector=detector, fallback=True) as mirror:
            await mirror.next()
            both = (*endpoints(cluster), *endpoints(other))
            detector.learns(both)
            await mirror.until(lambda: mirror.snapshot.masters == both)
            await cluster.kill()
            pending = asyncio.ensure_future(mirror.next())
            while "its state is not believed" not in mirror.status.last_error:
                assert not pending.done()
                await asyncio.sleep(0.01)
            await cluster.start(0)
            await cluster.take_over(0)
            await pending
            assert mirror.snapshot.cluster == "demo"


async def test_no_state_is_known_before_the_first(caplog):
    async with Cluster(masters=2, agents=2, tasks=4) as cluster:
        await cluster.kill()
        await cluster.start(0)
        await cluster.nobody_leads()
        async with following(cluster) as mirror:
            pending = asyncio.ensure_future(mirror.next())
            while mirror.status.consecutive_failures < 1:
                assert not pending.done()
                await asyncio.sleep(0.01)
            assert "cannot be followed, and no state of it is known yet; next try" in caplog.text
            await cluster.take_over(0)
            await pending


async def test_the_clock_of_the_master_is_wrong_by_hours():
    async with Cluster(agents=2, tasks=4, clock=lambda: 5.0) as cluster, following(cluster) as mirror:
        await mirror.next()
        await cluster.subscribed(1)
        cluster.run("fresh")
        await mirror.until(lambda: "fresh" in mirror.names())
