"""What questions in flight need whatever carries them: a handle, an ID, a time-out. Edge: asyncio."""

import asyncio
import errno
import logging
import math
import os
from collections.abc import Callable
from typing import Final, Protocol

from mesos_dns.logs import RateLimited
from mesos_dns.serve.forward.wheel import TICK_SECONDS, TimerWheel

log = logging.getLogger(__name__)
_warn = RateLimited(log)

#: IDs that are drawn at once.
_IDS_PER_DRAW: Final = 256


class Carrier(Protocol):
    """The socket or connection that a question was sent over."""

    def forget(self, question: "Question") -> None:
        """The question is over."""


class Question:
    """A question under way, the handle that `ask` gives. All but `cancel` is the pool's."""

    __slots__ = ("length", "on_error", "on_reply", "port", "sent", "tick")

    def __init__(
        self,
        sent: bytes,
        length: int,
        on_reply: Callable[[bytes], bool] | None,
        on_error: Callable[[OSError | None], None] | None,
    ) -> None:
        self.sent = sent
        #: Octets of the question section.
        self.length = length
        #: Both None when it is over: they may lead back to whoever holds this.
        self.on_reply = on_reply
        self.on_error = on_error
        #: The socket that it was sent from, as long as it waits.
        self.port: Carrier | None = None
        self.tick = 0

    def __repr__(self) -> str:
        return f"Question({self.sent.hex()}, {'over' if self.on_error is None else 'waits'})"

    def cancel(self) -> None:
        """Neither reply nor error is told any more."""
        self.on_reply = self.on_error = None
        port, self.port = self.port, None
        if port is not None:
            port.forget(self)

    def take(self, reply: bytes) -> None:
        """Tell a reply that answers it; it is over if that will do. If taking it fails, the deadline remains."""
        try:
            done = self.on_reply is not None and self.on_reply(reply)
        except Exception:  # noqa: BLE001 - whatever it is, others wait behind this one
            _not_taken()
            return
        if done:
            self.cancel()

    def fail(self, error: OSError | None) -> None:
        """End with `on_error`, unless it is over."""
        on_error = self.on_error
        self.cancel()
        if on_error is not None:
            try:
                on_error(error)
            except Exception:  # noqa: BLE001 - the same
                _not_taken()

    def expired(self) -> None:
        """Its deadline has come."""
        self.fail(None)


class Ids:
    """IDs that nobody can guess (RFC 5452 section 4.3)."""

    def __init__(self) -> None:
        self._drawn: list[bytes] = []

    def __repr__(self) -> str:
        return f"Ids({len(self._drawn)} drawn)"

    def draw(self) -> bytes:
        """Two random octets."""
        if not self._drawn:
            drawn = os.urandom(2 * _IDS_PER_DRAW)
            self._drawn = [drawn[at : at + 2] for at in range(0, len(drawn), 2)]
        return self._drawn.pop()


class Timed(Protocol):
    """What waits for its time."""

    def expired(self) -> None:
        """Its time has come, and it is watched no more."""


class Timers:
    """One timer of the running loop for all time-outs, set to the first of them."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._wheel: TimerWheel[Timed] = TimerWheel(self._loop.time())
        self._timer: asyncio.TimerHandle | None = None
        #: The tick that it is set to.
        self._wakes: float = math.inf

    def __repr__(self) -> str:
        return f"Timers({len(self)})"

    def __len__(self) -> int:
        return len(self._wheel)

    @property
    def resting(self) -> bool:
        """Whether no timer is set."""
        return self._timer is None

    def watch(self, item: Timed, deadline: float) -> int:
        """Have `item` told when its time has come; gives the tick to `unwatch` it."""
        tick = self._wheel.add(item, deadline)
        if tick < self._wakes:
            self._wake_at(tick)
        return tick

    def unwatch(self, item: Timed, tick: int) -> None:
        """Undo `watch`; nothing if its time has come."""
        self._wheel.cancel(item, tick)

    def stop(self) -> None:
        """Tell nothing more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wake_at(self, tick: int) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._wakes = tick
        self._timer = self._loop.call_at(tick * TICK_SECONDS, self._wake)

    def _wake(self) -> None:
        # The loop may be early by what its clock cannot tell.
        now = max(self._loop.time(), self._wakes * TICK_SECONDS)
        self._timer, self._wakes = None, math.inf
        for item in self._wheel.expire(now):
            item.expired()
        tick = self._wheel.next()
        if tick is not None and tick < self._wakes:
            self._wake_at(tick)


def _not_taken() -> None:
    _warn.log(
        logging.ERROR,
        "told",
        "what an upstream gave is not taken, by an internal error: please report it",
        exc_info=True,
    )


def canceled() -> OSError:
    """What questions fail with when the one who carries them is closed."""
    return OSError(errno.ECANCELED, "the program lets go of its upstreams")
