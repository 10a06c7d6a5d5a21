"""Addresses of the host names inside states, found in the background.

A state may name agents and schedulers by host. Looking those up takes seconds when the system's
resolver is slow, and may even need this very server, so it never happens in the path of a state:
records follow when the answer comes. A failed look-up keeps the addresses known before.
"""

import asyncio
import ipaddress
import logging
import socket
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

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
        self._threads = ThreadPoolExecutor(HOST_LOOKUP_THREADS, thread_name_prefix="host-lookup")
        self._wanted: frozenset[str] = frozenset()
        #: When each wanted host is due, in the loop's time.
        self._due: dict[str, float] = {}
        self._news = asyncio.Event()
        self._warn = RateLimited(log, interval=300)
        self._task: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"HostLookup(wanted={len(self._wanted)})"

    def want(self, hosts: set[str]) -> None:
        """From now on these are the hosts to know, and no others."""
        if hosts == self._wanted:
            return
        if len(hosts) > MAX_HOSTS:
            self._warn.warning("many", "%d host names in the state, only %d are looked up", len(hosts), MAX_HOSTS)
            hosts = set(sorted(hosts)[:MAX_HOSTS])
        self._wanted = frozenset(hosts)
        self._due = {host: self._due.get(host, 0.0) for host in hosts}
        self._news.set()

    def start(self) -> None:
        """Work in the background of the running loop."""
        self._task = spawn(self._run(), name="host look-up")

    def stop(self) -> None:
        """Stop; look-ups under way are abandoned."""
        if self._task is not None:
            self._task.cancel()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self._news.clear()
            now = loop.time()
            due = [host for host, when in self._due.items() if when <= now]
            if due:
                await self._look_up(due)
                continue
            try:
                async with asyncio.timeout_at(min(self._due.values(), default=now + self._refresh)):
                    await self._news.wait()
            except TimeoutError:
                pass

    async def _look_up(self, hosts: list[str]) -> None:
        loop = asyncio.get_running_loop()
        # One after the other per thread: each is reported as soon as it is there.
        pending = {loop.run_in_executor(self._threads, _addresses, host): host for host in hosts}
        for host in hosts:
            self._due[host] = loop.time() + self._refresh
        while pending:
            done, _ = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            found = {}
            for future in done:
                host = pending.pop(future)
                try:
                    found[host] = future.result()
                except OSError as error:
                    self._warn.warning(
                        host,
                        "cannot resolve host %r of the state: %s; its records keep the last known addresses",
                        host,
                        error,
                    )
            if found:
                self._on_found(found)


def _addresses(host: str) -> tuple[bytes, ...]:
    """Packed addresses of `host`; raises OSError. Runs in a thread."""
    try:
        answers = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except UnicodeError as error:
        raise OSError(f"it is no host name ({error})") from error
    packed = dict.fromkeys(ipaddress.ip_address(str(answer[4][0]).partition("%")[0]).packed for answer in answers)
    # IPv4 first, as everywhere; the system sorts by what it would rather connect to itself.
    return tuple(sorted(packed, key=len))[:MAX_ADDRESSES]


async def look_up(hosts: set[str]) -> dict[str, tuple[bytes, ...]]:
    """Look up `hosts` once; those that cannot be resolved are missing from the answer."""
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(HOST_LOOKUP_THREADS) as threads:
        wanted = sorted(hosts)
        answers = await asyncio.gather(
            *(loop.run_in_executor(threads, _addresses, host) for host in wanted), return_exceptions=True
        )
    return {host: answer for host, answer in zip(wanted, answers, strict=True) if isinstance(answer, tuple)}
