"""What a supervisor feeds to a worker, read here instead of in one."""

import asyncio
import contextlib
import socket

import pytest
from tests.serve.asking import AUTHORITY, edits, make_zone
from tests.zone.changes import edit

from mesos_dns.serve.forward.options import ForwardOptions
from mesos_dns.sockets import Pair
from mesos_dns.workers import handle as module
from mesos_dns.workers.handle import WorkerHandle
from mesos_dns.workers.propagation import Propagation
from mesos_dns.workers.protocol import Ack, FrameReader, Settings, SnapshotBegin, ZoneUpdate, encode
from mesos_dns.workers.replication import CHANGES_PER_FRAME, FRAME_OCTETS, update_frames
from mesos_dns.zone.change import ZoneChange
from mesos_dns.zone.zone import Zone
from mesos_dns.zone.zones import Zones

APEX = AUTHORITY.apex
SETTINGS = Settings([AUTHORITY], True, True, ForwardOptions({}, 5.0), [], 0, False)
PATIENCE = 20.0
#: No process is started here.
SPAWNER = None


# --- frames ------------------------------------------------------------------------------------


def frames_of(change):
    reader = FrameReader()
    encoded = update_frames(APEX, change)
    reader.feed(b"".join(encoded))
    return list(reader), [len(frame) for frame in encoded]


def test_a_small_change_is_one_frame():
    change = ZoneChange(7, [edit(b"\1a\0", 1, (), (b"1234",))])
    assert frames_of(change)[0] == [ZoneUpdate(APEX, 7, change.changes, True)]
    assert frames_of(ZoneChange(8, []))[0] == [ZoneUpdate(APEX, 8, [], True)]
    assert frames_of(ZoneChange(9, [], complete=False))[0] == [ZoneUpdate(APEX, 9, [], False)]


@pytest.mark.parametrize("complete", [True, False])
def test_a_large_change_is_cut_and_only_its_last_frame_may_complete_it(complete):
    changes = [edit(b"%d" % n, 1, (), (b"1234",)) for n in range(2 * CHANGES_PER_FRAME + 1)]
    frames, _ = frames_of(ZoneChange(9, changes, complete))
    assert [(frame.serial, len(frame.changes), frame.complete) for frame in frames] == [
        (9, CHANGES_PER_FRAME, False),
        (9, CHANGES_PER_FRAME, False),
        (9, 1, complete),
    ]
    assert [change for frame in frames for change in frame.changes] == changes


def test_what_takes_long_to_apply_is_cut_further():
    changes = [edit(b"%d" % n, 1, (), tuple(b"%04d" % i for i in range(5000))) for n in range(10)]
    frames, sizes = frames_of(ZoneChange(9, changes))
    assert [change for frame in frames for change in frame.changes] == changes
    assert max(sizes) < 2 * FRAME_OCTETS
    assert [frame.complete for frame in frames] == [False] * (len(frames) - 1) + [True]


# --- the feed, while the zone changes --------------------------------------------------


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
    """A handle that feeds a reader instead of a process."""
    with socket.socket() as one, socket.socket() as two:
        handle = WorkerHandle(0, Pair(one, two), SETTINGS, Zones([zone]), SPAWNER, lambda: None, Propagation())
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        _, writer = await asyncio.open_connection(sock=ours)
        writer.transport.set_write_buffer_limits(1)  # `drain` waits for the reader, not for 64 KiB
        task = asyncio.ensure_future(handle._replicate(writer))
        try:
            yield handle, Reader(theirs), task
        finally:
            task.cancel()
            writer.close()
            theirs.close()


async def test_a_worker_that_comes_while_the_zone_is_behind_waits_for_the_whole():
    zone = Zone(AUTHORITY)
    zone.behind = True
    record = edit(b"\1a\5mesos\0", 1, (), (b"1234",))
    async with feeding(zone) as (handle, reader, _):
        await reader.until(lambda frame: isinstance(frame, Settings))
        # What others are given now comes to it with its snapshot.
        handle.push([encode(ZoneUpdate(APEX, 7, [record], False))])
        handle.push([encode(ZoneUpdate(APEX, 7, [], True))])
        assert (handle._stale, len(handle._backlog)) == (True, 0)
        zone.apply(ZoneChange(7, [record]))
        zone.behind = False
        handle.push([encode(ZoneUpdate(APEX, 7, [], False))])
        frames = await reader.until(reaches(7))
    assert frames == [SnapshotBegin(APEX), ZoneUpdate(APEX, 7, [record], False), ZoneUpdate(APEX, 7, [], True)]


def big_zone(owners=4000):
    zone = Zone(AUTHORITY)
    table = "\n".join(f"name-{n}.mesos A 10.0.{n // 250}.{n % 250}" for n in range(owners))
    zone.apply(ZoneChange(4711, tuple(edits(table))))
    return zone


