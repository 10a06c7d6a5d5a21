"""How a zone changes. Pure: types only."""

from collections.abc import Sequence
from typing import NamedTuple

from mesos_dns.zone.rrsets import Node, Owners


class RRsetChange(NamedTuple):
    """What these owners lose, and then gain: rdata by type.

    Rdata are sets: adding what is there, and removing what is not, alters nothing.
    """

    owners: Owners
    removed: Node
    added: Node


class ZoneChange(NamedTuple):
    """A part of the change that leads to `serial`.

    All parts of one change have its serial. The zone takes that serial with the part that is `complete`: it comes last, and may hold
    nothing else.
    """

    serial: int
    changes: Sequence[RRsetChange]
    complete: bool = True
