"""Sends the probes that find forwarding loops, and takes those that come back. Edge: asyncio and sockets. See `loops`."""

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Callable
from functools import partial

from mesos_dns.concurrency import spawn
from mesos_dns.logs import RateLimited
from mesos_dns.serve.forward.exchange import exchange_udp
from mesos_dns.serve.forward.loops import NONCE_SIZE, LoopWatch, Route
from mesos_dns.serve.forward.stream import StreamPool
from mesos_dns.serve.request import Forward

log = logging.getLogger(__name__)


class Prober:
    """Keeps a `LoopWatch` informed. A probe has `timeout` seconds. `found` is told of each route that leads back.

    Upstreams over TLS are probed over `streams`.
    """

    def __init__(self, watch: LoopWatch, timeout: float, found: Callable[[Route], None], streams: StreamPool) -> None:
        self._watch = watch
        self._streams = streams
        self._found = found
        self._timeout = timeout
        self._warn = RateLimited(log)

    def __repr__(self) -> str:
        return f"Prober({self._watch!r})"

    def takes(self, forward: Forward, now: float) -> bytes | None:
        """The whole reply if the question is a probe of this server that came back at `now` (the loop's time), else None."""
        route = self._watch.returned(forward.query, now)
        if route is None:
            return None
        self._tell(route)
        return self._watch.answer(forward)

    @property
    def knows_loops(self) -> bool:
        """Whether any route leads back, or did."""
        return self._watch.knows_loops

    def leads_back(self, route: Route, now: float) -> bool:
        """Whether `route` is not to be asked at `now`."""
        return self._watch.leads_back(route, now)

    def asking(self, route: Route, now: float, *, failed: bool = False) -> None:
        """Probe `route`, which is asked at `now`, or has `failed` (silence, SERVFAIL), if that is due."""
        if self._watch.is_due(route, now, failed=failed):
            probe = self._watch.probe(route, now, secrets.randbits(16), secrets.token_bytes(NONCE_SIZE))
            if route[1].tls_name:
                learn = partial(self._learn, route, probe)
                self._streams.ask(route[1], probe, len(probe), learn, _pass_over, now + self._timeout)
            else:
                spawn(self._exchange(route, probe), name="loop probe")

    async def _exchange(self, route: Route, probe: bytes) -> None:
        # Silence, and whatever else goes wrong, says nothing about loops.
        with contextlib.suppress(TimeoutError, OSError):
            reply = await exchange_udp(route[1], probe, len(probe) - 12, within=self._timeout)
            self._learn(route, probe, reply)

    def _learn(self, route: Route, probe: bytes, reply: bytes) -> bool:
        if self._watch.learn(route, probe, reply, _now()):
            self._tell(route)
        return True

    def _tell(self, route: Route) -> None:
        self._warn.warning(
            f"{route}",
            "upstream %s port %d leads back to this server: a forwarding loop; it is not asked for a minute, and then tried again",
            *route[1].address,
        )
        self._found(route)


def _pass_over(_: OSError | None) -> None:
    """Silence, and whatever else goes wrong, says nothing about loops."""


def _now() -> float:
    return asyncio.get_running_loop().time()
