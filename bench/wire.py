"""Pure: queries as octets. Of its own making, so that the bench trusts nothing of what it measures."""

import struct
from typing import Final

A: Final = 1
SOA: Final = 6
AAAA: Final = 28
SRV: Final = 33
TYPES: Final = {"A": A, "SOA": SOA, "AAAA": AAAA, "SRV": SRV}

_RD: Final = 0x0100
_OPT: Final = 41
_COOKIE: Final = 10  # RFC 7873 section 4


def name_octets(name: str) -> bytes:
    """The wire form of a name in text, absolute or not; ValueError for a label that cannot be."""
    wire = bytearray()
    for label in name.rstrip(".").split(".") if name != "." else ():
        octets = label.encode("ascii")
        if not 0 < len(octets) < 64:
            raise ValueError(f"name {name!r}: a label has {len(octets)} octets, expected 1 to 63")
        wire.append(len(octets))
        wire += octets
    wire.append(0)
    return bytes(wire)


def query(name: str, rrtype: int, *, size: int | None = None, cookie: bytes = b"", identifier: int = 0) -> bytes:
    """One question of class IN with RD; with an OPT record (RFC 6891) when `size` is given.

    `cookie` is a client cookie of 8 octets and needs `size`.
    """
    if cookie and size is None:
        raise ValueError("a cookie travels in an OPT record: give a size")
    header = struct.pack("!6H", identifier, _RD, 1, 0, 0, 0 if size is None else 1)
    question = name_octets(name) + struct.pack("!HH", rrtype, 1)
    if size is None:
        return header + question
    options = struct.pack("!HH", _COOKIE, len(cookie)) + cookie if cookie else b""
    return header + question + b"\0" + struct.pack("!HHIH", _OPT, size, 0, len(options)) + options


def code(reply: bytes) -> int:
    """The RCODE of a reply; ValueError when it is too short to have one."""
    if len(reply) < 12:
        raise ValueError(f"a reply of {len(reply)} octets: expected at least the 12 of a header")
    return reply[3] & 0x0F


def answers(reply: bytes) -> int:
    """The number of records in the answer section, as the header says."""
    if len(reply) < 12:
        raise ValueError(f"a reply of {len(reply)} octets: expected at least the 12 of a header")
    return int.from_bytes(reply[6:8], "big")


def stream(messages: list[bytes]) -> bytes:
    """Messages as DNS over TCP frames them, which is what `dnsperf -B` reads."""
    return b"".join(len(message).to_bytes(2, "big") + message for message in messages)
