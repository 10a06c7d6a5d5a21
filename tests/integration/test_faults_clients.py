"""What clients do to the running program: very many, very slow, greedy. Others are answered meanwhile, and memory is bounded."""

import contextlib
import copy
import json
import resource
import socket
import struct
from collections.abc import Generator, Iterator

import pytest
from tests.integration import client, wire
from tests.integration.faults import Asking, eventually_closed, is_closed, resident
from tests.integration.masters import Master
from tests.integration.program import Program, sample_state, until

from mesos_dns.limits import MAX_TCP_CONNECTIONS

#: The connections of the worst client that we can be.
MANY = 10_000
#: Octets by which a worker may grow, whoever its clients are: its 1,000 connections with some kB each, and what a giant reply takes.
GROWTH = 48 * 1024 * 1024
WEB = wire.query(1, "web.marathon.mesos.", "A")
GIANT = wire.query(1, "giant.marathon.mesos.", "A")


def state_with_giant(leader: tuple[str, int], count: int = 300) -> bytes:
    """A cluster with a name whose answer has so many addresses; 300 make 4.8 kB."""
    document = json.loads(sample_state(leader))
    tasks = document["frameworks"][0]["tasks"]
    for number in range(count):
        one = copy.deepcopy(tasks[0]) | {"id": f"giant.{number}", "name": "giant"}
        address = {"ip_address": f"10.7.{number // 200}.{number % 200 + 1}"}
        one["statuses"][0]["container_status"]["network_infos"] = [{"ip_addresses": [address]}]
        tasks.append(one)
    return json.dumps(document).encode()


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Generator[Program]:
    master = Master(("127.0.0.1", 0), b"")
    master.body = state_with_giant(master.endpoint)
    with Program(tmp_path_factory.mktemp("clients"), masters=[master.endpoint], workers=1) as running:
        running.wait_ready()
        # The first answers make what is remembered.
        assert client.ask_tcp(running.dns, GIANT)["size"] > 4096
        yield running
        assert running.end() == 0
    master.close()
    assert "Traceback" not in running.log()


@pytest.fixture
def worker(program: Program) -> Iterator[int]:
    """The only one, which is the same afterwards, and has not grown beyond its bound."""
    (pid,) = program.workers()
    before = resident(pid)
    yield pid
    assert program.workers() == [pid]
    assert resident(pid) - before < GROWTH


@contextlib.contextmanager
def connections(program: Program, count: int, network: int, *, buffer: int = 0) -> Iterator[list[socket.socket]]:
    """So many, from 50 addresses of 127.0.NETWORK: one address may have 200."""
    with contextlib.ExitStack() as stack:
        found = []
        for number in range(count):
            sock = stack.enter_context(socket.socket())
            if buffer:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
            sock.settimeout(30)
            sock.bind((f"127.0.{network}.{number % 50 + 1}", 0))
            sock.connect(program.dns)
            found.append(sock)
        yield found


def framed(*queries: bytes) -> bytes:
    return b"".join(struct.pack(">H", len(query)) + query for query in queries)


@pytest.mark.usefixtures("worker")
def test_clients_that_take_their_time_and_that_never_read(program: Program) -> None:
    """Slowloris: half a query, and an octet now and then, is no activity. And replies that nobody takes wait for so long, not for ever."""
    with (
        Asking(program.dns) as asking,
        connections(program, 50, 3) as slow,
        connections(program, 50, 4, buffer=4096) as greedy,
    ):
        questions = framed(*[GIANT] * 200)
        for sock in slow:
            sock.sendall(framed(WEB)[:1])
        for sock in greedy:
            sock.setblocking(False)
        # Each asks until it is not read any more, or has been closed: that takes seconds on a busy machine.
        stuck: dict[socket.socket, int] = dict.fromkeys(greedy, 0)
        while any(rounds < 3 for rounds in stuck.values()):
            for sock, rounds in stuck.items():
                try:
                    sock.send(questions)
                    stuck[sock] = 0
                except BlockingIOError:
                    stuck[sock] = rounds + 1
                except OSError:
                    stuck[sock] = 3
            asking.some_more(2)
        assert client.ask_tcp(program.dns, WEB)["rcode"] == "NOERROR"

        def all_gone() -> bool:
            for sock in slow:
                with contextlib.suppress(OSError):
                    sock.send(b"\0")
            asking.some_more(20)
            return all(is_closed(sock) for sock in slow)

        until(all_gone, "slow clients are borne for ever", 60)
        assert asking.some_more().keys() == {"NOERROR"}
        # Only now: who reads is no such client.
        eventually_closed(greedy)


@pytest.mark.usefixtures("worker")
def test_ten_thousand_connections(program: Program) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    count = MANY if hard == resource.RLIM_INFINITY else min(MANY, hard - 500)
    assert count > 3 * MAX_TCP_CONNECTIONS, "the limit of open files is too low to try"
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count + 500), hard))
    try:
        with Asking(program.dns) as asking, connections(program, count, 1) as held:
            assert client.ask_tcp(program.dns, WEB)["rcode"] == "NOERROR"
            assert sum(not is_closed(sock) for sock in held) <= MAX_TCP_CONNECTIONS
            # The newest of them are served; who came before has given way.
            held[-1].settimeout(30)
            held[-1].sendall(framed(WEB))
            assert wire.parse(client.exactly(held[-1], int.from_bytes(client.exactly(held[-1], 2), "big")))["answer"]
            assert asking.some_more().keys() == {"NOERROR"}
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    until(lambda: f"TCP: all {MAX_TCP_CONNECTIONS} connections are in use" in program.log(), program.log)
