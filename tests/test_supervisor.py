"""Workers as processes under their supervisor: fed, killed, stopped, silent. Zone and sockets are real."""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
from collections import Counter

import dns.rcode
import pytest
from tests.serve.asking import AUTHORITY, ask, edits, make_zone, read, texts

from mesos_dns import supervisor
from mesos_dns.limits import EDITS_PER_FRAME, FRAME_OCTETS
from mesos_dns.names.feed import Begin, Edits, End, FrameReader, Load, Serving, Settings, encode
from mesos_dns.names.zone import Change, Edit, Zone
from mesos_dns.nursery import Nursery
from mesos_dns.sockets import Pair, Sockets
from mesos_dns.supervisor import Slot, WorkerPool

NAME = "chronos.marathon.mesos."
SETTINGS = Settings(AUTHORITY, True, True, {}, 5.0, [], 0, False)
PATIENCE = 20.0


def addresses(reply):
    assert reply.rcode() in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN)
    return sorted(text.split()[-1] for text in texts(reply.answer))


class Client:
    """One UDP socket that asks; what it asks while nobody answers waits in the worker's socket."""

    def __init__(self, port):
        self._port = port
        self._sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._sock.connect(("127.0.0.1", port))

    def send(self, name=NAME, number=0):
        self._sock.send(ask(name, identifier=number))

    async def receive(self):
        async with asyncio.timeout(PATIENCE):
            return read(await asyncio.get_running_loop().sock_recv(self._sock, 4096))

    async def udp(self, name=NAME):
        self.send(name)
        return addresses(await self.receive())

    async def tcp(self, name=NAME):
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        with contextlib.closing(writer):
            return await self.over(reader, writer, name)

    @staticmethod
    async def over(reader, writer, name=NAME):
        query = ask(name)
        writer.write(len(query).to_bytes(2) + query)
        async with asyncio.timeout(PATIENCE):
            return addresses(read(await reader.readexactly(int.from_bytes(await reader.readexactly(2)))))

    def close(self):
        self._sock.close()


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    """Workers find the package that the tests have imported."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))


@pytest.fixture
async def said():
    """`await said(text)`: the next log line with that text."""
    lines = asyncio.Queue()
    handler = logging.Handler()
    handler.emit = lambda record: lines.put_nowait(record.getMessage())
    supervisor.log.addHandler(handler)

    async def wait_for(text):
        async with asyncio.timeout(PATIENCE):
            while text not in (line := await lines.get()):
                pass
        return line

    yield wait_for
    supervisor.log.removeHandler(handler)


class Running:
    """A pool over a zone, and a client of its port."""

    def __init__(self, zone, workers, **settings):
        self.zone = zone
        self.sockets = Sockets("127.0.0.1", 0)
        pairs = self.sockets.provide(workers)
        values = {name: getattr(SETTINGS, name) for name in SETTINGS.__struct_fields__}
        self.nursery = Nursery()
        self.pool = WorkerPool(pairs, Settings(**(values | settings)), zone, self.nursery)
        self.client = Client(self.sockets.port)

    @property
    def slot(self):
        return self.pool.slots[0]

    async def serving(self, serial=None, restarts=0):
        """Wait until every worker serves this serial (or any), each after so many restarts at least."""
        async with asyncio.timeout(PATIENCE):
            while not all(
                slot.serving and slot.serving == (serial or slot.serving) and slot.restarts >= restarts
                for slot in self.pool.slots
            ):
                self.pool._changed.clear()
                await self.pool._changed.wait()

    def change(self, table, serial):
        """Add the records of a table to the zone, and publish that."""
        change = tuple(edits(table))
        self.zone.apply(Change(serial or self.zone.serial, change))
        self.pool.publish(Change(serial, change))

    def signal(self, number, slot=0):
        os.kill(self.pool.slots[slot].pid, number)

    async def __aenter__(self):
        self.pool.start()
        return self

    async def __aexit__(self, *_):
        for slot in self.pool.slots:
            if slot.pid is not None:
                os.kill(slot.pid, signal.SIGCONT)
        await self.pool.stop()
        self.nursery.close()
        self.client.close()
        self.sockets.close()


def running(zone=None, workers=1, **settings):
    return Running(make_zone() if zone is None else zone, workers, **settings)


# --- frames ------------------------------------------------------------------------------------


def frames_of(change):
    reader = FrameReader()
    encoded = supervisor._frames(change)
    reader.feed(b"".join(encoded))
    return list(reader), [len(frame) for frame in encoded]


def test_a_small_change_is_one_frame():
    change = Change(7, (Edit(b"\1a\0", 1, (), (b"1234",)),))
    assert frames_of(change)[0] == [Edits(7, [*change.edits])]
    assert frames_of(Change(8, ()))[0] == [Edits(8, [])]


def test_a_large_change_is_cut_and_its_last_frame_has_the_serial():
    nodes = [((b"%d" % n,), ((1, (b"1234",)),)) for n in range(2 * EDITS_PER_FRAME + 1)]
    edits = tuple(Edit(b"%d" % n, 1, (), (b"5678",)) for n in range(EDITS_PER_FRAME + 1))
    frames, _ = frames_of(Change(9, edits, nodes))
    assert [(frame.serial, len(frame.nodes), len(frame.edits)) for frame in frames] == [
        (0, EDITS_PER_FRAME, 0),
        (0, EDITS_PER_FRAME, 0),
        (0, 1, 0),
        (0, 0, EDITS_PER_FRAME),
        (9, 0, 1),
    ]
    assert [node for frame in frames for node in frame.nodes] == nodes


def test_what_takes_long_to_apply_is_cut_further():
    nodes = [((b"%d" % n,), ((1, tuple(b"%04d" % i for i in range(5000))),)) for n in range(10)]
    frames, sizes = frames_of(Change(9, (), nodes))
    assert [node for frame in frames for node in frame.nodes] == nodes
    assert max(sizes) < 2 * FRAME_OCTETS
    assert [frame.serial for frame in frames] == [0] * (len(frames) - 1) + [9]


# --- answering ---------------------------------------------------------------------------------


async def test_workers_answer_from_the_zone_over_udp_and_tcp():
    async with running(workers=2) as it:
        assert len(it.pool.behind()) == 2
        await asyncio.wait_for(it.pool.serving(), PATIENCE)
        assert it.pool.behind() == []
        assert await it.client.udp() == await it.client.tcp() == ["1.2.3.11"]
        assert await it.client.udp("nobody.mesos.") == []
        assert [slot.serving for slot in it.pool.slots] == [4711, 4711]
        pids = [slot.pid for slot in it.pool.slots]
        slots = ", ".join(f"Slot({n}, pid={pid}, serving=4711, restarts=0)" for n, pid in enumerate(pids))
        assert repr(it.pool) == f"WorkerPool([{slots}])"
    assert [(slot.pid, slot.serving) for slot in it.pool.slots] == [(None, 0)] * 2
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


async def test_a_change_reaches_all_workers():
    async with running(workers=2) as it:
        await it.serving()
        it.change(f"{NAME} A 1.2.3.12", 0)
        it.change("new.mesos A 1.2.3.13", 4712)
        await it.serving(4712)
        for _ in range(8):  # from another port each time: both workers
            other = Client(it.sockets.port)
            with contextlib.closing(other):
                assert await other.udp() == ["1.2.3.11", "1.2.3.12"]
                assert await other.udp("new.mesos.") == ["1.2.3.13"]


async def test_counters_are_summed_over_the_lives_of_a_worker():
    async with running() as it:
        await it.serving()
        await it.client.udp()
        await it.client.udp("nobody.mesos.")
        first = it.slot.pid
        it.signal(signal.SIGTERM)  # it drains and reports for the last time
        await it.serving(restarts=1)
        assert it.slot.pid != first
        asked = it.slot.total_counters()
        assert asked["misses"] + asked["hits"] == 2
        await it.client.udp()
        await it.pool.stop()
        asked = it.slot.total_counters()
        assert asked["misses"] + asked["hits"] == 3
        assert it.slot.counters == Counter()


# --- before and while the first state is taken ---------------------------------------------------


async def test_before_the_first_state_names_of_the_zone_are_not_known():
    async with running(Zone(AUTHORITY)) as it:
        it.client.send()
        assert (await it.client.receive()).rcode() == dns.rcode.SERVFAIL
        assert it.pool.behind() == [it.slot]
        it.change(f"{NAME} A 1.2.3.11", 0)
        it.change("new.mesos A 1.2.3.13", 1)
        await it.serving(1)
        assert await it.client.udp() == ["1.2.3.11"]
        assert await it.client.udp("new.mesos.") == ["1.2.3.13"]


async def test_with_hold_nothing_is_answered_until_then():
    async with running(Zone(AUTHORITY), hold=True) as it:
        it.client.send()
        it.change(f"{NAME} A 1.2.3.11", 1)
        assert addresses(await it.client.receive()) == ["1.2.3.11"]


# --- killed ------------------------------------------------------------------------------------


async def test_a_killed_worker_is_replaced_within_a_second_and_what_was_asked_meanwhile_is_answered():
    async with running() as it:
        await it.serving()
        it.signal(signal.SIGSTOP)  # it takes no more from its sockets
        for number in range(20):
            it.client.send(number=number)
        waiting = await asyncio.open_connection("127.0.0.1", it.sockets.port)
        asked = asyncio.ensure_future(it.client.over(*waiting))
        began = asyncio.get_running_loop().time()
        it.signal(signal.SIGKILL)
        it.change("new.mesos A 1.2.3.13", 4712)
        replies = [await it.client.receive() for _ in range(20)]
        assert asyncio.get_running_loop().time() - began < 1.0
        assert sorted(reply.id for reply in replies) == list(range(20))
        assert all(addresses(reply) == ["1.2.3.11"] for reply in replies)
        assert await asked == ["1.2.3.11"]
        waiting[1].close()
        await it.serving(4712, restarts=1)
        assert await it.client.udp("new.mesos.") == ["1.2.3.13"]


async def test_a_worker_that_dies_again_and_again_is_restarted_ever_more_slowly(monkeypatch, said):
    monkeypatch.setattr(supervisor.sys, "executable", "/bin/false")
    monkeypatch.setattr(supervisor, "RESTART_SECONDS", (0.0, 0.1, 0.2))
    async with running():
        for delay in ("0.0", "0.1", "0.2", "0.2"):
            assert await said("ended unasked") == f"worker 0 ended unasked; another starts in {delay} s"


async def test_a_worker_that_lived_for_long_is_restarted_at_once(monkeypatch, said):
    monkeypatch.setattr(supervisor.sys, "executable", "/bin/false")
    monkeypatch.setattr(supervisor, "HEALTHY_SECONDS", 0.0)
    async with running():
        for _ in range(3):
            assert await said("ended unasked") == "worker 0 ended unasked; another starts in 0.0 s"


async def test_a_worker_that_cannot_be_started_is_said_and_tried_again(monkeypatch, said):
    python = sys.executable
    monkeypatch.setattr(supervisor.sys, "executable", "/nowhere/python")
    async with running() as it:
        assert "No such file or directory: '/nowhere/python'" in await said("worker 0 cannot be started")
        monkeypatch.setattr(supervisor.sys, "executable", python)
        await it.serving()
        assert await it.client.udp() == ["1.2.3.11"]


# --- stopped -----------------------------------------------------------------------------------


async def test_stop_lets_workers_answer_what_has_arrived():
    async with running() as it:
        await it.serving()
        it.signal(signal.SIGSTOP)
        for number in range(20):
            it.client.send(number=number)
        stopping = asyncio.ensure_future(it.pool.stop())
        await asyncio.sleep(0)  # SIGTERM is sent
        it.signal(signal.SIGCONT)
        await asyncio.wait_for(stopping, PATIENCE)
        assert sorted([(await it.client.receive()).id for _ in range(20)]) == list(range(20))
        assert it.slot.restarts == 0


async def test_a_worker_that_ignores_sigterm_is_killed(monkeypatch, caplog):
    monkeypatch.setattr(supervisor, "STOP_SECONDS", 0.1)
    async with running() as it:
        await it.serving()
        pid = it.slot.pid
        it.signal(signal.SIGSTOP)
        await asyncio.wait_for(it.pool.stop(), 5)
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    assert "worker 0 does not end on SIGTERM; it is killed" in caplog.text


async def test_a_pool_can_be_stopped_while_its_workers_start():
    async with running(workers=2) as it:
        await asyncio.sleep(0)
        await asyncio.wait_for(it.pool.stop(), PATIENCE)
        assert [(slot.pid, slot.restarts) for slot in it.pool.slots] == [(None, 0)] * 2
        assert [task for task in asyncio.all_tasks() if "worker" in task.get_name()] == []


async def test_a_pool_can_be_stopped_while_a_restart_is_pending(monkeypatch, said):
    monkeypatch.setattr(supervisor.sys, "executable", "/bin/false")
    monkeypatch.setattr(supervisor, "RESTART_SECONDS", (3600.0,))
    async with running() as it:
        await said("ended unasked")
        await asyncio.wait_for(it.pool.stop(), PATIENCE)
        assert it.slot.restarts == 1


async def test_an_empty_pool_serves():
    pool = WorkerPool([], SETTINGS, Zone(AUTHORITY), Nursery())
    pool.start()
    await pool.serving()
    pool.publish(Change(1, tuple(edits(f"{NAME} A 1.2.3.4"))))
    await pool.stop()
    assert repr(pool) == "WorkerPool([])"


# --- the feed, read here instead of in a worker --------------------------------------------------


class Reader:
    """A worker's end of the feed, which reads only when it is told to."""

    def __init__(self, sock):
        self._sock = sock
        self._frames = FrameReader()

    async def until(self, wanted):
        """All frames up to the first for which `wanted` holds."""
        loop, out = asyncio.get_running_loop(), []
        async with asyncio.timeout(PATIENCE):
            while True:
                for frame in self._frames:
                    out.append(frame)
                    if wanted(frame):
                        return out
                octets = await loop.sock_recv(self._sock, 65536)
                assert octets, "the feed ended"
                self._frames.feed(octets)


