"""Under which key a response is kept. Pure.

The key is the query without its ID, its EDNS size and options, in lower case. Thus neither random
letter case (0x20) nor cookies nor differing EDNS sizes defeat the cache, and header flags that a reply
copies are part of it. Whether there is a cookie is part of it, too, for its reply needs room; which one is not. Folding the case also folds flag and type octets: types 65 to 90 onto 97 to
122, of which this zone has none, so that their replies are alike (NODATA, NXDOMAIN).

A query with EDNS keeps owner and type of its OPT record (`OPT_OWNER_AND_TYPE`); a mark follows in place of the
rest. It is a capital letter, which sets these keys apart from those of queries without EDNS: those are
datagrams in lower case. `any_key` defines it; `EdnsForms` finds the same for what came before.
"""

from collections.abc import Callable, Sequence
from operator import add
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
#: The same of queries with a cookie (RFC 7873).
COOKIE: Final = b"C"
COOKIE_DO: Final = b"O"
SMALL_COOKIE: Final = b"K"
SMALL_COOKIE_DO: Final = b"L"
SMALL: Final = frozenset({SMALL_PLAIN, SMALL_DO, SMALL_COOKIE, SMALL_COOKIE_DO})
_WITH_COOKIE: Final = {PLAIN: COOKIE, DO: COOKIE_DO, SMALL_PLAIN: SMALL_COOKIE, SMALL_DO: SMALL_COOKIE_DO}
WITHOUT_COOKIE: Final = {cookie: mark for mark, cookie in _WITH_COOKIE.items()}

#: Where in a key the name begins: behind flags and counts.
NAME: Final = 10
#: Octets of type and class, which stand behind it; with EDNS `OPT_OWNER_AND_TYPE` and the mark follow.
BEHIND_NAME: Final = 4
BEHIND_NAME_EDNS: Final = 8
#: Our OPT record, by the mark of the query. Those with a cookie have room for it, which is filled for each client.
_UNFILLED: Final = msg.option(msg.COOKIE, bytes(msg.COOKIE_SIZE))
OPT_RECORDS: Final = {
    **dict.fromkeys((PLAIN, SMALL_PLAIN), msg.opt()),
    **dict.fromkeys((DO, SMALL_DO), msg.opt(do=True)),
    **dict.fromkeys((COOKIE, SMALL_COOKIE), msg.opt(options=_UNFILLED)),
    **dict.fromkeys((COOKIE_DO, SMALL_COOKIE_DO), msg.opt(do=True, options=_UNFILLED)),
}

#: Octets of those that have none.
PLAIN_OPT_SIZE: Final = len(OPT_RECORDS[PLAIN])
#: Those of them that have room for a cookie.
COOKIE_RECORDS: Final = (OPT_RECORDS[COOKIE], OPT_RECORDS[COOKIE_DO])

#: OPT records, apart from a cookie, that are known to a listener; usual are ten. Beyond, all are forgotten.
_MOST_FORMS: Final = 256
_SMALL: Final = {PLAIN: SMALL_PLAIN, DO: SMALL_DO}
_ALTERNATES: Final = {
    PLAIN: SMALL_PLAIN,
    DO: SMALL_DO,
    COOKIE: SMALL_COOKIE,
    COOKIE_DO: SMALL_COOKIE_DO,
    SMALL_PLAIN: PLAIN,
    SMALL_DO: DO,
    SMALL_COOKIE: COOKIE,
    SMALL_COOKIE_DO: COOKIE_DO,
}
#: Octets of an OPT record behind `OPT_OWNER_AND_TYPE`: size, extended RCODE, version, flags, and the length of its options.
_BEHIND_TYPE: Final = 8
#: Octets of a cookie that is the only option: a new client's, and that of a client which has a server cookie of RFC 9018.
_NEW: Final = msg.CLIENT_COOKIE_SIZE
_KNOWN: Final = msg.COOKIE_SIZE
#: Octets from behind `OPT_OWNER_AND_TYPE` to such a cookie: code and length of the option as well.
_TO_COOKIE: Final = _BEHIND_TYPE + 4
#: Octets from behind `OPT_OWNER_AND_TYPE` to the end of the message.
_WITH_NEW: Final = _TO_COOKIE + _NEW
_WITH_KNOWN: Final = _TO_COOKIE + _KNOWN
#: Octets of the shortest query: a header and the root's question.
_SHORTEST: Final = 17


