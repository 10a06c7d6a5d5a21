"""Signals from the first statement on, until control takes them. Imports nothing but `signal`: it comes first.

A service manager may send SIGHUP as soon as the process exists, and Python's own answer to that is to die.
"""

import signal
from types import FrameType

_hangups = 0
_taken = False


def take() -> None:
    """Remember SIGHUP, and end quietly on SIGTERM and SIGINT, which ask for nothing else."""
    global _taken  # noqa: PLW0603 - signal handlers belong to the process
    _taken = True
    signal.signal(signal.SIGHUP, _remember)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _end)


def leave() -> None:
    """Give the signals back to the system: for commands that are no service."""
    if _taken:
        for number in (signal.SIGHUP, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)


def hangup_came() -> bool:
    """Whether SIGHUP came since it was asked last: the configuration may have changed after it was read."""
    global _hangups
    came, _hangups = _hangups > 0, 0
    return came


def _remember(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the form of a handler
    global _hangups  # noqa: PLW0603 - as above
    _hangups += 1


def _end(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the form of a handler
    raise SystemExit(0)
