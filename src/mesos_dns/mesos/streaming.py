"""Follows the events of the leading master, and polls its state where it has none for us. Edge: asyncio."""

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from types import TracebackType
from typing import Final

from msgspec.structs import replace

from mesos_dns.concurrency import spawn
from mesos_dns.logs import RateLimited
from mesos_dns.mesos import waiting
from mesos_dns.mesos.asked import Asked
from mesos_dns.mesos.errors import (
    EventsRefusedError,
    ForeignError,
    MasterError,
    NobodyAnsweredError,
    NotLeadingError,
    StatusError,
    UnauthorizedError,
    UnreachableError,
)
from mesos_dns.mesos.following import Following, Plan
from mesos_dns.mesos.identity import Identity, Verdict
from mesos_dns.mesos.leader import find_leader
from mesos_dns.mesos.polling import MAX_RETRY_SECONDS, backoff
from mesos_dns.mesos.problems import Problems
from mesos_dns.mesos.source import DetectorStatus, KnownMasters, MasterDetector, Source, SourceStatus
from mesos_dns.mesos.state import Endpoint, NotRunning, Observation, Snapshot
from mesos_dns.mesos.subscription import Caller, Known, Subscription
from mesos_dns.mesos.versions import lack

log = logging.getLogger(__name__)

#: Seconds until a master that refused its events, or whose version has none that can be relied on, is asked again.
REFUSED_RETRY_SECONDS: Final = 120.0
#: Failures in a row after which the state is polled although no master has refused its events: an election takes up to ten seconds, and the
#: state of a fresh leader is empty. Fewer as long as there is no state at all.
TRIES_BEFORE_POLLING: Final = 15
FIRST_TRIES_BEFORE_POLLING: Final = 3
#: Failures in a row after which the pauses between two tries grow: to ask who leads costs nothing, and an election is soon over.
_QUICK_TRIES: Final = 15
#: A stream that ends sooner than after so many seconds is no better than none: the second such one in a row is followed by a pause.
SHORT_SECONDS: Final = 10.0
#: Seconds between two reads of the whole state from a master whose events are known to lack something, if they are to be followed nevertheless.
_LACKING_RECONCILE_SECONDS: Final = 60.0
#: Statuses that say that there are no events for us here.
_REFUSALS: Final = frozenset({404, 405, 406, 415, 501})


class Entered:
    """A detector that is entered already, by another source."""

    def __init__(self, detector: MasterDetector) -> None:
        self._detector = detector

    def __repr__(self) -> str:
        return f"Entered({self._detector!r})"

    @property
    def known(self) -> KnownMasters:
        """What it knows."""
        return self._detector.known

    @property
    def status(self) -> DetectorStatus | None:
        """How it goes."""
        return self._detector.status

    async def changed(self, known: KnownMasters) -> None:
        """Return as soon as it knows something else."""
        await self._detector.changed(known)

    async def __aenter__(self) -> object:
        """Nothing to begin."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Nothing to end."""


