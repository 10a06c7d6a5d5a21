"""A ZooKeeper, read through kazoo. Edge: its threads and errors are translated to asyncio and to a few errors of ours here, once.

One `Ensemble` has three threads of kazoo's: one that talks with a server, one for watches, one for answers. All that they tell
goes to the event loop through `call_soon_threadsafe`.
"""

import asyncio
import contextlib
import errno
import socket
import threading
from collections.abc import Callable
from typing import Any, Final, NamedTuple, Protocol

from kazoo.client import KazooClient
from kazoo.exceptions import NoAuthError, NoNodeError
from kazoo.handlers.threading import SequentialThreadingHandler
from kazoo.protocol.states import KazooState
from kazoo.retry import KazooRetry

from mesos_dns.mesos.options import ZooKeeperOptions
from mesos_dns.mesos.state import Endpoint
from mesos_dns.quoting import escaped

#: Seconds after which ZooKeeper forgets a client that is silent. A server that hangs is left after two thirds of it.
SESSION_SECONDS: Final = 10.0
#: Seconds that one server may take to accept a connection, to open a session (one that starts may forget to answer), and to go on
#: within an answer; then the next one is tried.
CONNECT_SECONDS: Final = 3.0
#: Longest pause between two rounds through all servers, in seconds; the first is 0.1, and each is twice as long as the one before.
RECONNECT_SECONDS: Final = 5.0
#: Octets of one answer: a list of 10,000 nodes has 300 kB; a server that speaks something else could announce 2 GB.
MAX_ANSWER_OCTETS: Final = 4 * 1024 * 1024
#: Seconds for a polite end of the session; then the connection is cut.
CLOSE_SECONDS: Final = 1.0
#: Characters of what kazoo says, in one log line.
MAX_TROUBLE_TEXT: Final = 200


class EnsembleError(Exception):
    """ZooKeeper gave no answer; the text says why."""


class AbsentError(EnsembleError):
    """There is no such node."""


class ForbiddenError(EnsembleError):
    """Our credentials, or none, do not suffice to read the node."""


class Listing(NamedTuple):
    """The children of a node. `created` tells apart nodes that had the same path, one after the other."""

    names: list[str]
    created: int


class Reader(Protocol):
    """What a detector needs of a ZooKeeper."""

    @property
    def connected(self) -> bool:
        """Whether a server answers at present."""
        ...

    @property
    def over(self) -> bool:
        """Whether it has ended by itself, and another one has to be made."""
        ...

    @property
    def session(self) -> int:
        """Grows with each session that is lost: what was read before may be of another ZooKeeper's life."""
        ...

    @property
    def trouble(self) -> str:
        """What went wrong last, for people; without credentials."""
        ...

    async def children(self, path: str) -> Listing:
        """List, and watch, the children of a node. Raises EnsembleError."""
        ...

    async def exists(self, path: str) -> bool:
        """Whether there is such a node; watches it. Raises EnsembleError."""
        ...

    async def content(self, path: str) -> bytes:
        """The content of a node. Raises EnsembleError."""
        ...

    async def close(self) -> None:
        """End the session, the connection and all threads, within bounds."""
        ...


