"""An event loop for workers that are hardly busy: what waits at a UDP socket is answered without a way through the loop.

At a few thousand questions a second each one comes alone, and asyncio's way from the selector to the reader and back costs as much
as the answer. So the selector calls such a reader itself, and waits again.
"""

import asyncio
import logging
import os
import select
import selectors
import time
from typing import Final, Protocol

log = logging.getLogger(__name__)

#: Calls of readers before the loop gets its turn in any case, should it have something to do that the selector cannot know of.
MOST_ROUNDS: Final = 256
#: Events taken at once; what is beyond comes the next time.
_EVENTS: Final = 256

#: A look that took as many seconds had to wait for what it found: most probably a single thing.
_WAITED: Final = 0.000004


class DirectReader(Protocol):
    """Reads what is ready. Its result is whether nothing was scheduled on the loop meanwhile: then the selector may go on.

    `alone` says that the selector has waited for it: there is hardly more than one datagram.
    """

    def __call__(self, *, alone: bool = False) -> bool:
        """Read."""


class DirectSelector(selectors.EpollSelector):
    """Calls readers within `select`, as long as nothing else is ready, and no longer than its time.

    Timers are kept to since `select` is given the time to the next one; signals and other threads wake the loop through
    a file descriptor, which is ready like any other.
    """

    def __init__(self) -> None:
        super().__init__()
        # The same epoll instance under another descriptor: the one of the base class cannot be had by a public name.
        self._waiting = select.epoll.fromfd(os.dup(self.fileno()))
        self._readers: dict[int, DirectReader] = {}

    def __repr__(self) -> str:
        return f"DirectSelector(direct={len(self._readers)})"

    def close(self) -> None:
        """Part of selectors.BaseSelector."""
        self._waiting.close()
        super().close()

    def add_direct(self, fd: int, reader: DirectReader) -> None:
        """Call `reader` whenever `fd`, which is registered for reading, is readable."""
        self._readers[fd] = reader

    def remove_direct(self, fd: int) -> None:
        """Call no reader for `fd` any more; does nothing if there is none."""
        self._readers.pop(fd, None)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Part of selectors.BaseSelector; may return earlier, and without events."""
        readers, poll, clock = self._readers, self._waiting.poll, time.monotonic
        now = clock()
        deadline = None if timeout is None else now + timeout
        for _ in range(MOST_ROUNDS):
            found = poll(-1 if deadline is None else max(deadline - now, 0), _EVENTS)
            before, now = now, clock()
            alone = now - before > _WAITED
            goes_on = bool(found)
            others = []
            for fd, event in found:
                reader = readers.get(fd)
                if reader is None or event != select.EPOLLIN:
                    others.append((fd, event))
                elif not self._read(reader, alone=alone):
                    goes_on = False
            if others:
                return self._ready(others)
            now = clock()
            if not goes_on or (deadline is not None and now >= deadline):
                break
        return []

    @staticmethod
    def _read(reader: DirectReader, *, alone: bool) -> bool:
        try:
            return reader(alone=alone)
        except Exception:
            # As the event loop does with its own.
            log.exception("reading from a socket failed")
            return False

    def _ready(self, events: list[tuple[int, int]]) -> list[tuple[selectors.SelectorKey, int]]:
        found = []
        known = self.get_map()
        for fd, event in events:
            key = known.get(fd)
            if key is None:
                continue
            # An error or a hang-up is for both, readers and writers.
            mask = (selectors.EVENT_WRITE if event & ~select.EPOLLIN else 0) | (
                selectors.EVENT_READ if event & ~select.EPOLLOUT else 0
            )
            if mask & key.events:
                found.append((key, mask & key.events))
        return found


class DirectEventLoop(asyncio.SelectorEventLoop):
    """An event loop with direct readers. For Linux."""

    def __init__(self) -> None:
        self._direct = DirectSelector()
        super().__init__(self._direct)

    def add_direct_reader(self, fd: int, reader: DirectReader) -> None:
        """Call `reader` whenever `fd` is readable, mostly without a turn of the loop. It must not block, nor take long."""
        self.add_reader(fd, reader)
        self._direct.add_direct(fd, reader)

    def remove_direct_reader(self, fd: int) -> None:
        """Call no reader for `fd` any more."""
        self._direct.remove_direct(fd)
        self.remove_reader(fd)


def add_reader(fd: int, reader: DirectReader) -> None:
    """Call `reader` whenever `fd` is readable, in the running loop: directly, if it can do that."""
    loop = asyncio.get_running_loop()
    if isinstance(loop, DirectEventLoop):
        loop.add_direct_reader(fd, reader)
    else:
        loop.add_reader(fd, reader)


def remove_reader(fd: int) -> None:
    """Undo `add_reader`."""
    loop = asyncio.get_running_loop()
    if isinstance(loop, DirectEventLoop):
        loop.remove_direct_reader(fd)
    else:
        loop.remove_reader(fd)
