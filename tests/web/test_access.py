"""Who may use the HTTP server: `AllowHttp`, and one client's share of the connections."""

import json
import logging

import pytest
from tests.web.given import Client, connected

from mesos_dns.dns.prefixes import ClientList, Clients, prefix_of
from mesos_dns.web import server as module
from mesos_dns.web.server import HttpServer

FRIEND = ClientList(allowed=(prefix_of(bytes((127, 0, 0, 2)), 32),))
PATHS = ["/healthz", "/readyz", "/v1/version", "/v1/config", "/v1/axfr", "/nothing", "//", "/v1/hosts/leader.mesos"]
HEALTHZ = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
async def test_who_is_not_allowed_gets_an_explanation_and_nothing_else(get, cluster, path, method):
    cluster.http_clients = Clients(FRIEND)
    reply = await get(path, method)
    assert (reply.status, reply.headers["content-type"]) == (403, "text/plain; charset=utf-8")
    why = "403: Forbidden\n127.0.0.1 is not among those who may use this server (AllowHttp)\n"
    assert reply.body == ("" if method == "HEAD" else why)
    assert cluster.reads == 0


async def test_who_wants_json_gets_it(get, cluster):
    cluster.http_clients = Clients(FRIEND)
    reply = await get("/v1/version", Accept="application/json")
    assert (reply.status, reply.headers["content-type"]) == (403, "application/json")
    assert json.loads(reply.body) == {
        "error": "Forbidden",
        "reason": "127.0.0.1 is not among those who may use this server (AllowHttp)",
    }


async def test_who_is_allowed_is_served(server, cluster):
    cluster.http_clients = Clients(FRIEND)
    async with connected(*server.address, local_addr=("127.0.0.2", 0)) as (reader, writer):
        writer.write(HEALTHZ)
        assert (await reader.readuntil(b"ok\n")).startswith(b"HTTP/1.1 200")


async def test_an_ipv4_client_of_an_ipv6_server_is_that_client(cluster):
    cluster.http_clients = Clients(ClientList(allowed=(prefix_of(bytes((127, 0, 0, 1)), 32),)))
    server = HttpServer(lambda: cluster)
    await server.start("::", 0)
    assert server.address is not None
    found = [(await Client(host, server.address[1])("/healthz")).status for host in ("127.0.0.1", "::1")]
    assert found == [200, 403]
    await server.stop()


async def test_it_is_told_once_a_minute(get, cluster, caplog):
    cluster.http_clients = Clients(FRIEND)
    with caplog.at_level(logging.WARNING):
        for _ in range(5):
            await get("/v1/version")
    assert [one.getMessage() for one in caplog.records] == ["HTTP: 127.0.0.1 may not ask: it is not in AllowHttp"]


async def test_one_client_leaves_room_for_others(server, get, monkeypatch, caplog):
    monkeypatch.setattr(module, "MAX_HTTP_PER_CLIENT", 2)
    async with connected(*server.address) as (first, one), connected(*server.address) as (second, two):
        for reader, writer in ((first, one), (second, two)):
            writer.write(HEALTHZ)
            await reader.readuntil(b"ok\n")
        assert (await get("/healthz")).status == 0
        assert [one.getMessage() for one in caplog.records] == [
            "HTTP: 127.0.0.1 holds 2 connections, as many as one client may; no more of its are taken"
        ]
        async with connected(*server.address, local_addr=("127.0.0.2", 0)) as (reader, writer):
            writer.write(HEALTHZ)
            await reader.readuntil(b"ok\n")
        two.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        await second.read()
    assert (await get("/healthz")).status == 200
    assert set(server._clients) <= {"127.0.0.1"}
