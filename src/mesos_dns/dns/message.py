"""Queries: from octets to what was asked. Pure.

Only what a server must read: the header, one question, and the OPT record behind it. Everything
else in a query is checked for shape and passed over.
"""

import struct
from typing import Final, NamedTuple

from mesos_dns.dns.rdata import CLASS_IN, OPT
from mesos_dns.limits import MAX_LABEL, MAX_NAME

# Header bits (RFC 1035 section 4.1.1, RFC 4035 section 3).
QR: Final = 0x8000
AA: Final = 0x0400
TC: Final = 0x0200
RD: Final = 0x0100
RA: Final = 0x0080
CD: Final = 0x0010
#: Bits of a query that come back in its reply (RFC 4035 section 3.2.2 for CD).
COPIED: Final = RD | CD

NOERROR: Final = 0
FORMERR: Final = 1
SERVFAIL: Final = 2
NXDOMAIN: Final = 3
NOTIMP: Final = 4
REFUSED: Final = 5
NOTAUTH: Final = 9
#: Extended: their upper bits travel in the OPT record (RFC 6891 section 9, RFC 7873 section 8).
BADVERS: Final = 16
BADCOOKIE: Final = 23
#: RCODEs that have a name here (RFC 6895 section 2.3), but for those of transfers and updates.
RCODES: Final = {
    NOERROR: "NOERROR", FORMERR: "FORMERR", SERVFAIL: "SERVFAIL", NXDOMAIN: "NXDOMAIN", NOTIMP: "NOTIMP", REFUSED: "REFUSED",
    NOTAUTH: "NOTAUTH", BADVERS: "BADVERS", BADCOOKIE: "BADCOOKIE",
}  # fmt: skip

#: Extended DNS errors (RFC 8914).
EDE_OTHER: Final = 0
EDE_STALE_ANSWER: Final = 3
EDE_CACHED_ERROR: Final = 13
EDE_NOT_READY: Final = 14
EDE_PROHIBITED: Final = 18
EDE_STALE_NXDOMAIN: Final = 19
EDE_NOT_AUTHORITATIVE: Final = 20
EDE_NOT_SUPPORTED: Final = 21
EDE_NO_REACHABLE_AUTHORITY: Final = 22

#: EDNS options: NSID (RFC 5001), COOKIE (RFC 7873), edns-tcp-keepalive (RFC 7828), Padding (RFC 7830), extended DNS error (RFC 8914).
NSID: Final = 3
COOKIE: Final = 10
TCP_KEEPALIVE: Final = 11
PADDING: Final = 12
EXTENDED_ERROR: Final = 15
#: Octets of a client cookie, and of one with the server cookie of RFC 9018 behind it, which are all that we send.
CLIENT_COOKIE_SIZE: Final = 8
COOKIE_SIZE: Final = 24
#: Octets that a COOKIE option may have (RFC 7873 section 4): a client cookie alone, or with a server cookie of 8 to 32.
COOKIE_SIZES: Final = frozenset({CLIENT_COOKIE_SIZE, *range(16, 41)})

TSIG: Final = 250

_HEADER: Final = struct.Struct("!HHHHHH")
_FIXED: Final = struct.Struct("!HHIH")
_SHORTS: Final = struct.Struct("!HH")

#: The DO bit in the flags of an OPT record (RFC 3225).
DO: Final = 0x8000
#: The UDP size that we advertise and never exceed (the DNS flag day 2020 value).
UDP_SIZE: Final = 1232
#: What a client without EDNS can take (RFC 1035 section 4.2.1).
PLAIN_UDP_SIZE: Final = 512
TCP_SIZE: Final = 65535
#: What every message begins with.
HEADER_SIZE: Final = 12


class Edns(NamedTuple):
    """The OPT record of a query (RFC 6891): its UDP size, version, whether DO is set, and its options in wire form, well-formed."""

    size: int
    version: int
    do: bool
    options: bytes = b""


