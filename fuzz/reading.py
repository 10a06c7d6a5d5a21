"""Reads DNS messages as strictly as their form allows, apart from the program's own code; rdata stays octets.

dnspython would refuse rdata of types that a forwarder passes on unseen, and takes twenty times as long.
"""

import struct
from typing import NamedTuple

_FIXED = struct.Struct("!HHIH")
OPT = 41


class Record(NamedTuple):
    """A record: section (1 answer, 2 authority, 3 additional), owner in lower case without compression, and the rest."""

    section: int
    owner: bytes
    rrtype: int
    rrclass: int
    ttl: int
    rdata: bytes


class Message(NamedTuple):
    identifier: int
    flags: int
    #: The question's octets as they stand: name, type and class.
    question: bytes
    records: list[Record]

    @property
    def options(self) -> list[Record]:
        """OPT records."""
        return [record for record in self.records if record.rrtype == OPT]


def message(octets: bytes) -> Message:
    """The message; AssertionError or IndexError or struct.error if it is not well-formed to the last octet."""
    identifier, flags, questions, *counts = struct.unpack_from("!HHHHHH", octets)
    assert questions <= 1, f"{questions} questions"
    at = 12
    if questions:
        _, at = name(octets, at)
        at += 4
        assert at <= len(octets), "the question is cut"
    question = octets[12:at]
    records = []
    for section, count in enumerate(counts, 1):
        for _ in range(count):
            owner, at = name(octets, at)
            rrtype, rrclass, ttl, length = _FIXED.unpack_from(octets, at)
            at += 10 + length
            assert at <= len(octets), "a record is cut"
            records.append(Record(section, owner.lower(), rrtype, rrclass, ttl, octets[at - length : at]))
    assert at == len(octets), f"{len(octets) - at} octets behind the last record"
    return Message(identifier, flags, question, records)


def name(octets: bytes, at: int) -> tuple[bytes, int]:
    """The name at `at` without compression, and where it ends. Pointers must point backward (RFC 1035 section 4.1.4)."""
    found = b""
    end = 0
    while length := octets[at]:
        if length >= 0xC0:
            target = (length & 0x3F) << 8 | octets[at + 1]
            assert target < at, "a pointer points forward"
            end, at = end or at + 2, target
            continue
        assert length < 64, "a label of an unknown kind"
        found += octets[at : at + 1 + length]
        at += 1 + length
        assert len(found) < 255, "a name is longer than names can be"
    return found + b"\0", end or at + 1
