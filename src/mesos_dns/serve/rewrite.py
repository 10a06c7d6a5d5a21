"""The rewrite of forwarded messages: the query for an upstream, and its reply for the client. Pure."""

import struct
from typing import Final

from mesos_dns.dns import message as msg
from mesos_dns.dns.message import Query
from mesos_dns.dns.rdata import OPT
from mesos_dns.limits import MAX_LABEL

_HEADER: Final = struct.Struct("!HHHHHH")
_FIXED: Final = struct.Struct("!HHIH")
_AD: Final = 0x0020
#: Bits of an upstream's reply that the client gets to see.
_PASSED: Final = msg.AA | msg.RA | _AD | 0x000F


class BadReplyError(Exception):
    """The upstream's reply cannot be passed on; the message says why."""


def question(query: Query, identifier: int) -> bytes:
    """The message for an upstream: the client's question under a new ID.

    RD, CD and AD are passed on, and with EDNS the DO bit; the client's options are between it and us
    (RFC 6891 section 6.2.1).
    """
    opt = b"" if query.edns is None else msg.opt(do=query.edns.do)
    flags = query.flags & (msg.COPIED | _AD)
    header = _HEADER.pack(identifier, flags, 1, 0, 0, 1 if opt else 0)
    return header + query.octets[12 : query.question_end] + opt


def answers(reply: bytes, sent: bytes, question_length: int) -> bool:
    """Whether `reply` belongs to the message `sent`: ID, QR and question must agree (RFC 5452 section 9)."""
    end = 12 + question_length
    return (
        len(reply) >= end
        and reply[:2] == sent[:2]
        and bool(reply[2] & 0x80)
        and reply[4:6] == b"\0\1"
        and reply[12:end].lower() == sent[12:end].lower()
    )


def is_truncated(reply: bytes) -> bool:
    """Whether TC is set."""
    return bool(reply[2] & msg.TC >> 8)


def for_client(reply: bytes, query: Query, limit: int, *, truncate_bit: bool) -> bytes:
    """The upstream's reply for the client: its ID, its spelling, our OPT, at most `limit` octets.

    `reply` must have passed `answers`. Raises BadReplyError if its records make no sense.
    """
    _, flags, _, *counts = _HEADER.unpack_from(reply)
    starts, extended_rcode = _walk(reply, query.question_end, counts)
    if extended_rcode:
        raise BadReplyError(f"it refuses our EDNS (extended RCODE {extended_rcode << 4 | flags & 15})")
    counts = _without_opt(counts, len(starts) - 1)
    opt = b"" if query.edns is None else msg.opt(do=query.edns.do)
    truncated = flags & msg.TC
    if starts[-1] + len(opt) > limit:
        kept = 0
        if truncate_bit:
            truncated = msg.TC
        else:
            kept = sum(1 for end in starts[1 : counts[0] + 1] if end + len(opt) <= limit)
        starts = starts[: kept + 1]
        counts = [kept, 0, 0]
    flags = msg.QR | flags & _PASSED | query.flags & msg.COPIED | (truncated if truncate_bit else 0)
    header = struct.pack("!HHHHH", flags, 1, counts[0], counts[1], counts[2] + (1 if opt else 0))
    start = query.question_end
    return query.octets[:2] + header + query.octets[12:start] + reply[start : starts[-1]] + opt


def _walk(reply: bytes, at: int, counts: list[int]) -> tuple[list[int], int]:
    """Where each record starts, up to the OPT record, and then the end; and the OPT's part of the RCODE.

    What follows an OPT record, in practice nothing, is left out: it would have to be moved.
    """
    starts = [at]
    try:
        for _ in range(sum(counts)):
            at = _owner_end(reply, at)
            rrtype, _, ttl, length = _FIXED.unpack_from(reply, at)
            at += 10 + length
            if at > len(reply):
                raise BadReplyError("it ends in the middle of a record")
            if rrtype == OPT:
                return starts, ttl >> 24
            starts.append(at)
    except (IndexError, struct.error) as error:
        raise BadReplyError("it ends in the middle of a record") from error
    return starts, 0


def _owner_end(reply: bytes, at: int) -> int:
    while length := reply[at]:
        if length >= 0xC0:
            if (length & 0x3F) << 8 | reply[at + 1] >= at:
                raise BadReplyError("a name in it points forward")
            return at + 2
        if length > MAX_LABEL:
            raise BadReplyError("a label in it is longer than labels can be")
        at += length + 1
    return at + 1


def _without_opt(counts: list[int], records: int) -> list[int]:
    """Counts of the sections if only the first `records` records remain."""
    out = []
    for count in counts:
        out.append(min(count, records))
        records -= out[-1]
    return out
