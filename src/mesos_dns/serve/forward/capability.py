"""What an upstream can do beside plain DNS over UDP: EDNS, TCP, keeping letters as they are; remembered for a while. Pure.

Times are seconds of a monotonic clock. What fails here says nothing about the upstream's health.
"""

from typing import Final

#: Seconds for which an upstream that rejected EDNS is asked without it; then it is tried again (RFC 6891 section 6.2.2).
PLAIN_SECONDS: Final = 900.0
#: The same for one that was silent to EDNS while it answered without. Silence has other causes too, so it is believed for less long.
PLAIN_AFTER_SILENCE_SECONDS: Final = 60.0
#: Seconds for which an upstream is not asked over TCP after several attempts in a row failed.
NO_TCP_SECONDS: Final = 10.0
#: Seconds for which an upstream that does not keep the case of letters is asked in that of the client.
ANY_CASE_SECONDS: Final = 900.0
#: Attempts over TCP that must fail in a row for that.
MANY_TCP_FAILURES: Final = 3


class Edns:
    """Whether an upstream takes EDNS (RFC 6891).

    Silence alone does not tell: it may be down. From the first silence on (`health` says which counts), every second question goes without
    EDNS. If such a one is answered, and a question with EDNS that is asked after that is not, EDNS was the reason.
    """

    __slots__ = ("_plain_answered", "_plain_until", "doubted")

    def __init__(self) -> None:
        #: Whether something speaks against EDNS. If not, it is used, and nobody need ask or tell how it goes.
        self.doubted = False
        self._plain_until = float("-inf")
        #: When a question without EDNS was answered for the first time since EDNS is in doubt.
        self._plain_answered: float | None = None

    def __repr__(self) -> str:
        return f"Edns(plain_until={self._plain_until}, doubted={self.doubted})"

    def used(self, now: float, number: int) -> bool:
        """Whether the upstream's question of this number is to have an OPT record, if it would otherwise have one."""
        return now >= self._plain_until and not (self.doubted and number % 2)

    def answered(self, now: float, *, edns: bool) -> None:
        """A question with, or without, EDNS was answered at `now`."""
        if edns:
            self.doubted = False
            self._plain_answered = None
        elif self.doubted and self._plain_answered is None:
            self._plain_answered = now

    def silent(self, asked: float, now: float) -> None:
        """A question with EDNS, asked at `asked`, was not answered, nor was any other with EDNS since."""
        self.doubted = True
        if self._plain_answered is not None and asked >= self._plain_answered:
            self._plain_until = now + PLAIN_AFTER_SILENCE_SECONDS

    def rejected(self, now: float) -> None:
        """FORMERR, NOTIMP or BADVERS came back with EDNS, and an answer without it (RFC 6891 sections 6.1.3 and 7)."""
        self.doubted = True
        self._plain_until = now + PLAIN_SECONDS


class Tcp:
    """Whether an upstream answers over TCP. Only questions whose answer over UDP is truncated find out."""

    __slots__ = ("_until", "error", "failures")

    def __init__(self) -> None:
        #: Failures in a row.
        self.failures = 0
        #: The last failure, in words.
        self.error: str | None = None
        self._until = float("-inf")

    def __repr__(self) -> str:
        return f"Tcp(failures={self.failures}, error={self.error!r})"

    def used(self, now: float) -> bool:
        """Whether it is worth trying. If not, the truncated answer is the answer: it says itself that there is more."""
        return now >= self._until

    def answered(self) -> None:
        """An answer came over TCP."""
        self.failures = 0
        self._until = float("-inf")

    def failed(self, now: float, text: str) -> None:
        """No answer came over TCP; `text` says why."""
        self.failures += 1
        self.error = text
        if self.failures >= MANY_TCP_FAILURES:
            self._until = now + NO_TCP_SECONDS


class Case:
    """Whether an upstream sends a question back in the letters that it came in."""

    __slots__ = ("_until",)

    def __init__(self) -> None:
        self._until = float("-inf")

    def __repr__(self) -> str:
        return f"Case(until={self._until})"

    def used(self, now: float) -> bool:
        """Whether its questions may be in mixed case."""
        return now >= self._until

    def lost(self, now: float) -> None:
        """It sent a question back in other letters, and nothing shows that somebody else did."""
        self._until = now + ANY_CASE_SECONDS
