"""Which answers a query log has. Pure."""

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from mesos_dns.dns import name as names
from mesos_dns.dns.message import RCODES
from mesos_dns.dns.prefixes import ClientList, Clients, Prefix
from mesos_dns.querylog.answered import name_of
from mesos_dns.quoting import quoted

#: Names, RCODEs and entries of clients that one log may be restricted to: each answer is held against all of them.
MAX_SELECTED: Final = 100


_RCODES: Final = {word: number for number, word in RCODES.items()}


def rcode_named(text: str) -> int:
    """The RCODE that people call so, in any letter case. ValueError if there is none."""
    found = _RCODES.get(text.upper())
    if found is None:
        raise ValueError(f"{quoted(text)} is no RCODE; expected one of {', '.join(_RCODES)}")
    return found


class Selection(msgspec.Struct, frozen=True, array_like=True):
    """What a log is restricted to: clients, names in lower-case wire form with what is below them, RCODEs; each empty for all.

    Of the answers that this leaves, one in `sample` is logged, by chance.
    """

    clients: ClientList = ClientList()
    names: tuple[bytes, ...] = ()
    rcodes: tuple[int, ...] = ()
    sample: int = 1


class Selector:
    """Tells which answers a selection takes. `networks` are those of this machine's interfaces, `chance` gives numbers from 0 to 1."""

    def __init__(self, wanted: Selection, networks: Sequence[Prefix], chance: Callable[[], float]) -> None:
        self._clients = None if wanted.clients.is_everybody else Clients(wanted.clients, networks)
        self._names = wanted.names
        self._rcodes = frozenset(wanted.rcodes)
        self._share = 1 / wanted.sample
        self._chance = chance

    def __repr__(self) -> str:
        return f"Selector({self._clients!r}, {self._names!r}, {sorted(self._rcodes)}, {self._share})"

    def use(self, networks: Sequence[Prefix]) -> None:
        """Take other networks of this machine's interfaces."""
        if self._clients is not None:
            self._clients.use(networks)

    def asks(self, client: bytes, query: bytes) -> bool:
        """Whether an answer to this query of this client, its packed address, may be wanted: what is cheap to tell comes first."""
        if self._clients is not None and not self._clients.allows(client):
            return False
        if self._names:
            name = name_of(query)
            if name is None or not any(names.is_below_or_at(name, apex) for apex in self._names):
                return False
        return True

    def takes(self, rcode: int) -> bool:
        """Whether an answer with this RCODE is wanted, of those that `asks` leaves: chance has its say, so ask once."""
        if self._rcodes and rcode not in self._rcodes:
            return False
        return self._share == 1 or self._chance() < self._share