def replay(frames):
    """The zone of a worker that took these frames."""
    zone = None
    for frame in frames:
        match frame:
            case SnapshotBegin():
                zone = Zone(AUTHORITY)
            case ZoneUpdate(_, serial, changes, complete):
                zone.apply(ZoneChange(serial, changes, complete))
    return zone


def everything(zone):
    return {(owner, rrtype, frozenset(rdataset)) for owner in zone for rrtype, rdataset in zone.rrsets(owner)}


def publish(zone, handles, table, serial, *, remove=False, complete=True):
    change = tuple(edits(table))
    if remove:
        change = tuple((owners, added, ()) for owners, _, added in change)
    zone.apply(ZoneChange(serial, change, complete))
    for handle in handles:
        handle.push([encode(ZoneUpdate(APEX, serial, list(change), complete))])


def reaches(serial):
    return lambda frame: isinstance(frame, ZoneUpdate) and frame.complete and frame.serial == serial


async def test_changes_while_the_snapshot_is_sent_follow_it():
    zone = big_zone()
    async with feeding(zone) as (handle, reader, _):
        begun = await reader.until(lambda frame: isinstance(frame, SnapshotBegin))
        assert isinstance(begun[0], Settings)
        assert begun[0].hold, "others answer, or the former worker's queries wait"
        publish(zone, [handle], "early.mesos A 1.1.1.1", 4712)
        publish(zone, [handle], "name-0.mesos A 10.0.0.0", 4713, remove=True)
        publish(zone, [handle], "name-3999.mesos A 10.0.15.249", 4714, remove=True)
        publish(zone, [handle], "early.mesos A 1.1.1.1", 4715, remove=True)
        publish(zone, [handle], "early.mesos A 1.1.1.2", 4716)
        frames = await reader.until(reaches(4716))
    assert [frame.serial for frame in frames if frame.complete] == [4711, 4712, 4713, 4714, 4715, 4716]
    assert everything(replay(begun + frames)) == everything(zone)


async def test_the_snapshot_of_a_state_that_is_being_taken_stays_open_until_the_serial_comes():
    zone = big_zone()
    zone.apply(ZoneChange(0, ()))
    async with feeding(zone) as (handle, reader, _):
        begun = await reader.until(lambda frame: isinstance(frame, SnapshotBegin))
        assert not begun[0].hold
        publish(zone, [handle], "late.mesos A 1.1.1.1", 4711, complete=False)
        publish(zone, [handle], "last.mesos A 1.1.1.1", 4711)
        frames = await reader.until(reaches(4711))
    assert [frame.serial for frame in frames if frame.complete] == [4711]
    assert everything(replay(begun + frames)) == everything(zone)


async def test_a_worker_that_reads_too_little_gets_a_new_snapshot(monkeypatch, caplog):
    monkeypatch.setattr(module, "MAX_BACKLOG", 1000)
    zone = big_zone()
    async with feeding(zone) as (handle, reader, _):
        begun = await reader.until(lambda frame: isinstance(frame, SnapshotBegin))
        for n in range(1, 101):
            publish(zone, [handle], f"new-{n}.mesos A 1.1.1.1", 4711 + n)
        assert not handle.wants_changes
        assert handle._backlog_size == 0
        frames = await reader.until(reaches(4811))
        assert handle.wants_changes
        publish(zone, [handle], "later.mesos A 1.1.1.1", 4812)
        frames += await reader.until(reaches(4812))
    assert frames.count(SnapshotBegin(APEX)) == 1
    assert "worker 0 does not read what it is told; it gets a new snapshot" in caplog.text
    assert everything(replay(begun + frames)) == everything(zone)


async def test_the_backlog_is_counted_off_as_it_is_sent():
    zone = big_zone(10)
    async with feeding(zone) as (handle, reader, _):
        await reader.until(reaches(4711))
        for n in range(1, 101):
            publish(zone, [handle], f"new-{n}.mesos A 1.1.1.1", 4711 + n)
        assert handle._backlog_size > 1000
        await reader.until(reaches(4811))
        assert handle._backlog_size == 0


async def test_a_feed_that_breaks_ends_quietly(caplog):
    async with feeding(big_zone()) as (handle, reader, task):
        reader._sock.close()
        await asyncio.wait_for(task, PATIENCE)
        handle.push([b"x"])
    assert caplog.text == ""


async def test_what_a_worker_says_that_is_no_frame_is_told():
    with socket.socket() as one, socket.socket() as two:
        news = []
        handle = WorkerHandle(
            *(3, Pair(one, two), SETTINGS, Zones([make_zone()]), SPAWNER),
            lambda: news.append(dict(handle.serving)),
            Propagation(),
        )
        reader = asyncio.StreamReader()
        reader.feed_data(encode(Ack(APEX, 7)) + b"\0\0\0\1\xc1")
        assert (await handle._listen_to(reader)).startswith("cannot be understood (a frame that is none: ")
    assert news == [{APEX: 7}]
