"""Where the records of an upstream's reply stand. Pure."""

import struct
from typing import Final

from mesos_dns.dns.rdata import OPT
from mesos_dns.limits import MAX_LABEL

HEADER: Final = struct.Struct("!HHHHHH")
#: What stands behind an owner: type, class, TTL, length of the rdata.
FIXED: Final = struct.Struct("!HHIH")
#: The header bit of validated answers, and of questions for them (RFC 6840 section 5.7).
AD: Final = 0x0020

#: What is wrong with a compressed name whose pointer does not point to an earlier name (RFC 1035 section 4.1.4).
ASTRAY: Final = "a name in it points forward, or into the header"


class BadReplyError(Exception):
    """The upstream's reply cannot be passed on; the message says why."""


def walk(reply: bytes, at: int, counts: list[int], *, whole: bool) -> tuple[list[int], int]:
    """Where each record starts, up to the OPT record, and then the end; and the OPT's part of the RCODE.

    What follows an OPT record, in practice nothing, is left out: it would have to be moved. So is a record in the middle
    of which the message ends, and what follows, unless it is said to be `whole`. Raises BadReplyError.
    """
    starts = [at]
    try:
        for n in range(sum(counts)):
            rrtype, ttl, at = _fixed(reply, at)
            if rrtype == OPT:
                _check_section(n, counts)
                return starts, ttl >> 24
            starts.append(at)
    except BadReplyError:
        if whole:
            raise
    return starts, 0


def _fixed(reply: bytes, at: int) -> tuple[int, int, int]:
    """Type and TTL of the record at `at`, and where it ends."""
    try:
        at = owner_end(reply, at)
        rrtype, _, ttl, length = FIXED.unpack_from(reply, at)
    except (IndexError, struct.error) as error:
        raise BadReplyError("it ends in the middle of a record") from error
    at += 10 + length
    if at > len(reply):
        raise BadReplyError("it ends in the middle of a record")
    return rrtype, ttl, at


def _check_section(n: int, counts: list[int]) -> None:
    if n < counts[0] + counts[1]:
        raise BadReplyError("it has an OPT record that is not in the additional section")


def owner_end(reply: bytes | bytearray, at: int) -> int:
    """Where the name that begins at `at` ends. Raises BadReplyError, and IndexError if the message ends before."""
    while length := reply[at]:
        if length >= 0xC0:
            # The header is another one for each client, so what points there would be another name.
            if not HEADER.size <= (length & 0x3F) << 8 | reply[at + 1] < at:
                raise BadReplyError(ASTRAY)
            return at + 2
        if length > MAX_LABEL:
            raise BadReplyError("a label in it is longer than labels can be")
        at += length + 1
    return at + 1


def first(counts: list[int], records: int) -> list[int]:
    """Counts of the sections if only the first `records` records remain."""
    out = []
    for count in counts:
        out.append(min(count, records))
        records -= out[-1]
    return out
