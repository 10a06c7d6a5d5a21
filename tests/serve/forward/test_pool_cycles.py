"""What questions from pooled sockets leave to the garbage collector: nothing, however they end."""

import asyncio
import errno
import os
import socket
import sys

import pytest
from tests.cycles import left_by
from tests.serve.asking import ask, parse
from tests.serve.forward.upstreams import NAME, Upstream, honest, silent, unused_address

from mesos_dns.serve.forward import pool as pooling
from mesos_dns.serve.forward.options import Upstream as Server
from mesos_dns.serve.forward.pool import UdpPool
from mesos_dns.serve.forward.wheel import TICK_SECONDS

OCTETS = ask(NAME)
END = parse(OCTETS).question_end


class Client:
    """As a forwarder's question is: it holds the handle, and the handle its methods."""

    def __init__(self, pool, address, within):
        self._over = asyncio.Event()
        deadline = asyncio.get_running_loop().time() + within
        self.handle = pool.ask(Server(*address), OCTETS, END, self.reply, self.error, deadline)

    def reply(self, _):
        self._over.set()
        return True

    def error(self, _):
        self._over.set()

    async def over(self):
        await self._over.wait()


async def left(address, *, within=5.0, most=10):
    async def operation():
        pool = UdpPool(most=most, most_per_upstream=most)
        async with asyncio.timeout(10):
            await Client(pool, address, within).over()
        pool.close()

    return await left_by(operation)


async def test_an_answer():
    async with Upstream(honest) as upstream:
        assert await left(upstream.address) == {}


async def test_silence():
    async with Upstream(silent) as upstream:
        assert await left(upstream.address, within=2 * TICK_SECONDS) == {}


async def test_nobody_listens():
    assert await left(await unused_address()) == {}


async def test_no_way_to_the_upstream():
    assert await left(("127.0.0.1", 0)) == {}


async def test_no_room():
    assert await left(("127.0.0.1", 53), most=0) == {}


async def test_no_files(monkeypatch):
    def refuse(*_):
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    fake = type(sys)("socket")
    vars(fake).update(vars(socket), socket=refuse)
    monkeypatch.setattr(pooling, "socket", fake)
    assert await left(("127.0.0.1", 53)) == {}


@pytest.mark.parametrize("ends", ["cancel", "close"])
async def test_the_client_loses_interest(ends):
    async def operation():
        pool = UdpPool(most=10, most_per_upstream=10)
        client = Client(pool, upstream.address, 5.0)
        if ends == "cancel":
            client.handle.cancel()
        pool.close()

    async with Upstream(silent) as upstream:
        assert await left_by(operation) == {}


async def test_a_reply_that_the_client_fails_on(caplog):
    async def operation():
        pool = UdpPool(most=10, most_per_upstream=10)
        client = Client(pool, upstream.address, 2 * TICK_SECONDS)
        client.handle.on_reply = lambda _: 1 // 0
        async with asyncio.timeout(10):
            await client.over()
        pool.close()
        # What pytest has of it leads to the frames.
        caplog.clear()

    async with Upstream(honest) as upstream:
        assert await left_by(operation) == {}
