"""All workers of one configuration: started together, told of each change, stopped together."""

import asyncio
from collections.abc import Sequence

from mesos_dns.sockets import Pair
from mesos_dns.workers.handle import Slot
from mesos_dns.workers.protocol import Settings
from mesos_dns.workers.replication import frames_of
from mesos_dns.workers.spawner import Nursery
from mesos_dns.zone.change import Change
from mesos_dns.zone.zone import Zone


class WorkerPool:
    """All workers of one generation. `zone` is the authoritative one; `publish` tells what changed in it."""

    def __init__(self, pairs: Sequence[Pair], settings: Settings, zone: Zone, nursery: Nursery) -> None:
        self._zone = zone
        self._changed = asyncio.Event()
        self.slots = [Slot(n, pair, settings, zone, nursery, self._changed.set) for n, pair in enumerate(pairs)]

    def __repr__(self) -> str:
        return f"WorkerPool({self.slots!r})"

    def start(self) -> None:
        """Start all workers."""
        for slot in self.slots:
            slot.start()

    async def stop(self) -> None:
        """Drain all workers."""
        await asyncio.gather(*(slot.stop() for slot in self.slots))

    def publish(self, change: Change) -> None:
        """Pass a change on; its serial is the zone's new one, or 0 if more follow before it is reached."""
        frames = frames_of(change) if any(slot.wants_changes for slot in self.slots) else []
        for slot in self.slots:
            slot.push(frames)

    async def serving(self) -> None:
        """Wait until every worker serves some version of the zone."""
        while self.behind():
            self._changed.clear()
            await self._changed.wait()

    def behind(self) -> list[Slot]:
        """The workers that have no zone to answer from."""
        return [slot for slot in self.slots if not slot.serving]
