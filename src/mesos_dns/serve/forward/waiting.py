"""Who waits for what upstreams are asked. Edge: asyncio."""

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from mesos_dns.dns import message as msg
from mesos_dns.dns.message import Query
from mesos_dns.serve.forward.flights import Flight
from mesos_dns.serve.forward.options import Upstream
from mesos_dns.serve.forward.upstreams import Upstreams
from mesos_dns.serve.request import Forward

if TYPE_CHECKING:
    import asyncio

    from mesos_dns.serve.forward.search import Search


class Waiting(NamedTuple):
    """A client that waits for an upstream."""

    forward: Forward
    limit: int
    send: Callable[[bytes], None]


class Pending:
    """A question that is asked of upstreams, and who waits for its answer."""

    __slots__ = ("is_slow", "search", "stale", "timer", "upstreams", "waiting", "zone")

    def __init__(self, stale: bytes, zone: bytes, upstreams: Upstreams[Upstream]) -> None:
        self.zone = zone
        self.upstreams = upstreams
        #: What there is if no upstream answers; empty if there is nothing.
        self.stale = stale
        self.waiting: list[Waiting] = []
        self.search: Search | None = None
        self.timer: asyncio.TimerHandle | None = None
        #: Whether upstreams take so long that clients get what is out of date.
        self.is_slow = False


def waiting_for(flight: Flight) -> Waiting:
    """The client of a flight, which becomes a question like others."""
    query = msg.parse(flight.octets)
    assert isinstance(query, Query)
    listener, peer = flight.listener, flight.peer

    def send(reply: bytes) -> None:
        listener.reply(peer, reply)
        listener.flush()

    return Waiting(Forward(query, flight.client), msg.udp_limit(query.edns), send)
