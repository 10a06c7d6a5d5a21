"""What is put down of answers: by every way in which questions come, all of them, once, and nothing waits for it."""

import asyncio
import json
import socket
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.cycles import left_by
from tests.examples import fewer
from tests.querylog.test_dnstap import fields
from tests.serve.asking import ask, make_answerer, make_responder, make_zone, option, read
from tests.serve.tcp_bed import Server as TcpServer
from tests.serve.tcp_bed import framed, until
from tests.serve.test_udp import V4, V6, WAYS, Server, _waiting
from tests.serve.test_udp_outside import OUTSIDE, Upstream
from tests.workers.test_questions import Pair

from mesos_dns.dns import message as msg
from mesos_dns.dns import name as names
from mesos_dns.dns.prefixes import ClientList, prefix_of
from mesos_dns.metrics import Counts
from mesos_dns.querylog.logs import MAX_PARCEL, QueryLog, unpack
from mesos_dns.querylog.selection import Selection
from mesos_dns.serve import batch as batches
from mesos_dns.serve import recorder as module
from mesos_dns.serve.cookies import ServerCookies
from mesos_dns.serve.ratelimit import Rates
from mesos_dns.serve.recorder import DROPPED, RECORDED, Recorder
from mesos_dns.serve.request import Transport
from mesos_dns.serve.responder import Responder

NAME = "chronos.marathon.mesos."
ALL = QueryLog(0, False, Selection())
ME = {"127.0.0.1": prefix_of(bytes((127, 0, 0, 1)), 32)}


class Log:
    """A recorder, and control's end of its connection."""

    def __init__(self, *logs, networks=()):
        self.socket, theirs = socket.socketpair(type=socket.SOCK_SEQPACKET)
        self.socket.setblocking(False)
        self.counters = Counts()
        self.recorder = Recorder(logs or [ALL], theirs, self.counters, (b"ns-a", b"1"), networks)
        self._theirs = theirs

    def parcels(self):
        """What has been handed on: number of the log, records, octets."""
        self.recorder.flush()
        found = []
        while True:
            try:
                parcel = self.socket.recv(MAX_PARCEL)
            except BlockingIOError:
                return found
            if not parcel:
                return found
            found.append(unpack(parcel))

    def told(self):
        """Lines of JSON that have been handed on."""
        return [json.loads(line) for _, _, octets in self.parcels() for line in octets.splitlines()]

    def names(self):
        return [each["name"] for each in self.told()]

    def close(self):
        self.socket.close()
        self._theirs.close()


@pytest.fixture
def log():
    log = Log()
    yield log
    log.recorder.flush()
    log.close()


@pytest.fixture(params=WAYS)
def way(request):
    return request.param


