"""The query log over HTTP: switched on and off, and looked at as it happens."""

import asyncio
import json

import pytest
from tests.cycles import left_by
from tests.serve.tcp_bed import until
from tests.web.given import connected
from tests.web.test_watching import Watch

from mesos_dns.dns import name as names
from mesos_dns.query_logs import MAX_FOLLOWERS, QueryLogPlan
from mesos_dns.querylog.destination import Destination
from mesos_dns.querylog.logs import QueryLog, parcels
from mesos_dns.querylog.selection import Selection
from mesos_dns.web import query_log as module
from mesos_dns.web.trust import Token

WEB = Selection(names=(names.from_text("web.mesos"),))
STATE = {"to": "json:/tmp/q.json", "on": False, "until": None, "written": 0, "dropped": 0, "trouble": ""}
LINE = b'{"name":"web.mesos."}'


@pytest.fixture
def cluster(cluster):
    cluster.log_plan = QueryLogPlan(Destination(False, False, "/tmp/q.json"), False, Selection(sample=7), 1024)
    return cluster


@pytest.fixture
def soon(monkeypatch):
    """Those who are gone are noticed soon."""
    monkeypatch.setattr(module, "HTTP_HEARTBEAT_SECONDS", 0.05)


def put(cluster, *lines, number=1):
    for _, parcel in parcels(number, [line + b"\n" for line in lines]):
        cluster.logs.take(parcel)


async def test_how_it_does(get):
    reply = await get("/v1/querylog")
    assert (reply.status, json.loads(reply.body)) == (200, STATE)


async def test_it_is_switched_on_and_off(get, cluster):
    reply = await get("/v1/querylog?name=web.mesos&for=60s", "POST")
    state = json.loads(reply.body)
    assert (reply.status, state["on"]) == (200, True)
    assert state["until"] is not None
    assert cluster.kept == [[QueryLog(0, False, WEB)]]
    reply = await get("/v1/querylog", "DELETE")
    assert (reply.status, json.loads(reply.body)) == (200, STATE)
    assert cluster.kept[-1] == []


async def test_without_a_word_it_has_what_is_configured(get, cluster):
    assert (await get("/v1/querylog", "POST")).status == 200
    assert cluster.kept == [[QueryLog(0, False, Selection(sample=7))]]
    await cluster.logs.stop()


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("name=a..b", "'a..b' is no name in DNS: a label is empty"),
        ("rcode=NOPE", "'NOPE' is no RCODE; expected one of NOERROR, FORMERR, "),
        ("client=10.0.0.1/33", "'10.0.0.1/33' is no prefix; expected an address, a prefix such as 10.0.0.0/8, "),
        ("for=3d", "for: expected a time such as 90s, 5m or 2h, up to a day, found '3d'"),
        ("nmae=web", "'nmae' is no parameter; expected client, name, rcode, sample or for"),
    ],
)
async def test_what_cannot_be_wanted(get, cluster, query, why):
    for path, method in (("/v1/querylog", "POST"), ("/v1/queries", "GET")):
        reply = await get(f"{path}?{query}", method)
        assert reply.status == 400
        assert reply.body.startswith(f"400: {why}")
    assert cluster.kept == []


async def test_without_a_destination_it_says_what_to_do(get, cluster):
    cluster.log_plan = QueryLogPlan()
    reply = await get("/v1/querylog", "POST")
    assert reply.status == 409
    assert reply.body.startswith("409: there is no place to write to: set QueryLog.To in the configuration, ")
    # There is nothing to switch off, and nothing wrong with that.
    assert (await get("/v1/querylog", "DELETE")).status == 200


@pytest.mark.parametrize("method", ["PUT", "PATCH", "HEAD"])
async def test_other_methods(get, method):
    assert (await get("/v1/querylog", method)).status == 405
    assert (await get("/v1/queries", method)).status == 405


async def test_it_is_for_those_who_may_see_what_tells_about_clients(get, cluster):
    cluster.http_token = Token("0123456789abcdef")
    for path, method in (("/v1/querylog", "GET"), ("/v1/querylog", "POST"), ("/v1/queries", "GET")):
        reply = await get(path, method, X_Forwarded_For="192.0.2.1")
        assert reply.status == 403
        assert "send the token of HttpTokenFile" in reply.body
        assert (await get(path, method, Authorization="Bearer wrong")).status == 403
    assert (await get("/v1/querylog", X_Forwarded_For="::1", Authorization="Bearer 0123456789abcdef")).status == 200
    assert cluster.kept == []


