"""Reads the whole state of the leading master again and again. Edge: asyncio."""

import asyncio
import logging
import random
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Final

from msgspec.structs import replace

from mesos_dns.logs import RateLimited
from mesos_dns.mesos import waiting
from mesos_dns.mesos.asked import Asked
from mesos_dns.mesos.asking import Asking, Fetcher, Reading
from mesos_dns.mesos.errors import NobodyAnsweredError
from mesos_dns.mesos.identity import Identity
from mesos_dns.mesos.problems import Problems
from mesos_dns.mesos.source import MasterDetector, SourceStatus
from mesos_dns.mesos.state import NotRunning, Observation, Snapshot

log = logging.getLogger(__name__)

#: First pause after a failed poll, in seconds; it doubles with each further failure.
FIRST_RETRY_SECONDS: Final = 1.0
#: Longest pause after failed polls, in seconds: with a long RefreshSeconds a master that comes back must not wait for it.
MAX_RETRY_SECONDS: Final = 60.0
#: Seconds after which a poll that has no answer yet is told: masters of the largest clusters take half of that.
SLOW_POLL_SECONDS: Final = 30.0


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
        identity: Identity | None = None,
        asked: Asked | None = None,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """`refresh_seconds` lie between the starts of two polls; `chance` gives numbers from 0 to 1.

        `identity`: what is known of the cluster, for sources that take turns at it. `asked`: what `client` notes of masters.
        """
        self._detector = detector
        self._client = client
        self._refresh_seconds = refresh_seconds
        self._identity = Identity() if identity is None else identity
        self._clock = clock
        self._chance = chance
        self._asked = Asked() if asked is None else asked
        self._status = SourceStatus()
        #: Whether the log says that there is no state, and has not yet said that it is over.
        self._failure_told = False
        self._failures_log = RateLimited(log, clock=clock)
        self._problems = Problems(clock)
        self._not_running: tuple[NotRunning, ...] = ()

    def __repr__(self) -> str:
        return f"PollingSource({self._detector!r}, status={self._status})"

    @property
    def status(self) -> SourceStatus:
        """How polling goes at the moment."""
        masters = self._asked.masters(self._detector.known.masters)
        return replace(self._status, detector=self._detector.status, masters=masters)

    def not_running(self) -> Sequence[NotRunning]:
        """Those of the last state."""
        return self._not_running

    async def observations(self) -> AsyncGenerator[Observation, None]:
        """Yield a Snapshot per good poll, for ever. Close the generator to close the connections."""
        asking = self._asking()
        try:
            async with self._detector:
                while True:
                    started = self._clock()
                    known = self._detector.known
                    try:
                        snapshot = await self._poll(asking)
                    except NobodyAnsweredError as error:
                        pause = self._note_failure(error)
                    else:
                        yield snapshot
                        # The period is one of starts, as in Go; the time that the reader took counts.
                        pause = max(0.0, self._refresh_seconds - (self._clock() - started))
                    await waiting.pause(self._detector, known, pause)
        finally:
            await self._client.close()

    async def once(self) -> Snapshot:
        """Read one state and close the connections. Raises NobodyAnsweredError, without logging it, if no master gives one."""
        try:
            async with self._detector:
                return await self._poll(self._asking())
        finally:
            await self._client.close()

    def _asking(self) -> Asking:
        return Asking(self._detector, self._client, identity=self._identity, clock=self._clock)

    async def _poll(self, asking: Asking) -> Snapshot:
        """Read the state of the leading master once. Raises NobodyAnsweredError if no master gives one."""
        started = self._clock()
        slow = asyncio.get_running_loop().call_later(SLOW_POLL_SECONDS, self._note_slow)
        try:
            reading = await asking.read()
        finally:
            slow.cancel()
        self._note_success(reading, started)
        self._not_running = reading.snapshot.not_running
        self._problems.report(reading.asked, reading.snapshot)
        return reading.snapshot

    def _note_slow(self) -> None:
        if self._failure_told:
            return
        self._failure_told = self._failures_log.warning(
            "slow",
            "no state of the cluster for %g s: a master was asked and does not answer; it is still waited for, the records stay as they are",
            SLOW_POLL_SECONDS,
        )

    def _note_success(self, reading: Reading, started: float) -> None:
        before, asked = self._status, reading.asked
        now = self._clock()
        if self._failure_told:
            # As loud as the failure was: who sees warnings alone must not believe that it lasts.
            self._failure_told = False
            failures = before.consecutive_failures
            if failures:
                log.warning(
                    "the state of the cluster is read from the leading master %s, after %d failed polls",
                    asked,
                    failures,
                )
            else:
                log.warning("the state of the cluster is read from the leading master %s, which took its time", asked)
        elif before.leader != asked:
            log.info("reading the state of the cluster from the leading master %s", asked)
        self._status = replace(
            before,
            leader=asked,
            polls=before.polls + 1,
            consecutive_failures=0,
            last_success=now,
            last_duration=now - started,
            octets=reading.octets,
            cluster=reading.snapshot.cluster,
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
