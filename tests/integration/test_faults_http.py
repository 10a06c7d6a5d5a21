"""What clients do to the HTTP API of the running program: hang, dawdle, ask for everything at once. DNS goes on meanwhile, and memory is bounded."""

import contextlib
import http.client
import io
import itertools
import json
import socket
from collections import Counter
from collections.abc import Generator, Iterator

import pytest
from tests.integration.faults import Asking, is_closed, resident
from tests.integration.masters import Master
from tests.integration.program import Program, until
from tests.integration.test_faults_clients import state_with_giant

from mesos_dns.web.server import MAX_HTTP_CONNECTIONS, MAX_HTTP_PER_CLIENT

#: Requests for all records, at once.
DUMPS = 1000
#: Of one address: less than the share of one client.
MAX_EACH = 50
#: Octets by which control may grow: its 256 connections with some 100 kB each, of which most are in the kernel, and one dump.
GROWTH = 32 * 1024 * 1024


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Generator[Program]:
    master = Master(("127.0.0.1", 0), b"")
    master.body = state_with_giant(master.endpoint, 40)
    with Program(tmp_path_factory.mktemp("http"), masters=[master.endpoint], workers=1) as running:
        running.wait_ready()
        # The first of each make what is remembered.
        for path in ("/metrics", "/v1/axfr", "/v1/enumerate", "/v1/status"):
            assert running.get(path)[0] == 200
        yield running
        assert running.end() == 0
    master.close()
    assert "Traceback" not in running.log()


@pytest.fixture
def asking(program: Program) -> Iterator[Asking]:
    """Somebody who asks DNS all the while, and always gets the answer; control stays within its bound."""
    before = resident(program.pid)
    with Asking(program.dns) as asked:
        yield asked
        assert asked.some_more().keys() == {"NOERROR"}
    assert resident(program.pid) - before < GROWTH


@contextlib.contextmanager
def clients(
    program: Program, count: int, network: int, each: int, request: bytes = b"", *, room: int = 0
) -> Iterator[list[socket.socket]]:
    """So many connections, `each` of one address of 127.0.NETWORK, that have sent `request`, with so much room for replies."""
    with contextlib.ExitStack() as stack:
        found = []
        for number in range(count):
            sock = stack.enter_context(socket.socket())
            if room:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
            sock.settimeout(60)
            sock.bind((f"127.0.{network}.{number // each + 1}", 0))
            sock.connect(("127.0.0.1", program.http_port))
            sock.sendall(request)
            found.append(sock)
        yield found


def asked(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()


def read(sock: socket.socket, at_once: int = 65536) -> tuple[int, bytes]:
    """Status and body of a whole reply; 0 if the connection is closed instead."""
    octets = b""
    try:
        while more := sock.recv(at_once):
            octets += more
        reply = http.client.HTTPResponse(_Replayed(octets))  # type: ignore[arg-type]  # see there
        reply.begin()
        return reply.status, reply.read()
    except (ConnectionError, http.client.BadStatusLine):
        return 0, b""


class _Replayed:
    """What `http.client` wants of a socket."""

    def __init__(self, octets: bytes) -> None:
        self._octets = octets

    def makefile(self, _: str) -> io.BytesIO:
        return io.BytesIO(self._octets)


def test_scrapers_and_browsers_that_hang(program: Program, asking: Asking) -> None:
    """Those who connect and say nothing, who ask and never read, and who read an octet at a time."""
    with (
        clients(program, MAX_HTTP_PER_CLIENT, 5, MAX_HTTP_PER_CLIENT) as mute,
        clients(program, 40, 6, 40, asked("/metrics"), room=4096) as deaf,
        clients(program, 10, 7, 10, asked("/v1/axfr"), room=4096) as deaf_dumps,
        clients(program, 1, 8, 1, asked("/metrics"), room=4096) as (dawdling,),
    ):
        # Their share is used up, that of others is not.
        with clients(program, 1, 5, 1) as (further,):
            until(lambda: is_closed(further), "one client has more than its share")
        status, body = read(dawdling, 1)
        assert status == 200
        assert body.endswith(b"\n")
        for path in ("/metrics", "/v1/status", "/readyz", "/v1/axfr"):
            assert program.get(path)[0] == 200
        assert asking.some_more().keys() == {"NOERROR"}
        assert [sock for sock in (*deaf, *deaf_dumps) if read(sock)[0] != 200] == []
        assert len(mute) == MAX_HTTP_PER_CLIENT


def test_a_thousand_dumps_at_once(program: Program, asking: Asking) -> None:
    """One after the other is sent; who is one too many is closed at once, and whoever is admitted gets all of it."""
    whole = {path: json.loads(program.get(path)[1]) for path in ("/v1/axfr", "/v1/enumerate")}
    statuses: Counter[int] = Counter()
    with contextlib.ExitStack() as stack:
        # All are there before the first asks, and never more at once than the kernel lets wait.
        socks: list[socket.socket] = []
        for number in range(DUMPS // MAX_EACH):
            socks += stack.enter_context(clients(program, MAX_EACH, 10 + number, MAX_EACH))
            program.get("/healthz")
        waiting = list(zip(itertools.cycle(whole), socks, strict=False))
        for path, sock in waiting:
            with contextlib.suppress(OSError):  # One connection too many: it is closed already.
                sock.sendall(asked(path))
        for path, sock in waiting:
            status, body = read(sock)
            statuses[status] += 1
            assert status != 200 or json.loads(body) == whole[path]
    # On a very busy machine some wait too long for those before them, and are told so.
    assert statuses.keys() <= {0, 200, 503}
    assert statuses[200] + statuses[503] >= MAX_HTTP_CONNECTIONS
    assert statuses[200] > 0
    assert program.get("/v1/axfr")[0] == 200
    assert asking.some_more().keys() == {"NOERROR"}