@contextlib.asynccontextmanager
async def feeding(zone):
    """A slot that feeds a reader instead of a process."""
    with socket.socket() as one, socket.socket() as two:
        slot = Slot(0, Pair(one, two), SETTINGS, zone, Nursery(), lambda: None)
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        _, writer = await asyncio.open_connection(sock=ours)
        writer.transport.set_write_buffer_limits(1)  # `drain` waits for the reader, not for 64 KiB
        task = asyncio.ensure_future(slot._feed(writer))
        try:
            yield slot, Reader(theirs), task
        finally:
            task.cancel()
            writer.close()
            theirs.close()


async def test_a_worker_that_comes_while_the_zone_is_behind_waits_for_the_whole():
    zone = Zone(AUTHORITY)
    zone.behind = True
    async with feeding(zone) as (slot, reader, _):
        await reader.until(lambda frame: isinstance(frame, Settings))
        # What others are given now comes to it with its snapshot.
        slot.push([encode(Edits(0, [], [((b"\1a\5mesos\0",), ((1, (b"1234",)),))]))])
        slot.push([encode(Edits(7, []))])
        assert (slot._stale, len(slot._backlog)) == (True, 0)
        zone.apply(Change(7, (Edit(b"\1a\5mesos\0", 1, (), (b"1234",)),)))
        zone.behind = False
        slot.push([encode(Edits(0, []))])
        frames = await reader.until(lambda frame: isinstance(frame, End))
    assert frames == [Begin(), Load([((b"\1a\5mesos\0",), ((1, (b"1234",)),))]), End(7)]


