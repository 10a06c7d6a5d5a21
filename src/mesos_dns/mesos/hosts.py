"""Addresses of the host names inside states, found in the background.

A state may name agents and schedulers by host. Looking those up takes seconds when the system's
resolver is slow, and may even need this very server, so it never happens in the path of a state:
records follow when the answer comes. A failed look-up keeps the addresses known before.

The system's resolver may be this very server. Then names of others go on to its upstreams, which are never itself. Names of
its own domains would be answered from records that may be made of just this answer, and so keep themselves alive: they are never asked
for, and what a search list turns into one, or an alias leads to one, is not believed.
"""

import asyncio
import contextlib
import heapq
import ipaddress
import logging
import math
import random
import socket
import threading
from collections.abc import Callable, Collection, Mapping
from typing import Final

from mesos_dns.concurrency import spawn
from mesos_dns.limits import MAX_ADDRESSES, MAX_NAME
from mesos_dns.logs import RateLimited
from mesos_dns.quoting import quoted

log = logging.getLogger(__name__)

#: Host names of agents, schedulers and masters that are looked up.
MAX_HOSTS: Final = 20_000
#: Look-ups under way at once; each blocks a thread.
HOST_LOOKUP_THREADS: Final = 8
#: Seconds until a host name is looked up again.
HOST_REFRESH_SECONDS: Final = 60.0
#: After a failure: the first time a twelfth of that (5 s), each time twice as long, and at most ten times that (10 min), less up to a quarter
#: by chance: a resolver that comes back must not meet thousands at once.
_FIRST_RETRY: Final = 1 / 12
_LAST_RETRY: Final = 10.0
_SPREAD: Final = 0.25

#: Takes what was found: host name → packed addresses.
OnFound = Callable[[Mapping[str, tuple[bytes, ...]]], None]


class HostLookup:
    """Looks up the wanted host names, each again after a while, and reports what it finds.

    `own` are the domains that this server answers for itself, in lower case without dots at their ends.
    """

    def __init__(
        self,
        on_found: OnFound,
        *,
        own: Collection[str] = (),
        refresh: float = HOST_REFRESH_SECONDS,
        random: Callable[[], float] = random.random,
    ) -> None:
        self._on_found = on_found
        self._own = frozenset(own)
        self._refresh = refresh
        self._random = random
        self._given: frozenset[str] = frozenset()
        self._wanted: frozenset[str] = frozenset()
        #: When each wanted host is due, in the loop's time; infinity while it is being looked up.
        self._due: dict[str, float] = {}
        #: The same in order of time. What `_due` does not say (any more) is void.
        self._queue: list[tuple[float, str]] = []
        self._news = asyncio.Event()
        self._warn = RateLimited(log, interval=300)
        #: The wanted hosts whose last look-up failed, and how often running.
        self._failing: dict[str, int] = {}
        #: Whether the log has said so of any since it last said that all is well.
        self._failure_told = False
        self._tasks: list[asyncio.Task[None]] = []

    def __repr__(self) -> str:
        return f"HostLookup(wanted={len(self._wanted)})"

    def want(self, hosts: set[str]) -> None:
        """From now on these are the hosts to know, and no others."""
        if hosts == self._given:
            return
        self._given = frozenset(hosts)
        ours = {host for host in hosts if is_within(host, self._own)}
        if ours:
            shown = quoted(min(ours), MAX_NAME)
            self._warn.warning(
                "own", "host %s of the state is a name of this server's own domain: it is not resolved", shown
            )
            hosts = hosts - ours
        if len(hosts) > MAX_HOSTS:
            self._warn.warning("many", "%d host names in the state, only %d are looked up", len(hosts), MAX_HOSTS)
            hosts = set(sorted(hosts)[:MAX_HOSTS])
        for host in hosts - self._wanted:
            heapq.heappush(self._queue, (0.0, host))
        self._wanted = frozenset(hosts)
        self._failing = {host: times for host, times in self._failing.items() if host in hosts}
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
            outcome = await _in_thread(host, self._own)
            if isinstance(outcome, Exception):
                self._note_failure(host, outcome)
            else:
                self._report(host, outcome)
            if self._due.get(host) == math.inf:
                self._due[host] = loop.time() + self._pause(host)
                heapq.heappush(self._queue, (self._due[host], host))

    def _pause(self, host: str) -> float:
        """Seconds until the next look-up."""
        failures = self._failing.get(host, 0)
        if not failures:
            return self._refresh
        pause = min(_FIRST_RETRY * 2.0 ** min(failures - 1, 16), _LAST_RETRY) * self._refresh
        return pause * (1.0 - _SPREAD * self._random())

    def _note_failure(self, host: str, error: Exception) -> None:
        if host in self._wanted:
            self._failing[host] = self._failing.get(host, 0) + 1
        # By kind and not by host: when the system's resolver is gone, thousands fail alike.
        self._failure_told |= self._warn.warning(
            f"{type(error).__name__} {getattr(error, 'errno', 0)}",
            "cannot resolve host %s of the state: %s; its records keep the last known addresses",
            quoted(host, MAX_NAME),
            getattr(error, "strerror", None) or error,
        )

    def _report(self, host: str, found: tuple[bytes, ...]) -> None:
        self._failing.pop(host, None)
        if self._failure_told and not self._failing:
            self._failure_told = False
            log.warning("all hosts of the state can be resolved again")
        try:
            self._on_found({host: found})
        except Exception as error:
            told = self._warn.log(
                logging.ERROR,
                "report",
                "the addresses of host %s are not taken, by an internal error (%s: %s): please report it",
                quoted(host, MAX_NAME),
                type(error).__name__,
                error,
            )
            if told:
                log.debug("what was raised", exc_info=True)

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


