"""Everything that follows from one configuration: source, model, zones, workers."""

import asyncio
import contextlib
import logging
import secrets
import time
import traceback
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

from mesos_dns import __version__, collector, explaining, status, switching, telemetry
from mesos_dns.assembly import Plan
from mesos_dns.collision_watch import CollisionWatch
from mesos_dns.concurrency import spawn
from mesos_dns.dns import name as names
from mesos_dns.dns.prefixes import Clients, Prefix
from mesos_dns.dns.rdata import Record
from mesos_dns.history import History
from mesos_dns.logs import RateLimited
from mesos_dns.mesos.asked import Leaders, Leadership
from mesos_dns.mesos.hosts import HostLookup
from mesos_dns.mesos.options import SourceOptions
from mesos_dns.mesos.source import Source
from mesos_dns.mesos.sources import follow
from mesos_dns.mesos.state import Observation, Snapshot
from mesos_dns.metrics import Metric, summed
from mesos_dns.names.explanation import Explanation
from mesos_dns.names.model import Model
from mesos_dns.names.naming import Naming
from mesos_dns.publisher import Publisher
from mesos_dns.query_logs import Follower, QueryLogs
from mesos_dns.sockets import Pair, own_addresses, own_networks
from mesos_dns.web.log_filter import LogFilter
from mesos_dns.web.trust import Token
from mesos_dns.workers.pool import WorkerPool
from mesos_dns.workers.protocol import Settings
from mesos_dns.workers.questions import NoAnswerError
from mesos_dns.workers.rotation import MadeSecrets, begin
from mesos_dns.workers.spawner import ProcessSpawner
from mesos_dns.zone.journal import Journal
from mesos_dns.zone.zone import Zone
from mesos_dns.zone.zones import Zones

log = logging.getLogger(__name__)

#: Seconds between two looks at this machine's own addresses.
INTERFACE_SECONDS: Final = 30.0
#: Seconds between two words about a certificate that ends: a day.
CERTIFICATE_SECONDS: Final = 86_400.0

#: Makes the source that reads a cluster.
MakeSource = Callable[[SourceOptions], Source]


class Reload(NamedTuple):
    """How the newest reload went: `state` is none, waiting, refused or in force, since the Unix time `at`."""

    state: str
    reason: str = ""
    at: float = 0.0

    @property
    def note(self) -> str:
        """One line for people; "" if there is nothing to know."""
        match self.state:
            case "waiting":
                return "a new configuration waits for a state of its masters; the one before serves meanwhile"
            case "refused":
                return f"the new configuration was not taken, the one before stays: {self.reason}"
        return ""


