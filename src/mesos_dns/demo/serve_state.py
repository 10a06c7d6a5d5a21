"""A minimal leading master that serves one state file from memory."""

import asyncio
import gzip
import re
import signal
import sys
from pathlib import Path

from aiohttp import web

from mesos_dns.demo import http

#: How often a watched file is looked at, in seconds.
WATCH_EVERY = 0.25
#: `leader` stands among the first keys; a document of 250 MB is not decoded to find it.
_HEAD = 65536
_LEADER = re.compile(rb'"leader"\s*:\s*"([^"]*)"')


class StateFile:
    """The octets of a state file, and their compressed form, which is made when first wanted.

    Raises OSError when the file cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.body = b""
        self._compressed: bytes | None = None
        self._stamp: tuple[int, int, int] | None = None
        self.reload()

    def __repr__(self) -> str:
        return f"StateFile({str(self.path)!r}, {len(self.body)} octets)"

    @property
    def leader(self) -> str:
        """The `leader` text of the document; empty when there is none near its beginning."""
        found = _LEADER.search(self.body[:_HEAD])
        return found.group(1).decode(errors="replace") if found else ""

    def changed(self) -> bool:
        """Whether the file is another one than was read last. A missing file has not changed (yet)."""
        try:
            return self._look() != self._stamp
        except FileNotFoundError:
            return False

    def reload(self) -> None:
        """Read the file again; on OSError the old content stays."""
        stamp = self._look()
        self.body = self.path.read_bytes()
        self._stamp, self._compressed = stamp, None

    async def compressed(self) -> bytes:
        """Return the gzip form, fast rather than small, made in a thread."""
        body = self.body
        if self._compressed is None:
            made = await asyncio.to_thread(gzip.compress, body, 1, mtime=0)
            if body is not self.body:
                return made
            self._compressed = made
        return self._compressed

    def _look(self) -> tuple[int, int, int]:
        stat = self.path.stat()
        return (stat.st_mtime_ns, stat.st_size, stat.st_ino)


def application(state: StateFile, endpoint: str, *, compress: bool) -> web.Application:
    """Return a web application that answers like the leading master at `endpoint`."""

    async def handle(request: web.Request) -> web.Response:
        path = http.path_of(request)
        if path == "/master/state":
            if not compress or "gzip" not in request.headers.get("Accept-Encoding", ""):
                return web.Response(body=state.body, content_type="application/json")
            return http.document(request, state.body, compressed=await state.compressed())
        if path == "/master/redirect":
            return http.empty(307, {"Location": f"//{endpoint}"})
        if path == "/master/health":
            return http.empty(200)
        if path == "/version":
            return http.document(request, http.version())
        return http.not_found()

    served = web.Application()
    served.router.add_route("*", "/{path:.*}", handle)
    return served


async def serve(path: Path, address: str, port: int, *, watch: bool, compress: bool) -> None:
    """Serve the file at `path` until cancelled; SIGHUP reads it again, `watch` does so when it changes."""
    state = StateFile(path)
    endpoint = f"{address}:{port}"
    if state.leader != f"master@{endpoint}":
        print(f"warning: {path} names the leader {state.leader!r}, but is served at {endpoint}", file=sys.stderr)
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, _reload, state)
    async with http.listening([http.Listener(address, port, lambda: application(state, endpoint, compress=compress))]):
        print(f"serving {path} ({len(state.body)} octets) at http://{endpoint}/master/state", flush=True)
        while True:
            await asyncio.sleep(WATCH_EVERY)
            if watch and state.changed():
                _reload(state)


def _reload(state: StateFile) -> None:
    try:
        state.reload()
    except OSError as error:
        print(f"cannot read {state.path} again, serving what it was: {error}", file=sys.stderr)
    else:
        print(f"read {state.path} again: {len(state.body)} octets", flush=True)
