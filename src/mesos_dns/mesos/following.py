"""Follows the cluster through an open subscription, for as long as it can be trusted. Edge: asyncio.

Besides passing on what changes, it looks after what events do not tell:

| what | how |
|---|---|
| PIDs of frameworks; agents that were given up | a summary of the state, as soon as the view wants one |
| tasks that began to run, while their scheduler acknowledges nothing | while tasks wait to run, a summary each second; the master is asked about tasks of frameworks with more running ones than are known |
| what changed without an event | from time to time, and when in doubt, a second subscription: its state takes the place of the first, which is closed then |
| the master is gone, or hangs | heartbeats; while it is silent it is asked whether it is there, and the others who leads (`silence`) |
| another master leads | the detector says so |

A second subscription, and not another way to read the state, because nothing can get lost between the two: each has all events that follow its
state. They are compared when both have come to the same event, so what differs then was not told by any event.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator
from typing import Final, NamedTuple

from mesos_dns.concurrency import spawn
from mesos_dns.logs import RateLimited
from mesos_dns.mesos.doubts import Doubts
from mesos_dns.mesos.errors import MasterError, MasterTimeoutError, NobodyAnsweredError, NotLeadingError
from mesos_dns.mesos.leader import Leader, find_leader
from mesos_dns.mesos.silence import Silence
from mesos_dns.mesos.source import MasterDetector
from mesos_dns.mesos.state import Endpoint, Observation, Snapshot
from mesos_dns.mesos.subscription import Caller, Known, Subscription, ask_master

log = logging.getLogger(__name__)

#: Heartbeats (one in 15 s) that may be missed before a stream counts as dead.
MAX_MISSED_HEARTBEATS: Final = 5.0
#: Seconds between two log lines about one kind of fault in events.
_SKIPPED_SECONDS: Final = 3600.0
#: Heartbeats without a record at which the next one is late: a little more than one.
_LATE: Final = 1.3
#: Seconds between two summaries of the state, and the same as a multiple of the seconds that the last one took: a twentieth of the time at most.
SUMMARY_SECONDS: Final = 1.0
_SUMMARY_TIMES: Final = 20.0
#: Seconds after which a task's unknown agent is looked for in a summary: agents come within 20 ms of their tasks.
UNKNOWN_AGENT_SECONDS: Final = 1.0
#: Seconds between two looks whether tasks that wait to run do so already, which no event may tell: names are to be there when the master knows it.
WAITING_TASKS_SECONDS: Final = 1.0
#: Seconds that two subscriptions to one master may take to come to the same event. A stream that is so far behind has lost events.
LEVEL_SECONDS: Final = 5.0


class Plan(NamedTuple):
    """How to follow: `reconcile_seconds` lie between two reads of the whole state, each of which may take `first_seconds`."""

    reconcile_seconds: float
    first_seconds: float


class Following:
    """Begins with an open subscription. `observations` ends with a MasterError; whoever iterates closes it."""

    def __init__(
        self,
        subscription: Subscription,
        snapshot: Snapshot,
        client: Caller,
        detector: MasterDetector,
        wake: asyncio.Event,
        plan: Plan,
    ) -> None:
        """`snapshot` is what the subscription has told so far, `wake` what it sets when there is more to look at."""
        self.subscription = subscription
        #: Whole states read after the first, and in how much they differed from what events had told.
        self.reads = 0
        self.differences = 0
        #: Events of former subscriptions to this master.
        self._events_before = 0
        #: Where the leader is, if a master was found that says it is another one than ours.
        self.moved_to: Endpoint | None = None
        self._first = [snapshot]
        self._client = client
        self._detector = detector
        self._wake = wake
        self._plan = plan
        self._known = detector.known
        self._next: Subscription | None = None
        self._compare_from = 0
        self._level_until = 0.0
        self._silence = Silence()
        self._asking_master: asyncio.Task[None] | None = None
        self._asking_others: asyncio.Task[None] | None = None
        self._summary_due = 0.0
        self._summary_begun: float | None = None
        self._unknown_since: float | None = None
        now = asyncio.get_running_loop().time()
        self._summary_last = now
        self._reconcile_at = now + plan.reconcile_seconds
        self._doubts = Doubts(plan.reconcile_seconds)
        self._warn = RateLimited(log)
        self._skipped_log = RateLimited(log, interval=_SKIPPED_SECONDS)
        self._skipped = 0

    def __repr__(self) -> str:
        return f"Following({self.subscription!r})"

    @property
    def events(self) -> int:
        """How many events told of something."""
        return self._events_before + self.subscription.events

    @property
    def skipped(self) -> dict[str, int]:
        """Parts of the events of the present subscription that could not be used, by reason."""
        return dict(self.subscription.skipped.counts)

    @property
    def is_live(self) -> bool:
        """Whether silence means that nothing happens."""
        one, now = self.subscription, asyncio.get_running_loop().time()
        return one.missed(now) < _LATE and not self._silence.is_unanswered(now, one.heard)

    async def observations(self) -> AsyncGenerator[Observation, None]:
        """A Snapshot, then deltas, and further snapshots. Raises the MasterError that ends it."""
        news = spawn(self._watch_masters(), name="watch the masters")
        try:
            first = self._first.pop()
            yield first
            del first
            while True:
                self._wake.clear()
                if await self._swapped():
                    yield self._snapshot()
                    continue
                view = self.subscription.view
                if view is not None and view.is_changed:
                    yield view.take_delta()
                    continue
                known = self._detector.known
                if known != self._known:
                    self._check_leader()
                    self._known = known
                    yield self._snapshot()
                    continue
                await self._wait(self._look_after())
        finally:
            await self._close(news)

    async def _close(self, news: asyncio.Task[None]) -> None:
        tasks = (news, self._asking_master, self._asking_others)
        # A task that is cancelled keeps the exception, that its frames, and those this object: a circle.
        self._asking_master = self._asking_others = None
        for task in tasks:
            if task is not None:
                task.cancel()
                await asyncio.wait([task])
        for one in (self.subscription, self._next):
            if one is not None:
                await one.close()

    def _snapshot(self) -> Snapshot:
        return self.subscription.take_snapshot(self._detector.known.masters)

    async def _wait(self, until: float) -> None:
        try:
            async with asyncio.timeout_at(until):
                await self._wake.wait()
        except TimeoutError:
            pass

    async def _watch_masters(self) -> None:
        known = self._known
        while True:
            await self._detector.changed(known)
            known = self._detector.known
            self._wake.set()

    def _check_leader(self) -> None:
        named = self._detector.known.leader
        if named not in {None, self.subscription.endpoint, self._known.leader}:
            self.moved_to = named
            raise NotLeadingError(self.subscription.endpoint, f"does not lead any more, {named} does")

    # --- what events do not tell -----------------------------------------------------------------

    def _look_after(self) -> float:
        """Do what is due; when to look again, in the loop's time. Raises MasterError if the stream cannot be trusted any more."""
        now = asyncio.get_running_loop().time()
        self._report_skipped()
        return min(self._look_at_heartbeats(now), self._look_at_summary(now), self._look_at_whole(now))

    def _report_skipped(self) -> None:
        found = self.subscription.skipped
        count = sum(found.counts.values())
        if count != self._skipped:
            self._skipped = count
            for reason, times in found.counts.items():
                examples = "; ".join(found.examples.get(reason, ()))
                self._skipped_log.warning(
                    reason, "left out %d parts of events (%s), for example: %s", times, reason, examples
                )

    def _look_at_heartbeats(self, now: float) -> float:
        one = self.subscription
        if self.moved_to is not None:
            raise NotLeadingError(one.endpoint, f"its event stream is silent, and {self.moved_to} says that it leads")
        missed = one.missed(now)
        if missed >= MAX_MISSED_HEARTBEATS:
            raise MasterTimeoutError(
                one.endpoint,
                f"its event stream was silent for {now - one.heard:.0f} s: {missed:.0f} heartbeats are missing",
            )
        ask_at = self._look_at_silence(now, is_late=missed >= _LATE)
        if one.heartbeat is None:
            return ask_at
        next_at = one.heard + (_LATE if missed < _LATE else MAX_MISSED_HEARTBEATS) * one.heartbeat
        return min(next_at, ask_at)

    def _look_at_silence(self, now: float, *, is_late: bool) -> float:
        one = self.subscription
        if len(self._detector.known.masters) < 2:
            # No other one could lead.
            return now + self._plan.reconcile_seconds
        due = self._silence.look(now, one.heard, is_late=is_late)
        if due.master and self._asking_master is None:
            self._asking_master = spawn(self._ask_master(), name="ask the silent master")
        if due.others and self._asking_others is None:
            self._warn.log(
                logging.INFO,
                "silent",
                "the event stream of master %s is silent for %.0f s; it is still waited for, and the others are asked who leads",
                one.endpoint,
                now - one.heard,
            )
            self._asking_others = spawn(self._ask_others(), name="ask the other masters")
        return due.again

    async def _ask_master(self) -> None:
        """Ask the master of the stream whether it is there."""
        ours = self.subscription
        try:
            found = await ask_master(self._client, ours.endpoint)
        except MasterError as error:
            log.debug("no answer while the event stream of master %s is silent: %s", ours.endpoint, error)
        else:
            self._take_word(Leader(ours.endpoint, found))
        self._asking_master = None
        self._wake.set()

    async def _ask_others(self) -> None:
        ours = self.subscription
        try:
            found = await find_leader(self._client, self._detector.known, None, excluded=_names(ours))
        except NobodyAnsweredError as error:
            log.debug("no other master leads while %s is silent: %s", ours.endpoint, error)
        else:
            self._take_word(found)
        self._asking_others = None
        self._wake.set()

    def _take_word(self, found: Leader) -> None:
        """Take note of a master that says it leads: ours, or else one that was elected since."""
        if found.master.id == self.subscription.master.id:
            self._silence.answered(asyncio.get_running_loop().time())
        else:
            self.moved_to = found.endpoint

    def _look_at_summary(self, now: float) -> float:
        one = self.subscription
        if one.view is None or one.is_refreshing:
            return now + self._plan.reconcile_seconds
        if self._summary_begun is not None:
            self._summary_due = now + max(SUMMARY_SECONDS, _SUMMARY_TIMES * (now - self._summary_begun))
            self._summary_begun = None
        if not one.view.unknown_agents:
            self._unknown_since = None
        elif self._unknown_since is None:
            self._unknown_since = now
        wanted = now if one.view.wants_summary else float("inf")
        if self._unknown_since is not None:
            wanted = min(wanted, self._unknown_since + UNKNOWN_AGENT_SECONDS)
        if one.view.waiting:
            # Not at once: most begin to run within a second, and that is told.
            wanted = min(wanted, self._summary_last + WAITING_TASKS_SECONDS)
        due = max(wanted, self._summary_due)
        if due > now:
            return due
        self._summary_begun = self._summary_last = now
        self._unknown_since = None
        one.refresh()
        return now + self._plan.reconcile_seconds

    # --- the whole once more ---------------------------------------------------------------------

    def _look_at_whole(self, now: float) -> float:
        one = self.subscription
        if self._next is not None:
            return self._level_until if self._next.settled.is_set() else now + self._plan.reconcile_seconds
        if one.view is None:
            return self._reconcile_at
        doubt = one.view.doubt
        due = min(self._reconcile_at, self._doubts.due(doubt, now))
        if due > now:
            return due
        if doubt:
            self._warn.warning(
                doubt,
                "reading the state of master %s again, because its events tell of %s",
                one.endpoint,
                doubt,
            )
        self._doubts.read(now)
        one.view.doubt = ""
        self._reconcile_at = now + self._plan.reconcile_seconds
        self._compare_from = one.events
        self._next = Subscription(
            self._client,
            one.endpoint,
            one.master,
            Known(one.view.by_digest(), one.view.addresses, one.view.unshown),
            self._wake.set,
            first_seconds=self._plan.first_seconds,
        )
        self._next.start()
        return now + self._plan.reconcile_seconds

    async def _swapped(self) -> bool:
        """Whether the second subscription has just taken the place of the first. Raises what ended the first if there is none."""
        one, other = self.subscription, self._next
        if one.error is not None and other is not None:
            # Some masters allow one subscriber only, and close the older one.
            await other.settled.wait()
        if other is not None and other.settled.is_set():
            if other.error is not None and not isinstance(other.error, MasterError):
                raise other.error
            if other.view is None:
                self._warn.warning("whole", "the state is not read again: %s", other.error)
                self._next = None
                await other.close()
            elif one.error is not None or self._is_level(other):
                await self._swap(other)
                return True
        if one.error is not None:
            raise one.error
        return False

    def _is_level(self, other: Subscription) -> bool:
        """Whether both have come to the same event, or one never will."""
        now = asyncio.get_running_loop().time()
        if not self._level_until:
            self._level_until = now + LEVEL_SECONDS
        one = self.subscription
        level = one.newest == other.newest if other.events else one.events == self._compare_from
        return level or now >= self._level_until

    async def _swap(self, other: Subscription) -> None:
        one, self._next, self._level_until = self.subscription, None, 0.0
        if one.view is not None and other.view is not None:
            found = one.view.differences(other.view)
            self.differences += found
            if found:
                log.info("events had not told of %d agents, frameworks or tasks of master %s", found, one.endpoint)
        self.reads += 1
        self._events_before += one.events
        self.subscription = other
        self._summary_begun = None
        await one.close()


def _names(one: Subscription) -> set[Endpoint]:
    """What other masters may call its master: redirects go to the host name."""
    asked, pid, hostname = one.endpoint, one.master.pid or one.endpoint, one.master.hostname
    return {asked, pid, Endpoint(hostname or asked.host, pid.port)}
