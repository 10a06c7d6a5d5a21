"""The running program, and BIND with the same zone, held to the same specification: `cases.py`, `probes.py`, and streams of TCP."""

import ast
import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path

import pytest
from fuzz.answering import check
from tests.integration import client
from tests.integration.conformance import beds, hostile
from tests.integration.conformance.beds import Server, framed, received
from tests.integration.conformance.cases import ANSWER, CASES, EDNS, HEADER, NXDOMAIN, WEB
from tests.integration.conformance.elsewhere import ELSEWHERE, Elsewhere
from tests.integration.conformance.judging import UDP_SIZE, Case, Reply, complaints, query
from tests.integration.conformance.probes import PROBES, TYPES
from tests.integration.masters import Master
from tests.integration.program import Program, free_port, until

from mesos_dns.dns import message as msg

ROOT = Path(__file__).parents[3]
SOA_QUERY = query()
MALFORMED = next(case for case in HEADER if case.name == "a label of 64 octets")


@pytest.fixture(scope="module")
def master() -> Iterator[Master]:
    serving = Master(("127.0.0.1", 0), b"")
    serving.body = beds.cluster(serving.endpoint)
    yield serving
    serving.close()


@pytest.fixture(scope="module")
def program(master: Master, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    with Program(tmp_path_factory.mktemp("program"), masters=[master.endpoint], recurseOn=False, Workers=2) as running:
        running.wait_ready()
        yield running


@pytest.fixture(scope="module")
def servers(program: Program, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Server]]:
    with ExitStack() as stack:
        other = stack.enter_context(beds.bind(tmp_path_factory.mktemp("bind"), beds.zone_file(program)))
        yield {"ours": Server("ours", program.dns), "BIND": other}


@pytest.fixture(scope="module", params=["ours", "BIND"])
def server(request: pytest.FixtureRequest, servers: dict[str, Server]) -> Server:
    return servers[request.param]


@pytest.mark.parametrize(
    "case", [pytest.param(case, id=f"{part}: {case.name}") for part, cases in CASES.items() for case in cases]
)
def test_case(request: pytest.FixtureRequest, server: Server, case: Case) -> None:
    if case.pending and server.name == "ours":
        request.applymarker(pytest.mark.xfail(reason=case.pending, strict=True))
    expected = case.bind if server.name == "BIND" and not isinstance(case.bind, str) else case.reply
    wrong = complaints(case.query, server.ask(case.query, tcp=case.tcp), expected)
    assert not wrong, f"{case.source}: {'; '.join(wrong)}"


def test_all_probes_of_the_compliance_tester(server: Server) -> None:
    """33 of 33, and all types."""
    found = {
        case.name: complaints(case.query, server.ask(case.query, tcp=case.tcp), case.reply)
        for case in (*PROBES, *TYPES)
    }
    assert {name: wrong for name, wrong in found.items() if wrong} == {}
    assert (len(PROBES), len(TYPES)) == (33, 112)


# --- streams (RFC 7766) ------------------------------------------------------------------------


def test_a_message_may_come_octet_by_octet(server: Server) -> None:
    with server.connection() as sock:
        for octet in framed(SOA_QUERY):
            sock.sendall(bytes((octet,)))
        assert complaints(SOA_QUERY, received(sock), ANSWER) == []


def test_100_queries_at_once_get_100_answers(server: Server) -> None:
    asked = [query() if n % 2 else query(f"nobody{n}.mesos.", "A") for n in range(100)]
    stream = b"".join(framed(struct.pack(">H", n) + octets[2:]) for n, octets in enumerate(asked))
    with server.connection() as sock:
        sock.sendall(stream)
        replies = [received(sock) for _ in asked]
    # RFC 7766 section 7: in any order.
    for octets in replies:
        n = int.from_bytes(octets[:2])
        assert complaints(octets[:2] + asked[n][2:], octets, ANSWER if n % 2 else NXDOMAIN) == []
    assert len({octets[:2] for octets in replies}) == 100


def test_who_has_asked_all_it_wanted_is_answered(server: Server) -> None:
    with server.connection() as sock:
        sock.sendall(framed(SOA_QUERY) * 2)
        sock.shutdown(socket.SHUT_WR)
        assert [complaints(SOA_QUERY, received(sock), ANSWER) for _ in range(2)] == [[], []]
        assert sock.recv(1) == b""


