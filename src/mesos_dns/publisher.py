"""The one way from what a source observes to the zone and its workers.

Observations, resolved host names and the addresses of this machine all end up in `_apply`: model,
ledger, zone, serial, workers. Long work is done in slices, between which the event loop runs.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Protocol

from mesos_dns.dns.rdata import Record
from mesos_dns.logs import RateLimited
from mesos_dns.mesos.state import Delta, Observation, Snapshot
from mesos_dns.names.model import Contributions, Model
from mesos_dns.names.reconciler import Reconciler
from mesos_dns.zone.change import Change
from mesos_dns.zone.contributors import Contribution, Ledger
from mesos_dns.zone.zone import Zone

log = logging.getLogger(__name__)


class Publish(Protocol):
    """Takes changes of the zone. The serial is its new one, or 0 if more follow before that is reached."""

    def __call__(self, change: Change) -> None:
        """Pass on."""


class Publisher:
    """Keeps `zone` in step with what is observed.

    `clock` is any steady clock in seconds, `epoch` the Unix time: serials begin there, grow with
    each change of content, and are above `last_serial`.
    """

    def __init__(
        self,
        model: Model,
        zone: Zone,
        publish: Publish,
        *,
        clock: Callable[[], float],
        epoch: Callable[[], float],
        last_serial: int = 0,
    ) -> None:
        self.model = model
        self.zone = zone
        self.loaded = asyncio.Event()
        self._publish = publish
        self._clock = clock
        self._epoch = epoch
        self._last_serial = last_serial
        self._observed = False
        self._found: dict[str, tuple[bytes, ...]] = {}
        self._ledger = Ledger(zone)
        self._reconciler = Reconciler(model)
        self._one_at_a_time = asyncio.Lock()
        self._warn = RateLimited(log, interval=600)

    def __repr__(self) -> str:
        return f"Publisher({self.model!r}, {self.zone!r})"

    def is_shared(self, record: Record) -> bool:
        """Whether more than one entity contributes `record`."""
        return self._ledger.is_shared(record)

    async def inherit(self, former: "Publisher") -> None:
        """Begin with what `former` knows of the same cluster, instead of with nothing.

        What it kept through a master failover is kept on (names.failover). Nothing is served of it
        before the first observation.
        """
        async with self._one_at_a_time:
            self._reconciler.inherit(former._reconciler)
            self.model.know_hosts_of(former.model)
            masters = [self.model.set_masters(former.model.masters, former.model.leader)]
            await self._apply(_chain(masters, self.model.apply(former.model.everything())))

    async def observe(self, observation: Observation) -> None:
        """Take what a source has observed."""
        async with self._one_at_a_time:
            if isinstance(observation, Snapshot):
                delta = self._reconciler.delta(observation, self._clock())
                self._observed = True
                # An empty model withdraws nothing.
                take = self._load if self.model.is_empty and not self.zone.serial else self._apply
                first = [self.model.set_masters(observation.masters, observation.leader)]
                await take(_chain(first, self.model.apply(delta)))
                self.loaded.set()
                self._report(delta)
            else:
                await self._apply(self.model.apply(observation))

    async def hosts_found(self, found: Mapping[str, tuple[bytes, ...]]) -> None:
        """Take addresses of host names. What comes while others are being taken is taken together."""
        self._found.update(found)
        async with self._one_at_a_time:
            together, self._found = self._found, {}
            if together:
                self.model.forget_hosts(self.model.host_names())
                await self._apply(self.model.set_hosts(together))

    async def self_found(self, addresses: Iterable[bytes]) -> None:
        """Take the addresses of this machine."""
        async with self._one_at_a_time:
            await self._apply([self.model.set_self(addresses)])

    async def _apply(self, slices: Iterable[Contributions]) -> None:
        """Let contributions become records. The serial moves at the end, and only if anything changed."""
        pending: Change | None = None
        for withdrawn, contributed in slices:
            if withdrawn or contributed:
                change = self._ledger.apply(withdrawn, contributed)
                if change.edits or change.nodes:
                    if pending is not None:
                        self._publish(pending._replace(serial=0))
                    pending = change
            await asyncio.sleep(0)
        # Before the first state there is nothing to serve, only parts of it.
        if self._observed and (pending is not None or not self.zone.serial):
            serial = self._next_serial()
            self.zone.apply(Change(serial, ()))
            self._publish((pending or Change(0, ()))._replace(serial=serial))
        elif pending is not None:
            # A worker that had its snapshot before needs these parts, too.
            self._publish(pending._replace(serial=0))

    async def _load(self, slices: Iterable[Contributions]) -> None:
        """Take a first state: workers first, so that they answer, and then this zone, which counts.

        That takes a second for 100,000 tasks. Until its end the zone is behind its replicas.
        """
        uncounted: list[list[Contribution]] = []
        self.zone.behind = True
        for _, contributed in slices:
            if contributed:
                # As good as what the ledger would make of it, as long as nothing is withdrawn.
                self._publish(Change(0, (), contributed))
                uncounted.append(contributed)
            await asyncio.sleep(0)
        serial = self._next_serial()
        self._publish(Change(serial, ()))
        for contributed in uncounted:
            self._ledger.apply((), contributed)
            await asyncio.sleep(0)
        self.zone.behind = False
        self.zone.apply(Change(serial, ()))
        # Whoever waits for a zone that can be copied shall look again.
        self._publish(Change(0, ()))

    def _next_serial(self) -> int:
        # 0 would mean that nothing is loaded.
        self._last_serial = max(self._last_serial + 1, int(self._epoch())) & 0xFFFFFFFF or 1
        return self._last_serial

    def _report(self, delta: Delta) -> None:
        log.log(
            logging.INFO if delta != Delta() else logging.DEBUG,
            "state taken: %d tasks changed, %d gone; serial %d, %d names",
            len(delta.tasks),
            len(delta.tasks_gone),
            self.zone.serial,
            len(self.zone),
        )
        skipped = self.model.naming.skipped
        for reason, times in skipped.counts.items():
            examples = "; ".join(skipped.examples(reason)) or "some that came later"
            self._warn.warning(reason, "without some names: %d (%s), for example %s", times, reason, examples)


def _chain(first: Iterable[Contributions], rest: Iterable[Contributions]) -> Iterator[Contributions]:
    yield from first
    yield from rest
