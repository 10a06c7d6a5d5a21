"""A worker process: a replica of the zone, the listeners, the forwarder. Composition root.

Started by control as `python -P -m mesos_dns.workers.worker NUMBER FD [FILE …]`: its number among the workers, its end of the connection to control, and the files
that it needs to read besides the program. It ends with that connection, and on SIGTERM after it has answered what had already arrived.
"""

import asyncio
import logging
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import Iterable, Sequence
from random import Random
from typing import TYPE_CHECKING, Final

from mesos_dns import collector, landlock, logs, metrics, privileges, process_name
from mesos_dns.certificates import KeyPair
from mesos_dns.concurrency import bound_complaints, spawn
from mesos_dns.dns import message as msg
from mesos_dns.dns import name as names
from mesos_dns.dns.message import Query
from mesos_dns.dns.prefixes import Clients, Prefix
from mesos_dns.limits import MAX_TCP_CONNECTIONS
from mesos_dns.metrics import Counts
from mesos_dns.querylog.logs import QueryLog
from mesos_dns.serve.answer import Answerer, AnswerOptions
from mesos_dns.serve.challenge import CookieCredentials
from mesos_dns.serve.cookies import ServerCookies
from mesos_dns.serve.forward.forwarder import Forwarder
from mesos_dns.serve.forward.loops import LoopWatch, routes_of
from mesos_dns.serve.forward.private import PrivateZones
from mesos_dns.serve.forward.terms import Terms
from mesos_dns.serve.kernel import QueueDrops
from mesos_dns.serve.limiting import ResponseLimit
from mesos_dns.serve.loop import DirectEventLoop
from mesos_dns.serve.policy import Access
from mesos_dns.serve.ratelimit import RateLimiter
from mesos_dns.serve.recorder import LINK_ROOM, Recorder
from mesos_dns.serve.request import Forward
from mesos_dns.serve.responder import Responder
from mesos_dns.serve.tcp import TcpListener
from mesos_dns.serve.tls import PROTOCOL, TlsListener
from mesos_dns.serve.udp import udp_listener
from mesos_dns.tls import server_context
from mesos_dns.workers.answering import Answering
from mesos_dns.workers.link import ControlLink, Tell
from mesos_dns.workers.protocol import (
    DRAIN_SECONDS,
    Ack,
    CookieSecrets,
    Frame,
    Heartbeat,
    Listen,
    Listener,
    Networks,
    ProtocolError,
    QueryLogs,
    Renew,
    Resolvers,
    Settings,
    SnapshotBegin,
    UpstreamHealth,
    ZoneUpdate,
)
from mesos_dns.zone.change import ZoneChange
from mesos_dns.zone.zone import Zone
from mesos_dns.zone.zones import Zones

if TYPE_CHECKING:
    from mesos_dns.serve.listening import UdpListener

#: Open files of a worker: its 1,000 connections over TCP and 1,000 over TLS, the 256 sockets to each of seven upstreams, 1,000 questions over TCP,
#: and some to spare.
OPEN_FILES: Final = 5120

log = logging.getLogger(__name__)


