"""The address records of one host or of several, as the zone keeps them. Pure."""

from collections import Counter
from typing import Final

from mesos_dns.dns.rdata import AAAA, A
from mesos_dns.limits import MAX_ADDRESSES
from mesos_dns.names.suffixes import Addresses
from mesos_dns.zone.rrsets import RRsets

#: Agents whose address records are remembered; beyond, all are forgotten at once.
_MAX_AGENT_NODES: Final = 20_000


class AgentRRsets(dict[Addresses, RRsets]):
    """The record sets of agents' addresses; made when first looked up."""

    def __missing__(self, addresses: Addresses) -> RRsets:
        if len(self) >= _MAX_AGENT_NODES:
            self.clear()
        rrsets = self[addresses] = rrsets_of_addresses(addresses)
        return rrsets


def address_rrsets(several: list[Addresses]) -> list[RRsets]:
    """The addresses of several hosts: the rrsets of all that are there at all, of those that are there twice, and so on."""
    found = []
    addresses = [address for one in several for address in one]
    while addresses:
        different = tuple(dict.fromkeys(addresses))
        found.append(rrsets_of_addresses(different))
        if len(different) == len(addresses):
            break
        left = Counter(addresses)
        left.subtract(different)
        addresses = [*left.elements()]
    return found


def rrsets_of_addresses(addresses: Addresses) -> RRsets:
    """The rrsets of these addresses; empty without any."""
    if len(addresses) == 1:
        return ((A if len(addresses[0]) == 4 else AAAA, addresses),)
    if not addresses:
        return ()
    old, new = [], []
    for address in addresses:
        if len(address) == 4:
            old.append(address)
        else:
            new.append(address)
    if not new:
        return ((A, tuple(old)),)
    return ((A, tuple(old)), (AAAA, tuple(new))) if old else ((AAAA, tuple(new)),)


def usual_addresses(addresses: Addresses) -> bool:
    """Whether none is given twice, and there are not too many."""
    return len(addresses) == len(set(addresses)) <= MAX_ADDRESSES
