"""The simulated masters in ZooKeeper: ephemeral sequential nodes, and the smallest sequence number leads.

Needs the library kazoo, which is loaded when it is wanted. What the processes do when ZooKeeper or
they themselves are in trouble follows recordings of Mesos 1.11:

    a master dies or is stopped   its node stays for most of the session's time, then disappears
    a stopped one goes on         it finds its session gone; if it led, it answers for a moment and ends
    ZooKeeper is away             for longer than a session: the leader ends, the others know no leader
"""

import asyncio
import importlib
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

from mesos_dns.demo.election import Pace
from mesos_dns.demo.masterinfo import Form, encoded
from mesos_dns.demo.world import World

#: How often the condition of the masters is looked at, in seconds.
TICK: Final = 0.05
#: A dead master's node stays for this part of its session's time (recorded: 7.5 to 8.2 s of 10 s).
LINGER: Final = 0.8
#: Seconds that a leader that was stopped still answers when it goes on (recorded: up to 0.5 s).
LAST_WORDS: Final = 0.4

#: Seconds for opening a session; a failure is tried again.
START: Final = 2.0

_SEQUENCE: Final = re.compile(r"(?:^|_)(\d{10})$")


class RegistrationError(RuntimeError):
    """Registering is impossible; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Ensemble:
    """What a `zk://` URL says: servers as kazoo wants them, the path of the group, and perhaps credentials."""

    hosts: str
    path: str
    credentials: str | None = None

    @classmethod
    def parse(cls, url: str) -> "Ensemble":
        """Read `zk://[user:password@]host:port,.../path`. Raises RegistrationError for anything else."""
        scheme, mark, rest = url.partition("://")
        authority, slash, path = rest.partition("/")
        credentials, at, hosts = authority.rpartition("@")
        if scheme != "zk" or not (mark and slash and hosts and path.strip("/")):
            raise RegistrationError(f"{scheme}://... is not zk://[USER:PASSWORD@]HOST:PORT,.../PATH")
        return cls(hosts, "/" + path.strip("/"), credentials if at else None)


@dataclass(slots=True)
class _Contender:
    """One process's session and node. Times are the loop's; None = nothing of the kind is going on."""

    process: str
    client: Any = None
    node: str | None = None
    #: When the connection broke.
    broken: float | None = None
    #: When the node of a dead or stopped master disappears.
    withdraws: float | None = None
    #: When a leader without a session, just continued, ends.
    ends: float | None = None


def sequence_of(node: str) -> int | None:
    """Return the sequence number of a node's name; None for what is no contender, such as `log_replicas`."""
    found = _SEQUENCE.search(node)
    return int(found.group(1)) if found else None


def kazoo_client(ensemble: Ensemble, session: float) -> Any:
    """Return a new client, not started. Raises RegistrationError when kazoo is missing."""
    try:
        client = importlib.import_module("kazoo.client")
    except ImportError as error:
        raise RegistrationError("the library kazoo is not installed: pip install kazoo") from error
    auth = [("digest", ensemble.credentials)] if ensemble.credentials else None
    return client.KazooClient(
        ensemble.hosts, timeout=session, auth_data=auth, connection_retry={"max_tries": -1, "max_delay": 1.0}
    )


