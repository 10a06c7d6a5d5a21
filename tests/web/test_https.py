"""The HTTP server within TLS: handshakes are bounded like everything else."""

import asyncio
import logging
import socket
import ssl

import pytest
from tests.certificates import Certificates
from tests.cycles import left_by
from tests.serve.tls_bed import pair_of, trusting
from tests.web.given import connected

from mesos_dns.serve.channel import Channel
from mesos_dns.tls import server_context
from mesos_dns.web import server as module
from mesos_dns.web.server import HTTP_PROTOCOLS, HttpServer

HEALTHZ = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return Certificates.issued(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
async def https(cluster, certificates):
    running = HttpServer(lambda: cluster, server_context(pair_of(certificates), *HTTP_PROTOCOLS))
    await running.start("127.0.0.1", 0)
    yield running
    await running.stop()


async def get(server, certificates, protocols=("h2", "http/1.1")):
    context = trusting(certificates, protocols=protocols)
    reader, writer = await asyncio.open_connection(*server.address, ssl=context, server_hostname="resolver.example")
    writer.write(HEALTHZ)
    told = await reader.read()
    chosen = writer.get_extra_info("ssl_object").selected_alpn_protocol()
    writer.close()
    await writer.wait_closed()
    return told, chosen


async def until(condition):
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event of its own
            await asyncio.sleep(0.001)


async def test_a_request_is_answered_over_http_1_1(https, certificates):
    told, chosen = await get(https, certificates)
    assert told.startswith(b"HTTP/1.1 200 OK")
    assert told.endswith(b"ok\n")
    assert chosen == "http/1.1"
    await until(lambda: not https._open)


async def test_a_request_that_comes_with_the_end_of_the_handshake_is_not_lost(https, certificates):
    channel = Channel(trusting(certificates), "resolver.example")
    async with connected(*https.address) as (reader, writer):
        channel.send(HEALTHZ)
        said = b""
        while b"ok" not in said:
            writer.write(channel.outgoing())
            said += channel.receive(await reader.read(65536))
    assert said.startswith(b"HTTP/1.1 200 OK\r\n")


async def test_a_handshake_that_stalls_is_ended_and_counts_as_a_connection(cluster, certificates, monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(module, "HTTP_REQUEST_SECONDS", 0.2)
    monkeypatch.setattr(module, "MAX_HTTP_CONNECTIONS", 2)
    server = HttpServer(lambda: cluster, server_context(pair_of(certificates), *HTTP_PROTOCOLS))
    await server.start("127.0.0.1", 0)
    async with connected(*server.address) as (one, _), connected(*server.address) as (other, writer):
        writer.write(b"\x16\x03\x01")
        await until(lambda: len(server._open) == 2)
        async with connected(*server.address) as (third, _):
            assert await third.read() == b""
        assert await one.read() == b""
        assert await other.read() == b""
    await until(lambda: not server._open)
    assert (await get(server, certificates))[0].endswith(b"ok\n")
    await server.stop()


@pytest.mark.parametrize("octets", [b"GET / HTTP/1.1\r\n\r\n", b"\0\x1dsomething else that is no TLS"])
async def test_what_is_no_tls_is_told(https, certificates, caplog, octets):
    caplog.set_level(logging.INFO)
    async with connected(*https.address) as (reader, writer):
        writer.write(octets)
        await reader.read()
    await until(lambda: not https._open)
    lines = [record.getMessage() for record in caplog.records if "HTTPS: a connection" in record.getMessage()]
    assert len(lines) == 1
    assert lines[0].startswith("HTTPS: a connection of 127.0.0.1 failed: ")
    assert (await get(https, certificates))[0].endswith(b"ok\n")


async def test_another_certificate_is_shown_to_newcomers(https, certificates):
    https.context = server_context(pair_of(certificates, "expired"), *HTTP_PROTOCOLS)
    with pytest.raises(ssl.SSLCertVerificationError, match="expired"):
        await get(https, certificates)
    https.context = server_context(pair_of(certificates), *HTTP_PROTOCOLS)
    assert (await get(https, certificates))[0].endswith(b"ok\n")


async def test_the_port_is_named_by_its_key(cluster, certificates):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        server = HttpServer(lambda: cluster, server_context(pair_of(certificates)))
        with pytest.raises(OSError, match="set another HttpsPort or HTTPListener"):
            await server.start("127.0.0.1", taken.getsockname()[1])


async def test_connections_leave_nothing_to_the_garbage_collector(https, certificates):
    loop = asyncio.get_running_loop()
    contexts = {name: trusting(certificates, name) for name in ("ca.pem", "other.pem")}

    async def spoken(context):
        channel = Channel(context, "resolver.example")
        with socket.socket() as sock:
            sock.setblocking(False)
            await loop.sock_connect(sock, https.address)
            said = b""
            try:
                channel.send(HEALTHZ)
                while b"ok\n" not in said:
                    await loop.sock_sendall(sock, channel.outgoing())
                    said += channel.receive(await loop.sock_recv(sock, 65536))
            except ssl.SSLError:
                await loop.sock_sendall(sock, channel.outgoing())
        await until(lambda: not https._open)

    async def raw(octets):
        with socket.socket() as sock:
            sock.setblocking(False)
            await loop.sock_connect(sock, https.address)
            await loop.sock_sendall(sock, octets)
            if octets:
                await loop.sock_recv(sock, 100)
        await until(lambda: not https._open)

    for operation in (
        lambda: spoken(contexts["ca.pem"]),
        lambda: spoken(contexts["other.pem"]),
        lambda: raw(b"GET / HTTP/1.1\r\n\r\n"),
        lambda: raw(b""),
    ):
        assert await left_by(operation) == {}
