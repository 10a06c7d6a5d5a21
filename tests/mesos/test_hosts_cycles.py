"""What a look-up leaves to the garbage collector: nothing, however it ends."""

import asyncio
import contextlib
import socket

import pytest
from tests.cycles import left_by

from mesos_dns.mesos import hosts
from mesos_dns.mesos.hosts import HostLookup, look_up


def found(*_, **__):
    return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 0))]


def unknown(*_, **__):
    raise socket.gaierror(socket.EAI_NONAME, "no such name")


def no_name(*_, **__):
    return "x\udc80".encode()


@pytest.mark.parametrize("resolve", [found, unknown, no_name])
async def test_a_look_up(monkeypatch, resolve):
    async def once():
        with contextlib.suppress(OSError):
            await hosts._in_thread("node1")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    assert await left_by(once) == {}
    assert await left_by(lambda: look_up({"node1", "node2"})) == {}


async def test_there_can_be_no_thread(monkeypatch):
    class NoThread:
        def __init__(self, **_):
            pass

        def start(self):
            raise RuntimeError("can't start new thread")

    async def once():
        with contextlib.suppress(RuntimeError):
            await hosts._in_thread("node1")

    monkeypatch.setattr(hosts.threading, "Thread", NoThread)
    assert await left_by(once) == {}


@pytest.mark.parametrize("resolve", [found, unknown])
async def test_looking_up_in_the_background(monkeypatch, caplog, resolve):
    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    lookup = HostLookup(lambda _: None, refresh=0.001)
    lookup.start()
    lookup.want({f"node{n}" for n in range(20)})

    async def some_rounds():
        await asyncio.sleep(0.05)
        caplog.clear()

    assert await left_by(some_rounds) == {}
    lookup.stop()


async def test_starting_and_stopping(monkeypatch):
    async def once():
        lookup = HostLookup(lambda _: None)
        lookup.want({"node1", "node2"})
        lookup.start()
        await asyncio.sleep(0.02)
        lookup.stop()
        await asyncio.sleep(0.01)

    monkeypatch.setattr(socket, "getaddrinfo", found)
    assert await left_by(once) == {}
