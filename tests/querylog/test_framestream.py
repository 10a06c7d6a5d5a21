"""Frame Streams: what the two ends say to each other."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesos_dns.querylog import framestream
from mesos_dns.querylog.framestream import MAX_CONTROL, Control, StreamError

TYPE = b"protobuf:dnstap.Dnstap"


def test_a_frame_begins_with_its_length():
    assert framestream.frame(b"abc") == b"\0\0\0\3abc"


def test_control_frames_are_those_of_the_library():
    # As fstrm writes them.
    assert framestream.control(Control.STOP) == bytes.fromhex("00000000 00000004 00000003")
    start = framestream.control(Control.START, TYPE)
    assert start == bytes.fromhex("00000000 00000022 00000002 00000001 00000016") + TYPE


@given(st.sampled_from(Control), st.binary(max_size=100), st.binary(max_size=20))
def test_what_is_said_is_understood(kind, content_type, more):
    octets = framestream.control(kind, content_type)
    assert framestream.read_control(octets + more) == (kind, [content_type] if content_type else [], len(octets))
    for end in range(len(octets)):
        assert framestream.read_control(octets[:end]) is None


@pytest.mark.parametrize(
    ("octets", "why"),
    [
        (b"HTTP/1.1 400 Bad Request", "it does not speak Frame Streams"),
        (framestream.frame(b"some data"), "it does not speak Frame Streams"),
        (b"\0\0\0\0\0\0\0\3\0\0\0", "it does not speak Frame Streams"),
        (b"\0\0\0\0" + (MAX_CONTROL + 1).to_bytes(4), "it does not speak Frame Streams"),
        (b"\0\0\0\0\0\0\0\4\0\0\0\x09", "it sent a control frame of the unknown kind 9"),
        (b"\0\0\0\0\0\0\0\x08\0\0\0\1\0\0\0\1", "it sent a control frame that is cut"),
        (b"\0\0\0\0\0\0\0\x0d\0\0\0\1\0\0\0\1\0\0\0\2a", "it sent a control frame that is cut"),
    ],
)
def test_what_is_no_control_frame(octets, why):
    with pytest.raises(StreamError, match=why):
        framestream.read_control(octets)


@given(st.binary(max_size=80) | st.builds(bytes.__add__, st.just(bytes(4)), st.binary(max_size=80)))
def test_any_octets_are_understood_or_refused(octets):
    try:
        found = framestream.read_control(octets)
    except StreamError:
        return
    if found is not None:
        _, content_types, size = found
        assert size <= len(octets)
        assert sum(map(len, content_types)) < size
