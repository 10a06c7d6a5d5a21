"""Sending a body piece by piece, without keeping anybody else from working. Edge."""

import asyncio
import time
from contextlib import closing
from typing import Final

from aiohttp import web

from mesos_dns.web.views import Pieces

#: Seconds that a client may leave a part of a reply untaken, and that a whole reply may take: 100,000
#: tasks make 200 MB, which a link of 10 Mbit/s takes in three minutes.
HTTP_STALL_SECONDS: Final = 30.0
HTTP_REPLY_SECONDS: Final = 300.0
#: Octets (characters, to be exact) of a reply that are gathered before they are sent.
HTTP_CHUNK: Final = 64 * 1024
#: Seconds of work on a reply before everything else in the process gets a turn.
HTTP_TURN_SECONDS: Final = 0.005

TEXT: Final = "text/plain; charset=utf-8"
JSON: Final = "application/json"


def headers(content_type: str) -> dict[str, str]:
    """Give the header fields of a reply: the software's name without version, the library not at all."""
    return {"Content-Type": content_type, "Server": "Mesos-DNS"}


def text(status: int, body: str) -> web.Response:
    """Make a plain text reply of `body` as it is."""
    return web.Response(status=status, body=body.encode("utf-8", "replace"), headers=headers(TEXT))


async def send(request: web.BaseRequest, pieces: Pieces, content_type: str = JSON) -> web.StreamResponse:
    """Reply with `pieces`: at once with a Content-Length if they are small, else chunk by chunk as they come.

    Raises TimeoutError for a client that does not take them; ConnectionError for one that went away. If
    anything is raised after the reply began, the connection is aborted: only that tells the client that
    the reply is incomplete.
    """
    reply = _Reply(request, content_type)
    try:
        # Closed here and not by the collector some day: a dump may remember a hundred thousand records.
        with closing(pieces):
            async with asyncio.timeout(HTTP_REPLY_SECONDS):
                return await reply.send(pieces)
    except BaseException:
        reply.abort()
        raise


class _Reply:
    """One reply with status 200; it begins when more has been gathered than fits into one chunk."""

    def __init__(self, request: web.BaseRequest, content_type: str) -> None:
        self._request = request
        self._content_type = content_type
        self._begun: web.StreamResponse | None = None
        self._gathered: list[str] = []

    async def send(self, pieces: Pieces) -> web.StreamResponse:
        size = 0
        turn_began = time.monotonic()
        for piece in pieces:
            self._gathered.append(piece)
            size += len(piece)
            if size >= HTTP_CHUNK:
                await self._write()
                size = 0
            if time.monotonic() - turn_began > HTTP_TURN_SECONDS:
                await asyncio.sleep(0)
                turn_began = time.monotonic()
        if self._begun is None:
            return web.Response(body=self._take(), headers=headers(self._content_type))
        return await self._write()

    def abort(self) -> None:
        if self._begun is not None and self._request.transport is not None:
            self._request.transport.abort()

    async def _write(self) -> web.StreamResponse:
        if self._begun is None:
            self._begun = web.StreamResponse(headers=headers(self._content_type))
            await self._begun.prepare(self._request)
        async with asyncio.timeout(HTTP_STALL_SECONDS):
            await self._begun.write(self._take())
        return self._begun

    def _take(self) -> bytes:
        octets = "".join(self._gathered).encode("utf-8", "replace")
        self._gathered.clear()
        return octets
