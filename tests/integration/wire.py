"""DNS messages for tests: queries as octets, replies in the text form of the recordings.

Written apart from the server's codec, so that a mistake there cannot hide here; dnspython reads the
record types that Mesos-DNS itself never makes. Fast, because the recordings hold 80,000 answers.
"""

import struct
from functools import lru_cache
from typing import Any

import dns.name
import dns.rdata
import dns.rdataclass
import dns.rdatatype

TYPES = {"A": 1, "NS": 2, "SOA": 6, "TXT": 16, "MX": 15, "AAAA": 28, "SRV": 33, "OPT": 41, "ANY": 255}
RCODES = {
    0: "NOERROR",
    1: "FORMERR",
    2: "SERVFAIL",
    3: "NXDOMAIN",
    4: "NOTIMP",
    5: "REFUSED",
    9: "NOTAUTH",
    16: "BADVERS",
}
CLASSES = {1: "IN", 3: "CH", 4: "HS", 254: "NONE", 255: "ANY"}
FLAGS = (
    (0x8000, "QR"),
    (0x0400, "AA"),
    (0x0200, "TC"),
    (0x0100, "RD"),
    (0x0080, "RA"),
    (0x0040, "Z"),
    (0x0020, "AD"),
    (0x0010, "CD"),
)


def class_text(number: int) -> str:
    return CLASSES.get(number) or f"CLASS{number}"


Reply = dict[str, Any]


@lru_cache(maxsize=4096)
def type_number(text: str) -> int:
    return TYPES.get(text) or int(dns.rdatatype.from_text(text))


@lru_cache(maxsize=4096)
def type_text(number: int) -> str:
    return str(dns.rdatatype.to_text(dns.rdatatype.RdataType.make(number)))


@lru_cache(maxsize=65536)
def name_wire(text: str) -> bytes:
    """Octets of a name in master-file form."""
    if "\\" not in text and text.isascii() and text.endswith(".") and len(text) > 1 and ".." not in text:
        return b"".join(bytes((len(label),)) + label.encode() for label in text[:-1].split(".")) + b"\0"
    return dns.name.from_text(text).to_wire() or b"\0"


def query(
    ident: int,
    name: str,
    rrtype: str,
    *,
    flags: int = 0x0100,
    qclass: int = 1,
    edns: int | None = None,
    do: bool = False,
) -> bytes:
    """One question; with `edns` an OPT record of version 0 that advertises so many octets."""
    octets = struct.pack(">6H", ident, flags, 1, 0, 0, 0 if edns is None else 1)
    octets += name_wire(name) + struct.pack(">2H", type_number(rrtype), qclass)
    if edns is not None:
        octets += b"\0" + struct.pack(">2HIH", 41, edns, 0x8000 if do else 0, 0)
    return octets


_ESCAPED = {o: chr(o) if 0x20 < o < 0x7F else f"\\{o:03d}" for o in range(256)} | {
    ord(c): "\\" + c for c in '"().;\\@$'
}


@lru_cache(maxsize=65536)
def label_text(label: bytes) -> str:
    text = label.decode("latin-1")
    return (
        text
        if text.replace("-", "").replace("_", "").isalnum() and text.isascii()
        else "".join(_ESCAPED[o] for o in label)
    )


def read_name(octets: bytes, at: int) -> tuple[str, int]:
    """Text of the name at `at` and where it ends. Raises ValueError for a loop or a bad label type."""
    parts: list[str] = []
    end = 0
    for _ in range(200):
        length = octets[at]
        if length >= 0xC0:
            end = end or at + 2
            at = ((length & 0x3F) << 8) | octets[at + 1]
        elif length == 0:
            return ".".join(parts) + ".", end or at + 1
        elif length < 64:
            label = octets[at + 1 : at + 1 + length]
            if len(label) != length:
                raise ValueError("a label is cut")
            parts.append(label_text(label))
            at += 1 + length
        else:
            raise ValueError("bad label type")
    raise ValueError("a name does not end")


def _rdata_text(octets: bytes, at: int, length: int, rrtype: int) -> str:
    if rrtype == 1 and length == 4:
        return f"{octets[at]}.{octets[at + 1]}.{octets[at + 2]}.{octets[at + 3]}"
    if rrtype == 33:
        priority, weight, port = struct.unpack_from(">3H", octets, at)
        return f"{priority} {weight} {port} {read_name(octets, at + 6)[0]}"
    if rrtype == 6:
        mname, after = read_name(octets, at)
        rname, after = read_name(octets, after)
        refresh, retry, expire, minimum = struct.unpack_from(">4I", octets, after + 4)
        return f"{mname} {rname} SERIAL {refresh} {retry} {expire} {minimum}"
    if rrtype == 2:
        return read_name(octets, at)[0]
    return dns.rdata.from_wire(dns.rdataclass.IN, dns.rdatatype.RdataType.make(rrtype), octets, at, length).to_text()


def parse(octets: bytes) -> Reply:
    """A reply as the recordings show it, with `opt` (a list, one entry per OPT), `size`, and the record that came `first`.

    What cannot be read becomes {"undecodable": why}.
    """
    try:
        return _parse(octets)
    except Exception as error:  # noqa: BLE001  # whatever a broken server sends must end up in the report
        return {"undecodable": f"{type(error).__name__}: {error}", "octets": octets[:64].hex()}


def _parse(octets: bytes) -> Reply:
    _, flags, questions, *counts = struct.unpack_from(">6H", octets)
    at = 12
    asked = []
    for _ in range(questions):
        name, at = read_name(octets, at)
        rrtype, qclass = struct.unpack_from(">2H", octets, at)
        asked.append(f"{name} {class_text(qclass)} {type_text(rrtype)}")
        at += 4
    sections: list[list[str]] = [[], [], []]
    opt: list[dict[str, int]] = []
    for section, count in zip(sections, counts, strict=True):
        for _ in range(count):
            name, at = read_name(octets, at)
            rrtype, rrclass, ttl, length = struct.unpack_from(">2HIH", octets, at)
            at += 10
            if at + length > len(octets):
                raise ValueError("record data is cut")
            if rrtype == 41:
                opt.append({"version": (ttl >> 16) & 0xFF, "size": rrclass, "flags": ttl & 0xFFFF})
                flags |= (ttl >> 24) << 16
            else:
                section.append(
                    f"{name} {ttl} {class_text(rrclass)} {type_text(rrtype)} {_rdata_text(octets, at, length, rrtype)}"
                )
            at += length
    if at != len(octets):
        raise ValueError(f"{len(octets) - at} octets behind the end")
    rcode = (flags & 0xF) | (flags >> 16) << 4
    return {
        "rcode": RCODES.get(rcode) or str(rcode),
        "flags": [text for bit, text in FLAGS if flags & bit],
        "opcode": (flags >> 11) & 0xF,
        "question": "; ".join(asked),
        "answer": sorted(sections[0]),
        "first": sections[0][0] if sections[0] else "",
        "authority": sorted(sections[1]),
        "additional": sorted(sections[2]),
        "opt": opt,
        "size": len(octets),
    }