class Ensemble:
    """One client of a ZooKeeper: connects by itself, for ever, to one server after the other; their names are looked up each time."""

    def __init__(
        self, options: ZooKeeperOptions, told: Callable[[], None], *, session_seconds: float = SESSION_SECONDS
    ) -> None:
        """Begins at once. `told` is called in the present event loop when a watch fires, and when one of the properties has changed."""
        self._options = options
        self._session_seconds = session_seconds
        self._told = told
        self._loop = asyncio.get_running_loop()
        self._session = 0
        self._closing = False
        self._ear = _Ear(self._tell)
        self._handler = _Handler(self._on_end)
        self._client = KazooClient(
            hosts=[str(server) for server in options.servers],
            timeout=session_seconds,
            handler=self._handler,
            auth_data=[("digest", options.credentials)] if options.credentials else None,
            connection_retry=KazooRetry(max_tries=-1, delay=0.1, backoff=2, max_delay=RECONNECT_SECONDS),
            logger=self._ear,
        )
        self._client.add_listener(self._on_state)
        try:
            self._client.start_async()
        except BaseException:
            self._handler.stop()
            raise

    def __repr__(self) -> str:
        return f"Ensemble({self._options}, connected={self.connected})"

    @property
    def connected(self) -> bool:
        """Whether a server answers at present."""
        return not self._closing and bool(self._client.connected)

    @property
    def over(self) -> bool:
        """Whether a thread of kazoo's has ended by itself: after wrong credentials, and after octets that are no ZooKeeper's."""
        return self._handler.over

    @property
    def session(self) -> int:
        """How many sessions were lost."""
        return self._session

    @property
    def trouble(self) -> str:
        """What kazoo warned of last, and which server it had asked."""
        asked, heard = self._handler.asked, self._ear.heard
        return f"{asked}: {heard}" if asked and heard else heard

    async def children(self, path: str) -> Listing:
        """List, and watch, the children of a node. Raises EnsembleError."""
        names, stat = await self._ask(self._client.get_children_async, path, watch=self._on_watch, include_data=True)
        return Listing(names, stat.czxid)

    async def exists(self, path: str) -> bool:
        """Whether there is such a node; watches it. Raises EnsembleError."""
        return await self._ask(self._client.exists_async, path, watch=self._on_watch) is not None

    async def content(self, path: str) -> bytes:
        """The content of a node. Raises EnsembleError."""
        content, _ = await self._ask(self._client.get_async, path)
        return bytes(content)

    async def close(self) -> None:
        """End the session, the connection and all threads; within CLOSE_SECONDS, and as many more as one connect may take."""
        self._closing = True
        ended = self._loop.create_future()
        # No thread of the loop's own: those are waited for at the end of the process, and a look-up of a name may take long.
        work = (self._client, self._handler, self._loop, ended)
        ending = threading.Thread(target=_end, args=work, name="end ZooKeeper", daemon=True)
        ending.start()
        await asyncio.wait([ended], timeout=CLOSE_SECONDS)
        if not ended.done():
            self._handler.cut()
            await asyncio.wait([ended], timeout=CONNECT_SECONDS + CLOSE_SECONDS)
        if ended.done():
            ending.join()  # It has said its last word.
        self._ear.forget()

    async def _ask(self, request: Callable[..., Any], *args: object, **options: object) -> Any:
        answered = self._loop.create_future()
        loop = self._loop

        def settle(result: Any) -> None:
            _call(loop, _settle, answered, result.value, result.exception)

        request(*args, **options).rawlink(settle)
        try:
            # A connection that is lost ends it at once; this is for what nobody thought of.
            async with asyncio.timeout(self._session_seconds):
                value, error = await answered
        except TimeoutError:
            raise EnsembleError(f"no answer within {self._session_seconds:g} s") from None
        match error:
            case None:
                return value
            case NoNodeError():
                raise AbsentError("there is no such node")
            case NoAuthError():
                raise ForbiddenError("the rights do not suffice")
        # No cause: it may hold the frames of kazoo's thread.
        raise EnsembleError(f"{type(error).__name__} {_short(str(error))}".rstrip())

    # --- in threads of kazoo's -----------------------------------------------------------------

    def _on_state(self, state: str) -> None:
        if state == KazooState.LOST:
            self._session += 1
        self._tell()

    def _on_watch(self, _: object) -> None:
        self._tell()

    def _on_end(self, error: Exception | None) -> None:
        if error is not None:
            self._ear.warning("%s: %s", type(error).__name__, error)
        else:
            self._tell()

    def _tell(self) -> None:
        if not self._closing:
            _call(self._loop, self._told)


