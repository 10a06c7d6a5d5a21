"""The zone: owner name → record sets, with everything an answer needs to know. Pure.

One class serves both kinds of process: control owns the authoritative zone, each worker a replica.
`apply` is the only way to alter it, but for `contributors`, and a change costs what it alters, not what the
zone holds.
"""

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Final, NamedTuple

from mesos_dns.dns import name as names
from mesos_dns.dns import rdata as rd
from mesos_dns.dns.rdata import AAAA, A, Record
from mesos_dns.limits import ZONE_PARTS, most_kept
from mesos_dns.zone.change import RRsetChange, ZoneChange
from mesos_dns.zone.rrsets import RdataSet, RRsets

#: Different addresses of each family whose record set is shared between names; beyond, sharing starts anew.
MAX_SHARED_RRSETS: Final = 20_000
#: Names with address records that a task has at least: so many, and more, share each record set that is worth sharing.
_NAMES_PER_ADDRESS: Final = 4


class Authority(NamedTuple):
    """Start of authority: names in wire form, times in seconds (RFC 1035 section 3.3.13).

    `ttl` is the TTL of every record of the zone. `redirects` are pairs of names in it: what is below the first is below the second, and
    both are equally long. They are DNAME records (RFC 6672), which the server follows itself: clients need not know them.
    """

    apex: bytes
    mname: bytes
    rname: bytes
    refresh: int
    retry: int
    expire: int
    minimum: int
    ttl: int
    redirects: tuple[tuple[bytes, bytes], ...] = ()

    def soa(self, serial: int) -> bytes:
        """SOA rdata."""
        return rd.soa(self.mname, self.rname, serial, self.refresh, self.retry, self.expire, self.minimum)


class _OwnerTable:
    """Owner → rrsets, in several dictionaries.

    A dictionary that grows is copied in one go: 23 ms at 350,000 names, in which no packet is answered.
    """

    def __init__(self) -> None:
        self.parts: tuple[dict[bytes, RRsets], ...] = tuple({} for _ in range(ZONE_PARTS))

    def __len__(self) -> int:
        return sum(map(len, self.parts))

    def __iter__(self) -> Iterator[bytes]:
        return chain.from_iterable(self.parts)

    def __contains__(self, owner: bytes) -> bool:
        return owner in self.parts[hash(owner) % ZONE_PARTS]

    def get(self, owner: bytes) -> RRsets | None:
        return self.parts[hash(owner) % ZONE_PARTS].get(owner)

    def remove(self, owner: bytes) -> None:
        del self.parts[hash(owner) % ZONE_PARTS][owner]