def big_zone(owners=4000):
    zone = Zone(AUTHORITY)
    table = "\n".join(f"name-{n}.mesos A 10.0.{n // 250}.{n % 250}" for n in range(owners))
    zone.apply(Change(4711, tuple(edits(table))))
    return zone


def replay(frames):
    """The zone of a worker that took these frames."""
    zone = None
    for frame in frames:
        match frame:
            case Begin():
                zone = Zone(AUTHORITY)
            case Load(nodes):
                zone.apply(Change(0, (), nodes))
            case Edits(serial, changes, nodes):
                zone.apply(Change(serial or zone.serial, tuple(changes), nodes))
            case End(serial):
                zone.apply(Change(serial, ()))
    return zone


def everything(zone):
    return {(owner, rrtype, frozenset(rdatas)) for owner in zone for rrtype, rdatas in zone.node(owner)}


def publish(zone, slots, table, serial, *, remove=False):
    change = tuple(edits(table))
    if remove:
        change = tuple(Edit(edit.owner, edit.rrtype, edit.added, ()) for edit in change)
    zone.apply(Change(serial, change))
    for slot in slots:
        slot.push([encode(Edits(serial, list(change)))])


def reaches(serial):
    return lambda frame: isinstance(frame, Edits | End) and frame.serial == serial


