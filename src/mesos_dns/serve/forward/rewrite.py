"""The rewrite of forwarded messages: the query for an upstream, and its reply for the client. Pure."""

import struct
from collections.abc import Iterator
from itertools import pairwise
from typing import Final, NamedTuple

from mesos_dns.dns import message as msg
from mesos_dns.dns.message import Query
from mesos_dns.limits import MAX_LABEL, MAX_NAME
from mesos_dns.serve.forward.records import AD, FIXED, HEADER, BadReplyError, first, owner_end, walk
from mesos_dns.serve.request import Forward, part_start

__all__ = ["MAX_SORTED", "BadReplyError", "answers", "for_client", "is_truncated", "question"]

#: Bits of an upstream's reply that the client gets to see.
_PASSED: Final = msg.AA | msg.RA | AD | 0x000F
#: Octets of a message whose records a part is chosen from: 1,000 addresses. To take it apart takes 3 ms, and 6 if it was
#: made to take long; no packet is answered meanwhile.
MAX_SORTED: Final = 16 * 1024
#: A compression pointer has 14 bits.
_POINTER_REACH: Final = 0x4000
#: Octets of the smallest record behind a compressed owner.
_SMALLEST_RECORD: Final = 12
_CNAME: Final = 5
_DNAME: Final = 39
_RRSIG: Final = 46
#: Types whose names may come compressed (RFC 3597 section 4): octets before them, and how many there are.
_NAMES: Final = {
    **dict.fromkeys((2, 3, 4, _CNAME, 7, 8, 9, 12, _DNAME), (0, 1)),  # NS, MD, MF, MB, MG, MR, PTR
    **dict.fromkeys((6, 14, 17), (0, 2)),  # SOA, MINFO, RP
    **dict.fromkeys((15, 18, 21, 36), (2, 1)),  # MX, AFSDB, RT, KX
    26: (2, 2),  # PX
    33: (6, 1),  # SRV
}


def question(query: Query, identifier: int) -> bytes:
    """The message for an upstream: the client's question under a new ID.

    RD, CD and AD are passed on, and with EDNS the DO bit; the client's options are between it and us
    (RFC 6891 section 6.2.1).
    """
    opt = b"" if query.edns is None else msg.opt(do=query.edns.do)
    flags = query.flags & (msg.COPIED | AD)
    header = HEADER.pack(identifier, flags, 1, 0, 0, 1 if opt else 0)
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


def for_client(reply: bytes, forward: Forward, limit: int, *, truncate_bit: bool) -> bytes:
    """The upstream's reply for the client: its ID, its spelling, our OPT, at most `limit` octets.

    What does not fit is cut: then the reply has the client's part of the answer, and nothing behind. It says TC if
    `truncate_bit` is set, and so does one that the upstream cut; neither says AD. `reply` must have passed `answers`.
    Raises BadReplyError if its records make no sense, or if nothing of them would be left and nothing would say so.
    """
    query = forward.query
    _, flags, _, *counts = HEADER.unpack_from(reply)
    starts, extended_rcode = walk(reply, query.question_end, counts, whole=not flags & msg.TC)
    if extended_rcode:
        raise BadReplyError(f"it refuses our EDNS (extended RCODE {extended_rcode << 4 | flags & 15})")
    has_answer = bool(counts[0] or flags & msg.TC)
    counts = first(counts, len(starts) - 1)
    opt = b"" if query.edns is None else msg.opt(do=query.edns.do, options=forward.options)
    start = query.question_end
    records = reply[start : starts[-1]]
    if starts[-1] + len(opt) > limit:
        part = list(_part(reply, forward, starts[: counts[0] + 1], limit - len(opt)))
        records = b"".join(part)
        counts = [len(part), 0, 0]
        flags |= msg.TC
    if flags & msg.TC:
        flags &= ~AD
        if not (counts[0] or truncate_bit or flags & 15) and has_answer:
            raise BadReplyError(
                "no record of its answer fits, and without TC (SetTruncateBit) it would say: none exists"
            )
    flags = msg.QR | flags & _PASSED | query.flags & msg.COPIED | (flags & msg.TC if truncate_bit else 0)
    header = struct.pack("!HHHHH", flags, 1, counts[0], counts[1], counts[2] + (1 if opt else 0))
    return query.octets[:2] + header + query.octets[12:start] + records + opt


