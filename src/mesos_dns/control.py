"""The control process: composition root of everything but the workers.

A *generation* is all that follows from one configuration: source, model, zones, workers. SIGHUP makes
a new generation beside the old one, and the old one goes on until the new one serves; if the new
configuration is bad, or its sockets cannot be had, nothing changes.
"""

import asyncio
import contextlib
import dataclasses
import logging
import signal
import socket
import ssl
import time
import traceback
from collections.abc import Callable
from typing import Final, NamedTuple

from mesos_dns import allocator, collector, early_signals, logs, privileges, systemd
from mesos_dns.activation import Inherited
from mesos_dns.assembly import Address, Plan, plan
from mesos_dns.certificates import Certificate
from mesos_dns.concurrency import bound_complaints, spawn
from mesos_dns.config import Config, ConfigError, Loaded
from mesos_dns.config.system_resolvers import LOOK_SECONDS, SystemResolvers
from mesos_dns.generation import Generation, MakeSource, Reload
from mesos_dns.history import STEP_SECONDS
from mesos_dns.logs import RateLimited
from mesos_dns.mesos.sources import follow
from mesos_dns.sockets import BindError, Given, Sockets
from mesos_dns.supervision import Supervision
from mesos_dns.systemd import ServiceManager
from mesos_dns.tls import server_context
from mesos_dns.web.server import HTTP_PROTOCOLS, HttpServer
from mesos_dns.workers.spawner import ProcessSpawner, lower_priority, present_niceness

log = logging.getLogger(__name__)

#: Seconds until following the cluster is begun anew after an internal error.
START_OVER_SECONDS: Final = 5.0
#: Inherited sockets that workers read: key and kind, in the order of `Given`.
_GIVEN: Final = (("Port", socket.SOCK_DGRAM), ("Port", socket.SOCK_STREAM), ("TlsPort", socket.SOCK_STREAM))
_OF_WORKERS: Final = frozenset(key for key, _ in _GIVEN)


class Listeners(NamedTuple):
    """What clients connect to; outlives a generation if the next one wants the same."""

    sockets: Sockets
    web: HttpServer | None
    https: HttpServer | None = None

    def __str__(self) -> str:
        https = f", HTTPS {_place(self.https)}" if self.https is not None else ""
        return f"DNS {self.sockets}, HTTP {_place(self.web)}{https}"


def _place(server: HttpServer | None) -> str:
    return f"{server.address[0]} port {server.address[1]}" if server is not None and server.address else "off"


class RenewalError(Exception):
    """A certificate is worse than the one that it would replace."""


def _check_renewal(present: Certificate | None, wanted: Certificate | None) -> None:
    """Raise RenewalError if clients would accept the present certificate, and not the wanted one, for its dates."""
    now = time.time()
    if present is not None and wanted is not None and present.is_valid(now) and not wanted.is_valid(now):
        raise RenewalError(f"TlsCertFile: {wanted.trouble(now)}; the one in use is valid until {present.until_text()}")


def _tell_warnings(loaded: Loaded) -> None:
    for warning in loaded.warnings:
        log.warning("configuration: %s", warning)


