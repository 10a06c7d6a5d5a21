"""The HTTP listener: bounded connections in front of the API. Edge."""

import asyncio
import errno
import logging
import os
import resource
import socket
import ssl
from collections import Counter
from collections.abc import Callable
from typing import Final

from aiohttp import web

from mesos_dns.concurrency import let_go, spawn
from mesos_dns.logs import RateLimited
from mesos_dns.quoting import quoted
from mesos_dns.web.api import Api
from mesos_dns.web.backend import Backend

log = logging.getLogger(__name__)

#: Connections at once: monitoring and a few people; further ones are closed at once.
MAX_HTTP_CONNECTIONS: Final = 256
#: Connections of one address, so that there is always room for others.
MAX_HTTP_PER_CLIENT: Final = 64
#: The share of the limit of open files that these may take: control must be able to start workers and to ask masters, whoever holds connections.
HTTP_SHARE_OF_FILES: Final = 4
#: Connections that may wait in the kernel to be accepted.
_BACKLOG: Final = 128
#: Connections accepted in one go, before the first of them is counted.
_ACCEPTED_AT_ONCE: Final = 8
#: Octets of a request line: a name of 255 octets, each percent-encoded, needs 800.
MAX_HTTP_LINE: Final = 4096
#: Octets of one header field: cookies and tokens of proxies in front of us reach some thousand.
MAX_HTTP_FIELD: Final = 8192
#: Seconds that a new connection may take until its first request is complete.
HTTP_REQUEST_SECONDS: Final = 10.0
#: Seconds between two requests of one connection: more than the usual scraping interval of a minute.
HTTP_KEEP_ALIVE_SECONDS: Final = 75.0
#: Seconds for reading a body that nobody asked for, so that the client sees the reply.
HTTP_LINGER_SECONDS: Final = 1.0
#: Characters of what is wrong with a request: with the part of it that shows where.
MAX_COMPLAINT: Final = 200
#: Seconds that replies under way get when the server stops, and again for being cancelled.
HTTP_STOP_SECONDS: Final = 1.0
#: What clients are told that name what they speak (ALPN): nothing newer than HTTP/1.1.
HTTP_PROTOCOLS: Final = ("http/1.1",)


