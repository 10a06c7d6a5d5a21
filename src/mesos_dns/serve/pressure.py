"""What is told when a TCP listener has too many connections, or too few files for them. Edge: logging, the limit of open files."""

import logging
import resource
from typing import Final

from mesos_dns.logs import RateLimited
from mesos_dns.serve.connections import Connections, files_needed, holder_of, holder_text, most_within

log: Final = logging.getLogger(__name__)


class Pressure:
    """Tells of the connections of one listener, at a bounded rate."""

    def __init__(self, connections: Connections, warn: RateLimited) -> None:
        self._connections = connections
        self._warn = warn

    def __repr__(self) -> str:
        return f"Pressure({self._connections!r})"

    def share(self, client: bytes) -> None:
        """`client` has as many as one may have, and comes with one more."""
        self._warn.warning(
            "share",
            "TCP: %s holds %d connections, as many as one client may; its idlest is closed for each new one",
            holder_text(holder_of(client)),
            self._connections.most_per_client,
        )

    def full(self) -> None:
        """There are as many as there may be, and one more comes."""
        self._warn.warning(
            "full",
            "TCP: all %d connections are in use, the idlest is closed for each new one; most are held by %s",
            len(self._connections),
            self._holder(),
        )

    def refused(self) -> None:
        """A newcomer is closed."""
        self._warn.warning(
            "refused",
            "TCP: a new connection is refused, all others wait for answers; most are held by %s",
            self._holder(),
        )

    def exhausted(self, name: object, error: OSError) -> None:
        """The listener with that name cannot accept."""
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._warn.warning(
            "exhausted",
            "TCP: cannot accept on %s: %s; %d connections are open, the limit of open files is %d",
            name,
            error.strerror,
            len(self._connections),
            soft,
        )

    def fit_into_files(self) -> None:
        """Take fewer connections if the limit of open files is too low for all."""
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        needed = files_needed(self._connections.most)
        if soft != resource.RLIM_INFINITY and soft < needed:
            self._connections.most = most_within(soft)
            log.warning(
                "TCP: the limit of open files is %d, %d are needed; only %d connections are taken, set LimitNOFILE (ulimit -n)",
                soft,
                needed,
                self._connections.most,
            )

    def _holder(self) -> str:
        holder, count = self._connections.largest_holder()
        return f"{holder_text(holder)} ({count})"
