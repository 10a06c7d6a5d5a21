"""Who may ask what, and how often, asked of the real program from several addresses."""

import contextlib
import http.client
import json
import os
import socket
from collections.abc import Generator
from pathlib import Path
from typing import Any

import dns.edns
import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest
from tests.integration import netns, wire
from tests.integration.masters import Master
from tests.integration.program import PATIENCE, Program, sample_state, until
from tests.integration.test_forwarding import honest, serving

ROOT = Path(__file__).parents[2]
WEB, OUTSIDE = "web.marathon.mesos.", "www.example.com."
#: An outside name with more addresses than fit without EDNS.
LARGE = "large.example.com."
UDP, TCP = socket.SOCK_DGRAM, socket.SOCK_STREAM


def with_many(state: bytes) -> bytes:
    """The state with 300 tasks called `many`, each with an address of its own."""
    document = json.loads(state)
    (framework,) = document["frameworks"]
    one = json.dumps(framework["tasks"][0]).replace("web", "many")
    for n in range(300):
        framework["tasks"].append(
            json.loads(one.replace("many.1", f"many.{n}").replace("10.2.0.1", f"10.4.{n // 200}.{n % 200}"))
        )
    return json.dumps(document).encode()


def answering(query: dns.message.Message) -> dns.message.Message:
    reply = honest(query)
    if query.question[0].name.to_text() == LARGE:
        addresses = [f"192.0.2.{n}" for n in range(70)]
        reply.answer = [dns.rrset.from_text(LARGE, 300, "IN", "A", *addresses)]
    return reply


@pytest.fixture(scope="module")
def master_of_all() -> Generator[Master]:
    serving_master = Master(("127.0.0.1", 0), b"")
    serving_master.body = with_many(sample_state(serving_master.endpoint))
    yield serving_master
    serving_master.close()


def started(master: Master, folder: Path, **keys: Any) -> Generator[Program]:
    with (
        serving(answering) as (upstream,),
        Program(folder, masters=[master.endpoint], Resolvers=[upstream.text], **keys) as running,
    ):
        running.wait_ready()
        yield running


@pytest.fixture(scope="module")
def guarded(master_of_all: Master, tmp_path_factory: pytest.TempPathFactory) -> Generator[Program]:
    """127.0.0.9 may not ask, 127.0.0.1 to 7 may ask about names outside, 127.0.0.1 may use HTTP."""
    yield from started(
        master_of_all,
        tmp_path_factory.mktemp("guarded"),
        Workers=1,
        AllowQuery=["any", "!127.0.0.9"],
        AllowRecursion=["127.0.0.0/29"],
        AllowHttp=["127.0.0.1"],
    )


@pytest.fixture(scope="module")
def limited(master_of_all: Master, tmp_path_factory: pytest.TempPathFactory) -> Generator[Program]:
    yield from started(
        master_of_all,
        tmp_path_factory.mktemp("limited"),
        AllowRecursion=["any"],
        Workers=1,
        RateLimit={"ResponsesPerSecond": 1, "Window": 3600, "ExemptClients": ["127.9.0.0/16"]},
    )


def ask(program: Program, source: str, name: str = WEB, kind: socket.SocketKind = UDP, **more: Any) -> Any:
    """The reply to a question from that address."""
    octets = wire.query(1, name, "A", edns=1232, **more)
    with socket.socket(socket.AF_INET, kind) as sock:
        sock.settimeout(PATIENCE)
        sock.bind((source, 0))
        sock.connect(program.dns)
        if kind is UDP:
            sock.send(octets)
            return dns.message.from_wire(sock.recv(65535))
        sock.sendall(len(octets).to_bytes(2) + octets)
        length = int.from_bytes(sock.recv(2, socket.MSG_WAITALL))
        return dns.message.from_wire(sock.recv(length, socket.MSG_WAITALL))


def refused(reply: Any) -> bool:
    if reply.rcode() != dns.rcode.REFUSED:
        return False
    assert [int(option.code) for option in reply.options] == [18]
    assert not reply.flags & dns.flags.RA
    assert not reply.answer
    return True


