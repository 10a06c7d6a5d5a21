"""The command `mesos-dns records`: the zone of a live master or of a saved state, as text."""

import asyncio
import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final

from mesos_dns import assembly
from mesos_dns.config import Config
from mesos_dns.dns import name as names
from mesos_dns.dns import rdata as rd
from mesos_dns.mesos import errors
from mesos_dns.mesos.decoding.document import StateError
from mesos_dns.mesos.decoding.v0 import Decoder
from mesos_dns.mesos.hosts import look_up
from mesos_dns.mesos.polling import poll
from mesos_dns.mesos.state import Snapshot
from mesos_dns.names.model import Model
from mesos_dns.names.naming import Naming
from mesos_dns.publisher import Publisher
from mesos_dns.sockets import own_addresses
from mesos_dns.zone.zone import Zone
from mesos_dns.zone.zones import Zones


class NoStateError(Exception):
    """There is no state to make a zone of; the message says why."""


def zone_of(config: Config, state: str | None, *, resolve: bool) -> Zone:
    """The zone of the saved state in the file `state` ("-": standard input), or of the configured masters."""
    return asyncio.run(_zone_of(config, state, resolve=resolve))


async def _zone_of(config: Config, state: str | None, *, resolve: bool) -> Zone:
    snapshot = _saved(config, state) if state else await _live(config)
    zones = Zones.of([assembly.authority(config)])
    model = Model(Naming(assembly.rules(config)))
    publisher = Publisher(model, zones, lambda *_: None, clock=time.monotonic, epoch=time.time)
    await publisher.observe(snapshot)
    await publisher.self_found(own_addresses(config.listener))
    if resolve and (hosts := model.host_names()):
        await publisher.hosts_found(await look_up(hosts))
    (zone,) = zones
    return zone


def _saved(config: Config, path: str) -> Snapshot:
    name = "standard input" if path == "-" else path
    try:
        body = sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
        return Decoder().decode(body, masters=assembly.masters(config))
    except OSError as error:
        raise NoStateError(f"cannot read {name}: {error.strerror}") from error
    except StateError as error:
        raise NoStateError(f"{name} is no state of a Mesos master: {error}") from error


async def _live(config: Config) -> Snapshot:
    try:
        return await poll(assembly.source_options(config)).once()
    except errors.NobodyAnsweredError as error:
        raise NoStateError(f"no state of the cluster. {error}") from error


# --- text ----------------------------------------------------------------------------------------


def _rows(zone: Zone) -> Iterator[tuple[bytes, int, bytes]]:
    """All records in a stable order: owners by their labels from the root down, then type and rdata."""
    owners = sorted(zone, key=lambda owner: list(names.labels(owner))[::-1])
    for owner in owners:
        for rrtype, rdatas in zone.node(owner) or ():
            for rdata in sorted(rdatas):
                yield owner, rrtype, rdata


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
