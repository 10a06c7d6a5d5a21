"""Says what is wrong with states that can be read all the same. Edge: logging."""

import logging
from collections.abc import Callable
from typing import Final

from mesos_dns.logs import RateLimited
from mesos_dns.mesos.state import Endpoint, NotShown, Snapshot

log = logging.getLogger(__name__)

#: Seconds between two log lines about the same problem of states, which comes again with every poll.
_INTERVAL: Final = 3600.0


class Problems:
    """Reports each problem once in a while, and its end as loud as its beginning."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._log = RateLimited(log, interval=_INTERVAL, clock=clock)
        #: The log says that states are not complete, and has not yet said that it is over.
        self._lack_told = False
        self._filter_told = False

    def __repr__(self) -> str:
        return f"Problems(lacking={self._lack_told}, filtered={self._filter_told})"

    def report(self, master: Endpoint, snapshot: Snapshot) -> None:
        """Look at a state that `master` gave (the state itself need not say whose it is)."""
        for reason, count in snapshot.skipped.items():
            examples = "; ".join(snapshot.skipped_examples.get(reason, ()))
            self._log.warning(reason, "left out %d parts of the state (%s), for example: %s", count, reason, examples)
        if snapshot.flags_hidden:
            self._log.warning(
                "flags",
                "the master %s conceals its flags: its authorization may conceal frameworks and tasks, too; "
                "give the principal of MesosCredentials the rights VIEW_FRAMEWORK and VIEW_TASK",
                master,
            )
        self._report_not_shown(master, snapshot.not_shown)
        self._report_concealed(master, snapshot)

    def _report_not_shown(self, master: Endpoint, parts: NotShown) -> None:
        if parts != NotShown():
            lists = [
                *(["slaves"] if parts.agents else []),
                *(["frameworks"] if parts.frameworks else []),
                *([f"tasks of {len(parts.tasks_of)} frameworks"] if parts.tasks_of else []),
            ]
            told = self._log.warning(
                f"not shown: {lists}",
                "the state of master %s lacks a list that every Mesos writes (%s): what is known of it stays as it is; "
                "is it a proxy that answers, or a summary?",
                master,
                ", ".join(lists),
            )
            self._lack_told |= told
        elif self._lack_told:
            self._lack_told = False
            log.warning("the state of master %s is complete again", master)

    def _report_concealed(self, master: Endpoint, snapshot: Snapshot) -> None:
        concealed = snapshot.concealed
        if concealed:
            what = "frameworks" if concealed.frameworks else f"tasks of {len(concealed.tasks_of)} frameworks"
            told = self._log.warning(
                f"concealed: {what}",
                "the state of master %s conceals %s: more resources are in use than it shows users of. What was known of them stays; "
                "give the principal of MesosCredentials the rights VIEW_FRAMEWORK and VIEW_TASK",
                master,
                what,
            )
            self._filter_told |= told
        elif self._filter_told and snapshot.agents:
            self._filter_told = False
            log.warning("the state of master %s conceals nothing any more", master)
