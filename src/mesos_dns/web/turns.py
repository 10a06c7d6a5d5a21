"""Turns of those who are sent everything: one at a time, since each remembers a hundred thousand records. Edge: asyncio."""

import asyncio
from typing import Final

from mesos_dns.web.sending import Patience

#: Seconds that a request for a dump of everything waits for the dump before it.
HTTP_DUMP_WAIT_SECONDS: Final = 30.0


class Turns:
    """Has one who is sent everything, and those who wait for that."""

    def __init__(self) -> None:
        self._free = asyncio.Semaphore(1)
        self._waiting = 0
        self._patience: Patience | None = None

    def __repr__(self) -> str:
        return f"Turns(under way={self._free.locked()}, waiting={self._waiting})"

    async def take(self) -> Patience:
        """Wait for the turn; the patience for whoever has it, until `leave`. TimeoutError if it does not come."""
        if self._patience is not None:
            self._patience.hurry()
        self._waiting += 1
        try:
            async with asyncio.timeout(HTTP_DUMP_WAIT_SECONDS):
                await self._free.acquire()
        finally:
            self._waiting -= 1
        self._patience = Patience()
        if self._waiting:
            self._patience.hurry()
        return self._patience

    def leave(self) -> None:
        """The turn is over."""
        self._patience = None
        self._free.release()
