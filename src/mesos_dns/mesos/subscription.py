"""One subscription to the events of one master. Edge: asyncio.

A task reads the socket and takes each event into a `View` at once: nothing waits between the two, so a reader of the view that is slow costs the
master nothing (it would buffer without bound). While the first record, the whole state, is decoded in a thread, events wait as octets.
"""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Final, NamedTuple, Protocol

from mesos_dns.concurrency import spawn
from mesos_dns.mesos.decoding.document import StateError
from mesos_dns.mesos.decoding.evidence import Flags
from mesos_dns.mesos.decoding.members import Skipped
from mesos_dns.mesos.decoding.recordio import RecordError, RecordReader
from mesos_dns.mesos.decoding.tasks import TaskReader
from mesos_dns.mesos.decoding.v0_tasks import read_running
from mesos_dns.mesos.decoding.v1 import WRITES_EMPTY_LISTS, State, read_first
from mesos_dns.mesos.decoding.v1_calls import Master, Summary, read_flags, read_master, read_summary
from mesos_dns.mesos.decoding.v1_events import Other, read_event
from mesos_dns.mesos.decoding.v1_tasks import LiveTask
from mesos_dns.mesos.errors import (
    BodyError,
    DisconnectedError,
    MasterError,
    MasterTimeoutError,
    UnauthorizedError,
    alone,
)
from mesos_dns.mesos.http.client import MAX_STATE_OCTETS
from mesos_dns.mesos.state import Endpoint, Snapshot
from mesos_dns.mesos.view import Address, View

log = logging.getLogger(__name__)

#: Octets of events that wait for the state before them to be decoded: ten thousand large ones. Beyond that it is better to begin anew.
MAX_WAITING_OCTETS: Final = 64 * 1024**2
#: Events taken before other work gets a turn: about 3 ms.
EVENTS_PER_TURN: Final = 100
#: Seconds between two heartbeats that are believed: a master that announces less or more is taken at these.
_HEARTBEAT_SECONDS: Final = (0.05, 60.0)
#: Seconds without an octet of the first record: as for the state of the other API.
FIRST_RECORD_STALL_SECONDS: Final = 60.0
#: Tasks that a master is asked about after one summary, one by one: where more wait, the whole is read again beside.
MOST_TASKS_ASKED: Final = 32
#: Seconds after which no further one of them is asked about: summaries have other work to do.
ASKING_SECONDS: Final = 2.0


class Caller(Protocol):
    """What following events needs of a client."""

    async def call(self, endpoint: Endpoint, kind: str) -> bytearray:
        """The answer to a call of the operator API."""
        ...

    async def summary(self, endpoint: Endpoint) -> bytearray:
        """The summary of the state."""
        ...

    async def task(self, endpoint: Endpoint, framework_id: str, task_id: str) -> bytearray:
        """The list of the tasks with these ids."""
        ...

    def subscribe(self, endpoint: Endpoint) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """The chunks of the event stream."""
        ...

    async def close(self) -> None:
        """Let go of all connections."""
        ...


class Known(NamedTuple):
    """What is known from an earlier subscription: tasks by digest, and addresses and tasks that are not shown (`View.unshown`) of frameworks."""

    tasks: Mapping[int, LiveTask]
    addresses: Mapping[str, Address]
    unshown: Mapping[str, int]


