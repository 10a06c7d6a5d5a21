"""The control process: composition root of everything but the workers.

A *generation* is all that follows from one configuration: source, model, zone, workers. SIGHUP makes
a new generation beside the old one, and the old one goes on until the new one serves; if the new
configuration is bad, or its sockets cannot be had, nothing changes.
"""

import asyncio
import gc
import logging
import signal
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

from mesos_dns import __version__, assembly
from mesos_dns.concurrency import spawn
from mesos_dns.config import Config, ConfigError, Loaded, as_json
from mesos_dns.dns.rdata import Record
from mesos_dns.limits import INTERFACE_SECONDS
from mesos_dns.mesos.hosts import HostLookup
from mesos_dns.mesos.polling import PollingSource
from mesos_dns.names.model import Model
from mesos_dns.names.records import Naming
from mesos_dns.names.zone import Zone
from mesos_dns.publisher import Publisher
from mesos_dns.sockets import BindError, Sockets, own_addresses
from mesos_dns.supervisor import WorkerPool
from mesos_dns.web.server import HttpServer

log = logging.getLogger(__name__)


class Generation:
    """Everything that follows from one configuration. Implements what the HTTP API reads."""

    def __init__(self, config: Config, sockets: Sockets, verbosity: int, last_serial: int) -> None:
        self.config = config
        self.model = Model(Naming(assembly.rules(config)))
        self.zone = Zone(assembly.authority(config))
        self.version = __version__
        pairs = sockets.pairs[: assembly.worker_count(config)]
        self.pool = WorkerPool(pairs, assembly.settings(config, verbosity), self.zone)
        self.publisher = Publisher(
            self.model, self.zone, self.pool.publish, clock=time.monotonic, epoch=time.time, last_serial=last_serial
        )
        self.source = PollingSource(assembly.source_options(config))
        self._hosts = HostLookup(self._hosts_found)
        self._tasks: list[asyncio.Task[None]] = []

    def __repr__(self) -> str:
        return f"Generation({self.publisher!r}, {self.pool!r})"

    def start(self) -> None:
        """Start workers, polling, look-ups."""
        self.pool.start()
        self._hosts.start()
        self._tasks = [
            spawn(self._follow(), name="follow the cluster"),
            spawn(self._watch_interfaces(), name="watch interfaces"),
        ]

    async def serving(self) -> None:
        """Wait until the first state is taken and every worker answers from it."""
        await self.publisher.loaded.wait()
        await self.pool.serving()

    async def stop(self) -> None:
        """End everything of this generation; its sockets stay."""
        for task in self._tasks:
            task.cancel()
        self._hosts.stop()
        await self.pool.stop()

    # --- what happens in the background --------------------------------------------------------

    async def _follow(self) -> None:
        # Taking the first state makes millions of objects, which the collector would walk again and
        # again: 15.7 s instead of 11.3 s for 100,000 tasks.
        gc.disable()
        async for observation in self.source.observations():
            first = not self.publisher.loaded.is_set()
            await self.publisher.observe(observation)
            self._hosts.want(self.model.host_names())
            if first:
                # What was made lives long and has no cycles: the collector need not walk it ever again.
                gc.freeze()
                gc.enable()
                log.info("first state taken: %r", self.publisher)

    def _hosts_found(self, found: Any) -> None:
        spawn(self.publisher.hosts_found(found), name="take host addresses")

    async def _watch_interfaces(self) -> None:
        known: list[bytes] | None = None
        while True:
            addresses = own_addresses(self.config.listener)
            if addresses != known:
                known = addresses
                await self.publisher.self_found(addresses)
            await asyncio.sleep(INTERFACE_SECONDS)

    # --- what the HTTP API reads ---------------------------------------------------------------

    @property
    def enumeration_on(self) -> bool:
        """Whether `/v1/enumerate` and `/v1/axfr` exist."""
        return self.config.enumeration_on

    @property
    def refresh_seconds(self) -> int:
        """`RefreshSeconds`."""
        return self.config.refresh_seconds

    @property
    def mname(self) -> str:
        """`SOAMname`, as configured."""
        return self.config.soa_mname

    @property
    def rname(self) -> str:
        """`SOARname`, as configured."""
        return self.config.soa_rname

    @property
    def domain(self) -> str:
        """`Domain`."""
        return self.config.domain

    def config_json(self) -> dict[str, object]:
        """The effective configuration, without secrets."""
        return as_json(self.config, self.zone.serial)

    def ready(self) -> tuple[bool, list[str]]:
        """Whether the zone is loaded and every worker serves it; the reasons if not."""
        reasons = []
        if not self.publisher.loaded.is_set():
            status = self.source.status
            tried = f": {status.last_error}" if status.last_error else ""
            reasons.append(f"no state of the cluster yet{tried}")
        reasons += [f"worker {slot.number} has no zone yet (pid {slot.pid})" for slot in self.pool.behind()]
        return not reasons, reasons

    def is_shared(self, record: Record) -> bool:
        """Whether more than one entity contributes `record`."""
        return self.publisher.is_shared(record)

    def counters(self) -> Counter[str]:
        """Sums over all workers."""
        return sum((slot.total_counters() for slot in self.pool.slots), Counter())


