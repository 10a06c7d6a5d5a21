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
from mesos_dns.names.failover import Reconciler
from mesos_dns.names.model import Contributions, Model
from mesos_dns.names.zone import Change, Ledger, Zone

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
                first = [self.model.set_masters(observation.masters, observation.leader)]
                await self._apply(_chain(first, self.model.apply(delta)))
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
            # 0 would mean that nothing is loaded.
            self._last_serial = max(self._last_serial + 1, int(self._epoch())) & 0xFFFFFFFF or 1
            self.zone.apply(Change(self._last_serial, ()))
            self._publish((pending or Change(0, ()))._replace(serial=self._last_serial))
        elif pending is not None:
            # A worker that had its snapshot before needs these parts, too.
            self._publish(pending._replace(serial=0))

    def _report(self, delta: Delta) -> None:
        log.log(
            logging.INFO if delta != Delta() else logging.DEBUG,
            "state taken: %d tasks changed, %d gone; serial %d, %d names",
            len(delta.tasks),
            len(delta.tasks_gone),
            self.zone.serial,
            len(self.zone),
        )
        for reason, times in self.model.naming.skipped.items():
            self._warn.warning(reason, "records without a usable name or port so far: %s: %d", reason, times)


def _chain(first: Iterable[Contributions], rest: Iterable[Contributions]) -> Iterator[Contributions]:
    yield from first
    yield from rest
