"""All workers of one configuration: started together, told of each change, stopped together."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence

from mesos_dns.certificates import KeyPair
from mesos_dns.dns.prefixes import Prefix
from mesos_dns.metrics import Metric, summed
from mesos_dns.querylog.logs import QueryLog
from mesos_dns.serve.forward.options import ForwardOptions
from mesos_dns.sockets import Pair
from mesos_dns.workers.handle import WorkerHandle
from mesos_dns.workers.propagation import Propagation
from mesos_dns.workers.protocol import CookieSecrets, Settings
from mesos_dns.workers.questions import NoAnswerError
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
        self._turn = 0
        #: How long changes take to be served.
        self.propagation = Propagation()
        self.workers = [
            WorkerHandle(n, pair, settings, zones, spawner, self._changed.set, self.propagation)
            for n, pair in enumerate(pairs)
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

    def keep_logs(self, logs: Sequence[QueryLog]) -> None:
        """Have all workers keep these query logs and no others."""
        for worker in self.workers:
            worker.keep_logs(logs)

    def collect(self, take: Callable[[bytes], None]) -> None:
        """Give what workers put down in query logs to `take`, a parcel at a time (see `querylog.logs`)."""
        for worker in self.workers:
            worker.on_records = take

    def renew(self, pair: KeyPair) -> None:
        """Let all workers show new connections over TLS another certificate."""
        for worker in self.workers:
            worker.renew(pair)

    async def ask(self, octets: bytes, client: bytes) -> bytes:
        """The reply of some worker to any message that came over HTTPS from `client`, its packed address; empty if it deserves none.

        Workers take turns; those without a zone come last. Another one is asked if one ends meanwhile. Raises NoAnswerError.
        """
        self._turn += 1
        turn = self._turn % max(len(self.workers), 1)
        workers = self.workers[turn:] + self.workers[:turn]
        for worker in sorted(workers, key=lambda worker: not worker.is_serving):
            if worker.asking is not None:
                with contextlib.suppress(NoAnswerError):
                    return await worker.asking.ask(octets, client)
        raise NoAnswerError

    def use_cookies(self, cookies: CookieSecrets) -> None:
        """Have all workers work with other secrets of cookies."""
        for worker in self.workers:
            worker.use_cookies(cookies)

    def forward(self, options: ForwardOptions) -> None:
        """Have the upstreams of `options` asked from now on; all else in it must be as it was."""
        for worker in self.workers:
            worker.forward(options)

    def kill(self) -> None:
        """End all workers at once, for good."""
        for worker in self.workers:
            worker.kill()

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

    def counters(self) -> dict[str, float]:
        """Sums over all workers, and over all processes that each has had."""
        return summed(*(worker.total_counters() for worker in self.workers))

    def declared(self) -> dict[str, Metric]:
        """What workers count and measure, by name."""
        return {name: metric for worker in self.workers for name, metric in worker.declared.items()}
