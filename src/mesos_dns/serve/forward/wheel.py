"""Time-outs of very many things of which hardly any comes: a timer wheel. Pure; time comes in.

A heap, as the event loop has one, costs a handle and several comparisons for each timer, and keeps those that were cancelled.
Here time is cut into ticks, and a ring of slots has the items that are due at each; an item goes in and out with one step
on a dictionary. What is due after more than one turn of the ring waits in its slot for the turn that is its own.
"""

from math import ceil, floor
from typing import Final, Generic, TypeVar

T = TypeVar("T")

#: Seconds of a tick: no item is told early, nor more than this late. A power of two, so that no rounding is ever in it.
TICK_SECONDS: Final = 1 / 128
#: Slots of the ring: 8 s, longer than questions wait, so that none is met before its time.
RING_SLOTS: Final = 1024


class TimerWheel(Generic[T]):
    """Items by when they are due. All times are seconds of one clock that never goes back."""

    def __init__(self, now: float) -> None:
        self._ring: list[dict[T, int]] = [{} for _ in range(RING_SLOTS)]
        #: The last tick whose items were taken.
        self._taken = floor(now / TICK_SECONDS)

    def __repr__(self) -> str:
        return f"TimerWheel({len(self)})"

    def __len__(self) -> int:
        return sum(map(len, self._ring))

    def add(self, item: T, deadline: float) -> int:
        """Have `item`, which must not be in, told by the first `expire` at `deadline` or later; gives the tick, by which it is cancelled."""
        tick = max(ceil(deadline / TICK_SECONDS), self._taken + 1)
        self._ring[tick % RING_SLOTS][item] = tick
        return tick

    def cancel(self, item: T, tick: int) -> None:
        """Forget `item`, for which `add` gave `tick`; nothing if it was told already."""
        self._ring[tick % RING_SLOTS].pop(item, None)

    def expire(self, now: float) -> list[T]:
        """Take out what is due, by tick; after a long sleep each slot is looked at once, and the order is that of the ring."""
        tick = floor(now / TICK_SECONDS)
        due: list[T] = []
        for at in range(max(self._taken, tick - RING_SLOTS) + 1, tick + 1):
            slot = self._ring[at % RING_SLOTS]
            if slot:
                found = [item for item, its in slot.items() if its <= tick]
                for item in found:
                    del slot[item]
                due += found
        self._taken = max(self._taken, tick)
        return due

    def next(self) -> int | None:
        """The tick before which nothing is due; None if nothing is in. Looks at each slot at most once.

        Something is due then, unless all items are more than a turn of the ring away.
        """
        for tick in range(self._taken + 1, self._taken + 1 + RING_SLOTS):
            if self._ring[tick % RING_SLOTS]:
                return tick
        return None
