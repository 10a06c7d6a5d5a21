"""Which of many connections can be read or written: `select.epoll`, or the same from what other systems have.

asyncio's own loop asks for each descriptor what is to be called, in Python. A listener that has thousands of connections
keeps them in a poller of its own, whose descriptor is one among those of the loop.
"""

import fcntl
import select
import selectors
import sys
import termios
from typing import Final, Protocol

#: What a connection waits for, and what it is ready for.
READ: Final = 1
WRITE: Final = 4
#: The connection is over, in both directions, or broken. Always told, whatever was asked for.
GONE: Final = 8 | 16


class Poller(Protocol):
    """What `select.epoll` offers of what is needed here. Level-triggered: what stays ready is told again."""

    @property
    def closed(self) -> bool:
        """Whether it was closed."""

    def fileno(self) -> int:
        """The descriptor that is readable while a connection is ready."""

    def register(self, fd: int, eventmask: int, /) -> None:
        """Watch a connection from now on; a mask of 0 watches for its end alone."""

    def modify(self, fd: int, eventmask: int, /) -> None:
        """Watch a registered one for something else."""

    def unregister(self, fd: int, /) -> None:
        """Watch it no more. epoll does so by itself when the last descriptor of a file is closed."""

    def poll(self, timeout: float, maxevents: int, /) -> list[tuple[int, int]]:
        """Those that are ready, and what for. `timeout` is 0: nothing is waited for."""

    def close(self) -> None:
        """Give up the descriptor. Those of the connections stay open."""


class SelectorPoller:
    """The same from the best selector of this system. The end of a connection with mask 0 is not noticed."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self.closed = False

    def __repr__(self) -> str:
        return f"SelectorPoller({len(self._selector.get_map())})"

    def fileno(self) -> int:
        """Part of Poller. Every selector of a system without epoll that Python runs on today, kqueue, has one."""
        return self._selector.fileno()

    def register(self, fd: int, eventmask: int, /) -> None:
        """Part of Poller."""
        if eventmask:
            self._selector.register(fd, _events(eventmask))

    def modify(self, fd: int, eventmask: int, /) -> None:
        """Part of Poller."""
        self.unregister(fd)
        self.register(fd, eventmask)

    def unregister(self, fd: int, /) -> None:
        """Part of Poller. To be called before a connection is closed."""
        if fd in self._selector.get_map():
            self._selector.unregister(fd)

    def poll(self, timeout: float, maxevents: int, /) -> list[tuple[int, int]]:
        """Part of Poller."""
        ready = self._selector.select(timeout)[:maxevents]
        return [
            (key.fd, (READ if events & selectors.EVENT_READ else 0) | (WRITE if events & selectors.EVENT_WRITE else 0))
            for key, events in ready
        ]

    def close(self) -> None:
        """Part of Poller."""
        self.closed = True
        self._selector.close()


def _events(mask: int) -> int:
    return (selectors.EVENT_READ if mask & READ else 0) | (selectors.EVENT_WRITE if mask & WRITE else 0)


def poller() -> Poller:
    """The best poller of this system."""
    return select.epoll() if sys.platform == "linux" else SelectorPoller()


def has_input(fd: int) -> bool:
    """Whether octets have come on a connection that were not received yet."""
    try:
        return any(fcntl.ioctl(fd, termios.FIONREAD, bytes(4)))
    except OSError:
        return False
