"""Addresses of the host names inside states, found in the background.

A state may name agents and schedulers by host. Looking those up takes seconds when the system's
resolver is slow, and may even need this very server, so it never happens in the path of a state:
records follow when the answer comes. A failed look-up keeps the addresses known before.
"""

import asyncio
import contextlib
import copy
import heapq
import ipaddress
import logging
import math
import socket
import threading
from collections.abc import Callable, Mapping

from mesos_dns.concurrency import spawn
from mesos_dns.limits import HOST_LOOKUP_THREADS, HOST_REFRESH_SECONDS, MAX_ADDRESSES, MAX_HOSTS
from mesos_dns.logs import RateLimited

log = logging.getLogger(__name__)

#: Takes what was found: host name → packed addresses.
OnFound = Callable[[Mapping[str, tuple[bytes, ...]]], None]


class HostLookup:
    """Looks up the wanted host names, each again after a while, and reports what it finds."""

    def __init__(self, on_found: OnFound, *, refresh: float = HOST_REFRESH_SECONDS) -> None:
        self._on_found = on_found
        self._refresh = refresh
        self._wanted: frozenset[str] = frozenset()
        #: When each wanted host is due, in the loop's time; infinity while it is being looked up.
        self._due: dict[str, float] = {}
        #: The same in order of time. What `_due` does not say (any more) is void.
        self._queue: list[tuple[float, str]] = []
        self._news = asyncio.Event()
        self._warn = RateLimited(log, interval=300)
        self._tasks: list[asyncio.Task[None]] = []

    def __repr__(self) -> str:
        return f"HostLookup(wanted={len(self._wanted)})"

    def want(self, hosts: set[str]) -> None:
        """From now on these are the hosts to know, and no others."""
        if hosts == self._wanted:
            return
        if len(hosts) > MAX_HOSTS:
            self._warn.warning("many", "%d host names in the state, only %d are looked up", len(hosts), MAX_HOSTS)
            hosts = set(sorted(hosts)[:MAX_HOSTS])
        for host in hosts - self._wanted:
            heapq.heappush(self._queue, (0.0, host))
        self._wanted = frozenset(hosts)
        self._due = {host: self._due.get(host, 0.0) for host in hosts}
        self._news.set()

    def start(self) -> None:
        """Work in the background of the running loop."""
        self._tasks = [spawn(self._run(), name=f"host look-up {n}") for n in range(HOST_LOOKUP_THREADS)]

    def stop(self) -> None:
        """Stop; look-ups under way are abandoned."""
        # Forgotten as well: a cancelled task holds the frames that it was in, and those this object.
        while self._tasks:
            self._tasks.pop().cancel()

    async def _run(self) -> None:
        # Several of these share the queue: a host whose look-up hangs keeps only one of them from the others.
        loop = asyncio.get_running_loop()
        while True:
            host = await self._next()
            try:
                found = await _in_thread(host)
            except (OSError, RuntimeError, ValueError) as error:
                # By kind and not by host: when the system's resolver is gone, thousands fail alike.
                self._warn.warning(
                    f"{type(error).__name__} {getattr(error, 'errno', None)}",
                    "cannot resolve host %r of the state: %s; its records keep the last known addresses",
                    host,
                    error,
                )
            else:
                self._on_found({host: found})
            if self._due.get(host) == math.inf:
                self._due[host] = loop.time() + self._refresh
                heapq.heappush(self._queue, (self._due[host], host))

    async def _next(self) -> str:
        """The next host that is due, as soon as one is."""
        loop = asyncio.get_running_loop()
        while True:
            while self._queue and self._queue[0][0] <= loop.time():
                when, host = heapq.heappop(self._queue)
                if self._due.get(host) == when:
                    self._due[host] = math.inf
                    return host
            self._news.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(self._queue[0][0] if self._queue else None):
                    await self._news.wait()


async def _in_thread(host: str) -> tuple[bytes, ...]:
    """Packed addresses of `host`, looked up in a thread that nothing has to wait for, not even the end of the program.

    Raises OSError if it cannot be resolved, RuntimeError if there can be no more threads.
    """
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[tuple[bytes, ...] | Exception] = loop.create_future()

    def settle(outcome: tuple[bytes, ...] | Exception) -> None:
        if not answer.done():
            answer.set_result(outcome)

    def work() -> None:
        outcome: tuple[bytes, ...] | Exception
        try:
            outcome = _addresses(host)
        except (OSError, ValueError) as error:
            outcome = copy.copy(error)
        with contextlib.suppress(RuntimeError):  # The loop is closed: nobody asks any more.
            loop.call_soon_threadsafe(settle, outcome)

    threading.Thread(target=work, name="host look-up", daemon=True).start()
    outcome = await answer
    if isinstance(outcome, Exception):
        # Copies have no traceback. That of an error that a variable or a future keeps leads to the frame that has
        # these, a reference cycle for each host that cannot be resolved.
        raise copy.copy(outcome)
    return outcome


def _addresses(host: str) -> tuple[bytes, ...]:
    """Packed addresses of `host`; raises OSError. Runs in a thread."""
    if "\0" in host:
        raise OSError("it is no host name (the system would see its first part only)")
    try:
        answers = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except UnicodeError as error:
        raise OSError(f"it is no host name ({error})") from error
    packed = dict.fromkeys(ipaddress.ip_address(str(answer[4][0]).partition("%")[0]).packed for answer in answers)
    # IPv4 first, as everywhere; the system sorts by what it would rather connect to itself.
    return tuple(sorted(packed, key=len))[:MAX_ADDRESSES]


async def look_up(hosts: set[str]) -> dict[str, tuple[bytes, ...]]:
    """Look up `hosts` once; those that cannot be resolved are missing from the answer."""
    found: dict[str, tuple[bytes, ...]] = {}
    waiting = iter(sorted(hosts))

    async def work() -> None:
        for host in waiting:
            with contextlib.suppress(OSError, RuntimeError, ValueError):
                found[host] = await _in_thread(host)

    await asyncio.gather(*(work() for _ in range(HOST_LOOKUP_THREADS)))
    return found
