"""The control process: composition root of everything but the workers.

A *generation* is all that follows from one configuration: source, model, zone, workers. SIGHUP makes
a new generation beside the old one, and the old one goes on until the new one serves; if the new
configuration is bad, or its sockets cannot be had, nothing changes.
"""

import asyncio
import logging
import signal
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import NamedTuple

from mesos_dns import __version__, assembly, collector
from mesos_dns.concurrency import spawn
from mesos_dns.config import Config, ConfigError, Loaded, as_json
from mesos_dns.dns.rdata import Record
from mesos_dns.limits import INTERFACE_SECONDS, START_OVER_SECONDS
from mesos_dns.mesos.hosts import HostLookup
from mesos_dns.mesos.polling import PollingSource
from mesos_dns.mesos.state import Observation
from mesos_dns.names.model import Model
from mesos_dns.names.records import Naming
from mesos_dns.names.zone import Zone
from mesos_dns.nursery import Nursery, give_way
from mesos_dns.publisher import Publisher
from mesos_dns.sockets import BindError, Sockets, own_addresses
from mesos_dns.supervisor import WorkerPool
from mesos_dns.web.server import HttpServer

log = logging.getLogger(__name__)


class Generation:
    """Everything that follows from one configuration. Implements what the HTTP API reads."""

    def __init__(
        self,
        config: Config,
        sockets: Sockets,
        verbosity: int,
        nursery: Nursery,
        former: "Generation | None" = None,
    ) -> None:
        self.config = config
        #: Set if following the cluster ended by a mistake of ours.
        self.failed = asyncio.Event()
        self.model = Model(Naming(assembly.rules(config)))
        self.zone = Zone(assembly.authority(config))
        self.version = __version__
        self._former = former
        pairs = sockets.pairs[: assembly.worker_count(config)]
        settings = assembly.settings(config, verbosity, hold=former is not None)
        self.pool = WorkerPool(pairs, settings, self.zone, nursery)
        last_serial = former.zone.serial if former is not None else 0
        self.publisher = Publisher(
            self.model, self.zone, self.pool.publish, clock=time.monotonic, epoch=time.time, last_serial=last_serial
        )
        self.source = PollingSource(assembly.source_options(config))
        publisher = self.publisher
        # No method of this object: after `gc.freeze` nobody finds cycles, and it must vanish when it is replaced.
        self._hosts = HostLookup(lambda found: _publish_hosts(publisher, found))
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

    async def serving(self) -> bool:
        """Wait until the first state is taken and every worker answers from it; False if it never will."""
        failed = spawn(self.failed.wait(), name="wait for failure")
        loaded = spawn(self._loaded(), name="wait for load")
        try:
            await asyncio.wait([failed, loaded], return_when=asyncio.FIRST_COMPLETED)
            return not self.failed.is_set()
        finally:
            failed.cancel()
            loaded.cancel()

    async def _loaded(self) -> None:
        await self.publisher.loaded.wait()
        await self.pool.serving()

    async def stop(self) -> None:
        """End everything of this generation; its sockets stay."""
        # A cancelled task holds the frames that it was in, and those hold this object: forget them.
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        self._hosts.stop()
        await self.pool.stop()
        if tasks:
            await asyncio.wait(tasks)

    # --- what happens in the background --------------------------------------------------------

    async def _follow(self) -> None:
        try:
            await self._follow_source()
        except Exception:
            # A mistake in this program. What is being served is the best there is; control starts over.
            log.exception("following the cluster ended by an internal error: please report it")
            self.failed.set()

    async def _follow_source(self) -> None:
        await self._inherit()
        async for observation in self.source.observations():
            if self.publisher.loaded.is_set():
                await self.publisher.observe(observation)
            else:
                await self._observe_first(observation)
            self._hosts.want(self.model.host_names())

    async def _inherit(self) -> None:
        # A step of its own: no variable of what runs for ever may keep the former generation in memory.
        former, self._former = self._former, None
        if former is not None and former.config.masters == self.config.masters:
            await self.publisher.inherit(former.publisher)

    async def _observe_first(self, observation: Observation) -> None:
        await self.publisher.observe(observation)
        collector.set_aside()

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

    def notes(self) -> list[str]:
        """How old the state of the cluster is, and what fails at present."""
        return self.source.status.notes(time.monotonic())

    def is_shared(self, record: Record) -> bool:
        """Whether more than one entity contributes `record`."""
        return self.publisher.is_shared(record)

    def counters(self) -> Counter[str]:
        """Sums over all workers."""
        return sum((slot.total_counters() for slot in self.pool.slots), Counter())


