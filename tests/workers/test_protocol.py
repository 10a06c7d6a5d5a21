"""Frames between control and workers: they survive any cutting, and nothing else passes for one."""

import struct

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.zone.changes import edit

from mesos_dns.dns.prefixes import ClientList, Prefix
from mesos_dns.querylog.logs import QueryLog
from mesos_dns.querylog.selection import Selection
from mesos_dns.serve.forward.options import ForwardOptions, Upstream
from mesos_dns.serve.ratelimit import Rates
from mesos_dns.workers.protocol import (
    MAX_FRAME,
    Ack,
    CookieSecrets,
    FrameReader,
    Listener,
    Networks,
    ProtocolError,
    QueryLogs,
    Report,
    Resolvers,
    Settings,
    SnapshotBegin,
    UpstreamHealth,
    ZoneUpdate,
    encode,
)
from mesos_dns.zone.zone import Authority

MESOS, OTHER = b"\5mesos\0", b"\5other\0"
FRAMES = [
    Settings(
        zones=[Authority(apex, b"\3ns1\5mesos\0", b"\4root\0", 60, 600, 86400, 60, 60) for apex in (MESOS, OTHER)],
        recursion=True,
        truncate_bit=False,
        forward=ForwardOptions(
            {b"\0": [Upstream("8.8.8.8", 53), Upstream("2001:4860:4860::8888", 853, "dns.google")], b"\4test\0": []},
            5.0,
            "fastest",
            cache_octets=1000,
        ),
        listeners=[Listener(3, udp=True), Listener(4, udp=False)],
        verbosity=1,
        hold=False,
        cookies=CookieSecrets([bytes(16)]),
        server_id=b"ns1",
        version=b"1.0",
        minimal_any="never",
        allow_query=ClientList(allowed=(Prefix(b"\x0a\0\0\0", 8),), excluded=(Prefix(bytes(16), 64),), local=True),
        rates=Rates(5, 6, 7, share=0.5, exempt=ClientList()),
        networks=(Prefix(b"\xc0\0\2\0", 24),),
    ),
    CookieSecrets([bytes(16), b"x" * 16]),
    Networks((Prefix(b"\xc0\0\2\0", 24), Prefix(bytes(16), 64))),
    SnapshotBegin(MESOS),
    ZoneUpdate(
        MESOS,
        1700000000,
        [((b"\1a\5mesos\0",), (), ((1, (b"\1\2\3\4", b"\1\2\3\5")), (33, (b"",))))],
        complete=False,
    ),
    ZoneUpdate(MESOS, 1700000000, [], complete=True),
    ZoneUpdate(OTHER, 1700000001, [edit(b"\1a\5other\0", 1, (b"\1\2\3\4",), ())], complete=True),
    Resolvers({b"\0": [Upstream("8.8.4.4", 53)]}),
    QueryLogs(
        [
            QueryLog(0, True, Selection(ClientList(allowed=(Prefix(bytes(4), 8),)), (MESOS,), (3,), 7)),
            QueryLog(1, False, Selection()),
        ]
    ),
    Ack(OTHER, 1700000001),
    Report({"misses": 3, "hits": 2**40}),
    Report({}, {"rtt": 0.5}, [UpstreamHealth("8.8.8.8:53", "failing", 3, "Connection refused")]),
]
STREAM = b"".join(map(encode, FRAMES))


def test_frames_come_back_in_order():
    reader = FrameReader()
    reader.feed(STREAM)
    assert list(reader) == FRAMES
    assert repr(reader) == "FrameReader(waiting=0)"


def test_a_change_comes_back_as_a_change():
    reader = FrameReader()
    reader.feed(encode(next(frame for frame in FRAMES if isinstance(frame, ZoneUpdate) and frame.changes)))
    frame = next(reader)
    assert isinstance(frame, ZoneUpdate)
    owners, removed, added = frame.changes[0]
    assert all(isinstance(part, tuple) for part in (owners, removed, added))


def test_a_stream_that_is_cut_anywhere():
    for cut in range(len(STREAM)):
        reader = FrameReader()
        reader.feed(STREAM[:cut])
        first = list(reader)
        reader.feed(STREAM[cut:])
        assert first + list(reader) == FRAMES, cut


def test_octet_by_octet():
    reader = FrameReader()
    frames = []
    for octet in STREAM:
        reader.feed(bytes((octet,)))
        frames += reader
    assert frames == FRAMES


OCTETS = st.binary(max_size=30)
SETS = st.lists(st.tuples(st.integers(0, 65535), st.lists(OCTETS, max_size=3).map(tuple)), max_size=2).map(tuple)
CHANGES = st.tuples(st.lists(OCTETS, max_size=3).map(tuple), SETS, SETS)


@given(st.builds(ZoneUpdate, OCTETS, st.integers(0, 2**32 - 1), st.lists(CHANGES, max_size=5), st.booleans()))
def test_any_update(frame):
    reader = FrameReader()
    reader.feed(encode(frame))
    assert next(reader) == frame


@given(st.lists(st.binary(max_size=50), max_size=5))
def test_any_octets_are_frames_or_an_error(chunks):
    reader = FrameReader()
    try:
        for chunk in chunks:
            reader.feed(chunk)
            list(reader)
    except ProtocolError:
        pass
    assert len(reader._buffer) <= sum(map(len, chunks))


@given(st.binary(max_size=40))
@example(body=b"\xdc\x00\x01\xa1\x80")
def test_any_body_of_a_frame(body):
    reader = FrameReader()
    reader.feed(struct.pack("!I", len(body)) + body)
    try:
        frame = next(reader)
    except ProtocolError:
        return
    # What is taken for a frame is one: it survives another round.
    again = FrameReader()
    again.feed(encode(frame))
    assert next(again) == frame


def test_a_frame_that_claims_to_be_huge_is_refused_before_it_arrives():
    reader = FrameReader()
    reader.feed(struct.pack("!I", MAX_FRAME + 1))
    with pytest.raises(ProtocolError, match=f"a frame of {MAX_FRAME + 1} octets, at most {MAX_FRAME} are possible"):
        next(reader)


def test_secrets_are_not_shown():
    secret = b"a secret of ours"
    for frame in (CookieSecrets([secret]), msgspec.structs.replace(FRAMES[0], cookies=CookieSecrets([secret]))):
        assert "a secret" not in repr(frame)
        assert "CookieSecrets(1 secrets)" in repr(frame)


@pytest.mark.parametrize("name", [b"\0\x1b[2J", b"x" * 10_000])
def test_what_is_wrong_with_a_frame_is_one_short_line(name):
    """It ends up in the log, and a worker that was taken over says what it likes."""
    body = b"\x91\xda" + struct.pack("!H", len(name)) + name
    reader = FrameReader()
    reader.feed(struct.pack("!I", len(body)) + body)
    with pytest.raises(ProtocolError) as caught:
        next(reader)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 1000
