"""A TCP listener under pressure: too many connections, idle ones, ones that do not read, too few files; and its turns."""

import asyncio
import errno
import logging
import resource
import socket
import struct
import time
from itertools import pairwise

import pytest
from tests.serve.asking import ask, make_responder
from tests.serve.tcp_bed import LARGE, NAME, OTHER, ZONE, Dawdler, Server, framed, until

from mesos_dns.serve import room, tcp
from mesos_dns.serve.tcp import ACCEPT_PAUSE, MAX_TCP_PENDING
from mesos_dns.serve.udp import udp_listener


def warnings(caplog):
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


# --- too many connections ----------------------------------------------------------------------


async def test_a_client_with_too_many_connections_loses_its_idlest(caplog):
    async with Server(most_per_client=3) as server:
        clients = [await server.client() for _ in range(3)]
        for client in clients:
            await client.ask(ask(NAME))
        await clients[0].ask(ask(NAME))
        assert (await (await server.client()).ask(ask(NAME))).rcode() == 0
        assert await clients[1].ended() == b""
        assert (await clients[0].ask(ask(NAME))).rcode() == 0
        assert server.counters["tcp_evicted"] == server.counters["tcp_over_share"] == 1
        # Another client is another address.
        assert (await (await server.client(local_addr=("127.0.0.2", 0))).ask(ask(NAME))).rcode() == 0
        assert server.counters["tcp_evicted"] == 1
    assert warnings(caplog) == [
        "TCP: 127.0.0.1 holds 3 connections, as many as one client may; its idlest is closed for each new one"
    ]


async def test_a_newcomer_takes_the_place_of_the_idlest_connection_of_all(caplog):
    async with Server(most=3) as server:
        clients = [await server.client(local_addr=(f"127.0.0.{n}", 0)) for n in (1, 2, 1)]
        for client in clients:
            await client.ask(ask(NAME))
        await clients[0].ask(ask(NAME))
        assert (await (await server.client(local_addr=("127.0.0.3", 0))).ask(ask(NAME))).rcode() == 0
        assert await clients[1].ended() == b""
        assert len(server.connections) == 3
        assert (server.counters["tcp_evicted"], server.counters["tcp_refused"]) == (1, 0)
    assert warnings(caplog) == [
        "TCP: all 3 connections are in use, the idlest is closed for each new one; most are held by 127.0.0.1 (2)"
    ]


async def test_a_connection_that_is_owed_an_answer_is_not_closed_for_a_newcomer():
    async with Server(most=2) as server:
        asking = await server.client()
        asking.send(framed(ask(OTHER)))
        await server.until_forwarded(1)
        idle = await server.client()
        await idle.ask(ask(NAME))
        newcomer = await server.client()
        newcomer.send(framed(ask(OTHER)))
        await server.until_forwarded(2)
        assert await idle.ended() == b""
        # Now both others are owed an answer.
        assert await (await server.client()).ended() == b""
        assert server.counters["tcp_refused"] == 1
        for number, client in enumerate((asking, newcomer)):
            server.forwarded[number][1](b"the answer")
            assert await client.receive() == b"the answer"


async def test_a_connection_whose_query_has_just_arrived_is_not_closed_for_a_newcomer():
    async with Server(most=2) as server:
        clients = [await server.client() for _ in range(2)]
        for client in clients:
            await client.ask(ask(NAME))
        clients[0].send(framed(ask(NAME, identifier=7)))
        assert server.listener._make_room(b"\x7f\0\0\1", time.monotonic())
        assert struct.unpack_from("!H", await clients[0].receive()) == (7,)
        assert await clients[1].ended() == b""


async def test_who_does_not_read_gives_way_when_nobody_is_idle(monkeypatch):
    async with Server(LARGE, most=1) as server, Dawdler(server) as client:
        while not client.connection.unsent:
            client.send_what_fits(framed(ask("many.mesos.")))
            await asyncio.sleep(0)
        assert await (await server.client()).ended() == b""
        now = time.monotonic
        monkeypatch.setattr(tcp, "monotonic", lambda: now() + 2)
        assert (await (await server.client()).ask(ask("many.mesos."))).rcode() == 0
        assert client.connection.closed