def test_a_malformed_query_is_told_so_and_the_connection_goes_on(server: Server) -> None:
    with server.connection() as sock:
        sock.sendall(framed(MALFORMED.query) + framed(SOA_QUERY))
        assert complaints(MALFORMED.query, received(sock), MALFORMED.reply) == []
        assert complaints(SOA_QUERY, received(sock), ANSWER) == []


def test_clients_that_ask_for_it_are_told_how_long_they_may_stay(server: Server) -> None:
    """RFC 7828 section 3.3.2; units of 100 ms."""
    asked = query(edns=0, options=[(11, "")])
    with server.connection() as sock:
        sock.sendall(framed(asked))
        assert complaints(asked, received(sock), EDNS.but(options=("11 ????",))) == []


# --- what changes ------------------------------------------------------------------------------


def test_the_serial_grows_with_the_content_and_only_with_it(program: Program, master: Master) -> None:
    """RFC 1982 section 3.2."""
    ours = Server("ours", program.dns)
    seen = [beds.serial(ours)]
    for tasks in ({"extra": "10.7.0.1"}, {}):
        master.body = beds.cluster(master.endpoint, **tasks)
        rcode = "NOERROR" if tasks else "NXDOMAIN"
        until(lambda rcode=rcode: client.ask(program.dns, "extra.marathon.mesos.", "A")["rcode"] == rcode, program.log)
        until(program.in_step, program.log)
        seen.append(beds.serial(ours))
    asked = master.asked
    until(lambda: master.asked >= asked + 2, "the master is not asked any more")
    seen.append(beds.serial(ours))
    steps = [(after - before) % 2**32 for before, after in pairwise(seen)]
    assert all(0 < step < 2**31 for step in steps[:2])
    assert steps[2] == 0


def test_before_the_first_state_nothing_is_denied_and_the_address_that_was_asked_answers(tmp_path: Path) -> None:
    """RFC 8914 section 4.15; RFC 2181 section 4."""
    with Program(tmp_path, masters=[("127.0.0.1", free_port())], listener="0.0.0.0", recurseOn=False) as program:
        until(lambda: client.ask_tcp(program.dns, query()).get("rcode"), program.log)
        starting = Server("ours", ("127.0.0.7", program.dns_port))
        for tcp in (False, True):
            for name in ("mesos.", WEB):
                asked = query(name, "A", edns=0)
                not_ready = Reply("SERVFAIL", "", opt=True, options=("15 000e*",), limit=UDP_SIZE)
                assert complaints(asked, starting.ask(asked, tcp=tcp), not_ready) == []
        assert complaints(SOA_QUERY, starting.ask(SOA_QUERY), Reply("SERVFAIL", "")) == []


# --- any octets --------------------------------------------------------------------------------


def test_any_octets_do_no_harm(program: Program, servers: dict[str, Server]) -> None:
    """Thousands of damaged messages over UDP and TCP: each reply is one that its message may get, nobody else's is lost, memory stays."""
    packets = hostile.packets(2000)
    ours, workers = servers["ours"], program.workers()
    sizes = []
    for _ in range(4):
        for tcp in (False, True):
            for asked, reply in hostile.exchange(ours, packets, tcp=tcp):
                check(asked, reply, msg.TCP_SIZE if tcp else msg.UDP_SIZE, says_cookies=True)
            assert complaints(SOA_QUERY, ours.ask(SOA_QUERY, tcp=tcp), ANSWER) == []
        sizes.append(sum(map(hostile.resident, (program.pid, *workers))))
    # What is asked again and again is remembered: the first rounds fill the caches, the others must add nothing.
    assert sizes[3] - sizes[2] < hostile.LARGEST_GROWTH, sizes
    assert program.workers() == workers
    assert "Traceback" not in program.log()


@pytest.mark.parametrize("tcp", [False, True])
@pytest.mark.parametrize("size", [513, 1233, 4096, 65507])
def test_messages_of_any_size(server: Server, size: int, *, tcp: bool) -> None:
    for asked in (SOA_QUERY.ljust(size, b"\0"), b"\xff" * size, bytes(size)):
        reply = server.ask(asked, tcp=tcp)
        assert reply is None or reply[:2] == asked[:2]
    assert complaints(SOA_QUERY, server.ask(SOA_QUERY, tcp=tcp), ANSWER) == []


# --- where the rest is held --------------------------------------------------------------------


@pytest.mark.parametrize("line", ELSEWHERE, ids=lambda line: line.what)
def test_what_is_held_elsewhere_is(line: Elsewhere) -> None:
    tree = ast.parse((ROOT / line.file).read_text())
    functions = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    assert line.test in functions