def is_within(host: str, domains: Collection[str]) -> bool:
    """Whether a host name is one of these domains, or below one."""
    name = host.lower().removesuffix(".")
    return any(name == domain or name.endswith("." + domain) for domain in domains)


async def _in_thread(host: str, own: Collection[str] = ()) -> tuple[bytes, ...] | Exception:
    """Packed addresses of `host`, looked up in a thread that nothing has to wait for, not even the end of the program.

    What goes wrong is returned instead of raised, OSError mostly: a raised exception would keep the frames that it went through,
    and they the exception, a circle for each failure.
    """
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[tuple[bytes, ...] | Exception] = loop.create_future()

    def settle(outcome: tuple[bytes, ...] | Exception) -> None:
        if not answer.done():
            answer.set_result(outcome)

    def work() -> None:
        with contextlib.suppress(RuntimeError):  # The loop is closed: nobody asks any more.
            loop.call_soon_threadsafe(settle, _outcome(host, own))

    try:
        threading.Thread(target=work, name="host look-up", daemon=True).start()
    except RuntimeError as error:
        return error.with_traceback(None)  # There can be no more threads.
    return await answer


def _outcome(host: str, own: Collection[str]) -> tuple[bytes, ...] | Exception:
    try:
        return _addresses(host, own)
    except Exception as error:  # noqa: BLE001 - whatever the system's resolver raises: who waits must hear of it, or waits for ever
        # What led to it has frames, and these have it: a circle for each host that cannot be resolved.
        error.__cause__ = error.__context__ = None
        return error.with_traceback(None)


def _addresses(host: str, own: Collection[str]) -> tuple[bytes, ...]:
    """Packed addresses of `host`; raises OSError. Runs in a thread."""
    if "\0" in host:
        raise OSError("it is no host name (the system would see its first part only)")
    try:
        answers = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_CANONNAME)
    except UnicodeError as error:
        raise OSError(f"it is no host name ({error})") from error
    # The name that search lists and aliases led to stands in the first answer.
    if is_within(found := next((answer[3] for answer in answers if answer[3]), ""), own):
        raise OSError(f"it leads to {found}, a name of this server's own domain")
    packed = dict.fromkeys(ipaddress.ip_address(str(answer[4][0]).partition("%")[0]).packed for answer in answers)
    # IPv4 first, as everywhere; the system sorts by what it would rather connect to itself.
    return tuple(sorted(packed, key=len))[:MAX_ADDRESSES]


async def look_up(hosts: set[str], own: Collection[str] = ()) -> dict[str, tuple[bytes, ...]]:
    """Look up `hosts` once; those that cannot be resolved, or are within the domains `own`, are missing from the answer."""
    found: dict[str, tuple[bytes, ...]] = {}
    waiting = iter(sorted(host for host in hosts if not is_within(host, own)))

    async def work() -> None:
        for host in waiting:
            addresses = await _in_thread(host, own)
            if not isinstance(addresses, Exception):
                found[host] = addresses

    await asyncio.gather(*(work() for _ in range(HOST_LOOKUP_THREADS)))
    return found