# --- UDP ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("family", "address"), [(V4, "127.0.0.1"), (V6, "::1"), (V4, "0.0.0.0"), (V6, "::")])
async def test_each_answer_is_put_down_as_it_was_sent(way, family, address, log):
    async with Server(way, family, address) as server:
        server.listener.record(log.recorder)
        client = server.client({"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address))
        cookie = option(10, b"12345678")
        queries = [
            ask(NAME),
            ask(NAME.upper(), payload=1232, options=[cookie]),
            ask("nope.mesos."),
            ask("mesos.", "SOA"),
        ]
        queries += [ask(f"{'x' * 60}.{'y' * 60}.mesos."), ask("many.mesos.", payload=512), ask(NAME), ask(NAME)[:-1]]
        replies = [await client.ask(octets) for octets in queries]
        told, local = log.told(), (client.server[0], client.socket.getsockname()[1])
    assert [(each["client"], each["port"], each["transport"]) for each in told] == [(*local, "udp")] * 8
    assert [each["octets"] for each in told] == list(map(len, replies))
    assert [each["rcode"] for each in told] == ["NOERROR"] * 2 + ["NXDOMAIN", "NOERROR", "NXDOMAIN"] + [
        "NOERROR"
    ] * 2 + ["FORMERR"]
    assert [each["answer"] for each in told][:3] == [["A 1.2.3.11"], ["A 1.2.3.11"], []]
    assert [each["name"] for each in told][3:6] == ["mesos.", f"{'x' * 60}.{'y' * 60}.mesos.", "many.mesos."]
    assert "tc" in told[5]["flags"]


@pytest.mark.parametrize("cookies", [True, False])
async def test_query_and_reply_are_there_to_the_last_octet(way, cookies):
    log = Log(QueryLog(3, True, Selection()))
    responder = Responder(
        make_answerer(make_zone()), cookies=ServerCookies([bytes(16)], lambda: 0.0) if cookies else None
    )
    async with Server(way, responder=responder) as server:
        server.listener.record(log.recorder)
        client = server.client()
        queries = [
            ask(NAME, identifier=n, payload=1232, options=[option(10, bytes((n,)) * 8)] if n % 2 else [])
            for n in range(9)
        ]
        replies = [await client.ask(octets) for octets in queries]
        ((number, records, octets),) = log.parcels()
    log.close()
    assert (number, records) == (3, 9)
    found = []
    while octets:
        size = int.from_bytes(octets[:4])
        outer = fields(octets[4 : 4 + size])
        assert (outer[1], outer[2]) == (b"ns-a", b"1")
        inner = fields(outer[14])
        found.append((inner[10], inner[14]))
        octets = octets[4 + size :]
    assert found == list(zip(queries, replies, strict=True))


@pytest.mark.usefixtures("time_to_spare")
async def test_a_burst_is_put_down_whole(way, log):
    async with Server(way) as server:
        server.listener.record(log.recorder)
        client = server.client()
        for n in range(300):
            client.send(ask(NAME if n % 3 else f"nope{n}.mesos.", identifier=n))
        replies = [read((await client.receive())[0]).question[0].name.to_text() for _ in range(300)]
        assert log.names() == replies
        assert log.counters.snapshot()[RECORDED.series()] == 300


async def test_what_is_handed_on_goes_by_itself(way, log):
    """At light load nothing else makes the loop look at its timers."""
    async with Server(way) as server:
        server.listener.record(log.recorder)
        loop = asyncio.get_running_loop()
        await server.client().ask(ask(NAME))
        async with asyncio.timeout(30):
            parcel = await loop.sock_recv(log.socket, MAX_PARCEL)
    assert unpack(parcel)[:2] == (0, 1)


async def test_silence_is_not_put_down(way, log):
    async with Server(way, rates=Rates(1, 1, 1, slip=0)) as server:
        server.listener.record(log.recorder)
        client = server.client()
        for octets in (b"", b"x", ask(NAME)[:11], *[ask(NAME)] * 20, ask("nope.mesos.")):
            client.send(octets)
        replies = [(await client.receive())[0] for _ in range(2)]
        assert log.names() == [read(reply).question[0].name.to_text() for reply in replies]


async def test_a_log_begins_and_ends_while_questions_come(way, log):
    async with Server(way) as server:
        client = server.client()
        await client.ask(ask(NAME))
        server.listener.record(log.recorder)
        await client.ask(ask("mesos.", "SOA"))
        server.listener.record(None)
        await client.ask(ask(NAME))
        assert log.names() == ["mesos."]
        assert server.responder.hits + server.responder.misses == 3


async def test_a_log_may_begin_before_the_first_question(log):
    server = Server("batched")
    server.listener.record(log.recorder)
    async with server:
        await server.client().ask(ask(NAME))
    assert log.names() == [NAME]


@pytest.mark.skipif(not batches.available(), reason="needs recvmmsg of Linux")
async def test_without_a_log_single_datagrams_take_the_short_way():
    server = Server("batched")
    try:
        before = server.listener.reader()
        assert before.__name__ == "read"
        log = Log()
        server.listener.record(log.recorder)
        assert server.listener.reader() == server.listener._read
        server.listener.record(None)
        assert server.listener.reader().__name__ == "read"
        log.close()
    finally:
        server.close()


# --- names of others ---------------------------------------------------------------------------


async def test_forwarded_answers_are_put_down_when_they_come(way, log):
    async with Server(way) as server:
        server.listener.record(log.recorder)
        client = server.client()
        client.send(ask(OUTSIDE))
        await client.ask(ask(NAME))
        ((forward, _, send),) = server.forwarded
        reply = bytes(forward.query.octets[:2]) + b"\x81\x83" + forward.query.octets[4:]
        send(reply)
        assert (await client.receive())[0] == reply
        told, port = log.told(), client.socket.getsockname()[1]
    assert [(each["name"], each["rcode"], each["port"]) for each in told] == [
        (NAME, "NOERROR", port),
        (OUTSIDE, "NXDOMAIN", port),
    ]


async def test_what_is_known_by_heart_is_put_down_each_time(log):
    upstream = Upstream()
    server = Server("batched")
    server.listener._forward = upstream.forward
    async with server:
        server.listener.record(log.recorder)
        client = server.client()
        for _ in range(3):
            await client.ask(ask(OUTSIDE))
    assert len(upstream.asked) == 1
    assert [(each["name"], each["answer"]) for each in log.told()] == [(OUTSIDE, ["A 192.0.2.1"])] * 3


class Flights:
    """The short way of questions: takes all below `example.org.`, and replies when it is told to."""

    def __init__(self):
        self.routes = {names.from_text("example.org."): "route"}
        self.taken = []

    def take(self, _route, _key, octets, client, listener, peer):
        self.taken.append((octets, client, listener, peer))
        return True

    def send(self):
        return True

    def land(self):
        for octets, _, listener, peer in self.taken:
            listener.reply(peer, octets[:2] + b"\x81\x83" + octets[4:])
            listener.flush()


@pytest.mark.parametrize("family", [V4, V6])
async def test_answers_that_took_the_short_way_are_put_down(log, family):
    server = Server("batched", family, "127.0.0.1" if family == V4 else "::1")
    flights = Flights()
    server.listener._flights = flights
    async with server:
        server.listener.record(log.recorder)
        client = server.client()
        for n in range(3):
            client.send(ask(f"w{n}.example.org.", identifier=n))
        await client.ask(ask(NAME))
        server.listener.record(None)
        flights.land()
        replies = [(await client.receive())[0] for _ in range(3)]
        told, port = log.told(), client.socket.getsockname()[1]
    assert [each["name"] for each in told] == [NAME, *(f"w{n}.example.org." for n in range(3))]
    assert {each["port"] for each in told} == {port}
    assert [each["octets"] for each in told[1:]] == list(map(len, replies))


# --- TCP and HTTPS -----------------------------------------------------------------------------


async def test_answers_over_tcp_are_put_down(log):
    async with TcpServer() as server:
        server.listener.record(log.recorder)
        client = await server.client()
        port = client.writer.get_extra_info("sockname")[1]
        await client.ask(ask(NAME))
        client.send(framed(ask(OUTSIDE)))
        await server.until_forwarded(1)
        ((forward, send),) = server.forwarded
        send(forward.query.octets[:2] + b"\x81\x83" + forward.query.octets[4:])
        await client.receive()
        server.listener.record(None)
        await client.ask(ask(NAME))
        told = log.told()
    assert [(each["transport"], each["name"], each["port"]) for each in told] == [
        ("tcp", NAME, port),
        ("tcp", OUTSIDE, port),
    ]


def test_the_port_of_a_connection():
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.create_connection(server.getsockname())
        theirs, _ = server.accept()
        with client, theirs:
            assert module.port_of(theirs.fileno()) == client.getsockname()[1]
            assert theirs.fileno() >= 0
    with socket.socket() as unconnected:
        assert module.port_of(unconnected.fileno()) == 0


async def test_answers_over_https_are_put_down(log):
    async with Pair() as pair:
        pair.answering.record(log.recorder)
        await pair.asking.ask(ask(NAME), bytes((192, 0, 2, 7)))
        await pair.asking.ask(b"x", bytes((192, 0, 2, 7)))
        asked = asyncio.ensure_future(pair.asking.ask(ask(OUTSIDE), bytes((192, 0, 2, 7))))
        await until(lambda: pair.forwarded)
        ((forward, _, send),) = pair.forwarded
        send(forward.query.octets[:2] + b"\x81\x83" + forward.query.octets[4:])
        await asked
    assert [(each["transport"], each["client"], each["name"], each["port"]) for each in log.told()] == [
        ("https", "192.0.2.7", NAME, None),
        ("https", "192.0.2.7", OUTSIDE, None),
    ]


# --- what is wanted ----------------------------------------------------------------------------


async def test_several_logs_have_what_each_of_them_wants(way):
    log = Log(
        ALL,
        QueryLog(1, False, Selection(names=(names.from_text("nope.mesos"),))),
        QueryLog(2, False, Selection(rcodes=(msg.NXDOMAIN,))),
        QueryLog(3, False, Selection(clients=ClientList(allowed=(prefix_of(bytes(4), 8),)))),
    )
    async with Server(way) as server:
        server.listener.record(log.recorder)
        client = server.client()
        for name in (NAME, "nope.mesos.", "x.nope.mesos.", "nix.mesos."):
            await client.ask(ask(name))
        found = {
            number: [json.loads(line)["name"] for line in octets.splitlines()] for number, _, octets in log.parcels()
        }
    log.close()
    assert found == {
        0: [NAME, "nope.mesos.", "x.nope.mesos.", "nix.mesos."],
        1: ["nope.mesos.", "x.nope.mesos."],
        2: ["nope.mesos.", "x.nope.mesos.", "nix.mesos."],
    }


async def test_the_networks_of_this_machine_may_change():
    log = Log(QueryLog(0, False, Selection(clients=ClientList(allowed=(), local=True))))
    put = (Transport.UDP, bytes((127, 0, 0, 1)), 1, ask(NAME), make_responder().respond_udp(ask(NAME)), 0.0)
    log.recorder.put(*put)
    log.recorder.networks_found([ME["127.0.0.1"]])
    log.recorder.put(*put)
    assert log.names() == [NAME]
    log.close()


@pytest.mark.usefixtures("time_to_spare")
async def test_a_sample_is_a_part():
    log = Log(QueryLog(0, False, Selection(sample=10)))
    log.recorder._logs[0].selector._chance = Random(1).random
    reply = make_responder().respond_udp(ask(NAME))
    for _ in range(1000):
        log.recorder.put(Transport.UDP, b"", 1, ask(NAME), reply, 0.0)
    assert 70 < len(log.names()) < 130
    log.close()


# --- bounds ------------------------------------------------------------------------------------


@pytest.fixture
def time_to_spare(monkeypatch):
    """Nothing is dropped because the machine is busy."""
    monkeypatch.setattr(module, "MOST_WORK_SECONDS", 1e9)


async def test_a_worker_that_has_no_time_to_spare_answers(log, monkeypatch):
    reply = make_responder().respond_udp(ask(NAME))
    clock = iter(range(1000))
    monkeypatch.setattr(module.time, "thread_time", lambda: next(clock) * module.MOST_WORK_SECONDS / 4)
    for _ in range(6):
        log.recorder.put(Transport.UDP, bytes(4), 1, ask(NAME), reply, 0.0)
    assert log.names() == [NAME] * 4
    assert log.counters.snapshot()[DROPPED.series("worker")] == 2
    log.recorder.put(Transport.UDP, bytes(4), 1, ask(NAME), reply, 0.0)
    assert log.names() == [NAME]


async def test_a_batch_is_passed_over_as_far_as_there_is_no_time(log, monkeypatch):
    server = Server("batched")
    server.listener.record(log.recorder)
    client = server.client()
    for n in range(50):
        client.send(ask(NAME, identifier=n) if n % 5 else b"silence")
    clock = iter(range(1000))
    monkeypatch.setattr(module.time, "thread_time", lambda: next(clock) * module.MOST_WORK_SECONDS / 9)
    server.read()
    assert len(list(_waiting(client))) == 40
    assert log.names() == [NAME] * 9
    assert log.counters.snapshot()[DROPPED.series("worker")] == 31
    server.close()


@pytest.mark.usefixtures("time_to_spare")
async def test_a_worker_puts_down_no_more_than_it_may(log):
    reply = make_responder().respond_udp(ask(NAME))
    for _ in range(3000):
        log.recorder.put(Transport.UDP, bytes(4), 1, ask(NAME), reply, 0.0)
    told = len(log.told())
    assert module.MOST_GATHERED // 400 < told < module.MOST_GATHERED // 200
    assert log.counters.snapshot() == {RECORDED.series(): told, DROPPED.series("worker"): 3000 - told}
    # In the next moment there is room again.
    log.recorder.put(Transport.UDP, bytes(4), 1, ask(NAME), reply, 0.0)
    assert log.names() == [NAME]


@pytest.mark.usefixtures("time_to_spare")
async def test_control_that_does_not_keep_up_gets_less(log):
    reply = make_responder().respond_udp(ask(NAME))
    before = 0
    while DROPPED.series("control") not in log.counters.snapshot():
        for _ in range(500):
            log.recorder.put(Transport.UDP, bytes(4), 1, ask(NAME), reply, 0.0)
            before += 1
        log.recorder.flush()
    counts = log.counters.snapshot()
    assert counts[RECORDED.series()] + counts[DROPPED.series("control")] == before
    assert len(log.told()) == counts[RECORDED.series()]


async def test_control_that_is_gone_costs_nothing_but_the_record(log):
    log.socket.close()
    log.recorder.put(Transport.UDP, bytes(4), 1, ask(NAME), make_responder().respond_udp(ask(NAME)), 0.0)
    log.recorder.flush()
    assert log.counters.snapshot() == {DROPPED.series("control"): 1}


async def test_nothing_is_left_of_a_log():
    async with Server("batched") as server:
        client = server.client()
        log = Log()

        async def logged():
            server.listener.record(Recorder([ALL], log._theirs, log.counters, (b"", b""), ()))
            await client.ask(ask(NAME))
            server.listener._recorder.flush()
            server.listener.record(None)

        assert await left_by(logged) == {}
        log.close()


@given(st.lists(st.binary(max_size=80) | st.sampled_from([ask(NAME), ask("x.mesos.", payload=1232)]), max_size=8))
@fewer(2)
def test_whatever_is_sent_is_answered_as_without_a_log(datagrams):
    def replies(recorder):
        async def asked():
            async with Server("batched") as server:
                server.listener.record(recorder)
                client = server.client()
                for octets in (*datagrams, ask("mesos.", "SOA", identifier=1)):
                    client.send(octets)
                found = []
                while not found or found[-1][:2] != b"\0\1":
                    found.append((await client.receive())[0])
                return found, len(server.forwarded)

        return asyncio.run(asked())

    log = Log()
    found, forwarded = replies(log.recorder)
    assert (found, forwarded) == replies(None)
    assert [each["octets"] for each in log.told()] == list(map(len, found))
    log.close()
