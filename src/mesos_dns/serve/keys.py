"""Under which key a response is kept. Pure.

The key is the query without its ID, its EDNS size and options, in lower case. Thus neither random
letter case (0x20) nor cookies nor differing EDNS sizes defeat the cache, and header flags that a reply
copies are part of it. Folding the case also folds flag and type octets: types 65 to 90 onto 97 to
122, of which this zone has none, so that their replies are alike (NODATA, NXDOMAIN).

A query with EDNS keeps owner and type of its OPT record (`OPT_OWNER_AND_TYPE`); a mark follows in place of the
rest. It is a capital letter, which sets these keys apart from those of queries without EDNS: those are
datagrams in lower case. `any_key` defines it; `EdnsForms` finds the same for what came before.
"""

from collections.abc import Sequence
from typing import Final

from mesos_dns.dns import message as msg

#: The root and type 41.
OPT_OWNER_AND_TYPE: Final = b"\0\0\x29"
#: Marks: without and with the DO bit (RFC 3225).
PLAIN: Final = b"E"
DO: Final = b"D"
#: The same of clients that take less than we would send: they share replies that any client can take.
SMALL_PLAIN: Final = b"S"
SMALL_DO: Final = b"T"
SMALL: Final = frozenset({SMALL_PLAIN, SMALL_DO})

#: Where in a key the name begins: behind flags and counts.
NAME: Final = 10
#: Octets of type and class, which stand behind it; with EDNS `OPT_OWNER_AND_TYPE` and the mark follow.
BEHIND_NAME: Final = 4
BEHIND_NAME_EDNS: Final = 8
#: Our OPT record, by the mark of the query.
OPT_RECORDS: Final = {
    PLAIN: msg.opt(),
    SMALL_PLAIN: msg.opt(),
    DO: msg.opt(do=True),
    SMALL_DO: msg.opt(do=True),
}

#: OPT records, apart from a cookie, that are known to a listener; usual are ten. Beyond, all are forgotten.
_MOST_FORMS: Final = 256
_SMALL: Final = {PLAIN: SMALL_PLAIN, DO: SMALL_DO}
_ALTERNATES: Final = {PLAIN: SMALL_PLAIN, SMALL_PLAIN: PLAIN, DO: SMALL_DO, SMALL_DO: DO}
#: Octets of an OPT record behind `OPT_OWNER_AND_TYPE`: size, extended RCODE, version, flags, and the length of its options.
_BEHIND_TYPE: Final = 8
#: A client cookie (RFC 7873) as the only option: code and length, and 8 octets that differ.
_COOKIE: Final = b"\0\x0a\0\x08"
_COOKIE_SIZE: Final = 8
#: Octets of an OPT record with one behind `OPT_OWNER_AND_TYPE`.
_WITH_COOKIE: Final = _BEHIND_TYPE + len(_COOKIE) + _COOKIE_SIZE
#: Octets of the shortest query: a header and the root's question.
_SHORTEST: Final = 17


class EdnsForms:
    """Makes the keys of datagrams, and learns how OPT records look.

    Those are few, as clients differ in their sizes and in DO: so a look-up of the octets at the end replaces all checks. What
    `any_key` said of a form before, it would say again, since only the question in front of it differs.
    """

    def __init__(self) -> None:
        #: The mark for what stands behind `OPT_OWNER_AND_TYPE`: without options, and with a client cookie, its 8 octets left out.
        self._plain: dict[bytes, bytes] = {}
        self._cookie: dict[bytes, bytes] = {}

    def __repr__(self) -> str:
        return f"EdnsForms({len(self._plain)}, {len(self._cookie)})"

    def keys(self, folded: bytes, starts: Sequence[int], lengths: Sequence[int]) -> list[bytes]:
        """The key of each datagram folded[start:start + length], which is in lower case, as far as it is known.

        Empty, or a key that no query has, for all others: `any_key` has to look.
        """
        plain, cookie = self._plain.get, self._cookie.get
        keys = []
        for at, length in zip(starts, lengths):  # noqa: B905 - there are more starts than needed, and strict costs
            end = at + length
            if not folded[at + 11]:
                keys.append(folded[at + 2 : end])
                continue
            mark = plain(folded[end - _BEHIND_TYPE : end])
            if mark is not None:
                keys.append(folded[at + 2 : end - _BEHIND_TYPE] + mark)
                continue
            mark = cookie(folded[end - _WITH_COOKIE : end - _COOKIE_SIZE])
            keys.append(b"" if mark is None else folded[at + 2 : end - _WITH_COOKIE] + mark)
        return keys

    def key(self, folded: bytes) -> bytes:
        """The same for a single datagram of at least 12 octets."""
        if not folded[11]:
            return folded[2:]
        mark = self._plain.get(folded[-_BEHIND_TYPE:])
        if mark is not None:
            return folded[2:-_BEHIND_TYPE] + mark
        mark = self._cookie.get(folded[-_WITH_COOKIE:-_COOKIE_SIZE])
        return b"" if mark is None else folded[2:-_WITH_COOKIE] + mark

    def learn(self, key: bytes, octets: bytes) -> None:
        """Remember the OPT record of `octets`, whose key is `key`."""
        if key[NAME - 1 : NAME] != b"\1":
            return
        rest = octets[len(key) + 1 :].lower()
        if len(rest) == _BEHIND_TYPE:
            forms = self._plain
        elif len(rest) == _WITH_COOKIE and rest[_BEHIND_TYPE:].startswith(_COOKIE):
            forms = self._cookie
            rest = rest[:-_COOKIE_SIZE]
        else:
            return
        if len(forms) >= _MOST_FORMS:
            forms.clear()
        forms[rest] = key[-1:]


def alternate_key(key: bytes) -> bytes:
    """The key of the same query by clients that take less than we would send, or by the others; empty without EDNS."""
    mark = _ALTERNATES.get(key[-1:])
    return key[:-1] + mark if mark else b""


def owner_of(key: bytes) -> bytes:
    """The name in a key, in lower case."""
    return key[NAME : -BEHIND_NAME_EDNS if key[NAME - 1] else -BEHIND_NAME]


def has_options(key: bytes, octets: bytes) -> bool:
    """Whether `octets`, whose key is `key`, has EDNS options."""
    return len(octets) > len(key) + 1 + _BEHIND_TYPE


def options_of(key: bytes, octets: bytes) -> bytes:
    """The EDNS options, in wire form, of `octets`, whose key is `key`."""
    return octets[len(key) + 1 + _BEHIND_TYPE :] if key[NAME - 1 : NAME] == b"\1" else b""


def any_key(octets: bytes) -> bytes:
    """The key of a whole message; empty if it has none: then `dns.message.parse` has to look at it."""
    if len(octets) < _SHORTEST:
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
    if at > length or end < 17 or octets[end : end + 3] != OPT_OWNER_AND_TYPE or octets[end + 5 : end + 7] != b"\0\0":
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
