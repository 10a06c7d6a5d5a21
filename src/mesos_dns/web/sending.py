"""Sending a body piece by piece, without keeping anybody else from working. Edge."""

import asyncio
import json
import time
from contextlib import closing
from typing import Final

from aiohttp import web

from mesos_dns.web.filters import Gzip
from mesos_dns.web.views import Pieces

#: Seconds that a client may leave a part of a reply untaken, and that a whole reply may take: 100,000
#: tasks make 200 MB, which a link of 10 Mbit/s takes in three minutes.
HTTP_STALL_SECONDS: Final = 30.0
HTTP_REPLY_SECONDS: Final = 300.0
#: Seconds that a client may leave a part of a reply untaken while others wait for its end: a connection of any use takes something in that time.
HTTP_HURRIED_STALL_SECONDS: Final = 5.0
#: Octets (characters, to be exact) of a reply that are gathered before they are sent.
HTTP_CHUNK: Final = 64 * 1024
#: Seconds of work on a reply before everything else in the process gets a turn.
HTTP_TURN_SECONDS: Final = 0.002

TEXT: Final = "text/plain; charset=utf-8"
JSON: Final = "application/json"


def headers(content_type: str) -> dict[str, str]:
    """Give the header fields of a reply: the software's name without version, the library not at all."""
    return {"Content-Type": content_type, "Server": "Mesos-DNS"}


def text(status: int, body: str) -> web.Response:
    """Make a plain text reply of `body` as it is."""
    return web.Response(status=status, body=body.encode("utf-8", "replace"), headers=headers(TEXT))


def forbidden(request: web.BaseRequest, why: str) -> web.Response:
    """Say that a request is not allowed, and why: as every other error in plain text, unless the client wants JSON."""
    if "json" in request.headers.get("Accept", ""):
        body = json.dumps({"error": "Forbidden", "reason": why}).encode()
        return web.Response(status=403, body=body, headers=headers(JSON))
    return text(403, f"403: Forbidden\n{why}\n")


class Patience:
    """How long a client may leave a part of its reply untaken: less from the moment on when somebody waits for its end."""

    def __init__(self) -> None:
        self._seconds = HTTP_STALL_SECONDS
        self._present: asyncio.Timeout | None = None

    def __repr__(self) -> str:
        return f"Patience({self._seconds:g} s)"

    @property
    def until(self) -> float | None:
        """When the part that is being sent is given up, by the clock of the loop; None if there is none."""
        return None if self._present is None else self._present.when()

    def hurry(self) -> None:
        """Somebody waits from now on."""
        self._seconds = HTTP_HURRIED_STALL_SECONDS
        latest = asyncio.get_running_loop().time() + self._seconds
        # One that is hurried again and again must not be given more time each time.
        if self._present is not None and (self.until or latest) > latest:
            self._present.reschedule(latest)

    async def write(self, reply: web.StreamResponse, octets: bytes) -> None:
        """Send a part of a reply. TimeoutError if it is not taken."""
        try:
            async with asyncio.timeout(self._seconds) as self._present:
                await reply.write(octets)
        finally:
            self._present = None


async def send(
    request: web.BaseRequest,
    pieces: Pieces,
    content_type: str = JSON,
    *,
    packed: bool | None = None,
    patience: Patience | None = None,
) -> web.StreamResponse:
    """Reply with `pieces`: at once with a Content-Length if they are small, else chunk by chunk as they come.

    What is not small is compressed if `packed`. None: it never is; the others depend on what the client takes, and caches are told.

    Raises TimeoutError for a client that does not take them; ConnectionError for one that went away. If
    anything is raised after the reply began, the connection is aborted: only that tells the client that
    the reply is incomplete.
    """
    fields = headers(content_type) | ({} if packed is None else {"Vary": "Accept-Encoding"})
    reply = _Reply(request, fields, Gzip() if packed else None, patience or Patience())
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

    def __init__(
        self, request: web.BaseRequest, fields: dict[str, str], packer: Gzip | None, patience: Patience
    ) -> None:
        self._request = request
        self._patience = patience
        self._fields = fields
        self._packer = packer
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
            return web.Response(body=self._take(), headers=self._fields)
        return await self._write(last=True)

    def abort(self) -> None:
        if self._begun is not None and self._request.transport is not None:
            self._request.transport.abort()

    async def _write(self, *, last: bool = False) -> web.StreamResponse:
        if self._begun is None:
            packed = {"Content-Encoding": "gzip"} if self._packer is not None else {}
            self._begun = web.StreamResponse(headers=self._fields | packed)
            await self._begun.prepare(self._request)
        octets = self._take()
        if self._packer is not None:
            octets = self._packer.add(octets) + (self._packer.end() if last else b"")
        if octets:
            await self._patience.write(self._begun, octets)
        return self._begun

    def _take(self) -> bytes:
        octets = "".join(self._gathered).encode("utf-8", "replace")
        self._gathered.clear()
        return octets
