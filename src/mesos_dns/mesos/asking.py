"""Finds the leading master and reads its state, without being kept by one that says nothing. Edge: asyncio.

A stopped process, or a host that lost its power, keeps its connections: it takes a request and never answers. A living master of 100,000
tasks may be just as silent, for as long as it takes to write its state. Nobody can tell one from the other, so while a master is silent the
others are asked, and the silent one is still waited for. Those that do not lead say so in a millisecond and cost nothing.

| what happens | what follows |
|---|---|
| the master that is asked first says nothing for SILENCE_SECONDS | all others are asked, and again after every further SILENCE_SECONDS |
| octets of its answer come | it is alive, and nobody else is asked |
| a master claims to lead, whose id is that of the leader so far, or which the detector names | its state is the answer |
| another master claims to lead | all others are asked; who says nothing for CLAIM_SECONDS is not waited for. The claim wins, or the best of several |
| the detector names another leader | that one is asked; requests to others end |
| the state is that of another cluster (`mesos.identity`), and the detector does not name that master | as if it had failed |

Of several claims the best is that of the master whom the detector names; else whom more of the other masters name (they see the election); else the
one elected last, by its own clock. Clocks may be wrong by hours, so that comes last, and once a claim is believed its master stays the leader for
as long as it answers: two masters that both claim to lead make nobody flap.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable
from typing import Final, NamedTuple, Protocol

from mesos_dns.concurrency import spawn
from mesos_dns.logs import RateLimited
from mesos_dns.mesos.decoding.document import StateError
from mesos_dns.mesos.decoding.v0 import Decoder
from mesos_dns.mesos.detect.search import LeaderSearch
from mesos_dns.mesos.errors import BodyError, ForeignError, MasterError, NobodyAnsweredError
from mesos_dns.mesos.http.client import Answer, Heard
from mesos_dns.mesos.identity import Identity, Verdict
from mesos_dns.mesos.silence import SILENCE_SECONDS
from mesos_dns.mesos.source import KnownMasters, MasterDetector
from mesos_dns.mesos.state import Endpoint, Snapshot
from mesos_dns.mesos.waiting import other_leader

log = logging.getLogger(__name__)

#: Seconds for which the word of the other masters is waited for when one claims to lead: they answer within milliseconds, or are gone.
CLAIM_SECONDS: Final = 1.0
#: Masters asked at once: clusters have three, five or seven.
MAX_ASKED_AT_ONCE: Final = 8


class Fetcher(Protocol):
    """What asking needs of a client."""

    async def fetch(self, endpoint: Endpoint, heard: Heard) -> Answer:
        """Return the state document of one master, or raise MasterError; call `heard` whenever some of it has come."""
        ...

    async def close(self) -> None:
        """Let go of all connections."""
        ...


class Reading(NamedTuple):
    """What the leading master said: its state, and the octets of the document."""

    asked: Endpoint
    snapshot: Snapshot
    octets: int


class _Request:
    """One master that is being asked."""

    def __init__(self, endpoint: Endpoint, now: float) -> None:
        self.endpoint = endpoint
        self.started = now
        self.heard = now
        #: Its answer is complete and being decoded: it owes nothing.
        self.is_complete = False

    def __repr__(self) -> str:
        return f"_Request({self.endpoint}, heard={self.heard})"

    def is_silent(self, now: float, seconds: float) -> bool:
        return not self.is_complete and now - self.heard >= seconds


class Asking:
    """Reads the state of the leading master, again and again. For one reader at a time."""

    def __init__(
        self,
        detector: MasterDetector,
        client: Fetcher,
        *,
        identity: Identity | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`identity`: what is known already of the cluster, and learns from what is read here."""
        self._detector = detector
        self._client = client
        self._clock = clock
        self._decoder = Decoder()
        self._decoding = asyncio.Lock()
        self._identity = Identity() if identity is None else identity
        #: Of the state that was believed last.
        self._leader: Endpoint | None = None
        self._log = RateLimited(log, interval=600.0, clock=clock)

    def __repr__(self) -> str:
        return f"Asking({self._detector!r}, leader={self._leader})"

    async def read(self) -> Reading:
        """Find the leading master and read its state. Raises NobodyAnsweredError if no master gives one."""
        round_ = _Round(self._detector.known, self._leader, self._clock())
        word = spawn(other_leader(self._detector, round_.known), name="watch the leader")
        try:
            while (reading := self._decide(round_)) is None:
                self._ask_on(round_)
                await asyncio.wait(
                    {word, *round_.running}, timeout=round_.pause(self._clock()), return_when=asyncio.FIRST_COMPLETED
                )
                if word.done():
                    word.result()
                    self._turn(round_)
                    word = spawn(other_leader(self._detector, round_.known), name="watch the leader")
                self._collect(round_)
        finally:
            await _end(word, *round_.running, *round_.abandoned)
        self._believe(reading)
        return reading

    # --- one step each -------------------------------------------------------------------------

    def _decide(self, round_: "_Round") -> Reading | None:
        """The state to believe; None to go on. NobodyAnsweredError if there is nobody left."""
        for claim in round_.claims:
            if claim.asked == round_.known.leader or claim.snapshot.master_id == self._identity.master:
                return claim
        if round_.may_ask_more:
            return None
        now = self._clock()
        if round_.claims:
            if not all(one.is_silent(now, CLAIM_SECONDS) for one in round_.running.values()):
                return None
            return self._best(round_)
        if not round_.running:
            raise NobodyAnsweredError(round_.search.errors)
        return None

    def _best(self, round_: "_Round") -> Reading:
        best = max(
            round_.claims,
            key=lambda one: (sum(map(round_.votes.__getitem__, _names(one))), one.snapshot.elected_time or 0.0),
        )
        if len(round_.claims) > 1:
            self._log.warning(
                "claims",
                "%d masters claim to lead: %s; %s is believed, which more masters name, or which was elected last",
                len(round_.claims),
                ", ".join(str(one.asked) for one in round_.claims),
                best.asked,
            )
        return best

    def _ask_on(self, round_: "_Round") -> None:
        """Ask those whose turn it is."""
        now = self._clock()
        silent = bool(round_.running) and round_.is_silent(now)
        if silent and not round_.others_asked:
            waited = ", ".join(str(one.endpoint) for one in round_.running.values())
            self._log.log(
                logging.INFO,
                f"silent: {waited}",
                "master %s says nothing for %g s; it is still waited for, and the others are asked",
                waited,
                SILENCE_SECONDS,
            )
            round_.others_asked = True
        if silent and not round_.may_ask_more:
            round_.start_over(now)
        while round_.may_ask_more and (not round_.running or round_.others_asked or round_.claims):
            endpoint = round_.pick()
            request = _Request(endpoint, now)
            task = spawn(self._ask(request, round_.known), name=f"ask {endpoint}")
            round_.running[task] = request

    async def _ask(self, request: _Request, known: KnownMasters) -> Reading | MasterError:
        def heard() -> None:
            request.heard = self._clock()

        try:
            answer = await self._client.fetch(request.endpoint, heard)
            request.is_complete = True
            return Reading(request.endpoint, await self._decode(request.endpoint, answer, known), len(answer.body))
        except MasterError as error:
            # The text says all. What led to it holds frames, one of them this task, whose result the error becomes: a circle.
            error.__cause__ = error.__context__ = error.__traceback__ = None
            return error

    async def _decode(self, asked: Endpoint, answer: Answer, known: KnownMasters) -> Snapshot:
        # In a thread: a large state takes seconds, and the loop has other work to do in between. The longest pause that the
        # loop then sees is msgspec's pass over the whole document: 0.35 s for 282 MB (100,000 tasks), measured.
        async with self._decoding:
            try:
                return await asyncio.to_thread(self._decoder.decode, answer.body, masters=known.masters)
            except StateError as error:
                raise BodyError(asked, str(error)) from error
            except asyncio.CancelledError:
                # The thread goes on with the old one.
                self._decoder = Decoder()
                raise

    def _collect(self, round_: "_Round") -> None:
        """Take what has come."""
        for task in [task for task in round_.running if task.done()]:
            del round_.running[task]
            answer = task.result()
            if isinstance(answer, MasterError):
                log.debug("%s", answer)
                round_.search.failed(answer)
            elif self._is_claim(answer, round_):
                round_.claims.append(answer)

    def _is_claim(self, reading: Reading, round_: "_Round") -> bool:
        """Whether it is the state of a master that leads our cluster."""
        if not round_.search.accepts(reading.asked, pid=reading.snapshot.pid, leader=reading.snapshot.leader):
            return False
        named = reading.asked == round_.known.leader
        if self._identity.judge(reading.snapshot, self._clock(), named=named) is Verdict.OURS:
            return True
        words = self._identity.describe(reading.snapshot)
        round_.search.failed(
            ForeignError(reading.asked, f"leads another cluster, as it seems ({words}); its state is not believed")
        )
        self._log.warning(
            f"foreign: {reading.asked}",
            "master %s leads another cluster, as it seems: %s. Its state is not believed; is its address in Masters wrong?",
            reading.asked,
            words,
        )
        return False

    def _turn(self, round_: "_Round") -> None:
        """Follow the detector's word."""
        known = self._detector.known
        log.debug("the detector names %s as the leader", known.leader)
        round_.turn(known, self._clock())

    def _believe(self, reading: Reading) -> None:
        self._log.over(f"foreign: {reading.asked}", "the state of master %s is believed now", reading.asked)
        self._identity.learn(reading.snapshot)
        self._leader = reading.asked


