"""The simulated masters over HTTP: the edge where virtual time meets the clock."""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager

from aiohttp import web

from mesos_dns.demo import http, wire
from mesos_dns.demo.agenda import Event
from mesos_dns.demo.document import TaskTexts, state, summary
from mesos_dns.demo.simulation import Down, Follows, Leads, NoLeader, Plan, Sight, Simulation

#: How often the simulation is moved on, in seconds: also the precision of what a client sees.
TICK = 0.05


class Masters:
    """Serves a simulation: one listener for each master, open while that master lives."""

    def __init__(
        self, plan: Plan, endpoints: Sequence[tuple[str, int]], clock: Callable[[], float] = time.time
    ) -> None:
        self._clock = clock
        self.simulation = Simulation(plan, endpoints, clock())
        self._texts = TaskTexts()
        self._listeners = [
            http.Listener(address, port, lambda index=index: self._application(index))  # type: ignore[misc]  # the default binds early
            for index, (address, port) in enumerate(endpoints)
        ]

    def __repr__(self) -> str:
        return f"Masters({self._listeners!r})"

    def serving(self) -> AbstractAsyncContextManager[None]:
        """Open the listeners for the time of a `with` block. Raises OSError when a port is taken."""
        return http.listening(self._listeners)

    async def run(self, tell: Callable[[Event], None]) -> None:
        """Let the simulation follow the clock until cancelled; `tell` hears of every event."""
        while True:
            await self.tick(tell)
            await asyncio.sleep(TICK)

    async def tick(self, tell: Callable[[Event], None]) -> None:
        """Let happen what is due now, and open and close listeners as masters live and die."""
        for event in self.simulation.advance(self._clock()):
            tell(event)
        for index, listener in enumerate(self._listeners):
            if self.simulation.election.up[index] != listener.is_open:
                await (listener.close() if listener.is_open else listener.open())

    def _application(self, index: int) -> web.Application:
        application = web.Application()

        async def handle(request: web.Request) -> web.Response:
            return self.answer(index, request)

        application.router.add_route("*", "/{path:.*}", handle)
        return application

    def answer(self, index: int, request: web.Request) -> web.Response:
        """Answer as master `index` does at this moment."""
        path = http.path_of(request)
        sight = self.simulation.sight(index)
        if path in {"/master/state", "/master/state-summary", "/master/redirect"}:
            return self._leading(path, sight, request)
        if path == "/master/health":
            return http.empty(200)
        if path == "/version":
            return http.document(request, http.version())
        if path == "/metrics/snapshot":
            elected = float(isinstance(sight, Leads))
            return http.document(request, wire.dump({"master/elected": elected, "master/uptime_secs": 3600.0}))
        return http.not_found()

    def _leading(self, path: str, sight: Sight, request: web.Request) -> web.Response:
        """Answer what only the leader answers itself."""
        if isinstance(sight, Down | NoLeader):
            return http.text(503, "No leader elected")
        if path == "/master/redirect":
            leader = sight.leader if isinstance(sight, Follows) else sight.view.master
            return http.empty(307, {"Location": f"//{leader.endpoint}"})
        if isinstance(sight, Follows):
            query = f"?{request.query_string}" if request.query_string else ""
            return http.empty(307, {"Location": f"//{sight.leader.endpoint}{path}{query}"})
        body = summary(sight.view) if path == "/master/state-summary" else state(sight.view, self._texts)
        return http.document(request, body)
