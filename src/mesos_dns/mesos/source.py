"""What every source of truth about the cluster looks like from outside. Pure: types only."""

from collections.abc import AsyncIterator
from typing import Protocol

import msgspec

from mesos_dns.mesos.state import Endpoint, Observation


class SourceStatus(msgspec.Struct, frozen=True):
    """How reading the cluster goes. Replaced as a whole, never edited.

    `leader` is the endpoint that gave the last good state. `last_success` is a time of the monotonic clock, in seconds, None before
    the first; `last_duration` the seconds from request to decoded state; `octets` the size of that state's document.
    `last_error` is the text of the latest failure and stays after a success; `consecutive_failures` tells whether it is current.
    """

    leader: Endpoint | None = None
    polls: int = 0
    failures: int = 0
    consecutive_failures: int = 0
    last_error: str = ""
    last_success: float | None = None
    last_duration: float | None = None
    octets: int = 0


class Source(Protocol):
    """Yields what happens in the cluster, for ever. A failure yields nothing: what was yielded before stays true."""

    @property
    def status(self) -> SourceStatus:
        """How it goes at the moment."""
        ...

    def observations(self) -> AsyncIterator[Observation]:
        """Start over with a Snapshot; then further snapshots, or deltas against what was yielded before."""
        ...

    def refresh(self) -> None:
        """Look again now instead of at the next regular time."""
        ...
