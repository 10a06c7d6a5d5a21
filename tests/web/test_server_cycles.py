"""What an HTTP connection leaves to the garbage collector: nothing, however it goes."""

import asyncio
import socket

import pytest
from tests.cycles import left_by, reset

from mesos_dns.web import sending
from mesos_dns.web import server as module

REQUEST = b"GET %s HTTP/1.1\r\nHost: x\r\nConnection: %s\r\n\r\n"


async def talk(address, *octets, until_end=True, end=None):
    """Send `octets` one after the other on a plain socket, read what comes; `end` may do something before it is closed."""
    loop = asyncio.get_running_loop()
    with socket.socket() as sock:
        sock.setblocking(False)
        await loop.sock_connect(sock, address)
        for some in octets:
            await loop.sock_sendall(sock, some)
            while await loop.sock_recv(sock, 65536) and until_end:
                pass
        if end is not None:
            end(sock)


@pytest.mark.parametrize(
    "path",
    [
        b"/healthz",
        b"/metrics",
        b"/v1/config",
        b"/v1/enumerate",
        b"/v1/axfr",
        b"/v1/explain?name=nginx.marathon.mesos.",
        b"/v1/explain?name=nothing.marathon.mesos.",
        b"/v1/hosts/nginx.marathon.mesos.",
        b"/nope",
    ],
)
async def test_requests(server, path):
    assert await left_by(lambda: talk(server.address, REQUEST % (path, b"close"))) == {}


async def test_several_requests_of_one_connection(server):
    keeping = REQUEST % (b"/healthz", b"keep-alive")
    assert await left_by(lambda: talk(server.address, keeping, keeping, until_end=False)) == {}


@pytest.mark.parametrize(
    "octets", [b"\x16\x03\x01\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/1.1\r\nCookie: " + b"x" * 9000 + b"\r\n\r\n"]
)
async def test_what_is_no_request(server, octets, caplog):
    async def ask_badly():
        await talk(server.address, octets)
        caplog.clear()

    assert await left_by(ask_badly) == {}


@pytest.mark.parametrize("end", [None, reset])
@pytest.mark.parametrize(
    "octets", [b"", b"GET /hea", b"POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n"]
)
async def test_clients_that_go_in_the_middle_of_a_request(server, octets, end):
    async def go():
        with socket.create_connection(server.address) as sock:
            sock.sendall(octets)
            await asyncio.sleep(0.01)
            if end is not None:
                end(sock)
        while "connections=0" not in repr(server):  # noqa: ASYNC110 - it tells nobody when
            await asyncio.sleep(0.001)

    assert await left_by(go) == {}


@pytest.mark.parametrize("end", [None, reset])
async def test_clients_that_go_in_the_middle_of_a_reply(server, cluster, monkeypatch, end):
    cluster.config = {"Text": "x" * 20_000_000}
    monkeypatch.setattr(sending, "HTTP_CHUNK", 10_000)

    async def go():
        await talk(server.address, REQUEST % (b"/v1/config", b"close"), until_end=False, end=end)
        while "connections=0" not in repr(server):  # noqa: ASYNC110 - it tells nobody when
            await asyncio.sleep(0.001)

    assert await left_by(go, times=3) == {}


async def test_clients_that_say_nothing_and_are_too_many(server, monkeypatch, caplog):
    monkeypatch.setattr(module, "HTTP_REQUEST_SECONDS", 0.02)
    assert await left_by(lambda: talk(server.address, b"GET /")) == {}
    monkeypatch.setattr(module, "MAX_HTTP_CONNECTIONS", 0)

    async def one_too_many():
        await talk(server.address, b"")
        caplog.clear()

    assert await left_by(one_too_many) == {}
