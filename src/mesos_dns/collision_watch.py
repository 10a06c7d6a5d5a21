"""Looks for names that collide in a cluster that changes, now and then, and tells of new ones."""

import asyncio
import logging
from typing import Final

from mesos_dns.logs import RateLimited
from mesos_dns.names import collisions
from mesos_dns.names.model import Model

log = logging.getLogger(__name__)

#: Seconds between two looks for names that collide: with 100,000 tasks each takes 0.15 s of processor time, in steps of a millisecond.
COLLISION_SECONDS: Final = 60.0


class CollisionWatch:
    """Names of `model` that collide: `found` is what the last look gave."""

    def __init__(self, model: Model) -> None:
        self.found = collisions.NOTHING
        self._model = model
        self._log = RateLimited(log, interval=600)
        self._due = asyncio.Event()

    def __repr__(self) -> str:
        return f"CollisionWatch({self.found.counts!r})"

    def look_again(self) -> None:
        """The model has changed."""
        self._due.set()

    async def run(self) -> None:
        """Look when something has changed, for ever."""
        while True:
            await self._due.wait()
            self._due.clear()
            looking, found = collisions.find(self._model), None
            while found is None:
                try:
                    next(looking)
                except StopIteration as end:
                    found = end.value
                await asyncio.sleep(0)
            known = {(each.kind, each.name) for each in self.found.shown}
            self.found = found
            for kind, count in found.counts.items():
                new = [each for each in found.shown if each.kind == kind and (kind, each.name) not in known]
                if new:
                    self._log.warning(kind, "names that collide (%s): %d, for example %s", kind, count, new[0])
            await asyncio.sleep(COLLISION_SECONDS)
