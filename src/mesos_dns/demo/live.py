"""A cluster for tests, in their own process: masters on loopback that obey at once.

    async with Cluster(masters=3, agents=4) as cluster:
        task = cluster.run("web", network=Network.BRIDGE, ports=(Port("http", "tcp", 80),))
        cluster.update(task, "TASK_RUNNING", healthy=False)
        await cluster.kill(0)
        await cluster.take_over(1)

Verbs about tasks, agents and schedulers take effect when they are called (`world` has all of them);
verbs about masters and connections are awaited, as sockets are opened and closed.
"""

import asyncio
import random
import socket
import ssl
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AsyncExitStack, suppress
from types import TracebackType
from typing import Any, Final, Self

from mesos_dns.demo import wire
from mesos_dns.demo.catalog import MARATHON, Application, Framework, Network, Port
from mesos_dns.demo.cluster import Agent, Task
from mesos_dns.demo.generator import populate
from mesos_dns.demo.ledger import Ledger
from mesos_dns.demo.master import Masters, Settings
from mesos_dns.demo.registration import Ensemble, Registration
from mesos_dns.demo.releases import release
from mesos_dns.demo.streams import Subscriber
from mesos_dns.demo.world import World

#: How often what is noted for later is looked at, in seconds.
TICK: Final = 0.01


#: Below the ports that the kernel gives to outgoing connections (Linux: 32768 to 60999), of which any could else have
#: taken a dead master's port when it comes back.
PORTS: Final = range(20_000, 32_000)


def free_endpoints(count: int, address: str = "127.0.0.1") -> list[tuple[str, int]]:
    """Return that many endpoints that were free a moment ago."""
    found: list[tuple[str, int]] = []
    for port in random.SystemRandom().sample(PORTS, len(PORTS)):
        if len(found) == count:
            break
        with socket.socket() as probe, suppress(OSError):
            probe.bind((address, port))
            found.append((address, port))
    return found


def _held(endpoint: tuple[str, int]) -> socket.socket:
    """Return a socket that keeps an endpoint from others while its master is dead: bound, not listening, so refusing."""
    holder = socket.socket()
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        holder.bind(endpoint)
    except OSError:
        holder.close()
        raise
    return holder


