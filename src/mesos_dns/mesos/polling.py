"""Reads the whole state of the leading master again and again. Edge: asyncio."""

import asyncio
import logging
import random
import time
from collections.abc import AsyncGenerator, Callable
from typing import Final, Protocol

from msgspec.structs import replace

from mesos_dns.concurrency import spawn
from mesos_dns.logs import RateLimited
from mesos_dns.mesos.decoding.document import StateError
from mesos_dns.mesos.decoding.v0 import Decoder
from mesos_dns.mesos.detect.search import LeaderSearch
from mesos_dns.mesos.errors import BodyError, MasterError, NobodyAnsweredError
from mesos_dns.mesos.http.client import Answer
from mesos_dns.mesos.source import KnownMasters, MasterDetector, SourceStatus
from mesos_dns.mesos.state import Endpoint, NotShown, Observation, Snapshot

log = logging.getLogger(__name__)

#: Seconds between two log lines about the same problem of states, which comes again with every poll.
_PROBLEM_INTERVAL: Final = 3600.0
#: First pause after a failed poll, in seconds; it doubles with each further failure.
FIRST_RETRY_SECONDS: Final = 1.0
#: Longest pause after failed polls, in seconds: with a long RefreshSeconds a master that comes back must not wait for it.
MAX_RETRY_SECONDS: Final = 60.0


class Fetcher(Protocol):
    """What polling needs of a client."""

    async def fetch(self, endpoint: Endpoint) -> Answer:
        """Return the state document of one master, or raise MasterError."""
        ...

    async def close(self) -> None:
        """Let go of all connections."""
        ...


def backoff(failures: int, limit: float, chance: float) -> float:
    """Seconds to wait after so many failures in a row (1 and more), at most `limit` and MAX_RETRY_SECONDS.

    Doubles from FIRST_RETRY_SECONDS; `chance` (0 to 1) takes away up to half, so that many servers that lost
    the same master do not ask the next one in step.
    """
    pause = min(FIRST_RETRY_SECONDS * 2.0 ** min(failures - 1, 30), limit, MAX_RETRY_SECONDS)
    return pause * (1 - chance / 2)


