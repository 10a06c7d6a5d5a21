"""Answers as lines of JSON. Pure."""

import struct
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

import msgspec

from mesos_dns.dns import message as msg
from mesos_dns.dns import name as names
from mesos_dns.dns import rdata as rd
from mesos_dns.dns.message import HEADER_SIZE, RCODES
from mesos_dns.dns.prefixes import client_of
from mesos_dns.querylog.answered import Answered, name_of, rcode_of

#: Records of an answer that are told: of more the first ones, and how many there are.
MAX_TOLD: Final = 16

_HEADER: Final = struct.Struct("!HHHHHH")
_FIXED: Final = struct.Struct("!HHIH")
_SHORTS: Final = struct.Struct("!HH")
#: Flags of a reply that are told, in the order in which `dig` does.
_FLAGS: Final = ((0x0400, "aa"), (0x0200, "tc"), (0x0100, "rd"), (0x0080, "ra"), (0x0020, "ad"), (0x0010, "cd"))
#: How an OPT record begins that has no options: 11 octets before its end.
_PLAIN_OPT: Final = b"\0\0\x29"
_CLASSES: Final = {1: "IN", 3: "CH", 4: "HS", 254: "NONE", 255: "ANY"}
_encode: Final = msgspec.json.Encoder().encode


def line(answered: Answered) -> bytes:
    """A line about an answer, its end included."""
    return _encode(fields(answered)) + b"\n"


def fields(answered: Answered) -> dict[str, Any]:
    """What the line says. `name`, `type` and `class` are null if the query has no question that can be read."""
    transport, client, port, query, reply, began, ended = answered
    _, flags, _, answers, _, _ = _HEADER.unpack_from(reply)
    rcode = rcode_of(reply)
    name = name_of(query)
    rrtype = rrclass = None
    if name is not None and len(query) >= HEADER_SIZE + len(name) + _SHORTS.size:
        rrtype, rrclass = _SHORTS.unpack_from(query, HEADER_SIZE + len(name))
    return {
        "time": _time(began),
        "client": rd.address_text(client_of(client)) if client else None,
        "port": port or None,
        "transport": transport,
        "name": None if name is None else names.to_master_file(name),
        "type": None if rrtype is None else rd.type_text(rrtype),
        "class": None if rrclass is None else _CLASSES.get(rrclass, f"CLASS{rrclass}"),
        "rcode": RCODES.get(rcode, f"RCODE{rcode}"),
        "ede": _extended_error(reply),
        "flags": _flags(flags),
        "answers": answers,
        "answer": list(_told(reply, answers)),
        "octets": len(reply),
        "milliseconds": round(max(ended - began, 0.0) * 1000, 3),
    }


def _time(at: float) -> str:
    seconds, microseconds = divmod(round(at * 1e6), 1_000_000)
    return f"{_second(seconds)}.{microseconds:06d}Z"


@lru_cache(8)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().removesuffix("+00:00")


@lru_cache(1 << 12)
def _flags(flags: int) -> list[str]:
    return [word for bit, word in _FLAGS if flags & bit]


def _extended_error(reply: bytes) -> str | None:
    """Code and text of the extended error (RFC 8914), None without one."""
    # Nearly all replies end in an OPT record without options, or in none.
    start = None if reply.endswith(b"\0\0") and reply[-11:-8] == _PLAIN_OPT else msg.opt_start(reply)
    # Behind owner, type, class, TTL and length.
    try:
        error = None if start is None else msg.find_option(reply[start + 1 + _FIXED.size :], msg.EXTENDED_ERROR)
    except struct.error:
        return None
    if error is None or len(error) < 2:
        return None
    text = error[2:].rstrip(b"\0").decode("utf-8", "replace")
    return f"{int.from_bytes(error[:2])} {text}".rstrip()


def _told(reply: bytes, answers: int) -> Iterator[str]:
    """The first records of an answer: type and data, as master files have them. What cannot be read ends it."""
    try:
        at = HEADER_SIZE
        if reply[4:6] != b"\0\0":
            at = _name(reply, at)[1] + 4
        for _ in range(min(answers, MAX_TOLD)):
            _, at = _name(reply, at)
            rrtype, _, _, length = _FIXED.unpack_from(reply, at)
            at += _FIXED.size
            rdata = _whole(reply, rrtype, at, length)
            at += length
            yield f"{rd.type_text(rrtype)} {rd.to_text(rrtype, rdata)}"
    except (IndexError, ValueError, struct.error):
        return


def _whole(reply: bytes, rrtype: int, at: int, length: int) -> bytes:
    """Rdata whose names, if it has some, do not refer to the rest of the message."""
    rdata = reply[at : at + length]
    if rrtype in (rd.NS, rd.CNAME, rd.PTR, rd.DNAME):
        return _name(reply, at)[0]
    if rrtype == rd.SRV:
        return rdata[:6] + _name(reply, at + 6)[0]
    if rrtype == rd.SOA:
        mname, end = _name(reply, at)
        rname, end = _name(reply, end)
        return mname + rname + reply[end : end + 20]
    return rdata


def _name(reply: bytes, at: int) -> tuple[bytes, int]:
    """The name at `at` without compression, and where it ends. Pointers must point backward (RFC 1035 section 4.1.4)."""
    found = bytearray()
    end = 0
    while length := reply[at]:
        if length >= 0xC0:
            target = (length & 0x3F) << 8 | reply[at + 1]
            if target >= at:
                raise ValueError
            end, at = end or at + 2, target
            continue
        found += reply[at : at + 1 + length]
        at += 1 + length
        if length > 63 or len(found) > 254:
            raise ValueError
    return bytes(found) + b"\0", end or at + 1
