"""What tests of host look-ups share: a resolver that is fast, slow, stuck or wrong, and what was reported."""

import asyncio
import contextlib
import socket
import threading
from collections import Counter

from mesos_dns.mesos.hosts import HostLookup

PATIENCE = 30.0


class Resolver:
    """Stands for `getaddrinfo`: a table of host → address texts, hosts that hang, and what was asked."""

    def __init__(self):
        self.table = {}
        self.asked = Counter()
        self.busy = self.busiest = 0
        self.hanging = {}
        self.leads_to = {}
        self._lock = threading.Lock()

    def hang(self, host):
        """Let look-ups of `host` hang until the returned event is set."""
        return self.hanging.setdefault(host, threading.Event())

    def __call__(self, host, *_, **__):
        with self._lock:
            self.asked[host] += 1
            self.busy += 1
            self.busiest = max(self.busiest, self.busy)
        try:
            if host in self.hanging:
                assert self.hanging[host].wait(PATIENCE)
            if host not in self.table:
                raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
            first = self.leads_to.get(host, "")
            return [(None, None, 0, "" if n else first, (text, 0)) for n, text in enumerate(self.table[host])]
        finally:
            with self._lock:
                self.busy -= 1


class Looking:
    """A look-up, and what it reported."""

    def __init__(self, resolver, refresh, own=()):
        self.resolver = resolver
        self.found = {}
        self.reports = []
        self._news = asyncio.Event()
        self.lookup = HostLookup(self._note, own=own, refresh=refresh)

    def _note(self, found):
        self.reports.append(dict(found))
        self.found.update(found)
        self._news.set()

    async def until(self, condition):
        """Wait for reports until the condition holds."""
        async with asyncio.timeout(PATIENCE):
            while not condition():
                self._news.clear()
                await self._news.wait()

    async def until_asked(self, name, times=1):
        async with asyncio.timeout(PATIENCE):
            while self.resolver.asked[name] < times:  # noqa: ASYNC110 - it is a thread that counts
                await asyncio.sleep(0.001)

    async def find(self, *names):
        await self.until(lambda: set(names) <= self.found.keys())
        return [self.found[name] for name in names]


@contextlib.contextmanager
def looking(resolver, refresh=3600.0, own=()):
    it = Looking(resolver, refresh, own)
    it.lookup.start()
    try:
        yield it
    finally:
        it.lookup.stop()


def packed(*texts):
    return tuple(socket.inet_pton(socket.AF_INET6 if ":" in text else socket.AF_INET, text) for text in texts)
