"""How a zone changes. Pure: types only."""

from collections.abc import Sequence
from typing import NamedTuple

from mesos_dns.zone.rrsets import Owners, RRsets

#: What owners lose, and what they then gain: rdata by type. Rdata are sets: adding what is there, and removing what is not, alters
#: nothing. A plain tuple, for a first state has a million of them, and named ones take five times as long to make.
RRsetChange = tuple[Owners, RRsets, RRsets]


class ZoneChange(NamedTuple):
    """A part of the change that leads to `serial`.

    All parts of one change have its serial. The zone takes that serial with the part that is `complete`: it comes last, and may hold
    nothing else.
    """

    serial: int
    changes: Sequence[RRsetChange]
    complete: bool = True
