"""The HTTP API: from a request to a reply.

The order of the checks is that of Go's router and of go-restful behind it: path not clean 301, unknown path 404, other
method 405, no JSON wanted 406.
"""

import logging
from collections.abc import Callable
from random import Random
from typing import Final

from aiohttp import web

from mesos_dns.logs import RateLimited
from mesos_dns.metrics import Counts, counter
from mesos_dns.quoting import quoted
from mesos_dns.web import views
from mesos_dns.web.asking import Questions
from mesos_dns.web.backend import Backend
from mesos_dns.web.dns_query import answer_dns, client_of
from mesos_dns.web.exposition import exposition
from mesos_dns.web.files import INDEX, send_file
from mesos_dns.web.filters import BadFilterError, Filter, filter_of, takes_gzip
from mesos_dns.web.paths import BadPathError, Endpoint, Match, Moved, acceptable, match, moved_body
from mesos_dns.web.query_log import answer_log, send_queries
from mesos_dns.web.sending import forbidden, headers, send, text
from mesos_dns.web.trust import bearer, refusal
from mesos_dns.web.turns import Turns
from mesos_dns.web.watching import Watches, wants_events

log = logging.getLogger(__name__)

_REQUESTS: Final = counter(
    "http_requests",
    "Requests over HTTP, by status. 500 also for clients that went away or took nothing.",
    code=("200", "301", "304", "400", "403", "404", "405", "406", "409", "500", "501", "503"),
)
_PROBES: Final = {Endpoint.HEALTH, Endpoint.READINESS}
#: Everything about the whole cluster: large, and only there if `EnumerationOn`.
_DUMPS: Final = {Endpoint.ENUMERATE, Endpoint.AXFR}
#: What tells names that nobody asked for.
_ENUMERATIONS: Final = _DUMPS | {
    *(Endpoint.CHANGES, Endpoint.EXPLAIN, Endpoint.SEARCH),
    *(Endpoint.FRAMEWORKS, Endpoint.AGENTS, Endpoint.TASKS),
}
#: What tells about clients, who asks what: for those alone whom `web.trust` trusts.
_ABOUT_CLIENTS: Final = {Endpoint.TRUST, Endpoint.QUERY_LOG, Endpoint.QUERIES}
_NEED_RECORDS: Final = _DUMPS | {Endpoint.HOSTS, Endpoint.SERVICES}


