"""Clusters for tests: failover, broken streams, and everything else that a client can meet on a socket."""

import asyncio
import contextlib
import json
import time

import aiohttp
import pytest
from tests.demo.streaming import SUBSCRIBE, subscribed

from mesos_dns.demo.catalog import Network, Port
from mesos_dns.demo.live import Cluster
from mesos_dns.demo.streams import Manners


async def test_a_subscriber_gets_the_snapshot_a_heartbeat_and_each_event_as_one_chunk():
    async with Cluster(tasks=5) as cluster, subscribed(cluster.urls[0]) as reader:
        await reader.count(2)
        task = cluster.run("web", network=Network.BRIDGE, ports=[Port("http", "tcp", 80)])
        records = await reader.count(5)

        assert reader.kinds == ["SUBSCRIBED", "HEARTBEAT", "TASK_ADDED", "TASK_UPDATED", "TASK_UPDATED"]
        assert records[0]["subscribed"]["heartbeat_interval_seconds"] == 15.0
        assert len(records[0]["subscribed"]["get_state"]["get_tasks"]["tasks"]) == 5
        assert records[2]["task_added"]["task"]["task_id"] == {"value": task.id}
        assert reader.chunks == [b"%d\n" % len(body) + body for body in map(_dumped, records)]


def _dumped(record):
    return json.dumps(record, separators=(",", ":"), ensure_ascii=False).encode()


@pytest.mark.parametrize(
    ("version", "kinds"),
    [
        ("1.0.0", ["SUBSCRIBED", "TASK_ADDED"]),
        ("1.4.0", ["SUBSCRIBED", "TASK_ADDED"]),
        ("1.5.0", ["HEARTBEAT", "SUBSCRIBED", "HEARTBEAT", "TASK_ADDED"]),
        ("1.5.1", ["SUBSCRIBED", "HEARTBEAT", "TASK_ADDED"]),
    ],
)
async def test_heartbeats_of_each_release(version, kinds):
    async with Cluster(version=version) as cluster, subscribed(cluster.urls[0]) as reader:
        await reader.count(len(kinds) - 1)
        cluster.launch()
        records = await reader.count(len(kinds))

        assert reader.kinds == kinds
        subscription = next(record for record in records if record["type"] == "SUBSCRIBED")["subscribed"]
        assert ("heartbeat_interval_seconds" in subscription) == (version >= "1.5")


async def test_heartbeats_keep_coming():
    async with Cluster() as cluster:
        cluster.settings.heartbeat = 0.02
        async with subscribed(cluster.urls[0]) as reader:
            await reader.count(5)
            assert reader.kinds == ["SUBSCRIBED"] + ["HEARTBEAT"] * 4


async def test_one_subscriber_too_many_ends_the_oldest():
    async with Cluster() as cluster, contextlib.AsyncExitStack() as stack:
        cluster.settings.max_subscribers = 2
        readers = []
        for _ in range(3):
            readers.append(await stack.enter_async_context(subscribed(cluster.urls[0])))
            await readers[-1].count(2)
        await readers[0].until(lambda: readers[0].ended)

        assert [reader.ended for reader in readers] == ["proper", None, None]
        cluster.launch()
        for reader in readers[1:]:
            await reader.count(3)


async def test_a_dying_leader_breaks_its_streams_inside_the_chunking():
    async with Cluster(masters=2) as cluster, subscribed(cluster.urls[0]) as reader:
        await reader.count(2)
        await cluster.kill()
        await reader.until(lambda: reader.ended)

        assert reader.ended == "broken"
        with pytest.raises(aiohttp.ClientConnectorError):
            async with subscribed(cluster.urls[0]):
                pass


async def test_a_new_leader_is_empty_then_fills_as_agents_come_back():
    async with Cluster(masters=2, agents=4, tasks=12) as cluster:
        await cluster.kill()
        await cluster.elect(1)
        async with subscribed(cluster.urls[1]) as reader:
            (snapshot,) = (await reader.count(1))[:1]
            state = snapshot["subscribed"]["get_state"]
            assert (state["get_tasks"]["tasks"], state["get_agents"]["agents"]) == ([], [])
            assert len(state["get_agents"]["recovered_agents"]) == 4
            cluster.come_back(over=0.2)
            await reader.until(lambda: reader.kinds.count("AGENT_ADDED") == 4)
            await reader.until(lambda: reader.kinds.count("TASK_ADDED") == 12)
            assert {
                event["task_added"]["task"]["state"] for event in reader.records if event["type"] == "TASK_ADDED"
            } == {"TASK_RUNNING"}