# --- lists -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [UDP, TCP])
def test_who_may_not_ask_is_refused_whatever_is_asked(guarded: Program, kind: socket.SocketKind) -> None:
    for name in (WEB, OUTSIDE, "nobody.mesos.", "mesos.", "x.y.z.mesos."):
        for _ in range(3):
            assert refused(ask(guarded, "127.0.0.9", name, kind))
            assert not refused(ask(guarded, "127.0.0.1", name, kind))


@pytest.mark.parametrize("kind", [UDP, TCP])
def test_names_outside_are_for_some_and_the_zone_is_for_all(guarded: Program, kind: socket.SocketKind) -> None:
    for _ in range(3):
        assert ask(guarded, "127.0.0.7", OUTSIDE, kind).answer
        assert refused(ask(guarded, "127.0.0.8", OUTSIDE, kind))
        friend, stranger = (ask(guarded, source, WEB, kind) for source in ("127.0.0.7", "127.0.0.8"))
        assert len(friend.answer[0]) == len(stranger.answer[0]) == 2
        assert friend.flags == stranger.flags == dns.flags.QR | dns.flags.AA | dns.flags.RD | dns.flags.RA


def test_refusals_are_counted(guarded: Program) -> None:
    def counters() -> Any:
        return json.loads(guarded.get("/v1/status")[1])["counters"]

    before = counters()
    assert refused(ask(guarded, "127.0.0.9"))
    assert refused(ask(guarded, "127.0.0.8", OUTSIDE))

    def counted() -> bool:
        now = counters()
        return all(now.get(name, 0) > before.get(name, 0) for name in ("refused", "recursion_refused"))

    until(counted, lambda: f"not counted: {counters()}")


@pytest.mark.parametrize("path", ["/v1/version", "/readyz", "/nothing"])
def test_http_is_for_some(guarded: Program, path: str) -> None:
    for source, status in (("127.0.0.1", 404 if path == "/nothing" else 200), ("127.0.0.2", 403)):
        connection = http.client.HTTPConnection("127.0.0.1", guarded.http_port, PATIENCE, (source, 0))
        connection.request("GET", path)
        reply = connection.getresponse()
        body = reply.read().decode()
        connection.close()
        assert reply.status == status
        assert ("AllowHttp" in body) is (status == 403)


@pytest.mark.skipif(netns.missing() is not None, reason=str(netns.missing()))
def test_by_default_names_outside_are_for_this_machine_its_networks_and_private_ones(tmp_path: Path) -> None:
    program = [netns.python(), "-m", "tests.integration.access_driver", str(tmp_path)]
    log = tmp_path / "driver.log"
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    process = netns.start(["env", f"PYTHONPATH={path}", *program], log=log, folder=ROOT)
    try:
        assert process.wait(120) == 0, log.read_text()
    finally:
        process.kill()
        process.wait()
    found = json.loads((tmp_path / "found.json").read_text())
    assert len(found) == 40
    strangers = ("203.0.113.9", "2001:db8:9::1")
    inside = {"rcode": "NOERROR", "ra": True, "errors": [], "answers": 2}
    for what, told in found.items():
        source, _, name = what.split()
        if name == WEB:
            assert told == [inside] * 2, what
        elif source in strangers:
            assert told == [{"rcode": "REFUSED", "ra": False, "errors": [18], "answers": 0}] * 2, what
        else:
            assert told == [{"rcode": "NOERROR", "ra": True, "errors": [], "answers": 1}] * 2, what


# --- rates -------------------------------------------------------------------------------------


def burst(program: Program, source: str, times: int, name: str = WEB) -> list[Any]:
    """The replies to so many questions, by UDP."""
    with socket.socket(socket.AF_INET, UDP) as sock:
        sock.settimeout(PATIENCE)
        sock.bind((source, 0))
        sock.connect(program.dns)
        for n in range(times):
            sock.send(wire.query(n, name, "A", edns=1232))
        found = []
        # The one that ends it comes from elsewhere, waits in the same socket of the program, and takes as long.
        ask(program, "127.9.0.1", name)
        sock.setblocking(False)
        while True:
            try:
                found.append(dns.message.from_wire(sock.recv(65535)))
            except BlockingIOError:
                return found