class Cluster:
    """Masters that serve while the `async with` block runs, the first of them leading.

    `tasks` running ones of the catalog are there from the beginning. `name` is the cluster's `--cluster`; another `seed`
    gives other ids everywhere. `clock` is the masters' own: give one that is wrong by hours. With `tls`, a server's context, they speak HTTPS.
    """

    def __init__(  # noqa: PLR0913 - keywords all, and each has a default
        self,
        *,
        masters: int = 1,
        agents: int = 3,
        tasks: int = 0,
        version: str = "1.11.0",
        name: str = "demo",
        seed: int = 1,
        endpoints: Sequence[tuple[str, int]] | None = None,
        clock: Callable[[], float] = time.time,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._clock = clock
        self._rng = random.Random(f"cluster {seed}")
        now = clock()
        population = populate(seed=seed, agents=agents, tasks=tasks, now=now)
        self.world = World(
            population,
            endpoints or free_endpoints(masters),
            now,
            release=release(version),
            cluster=name,
            rng=random.Random(f"world {seed}"),
        )
        self.masters = Masters(self.world, tls=tls)
        self._stack = AsyncExitStack()
        self._ticking: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"Cluster({self.world!r})"

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as starting:
            for seat in self.world.masters:
                starting.enter_context(_held((seat.identity.address, seat.identity.port)))
            await starting.enter_async_context(self.masters.serving())
            self._stack = starting.pop_all()
        self._ticking = asyncio.get_running_loop().create_task(self._tick(), name="simulated cluster")
        self._stack.push_async_callback(_cancelled, self._ticking)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for node in self.masters.nodes:
            node.streams.abort()
        await self._stack.aclose()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK)
            self._now()
            await self.masters.sync()

    def _now(self) -> None:
        """Let happen what is due. Raises what the background failed of, so that no test waits in vain."""
        if self._ticking is not None and self._ticking.done():
            self._ticking.result()
        self.world.agenda.run_until(self._clock())

    # What tests ask.

    @property
    def settings(self) -> Settings:
        """How the masters behave towards clients; change it at any time."""
        return self.masters.settings

    @property
    def endpoints(self) -> list[str]:
        """`address:port` of each master."""
        return [seat.identity.endpoint for seat in self.world.masters]

    @property
    def urls(self) -> list[str]:
        """The base URL of each master."""
        return [f"http://{endpoint}" for endpoint in self.endpoints]

    @property
    def leader(self) -> int | None:
        """The index of the master that leads."""
        return self.world.leader

    @property
    def ledger(self) -> Ledger:
        """What the leader knows. Raises LookupError when nobody leads."""
        if self.world.leader is None:
            raise LookupError("no master leads")
        found = self.world.masters[self.world.leader].ledger
        assert found is not None, "the leader has a ledger"
        return found

    @property
    def subscribers(self) -> list[Subscriber]:
        """The running event streams of all masters; `send_raw`, `cut`, `end`, `abort`, `talk` spoil them."""
        return [subscriber for node in self.masters.nodes for subscriber in node.streams.subscribers]

    async def subscribed(self, count: int = 1) -> list[Subscriber]:
        """Wait until at least `count` streams run; returns them."""
        while len(self.subscribers) < count:  # noqa: ASYNC110  # who subscribes is another program, mostly
            await asyncio.sleep(TICK)
        return self.subscribers

    def send(self, document: Any) -> None:
        """Send a record of your own to every subscriber, for example an event of an unknown task."""
        for subscriber in self.subscribers:
            subscriber.send(wire.dump(document))

    # Tasks.

    def launch(
        self,
        name: str = "web",
        *,
        agent: int | None = None,
        framework: Framework = MARATHON,
        network: Network = Network.HOST,
        ports: Iterable[Port] = (),
        **more: Any,
    ) -> Task:
        """Start a task in TASK_STAGING. `agent`: its number, else a random one. `more`: fields of `catalog.Application`."""
        self._now()
        application = Application(framework, name, network, tuple(ports), more.pop("discovery", name), **more)
        numbers = [number for number, machine in self.world.machines.items() if machine.active]
        return self.world.launch(application, self._rng.choice(numbers) if agent is None else agent)

    def run(self, name: str = "web", **more: Any) -> Task:
        """Start a task and bring it to TASK_RUNNING by way of TASK_STARTING."""
        task = self.launch(name, **more)
        self.update(task, "TASK_STARTING")
        return self.update(task, "TASK_RUNNING")

    def update(self, task: Task, state: str, **more: Any) -> Task:
        """Give a task a new status. `more`: fields of `cluster.Status` (healthy, reason, message, labels, addresses, ...)."""
        self._now()
        return self.world.update(task.key, state, **more)

    def health(self, task: Task, healthy: bool | None) -> Task:
        """Report the result of a health check; None repeats the status without one, which is silent."""
        if healthy is None:
            return self.world.silently(task.key, healthy=None)
        return self.update(
            task, self.world.tasks[task.key].state, healthy=healthy, reason="REASON_TASK_HEALTH_CHECK_STATUS_UPDATED"
        )

    def finish(self, task: Task, state: str = "TASK_FINISHED") -> Task:
        """End a task; with its scheduler connected it is acknowledged at once."""
        return self.update(task, state)

    def add_agent(self, **more: Any) -> Agent:
        """Let a new agent register."""
        self._now()
        return self.world.add_agent(**more)

    # Masters.

    async def kill(self, index: int | None = None) -> int:
        """Kill a master (default: the leader): connections break, the port is closed. Returns its index."""
        self._now()
        chosen = self.leader if index is None else index
        if chosen is None:
            raise LookupError("no master leads, so none can be killed")
        self.world.kill(chosen)
        await self.masters.sync()
        return chosen

    async def freeze(self, index: int, frozen: bool = True) -> None:
        """Stop a master without killing it (SIGSTOP): connections stay open, new ones are accepted, nothing is answered."""
        self.world.masters[index].frozen = frozen
        await self.masters.sync()

    async def start(self, index: int, *, routed: bool = True) -> None:
        """Start a dead master. `routed=False`: every path is 404, as in the first moment; set the seat's `routed` later."""
        self._now()
        self.world.start_master(index, routed=routed)
        await self.masters.sync()

    async def nobody_leads(self) -> None:
        """Let the living masters know no leader: 503."""
        self.world.nobody_leads()
        await self.masters.sync()

    async def register(self, url: str, **options: Any) -> Registration:
        """Register the masters in ZooKeeper, which decides from now on who leads. `options`: those of `Registration`."""
        registration = Registration(self.world, Ensemble.parse(url), **options)
        await registration.start()
        self._stack.push_async_callback(registration.close)
        following = asyncio.get_running_loop().create_task(registration.follow(), name="registration")
        self._stack.push_async_callback(_cancelled, following)
        return registration

    async def elect(self, index: int, *, registry: bool = True) -> None:
        """Make a master the leader, with an empty cluster; with `registry` it knows whom to expect."""
        self._now()
        self.world.elect(index)
        if registry:
            self.world.read_registry()
        await self.masters.sync()

    async def take_over(self, index: int) -> None:
        """Elect a master and let every agent and every connected scheduler come back at once."""
        await self.elect(index)
        self.come_back()

    def come_back(self, over: float = 0.0) -> None:
        """Let agents and connected schedulers return to a new leader, at random moments within `over` seconds."""
        self._now()
        self.world.come_back(over)


async def _cancelled(task: "asyncio.Task[None]") -> None:
    """End `task`; what it failed of before is raised."""
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
