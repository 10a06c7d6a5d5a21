"""Whom to ask next, and how long to wait: the upstreams of a zone, and the attempts to have one question answered. Pure.

Times are seconds of a monotonic clock. The edge that asks does this, and nothing else:

    attempts = upstreams.plan(now, chance, question)
    while True:
        state = attempts.next(now)
        if state is not None:
            send the question to state.key, with EDNS if attempts.edns
        elif not attempts.wait:
            break               # The last bad reply is the answer, or there is none.
        for at most attempts.wait seconds, take one reply or error and report it: answered, bad, refused, ...
        if answered: break
    listen on for attempts.linger(now) seconds, without the client, and report what comes
    attempts.close(now)

No attempt is given up when the next one begins: whichever answers first is the answer.
"""

import enum
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Generic

from mesos_dns.serve.forward.health import Chance, K, UpstreamState

#: Seconds from the first attempt within which every upstream that may be asked is asked, however many there are.
ALL_ASKED_SECONDS: Final = 0.4

#: Timers may be early by so many seconds.
_EARLY: Final = 0.001
_NOTED: Final = float("inf")


class Policy(enum.Enum):
    """Which upstream is asked first."""

    #: In the order of the configuration.
    SEQUENTIAL = "sequential"
    #: The smallest round-trip time; the others now and then beside it, so that one that became faster is found.
    FASTEST = "fastest"
    RANDOM = "random"


class _Attempt(Generic[K]):
    """One question sent to one upstream."""

    __slots__ = ("asked", "edns", "end", "fell_back", "late", "over", "probe", "silent", "state")

    def __init__(
        self, state: UpstreamState[K], asked: float, late: float, silent: float, end: float, edns: bool, probe: bool
    ) -> None:
        self.state = state
        self.asked = asked
        #: When it is overdue, when that is silence, and when it is given up; the first two are _NOTED afterwards.
        self.late = late
        self.silent = silent
        self.end = end
        self.edns = edns
        #: Asked to hear how the upstream is: others are asked at once, and its answer is awaited without the client.
        self.probe = probe
        self.fell_back = False
        self.over = False


