"""Finished replies, remembered. Pure.

The key is the query without its ID and without its EDNS options, in lower case. Thus neither random
letter case (0x20) nor cookies nor differing EDNS sizes defeat it, and header flags that a reply
copies are part of it. Folding the case also folds flag and type octets: types 65 to 90 onto 97 to
122, of which this zone has none, so that their replies are alike (NODATA, NXDOMAIN).
"""

from collections import deque
from collections.abc import Callable, Sequence
from itertools import cycle

from mesos_dns.limits import MEMO_FOUND, MEMO_LARGE, MEMO_NOT_FOUND

#: Header octets 2 to 12, and the tail, or a function that gives one tail after the other.
Entry = tuple[bytes, bytes | Callable[[], bytes]]


#: Tails that take more octets than this together are kept in smaller numbers.
LARGE = 256


class Memo:
    """A bounded map of key → entry: first in, first out.

    Three queues bound it: small answers, large answers, and names or types that do not exist. A
    flood of unknown names therefore only ever evicts other unknown names.
    """

    def __init__(self, small: int = MEMO_FOUND, large: int = MEMO_LARGE, missing: int = MEMO_NOT_FOUND) -> None:
        #: Read by the answering loops directly: a call per packet would cost more than the look-up.
        self.entries: dict[bytes, Entry] = {}
        self._bounds = {"small": small, "large": large, "missing": missing}
        self._keys: dict[str, deque[bytes]] = {kind: deque() for kind in self._bounds}
        self._garbage: list[dict[bytes, Entry]] = []

    def __repr__(self) -> str:
        return f"Memo({', '.join(f'{kind}={len(keys)}' for kind, keys in self._keys.items())})"

    def remember(self, key: bytes, head: bytes, tails: Sequence[bytes], *, found: bool) -> None:
        """Keep a rendering under `key`; the oldest of its kind goes when there is no room."""
        if key in self.entries:
            return
        kind = "missing" if not found else "small" if sum(map(len, tails)) <= LARGE else "large"
        keys = self._keys[kind]
        if len(keys) >= self._bounds[kind]:
            del self.entries[keys.popleft()]
        keys.append(key)
        self.entries[key] = head, tails[0] if len(tails) == 1 else cycle(tails).__next__

    def forget(self) -> None:
        """Drop everything, since the zone changed. Freed bit by bit in `sweep`, not all at once."""
        if self.entries:
            self._garbage.append(self.entries)
            self.entries = {}
            self._keys = {kind: deque() for kind in self._bounds}

    def sweep(self, most: int = 500) -> None:
        """Free up to `most` dropped entries: more than one batch of packets can add."""
        while self._garbage and most:
            dropped = self._garbage[-1]
            if dropped:
                dropped.popitem()
                most -= 1
            else:
                self._garbage.pop()


def edns_key(octets: bytes) -> tuple[bytes, int] | None:
    """The key of a query with one well-formed OPT record at its end, and the client's UDP size.

    None if it is anything else: then `dns.message.parse` has to look at it.
    """
    # The first zero octet ends the name: if another name had one inside a label, its octets before
    # it would not be those of the entry that is found.
    end = octets.find(0, 12) + 5
    length = len(octets)
    at = end + 11
    if at > length or end < 17 or octets[end : end + 3] != b"\0\0\x29" or octets[end + 6] or octets[end + 5]:
        return None
    if at + (octets[end + 9] << 8 | octets[end + 10]) != length:
        return None
    while at < length:
        at += 4 + (octets[at + 2] << 8 | octets[at + 3]) if at + 4 <= length else length
    if at != length:
        return None
    # The capital sets it apart from all keys of plain queries, which are datagrams in lower case.
    key = octets[2:end].lower() + (b"D" if octets[end + 7] & 0x80 else b"E")
    return key, octets[end + 3] << 8 | octets[end + 4]
