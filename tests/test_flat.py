"""Months of churn in a small cluster: nothing that control or a worker remembers may grow with what is long gone."""

import functools
import gc
import json
import sys
from collections import deque
from itertools import count

import pytest
from tests.names.cluster import rules
from tests.published import AUTHORITY, Time

from mesos_dns.limits import MAX_KEPT_AT_LEAST, MAX_KEPT_PER_USE, most_kept
from mesos_dns.mesos.decoding.v0 import Decoder
from mesos_dns.mesos.state import Endpoint
from mesos_dns.names.model import Model
from mesos_dns.names.naming import Naming
from mesos_dns.publisher import Publisher
from mesos_dns.workers.protocol import FrameReader
from mesos_dns.workers.replication import update_frames
from mesos_dns.zone.change import ZoneChange
from mesos_dns.zone.zone import Zone
from mesos_dns.zone.zones import Zones

#: Rounds after which all that is bounded has been filled up several times.
ROUNDS = 50
TASKS = 30
AGENTS = 20
FRAMEWORKS = 20
#: Every so many rounds sizes are looked at.
LOOK = 2
PLAIN = frozenset({bytes, str, int, float, bool, type(None)})


class Cluster:
    """States of a cluster of which nothing stays: with each one all tasks, frameworks and agents are new, or some kinds of these."""

    def __init__(self, *, agents=True, frameworks=True, names=True):
        self._round = 0
        self._changes = {"agent": agents, "framework": frameworks, "name": names}
        self._numbers = count(1)
        self._before = []

    def state(self):
        """The body of the next one."""
        self._round += 1
        agents = [{"id": f"M-S{n}", "pid": f"slave(1)@{self._ipv4(10, n)}:5051"} for n in self._those("agent", AGENTS)]
        names = self._those("name", TASKS)
        frameworks = [
            {
                "id": f"F{n}",
                "name": f"frame.work-{n}",
                "pid": f"scheduler@{self._ipv4(11, n)}:{n % 60000 + 1}",
                "tasks": [
                    self._task(f"F{n}", agents[at % AGENTS]["id"], names[at]) for at in range(at, TASKS, FRAMEWORKS)
                ],
            }
            for at, n in enumerate(self._those("framework", FRAMEWORKS))
        ]
        # What ended is told, as masters do: nothing of it is held.
        before, self._before = self._before, [{key: one[key] for key in ("id", "tasks")} for one in frameworks]
        ended = {one["id"]: [task | {"state": "TASK_FINISHED"} for task in one["tasks"]] for one in before}
        for framework in frameworks:
            framework["completed_tasks"] = ended.pop(framework["id"], [])
        completed = [{"id": framework_id, "completed_tasks": tasks} for framework_id, tasks in ended.items()]
        return json.dumps(
            {
                "id": "M",
                "leader": "master@10.0.0.1:5050",
                "slaves": agents,
                "frameworks": frameworks,
                "completed_frameworks": completed,
            }
        )

    def _those(self, kind, how_many):
        first = self._round * how_many if self._changes[kind] else 0
        return range(first, first + how_many)

    def _ipv4(self, first, number):
        return f"{first}.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"

    def _task(self, framework, agent, name):
        number = next(self._numbers)
        addresses = [self._ipv4(12, number), f"fd00::{number % 65535 + 1:x}:{number * 7 % 65535 + 1:x}"]
        port = number * 3 % 60000 + 1
        found = {
            "id": f"task-{number}.{name}",
            "name": f"app.{name}",
            "framework_id": framework,
            "slave_id": agent,
            "state": "TASK_RUNNING",
            "resources": {"ports": f"[{port}-{port + 1}]"},
            "statuses": [
                {
                    "state": "TASK_RUNNING",
                    "timestamp": 1.0,
                    "container_status": {"network_infos": [{"ip_addresses": [{"ip_address": ip} for ip in addresses]}]},
                }
            ],
        }
        if name % 2:
            # Every third is named the plain way: its discovery name has an underscore inside.
            service = f"svc.{name}" if name % 3 else f"s_v.{name}"
            ports = [{"number": port, "name": f"port-{name}", "protocol": "tcp"}]
            found["discovery"] = {"name": service, "ports": {"ports": ports}}
        return found


