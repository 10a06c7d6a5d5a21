"""Room for new connections of a listener: which one has to go, and what is said about it. Edge: it asks the kernel."""

import logging
import resource
from itertools import islice
from typing import Final, NamedTuple

from mesos_dns.logs import RateLimited
from mesos_dns.metrics import Metric
from mesos_dns.serve.connections import Connection, Connections, files_needed, holder_of, holder_text, most_within
from mesos_dns.serve.readiness import has_input

log = logging.getLogger(__name__)

#: Idle connections that are looked at, whether a query has just come, before the idlest is closed anyway.
_LOOKED_AT: Final = 8


class Kind(NamedTuple):
    """What listeners of a kind are called in the log, and what they count."""

    name: str
    taken: Metric
    refused: Metric
    evicted: Metric


class Room:
    """The bounds of a listener's connections. Beside these there may be `others` in this process."""

    def __init__(self, kind: Kind, connections: Connections, warn: RateLimited, others: int = 0) -> None:
        self._name = kind.name
        self._connections = connections
        self._warn = warn
        self._others = others

    def __repr__(self) -> str:
        return f"Room({self._name}, {self._connections!r})"

    def to_close(self, client: bytes, now: float) -> Connection | None:
        """The connection that goes for a new one of `client`; None if there is none that may."""
        connections = self._connections
        if connections.is_over_its_share(client):
            self._warn.warning(
                "share",
                "%s: %s holds %d connections, as many as one client may; its idlest is closed for each new one",
                self._name,
                holder_text(holder_of(client)),
                connections.most_per_client,
            )
        else:
            self._warn.warning(
                "full",
                "%s: all %d connections are in use, the idlest is closed for each new one; most are held by %s",
                self._name,
                len(connections),
                self._holder(),
            )
        candidates = list(islice(connections.candidates(client, now), _LOOKED_AT))
        if not candidates:
            self._warn.warning(
                "refused",
                "%s: a new connection is refused, all others wait for answers; most are held by %s",
                self._name,
                self._holder(),
            )
            return None
        return next((each for each in candidates if not has_input(each.fd)), candidates[0])

    def _holder(self) -> str:
        holder, count = self._connections.largest_holder()
        return f"{holder_text(holder)} ({count})"

    def tell_exhausted(self, listening: object, error: OSError) -> None:
        """Tell that no connection can be accepted, for lack of files, memory or the like."""
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._warn.warning(
            "exhausted",
            "%s: cannot accept on %s: %s; %d connections are open, the limit of open files is %d",
            self._name,
            listening,
            error.strerror,
            len(self._connections),
            soft,
        )

    def fit_into_files(self) -> None:
        """Take fewer connections if the limit of open files is too low for all."""
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        connections = self._connections
        everywhere = connections.most + self._others
        needed = files_needed(everywhere)
        if soft != resource.RLIM_INFINITY and soft < needed:
            connections.most = max(1, most_within(soft) * connections.most // everywhere)
            log.warning(
                "%s: the limit of open files is %d, %d are needed; only %d connections are taken, set LimitNOFILE (ulimit -n)",
                self._name,
                soft,
                needed,
                connections.most,
            )
