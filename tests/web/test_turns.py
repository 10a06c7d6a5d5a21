"""Who is sent everything, and who waits for that. The clients are over TCP, and take nothing."""

import asyncio
import logging
from contextlib import AsyncExitStack

import pytest
from tests.web.given import connected

from mesos_dns.web import api, sending
from mesos_dns.web.sending import Patience
from mesos_dns.web.turns import Turns

BIG = "x" * 70_000


@pytest.fixture
def endless(monkeypatch):
    """Dumps have no end; the value has an entry for each that was begun."""
    begun = asyncio.Queue()

    def pieces(*_):
        begun.put_nowait("a dump")
        while True:
            yield BIG

    monkeypatch.setattr(api, "_dump", pieces)
    return begun


async def asks(stack, server):
    """A client that asks for everything, and never reads."""
    _, writer = await stack.enter_async_context(connected(*server.address))
    writer.write(b"GET /v1/axfr HTTP/1.1\r\nHost: x\r\n\r\n")


async def test_who_takes_nothing_is_cut_off_sooner_if_somebody_waits(server, endless, monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(sending, "HTTP_HURRIED_STALL_SECONDS", 0.1)
    async with AsyncExitStack() as stack, asyncio.timeout(20):
        for _ in range(3):
            await asks(stack, server)
        for _ in range(3):
            await endless.get()
    assert "takes its reply too slowly" in caplog.text


class Reply:
    """What is not taken before `taken` is set."""

    def __init__(self):
        self.taken = asyncio.Event()

    async def write(self, _octets):
        await self.taken.wait()


async def test_each_one_who_waits_gives_no_more_time(monkeypatch):
    monkeypatch.setattr(sending, "HTTP_HURRIED_STALL_SECONDS", 0.1)
    patience = Patience()
    assert patience.until is None
    writing = asyncio.ensure_future(patience.write(Reply(), b"x"))
    await asyncio.sleep(0)
    unhurried = patience.until
    patience.hurry()
    hurried = patience.until
    patience.hurry()
    assert unhurried - 25 > hurried == patience.until
    with pytest.raises(TimeoutError):
        await writing
    assert patience.until is None


async def test_what_is_sent_after_somebody_came_is_hurried_from_the_start(monkeypatch):
    monkeypatch.setattr(sending, "HTTP_HURRIED_STALL_SECONDS", 0.1)
    patience = Patience()
    patience.hurry()
    with pytest.raises(TimeoutError):
        await patience.write(Reply(), b"x")
    reply = Reply()
    reply.taken.set()
    await patience.write(reply, b"x")


async def test_one_at_a_time_and_in_their_order():
    turns = Turns()
    first = await turns.take()
    waiting = [asyncio.ensure_future(turns.take()) for _ in range(2)]
    await asyncio.sleep(0)
    assert repr(turns) == "Turns(under way=True, waiting=2)"
    assert "5 s" in repr(first)
    for behind in (1, 0):
        turns.leave()
        patience = await waiting.pop(0)
        assert repr(turns) == f"Turns(under way=True, waiting={behind})"
        # Whoever has nobody behind has all the time.
        assert ("5 s" in repr(patience)) == bool(behind)
    turns.leave()
    assert repr(turns) == "Turns(under way=False, waiting=0)"
