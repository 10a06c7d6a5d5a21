"""All probes beside each other, within bounds, put together. Edge: asyncio."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

from mesos_dns.assembly import Plan
from mesos_dns.concurrency import spawn
from mesos_dns.config import Config
from mesos_dns.dns.rdata import pack_address
from mesos_dns.mesos.http.client import MasterClient
from mesos_dns.mesos.source import KnownMasters
from mesos_dns.mesos.state import Endpoint
from mesos_dns.preflight import judging, listeners, machine, masters, upstreams, zookeeper
from mesos_dns.preflight.findings import Finding, Level

#: Seconds for all probes together: a person waits. Each has less by itself; what is left after that is given up.
ALL_SECONDS: Final = 10.0
#: Of these, what is left to put together what came.
SPARE_SECONDS: Final = 0.5
#: Seconds that the last ones to be asked get, whatever those before them took.
LEAST_SECONDS: Final = 0.5
#: Masters that are asked because the configuration names them, and because ZooKeeper or another master does.
MAX_MASTERS: Final = 64
#: Probes of one kind, put together.
_Probes = Callable[[], Awaitable[list[Finding]]]


async def try_everything(config: Config, plan: Plan) -> list[Finding]:
    """What all probes found, in the order in which people look: the cluster, upstreams, this machine."""
    options = plan.worker.forward
    kinds: dict[str, _Probes] = {
        "cluster": lambda: _cluster(plan, _Clock(ALL_SECONDS - SPARE_SECONDS)),
        "upstreams": lambda: upstreams.try_all(options.upstreams, options.ca_file, plan.worker.server_id),
        "ports": lambda: listeners.try_all(plan),
        "machine": lambda: _machine(config, plan),
    }
    running = {spawn(_as_task(probes), name=f"try {kind}"): kind for kind, probes in kinds.items()}
    await asyncio.wait(running, timeout=ALL_SECONDS)
    found: list[Finding] = []
    for task, kind in running.items():
        if task.done():
            found += task.result()
            continue
        task.cancel()
        late = f"not done within {ALL_SECONDS:g} s"
        found.append(Finding(Level.FAIL, kind, "", "all probes of this kind", late, "an end", "try again"))
    await asyncio.wait(running, timeout=1)
    return found


async def _as_task(probes: _Probes) -> list[Finding]:
    return await probes()


async def _machine(config: Config, plan: Plan) -> list[Finding]:
    return [
        *machine.certificates(config, time.time()),
        *machine.files(config),
        *machine.query_log(plan),
        *machine.judge(machine.this_machine(), plan),
    ]


class _Clock:
    """Counts down from the moment at which it is made, in the event loop's time."""

    def __init__(self, seconds: float) -> None:
        self._now = asyncio.get_running_loop().time
        self._end = self._now() + seconds

    def __repr__(self) -> str:
        return f"_Clock(left={self.left():.1f})"

    def left(self) -> float:
        """Seconds for those whose turn it is."""
        return max(LEAST_SECONDS, min(masters.MASTER_SECONDS, self._end - self._now()))


async def _cluster(plan: Plan, clock: _Clock) -> list[Finding]:
    """ZooKeeper and the masters: those of the configuration at once, others as soon as somebody names them."""
    source = plan.source
    listed = source.masters[:MAX_MASTERS]
    client = MasterClient(source.client)
    try:
        first = spawn(
            masters.ask_all(client, listed, listed=True, within=clock.left()), name="ask the configured masters"
        )
        looks = [] if source.zookeeper is None else await zookeeper.look_at_all(source.zookeeper)
        named = next((look.known for look in looks if look.known.masters), KnownMasters(()))
        others = [each for each in named.masters if each not in listed]
        second = await masters.ask_all(client, others, listed=True, within=clock.left())
        asked = [*await first, *second]
        known = {one.endpoint for one in asked}
        # A leader that nobody listed is asked by a start, too; a host name it may be called by is not.
        pointed = {one.points_to for one in asked if one.points_to is not None} - known
        by_address = [each for each in pointed if _is_address(each)] if not any(one.leads for one in asked) else []
        asked += await masters.ask_all(client, by_address[:MAX_MASTERS], listed=False, within=clock.left())
    finally:
        await client.close()
    found = [] if source.zookeeper is None else zookeeper.findings(looks, len(source.zookeeper.servers))
    if source.client.iam is not None and asked:
        found.append(judging.login(asked, source.client.iam.login_endpoint))
    return [*found, *judging.masters(asked), judging.leader(asked, named), judging.clock(asked)]


def _is_address(endpoint: Endpoint) -> bool:
    return pack_address(endpoint.host) is not None
