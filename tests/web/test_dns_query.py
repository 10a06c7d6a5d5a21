"""`/dns-query` over HTTP: methods, statuses, headers, and who is said to ask."""

import asyncio
import base64

import pytest
from tests.serve.asking import ask
from tests.web.given import Client, connected

from mesos_dns.web import dns_query as module
from mesos_dns.web.server import HttpServer

QUERY = ask("web.mesos.", identifier=0)
ENCODED = base64.urlsafe_b64encode(QUERY).rstrip(b"=").decode()
#: As a reply: what it says does not matter here.
REPLY = QUERY[:2] + b"\x84\0" + QUERY[4:]


@pytest.fixture
def doh(cluster):
    cluster.doh_on = True
    cluster.told = REPLY
    return cluster


def posted(body, content_type="application/dns-message", **fields):
    more = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items())
    head = f"POST /dns-query HTTP/1.0\r\nHost: x\r\nContent-Type: {content_type}\r\n{more}Content-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def test_a_question_in_the_path(doh, get):
    found = await get(f"/dns-query?dns={ENCODED}", Accept="application/dns-message")
    assert (found.status, found.octets) == (200, REPLY)
    assert found.headers["content-type"] == "application/dns-message"
    assert found.headers["content-length"] == str(len(REPLY))
    assert found.headers["cache-control"] == "max-age=0"
    assert doh.asked == [(QUERY, b"\x7f\0\0\1")]


async def test_a_question_in_the_body(doh, get):
    found = await get.raw(posted(QUERY))
    assert (found.status, found.octets) == (200, REPLY)
    assert doh.asked == [(QUERY, b"\x7f\0\0\1")]


async def test_a_body_in_chunks(doh, get):
    async with connected(get.host, get.port) as (reader, writer):
        writer.write(b"POST /dns-query HTTP/1.1\r\nHost: x\r\nContent-Type: application/dns-message\r\n")
        writer.write(b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n")
        for octet in QUERY:
            writer.write(b"1\r\n" + bytes((octet,)) + b"\r\n")
            await writer.drain()
        writer.write(b"0\r\n\r\n")
        assert (await reader.read()).endswith(REPLY)
    assert doh.asked[0][0] == QUERY


@pytest.mark.usefixtures("doh")
async def test_head_says_what_get_would(get):
    found = await get(f"/dns-query?dns={ENCODED}", method="HEAD")
    assert (found.status, found.octets, found.headers["content-length"]) == (200, b"", str(len(REPLY)))


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/dns-query", "400: Bad Request; expected one parameter `dns`, with a DNS message in base64url"),
        ("/dns-query?dns=AA%3D%3D", "400: Bad Request; the parameter `dns` is not base64url without padding"),
        ("/dns-query?dns=A", "400: Bad Request; the parameter `dns` ends in the middle of an octet"),
        (f"/dns-query?dns={ENCODED}&dns={ENCODED}", "400: Bad Request; expected one parameter `dns`"),
    ],
)
async def test_what_is_no_message_is_a_bad_request(doh, get, path, body):
    found = await get(path)
    assert found.status == 400
    assert found.body.startswith(body)
    assert doh.asked == []


async def test_other_statuses(doh, get):
    found = await get("/dns-query", method="PUT")
    assert (found.status, found.headers["allow"]) == (405, "GET, HEAD, POST")
    assert (await get.raw(posted(QUERY, "application/json"))).status == 415
    assert (await get.raw(posted(bytes(65536)))).status == 413
    assert (await get.raw(posted(bytes(65535)))).status == 200
    doh.told = b""
    assert (await get.raw(posted(b"x"))).short[::2] == (400, "400: Bad Request; not a DNS query")
    doh.told = None
    assert (await get.raw(posted(QUERY))).status == 503


@pytest.mark.usefixtures("doh")
async def test_chunks_without_end_are_too_large(get):
    async with connected(get.host, get.port) as (reader, writer):
        writer.write(b"POST /dns-query HTTP/1.1\r\nHost: x\r\nContent-Type: application/dns-message\r\n")
        writer.write(b"Transfer-Encoding: chunked\r\n\r\n" + (b"8000\r\n" + bytes(32768) + b"\r\n") * 3)
        assert (await reader.readline()).startswith(b"HTTP/1.1 413")
        await reader.read()  # It ends the connection.


@pytest.mark.usefixtures("doh")
async def test_a_body_that_does_not_come_ends_the_connection(get, monkeypatch):
    monkeypatch.setattr(module, "HTTP_BODY_SECONDS", 0.05)
    async with connected(get.host, get.port) as (reader, writer):
        writer.write(posted(QUERY)[:-1])
        assert (await reader.read()).startswith(b"HTTP/1.0 408")


async def test_without_the_key_there_is_no_such_path(cluster, get):
    assert (await get(f"/dns-query?dns={ENCODED}")).short == (
        404,
        "text/plain; charset=utf-8",
        "404: Page Not Found",
    )
    assert cluster.asked == []


async def test_a_client_over_ipv6_is_who_it_is(doh):
    server = HttpServer(lambda: doh)
    await server.start("::", 0)
    for host in ("::1", "127.0.0.1"):
        assert (await Client(host, server.address[1])(f"/dns-query?dns={ENCODED}")).status == 200
    assert [client for _, client in doh.asked] == [bytes(15) + b"\1", b"\x7f\0\0\1"]
    await server.stop()


async def test_questions_wait_for_none_of_the_others(doh, get):
    """A slow one on one connection, a quick one on another."""
    release = asyncio.Event()
    tell = doh.ask

    async def slow(octets, client):
        if octets != QUERY:
            await release.wait()
        return await tell(octets, client)

    doh.ask = slow
    waiting = asyncio.ensure_future(get.raw(posted(ask("slow.mesos."))))
    assert (await get.raw(posted(QUERY))).status == 200
    release.set()
    assert (await waiting).status == 200