class Attempts(Generic[K]):
    """The attempts to have one question answered. Ends within the timeout of its `Upstreams`."""

    __slots__ = (
        "_attempts", "_beside", "_chance", "_deadline", "_edns", "_next_at", "_order", "_place", "_question", "_replied",
        "_started", "edns", "wait",
    )  # fmt: skip

    def __init__(
        self,
        order: Sequence[UpstreamState[K]],
        beside: UpstreamState[K] | None,
        now: float,
        deadline: float,
        chance: Chance,
        question: object,
        edns: bool,
    ) -> None:
        self._order = order
        #: To be asked beside the first one, to hear how fast it is.
        self._beside = beside
        self._started = self._next_at = now
        self._deadline = deadline
        self._chance = chance
        self._question = question
        self._edns = edns
        self._place = 0
        self._attempts: list[_Attempt[K]] = []
        #: Whether a bad reply came, which is better than none.
        self._replied = False
        #: Seconds until `next` is to be called again, unless something comes before. 0 and no upstream: it is over.
        self.wait = 0.0
        #: Whether the upstream that `next` gave is to be asked with EDNS.
        self.edns = edns

    def __repr__(self) -> str:
        return f"Attempts(asked={[attempt.state.key for attempt in self._attempts]}, wait={self.wait:g})"

    def begun(self, state: UpstreamState[K], asked: float) -> None:
        """Note that `state`, the first of the order, was asked at `asked` with EDNS, before the attempts were planned."""
        self._place = 1
        self._next_at = late = asked + state.delay
        self._attempts.append(
            _Attempt(state, asked, late, asked + state.silence, self._deadline, edns=True, probe=False)
        )

    def next(self, now: float) -> UpstreamState[K] | None:
        """The upstream to ask now, or None. Then look at `wait`."""
        attempts = self._attempts
        if attempts:
            self._note(now)
        if not self._next_at <= now < self._deadline:
            self.wait = self._rest(now)
            return None
        order = self._order
        sound = True
        for state in order:
            if state.suspect is not None:
                sound = False
        if (not sound or self._beside is not None) and (probed := self._probe(now)) is not None:
            self.wait = 0.0
            return probed
        place = self._place
        while place < len(order):
            state = order[place]
            place += 1
            if (sound or not state.closed_to(self._question)) and not (attempts and self._has(state)):
                self._place = place
                self._ask(state, now, state.delay, self._deadline, probe=False)
                return state
        self._place = place
        self.wait = self._rest(now)
        return None

    # --- outcomes --------------------------------------------------------------------------------

    def answered(self, state: UpstreamState[K], now: float) -> float:
        """A usable answer came from `state`: the answer to the question, unless there is one. TC counts as such. The seconds it took."""
        attempt = self._find(state)
        attempt.over = True
        if state.answered(now - attempt.asked, now, edns=attempt.edns):
            self._hasten(now)
        if attempt.fell_back:
            state.edns.rejected(now)
        return now - attempt.asked

    def bad(self, state: UpstreamState[K], now: float, text: str) -> None:
        """A reply came that another upstream may better: SERVFAIL, REFUSED, or a broken one; `text` says which."""
        self._find(state).over = True
        self._next_at = now
        self._replied = True
        if state.bad(now, text):
            self._hasten(now)

    def refused(self, state: UpstreamState[K], now: float, text: str) -> None:
        """The network says that nobody is there, in the words of `text`. For errors of this machine there is `dropped`."""
        self._find(state).over = True
        self._next_at = now
        state.refused(now, text, self._chance)

    def dropped(self, state: UpstreamState[K], now: float) -> None:
        """The attempt ended for a reason that is not the upstream's, such as too many open files."""
        self._find(state).over = True
        self._next_at = now

    def without_edns(self, state: UpstreamState[K], now: float) -> bool:
        """FORMERR, NOTIMP or BADVERS came. True: ask `state` once more, without EDNS (RFC 6891 section 6.2.2).

        False: that was without EDNS, and the reply is a bad one.
        """
        attempt = self._find(state)
        if not attempt.edns:
            return False
        attempt.edns = False
        attempt.fell_back = True
        attempt.asked = now
        attempt.silent = now + state.silence
        state.asked += 1
        return True

    def linger(self, now: float) -> float:
        """Seconds for which to listen on to the attempts under way although the client has its answer; mostly 0.

        An upstream that others overtake would otherwise never be heard, and one that is down never found out.
        """
        longest = now
        for attempt in self._attempts:
            if not attempt.over:
                if attempt.probe:
                    longest = max(longest, attempt.end)
                elif now < attempt.silent < _NOTED and attempt.state.may_linger(now):
                    longest = max(longest, attempt.silent)
        return longest - now

    def close(self, now: float) -> None:
        """Nobody listens any more. Call it once, at the end of each question."""
        self._note(now)
        self._attempts.clear()

    # --- inside ----------------------------------------------------------------------------------

    def _probe(self, now: float) -> UpstreamState[K] | None:
        """An upstream to ask beside those that may answer."""
        if (state := self._beside) is not None:
            self._beside = None
            if not state.closed_to(self._question):
                self._ask(state, now, 0.0, min(now + state.silence, self._deadline), probe=True)
                return state
        for state in self._order:
            if state.suspect is not None:
                state.judge(now, self._chance)
                if state.closed_to(self._question) and state.may_probe(now) and not self._has(state):
                    end = now + state.probe(now, self._chance)
                    self._ask(state, now, 0.0, min(end, self._deadline), probe=True)
                    return state
        return None

    def _ask(self, state: UpstreamState[K], now: float, delay: float, end: float, *, probe: bool) -> None:
        left = len(self._order) - self._place
        if left and (most := (self._started + ALL_ASKED_SECONDS - now) / left) < delay:
            delay = most if most > 0 else 0.0
        if now + delay > self._deadline:
            delay = self._deadline - now
        self.edns = edns = self._edns and (not state.edns.doubted or state.edns.used(now, state.asked))
        state.asked += 1
        self._next_at = late = now + delay
        self.wait = delay
        silent = now + state.silence
        if probe or silent > end:
            silent = min(silent, end)
            late = silent
        self._attempts.append(_Attempt(state, now, late, silent, end, edns, probe))

    def _note(self, now: float) -> None:
        """Tell the upstreams what time has shown."""
        now += _EARLY
        for attempt in self._attempts:
            if attempt.over:
                continue
            if attempt.late <= now:
                attempt.late = _NOTED
                if attempt.state.overdue(attempt.asked):
                    self._hasten(now)
            if attempt.silent <= now:
                attempt.silent = _NOTED
                attempt.state.silent(attempt.asked, self._question, now, self._chance, edns=attempt.edns)
            if attempt.end <= now:
                attempt.over = True

    def _rest(self, now: float) -> float:
        """Seconds until there is something to do; 0 if there is nothing to wait for."""
        soonest = self._deadline
        if self._next_at > now:
            soonest = min(soonest, self._next_at)
        waiting = False
        for attempt in self._attempts:
            # Who has a bad reply does not wait for one that is down.
            if not attempt.over and not (self._replied and attempt.state.closed_to(self._question)):
                waiting = True
                soonest = min(soonest, attempt.silent, attempt.end)
        return soonest - now if waiting else 0.0

    def _hasten(self, now: float) -> None:
        for state in self._order:
            state.hasten(now)

    def _has(self, state: UpstreamState[K]) -> bool:
        return any(attempt.state is state for attempt in self._attempts)

    def _find(self, state: UpstreamState[K]) -> _Attempt[K]:
        for attempt in self._attempts:
            if attempt.state is state:
                return attempt
        raise LookupError(f"{state.key} was not asked this question")