class StreamingSource:
    """A `Source` that yields what events tell. With `polling` (on the same detector, `Entered`) that one steps in when there are none.

    `detector` is entered by this one. `identity`, what is known of the cluster, is that of `polling`, which learns from what it reads. For one
    reader at a time.
    """

    def __init__(
        self,
        detector: MasterDetector,
        client: Caller,
        polling: Source | None,
        plan: Plan,
        *,
        identity: Identity | None = None,
        asked: Asked | None = None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """`asked`: what `client`, and that of `polling`, note of masters."""
        self._detector = detector
        self._client = client
        self._polling = polling
        self._plan = plan
        self._chance = chance
        self._asked = Asked() if asked is None else asked
        self._status = SourceStatus(using="events")
        #: A subscription that nobody follows yet; what follows one.
        self._open: Subscription | None = None
        self._first: list[Snapshot] = []
        #: What is known of the cluster that is followed.
        self._identity = Identity() if identity is None else identity
        self._problems = Problems(time.monotonic)
        self._following: Following | None = None
        self._is_polling = False
        self._wake = asyncio.Event()
        self._lost_told = False
        #: When the present stream began, in the loop's time, and how many in a row were short.
        self._begun = 0.0
        self._short_ones = 0
        self._log = RateLimited(log)
        self._fallback_log = RateLimited(log, interval=3600)

    def __repr__(self) -> str:
        return f"StreamingSource({self._detector!r}, status={self.status})"

    @property
    def status(self) -> SourceStatus:
        """How following goes at the moment."""
        now = self._following
        masters = self._asked.masters(self._detector.known.masters)
        counted = replace(self._status, detector=self._detector.status, masters=masters)
        if self._polling is not None:
            # Whichever way is taken now: a count never steps back.
            polled = self._polling.status
            counted = replace(counted, polls=counted.polls + polled.polls, failures=counted.failures + polled.failures)
        if now is not None:
            stream = now.subscription
            return replace(
                counted,
                masters=self._asked.masters_heard(self._detector.known.masters, stream.endpoint, stream.heard),
                last_success=stream.heard,
                is_live=now.is_live,
                events=counted.events + now.events,
                reads=counted.reads + now.reads,
                differences=counted.differences + now.differences,
                skipped=now.skipped,
            )
        if self._is_polling and self._polling is not None:
            return replace(
                self._polling.status,
                using="polling",
                why=counted.why,
                masters=masters,
                polls=counted.polls,
                failures=counted.failures,
                events=counted.events,
                reads=counted.reads,
                differences=counted.differences,
            )
        return counted

    def not_running(self) -> Sequence[NotRunning]:
        """Those that the present stream has told of; those of the last state while polling."""
        if self._following is not None and self._following.subscription.view is not None:
            return self._following.subscription.view.not_running()
        return self._polling.not_running() if self._is_polling and self._polling is not None else ()

    async def observations(self) -> AsyncGenerator[Observation, None]:
        """Yield a Snapshot and deltas, or snapshots while polling, for ever. Close the generator to close the connections."""
        # The reader's loop, not the one in which this object was made.
        self._wake = asyncio.Event()
        try:
            async with self._detector:
                while True:
                    for phase in (self._until_open(), self._until_lost()):
                        async with contextlib.aclosing(phase) as observations:
                            async for observation in observations:
                                yield observation
                                del observation
        finally:
            self._following = None
            subscription, self._open = self._open, None
            if subscription is not None:
                await subscription.close()
            await self._client.close()

    async def _until_open(self) -> AsyncGenerator[Observation, None]:
        """Subscribe, however long it takes. Yields states if they have to be polled meanwhile."""
        while self._open is None:
            known = self._detector.known
            try:
                self._open = await self._connect()
            except NobodyAnsweredError as error:
                pause = self._note_failure(error)
                if self._must_poll(error):
                    async with contextlib.aclosing(self._poll(pause, error)) as observations:
                        async for observation in observations:
                            yield observation
                            del observation
                else:
                    await waiting.pause(self._detector, known, pause)

    async def _until_lost(self) -> AsyncGenerator[Observation, None]:
        """Follow the open subscription to its end."""
        subscription, self._open = self._open, None
        if subscription is None:
            return
        following = self._follow(subscription)
        pause = 0.0
        async with contextlib.aclosing(following.observations()) as observations:
            try:
                async for observation in observations:
                    if isinstance(observation, Snapshot):
                        self._identity.learn(observation)
                    yield observation
                    # It may be a whole cluster, and nothing may come for hours.
                    del observation
            except MasterError as error:
                pause = self._note_end(following, error)
        if pause:
            await waiting.pause(self._detector, self._detector.known, pause)

    # --- connecting ------------------------------------------------------------------------------

    async def _connect(self) -> Subscription:
        """An open subscription to the leading master of our cluster. Raises NobodyAnsweredError, also for one that refuses."""
        errors: list[MasterError] = []
        while True:
            try:
                return await self._connect_to_leader([each.endpoint for each in errors])
            except NobodyAnsweredError as error:
                errors += error.errors
                if not any(isinstance(each, ForeignError) for each in error.errors):
                    raise NobodyAnsweredError(tuple(errors)) from None

    async def _connect_to_leader(self, foreign: list[Endpoint]) -> Subscription:
        known = self._detector.known
        endpoint, master = await find_leader(
            self._client, known, self._status.leader, same=self._identity.master, excluded=foreign
        )
        reason = lack(master.number)
        if reason:
            reason = f"Mesos {master.version} {reason}"
            if self._polling is not None:
                raise NobodyAnsweredError((EventsRefusedError(endpoint, reason),))
            self._log.warning(
                "version", "the events of master %s are followed as MesosSource asks, but %s", endpoint, reason
            )
        subscription = Subscription(
            self._client, endpoint, master, Known({}, {}, {}), self._changed, first_seconds=self._plan.first_seconds
        )
        subscription.start()
        try:
            error = await self._settled(subscription, known)
        except asyncio.CancelledError:
            await subscription.close()
            raise
        if error is None:
            error = self._judge(subscription)
            if error is None:
                return subscription
        await subscription.close()
        raise NobodyAnsweredError((error,)) if isinstance(error, MasterError) else error

    async def _settled(self, subscription: Subscription, known: KnownMasters) -> Exception | None:
        """Wait for its state; what went wrong if it does not come, or need not come any more."""
        endpoint = subscription.endpoint
        settled = spawn(subscription.settled.wait(), name="wait for a state")
        moved = spawn(waiting.other_leader(self._detector, known, endpoint), name="watch the leader")
        try:
            await asyncio.wait([settled, moved], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (settled, moved):
                task.cancel()
            await asyncio.wait([settled, moved])
        if subscription.settled.is_set():
            return subscription.error
        return NotLeadingError(endpoint, f"its state is not waited for, {self._detector.known.leader} leads now")

    def _judge(self, subscription: Subscription) -> MasterError | None:
        """Why a state that has come is not to be believed; None if it is."""
        endpoint = subscription.endpoint
        snapshot = subscription.take_snapshot(self._detector.known.masters)
        named = endpoint == self._detector.known.leader
        if self._identity.judge(snapshot, time.monotonic(), named=named) is Verdict.OURS:
            self._log.over(f"foreign: {endpoint}", "the events of master %s are believed now", endpoint)
            self._problems.report(endpoint, snapshot)
            self._first = [snapshot]
            return None
        words = self._identity.describe(snapshot)
        self._log.warning(
            f"foreign: {endpoint}",
            "master %s leads another cluster, as it seems: %s. Its events are not believed; is its address in Masters wrong?",
            endpoint,
            words,
        )
        return ForeignError(endpoint, f"leads another cluster, as it seems ({words}); its events are not believed")

    def _changed(self) -> None:
        self._wake.set()

    # --- polling -----------------------------------------------------------------------------------

    def _must_poll(self, error: NobodyAnsweredError) -> bool:
        """Whether the state has to be polled instead. Masters that cannot be reached have no state either."""
        tries = TRIES_BEFORE_POLLING if self._status.polls else FIRST_TRIES_BEFORE_POLLING
        if self._polling is None:
            return False
        answered = not all(isinstance(each, UnreachableError) for each in error.errors)
        return bool(self._status.why) or (answered and self._status.consecutive_failures >= tries)

    async def _poll(self, pause: float, error: NobodyAnsweredError) -> AsyncGenerator[Observation, None]:
        """Poll until there are events; the subscription comes last. The first try is after `pause` seconds, or when another master leads."""
        self._tell_fallback(error)
        self._is_polling = True
        found: asyncio.Queue[Observation | Subscription | Exception] = asyncio.Queue(maxsize=1)
        again = asyncio.Event()
        tasks = [
            spawn(self._poll_into(found), name="poll"),
            spawn(self._try_into(found, pause, again), name="ask for events"),
        ]
        master: str | None = None
        try:
            while True:
                each = await found.get()
                if isinstance(each, Exception):
                    raise each
                if isinstance(each, Snapshot):
                    if master not in (None, each.master_id):
                        again.set()
                    master = each.master_id
                if isinstance(each, Subscription):
                    self._open = each
                    return
                yield each
        finally:
            self._is_polling = False
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            while not found.empty():
                if isinstance(late := found.get_nowait(), Subscription):
                    await late.close()

    async def _poll_into(self, found: asyncio.Queue[Observation | Subscription | Exception]) -> None:
        if self._polling is None:
            return
        try:
            async with contextlib.aclosing(self._polling.observations()) as states:
                async for state in states:
                    await found.put(state)
        except Exception as error:  # noqa: BLE001 - a mistake of ours: whoever reads raises it
            await found.put(error)

    async def _try_into(
        self, found: asyncio.Queue[Observation | Subscription | Exception], pause: float, again: asyncio.Event
    ) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await again.wait()
            again.clear()
            try:
                subscription = await self._connect()
            except NobodyAnsweredError as error:
                pause = self._note_failure(error)
                continue
            except Exception as error:  # noqa: BLE001 - a mistake of ours: whoever reads raises it
                await found.put(error)
                return
            try:
                await found.put(subscription)
            except asyncio.CancelledError:
                await subscription.close()
                raise
            return

    # --- telling -------------------------------------------------------------------------------------

    def _follow(self, subscription: Subscription) -> Following:
        """Begin to follow; take note of it."""
        before = self._status
        endpoint, version = subscription.endpoint, subscription.master.version
        self._status = replace(
            before,
            leader=endpoint,
            polls=before.polls + 1,
            consecutive_failures=0,
            last_success=subscription.heard,
            octets=subscription.octets,
            cluster=self._first[0].cluster,
            why="",
        )
        level = logging.WARNING if self._lost_told else logging.INFO
        self._lost_told = False
        log.log(level, "following the events of the leading master %s (Mesos %s)", endpoint, version)
        self._begun = asyncio.get_running_loop().time()
        plan = self._plan
        if lack(subscription.master.number):
            plan = plan._replace(reconcile_seconds=min(plan.reconcile_seconds, _LACKING_RECONCILE_SECONDS))
        self._following = Following(subscription, self._first.pop(), self._client, self._detector, self._wake, plan)
        return self._following

    def _note_end(self, following: Following, error: MasterError) -> float:
        """Log and count it; return the seconds until the next try."""
        self._following = None
        is_short = asyncio.get_running_loop().time() - self._begun < SHORT_SECONDS
        self._short_ones = self._short_ones + 1 if is_short else 0
        before = self._status
        self._status = replace(
            before,
            leader=following.moved_to or before.leader,
            failures=before.failures + 1,
            last_error=str(error),
            last_success=following.subscription.heard,
            events=before.events + following.events,
            reads=before.reads + following.reads,
            differences=before.differences + following.differences,
        )
        self._lost_told |= self._log.warning(
            f"lost {type(error).__name__}",
            "the events ended, the records stay as they are; asking for them again. %s",
            error,
        )
        return 0.0 if self._short_ones < 2 else backoff(self._short_ones - 1, MAX_RETRY_SECONDS, self._chance())

    def _note_failure(self, error: NobodyAnsweredError) -> float:
        """Log and count it; return the seconds until the next try."""
        before = self._status
        failures = before.consecutive_failures + 1
        refusals = [str(each) for each in error.errors if _refuses(each)]
        why = "; ".join(refusals) or (before.why if self._is_polling else "")
        # That there are no events is no failure where the state is polled instead.
        is_failure = not self._is_polling and not (refusals and self._polling is not None)
        self._status = replace(
            before,
            failures=before.failures + is_failure,
            consecutive_failures=failures,
            last_error=str(error),
            why=why,
        )
        pause = backoff(max(1, failures - _QUICK_TRIES), MAX_RETRY_SECONDS, self._chance())
        if self._polling is not None and any(_refuses(each) and not _may_pass(each) for each in error.errors):
            pause = REFUSED_RETRY_SECONDS
        if is_failure:
            kinds = ",".join(type(one).__name__ for one in error.errors)
            # Whether names are served is not known here: after a reload, those of the former configuration are.
            records = "the records stay as they are" if before.polls else "and no state of it is known yet"
            told = self._log.warning(
                f"{kinds} {records}",
                "the events of the cluster cannot be followed, %s; next try in %.1f s. %s",
                records,
                pause,
                error,
            )
            self._lost_told |= told
        return pause

    def _tell_fallback(self, error: NobodyAnsweredError) -> None:
        why = self._status.why or str(error)
        self._status = replace(self._status, why=why)
        kinds = ",".join(type(one).__name__ for one in error.errors)
        self._lost_told |= self._fallback_log.warning(
            kinds, "the events of the cluster cannot be followed, so its state is polled: %s", why
        )


def _refuses(error: MasterError) -> bool:
    """Whether it says that there are no events for us, and not that nobody leads or answers."""
    return isinstance(error, UnauthorizedError | EventsRefusedError) or (
        isinstance(error, StatusError) and error.status in _REFUSALS
    )


def _may_pass(error: MasterError) -> bool:
    """Whether it may be over soon: the paths of a master that starts are not there yet."""
    return isinstance(error, StatusError) and error.status == 404
