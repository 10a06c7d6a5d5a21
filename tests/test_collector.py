import asyncio
import gc
import weakref

import pytest

from mesos_dns import collector
from mesos_dns.concurrency import let_go, spawn


@pytest.fixture(autouse=True)
def as_before():
    """The collector as it was."""
    thresholds = gc.get_threshold()
    gc.collect()
    yield
    gc.set_threshold(*thresholds)
    gc.enable()


class Thing:
    """Something that refers to itself."""

    def __init__(self):
        self.itself = self


def test_tuned_it_is_on():
    collector.tune()
    assert gc.isenabled()


def test_what_dies_young_is_found_while_objects_are_made():
    collector.tune()
    dead = weakref.ref(Thing())
    kept = [[] for _ in range(2 * collector.YOUNGEST)]
    assert dead() is None
    assert kept


def test_what_lived_a_little_is_found_too():
    collector.tune()
    thing = Thing()
    kept = [[] for _ in range(2 * collector.YOUNGEST)]
    dead = weakref.ref(thing)
    del thing
    kept += [[] for _ in range(2 * collector.YOUNGEST * collector.ROUNDS)]
    assert dead() is None


def test_what_is_set_aside_is_never_looked_at():
    thing = Thing()
    collector.set_aside()
    alive = weakref.ref(thing)
    del thing
    gc.collect()
    assert alive() is not None
    gc.unfreeze()
    gc.collect()
    assert alive() is None
    gc.freeze()  # What the tests have imported.


async def test_now_and_then_all_that_is_new_is_looked_at():
    collector.tune()
    thing = Thing()
    gc.collect()  # Now it is among the oldest.
    died = asyncio.Event()
    weakref.finalize(thing, died.set)
    del thing
    looking = spawn(collector.look_now_and_then(0), name="look")
    async with asyncio.timeout(10):
        await died.wait()
    assert not looking.done()
    looking.cancel()
    assert gc.get_freeze_count() > 0


async def test_a_transport_that_was_let_go_is_gone_without_the_collector():
    class Protocol(asyncio.Protocol):
        def __init__(self):
            self.lost = asyncio.Event()

        def connection_made(self, transport):
            self.transport = transport

        def connection_lost(self, exc):
            assert exc is None
            gone = weakref.ref(self.transport)
            let_go(self.transport)
            del self.transport
            self.gone = gone
            self.lost.set()

    async def accept(_reader, writer):
        writer.close()

    gc.disable()
    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    async with server:
        _, protocol = await asyncio.get_running_loop().create_connection(Protocol, *server.sockets[0].getsockname())
        del _
        await protocol.lost.wait()
        await asyncio.sleep(0)
        assert protocol.gone() is None
