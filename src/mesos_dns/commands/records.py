"""The command `mesos-dns records`: the zone of a live master or of a saved state, as text."""

import asyncio
import json
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from mesos_dns import assembly, logs
from mesos_dns.commands import configured
from mesos_dns.config import STANDARD_INPUT, Config, ConfigError, Layer
from mesos_dns.dns import name as names
from mesos_dns.dns import rdata as rd
from mesos_dns.dns.rdata import Record
from mesos_dns.mesos import errors
from mesos_dns.mesos.decoding.document import StateError
from mesos_dns.mesos.decoding.v0 import Decoder
from mesos_dns.mesos.hosts import look_up
from mesos_dns.mesos.sources import read_once
from mesos_dns.mesos.state import Endpoint, Snapshot
from mesos_dns.names.model import Model
from mesos_dns.names.naming import Naming
from mesos_dns.names.suffixes import Addresses
from mesos_dns.publisher import Publisher
from mesos_dns.sockets import own_addresses
from mesos_dns.zone.zone import Zone
from mesos_dns.zone.zones import Zones


class NoStateError(Exception):
    """There is no state to make a zone of; the message says why."""


def run(options: Namespace) -> int:
    """Print the records that the flags ask for; the exit code."""
    logs.configure(options.v)
    path = configured.path_of(options)
    if path == configured.DEFAULT_FILE and not Path(path).exists() and (options.master or options.state):
        path = None  # The defaults will do.
    if path == options.state == STANDARD_INPUT:
        return _fail("--config and --state cannot both be standard input", 2)
    flags = Layer()
    if options.master:
        flags.give("Masters", "flag --master", (options.master,))
        flags.give("Zk", "flag --master", "")
    try:
        config = configured.read(path, flags=flags, needs_masters=not options.state).config
    except ConfigError as error:
        return configured.complain(error)
    try:
        zone = zone_of(config, options.state, resolve=not options.no_resolve)
    except NoStateError as error:
        return _fail(str(error), 1)
    for line in FORMATS[options.format](zone):
        print(line)  # noqa: T201 - the command's output
    return 0


def _fail(message: str, code: int) -> int:
    print(f"mesos-dns: {message}", file=sys.stderr)  # noqa: T201 - for people
    return code


def zone_of(config: Config, state: str | None, *, resolve: bool) -> Zone:
    """The zone of the saved state in the file `state` ("-": standard input), or of the masters that the configuration lists or ZooKeeper names.

    Of a saved state the leader is the one that it names. Its masters are numbered only if the configuration lists them.
    """
    return asyncio.run(_zone_of(config, state, resolve=resolve))


class _LeaderOnly(Naming):
    """Names of a cluster whose list of masters nobody told: `master`, `masterN` and what points there would be invented."""

    def masters(
        self, masters: Sequence[tuple[Endpoint, Addresses]], leader: tuple[Endpoint, Addresses]
    ) -> list[Record]:
        """The names of the leader."""
        found = super().masters(masters, leader)
        return [record for record in found if next(names.labels(record[0])) in {b"leader", b"_leader"}]


async def _zone_of(config: Config, state: str | None, *, resolve: bool) -> Zone:
    snapshot = _saved(config, state) if state else await _live(config)
    zones = Zones.of([assembly.authority(config)])
    model = Model((Naming if snapshot.masters else _LeaderOnly)(assembly.rules(config)))
    publisher = Publisher(model, zones, lambda *_: None, clock=time.monotonic, epoch=time.time)
    await publisher.observe(snapshot)
    await publisher.self_found(own_addresses(config.listener))
    if resolve and (hosts := model.host_names()):
        await publisher.hosts_found(await look_up(hosts, [config.domain]))
    (zone,) = zones
    return zone


def _saved(config: Config, path: str) -> Snapshot:
    name = configured.name_of(path)
    try:
        body = sys.stdin.buffer.read() if path == STANDARD_INPUT else Path(path).read_bytes()
        if other := what_else(body):
            raise NoStateError(f"{name} is {other}; expected what a leading master answers to /master/state")
        return Decoder().decode(body, masters=assembly.masters(config))
    except OSError as error:
        raise NoStateError(f"cannot read {name}: {error.strerror}") from error
    except StateError as error:
        raise NoStateError(f"{name} is no state of a Mesos master: {error}") from error