class Query(NamedTuple):
    """A well-formed query with one question.

    `octets` is the whole message; its question lies in octets[12:question_end]. `name` is in wire
    form and lower case, whatever the client wrote.
    """

    octets: bytes
    flags: int
    name: bytes
    qtype: int
    qclass: int
    question_end: int
    edns: Edns | None
    signed: bool = False


class CookieQuery(NamedTuple):
    """A message without a question, which asks for a server cookie (RFC 7873 section 5.4): its `edns` has a COOKIE option."""

    octets: bytes
    flags: int
    edns: Edns


class Rejected(NamedTuple):
    """A message that gets an error instead of an answer; `rcode` says which.

    `question_end` is where its question ends, or 0 if it has none that could be read.
    """

    octets: bytes
    rcode: int
    question_end: int = 0

    def reply(self) -> bytes:
        """The error with the question, if there is one, and the ID and the opcode of the query.

        Its other bits mean something for opcode QUERY only (RFC 8906 section 3.1.4).
        """
        opcode = self.octets[2] & 0x78
        copied = 0 if opcode else _HEADER.unpack_from(self.octets)[1] & COPIED
        flags = QR | opcode << 8 | copied | self.rcode
        question = self.octets[12 : self.question_end] if self.question_end else b""
        return self.octets[:2] + struct.pack("!HHHHH", flags, 1 if question else 0, 0, 0, 0) + question


class _MalformedError(Exception):
    """The message ends early or has a shape that no message may have."""


def parse(octets: bytes) -> Query | CookieQuery | Rejected | None:
    """What a client sent: a query, something to reject, or None for what deserves silence.

    What stands behind the last record is passed over, as other servers do. Silence is for replies (two servers
    must not talk to each other for ever) and for fewer than 12 octets, which have no ID to answer to.
    """
    if len(octets) < 12:
        return None
    _, flags, questions, answers, authorities, additionals = _HEADER.unpack_from(octets)
    if flags & QR:
        return None
    if flags & 0x7800:
        return Rejected(octets, NOTIMP)
    if questions != 1:
        edns = None if questions or answers or authorities or additionals != 1 else _lone_opt(octets)
        return Rejected(octets, FORMERR) if edns is None else CookieQuery(octets, flags, edns)
    try:
        name_end = _question_name_end(octets)
        qtype, qclass = _SHORTS.unpack_from(octets, name_end)
    except (_MalformedError, IndexError, struct.error):
        return Rejected(octets, FORMERR)
    end = name_end + 4
    # A query carries no answers; an IXFR has one SOA in AUTHORITY, a signed one TSIG behind OPT.
    if answers or authorities > 1 or additionals > 2:
        return Rejected(octets, FORMERR, end)
    edns, signed = None, False
    if authorities or additionals:
        try:
            edns, signed = _rest(octets, end, authorities, additionals)
        except (_MalformedError, IndexError, struct.error):
            return Rejected(octets, FORMERR, end)
    return Query(octets, flags, octets[12:name_end].lower(), qtype, qclass, end, edns, signed)


def _lone_opt(octets: bytes) -> Edns | None:
    """The OPT record of a message that has nothing else, if it has a cookie."""
    try:
        edns, _ = _rest(octets, HEADER_SIZE, 0, 1)
    except (_MalformedError, IndexError, struct.error):
        return None
    return edns if edns is not None and find_option(edns.options, COOKIE) else None


def question(number: int, name: bytes, qtype: int) -> bytes:
    """A query with this ID for one name, in wire form, of class IN; no recursion is desired."""
    return _HEADER.pack(number, 0, 1, 0, 0, 0) + name + _SHORTS.pack(qtype, CLASS_IN)


def _question_name_end(octets: bytes) -> int:
    at = 12
    while length := octets[at]:
        if length > MAX_LABEL:  # A pointer has nothing to point to here.
            raise _MalformedError
        at += length + 1
    if at - 11 > MAX_NAME:
        raise _MalformedError
    return at + 1


