"""Usual questions to upstreams, and the usual replies: octets to octets, without a parsed message in between. Pure.

Nearly all questions about outside names look alike: they ask for one record type of everyday use, their answers are addresses, and nothing is
wrong with either. For these, and no others, this module says in a few steps what `rewrite`, `check` and `cache.cache_key` come to with more
care; for everything else it says None, and they have to look. Tests compare the two ways.
"""

import re
import struct
from collections.abc import Sequence
from typing import Final, NamedTuple

from mesos_dns.dns import message as msg
from mesos_dns.dns import rdata as rd
from mesos_dns.limits import MAX_LABEL, MAX_NAME
from mesos_dns.serve import keys
from mesos_dns.serve.forward.check import usable
from mesos_dns.serve.forward.records import AD, FIXED, BadReplyError, owner_end
from mesos_dns.serve.forward.rewrite import NAMES, name_at

_RA: Final = 0x0080
#: Types that are asked for every day and have no rules of their own (CNAME, DS, ANY and transfers have).
_TYPES: Final = (rd.A, rd.NS, rd.SOA, rd.PTR, 15, rd.TXT, rd.AAAA, rd.SRV, 64, 65, 257)
#: Type and class, as they stand behind the name of a usual question.
USUAL_TYPES: Final = frozenset(struct.pack("!HH", rrtype, rd.CLASS_IN) for rrtype in _TYPES)
#: Address records of the question's own name, which a pointer to it precedes: what they look like, and the octets of one.
_ADDRESSES: Final = {
    struct.pack("!HH", rd.A, rd.CLASS_IN): (re.compile(rb"(?s:\xc0\x0c\0\x01\0\x01.{4}\0\x04.{4})*"), 16),
    struct.pack("!HH", rd.AAAA, rd.CLASS_IN): (re.compile(rb"(?s:\xc0\x0c\0\x1c\0\x01.{4}\0\x10.{16})*"), 28),
}
_NO_SHAPE: Final = (re.compile(b""), 0)
#: An OPT record with neither options nor an extended RCODE: all but its size and flags.
_OPT_SIZE: Final = 11
_PLAIN_OPT: Final = re.compile(rb"(?s:\0\0\x29..\0\0..\0\0)")
_NOTHING: Final = b"\0\0\0\0"
_OPT_ALONE: Final = b"\0\0\0\1"
_ONE_QUESTION: Final = b"\0\1"
_NO_COUNTS: Final = b"\0\1\0\0\0\0\0\0"
_COUNTS_WITH_OPT: Final = b"\0\1\0\0\0\0\0\1"
#: Ends of replies that are remembered as being in order: those of a few hundred zones.
MOST_TAILS: Final = 1024
#: Octets of such an end: an SOA and its signature, or the name servers of a zone.
_LARGEST_TAIL: Final = 512
_ZERO_TTL: Final = bytes(4)


class Form(NamedTuple):
    """What a usual question looks like but for its ID and its question: header bits, and whether there is an OPT record."""

    #: Octets from the end of the question to that of the key.
    behind: int
    #: What stands around the question on its way to an upstream: the header behind the ID, and our OPT record.
    head: bytes
    opt: bytes
    #: The end of its `cache.cache_key`.
    bits: bytes
    #: The reply: our OPT record for the client, and the octets that it takes.
    client_opt: bytes
    limit: int
    #: By octets 2 to 6 of an upstream's reply, octets 2 to 6 of the client's: for usual replies of any upstream, and of one that is trusted.
    passed: dict[bytes, bytes]
    passed_trusted: dict[bytes, bytes]


def _form(flags: int, mark: bytes) -> Form:
    do = mark in (keys.DO, keys.SMALL_DO)
    asks_for_ad = do or bool(flags & AD)
    bits = (flags & ~AD | msg.DO) if do else flags
    limit = msg.UDP_SIZE if mark in (keys.PLAIN, keys.DO) else msg.PLAIN_UDP_SIZE
    return Form(
        4 if mark else 0,
        flags.to_bytes(2) + _COUNTS_WITH_OPT,
        msg.opt(do=do),
        bits.to_bytes(2),
        keys.OPT_RECORDS[mark] if mark else b"",
        limit,
        _passed(flags, 0, kept=0),
        _passed(flags, AD, kept=AD if asks_for_ad else 0),
    )