class Worker:
    """One worker, alive from its first `Settings` frame to `drain`."""

    def __init__(self, settings: Settings, tell: Tell) -> None:
        self._tell = tell
        self._hold = settings.hold
        self._loop_key = settings.loop_key
        self._may_listen = False
        self._listens = False
        self._options = AnswerOptions(
            settings.recursion, settings.truncate_bit, settings.minimal_any, settings.server_id, settings.version
        )
        self._random = Random()  # noqa: S311 - it spreads load; nothing secret hangs on it
        sockets = [socket.socket(fileno=listener.fd) for listener in settings.listeners]
        self._zones = Zones.of(settings.zones)
        #: Snapshots under way, by apex.
        self._loading: dict[bytes, Zone] = {}
        self._answerer = answerer = Answerer(self._zones, self._options, self._random)
        self._query = Clients(settings.allow_query, settings.networks)
        self._recursion = Clients(settings.allow_recursion, settings.networks)
        # A policy costs something: none if everybody may ask.
        self._responder = Responder(
            answerer,
            None if settings.allow_query.is_everybody else Access(self._query),
            cookies=None if settings.cookies is None else ServerCookies(settings.cookies.secrets, time.time),
            recursion=None if settings.allow_recursion.is_everybody else self._recursion,
            family=_family(sockets),
        )
        self._limit = _limit(settings, self._zones, self._responder)
        self._forwarder = Forwarder(
            settings.forward,
            truncate_bit=settings.truncate_bit,
            refuse=answerer.refusal,
            terms=_terms(settings),
            ours=self._ours,
        )
        self._listeners: list[UdpListener | TcpListener] = []
        self._tls: list[TlsListener] = []
        self._queue_drops = [QueueDrops(sock) for sock in sockets if sock.type == socket.SOCK_DGRAM]
        for listener, sock in zip(settings.listeners, sockets, strict=True):
            self._open(listener, sock, settings.tls)
        self._networks = settings.networks
        self._records = socket.socket(fileno=settings.records_fd) if settings.records_fd >= 0 else None
        if self._records is not None:
            self._records.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, LINK_ROOM)
        self._recorder: Recorder | None = None
        self._recorded = Counts()
        self._answering: Answering | None = None
        self._questions_fd = settings.questions_fd
        self._questions: asyncio.BaseTransport | None = None

    def __repr__(self) -> str:
        return f"Worker({self._zones!r}, {self._responder!r})"

    def _open(self, listener: Listener, sock: socket.socket, pair: KeyPair | None) -> None:
        answering = self._responder, self._forwarder.submit
        if listener.udp:
            self._listeners.append(udp_listener(sock, *answering, self._forwarder.flights, self._limit))
        elif listener.tls:
            if pair is None:
                raise ProtocolError("a socket for TLS came without a certificate")
            tls = TlsListener(sock, *answering, server_context(pair, PROTOCOL), others=MAX_TCP_CONNECTIONS)
            self._tls.append(tls)
            self._listeners.append(tls)
        else:
            self._listeners.append(TcpListener(sock, *answering))

    @property
    def has_zone(self) -> bool:
        """Whether there is something to answer from."""
        return any(zone.serial for zone in self._zones)

    def _listen_if_due(self) -> None:
        """Listen once it may: until a zone is there, its names get SERVFAIL, or nothing at all if that is `hold`'s wish."""
        if self._may_listen and not self._listens and (not self._hold or self._zones.loaded):
            self._listens = True
            spawn(self._listen(), name="start listening")

    async def _listen(self) -> None:
        for listener in self._listeners:
            await listener.start()

    async def connect(self) -> None:
        """Take the questions that come to control, if there are to be any: what it is before the zone is there, they are told."""
        if self._questions_fd >= 0:
            sock = socket.socket(fileno=self._questions_fd)
            loop = asyncio.get_running_loop()
            answering = self._answering = Answering(self._responder, self._forwarder.submit)
            answering.record(self._recorder)
            self._questions, _ = await loop.create_connection(lambda: answering, sock=sock)

    async def drain(self) -> None:
        """Answer what has arrived, wait a bounded time for upstreams, and stop."""
        for listener in self._listeners:
            await listener.stop()
        try:
            async with asyncio.timeout(DRAIN_SECONDS):
                await self._forwarder.drained()
        except TimeoutError:
            log.warning("stopping although upstreams still owe answers to %d questions", self._forwarder.pending)
        self._forwarder.close()
        if self._recorder is not None:
            self._recorder.flush()
        if self._questions is not None:
            self._questions.close()

    def take(self, frame: Frame) -> None:
        """Apply one frame from control. Short, since packets wait meanwhile."""
        match frame:
            case ZoneUpdate(apex, serial, changes, complete):
                self._take_update(apex, ZoneChange(serial, changes, complete))
            case SnapshotBegin(apex):
                self._loading[apex] = Zone(self._zone_of(apex).authority)
            case Listen():
                self._may_listen = True
                self._listen_if_due()
            case Heartbeat():
                pass
            case _:
                self._take_setting(frame)

    def _take_setting(self, frame: Frame) -> None:
        """Take what was otherwise in `Settings`."""
        match frame:
            case CookieSecrets():
                self._use_cookies(frame)
            case Networks(networks):
                self._use_networks(networks)
            case Renew(pair):
                context = server_context(pair, PROTOCOL)
                for listener in self._tls:
                    listener.use(context)
            case Resolvers(upstreams):
                self._forwarder.use(upstreams, LoopWatch(self._loop_key, routes_of(upstreams)))
                self._responder.forget()
            case QueryLogs(logs):
                self._record(logs)
            case _:
                raise ProtocolError(f"an unexpected frame: {type(frame).__name__}")

    def _take_update(self, apex: bytes, change: ZoneChange) -> None:
        loading = self._loading.get(apex)
        if loading is None:
            self._update(apex, change)
            return
        loading.apply(change)
        if change.complete:
            self._loaded(apex, change.serial)

    def _use_cookies(self, frame: CookieSecrets) -> None:
        if self._responder.cookies is not None:
            self._responder.cookies.use(frame.secrets)

    def _use_networks(self, networks: tuple[Prefix, ...]) -> None:
        """Take other networks of this machine's interfaces."""
        self._networks = networks
        self._query.use(networks)
        self._recursion.use(networks)
        if self._limit is not None:
            self._limit.limiter.use(networks)
        if self._recorder is not None:
            self._recorder.networks_found(networks)

    def _record(self, wanted: Sequence[QueryLog]) -> None:
        """Keep these query logs from now on, and no others."""
        if self._recorder is not None:
            self._recorder.flush()
            self._recorder = None
        if wanted and self._records is not None:
            said = self._options.server_id, self._options.version
            self._recorder = Recorder(wanted, self._records, self._recorded, said, self._networks)
        for each in (*self._listeners, *filter(None, [self._answering])):
            each.record(self._recorder)

    def _zone_of(self, apex: bytes) -> Zone:
        try:
            return self._zones[apex]
        except KeyError as error:
            raise ProtocolError(f"a frame about an unknown zone: {names.to_text(apex)}") from error

    def _update(self, apex: bytes, change: ZoneChange) -> None:
        """Answer from a changed zone."""
        self._zone_of(apex).apply(change)
        if change.changes or change.complete:
            self._responder.forget()
        if change.complete:
            self._tell(Ack(apex, change.serial))

    def _loaded(self, apex: bytes, serial: int) -> None:
        """Answer from the zone that was being loaded."""
        self._zones.replace(self._loading.pop(apex))
        self._answerer = Answerer(self._zones, self._options, self._random)
        self._responder.use(self._answerer)
        if not self._loading:
            collector.set_aside()
        self._listen_if_due()
        self._tell(Ack(apex, serial))

    def _ours(self, query: Query, limit: int, client: bytes) -> bytes:
        """What an alias of an outside name leaves open about a name of ours."""
        response = self._answerer.compose(query, limit, client, tcp=True)
        if isinstance(response, Forward):
            return self._answerer.refusal(query, msg.REFUSED)
        return response.message(query.octets)

    def counters(self, *, whole: bool = False) -> dict[str, float]:
        """Counts since the start, by series; `whole` as `Responder.counts` has it."""
        dropped = metrics.summed(*(drops.counts() for drops in self._queue_drops))
        return {
            **self._responder.counts(whole=whole),
            **self._forwarder.counts(),
            **self._recorded.snapshot(),
            **dropped,
        }

    def gauges(self) -> dict[str, float]:
        """What is at present, by series."""
        found = {**self._responder.gauges(), **self._forwarder.gauges(asyncio.get_running_loop().time())}
        for listener in self._listeners:
            if isinstance(listener, TcpListener):
                found.update(listener.gauges())
        return found

    def upstreams(self) -> list[UpstreamHealth]:
        """How upstreams do."""
        found = self._forwarder.health(asyncio.get_running_loop().time())
        return [
            UpstreamHealth(name, health.state if health.asked else "unasked", health.failures, health.error or "")
            for name, health in found.items()
        ]


