"""When the whole state is read again because events leave a doubt. Pure: times are seconds of whatever clock.

A doubt may be nothing but a moment's, or return as soon as it is dispelled, and to read the state of a large cluster is dear. So each further
doubt waits twice as long as the one before, and a while without doubts makes that good.
"""

from typing import Final

#: Seconds until the state is read again after the first doubt; doubles with each further one, up to the time between two such reads anyway.
DOUBT_SECONDS: Final = 5.0
#: Seconds without a doubt after which the next one is a first one: to read the state that often costs no more than to poll it.
CALM_SECONDS: Final = 120.0


class Doubts:
    """The doubts about one master's events, each waiting `longest` seconds at most."""

    def __init__(self, longest: float) -> None:
        self._longest = longest
        self._pause = DOUBT_SECONDS
        self._due: float | None = None
        #: When a doubt last led to reading.
        self._last: float | None = None

    def __repr__(self) -> str:
        return f"Doubts(due={self._due}, pause={self._pause})"

    def due(self, doubt: str, now: float) -> float:
        """When to read the state because of a doubt, which may have been there the last time already; never if there is none ("")."""
        if not doubt:
            self._due = None
            return float("inf")
        if self._due is None:
            if self._last is not None and now - self._last >= CALM_SECONDS:
                self._pause = DOUBT_SECONDS
            self._due = now + self._pause
        return self._due

    def read(self, now: float) -> None:
        """The state is read again, because of a doubt or, without one, because it was time."""
        if self._due is None:
            self._pause = DOUBT_SECONDS
            return
        self._due, self._last = None, now
        self._pause = min(2 * self._pause, self._longest)