class Api:
    """Answers requests from what `current` gives at their beginning. One dump at a time."""

    def __init__(self, current: Callable[[], Backend], *, random: Random | None = None) -> None:
        self._current = current
        self._random = random or Random()  # noqa: S311 - spreads load over addresses; nothing to guess
        self._dumps = Turns()
        self._problems = RateLimited(log)
        self._watches = Watches(current)
        self._questions = Questions()
        self._counts = Counts()

    def __repr__(self) -> str:
        return f"Api({self._dumps!r})"

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        """Reply to `request`. A fault of ours becomes a 500 that says nothing; the log says what happened."""
        try:
            reply = await self._answer(request)
        except ConnectionError as error:
            log.debug("%s from %s: the client is gone", quoted(request.path), request.remote)
            error.__traceback__ = None  # A future of aiohttp has the error, and a frame there the future: a cycle.
        except TimeoutError:
            self._problems.log(
                logging.INFO,
                "slow",
                "%s from %s: the client takes its reply too slowly",
                quoted(request.path),
                request.remote,
            )
        except Exception:  # noqa: BLE001 - the last one to catch anything: a fault costs one reply
            self._problems.log(
                logging.ERROR, "fault", "%s %s failed", request.method, quoted(request.path), exc_info=True
            )
        else:
            self._counts.add(_REQUESTS, str(reply.status))
            return reply
        self._counts.add(_REQUESTS, "500")
        return text(500, "500: Internal Server Error")

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        backend = self._current()
        if not backend.may_ask(client_of(request)):
            return self._forbid(request)
        try:
            found = match(request.rel_url.raw_path)
        except BadPathError:
            return text(400, "400: Bad Request")
        if isinstance(found, Moved):
            return _redirect(request, found)
        if found is None or not _exists(found.endpoint, backend):
            return text(404, "404: Page Not Found")
        return await self._answer_known(request, found, backend)

    async def _answer_known(self, request: web.BaseRequest, found: Match, backend: Backend) -> web.StreamResponse:
        if found.endpoint is Endpoint.PAGE:
            return send_file(request, found.name or INDEX)
        if found.endpoint in _PROBES:
            return _probe(request, found, backend)
        if found.endpoint is Endpoint.DNS_QUERY:
            return await answer_dns(request, backend)
        if found.endpoint is Endpoint.METRICS:
            return await self._send_metrics(request, backend)
        if found.endpoint in _ABOUT_CLIENTS:
            return await self._answer_trusted(request, found, backend)
        return await self._answer_v1(request, found, backend)

    def _forbid(self, request: web.BaseRequest) -> web.Response:
        self._problems.warning("forbidden", "HTTP: %s may not ask: it is not in AllowHttp", request.remote)
        return forbidden(request, f"{request.remote} is not among those who may use this server (AllowHttp)")

    def _refuse_untrusted(self, request: web.BaseRequest, backend: Backend) -> web.Response | None:
        """403 with what to do for a request that may not see what tells about clients, None for one that may."""
        why = refusal(client_of(request), request.headers, backend.http_token)
        if not why:
            return None
        if bearer(request.headers.get("Authorization")) is not None:
            self._problems.warning(
                "token", "HTTP: %s sent a token that is not the one in HttpTokenFile", request.remote
            )
        return forbidden(request, why)

    async def _answer_trusted(self, request: web.BaseRequest, found: Match, backend: Backend) -> web.StreamResponse:
        if found.endpoint is not Endpoint.QUERY_LOG and request.method != "GET":
            return text(405, "405: Method Not Allowed")
        if found.endpoint is Endpoint.TRUST and not acceptable(request.headers.get("Accept")):
            return text(406, "406: Not Acceptable")
        refused = self._refuse_untrusted(request, backend)
        if refused is not None:
            return refused
        if found.endpoint is Endpoint.QUERY_LOG:
            return await answer_log(request, backend)
        if found.endpoint is Endpoint.QUERIES:
            return await send_queries(request, self._current)
        return await send(request, views.trusted())

    async def _answer_v1(self, request: web.BaseRequest, found: Match, backend: Backend) -> web.StreamResponse:
        if request.method != "GET":
            return text(405, "405: Method Not Allowed")
        if found.endpoint is Endpoint.CHANGES and wants_events(request.headers.get("Accept")):
            return await self._watches.send(request)
        if not acceptable(request.headers.get("Accept")):
            return text(406, "406: Not Acceptable")
        if found.endpoint is Endpoint.PORTS:
            return text(501, "To be implemented...")
        if found.endpoint in _NEED_RECORDS and not backend.zone.serial:
            return text(503, "\n".join(["503: no records yet", *backend.ready()[1]]))
        if found.endpoint in _DUMPS:
            return await self._send_dump(request, found, backend)
        if found.endpoint in self._questions:
            return await self._questions.ask(found.endpoint, request, backend)
        return await send(request, self._pieces(found, backend))

    async def _send_dump(self, request: web.BaseRequest, found: Match, backend: Backend) -> web.StreamResponse:
        try:
            wanted = filter_of(request.query.items())
        except BadFilterError as error:
            return text(400, f"400: {error}")
        try:
            patience = await self._dumps.take()
        except TimeoutError:
            return text(503, "503: somebody else is being sent all records; try again later")
        try:
            packed = takes_gzip(request.headers.get("Accept-Encoding"))
            return await send(request, _dump(found, backend, wanted), packed=packed, patience=patience)
        finally:
            self._dumps.leave()

    async def _send_metrics(self, request: web.BaseRequest, backend: Backend) -> web.StreamResponse:
        if request.method not in {"GET", "HEAD"}:
            return text(405, "405: Method Not Allowed")
        declared, numbers = backend.measured()
        given = {**numbers, **self._counts.snapshot()}
        found = exposition(request.headers.get("Accept"), declared, given)
        return await send(request, found.pieces, found.content_type)

    def _pieces(self, found: Match, backend: Backend) -> views.Pieces:
        match found.endpoint:
            case Endpoint.VERSION:
                return views.version(backend.version)
            case Endpoint.CONFIG:
                return views.config(backend.config_json())
            case Endpoint.STATUS:
                return views.status(backend.status())
            case Endpoint.HOSTS:
                return views.hosts(backend.zone, found.name, self._random)
            case Endpoint.SERVICES:
                return views.services(backend.zone, found.name, self._random)
        raise AssertionError(found)


def _dump(found: Match, backend: Backend, wanted: Filter) -> views.Pieces:
    if found.endpoint is Endpoint.ENUMERATE:
        return views.enumerate_tasks(backend.model, backend.is_shared, wanted)
    return views.axfr(
        backend.zone,
        refresh_seconds=backend.refresh_seconds,
        mname=backend.mname,
        rname=backend.rname,
        domain=backend.domain,
        wanted=wanted,
    )


def _exists(endpoint: Endpoint, backend: Backend) -> bool:
    """Whether the configuration has it."""
    if endpoint in _ENUMERATIONS:
        return backend.enumeration_on
    if endpoint is Endpoint.PAGE:
        return backend.web_on
    return endpoint is not Endpoint.DNS_QUERY or backend.doh_on


def _redirect(request: web.BaseRequest, moved: Moved) -> web.Response:
    """As Go's `http.Redirect`: HTML for GET, its type alone for HEAD, nothing for other methods."""
    query = request.rel_url.raw_query_string
    location = f"{moved.path}?{query}" if query else moved.path
    fields = headers("text/html; charset=utf-8") | {"Location": location}
    if request.method == "GET":
        return web.Response(status=301, body=moved_body(location).encode(), headers=fields)
    if request.method != "HEAD":
        del fields["Content-Type"]
    return web.Response(status=301, headers=fields)


def _probe(request: web.BaseRequest, found: Match, backend: Backend) -> web.Response:
    if request.method not in {"GET", "HEAD"}:
        return text(405, "405: Method Not Allowed")
    if found.endpoint is Endpoint.HEALTH:
        return text(200, "ok\n")
    ready, reasons = backend.ready()
    if not ready:
        return text(503, "\n".join([*(reasons or ["not ready"]), ""]))
    return text(200, "\n".join(["ok", *backend.notes(), ""]))
