"""The address records of one host or of several, as the zone keeps them. Pure."""

from collections import Counter
from typing import Final

from mesos_dns.dns.rdata import AAAA, A
from mesos_dns.limits import MAX_ADDRESSES
from mesos_dns.names.suffixes import Addresses
from mesos_dns.zone.rrsets import Node

#: Agents whose address records are remembered; beyond, all are forgotten at once.
_MAX_AGENT_NODES: Final = 20_000


class AgentNodes(dict[Addresses, Node]):
    """The nodes of agents' addresses; made when first looked up."""

    def __missing__(self, addresses: Addresses) -> Node:
        if len(self) >= _MAX_AGENT_NODES:
            self.clear()
        node = self[addresses] = addresses_node(addresses)
        return node


def address_nodes(several: list[Addresses]) -> list[Node]:
    """The addresses of several hosts: the node of all that are there at all, of those that are there twice, and so on."""
    nodes = []
    addresses = [address for one in several for address in one]
    while addresses:
        different = tuple(dict.fromkeys(addresses))
        nodes.append(addresses_node(different))
        if len(different) == len(addresses):
            break
        left = Counter(addresses)
        left.subtract(different)
        addresses = [*left.elements()]
    return nodes


def addresses_node(addresses: Addresses) -> Node:
    """The node of these addresses; empty without any."""
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
