"""The one way from what a source observes to the zones and their workers.

Observations, resolved host names and the addresses of this machine all end up in `_apply`: model, zones with their serials,
workers. Long work is done in slices, between which the event loop runs.
"""

import asyncio
import logging
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Protocol

from mesos_dns.concurrency import Broadcast
from mesos_dns.dns.rdata import Record
from mesos_dns.logs import RateLimited
from mesos_dns.mesos.state import Delta, Hidden, Observation, Snapshot
from mesos_dns.names import causes
from mesos_dns.names.holds import Cause, Held, Holds, totals
from mesos_dns.names.model import Contributions, Model
from mesos_dns.names.reconciler import Reconciler
from mesos_dns.zone.change import ZoneChange
from mesos_dns.zone.contributors import Contribution
from mesos_dns.zone.editor import ZoneEditor
from mesos_dns.zone.journal import Because, ChangeNotes, Journal
from mesos_dns.zone.zone import Zone
from mesos_dns.zone.zones import Zones

log = logging.getLogger(__name__)


class Publish(Protocol):
    """Takes the changes of the zone with the apex `zone`, part by part."""

    def __call__(self, zone: bytes, change: ZoneChange) -> None:
        """Pass on."""


class _Noting:
    """Passes the changes of one zone on, and notes each in the journal with what it is because of."""

    def __init__(self, publish: Publish, zone: Zone, journal: Journal, epoch: Callable[[], float]) -> None:
        self._zone = zone
        self._publish = partial(publish, zone.authority.apex)
        self._notes = ChangeNotes(zone.authority.apex, journal)
        self._epoch = epoch
        self.because = Because()

    def __call__(self, change: ZoneChange) -> None:
        self._publish(change)
        # All the names that there are with the first state are no news.
        self._notes.add(change, self.because, self._epoch(), in_full=self._zone.serial != 0)


