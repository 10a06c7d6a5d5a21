import asyncio
import errno
import logging
import re
import resource
import socket

import pytest
from tests.web.given import Client, connected

from mesos_dns.web import sending
from mesos_dns.web import server as module
from mesos_dns.web.server import HttpServer

HEALTHZ = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"


async def test_it_says_where_it_listens(server, get):
    assert repr(server) == f"HttpServer(('127.0.0.1', {get.port}), connections=0)"


@pytest.mark.parametrize(
    ("listener", "clients"), [("::1", ["::1"]), ("::", ["::1", "127.0.0.1"]), ("0.0.0.0", ["127.0.0.1"])]
)
async def test_listening_addresses(cluster, listener, clients):
    server = HttpServer(lambda: cluster)
    await server.start(listener, 0)
    for client in clients:
        assert (await Client(client, server.address[1])("/healthz")).status == 200
    await server.stop()


async def test_an_address_that_is_taken_is_an_error_for_people(cluster):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match="HttpPort") as caught:
            await HttpServer(lambda: cluster).start("127.0.0.1", port)
    assert str(caught.value) == (
        f"TCP 127.0.0.1 port {port}: Address already in use; another program has it (`ss -lntp` shows which): "
        "stop that one, or set another HttpPort or HTTPListener"
    )


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.EACCES, "Permission denied; ports below 1024 need root or the capability CAP_NET_BIND_SERVICE"),
        (errno.EADDRNOTAVAIL, "Cannot assign requested address; HTTPListener must be an address of this machine"),
        (errno.ENOBUFS, "No buffer space available; check HTTPListener and HttpPort"),
    ],
)
async def test_what_to_do_about_an_address_that_cannot_be_had(cluster, monkeypatch, number, advice):
    def refuse(*_args, **_more):
        raise OSError(number, "a text that may say more than once what happened")

    monkeypatch.setattr(socket, "create_server", refuse)
    with pytest.raises(OSError, match=f"^TCP 127.0.0.1 port 80: {advice}"):
        await HttpServer(lambda: cluster).start("127.0.0.1", 80)


async def test_stopping_twice_or_before_starting_is_harmless(cluster):
    server = HttpServer(lambda: cluster)
    await server.stop()
    await server.start("127.0.0.1", 0)
    assert server.address is not None
    await server.stop()
    await server.stop()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(*server.address)


async def test_after_stop_nobody_is_connected(cluster):
    server = HttpServer(lambda: cluster)
    await server.start("127.0.0.1", 0)
    async with connected(*server.address) as (reader, writer):
        writer.write(HEALTHZ)
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        await server.stop()
        assert (await reader.read()).endswith(b"ok\n")
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(*server.address)


async def test_a_connection_serves_several_requests(server):
    async with connected(*server.address) as (reader, writer):
        for path in (b"/healthz", b"/v1/nope", b"/readyz"):
            writer.write(b"GET " + path + b" HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b"HTTP/1.1" in await reader.readuntil(b"\r\n\r\n")
        assert repr(server).endswith("connections=1)")


async def test_a_connection_that_asks_nothing_is_closed(server, monkeypatch):
    monkeypatch.setattr(module, "HTTP_REQUEST_SECONDS", 0.05)
    async with connected(*server.address) as (reader, writer):
        writer.write(b"GET /healthz HTTP/1.1\r\nHost:")
        assert await reader.read() == b""


async def test_a_connection_that_asked_something_is_not(server, monkeypatch):
    monkeypatch.setattr(module, "HTTP_REQUEST_SECONDS", 0.05)
    async with connected(*server.address) as (reader, writer), connected(*server.address) as (silent, _):
        writer.write(HEALTHZ)
        await reader.readuntil(b"ok\n")
        assert await silent.read() == b""
        writer.write(HEALTHZ)
        await reader.readuntil(b"ok\n")


@pytest.mark.parametrize(
    ("files", "most"), [(resource.RLIM_INFINITY, 256), (8192, 256), (1024, 256), (1000, 250), (40, 10), (3, 1)]
)
def test_connections_take_a_quarter_of_the_files(files, most):
    assert module._most_within(files) == most


async def test_one_connection_too_many_is_closed_at_once(server, get, caplog):
    server._most = 1
    async with connected(*server.address) as (reader, writer):
        writer.write(HEALTHZ)
        await reader.readuntil(b"ok\n")
        assert (await get("/healthz")).status == 0
        assert [one.getMessage() for one in caplog.records] == [
            "HTTP: 1 connections are open, no more are taken; who holds them?"
        ]
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        await reader.read()
    assert (await get("/healthz")).status == 200


@pytest.mark.parametrize(
    "request_",
    [
        b"GET /v1/hosts/" + b"x" * 5000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nCookie: " + b"x" * 9000 + b"\r\n\r\n",
        b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03\r\n\r\n",
        b"GET\r\n\r\n",
    ],
)
async def test_what_is_too_long_or_no_http_is_a_bad_request(get, request_, caplog):
    for _ in range(3):
        reply = await get.raw(request_)
        assert reply.status in {400, 431}
        assert "Traceback" not in reply.body
    [complaint] = caplog.records
    assert (complaint.levelno, complaint.exc_info) == (logging.WARNING, None)
    assert len(complaint.getMessage()) < 400
    assert complaint.getMessage().startswith("HTTP: Error handling request from 127.0.0.1: '")
    assert not re.search(r"\w+\.\w+\(|<\w+:", complaint.getMessage())


async def test_a_body_that_nobody_wants_is_not_awaited_for_ever(cluster, monkeypatch):
    monkeypatch.setattr(module, "HTTP_LINGER_SECONDS", 0.05)
    server = HttpServer(lambda: cluster)
    await server.start("127.0.0.1", 0)
    reply = await Client(*server.address)("/v1/version", "POST", Content_Length="1000000000")
    assert reply.status == 405
    await server.stop()


async def test_replies_tell_no_library_versions(get):
    assert (await get("/v1/version")).headers["server"] == "Mesos-DNS"
    assert (await get("/v1/nope")).headers["server"] == "Mesos-DNS"


# --- large replies -------------------------------------------------------------------------------------


async def test_large_replies_come_in_chunks(server, cluster, monkeypatch):
    cluster.config = {"Text": "ü" * 100_000}
    monkeypatch.setattr(sending, "HTTP_CHUNK", 1000)
    async with connected(*server.address) as (reader, writer):
        writer.write(b"GET /v1/config HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"Transfer-Encoding: chunked\r\n" in head
        assert b"Content-Length" not in head
        assert (await reader.read()).endswith(b"0\r\n\r\n")
    assert (await Client(*server.address)("/v1/config")).body == '{\n  "Text": "' + "ü" * 100_000 + '"\n }'
