"""Asks one master for its state or its events over HTTP or HTTPS. Edge: aiohttp.

Never follows redirects: HTTP libraries drop credentials on the way to another host, and the target is a host name that
only this program might be able to resolve.
"""

import asyncio
import base64
import contextlib
import math
import re
import socket
import ssl
import time
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final, NamedTuple, TypeVar
from urllib.parse import urlencode, urlsplit

import aiohttp
import msgspec

from mesos_dns import limits
from mesos_dns.mesos.asked import Asked
from mesos_dns.mesos.errors import (
    BodyError,
    DisconnectedError,
    MasterError,
    MasterTimeoutError,
    NoLeaderError,
    RedirectError,
    StatusError,
    UnauthorizedError,
    UnreachableError,
)
from mesos_dns.mesos.http.iam import IamLogin
from mesos_dns.mesos.http.translation import (
    MASTER_CONNECT_SECONDS,
    MASTER_STALL_SECONDS,
    translated,
    translated_login,
)
from mesos_dns.mesos.options import ClientOptions
from mesos_dns.mesos.state import Endpoint
from mesos_dns.quoting import quoted

#: Mesos 0.25 and later; the other name is all that earlier masters know, and is gone since 1.8.
_PATHS: Final = ("/master/state", "/master/state.json")
#: The operator API, Mesos 1.0 and later.
_CALLS: Final = "/api/v1"
#: What may stand in a URL as a host. States and redirects are input: they must not smuggle in paths or credentials.
_HOST: Final = re.compile(r"[0-9A-Za-z._:-]+")
_REALM: Final = re.compile(r'realm="([^"]*)"', re.IGNORECASE)

#: Octets of a state document after decompression. A cluster of 100,000 tasks has about 280 MB; a compressed
#: answer of a broken or hostile server could otherwise fill the memory.
MAX_STATE_OCTETS: Final = 2 * 1024**3
#: Octets of a list of the tasks with one id after decompression: a hundred of the largest.
MAX_TASKS_OCTETS: Final = 16 * 1024**2
#: Octets read of an answer that reports an error: one line of it goes into the log.
MAX_ERROR_OCTETS: Final = 4096
#: Seconds for the complete answer to a small call.
CALL_SECONDS: Final = 10.0
#: Seconds of silence after which the system asks whether the other end of an event stream still exists, then between two such
#: questions, and how many of them may remain unanswered: masters before Mesos 1.5 send no heartbeats.
_KEEP_ALIVE: Final = (30, 10, 3)
#: Masters whose state path (/master/state or /master/state.json) is remembered.
MAX_REMEMBERED_PATHS: Final = 256
#: Octets that may wait in a connection's buffer: fewer wake-ups for large states.
_READ_OCTETS: Final = 2**18


#: Called when octets of an answer have come.
Heard = Callable[[], None]


def _ignore() -> None:
    """For those who do not care when octets come."""


#: What tells zlib to expect a gzip header.
_GZIP: Final = zlib.MAX_WBITS | 16


T = TypeVar("T")


class Answer(NamedTuple):
    """A master's complete 200: the body as received (decompressed), and the seconds that it took."""

    body: bytearray
    seconds: float


class Glimpse(NamedTuple):
    """The beginning of a master's 200, decompressed; its `Date`, "" without; and the seconds that it took."""

    octets: bytes
    date: str
    seconds: float


