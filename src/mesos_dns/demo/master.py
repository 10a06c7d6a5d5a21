"""The simulated masters over HTTP: the edge where virtual time meets the clock."""

import asyncio
import json
import random
import ssl
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, Final

from aiohttp import web

from mesos_dns.demo import document, http, operator_api, streams, v1, v1_document, wire
from mesos_dns.demo.access import READONLY, READWRITE, Door, Rights
from mesos_dns.demo.document import ClusterView, MasterIdentity, TaskTexts
from mesos_dns.demo.ledger import Ledger, Notice
from mesos_dns.demo.parts import Seat
from mesos_dns.demo.streams import MAX_SUBSCRIBERS, Manners, Streams, Subscriber
from mesos_dns.demo.world import World

#: Times of written events that are remembered.
MAX_WRITTEN: Final = 100_000

#: Paths that only the leader answers itself.
_LEADERS: Final = frozenset(
    f"/master/{name}"
    for name in ("state", "state.json", "state-summary", "slaves", "frameworks", "tasks", "tasks.json")
)
#: Paths that every master answers, but only to principals that may read.
_READABLE: Final = _LEADERS | {"/metrics/snapshot", "/master/flags"}


@dataclass(frozen=True, slots=True)
class Written:
    """When an event was written to a subscriber: `number` counts a master's events, `at` is the monotonic clock."""

    number: int
    kind: str
    master: int
    at: float


@dataclass(slots=True)
class Settings:
    """How the masters behave, to be changed at any time."""

    door: Door = field(default_factory=Door)
    #: Seconds between heartbeats, as SUBSCRIBED says.
    heartbeat: float = v1.HEARTBEAT_INTERVAL
    max_subscribers: int = MAX_SUBSCRIBERS
    #: For subscriptions that begin from now on.
    manners: Manners = field(default_factory=Manners)
    #: Seconds before a document is answered, as by a master that is slow.
    delay: float = 0.0
    #: How the octets of documents are written; None = at once.
    document_manners: Manners | None = None
    #: Given an event: True = it is never sent, as happened before 1.5 (MESOS-8469).
    lose: Callable[[Notice], bool] | None = None
    #: Given the path or the call, and the decoded document: returns what is sent instead.
    edit: Callable[[str, Any], Any] | None = None
    #: Path -> status and text that are answered instead of anything else.
    refuse: dict[str, tuple[int, str]] = field(default_factory=dict)


class Masters:
    """Serves a world: one listener for each master, open while that master lives."""

    def __init__(self, world: World, settings: Settings | None = None, *, tls: ssl.SSLContext | None = None) -> None:
        """With `tls` they speak HTTPS."""
        self.world = world
        self.settings = settings or Settings()
        self.written: deque[Written] = deque(maxlen=MAX_WRITTEN)
        self.nodes = [Node(self, index) for index in range(len(world.masters))]
        self.texts = TaskTexts(document.task_encoder(world.release))
        self.v1_texts = TaskTexts(lambda task: v1.task_json(task, world.release))
        self._listeners = [
            http.Listener(seat.identity.address, seat.identity.port, node.application, tls)
            for seat, node in zip(world.masters, self.nodes, strict=True)
        ]
        self._syncing = asyncio.Lock()
        world.listener = lambda index, notice: self.nodes[index].publish(notice)

    def __repr__(self) -> str:
        return f"Masters({self._listeners!r})"

    def serving(self) -> AbstractAsyncContextManager[None]:
        """Open the listeners for the time of a `with` block. Raises OSError when a port is taken."""
        return http.listening(self._listeners)

    async def sync(self) -> None:
        """Open and close listeners, break and silence connections as masters have died, stopped and come back."""
        # Two at a time would both find a listener closed, and both open it.
        async with self._syncing:
            for seat, node, listener in zip(self.world.masters, self.nodes, self._listeners, strict=True):
                node.follow()
                if seat.up != listener.is_open:
                    await (listener.open() if seat.up else listener.close())


