"""Sending a body piece by piece, without keeping anybody else from working. Edge."""

import asyncio
import time
from collections.abc import Iterable
from typing import Final

from aiohttp import web

from mesos_dns.limits import HTTP_CHUNK, HTTP_REPLY_SECONDS, HTTP_STALL_SECONDS, HTTP_TURN_SECONDS

TEXT: Final = "text/plain; charset=utf-8"
JSON: Final = "application/json"


def headers(content_type: str) -> dict[str, str]:
    """Give the header fields of every reply: the software's name, without version or library."""
    return {"Content-Type": content_type, "Server": "Mesos-DNS"}


def text(status: int, body: str) -> web.Response:
    """Make a plain text reply; no line break at its end."""
    return web.Response(status=status, body=body.encode("utf-8", "replace"), headers=headers(TEXT))


async def send_json(request: web.BaseRequest, pieces: Iterable[str]) -> web.StreamResponse:
    """Reply with `pieces`: at once with a Content-Length if they are small, else chunk by chunk as they come.

    Raises TimeoutError for a client that does not take them; ConnectionError for one that went away. If
    anything is raised after the reply began, the connection is aborted: only that tells the client that
    the reply is incomplete.
    """
    response: web.StreamResponse | None = None
    gathered: list[str] = []
    size = 0
    turn_began = time.monotonic()
    try:
        async with asyncio.timeout(HTTP_REPLY_SECONDS):
            for piece in pieces:
                gathered.append(piece)
                size += len(piece)
                if size >= HTTP_CHUNK:
                    if response is None:
                        response = web.StreamResponse(headers=headers(JSON))
                        await response.prepare(request)
                    await _write(response, gathered)
                    gathered, size = [], 0
                if time.monotonic() - turn_began > HTTP_TURN_SECONDS:
                    await asyncio.sleep(0)
                    turn_began = time.monotonic()
            if response is None:
                return web.Response(body=_octets(gathered), headers=headers(JSON))
            await _write(response, gathered)
            return response
    except BaseException:
        if response is not None and request.transport is not None:
            request.transport.abort()
        raise


async def _write(response: web.StreamResponse, gathered: list[str]) -> None:
    async with asyncio.timeout(HTTP_STALL_SECONDS):
        await response.write(_octets(gathered))


def _octets(gathered: list[str]) -> bytes:
    return "".join(gathered).encode("utf-8", "replace")