async def test_a_newcomer_beside_2000_idle_connections_is_answered_at_once():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 4096:
        pytest.skip("the limit of open files is too low")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 4096), hard))
    idle = []
    try:
        async with Server() as server:
            for n in range(2000):
                sock = socket.socket()
                idle.append(sock)
                sock.bind((f"127.0.0.{2 + n // 190}", 0))
                sock.setblocking(False)
                await asyncio.get_running_loop().sock_connect(sock, server.address)
            await until(lambda: server.counters["tcp_connections"] == 2000)
            newcomer = await server.client()
            assert (await newcomer.ask(ask(NAME))).rcode() == 0
            assert len(server.connections) == 1000
            assert (server.counters["tcp_evicted"], server.counters["tcp_refused"]) == (1001, 0)
            # The youngest of them are still there.
            idle[-1].send(framed(ask(NAME)))
            assert await asyncio.get_running_loop().sock_recv(idle[-1], 2)
    finally:
        for sock in idle:
            sock.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_what_was_counted_is_forgotten_with_the_last_connection():
    async with Server() as server:
        client = await server.client()
        await client.ask(ask(NAME))
        assert repr(server.listener) == f"TcpListener({server.socket.getsockname()!r}, connections=1)"
        client.close()
        await until(lambda: not server.connections)
        assert repr(server.listener._connections) == "Connections(0, clients=0)"
        assert not server.listener._by_fd


# --- idle connections --------------------------------------------------------------------------


async def test_a_silent_connection_is_closed_and_holds_back_nobody():
    async with Server(idle=0.2) as server:
        silent = await server.client()
        assert (await (await server.client()).ask(ask(NAME))).rcode() == 0
        assert await silent.ended() == b""


async def test_an_idle_connection_is_closed():
    async with Server(idle=0.05) as server:
        client = await server.client()
        assert (await client.ask(ask(NAME))).rcode() == 0
        assert await client.ended() == b""
        await until(lambda: server.listener._timer is None)


async def test_half_a_query_does_not_keep_a_connection_open():
    async with Server(idle=0.2) as server:
        client = await server.client()
        for octet in framed(ask(NAME))[:-1]:
            client.send(bytes((octet,)))
            await asyncio.sleep(0.01)
            if server.counters["tcp_connections"] and not server.connections:
                break
        assert await client.ended() == b""


@pytest.fixture
def later(monkeypatch):
    """`later(server, seconds)`: so much time passes for the connections of a listener."""
    passed = [0.0]

    def pass_by(server, seconds):
        passed[0] += seconds
        server.listener._on_timer()

    now = time.monotonic
    monkeypatch.setattr(tcp, "monotonic", lambda: now() + passed[0])
    return pass_by


async def test_queries_keep_a_connection_open(later):
    async with Server(idle=1000) as server:
        client, idle = await server.client(), await server.client()
        await idle.ask(ask(NAME))
        for _ in range(5):
            assert (await client.ask(ask(NAME))).rcode() == 0
            later(server, 600)
        assert (await client.ask(ask(NAME))).rcode() == 0
        assert await idle.ended() == b""


async def test_a_pending_forward_keeps_a_connection_open(later):
    async with Server(idle=1000) as server:
        client = await server.client()
        client.send(framed(ask(OTHER)))
        await server.until_forwarded(1)
        later(server, 5000)
        server.forwarded[0][1](b"the answer")
        assert await client.receive() == b"the answer"


class Noting:
    """A responder that notes what clients would be told."""

    def __init__(self, keepalives):
        self._responder = make_responder(ZONE)
        self._keepalives = keepalives

    def __getattr__(self, name):
        return getattr(self._responder, name)

    def respond_tcp(self, octets, client, keepalive):
        self._keepalives.append((client, keepalive))
        return self._responder.respond_tcp(octets, client, keepalive)


async def test_clients_are_told_how_long_they_may_stay_and_to_go_under_pressure():
    """RFC 7828 section 3.3.2: zero when the server lacks resources."""
    told = []
    async with Server(responder=Noting(told), idle=3.0, most=3) as server:
        for _ in range(3):
            await (await server.client()).ask(ask(NAME))
        # The third one makes it crowded.
        await server._clients[0].ask(ask(NAME))
        assert [*told[:2], told[3]] == [(b"\x7f\0\0\1", 30), (b"\x7f\0\0\1", 30), (b"\x7f\0\0\1", 0)]


# --- clients that do not read ------------------------------------------------------------------


