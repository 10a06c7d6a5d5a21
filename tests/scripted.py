"""A control in this process: its sockets, workers and HTTP are real, its sources do what a test says."""

import asyncio
import contextlib
import dataclasses
import signal
import socket
from pathlib import Path

from mesos_dns.config import Config, Loaded
from mesos_dns.control import Control
from mesos_dns.dns import name as names
from mesos_dns.dns import rdata as rd
from mesos_dns.mesos.source import SourceStatus

PATIENCE = 20.0
#: No workers, no HTTP port that anybody knows: for what needs neither.
CONFIG = Config(
    masters=("127.0.0.1:5050",),
    domain="mesos",
    listener="127.0.0.1",
    port=0,
    http_listener="127.0.0.1",
    http_port=0,
    external_on=False,
    dns_on=False,
    soa_mname="ns1.mesos.",
    soa_rname="root.ns1.mesos.",
)
WITH_WORKER = dataclasses.replace(CONFIG, dns_on=True, workers=1)


class Source:
    """What the test lets a generation see: observations, or an exception to end with."""

    def __init__(self, options):
        self.options = options
        self.status = SourceStatus()
        self.closed = asyncio.Event()
        self._script = asyncio.Queue()

    def shows(self, *script):
        for each in script:
            self._script.put_nowait(each)

    def not_running(self):
        return ()

    async def observations(self):
        try:
            while True:
                observation = await self._script.get()
                if isinstance(observation, Exception):
                    raise observation
                yield observation
        finally:
            self.closed.set()


class Running:
    """A control in this process. `configs` are what each reload finds: a configuration, or what is raised."""

    def __init__(self, sources, lines, make_source):
        self.sources = sources
        self._lines = lines
        self.control = Control(self._load, 0, make_source=make_source)
        self.configs = []
        self.warnings = ()
        self.task = None

    def _load(self):
        found = self.configs.pop(0)
        if isinstance(found, Exception):
            raise found
        return Loaded(found, self.warnings)

    async def said(self, text):
        """The next log line with this text."""
        async with asyncio.timeout(PATIENCE):
            while text not in (line := await self._lines.get()):
                pass
        return line

    async def start(self, config=CONFIG):
        self.task = asyncio.ensure_future(self.control.run(config))
        await self.said("serving mesos.")
        await asyncio.sleep(0)  # its tasks begin

    def reload(self, config):
        self.configs.append(config)
        signal.raise_signal(signal.SIGHUP)

    async def in_force(self):
        await self.said("the new configuration is in force")

    async def pending(self):
        await self.said("the new configuration waits for a state")

    async def serving(self):
        await asyncio.wait_for(self.generation.serving(), PATIENCE)

    async def end(self, number=signal.SIGTERM):
        if self.task is not None and not self.task.done():
            signal.raise_signal(number)
            await asyncio.wait_for(self.task, PATIENCE)

    @property
    def generation(self):
        return self.control._generation

    @property
    def listeners(self):
        return self.control._listeners

    @property
    def http_port(self):
        return self.listeners.web.address[1]

    def addresses(self, owner):
        return sorted(map(rd.address_text, self.generation.zone.rdataset(names.from_text(owner), rd.A)))


def listens(port):
    """Whether somebody accepts connections on this port of loopback."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=30).close()
    except ConnectionRefusedError:
        return False
    return True


@contextlib.contextmanager
def taken_port():
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield sock.getsockname()[1]


def children():
    """Process ids of this process's children."""
    # Of all threads, for one of them starts the workers.
    found = set()
    for file in Path("/proc/self/task").glob("*/children"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # a thread that ended meanwhile
            found.update(file.read_text(encoding="ascii").split())
    return found
