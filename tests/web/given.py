"""A cluster behind the HTTP API, and a client that sends request lines as they are given."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from mesos_dns import metrics, switching
from mesos_dns.concurrency import Broadcast
from mesos_dns.dns import name as names
from mesos_dns.dns.prefixes import ClientList, Clients
from mesos_dns.dns.rdata import Record, pack_address
from mesos_dns.history import History
from mesos_dns.mesos.state import Delta, Task
from mesos_dns.metrics import GAUGE, Metric
from mesos_dns.names.absence import Facts
from mesos_dns.names.explain import Outside, explain
from mesos_dns.names.explanation import Explanation
from mesos_dns.names.model import Model
from mesos_dns.names.reconciler import Reconciler
from mesos_dns.query_logs import Follower, QueryLogPlan, QueryLogs
from mesos_dns.web.log_filter import LogFilter
from mesos_dns.web.trust import Token
from mesos_dns.zone.change import ZoneChange
from mesos_dns.zone.contributors import Contribution, ContributorCounts
from mesos_dns.zone.journal import Change, Journal
from mesos_dns.zone.zone import Authority, Zone
from mesos_dns.zone.zones import Zones

MESOS = names.from_text("mesos.")
NS1 = names.from_text("ns1.mesos.")
TASKS = Metric("tasks", "Running tasks.", (), GAUGE)


@dataclass
class Cluster:
    """Model, counts and zone in step, and the rest of what the API reads."""

    model: Model
    zone: Zone
    counts: ContributorCounts
    version: str = "0.7.0"
    enumeration_on: bool = True
    refresh_seconds: int = 60
    mname: str = "ns1.mesos."
    rname: str = "root.ns1.mesos."
    domain: str = "mesos"
    reasons: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    config: Mapping[str, Any] = field(default_factory=lambda: {"RefreshSeconds": 60, "Masters": None})
    reads: int = 0
    http_clients: Clients = field(default_factory=lambda: Clients(ClientList()))
    journal: Journal = field(default_factory=Journal)
    history: History = field(default_factory=History)
    happened: Broadcast = field(default_factory=Broadcast)
    http_token: Token = field(default_factory=Token)
    doh_on: bool = False
    web_on: bool = True
    #: What is told of each question; None: nobody can be asked.
    told: bytes | None = None
    asked: list[tuple[bytes, bytes]] = field(default_factory=list)

    log_plan: QueryLogPlan = field(default_factory=QueryLogPlan)
    #: The query logs that workers were told to keep, each time.
    kept: list[Any] = field(default_factory=list)
    _logs: QueryLogs | None = None

    async def news(self) -> None:
        await self.happened.wait()

    def note(self, change: Change) -> None:
        self.journal.add(change)
        self.happened.tell()

    async def ask(self, octets: bytes, client: bytes) -> bytes | None:
        self.asked.append((octets, client))
        return self.told

    def is_shared(self, record: Record) -> bool:
        return self.counts.is_shared(record)

    def may_ask(self, client: bytes) -> bool:
        return self.http_clients.allows(client)

    def ready(self) -> tuple[bool, list[str]]:
        return not self.reasons, self.reasons

    def notes(self) -> list[str]:
        return self.said

    def status(self) -> Mapping[str, Any]:
        return {"version": self.version, "ready": not self.reasons, "workers": [], "held": None}

    def measured(self) -> tuple[Mapping[str, Metric], Mapping[str, float]]:
        return {**metrics.declared(), TASKS.name: TASKS}, {TASKS.series(): len(self.model.tasks)}

    def explain(self, name: str, rrtype: int | None) -> Explanation:
        facts = Facts(0.0, 0.0, self.journal, Reconciler(self.model))
        return explain(self.model, Zones([self.zone]), name, rrtype, facts, Outside())

    def config_json(self) -> Mapping[str, Any]:
        self.reads += 1
        return self.config

    @property
    def logs(self) -> QueryLogs:
        if self._logs is None:
            self._logs = QueryLogs(self.log_plan, self.kept.append)
        return self._logs

    def log_state(self) -> Mapping[str, Any]:
        return switching.shown(self.logs.state())

    def switch_log_on(self, wanted: LogFilter) -> None:
        switching.switch_on(self.logs, wanted)

    def switch_log_off(self) -> None:
        self.logs.switch_off()

    def follow_log(self, wanted: LogFilter) -> Follower:
        return switching.follow(self.logs, wanted)

    def take(self, delta: Delta) -> None:
        for withdrawn, contributed in self.model.apply(delta):
            self.change(withdrawn, contributed)

    def change(self, withdrawn: list[Contribution], contributed: list[Contribution]) -> None:
        self.counts.apply(withdrawn, contributed)
        self.zone.apply(ZoneChange(self.zone.serial + 1, ()))


REDIRECTS = ((names.from_text("agent.mesos"), names.from_text("slave.mesos")),)


def new_zone() -> Zone:
    return Zone(Authority(MESOS, NS1, names.from_text("root.ns1.mesos."), 60, 600, 86400, 60, 60, REDIRECTS))


def task(name: str, agent: str = "4242-S0", framework: str = "fw-1", **more: Any) -> Task:
    return Task(id=f"{name}.1", name=name, framework_id=framework, agent_id=agent, **more)


def tasks(*them: Task) -> dict[tuple[str, str, int], Task]:
    return {(one.framework_id, one.id, 0): one for one in them}


def packed(*texts: str) -> tuple[bytes, ...]:
    return tuple(octets for text in texts if (octets := pack_address(text)) is not None)


@asynccontextmanager
async def connected(
    host: str, port: int, **more: Any
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection(host, port, **more)
    try:
        yield reader, writer
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


@dataclass(frozen=True)
class Reply:
    status: int
    headers: dict[str, str]
    body: str
    octets: bytes = b""

    @property
    def short(self) -> tuple[int, str, str]:
        return self.status, self.headers.get("content-type", ""), self.body


@dataclass
class Client:
    """Sends one request on a connection of its own; HTTP/1.0, so that bodies come undivided.

    A connection that is closed without a reply gives status 0.
    """

    host: str
    port: int

    async def __call__(self, path: str, method: str = "GET", version: str = "1.0", **headers: str) -> Reply:
        lines = [f"{method} {path} HTTP/{version}", "Host: localhost", "Connection: close"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        return await self.raw("\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape"))

    async def raw(self, request: bytes) -> Reply:
        async with connected(self.host, self.port) as (reader, writer):
            writer.write(request)
            try:
                reply = await reader.read()
            except ConnectionResetError:
                reply = b""
        if not reply:
            return Reply(0, {}, "")
        head, _, body = reply.partition(b"\r\n\r\n")
        status, *fields = head.decode().split("\r\n")
        pairs = [field.partition(": ") for field in fields]
        return Reply(
            int(status.split()[1]),
            {name.lower(): value for name, _, value in pairs},
            body.decode(errors="replace"),
            body,
        )
