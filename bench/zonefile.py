"""Pure: which names a zone file has, by type. Reads what servers dump: one record per line."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

_CLASSES: Final = frozenset({"IN", "CH", "HS"})
_KNOWN: Final = frozenset({"A", "AAAA", "SRV"})


@dataclass(frozen=True, slots=True)
class ZoneNames:
    """Owner names (absolute text) of each type that clients ask for, in the file's order, each once."""

    origin: str
    by_type: dict[str, tuple[str, ...]]
    #: All owner names, whatever they own.
    owners: int
    records: int
    #: Owners of the SRV records of applications that the bench has added (`bench.services`).
    services: tuple[str, ...] = ()


def zone_names(lines: Iterable[str]) -> ZoneNames:
    """Read a zone file.

    Understands $ORIGIN, relative and repeated owners, comments at the end of a line, TTL and class
    in any order, and a SOA over several lines; nothing else of RFC 1035 section 5 is needed here.
    ValueError without a SOA, which names the zone.
    """
    origin, apex, owner = ".", "", ""
    owners: dict[str, None] = {}
    by_type: dict[str, dict[str, None]] = {rrtype: {} for rrtype in _KNOWN}
    records = depth = 0
    for line in lines:
        text = line.split(";", 1)[0].rstrip()
        inside, depth = depth > 0, depth + text.count("(") - text.count(")")
        fields = text.split()
        if not fields or inside:
            continue
        if fields[0].startswith("$"):
            origin = _absolute(fields[1], origin) if fields[0].upper() == "$ORIGIN" else origin
            continue
        if not text[0].isspace():
            owner = _absolute(fields.pop(0), origin)
        rrtype = _record_type(fields)
        apex = owner if rrtype == "SOA" else apex
        records += 1
        owners[owner] = None
        if rrtype in by_type:
            by_type[rrtype][owner] = None
    if not apex:
        raise ValueError("the zone file has no SOA record: expected exactly one")
    return ZoneNames(apex, {rrtype: tuple(names) for rrtype, names in by_type.items()}, len(owners), records)


def _absolute(name: str, origin: str) -> str:
    if name == "@":
        return origin
    if name.endswith("."):
        return name
    return f"{name}." if origin == "." else f"{name}.{origin}"


def _record_type(fields: list[str]) -> str:
    for field in fields:
        upper = field.upper()
        if not upper[0].isdigit() and upper not in _CLASSES:
            return upper
    return ""
