"""Queries of few sizes, so that who sees encrypted traffic learns less of what is asked (RFC 7830, RFC 8467). Pure."""

import struct
from typing import Final

#: Octets of which a padded query has a multiple (RFC 8467 section 4.1).
BLOCK_OCTETS: Final = 128

_OPTION: Final = struct.Struct("!HHH")
_PADDING: Final = 12


def padded(query: bytes) -> bytes:
    """`query`, which ends in an OPT record without options, with a padding option."""
    size = -(len(query) + 4) % BLOCK_OCTETS
    return query[:-2] + _OPTION.pack(4 + size, _PADDING, size) + bytes(size)