class Node:
    """One master as its clients see it."""

    def __init__(self, masters: Masters, index: int) -> None:
        self._masters = masters
        self.index = index
        self.streams = Streams()
        self._ledger: Ledger | None = None
        self._awake = asyncio.Event()
        self._awake.set()
        self._number = 0
        self._kinds: dict[int, str] = {}
        self._random = random.Random(f"master {index}")

    def __repr__(self) -> str:
        return f"Node({self._seat.identity.endpoint}, {self.streams!r})"

    @property
    def _seat(self) -> Seat:
        return self._masters.world.masters[self.index]

    def application(self) -> web.Application:
        """Return what serves this master's HTTP."""
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self._handle)
        return application

    def follow(self) -> None:
        """Take over what became of the process: dead, stopped, continued, not leading any more."""
        seat = self._seat
        if seat.ledger is not self._ledger:
            self.streams.abort()
            self._ledger = seat.ledger
        if seat.frozen:
            self._awake.clear()
        else:
            self._awake.set()
        self.streams.freeze(seat.frozen)

    def publish(self, notice: Notice) -> None:
        """Send an event to the subscribers that may see it, in the order in which it happens."""
        world = self._masters.world
        self._number += 1
        lose = self._masters.settings.lose
        if lose is not None and lose(notice):
            return
        body: bytes | None = None
        for subscriber in self.streams.subscribers:
            if world.release.filters_events and not _may_see(subscriber.rights, notice):
                continue
            if body is None:
                body = wire.dump({"type": notice.kind, **notice.body})
                self._kinds[self._number] = notice.kind
            subscriber.send(body, self._number)

    def _on_written(self, number: int, at: float) -> None:
        self._masters.written.append(Written(number, self._kinds.get(number, ""), self.index, at))

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        await self._awake.wait()
        path = http.path_of(request)
        settings = self._masters.settings
        if path in settings.refuse:
            return http.text(*settings.refuse[path])
        if not self._seat.routed:
            return http.not_found()
        if path == "/master/api/v1" and self._masters.world.release.has_v1:
            return await self._operator(request)
        if path in _READABLE:
            rights = self._rights(request, READONLY)
            return rights if isinstance(rights, web.Response) else await self._readable(request, path, rights)
        if path == "/master/redirect":
            return self._redirect(request, "")
        if path == "/master/health":
            return http.empty(200)
        if path == "/version":
            return http.document(request, http.version(str(self._masters.world.release)))
        return http.not_found()

    def _rights(self, request: web.Request, realm: str) -> Rights | web.Response:
        if realm == READONLY and not self._masters.world.release.authenticates_reads:
            return self._masters.settings.door.anonymous
        found = self._masters.settings.door.rights_of(realm, request.headers.get("Authorization"))
        if found == 401:
            return http.text(401, "401 Unauthorized.", {"WWW-Authenticate": f'Basic realm="{realm}"'})
        if found == 403:
            return _forbidden()
        assert isinstance(found, Rights), "anything else is a status, and those are dealt with"
        return found

    def _redirect(self, request: web.Request, path: str) -> web.Response:
        """Send the client to whom this master takes for the leader, perhaps itself; 503 when it knows none."""
        release = self._masters.world.release
        leader = self._leader()
        if leader is None and release.redirects:
            return http.text(503, "No leader elected")
        target = f"//{(leader or self._seat.identity).location}"
        if release.absolute_location:
            target = f"http:{target}"
        if release.redirects:
            target += path
            if path and release.redirects_with_query and request.query_string:
                target += f"?{request.query_string}"
        return http.empty(307, {"Location": target})

    def _leader(self) -> MasterIdentity | None:
        seat = self._seat
        if seat.ledger is not None:
            return seat.identity
        return None if seat.believed is None else self._masters.world.masters[seat.believed].identity

    async def _readable(self, request: web.Request, path: str, rights: Rights) -> web.StreamResponse:
        release = self._masters.world.release
        if path == "/master/flags":
            if not rights.flags:
                return _forbidden()
            return http.document(request, wire.dump({"flags": document.flags(self._seat.identity)}))
        if path == "/metrics/snapshot":
            elected = float(self._seat.ledger is not None)
            return http.document(request, wire.dump({"master/elected": elected, "master/uptime_secs": 3600.0}))
        exists = {
            "/master/state": release.has_state,
            "/master/state.json": release.has_state_json,
            "/master/state-summary": release.has_summary,
            "/master/slaves": release.at_least(0, 22),
            "/master/frameworks": release.at_least(0, 26),
            "/master/tasks": release.has_tasks,
            "/master/tasks.json": release.has_state_json,
        }
        if not exists[path]:
            return http.not_found()
        if self._seat.ledger is None and release.redirects:
            return self._redirect(request, path)
        return await self._slowly(request, self._document(path, rights, request.query))

    def _known(self) -> ClusterView:
        seat, world = self._seat, self._masters.world
        if seat.ledger is None:
            return ClusterView(seat.identity, None, (), (), leader=self._leader(), release=world.release)
        return seat.ledger.view()

    def _view(self, rights: Rights) -> ClusterView:
        return rights.filtered(self._known())

    def _document(self, path: str, rights: Rights, query: Mapping[str, str]) -> bytes:
        texts = self._masters.texts
        view = self._view(rights)
        match path:
            case "/master/state-summary":
                body = document.summary(rights.summarised(self._known()))
            case "/master/tasks" | "/master/tasks.json":
                body = document.tasks(view, texts.text, query)
            case "/master/slaves":
                body = document.slaves(view)
            case "/master/frameworks":
                body = document.frameworks(view, texts.text)
            case _:
                body = document.state(view, texts)
        return self._edited(path, body)

    def _edited(self, what: str, body: bytes) -> bytes:
        edit = self._masters.settings.edit
        return body if edit is None else wire.dump(edit(what, json.loads(body)))

    async def _operator(self, request: web.Request) -> web.StreamResponse:
        rights = self._rights(request, READWRITE)
        if isinstance(rights, web.Response):
            return rights
        ledger = self._seat.ledger
        if ledger is None:
            return self._redirect(request, "/master/api/v1")
        if not ledger.registry_read:
            return http.text(503, "Master has not finished recovery")
        call = await operator_api.call_of(request)
        if isinstance(call, web.Response):
            return call
        if call == "SUBSCRIBE":
            return await self._subscribe(request, rights)
        if call == "GET_FLAGS" and not rights.flags:
            return _forbidden()
        return await self._slowly(request, self._edited(call, self._called(call, ledger, rights)))

    def _called(self, call: str, ledger: Ledger, rights: Rights) -> bytes:
        """Return the answer to a call of the operator API."""
        release = self._masters.world.release
        match call:
            case "GET_FLAGS":
                return wire.dump(v1_document.flags(document.flags(ledger.master)))
            case "GET_HEALTH":
                return operator_api.health()
            case "GET_VERSION":
                return wire.dump(v1_document.version(release))
            case "GET_MASTER":
                return wire.dump(v1_document.master(ledger.master, ledger.elected, release))
            case _:
                texts = self._masters.v1_texts
                return b"".join(v1_document.answer(call, self._view(rights), texts.text, release))

    async def _slowly(self, request: web.Request, body: bytes) -> web.StreamResponse:
        """Answer with a document as fast or slow as the settings say."""
        settings = self._masters.settings
        await asyncio.sleep(settings.delay)
        if settings.document_manners is None:
            return http.document(request, body)
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        response.content_length = len(body)
        await response.prepare(request)
        await streams.write(response, body, settings.document_manners, self._random)
        return response

    async def _subscribe(self, request: web.Request, rights: Rights) -> web.StreamResponse:
        """Take the snapshot and join the subscribers in one step: nothing is lost or told twice between."""
        settings, release = self._masters.settings, self._masters.world.release
        self.follow()
        texts = self._masters.v1_texts
        pieces = v1_document.subscribed(self._view(rights), texts.text, release, settings.heartbeat)
        body = self._edited("SUBSCRIBE", b"".join(pieces))
        subscriber = Subscriber(rights, settings.manners, self._on_written)
        self.streams.limit = settings.max_subscribers if release.limits_subscribers else None
        self.streams.add(subscriber)
        try:
            heartbeat = settings.heartbeat if release.heartbeats else None
            before = [streams.record(streams.HEARTBEAT)] if release.heartbeat_first else []
            return await subscriber.serve(request, [*before, streams.record(body)], heartbeat)
        finally:
            self.streams.remove(subscriber)


def _forbidden() -> web.Response:
    return http.text(403, "403 Forbidden.")


def _may_see(rights: Rights, notice: Notice) -> bool:
    if notice.task is not None:
        return rights.task(notice.task)
    return notice.framework is None or rights.framework(notice.framework)
