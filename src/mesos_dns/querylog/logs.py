"""The query logs that workers keep: what is in each, and how it travels to control. Pure."""

import struct
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from mesos_dns.querylog.selection import Selection

#: Number of a log, and how many answers follow.
_HEAD: Final = struct.Struct("!BI")
#: Octets of records that travel together, roughly: one record more may be on top.
PARCEL: Final = 64 * 1024
#: Octets of the largest parcel: with a record that has a query and a reply of 64 KiB each.
MAX_PARCEL: Final = PARCEL + 192 * 1024


class QueryLog(msgspec.Struct, frozen=True, array_like=True):
    """A log, which has a number of its own: what is in it, in the form of dnstap frames or of lines of JSON."""

    number: int
    dnstap: bool
    selection: Selection


def parcels(number: int, records: Sequence[bytes]) -> Iterator[tuple[int, bytes]]:
    """Records of a log in as many parcels as they need: how many there are in each, and its octets."""
    gathered: list[bytes] = []
    size = 0
    for record in records:
        gathered.append(record)
        size += len(record)
        if size >= PARCEL:
            yield len(gathered), _HEAD.pack(number, len(gathered)) + b"".join(gathered)
            gathered, size = [], 0
    if gathered:
        yield len(gathered), _HEAD.pack(number, len(gathered)) + b"".join(gathered)


def unpack(parcel: bytes) -> tuple[int, int, bytes]:
    """Number of the log, how many records there are, and their octets. Raises struct.error for what is no parcel."""
    number, count = _HEAD.unpack_from(parcel)
    return number, count, parcel[_HEAD.size :]
