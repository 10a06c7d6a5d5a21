"""All workers of one configuration: started together, told of each change, stopped together."""

import asyncio
from collections import Counter
from collections.abc import Sequence

from mesos_dns.dns.prefixes import Prefix
from mesos_dns.sockets import Pair
from mesos_dns.workers.handle import WorkerHandle
from mesos_dns.workers.protocol import Settings
from mesos_dns.workers.replication import update_frames
from mesos_dns.workers.spawner import ProcessSpawner
from mesos_dns.zone.change import ZoneChange
from mesos_dns.zone.zones import Zones


class WorkerPool:
    """One worker for each of `pairs`. `zones` are the authoritative ones; `publish` tells what changed in them.

    Workers answer nothing before `listen`.
    """

    def __init__(self, pairs: Sequence[Pair], settings: Settings, zones: Zones, spawner: ProcessSpawner) -> None:
        self._changed = asyncio.Event()
        self.workers = [
            WorkerHandle(n, pair, settings, zones, spawner, self._changed.set) for n, pair in enumerate(pairs)
        ]

    def __repr__(self) -> str:
        return f"WorkerPool({self.workers!r})"

    def start(self) -> None:
        """Start all workers."""
        for worker in self.workers:
            worker.start()

    def listen(self) -> None:
        """Let all workers answer; their sockets must be bound."""
        for worker in self.workers:
            worker.listen()

    def networks_found(self, networks: tuple[Prefix, ...]) -> None:
        """Tell all workers of the networks of this machine's interfaces."""
        for worker in self.workers:
            worker.networks_found(networks)

    async def stop(self) -> None:
        """Drain all workers."""
        await asyncio.gather(*(worker.stop() for worker in self.workers))

    def publish(self, zone: bytes, change: ZoneChange) -> None:
        """Pass on a part of a change of the zone with the apex `zone`."""
        frames = update_frames(zone, change) if any(worker.wants_changes for worker in self.workers) else []
        for worker in self.workers:
            worker.push(frames)

    async def serving(self) -> None:
        """Wait until every worker serves some version of every zone."""
        while not all(worker.is_serving for worker in self.workers):
            self._changed.clear()
            await self._changed.wait()

    def troubles(self) -> list[str]:
        """One line for each worker that does not answer as it should."""
        return [trouble for worker in self.workers if (trouble := worker.trouble) is not None]

    def counters(self) -> Counter[str]:
        """Sums over all workers, and over all processes that each has had."""
        return sum((worker.total_counters() for worker in self.workers), Counter())
