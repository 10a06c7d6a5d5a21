"""What has to be asked in the right way: endpoints with parameters. Edge."""

import asyncio
from typing import Final

from aiohttp import web

from mesos_dns.dns import name as names
from mesos_dns.dns import rdata as rd
from mesos_dns.web import listing, views
from mesos_dns.web.backend import Backend
from mesos_dns.web.filters import BadFilterError, number_of
from mesos_dns.web.listing import MAX_PAGE_ENTRIES, USUAL_PAGE_ENTRIES, Part
from mesos_dns.web.paths import Endpoint
from mesos_dns.web.search import MAX_HITS, MAX_SEARCHED, USUAL_HITS
from mesos_dns.web.sending import send, text
from mesos_dns.web.watching import BadSerialError, serial_of

#: Characters of a name to be explained: a name in DNS has 255 octets, and one that is too long for it is explained, too.
MAX_EXPLAINED: Final = 1024
#: Searches that go on at the same time: each is as quick alone, and people wait for no more than a few.
MAX_SEARCHES: Final = 2
#: Seconds that a search waits for those before it.
HTTP_SEARCH_WAIT_SECONDS: Final = 5.0
#: Where a page of a list may begin: no cluster has so many tasks.
MAX_OFFSET: Final = 1_000_000_000


class Questions:
    """Answers these endpoints. `ask` raises BadFilterError for a parameter that cannot be."""

    def __init__(self) -> None:
        self._searches = asyncio.Semaphore(MAX_SEARCHES)

    def __repr__(self) -> str:
        return "Questions()"

    def __contains__(self, endpoint: object) -> bool:
        return endpoint in _ASKED or endpoint is Endpoint.SEARCH

    async def ask(self, endpoint: Endpoint, request: web.BaseRequest, backend: Backend) -> web.StreamResponse:
        """The reply to a request for one of them."""
        try:
            if endpoint is Endpoint.SEARCH:
                return await self._search(request, backend)
            return await _ASKED[endpoint](request, backend)
        except BadFilterError as error:
            return text(400, f"400: {error}")

    async def _search(self, request: web.BaseRequest, backend: Backend) -> web.StreamResponse:
        wanted = request.query.get("q", "").strip()
        if not wanted or len(wanted) > MAX_SEARCHED:
            raise BadFilterError(f"q: expected 1 to {MAX_SEARCHED} characters to look for")
        limit = number_of("limit", request.query.get("limit"), 1, MAX_HITS, USUAL_HITS)
        every_name = request.query.get("names") == "all"
        try:
            async with asyncio.timeout(HTTP_SEARCH_WAIT_SECONDS):
                await self._searches.acquire()
        except TimeoutError:
            return text(503, "503: others are searching; try again later")
        try:
            found = listing.search(backend.model, backend.zone, wanted, limit, every_name=every_name)
            return await send(request, found)
        finally:
            self._searches.release()


async def _changes(request: web.BaseRequest, backend: Backend) -> web.StreamResponse:
    try:
        since = serial_of(request.query.get("since", "0"))
    except BadSerialError as error:
        raise BadFilterError(f"since: {error}") from None
    limit = number_of("limit", request.query.get("limit"), 1, MAX_OFFSET, MAX_OFFSET)
    try:
        owner = names.from_text(request.query["name"]) if "name" in request.query else None
    except names.BadNameError as error:
        raise BadFilterError(f"name: {error}") from None
    return await send(request, views.changes(backend.journal, since, backend.zone.serial, owner=owner, limit=limit))


async def _explain(request: web.BaseRequest, backend: Backend) -> web.StreamResponse:
    name, rrtype = request.query.get("name", ""), request.query.get("type", "")
    if not name or len(name) > MAX_EXPLAINED:
        raise BadFilterError(f"name: expected a name of up to {MAX_EXPLAINED} characters")
    try:
        wanted = rd.type_of(rrtype) if rrtype else None
    except ValueError as error:
        raise BadFilterError(f"type: {error}") from None
    return await send(request, views.explain(backend.explain(name, wanted)))


async def _history(request: web.BaseRequest, backend: Backend) -> web.StreamResponse:
    after = number_of("after", request.query.get("after"), 0, MAX_OFFSET, 0)
    return await send(request, views.history(backend.history, after))


async def _frameworks(request: web.BaseRequest, backend: Backend) -> web.StreamResponse:
    return await send(request, listing.frameworks(backend.model, _part(request)))


async def _agents(request: web.BaseRequest, backend: Backend) -> web.StreamResponse:
    return await send(request, listing.agents(backend.model, _part(request)))


async def _tasks(request: web.BaseRequest, backend: Backend) -> web.StreamResponse:
    framework, agent = request.query.get("framework"), request.query.get("agent")
    if framework is not None and agent is not None:
        raise BadFilterError("framework, agent: expected one of them")
    return await send(request, listing.tasks(backend.model, _part(request), framework=framework, agent=agent))


def _part(request: web.BaseRequest) -> Part:
    return Part(
        number_of("offset", request.query.get("offset"), 0, MAX_OFFSET, 0),
        number_of("limit", request.query.get("limit"), 1, MAX_PAGE_ENTRIES, USUAL_PAGE_ENTRIES),
    )


#: All but the search.
_ASKED: Final = {
    Endpoint.CHANGES: _changes,
    Endpoint.EXPLAIN: _explain,
    Endpoint.HISTORY: _history,
    Endpoint.FRAMEWORKS: _frameworks,
    Endpoint.AGENTS: _agents,
    Endpoint.TASKS: _tasks,
}
