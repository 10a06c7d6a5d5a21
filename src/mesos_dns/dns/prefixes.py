"""Prefixes of IP addresses, and which clients lie in a list of them. Pure."""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import msgspec

from mesos_dns.limits import MAX_KNOWN_CLIENTS

#: IPv6 addresses that stand for IPv4 ones (RFC 4291 section 2.5.5.2).
_MAPPED: Final = bytes(10) + b"\xff\xff"


def client_of(packed: bytes) -> bytes:
    """The client with that packed address: an IPv4 address that came in over IPv6 is that IPv4 address."""
    return packed[12:] if len(packed) == 16 and packed.startswith(_MAPPED) else packed


class Prefix(NamedTuple):
    """All addresses that begin with the first `length` bits of `network`, which is packed: 4 or 16 octets. Its other bits are 0."""

    network: bytes
    length: int


def prefix_of(packed: bytes, length: int) -> Prefix:
    """The prefix of that length in which an address lies."""
    bits = 8 * len(packed)
    network = int.from_bytes(packed) >> bits - length << bits - length
    return Prefix(network.to_bytes(len(packed)), length)


#: Every IPv4 and every IPv6 address.
EVERYBODY: Final = (Prefix(bytes(4), 0), Prefix(bytes(16), 0))


class ClientList(msgspec.Struct, frozen=True, array_like=True):
    """Who may do something, as a configuration says it: those in `allowed` who are not in `excluded`, whatever the order.

    `local` and `not_local` add the networks of this machine's own interfaces, which change, to the one or the other.
    """

    allowed: tuple[Prefix, ...] = EVERYBODY
    excluded: tuple[Prefix, ...] = ()
    local: bool = False
    not_local: bool = False

    @property
    def is_everybody(self) -> bool:
        """Whether there is nobody who may not."""
        return not self.excluded and not self.not_local and {*EVERYBODY} <= {*self.allowed}


class _Table:
    """Prefixes by length: a look-up takes as long as there are different lengths."""

    def __init__(self, prefixes: Iterable[Prefix]) -> None:
        by_length: dict[tuple[int, int], set[int]] = {}
        for network, length in prefixes:
            shift = 8 * len(network) - length
            by_length.setdefault((len(network), shift), set()).add(int.from_bytes(network) >> shift)
        #: By octets of an address: how far to shift it, and what is then one of the prefixes.
        self._by_size = {
            size: [(shift, found) for (octets, shift), found in by_length.items() if octets == size] for size in (4, 16)
        }

    def covers(self, client: bytes) -> bool:
        number = int.from_bytes(client)
        return any(number >> shift in found for shift, found in self._by_size.get(len(client), ()))


class Clients:
    """Tells who is on a `ClientList`. `networks` are those of this machine's interfaces."""

    def __init__(self, listed: ClientList, networks: Sequence[Prefix] = ()) -> None:
        self.listed = listed
        #: Addresses of clients that are on the list and were asked about, packed as they came in: IPv4 in its IPv6 form, too. For those
        #: who cannot afford a call.
        self.known: set[bytes] = set()
        self.use(networks)

    def __repr__(self) -> str:
        return f"Clients({self.listed!r}, known={len(self.known)})"

    def use(self, networks: Sequence[Prefix]) -> None:
        """Take other networks of this machine."""
        listed = self.listed
        self._allowed = _Table((*listed.allowed, *(networks if listed.local else ())))
        self._excluded = _Table((*listed.excluded, *(networks if listed.not_local else ())))
        self.known.clear()

    def allows(self, packed: bytes) -> bool:
        """Whether the client with that packed address is on the list. Nobody is whose address is unknown (no octets)."""
        if packed in self.known:
            return True
        client = client_of(packed)
        if not self._allowed.covers(client) or self._excluded.covers(client):
            return False
        if len(self.known) >= MAX_KNOWN_CLIENTS:
            self.known.clear()
        self.known.add(packed)
        return True
