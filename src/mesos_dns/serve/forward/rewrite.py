"""The rewrite of forwarded messages: the query for an upstream, and its reply for the client. Pure."""

import struct
from collections.abc import Iterator
from itertools import pairwise
from typing import Final, NamedTuple

from mesos_dns.dns import message as msg
from mesos_dns.dns.message import Query
from mesos_dns.dns.rdata import OPT
from mesos_dns.limits import MAX_LABEL, MAX_NAME
from mesos_dns.serve.forward.records import AD, ASTRAY, FIXED, HEADER, BadReplyError, first, owner_end, walk
from mesos_dns.serve.request import Forward, part_start

_OPTION: Final = struct.Struct("!HH")
#: Bits of an upstream's reply that the client gets to see.
_PASSED: Final = msg.AA | msg.RA | AD | 0x000F
#: Octets of a message whose records a part is chosen from: 1,000 addresses. To take it apart takes 3 ms, and 6 if it was
#: made to take long; no packet is answered meanwhile.
MAX_SORTED: Final = 16 * 1024
#: Octets of an upstream's extended errors that the client gets to see: a code with a sentence or two.
MAX_EXTENDED_ERRORS: Final = 256
#: A compression pointer has 14 bits.
_POINTER_REACH: Final = 0x4000
#: Octets of the smallest record behind a compressed owner.
_SMALLEST_RECORD: Final = 12
#: How an OPT record begins: the root, and its type.
_OPT_START: Final = b"\0" + OPT.to_bytes(2)
_CNAME: Final = 5
_DNAME: Final = 39
_RRSIG: Final = 46
#: Types whose names may come compressed (RFC 3597 section 4): octets before them, and how many there are.
NAMES: Final = {
    **dict.fromkeys((2, 3, 4, _CNAME, 7, 8, 9, 12, _DNAME), (0, 1)),  # NS, MD, MF, MB, MG, MR, PTR
    **dict.fromkeys((6, 14, 17), (0, 2)),  # SOA, MINFO, RP
    **dict.fromkeys((15, 18, 21, 36), (2, 1)),  # MX, AFSDB, RT, KX
    26: (2, 2),  # PX
    33: (6, 1),  # SRV
}


def question(query: Query, identifier: int, *, edns: bool = True) -> bytes:
    """The message for an upstream: the client's question under a new ID.

    RD, CD and AD are passed on, and with `edns` an OPT record of our own with the client's DO bit: what the client can take and
    the client's options are between it and us (RFC 6891 section 6.2.1).
    """
    opt = msg.opt(do=query.edns is not None and query.edns.do) if edns else b""
    flags = query.flags & (msg.COPIED | AD)
    header = HEADER.pack(identifier, flags, 1, 0, 0, 1 if opt else 0)
    return header + query.octets[12 : query.question_end] + opt


def has_opt(sent: bytes) -> bool:
    """Whether what `question` made has an OPT record, which is all that it may have behind the question."""
    return sent[10:12] != b"\0\0"


def answers(reply: bytes, sent: bytes, question_length: int) -> bool:
    """Whether `reply` belongs to the message `sent`: ID, QR and question must agree (RFC 5452 section 9).

    Servers that do not take EDNS may answer FORMERR or NOTIMP without the question (RFC 6891 section 7).
    """
    end = 12 + question_length
    if len(reply) == HEADER.size:
        return (
            reply[:2] == sent[:2]
            and bool(reply[2] & 0x80)
            and reply[3] & 15 in (msg.FORMERR, msg.NOTIMP)
            and reply[4:] == bytes(8)
            and len(sent) > end
        )
    return (
        len(reply) >= end
        and reply[:2] == sent[:2]
        and bool(reply[2] & 0x80)
        and reply[4:6] == b"\0\1"
        and reply[12:end].lower() == sent[12:end].lower()
    )


def without_ad(reply: bytes) -> bytes:
    """`reply` that does not say that it was validated."""
    return reply if not reply[3] & AD else reply[:3] + bytes((reply[3] & ~AD,)) + reply[4:]


def extended_rcode(reply: bytes, question_end: int) -> int:
    """The upper bits of the RCODE of a reply without records, such as BADVERS; 0 for any other."""
    return (
        reply[question_end + 5]
        if reply[question_end : question_end + 3] == _OPT_START and len(reply) > question_end + 5
        else 0
    )


def is_truncated(reply: bytes) -> bool:
    """Whether TC is set."""
    return bool(reply[2] & msg.TC >> 8)


