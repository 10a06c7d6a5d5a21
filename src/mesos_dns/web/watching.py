"""Changes of the zones as they happen, as server-sent events (WHATWG HTML, section 9.2). Edge."""

import asyncio
import json
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from aiohttp import web

from mesos_dns.quoting import quoted
from mesos_dns.web.backend import Backend
from mesos_dns.web.sending import HTTP_STALL_SECONDS, headers, text
from mesos_dns.web.views import change_of
from mesos_dns.zone.journal import Change

EVENTS: Final = "text/event-stream"
#: Clients that watch at the same time: a few people, and a page of each.
MAX_WATCHES: Final = 32
#: Seconds without a change after which a comment is sent: it keeps proxies in between from giving up, and finds out who is gone.
HTTP_HEARTBEAT_SECONDS: Final = 15.0
#: Seconds after which a client that has gone is noticed: a page that is opened again and again must not take all places.
HTTP_LOOK_SECONDS: Final = 1.0
#: Milliseconds that a client is told to wait before it connects again.
_RETRY_MS: Final = 2000


class BadSerialError(ValueError):
    """A text that is no serial; it says what was expected."""


def serial_of(text: str) -> int:
    """The serial that `text` stands for. Raises BadSerialError."""
    if text.isascii() and text.isdigit() and len(text) <= 10 and int(text) <= 0xFFFFFFFF:
        return int(text)
    raise BadSerialError(f"expected a serial, a number from 0 to 4294967295, found {quoted(text)}")


def wants_events(accept: str | None) -> bool:
    """Whether an `Accept` header asks for server-sent events."""
    return any(part.partition(";")[0].strip() == EVENTS for part in (accept or "").split(","))


def event(change: Change) -> str:
    """A change as one event, whose id is its serial."""
    return f"id: {change.serial}\nevent: change\ndata: {json.dumps(change_of(change), separators=(',', ':'))}\n\n"


def gap(since: int) -> str:
    """The event that says that changes after `since` are not known any more."""
    return f'event: gap\ndata: {{"since":{since}}}\n\n'


def beginning(changes: Iterable[Change], since: int, *, complete: bool) -> Iterator[str]:
    """What a watch begins with that goes on after `since`."""
    yield f"retry: {_RETRY_MS}\n\n"
    if not complete:
        yield gap(since)
    yield from map(event, changes)


class Watches:
    """Those who watch the changes of what `current` gives, which may be another one after a reload."""

    def __init__(self, current: Callable[[], Backend]) -> None:
        self._current = current
        self._open = 0

    def __repr__(self) -> str:
        return f"Watches({self._open})"

    async def send(self, request: web.BaseRequest) -> web.StreamResponse:
        """Tell all changes, after `Last-Event-ID` or `since` if there is one, until the client goes away.

        Raises TimeoutError for a client that does not take them; ConnectionError for one that went away.
        """
        backend = self._current()
        last = request.headers.get("Last-Event-ID") or request.query.get("since")
        try:
            since = backend.zone.serial if last is None else serial_of(last)
        except BadSerialError as error:
            return text(400, f"400: since: {error}")
        if self._open >= MAX_WATCHES:
            return text(503, f"503: {MAX_WATCHES} clients watch already; ask /v1/changes?since=SERIAL now and then")
        self._open += 1
        try:
            return await self._send(request, backend, since)
        finally:
            self._open -= 1

    async def _send(self, request: web.BaseRequest, backend: Backend, since: int) -> web.StreamResponse:
        reply = web.StreamResponse(headers=headers(EVENTS) | {"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        await reply.prepare(request)
        found, complete = backend.journal.since(since, backend.zone.serial)
        count = backend.journal.count
        await write(reply, "".join(beginning(found, since, complete=complete)))
        if not (found or complete):
            since = backend.zone.serial  # It was one of the future, with which no change would ever be newer.
        while True:
            since = found[-1].serial if found else since
            nothing_new = backend.journal.count == count and self._current() is backend
            if nothing_new and not await _news(request, backend):
                await write(reply, ": still here\n\n")
            backend = self._current()
            count = backend.journal.count
            found, complete = backend.journal.since(since, backend.zone.serial)
            told = "".join([*([] if complete else [gap(since)]), *map(event, found)])
            if told:
                await write(reply, told)


async def _news(request: web.BaseRequest, backend: Backend) -> bool:
    """Wait for news, False if there are none for a while. Raises ConnectionResetError soon after the client has gone: others may want its place."""
    loop = asyncio.get_running_loop()
    until = loop.time() + HTTP_HEARTBEAT_SECONDS
    while loop.time() < until:
        try:
            async with asyncio.timeout(min(HTTP_LOOK_SECONDS, HTTP_HEARTBEAT_SECONDS)):
                await backend.news()
        except TimeoutError:
            if request.transport is None or request.transport.is_closing():
                raise ConnectionResetError("the client is gone") from None
        else:
            return True
    return False


async def write(reply: web.StreamResponse, told: str) -> None:
    """Send a part of a stream. TimeoutError if the client does not take it, ConnectionError if it is gone."""
    async with asyncio.timeout(HTTP_STALL_SECONDS):
        await reply.write(told.encode("utf-8", "replace"))
