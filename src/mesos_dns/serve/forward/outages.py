"""When nobody knows anything: zones whose upstreams all fail. Pure; times are seconds of a monotonic clock."""

from collections.abc import Hashable
from typing import Any, Final

from mesos_dns.serve.forward.upstreams import Upstreams

#: Seconds between two moments in which failures are forgiven, as upstreams are back: in between each is remembered as long as the first.
FORGIVE_SECONDS: Final = 5.0


class Outages:
    """Notes which zones have one, and says what that means for failures that are remembered."""

    def __init__(self) -> None:
        #: Zones whose upstreams all failed when they were asked last.
        self._zones: set[bytes] = set()
        self._forgiven = float("-inf")

    def __repr__(self) -> str:
        return f"Outages({len(self._zones)})"

    @property
    def lasting(self) -> bool:
        """Whether there is any."""
        return bool(self._zones)

    def failed(self, zone: bytes, upstreams: Upstreams[Any], question: Hashable, *, replied: bool) -> bool:
        """`question` failed; `replied` if anybody said anything. Whether all are down, who may be back at any time."""
        down = not replied and all(state.closed_to(question) for state in upstreams.states)
        if down or all(state.failing for state in upstreams.states):
            self._zones.add(zone)
        return down

    def over(self, zone: bytes, now: float) -> bool:
        """An upstream of `zone` has answered. Whether failures are to be forgiven: what nobody answered before may be asked again."""
        if zone not in self._zones or now - self._forgiven < FORGIVE_SECONDS:
            return False
        self._zones.discard(zone)
        self._forgiven = now
        return True
