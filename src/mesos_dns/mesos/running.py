"""How many tasks run by framework: as events told, and as a summary of the state counts them. Pure.

A task may begin to run without an event. If its scheduler acknowledges nothing, its agent repeats the first status, after 10 s, with the latest
state; the master knows then that the task runs, but sends no event for a repeated status. Only the counts of a summary give it away.

Events that come while a summary is under way may be in its counts or not, so the largest number that was known since it was asked for is what
counts. That a running task ends meanwhile may hide another one, until the next summary.
"""

from collections.abc import Iterable, Mapping


class RunningTasks:
    """Of one view. `unshown` are running tasks that summaries count and states do not show: VIEW_TASK hides them from the latter alone."""

    def __init__(self, unshown: Mapping[str, int] | None = None) -> None:
        self._known: dict[str, int] = {}
        self._unshown = dict(unshown or {})
        #: How many there should be by the summary that is being looked into; None if none is.
        self._counted: dict[str, int] | None = None
        #: The largest number since a summary was asked for, by framework with news; None if none is under way.
        self._most: dict[str, int] | None = None
        #: How many could not be found, at the end of the last comparison.
        self._missing: dict[str, int] = {}

    def __repr__(self) -> str:
        return f"RunningTasks(frameworks={len(self._known)}, missing={self._missing})"

    def known(self, framework_id: str) -> int:
        """How many are known to run."""
        return self._known.get(framework_id, 0)

    def add(self, framework_id: str, by: int) -> None:
        """One more is known to run (1), or one less (-1)."""
        before = self.known(framework_id)
        self._known[framework_id] = before + by
        if not self._known[framework_id]:
            del self._known[framework_id]
        if self._most is not None:
            self._most[framework_id] = max(self._most.get(framework_id, 0), before, before + by)

    def begin(self) -> None:
        """A summary is asked for."""
        self._most = {}

    def compare(self, counted: Mapping[str, int], waiting: Iterable[str]) -> None:
        """Take the counts of the summary. `waiting` are the frameworks of which other tasks wait to run."""
        most = self._most or {}
        for framework_id, count in [*self._unshown.items()]:
            if framework_id not in most:
                beyond = counted.get(framework_id, 0) - self.known(framework_id)
                self._unshown[framework_id] = min(count, max(beyond, 0))
        self._counted = {
            framework_id: counted.get(framework_id, 0) - self._unshown.get(framework_id, 0) for framework_id in waiting
        }

    def lack(self, framework_id: str) -> int:
        """How many running tasks of a framework are not known; 0 or less if none is."""
        known = self.known(framework_id)
        most = known if self._most is None else self._most.get(framework_id, known)
        return (self._counted or {}).get(framework_id, 0) - most

    def lacking(self) -> dict[str, int]:
        """The frameworks of which some are not known, and how many."""
        return {key: lack for key in self._counted or () if (lack := self.lack(key)) > 0}

    def end(self) -> bool | None:
        """All that could be done to find them has been done: whether some are missing still; None if one cannot tell."""
        lacking = self.lacking()
        is_sure = self._counted is not None and all(self.known(key) >= count for key, count in self._counted.items())
        self._counted = self._most = None
        if lacking or is_sure:
            self._missing = lacking
            return bool(lacking)
        return None

    def unshown(self) -> dict[str, int]:
        """For the view that follows: what was missing, and is not shown to that one either, is not to be seen."""
        both = {key: self._unshown.get(key, 0) + self._missing.get(key, 0) for key in self._unshown | self._missing}
        return {key: count for key, count in both.items() if count}