async def test_a_client_that_does_not_read_holds_little_memory():
    async with Server(LARGE) as server, Dawdler(server) as client:
        question = framed(ask("many.mesos."))
        for _ in range(200):
            client.send_what_fits(question)
            await asyncio.sleep(0)
            assert client.held < 200_000
        await until(lambda: client.held > 1000)
        assert (await (await server.client()).ask(ask("many.mesos."))).rcode() == 0


async def test_forwarded_answers_do_not_reopen_what_a_client_does_not_read():
    async with Server(LARGE) as server, Dawdler(server) as client:
        client.send_what_fits(framed(ask(OTHER)))
        await server.until_forwarded(MAX_TCP_PENDING)
        question = framed(ask("many.mesos."))
        for _, send in server.forwarded[:90]:
            send(b"x" * 60_000)
            client.send_what_fits(question)
            await asyncio.sleep(0)
        held = client.held
        assert client.connection.unsent
        for _ in range(50):
            client.send_what_fits(question)
            await asyncio.sleep(0)
        assert client.held <= held


async def test_a_client_that_does_not_read_is_closed_in_the_end():
    async with Server(LARGE, idle=0.1) as server, Dawdler(server) as client:
        for _ in range(20):
            client.send_what_fits(framed(ask("many.mesos.")))
            await asyncio.sleep(0)
        await until(lambda: not server.connections)


async def read_identifiers(sock, count):
    loop = asyncio.get_running_loop()
    stream = b""
    identifiers = []
    while len(identifiers) < count:
        async with asyncio.timeout(30):
            stream += await loop.sock_recv(sock, 1 << 20)
        while len(stream) >= 2 and len(stream) >= (end := 2 + struct.unpack_from("!H", stream)[0]):
            identifiers.append(struct.unpack_from("!H", stream, 2)[0])
            stream = stream[end:]
    return identifiers


async def test_a_client_that_reads_late_gets_everything():
    loop = asyncio.get_running_loop()
    async with Server(LARGE) as server, Dawdler(server) as client:
        count = 120
        await loop.sock_sendall(client.socket, b"".join(framed(ask("many.mesos.", identifier=n)) for n in range(count)))
        await until(lambda: client.connection.unsent)
        assert await read_identifiers(client.socket, count) == list(range(count))


async def test_stopping_gives_clients_time_to_take_their_replies():
    loop = asyncio.get_running_loop()
    async with Server(LARGE) as server, Dawdler(server) as client:
        count = 120
        await loop.sock_sendall(client.socket, b"".join(framed(ask("many.mesos.", identifier=n)) for n in range(count)))
        await until(lambda: client.connection.unsent)
        identifiers, _ = await asyncio.gather(read_identifiers(client.socket, count), server.listener.stop())
        assert identifiers == list(range(count))
        assert not server.connections


async def test_stopping_does_not_wait_long_for_a_client_that_does_not_read(monkeypatch):
    monkeypatch.setattr(tcp, "_TAKE_SECONDS", 0.05)
    async with Server(LARGE) as server, Dawdler(server) as client:
        while not client.connection.unsent:
            client.send_what_fits(framed(ask("many.mesos.")))
            await asyncio.sleep(0)
        async with asyncio.timeout(30):
            await server.listener.stop()


# --- turns -------------------------------------------------------------------------------------


class Slow:
    """A responder whose every answer takes 0.3 ms of the clock, and which counts them."""

    def __init__(self, monkeypatch, reply=b"x" * 20_000):
        self._responder = make_responder(ZONE)
        self._reply = reply
        self._now = time.monotonic()
        self.answered = 0
        monkeypatch.setattr(tcp, "monotonic", lambda: self._now)

    def __getattr__(self, name):
        return getattr(self._responder, name)

    def respond_tcp(self, *_):
        self._now += 0.0003
        self.answered += 1
        return self._reply


async def test_the_turn_of_all_connections_together_is_short(monkeypatch):
    """Else a few clients that pipeline giants would keep datagrams waiting for seconds."""
    loop = asyncio.get_running_loop()
    responder = Slow(monkeypatch)
    turns = []

    def note():
        turns.append(responder.answered)
        ticking.append(loop.call_soon(note))

    ticking = []
    async with Server(responder=responder) as server:
        clients = [await server.client() for _ in range(20)]
        note()
        for client in clients:
            client.send(framed(ask(NAME)) * 30)
        for client in clients:
            assert [await client.receive() for _ in range(30)] == [b"x" * 20_000] * 30
        ticking[-1].cancel()
    answered = [after - before for before, after in pairwise(turns)]
    # New connections and those that are ready have a turn of 1 ms each.
    assert sum(answered) > 590
    assert max(answered) <= 8