def _rest(octets: bytes, at: int, authorities: int, additionals: int) -> tuple[Edns | None, bool]:
    """Check the records behind the question; the OPT record among them, and whether TSIG is the last."""
    edns: Edns | None = None
    signed = False
    for n in range(authorities + additionals):
        owner, owner_end = at, _skip_name(octets, at)
        rrtype, rrclass, ttl, length = _FIXED.unpack_from(octets, owner_end)
        at = owner_end + 10 + length
        if at > len(octets) or signed:  # TSIG must be the last record (RFC 8945 section 5.1).
            raise _MalformedError
        if rrtype == OPT and n >= authorities:
            if edns is not None or octets[owner]:
                raise _MalformedError  # Only one OPT, only at the root (RFC 6891 section 6.1.1).
            _check_options(octets, at - length, at)
            edns = Edns(rrclass, ttl >> 16 & 0xFF, bool(ttl & DO), octets[at - length : at])
        signed = rrtype == TSIG
    return edns, signed


def _skip_name(octets: bytes, at: int) -> int:
    while length := octets[at]:
        if length >= 0xC0:
            return at + 2
        if length > MAX_LABEL:
            raise _MalformedError
        at += length + 1
    return at + 1


def _check_options(octets: bytes, at: int, end: int) -> None:
    """Refuse options that do not end where the record does, and a cookie of a size that none has (RFC 7873 section 5.2.2)."""
    cookie = False
    while at < end:
        code, size = _SHORTS.unpack_from(octets, at)
        if code == COOKIE and not cookie:
            cookie = True  # Of several the first counts (RFC 7873 section 5.2).
            if size not in COOKIE_SIZES:
                raise _MalformedError
        at += 4 + size
    if at != end:
        raise _MalformedError


def opt(rcode: int = NOERROR, *, do: bool = False, options: bytes = b"") -> bytes:
    """Our OPT record: version 0, our UDP size, the upper bits of `rcode`, the client's DO bit."""
    ttl = (rcode >> 4) << 24 | (DO if do else 0)
    return b"\0" + _FIXED.pack(OPT, UDP_SIZE, ttl, len(options)) + options


def opt_start(message: bytes) -> int | None:
    """Where the OPT record begins that a message ends with; None if it does not end with one, or is not well-formed."""
    _, _, questions, *counts = _HEADER.unpack_from(message)
    at = HEADER_SIZE
    try:
        for _ in range(questions):
            at = _skip_name(message, at) + 4
        start, rrtype = at, 0
        for _ in range(sum(counts)):
            start, at = at, _skip_name(message, at)
            rrtype, _, _, length = _FIXED.unpack_from(message, at)
            at += 10 + length
    except (_MalformedError, IndexError, struct.error):
        return None
    return start if rrtype == OPT and at == len(message) else None


def extended_error(code: int, text: bytes = b"") -> bytes:
    """The EDNS option of an extended DNS error, with a text in UTF-8 for people (RFC 8914 section 2)."""
    return struct.pack("!HHH", EXTENDED_ERROR, 2 + len(text), code) + text


def tcp_keepalive(timeout: int) -> bytes:
    """The EDNS option that tells how long a connection may stay idle, in units of 100 ms (RFC 7828 section 3.1)."""
    return struct.pack("!HHH", TCP_KEEPALIVE, 2, timeout)


def option(code: int, data: bytes) -> bytes:
    """An EDNS option in wire form (RFC 6891 section 6.1.2)."""
    return _SHORTS.pack(code, len(data)) + data


def find_option(options: bytes, code: int) -> bytes | None:
    """The data of the first option of this code among well-formed `options`; None if there is none."""
    at = 0
    while at < len(options):
        found, size = _SHORTS.unpack_from(options, at)
        at += 4
        if found == code:
            return options[at : at + size]
        at += size
    return None


def has_option(options: bytes, code: int) -> bool:
    """Whether an option of this code is among well-formed `options`."""
    return find_option(options, code) is not None


def udp_limit(edns: Edns | None) -> int:
    """Octets that a reply over UDP may have."""
    if edns is None:
        return PLAIN_UDP_SIZE
    return min(max(edns.size, PLAIN_UDP_SIZE), UDP_SIZE)