class Program:
    """What control does with states, and what a worker does with the frames that come of it; no sockets."""

    def __init__(self, cluster):
        self.cluster = cluster
        self.time = Time()
        self.decoder = Decoder()
        self.zone, self.replica = Zone(AUTHORITY), Zone(AUTHORITY)
        self.frames = FrameReader()
        self.publisher = Publisher(
            Model(Naming(rules())), Zones([self.zone]), self.publish, clock=self.time.clock, epoch=self.time.epoch
        )

    def publish(self, apex, change):
        for frame in update_frames(apex, change):
            self.frames.feed(frame)
        for update in self.frames:
            self.replica.apply(ZoneChange(update.serial, update.changes, update.complete))

    async def poll(self):
        self.time.now += 5
        body = self.cluster.state().encode()
        await self.publisher.observe(self.decoder.decode(body, masters=(Endpoint("10.0.0.1", 5050),)))

    def containers(self):
        """All containers that can be reached from here, and the caches of functions, by identity."""
        return _reached([self.decoder, self.publisher, self.replica, self.frames])


def _reached(roots):
    seen, waiting, found = {id(root) for root in roots}, deque(roots), {}
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict | set | list | deque):
            found[id(one)] = one
        for other in gc.get_referents(one):
            # Nine of ten lead nowhere. And not the world behind classes, modules and functions.
            if (
                type(other) not in PLAIN
                and id(other) not in seen
                and not isinstance(other, type | type(sys) | type(_reached))
            ):
                seen.add(id(other))
                waiting.append(other)
    return found


class Sizes:
    """The largest sizes that were seen of all containers together and of each that stays, and of allocated blocks."""

    def __init__(self, program):
        self._program = program
        # Kept, so that no other one gets the identity of one that went.
        self._there = program.containers()
        self.each = dict.fromkeys([*self._there, *map(id, _caches())], 0)
        self.together = self.blocks = 0

    def look(self):
        now = {key: len(one) for key, one in self._program.containers().items()}
        now |= {id(cache): cache.cache_info().currsize for cache in _caches()}
        self.together = max(self.together, sum(now.values()))
        for key in self.each:
            self.each[key] = max(self.each[key], now.get(key, 0))
        gc.collect()
        self.blocks = max(self.blocks, sys.getallocatedblocks())


def _caches():
    modules = [module for name, module in sys.modules.items() if name.startswith("mesos_dns.")]
    found = {id(value): value for module in modules for value in vars(module).values()}
    return [value for value in found.values() if isinstance(value, functools._lru_cache_wrapper)]


@pytest.fixture(autouse=True)
def nothing_of_other_tests():
    """Caches begin empty, and what other tests left is not looked at again and again."""
    for cache in _caches():
        # What has no bound makes values that are compared by their identity.
        if cache.cache_parameters()["maxsize"] is not None:
            cache.cache_clear()
    gc.collect()
    gc.freeze()


@pytest.mark.parametrize(
    "changing",
    [{}, {"agents": False, "frameworks": False}, {"agents": False, "frameworks": False, "names": False}],
    ids=["everything", "names", "only ids, addresses and ports"],
)
async def test_after_twice_as_many_rounds_no_more_is_remembered(changing):
    program = Program(Cluster(**changing))
    for _ in range(ROUNDS):
        await program.poll()
    halves = [Sizes(program), Sizes(program)]
    for half in halves:
        for number in range(ROUNDS):
            await program.poll()
            if number % LOOK == 0:
                half.look()
    before, after = halves
    assert len(program.publisher.model.tasks) == TASKS
    assert len(program.replica) == len(program.zone) > 4 * TASKS
    # What grew in both halves would be twice as large. Caches fill and are emptied, each at its own pace.
    grown = {key: (size, after.each[key]) for key, size in before.each.items() if after.each[key] > 1.2 * size + 10}
    assert list(grown.values()) == []
    assert after.together <= 1.25 * before.together
    # Without the bounds that hang on what is in use: between 3 % and 30 %.
    assert after.blocks <= 1.01 * before.blocks


def test_what_is_in_use_fits_into_a_cache():
    assert most_kept(0) == MAX_KEPT_AT_LEAST
    assert all(most_kept(n) >= n for n in (1, 1000, 10**6))
    assert most_kept(1000) - most_kept(0) == 1000 * MAX_KEPT_PER_USE
