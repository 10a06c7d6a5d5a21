"""How a zone changes. Pure: types only."""

from collections.abc import Sequence
from typing import NamedTuple

from mesos_dns.zone.rrsets import Node, Owners, Rdatas


class Edit(NamedTuple):
    """What changes at one owner and type; rdata is a set: adding what is there alters nothing."""

    owner: bytes
    rrtype: int
    removed: Rdatas
    added: Rdatas


class Change(NamedTuple):
    """What leads to `serial`: edits, and owners with record sets that they are given, mostly new ones.

    A node means the same as an edit for each of its record sets; nearly all of a first load are nodes.
    """

    serial: int
    edits: tuple[Edit, ...]
    nodes: Sequence[tuple[Owners, Node]] = ()
