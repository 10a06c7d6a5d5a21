"""Outside names that are aliases of our own: what an upstream says about these is completed with what we know. Pure.

An upstream knows the alias, and at best what others believe of our zone; that is not believed (`check`). A plain client does not ask again for
the name that the alias leads to (RFC 1034 section 5.3.3: resolvers do). So of such a reply the aliases alone are kept, with the bit
`LEADS_HERE`, and each client gets the present records of our zone behind them.
"""

import struct
from collections.abc import Sequence
from typing import Final, Protocol

from mesos_dns.dns import message as msg
from mesos_dns.dns import name as names
from mesos_dns.dns.message import Query
from mesos_dns.dns.rdata import AAAA, ANY, CLASS_IN, CNAME, DNAME, SRV, A
from mesos_dns.limits import MAX_NAME
from mesos_dns.serve.forward.check import MAX_ALIASES
from mesos_dns.serve.forward.records import AD, HEADER, LEADS_HERE, first, walk
from mesos_dns.serve.forward.rewrite import MAX_SORTED, Record, record_at, written
from mesos_dns.serve.request import Forward

_SHORT: Final = struct.Struct("!H")
_SHORTS: Final = struct.Struct("!HH")
#: A pointer to the question's name, as our own replies have it.
_QNAME: Final = b"\xc0\x0c"
#: Octets of an address record of the question's name.
_ADDRESS_RECORDS: Final = {A: 16, AAAA: 28}
_RRSIG: Final = 46
#: Octets before the name of an SRV record (RFC 2782).
_SRV_NUMBERS: Final = 6
#: A compression pointer has 14 bits.
_POINTER_REACH: Final = 0x4000
#: Of a reply that is an answer to the question, or says that there is none.
_ANSWERS: Final = (msg.NOERROR, msg.NXDOMAIN)
_RCODE: Final = 0x000F


class Ours(Protocol):
    """Answers questions about our own zones."""

    def __call__(self, query: Query, limit: int, client: bytes) -> bytes:
        """The whole reply to `query` for `client`, in at most `limit` octets."""


def leads_here(reply: bytes) -> bool:
    """Whether `reply` is one that `noted` made of the aliases of one of our names."""
    return bool(reply[3] & LEADS_HERE)


def first_labels(own: Sequence[bytes]) -> tuple[bytes, ...]:
    """Of each apex: however names of its zone are compressed in a message about another name, this is there as it is."""
    return tuple({apex[: 1 + apex[0]] for apex in own})


def noted(reply: bytes, question_end: int, own: Sequence[bytes], labels: Sequence[bytes]) -> bytes:
    """`reply`, or if its aliases end in a zone of `own` (apexes in lower-case wire form), these aliases alone, with LEADS_HERE.

    `labels` are the `first_labels` of these: most replies have none of them, and this is asked of each.

    It must have passed `check.usable`. One that is cut (TC), and the answer to a question for the alias itself, stay as they are.
    """
    if reply[3] & LEADS_HERE:
        reply = _with_flags(reply, HEADER.unpack_from(reply)[1] & ~LEADS_HERE)
    lower = reply.lower()
    for label in labels:
        if label in lower:
            break
    else:
        return reply
    _, flags, _, *counts = HEADER.unpack_from(reply)
    qtype, qclass = _SHORTS.unpack_from(reply, question_end - 4)
    if flags & msg.TC or flags & _RCODE not in _ANSWERS or qtype in (CNAME, ANY) or qclass != CLASS_IN:
        return reply
    records = [one for one in _answer(reply, question_end, counts) if one.rrtype in (CNAME, DNAME, _RRSIG)]
    target = _end_of(records, reply[12 : question_end - 4].lower())
    if not any(names.is_below_or_at(target.lower(), apex) for apex in own):
        return reply
    flags = flags & ~(msg.AA | AD | _RCODE) | LEADS_HERE
    kept = _Records(reply[12:question_end])
    kept.add(records)
    return kept.message(flags, [len(records), 0, 0])


def query_for(reply: bytes, query: Query) -> Query:
    """The question that the aliases of `reply`, which `noted` made of the reply to `query`, leave open."""
    records = list(_answer(reply, query.question_end, list(HEADER.unpack_from(reply)[3:])))
    target = _end_of(records, query.name)
    octets = HEADER.pack(0, query.flags & msg.COPIED, 1, 0, 0, 0) + target + _SHORTS.pack(query.qtype, query.qclass)
    return Query(octets, query.flags, target.lower(), query.qtype, query.qclass, len(octets), None, signed=False)


def complete(reply: bytes, forward: Forward, limit: int, ours: Ours) -> bytes:
    """`reply`, which `noted` made, completed for the client of `forward`; hardly more than `limit` octets."""
    question = query_for(reply, forward.query)
    end = forward.query.question_end
    room = max(limit - (len(reply) - end) - len(forward.options), msg.PLAIN_UDP_SIZE)
    # But for addresses each record is taken apart to be put behind the aliases.
    most = msg.TCP_SIZE if question.qtype in _ADDRESS_RECORDS else MAX_SORTED
    said = ours(question, min(room, most), forward.client)
    return completed(reply, end, said, question.question_end, truncate=limit < msg.TCP_SIZE)


