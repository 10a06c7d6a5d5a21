"""The smallest Mesos master: answers `/master/state` with given octets. Standard library only."""

import http.server
import json
import socket
import threading
from collections.abc import Callable
from typing import Any

Endpoint = tuple[str, int]


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        server: Any = self.server
        if self.path.split("?", 1)[0].rstrip("/") not in (
            "/master/state",
            "/master/state.json",
            "/state",
            "/state.json",
        ):
            self.send_error(404)
            return
        server.asked += 1
        status, headers, body = server.reply()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def date_time_string(self, timestamp: float | None = None) -> str:
        server: Any = self.server
        return server.date or super().date_time_string(timestamp)

    def log_message(self, *_: object) -> None:
        """Say nothing: tests print what matters."""


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, endpoint: Endpoint, reply: Callable[[], tuple[int, dict[str, str], bytes]]) -> None:
        self.address_family = socket.AF_INET6 if ":" in endpoint[0] else socket.AF_INET
        super().__init__(endpoint, _Handler)
        self.reply = reply
        self.asked = 0
        self.date = ""

    def server_bind(self) -> None:
        # Not the base class's: it looks its own name up in DNS.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def handle_error(self, *_: object) -> None:
        """A client that went away is no news."""


class Master:
    """Serves what `body` says until closed; `endpoint` tells the port that was bound."""

    def __init__(self, endpoint: Endpoint, body: bytes, *, status: int = 200) -> None:
        self.body = body
        self.status = status
        #: Where it points to, if it does not lead (Mesos 1.0 and later).
        self.leader: Endpoint | None = None
        self._server = _Server(endpoint, self._reply)
        self._thread = self._serve()

    def _reply(self) -> tuple[int, dict[str, str], bytes]:
        if self.leader is not None:
            return 307, {"Location": "//{}:{}/master/state".format(*self.leader)}, b""
        return self.status, {"Content-Type": "application/json"}, self.body

    def _serve(self) -> threading.Thread:
        thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        return thread

    def stand_still(self) -> None:
        """Do as a stopped process (SIGSTOP): the system takes connections and requests, and nobody answers them."""
        self._server.shutdown()
        self._thread.join()

    def go_on(self) -> None:
        """Answer what has come meanwhile, and what comes."""
        self._thread = self._serve()

    @property
    def endpoint(self) -> Endpoint:
        return str(self._server.server_address[0]), int(self._server.server_address[1])

    def believe_date(self, date: str) -> None:
        """Have a clock that is wrong: `date` as in the header of that name."""
        self._server.date = date

    @property
    def asked(self) -> int:
        """How often the state was asked for."""
        return self._server.asked

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def follower_view(leader: str) -> bytes:
    """What a master that does not lead said before it learned to redirect: itself, empty, and who leads."""
    return json.dumps(
        {"frameworks": [], "slaves": [], "leader": leader, "completed_frameworks": [], "orphan_tasks": []}
    ).encode()