class Control:
    """The program: one generation at a time, the sockets, the HTTP server, signals."""

    def __init__(self, load: Callable[[], Loaded], verbosity: int) -> None:
        self._load = load
        self._verbosity = verbosity
        self._ending = asyncio.Event()
        self._reload: asyncio.Task[None] | None = None
        self._sockets: Sockets | None = None
        self._generation: Generation | None = None
        self._web: HttpServer | None = None

    def __repr__(self) -> str:
        return f"Control({self._generation!r})"

    async def run(self, config: Config) -> None:
        """Serve until SIGTERM or SIGINT. Raises BindError if a socket cannot be had."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._ending.set)
        loop.add_signal_handler(signal.SIGHUP, self._on_hangup)
        self._sockets = _bind(config)
        try:
            self._generation = Generation(config, self._sockets, self._verbosity, 0)
            self._web = await self._start_web(config)
            self._generation.start()
            log.info("serving %s.: DNS on %r, HTTP %s", config.domain, self._sockets, "on" if self._web else "off")
            await self._ending.wait()
            log.info("ending")
        finally:
            await self._stop()

    def _on_hangup(self) -> None:
        if self._reload is not None and not self._reload.done():
            # The newest configuration counts; the one that was about to be taken is given up.
            self._reload.cancel()
        self._reload = spawn(self._replace_generation(self._reload), name="reload")

    async def _replace_generation(self, former: asyncio.Task[None] | None) -> None:
        if former is not None:
            await asyncio.wait([former])
        try:
            config = self._load().config
        except ConfigError as error:
            log.error("the new configuration is not taken, the old one stays:\n%s", error)  # noqa: TRY400
            return
        old, old_sockets, old_web = self._generation, self._sockets, self._web
        if old is None or old_sockets is None:
            return
        undo: list[Callable[[], object] | Callable[[], Coroutine[Any, Any, object]]] = []
        try:
            same = old_sockets.serves(config.listener, config.port)
            sockets = old_sockets if same else Sockets(config.listener, config.port)
            undo.append(lambda: sockets.keep(len(old.pool.slots)) if same else sockets.close())
            sockets.provide(assembly.worker_count(config))
            web = await self._reuse_or_start_web(old.config, config)
        except BindError as error:
            log.error("the new configuration is not taken, the old one stays: %s", error)  # noqa: TRY400
            for step in undo:
                step()
            return
        new = Generation(config, sockets, self._verbosity, old.zone.serial)
        new.start()
        try:
            await new.serving()
        except asyncio.CancelledError:
            await new.stop()
            if not same:
                sockets.close()
            if web is not None and web is not old_web:
                await web.stop()
            raise
        self._generation, self._sockets, self._web = new, sockets, web
        await old.stop()
        sockets.keep(len(new.pool.slots))
        if not same:
            old_sockets.close()
        if old_web is not None and old_web is not web:
            await old_web.stop()
        log.info("the new configuration is in force: %r", new)

    async def _reuse_or_start_web(self, old: Config, new: Config) -> HttpServer | None:
        if (old.http_on, old.http_listener, old.http_port) == (new.http_on, new.http_listener, new.http_port):
            return self._web
        return await self._start_web(new)

    async def _start_web(self, config: Config) -> HttpServer | None:
        if not config.http_on:
            return None
        web = HttpServer(self._current)
        try:
            await web.start(config.http_listener, config.http_port)
        except OSError as error:
            raise BindError(f"cannot serve HTTP: {error}") from error
        return web

    def _current(self) -> Generation:
        assert self._generation is not None  # It stands before the HTTP server starts.
        return self._generation

    async def _stop(self) -> None:
        if self._reload is not None and not self._reload.done():
            self._reload.cancel()
            await asyncio.wait([self._reload])
        if self._web is not None:
            await self._web.stop()
        if self._generation is not None:
            await self._generation.stop()
        if self._sockets is not None:
            self._sockets.close()


def _bind(config: Config) -> Sockets:
    sockets = Sockets(config.listener, config.port)
    try:
        sockets.provide(assembly.worker_count(config))
    except BindError:
        sockets.close()
        raise
    return sockets
