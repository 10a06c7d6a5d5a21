"""Takes one state through the stages by hand: how long each takes, and what its results weigh.

    python -m bench.breakdown STATE CONFIG

Prints JSON. Part `names` of the bench runs it in a process of its own. It imports the program, unlike
the rest of the bench, and does in one process what control and a worker do in two.
"""

import argparse
import asyncio
import gc
import json
import os
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from bench.processes import memory
from mesos_dns import assembly, config
from mesos_dns.mesos.decoding.v0 import Decoder
from mesos_dns.names.model import Model
from mesos_dns.names.naming import Naming
from mesos_dns.publisher import Publisher
from mesos_dns.workers.protocol import FrameReader, ZoneUpdate
from mesos_dns.workers.replication import snapshot_frames
from mesos_dns.zone.change import ZoneChange
from mesos_dns.zone.zone import Zone
from mesos_dns.zone.zones import Zones

P = ParamSpec("P")
T = TypeVar("T")


def weigh(parts: Iterable[tuple[str, Any]]) -> dict[str, int]:
    """Octets of everything reachable from each part, each object counted with the first part that has it.

    Counts what sys.getsizeof knows: not the allocator's padding, nor what small integers share.
    """
    seen: set[int] = set()
    found: dict[str, int] = {}
    for name, root in parts:
        total, waiting = 0, [root]
        while waiting:
            item = waiting.pop()
            if id(item) in seen or isinstance(item, (type, type(sys))) or callable(item):
                continue
            seen.add(id(item))
            total += sys.getsizeof(item)
            waiting.extend(gc.get_referents(item))
        found[name] = found.get(name, 0) + total
    return found


class _Stages:
    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def run(self, name: str, work: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
        before = time.process_time()
        result = work(*arguments, **named)
        self.seconds[name] = round(time.process_time() - before, 4)
        return result


def take(state: Path, settings: config.Config) -> dict[str, Any]:
    """All stages of a first state, and of the same state fetched again."""
    stages = _Stages()
    octets = state.read_bytes()
    decoder = Decoder()
    masters = assembly.masters(settings)
    zones = Zones.of([assembly.authority(settings)])
    (zone,) = zones
    model = Model(Naming(assembly.rules(settings)))
    publisher = Publisher(model, zones, lambda *_: None, clock=time.monotonic, epoch=time.time)
    gc.disable()
    snapshot = stages.run("decode the first state", decoder.decode, octets, masters=masters)
    stages.run("name everything, fill the zone", asyncio.run, publisher.observe(snapshot))
    frames = stages.run("encode the zone for a worker", _frames, zone)
    replica = stages.run("load the zone in a worker", _replica, zone, frames)
    del snapshot, frames
    same = stages.run("decode the state again", decoder.decode, octets, masters=masters)
    stages.run("compare it", asyncio.run, publisher.observe(same))
    del same, octets
    parts = [("model", model), ("decoder", decoder), ("zone", zone), ("publisher", publisher), ("replica", replica)]
    named = [(f"{name}: {key.lstrip('_')}", value) for name, part in parts for key, value in vars(part).items()]
    weights = {name: octets for name, octets in weigh(named).items() if octets > 100_000}
    return {"names": len(zone), "seconds": stages.seconds, "octets": weights, "rss": memory(os.getpid()).rss}


def _frames(zone: Zone) -> list[bytes]:
    return list(snapshot_frames(zone))


def _replica(zone: Zone, frames: list[bytes]) -> Zone:
    replica, reader = Zone(zone.authority), FrameReader()
    for octets in frames:
        reader.feed(octets)
        for frame in reader:
            if isinstance(frame, ZoneUpdate):
                replica.apply(ZoneChange(zone.serial, frame.changes))
    return replica


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.breakdown", description=__doc__)
    parser.add_argument("state", type=Path)
    parser.add_argument("config", type=Path)
    options = parser.parse_args()
    loaded = config.load(str(options.config), os.environ)
    print(json.dumps(take(options.state, loaded.config)))


if __name__ == "__main__":
    main()