class Generation:
    """One configuration at work. Implements what the HTTP API reads.

    With `former`, the generation that serves at present, workers hold back until they have all zones.
    """

    def __init__(
        self,
        plan: Plan,
        pairs: Sequence[Pair],
        spawner: ProcessSpawner,
        former: "Generation | None" = None,
        *,
        make_source: MakeSource = follow,
    ) -> None:
        self.plan = plan
        #: Set if following the cluster ended by a mistake of ours.
        self.failed = asyncio.Event()
        self.reload = Reload("none")
        #: The program ends, and serves on until clients and load balancers have gone elsewhere.
        self.leaving = False
        #: Counts of the workers of former generations.
        self.counted_before: dict[str, float] = {}
        #: Whom a state was read from, and which parts of the newest one were of no use, by reason.
        self.leaders = Leaders()
        #: What was asked and answered lately, whatever the configuration: control notes it.
        self.history: History = former.history if former is not None else History()
        self.skipped_parts: Mapping[str, int] = {}
        #: When the program started, what the configuration was read from, and when; Unix times.
        self.started: float = former.started if former is not None else time.time()
        self.origin = ""
        self.taken = time.time()
        self.model = Model(Naming(plan.naming))
        self.zones = Zones.of(plan.zones)
        self.version = __version__
        self._former = former
        #: The secrets of cookies that this process made; None if they are configured, or there are no cookies.
        self.made_secrets = _made_secrets(plan, former)
        settings = _settings(plan, self.made_secrets, hold=former is not None)
        self.pool = WorkerPool(pairs, settings, self.zones, spawner)
        self.query_logs = _query_logs(plan, self.pool)
        last_serial = max((zone.serial for zone in former.zones), default=0) if former is not None else 0
        self.publisher = Publisher(
            self.model,
            self.zones,
            self.pool.publish,
            clock=time.monotonic,
            epoch=time.time,
            last_serial=last_serial,
            grace=plan.grace,
        )
        if former is not None:
            self.publisher.journal.inherit(former.publisher.journal)
            self.leaders.inherit(former.leaders)
        self.source = make_source(plan.source)
        #: The networks of this machine's interfaces.
        self._networks: tuple[Prefix, ...] = ()
        self._http_clients = Clients(plan.http_clients)
        publisher = self.publisher
        # No method of this object: after `gc.freeze` nobody finds cycles, and it must vanish when it is replaced.
        own = [names.to_text(zone.apex).removesuffix(".").lower() for zone in plan.zones]
        self._hosts = HostLookup(lambda found: _publish_hosts(publisher, found), own=own)
        #: Set with each observation.
        self._observed = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._warn = RateLimited(log)
        #: Looks for names that collide.
        self.colliding = CollisionWatch(self.model)

    def __repr__(self) -> str:
        return f"Generation({self.publisher!r}, {self.pool!r})"

    def start(self) -> None:
        """Start workers, reading the cluster, look-ups."""
        with contextlib.suppress(OSError):  # That is told, and tried again, by the watch.
            self._find_networks()
        self.pool.start()
        self._hosts.start()
        self._tasks = [
            spawn(self._follow(self._follow_source), name="follow the cluster"),
            spawn(self._follow(self._follow_time), name="follow the time"),
            spawn(self._watch_interfaces(), name="watch interfaces"),
            spawn(self._watch_certificate(), name="watch the certificate"),
            spawn(self._turn_secrets(), name="turn secrets"),
            spawn(self.colliding.run(), name="watch for collisions"),
        ]

    def renew(self, plan: Plan) -> None:
        """Take a plan that differs in its certificate alone: it is shown to clients that connect from now on."""
        self.plan = plan
        self.query_logs.renew()
        if plan.certificate is not None:
            self.pool.renew(plan.certificate.pair)

    def forward(self, plan: Plan) -> None:
        """Have the resolvers of `plan` asked from now on; nothing else of it is taken."""
        worker = msgspec.structs.replace(self.plan.worker, forward=plan.worker.forward)
        self.plan = msgspec.structs.replace(self.plan, worker=worker, shown=plan.shown)
        self.pool.forward(plan.worker.forward)

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

    def kill(self) -> None:
        """End all workers at once, whatever they owe to whom. `stop` has begun, or follows."""
        self.pool.kill()

    async def stop(self) -> None:
        """End everything of this generation; its sockets stay."""
        # A cancelled task holds the frames that it was in, and those hold this object: forget them.
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        self._hosts.stop()
        self.publisher.news.tell()  # Whoever waits for changes finds them elsewhere from now on.
        await self.pool.stop()
        await self.query_logs.stop()
        if tasks:
            await asyncio.wait(tasks)

    # --- what happens in the background --------------------------------------------------------

    async def _follow(self, following: Callable[[], Coroutine[None, None, None]]) -> None:
        try:
            await following()
        except Exception:
            # A mistake in this program. What is being served is the best there is; control starts over.
            log.exception("following the cluster ended by an internal error: please report it")
            self.failed.set()

    async def _follow_source(self) -> None:
        await self._inherit()
        async with contextlib.aclosing(self.source.observations()) as observations:
            async for observation in observations:
                begun, before = time.monotonic(), self._serials()
                if self.publisher.loaded.is_set():
                    await self.publisher.observe(observation)
                else:
                    await self._observe_first(observation)
                self._note(observation, begun, before)
                if _may_name_hosts(observation):
                    self._hosts.want(self.model.host_names())
                self._observed.set()
                self.colliding.look_again()

    def _serials(self) -> list[tuple[bytes, int]]:
        return [(zone.authority.apex, zone.serial) for zone in self.zones]

    def _note(self, observation: Observation, begun: float, before: Sequence[tuple[bytes, int]]) -> None:
        """Take note of what became of an observation that was taken from `begun` on, with these serials before."""
        for apex, serial in set(self._serials()).difference(before):
            self.pool.propagation.published(apex, serial, begun)
        if isinstance(observation, Snapshot):
            self.skipped_parts = dict(observation.skipped)
            leader = self.source.status.leader or observation.leader
            self.leaders.note(
                Leadership(time.time(), str(leader or ""), observation.master_id, observation.cluster),
            )

    async def _follow_time(self) -> None:
        """End what is held through a failover when its time is up, also if nothing happens then."""
        while True:
            self._observed.clear()
            deadline = self.publisher.next_deadline
            try:
                async with asyncio.timeout(None if deadline is None else max(0.0, deadline - time.monotonic())):
                    await self._observed.wait()
            except TimeoutError:
                # Between two polls nobody knows what has come back: then the next state ends it.
                if self.source.status.is_live:
                    await self.publisher.observe(None)
                else:
                    await self._observed.wait()

    async def _inherit(self) -> None:
        # A step of its own: no variable of what runs for ever may keep the former generation in memory.
        former, self._former = self._former, None
        if former is not None and former.plan.source.same_cluster(self.plan.source):
            await self.publisher.inherit(former.publisher)

    async def _observe_first(self, observation: Observation) -> None:
        await self.publisher.observe(observation)
        collector.set_aside()

    async def _watch_interfaces(self) -> None:
        known: list[bytes] | None = None
        while True:
            try:
                self._find_networks()
                addresses = own_addresses(self.plan.dns.host)
                if addresses != known:
                    await self.publisher.self_found(addresses)
                    known = addresses
            except OSError as error:
                self._warn.warning(
                    "interfaces",
                    "cannot look at this machine's addresses, those known stay: %s",
                    error.strerror or error,
                )
            except Exception:  # noqa: BLE001 - whatever it is, the next look may go well
                self._warn.log(
                    logging.ERROR,
                    "mistake",
                    "taking this machine's addresses failed by an internal error: please report it\n%s",
                    traceback.format_exc(),
                )
            await asyncio.sleep(INTERFACE_SECONDS)

    def _find_networks(self) -> None:
        networks = own_networks()
        if networks != self._networks:
            self._networks = networks
            self._http_clients.use(networks)
            self.pool.networks_found(networks)

    async def _watch_certificate(self) -> None:
        """Tell each day of a certificate that is about to expire, or has."""
        while self.plan.certificate is not None:
            await asyncio.sleep(CERTIFICATE_SECONDS)
            trouble = self.certificate_trouble()
            if trouble:
                log.warning("TLS: %s", trouble)

    def certificate_trouble(self) -> str:
        """What is wrong with the certificate, or soon will be; "" for nothing, or none."""
        certificate = self.plan.certificate
        return certificate.trouble(time.time()) if certificate is not None else ""

    async def _turn_secrets(self) -> None:
        """Have another secret make the cookies now and then."""
        while self.made_secrets is not None:
            await asyncio.sleep(self.made_secrets.until - time.monotonic())
            self.made_secrets = self.made_secrets.turned(time.monotonic(), secrets.token_bytes)
            self.pool.use_cookies(self.made_secrets.cookies)

    # --- what the HTTP API reads ---------------------------------------------------------------

    @property
    def zone(self) -> Zone:
        """The zone of the Mesos domain."""
        return next(iter(self.zones))

    def may_ask(self, client: bytes) -> bool:
        """Whether `AllowHttp` has that client, by its packed address."""
        return self._http_clients.allows(client)

    @property
    def http_token(self) -> Token:
        """The token of `HttpTokenFile`."""
        return self.plan.http_token

    @property
    def enumeration_on(self) -> bool:
        """Whether what tells names that nobody asked for exists: dumps, lists, changes, explanations, searches."""
        return self.plan.shown.enumeration_on

    @property
    def refresh_seconds(self) -> int:
        """`RefreshSeconds`."""
        return self.plan.shown.refresh_seconds

    @property
    def mname(self) -> str:
        """`SOAMname`, as configured."""
        return self.plan.shown.mname

    @property
    def rname(self) -> str:
        """`SOARname`, as configured."""
        return self.plan.shown.rname

    @property
    def domain(self) -> str:
        """`Domain`."""
        return self.plan.shown.domain

    def config_json(self) -> dict[str, object]:
        """The effective configuration, without secrets."""
        return self.plan.shown.config_json(self.zone.serial)

    def ready(self) -> tuple[bool, list[str]]:
        """Whether the zones are loaded and every worker serves them, and will; the reasons if not."""
        found = status.judged(self)
        return found.ready, list(found.reasons)

    def notes(self) -> list[str]:
        """How old the state of the cluster is, what fails at present, whether another configuration waits or was refused, and a certificate that ends."""
        more = filter(None, (self.reload.note, self.certificate_trouble()))
        return [*self.source.status.notes(time.monotonic()), *more]

    def is_shared(self, record: Record) -> bool:
        """Whether more than one entity contributes `record`."""
        return self.publisher.is_shared(record)

    @property
    def journal(self) -> Journal:
        """The newest changes of the zones."""
        return self.publisher.journal

    async def news(self) -> None:
        """Wait until the journal has another change, or another generation serves."""
        await self.publisher.news.wait()

    def counters(self) -> dict[str, float]:
        """All counts by series, with those of all workers and generations that ever were: none of them ever steps back."""
        return summed(self.counted_before, self.pool.counters(), telemetry.counted(self))

    def log_state(self) -> dict[str, object]:
        """How the query log does, for people and programs."""
        return switching.shown(self.query_logs.state())

    def switch_log_on(self, wanted: LogFilter) -> None:
        """Log what is wanted for a time. Raises BadLogError, NoLogError."""
        switching.switch_on(self.query_logs, wanted)

    def switch_log_off(self) -> None:
        """Log nothing more."""
        self.query_logs.switch_off()

    def follow_log(self, wanted: LogFilter) -> Follower:
        """Look on as questions are answered. Raises BadLogError, NoLogError."""
        return switching.follow(self.query_logs, wanted)

    def explain(self, name: str, rrtype: int | None) -> Explanation:
        """Why a name has this answer, or none."""
        return explaining.explained(self, name, rrtype)

    def measured(self) -> tuple[Mapping[str, Metric], Mapping[str, float]]:
        """What is counted and measured, as declared, and all numbers by series."""
        return telemetry.measured(self)

    @property
    def workers(self) -> int:
        """How many workers there ought to be."""
        return self.plan.workers

    @property
    def web_on(self) -> bool:
        """`WebOn`."""
        return self.plan.page

    @property
    def doh_on(self) -> bool:
        """`DohOn`."""
        return self.plan.doh

    async def ask(self, octets: bytes, client: bytes) -> bytes | None:
        """The workers' reply to any DNS message of `client`, its packed address; empty if it deserves none, None if none can be asked."""
        try:
            return await self.pool.ask(octets, client)
        except NoAnswerError:
            return None

    def status(self) -> dict[str, object]:
        """How everything does, for people and programs: plain values, seconds, Unix times."""
        return status.shown(self)