class _Round:
    """Where one reading of the state stands."""

    def __init__(self, known: KnownMasters, last: Endpoint | None, now: float) -> None:
        self.known = known
        self.search = LeaderSearch(known.masters, known.leader or last)
        self.running: dict[asyncio.Task[Reading | MasterError], _Request] = {}
        #: Requests that were given up and end just now.
        self.abandoned: list[asyncio.Task[Reading | MasterError]] = []
        self.claims: list[Reading] = []
        #: Somebody is silent, so that more than one is asked.
        self.others_asked = False
        self._since = now
        self._next = self.search.pick()

    def __repr__(self) -> str:
        return f"_Round({self.search!r}, running={[*self.running.values()]}, claims={len(self.claims)})"

    @property
    def may_ask_more(self) -> bool:
        """Whether there is another one to ask, and not too many are asked already."""
        if self._next is None:
            self._next = self.search.pick()
        return self._next is not None and len(self.running) < MAX_ASKED_AT_ONCE

    def pick(self) -> Endpoint:
        """The next one to ask; there must be one."""
        picked, self._next = self._next, None
        return picked or self.search.next()

    def is_silent(self, now: float) -> bool:
        """Whether nobody has been heard since SILENCE_SECONDS, and the others have not been asked since then."""
        return now - self._since >= SILENCE_SECONDS and all(
            one.is_silent(now, SILENCE_SECONDS) for one in self.running.values()
        )

    def start_over(self, now: float) -> None:
        """Ask the others once more: by now they may know another leader."""
        self._since = now
        self._next = None
        self.search = LeaderSearch(self.known.masters, asked=[one.endpoint for one in self.running.values()])

    def turn(self, known: KnownMasters, now: float) -> None:
        """Follow the detector: begin with the leader that it names now."""
        self.known = known
        self.abandoned = [task for task in self.abandoned if not task.done()]
        for task, one in [*self.running.items()]:
            if one.endpoint != known.leader:
                task.cancel()
                del self.running[task]
                self.abandoned.append(task)
        self.claims = [one for one in self.claims if one.asked == known.leader]
        self.search = LeaderSearch(known.masters, known.leader, asked=[one.endpoint for one in self.running.values()])
        self.others_asked = False
        self._since = now
        self._next = None

    @property
    def votes(self) -> Counter[Endpoint]:
        """How many masters said of each that it leads, in the newest look around."""
        return self.search.votes

    def pause(self, now: float) -> float | None:
        """Seconds until something may have to be done although nothing has come; None if something will come."""
        if any(one.is_complete for one in self.running.values()):
            return None
        heard = max((one.heard for one in self.running.values()), default=now)
        due = heard + CLAIM_SECONDS if self.claims else max(heard, self._since) + SILENCE_SECONDS
        return max(due - now, 0.0)


def _names(claim: Reading) -> set[Endpoint]:
    """What other masters may call it: redirects go to the host name."""
    asked, pid, hostname = claim.asked, claim.snapshot.pid, claim.snapshot.hostname
    return {asked, pid or asked, Endpoint(hostname or asked.host, (pid or asked).port)}


async def _end(*tasks: "asyncio.Task[None] | asyncio.Task[Reading | MasterError]") -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