class PollingSource:
    """A `Source` that yields a Snapshot for each good poll, also when nothing changed.

    A failed poll yields nothing. For one reader at a time: whoever iterates `observations` again starts afresh.
    """

    def __init__(
        self,
        detector: MasterDetector,
        client: Fetcher,
        *,
        refresh_seconds: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """`refresh_seconds` lie between the starts of two polls; `chance` gives numbers from 0 to 1."""
        self._detector = detector
        self._client = client
        self._refresh_seconds = refresh_seconds
        self._clock = clock
        self._chance = chance
        self._status = SourceStatus()
        #: Whether the log says that there is no state, and has not yet said that it is over.
        self._failure_told = False
        #: The same about states that are not complete.
        self._lack_told = False
        self._failures_log = RateLimited(log, clock=clock)
        self._problems_log = RateLimited(log, interval=_PROBLEM_INTERVAL, clock=clock)

    def __repr__(self) -> str:
        return f"PollingSource({self._detector!r}, status={self._status})"

    @property
    def status(self) -> SourceStatus:
        """How polling goes at the moment."""
        return replace(self._status, detector=self._detector.status)

    async def observations(self) -> AsyncGenerator[Observation, None]:
        """Yield a Snapshot per good poll, for ever. Close the generator to close the connections."""
        decoder = Decoder()
        previous: Snapshot | None = None
        try:
            async with self._detector:
                while True:
                    started = self._clock()
                    known = self._detector.known
                    try:
                        snapshot = await self._poll(decoder)
                    except NobodyAnsweredError as error:
                        pause = self._note_failure(error)
                    else:
                        self._report_problems(snapshot, previous)
                        previous = snapshot
                        yield snapshot
                        # The period is one of starts, as in Go; the time that the reader took counts.
                        pause = max(0.0, self._refresh_seconds - (self._clock() - started))
                    await self._wait(pause, known)
        finally:
            await self._client.close()

    async def once(self) -> Snapshot:
        """Read one state and close the connections. Raises NobodyAnsweredError, without logging it, if no master gives one."""
        try:
            async with self._detector:
                snapshot = await self._poll(Decoder())
        finally:
            await self._client.close()
        self._report_problems(snapshot, None)
        return snapshot

    async def _wait(self, seconds: float, known: KnownMasters) -> None:
        """Wait so long, or until the detector knows something else than `known`."""
        try:
            async with asyncio.timeout(seconds):
                await self._detector.changed(known)
        except TimeoutError:
            pass

    async def _poll(self, decoder: Decoder) -> Snapshot:
        """Find the leading master and read its state. Raises NobodyAnsweredError if no master gives one."""
        started = self._clock()
        known = self._detector.known
        search = LeaderSearch(known.masters, known.leader or self._status.leader)
        while True:
            asked = search.next()
            try:
                answer = await self._fetch(asked, known)
                if answer is None:
                    known = self._detector.known
                    log.debug("the answer of %s is not waited for: %s leads now", asked, known.leader)
                    search = LeaderSearch(known.masters, known.leader)
                    continue
                snapshot = await self._decode(decoder, asked, answer, known)
            except MasterError as error:
                log.debug("%s", error)
                search.failed(error)
                continue
            if search.accepts(asked, pid=snapshot.pid, leader=snapshot.leader):
                self._note_success(asked, len(answer.body), started)
                return snapshot

    async def _fetch(self, asked: Endpoint, known: KnownMasters) -> Answer | None:
        """What `asked` answers. None if the detector names another leader meanwhile: a master that hangs would keep us for minutes."""
        waiting = True

        def interrupt(moved: asyncio.Task[None]) -> None:
            if waiting and not moved.cancelled() and moved.exception() is None:
                limit.reschedule(0.0)

        moved = spawn(self._other_leader(asked, known), name="watch the leader")
        try:
            async with asyncio.timeout(None) as limit:
                moved.add_done_callback(interrupt)
                return await self._client.fetch(asked)
        except TimeoutError:
            return None
        finally:
            waiting = False
            moved.cancel()
            await asyncio.wait([moved])

    async def _other_leader(self, asked: Endpoint, known: KnownMasters) -> None:
        """Return as soon as the detector names a leader that is neither the one it named before nor `asked`."""
        while (now := self._detector.known).leader in {None, asked, known.leader}:
            await self._detector.changed(now)

    async def _decode(self, decoder: Decoder, asked: Endpoint, answer: Answer, known: KnownMasters) -> Snapshot:
        # In a thread: a large state takes seconds, and the loop has other work to do in between. The longest pause that the
        # loop then sees is msgspec's pass over the whole document: 0.35 s for 282 MB (100,000 tasks), measured.
        try:
            return await asyncio.to_thread(decoder.decode, answer.body, masters=known.masters)
        except StateError as error:
            raise BodyError(asked, str(error)) from error

    def _note_success(self, asked: Endpoint, octets: int, started: float) -> None:
        before = self._status
        now = self._clock()
        if self._failure_told:
            # As loud as the failure was: who sees warnings alone must not believe that it lasts.
            self._failure_told = False
            failures = before.consecutive_failures
            log.warning(
                "the state of the cluster is read from the leading master %s, after %d failed polls", asked, failures
            )
        elif before.leader != asked:
            log.info("reading the state of the cluster from the leading master %s", asked)
        self._status = replace(
            before,
            leader=asked,
            polls=before.polls + 1,
            consecutive_failures=0,
            last_success=now,
            last_duration=now - started,
            octets=octets,
        )

    def _note_failure(self, error: NobodyAnsweredError) -> float:
        """Log and count it; return the seconds until the next try."""
        before = self._status
        failures = before.consecutive_failures + 1
        self._status = replace(
            before,
            polls=before.polls + 1,
            failures=before.failures + 1,
            consecutive_failures=failures,
            last_error=str(error),
        )
        pause = backoff(failures, self._refresh_seconds, self._chance())
        kinds = ",".join(type(one).__name__ for one in error.errors)
        if before.last_success is None:
            # Whether names are served is not known here: after a reload, those of the former configuration are.
            told = self._failures_log.warning(
                f"first: {kinds}", "no state of the cluster could be read yet; next try in %.1f s. %s", pause, error
            )
        else:
            told = self._failures_log.warning(
                kinds, "no state of the cluster, the records stay as they are; next try in %.1f s. %s", pause, error
            )
        self._failure_told |= told
        return pause

    def _report_problems(self, snapshot: Snapshot, previous: Snapshot | None) -> None:
        for reason, count in snapshot.skipped.items():
            examples = "; ".join(snapshot.skipped_examples.get(reason, ()))
            self._problems_log.warning(
                reason, "left out %d parts of the state (%s), for example: %s", count, reason, examples
            )
        # The one that answered: the state itself need not say whose it is.
        master = self._status.leader
        if snapshot.flags_hidden:
            self._problems_log.warning(
                "flags",
                "the master %s conceals its flags: its authorization may conceal frameworks and tasks, too; "
                "give the principal of MesosCredentials the rights VIEW_FRAMEWORK and VIEW_TASK",
                master,
            )
        self._report_not_shown(snapshot)
        if (
            previous is not None
            and previous.master_id == snapshot.master_id
            and previous.frameworks
            and snapshot.agents
            and not snapshot.frameworks
            and not snapshot.not_shown.frameworks
        ):
            self._problems_log.warning(
                "frameworks",
                "all frameworks vanished at once while %d agents stay: if they still run, the master's authorization "
                "hides them (VIEW_FRAMEWORK)",
                len(snapshot.agents),
            )

    def _report_not_shown(self, snapshot: Snapshot) -> None:
        parts = snapshot.not_shown
        if parts != NotShown():
            lists = [
                *(["slaves"] if parts.agents else []),
                *(["frameworks"] if parts.frameworks else []),
                *([f"tasks of {len(parts.tasks_of)} frameworks"] if parts.tasks_of else []),
            ]
            told = self._problems_log.warning(
                f"not shown: {lists}",
                "the state of master %s lacks a list that every Mesos writes (%s): what is known of it stays as it is; "
                "is it a proxy that answers, or a summary?",
                self._status.leader,
                ", ".join(lists),
            )
            self._lack_told |= told
        elif self._lack_told:
            self._lack_told = False
            log.warning("the state of master %s is complete again", self._status.leader)