class EdnsForms:
    """Makes the keys of datagrams, and learns how OPT records look.

    Those are few, as clients differ in their sizes and in DO: so a look-up of the octets at the end replaces all checks. What
    `any_key` said of a form before, it would say again, since only the question in front of it differs.
    """

    def __init__(self) -> None:
        #: The mark for what stands behind `OPT_OWNER_AND_TYPE`, and the same up to a cookie of either size.
        self._plain: dict[bytes, bytes] = {}
        self._new: dict[bytes, tuple[bytes, Callable[[int], None]]] = {}
        self._known: dict[bytes, tuple[bytes, Callable[[int], None]]] = {}
        #: By our OPT record, where in `folded` the client cookies begin of those datagrams whose key `keys` told last.
        self.cookies: dict[bytes, list[int]] = {record: [] for record in COOKIE_RECORDS}
        #: Octets of the cookie that each datagram of the last batch had; 0 if they differed.
        self._all_had = 0

    def __repr__(self) -> str:
        return f"EdnsForms({len(self._plain)}, {len(self._new)}, {len(self._known)})"

    def keys(self, folded: bytes, starts: Sequence[int], lengths: Sequence[int]) -> list[bytes]:
        """The key of each datagram folded[start:start + length], which is in lower case, as far as it is known.

        Empty, or a key that no query has, for all others: `any_key` has to look.
        """
        plain, new, known = self._plain.get, self._new.get, self._known.get
        for places in self.cookies.values():
            places.clear()
        if self._all_had and (found := self._keys_of_one_form(folded, starts, lengths, self._all_had)) is not None:
            return found
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
            form = new(folded[end - _WITH_NEW : end - _NEW])
            if form is not None:
                mark, note = form
                keys.append(folded[at + 2 : end - _WITH_NEW] + mark)
                note(end - _NEW)
                continue
            form = known(folded[end - _WITH_KNOWN : end - _KNOWN])
            if form is None:
                keys.append(b"")
                continue
            mark, note = form
            keys.append(folded[at + 2 : end - _WITH_KNOWN] + mark)
            note(end - _KNOWN)
        self._all_had = 0
        if keys and len(keys) in map(len, self.cookies.values()):
            end = starts[0] + lengths[0]
            self._all_had = _NEW if new(folded[end - _WITH_NEW : end - _NEW]) is not None else _KNOWN
        return keys

    def _keys_of_one_form(
        self, folded: bytes, starts: Sequence[int], lengths: Sequence[int], size: int
    ) -> list[bytes] | None:
        """The same if all datagrams have one known form, with a cookie of `size` octets; else None.

        So it is while one resolver asks, or a flood comes from one program. It takes half as long.
        """
        forms, back = (self._new, _WITH_NEW) if size == _NEW else (self._known, _WITH_KNOWN)
        ends = list(map(add, starts, lengths))
        tails = [folded[end - back : end - size] for end in ends]
        form = forms.get(tails[0]) if tails else None
        if form is None or tails.count(tails[0]) != len(tails):
            return None
        mark, _ = form
        self.cookies[OPT_RECORDS[mark]] += [end - size for end in ends]
        # One without an OPT record, whose end looks like one, gets a key that no query has.
        return [folded[at + 2 : end - back] + mark for at, end in zip(starts, ends)]  # noqa: B905 - there are more starts than needed, and strict costs

    def key(self, folded: bytes) -> bytes:
        """The same for a single datagram of at least 12 octets."""
        if not folded[11]:
            return folded[2:]
        mark = self._plain.get(folded[-_BEHIND_TYPE:])
        if mark is not None:
            return folded[2:-_BEHIND_TYPE] + mark
        form = self._new.get(folded[-_WITH_NEW:-_NEW])
        if form is not None:
            return folded[2:-_WITH_NEW] + form[0]
        form = self._known.get(folded[-_WITH_KNOWN:-_KNOWN])
        return b"" if form is None else folded[2:-_WITH_KNOWN] + form[0]

    def learn(self, key: bytes, octets: bytes) -> None:
        """Remember the OPT record of `octets`, whose key is `key`."""
        if key[NAME - 1 : NAME] != b"\1":
            return
        rest = octets[len(key) + 1 :].lower()
        mark = key[-1:]
        if len(rest) == _BEHIND_TYPE:
            if len(self._plain) >= _MOST_FORMS:
                self._plain.clear()
            self._plain[rest] = mark
        elif mark in WITHOUT_COOKIE and len(rest) in (_WITH_NEW, _WITH_KNOWN):
            forms = self._new if len(rest) == _WITH_NEW else self._known
            # It is the only option if it is as long as all of them.
            if rest[_TO_COOKIE - 1] == len(rest) - _TO_COOKIE:
                if len(forms) >= _MOST_FORMS:
                    forms.clear()
                forms[rest[:_TO_COOKIE]] = mark, self.cookies[OPT_RECORDS[mark]].append


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


def has_cookie(key: bytes) -> bool:
    """Whether the queries with this key have a cookie."""
    return key[-1:] in WITHOUT_COOKIE


def cookie_start(key: bytes) -> int:
    """Where the cookie of a query with this key begins, if that is its only EDNS option."""
    return len(key) + 1 + _TO_COOKIE


def has_lone_cookie(key: bytes, octets: bytes) -> bool:
    """Whether `octets`, whose key is `key`, has a cookie and no other EDNS option."""
    at = cookie_start(key)
    return has_cookie(key) and octets[at - 1] == len(octets) - at


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
    mark = DO if octets[end + 7] & 0x80 else PLAIN
    if octets[end + 3] << 8 | octets[end + 4] < msg.UDP_SIZE:
        mark = _SMALL[mark]
    while at < length:
        if at + 4 > length:
            return b""
        size = octets[at + 2] << 8 | octets[at + 3]
        if not octets[at] and octets[at + 1] == msg.COOKIE and mark not in WITHOUT_COOKIE:
            if size not in msg.COOKIE_SIZES:
                return b""
            mark = _WITH_COOKIE[mark]
        at += 4 + size
    if at != length:
        return b""
    return octets[2 : end + 3].lower() + mark