def completed(reply: bytes, question_end: int, ours: bytes, our_end: int, *, truncate: bool) -> bytes:
    """The aliases of `reply`, and behind them what `ours` says: our reply to the question `query_for`, which ends at `our_end`.

    Its RCODE is that of the last name (RFC 6604 section 2.1). It has neither AA, for the first name is not ours (RFC 1034 section 4.3.1), nor AD. If
    `ours` is no answer, the whole is none either. With `truncate` it says TC if `ours` does: over TCP there is no more to be had.
    """
    question = reply[12:question_end]
    flags = HEADER.unpack_from(reply)[1] & ~LEADS_HERE
    _, our_flags, _, *counts = HEADER.unpack_from(ours)
    flags |= our_flags & (_RCODE | msg.TC if truncate else _RCODE)
    if our_flags & _RCODE not in _ANSWERS:
        return HEADER.pack(0, flags, 1, 0, 0, 0) + question
    aliases = _answer(reply, question_end, list(HEADER.unpack_from(reply)[3:]))
    records = _Records(question)
    records.add(aliases)
    addresses = _addresses(ours, our_end, counts)
    if addresses:
        records.add_under(ours[12 : our_end - 4], addresses)
    else:
        starts, _ = walk(ours, our_end, counts, whole=True)
        known: dict[int, bytes] = {}
        counts = first(counts, len(starts) - 1)
        records.add([record_at(ours, start, known) for start in starts[:-1]])
    return records.message(flags, [len(aliases) + counts[0], *counts[1:]])


def _addresses(ours: bytes, our_end: int, counts: list[int]) -> list[bytes]:
    """All records of `ours` without their owner, if they are addresses of the question's name; else nothing.

    There may be thousands: to take each apart would take 50 ms.
    """
    size = _ADDRESS_RECORDS.get(_SHORTS.unpack_from(ours, our_end - 4)[0], 0)
    count = counts[0]
    if not size or counts[1] or counts[2] or len(ours) != our_end + count * size:
        return []
    if ours[our_end::size].count(_QNAME[0]) < count or ours[our_end + 1 :: size].count(_QNAME[1]) < count:
        return []
    return [ours[at + 2 : at + size] for at in range(our_end, len(ours), size)]


def _answer(reply: bytes, question_end: int, counts: list[int]) -> list[Record]:
    """The records of the answer section."""
    starts, _ = walk(reply, question_end, counts, whole=True)
    known: dict[int, bytes] = {}
    return [record_at(reply, start, known) for start in starts[: min(counts[0], len(starts) - 1)]]


def _end_of(records: Sequence[Record], name: bytes) -> bytes:
    """Where the aliases that begin with `name` (lower case) lead to, as it is spelled there."""
    aliases = {one.owner.lower(): one.rdata for one in records if one.rrtype == CNAME}
    redirects = {one.owner.lower(): one.rdata for one in records if one.rrtype == DNAME}
    for _ in range(MAX_ALIASES + 1):
        target = aliases.get(name.lower()) or _redirected(name, redirects)
        if not target:
            break
        name = target
    return name


def _redirected(name: bytes, redirects: dict[bytes, bytes]) -> bytes:
    """What the closest DNAME record above `name` makes of it (RFC 6672 section 2.2); nothing without one."""
    above = name
    while redirects and above != names.ROOT:
        above = names.parent(above)
        target = redirects.get(above.lower())
        if target is not None:
            made = name[: len(name) - len(above)] + target
            return made if len(made) <= MAX_NAME else b""
    return b""


class _Records:
    """The records of a message that are being written, behind its question."""

    def __init__(self, question: bytes) -> None:
        self._question = question
        self._parts: list[bytes] = []
        self._end = HEADER.size + len(question)
        #: Where names stand, in lower case: the question's, those that aliases lead to, and servers whose addresses may follow.
        self._places = {question[:-4].lower(): HEADER.size}

    def add(self, records: Sequence[Record]) -> None:
        """Write `records`."""
        for record in records:
            octets = written(record, self._places)
            self._parts.append(octets)
            self._end += len(octets)
            name = (
                record.rdata if record.rrtype == CNAME else record.rdata[_SRV_NUMBERS:] if record.rrtype == SRV else b""
            )
            if name and self._end < _POINTER_REACH:
                self._places.setdefault(name.lower(), self._end - len(name))

    def add_under(self, name: bytes, records: Sequence[bytes]) -> None:
        """Write records that lack their owner, which is `name`."""
        place = self._places.get(name.lower())
        owner = name if place is None else _SHORT.pack(0xC000 | place)
        self._parts += [owner + record for record in records]

    def message(self, flags: int, counts: Sequence[int]) -> bytes:
        """The whole of it, with an ID of 0."""
        return HEADER.pack(0, flags, 1, *counts) + self._question + b"".join(self._parts)


def _with_flags(reply: bytes, flags: int) -> bytes:
    return reply[:2] + flags.to_bytes(2) + reply[4:]
