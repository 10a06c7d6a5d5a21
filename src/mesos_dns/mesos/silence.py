"""Whom to ask while an event stream is silent. Pure.

| what is silent, and for how long | who is asked |
|---|---|
| the stream, for QUIET_SECONDS | its master, for its name, and again after every further QUIET_SECONDS |
| its master, for SILENCE_SECONDS after such a question | the other masters, who leads, and again after every further SILENCE_SECONDS |
| the stream, for more than a heartbeat, whatever its master answers | the same |

A stopped process keeps its connections, and is as silent as a living master that writes a state of 100,000 tasks. So no silence of these lengths
ends anything: it is the word of another master that does. To ask costs a master nothing (GET_MASTER), and a busy cluster is never silent.
"""

from typing import Final, NamedTuple

#: Seconds without an event or a heartbeat after which a master is asked whether it is there.
QUIET_SECONDS: Final = 5.0
#: Seconds without an octet after which the other masters are asked, too: the election of another takes longer.
SILENCE_SECONDS: Final = 3.0


class Due(NamedTuple):
    """Whether to ask the stream's master, whether to ask the others, and when to look again."""

    master: bool
    others: bool
    again: float


class Silence:
    """What has been asked during the silence of one stream. All times are of one clock, in seconds."""

    def __init__(self) -> None:
        self._answered = float("-inf")
        self._master_asked = float("-inf")
        self._others_asked = float("-inf")
        #: When the first question was asked that no sign of life has followed.
        self._open: float | None = None

    def __repr__(self) -> str:
        return f"Silence(answered={self._answered}, open={self._open})"

    def answered(self, now: float) -> None:
        """The stream's master has answered a question."""
        self._answered = now

    def is_unanswered(self, now: float, heard: float) -> bool:
        """Whether the stream's master owes an answer for SILENCE_SECONDS; its last record came at `heard`."""
        return self._open is not None and max(heard, self._answered) < self._open <= now - SILENCE_SECONDS

    def look(self, now: float, heard: float, *, is_late: bool) -> Due:
        """Who is to be asked at `now`, and is taken as asked; the last record came at `heard`. `is_late`: a heartbeat is overdue."""
        alive = max(heard, self._answered)
        if self._open is not None and alive >= self._open:
            self._open = None
        master = now >= max(alive, self._master_asked) + QUIET_SECONDS
        if master:
            self._master_asked = now
            self._open = now if self._open is None else self._open
        suspicious = is_late or self.is_unanswered(now, heard)
        others = suspicious and now >= self._others_asked + SILENCE_SECONDS
        if others:
            self._others_asked = now
        again = max(alive, self._master_asked) + QUIET_SECONDS
        if suspicious:
            again = min(again, self._others_asked + SILENCE_SECONDS)
        elif self._open is not None:
            again = min(again, self._open + SILENCE_SECONDS)
        return Due(master, others, again)