@pytest.mark.parametrize(("number", "name"), [*enumerate([WEB, OUTSIDE, "nobody.mesos.", "web.*.marathon.mesos."])])
def test_the_same_is_not_said_too_often_to_one_network(limited: Program, number: int, name: str) -> None:
    """Of 41 answers one or two are whole, since a second may pass meanwhile; of the others every second one is truncated."""
    network = f"127.1.{number}"
    if name == OUTSIDE:
        assert ask(limited, "127.9.0.1", name).answer  # It is in the cache then, and answered at once.
    replies = burst(limited, f"{network}.1", 41, name)
    truncated = [reply for reply in replies if reply.flags & dns.flags.TC]
    whole = len(replies) - len(truncated)
    assert 1 <= whole <= 3
    assert len(truncated) == (41 - whole) // 2
    assert not any(reply.answer or reply.authority for reply in truncated)
    assert all(reply.flags & dns.flags.TC for reply in burst(limited, f"{network}.200", 20, name))
    # TCP proves the address, and other networks have asked for nothing.
    assert not ask(limited, f"{network}.1", name, TCP).flags & dns.flags.TC
    assert ask(limited, f"127.2.{number}.1", name).rcode() == truncated[0].rcode()


def test_what_is_held_back_is_counted_and_told_once(limited: Program) -> None:
    burst(limited, "127.3.0.1", 30)
    burst(limited, "127.3.1.1", 30)

    def counted() -> bool:
        counters = json.loads(limited.get("/v1/status")[1])["counters"]
        return all(counters.get(f'rate_limited{{fate="{fate}"}}', 0) >= 20 for fate in ("dropped", "truncated"))

    until(counted, lambda: limited.get("/v1/status")[1])
    told = [line for line in limited.log().splitlines() if "rate limit: too many" in line]
    assert len(told) == 1
    assert told[0].endswith("/24")


def test_whose_address_is_proven_by_a_cookie_is_not_held_back(limited: Program) -> None:
    """As dig does it: BADCOOKIE brings the cookie, and with that there is no limit."""
    mine = b"\0\x0a\0\x08mycookie"
    with socket.socket(socket.AF_INET, UDP) as sock:
        sock.settimeout(PATIENCE)
        sock.bind(("127.4.0.1", 0))
        sock.connect(limited.dns)

        def asked(option: bytes) -> Any:
            query = wire.query(7, WEB, "A", edns=1232)
            sock.send(query[:-2] + len(option).to_bytes(2) + option)
            return dns.message.from_wire(sock.recv(65535))

        burst(limited, "127.4.0.2", 60)
        # Every second one beyond the limit is dropped, so the first few may get no reply at all.
        sock.settimeout(0.5)
        for _ in range(100):
            with contextlib.suppress(TimeoutError):
                reply = asked(mine)
                if reply.rcode() == dns.rcode.BADCOOKIE:
                    break
        assert reply.rcode() == dns.rcode.BADCOOKIE
        (cookie,) = [option for option in reply.options if option.otype == dns.edns.OptionType.COOKIE]
        sock.settimeout(PATIENCE)
        good = cookie.to_wire()
        for _ in range(30):
            reply = asked(b"\0\x0a" + len(good).to_bytes(2) + good)
            assert reply.rcode() == dns.rcode.NOERROR
            assert reply.answer


def test_exempt_networks_are_not_limited(limited: Program) -> None:
    replies = burst(limited, "127.9.1.1", 50)
    assert len(replies) == 50
    assert not any(reply.flags & dns.flags.TC for reply in replies)


# --- sizes and connections ---------------------------------------------------------------------


def replies(program: Program, queries: list[bytes]) -> list[bytes]:
    """The octets of the reply to each query, one after the other."""
    with socket.socket(socket.AF_INET, UDP) as sock:
        sock.settimeout(PATIENCE)
        sock.connect(program.dns)
        found = []
        for query in queries:
            sock.send(query)
            found.append(sock.recv(65535))
        return found