async def _live(config: Config) -> Snapshot:
    try:
        return await read_once(assembly.source_options(config))
    except errors.NobodyAnsweredError as error:
        raise NoStateError(f"no state of the cluster. {error}") from error


# --- what else it may be -------------------------------------------------------------------------


#: Stands for a member that is not there.
_ABSENT: Final = msgspec.Raw()


class _Entry(msgspec.Struct):
    """What tells an agent or framework of a summary from one of a state."""

    tasks: msgspec.Raw = _ABSENT
    framework_ids: msgspec.Raw = _ABSENT
    slave_ids: msgspec.Raw = _ABSENT

    @property
    def is_of_a_summary(self) -> bool:
        return bool(self.framework_ids) or bool(self.slave_ids and not self.tasks)


class _Marks(msgspec.Struct):
    """What tells the answers of Mesos from each other (1.11; the same since 0.23)."""

    id: object = None
    pid: object = None
    type: object = None
    cluster: object = None
    tasks: msgspec.Raw = _ABSENT
    slaves: list[_Entry] | None = None
    frameworks: list[_Entry] | None = None


def what_else(body: bytes) -> str | None:
    """What the JSON document `body` is, if it is an answer of Mesos that could be mistaken for a master's state; else None."""
    try:
        marks = msgspec.json.decode(body, type=_Marks)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None  # The decoder of states says what is wrong with it.
    if isinstance(marks.pid, str) and marks.pid.startswith("slave("):
        return "the state of an agent (/slave(1)/state)"
    if isinstance(marks.type, str):
        return "an answer of the operator API (/api/v1)"
    entries = (*(marks.slaves or ()), *(marks.frameworks or ()))
    if any(entry.is_of_a_summary for entry in entries) or (marks.cluster is not None and marks.id is None):
        return "a summary without tasks (/master/state-summary)"
    if marks.slaves is not None and marks.frameworks is None:
        return "a list of agents (/master/slaves)"
    if marks.frameworks is not None and marks.slaves is None:
        return "a list of frameworks (/master/frameworks)"
    if marks.tasks and not entries and marks.id is None:
        return "a list of tasks (/master/tasks)"
    return None


# --- text ----------------------------------------------------------------------------------------


def _rows(zone: Zone) -> Iterator[tuple[bytes, int, bytes]]:
    """All records but SOA and NS in a stable order: owners by their labels from the root down, then type and rdata."""
    redirects = dict(zone.authority.redirects)
    owners = sorted({*zone, *redirects}, key=lambda owner: list(names.labels(owner))[::-1])
    for owner in owners:
        for rrtype, rdataset in zone.rrsets(owner) or ():
            for rdata in sorted(rdataset):
                yield owner, rrtype, rdata
        if owner in redirects:
            yield owner, rd.DNAME, redirects[owner]


def _table(zone: Zone) -> Iterable[str]:
    rows = [(names.to_text(o), rd.TYPE_TEXT[t], rd.to_text(t, d)) for o, t, d in _rows(zone)]
    width = min(60, max((len(row[0]) for row in rows), default=0))
    for owner, rrtype, text in rows:
        yield f"{owner:<{width}}  {rrtype:<4}  {text}"


def _zone_file(zone: Zone) -> Iterable[str]:
    authority = zone.authority
    apex = names.to_master_file(authority.apex)
    yield f"$ORIGIN {apex}"
    yield f"$TTL {authority.ttl}"
    yield f"@ IN SOA {rd.to_text(rd.SOA, zone.soa())}"
    yield f"@ IN NS {names.to_master_file(authority.mname)}"
    for owner, rrtype, rdata in _rows(zone):
        # This server's own name may lie in another zone, where it is not ours to define.
        if names.is_below_or_at(owner, authority.apex):
            yield f"{names.to_master_file(owner)} IN {rd.TYPE_TEXT[rrtype]} {rd.to_text(rrtype, rdata)}"


def _json(zone: Zone) -> Iterable[str]:
    records = [
        {"name": names.to_text(o), "type": rd.TYPE_TEXT[t], "ttl": zone.authority.ttl, "data": rd.to_text(t, d)}
        for o, t, d in _rows(zone)
    ]
    soa = rd.to_text(rd.SOA, zone.soa())
    yield json.dumps({"zone": names.to_text(zone.authority.apex), "soa": soa, "records": records}, indent=1)


FORMATS: Final[dict[str, Callable[[Zone], Iterable[str]]]] = {"table": _table, "zone": _zone_file, "json": _json}