async def test_a_frozen_leader_accepts_and_never_answers_until_it_goes_on():
    async with Cluster(masters=2) as cluster, aiohttp.ClientSession() as session:
        cluster.settings.heartbeat = 0.02
        async with subscribed(cluster.urls[0]) as reader:
            await reader.count(2)
            await cluster.freeze(0)
            asked = asyncio.get_running_loop().create_task(session.get(f"{cluster.urls[0]}/master/state"))
            await cluster.take_over(1)
            seen = len(reader.raw)
            done, _ = await asyncio.wait([asked], timeout=0.2)
            assert (done, len(reader.raw) - seen, reader.ended) == (set(), 0, None)
            async with session.get(f"{cluster.urls[1]}/master/state") as response:
                assert (await response.json())["leader"] == f"master@{cluster.endpoints[1]}"

            await cluster.freeze(0, frozen=False)
            async with await asked as response:
                assert (await response.json())["leader"] == f"master@{cluster.endpoints[0]}", "two leaders at once"
            await reader.until(lambda: len(reader.raw) > seen)
            await cluster.kill(0)
            await reader.until(lambda: reader.ended)


async def test_two_masters_claim_to_lead():
    async with Cluster(masters=2, tasks=3) as cluster, aiohttp.ClientSession() as session:
        cluster.world.usurp(1)
        await cluster.masters.sync()
        leaders = []
        for url in cluster.urls:
            async with session.get(f"{url}/master/state") as response:
                leaders.append((await response.json())["leader"])

        assert leaders == [f"master@{endpoint}" for endpoint in cluster.endpoints]


async def test_another_cluster_has_another_name_and_other_ids():
    async with (
        Cluster(tasks=3) as one,
        Cluster(tasks=3, name="other", seed=2) as two,
        aiohttp.ClientSession() as session,
    ):
        documents = []
        for cluster in (one, two):
            async with session.get(f"{cluster.urls[0]}/master/state") as response:
                documents.append(await response.json())

    assert [document["cluster"] for document in documents] == ["demo", "other"]
    first, second = documents
    assert first["id"] != second["id"]
    assert {agent["id"] for agent in first["slaves"]}.isdisjoint(agent["id"] for agent in second["slaves"])


@pytest.mark.parametrize("piece", [1, 7, 300])
async def test_slow_streams_cut_their_octets_anywhere(piece):
    async with Cluster() as cluster:
        cluster.settings.manners = Manners(piece=piece)
        async with subscribed(cluster.urls[0]) as reader:
            await reader.count(2)
            cluster.launch()
            await reader.count(3)

            assert max(map(len, reader.chunks)) <= piece
            assert reader.kinds == ["SUBSCRIBED", "HEARTBEAT", "TASK_ADDED"]


async def test_a_stream_falls_silent_without_closing_and_goes_on():
    async with Cluster() as cluster:
        cluster.settings.heartbeat = 0.02
        async with subscribed(cluster.urls[0]) as reader:
            await reader.count(2)
            (subscriber,) = cluster.subscribers
            subscriber.talk(False)
            seen = len(reader.raw)
            cluster.launch()
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await reader.count(99)
            assert (len(reader.raw), reader.ended) == (seen, None)
            subscriber.talk()
            await reader.until(lambda: "TASK_ADDED" in reader.kinds)


@pytest.mark.parametrize(("verb", "end"), [("cut", "broken"), ("end", "proper"), ("abort", "broken")])
@pytest.mark.parametrize("talking", [True, False])
async def test_streams_end_in_three_ways(verb, end, talking):
    async with Cluster() as cluster, subscribed(cluster.urls[0]) as reader:
        await reader.count(2)
        (subscriber,) = cluster.subscribers
        subscriber.talk(talking)
        getattr(subscriber, verb)()
        await reader.until(lambda: reader.ended)

        assert reader.ended == end
        assert cluster.masters.nodes[0].streams.subscribers in ([], [subscriber])


