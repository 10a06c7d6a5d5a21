"""Reads the whole state of the leading master again and again. Edge: asyncio."""

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator, Callable
from typing import Final, Protocol

from msgspec.structs import replace

from mesos_dns import limits
from mesos_dns.logs import RateLimited
from mesos_dns.mesos.decoding.document import StateError
from mesos_dns.mesos.decoding.v0 import Decoder
from mesos_dns.mesos.detect.search import LeaderSearch
from mesos_dns.mesos.errors import BodyError, MasterError, NoStateError, without_frames
from mesos_dns.mesos.http.client import Answer, MasterClient
from mesos_dns.mesos.options import SourceOptions
from mesos_dns.mesos.source import SourceStatus
from mesos_dns.mesos.state import Endpoint, Observation, Snapshot

log = logging.getLogger(__name__)

#: Seconds between two log lines about the same oddity of states, which comes again with every poll.
_ODDITY_INTERVAL: Final = 3600.0


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
    pause = min(limits.FIRST_RETRY_SECONDS * 2.0 ** min(failures - 1, 30), limit, limits.MAX_RETRY_SECONDS)
    return pause * (1 - chance / 2)


class PollingSource:
    """A `Source` that yields a Snapshot for each good poll, also when nothing changed.

    A failed poll yields nothing. For one reader at a time: whoever iterates `observations` again starts afresh.
    """

    def __init__(
        self,
        options: SourceOptions,
        *,
        client: Fetcher | None = None,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """Without `client` one is made of `options.client`: OSError or ssl.SSLError if its files are unusable."""
        self._options = options
        self._client = MasterClient(options.client) if client is None else client
        self._clock = clock
        self._chance = chance
        self._wake = asyncio.Event()
        self._status = SourceStatus()
        self._failures_log = RateLimited(log, clock=clock)
        self._oddities_log = RateLimited(log, interval=_ODDITY_INTERVAL, clock=clock)

    def __repr__(self) -> str:
        return f"PollingSource(masters={[*map(str, self._options.masters)]}, status={self._status})"

    @property
    def status(self) -> SourceStatus:
        """How polling goes at the moment."""
        return self._status

    def refresh(self) -> None:
        """Poll now; if a poll is under way, once more after it."""
        self._wake.set()

    async def observations(self) -> AsyncIterator[Observation]:
        """Yield a Snapshot per good poll, for ever. Close the iterator to close the connections."""
        decoder = Decoder()
        previous: Snapshot | None = None
        try:
            while True:
                started = self._clock()
                self._wake.clear()
                try:
                    snapshot = await self._poll(decoder)
                except NoStateError as error:
                    pause = self._note_failure(error)
                else:
                    self._report_oddities(snapshot, previous)
                    previous = snapshot
                    yield snapshot
                    # The period is one of starts, as in Go; the time that the reader took counts.
                    pause = max(0.0, self._options.refresh_seconds - (self._clock() - started))
                await self._wait(pause)
        finally:
            await self._client.close()

    async def once(self) -> Snapshot:
        """Read one state and close the connections. Raises NoStateError, without logging it, if no master gives one."""
        try:
            snapshot = await self._poll(Decoder())
        finally:
            await self._client.close()
        self._report_oddities(snapshot, None)
        return snapshot

    async def _wait(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            pass

    async def _poll(self, decoder: Decoder) -> Snapshot:
        """Find the leading master and read its state. Raises NoStateError if no master gives one."""
        started = self._clock()
        search = LeaderSearch(self._options.masters, self._status.leader)
        while True:
            asked = search.next()
            try:
                answer = await self._client.fetch(asked)
                snapshot = await self._decode(decoder, asked, answer)
            except MasterError as error:
                log.debug("%s", error)
                search.failed(without_frames(error))
                continue
            if search.accepts(asked, pid=snapshot.pid, leader=snapshot.leader):
                self._note_success(asked, len(answer.body), started)
                return snapshot

    async def _decode(self, decoder: Decoder, asked: Endpoint, answer: Answer) -> Snapshot:
        # In a thread: a large state takes seconds, and the loop has other work to do in between. The longest pause that the
        # loop then sees is msgspec's pass over the whole document: 0.35 s for 282 MB (100,000 tasks), measured.
        try:
            return await asyncio.to_thread(decoder.decode, answer.body, masters=self._options.masters)
        except StateError as error:
            raise BodyError(asked, str(error)) from error

    def _note_success(self, asked: Endpoint, octets: int, started: float) -> None:
        before = self._status
        now = self._clock()
        if before.leader != asked:
            log.info("reading the state of the cluster from the leading master %s", asked)
        elif before.consecutive_failures:
            log.info("master %s gives states again after %d failed polls", asked, before.consecutive_failures)
        self._status = replace(
            before,
            leader=asked,
            polls=before.polls + 1,
            consecutive_failures=0,
            last_success=now,
            last_duration=now - started,
            octets=octets,
        )

    def _note_failure(self, error: NoStateError) -> float:
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
        pause = backoff(failures, self._options.refresh_seconds, self._chance())
        kinds = ",".join(type(one).__name__ for one in error.errors)
        if before.last_success is None:
            # Whether names are served is not known here: after a reload, those of the former configuration are.
            self._failures_log.warning(
                f"first: {kinds}", "no state of the cluster could be read yet; next try in %.1f s. %s", pause, error
            )
        else:
            self._failures_log.warning(
                kinds, "no state of the cluster, the records stay as they are; next try in %.1f s. %s", pause, error
            )
        return pause

    def _report_oddities(self, snapshot: Snapshot, previous: Snapshot | None) -> None:
        for reason, count in snapshot.skipped.items():
            examples = "; ".join(snapshot.skipped_examples.get(reason, ()))
            self._oddities_log.warning(
                reason, "left out %d parts of the state (%s), for example: %s", count, reason, examples
            )
        if snapshot.flags_hidden:
            self._oddities_log.warning(
                "flags",
                "the master %s conceals its flags: its authorization may conceal frameworks and tasks, too; "
                "give the principal of MesosCredentials the rights VIEW_FRAMEWORK and VIEW_TASK",
                snapshot.pid,
            )
        if (
            previous is not None
            and previous.master_id == snapshot.master_id
            and previous.frameworks
            and snapshot.agents
            and not snapshot.frameworks
        ):
            self._oddities_log.warning(
                "frameworks",
                "all frameworks vanished at once while %d agents stay: if they still run, the master's authorization "
                "hides them (VIEW_FRAMEWORK)",
                len(snapshot.agents),
            )
