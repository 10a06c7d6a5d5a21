"""Signals from the first statement on, until control takes them, and after it has left them. Imports what the interpreter has anyway: it comes first.

A service manager may send SIGHUP as soon as the process exists, and Python's own answer to that is to die.
"""

from __future__ import annotations

import os
import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    from types import FrameType

_hangups = 0
_taken = False


def take() -> None:
    """Remember SIGHUP, and end quietly, at once, on SIGTERM and SIGINT, which ask for nothing else."""
    global _taken  # noqa: PLW0603 - signal handlers belong to the process
    _taken = True
    for number, handler in _HANDLERS.items():
        signal.signal(number, handler)


def take_back(loop: asyncio.AbstractEventLoop) -> None:
    """The same, if they were taken before a loop had handlers for them: one by one, since each is the system's for a moment."""
    if _taken:
        for number, handler in _HANDLERS.items():
            loop.remove_signal_handler(number)
            signal.signal(number, handler)


def leave() -> None:
    """Give the signals back to the system: for commands that are no service."""
    if _taken:
        for number in (signal.SIGHUP, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)


def ignore() -> None:
    """Take no signal any more: the process is about to end, and Python would give back what it handles before it has."""
    if _taken:
        for number in _HANDLERS:
            signal.signal(number, signal.SIG_IGN)


def hangup_came() -> bool:
    """Whether SIGHUP came since it was asked last: the configuration may have changed after it was read."""
    global _hangups
    came, _hangups = _hangups > 0, 0
    return came


def _remember(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the form of a handler
    global _hangups  # noqa: PLW0603 - as above
    _hangups += 1


def _end(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the form of a handler
    # An exception would come out wherever the interpreter is just now: in a callback of an import, which prints and forgets it, in a
    # library that takes any error for another one. The signal would be lost, and the program serve on. Nothing is there to be tidied up.
    os._exit(0)


#: In this order: Python has a handler for SIGINT from the start, so that whoever sees one for SIGTERM knows that all are these.
_HANDLERS = {signal.SIGHUP: _remember, signal.SIGINT: _end, signal.SIGTERM: _end}
