"""Whether an upstream's reply may be kept, for how long, and what is kept of it (RFC 2181, 2308). Pure."""

import struct
from array import array
from collections.abc import Iterator
from itertools import pairwise
from typing import Final, NamedTuple

from mesos_dns.dns import message as msg
from mesos_dns.serve.forward.records import FIXED, HEADER, LEADS_HERE, BadReplyError, first, owner_end, walk

TTL: Final = struct.Struct("!I")
_ANSWER, _AUTHORITY, _ADDITIONAL = range(3)
_SOA: Final = 6
_ANY: Final = 255
#: What a proof in the authority section consists of: RRSIG, NSEC, NSEC3. The answer is worth no more than it.
_PROOF: Final = (46, 47, 50)
#: Addresses: records of one size without names in them. Clients with several want another one first each time.
_ROTATED: Final = (1, 28)
#: Types from 128 on are no data but for ANY: TKEY, TSIG, transfers (RFC 6895 section 3.1).
_META: Final = range(128, _ANY)
#: Octets of an SOA's rdata with the root's names.
_SMALLEST_SOA: Final = 22
#: TTLs are numbers of 31 bits, and one that is larger means 0 (RFC 2181 section 8).
_TTL_END: Final = 1 << 31
#: Octets of a reply that is kept: 1,000 addresses. To look for the TTLs in it takes 3 ms.
_LARGEST_KEPT: Final = 16 * 1024


class Run(NamedTuple):
    """Records of one RRset that may be given in any order: all in octets[start:end], each with `size` octets."""

    start: int
    end: int
    size: int


class Kept(NamedTuple):
    """What is kept of a reply.

    `octets` is the message without its OPT record and AA, which is not for a cache to say (RFC 1035 section 4.1.1). Its TTLs are
    at the offsets `ttls`; `seconds` tells how long it is true. `negative` is NXDOMAIN or NODATA.
    """

    octets: bytes
    ttls: "array[int]"
    run: Run | None
    seconds: int
    negative: bool


def is_answer(reply: bytes, question_end: int) -> bool:
    """Whether `reply` tells what there is, or that there is nothing: complete, and NOERROR or NXDOMAIN."""
    if not msg.HEADER_SIZE <= question_end <= len(reply):
        return False
    flags = HEADER.unpack_from(reply)[1]
    return not flags & msg.TC and flags & 15 in (msg.NOERROR, msg.NXDOMAIN)


def kept(reply: bytes, question_end: int, qtype: int) -> Kept | None:
    """What to keep of an answer to a question for `qtype`; None if it must not be kept, or is too large.

    A positive answer, and what leads to one of our own names, is true for the smallest TTL in its answer section and its proofs. A negative one, which may begin
    with aliases (RFC 2308 section 2), in addition for the smaller of the SOA's TTL and MINIMUM (section 5); without
    SOA it is none or a referral. Raises BadReplyError if its records make no sense.
    """
    identifier, flags, questions, *counts = HEADER.unpack_from(reply)
    if len(reply) > _LARGEST_KEPT or qtype in _META:
        return None
    starts, extended_rcode = walk(reply, question_end, counts, whole=True)
    if extended_rcode:
        raise BadReplyError("it has an extended RCODE")
    counts = first(counts, len(starts) - 1)
    answers, authorities, _ = counts
    octets = bytearray(reply[: starts[-1]])
    HEADER.pack_into(octets, 0, identifier, flags & ~msg.AA, questions, *counts)
    ttls = array("H")
    least, soa, found = _TTL_END, _TTL_END, False
    for section, rrtype, ttl, at in _records(reply, starts, answers, authorities):
        TTL.pack_into(octets, at, ttl)
        ttls.append(at)
        if section == _ANSWER or (section == _AUTHORITY and rrtype in _PROOF):
            least = min(least, ttl)
        elif section == _AUTHORITY and rrtype == _SOA:
            soa = min(soa, ttl)
        found = found or (section == _ANSWER and qtype in (rrtype, _ANY))
    # The rest of what leads to one of our names is not kept, and so says nothing here.
    negative = flags & 15 == msg.NXDOMAIN or not (found or flags & LEADS_HERE)
    if negative:
        if soa == _TTL_END:
            return None
        least = min(least, soa)
    run = _run(octets, starts[: answers + 1], qtype) if qtype in _ROTATED else None
    return Kept(bytes(octets), ttls, run, least, negative) if least else None


def _records(reply: bytes, starts: list[int], answers: int, authorities: int) -> Iterator[tuple[int, int, int, int]]:
    """Section and type of each record, the TTL that it shall have, and where that stands."""
    for n, (start, end) in enumerate(pairwise(starts)):
        at = owner_end(reply, start)
        rrtype, _, ttl, _ = FIXED.unpack_from(reply, at)
        if ttl >= _TTL_END:
            ttl = 0
        section = _ANSWER if n < answers else _AUTHORITY if n < answers + authorities else _ADDITIONAL
        if section == _AUTHORITY and rrtype == _SOA:
            ttl = min(ttl, _minimum(reply, at + 10, end))
        yield section, rrtype, ttl, at + 4


def _minimum(reply: bytes, at: int, end: int) -> int:
    """The field MINIMUM of the SOA whose rdata is reply[at:end]."""
    if end - at < _SMALLEST_SOA:
        raise BadReplyError("its SOA is too short")
    minimum: int = TTL.unpack_from(reply, end - 4)[0]
    return minimum if minimum < _TTL_END else 0


def _run(octets: bytearray, starts: list[int], qtype: int) -> Run | None:
    """The first records of the asked type that have the same octets before their addresses, if there are several.

    A name elsewhere may point to their owner: it is found at the same place in each order. All get the smallest TTL of
    them, which is what several mean (RFC 2181 section 5.2).
    """
    start = end = size = 0
    shape = b""
    ttl = _TTL_END
    for begin, after in pairwise(starts):
        at = owner_end(octets, begin)
        rrtype, _, its_ttl, _ = FIXED.unpack_from(octets, at)
        # All but the TTL.
        here = bytes(octets[begin : at + 4] + octets[at + 8 : at + 10])
        if rrtype == qtype and here == shape:
            end, ttl = after, min(ttl, its_ttl)
        elif end > start + size:
            break
        else:
            start, end, size, shape, ttl = begin, after, after - begin, here, its_ttl
    if end == start + size:
        return None
    for begin in range(start, end, size):
        TTL.pack_into(octets, begin + len(shape) - 2, ttl)
    return Run(start, end, size)
