"""Frame Streams, which carry dnstap: https://farsightsec.github.io/fstrm. Pure.

A frame is its length (4 octets, big-endian) and its octets. Length 0 begins a control frame: then come its length and its octets, of which the
first four say what it is.
"""

import enum
import struct
from typing import Final

_LENGTH: Final = struct.Struct("!I")
_PAIR: Final = struct.Struct("!II")
#: The only field that a control frame may have.
_CONTENT_TYPE: Final = 1
#: Octets of a control frame: more than any has.
MAX_CONTROL: Final = 512


class Control(enum.IntEnum):
    """What a control frame says."""

    ACCEPT = 1
    START = 2
    STOP = 3
    READY = 4
    FINISH = 5


class StreamError(Exception):
    """The reader said something that does not belong there; the message says what."""


def frame(octets: bytes) -> bytes:
    """A data frame."""
    return _LENGTH.pack(len(octets)) + octets


def control(kind: Control, content_type: bytes = b"") -> bytes:
    """A control frame; READY, ACCEPT and START say what the stream carries."""
    field = _PAIR.pack(_CONTENT_TYPE, len(content_type)) + content_type if content_type else b""
    body = _LENGTH.pack(kind) + field
    return _PAIR.pack(0, len(body)) + body


def read_control(octets: bytes) -> tuple[Control, list[bytes], int] | None:
    """A control frame that `octets` begin with: what it says, the content types that it names, and its size; None if more must come.

    Raises StreamError if it is none.
    """
    if len(octets) < _PAIR.size:
        return None
    escape, length = _PAIR.unpack_from(octets)
    if escape or not _LENGTH.size <= length <= MAX_CONTROL:
        raise StreamError("it does not speak Frame Streams")
    end = _PAIR.size + length
    if len(octets) < end:
        return None
    (number,) = _LENGTH.unpack_from(octets, _PAIR.size)
    try:
        kind = Control(number)
    except ValueError:
        raise StreamError(f"it sent a control frame of the unknown kind {number}") from None
    return kind, _content_types(octets[_PAIR.size + _LENGTH.size : end]), end


def _content_types(fields: bytes) -> list[bytes]:
    found = []
    at = 0
    while at < len(fields):
        if len(fields) - at < _PAIR.size:
            raise StreamError("it sent a control frame that is cut")
        kind, length = _PAIR.unpack_from(fields, at)
        at += _PAIR.size + length
        if at > len(fields):
            raise StreamError("it sent a control frame that is cut")
        if kind == _CONTENT_TYPE:
            found.append(fields[at - length : at])
    return found