class Upstreams(Generic[K]):
    """The upstreams of one zone in order of preference, and how one of them is chosen.

    `timeout` is the seconds that one question may take in all.
    """

    def __init__(self, states: Iterable[UpstreamState[K]], policy: Policy, timeout: float) -> None:
        #: In the order of the configuration.
        self.states = tuple(states)
        self._policy = policy
        #: Whether the first one is asked first, whatever it takes.
        self.sequential = policy is Policy.SEQUENTIAL
        self._timeout = timeout

    def __repr__(self) -> str:
        return f"Upstreams({list(self.states)!r}, {self._policy}, timeout={self._timeout:g})"

    def plan(self, now: float, chance: Chance, question: object, *, edns: bool = True) -> Attempts[K]:
        """How to have `question` answered: any value that is equal for equal questions, such as name and type.

        `edns` says whether it would have an OPT record.
        """
        if self.sequential:
            return Attempts(self.states, None, now, now + self._timeout, chance, question, edns)
        beside = None
        if self._policy is Policy.FASTEST:
            order = sorted(self.states, key=_slowness)
            beside = next((state for state in order[1:] if state.may_compare(now)), None)
        else:
            order = sorted(self.states, key=lambda _: chance())
        return Attempts(order, beside, now, now + self._timeout, chance, question, edns)


def _slowness(state: UpstreamState[K]) -> tuple[bool, float]:
    srtt = state.srtt
    return state.suspect is not None or state.failing, float("inf") if srtt is None else srtt


def by_zone(zones: Mapping[bytes, Sequence[K]], policy: Policy, timeout: float) -> dict[bytes, Upstreams[K]]:
    """The upstreams of each zone. One that several zones name has one state."""
    states = {key: UpstreamState(key) for keys in zones.values() for key in keys}
    return {
        zone: Upstreams((states[key] for key in dict.fromkeys(keys)), policy, timeout) for zone, keys in zones.items()
    }