def _family(sockets: Iterable[socket.socket]) -> str:
    """Of which address family those are who ask at these sockets, as `traffic.FAMILIES` has it."""
    found = {_family_of(sock) for sock in sockets}
    return found.pop() if len(found) == 1 else "both"


def _family_of(sock: socket.socket) -> str:
    if sock.family == socket.AF_INET:
        return "1"
    takes_both = sock.getsockname()[0] == "::" and not sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
    return "both" if takes_both else "2"


def _limit(settings: Settings, zones: Zones, responder: Responder) -> ResponseLimit | None:
    """What holds responses back, if anything does."""
    if settings.rates is None:
        return None

    def zone_of(name: bytes) -> bytes:
        zone = zones.find(name)
        return b"" if zone is None else zone.authority.apex

    limiter = RateLimiter(settings.rates, zone_of)
    limiter.use(settings.networks)
    credentials = None if responder.cookies is None else CookieCredentials(responder.cookies)
    return ResponseLimit(limiter, responder.counters, credentials)


def _terms(settings: Settings) -> Terms:
    forward = settings.forward
    return Terms(
        own=[zone.apex for zone in settings.zones],
        trusted=frozenset(forward.trusted),
        private=PrivateZones(forward.private, forward.upstreams, recursion=settings.recursion),
        non_recursive=forward.non_recursive,
        loops=LoopWatch(settings.loop_key, routes_of(forward.upstreams)),
    )


