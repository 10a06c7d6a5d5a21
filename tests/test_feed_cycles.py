"""What the feed between control and a worker leaves to the garbage collector, on both sides.

A worker lives as long as its feed, so what is left at its end is the kernel's business.
"""

import asyncio
import gc
import os
import signal
import socket
import sys

import pytest
from tests.cycles import left_by
from tests.serve.asking import AUTHORITY, edits, make_zone

from mesos_dns import logs
from mesos_dns.names.feed import Begin, Edits, End, FrameReader, Load, Serving, Settings, encode
from mesos_dns.names.zone import Change
from mesos_dns.nursery import Nursery
from mesos_dns.sockets import Sockets
from mesos_dns.supervisor import WorkerPool
from mesos_dns.worker import Feed

SETTINGS = Settings(AUTHORITY, True, True, {}, 5.0, [], 0, False)
SERIAL = 1700000000


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    """Workers find the package that the tests have imported, and leave logging and the collector as they were."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    monkeypatch.setattr(logs, "configure", lambda _verbosity: None)
    yield
    gc.enable()
    gc.unfreeze()


class Control:
    """Control's end of a feed, a plain socket."""

    def __init__(self, sock):
        self._sock = sock
        self._frames = FrameReader()

    async def tell(self, *frames):
        octets = b"".join(frame if isinstance(frame, bytes) else encode(frame) for frame in frames)
        await asyncio.get_running_loop().sock_sendall(self._sock, octets)

    async def serving(self, serial):
        async with asyncio.timeout(10):
            while True:
                for frame in self._frames:
                    if frame == Serving(serial):
                        return
                self._frames.feed(await asyncio.get_running_loop().sock_recv(self._sock, 65536))


async def connected():
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    ended = asyncio.Event()
    feed = Feed(ended)
    transport, _ = await asyncio.get_running_loop().create_connection(lambda: feed, sock=theirs)
    return ours, transport, ended


def snapshot(serial):
    zone = make_zone()
    return [Begin(), *(Load([([owner], zone.node(owner))]) for owner in zone), End(serial)]


async def test_a_worker_that_takes_snapshots_and_changes():
    async def a_change():
        for table in ("a.mesos A 1.2.3.4", "b.mesos A 1.2.3.5"):
            change = list(edits(table))
            await control.tell(Edits(0, change), Edits(SERIAL + 1, []))
            await control.serving(SERIAL + 1)

    async def a_snapshot():
        await control.tell(*snapshot(SERIAL + 2))
        await control.serving(SERIAL + 2)
        # What is frozen is hidden from the collector.
        gc.unfreeze()

    ours, transport, _ = await connected()
    with ours:
        control = Control(ours)
        await control.tell(SETTINGS, *snapshot(SERIAL))
        await control.serving(SERIAL)
        assert await left_by(a_change) == {}
        assert await left_by(a_snapshot) == {}
        transport.close()


async def test_control_and_its_worker(caplog):
    """A worker that is started, fed, killed, started again, fed by changes, and ended."""
    zone = make_zone()
    sockets = Sockets("127.0.0.1", 0)
    nursery = Nursery()

    async def serving(pool, serial):
        async with asyncio.timeout(20):
            while pool.slots[0].serving != serial:
                pool._changed.clear()
                await pool._changed.wait()

    async def life():
        pool = WorkerPool(sockets.provide(1), SETTINGS, zone, nursery)
        pool.start()
        await serving(pool, zone.serial)
        os.kill(pool.slots[0].pid, signal.SIGKILL)
        await serving(pool, 0)
        await serving(pool, zone.serial)
        zone.apply(Change(zone.serial + 1, ()))
        pool.publish(Change(zone.serial, tuple(edits("a.mesos A 1.2.3.4"))))
        await serving(pool, zone.serial)
        await pool.stop()
        caplog.clear()

    assert await left_by(life, times=2, transports=False) == {}
    nursery.close()
    sockets.close()
