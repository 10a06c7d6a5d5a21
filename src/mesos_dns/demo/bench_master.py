"""A leading master for benchmarks: many tasks of which some change each second, polled or followed.

Besides the paths of a master it answers

    GET  /demo/changes?after=SEQ   the changes with a higher number, oldest first: what changed and when
    POST /demo/change              make one change now, and return it

so that a benchmark knows which name has to appear, and since when it could: `time` is the master's
clock, `written` the monotonic clock (one for all processes of a machine) when the event that the
task runs went to the first subscriber's socket; null before, and while nobody is subscribed.
"""

import asyncio
import gzip
import time
from typing import Final

from aiohttp import web

from mesos_dns.demo import document, http, operator_api, v1, v1_document, wire
from mesos_dns.demo.access import ALL
from mesos_dns.demo.bench_state import ChangingState
from mesos_dns.demo.cluster import Task
from mesos_dns.demo.releases import LATEST
from mesos_dns.demo.streams import Manners, Streams, Subscriber

#: Seconds for which the summary is sent again as it was: only its counters could be other ones.
SUMMARY_AGE: Final = 30.0


class Bench:
    """The HTTP side of a changing state."""

    def __init__(self, state: ChangingState, endpoint: str, *, compress: bool) -> None:
        self._state = state
        self._endpoint = endpoint
        self._compress = compress
        self._summary = b""
        self._summary_at = float("-inf")
        self.streams = Streams()
        state.emit = self._emit

    def __repr__(self) -> str:
        return f"Bench({self._state!r}, {self.streams!r})"

    def _emit(self, body: bytes, sequence: int | None) -> None:
        for subscriber in self.streams.subscribers:
            subscriber.send(body, sequence)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        state = self._state
        match http.path_of(request):
            case "/master/state":
                return await self._send(request, state.pieces())
            case "/master/api/v1":
                return await self._operator(request)
            case "/master/state-summary":
                return http.document(request, self._summarised())
            case "/master/redirect":
                return http.empty(307, {"Location": f"//{self._endpoint}"})
            case "/master/health":
                return http.empty(200)
            case "/version":
                return http.document(request, http.version())
            case "/demo/changes":
                return _changes(state, request)
            case "/demo/change" if request.method == "POST":
                return web.Response(body=wire.dump(state.change(time.time())), content_type="application/json")
            case _:
                return http.not_found()

    def _summarised(self) -> bytes:
        if time.monotonic() - self._summary_at > SUMMARY_AGE:
            self._summary, self._summary_at = document.summary(self._state.view()), time.monotonic()
        return self._summary

    async def _operator(self, request: web.Request) -> web.StreamResponse:
        call = await operator_api.call_of(request)
        if isinstance(call, web.Response):
            return call
        view = self._state.view
        match call:
            case "SUBSCRIBE":
                return await self._subscribe(request)
            case "GET_HEALTH":
                return http.document(request, operator_api.health())
            case "GET_VERSION":
                return http.document(request, wire.dump(v1_document.version(LATEST)))
            case "GET_MASTER":
                found = view()
                return http.document(request, wire.dump(v1_document.master(found.master, found.elected or 0.0, LATEST)))
            case "GET_STATE":
                return await self._send(request, self._state.v1_pieces(b'{"type":"GET_STATE","get_state":', b"}"))
            case _:

                def text(task: Task) -> bytes:
                    return wire.dump(v1.task_json(task))

                return http.document(request, b"".join(v1_document.answer(call, view(), text, LATEST)))

    async def _subscribe(self, request: web.Request) -> web.StreamResponse:
        """Send the snapshot, which may be 250 MB, piece by piece; events wait until it is through."""
        after = b',"heartbeat_interval_seconds":%b}}' % wire.dump(v1.HEARTBEAT_INTERVAL)
        pieces = self._state.v1_pieces(b'{"type":"SUBSCRIBED","subscribed":{"get_state":', after)
        length = b"%d\n" % sum(map(len, pieces))
        subscriber = Subscriber(ALL, Manners(), self._state.written)
        self.streams.add(subscriber)
        try:
            return await subscriber.serve(request, [length, *pieces], v1.HEARTBEAT_INTERVAL)
        finally:
            self.streams.remove(subscriber)

    async def _send(self, request: web.Request, pieces: list[bytes]) -> web.StreamResponse:
        """Send a document piece by piece, so that other requests are answered meanwhile."""
        if self._compress and "gzip" in request.headers.get("Accept-Encoding", ""):
            packed = await asyncio.to_thread(lambda: gzip.compress(b"".join(pieces), 1, mtime=0))
            return web.Response(body=packed, headers={"Content-Type": "application/json", "Content-Encoding": "gzip"})
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        response.content_length = sum(map(len, pieces))
        await response.prepare(request)
        if request.method != "HEAD":
            for piece in pieces:
                await response.write(piece)
        return response


def application(state: ChangingState, endpoint: str, *, compress: bool) -> web.Application:
    """Return a web application that answers like the leading master at `endpoint`."""
    served = web.Application()
    served.router.add_route("*", "/{path:.*}", Bench(state, endpoint, compress=compress).handle)
    return served


def _changes(state: ChangingState, request: web.Request) -> web.Response:
    after = request.query.get("after", "0")
    if not (after.isascii() and after.isdigit()):
        return http.text(400, f"after={after!r} is not a sequence number")
    told = [change for change in state.changes if change["seq"] > int(after)]
    return web.Response(body=wire.dump({"seq": state.sequence, "changes": told}), content_type="application/json")


async def serve(
    state: ChangingState, address: str, port: int, *, change_rate: float, compress: bool, events: bool = False
) -> None:
    """Serve `state` until cancelled, with `change_rate` changes per second (0: only on demand).

    `events`: be ready for subscribers at once instead of polls; the first one of the others waits until all is encoded.
    """
    endpoint = f"{address}:{port}"
    listener = http.Listener(address, port, lambda: application(state, endpoint, compress=compress))
    async with http.listening([listener]):
        size = sum(map(len, state.v1_pieces(b"", b"") if events else state.pieces()))
        path = "/api/v1" if events else "/master/state"
        print(f"serving {state!r} ({size} octets) at http://{endpoint}{path}", flush=True)
        started, made = time.monotonic(), 0
        while True:
            await asyncio.sleep(min(1.0, 1.0 / change_rate) if change_rate > 0 else 1.0)
            while made < (time.monotonic() - started) * change_rate:
                state.change(time.time())
                made += 1