async def test_changes_while_the_snapshot_is_sent_follow_it():
    zone = big_zone()
    async with feeding(zone) as (slot, reader, _):
        begun = await reader.until(lambda frame: isinstance(frame, Begin))
        assert isinstance(begun[0], Settings)
        assert begun[0].hold, "others answer, or the former worker's queries wait"
        publish(zone, [slot], "early.mesos A 1.1.1.1", 4712)
        publish(zone, [slot], "name-0.mesos A 10.0.0.0", 4713, remove=True)
        publish(zone, [slot], "name-3999.mesos A 10.0.15.249", 4714, remove=True)
        publish(zone, [slot], "early.mesos A 1.1.1.1", 4715, remove=True)
        publish(zone, [slot], "early.mesos A 1.1.1.2", 4716)
        frames = await reader.until(reaches(4716))
    assert End(4711) in frames
    assert [frame.serial for frame in frames if isinstance(frame, Edits)] == [4712, 4713, 4714, 4715, 4716]
    assert everything(replay(begun + frames)) == everything(zone)


async def test_the_snapshot_of_a_state_that_is_being_taken_stays_open_until_the_serial_comes():
    zone = big_zone()
    zone.apply(Change(0, ()))
    async with feeding(zone) as (slot, reader, _):
        begun = await reader.until(lambda frame: isinstance(frame, Begin))
        assert not begun[0].hold
        publish(zone, [slot], "late.mesos A 1.1.1.1", 0)
        publish(zone, [slot], "last.mesos A 1.1.1.1", 4711)
        frames = await reader.until(reaches(4711))
    assert not any(isinstance(frame, End) for frame in frames)
    assert everything(replay(begun + frames)) == everything(zone)


