"""What following events leaves to the garbage collector: no cycles, for their frames hold whole clusters."""

import asyncio
import contextlib
import json
from collections import Counter

import pytest
from tests.cycles import left_by, peer
from tests.mesos.decoding import shapes
from tests.mesos.http.test_client_cycles import answers, request

from mesos_dns.mesos import silence
from mesos_dns.mesos.detect.static import StaticMasters
from mesos_dns.mesos.errors import NobodyAnsweredError
from mesos_dns.mesos.following import Plan
from mesos_dns.mesos.http.client import MasterClient
from mesos_dns.mesos.options import ClientOptions
from mesos_dns.mesos.polling import PollingSource
from mesos_dns.mesos.state import Endpoint
from mesos_dns.mesos.streaming import Entered, StreamingSource

CLUSTER = {
    "agents": {"S0": "slave(1)@10.1.0.1:5051"},
    "recovered": [],
    "frameworks": [{"id": "F", "name": "fw", "hostname": "h", "pid": None, "recovered": False}],
    "completed": [],
    "tasks": [],
}
WAITING = {
    "id": "t",
    "name": "web",
    "framework": "F",
    "agent": "S0",
    "state": "TASK_STARTING",
    "ports": [],
    "statuses": [],
    "labels": [],
    "discovery": None,
    "container": None,
}


def framed(*records):
    return b"".join(b"%d\n%s" % (len(record), record) for record in records)


def chunked(body):
    return b"%x\r\n%s\r\n" % (len(body), body)


def master(after, *, stays=False, cluster=CLUSTER, summary=None, task=(404, b"")):
    """Answers calls; a stream has a state, an event, and then what `after` says; it ends unless it `stays`."""
    told = shapes.summary(cluster) if summary is None else json.dumps(summary).encode()

    def handle(connection):
        received = request(connection)
        kinds = {
            b"GET_MASTER": (200, shapes.MASTER),
            b"GET_FLAGS": (200, shapes.FLAGS),
            b"state-summary": (200, told),
            b"/master/tasks?framework_id=F&task_id=t ": task,
        }
        for kind, (status, body) in kinds.items():
            if kind in received:
                head = b"HTTP/1.1 %d Some reason\r\nContent-Type: application/json\r\n" % status
                connection.sendall(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
                return None
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
        gone = shapes.event("AGENT_REMOVED", agent_id={"value": "S0"})
        connection.sendall(head + chunked(framed(shapes.subscribed(cluster), gone)) + after)
        return stays

    return handle


def source(*addresses, fallback=False):
    masters = StaticMasters([Endpoint(*address) for address in addresses])
    options = ClientOptions(timeout=30)
    polling = PollingSource(Entered(masters), MasterClient(options), refresh_seconds=0.0) if fallback else None
    return StreamingSource(masters, MasterClient(options), polling, Plan(600.0, 5.0))


@pytest.mark.parametrize("after", [b"", chunked(framed(b"{", b"[]", b'{"type":"NEW"}'))], ids=["well", "garbage"])
async def test_a_stream_that_is_left(after, caplog):
    async def once():
        observations = source(address).observations()
        await anext(observations)
        await observations.aclose()
        caplog.clear()

    with peer(master(after, stays=True)) as address:
        assert await left_by(once, transports=False) == {}


@pytest.mark.parametrize(
    "after",
    [
        pytest.param(b"", id="breaks off"),
        pytest.param(b"0\r\n\r\n", id="ends"),
        pytest.param(chunked(b"no length"), id="damaged"),
    ],
)
async def test_streams_that_end(after, caplog):
    async def once():
        following = source(address)
        with contextlib.suppress(NobodyAnsweredError):
            subscription = await following._connect()
            await subscription.close()
        await following._client.close()
        caplog.clear()

    with peer(master(after)) as address:
        assert await left_by(once, transports=False) == {}


@pytest.mark.parametrize("how", ["answers", "closes", "hangs"])
async def test_a_silent_stream(how, caplog, monkeypatch):
    """Its master is asked; if there is no answer the others are. It is left while it is being asked, if it hangs."""
    monkeypatch.setattr(silence, "QUIET_SECONDS", 0.02)
    monkeypatch.setattr(silence, "SILENCE_SECONDS", 5.0 if how == "answers" else 0.02)
    asked = Counter()

    def leader(connection):
        asked["leader"] += 1
        return lead(connection) if how == "answers" or not asked["states"] else how == "hangs"

    def follower(connection):
        asked["follower"] += 1
        request(connection)
        connection.sendall(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")

    async def once():
        asked.clear()
        observations = source(address, other).observations()
        await anext(observations)
        asked["states"] += 1
        whom = "leader" if how == "answers" else "follower"
        reading, before = asyncio.ensure_future(anext(observations)), asked[whom]
        while asked[whom] < before + 3:  # noqa: ASYNC110 - it happens in threads
            await asyncio.sleep(0.01)
        reading.cancel()
        await asyncio.wait([reading])
        await observations.aclose()
        caplog.clear()

    lead = master(b"", stays=True)
    with peer(leader) as address, peer(follower) as other:
        assert await left_by(once, transports=False) == {}


@pytest.mark.parametrize("status", [307, 401, 404, 503])
async def test_masters_without_events(status, caplog):
    async def once():
        following = source(address)
        with contextlib.suppress(NobodyAnsweredError):
            await following._connect()
        await following._client.close()
        caplog.clear()

    with peer(answers(status, b"", "Location: //127.0.0.1:9") if status == 307 else answers(status)) as address:
        assert await left_by(once, transports=False) == {}


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, json.dumps({"tasks": [{**shapes.v0_task(WAITING), "state": "TASK_RUNNING"}]}).encode()),
        (200, b"<html>"),
        (404, b""),
    ],
    ids=["runs", "garbage", "refused"],
)
async def test_a_task_that_is_asked_about(status, body, caplog):
    cluster = {**CLUSTER, "tasks": [WAITING]}
    counted = json.loads(shapes.summary(cluster))
    counted["frameworks"][0]["TASK_RUNNING"] = 1

    async def once():
        following = source(address)
        subscription = await following._connect()
        assert subscription.view.doubt == "", "the first summary is not compared: events may wait that it has counted"
        subscription.refresh()
        following._wake.clear()
        while subscription.is_refreshing:
            await following._wake.wait()
            following._wake.clear()
        assert bool(subscription.view.doubt) == (body[:1] != b"{")
        await subscription.close()
        await following._client.close()
        caplog.clear()

    with peer(master(b"", stays=True, cluster=cluster, summary=counted, task=(status, body))) as address:
        assert await left_by(once, transports=False) == {}


async def test_polling_instead(caplog):
    body = json.dumps({"leader": "master@127.0.0.1:1", "pid": "master@127.0.0.1:1", "frameworks": [], "slaves": []})

    def handle(connection):
        status, text = (200, body.encode()) if b"GET /master/state" in request(connection) else (403, b"")
        connection.sendall(b"HTTP/1.1 %d Some reason\r\nContent-Length: %d\r\n\r\n" % (status, len(text)) + text)

    async def some():
        observations = source(address, fallback=True).observations()
        for _ in range(3):
            await anext(observations)
        await observations.aclose()
        caplog.clear()

    with peer(handle) as address:
        assert await left_by(some, transports=False) == {}