class Control:
    """The program: one generation at a time, its listeners, signals."""

    def __init__(
        self,
        load: Callable[[], Loaded],
        verbosity: int,
        niceness: int = 0,
        *,
        make_source: MakeSource = follow,
        origin: Callable[[], str] = lambda: "",
        manager: ServiceManager | None = None,
        inherited: Inherited | None = None,
    ) -> None:
        """`origin` says what people call the place that `load` reads. `niceness` is added to that of this process when it serves; that of workers stays as it is now.

        `manager` is the service manager of this process, None to find it; `inherited` are the sockets that it has opened.
        """
        self._load = load
        self._origin = origin
        self._verbosity = verbosity
        self._niceness = present_niceness() + niceness
        self._make_source = make_source
        self._spawner = ProcessSpawner()
        self._manager = manager or systemd.present()
        self._inherited = inherited or Inherited()
        self._supervision = Supervision(self._manager, lambda: self._generation)
        self._ending = asyncio.Event()
        #: A second signal came.
        self._hurry = asyncio.Event()
        #: Whether there is time to serve on for a while.
        self._politely = True
        self._reload: asyncio.Task[None] | None = None
        self._one_reload = asyncio.Lock()
        #: The part of a reload that can be given up.
        self._waiting: asyncio.Task[bool] | None = None
        #: What goes on beside the generation in force, and ends with it.
        self._beside: list[asyncio.Task[None]] = []
        self._following: asyncio.Task[None] | None = None
        self._warn = RateLimited(log)
        self._listeners: Listeners | None = None
        self._generation: Generation | None = None

    def __repr__(self) -> str:
        return f"Control({self._generation!r})"

    async def run(self, config: Config) -> None:
        """Serve until SIGTERM or SIGINT. Raises BindError if a socket cannot be had."""
        collector.tune()
        allocator.give_back_large_blocks()
        noting = None
        collecting = spawn(collector.look_now_and_then(), name="collect garbage")
        loop = asyncio.get_running_loop()
        bound_complaints(loop)
        self._take_signals(loop)
        wanted = self._plan(config)
        try:
            self._listeners = await self._open_listeners(wanted)
            if len(self._inherited):
                log.info("%d sockets are those of the service manager", len(self._inherited))
            self._generation = self._new_generation(wanted, self._listeners)
            self._generation.pool.listen()
            self._generation.start()
            self._accompany(self._generation, config)
            self._beside.append(spawn(self._give_way(self._generation), name="give way"))
            noting = spawn(self._note_history(), name="note history")
            self._supervision.start()
            log.info("serving %s.: %s", wanted.shown.domain, self._listeners)
            if early_signals.hangup_came():
                self._on_hangup()
            await self._ending.wait()
            await self._serve_on(self._generation)
            log.info("ending")
        finally:
            for task in (collecting, noting):
                if task is not None:
                    task.cancel()
            await self._stop_or_give_up()
            # All is stopped: a signal that comes while the interpreter takes itself down makes no failure of a good end.
            early_signals.take_back(loop)

    def _plan(self, config: Config) -> Plan:
        return plan(config, verbosity=self._verbosity, asks_itself=self._manager.watchdog is not None)

    # --- the end -------------------------------------------------------------------------------

    def _take_signals(self, loop: asyncio.AbstractEventLoop) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_end, number)
        loop.add_signal_handler(signal.SIGHUP, self._on_hangup)

    def _on_end(self, number: signal.Signals) -> None:
        if self._ending.is_set():
            self._hurry.set()
            return
        # Ctrl-C is a person who waits.
        self._politely = number == signal.SIGTERM
        self._ending.set()
        if self._waiting is not None:
            self._waiting.cancel()

    async def _serve_on(self, generation: Generation) -> None:
        """Say that this server ends, and answer until everybody may have noticed, or there is no time for it."""
        seconds = generation.plan.lame_duck if self._politely else 0.0
        generation.leaving = True
        self._supervision.ending(seconds)
        if seconds:
            log.info("ending in %.0f s; until then /readyz says no, and all is answered", seconds)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._hurry.wait()

    async def _stop_or_give_up(self) -> None:
        """End everything in order; at once, whoever waits for what, as soon as a second signal has come."""
        stopping = spawn(self._stop(), name="stop")
        hurry = spawn(self._hurry.wait(), name="wait for another signal")
        await asyncio.wait([stopping, hurry], return_when=asyncio.FIRST_COMPLETED)
        hurry.cancel()
        if stopping.done():
            return
        log.warning("ending at once, as a second signal asks; what was not answered yet is not")
        stopping.cancel()
        await asyncio.wait([stopping])
        if self._generation is not None:
            self._generation.kill()
            await self._generation.stop()

    # --- generations ---------------------------------------------------------------------------

    def _new_generation(self, wanted: Plan, listeners: Listeners) -> Generation:
        if wanted.guarded:
            privileges.forbid_dumps()
        pairs = listeners.sockets.pairs[: wanted.workers]
        found = Generation(wanted, pairs, self._spawner, self._generation, make_source=self._make_source)
        found.origin = self._origin()
        return found

    def _accompany(self, generation: Generation, config: Config) -> None:
        """Begin what goes on beside the generation in force, instead of what went on beside the one before."""
        for task in self._beside:
            task.cancel()
        self._beside = [spawn(self._start_over(generation), name="start over")]
        self._follow(generation, config)

    def _follow(self, generation: Generation, config: Config) -> None:
        """Follow /etc/resolv.conf from now on if `config` says so, or no more."""
        if self._following is not None:
            self._following.cancel()
            self._following = None
        if config.system_resolvers:
            self._following = spawn(self._follow_resolvers(generation, config), name="follow resolv.conf")

    # --- reload --------------------------------------------------------------------------------

    def _on_hangup(self) -> None:
        # The newest configuration counts; one that still waits for its state is given up.
        if self._waiting is not None:
            self._waiting.cancel()
        self._supervision.reloading()
        self._reload = spawn(self._take_newest(), name="reload")

    async def _take_newest(self) -> None:
        try:
            await self._replace_generation()
        finally:
            if self._reload is asyncio.current_task():
                self._supervision.reloaded()

    async def _replace_generation(self) -> None:
        async with self._one_reload:
            old, present = self._generation, self._listeners
            if self._outdated() or old is None or present is None:
                return
            try:
                loaded = self._load()
                wanted = self._plan(loaded.config)
                _check_renewal(old.plan.certificate, wanted.certificate)
                if wanted.differs_in_certificate_alone(old.plan):
                    self._renew(old, present, wanted, loaded)
                    return
                listeners = await self._open_listeners(wanted)
            except (ConfigError, BindError, RenewalError) as error:
                self._refuse(old, str(error))
                return
            _tell_warnings(loaded)
            if wanted.account != old.plan.account:
                log.warning("User or Group have changed, and are taken at a start only: restart the program")
            old.reload = Reload("waiting", at=time.time())
            log.info("the new configuration waits for a state of its masters; the old one serves meanwhile")
            new = self._new_generation(wanted, listeners)
            new.start()
            if not await self._comes_to_serve(new, old, listeners):
                await new.stop()
                await self._close(listeners, keep=present, workers=len(old.pool.workers))
                return
            new.reload = Reload("in force", at=time.time())
            if listeners.https is not None and wanted.certificate is not None:
                listeners.https.context = server_context(wanted.certificate.pair, *HTTP_PROTOCOLS)
            new.counted_before = old.counters()
            if wanted.worker.log_json != old.plan.worker.log_json:
                logs.configure(self._verbosity, as_json=wanted.worker.log_json)
            self._generation, self._listeners = new, listeners
            self._accompany(new, loaded.config)
            lower_priority(self._niceness)  # It serves, and the one before may never have come to that.
            # Queries that wait in sockets which are about to go are answered before these are closed.
            present.sockets.retire(len(new.pool.workers) if present.sockets is listeners.sockets else 0)
            await old.stop()
            new.counted_before = old.counters()
            await self._close(present, keep=listeners, workers=len(new.pool.workers))
            log.info("the new configuration is in force; serving %s.: %s", wanted.shown.domain, listeners)
            self._supervision.serving()

    def _renew(self, generation: Generation, listeners: Listeners, wanted: Plan, loaded: Loaded) -> None:
        """Show another certificate to clients that connect from now on: nothing else changes, and connections go on."""
        _tell_warnings(loaded)
        generation.renew(wanted)
        self._follow(generation, loaded.config)
        generation.taken = time.time()
        generation.reload = Reload("in force", at=time.time())
        certificate = wanted.certificate
        if certificate is not None:
            if listeners.https is not None:
                listeners.https.context = server_context(certificate.pair, *HTTP_PROTOCOLS)
            log.info(
                "the new certificate in %s is in force, valid until %s", certificate.file, certificate.until_text()
            )

    def _refuse(self, present: Generation, why: str) -> None:
        """Tell that a configuration is not taken: in one line, each problem behind the other."""
        reasons = "; ".join(line.strip() for line in why.splitlines() if line.strip())
        present.reload = Reload("refused", reasons, time.time())
        log.error("the new configuration is not taken, the old one stays: %s", reasons)

    async def _comes_to_serve(self, new: Generation, old: Generation, listeners: Listeners) -> bool:
        """Wait until `new` can serve, and let it; False if it fails, or is given up for a newer one or the end."""
        if self._outdated():
            return False
        self._waiting = spawn(new.serving(), name="wait for the new configuration")
        await asyncio.wait([self._waiting])
        waiting, self._waiting = self._waiting, None
        if waiting.cancelled() or self._ending.is_set():
            return False
        if waiting.exception() is not None or not waiting.result():
            old.reload = Reload("refused", "an internal error, see the log", time.time())
            return False
        try:
            listeners.sockets.bind()
        except BindError as error:
            self._refuse(old, str(error))
            return False
        new.pool.listen()
        return True

    def _outdated(self) -> bool:
        """Whether the present task is no reload any more that anybody wants."""
        return self._ending.is_set() or self._reload is not asyncio.current_task()

    async def _give_way(self, generation: Generation) -> None:
        """Once names are served nothing is as urgent as answers."""
        if await generation.serving():
            self._supervision.serving()
            lower_priority(self._niceness)

    async def _note_history(self) -> None:
        """Note now and then what clients asked and got."""
        while True:
            # No variable: one that is replaced meanwhile must not stay in memory.
            self._current().history.note(time.monotonic(), time.time(), self._current().counters())
            await asyncio.sleep(STEP_SECONDS)

    async def _follow_resolvers(self, generation: Generation, config: Config) -> None:
        """Have those asked that /etc/resolv.conf names, whenever it changes."""
        file = SystemResolvers(config)
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                resolvers = file.look()
                if resolvers is not None:
                    config = dataclasses.replace(config, resolvers=resolvers)
                    generation.forward(self._plan(config))
            except Exception:  # noqa: BLE001 - whatever it is, the next look may go well
                self._warn.log(
                    logging.ERROR,
                    "mistake",
                    "following /etc/resolv.conf failed by an internal error: please report it\n%s",
                    traceback.format_exc(),
                )

    async def _start_over(self, generation: Generation) -> None:
        """Make a new generation if following the cluster ended by a mistake; the old one serves on."""
        await generation.failed.wait()
        while self._generation is generation:
            await asyncio.sleep(START_OVER_SECONDS)
            self._on_hangup()
            assert self._reload is not None
            await asyncio.wait([self._reload])

    # --- sockets and HTTP ----------------------------------------------------------------------

    async def _open_listeners(self, wanted: Plan) -> Listeners:
        """Bind what is wanted, re-using what is bound already. Raises BindError.

        Sockets on a port that is being served get no queries before they are read: they are bound later.
        """
        self._inherited.check(wanted.places)
        present = self._listeners
        sockets = present.sockets if present is not None else None
        in_use = sockets is not None and bool(sockets.pairs)
        if sockets is None or not sockets.serves(*wanted.dns, wanted.tls_port):
            joins = sockets is not None and in_use and wanted.dns.port == sockets.port
            tls_joins = sockets is not None and in_use and wanted.tls_port == sockets.tls_port is not None
            given = self._given(wanted)
            sockets = Sockets(*wanted.dns, wanted.tls_port, joins=joins, tls_joins=tls_joins, given=given)
            in_use = joins
        before = len(sockets.pairs)
        try:
            if in_use:
                sockets.prepare(wanted.workers)
            else:
                sockets.provide(wanted.workers)
            return await self._open_web(wanted, sockets)
        except BindError:
            if present is not None and sockets is present.sockets:
                sockets.keep(before)
            else:
                sockets.close()
            raise

    def _given(self, wanted: Plan) -> Given:
        """What of the inherited sockets workers read."""
        found: dict[tuple[str, socket.SocketKind], list[socket.socket]] = {
            (place.key, place.kind): self._inherited.copies(place)
            for place in wanted.places
            if place.key in _OF_WORKERS
        }
        return Given(*(found.get(each, []) for each in _GIVEN))

    async def _open_web(self, wanted: Plan, sockets: Sockets) -> Listeners:
        present, plan_now = self._listeners, self._generation.plan if self._generation is not None else None
        web = https = None
        if present is not None and plan_now is not None:
            web = present.web if plan_now.http == wanted.http else None
            https = present.https if plan_now.https == wanted.https else None
        kept = web
        if web is None and wanted.http is not None:
            web = await self._start_web(wanted, "HttpPort", wanted.http)
        if https is None and wanted.https is not None and wanted.certificate is not None:
            try:
                context = server_context(wanted.certificate.pair, *HTTP_PROTOCOLS)
                https = await self._start_web(wanted, "HttpsPort", wanted.https, context)
            except BindError:
                if web is not None and web is not kept:
                    await web.stop()
                raise
        return Listeners(sockets, web, https)

    async def _start_web(
        self, wanted: Plan, key: str, address: Address, context: ssl.SSLContext | None = None
    ) -> HttpServer:
        web = HttpServer(self._current, context)
        given = [sock for place in wanted.places if place.key == key for sock in self._inherited.copies(place)]
        for sock in given[1:]:
            sock.close()
        if len(given) > 1:
            given[0].close()
            raise BindError(
                f"the service manager hands over {len(given)} sockets for {key}; expected one: list it once"
            )
        try:
            await web.start(*address, *given)
        except OSError as error:
            raise BindError(f"cannot serve {'HTTP' if context is None else 'HTTPS'}: {error}") from error
        return web

    async def _close(self, listeners: Listeners, *, keep: Listeners, workers: int) -> None:
        """Close what of `listeners` is not in `keep`, whose sockets serve so many workers."""
        for web in (listeners.web, listeners.https):
            if web is not None and web not in (keep.web, keep.https):
                await web.stop()
        if listeners.sockets is not keep.sockets:
            listeners.sockets.close()
        keep.sockets.keep(workers)

    def _current(self) -> Generation:
        # The HTTP server is bound before, but its first request comes through the loop later.
        assert self._generation is not None
        return self._generation

    async def _stop(self) -> None:
        self._ending.set()
        self._supervision.stop()
        for task in (*self._beside, self._following):
            if task is not None:
                task.cancel()
        if self._waiting is not None:
            self._waiting.cancel()
        async with self._one_reload:
            pass  # Whichever was under way has tidied up.
        if self._listeners is not None:
            for web in (self._listeners.web, self._listeners.https):
                if web is not None:
                    await web.stop()
        if self._generation is not None:
            await self._generation.stop()
        if self._listeners is not None:
            self._listeners.sockets.close()
        self._inherited.close()
        self._spawner.close()