async def test_garbage_of_every_kind_goes_out_as_it_is_given():
    async with Cluster() as cluster, subscribed(cluster.urls[0]) as reader:
        await reader.count(2)
        (subscriber,) = cluster.subscribers
        before = len(reader.raw)
        subscriber.send(b'{"type":"SOMETHING_NEW"}')
        subscriber.send(b"{")
        subscriber.send_raw(b"999999999999\n")
        subscriber.cut(b'120\n{"type":"TASK_')
        await reader.until(lambda: reader.ended)

        assert reader.raw[before:] == b'24\n{"type":"SOMETHING_NEW"}1\n{999999999999\n120\n{"type":"TASK_'


async def test_ten_thousand_events_at_once_arrive_in_order_and_say_when_they_were_written():
    async with Cluster() as cluster, subscribed(cluster.urls[0]) as reader:
        await reader.count(2)
        task = cluster.run()
        began = time.monotonic()
        for number in range(10_000):
            cluster.update(task, ("TASK_KILLING", "TASK_RUNNING")[number % 2], message=str(number))
        await reader.count(10_005)

        messages = [
            event["task_updated"]["status"].get("message")
            for event in reader.records[5:]
            if event["type"] == "TASK_UPDATED"
        ]
        assert messages == [str(number) for number in range(10_000)]
        written = list(cluster.masters.written)
        assert [entry.number for entry in written] == list(range(1, 10_004))
        assert [entry.at for entry in written] == sorted(entry.at for entry in written)
        assert began < written[-1].at < time.monotonic()


async def test_documents_can_be_spoilt_delayed_and_refused():
    def without_lists(what, document):
        if what == "/master/state":
            return document | {"slaves": None, "frameworks": None}
        if what == "SUBSCRIBE":
            del document["subscribed"]["get_state"]["get_tasks"]
        return document

    async with Cluster(tasks=3) as cluster, aiohttp.ClientSession() as session:
        cluster.settings.edit = without_lists
        async with session.get(f"{cluster.urls[0]}/master/state") as response:
            assert (await response.json())["frameworks"] is None
        async with subscribed(cluster.urls[0]) as reader:
            assert "get_tasks" not in (await reader.count(1))[0]["subscribed"]["get_state"]
        cluster.settings.refuse = {"/master/api/v1": (503, "no")}
        async with session.post(f"{cluster.urls[0]}/api/v1", json=SUBSCRIBE) as response:
            assert (response.status, await response.text()) == (503, "no")
        cluster.settings.delay = 60.0
        with pytest.raises(TimeoutError):
            await session.get(f"{cluster.urls[0]}/state", timeout=aiohttp.ClientTimeout(total=0.1))


async def test_the_clock_of_the_masters_is_whatever_is_given():
    async with Cluster(tasks=1, clock=lambda: time.time() + 7200.0) as cluster:
        task = cluster.run()

    assert task.statuses[-1].timestamp - time.time() > 7000


async def test_nobody_to_kill_is_an_error():
    async with Cluster() as cluster:
        await cluster.kill()
        with pytest.raises(LookupError):
            await cluster.kill()
        with pytest.raises(LookupError):
            _ = cluster.ledger


async def test_documents_trickle():
    async with Cluster(tasks=1) as cluster, aiohttp.ClientSession() as session:
        cluster.settings.document_manners = Manners(piece=50)
        async with session.get(f"{cluster.urls[0]}/master/state") as response:
            assert response.headers["Content-Length"] == str(len(await response.read()))
            assert (await response.json())["leader"] == f"master@{cluster.endpoints[0]}"


async def test_events_can_get_lost_and_others_be_invented():
    async with Cluster() as cluster, subscribed(cluster.urls[0]) as reader:
        await reader.count(2)
        cluster.settings.lose = lambda notice: notice.kind == "TASK_UPDATED"
        cluster.run()
        cluster.send({"type": "TASK_UPDATED", "task_updated": {"state": "TASK_RUNNING"}})
        await reader.count(4)

        assert reader.kinds[2:] == ["TASK_ADDED", "TASK_UPDATED"]
        assert reader.records[3]["task_updated"] == {"state": "TASK_RUNNING"}