async def test_everybody_gets_a_turn_beside_clients_that_pipeline_without_end(monkeypatch):
    responder = Slow(monkeypatch, reply=b"short")
    async with Server(responder=responder) as server:
        greedy = [await server.client() for _ in range(5)]
        for client in greedy:
            client.send(framed(ask(NAME)) * 2000)
        await greedy[0].receive()
        modest = await server.client()
        modest.send(framed(ask(NAME)))
        await modest.receive()
        assert responder.answered < 5000


# --- files and memory run out ------------------------------------------------------------------


async def test_without_descriptors_the_idlest_gives_way_and_datagrams_are_answered(caplog):
    """The real limit: as many files as are open now, and three more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    loop = asyncio.get_running_loop()
    clients = [socket.socket() for _ in range(8)]
    with socket.socket(type=socket.SOCK_DGRAM) as udp, socket.socket(type=socket.SOCK_DGRAM) as asking:
        udp.bind(("127.0.0.1", 0))
        asking.connect(udp.getsockname())
        asking.setblocking(False)
        async with Server() as server:
            datagrams = udp_listener(udp, server.responder, server._forward)
            await datagrams.start()
            with socket.socket() as probe:
                lowest = probe.fileno()
            resource.setrlimit(resource.RLIMIT_NOFILE, (lowest + 3, hard))
            try:
                for client in clients:
                    client.setblocking(False)
                    await loop.sock_connect(client, server.address)
                    await loop.sock_sendall(client, framed(ask(NAME)))
                    async with asyncio.timeout(30):
                        assert await loop.sock_recv(client, 65535)
                    await loop.sock_sendall(asking, ask(NAME))
                    async with asyncio.timeout(30):
                        assert await loop.sock_recv(asking, 65535)
                assert len(server.connections) <= 3
                assert server.counters["tcp_evicted"] >= 5
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            await datagrams.stop()
    for client in clients:
        client.close()
    (line,) = warnings(caplog)
    assert line.startswith("TCP: cannot accept on ('127.0.0.1', ")
    assert f"Too many open files; 3 connections are open, the limit of open files is {lowest + 3}" in line


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EINVAL])
async def test_when_nothing_can_be_accepted_it_pauses_and_goes_on(caplog, number):
    async with Server() as server:
        accept, tries = server.listener._accept_one, []

        def fail():
            tries.append(number)
            raise OSError(number, "no")

        server.listener._accept_one = fail
        client = await server.client()
        client.send(framed(ask(NAME)))
        await until(lambda: len(tries) == 2)
        server.listener._accept_one = accept
        assert await client.receive()
    assert len(warnings(caplog)) == 1
    assert ACCEPT_PAUSE >= 0.1


async def test_a_connection_that_is_gone_before_it_is_accepted_costs_nothing(caplog):
    async with Server() as server:
        accept, failures = server.listener._accept_one, [errno.ECONNABORTED, errno.EPROTO]

        def fail_first():
            if failures:
                raise OSError(failures.pop(), "gone")
            return accept()

        server.listener._accept_one = fail_first
        assert (await (await server.client()).ask(ask(NAME))).rcode() == 0
        assert server.listener._pause is None
    assert warnings(caplog) == []


async def test_with_few_files_it_says_at_the_start_what_is_possible(monkeypatch, caplog):
    monkeypatch.setattr(room.resource, "getrlimit", lambda _: (250, 250))
    async with Server() as server:
        assert server.listener._connections.most == 100
    (line,) = warnings(caplog)
    assert line.startswith("TCP: the limit of open files is 250, 2050 are needed; only 100 connections are taken")


@pytest.mark.parametrize("limit", [2050, resource.RLIM_INFINITY])
async def test_with_enough_files_it_says_nothing(monkeypatch, caplog, limit):
    monkeypatch.setattr(room.resource, "getrlimit", lambda _: (limit, limit))
    async with Server() as server:
        assert server.listener._connections.most == 1000
    assert warnings(caplog) == []