async def test_a_worker_that_reads_too_little_gets_a_new_snapshot(monkeypatch, caplog):
    monkeypatch.setattr(supervisor, "MAX_FEED_BACKLOG", 1000)
    zone = big_zone()
    async with feeding(zone) as (slot, reader, _):
        begun = await reader.until(lambda frame: isinstance(frame, Begin))
        for n in range(1, 101):
            publish(zone, [slot], f"new-{n}.mesos A 1.1.1.1", 4711 + n)
        assert not slot.wants_changes
        assert slot._backlog_size == 0
        frames = await reader.until(reaches(4811))
        assert slot.wants_changes
        publish(zone, [slot], "later.mesos A 1.1.1.1", 4812)
        frames += await reader.until(reaches(4812))
    assert frames.count(Begin()) == 1
    assert "worker 0 does not read its feed; it gets a new snapshot" in caplog.text
    assert everything(replay(begun + frames)) == everything(zone)


async def test_the_backlog_is_counted_off_as_it_is_sent():
    zone = big_zone(10)
    async with feeding(zone) as (slot, reader, _):
        await reader.until(reaches(4711))
        for n in range(1, 101):
            publish(zone, [slot], f"new-{n}.mesos A 1.1.1.1", 4711 + n)
        assert slot._backlog_size > 1000
        await reader.until(reaches(4811))
        assert slot._backlog_size == 0


async def test_a_feed_that_breaks_ends_quietly(caplog):
    async with feeding(big_zone()) as (slot, reader, task):
        reader._sock.close()
        await asyncio.wait_for(task, PATIENCE)
        slot.push([b"x"])
    assert caplog.text == ""


async def test_a_large_change_is_cut_into_frames_that_take_a_worker_a_millisecond():
    zone = Zone(AUTHORITY)
    async with running(zone) as it:
        frames = []
        it.slot.push = frames.extend
        it.slot._stale = False
        table = "\n".join(f"name-{n}.mesos A 10.0.{n // 250}.{n % 250}" for n in range(1000))
        it.pool.publish(Change(5, tuple(edits(table))))
        it.pool.publish(Change(6, ()))
    reader = FrameReader()
    reader.feed(b"".join(frames))
    assert [(frame.serial, len(frame.edits)) for frame in reader] == [(0, EDITS_PER_FRAME)] * (
        1000 // EDITS_PER_FRAME - 1
    ) + [
        (5, EDITS_PER_FRAME),
        (6, 0),
    ]


async def test_what_a_worker_says_that_is_no_frame_is_told(caplog):
    with socket.socket() as one, socket.socket() as two:
        news = []
        slot = Slot(3, Pair(one, two), SETTINGS, make_zone(), Nursery(), lambda: news.append(slot.serving))
        reader = asyncio.StreamReader()
        reader.feed_data(encode(Serving(7)) + b"\0\0\0\1\xc1")
        await slot._listen(reader)
    assert news == [7]
    assert "worker 3 cannot be understood" in caplog.text
