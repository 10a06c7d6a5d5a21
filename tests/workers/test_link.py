"""A worker's end of its connection to control: frames in order, reports, silence, the end."""

import asyncio
import gc
import socket

import pytest
from tests.workers.test_worker import APEX, SERIAL, Control, addresses, settings, snapshot, update

from mesos_dns import logs
from mesos_dns.certificates import KeyPair
from mesos_dns.workers import link
from mesos_dns.workers.link import CONTROL_SILENT_SECONDS, ControlLink
from mesos_dns.workers.protocol import (
    Ack,
    Declared,
    Heartbeat,
    Listener,
    Report,
    SnapshotBegin,
    ZoneUpdate,
    encode,
)
from mesos_dns.workers.worker import Worker


@pytest.fixture
async def fed(monkeypatch):
    """A feed in this process, control's end, and the event of its end."""
    monkeypatch.setattr(logs, "configure", lambda _verbosity, **_: None)
    ours, theirs = socket.socketpair()
    ended = asyncio.Event()
    feed = ControlLink(ended, Worker)
    transport, _ = await asyncio.get_running_loop().create_connection(lambda: feed, sock=theirs)
    control = Control(*await asyncio.open_connection(sock=ours))
    yield feed, control, ended
    control.close()
    transport.close()
    gc.enable()  # A worker turns it off.


async def until(ended):
    async with asyncio.timeout(30):
        await ended.wait()


async def test_frames_are_taken_in_order_and_in_pieces(fed):
    feed, control, _ = fed
    stream = b"".join(map(encode, [settings(), *snapshot()]))
    for at in range(0, len(stream), 100):
        control.send(stream[at : at + 100])
        await asyncio.sleep(0)
    assert await control.receive(Ack) == Ack(APEX, SERIAL)
    assert addresses(feed.worker) == ["1.2.3.11"]
    assert repr(feed) == "ControlLink(FrameReader(waiting=0))"


async def test_a_worker_reports_again_and_again_until_it_stops(fed, monkeypatch):
    feed, control, _ = fed
    monkeypatch.setattr(link, "TICK_SECONDS", 0.01)
    control.send(settings(), *snapshot())
    await control.receive(Ack)
    feed.tick()
    # All once, and after that only what has changed.
    assert await control.receive(Report) == Report(feed.worker.counters(), feed.worker.gauges())
    for _ in range(3):
        assert await control.receive(Report) == Report({}, None)
    feed.stop_ticking()
    assert feed._ticking.cancelled()


async def test_a_silent_control_is_told_once_and_so_is_its_return(fed, monkeypatch, caplog):
    feed, control, _ = fed
    monkeypatch.setattr(link, "TICK_SECONDS", 0.01)
    control.send(settings(), *snapshot())
    await control.receive(Ack)
    feed.heard_at -= CONTROL_SILENT_SECONDS + 1
    feed.tick()
    for _ in range(3):
        await control.receive(Report)
    # Heartbeats are taken without a pause between them.
    control.send(Heartbeat(), Heartbeat(), update(SERIAL + 1))
    assert await control.receive(Ack) == Ack(APEX, SERIAL + 1)
    feed.stop_ticking()
    assert [record.getMessage() for record in caplog.records if "control" in record.getMessage()] == [
        "control has said nothing for 16 s: names stay as they are until it does",
        "control is heard again",
    ]


@pytest.mark.parametrize(
    "frames",
    [
        [SnapshotBegin(APEX)],
        [b"\0\0\0\1\xc1"],
        [b"\xff\xff\xff\xff"],
        [settings(), SnapshotBegin(b"\5other\0")],
        [settings(), ZoneUpdate(b"\5other\0", 1, [], True)],
        [settings(), Ack(APEX, 1)],
    ],
)
async def test_a_feed_that_makes_no_sense_ends_the_worker(fed, caplog, frames):
    _, control, ended = fed
    control.send(*frames)
    await until(ended)
    assert "worker ends, control will start another" in caplog.text


async def test_settings_that_cannot_be_followed_end_the_worker(fed, caplog):
    _, control, ended = fed
    control.send(settings([Listener(9999, udp=True)]))
    await until(ended)
    assert "Bad file descriptor" in caplog.text


@pytest.mark.parametrize("pair", [None, KeyPair(b"a certificate", b"its key")])
async def test_who_holds_a_private_key_is_closed_to_others(fed, monkeypatch, pair):
    closed = []
    monkeypatch.setattr(link.privileges, "forbid_dumps", lambda: closed.append(True))
    _, control, _ = fed
    control.send(settings(tls=pair))
    await control.receive(Declared)
    assert closed == ([True] if pair else [])


async def test_without_control_there_is_nothing_to_live_for(fed):
    _, control, ended = fed
    assert not ended.is_set()
    control.close()
    await until(ended)
    assert ended.is_set()
