"""The zones of a server, and which of them a name belongs to. Pure."""

from collections.abc import Iterable, Iterator

from mesos_dns.dns import name as names
from mesos_dns.zone.zone import Authority, Zone


class Zones:
    """Zones by apex, none of which stands twice. A name belongs to the one with the longest apex above it (RFC 1034 section 4.3.2)."""

    def __init__(self, zones: Iterable[Zone]) -> None:
        self._by_apex = {zone.authority.apex: zone for zone in zones}

    @classmethod
    def of(cls, authorities: Iterable[Authority]) -> "Zones":
        """Empty zones."""
        return cls(map(Zone, authorities))

    def __repr__(self) -> str:
        return f"Zones({[*self._by_apex.values()]!r})"

    def __len__(self) -> int:
        return len(self._by_apex)

    def __iter__(self) -> Iterator[Zone]:
        """In the order in which they were given."""
        return iter(self._by_apex.values())

    def __getitem__(self, apex: bytes) -> Zone:
        """The zone with this apex; KeyError if there is none."""
        return self._by_apex[apex]

    def find(self, name: bytes) -> Zone | None:
        """The closest zone at or above `name` (lower-case wire form); None if no zone of ours is."""
        while name not in self._by_apex:
            if name == names.ROOT:
                return None
            name = names.parent(name)
        return self._by_apex[name]

    def replace(self, zone: Zone) -> None:
        """Put `zone` in the place of the one with the same apex. KeyError if there is none."""
        apex = zone.authority.apex
        if apex not in self._by_apex:
            raise KeyError(apex)
        self._by_apex[apex] = zone

    @property
    def loaded(self) -> bool:
        """Whether all of them have something to answer from."""
        return all(zone.serial for zone in self)
