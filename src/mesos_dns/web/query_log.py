"""The query log over HTTP: switched on and off, and looked at as it happens. Only for those who may see what tells about clients. Edge."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Final

from aiohttp import web

from mesos_dns.web import views
from mesos_dns.web.backend import Backend, BadLogError, LogFollower, NoLogError
from mesos_dns.web.filters import BadFilterError
from mesos_dns.web.log_filter import log_filter_of
from mesos_dns.web.sending import forbidden, headers, send, text
from mesos_dns.web.trust import forgery
from mesos_dns.web.watching import EVENTS, HTTP_HEARTBEAT_SECONDS, wants_events, write

#: Lines of JSON, one for each answer.
_LINES: Final = "application/x-ndjson"


async def answer_log(request: web.BaseRequest, backend: Backend) -> web.StreamResponse:
    """GET tells how the log does, POST switches it on, DELETE off."""
    if request.method == "GET":
        return await send(request, views.status(backend.log_state()))
    if request.method not in {"POST", "DELETE"}:
        return text(405, "405: Method Not Allowed")
    why = forgery(request.headers)
    if why:
        return forbidden(request, why)
    try:
        if request.method == "POST":
            backend.switch_log_on(log_filter_of(request.query.items()))
        else:
            backend.switch_log_off()
    except (BadFilterError, BadLogError) as error:
        return text(400, f"400: {error}")
    except NoLogError as error:
        return text(409, f"409: {error}")
    return await send(request, views.status(backend.log_state()))


async def send_queries(request: web.BaseRequest, current: Callable[[], Backend]) -> web.StreamResponse:
    """Tell answers as they are given, as server-sent events or lines of JSON, until the time is over or the client goes away.

    Raises TimeoutError for a client that does not take them; ConnectionError for one that went away.
    """
    try:
        wanted = log_filter_of(request.query.items())
        follower = current().follow_log(wanted)
    except (BadFilterError, BadLogError) as error:
        return text(400, f"400: {error}")
    except NoLogError as error:
        return text(503, f"503: {error}")
    with closing(follower):
        stream = await _Stream.begin(request, as_events=wants_events(request.headers.get("Accept")))
        over = asyncio.timeout(wanted.seconds)
        try:
            async with over:
                await stream.tell(follower)
        except TimeoutError:
            if not over.expired():
                raise
    return stream.reply


class _Stream:
    """The reply to somebody who looks on."""

    def __init__(self, reply: web.StreamResponse, *, as_events: bool) -> None:
        self._as_events = as_events
        self.reply = reply

    def __repr__(self) -> str:
        return f"_Stream(as_events={self._as_events})"

    @classmethod
    async def begin(cls, request: web.BaseRequest, *, as_events: bool) -> "_Stream":
        fields = headers(EVENTS if as_events else _LINES)
        reply = web.StreamResponse(headers=fields | {"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        await reply.prepare(request)
        stream = cls(reply, as_events=as_events)
        await write(reply, "".join(stream.told([], 0)))
        return stream

    async def tell(self, follower: LogFollower) -> None:
        """Tell what `follower` gets, until it gets no more."""
        while not follower.ended:
            try:
                async with asyncio.timeout(HTTP_HEARTBEAT_SECONDS):
                    lines, dropped = await follower.lines()
            except TimeoutError:
                lines, dropped = [], 0
            await write(self.reply, "".join(self.told(lines, dropped)))

    def told(self, lines: Sequence[bytes], dropped: int) -> list[str]:
        """The same as it is sent; something in any case."""
        found = [each.decode("utf-8", "replace") for each in lines]
        lost = [f'{{"dropped":{dropped}}}'] if dropped else []
        if not self._as_events:
            return [f"{each}\n" for each in (*found, *lost)] or ["\n"]
        told = [f"event: query\ndata: {each}\n\n" for each in found]
        told += [f"event: dropped\ndata: {each}\n\n" for each in lost]
        return told or [": still here\n\n"]