def for_client(reply: bytes, forward: Forward, limit: int, *, truncate_bit: bool, trusted: bool = False) -> bytes:
    """The upstream's reply for the client: its ID, its spelling, our OPT, at most `limit` octets.

    AD stays only if the upstream is `trusted`, for it is its word alone that something was validated, and only if the
    client asked for it by AD or DO (RFC 6840 sections 5.7 and 5.8). Of the upstream's EDNS options a client with EDNS gets
    the extended errors (RFC 8914), as far as there is room; the others are between the upstream and us.

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
    if opt and (told := _extended_errors(reply, starts[-1])) and starts[-1] + len(opt) + len(told) <= limit:
        opt = msg.opt(do=query.edns is not None and query.edns.do, options=forward.options + told)
    if starts[-1] + len(opt) > limit:
        part = list(_part(reply, forward, starts[: counts[0] + 1], limit - len(opt)))
        records = b"".join(part)
        counts = [len(part), 0, 0]
        flags |= msg.TC
    if flags & msg.TC or not (trusted and asks_for_ad(query)):
        flags &= ~AD
    if flags & msg.TC and has_answer and not (counts[0] or truncate_bit or flags & 15):
        raise BadReplyError("no record of its answer fits, and without TC (SetTruncateBit) it would say: none exists")
    flags = msg.QR | flags & _PASSED | query.flags & msg.COPIED | (flags & msg.TC if truncate_bit else 0)
    header = struct.pack("!HHHHH", flags, 1, counts[0], counts[1], counts[2] + (1 if opt else 0))
    return query.octets[:2] + header + query.octets[12:start] + records + opt


def asks_for_ad(query: Query) -> bool:
    """Whether the client wants to be told that an answer was validated (RFC 6840 sections 5.7 and 5.8)."""
    return bool(query.flags & AD) or (query.edns is not None and query.edns.do)


def _extended_errors(reply: bytes, at: int) -> bytes:
    """The extended errors in the OPT record at `at`, as options in wire form; nothing if there is no such record."""
    if reply[at : at + 3] != _OPT_START or at + 11 > len(reply):
        return b""
    told = b""
    _, _, _, length = FIXED.unpack_from(reply, at + 1)
    at += 11
    end = min(at + length, len(reply))
    while at + 4 <= end:
        code, size = _OPTION.unpack_from(reply, at)
        option = reply[at : at + 4 + size]
        at += 4 + size
        if code == msg.EXTENDED_ERROR and size >= 2 and at <= end and len(told) + len(option) <= MAX_EXTENDED_ERRORS:
            told += option
    return told


# --- a part of them ----------------------------------------------------------------------------


class Record(NamedTuple):
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
    records = [record_at(reply, start, known) for start, end in pairwise(starts) if end <= MAX_SORTED]
    aliases = [record for record in records if record.rrtype in (_CNAME, _DNAME)]
    signatures = sorted(record for record in records if record.rrtype == _RRSIG)
    others = sorted(record for record in records if record.rrtype not in (_CNAME, _DNAME, _RRSIG))
    turn = part_start(forward.client, forward.query.name, len(others)) if others else 0
    places = {forward.query.name: 12}
    at = forward.query.question_end
    for record in (*aliases, *others[turn:], *others[:turn], *signatures):
        octets = written(record, places)
        if at + len(octets) <= limit:
            yield octets
            if record.rrtype == _CNAME:
                _note(record.rdata, at + len(octets) - len(record.rdata), places)
            _note(record.owner, at, places)
            at += len(octets)
        elif record.rrtype in (_CNAME, _DNAME) or at + _SMALLEST_RECORD > limit:
            return


def record_at(reply: bytes, start: int, known: dict[int, bytes]) -> Record:
    """The record that begins at `start`; `known` is as for `name_at`. Raises BadReplyError."""
    at = owner_end(reply, start)
    rrtype, _, _, length = FIXED.unpack_from(reply, at)
    owner = name_at(reply, start, known)
    fixed = reply[at : at + 8]
    at += 10
    end = at + length
    before, count = NAMES.get(rrtype, (0, 0))
    if not count:
        rdata = reply[at:end]
        return Record(owner.lower() + fixed[:4] + rdata, owner, rrtype, fixed, rdata)
    front = reply[at : at + before]
    at += before
    names = b""
    try:
        for _ in range(count):
            names += name_at(reply, at, known)
            at = owner_end(reply, at)
    except IndexError as error:
        raise BadReplyError("it ends in the middle of a name") from error
    if at > end:
        raise BadReplyError("a name in it is longer than its record")
    rest = reply[at:end]
    key = owner.lower() + fixed[:4] + front + names.lower() + rest
    return Record(key, owner, rrtype, fixed, front + names + rest)


def name_at(reply: bytes, at: int, known: dict[int, bytes]) -> bytes:
    """The name that begins at `at`, without compression; `known` has those that were read before, by where they begin.

    However its pointers are made, all names of a message take as long as the message is. Raises BadReplyError or IndexError.
    """
    labels: list[tuple[int, bytes]] = []
    size = 0
    while (name := known.get(at)) is None:
        length = reply[at]
        if length >= 0xC0:
            labels.append((at, b""))
            at, pointer = (length & 0x3F) << 8 | reply[at + 1], at
            if not HEADER.size <= at < pointer:
                raise BadReplyError(ASTRAY)
        elif length > MAX_LABEL:
            raise BadReplyError("a label in it is longer than labels can be")
        elif length:
            labels.append((at, reply[at : at + 1 + length]))
            at += 1 + length
            size += 1 + length
            if size >= MAX_NAME:  # Also what ends a loop.
                raise BadReplyError("a name in it is longer than names can be")
        else:
            known[at] = name = b"\0"
            break
    for at, label in reversed(labels):
        name = label + name
        if len(name) > MAX_NAME:
            raise BadReplyError("a name in it is longer than names can be")
        known[at] = name
    return name


def written(record: Record, places: dict[bytes, int]) -> bytes:
    """`record` as it stands in the message; `places` has names in lower case that its owner may point to."""
    place = places.get(record.owner.lower())
    owner = record.owner if place is None else struct.pack("!H", 0xC000 | place)
    return owner + record.fixed + struct.pack("!H", len(record.rdata)) + record.rdata


def _note(name: bytes, at: int, places: dict[bytes, int]) -> None:
    """A name stands at `at`, for later ones to point to."""
    if at < _POINTER_REACH and len(name) > 2:
        places.setdefault(name.lower(), at)