class Publisher:
    """Keeps `zones` in step with what is observed.

    A record goes into the closest zone above its owner; one outside of all (this server's own name may be) into the first. `clock` is any
    steady clock in seconds, `epoch` the Unix time: serials begin there, grow with each change of content, and are above
    `last_serial`.
    """

    def __init__(
        self,
        model: Model,
        zones: Zones,
        publish: Publish,
        *,
        clock: Callable[[], float],
        epoch: Callable[[], float],
        last_serial: int = 0,
        grace: float | None = None,
    ) -> None:
        """`grace`: seconds that what a change of master hid is held; None for as long as the masters' flags say."""
        self.model = model
        self.zones = zones
        self.loaded = asyncio.Event()
        #: What the last whole state did not show.
        self.hidden = Hidden()
        self._clock = clock
        self._observed = False
        self._found: dict[str, tuple[bytes, ...]] = {}
        #: The newest changes of the zones.
        self.journal = Journal()
        #: Tells of each change that is in the journal.
        self.news = Broadcast()
        self._noting = {zone.authority.apex: _Noting(publish, zone, self.journal, epoch) for zone in zones}
        self._editors = {
            zone.authority.apex: ZoneEditor(zone, self._noting[zone.authority.apex], epoch, last_serial)
            for zone in zones
        }
        self._first = next(iter(self._editors.values()))
        self._reconciler = Reconciler(model, grace)
        self._one_at_a_time = asyncio.Lock()
        self._warn = RateLimited(log, interval=600)
        self._holds_log = RateLimited(log, clock=clock)
        self._news_told = self.journal.count
        #: What the log says is held.
        self._told: frozenset[Cause] = frozenset()

    def __repr__(self) -> str:
        return f"Publisher({self.model!r}, {self.zones!r})"

    def is_shared(self, record: Record) -> bool:
        """Whether more than one entity contributes `record`."""
        return self._editor_of(record[0]).is_shared(record)

    async def inherit(self, former: "Publisher") -> None:
        """Begin with what `former` knows of the same cluster, instead of with nothing.

        What it kept through a master failover is kept on (names.reconciler). Nothing is served of it
        before the first observation.
        """
        async with self._one_at_a_time:
            self._reconciler.inherit(former._reconciler)
            self.model.know_hosts_of(former.model)
            masters = [self.model.set_masters(former.model.masters, former.model.leader)]
            everything = former.model.everything()
            await self._apply(_chain(masters, self.model.apply(everything)), Because(("the configuration is new",)))

    @property
    def next_deadline(self) -> float | None:
        """When to `observe(None)` at the latest, in the clock's seconds; None if no time ends anything."""
        return self._reconciler.next_deadline

    @property
    def grace(self) -> float:
        """Seconds that what a change of master hid is held at most."""
        return self._reconciler.grace

    @property
    def editors(self) -> Iterable[ZoneEditor]:
        """Those of all zones, in their order."""
        return self._editors.values()

    @property
    def held_counts(self) -> dict[str, int]:
        """How many agents, frameworks and tasks are held."""
        return self._reconciler.held_counts

    def held(self) -> Iterator[Held]:
        """What is served although the last observation lacks it."""
        return self._reconciler.held()

    @property
    def holds(self) -> Holds:
        """Why single ones are held, and until when in the clock's seconds."""
        return self._reconciler

    async def observe(self, observation: Observation | None) -> None:
        """Take what a source has observed; None if nothing, but time has passed."""
        async with self._one_at_a_time:
            delta = self._reconciler.reconcile(observation, self._clock())
            self._tell_holds(observation)
            if isinstance(observation, Snapshot):
                self._observed = True
                self.hidden = Hidden(observation.concealed, observation.not_shown, observation.flags_hidden)
                # An empty model withdraws nothing.
                take = self._load if self.model.is_empty and not self._first.zone.serial else self._apply
                because = self._because(delta, observation)
                first = [self.model.set_masters(observation.masters, observation.leader)]
                await take(_chain(first, self.model.apply(delta)), because)
                self.loaded.set()
                self._report(delta)
            else:
                because = causes.because(self.model, delta)
                if observation is None:
                    because = Because(("the time of what was held is up", *because.texts), because.more)
                await self._apply(self.model.apply(delta), because)

    async def hosts_found(self, found: Mapping[str, tuple[bytes, ...]]) -> None:
        """Take addresses of host names. What comes while others are being taken is taken together."""
        self._found.update(found)
        async with self._one_at_a_time:
            together, self._found = self._found, {}
            if together:
                self.model.forget_hosts(self.model.host_names())
                await self._apply(self.model.set_hosts(together), causes.because_of_hosts(together))

    async def self_found(self, addresses: Iterable[bytes]) -> None:
        """Take the addresses of this machine."""
        async with self._one_at_a_time:
            await self._apply([self.model.set_self(addresses)], causes.OWN_ADDRESSES)

    def _because(self, delta: Delta, snapshot: Snapshot) -> Because:
        """What the zones change because of when this state is taken."""
        if self.model.is_empty:
            return Because((f"the first state of the cluster: {len(snapshot.tasks)} running tasks",))
        masters = causes.because_of_masters(self.model, snapshot.masters, snapshot.leader)
        because = causes.because(self.model, delta)
        return Because((*masters, *because.texts), because.more)

    async def _apply(self, slices: Iterable[Contributions], because: Because) -> None:
        """Let contributions become records. A serial moves at the end, and only if anything changed in its zone."""
        self._give_reason(because)
        for withdrawn, contributed in slices:
            for editor, lost, gained in self._by_zone(withdrawn, contributed):
                editor.contribute(lost, gained)
            await asyncio.sleep(0)
        for editor in self._editors.values():
            if self._observed:
                editor.complete()
            else:
                # Before the first state there is nothing to serve, only parts of it; a worker that had its snapshot
                # before needs these, too.
                editor.flush()
        self._tell_news()

    def _give_reason(self, because: Because) -> None:
        for noting in self._noting.values():
            noting.because = because

    def _tell_news(self) -> None:
        if self.journal.count != self._news_told:
            self._news_told = self.journal.count
            self.news.tell()

    async def _load(self, slices: Iterable[Contributions], because: Because) -> None:
        """Take a first state: workers first, so that they answer, and then these zones, which count.

        That takes a second for 100,000 tasks. Until its end the zones are behind their replicas.
        """
        self._give_reason(because)
        for _, contributed in slices:
            for editor, _, gained in self._by_zone((), contributed):
                editor.load(gained)
            await asyncio.sleep(0)
        for editor in self._editors.values():
            editor.complete()
        for editor in self._editors.values():
            for _ in editor.count():
                await asyncio.sleep(0)
        self._tell_news()

    def _by_zone(
        self, withdrawn: Sequence[Contribution], contributed: Sequence[Contribution]
    ) -> Iterator[tuple[ZoneEditor, Sequence[Contribution], Sequence[Contribution]]]:
        """What each zone loses and gains."""
        if not withdrawn and not contributed:
            return
        if len(self._editors) == 1:
            yield self._first, withdrawn, contributed
            return
        lost, gained = self._divided(withdrawn), self._divided(contributed)
        for apex, editor in self._editors.items():
            if apex in lost or apex in gained:
                yield editor, lost.get(apex, ()), gained.get(apex, ())

    def _divided(self, contributions: Iterable[Contribution]) -> dict[bytes, list[Contribution]]:
        """By the apex of the zone that they belong to."""
        found: dict[bytes, list[Contribution]] = {}
        for owners, rrsets in contributions:
            parts: dict[bytes, list[bytes]] = {}
            for owner in owners:
                parts.setdefault(self._editor_of(owner).zone.authority.apex, []).append(owner)
            for apex, its in parts.items():
                found.setdefault(apex, []).append((tuple(its), rrsets))
        return found

    def _editor_of(self, owner: bytes) -> ZoneEditor:
        zone = self.zones.find(owner)
        return self._first if zone is None else self._editors[zone.authority.apex]

    def _tell_holds(self, observation: Observation | None) -> None:
        """Log when holding begins, for each cause, and when it ends."""
        # To look at all that is held takes as long as a state does; between states only the end of it all is told.
        if self._reconciler.is_holding and not isinstance(observation, Snapshot):
            return
        found = totals(self._reconciler.held())
        for cause in self._told - found.keys():
            self._holds_log.over(cause.name, "nothing is held any more because %s", cause.value)
        for cause in found.keys() - self._told:
            total = found[cause]
            bound = (
                "until it shows them" if total.until == math.inf else f"for {total.until - self._clock():.0f} s at most"
            )
            self._holds_log.warning(cause.name, "held because %s: %s, %s", cause.value, total, bound)
        self._told = frozenset(found)

    def _report(self, delta: Delta) -> None:
        log.log(
            logging.INFO if delta != Delta() else logging.DEBUG,
            "state taken: %d tasks changed, %d gone; serial %d, %d names",
            len(delta.tasks),
            len(delta.tasks_gone),
            self._first.zone.serial,
            sum(map(len, self.zones)),
        )
        skipped = self.model.naming.skipped
        for reason, times in skipped.counts.items():
            examples = "; ".join(skipped.examples(reason)) or "some that came later"
            self._warn.warning(reason, "without some names: %d (%s), for example %s", times, reason, examples)


def _chain(first: Iterable[Contributions], rest: Iterable[Contributions]) -> Iterator[Contributions]:
    yield from first
    yield from rest
