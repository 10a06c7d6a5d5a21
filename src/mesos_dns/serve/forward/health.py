"""What a worker knows of one upstream: how fast it answers, whether it answers at all, and when to try again. Pure.

Times are seconds of a monotonic clock. `chance` gives numbers in [0, 1), as random.random does.

An upstream that answers is *sound*. If a question is not answered when others would be, it becomes *suspect*: it is
still asked, but another beside it soon after. If nothing at all comes for a second, its circuit opens: it is asked no
more but for probes, whose distance doubles. A single ICMP refusal opens the circuit at once. Any reply closes it.

Silence to one name is not the end of an upstream: its circuit opens for that question alone, until several different
questions met silence.
"""

from collections.abc import Callable, Hashable
from typing import Final, Generic, NamedTuple, TypeVar

from mesos_dns.serve.forward.capability import Edns, Tcp

K = TypeVar("K", bound=Hashable)
Chance = Callable[[], float]

#: Least seconds until another upstream is asked beside this one: time for a look into its cache, on a busy machine.
MIN_DELAY_SECONDS: Final = 0.05
#: The same at most, and as long as its round-trip time is unknown: a client is to have its first answer within 500 ms.
MAX_DELAY_SECONDS: Final = 0.25
#: The same while the upstream is suspect: enough for a near one to show that it lives.
SUSPECT_DELAY_SECONDS: Final = 0.02
#: Least seconds without an answer that count as silence. A later answer is still one.
MIN_SILENCE_SECONDS: Final = 0.4
#: The same at most, for an upstream whose answers usually take long.
MAX_SILENCE_SECONDS: Final = 1.0
#: Least seconds of silence alone after which the circuit opens: to look up a name that nobody asked for takes most of one.
MIN_RUN_SECONDS: Final = 1.0
#: The same at most, for an upstream whose answers usually take long.
MAX_RUN_SECONDS: Final = 3.0
#: Different questions that must meet silence before the circuit opens for all others, too.
MANY_SILENT: Final = 3
#: Seconds until the first probe after silence.
PROBE_SECONDS: Final = 1.0
#: Seconds until the first probe after a refusal: a server that restarts refuses for a moment.
REFUSED_PROBE_SECONDS: Final = 0.25
#: Seconds between two probes at most; they double from the first on, and get up to a quarter more by chance.
MAX_PROBE_SECONDS: Final = 30.0
#: Seconds after which a round-trip time is too old to be averaged with a new one.
STALE_SECONDS: Final = 10.0
#: Seconds between two questions to a suspect upstream that are listened to although the client has its answer.
LINGER_SECONDS: Final = 0.1
#: Seconds for which an answer with EDNS proves that silence has other reasons. Without EDNS a validator gets no signatures.
EDNS_PROVEN_SECONDS: Final = 3600.0
#: Failures in a row that the status calls failing.
MANY_FAILURES: Final = 3

_NEVER: Final = float("-inf")


class Status(NamedTuple):
    """What is known of an upstream, as plain values."""

    #: ok; slow: suspect, or it takes longer than the next one waits; failing: several failures in a row; open: only probed.
    state: str
    #: When that began: the first failure or answer of the present run of them, or the opening. None if never asked.
    since: float | None
    #: Smoothed round-trip time in seconds; None before the first answer.
    srtt: float | None
    #: Failures in a row.
    failures: int
    #: The last failure in words, even if the upstream answers again.
    error: str | None
    #: Questions sent to it, answered usably, and failed. The rest is under way, or was given up when another answered.
    asked: int
    answered: int
    failed: int
    edns: bool
    tcp_failures: int
    tcp_error: str | None