def _settings(plan: Plan, made: MadeSecrets | None, *, hold: bool) -> Settings:
    """What workers are told: with the secrets of the plan, or those that were made."""
    return msgspec.structs.replace(
        plan.worker,
        hold=hold,
        loop_key=secrets.token_bytes(16),
        tls=plan.certificate.pair if plan.certificate is not None else None,
        cookies=plan.worker.cookies if made is None else made.cookies,
    )


def _query_logs(plan: Plan, pool: WorkerPool) -> QueryLogs:
    """The query logs of a plan, which these workers keep from the start."""
    logs = QueryLogs(plan.query_log, pool.keep_logs)
    pool.collect(logs.take)
    pool.keep_logs(logs.kept)
    return logs


def _made_secrets(plan: Plan, former: Generation | None) -> MadeSecrets | None:
    """The secrets of cookies, if this process is to make them: those it has, so that a reload makes no cookie wrong."""
    if plan.worker.cookies is None or plan.worker.cookies.secrets:
        return None
    if former is not None and former.made_secrets is not None:
        return former.made_secrets
    return begin(time.monotonic(), secrets.token_bytes)


def _may_name_hosts(observation: Observation) -> bool:
    """Whether it may be about other hosts than before. To look through all agents takes milliseconds, too long for each task that starts."""
    if isinstance(observation, Snapshot):
        return True
    parts = (observation.agents, observation.agents_gone, observation.frameworks, observation.frameworks_gone)
    return any(parts)


def _publish_hosts(publisher: Publisher, found: Mapping[str, tuple[bytes, ...]]) -> None:
    spawn(publisher.hosts_found(found), name="take host addresses")