class MasterClient:
    """Fetches states, one request and connection each (Go did so, too: nothing idles between polls).

    Create it anywhere; use and close it in one event loop. After `close` it can be used again.
    """

    def __init__(self, options: ClientOptions, asked: Asked | None = None) -> None:
        """`options.ca_file` and the others are read here: OSError or ssl.SSLError if they are unusable. `asked` is told what comes of it."""
        self._options = options
        self._notes = Asked() if asked is None else asked
        self._scheme = "https" if options.https else "http"
        self._tls = _tls_context(options) if options.https else None
        self._login_tls = self._tls or _tls_context(options) if options.iam is not None else None
        self._login = IamLogin(options.iam) if options.iam is not None else None
        self._paths: dict[Endpoint, str] = {}
        self._session: aiohttp.ClientSession | None = None

    def __repr__(self) -> str:
        return f"MasterClient({self._scheme}, open={self._session is not None})"

    async def close(self) -> None:
        """Close the connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def fetch(self, endpoint: Endpoint, heard: Heard = _ignore) -> Answer:
        """Read the state document of one master. Raises the errors of `mesos.errors`, nothing else.

        The whole takes at most `options.timeout` seconds. `heard` is called whenever octets of the answer have come.
        """
        started = time.monotonic()
        body = await self._within(endpoint, self._options.timeout, lambda: self._fetch_any_path(endpoint, heard))
        return Answer(body, time.monotonic() - started)

    async def call(self, endpoint: Endpoint, kind: str) -> bytearray:
        """Make a call of the operator API without arguments, GET_MASTER for example. Raises the errors of `mesos.errors`."""
        seconds = min(CALL_SECONDS, self._options.timeout)
        return await self._within(endpoint, seconds, lambda: self._read(endpoint, _CALLS, kind))

    async def summary(self, endpoint: Endpoint) -> bytearray:
        """Read `/master/state-summary`. Raises the errors of `mesos.errors`."""
        return await self._within(
            endpoint, self._options.timeout, lambda: self._read(endpoint, "/master/state-summary")
        )

    async def task(self, endpoint: Endpoint, framework_id: str, task_id: str) -> bytearray:
        """Read `/master/tasks` (Mesos 1.4 and later) for the tasks with these ids. Raises the errors of `mesos.errors`."""
        query = "?" + urlencode({"framework_id": framework_id, "task_id": task_id})
        seconds = min(CALL_SECONDS, self._options.timeout)
        return await self._within(
            endpoint, seconds, lambda: self._read(endpoint, "/master/tasks", query=query, limit=MAX_TASKS_OCTETS)
        )

    async def glimpse(self, endpoint: Endpoint, *, most: int, within: float, path: str = "") -> Glimpse:
        """Read `most` octets of the state document, or of what is at `path`, in at most `within` seconds. Raises the errors of `mesos.errors`."""
        started = time.monotonic()

        async def read() -> Glimpse:
            octets, date = await self._begin(endpoint, path or _PATHS[0], most)
            return Glimpse(octets, date, time.monotonic() - started)

        try:
            return await self._within(endpoint, within, read)
        except StatusError as error:
            if path or error.status != 404:
                raise
        return await self.glimpse(endpoint, most=most, within=within, path=_PATHS[1])

    async def _begin(self, endpoint: Endpoint, path: str, most: int) -> tuple[bytes, str]:
        async with self._asked(endpoint, path) as response:
            body = _Body(_encoding(endpoint, response), most)
            with contextlib.suppress(zlib.error):
                async for chunk in response.content.iter_any():
                    body.add(chunk)
                    if len(body.octets) >= most:
                        break
            return bytes(body.octets[:most]), response.headers.get("Date", "")

    @contextlib.asynccontextmanager
    async def subscribe(self, endpoint: Endpoint) -> AsyncIterator[AsyncIterator[bytes]]:
        """The chunks of a master's event stream, for as long as it lasts. Raises the errors of `mesos.errors`, inside too.

        The connection is made and answered within `options.timeout` seconds; how long it may be silent, the reader decides.
        """
        async with contextlib.AsyncExitStack() as stack:
            response = await self._within(
                endpoint,
                self._options.timeout,
                lambda: stack.enter_async_context(self._asked(endpoint, _CALLS, "SUBSCRIBE")),
            )
            encoding = _encoding(endpoint, response)
            if encoding.endswith("gzip"):
                raise BodyError(endpoint, "the event stream is compressed: is it a proxy that answers?")
            _keep_alive(response)
            yield self._chunks(endpoint, response)

    async def _chunks(self, endpoint: Endpoint, response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
        # Translated here, so that no exception of the library, which leads to the response and back, goes through other frames.
        try:
            async with translated(endpoint, tls=self._tls is not None):
                async for chunk in response.content.iter_any():
                    yield chunk
        except MasterError as error:
            self._notes.failed(error, time.monotonic(), 0.0)
            raise

    async def _within(self, endpoint: Endpoint, seconds: float, ask: Callable[[], Awaitable[T]]) -> T:
        """What `ask` gives, within so many seconds; what came of it is noted."""
        started = time.monotonic()
        try:
            found = await self._ask_within(endpoint, seconds, ask)
        except MasterError as error:
            now = time.monotonic()
            self._notes.failed(error, now, now - started)
            raise
        now = time.monotonic()
        self._notes.answered(endpoint, now, now - started)
        return found

    async def _ask_within(self, endpoint: Endpoint, seconds: float, ask: Callable[[], Awaitable[T]]) -> T:
        """The same; once more with another token if the one at hand is not accepted."""
        try:
            async with asyncio.timeout(seconds):
                if self._login is None or not self._login.has_token:
                    return await ask()
                try:
                    return await ask()
                except UnauthorizedError:
                    self._login.forget()  # a remembered token may have been revoked: once more with a new one
                    return await ask()
        except TimeoutError as error:
            advice = "; StateTimeoutSeconds sets the limit" if seconds == self._options.timeout else ""
            raise MasterTimeoutError(
                endpoint, f"no complete answer within {seconds:g} s: it may be overloaded or hang{advice}"
            ) from error

    async def _fetch_any_path(self, endpoint: Endpoint, heard: Heard) -> bytearray:
        known = self._paths.get(endpoint, _PATHS[0])
        other = _PATHS[1] if known == _PATHS[0] else _PATHS[0]
        try:
            return await self._read(endpoint, known, heard=heard)
        except StatusError as error:
            if error.status != 404:
                raise
        body = await self._read(endpoint, other, heard=heard)
        if len(self._paths) >= MAX_REMEMBERED_PATHS:
            self._paths.clear()
        self._paths[endpoint] = other
        return body

    async def _read(
        self,
        endpoint: Endpoint,
        path: str,
        call: str = "",
        *,
        query: str = "",
        heard: Heard = _ignore,
        limit: int | None = None,
    ) -> bytearray:
        async with self._asked(endpoint, path, call, query) as response:
            heard()
            return await _read_body(endpoint, response, heard, MAX_STATE_OCTETS if limit is None else limit)

    @contextlib.asynccontextmanager
    async def _asked(
        self, endpoint: Endpoint, path: str, call: str = "", query: str = ""
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """The 200 that a GET, or a call of the operator API, is answered with."""
        if not _HOST.fullmatch(endpoint.host):
            raise UnreachableError(
                endpoint, f"cannot be asked: {quoted(endpoint.host)} is neither an address nor a host name"
            )
        headers = {
            "User-Agent": "Mesos-DNS",
            "Accept": "application/json",
            "Accept-Encoding": "identity" if call == "SUBSCRIBE" else "gzip",
            # Exactly this: Mesos takes no charset behind it.
            **({"Content-Type": "application/json"} if call else {}),
            **await self._authorization(endpoint),
        }
        async with (
            translated(endpoint, tls=self._tls is not None),
            self._opened().request(
                "POST" if call else "GET",
                f"{self._scheme}://{endpoint}{path}{query}",
                data=msgspec.json.encode({"type": call}) if call else None,
                headers=headers,
                allow_redirects=False,
                ssl=True if self._tls is None else self._tls,
                auto_decompress=False,
                timeout=self._limits(math.inf if call == "SUBSCRIBE" else MASTER_STALL_SECONDS),
            ) as response,
        ):
            if response.status == 200:
                yield response
                return
            text = await _read_error(endpoint, response)
            raise self._refusal(endpoint, path, response, text)

    def _limits(self, silence: float) -> aiohttp.ClientTimeout:
        return aiohttp.ClientTimeout(
            total=None,
            sock_connect=min(MASTER_CONNECT_SECONDS, self._options.timeout),
            sock_read=None if silence == math.inf else silence,
        )

    async def _authorization(self, endpoint: Endpoint) -> dict[str, str]:
        if self._login is not None:
            async with translated_login(endpoint, self._login.url):
                return {"Authorization": f"token={await self._login.token(self._opened(), self._login_tls)}"}
        principal, secret = self._options.principal, self._options.secret
        if not principal and not secret:
            return {}
        return {"Authorization": "Basic " + base64.b64encode(f"{principal}:{secret}".encode()).decode()}

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(force_close=True),
                cookie_jar=aiohttp.DummyCookieJar(),
                read_bufsize=_READ_OCTETS,
            )
        return self._session

    def _refusal(self, endpoint: Endpoint, path: str, response: aiohttp.ClientResponse, text: str) -> Exception:
        status = response.status
        if status in {301, 302, 303, 307, 308}:
            location = response.headers.get("Location", "")
            return RedirectError(
                endpoint,
                _parse_location(location),
                f"does not lead, it points to {quoted(location, limits.MAX_EXAMPLE_TEXT)}",
            )
        if status == 503:
            return NoLeaderError(endpoint, f"no leader at the moment ({text or 'status 503'})")
        if status in {401, 403}:
            challenge = _REALM.search(response.headers.get("WWW-Authenticate", ""))
            realm = challenge[1] if challenge else ""
            return UnauthorizedError(
                endpoint, realm, f"status {status}, realm {quoted(realm)}: {self._credentials_hint()}"
            )
        hint = "this is no Mesos master, or it is just starting" if status == 404 else text
        return StatusError(endpoint, status, f"status {status} for {path}, expected 200: {hint}")

    def _credentials_hint(self) -> str:
        if self._login is not None:
            return "it does not accept the token of this DC/OS service account; check its permissions"
        if not self._options.principal and not self._options.secret:
            return "it wants credentials; set MesosAuthentication to basic and MesosCredentials, or use iam"
        if ":" in self._options.secret:
            return "it does not accept the credentials; Mesos can never accept a secret that contains a colon"
        return "it does not accept the credentials; check Principal and Secret of MesosCredentials"


def _keep_alive(response: aiohttp.ClientResponse) -> None:
    """Let the system find out when the other end of a silent connection is gone."""
    transport = None if response.connection is None else response.connection.transport
    sock = None if transport is None else transport.get_extra_info("socket")
    if sock is not None:
        idle, between, most = _KEEP_ALIVE
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, idle)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, between)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, most)


def _tls_context(options: ClientOptions) -> ssl.SSLContext:
    if options.ca_file:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(options.ca_file)
    else:
        # As in Go: https without CACertFile means no verification. The configuration warns about it.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if options.cert_file:
        context.load_cert_chain(options.cert_file, options.key_file)
    return context


async def _read_body(endpoint: Endpoint, response: aiohttp.ClientResponse, heard: Heard, limit: int) -> bytearray:
    # One growing buffer: response.read() would hold all chunks and the joined body at once. Unpacked here, 230 MB take
    # 0.6 s; by aiohttp 0.8, for it keeps what it unpacked in chunks, too; in a thread 1.0, which allocates anew each time.
    body = _Body(_encoding(endpoint, response), limit)
    try:
        async for chunk in response.content.iter_any():
            heard()
            body.add(chunk)
            if len(body.octets) > limit:
                raise BodyError(endpoint, f"its answer has more than {limit} octets, the limit")
        body.end()
    except zlib.error as error:
        raise DisconnectedError(endpoint, f"the answer broke off or is damaged: {error}") from error
    return body.octets


async def _read_error(endpoint: Endpoint, response: aiohttp.ClientResponse) -> str:
    body = _Body(_encoding(endpoint, response), MAX_ERROR_OCTETS)
    with contextlib.suppress(zlib.error):
        async for chunk in response.content.iter_any():
            body.add(chunk)
            if len(body.octets) >= MAX_ERROR_OCTETS:
                break
    return " ".join(body.octets[: limits.MAX_EXAMPLE_TEXT].decode("utf-8", "replace").split())


def _encoding(endpoint: Endpoint, response: aiohttp.ClientResponse) -> str:
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in {"gzip", "x-gzip", "identity", ""}:
        raise BodyError(endpoint, f"the answer is encoded as {quoted(encoding)}, expected gzip or nothing at all")
    return encoding


class _Body:
    """Takes a body piece by piece, unpacks it if need be, and stops at a little above `limit` octets."""

    def __init__(self, encoding: str, limit: int) -> None:
        self.octets = bytearray()
        self._limit = limit
        self._unpacker = zlib.decompressobj(wbits=_GZIP) if encoding.endswith("gzip") else None

    def __repr__(self) -> str:
        return f"_Body({len(self.octets)} octets)"

    def add(self, piece: bytes) -> None:
        """Take the next piece. Raises zlib.error if it cannot be unpacked."""
        if self._unpacker is not None:
            piece = self._unpacker.decompress(piece, self._limit + 1 - len(self.octets))
        self.octets += piece

    def end(self) -> None:
        """Take note that there is no more. Raises zlib.error if there should be."""
        if self._unpacker is not None and not self._unpacker.eof:
            raise zlib.error("the end is missing")


def _parse_location(location: str) -> Endpoint | None:
    """Read `//host:port/path` (Mesos 0.23 and later) or `http://host:port`; None for anything else."""
    try:
        parts = urlsplit(location)
        if not parts.hostname:
            return None
        return Endpoint(parts.hostname, parts.port or (443 if parts.scheme == "https" else 80))
    except ValueError:
        return None