class UpstreamState(Generic[K]):
    """One upstream, shared by all zones that name it. `key` says which."""

    __slots__ = (
        *("key", "edns", "tcp", "asked", "srtt", "delay", "silence", "suspect"),
        *(
            "_rttvar",
            "_usual",
            "_good",
            "_good_edns",
            "_heard",
            "_answered",
            "_failed",
            "_failures",
            "_error",
            "_since",
        ),
        *("_silent", "_opened", "_all", "_back_off", "_probe_at", "_probed", "_linger_at", "_compared"),
    )

    def __init__(self, key: K) -> None:
        self.key = key
        self.edns = Edns()
        self.tcp = Tcp()
        #: Questions sent.
        self.asked = 0
        #: Smoothed round-trip time in seconds (RFC 6298 section 2); None before the first answer.
        self.srtt: float | None = None
        self._rttvar = 0.0
        #: Seconds within which an answer usually comes (the retransmission time of RFC 6298); 0 if that is unknown.
        self._usual = 0.0
        #: Seconds until another upstream is asked beside this one.
        self.delay = MAX_DELAY_SECONDS
        #: Seconds without an answer that are silence.
        self.silence = MIN_SILENCE_SECONDS
        #: When the first question was asked of those that are overdue while nothing was answered; None: sound.
        self.suspect: float | None = None
        self._answered = 0
        self._failed = 0
        self._failures = 0
        self._error: str | None = None
        self._since: float | None = None
        #: Last usable answer, the last one with EDNS, and the last reply of any kind.
        self._good = self._good_edns = self._heard = _NEVER
        #: Different questions that met silence since the last reply, MANY_SILENT at most.
        self._silent: tuple[object, ...] = ()
        #: When the circuit opened, and whether for all questions whatever they are.
        self._opened: float | None = None
        self._all = False
        self._back_off = PROBE_SECONDS
        self._probe_at = self._probed = _NEVER
        self._linger_at = self._compared = _NEVER

    def __repr__(self) -> str:
        return f"UpstreamState({self.key!r}, suspect={self.suspect}, opened={self._opened}, silent={len(self._silent)})"

    # --- questions of those that plan ------------------------------------------------------------

    @property
    def failing(self) -> bool:
        """Whether several attempts in a row failed, in whatever way."""
        return self._failures >= MANY_FAILURES

    def closed_to(self, question: object) -> bool:
        """Whether `question` may only be asked as a probe."""
        return self._opened is not None and (self._all or len(self._silent) >= MANY_SILENT or question in self._silent)

    def may_compare(self, now: float) -> bool:
        """Whether its round-trip time is unknown, or too old to be compared; True at most every STALE_SECONDS."""
        if now - max(self._good, self._compared) <= STALE_SECONDS:
            return False
        self._compared = now
        return True

    def may_probe(self, now: float) -> bool:
        """Whether a probe is due, if the circuit is open."""
        return now >= self._probe_at

    def probe(self, now: float, chance: Chance) -> float:
        """A probe goes out at `now`. The seconds until the next one may: as long this one is listened to."""
        self._back_off = min(2 * self._back_off, MAX_PROBE_SECONDS)
        interval = self._back_off * (1 + chance() / 4)
        self._probed = now
        self._probe_at = now + interval
        return interval

    def hasten(self, now: float) -> None:
        """Probe soon, and from the shortest distance on: something else changed, or the others are in trouble."""
        if self._opened is not None:
            self._back_off = PROBE_SECONDS
            self._probe_at = min(self._probe_at, max(now, self._probed + PROBE_SECONDS))

    def may_linger(self, now: float) -> bool:
        """Whether to listen on to a suspect for a client that has its answer; True at most every LINGER_SECONDS."""
        if self.suspect is None or now < self._linger_at:
            return False
        self._linger_at = now + LINGER_SECONDS
        return True

    # --- outcomes --------------------------------------------------------------------------------

    def answered(self, rtt: float, now: float, *, edns: bool, times: int = 1) -> bool:
        """A usable answer came after `rtt` seconds, or so many together. True if that closed the circuit."""
        srtt = self.srtt
        if srtt is None or now - self._good > STALE_SECONDS:
            self.srtt = rtt
            self._rttvar = variation = rtt / 2
        else:
            error = rtt - srtt
            self._rttvar = variation = self._rttvar + (abs(error) - self._rttvar) / 4
            self.srtt = rtt = srtt + error / 8
        usual = self._usual = rtt + 4 * variation
        # Comparisons rather than min and max, which are calls: this is done for each answer.
        if usual < MIN_DELAY_SECONDS:
            self.delay = MIN_DELAY_SECONDS
            self.silence = MIN_SILENCE_SECONDS
        else:
            self.delay = min(usual, MAX_DELAY_SECONDS)
            self.silence = min(max(MIN_SILENCE_SECONDS, usual), MAX_SILENCE_SECONDS)
        self._answered += times
        self._good = self._heard = now
        if edns:
            self._good_edns = now
        if self.edns.doubted:
            self.edns.answered(now, edns=edns)
        if self._failures or self._since is None:
            self._failures = 0
            self._since = now
        if self.suspect is None:
            return False
        self.suspect = None
        return self._close()

    def overdue(self, asked: float) -> bool:
        """The question asked at `asked` is not answered in time. True if that made the upstream suspect."""
        if asked < self._good:
            return False
        # What was asked before the last reply says nothing about the time since.
        asked = max(asked, self._heard)
        if self.suspect is not None:
            self.suspect = min(self.suspect, asked)
            return False
        self.suspect = asked
        self.delay = SUSPECT_DELAY_SECONDS
        return True

    def silent(self, asked: float, question: object, now: float, chance: Chance, *, edns: bool) -> None:
        """`question`, asked at `asked`, met silence."""
        self._fail(now, f"no answer within {self.silence:g} s")
        if edns and asked >= self._good_edns and now - self._good_edns > EDNS_PROVEN_SECONDS:
            self.edns.silent(asked, now)
        if asked < self._heard:
            return
        if question not in self._silent and len(self._silent) < MANY_SILENT:
            self._silent = (*self._silent, question)
        self.judge(now, chance)

    def judge(self, now: float, chance: Chance) -> None:
        """Open the circuit if there was silence alone for long enough."""
        if self._opened is None and self._silent and self.suspect is not None:
            run = min(max(MIN_RUN_SECONDS, self._usual), MAX_RUN_SECONDS)
            if now - self.suspect >= run:
                self._open(now, PROBE_SECONDS, chance)

    def refused(self, now: float, text: str, chance: Chance) -> None:
        """The network said that nobody is there (ICMP); `text` in its words."""
        self._fail(now, text)
        self._all = True
        if self.suspect is None:
            self.suspect = now
            self.delay = SUSPECT_DELAY_SECONDS
        if self._opened is None:
            self._open(now, REFUSED_PROBE_SECONDS, chance)

    def bad(self, now: float, text: str) -> bool:
        """A reply came that is no use, such as SERVFAIL: it lives. `text` says what. True if that closed the circuit."""
        self._fail(now, text)
        self._heard = now
        if self.suspect is not None:
            # Still suspect: a resolver without a network answers SERVFAIL, late.
            self.suspect = now
        return self._close()

    def status(self, now: float) -> Status:
        """What is known at `now`."""
        state, since = "ok", self._since
        if self._opened is not None and (self._all or len(self._silent) >= MANY_SILENT):
            state, since = "open", self._opened
        elif self.failing or self._opened is not None:
            state = "failing"
        elif self.suspect is not None or (self.srtt or 0.0) > MAX_DELAY_SECONDS:
            state = "slow"
        edns = self.edns.used(now, 0)
        counts = (self.asked, self._answered, self._failed)
        tcp = (self.tcp.failures, self.tcp.error)
        return Status(state, since, self.srtt, self._failures, self._error, *counts, edns, *tcp)

    # --- inside ----------------------------------------------------------------------------------

    def _fail(self, now: float, text: str) -> None:
        if not self._failures:
            self._since = now
        self._failures += 1
        self._failed += 1
        self._error = text

    def _open(self, now: float, first: float, chance: Chance) -> None:
        self._opened = now
        self._back_off = first
        self._probe_at = now + first * (1 + chance() / 4)

    def _close(self) -> bool:
        was_open = self._opened is not None
        self._opened = None
        self._all = False
        self._silent = ()
        return was_open