def _call(loop: asyncio.AbstractEventLoop, what: Callable[..., object], *args: object) -> None:
    with contextlib.suppress(RuntimeError):  # The loop is closed: nobody waits.
        loop.call_soon_threadsafe(what, *args)


def _settle(future: asyncio.Future[Any], value: object, error: Exception | None) -> None:
    if not future.done():
        future.set_result((value, error))


def _end(client: Any, handler: Any, loop: asyncio.AbstractEventLoop, ended: asyncio.Future[Any]) -> None:
    """End `client` and its threads; however long that takes."""
    with contextlib.suppress(Exception):  # Then it ends later, by itself.
        client.stop()
        client.close()
        # kazoo's objects point at each other all around, and at us.
        for part in (client._connection, client, handler):  # noqa: SLF001 - nobody else can take them apart
            vars(part).clear()
    _call(loop, _settle, ended, None, None)


def _short(text: str) -> str:
    return escaped(text[:MAX_TROUBLE_TEXT])


def _nothing() -> None:
    """In the place of somebody who is gone."""


class _Ear:
    """In the place of kazoo's logger: keeps the last warning. All else is dropped; requests, which it logs, hold credentials."""

    def __init__(self, on_warning: Callable[[], None]) -> None:
        self.heard = ""
        self._on_warning = on_warning

    def warning(self, message: str, *args: object, **_: object) -> None:
        """What went wrong, for people."""
        self.heard = _short(message % args if args else message)
        self._on_warning()

    def forget(self) -> None:
        """Tell nobody any more."""
        self._on_warning = _nothing

    def drop(self, *_: object, **__: object) -> None:
        """What nobody needs to know."""

    warn = warning
    error = warning
    exception = warning
    log = debug = info = drop


class _Handler(SequentialThreadingHandler):  # type: ignore[misc]  # kazoo has no types
    """kazoo's threads and connections, with bounds. `asked` is the server that is asked, or was last."""

    def __init__(self, on_end: Callable[[Exception | None], None]) -> None:
        super().__init__()
        self.asked: Endpoint | None = None
        self.over = False
        self._on_end = on_end
        self._socket: socket.socket | None = None
        self._cut = False

    def create_connection(
        self, address: tuple[str, int], hostname: str, timeout: float, **options: object
    ) -> socket.socket:
        """Connect to one server, as kazoo asks for it."""
        self.asked = Endpoint(hostname, address[1])
        limit = min(timeout, CONNECT_SECONDS)
        plain = super().create_connection(address=address, hostname=hostname, timeout=limit, **options)
        self._socket = _Socket(fileno=plain.detach())
        if self._cut:
            self.cut()
        return self._socket

    def select(self, readable: list[Any], writable: list[Any], failed: list[Any], timeout: float | None = None) -> Any:
        """Wait for sockets as select.select does; but not as long as kazoo would for a server that owes us octets."""
        if len(readable) + len(writable) == 1 and timeout is not None:
            timeout = min(timeout, CONNECT_SECONDS)
        return super().select(readable, writable, failed, timeout)

    def cut(self) -> None:
        """Cut the connection, and each that comes: whoever waits for it is woken."""
        self._cut = True
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)

    def spawn(self, func: Callable[..., object], *args: object, **options: object) -> threading.Thread:
        """Start a thread whose exceptions are told, not printed."""

        def run() -> None:
            error = None
            try:
                func(*args, **options)
            except Exception as problem:  # noqa: BLE001 - whatever it is, it is told
                error = problem.with_traceback(None)
            self.over = True
            self._on_end(error)

        thread = threading.Thread(target=run, name="ZooKeeper", daemon=True)
        thread.start()
        return thread


class _Socket(socket.socket):
    """A connection that takes no answer of an absurd length."""

    def recv(self, size: int, flags: int = 0) -> bytes:
        """As in socket.socket."""
        if size > MAX_ANSWER_OCTETS:
            raise OSError(errno.EMSGSIZE, f"an answer of {size} octets was announced; is it a ZooKeeper?")
        return super().recv(size, flags)