@pytest.mark.parametrize("fields", [{"Origin": "http://evil.example"}, {"Sec_Fetch_Site": "cross-site"}])
async def test_no_foreign_page_switches_it(get, cluster, fields):
    for method in ("POST", "DELETE"):
        reply = await get("/v1/querylog", method, **fields)
        assert reply.status == 403
        assert "a page of another site sent this" in reply.body
    assert (await get("/v1/querylog", "POST", Origin="http://localhost", Sec_Fetch_Site="same-origin")).status == 200
    assert len(cluster.kept) == 1
    await cluster.logs.stop()


# --- as it happens -----------------------------------------------------------------------------


async def test_answers_come_as_events(get, cluster, soon):  # noqa: ARG001
    async with Watch(get, path="/v1/queries?name=web.mesos") as watch:
        assert "content-type: text/event-stream" in watch.head
        assert "cache-control: no-store" in watch.head
        assert await watch.block() == ": still here"
        assert cluster.kept == [[QueryLog(1, False, WEB)]]
        put(cluster, LINE, b'{"name":"x.web.mesos."}')
        told = []
        while len(told) < 2:
            block = await watch.block()
            told += [block] if block != ": still here" else []
        assert told == [f"event: query\ndata: {LINE.decode()}", 'event: query\ndata: {"name":"x.web.mesos."}']
    await until(lambda: cluster.kept[-1] == [])


async def lines_of(reader, count):
    async with asyncio.timeout(30):
        return [(await reader.readline()).rstrip(b"\n") for _ in range(count)]


async def test_answers_come_as_lines(get, cluster):
    async with connected(get.host, get.port) as (reader, writer):
        writer.write(b"GET /v1/queries HTTP/1.0\r\nHost: localhost\r\n\r\n")
        async with asyncio.timeout(30):
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
        assert b"content-type: application/x-ndjson" in head
        put(cluster, LINE, LINE)
        assert await lines_of(reader, 3) == [b"", LINE, LINE]


async def test_what_was_lost_is_told(get, cluster):
    async with connected(get.host, get.port) as (reader, writer):
        writer.write(b"GET /v1/queries HTTP/1.0\r\nHost: localhost\r\n\r\n")
        await until(lambda: cluster.kept)
        cluster.logs._followers[1].dropped = 5
        put(cluster, LINE)
        async with asyncio.timeout(30):
            await reader.readuntil(b"\r\n\r\n")
        assert await lines_of(reader, 3) == [b"", LINE, b'{"dropped":5}']


async def test_it_ends_when_its_time_is_over(get, cluster):
    async with asyncio.timeout(30):
        reply = await get("/v1/queries?for=1s")
    assert (reply.status, reply.body.strip()) == (200, "")
    assert [len(kept) for kept in cluster.kept] == [1, 0]


async def test_it_ends_with_the_program_or_the_configuration(get, cluster):
    async with Watch(get, path="/v1/queries") as watch:
        await watch.block()
        await cluster.logs.stop()
        async with asyncio.timeout(30):
            assert await watch.reader.read() in (b"", b": still here\n\n")


async def test_who_goes_away_is_noticed(get, cluster, soon):  # noqa: ARG001
    async with Watch(get, path="/v1/queries") as watch:
        assert await watch.block() == ": still here"
        assert await watch.block() == ": still here"
    await until(lambda: cluster.kept[-1] == [])


async def test_as_many_look_on_as_may(get, cluster, soon):  # noqa: ARG001
    watches = [Watch(get, path="/v1/queries") for _ in range(MAX_FOLLOWERS)]
    for watch in watches:
        await watch.__aenter__()
    reply = await get("/v1/queries")
    assert (reply.status, reply.body) == (
        503,
        "503: as many look on as may at the same time; try again when one of them is done",
    )
    for watch in watches:
        await watch.__aexit__(None, None, None)
    await until(lambda: not cluster.kept[-1])


async def test_nothing_is_left_of_somebody_who_looked_on(get, cluster, soon):  # noqa: ARG001
    async def looked_on():
        async with Watch(get, path="/v1/queries") as watch:
            await watch.block()
            put(cluster, LINE)
            await watch.block()
        await until(lambda: not cluster.kept[-1])

    assert await left_by(looked_on, transports=False) == {}
