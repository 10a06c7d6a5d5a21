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
#: Events taken at once; what is beyond comes the next time. The kernel's list of them is made for each look.
_EVENTS: Final = 32
#: Seconds after which a look that has no end finds nothing, and is followed by another one: a day.
_FOREVER: Final = 86_400.0


class DirectReader(Protocol):
    """Reads what is ready. Its result is whether nothing was scheduled on the loop meanwhile: then the selector may go on.

    `now` is when it became known that something is ready, by the monotonic clock; then there will be another look at once,
    unless something else is ready. 0 if other work waits, so that the next look may be a while off.
    """

    def __call__(self, now: float = 0.0, /) -> bool:
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
        # At light load most of the cost is memory that has left the processor's caches since the last wake. So a round has
        # as few calls as can be: one look at the clock, which is the reader's as well.
        readers, poll, clock, readable = self._readers, self._waiting.poll, time.monotonic, select.EPOLLIN
        waits = timeout is None or timeout > 0
        deadline = clock() + (_FOREVER if timeout is None else timeout)
        left = timeout if waits else 0
        for _ in range(MOST_ROUNDS):
            found = poll(left, _EVENTS)
            now = clock()
            goes_on = bool(found)
            others = []
            for fd, event in found:
                reader = readers.get(fd)
                if reader is None or event != readable:
                    others.append((fd, event))
                    continue
                try:
                    goes_on &= reader(now if waits else 0.0)
                except Exception:
                    # As the event loop does with its own.
                    log.exception("reading from a socket failed")
                    goes_on = False
            if others:
                return self._ready(others)
            if not goes_on or now >= deadline:
                break
            left = deadline - now
        return []

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