class Subscription:
    """Events of the master at `endpoint`, which is `master`. `changed` is called when there is something to look at."""

    def __init__(
        self,
        client: Caller,
        endpoint: Endpoint,
        master: Master,
        known: Known,
        changed: Callable[[], None],
        *,
        first_seconds: float,
    ) -> None:
        """The state must be complete within `first_seconds`."""
        self.endpoint = endpoint
        self.master = master
        #: None until the state has come.
        self.view: View | None = None
        #: None if the master hides them.
        self.flags: Flags | None = Flags()
        #: Why it ended; None while it lasts.
        self.error: Exception | None = None
        #: Set once there is a view, or an error.
        self.settled = asyncio.Event()
        #: Octets of the state, and how many events came.
        self.octets = 0
        self.events = 0
        #: Hash of the newest event: tells whether two subscriptions to one master have come equally far.
        self.newest = 0
        #: When the last record was complete, in the loop's time.
        self.heard = 0.0
        self.heartbeat: float | None = None
        self.skipped = Skipped()
        self._client = client
        self._known: Known | None = known
        self._changed = changed
        self._first_seconds = first_seconds
        self._reader = TaskReader()
        #: Records that wait for the state; its task.
        self._waiting: deque[bytes | bytearray] = deque()
        self._waiting_octets = 0
        self._opening: asyncio.Task[None] | None = None
        self._task: asyncio.Task[None] | None = None
        self._asking: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"Subscription({self.endpoint}, {self.view!r}, events={self.events})"

    def take_snapshot(self, masters: tuple[Endpoint, ...]) -> Snapshot:
        """All that is known; what comes later are changes to it. Its state must have come."""
        if self.view is None:
            raise RuntimeError(f"the state of master {self.endpoint} has not come yet")
        return self.view.take_snapshot(self.master, self.endpoint, masters, self.flags)

    def start(self) -> None:
        """Begin to read."""
        self._task = spawn(self._run(), name=f"events of {self.endpoint}")

    async def close(self) -> None:
        """Stop reading, and close the connection."""
        tasks = [one for one in (self._task, self._opening, self._asking) if one is not None]
        self._task = self._opening = self._asking = None
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    # --- reading -------------------------------------------------------------------------------

    async def _run(self) -> None:
        try:
            await self._read()
        except asyncio.CancelledError:
            # By nobody but this object. The task would keep the exception, that its frames, and those the task: a circle.
            return
        except Exception as error:  # noqa: BLE001 - whoever follows raises what is no MasterError
            self._end(error)

    def _end(self, error: Exception) -> None:
        self.error = self.error or (alone(error) if isinstance(error, MasterError) else error)
        self.settled.set()
        self._changed()

    async def _read(self) -> None:
        loop = asyncio.get_running_loop()
        self.heard = loop.time()
        records = RecordReader(MAX_STATE_OCTETS)
        try:
            async with asyncio.timeout(None) as limit, self._client.subscribe(self.endpoint) as chunks:
                begun = loop.time()
                limit.reschedule(begun + min(self._first_seconds, FIRST_RECORD_STALL_SECONDS))
                async for chunk in chunks:
                    taken = 0
                    for record in records.feed(chunk):
                        self.heard = loop.time()
                        self._take(record)
                        del record
                        taken += 1
                        if taken % EVENTS_PER_TURN == 0:
                            self._changed()
                            await asyncio.sleep(0)
                    if taken:
                        self._changed()
                    if limit.when() is not None:
                        has_begun = self.view is not None or self._opening is not None
                        until = min(begun + self._first_seconds, loop.time() + FIRST_RECORD_STALL_SECONDS)
                        limit.reschedule(None if has_begun else until)
        except TimeoutError as error:
            text = "subscribed, but its state did not come in time: it hangs or is overloaded"
            raise MasterTimeoutError(self.endpoint, text) from error
        except RecordError as error:
            raise BodyError(self.endpoint, f"its event stream is damaged: {error}") from error
        where = "between two events" if records.is_between else "in the middle of an event"
        raise DisconnectedError(self.endpoint, f"its event stream ended, {where}")

    def missed(self, now: float) -> float:
        """How many heartbeats are overdue; 0 for a master that sends none. Whole records count: octets might come one by one."""
        return 0.0 if self.heartbeat is None else (now - self.heard) / self.heartbeat

    def _take(self, record: bytes | bytearray) -> None:
        if self.view is not None:
            self._take_event(self.view, record)
        elif self._opening is None:
            self._opening = spawn(self._open(record), name=f"state of {self.endpoint}")
        else:
            self._waiting.append(record)
            self._waiting_octets += len(record)
            if self._waiting_octets > MAX_WAITING_OCTETS:
                raise BodyError(
                    self.endpoint, f"more than {MAX_WAITING_OCTETS} octets of events came before its state was read"
                )

    def _take_event(self, view: View, record: bytes | bytearray) -> None:
        event = read_event(record, self.skipped)
        if event is None:
            view.doubt = "an event that cannot be read"
        elif not isinstance(event, Other):
            self.events += 1
            self.newest = hash(bytes(record))
            view.take(event)

    # --- the state -----------------------------------------------------------------------------

    async def _open(self, record: bytes | bytearray) -> None:
        box = [record]
        del record
        try:
            await self._open_state(box)
        except Exception as error:  # noqa: BLE001 - whoever follows raises what is no MasterError
            self._end(error)
            if self._task is not None:
                self._task.cancel()

    async def _open_state(self, box: list[bytes | bytearray]) -> None:
        """Read the state out of the box, ask for what it does not tell, and take the events that came meanwhile."""
        known = self._known or Known({}, {}, {})
        try:
            # In a thread: a large state takes seconds.
            self.octets = len(box[0])
            opened = await asyncio.to_thread(self._decode, box, known)
        except StateError as error:
            raise BodyError(self.endpoint, str(error)) from error
        if opened is None:
            # Mesos 1.5.0 may send a heartbeat before it.
            waiting, self._waiting = self._waiting, deque()
            self._waiting_octets = 0
            self._opening = None
            for each in waiting:
                self._take(each)
            return
        state, view = opened
        view.begin_summary()
        master, self.flags, summary = await self._ask()
        if master.id != self.master.id:
            raise BodyError(self.endpoint, "another master answers than a moment ago")
        view.take_summary(summary)
        # Its counts are not compared: they are those after events that wait still.
        view.end_comparison()
        taken = 0
        while self._waiting:
            self._take_event(view, self._waiting.popleft())
            taken += 1
            if taken % EVENTS_PER_TURN == 0:
                await asyncio.sleep(0)
        self._waiting_octets = 0
        if state.heartbeat is not None:
            low, high = _HEARTBEAT_SECONDS
            self.heartbeat = min(max(state.heartbeat, low), high)
        self._known = None
        self.view = view
        self.settled.set()
        self._changed()

    def _decode(self, box: list[bytes | bytearray], known: Known) -> tuple[State, View] | None:
        number = self.master.number
        state = read_first(
            box.pop(),
            self._reader,
            known=known.tasks,
            writes_empty_lists=number is not None and number >= WRITES_EMPTY_LISTS,
        )
        return (
            None if state is None else (state, View(state, self._reader, self.skipped, known.addresses, known.unshown))
        )

    async def _ask(self) -> tuple[Master, Flags | None, Summary | None]:
        """Who it is, its flags, and a summary of its state, all at once. Only the first must be had."""
        return await asyncio.gather(self._ask_master(), self._ask_flags(), self._ask_summary())

    async def _ask_master(self) -> Master:
        return await ask_master(self._client, self.endpoint)

    async def _ask_flags(self) -> Flags | None:
        try:
            return read_flags(await self._client.call(self.endpoint, "GET_FLAGS"))
        except UnauthorizedError:
            return None
        except (MasterError, StateError) as error:
            log.debug("no flags of master %s: %s", self.endpoint, error)
            return Flags()

    async def _ask_summary(self) -> Summary | None:
        try:
            body = await self._client.summary(self.endpoint)
            return await asyncio.to_thread(read_summary, body, self.skipped)
        except (MasterError, StateError) as error:
            log.debug("no summary of master %s: %s", self.endpoint, error)
            return None

    # --- summaries -----------------------------------------------------------------------------

    def refresh(self) -> None:
        """Read a summary of the state, unless one is under way."""
        if self._asking is None and self.view is not None:
            self.view.begin_summary()
            self._asking = spawn(self._refresh(self.view), name=f"summary of {self.endpoint}")

    @property
    def is_refreshing(self) -> bool:
        """Whether a summary is under way."""
        return self._asking is not None

    async def _refresh(self, view: View) -> None:
        summary = await self._ask_summary()
        if summary is not None:
            view.compare_running(summary.running)
        view.take_summary(summary)
        self._changed()
        await self._ask_tasks(view)
        view.end_comparison()
        self._asking = None
        self._changed()

    async def _ask_tasks(self, view: View) -> None:
        """Ask about tasks that may run although no event said so."""
        until = asyncio.get_running_loop().time() + ASKING_SECONDS
        for key in view.may_run(MOST_TASKS_ASKED):
            before = view.begin_task(key)
            if before is None:
                continue
            framework_id, task_id, _ = key
            try:
                body = await self._client.task(self.endpoint, framework_id, task_id)
                shown = read_running(body, framework_id, task_id, self.skipped)
            except (MasterError, StateError) as error:
                # The whole is read again instead.
                log.debug("master %s does not show a task: %s", self.endpoint, error)
                return
            if shown is not None:
                view.take_task(before, shown)
                self._changed()
            if asyncio.get_running_loop().time() >= until:
                return


async def ask_master(client: Caller, endpoint: Endpoint) -> Master:
    """Who the master at `endpoint` is; it answers only if it leads. Raises MasterError."""
    try:
        return read_master(await client.call(endpoint, "GET_MASTER"))
    except StateError as error:
        raise BodyError(endpoint, str(error)) from error