class HttpServer:
    """Serves the API over HTTP/1.1 on one address, in TLS if `context` is given. `start` once, then `stop` once.

    Another `context` may be set at any time, for connections to come.
    """

    def __init__(self, current: Callable[[], Backend], context: ssl.SSLContext | None = None) -> None:
        self.context = context
        self._api = Api(current)
        self._warnings = RateLimited(log)
        self._aiohttp_log = logging.Logger(f"{__name__}.aiohttp")  # noqa: LOG001 - has no life outside this server
        self._aiohttp_log.addFilter(self._note_complaint)
        #: Open connections, with the timer of those that have not asked anything yet.
        self._open: dict[asyncio.Transport, asyncio.TimerHandle | None] = {}
        #: How many connections each address has.
        self._clients: Counter[str] = Counter()
        self._most = MAX_HTTP_CONNECTIONS
        self._web: web.Server | None = None
        self._listener: asyncio.Server | None = None
        #: What is on the wire, by the transport within TLS.
        self._wires: dict[asyncio.Transport, asyncio.Transport] = {}
        #: Host and port that it listens on, once started.
        self.address: tuple[str, int] | None = None

    def __repr__(self) -> str:
        return f"HttpServer({self.address}, connections={len(self._open)})"

    async def start(self, host: str, port: int, given: socket.socket | None = None) -> None:
        """Bind to `host` (an address; `::` takes IPv4, too) and `port` (0: any free one), and serve; or on the socket `given`, which is bound.

        Raises OSError if the address cannot be bound: its text says which one, why, and what to do.
        """
        listening = given or _bind(host, port, "HttpPort" if self.context is None else "HttpsPort")
        self._most = _most_within(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
        self._web = web.Server(
            self._answer,
            access_log=None,
            logger=self._aiohttp_log,
            keepalive_timeout=HTTP_KEEP_ALIVE_SECONDS,
            lingering_time=HTTP_LINGER_SECONDS,
            max_line_size=MAX_HTTP_LINE,
            max_field_size=MAX_HTTP_FIELD,
            auto_decompress=False,
        )
        make = self._web
        loop = asyncio.get_running_loop()
        # To asyncio the backlog is also how many it accepts in one go; without files each of them would be an error.
        self._listener = await loop.create_server(
            lambda: _Connection(make, self), sock=listening, backlog=_ACCEPTED_AT_ONCE
        )
        listening.listen(_BACKLOG)
        self.address = listening.getsockname()[:2]
        log.info("%s API on %s port %d", "HTTP" if self.context is None else "HTTPS", *self.address)

    async def stop(self) -> None:
        """Close the listener at once, and every connection as soon as its reply is sent, or after a few seconds."""
        if self._listener is None or self._web is None:
            return
        self._listener.close()
        self._web.pre_shutdown()  # Ends what waits for a request; else `shutdown` would wait, too.
        await self._web.shutdown(HTTP_STOP_SECONDS)
        for transport in list(self._open):
            transport.abort()
        await self._listener.wait_closed()

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.transport is not None:
            self._cancel_timer(request.transport)
        return await self._api(request)

    def _note_complaint(self, record: logging.LogRecord) -> bool:
        """Log in one line, at a bounded rate, what aiohttp would log with a traceback for each bad request."""
        error = record.exc_info[1] if record.exc_info else None
        # What aiohttp found in a request has several lines, with a part of the request.
        found = " ".join(str(getattr(error, "message", error or "no more is known")).split())
        self._warnings.warning(str(record.msg), "HTTP: %s: %s", record.getMessage(), quoted(found, MAX_COMPLAINT))
        if error is not None:
            error.__traceback__ = None  # It leads to a frame of aiohttp that holds the error, a reference cycle.
        return False

    # --- connections ---------------------------------------------------------------------------

    def opened(self, transport: asyncio.Transport) -> bool:
        """Count a new connection; False if it is one too many. It must ask something soon."""
        if len(self._open) >= self._most:
            self._warnings.warning(
                "full", "HTTP: %d connections are open, no more are taken; who holds them?", len(self._open)
            )
            return False
        client = _address(transport)
        if self._clients[client] >= MAX_HTTP_PER_CLIENT:
            self._warnings.warning(
                "share",
                "HTTP: %s holds %d connections, as many as one client may; no more of its are taken",
                client,
                self._clients[client],
            )
            return False
        self._clients[client] += 1
        loop = asyncio.get_running_loop()
        self._open[transport] = loop.call_later(HTTP_REQUEST_SECONDS, transport.abort)
        return True

    def secured(self, wire: asyncio.Transport, within: asyncio.Transport) -> None:
        """A connection has a transport within TLS now, which requests come from."""
        self._wires[within] = wire

    def tell_insecure(self, client: object, why: str) -> None:
        """Tell of a client that speaks no TLS, or does not accept this server."""
        self._warnings.log(logging.INFO, "tls", "HTTPS: a connection of %s failed: %s", client, why)

    def closed(self, wire: asyncio.Transport, within: asyncio.Transport) -> None:
        """Forget a connection; without TLS both are the same."""
        self._cancel_timer(wire)
        if wire in self._open:
            del self._open[wire]
            client = _address(wire)
            self._clients[client] -= 1
            if not self._clients[client]:
                del self._clients[client]
        self._wires.pop(within, None)

    def _cancel_timer(self, transport: asyncio.Transport) -> None:
        transport = self._wires.get(transport, transport)
        timer = self._open.get(transport)
        if timer is not None:
            timer.cancel()
            self._open[transport] = None


class _Connection(asyncio.Protocol):
    """Counts a connection, and passes all that happens to it on to what `make` makes, if it is admitted.

    aiohttp does not bound connections, and older versions let one be silent for ever: hence this layer. It is there before TLS is,
    so that handshakes are bounded, too.
    """

    def __init__(self, make: Callable[[], asyncio.Protocol], server: HttpServer) -> None:
        self._make = make
        self._inner: asyncio.Protocol | None = None
        self._server = server
        #: What carries what is said, and what is on the wire: the same without TLS.
        self._transport: asyncio.Transport | None = None
        self._wire: asyncio.Transport | None = None
        self._client = ""
        #: What came before `_inner` was there, which takes a turn of the loop after a handshake.
        self._early: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = self._wire = transport
        if not self._server.opened(transport):
            transport.abort()
        elif self._server.context is None:
            self._begin(transport)
        else:
            self._client = transport.get_extra_info("peername", ("somebody",))[0]
            transport.pause_reading()
            spawn(self._shake_hands(transport, self._server.context), name="shake hands over HTTPS")

    def connection_lost(self, exc: Exception | None) -> None:
        wire, within = self._wire, self._transport
        self._transport = self._wire = None
        if wire is not None and within is not None:
            self._server.closed(wire, within)
            let_go(wire)
            let_go(within)
        if self._inner is not None:
            self._inner.connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._inner is not None:
            self._inner.data_received(data)
        else:
            self._early.append(data)

    def eof_received(self) -> bool | None:
        return self._inner.eof_received() if self._inner is not None else None

    def pause_writing(self) -> None:
        if self._inner is not None:
            self._inner.pause_writing()

    def resume_writing(self) -> None:
        if self._inner is not None:
            self._inner.resume_writing()

    def _begin(self, transport: asyncio.Transport) -> None:
        self._inner = self._make()
        self._inner.connection_made(transport)
        early, self._early = self._early, []
        for data in early:
            self._inner.data_received(data)

    async def _shake_hands(self, wire: asyncio.Transport, context: ssl.SSLContext) -> None:
        within = None
        why = "no handshake within the time for it"
        try:
            within = await asyncio.get_running_loop().start_tls(
                wire,
                self,
                context,
                server_side=True,
                ssl_handshake_timeout=HTTP_REQUEST_SECONDS,
                ssl_shutdown_timeout=HTTP_STOP_SECONDS,
            )
        except OSError as error:  # Errors of TLS are such, too.
            reason = error.reason if isinstance(error, ssl.SSLError) else None
            why = (reason or str(error) or "it went away").replace("_", " ").lower()
            error.__traceback__ = None  # A future in a frame there has the error: a cycle.
        if within is None:
            # Nobody says `connection_lost` to who was in a handshake; or it is said once more, and does no harm.
            self._server.tell_insecure(self._client, why)
            self.connection_lost(None)
        elif self._transport is not None:
            self._transport = within
            self._server.secured(wire, within)
            self._begin(within)


def _address(transport: asyncio.Transport) -> str:
    """The address of the other end; "" if it was gone before anybody looked. It stays the same for the transport's life."""
    peer = transport.get_extra_info("peername")
    return str(peer[0]) if peer else ""


def _most_within(files: int) -> int:
    """How many connections there may be with this limit of open files."""
    return MAX_HTTP_CONNECTIONS if files < 0 else max(1, min(MAX_HTTP_CONNECTIONS, files // HTTP_SHARE_OF_FILES))


def _bind(host: str, port: int, key: str) -> socket.socket:
    v6 = ":" in host
    try:
        return socket.create_server(
            (host, port),
            family=socket.AF_INET6 if v6 else socket.AF_INET,
            backlog=_BACKLOG,
            dualstack_ipv6=host == "::" and socket.has_dualstack_ipv6(),
        )
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        # A single argument: then the text is all that str() gives, without the number.
        raise OSError(f"TCP {host} port {port}: {reason}; {_advice(error, key)}") from error


def _advice(error: OSError, key: str) -> str:
    match error.errno:
        case errno.EADDRINUSE:
            return (
                f"another program has it (`ss -lntp` shows which): stop that one, or set another {key} or HTTPListener"
            )
        case errno.EACCES | errno.EPERM:
            return f"ports below 1024 need root or the capability CAP_NET_BIND_SERVICE; set another {key}"
        case errno.EADDRNOTAVAIL:
            return "HTTPListener must be an address of this machine, 0.0.0.0 or ::"
        case _:
            return f"check HTTPListener and {key}"
