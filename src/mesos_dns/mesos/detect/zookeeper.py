"""Asks ZooKeeper who leads, and is told when that changes: a `MasterDetector`. Edge: asyncio.

What was known last stays while ZooKeeper is away, and while it shows no contender.
"""

import asyncio
import logging
import time
import traceback
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Final, Protocol, Self

from msgspec.structs import replace

from mesos_dns.concurrency import spawn
from mesos_dns.logs import RateLimited
from mesos_dns.mesos.detect.election import Contender, contenders, outcome
from mesos_dns.mesos.detect.ensemble import AbsentError, Ensemble, EnsembleError, ForbiddenError, Reader
from mesos_dns.mesos.detect.masterinfo import MasterInfoError, read
from mesos_dns.mesos.options import ZooKeeperOptions
from mesos_dns.mesos.source import DetectorStatus, KnownMasters
from mesos_dns.mesos.state import Endpoint
from mesos_dns.quoting import quoted

log = logging.getLogger(__name__)

#: Seconds that a start waits for ZooKeeper's first answer; then the configured masters are asked.
FIRST_ANSWER_SECONDS: Final = 5.0
#: Seconds between two changes that are told: each may end a request and begin another.
CHANGE_SECONDS: Final = 1.0
#: Seconds between two looks: nodes that come and go quickly must not keep us, nor ZooKeeper, busy. No first change waits for it.
LOOK_SECONDS: Final = 0.1
#: Seconds until ZooKeeper is asked again although no watch has fired: rights may have changed, and no fault of anybody may last.
LOOK_AGAIN_SECONDS: Final = 30.0
#: Seconds of silence until the log tells it: while one of its servers restarts, another one answers soon.
SILENCE_TOLD_SECONDS: Final = 5.0
#: Seconds until a client that ended by itself is replaced by a new one.
NEW_CLIENT_SECONDS: Final = 5.0
#: Seconds of silence until the same is done to one that goes on trying: a ZooKeeper that was set up anew refuses whoever has seen the
#: former one's later transactions, for ever.
FRESH_CLIENT_SECONDS: Final = 30.0
#: Seconds between two log lines about one node that cannot be read.
_NODE_INTERVAL: Final = 3600.0


class Connect(Protocol):
    """Begins to talk with a ZooKeeper; `told` is called when there is news."""

    def __call__(self, options: ZooKeeperOptions, told: Callable[[], None]) -> Reader:
        """The client."""
        ...