class Registration:
    """Keeps the masters of `world` registered, and lets the one with the smallest number lead.

    `forms` gives the form of each master's node (the last one also for those beyond); `session` is the session's time in
    seconds. `acl` is given to `create`. Run `follow` beside what serves the masters; `close` in the end.
    """

    def __init__(
        self,
        world: World,
        ensemble: Ensemble,
        *,
        forms: tuple[Form, ...] = (Form.JSON,),
        session: float = 10.0,
        pace: Pace | None = None,
        make_client: Callable[[Ensemble, float], Any] = kazoo_client,
    ) -> None:
        self._world = world
        self._ensemble = ensemble
        self._forms = forms
        self._session = session
        self._pace = pace or Pace()
        self._make_client = make_client
        self._contenders = [_Contender(seat.identity.id) for seat in world.masters]
        #: Sessions of processes that are dead, while the same address has a new one already.
        self._remains: list[_Contender] = []
        self._leader: str | None = None
        #: One thread: what one master does is over before the next one does anything.
        self._threads = ThreadPoolExecutor(1, "registration")

    def __repr__(self) -> str:
        return f"Registration({self._ensemble.path}, nodes={self.nodes})"

    @property
    def nodes(self) -> list[str | None]:
        """The name of each master's node, as far as it has one."""
        return [contender.node for contender in self._contenders]

    async def start(self) -> None:
        """Register every living master, in order. Raises RegistrationError when that is impossible."""
        for index, seat in enumerate(self._world.masters):
            error = await self._register(index) if seat.up else None
            if error is not None:
                await self.close()
                if isinstance(error, RegistrationError):
                    raise error
                raise RegistrationError(f"cannot register at {self._ensemble.hosts}: {error!r}") from error

    async def follow(self) -> None:
        """Keep node and process of every master in step until cancelled."""
        while True:
            await asyncio.sleep(TICK)
            now = asyncio.get_running_loop().time()
            for index in range(len(self._contenders)):
                await self._step(index, now)
            for contender in [old for old in self._remains if now >= (old.withdraws or now)]:
                self._remains.remove(contender)
                await self._withdraw(contender)

    async def close(self) -> None:
        """Close every session, which removes the nodes."""
        for contender in (*self._contenders, *self._remains):
            await self._withdraw(contender)
        self._remains.clear()
        self._threads.shutdown(wait=False)

    async def _step(self, index: int, now: float) -> None:
        seat, contender = self._world.masters[index], self._contenders[index]
        alive = seat.up and not seat.frozen
        same = seat.identity.id == contender.process
        if contender.client is None:
            if alive:
                await self._without_session(index, now)
        elif alive and same:
            contender.withdraws = None
            if contender.broken is not None and now - contender.broken >= self._session:
                await self._withdraw(contender)
                self._lost(index)
        elif contender.withdraws is None:
            contender.withdraws = now + LINGER * self._session
        elif alive:
            self._remains.append(contender)
            self._contenders[index] = _Contender(seat.identity.id)
            await self._register(index)
        elif now >= contender.withdraws:
            await self._withdraw(contender)

    async def _without_session(self, index: int, now: float) -> None:
        seat, contender = self._world.masters[index], self._contenders[index]
        if seat.ledger is None:
            await self._register(index)
        elif contender.ends is None:
            contender.ends = now + LAST_WORDS
        elif now >= contender.ends:
            contender.ends = None
            self._end(index)

    def _lost(self, index: int) -> None:
        seat = self._world.masters[index]
        if seat.ledger is not None:
            self._end(index)
        else:
            seat.believed = None

    def _end(self, index: int) -> None:
        """Let a leader without a session end, and its supervisor start it again."""
        world = self._world
        world.agenda.tell("leader", f"master {world.masters[index].identity.endpoint} lost its session and ends")
        world.kill(index)

        def again() -> None:
            if not world.masters[index].up:
                world.start_master(index)

        world.agenda.after(self._pace.restart, again)

    async def _register(self, index: int) -> Exception | None:
        """Open a session, create the node, watch the others. Returns what went wrong; the next step tries again."""
        seat, contender = self._world.masters[index], self._contenders[index]
        contender.process = seat.identity.id
        form = self._forms[min(index, len(self._forms) - 1)]
        data = encoded(form, seat.identity, self._world.release)
        loop = asyncio.get_running_loop()
        path = self._ensemble.path

        def create(client: Any) -> str:
            client.start(timeout=START)
            client.ensure_path(path)
            return str(client.create(f"{path}/{form.value}", data, ephemeral=True, sequence=True))

        def connection(state: str) -> None:
            loop.call_soon_threadsafe(self._connection, contender, state)

        def children(names: list[str]) -> None:
            loop.call_soon_threadsafe(self._elected, list(names))

        client = None
        try:
            client = self._make_client(self._ensemble, self._session)
            contender.node = (await self._run(lambda: create(client))).rpartition("/")[2]
            contender.client, contender.broken, contender.withdraws, contender.ends = client, None, None, None
            client.add_listener(connection)
            await self._run(lambda: client.ChildrenWatch(path, children))
        except Exception as error:  # noqa: BLE001  # kazoo's time-outs and losses of connection have no common ancestor
            contender.client, contender.node = None, None
            if client is not None:
                await self._run(lambda: _closed(client))
            return error
        return None

    @staticmethod
    def _connection(contender: _Contender, state: str) -> None:
        if state == "CONNECTED":
            contender.broken = None
        elif contender.broken is None:
            contender.broken = asyncio.get_running_loop().time()

    async def _withdraw(self, contender: _Contender) -> None:
        client, contender.client, contender.node, contender.withdraws = contender.client, None, None, None
        if client is not None:
            await self._run(lambda: _closed(client))

    def _elected(self, children: list[str]) -> None:
        """Let the smallest number lead; when that is somebody else's, none of these does."""
        numbered = sorted((number, name) for name in children if (number := sequence_of(name)) is not None)
        first = numbered[0][1] if numbered else None
        index = next((index for index, node in enumerate(self.nodes) if node is not None and node == first), None)
        if first == self._leader and index is None:
            return
        self._leader = first
        if index is None:
            self._world.nobody_leads()
        elif self._world.masters[index].up and self._world.masters[index].ledger is None:
            self._world.elect(index)
            self._world.agenda.tell("leader", f"master {self._world.masters[index].identity.endpoint} leads now")
            self._world.agenda.after(self._pace.registry, self._recover)

    def _recover(self) -> None:
        self._world.read_registry()
        self._world.come_back(self._pace.reregistration)

    async def _run(self, work: Callable[[], Any]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)


def _closed(client: Any) -> None:
    client.stop()
    client.close()
