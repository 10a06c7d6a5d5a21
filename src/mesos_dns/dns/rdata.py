"""Record types and record data in wire form. Pure."""

import ipaddress
import struct
from typing import Final

from mesos_dns.dns import name as names
from mesos_dns.quoting import quoted

A: Final = 1
NS: Final = 2
CNAME: Final = 5
SOA: Final = 6
PTR: Final = 12
TXT: Final = 16
AAAA: Final = 28
SRV: Final = 33
DNAME: Final = 39
OPT: Final = 41
IXFR: Final = 251
AXFR: Final = 252
ANY: Final = 255

CLASS_IN: Final = 1
CLASS_CHAOS: Final = 3
CLASS_ANY: Final = 255

TYPE_TEXT: Final = {A: "A", NS: "NS", SOA: "SOA", AAAA: "AAAA", SRV: "SRV", TXT: "TXT", PTR: "PTR", DNAME: "DNAME"}

#: Types that people ask for besides those that are served here.
_OTHER_TYPES: Final = {
    "CNAME": CNAME,
    "MX": 15,
    "NAPTR": 35,
    "DS": 43,
    "DNSKEY": 48,
    "HTTPS": 65,
    "CAA": 257,
    "ANY": ANY,
}
_NUMBERS: Final = {name: number for number, name in TYPE_TEXT.items()} | _OTHER_TYPES
_WORDS: Final = {number: name for name, number in _NUMBERS.items()}

#: A record: owner (lower-case wire form), type, rdata.
Record = tuple[bytes, int, bytes]

_SRV_HEAD = struct.Struct("!HHH")
_SOA_TAIL = struct.Struct("!IIIII")


def type_of(text: str) -> int:
    """The type that people call so, also as `TYPE65` (RFC 3597 section 5). ValueError if there is none."""
    word = text.upper()
    if word in _NUMBERS:
        return _NUMBERS[word]
    digits = word.removeprefix("TYPE")
    if word != digits and digits.isascii() and digits.isdigit() and len(digits) <= 5 and 0 < int(digits) <= 0xFFFF:
        return int(digits)
    raise ValueError(f"expected a type such as A, AAAA, SRV or TYPE65, found {quoted(text)}")


def type_text(rrtype: int) -> str:
    """What people call a type; `TYPE66` for one without a name here."""
    return _WORDS.get(rrtype, f"TYPE{rrtype}")


def address_text(packed: bytes) -> str:
    """Canonical text of a packed address (RFC 5952 for IPv6)."""
    if len(packed) == 4:
        return ".".join(map(str, packed))
    return str(ipaddress.ip_address(packed))


def pack_address(text: str) -> bytes | None:
    """Packed form of an address text, or None if it is none; IPv4-mapped IPv6 gives 4 octets."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id is not None:
            return None
        if address.ipv4_mapped is not None:
            address = address.ipv4_mapped
    return address.packed


def txt(text: bytes) -> bytes:
    """TXT rdata of one string of at most 255 octets (RFC 1035 section 3.3.14)."""
    return bytes((len(text),)) + text


def srv(weight: int, port: int, target: bytes) -> bytes:
    """SRV rdata of priority 0 (RFC 2782); the target stays uncompressed."""
    return _SRV_HEAD.pack(0, weight, port) + target


def srv_fields(rdata: bytes) -> tuple[int, int, int, bytes]:
    """(priority, weight, port, target) of SRV rdata."""
    priority, weight, port = _SRV_HEAD.unpack_from(rdata)
    return priority, weight, port, rdata[6:]


def soa(mname: bytes, rname: bytes, serial: int, refresh: int, retry: int, expire: int, minimum: int) -> bytes:
    """SOA rdata (RFC 1035 section 3.3.13), names uncompressed."""
    return mname + rname + _SOA_TAIL.pack(serial, refresh, retry, expire, minimum)


def soa_fields(rdata: bytes) -> tuple[bytes, bytes, int, int, int, int, int]:
    """(mname, rname, serial, refresh, retry, expire, minimum) of SOA rdata."""
    end_of_mname = _end(rdata, 0)
    end_of_rname = _end(rdata, end_of_mname)
    return (rdata[:end_of_mname], rdata[end_of_mname:end_of_rname], *_SOA_TAIL.unpack_from(rdata, end_of_rname))


def to_text(rrtype: int, rdata: bytes) -> str:
    """Rdata in master-file form (RFC 1035 section 5.1; RFC 3597 for types that we do not know)."""
    if rrtype in (A, AAAA):
        return address_text(rdata)
    if rrtype == SRV:
        priority, weight, port, target = srv_fields(rdata)
        return f"{priority} {weight} {port} {names.to_master_file(target)}"
    if rrtype in (NS, PTR, CNAME, DNAME):
        return names.to_master_file(rdata)
    if rrtype == SOA:
        mname, rname, *numbers = soa_fields(rdata)
        return " ".join([names.to_master_file(mname), names.to_master_file(rname), *map(str, numbers)])
    return f"\\# {len(rdata)} {rdata.hex()}"


def _end(octets: bytes, at: int) -> int:
    while octets[at]:
        at += octets[at] + 1
    return at + 1
