"""Under which key a reply is remembered. Pure.

The key is the query without its ID, its EDNS size and options, in lower case. Thus neither random
letter case (0x20) nor cookies nor differing EDNS sizes defeat the memory, and header flags that a reply
copies are part of it. Folding the case also folds flag and type octets: types 65 to 90 onto 97 to
122, of which this zone has none, so that their replies are alike (NODATA, NXDOMAIN).

A query with EDNS keeps owner and type of its OPT record (`OPT_FRONT`); a mark follows in place of the
rest. It is a capital letter, which sets these keys apart from those of queries without EDNS: those are
datagrams in lower case.
"""

from collections.abc import Sequence
from typing import Final

from mesos_dns.dns import message as msg
from mesos_dns.limits import MAX_EDNS_FORMS

#: The root and type 41.
OPT_FRONT: Final = b"\0\0\x29"
#: Marks: without and with the DO bit (RFC 3225).
PLAIN: Final = b"E"
DO: Final = b"D"
#: The same of clients that take less than we would send: they share replies that any client can take.
SMALL_PLAIN: Final = b"S"
SMALL_DO: Final = b"T"

_SMALL: Final = {PLAIN: SMALL_PLAIN, DO: SMALL_DO}
_TWINS: Final = {PLAIN: SMALL_PLAIN, SMALL_PLAIN: PLAIN, DO: SMALL_DO, SMALL_DO: DO}
#: The end of an OPT record without options, from its extended RCODE on: 6 octets.
_NO_OPTIONS: Final = {bytes(6): PLAIN, b"\0\0\x80\0\0\0": DO}
#: The same of one with just a client cookie (RFC 7873), without the 8 octets that differ.
_COOKIE: Final = {bytes(5) + b"\x0c\0\x0a\0\x08": PLAIN, b"\0\0\x80\0\0\x0c\0\x0a\0\x08": DO}
#: Octets of these records behind `OPT_FRONT`.
_NO_OPTIONS_SIZE: Final = 8
_COOKIE_SIZE: Final = 20
#: Octets of the shortest query, a header and the root's question, and of the shortest with an OPT record.
_SHORTEST_PLAIN: Final = 17
SHORTEST_EDNS: Final = 28
_SIZE_HIGH, _SIZE_LOW = divmod(msg.UDP_SIZE, 256)


def common_key(folded: bytes, at: int, length: int) -> bytes:
    """The key of the datagram of `length` octets at folded[at:]; `folded` is in lower case, and has room for a header there.

    For the answering loops: fast, because it knows only the two OPT records that nearly all clients
    send, and looks for them from the end. Empty for all others; then `any_key` has to look.
    """
    end = at + length
    if not folded[at + 11]:
        return folded[at + 2 : end]
    if length < SHORTEST_EDNS:
        return b""
    mark = _NO_OPTIONS.get(folded[end - 6 : end])
    if mark is not None:
        end -= _NO_OPTIONS_SIZE
    else:
        mark = _COOKIE.get(folded[end - 18 : end - 8])
        if mark is None:
            return b""
        end -= _COOKIE_SIZE
    high = folded[end]
    # Folding never lifts a size over ours: that would take a high octet of 0x41 or more, which is above it anyway.
    if high <= _SIZE_HIGH and (high < _SIZE_HIGH or folded[end + 1] < _SIZE_LOW):
        mark = _SMALL[mark]
    return folded[at + 2 : end] + mark


class EdnsForms:
    """Makes the keys of queries with EDNS, and learns how their OPT records look.

    Those are few, as clients differ in their sizes and in DO, and a look-up replaces all checks: a fifth of
    a microsecond saved for each packet.
    """

    def __init__(self) -> None:
        #: The mark for what stands behind `OPT_FRONT`: without options, and with a client cookie, its 8 octets left out.
        self._plain: dict[bytes, bytes] = {}
        self._cookie: dict[bytes, bytes] = {}

    def __repr__(self) -> str:
        return f"EdnsForms({len(self._plain)}, {len(self._cookie)})"

    def keys(self, folded: bytes, starts: Sequence[int], lengths: Sequence[int]) -> list[bytes]:
        """The same as `common_key` for each datagram. All must have an ARCOUNT that is not 0, and 28 octets."""
        plain, cookie = self._plain.get, self._cookie.get
        keys = []
        for at, length in zip(starts, lengths):  # noqa: B905 - there are more starts than needed, and strict costs
            end = at + length
            mark = plain(folded[end - _NO_OPTIONS_SIZE : end])
            if mark is not None:
                keys.append(folded[at + 2 : end - _NO_OPTIONS_SIZE] + mark)
                continue
            mark = cookie(folded[end - _COOKIE_SIZE : end - 8])
            if mark is not None:
                keys.append(folded[at + 2 : end - _COOKIE_SIZE] + mark)
                continue
            key = common_key(folded, at, length)
            keys.append(key)
            if key:
                self._learn(key, folded[at + 1 + len(key) : end])
        return keys

    def _learn(self, key: bytes, rest: bytes) -> None:
        """Remember what stands behind `OPT_FRONT` in a query with this key."""
        forms = self._plain if len(rest) == _NO_OPTIONS_SIZE else self._cookie
        if len(forms) >= MAX_EDNS_FORMS:
            forms.clear()
        forms[rest[: _COOKIE_SIZE - 8]] = key[-1:]


def twin(key: bytes) -> bytes:
    """The key of the same query by clients that take less than we would send, or by the others; empty without EDNS."""
    mark = _TWINS.get(key[-1:])
    return key[:-1] + mark if mark else b""


def any_key(octets: bytes) -> bytes:
    """The key of a whole message; empty if it has none: then `dns.message.parse` has to look at it."""
    if len(octets) < _SHORTEST_PLAIN:
        return b""
    return _edns_key(octets) if octets[11] else octets[2:].lower()


def _edns_key(octets: bytes) -> bytes:
    """The key of a query with one well-formed OPT record at its end; empty for anything else."""
    # The first zero octet ends the name: if another name had one inside a label, its octets before
    # it would not be those of the entry that is found.
    end = octets.find(0, 12) + 5
    length = len(octets)
    at = end + 11
    # Behind the size: extended RCODE 0 and version 0.
    if at > length or end < 17 or octets[end : end + 3] != OPT_FRONT or octets[end + 5 : end + 7] != b"\0\0":
        return b""
    if at + (octets[end + 9] << 8 | octets[end + 10]) != length:
        return b""
    while at < length:
        at += 4 + (octets[at + 2] << 8 | octets[at + 3]) if at + 4 <= length else length
    if at != length:
        return b""
    mark = DO if octets[end + 7] & 0x80 else PLAIN
    if octets[end + 3] << 8 | octets[end + 4] < msg.UDP_SIZE:
        mark = _SMALL[mark]
    return octets[2 : end + 3].lower() + mark
