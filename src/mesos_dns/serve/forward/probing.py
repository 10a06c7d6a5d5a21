"""Sends the probes that find forwarding loops, and takes those that come back. Edge: asyncio and sockets. See `loops`."""

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Callable

from mesos_dns.concurrency import spawn
from mesos_dns.logs import RateLimited
from mesos_dns.serve.forward.exchange import exchange_udp
from mesos_dns.serve.forward.loops import NONCE_SIZE, LoopWatch, Route
from mesos_dns.serve.request import Forward

log = logging.getLogger(__name__)


class Prober:
    """Keeps a `LoopWatch` informed. A probe has `timeout` seconds. `found` is told of each route that leads back."""

    def __init__(self, watch: LoopWatch, timeout: float, found: Callable[[Route], None]) -> None:
        self._watch = watch
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

    def leads_back(self, route: Route, now: float) -> bool:
        """Whether `route` is not to be asked at `now`."""
        return self._watch.leads_back(route, now)

    def asking(self, route: Route, now: float, *, failed: bool = False) -> None:
        """Probe `route`, which is asked at `now`, or has `failed` (silence, SERVFAIL), if that is due."""
        if self._watch.is_due(route, now, failed=failed):
            probe = self._watch.probe(route, now, secrets.randbits(16), secrets.token_bytes(NONCE_SIZE))
            spawn(self._exchange(route, probe), name="loop probe")

    async def _exchange(self, route: Route, probe: bytes) -> None:
        # Silence, and whatever else goes wrong, says nothing about loops.
        with contextlib.suppress(TimeoutError, OSError):
            reply = await exchange_udp(route[1], probe, len(probe) - 12, within=self._timeout)
            if self._watch.learn(route, probe, reply, _now()):
                self._tell(route)

    def _tell(self, route: Route) -> None:
        self._warn.warning(
            f"{route}",
            "upstream %s port %d leads back to this server: a forwarding loop; it is not asked for a minute, and then tried again",
            *route[1],
        )
        self._found(route)


def _now() -> float:
    return asyncio.get_running_loop().time()
