"""The HTTP API: from a request to a reply.

The order of the checks is go-restful's: unknown path 404, other method 405, no JSON wanted 406.
"""

import asyncio
import logging
import traceback
from collections.abc import Callable
from random import Random
from typing import Final

from aiohttp import web

from mesos_dns.limits import HTTP_DUMP_WAIT_SECONDS
from mesos_dns.logs import RateLimited
from mesos_dns.web import views
from mesos_dns.web.paths import BadPathError, Endpoint, Match, acceptable, match
from mesos_dns.web.sending import send_json, text
from mesos_dns.web.state import State

log = logging.getLogger(__name__)

_PROBES: Final = {Endpoint.HEALTH, Endpoint.READINESS}
#: Everything about the whole cluster: large, and only there if `EnumerationOn`.
_DUMPS: Final = {Endpoint.ENUMERATE, Endpoint.AXFR}
_NEED_RECORDS: Final = _DUMPS | {Endpoint.HOSTS, Endpoint.SERVICES}


class Api:
    """Answers requests from what `current` gives at their beginning. One dump at a time."""

    def __init__(self, current: Callable[[], State], *, random: Random | None = None) -> None:
        self._current = current
        self._random = random or Random()  # noqa: S311 - spreads load over addresses; nothing to guess
        self._dump = asyncio.Semaphore(1)
        self._problems = RateLimited(log)

    def __repr__(self) -> str:
        return f"Api(dump under way={self._dump.locked()})"

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        """Reply to `request`. A fault of ours becomes a 500 that says nothing; the log says what happened."""
        try:
            return await self._answer(request)
        except ConnectionError as error:
            log.debug("%s from %s: the client is gone", request.path, request.remote)
            error.__traceback__ = None  # A future of aiohttp has the error, and a frame there the future: a cycle.
        except TimeoutError:
            self._problems.log(
                logging.INFO, "slow", "%s from %s: the client takes its reply too slowly", request.path, request.remote
            )
        except Exception:  # noqa: BLE001 - the last one to catch anything: a fault costs one reply
            self._problems.log(
                logging.ERROR, "fault", "%s %s failed\n%s", request.method, request.path, traceback.format_exc()
            )
        return text(500, "500: Internal Server Error")

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            found = match(request.rel_url.raw_path)
        except BadPathError:
            return text(400, "400: Bad Request")
        state = self._current()
        if found is None or (found.endpoint in _DUMPS and not state.enumeration_on):
            return text(404, "404: Page Not Found")
        if found.endpoint in _PROBES:
            return _probe(request, found, state)
        return await self._answer_v1(request, found, state)

    async def _answer_v1(self, request: web.BaseRequest, found: Match, state: State) -> web.StreamResponse:
        if request.method != "GET":
            return text(405, "405: Method Not Allowed")
        if not acceptable(request.headers.get("Accept")):
            return text(406, "406: Not Acceptable")
        if found.endpoint is Endpoint.PORTS:
            return text(501, "To be implemented...")
        if found.endpoint in _NEED_RECORDS and not state.zone.serial:
            return text(503, "\n".join(["503: no records yet", *state.ready()[1]]))
        if found.endpoint in _DUMPS:
            return await self._send_dump(request, found, state)
        return await send_json(request, self._pieces(found, state))

    async def _send_dump(self, request: web.BaseRequest, found: Match, state: State) -> web.StreamResponse:
        try:
            async with asyncio.timeout(HTTP_DUMP_WAIT_SECONDS):
                await self._dump.acquire()
        except TimeoutError:
            return text(503, "503: somebody else is being sent all records; try again later")
        try:
            return await send_json(request, self._pieces(found, state))
        finally:
            self._dump.release()

    def _pieces(self, found: Match, state: State) -> views.Pieces:
        match found.endpoint:
            case Endpoint.VERSION:
                return views.version(state.version)
            case Endpoint.CONFIG:
                return views.config(state.config_json())
            case Endpoint.HOSTS:
                return views.hosts(state.zone, found.name)
            case Endpoint.SERVICES:
                return views.services(state.zone, found.name, self._random)
            case Endpoint.ENUMERATE:
                return views.enumerate_tasks(state.model, state.is_shared)
            case Endpoint.AXFR:
                return views.axfr(
                    state.zone,
                    refresh_seconds=state.refresh_seconds,
                    mname=state.mname,
                    rname=state.rname,
                    domain=state.domain,
                )
        raise AssertionError(found)


def _probe(request: web.BaseRequest, found: Match, state: State) -> web.Response:
    if request.method not in {"GET", "HEAD"}:
        return text(405, "405: Method Not Allowed")
    if found.endpoint is Endpoint.HEALTH:
        return text(200, "ok")
    ready, reasons = state.ready()
    if not ready:
        return text(503, "\n".join(reasons) or "not ready")
    return text(200, "\n".join(["ok", *state.notes()]))
