"""How long it takes until all workers answer from a change. Pure; time comes in."""

from collections import deque
from typing import Final

from mesos_dns.metrics import Distribution, histogram

#: Upper bounds of the buckets, in seconds.
_BOUNDS: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
#: Changes of one zone that are waited for: those of a minute at the highest rate. Of more the oldest are not measured.
_MOST_WAITING: Final = 10_000

_SECONDS: Final = histogram(
    "change_propagation_seconds",
    "Time from the reading of an event or a state that changed names to all workers answering accordingly.",
    _BOUNDS,
)


class _Zone:
    """The serials of one zone."""

    def __init__(self) -> None:
        #: Serials that are not served yet, with the time at which their change began.
        self.waiting: deque[tuple[int, float]] = deque(maxlen=_MOST_WAITING)
        #: What each worker answers from, by its number, and when the last of them said so.
        self.acknowledged: dict[int, int] = {}
        self.at = 0.0


class Propagation:
    """Follows the serials of zones from `published` to `acknowledged` by all workers that answer."""

    def __init__(self) -> None:
        self.seconds = Distribution(_SECONDS)
        self._zones: dict[bytes, _Zone] = {}

    def __repr__(self) -> str:
        return f"Propagation(waiting={sum(len(zone.waiting) for zone in self._zones.values())})"

    def published(self, apex: bytes, serial: int, begun: float) -> None:
        """The change that leads to this serial was given to all workers; it `begun` when what caused it was read."""
        zone = self._zone(apex)
        zone.waiting.append((serial, begun))
        self._settle(zone)

    def acknowledged(self, apex: bytes, worker: int, serial: int, now: float) -> None:
        """The worker with this number answers from this serial since `now`."""
        zone = self._zone(apex)
        zone.acknowledged[worker] = serial
        zone.at = now
        self._settle(zone)

    def gone(self, worker: int) -> None:
        """That worker answers no more: nobody waits for it."""
        for zone in self._zones.values():
            zone.acknowledged.pop(worker, None)

    def _zone(self, apex: bytes) -> _Zone:
        return self._zones.setdefault(apex, _Zone())

    def _settle(self, zone: _Zone) -> None:
        while zone.waiting and zone.acknowledged:
            wanted, begun = zone.waiting[0]
            if not all(_is_at_most(wanted, serial) for serial in zone.acknowledged.values()):
                return
            zone.waiting.popleft()
            self.seconds.observe(max(zone.at - begun, 0.0))


def _is_at_most(one: int, other: int) -> bool:
    """Whether a serial is the other or before it (RFC 1982)."""
    return (other - one) & 0xFFFFFFFF < 1 << 31
