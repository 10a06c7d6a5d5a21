import asyncio
import logging
from contextlib import asynccontextmanager

import pytest
from tests.web.given import connected

from mesos_dns.web import api, sending

BIG = "x" * 70_000


@pytest.fixture
def pieces(monkeypatch):
    """Lets a test decide what `/v1/version` is made of."""

    def replace(them):
        given = [them]  # Given away once: nothing but the server must hold it.
        monkeypatch.setattr(api.views, "version", lambda _text: given.pop())

    return replace


@asynccontextmanager
async def asking(server):
    """A client that has asked for the version."""
    async with connected(*server.address) as (reader, writer):
        writer.write(b"GET /v1/version HTTP/1.1\r\nHost: x\r\n\r\n")
        yield reader, writer


def until(ended, piece):
    """`piece` for ever; `ended` tells when nobody wants more."""
    try:
        while True:
            yield piece
    finally:
        ended.set()


async def test_small_pieces_become_one_reply_with_its_length(get, pieces):
    pieces(piece for piece in ["a", "", "ü"])
    reply = await get("/v1/version", version="1.1")
    assert (reply.body, reply.headers["content-length"]) == ("aü", "3")


async def test_many_pieces_come_in_order(get, pieces):
    pieces(f"{n}," for n in range(50_000))
    assert (await get("/v1/version")).body == "".join(f"{n}," for n in range(50_000))


async def test_others_get_their_turn_while_pieces_are_made(get, pieces, monkeypatch):
    monkeypatch.setattr(sending, "HTTP_TURN_SECONDS", 0.0)
    turns = []

    async def count():
        while True:
            turns.append(len(made))
            await asyncio.sleep(0)

    made = []

    def make():
        for n in range(100):
            made.append(n)
            yield ""

    pieces(make())
    counting = asyncio.ensure_future(count())
    await get("/v1/version")
    counting.cancel()
    assert set(range(1, 100)) <= set(turns)


async def test_a_fault_in_the_middle_cuts_the_connection(server, pieces, caplog):
    def broken():
        yield BIG
        raise ValueError("broken")

    pieces(broken())
    async with asking(server) as (reader, _):
        received = await reader.read()
    assert BIG.encode() in received
    assert not received.endswith(b"0\r\n\r\n")  # What would say that the body is complete.
    assert "ValueError: broken" in caplog.text


async def test_a_client_that_takes_nothing_is_cut_off(server, pieces, monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(sending, "HTTP_STALL_SECONDS", 0.1)
    ended = asyncio.Event()
    pieces(until(ended, BIG))
    async with asking(server), asyncio.timeout(10):
        await ended.wait()
    assert "takes its reply too slowly" in caplog.text


async def test_a_reply_may_take_only_so_long(server, pieces, monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(sending, "HTTP_REPLY_SECONDS", 0.1)
    pieces(until(asyncio.Event(), ""))
    async with asking(server) as (reader, _):
        assert b"500" in await reader.readline()
    assert "takes its reply too slowly" in caplog.text


async def test_a_client_that_goes_away_is_no_fault(server, get, pieces, caplog):
    ended = asyncio.Event()
    pieces(until(ended, BIG))
    async with asking(server) as (reader, writer):
        await reader.read(1000)
        writer.transport.abort()
        async with asyncio.timeout(10):
            await ended.wait()
    assert not [one for one in caplog.records if one.levelno >= logging.WARNING]
    assert (await get("/healthz")).status == 200
