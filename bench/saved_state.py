"""A master that serves states from memory, and notes what each poll cost the one who polls.

The simulated master of the demo makes its states while it is asked, on the same cores; here nothing
is computed, so what is measured is Mesos-DNS. Real masters compress when asked to, so this one does.
"""

import gzip
import random
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from bench.servers import ADDRESS

_LEADER: Final = re.compile(rb'"leader":\s*"([^"]*)"')
_TASK_ADDRESS: Final = re.compile(rb'"ip_address":\s*"(\d+\.\d+\.\d+\.\d+)"')


def led_by(state: bytes, address: str, port: int) -> bytes:
    """The state as the leading master at that address gives it; ValueError when it names no leader.

    Replaces the PID of the leader everywhere: as `leader`, and as `pid` of the master who answers.
    """
    found = _LEADER.search(state)
    if found is None:
        raise ValueError('the state has no "leader": expected the state of a leading master')
    return state.replace(b'"%s"' % found[1], b'"master@%s:%d"' % (address.encode(), port))


def readdressed(state: bytes, count: int, randomness: random.Random) -> tuple[bytes, int]:
    """The state with other addresses for up to `count` tasks, and how many addresses that were.

    The new addresses are of the network for benchmarks (RFC 2544), so they never were there before.
    """
    found = sorted({match[1] for match in _TASK_ADDRESS.finditer(state)})
    chosen = randomness.sample(found, min(count, len(found)))
    fresh = {old: b"198.18.%d.%d" % divmod(place, 256) for place, old in enumerate(chosen)}

    def replaced(match: re.Match[bytes]) -> bytes:
        return b'"ip_address":"%s"' % fresh.get(match[1], match[1])

    return _TASK_ADDRESS.sub(replaced, state), len(chosen)


@dataclass(frozen=True, slots=True)
class Body:
    """What is served, ready to send."""

    name: str
    plain: bytes
    packed: bytes


def body(name: str, state: bytes, port: int) -> Body:
    plain = led_by(state, ADDRESS, port)
    # Level 1: what libprocess uses is not much better, and packing 250 MB at level 6 takes a minute.
    return Body(name, plain, gzip.compress(plain, compresslevel=1))


@dataclass(frozen=True, slots=True)
class Poll:
    """One fetch: which body it got, when it was asked for, and what `sample` said at that moment."""

    name: str
    at: float
    sample: tuple[float, ...]


@dataclass(slots=True)
class StateMaster:
    """Serves `serving`, or while there is a `script`, one body of it at each fetch and then its last."""

    port: int
    serving: Body | None = None
    script: deque[Body] = field(default_factory=deque)
    #: Grows by one at each fetch of the state.
    polls: list[Poll] = field(default_factory=list)
    #: Called at the start of each fetch, when the one who asks has ended all work for the fetch before.
    sample: Callable[[], tuple[float, ...]] = tuple

    def fetched(self) -> Body | None:
        """Note a fetch and choose what it gets."""
        if self.script:
            self.serving = self.script.popleft()
        if self.serving is not None:
            self.polls.append(Poll(self.serving.name, time.monotonic(), self.sample()))
        return self.serving


@contextmanager
def state_master() -> Iterator[StateMaster]:
    """Serve while the block lasts; nothing but 503 until `serving` is set."""

    class Answer(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            _answer(self, served)

        def log_message(self, *_arguments: Any) -> None:
            """Say nothing: polls are kept in `polls`."""

    web = ThreadingHTTPServer((ADDRESS, 0), Answer)
    web.daemon_threads = True
    served = StateMaster(web.server_address[1])
    thread = threading.Thread(target=web.serve_forever, name="state-master", daemon=True)
    thread.start()
    try:
        yield served
    finally:
        web.shutdown()
        web.server_close()
        thread.join()


def _answer(request: BaseHTTPRequestHandler, served: StateMaster) -> None:
    wanted = request.path.split("?")[0] in {"/master/state", "/state", "/master/state.json", "/state.json"}
    found = served.fetched() if wanted else None
    if found is None:
        request.send_response(503 if wanted else 404)
        request.send_header("Content-Length", "0")
        request.end_headers()
        return
    packed = "gzip" in request.headers.get("Accept-Encoding", "")
    content = found.packed if packed else found.plain
    request.send_response(200)
    request.send_header("Content-Type", "application/json")
    if packed:
        request.send_header("Content-Encoding", "gzip")
    request.send_header("Content-Length", str(len(content)))
    request.end_headers()
    try:
        request.wfile.write(content)
    except ConnectionError:  # the other side has given up: its business
        request.close_connection = True
