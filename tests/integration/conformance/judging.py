"""One case of conformance: what is asked, what must come back, and how a reply is judged by it."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any

import dns.edns
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

#: Header bits by their names in `Reply.flags`.
_FLAGS = {"aa": 0x0400, "tc": 0x0200, "rd": 0x0100, "ra": 0x0080, "z": 0x0040, "ad": 0x0020, "cd": 0x0010}
_QR = 0x8000
#: Our own UDP size, which BIND is told to have, too.
UDP_SIZE = 1232


@dataclass(frozen=True)
class Reply:
    """What must come back. Records are patterns `OWNER TTL TYPE RDATA` (`*` for anything), in any order; None: whatever it is."""

    rcode: str = "NOERROR"
    #: All header bits that are set, but QR.
    flags: str = "aa"
    answer: Sequence[str] | int | None = ()
    authority: Sequence[str] | None = ()
    additional: Sequence[str] | None = ()
    #: Whether it has an OPT record: always one, of version 0, at the root. None: it may.
    opt: bool | None = False
    #: EDNS options by code: data as hexadecimal digits, `*` for anything.
    options: tuple[str, ...] | None = ()
    do: bool = False
    opcode: int = 0
    #: Whether the question comes back, as it was asked.
    question: bool = True
    #: Octets at most.
    limit: int = 512

    def but(self, **changes: Any) -> "Reply":
        """The same with other parts."""
        return replace(self, **changes)


@dataclass(frozen=True)
class Case:
    """One line of the specification. `source` is where it stands. None in place of a reply is silence."""

    name: str
    source: str
    query: bytes
    reply: Reply | None
    tcp: bool = False
    #: What BIND says instead, and why it may.
    bind: "Reply | str | None" = "the same"
    why: str = ""
    #: What of ours is missing for it; the case must fail then.
    pending: str = ""


def query(
    name: str = "mesos.",
    rrtype: str = "SOA",
    *,
    flags: str = "",
    rrclass: str = "IN",
    edns: int | None = None,
    size: int = UDP_SIZE,
    ednsflags: int = 0,
    options: Sequence[tuple[int, str]] = (),
) -> bytes:
    """A query; `edns` is the version of its OPT record, `options` pairs of code and hexadecimal digits."""
    message = dns.message.Message(id=0x1D1D)
    message.flags = sum(_FLAGS[flag] for flag in flags.split())
    kind, of = dns.rdatatype.from_text(rrtype), dns.rdataclass.from_text(rrclass)
    message.question.append(dns.rrset.RRset(dns.name.from_text(name), of, kind))
    if edns is not None:
        given = [dns.edns.GenericOption(code, bytes.fromhex(data)) for code, data in options]
        message.use_edns(edns, ednsflags, size, options=given)
    return message.to_wire()


def raw(counts: Sequence[int] = (1, 0, 0, 0), body: bytes = b"", *, flags: int = 0) -> bytes:
    """Octets that no library makes: a header, and what stands behind it."""
    return struct.pack(">6H", 0x1D1D, flags, *counts) + body


def opt(rdata: bytes = b"", *, owner: bytes = b"\0", size: int = UDP_SIZE, length: int | None = None) -> bytes:
    """An OPT record, of version 0, that may be wrong."""
    return owner + struct.pack(">HHIH", 41, size, 0, len(rdata) if length is None else length) + rdata


def complaints(asked: bytes, octets: bytes | None, expected: Reply | None) -> list[str]:
    """In how far a reply (None for silence) is another than it should be."""
    if octets is None or expected is None:
        return (
            [] if octets is expected else [f"silence or a reply of {len(octets or b'')} octets, expected the other one"]
        )
    found = dns.message.from_wire(octets, keyring=False)
    flags = {name for name, bit in _FLAGS.items() if found.flags & bit}
    sections = {"answer": found.answer, "authority": found.authority, "additional": found.additional}
    pairs: list[tuple[str, Any, Any]] = [
        ("ID", found.id, int.from_bytes(asked[:2])),
        ("QR", bool(found.flags & _QR), True),
        ("opcode", int(found.opcode()), expected.opcode),
        ("RCODE", dns.rcode.to_text(found.rcode()), expected.rcode),
        ("flags", flags, set(expected.flags.split())),
        ("EDNS", found.edns, found.edns if expected.opt is None else 0 if expected.opt else -1),
        ("DO", bool(found.ednsflags & dns.flags.DO), expected.do),
        ("other EDNS flags", found.ednsflags & 0x7FFF, 0),
    ]
    if expected.opt:
        pairs.append(("UDP size", found.payload, UDP_SIZE))
    if expected.question:
        end = asked.index(b"\0", 12) + 5
        pairs.append(("question", octets[12:end], asked[12:end]))
    else:
        pairs.append(("questions", len(found.question), 0))
    wrong = [f"{what} is {is_}, expected {must}" for what, is_, must in pairs if is_ != must]
    for name, section in sections.items():
        wrong += _records(name, [text for rrset in section for text in _texts(rrset)], getattr(expected, name))
    if expected.options is not None:
        told = [f"{int(option.otype)} {option.to_wire().hex()}".strip() for option in found.options]
        wrong += _records("options", told, expected.options)
    if len(octets) > expected.limit:
        wrong.append(f"{len(octets)} octets, at most {expected.limit} are possible")
    return wrong


def _texts(rrset: dns.rrset.RRset) -> list[str]:
    kind = dns.rdatatype.to_text(rrset.rdtype)
    return [f"{rrset.name} {rrset.ttl} {kind} {rdata.to_text()}" for rdata in rrset]


def _records(name: str, found: list[str], expected: Sequence[str] | int | None) -> list[str]:
    """Complaints about a section: each pattern stands for one record, and none is left over."""
    if expected is None:
        return []
    if isinstance(expected, int):
        return [] if len(found) == expected else [f"{name} has {len(found)} records, expected {expected}"]
    left = list(found)
    missing = []
    for pattern in expected:
        match = next((text for text in left if fnmatchcase(text, pattern)), None)
        if match is None:
            missing.append(pattern)
        else:
            left.remove(match)
    return [f"{name} lacks {text}" for text in missing] + [f"{name} has {text}, too" for text in left]
