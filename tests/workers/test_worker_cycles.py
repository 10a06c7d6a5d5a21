"""What the feed between control and a worker leaves to the garbage collector, on both sides.

A worker lives as long as its feed, so what is left at its end is the kernel's business.
"""

import asyncio
import os
import signal
import socket
import sys

import pytest
from tests.cycles import left_by, settled
from tests.serve.asking import AUTHORITY, edits, make_zone

from mesos_dns import collector, logs
from mesos_dns.serve.forward.options import ForwardOptions
from mesos_dns.sockets import Sockets
from mesos_dns.workers.link import ControlLink
from mesos_dns.workers.pool import WorkerPool
from mesos_dns.workers.protocol import Ack, FrameReader, Settings, SnapshotBegin, ZoneUpdate, encode
from mesos_dns.workers.spawner import ProcessSpawner
from mesos_dns.workers.worker import Worker
from mesos_dns.zone.change import ZoneChange
from mesos_dns.zone.zones import Zones

APEX = AUTHORITY.apex
SETTINGS = Settings([AUTHORITY], True, True, ForwardOptions({}, 5.0), [], 0, False)
SERIAL = 1700000000
PATIENCE = 20.0


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    """Workers find the package that the tests have imported, leave logging as it was, and hide nothing from the collector."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    monkeypatch.setattr(logs, "configure", lambda _verbosity, **_: None)
    monkeypatch.setattr(collector, "set_aside", lambda: None)


class Control:
    """Control's end of a feed, a plain socket."""

    def __init__(self, sock):
        self._sock = sock
        self._frames = FrameReader()

    async def tell(self, *frames):
        await asyncio.get_running_loop().sock_sendall(self._sock, b"".join(map(encode, frames)))

    async def serving(self, serial):
        async with asyncio.timeout(PATIENCE):
            while True:
                for frame in self._frames:
                    if frame == Ack(APEX, serial):
                        return
                self._frames.feed(await asyncio.get_running_loop().sock_recv(self._sock, 65536))


def update(serial, *changes, complete=True):
    return ZoneUpdate(APEX, serial, list(changes), complete)


def snapshot(serial):
    zone = make_zone()
    parts = [update(serial, ((owner,), (), zone.rrsets(owner)), complete=False) for owner in zone]
    return [SnapshotBegin(APEX), *parts, update(serial)]


async def test_a_worker_that_takes_snapshots_and_changes():
    async def a_change():
        for table in ("a.mesos A 1.2.3.4", "b.mesos A 1.2.3.5"):
            await control.tell(update(SERIAL + 1, *edits(table)))
            await control.serving(SERIAL + 1)

    async def a_snapshot():
        await control.tell(*snapshot(SERIAL + 2))
        await control.serving(SERIAL + 2)

    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    feed = ControlLink(asyncio.Event(), Worker)
    transport, _ = await asyncio.get_running_loop().create_connection(lambda: feed, sock=theirs)
    with ours:
        control = Control(ours)
        await control.tell(SETTINGS, *snapshot(SERIAL))
        await control.serving(SERIAL)
        assert await left_by(a_change) == {}
        assert await left_by(a_snapshot) == {}
        transport.close()


async def test_control_and_its_worker(caplog):
    """A worker that is started, fed, killed with and without news that it has not read, started again, fed by changes, and ended."""
    zone = make_zone()
    sockets = Sockets("127.0.0.1", 0)
    spawner = ProcessSpawner()

    async def serving(pool, serial):
        async with asyncio.timeout(PATIENCE):
            while pool.workers[0].serving.get(APEX, 0) != serial:
                pool._changed.clear()
                await pool._changed.wait()

    async def life():
        pool = WorkerPool(sockets.provide(1), SETTINGS, Zones([zone]), spawner)
        pool.listen()
        pool.start()
        await serving(pool, zone.serial)
        os.kill(pool.workers[0].pid, signal.SIGKILL)
        await serving(pool, 0)
        await serving(pool, zone.serial)
        change = ZoneChange(zone.serial + 1, list(edits("a.mesos A 1.2.3.4")))
        zone.apply(change)
        pool.publish(APEX, change)
        await serving(pool, zone.serial)
        # Its end of the connection is closed with octets in it: reset.
        os.kill(pool.workers[0].pid, signal.SIGSTOP)
        pool.publish(APEX, ZoneChange(zone.serial, []))
        await settled()
        os.kill(pool.workers[0].pid, signal.SIGKILL)
        await serving(pool, 0)
        await serving(pool, zone.serial)
        await pool.stop()
        caplog.clear()

    assert await left_by(life, times=2, transports=False) == {}
    spawner.close()
    sockets.close()
