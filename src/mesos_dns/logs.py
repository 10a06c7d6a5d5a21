"""Logging: set-up for people, and a bounded rate for messages that bad input could repeat."""

import logging
import sys
import time
from collections.abc import Callable

#: For messages that belong to no module.
logger = logging.getLogger("mesos_dns")

#: -v=0 shows warnings and errors, -v=1 what changes, -v=2 and more every detail.
LEVELS = {0: logging.WARNING, 1: logging.INFO}


def configure(verbosity: int) -> None:
    """Send log lines to standard error: time, level, module and text."""
    logging.basicConfig(
        level=LEVELS.get(verbosity, logging.DEBUG),
        stream=sys.stderr,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        force=True,
    )


class RateLimited:
    """Logs at most one message per key and interval, and says how many it swallowed.

    `max_keys` bounds the memory: when it is reached, the oldest key is forgotten.
    """

    def __init__(
        self,
        logger: logging.Logger,
        *,
        interval: float = 60.0,
        max_keys: int = 256,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._logger = logger
        self._interval = interval
        self._max_keys = max_keys
        self._clock = clock
        self._seen: dict[str, tuple[float, int]] = {}

    def __repr__(self) -> str:
        return f"RateLimited({self._logger.name!r}, keys={len(self._seen)})"

    def log(self, level: int, key: str, message: str, *args: object) -> bool:
        """Log `message % args`, unless the same `key` was logged less than an interval ago. Returns whether it did."""
        now = self._clock()
        last = self._seen.get(key)
        if last is not None and now - last[0] < self._interval:
            self._seen[key] = (last[0], last[1] + 1)
            return False
        swallowed = last[1] if last is not None else 0
        if last is None and len(self._seen) >= self._max_keys:
            del self._seen[next(iter(self._seen))]
        self._seen[key] = (now, 0)
        if swallowed:
            message += f" ({swallowed} more of this kind since the last such line)"
        self._logger.log(level, message, *args)
        return True

    def warning(self, key: str, message: str, *args: object) -> bool:
        """`log` at level WARNING."""
        return self.log(logging.WARNING, key, message, *args)