def _publish_hosts(publisher: Publisher, found: Mapping[str, tuple[bytes, ...]]) -> None:
    spawn(publisher.hosts_found(found), name="take host addresses")


class Front(NamedTuple):
    """What clients connect to; outlives a generation if the next one wants the same."""

    sockets: Sockets
    web: HttpServer | None

    def __str__(self) -> str:
        address = self.web.address if self.web is not None else None
        http = f"{address[0]} port {address[1]}" if address is not None else "off"
        return f"DNS {self.sockets}, HTTP {http}"


class Control:
    """The program: one generation at a time, its front, signals."""

    def __init__(self, load: Callable[[], Loaded], verbosity: int, niceness: int = 0) -> None:
        """`niceness` is that of this process from when it serves on; that of workers stays as it is now."""
        self._load = load
        self._verbosity = verbosity
        self._niceness = niceness
        self._nursery = Nursery()
        self._ending = asyncio.Event()
        self._reload: asyncio.Task[None] | None = None
        self._one_reload = asyncio.Lock()
        #: The part of a reload that can be given up.
        self._waiting: asyncio.Task[bool] | None = None
        self._starting_over: asyncio.Task[None] | None = None
        self._giving_way: asyncio.Task[None] | None = None
        self._front: Front | None = None
        self._generation: Generation | None = None

    def __repr__(self) -> str:
        return f"Control({self._generation!r})"

    async def run(self, config: Config) -> None:
        """Serve until SIGTERM or SIGINT. Raises BindError if a socket cannot be had."""
        collector.tune()
        collecting = spawn(collector.look_now_and_then(), name="collect garbage")
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._ending.set)
        loop.add_signal_handler(signal.SIGHUP, self._on_hangup)
        try:
            self._front = await self._open_front(config)
            self._generation = Generation(config, self._front.sockets, self._verbosity, self._nursery)
            self._generation.start()
            self._giving_way = spawn(self._give_way(self._generation), name="give way")
            self._starting_over = spawn(self._start_over(self._generation), name="start over")
            log.info("serving %s.: %s", config.domain, self._front)
            await self._ending.wait()
            log.info("ending")
        finally:
            collecting.cancel()
            await self._stop()

    # --- reload --------------------------------------------------------------------------------

    def _on_hangup(self) -> None:
        # The newest configuration counts; one that still waits for its state is given up.
        if self._waiting is not None:
            self._waiting.cancel()
        self._reload = spawn(self._replace_generation(), name="reload")

    async def _replace_generation(self) -> None:
        async with self._one_reload:
            old, old_front = self._generation, self._front
            if self._outdated() or old is None or old_front is None:
                return
            try:
                loaded = self._load()
                config = loaded.config
                front = await self._open_front(config)
            except (ConfigError, BindError) as error:
                log.error("the new configuration is not taken, the old one stays:\n%s", error)  # noqa: TRY400
                return
            for warning in loaded.warnings:
                log.warning("configuration: %s", warning)
            log.info("the new configuration waits for a state of its masters; the old one serves meanwhile")
            new = Generation(config, front.sockets, self._verbosity, self._nursery, old)
            new.start()
            if not await self._comes_to_serve(new):
                await new.stop()
                await self._close_front(front, keep=old_front, workers=len(old.pool.slots))
                return
            self._generation, self._front = new, front
            for task in (self._starting_over, self._giving_way):
                if task is not None:
                    task.cancel()
            self._starting_over = spawn(self._start_over(new), name="start over")
            give_way(self._niceness)  # It serves, and the one before may never have come to that.
            await old.stop()
            await self._close_front(old_front, keep=front, workers=len(new.pool.slots))
            log.info("the new configuration is in force; serving %s.: %s", config.domain, front)

    async def _comes_to_serve(self, new: Generation) -> bool:
        """Wait until `new` serves; False if it fails, or is given up for a newer one or the end."""
        if self._outdated():
            return False
        self._waiting = spawn(new.serving(), name="wait for the new configuration")
        await asyncio.wait([self._waiting])
        waiting, self._waiting = self._waiting, None
        return not waiting.cancelled() and waiting.exception() is None and waiting.result()

    def _outdated(self) -> bool:
        """Whether the present task is no reload any more that anybody wants."""
        return self._ending.is_set() or self._reload is not asyncio.current_task()

    async def _give_way(self, generation: Generation) -> None:
        """Once names are served nothing is as urgent as answers."""
        if await generation.serving():
            give_way(self._niceness)

    async def _start_over(self, generation: Generation) -> None:
        """Make a new generation if following the cluster ended by a mistake; the old one serves on."""
        await generation.failed.wait()
        while self._generation is generation:
            await asyncio.sleep(START_OVER_SECONDS)
            self._on_hangup()
            assert self._reload is not None
            await asyncio.wait([self._reload])

    # --- sockets and HTTP ----------------------------------------------------------------------

    async def _open_front(self, config: Config) -> Front:
        """Bind what `config` asks for, re-using what is bound already. Raises BindError."""
        present = self._front
        sockets = present.sockets if present is not None else None
        if sockets is None or not sockets.serves(config.listener, config.port):
            if sockets is not None and sockets.pairs and config.port == sockets.port:
                # Two overlapping sets of sockets would share the queries while both are bound.
                raise BindError(f"another Listener on the same Port ({config.port}) needs a restart")
            sockets = Sockets(config.listener, config.port)
        before = len(sockets.pairs)
        try:
            sockets.provide(assembly.worker_count(config))
            return Front(sockets, await self._open_web(config))
        except BindError:
            sockets.keep(before)
            raise

    async def _open_web(self, config: Config) -> HttpServer | None:
        if not config.http_on:
            return None
        if self._front is not None and self._front.web is not None and self._generation is not None:
            present = self._generation.config
            if (present.http_listener, present.http_port) == (config.http_listener, config.http_port):
                return self._front.web
        web = HttpServer(self._current)
        try:
            await web.start(config.http_listener, config.http_port)
        except OSError as error:
            raise BindError(f"cannot serve HTTP: {error}") from error
        return web

    async def _close_front(self, front: Front, *, keep: Front, workers: int) -> None:
        """Close what of `front` is not in `keep`, whose sockets serve so many workers."""
        if front.web is not None and front.web is not keep.web:
            await front.web.stop()
        if front.sockets is not keep.sockets:
            front.sockets.close()
        keep.sockets.keep(workers)

    def _current(self) -> Generation:
        # The HTTP server is bound before, but its first request comes through the loop later.
        assert self._generation is not None
        return self._generation

    async def _stop(self) -> None:
        self._ending.set()
        for task in (self._starting_over, self._giving_way):
            if task is not None:
                task.cancel()
        if self._waiting is not None:
            self._waiting.cancel()
        async with self._one_reload:
            pass  # Whichever was under way has tidied up.
        if self._front is not None and self._front.web is not None:
            await self._front.web.stop()
        if self._generation is not None:
            await self._generation.stop()
        if self._front is not None:
            self._front.sockets.close()
        self._nursery.close()