def _passed(asked: int, possible_ad: int, *, kept: int) -> dict[bytes, bytes]:
    """Flags and number of questions of usual replies to a question with the flags `asked`, and what becomes of them."""
    table = {}
    copied = asked & msg.COPIED
    for aa in (0, msg.AA):
        for ra in (0, _RA):
            for cd in (0, msg.CD):
                for ad in {0, possible_ad}:
                    for rcode in (msg.NOERROR, msg.NXDOMAIN):
                        reply = msg.QR | aa | msg.RD | ra | cd | ad | rcode
                        ours = msg.QR | aa | ra | ad & kept | rcode | copied
                        table[reply.to_bytes(2) + _ONE_QUESTION] = ours.to_bytes(2) + _ONE_QUESTION
    return table


def _forms() -> dict[bytes, Form]:
    """By what stands before the name in the key of a question, with EDNS followed by its mark (see `serve.keys`)."""
    forms = {}
    for ad in (0, AD):
        for cd in (0, msg.CD):
            flags = msg.RD | ad | cd
            forms[flags.to_bytes(2) + _NO_COUNTS] = _form(flags, b"")
            for mark in keys.OPT_RECORDS:
                forms[flags.to_bytes(2) + _COUNTS_WITH_OPT + mark] = _form(flags, mark)
    return forms


FORMS: Final = _forms()


class Tails:
    """Ends of replies (what stands behind the addresses) that were looked into and found in order.

    What an upstream adds there is the same for all names below a parent, but for its TTLs, and to look into it takes as long as all the rest.
    Names of such an end point to the parent or to the end itself, so that it means the same in each reply: only such ends are remembered.
    """

    def __init__(self, own: Sequence[bytes] = ()) -> None:
        """`own` has the apexes of our zones."""
        self._own = own
        #: By parent, counts and length of the first label, and size: the end as it came last, with TTLs of 0, where in it TTLs
        #: stand, and where OPT begins.
        self._known: dict[tuple[bytes, bytes, int], tuple[bytes, bytes, tuple[int, ...], int]] = {}

    def __repr__(self) -> str:
        return f"Tails({len(self._known)})"

    def opt_start(self, parent: bytes, reply: bytes, end: int, at: int) -> int | None:
        """Where the OPT record of a reply begins, or its end; None if what stands behind `at` takes a closer look.

        `parent` is that of the question's name, in lower case, `end` is the end of the question, `at` that of the addresses, which are in order.
        """
        tail = reply[at:]
        where = parent, reply[8:13], len(tail)
        known = self._known.get(where)
        if known is not None:
            last, zero, ttls, opt = known
            if tail == last:
                return at + opt
            octets = bytearray(tail)
            for place in ttls:
                octets[place : place + 4] = _ZERO_TTL
            if octets == zero:
                self._known[where] = tail, zero, ttls, opt
                return at + opt
            return None
        if len(tail) > _LARGEST_TAIL:
            return None
        shape = self._look(reply, end, at)
        if shape is None:
            return None
        if len(self._known) >= MOST_TAILS:
            self._known.clear()
        self._known[where] = tail, *shape
        return at + shape[2]

    def _look(self, reply: bytes, end: int, at: int) -> tuple[bytes, tuple[int, ...], int] | None:
        first = reply[12]
        # What holds for another label as well, which differs in each octet, does not hang on the label.
        other = reply[:13] + bytes(octet ^ 1 for octet in reply[13 : 13 + first]) + reply[13 + first :]
        try:
            if usable(reply, end, self._own) is not reply or usable(other, end, self._own) is not other:
                return None
            places = _places(reply, at)
        except (BadReplyError, IndexError, struct.error):
            return None
        # Behind the label the question is the same in each reply, but for the spelling of the parent.
        if any(place < 13 + first or end - 4 <= place < at for place in places):
            return None
        return _shape(reply, at)


