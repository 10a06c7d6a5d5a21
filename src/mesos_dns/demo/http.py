"""The HTTP manners of a Mesos master, shared by the simulated ones: paths, compression, JSONP, errors."""

import gzip
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from aiohttp import web

from mesos_dns.demo import wire

#: libprocess compresses bodies from this size on, when the client accepts that.
COMPRESS_FROM = 1024

#: Paths are served with and without the name of the process; redirects name the long form.
ALIASES = {
    "/state": "/master/state",
    "/state.json": "/master/state.json",
    "/state-summary": "/master/state-summary",
    "/slaves": "/master/slaves",
    "/frameworks": "/master/frameworks",
    "/tasks": "/master/tasks",
    "/tasks.json": "/master/tasks.json",
    "/flags": "/master/flags",
    "/api/v1": "/master/api/v1",
    "/health": "/master/health",
    "/redirect": "/master/redirect",
}


def path_of(request: web.Request) -> str:
    """Return the path in its long form; a slash at the end does not matter."""
    path = request.path.rstrip("/")
    return ALIASES.get(path, path)


def document(request: web.Request, body: bytes, *, compressed: bytes | None = None) -> web.Response:
    """Answer with JSON, wrapped as JSONP or compressed as the request asks.

    `compressed` is the gzip form of `body` when there is one at hand; else it is made here.
    """
    callback = request.query.get("jsonp")
    if callback is not None:
        return web.Response(body=callback.encode() + b"(" + body + b")", content_type="text/javascript")
    headers = {"Content-Type": "application/json"}
    if len(body) >= COMPRESS_FROM and "gzip" in request.headers.get("Accept-Encoding", ""):
        headers["Content-Encoding"] = "gzip"
        body = gzip.compress(body, 6, mtime=0) if compressed is None else compressed
    return web.Response(body=body, headers=headers)


def version(number: str = wire.VERSION) -> bytes:
    """Return the body of `/version`."""
    return wire.dump(wire.BUILD | {"version": number})


def text(status: int, message: str, headers: dict[str, str] | None = None) -> web.Response:
    """Answer with a line of text, as Mesos does for errors."""
    return web.Response(status=status, text=message, headers=headers, content_type="text/plain", charset="utf-8")


def not_found() -> web.Response:
    """Answer as libprocess does for a path without a route, `/state.json` included since 1.8."""
    return text(404, "404 Not Found.")


def empty(status: int, headers: dict[str, str] | None = None) -> web.Response:
    """Answer without a body, hence without a content type."""
    response = web.Response(status=status, headers=headers)
    response.headers.popall("Content-Type", None)
    return response


class Listener:
    """An HTTP server that can be opened and closed again on the same address."""

    def __init__(
        self,
        address: str,
        port: int,
        application: Callable[[], web.Application],
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._tls = tls
        self._address = address
        self._port = port
        self._application = application
        self._runner: web.AppRunner | None = None

    def __repr__(self) -> str:
        return f"Listener({self._address}:{self._port}, {'open' if self.is_open else 'closed'})"

    @property
    def is_open(self) -> bool:
        """Whether connections are accepted."""
        return self._runner is not None

    async def open(self) -> None:
        """Listen. Raises OSError when the port cannot be had."""
        if self._runner is not None:
            return
        runner = web.AppRunner(self._application(), access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
        await runner.setup()
        try:
            await web.TCPSite(runner, self._address, self._port, ssl_context=self._tls).start()
        except OSError:
            await runner.cleanup()
            raise
        self._runner = runner

    async def close(self) -> None:
        """Refuse connections, and cut the open ones."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()


@asynccontextmanager
async def listening(listeners: Sequence[Listener]) -> AsyncIterator[None]:
    """Open all `listeners`, and close whatever is open in the end."""
    try:
        for listener in listeners:
            await listener.open()
        yield
    finally:
        for listener in listeners:
            await listener.close()
