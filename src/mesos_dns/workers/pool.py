"""All workers of one configuration: started together, told of each change, stopped together."""

import asyncio
from collections.abc import Sequence

from mesos_dns.sockets import Pair
from mesos_dns.workers.handle import Slot
from mesos_dns.workers.protocol import Settings
from mesos_dns.workers.replication import update_frames
from mesos_dns.workers.spawner import Nursery
from mesos_dns.zone.change import ZoneChange
from mesos_dns.zone.zones import Zones


class WorkerPool:
    """All workers of one generation. `zones` are the authoritative ones; `publish` tells what changed in them."""

    def __init__(self, pairs: Sequence[Pair], settings: Settings, zones: Zones, nursery: Nursery) -> None:
        self._changed = asyncio.Event()
        self.slots = [Slot(n, pair, settings, zones, nursery, self._changed.set) for n, pair in enumerate(pairs)]

    def __repr__(self) -> str:
        return f"WorkerPool({self.slots!r})"

    def start(self) -> None:
        """Start all workers."""
        for slot in self.slots:
            slot.start()

    async def stop(self) -> None:
        """Drain all workers."""
        await asyncio.gather(*(slot.stop() for slot in self.slots))

    def publish(self, zone: bytes, change: ZoneChange) -> None:
        """Pass on a part of a change of the zone with the apex `zone`."""
        frames = update_frames(zone, change) if any(slot.wants_changes for slot in self.slots) else []
        for slot in self.slots:
            slot.push(frames)

    async def serving(self) -> None:
        """Wait until every worker serves some version of every zone."""
        while self.behind():
            self._changed.clear()
            await self._changed.wait()

    def behind(self) -> list[Slot]:
        """The workers that lack a zone to answer from."""
        return [slot for slot in self.slots if not slot.is_serving]
