"""What the detector makes of what ZooKeeper says, with a reader that says what the test wants. A real one: tests/integration."""

import asyncio
import contextlib
import itertools
import json
import logging

import pytest

from mesos_dns.mesos.detect import zookeeper as detecting
from mesos_dns.mesos.detect.ensemble import AbsentError, EnsembleError, Listing
from mesos_dns.mesos.detect.zookeeper import (
    CHANGE_SECONDS,
    FRESH_CLIENT_SECONDS,
    SILENCE_TOLD_SECONDS,
    ZooKeeperMasters,
)
from mesos_dns.mesos.options import ZooKeeperOptions
from mesos_dns.mesos.source import KnownMasters
from mesos_dns.mesos.state import Endpoint

A, B, C, LISTED = (Endpoint(f"10.0.0.{n}", 5050) for n in (1, 2, 3, 9))
PATIENCE = 20.0


def info(master):
    return json.dumps({"pid": f"master@{master}"}).encode()


class Reader:
    """A ZooKeeper as the test says. `nodes`: name -> content, or what is raised; or an exception for the list itself."""

    def __init__(self):
        self.nodes = {}
        self.connected = True
        self.over = self.closed = self.parent_is_there = False
        self.session = self.created = 0
        self.trouble = ""
        self.read = []
        self.looks = asyncio.Queue()
        self.stir = None
        self.numbers = itertools.count()

    def shows(self, *masters):
        """These masters stand for election, in this order, each anew."""
        self.nodes = {f"json.info_{next(self.numbers):010}": info(master) for master in masters}
        if self.stir:
            self.stir()

    async def children(self, _):
        self.looks.put_nowait(None)
        if isinstance(self.nodes, Exception):
            raise self.nodes
        return Listing(list(self.nodes), self.created)

    async def exists(self, _):
        return self.parent_is_there

    async def content(self, path):
        name = path.rpartition("/")[2]
        self.read.append(name)
        if isinstance(self.nodes[name], Exception):
            raise self.nodes[name]
        return self.nodes[name]

    async def close(self):
        self.closed = True


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def reader():
    return Reader()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def detector(reader, clock, monkeypatch):
    """`detector(...)`: one that asks `reader`; it does not rest between two looks."""
    monkeypatch.setattr(detecting, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(detecting, "CHANGE_SECONDS", 0.05)

    def make(*listed, limit=0.0, patience=PATIENCE, connect=None):
        def one(_, stir):
            reader.stir = stir
            return reader

        options = ZooKeeperOptions((Endpoint("zk", 2181),), "/mesos", "me:hunter2", limit)
        return ZooKeeperMasters(options, listed, patience=patience, connect=connect or one, clock=clock)

    return make


async def looked(reader):
    """Wait until it is asked once more, and what came of it is known."""
    while not reader.looks.empty():
        reader.looks.get_nowait()
    reader.stir()
    async with asyncio.timeout(PATIENCE):
        await reader.looks.get()
    for _ in range(10):
        await asyncio.sleep(0)


async def leads(masters, leader):
    """Wait until this one is known as the leader."""
    async with asyncio.timeout(PATIENCE):
        while (known := masters.known).leader != leader:
            await masters.changed(known)


# --- changes ---------------------------------------------------------------------------------------


async def test_what_is_there_is_known_from_the_start(reader, detector):
    reader.shows(B, A)
    async with detector(LISTED) as masters:
        assert masters.known == KnownMasters((B, A), B)
    assert reader.closed
    assert masters.known == KnownMasters((B, A), B)


async def test_the_first_change_is_told_at_once_and_the_next_ones_together(reader, detector, clock, monkeypatch):
    monkeypatch.setattr(detecting, "CHANGE_SECONDS", 1000.0)
    clock.now = 5000.0
    async with detector(LISTED) as masters:
        assert masters.known == KnownMasters((LISTED,))
        for one in (A, B, C):
            reader.shows(one)
            await looked(reader)
            assert masters.known.leader == A
        clock.now += 1000.0
        await looked(reader)
        assert masters.known.leader == C


async def test_a_change_that_came_too_soon_is_told_when_it_is_time(reader, detector):
    async with detector() as masters:
        for one in (A, B):
            reader.shows(one)
            await leads(masters, one)


async def test_what_is_over_before_it_could_be_told_is_not_told(reader, detector, clock, monkeypatch):
    monkeypatch.setattr(detecting, "CHANGE_SECONDS", 1000.0)
    clock.now = 5000.0
    async with detector() as masters:
        reader.shows(A)
        await looked(reader)
        telling = asyncio.ensure_future(masters.changed(KnownMasters((A,), A)))
        for one in (B, A):
            reader.shows(one)
            await looked(reader)
        clock.now += 1000.0
        await looked(reader)
        assert not telling.done()
        telling.cancel()


async def test_changes_are_told_once_a_second():
    assert CHANGE_SECONDS == 1.0


async def test_the_content_of_a_node_is_read_once(reader, detector):
    reader.shows(A, B)
    async with detector() as masters:
        await looked(reader)
        await looked(reader)
        assert reader.read == ["json.info_0000000000", "json.info_0000000001"]
        # The same name again: that happens in another life of ZooKeeper only, or if the parent is another.
        reader.nodes["json.info_0000000000"] = info(C)
        await looked(reader)
        assert len(reader.read) == 2
        reader.session = 1
        await asyncio.gather(leads(masters, C), looked(reader))
        reader.nodes["json.info_0000000000"] = info(B)
        reader.created = 1
        await asyncio.gather(leads(masters, B), looked(reader))


async def test_a_node_that_goes_before_it_is_read_is_no_contender(reader, detector):
    reader.shows(A, B)
    reader.nodes["json.info_0000000000"] = AbsentError("there is no such node")
    async with detector() as masters:
        assert masters.known == KnownMasters((B,), B)
        assert masters.status.trouble == ""


async def test_a_parent_that_comes_between_two_questions_is_looked_at(reader, detector):
    reader.nodes = AbsentError("there is no such node")
    reader.parent_is_there = True
    entering = asyncio.ensure_future(detector().__aenter__())
    async with asyncio.timeout(PATIENCE):
        await reader.looks.get()
        await reader.looks.get()
    reader.shows(A)
    masters = await entering
    assert masters.known.leader == A
    await masters.__aexit__(None, None, None)


# --- silence ---------------------------------------------------------------------------------------


async def test_what_is_known_stays_whatever_goes_wrong(reader, detector, clock):
    reader.shows(A)
    async with detector() as masters:
        reader.nodes = EnsembleError("ConnectionLoss")
        clock.now = 107.0
        await looked(reader)
        assert masters.known == KnownMasters((A,), A)
        status = masters.status
        assert (status.connected, status.since, status.trouble, status.leader) == (False, 107.0, "ConnectionLoss", A)
        clock.now = 130.0
        reader.shows(A)
        await looked(reader)
        assert (masters.status.connected, masters.status.since, masters.status.trouble) == (True, 130.0, "")


async def test_a_mistake_is_told_and_the_next_look_goes_well(reader, detector, caplog):
    reader.nodes = ValueError("oops")
    async with detector(patience=0.01) as masters:
        await looked(reader)
        await looked(reader)
        assert caplog.text.count("looking at ZooKeeper failed by an internal error") == 1
        assert "oops" in caplog.text
        reader.shows(A)
        await leads(masters, A)


async def test_silence_is_told_when_it_lasts(reader, detector, clock, caplog):
    reader.shows(A)
    async with detector() as masters:
        reader.connected = False
        reader.trouble = "no route"
        await turns(reader)
        clock.now += SILENCE_TOLD_SECONDS - 0.1
        await turns(reader)
        assert "silent" not in caplog.text
        clock.now += 0.2
        await turns(reader)
        await turns(reader)
        assert caplog.text.count("is silent, the masters known so far are asked (10.0.0.1:5050): no route") == 1
        reader.connected = True
        await looked(reader)
        assert "zk://zk:2181/mesos answers again" in caplog.text
        assert "hunter2" not in caplog.text + repr(masters) + str(masters.status)


async def turns(reader):
    """Let it look, though nobody is asked."""
    reader.stir()
    for _ in range(10):
        await asyncio.sleep(0)


async def test_no_leader_for_too_long_is_told_loudly_and_once(reader, detector, clock, caplog):
    async with detector(LISTED, limit=30.0):
        clock.now += 29.9
        await looked(reader)
        assert [record for record in caplog.records if record.levelno == logging.ERROR] == []
        clock.now += 0.2
        await looked(reader)
        await looked(reader)
        clock.now += 1000.0
        await looked(reader)
        (line,) = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
        assert line == (
            "ZooKeeper zk://zk:2181/mesos has named no leading master for 30 s (ZkDetectionTimeout); "
            "the masters known so far are asked (10.0.0.9:5050): no master has registered there"
        )
        caplog.clear()
        reader.shows(A)
        await looked(reader)
        assert "names a leading master again: 10.0.0.1:5050" in caplog.text
        caplog.clear()
        reader.shows()
        await looked(reader)
        clock.now += 30.1
        await looked(reader)
        assert "has named no leading master for 30 s" in caplog.text


async def test_without_a_limit_it_is_never_told(reader, detector, clock, caplog):
    async with detector(limit=0.0):
        clock.now += 1e6
        await looked(reader)
    assert "has named no leading master" not in caplog.text


async def test_a_node_that_cannot_be_read_is_told_once(reader, detector, caplog):
    reader.shows(A)
    reader.nodes["json.info_0000000007"] = b"x" * 100
    async with detector():
        await looked(reader)
        await looked(reader)
    assert caplog.text.count("the node 'json.info_0000000007' of ZooKeeper") == 1


# --- the client ------------------------------------------------------------------------------------


async def test_a_client_that_ends_is_replaced(detector, monkeypatch):
    monkeypatch.setattr(detecting, "NEW_CLIENT_SECONDS", 0.0)
    first, second = Reader(), Reader()
    first.over, first.trouble = True, "AUTH_FAILED"
    second.shows(A)
    readers = iter([first, second])
    async with detector(connect=lambda *_: next(readers)) as masters:
        assert first.closed
        assert masters.known.leader == A
        assert not second.closed
    assert second.closed


async def test_a_client_that_is_silent_for_long_is_replaced(detector, clock, monkeypatch):
    monkeypatch.setattr(detecting, "NEW_CLIENT_SECONDS", 0.0)
    first, second = Reader(), Reader()
    first.shows(A)
    second.shows(B)
    readers = iter([first, second])

    def connect(_, stir):
        reader = next(readers)
        reader.stir = stir
        return reader

    async with detector(connect=connect) as masters:
        first.connected = False
        await turns(first)
        clock.now += FRESH_CLIENT_SECONDS - 0.1
        await turns(first)
        assert not first.closed
        clock.now += 0.1
        await turns(first)
        await leads(masters, B)
        assert first.closed


async def test_if_no_client_can_be_made_that_is_tried_again(reader, detector, monkeypatch):
    monkeypatch.setattr(detecting, "NEW_CLIENT_SECONDS", 0.0)
    reader.shows(A)
    outcomes = iter([OSError("Too many open files"), RuntimeError("can't start new thread"), reader])

    def connect(*_):
        outcome = next(outcomes)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async with detector(connect=connect) as masters:
        assert masters.known.leader == A


async def test_who_gives_up_entering_leaves_nothing_behind(reader, detector):
    reader.connected = False
    entering = asyncio.ensure_future(detector().__aenter__())
    await asyncio.sleep(0.01)
    entering.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await entering
    assert entering.cancelled()
    assert reader.closed


async def test_it_can_be_entered_again(reader, detector):
    reader.shows(A)
    masters = detector()
    for _ in range(2):
        reader.closed = False
        async with masters:
            assert masters.known.leader == A
            assert masters.status.connected
        assert reader.closed


def test_its_repr(detector):
    assert repr(detector(LISTED)) == (
        "ZooKeeperMasters(zk://zk:2181/mesos, KnownMasters(masters=(Endpoint(host='10.0.0.9', port=5050),), leader=None))"
    )
