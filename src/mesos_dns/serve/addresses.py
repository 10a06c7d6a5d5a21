"""Who sent a datagram, in the form that the rest of the program takes. Edge: socket."""

import socket
from typing import Final

from mesos_dns.dns.prefixes import client_of

#: Octets for what the kernel says beside a datagram: the address that was asked.
ANCILLARY_ROOM: Final = 64
#: Clients whose addresses are kept in both forms. Beyond, all are forgotten.
_MOST_ADDRESSES: Final = 4096

#: What the kernel says beside a datagram, in the form that Python's sockets take: level, kind, octets.
Ancillary = list[tuple[int, int, bytes]]


class PackedAddresses:
    """The clients behind the addresses that the sockets of a family give as text. Those of late are remembered."""

    def __init__(self, family: int) -> None:
        self._family = family
        self.known: dict[str, bytes] = {}

    def __repr__(self) -> str:
        return f"PackedAddresses({len(self.known)})"

    def client(self, host: str) -> bytes:
        """The client with that address, packed."""
        packed = self.known.get(host)
        if packed is None:
            if len(self.known) >= _MOST_ADDRESSES:
                self.known.clear()
            packed = self.known[host] = client_of(socket.inet_pton(self._family, host.partition("%")[0]))
        return packed