# --- a part of them ----------------------------------------------------------------------------


class _Record(NamedTuple):
    """A record without compression. `key` is what it says, in lower case where case means nothing, and without TTL."""

    key: bytes
    owner: bytes
    rrtype: int
    #: Type, class and TTL.
    fixed: bytes
    rdata: bytes


def _part(reply: bytes, forward: Forward, starts: list[int], limit: int) -> Iterator[bytes]:
    """The records of the answer that fit into a message of `limit` octets, as they stand in it.

    Aliases come first, in their order, for without them the others mean nothing. Upstreams give those in another order
    each time, so they are sorted, and then given from one on that depends on the client. Signatures, which nobody
    can verify with a part of their set, come last.
    """
    known: dict[int, bytes] = {}
    records = [_record(reply, start, known) for start, end in pairwise(starts) if end <= MAX_SORTED]
    aliases = [record for record in records if record.rrtype in (_CNAME, _DNAME)]
    signatures = sorted(record for record in records if record.rrtype == _RRSIG)
    others = sorted(record for record in records if record.rrtype not in (_CNAME, _DNAME, _RRSIG))
    turn = part_start(forward.client, forward.query.name, len(others)) if others else 0
    places = {forward.query.name: 12}
    at = forward.query.question_end
    for record in (*aliases, *others[turn:], *others[:turn], *signatures):
        octets = _written(record, places)
        if at + len(octets) <= limit:
            yield octets
            if record.rrtype == _CNAME:
                _note(record.rdata, at + len(octets) - len(record.rdata), places)
            _note(record.owner, at, places)
            at += len(octets)
        elif record.rrtype in (_CNAME, _DNAME) or at + _SMALLEST_RECORD > limit:
            return


def _record(reply: bytes, start: int, known: dict[int, bytes]) -> _Record:
    at = owner_end(reply, start)
    rrtype, _, _, length = FIXED.unpack_from(reply, at)
    owner = _name(reply, start, known)
    fixed = reply[at : at + 8]
    at += 10
    end = at + length
    before, count = _NAMES.get(rrtype, (0, 0))
    if not count:
        rdata = reply[at:end]
        return _Record(owner.lower() + fixed[:4] + rdata, owner, rrtype, fixed, rdata)
    front = reply[at : at + before]
    at += before
    names = b""
    try:
        for _ in range(count):
            names += _name(reply, at, known)
            at = owner_end(reply, at)
    except IndexError as error:
        raise BadReplyError("it ends in the middle of a name") from error
    if at > end:
        raise BadReplyError("a name in it is longer than its record")
    rest = reply[at:end]
    key = owner.lower() + fixed[:4] + front + names.lower() + rest
    return _Record(key, owner, rrtype, fixed, front + names + rest)


def _name(reply: bytes, at: int, known: dict[int, bytes]) -> bytes:
    """The name that begins at `at`, without compression; `known` has those that were read before, by where they begin."""
    labels: list[tuple[int, bytes]] = []
    size = 0
    while (name := known.get(at)) is None:
        length = reply[at]
        if length >= 0xC0:
            labels.append((at, b""))
            at, pointer = (length & 0x3F) << 8 | reply[at + 1], at
            if at >= pointer:
                raise BadReplyError("a name in it points forward")
        elif length > MAX_LABEL:
            raise BadReplyError("a label in it is longer than labels can be")
        elif length:
            labels.append((at, reply[at : at + 1 + length]))
            at += 1 + length
            size += 1 + length
            if size >= MAX_NAME:  # Also what ends a loop.
                raise BadReplyError("a name in it is longer than names can be")
        else:
            name = b"\0"
            break
    for at, label in reversed(labels):
        name = label + name
        if len(name) > MAX_NAME:
            raise BadReplyError("a name in it is longer than names can be")
        known[at] = name
    return name


def _written(record: _Record, places: dict[bytes, int]) -> bytes:
    """`record` as it stands in the message."""
    place = places.get(record.owner.lower())
    owner = record.owner if place is None else struct.pack("!H", 0xC000 | place)
    return owner + record.fixed + struct.pack("!H", len(record.rdata)) + record.rdata


def _note(name: bytes, at: int, places: dict[bytes, int]) -> None:
    """A name stands at `at`, for later ones to point to."""
    if at < _POINTER_REACH and len(name) > 2:
        places.setdefault(name.lower(), at)
