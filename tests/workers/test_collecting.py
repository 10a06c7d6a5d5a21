"""What workers put down, on its way to control."""

import asyncio
import socket

import pytest
from tests.cycles import left_by
from tests.serve.tcp_bed import until

from mesos_dns.querylog.logs import MAX_PARCEL
from mesos_dns.workers.collecting import Collecting


class Pair:
    def __init__(self):
        ours, self.worker = socket.socketpair(type=socket.SOCK_SEQPACKET)
        self.taken = []
        self.collecting = Collecting(ours, self.taken.append)

    def close(self):
        self.collecting.close()
        self.worker.close()


@pytest.fixture
async def pair():
    pair = Pair()
    yield pair
    pair.close()


async def test_each_parcel_is_one(pair):
    for parcel in (b"a", b"bc", b"d"):
        pair.worker.send(parcel)
    await until(lambda: len(pair.taken) == 3)
    assert pair.taken == [b"a", b"bc", b"d"]


async def test_the_largest_parcel_is_whole(pair):
    pair.worker.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * MAX_PARCEL)
    largest = bytes(range(256)) * ((MAX_PARCEL - 200_000) // 256)
    pair.worker.send(largest)
    await until(lambda: pair.taken)
    assert pair.taken == [largest]


async def test_many_do_not_keep_others_from_their_turn(pair):
    for n in range(100):
        pair.worker.send(b"%d" % n)
    pair.collecting._read()
    assert len(pair.taken) == 32
    await until(lambda: len(pair.taken) == 100)


async def test_a_worker_that_ends_has_said_all(pair):
    pair.worker.send(b"last")
    pair.worker.close()
    await until(lambda: repr(pair.collecting) == "Collecting(closed)")
    assert pair.taken == [b"last"]


async def test_what_waits_is_taken_before_the_end(pair):
    assert repr(pair.collecting) == "Collecting(open)"
    for n in range(50):
        pair.worker.send(b"%d" % n)
    pair.collecting.close()
    pair.collecting.close()
    assert len(pair.taken) == 50


async def test_a_broken_connection_ends_it(pair, monkeypatch, caplog):
    caplog.set_level("INFO")

    class Broken:
        def fileno(self):
            return pair.worker.fileno()

        def recv(self, _):
            raise OSError(104, "Connection reset by peer")

        def close(self):
            pair.worker.close()

    asyncio.get_running_loop().remove_reader(pair.collecting._socket.fileno())
    pair.collecting._socket.close()
    monkeypatch.setattr(pair.collecting, "_socket", Broken())
    pair.collecting._read()
    assert caplog.messages == [
        "what a worker puts down in query logs cannot be taken any more: Connection reset by peer"
    ]
    assert pair.worker.fileno() == -1


async def test_nothing_is_left():
    async def collected():
        pair = Pair()
        pair.worker.send(b"a")
        await until(lambda: pair.taken)
        pair.close()

    assert await left_by(collected) == {}