class ZooKeeperMasters:
    """The masters that have registered in ZooKeeper, in the order in which they would lead; at first, those that are `listed`."""

    def __init__(
        self,
        options: ZooKeeperOptions,
        listed: Iterable[Endpoint] = (),
        *,
        patience: float = FIRST_ANSWER_SECONDS,
        connect: Connect = Ensemble,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`patience`: seconds that entering waits for a first answer."""
        self._options = options
        self._listed = tuple(listed)
        self._patience = patience
        self._connect = connect
        self._clock = clock
        self._known = KnownMasters(self._listed)
        #: What is known but not told yet, for that would be too soon.
        self._newest = self._known
        self._news = asyncio.Event()
        self._told_at = -CHANGE_SECONDS
        self._telling: asyncio.TimerHandle | None = None
        self._status = DetectorStatus(f"ZooKeeper {options}", connected=False, since=clock())
        #: The contenders of the last listing that had some.
        self._named: tuple[Endpoint, ...] = ()
        #: By node, what its content says; a text if it cannot be read. Of the session and the parent that `_era` tells.
        self._nodes: dict[str, Endpoint | str] = {}
        self._era = (-1, -1)
        #: Since when ZooKeeper has not named a leader, at present; None while it does.
        self._leaderless: float | None = clock()
        self._loss_told = False
        self._answered = asyncio.Event()
        self._stirred = asyncio.Event()
        self._following: asyncio.Task[None] | None = None
        self._warn = RateLimited(log, clock=clock)
        self._nodes_log = RateLimited(log, interval=_NODE_INTERVAL, clock=clock)

    def __repr__(self) -> str:
        return f"ZooKeeperMasters({self._options}, {self._known})"

    @property
    def known(self) -> KnownMasters:
        """What it knows at the moment."""
        return self._known

    @property
    def status(self) -> DetectorStatus:
        """How it goes with ZooKeeper."""
        return self._status

    async def changed(self, known: KnownMasters) -> None:
        """Return as soon as it knows something else than `known`."""
        while self._known == known:
            await self._news.wait()

    async def __aenter__(self) -> Self:
        """Begin to look. Wait for the first answer, but not for long."""
        now = self._clock()
        self._status = replace(self._status, connected=False, since=now)
        self._leaderless = now
        self._answered.clear()
        self._following = spawn(self._follow(), name="follow ZooKeeper")
        try:
            async with asyncio.timeout(self._patience):
                await self._answered.wait()
        except TimeoutError:
            log.debug("ZooKeeper %s has not answered within %g s", self._options, self._patience)
        except BaseException:
            await self._end()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop looking, end the session."""
        await self._end()

    async def _end(self) -> None:
        following, self._following = self._following, None
        if following is not None:
            following.cancel()
            await asyncio.wait([following])
        if self._telling is not None:
            self._telling.cancel()
            self._telling = None

    # --- looking -------------------------------------------------------------------------------

    async def _follow(self) -> None:
        while True:
            try:
                reader = self._connect(self._options, self._stirred.set)
            except Exception as error:  # noqa: BLE001 - no threads or files are left, mostly
                self._silent(f"no client can be made: {error}")
            else:
                await self._follow_with(reader)
            self._stirred.clear()
            await asyncio.sleep(NEW_CLIENT_SECONDS)

    async def _follow_with(self, reader: Reader) -> None:
        """Look as long as `reader` is good for it."""
        begun = self._clock()
        self._era = (-1, -1)  # It counts sessions from the beginning, and its ZooKeeper may be another.
        try:
            while not (reader.over or self._is_stuck(begun)):
                self._stirred.clear()
                await self._try_to_look(reader)
                looked = self._clock()
                self._tell_what_lasts(looked)
                await self._wait()
                await asyncio.sleep(looked + LOOK_SECONDS - self._clock())
            self._silent(reader.trouble)
        finally:
            await reader.close()

    def _is_stuck(self, begun: float) -> bool:
        """Whether a client that was made at the time `begun` has been silent for too long."""
        return not self._status.connected and self._clock() >= max(begun, self._status.since) + FRESH_CLIENT_SECONDS

    async def _try_to_look(self, reader: Reader) -> None:
        try:
            if reader.connected:
                await self._look(reader)
            else:
                self._silent(reader.trouble)
        except EnsembleError as error:
            # A lost connection, mostly: then the reader stirs us. If it was something else, there is the next look.
            self._silent(str(error))
        except Exception:  # noqa: BLE001 - whatever it is, the next look may go well
            self._warn.log(
                logging.ERROR,
                "mistake",
                "looking at ZooKeeper failed by an internal error: please report it\n%s",
                traceback.format_exc(),
            )

    async def _wait(self) -> None:
        """Wait until something happens, or it is time to look again or to tell something."""
        now = self._clock()
        moments = [now + LOOK_AGAIN_SECONDS, *filter(lambda moment: moment > now, self._moments())]
        try:
            async with asyncio.timeout(min(moments) - now):
                await self._stirred.wait()
        except TimeoutError:
            pass

    async def _look(self, reader: Reader) -> None:
        path = self._options.path
        try:
            listing = await reader.children(path)
        except AbsentError:
            if await reader.exists(path):
                self._stirred.set()
            else:
                self._heard(self._outcome((), {}), f"there is no node {path}: no master has registered there yet")
        except ForbiddenError:
            advice = (
                "the user of Zk has no right to read it"
                if self._options.credentials
                else "give credentials in Zk (zk://user:password@…), or let everyone read it"
            )
            self._heard(None, f"the node {path} is not shown: {advice}")
        else:
            era = (reader.session, listing.created)
            if era != self._era:
                # The numbers of nodes may have begun anew.
                self._era = era
                self._nodes.clear()
            await self._read_nodes(reader, contenders(listing.names))

    async def _read_nodes(self, reader: Reader, listed: tuple[Contender, ...]) -> None:
        standing = []
        found: dict[str, Endpoint | str] = {}
        for contender in listed:
            name = contender.name
            # The content of a node never changes.
            content = self._nodes.get(name)
            if content is None:
                try:
                    content = await self._node(reader, contender)
                except AbsentError:
                    continue  # It went just now, and the watch tells of it.
                except ForbiddenError:
                    content = "the rights to read it do not suffice"
                else:
                    self._nodes[name] = content
            standing.append(contender)
            found[name] = content
        self._nodes = {name: content for name, content in self._nodes.items() if name in found}
        unreadable = {name: why for name, why in found.items() if isinstance(why, str)}
        for name, why in unreadable.items():
            self._nodes_log.warning(
                name, "the node %s of ZooKeeper %s is passed over: %s", quoted(name), self._options, why
            )
        endpoints = {name: endpoint for name, endpoint in found.items() if not isinstance(endpoint, str)}
        trouble = "" if standing else "no master has registered there"
        for name, why in unreadable.items():
            trouble = f"{len(unreadable)} of {len(found)} nodes cannot be read, such as {quoted(name)}: {why}"
        self._heard(self._outcome(standing, endpoints), trouble)

    async def _node(self, reader: Reader, contender: Contender) -> Endpoint | str:
        content = await reader.content(f"{self._options.path}/{contender.name}")
        try:
            return read(contender.label, content)
        except MasterInfoError as error:
            return str(error)

    def _outcome(self, standing: Iterable[Contender], endpoints: dict[str, Endpoint]) -> KnownMasters:
        if endpoints:
            self._named = outcome(standing, endpoints, (), ()).masters
        return outcome(standing, endpoints, self._named, self._listed)

    # --- what comes of it ----------------------------------------------------------------------

    def _heard(self, known: KnownMasters | None, trouble: str) -> None:
        """ZooKeeper has answered: with what is known now, None if it did not say."""
        now = self._clock()
        before = self._status
        leader = None if known is None else known.leader
        self._status = replace(
            before,
            connected=True,
            since=before.since if before.connected else now,
            masters=len(self._named),
            leader=leader or before.leader,
            trouble=trouble,
        )
        if not before.connected:
            self._warn.log(logging.INFO, "answers", "ZooKeeper %s answers", self._options)
            self._warn.over("silence", "ZooKeeper %s answers again", self._options)
        if leader is None:
            self._leaderless = now if self._leaderless is None else self._leaderless
        else:
            self._leaderless = None
            self._tell_recovery(leader)
        if known is not None:
            self._learn(known)
        self._answered.set()

    def _silent(self, trouble: str) -> None:
        """ZooKeeper cannot be asked: what is known stays."""
        now = self._clock()
        if self._status.connected:
            self._status = replace(self._status, connected=False, since=now, trouble=trouble)
            self._leaderless = now if self._leaderless is None else self._leaderless
        elif trouble:
            self._status = replace(self._status, trouble=trouble)

    def _learn(self, known: KnownMasters) -> None:
        """Tell it: at once if nothing was told for a while, else when it is time."""
        self._newest = known
        wait = self._told_at + CHANGE_SECONDS - self._clock()
        if wait <= 0:
            self._tell_newest()
        elif self._telling is None and known != self._known:
            self._telling = asyncio.get_running_loop().call_later(wait, self._tell_newest)

    def _tell_newest(self) -> None:
        if self._telling is not None:
            self._telling.cancel()
            self._telling = None
        if self._newest != self._known:
            self._known = self._newest
            self._told_at = self._clock()
            leader = self._known.leader or "nobody"
            log.info("ZooKeeper %s names %s as leading master, of: %s", self._options, leader, self._asked())
            news, self._news = self._news, asyncio.Event()
            news.set()

    # --- what is told to people ----------------------------------------------------------------

    def _moments(self) -> list[float]:
        """When there will be something to tell if all stays as it is."""
        moments = []
        if not self._status.connected:
            moments.append(self._status.since + SILENCE_TOLD_SECONDS)
        if self._leaderless is not None and self._options.detection_timeout:
            moments.append(self._leaderless + self._options.detection_timeout)
        return moments

    def _tell_what_lasts(self, now: float) -> None:
        status = self._status
        trouble = status.trouble or "no server answers"
        if not status.connected and now >= status.since + SILENCE_TOLD_SECONDS:
            self._warn.warning(
                "silence",
                "ZooKeeper %s is silent, the masters known so far are asked (%s): %s",
                self._options,
                self._asked(),
                trouble,
            )
        limit = self._options.detection_timeout
        if self._leaderless is not None and limit and now >= self._leaderless + limit and not self._loss_told:
            self._loss_told = True
            log.error(
                "ZooKeeper %s has named no leading master for %.0f s (ZkDetectionTimeout); the masters known so far are asked (%s): %s",
                self._options,
                now - self._leaderless,
                self._asked(),
                trouble,
            )

    def _tell_recovery(self, leader: Endpoint) -> None:
        if self._loss_told:
            self._loss_told = False
            log.error("ZooKeeper %s names a leading master again: %s", self._options, leader)

    def _asked(self) -> str:
        return ", ".join(map(str, self._known.masters)) or "none"