class Zone:
    """All record sets of one zone. `serial` is 0 until something is loaded.

    Owners outside the apex (a name server's own name may lie there) are kept, but `exists` and
    the empty non-terminals only know names at or below the apex.
    """

    def __init__(self, authority: Authority) -> None:
        self.authority = authority
        self.serial = 0
        #: Set while replicas are given something that is not here yet: then this is no zone to copy.
        self.behind = False
        self._owners = _OwnerTable()
        #: For each name: how many names exist directly below it. Makes empty non-terminals known.
        self._children: dict[bytes, int] = {}
        #: Both to be read only, by those who cannot afford a call for each look: the rrsets of
        #: an owner is in parts[hash(owner) % ZONE_PARTS], and children has every name that others lie below.
        self.parts = self._owners.parts
        self.children = self._children
        self._shared: dict[int, dict[bytes, RRsets]] = {A: {}, AAAA: {}}
        #: Names that have records which are not among the owners: SOA and NS, DNAME. And what redirected names end in.
        self.special = frozenset({authority.apex, *(above for above, _ in authority.redirects)})
        self.redirected_ends = tuple([above for above, _ in authority.redirects])

    def __repr__(self) -> str:
        return f"Zone({names.to_text(self.authority.apex)!r}, serial={self.serial}, names={len(self._owners)})"

    def __len__(self) -> int:
        """How many names have records, the apex with its SOA and NS not counted."""
        return len(self._owners)

    def __bool__(self) -> bool:
        """A zone without names is a zone, too."""
        return True

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._owners)

    # --- reading -------------------------------------------------------------------------------

    def rrsets(self, owner: bytes) -> RRsets | None:
        """The record sets at `owner`, or None; SOA and NS of the apex are not among them, nor is DNAME."""
        return self._owners.get(owner)

    def redirected(self, name: bytes) -> bytes:
        """The name that has the records of `name`: itself, or by a redirect another, just as long."""
        for above, other in self.authority.redirects:
            # This server's own name may lie there; it is what it is.
            if name != above and names.is_below_or_at(name, above) and name not in self._owners:
                return name[: len(name) - len(above)] + other
        return name

    def rdataset(self, owner: bytes, rrtype: int) -> RdataSet:
        """The record set of `rrtype` at `owner`, possibly empty."""
        for found, rdataset in self._owners.get(owner) or ():
            if found == rrtype:
                return rdataset
        return ()

    def exists(self, owner: bytes) -> bool:
        """Whether `owner` has records or is an empty non-terminal (RFC 8020): then it is no NXDOMAIN."""
        return owner in self._owners or owner in self._children or owner in self.special

    def soa(self) -> bytes:
        """SOA rdata with the present serial."""
        return self.authority.soa(self.serial)

    def records(self) -> Iterator[Record]:
        """All records but SOA, NS and DNAME, in no particular order."""
        for owner in self._owners:
            for rrtype, rdataset in self._owners.get(owner) or ():
                for rdata in rdataset:
                    yield owner, rrtype, rdata

    # --- writing -------------------------------------------------------------------------------

    def apply(self, change: ZoneChange) -> None:
        """Take a part of a change, and with the last one its serial; applying a part twice is harmless."""
        # Together, for an owner that gains a record from each of a thousand instances would be rebuilt a thousand times.
        more: dict[bytes, list[RRsets]] = {}
        for place, owner in self.place(change.changes):
            more.setdefault(owner, []).append(change.changes[place][2])
        for owner, given in more.items():
            self._alter(owner, (), given)
        for owners, removed, added in change.changes:
            if removed:
                for owner in owners:
                    self._alter(owner, removed, (added,))
        if change.complete:
            self.serial = change.serial
            self._forget_surplus()

    def place(self, changes: Iterable[RRsetChange]) -> list[tuple[int, bytes]]:
        """Make those of `changes` that only give something to owners without records; the other owners of such, and their places.

        The serial stays.
        """
        # A new owner whose parent is known, by far the most frequent case of a first load, is dealt with
        # right here: calls would double its cost.
        parts, children = self._owners.parts, self._children
        left: list[tuple[int, bytes]] = []
        for place, (owners, removed, added) in enumerate(changes):
            if removed:
                continue
            rrsets = self._share(added)
            for owner in owners:
                part = parts[hash(owner) % ZONE_PARTS]
                if owner in part:
                    left.append((place, owner))
                    continue
                part[owner] = rrsets
                above = owner[owner[0] + 1 :]
                siblings = children.get(above)
                if siblings is not None and owner not in children:
                    children[above] = siblings + 1
                else:
                    self._appear(owner)
        return left

    def _share(self, rrsets: RRsets) -> RRsets:
        """The same rrsets, as one object for all: worth its time for single addresses, which many names may have."""
        rrtype, rdataset = rrsets[0]
        shared = self._shared.get(rrtype)
        if shared is None or len(rdataset) > 1 or len(rrsets) > 1:
            return rrsets
        if len(shared) >= MAX_SHARED_RRSETS:
            shared.clear()
        return shared.setdefault(rdataset[0], rrsets)

    def _forget_surplus(self) -> None:
        """Begin sharing anew when most record sets that are shared must be those of addresses long gone."""
        most = most_kept(len(self._owners) // _NAMES_PER_ADDRESS)
        for shared in self._shared.values():
            if len(shared) > most:
                shared.clear()

    def _alter(self, owner: bytes, removed: RRsets, added: Iterable[RRsets]) -> None:
        """Take rdata from the record sets of `owner`, and then give it more."""
        before = self._owners.get(owner)
        sets: dict[int, RdataSet] = dict(before or ())
        for rrtype, rdataset in removed:
            gone = frozenset(rdataset)
            sets[rrtype] = tuple([rdata for rdata in sets.get(rrtype, ()) if rdata not in gone])
        gained: dict[int, list[bytes]] = {}
        for rrsets in added:
            for rrtype, rdataset in rrsets:
                gained.setdefault(rrtype, []).extend(rdataset)
        for rrtype, more in gained.items():
            sets[rrtype] = tuple(dict.fromkeys((*sets.get(rrtype, ()), *more)))
        now = tuple(sorted([(rrtype, rdataset) for rrtype, rdataset in sets.items() if rdataset]))
        if now:
            self._owners.parts[hash(owner) % ZONE_PARTS][owner] = self._share(now)
            if before is None:
                self._appear(owner)
        elif before is not None:
            self._owners.remove(owner)
            self._vanish(owner)

    def _appear(self, owner: bytes) -> None:
        """Count `owner` at its parent, and the parent at its own if it did not exist before."""
        if owner in self._children:
            return  # It was an empty non-terminal, which its parent counts already.
        apex = self.authority.apex
        above = owner[owner[0] + 1 :]
        siblings = self._children.get(above)
        if siblings is not None:
            self._children[above] = siblings + 1
            return
        if not names.is_below_or_at(owner, apex):
            return
        while owner != apex:
            above = names.parent(owner)
            siblings = self._children.get(above, 0)
            self._children[above] = siblings + 1
            if siblings or above in self._owners:
                return
            owner = above  # It exists from now on, too, and counts at its own parent.

    def _vanish(self, owner: bytes) -> None:
        apex = self.authority.apex
        if not names.is_below_or_at(owner, apex):
            return
        while owner != apex and owner not in self._owners and owner not in self._children:
            owner = names.parent(owner)
            left = self._children[owner] - 1
            if left:
                self._children[owner] = left
                return
            del self._children[owner]