async def serve(fd: int) -> int:
    """Run a worker over the inherited socket `fd` until it is told to end; the exit code."""
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    bound_complaints(loop)
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    # Ctrl-C goes to the whole process group; control decides what it means.
    loop.add_signal_handler(signal.SIGINT, lambda: None)
    loop.add_signal_handler(signal.SIGHUP, lambda: None)
    control = ControlLink(ended, Worker)
    await loop.create_connection(lambda: control, sock=socket.socket(fileno=fd))
    control.tick()
    await ended.wait()
    control.stop_ticking()
    # Whoever ends control and workers together sends SIGTERM, and control then sends it again.
    loop.remove_signal_handler(signal.SIGTERM)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if control.worker is not None:
        await control.worker.drain()
        control.report(whole=True)
    return os.EX_OSERR if control.lacked_memory else 0


def _allow_many_files() -> None:
    """Raise the limit of open files: connections and upstream sockets may need more than the usual 1024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, OPEN_FILES)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _give_up_privileges(files: Sequence[str]) -> None:
    """Have no capability, and no file but these and the program's own: before anything comes from strangers, or a second thread begins."""
    try:
        privileges.give_up()
        landlock.restrict([*landlock.program_places(), *files])
    except OSError as error:
        # A sandbox that forbids even this; it serves names all the same.
        log.warning("a worker keeps its privileges, they cannot be given up: %s", error.strerror)


def main() -> None:
    """Entry point of the worker process."""
    number, fd, *files = sys.argv[1:]
    process_name.call_this(process_name.worker(int(number)))
    logs.configure(0)
    collector.tune()
    _allow_many_files()
    _give_up_privileges(files)
    with asyncio.Runner(loop_factory=DirectEventLoop) as runner:
        code = runner.run(serve(int(fd)))
    sys.exit(code)


if __name__ == "__main__":
    main()
