"""Python's garbage collector: what it looks at, and when. It is never off.

States and zones are millions of objects that stay and have no reference cycles; to look at them again and again would cost
half of a start, and make answers wait. The edges leave no cycles either (tests/cycles.py), but libraries do.
"""

import asyncio
import gc
from typing import Final

#: New objects after which the youngest are looked at: 0.05 ms.
YOUNGEST: Final = 2_000
#: How often that happens before those that survived it are looked at once more, 0.5 ms: connections live a little longer.
ROUNDS: Final = 10
#: The same for all others, which is never: 1 TB of new objects.
NEVER: Final = 1_000_000
#: Seconds between two looks at all that is new since the last one.
SECONDS: Final = 600.0


def tune() -> None:
    """Look at young objects only, a bounded number at a time."""
    gc.set_threshold(YOUNGEST, ROUNDS, NEVER)


def set_aside() -> None:
    """Never look again at any object that there is now: a state or a zone was taken."""
    gc.freeze()


async def look_now_and_then(seconds: float = SECONDS) -> None:
    """Collect all that came since the last time, again and again. For processes that may pause for some 10 ms."""
    while True:
        await asyncio.sleep(seconds)
        gc.collect()
        gc.freeze()