def test_no_reply_over_udp_is_larger_than_1232_octets_nor_than_its_client_takes(guarded: Program) -> None:
    """Whatever is asked, in whatever size: also names of 300 instances, and an outside answer of 70 addresses."""
    names = ["many.marathon.mesos.", "_many._tcp.marathon.mesos.", "mesos.", "nobody.mesos.", "slave.mesos.", LARGE]
    largest = 0
    for _ in range(3):
        for size in (None, 0, 100, 512, 700, 1232, 1233, 4096, 65535):
            bound = 512 if size is None else min(max(size, 512), 1232)
            queries = [
                wire.query(n, name, rrtype, edns=size, do=do)
                for n, name in enumerate(names)
                for rrtype in ("A", "AAAA", "SRV", "ANY", "SOA", "NS", "TXT")
                for do in ([False, True] if size is not None else [False])
            ]
            sizes = [len(reply) for reply in replies(guarded, queries)]
            assert max(sizes) <= bound
            largest = max(largest, *sizes)
    assert largest > 1100


def idle_connections(program: Program, source: str, count: int) -> list[socket.socket]:
    found = []
    for _ in range(count):
        sock = socket.socket()
        sock.settimeout(PATIENCE)
        sock.bind((source, 0))
        sock.connect(program.dns)
        found.append(sock)
    return found


def test_one_client_has_its_share_of_tcp_connections_and_others_have_room(guarded: Program) -> None:
    held = idle_connections(guarded, "127.0.0.3", 200)
    friend = idle_connections(guarded, "127.0.0.4", 1)[0]
    try:
        more = idle_connections(guarded, "127.0.0.3", 50)
        held += more
        # Its own first ones had to go, nobody else's.
        for sock in held[:50]:
            assert sock.recv(1) == b""
        octets = wire.query(1, WEB, "A")
        for sock in (friend, held[-1], held[60]):
            sock.sendall(len(octets).to_bytes(2) + octets)
            assert sock.recv(2, socket.MSG_WAITALL)
        assert ask(guarded, "127.0.0.5", WEB, TCP).answer
    finally:
        for sock in (friend, *held):
            sock.close()

    def counted() -> bool:
        counters = json.loads(guarded.get("/v1/status")[1])["counters"]
        return bool(counters.get("tcp_over_share", 0) >= 50)

    until(counted, lambda: guarded.get("/v1/status")[1])
    until(lambda: "TCP: 127.0.0.3 holds 200 connections, as many as one client may" in guarded.log(), guarded.log)


def test_one_client_has_its_share_of_http_connections_and_others_have_room(limited: Program) -> None:
    endpoint = ("127.0.0.1", limited.http_port)
    request = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    held = []
    try:
        for _ in range(64):
            held.append(socket.create_connection(endpoint, PATIENCE, ("127.0.0.3", 0)))
            held[-1].sendall(request)
            assert held[-1].recv(100)
        with socket.create_connection(endpoint, PATIENCE, ("127.0.0.3", 0)) as more:
            assert is_closed(more)
        with socket.create_connection(endpoint, PATIENCE, ("127.0.0.4", 0)) as other:
            other.sendall(request)
            assert other.recv(100).startswith(b"HTTP/1.1 200")
    finally:
        for sock in held:
            sock.close()


def is_closed(sock: socket.socket) -> bool:
    try:
        return sock.recv(1) == b""
    except ConnectionResetError:
        return True


# --- what is wrong -----------------------------------------------------------------------------


def test_wrong_lists_are_all_reported_at_the_start(master: Master, tmp_path: Path) -> None:
    keys = {"AllowQuery": ["10.0.0.1/8", "@lan"], "AllowRecursion": [], "RateLimit": {"Slip": 11, "Windows": 1}}
    with Program(tmp_path, masters=[master.endpoint], **keys) as program:
        assert program.process
        assert program.process.wait(PATIENCE) == 78
        log = program.log()
    for text in (
        "AllowQuery (file", "has bits behind its length; write 10.0.0.0/8", "'@lan' is no prefix; expected an address",
        "AllowRecursion (file", "RateLimit.Slip (file", "did you mean RateLimit.Window?",
    ):  # fmt: skip
        assert text in log
