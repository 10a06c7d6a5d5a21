"""A source that follows a simulated cluster, and what a reader of it knows."""

import asyncio
import contextlib

from mesos_dns.mesos.following import Plan
from mesos_dns.mesos.http.client import MasterClient
from mesos_dns.mesos.identity import Identity
from mesos_dns.mesos.options import ClientOptions, SourceOptions
from mesos_dns.mesos.polling import PollingSource
from mesos_dns.mesos.source import KnownMasters
from mesos_dns.mesos.sources import read_once
from mesos_dns.mesos.state import Endpoint, Snapshot
from mesos_dns.mesos.streaming import Entered, StreamingSource

PATIENCE = 30.0


def endpoints(cluster):
    return tuple(Endpoint(host, int(port)) for host, port in (each.rsplit(":", 1) for each in cluster.endpoints))


class Detector:
    """A detector that knows what the test says."""

    def __init__(self, masters, leader=None):
        self.known = KnownMasters(tuple(masters), leader)
        self._news = asyncio.Event()

    def learns(self, masters, leader=None):
        self.known = KnownMasters(tuple(masters), leader)
        self._news.set()

    status = None

    async def changed(self, known):
        while self.known == known:
            self._news.clear()
            await self._news.wait()

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        pass


class Mirror:
    """What a reader makes of observations, by the words of `mesos.state` alone."""

    def __init__(self, source, observations):
        self.source = source
        self.snapshots = 0
        self.deltas = []
        self.snapshot = None
        self.agents, self.frameworks, self.tasks = {}, {}, {}
        #: Tasks that ever were missing after they had been there.
        self.vanished = []
        self._observations = observations

    async def next(self):
        async with asyncio.timeout(PATIENCE):
            observation = await anext(self._observations)
        if isinstance(observation, Snapshot):
            self.snapshots += 1
            self.snapshot = observation
            self.vanished += [task.name for key, task in self.tasks.items() if key not in observation.tasks]
            self.agents, self.frameworks, self.tasks = (
                dict(each) for each in (observation.agents, observation.frameworks, observation.tasks)
            )
        else:
            self.deltas.append(observation)
            for kind in ("agents", "frameworks", "tasks"):
                known = getattr(self, kind)
                for key in getattr(observation, f"{kind}_gone"):
                    if known.pop(key, None) is not None and kind == "tasks":
                        self.vanished.append(key[1])
                known.update(getattr(observation, kind))
        return observation

    async def until(self, condition):
        """Read on until `condition()` holds."""
        while not condition():
            await self.next()

    def names(self):
        return sorted(task.name for task in self.tasks.values())

    @property
    def status(self):
        return self.source.status


@contextlib.asynccontextmanager
async def following(cluster, *, fallback=False, detector=None, reconcile=600.0, first=20.0, client=None, refresh=0.1):
    detector = detector or Detector(endpoints(cluster))
    options = ClientOptions(timeout=20.0) if client is None else client
    polling, identity = None, Identity()
    if fallback:
        polling = PollingSource(Entered(detector), MasterClient(options), refresh_seconds=refresh, identity=identity)
    source = StreamingSource(
        detector, MasterClient(options), polling, Plan(reconcile, first), identity=identity, chance=lambda: 1.0
    )
    async with contextlib.aclosing(source.observations()) as observations:
        yield Mirror(source, observations)
    await asyncio.sleep(0)
    left = [task.get_name() for task in asyncio.all_tasks() if task.get_name().split(" ")[0] in OURS]
    assert left == []


#: First words of the names of tasks that a source starts.
OURS = {"events", "state", "summary", "watch", "ask", "wait", "poll"}


async def truth(cluster):
    """What a poll finds at this moment."""
    return await read_once(SourceOptions(endpoints(cluster)))