def _places(reply: bytes, at: int) -> set[int]:
    """Where the names begin that the records from `at` on are made of, and the parts of names that they point to."""
    known: dict[int, bytes] = {}
    while at < len(reply):
        name_at(reply, at, known)
        at = owner_end(reply, at)
        rrtype, _, _, length = FIXED.unpack_from(reply, at)
        at += 10
        before, count = NAMES.get(rrtype, (0, 0))
        here = at + before
        for _ in range(count):
            name_at(reply, here, known)
            here = owner_end(reply, here)
        at += length
    return set(known)


def _shape(reply: bytes, at: int) -> tuple[bytes, tuple[int, ...], int] | None:
    """What `Tails` remembers of the records from `at` to the end of a reply that is in order."""
    tail = bytearray(reply[at:])
    ttls, opt, here, records = [], len(tail), at, 0
    while here < len(reply):
        if opt < len(tail):
            return None  # What stands behind an OPT record would have to be moved.
        start = here - at
        here = owner_end(reply, here)
        rrtype, _, ttl, length = FIXED.unpack_from(reply, here)
        if rrtype == rd.OPT:
            if length or ttl >> 24:
                return None
            opt = start
        else:
            ttls.append(here + 4 - at)
            tail[here + 4 - at : here + 8 - at] = _ZERO_TTL
        here += 10 + length
        records += 1
    authorities, additionals = struct.unpack_from("!HH", reply, 8)
    return (bytes(tail), tuple(ttls), opt) if records == authorities + additionals else None


def usual_reply(
    octets: bytes, end: int, form: Form, passed: dict[bytes, bytes], parent: bytes, reply: bytes, tails: Tails
) -> bytes | None:
    """An upstream's reply for the client who sent `octets`, whose question ends at `end`; None if it takes a closer look.

    Its ID has been compared. `passed` is that of `form` which is for this upstream, `parent` that of the question's name in lower case.
    """
    flags = passed.get(reply[2:6])
    if flags is None or reply[12:end] != octets[12:end]:
        return None
    at = end
    if (answers := reply[6:8]) != b"\0\0":
        shape, size = _ADDRESSES.get(octets[end - 4 : end], _NO_SHAPE)
        at += (answers[0] << 8 | answers[1]) * size
        if at == end or at > len(reply) or shape.fullmatch(reply, end, at) is None:
            return None
    cut, counts, additional = at, reply[8:12], 0
    if counts == _OPT_ALONE and len(reply) == at + _OPT_SIZE:
        if _PLAIN_OPT.fullmatch(reply, at) is None:
            return None
    elif counts != _NOTHING or len(reply) != at:
        opt_start = tails.opt_start(parent, reply, end, at)
        if opt_start is None:
            return None
        cut = opt_start
        additional = (counts[2] << 8 | counts[3]) - (cut < len(reply))
    opt = form.client_opt
    if cut + len(opt) > form.limit:
        return None
    if opt:
        additional += 1
    return b"".join((octets[:2], flags, reply[6:10], additional.to_bytes(2), octets[12:end], reply[end:cut], opt))


def cached_reply(octets: bytes, end: int, form: Form, reply: bytes) -> bytes | None:
    """What `ForwardCache.fresh` gives, for the client who sent `octets`, whose question ends at `end`; None if it takes a closer look."""
    flags = form.passed_trusted.get(reply[2:6])
    opt = form.client_opt
    if flags is None or len(reply) + len(opt) > form.limit:
        return None
    additional = reply[10:12]
    if opt:
        additional = ((additional[0] << 8 | additional[1]) + 1).to_bytes(2)
    return b"".join((octets[:2], flags, reply[6:10], additional, octets[12:end], reply[end:], opt))


def has_room_for_label(name: bytes) -> bool:
    """Whether no name is too long that has one more label in front of `name` (well-formed)."""
    return len(name) + 1 + MAX_LABEL <= MAX_NAME
