"""A UDP listener in an event loop, asked over real sockets; batched and one by one alike."""

import asyncio
import socket
import struct
from collections import Counter
from itertools import count as counting
from types import MappingProxyType

import dns.flags
import dns.rcode
import pytest
from tests.serve.asking import ask, make_answerer, make_responder, make_zone, option, read, texts

from mesos_dns.dns import message as msg
from mesos_dns.serve import batch as batches
from mesos_dns.serve.batched import BatchedListener
from mesos_dns.serve.limiting import ResponseLimit
from mesos_dns.serve.listening import MAX_DATAGRAMS_PER_WAKE
from mesos_dns.serve.policy import Answer, Drop, Refuse
from mesos_dns.serve.ratelimit import RateLimiter
from mesos_dns.serve.request import Transport
from mesos_dns.serve.responder import Responder
from mesos_dns.serve.udp import PlainListener, udp_listener

ZONE = make_zone()
NAME = "chronos.marathon.mesos."
V4, V6 = socket.AF_INET, socket.AF_INET6

WAYS = [
    pytest.param("batched", marks=pytest.mark.skipif(not batches.available(), reason="needs recvbatches of Linux")),
    "plain",
]

#: When a reader is called by the event loop, seconds apart.
SPARSE = counting(1.0)


def apex_of(name):
    """The zone of a name, as rate limits ask for it."""
    apex = ZONE.authority.apex
    return apex if name.endswith(apex) else b""


class Client:
    """A client's socket; waits for replies, but not for ever."""

    def __init__(self, family, address, port):
        self.socket = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self.server = (address, port)

    def send(self, octets):
        self.socket.sendto(octets, self.server)

    async def receive(self):
        """The next datagram and where it came from."""
        async with asyncio.timeout(30):
            return await asyncio.get_running_loop().sock_recvfrom(self.socket, 65535)

    async def ask(self, octets):
        """The reply, which must come from the address that was asked."""
        self.send(octets)
        reply, source = await self.receive()
        assert source[:2] == self.server
        return reply

    def assert_silence(self):
        """Nothing has come; to be called when the server has certainly dealt with everything."""
        with pytest.raises(BlockingIOError):
            self.socket.recv(100)


class Server:
    """A listener, what it forwards, and its clients."""

    def __init__(self, way, family=V4, address="127.0.0.1", responder=None, *, recursion=None, rates=None):
        self.socket = socket.socket(family, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self.socket.bind((address, 0))
        self.family, self.address = family, address
        self.responder = responder or Responder(make_answerer(ZONE), recursion=recursion)
        self.forwarded = []
        self.limit = None if rates is None else ResponseLimit(RateLimiter(rates, apex_of), self.responder.counters)
        kind = {"batched": BatchedListener, "plain": PlainListener}[way]
        self.listener = kind(
            self.socket, self.responder, lambda *forward: self.forwarded.append(forward), limit=self.limit
        )
        self.read = self.listener.reader()
        self._clients = []

    def client(self, address=None):
        client = Client(self.family, address or self.address, self.socket.getsockname()[1])
        self._clients.append(client)
        return client

    async def __aenter__(self):
        await self.listener.start()
        return self

    async def __aexit__(self, *_):
        await self.listener.stop()
        self.close()

    def close(self):
        for sock in (self.socket, *(client.socket for client in self._clients)):
            sock.close()


@pytest.fixture(params=WAYS)
def way(request):
    return request.param


@pytest.mark.parametrize(("family", "address"), [(V4, "127.0.0.1"), (V6, "::1")])
async def test_a_question_is_answered(way, family, address):
    async with Server(way, family, address) as server:
        client = server.client()
        for octets in (ask(NAME), ask(NAME.upper()), ask(NAME), ask(NAME, payload=1232), ask(NAME, payload=512)):
            reply = read(await client.ask(octets))
            assert [text.split()[-1] for text in texts(reply.answer)] == ["1.2.3.11"]
            assert octets[12:].startswith(reply.question[0].name.to_wire())


@pytest.mark.parametrize("asked", ["127.0.0.1", "127.0.0.2", "127.9.8.7"])
async def test_the_answer_comes_from_the_address_that_was_asked(way, asked):
    async with Server(way, V4, "0.0.0.0") as server:
        client = server.client(asked)
        # The client is connected: from elsewhere nothing would reach it.
        for _ in range(2):
            assert texts(read(await client.ask(ask(NAME))).answer)


async def test_the_answer_comes_from_the_address_that_was_asked_with_ipv6(way):
    async with Server(way, V6, "::") as server:
        assert texts(read(await server.client("::1").ask(ask(NAME))).answer)


async def test_what_deserves_silence_gets_it(way):
    async with Server(way) as server:
        client = server.client()
        for octets in (b"", b"x", ask(NAME)[:11], ask(NAME, flags=dns.flags.QR)):
            client.send(octets)
        # Datagrams are dealt with in their order: when this one is answered, the others are done with.
        await client.ask(ask(NAME))
        client.assert_silence()
        assert server.responder.counters["ignored"] == 4


async def test_damaged_datagrams_get_an_error_and_spoil_no_other(way):
    async with Server(way) as server:
        client = server.client()
        good, bad = ask(NAME), ask(NAME)[:-1]
        for octets in (good, bad, good, bytes(12), good):
            client.send(octets)
        replies = [(await client.receive())[0] for _ in range(5)]
        assert [reply[3] & 15 for reply in replies] == [0, msg.FORMERR, 0, msg.FORMERR, 0]


async def test_a_burst_of_several_batches_is_answered_whole(way):
    async with Server(way) as server:
        client = server.client()
        names = ["chronos.marathon.mesos.", "nope.mesos.", "LIQUOR.marathon.mesos.", "mesos."]
        for n in range(300):
            client.send(ask(names[n % 4], identifier=n))
        replies = [read((await client.receive())[0]) for _ in range(300)]
        assert sorted(reply.id for reply in replies) == list(range(300))
        assert {reply.question[0].name.to_text() for reply in replies} == set(names)
        assert all(reply.rcode() == (dns.rcode.NXDOMAIN if reply.id % 4 == 1 else 0) for reply in replies)


async def test_others_get_their_turn_during_a_flood(way):
    server = Server(way)
    client = server.client()
    most = MAX_DATAGRAMS_PER_WAKE
    for _ in range(most + 20):
        client.send(ask(NAME))
    server.read()
    assert len(list(_waiting(client))) == most
    server.close()


def _waiting(client):
    while True:
        try:
            yield client.socket.recv(2000)
        except BlockingIOError:
            return


async def test_stopping_answers_what_has_arrived_and_nothing_later(way):
    server = Server(way)
    await server.listener.start()
    client = server.client()
    # More than one turn of them.
    count = 2 * MAX_DATAGRAMS_PER_WAKE + 10
    for n in range(count):
        client.send(ask(NAME, identifier=n))
    await server.listener.stop()
    assert len({reply[:2] for reply in _waiting(client)}) == count
    client.send(ask(NAME))
    await asyncio.sleep(0)
    client.assert_silence()
    server.close()


# --- other names -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("family", "address", "asked"),
    [(V4, "127.0.0.1", None), (V4, "0.0.0.0", "127.0.0.3"), (V6, "::1", None), (V6, "::", "::1")],
)
async def test_a_forwarded_answer_goes_to_the_one_who_asked_from_the_address_that_was_asked(
    way, family, address, asked
):
    async with Server(way, family, address) as server:
        one, other = server.client(asked), server.client(asked)
        one.send(ask("example.org.", identifier=1))
        other.send(ask("example.org.", identifier=2, payload=900))
        # The slots of the batch are used again in between.
        await one.ask(ask(NAME))
        await other.ask(ask(NAME))
        assert [limit for _, limit, _ in server.forwarded] == [512, 900]
        for forward, _, send in reversed(server.forwarded):
            send(b"reply to %d" % struct.unpack_from("!H", forward.query.octets))
        assert (await one.receive())[0] == b"reply to 1"
        reply, source = await other.receive()
        assert (reply, source[:2]) == (b"reply to 2", other.server)


async def test_an_answer_that_cannot_be_sent_is_counted(way):
    async with Server(way) as server:
        client = server.client()
        client.send(ask("example.org."))
        await client.ask(ask(NAME))
        ((_, _, send),) = server.forwarded
        send(bytes(70_000))
        assert server.responder.counters["udp_send_failed"] == 1


def test_repr(way):
    server = Server(way)
    name = {"batched": "BatchedListener", "plain": "PlainListener"}[way]
    assert repr(server.listener) == f"{name}({server.socket.getsockname()!r})"
    server.close()


def test_systems_with_both_calls_use_them(monkeypatch):
    with socket.socket(V4, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        kinds = {}
        for there in (True, False):
            monkeypatch.setattr(batches, "available", lambda there=there: there)
            kinds[there] = type(udp_listener(sock, make_responder(ZONE), lambda *_: None))
    assert kinds == {True: BatchedListener, False: PlainListener}


async def test_long_names_are_answered_whole_and_spoil_no_other(way):
    label = "x" * 60
    name = f"{label}.{label.upper()}.{label}.marathon.mesos."
    server = Server(way)
    server.responder.use(make_answerer(make_zone(f"{name.lower()} A 10.1.2.3\n{NAME} A 1.2.3.11")))
    async with server:
        client = server.client()
        for _ in range(3):
            for asked in (NAME, name, f"{label}.{name}"[61:], f"no.{name}"):
                client.send(ask(asked))
                client.send(ask(asked, payload=1232))
        replies = [(await client.receive())[0] for _ in range(24)]
    given = [[text.split()[-1] for text in texts(read(reply).answer)] for reply in replies]
    assert given == ([["1.2.3.11"]] * 2 + [["10.1.2.3"]] * 4 + [[]] * 2) * 3
    assert all(read(reply).question[0].name.to_text() in {NAME, name, f"no.{name}"} for reply in replies)


async def test_what_is_asked_again_and_again_is_answered_from_memory(way):
    async with Server(way) as server:
        client = server.client()
        for octets in (ask(NAME), ask("nope.mesos."), ask(NAME, payload=1232, options=[option(65001, b"xyz")])):
            replies = [await client.ask(octets) for _ in range(6)]
            assert len(set(replies)) == 1
        # The first two of each: what is asked for once is not remembered.
        assert server.responder.misses == 6
        assert server.responder.hits == 12


async def test_queries_of_all_kinds_in_one_batch(way):
    server = Server(way)
    client = server.client()
    kinds = [
        *(ask(NAME), ask(NAME.upper(), payload=1232), ask(NAME, payload=600, options=[option(10, b"12345678")])),
        *(ask("nope.mesos."), ask("many.mesos.", payload=4096), ask("_liquor._tcp.marathon.mesos.", "SRV")),
        *(ask(NAME)[:-1], b"", ask(NAME, flags=dns.flags.QR), ask("example.org.")),
    ]
    for n in range(100):
        kind = kinds[n % 10]
        client.send(struct.pack("!H", n) + kind[2:] if len(kind) > 12 else kind)
    server.read()
    replies = {int.from_bytes(reply[:2]): reply for reply in _waiting(client)}
    assert sorted(replies) == [n for n in range(100) if n % 10 < 7]
    assert len(server.forwarded) == 10
    for n, reply in replies.items():
        if n % 10 < 6:
            expected = read(make_responder(ZONE).respond_udp(kinds[n % 10]))
            found = read(reply)
            assert sorted(texts(found.answer)) == sorted(texts(expected.answer))
            assert (found.rcode(), found.edns, found.question) == (expected.rcode(), expected.edns, expected.question)
        else:
            assert reply[3] & 15 == msg.FORMERR
    server.close()


# --- a single datagram -------------------------------------------------------------------------


@pytest.mark.skipif(not batches.available(), reason="needs recvmmsg of Linux")
@pytest.mark.parametrize(("family", "address"), [(V4, "127.0.0.1"), (V4, "0.0.0.0"), (V6, "::1"), (V6, "::")])
def test_a_datagram_alone_gets_the_reply_that_it_would_get_among_others(family, address):
    kinds = [
        *(ask(NAME), ask(NAME.upper(), payload=1232), ask(NAME, payload=600, options=[option(10, b"12345678")])),
        *(ask("nope.mesos."), ask("nope.mesos.", payload=4096), ask("many.mesos."), ask("many.mesos.", payload=600)),
        *(ask("mesos.", "SOA"), ask(NAME)[:-1], b"", b"x", ask(NAME, flags=dns.flags.QR), ask(NAME) + bytes(60_000)),
        ask(f"{'x' * 60}.{'y' * 60}.mesos.", payload=1232),
    ]
    server = Server("batched", family, address)
    client = server.client("127.0.0.1" if family == V4 else "::1")
    host = socket.inet_pton(family, client.server[0])
    for octets in [*kinds, *kinds, *kinds]:
        client.send(octets)
        assert server.read(next(SPARSE))
        replies = list(_waiting(client))
        expected = make_responder(ZONE).respond_udp(octets, host)
        assert [reply[:12] for reply in replies] == ([] if expected is None else [expected[:12]])
        for reply in replies:
            assert len(reply) == len(expected)
            assert sorted(texts(read(reply).answer)) == sorted(texts(read(expected).answer))
    assert server.responder.hits == 6
    assert server.read(next(SPARSE))
    server.close()


@pytest.mark.parametrize(("address", "asked"), [("127.0.0.1", None), ("0.0.0.0", "127.0.0.3")])
async def test_a_datagram_alone_that_is_forwarded_is_answered_later(way, address, asked):
    server = Server(way, V4, address)
    client = server.client(asked)
    client.send(ask("example.org."))
    # What was forwarded has scheduled something: the event loop must get its turn.
    assert not server.read(next(SPARSE))
    ((forward, limit, send),) = server.forwarded
    assert (limit, forward.client) == (512, bytes((127, 0, 0, 1)))
    send(b"later")
    assert await client.receive() == (b"later", client.server)
    server.close()


@pytest.mark.skipif(not batches.available(), reason="needs recvmmsg of Linux")
def test_single_datagrams_are_read_one_at_a_time_until_they_come_thick():
    server = Server("batched")
    client = server.client()
    begin = next(SPARSE)
    answered = []
    for _ in range(20):
        client.send(ask(NAME))
    for n in range(6):
        server.read(begin + n * 1e-6)
        answered.append(len(list(_waiting(client))))
    # The first ones might have been all; when they were not, the rest is taken at once.
    assert answered == [1, 1, 1, 1, 1, 15]
    for n in range(6, 9):
        for _ in range(10):
            client.send(ask(NAME))
        # They have come thick, so that they are taken together, however long the last ones took.
        server.read(begin + n)
        assert len(list(_waiting(client))) == 10
    client.send(ask(NAME))
    server.read(begin + 10)
    client.send(ask(NAME))
    client.send(ask(NAME))
    server.read(begin + 11)
    # The one before was alone.
    assert len(list(_waiting(client))) == 2
    server.close()


def test_all_that_waits_is_read_when_other_work_waits(way):
    """Otherwise a datagram a turn would be answered beside TCP clients that keep the worker busy: fewer than come."""
    server = Server(way)
    client = server.client()
    for _ in range(20):
        client.send(ask(NAME))
    server.read()
    assert len(list(_waiting(client))) == 20
    server.close()


# --- order and size ----------------------------------------------------------------------------


@pytest.mark.parametrize("count", [2, 3, 5, 20])
@pytest.mark.parametrize("kind", ["A", "SRV"])
@pytest.mark.parametrize("alone", [False, True])
def test_each_record_comes_first_equally_often(way, count, kind, alone):
    values = [f"10.0.0.{n}" if kind == "A" else f"t{n}.mesos:1" for n in range(count)]
    table = f"app.mesos {kind} {' '.join(values)}"
    if kind == "SRV":
        table += "".join(f"\nt{n}.mesos A 10.0.0.{n}" for n in range(count))
    server = Server(way)
    server.responder.use(make_answerer(make_zone(table)))
    client = server.client()
    firsts = Counter()
    for n in range(10 * count + 2):
        client.send(ask("app.mesos.", kind, payload=1232))
        server.read(next(SPARSE) if alone else 0.0)
        (reply,) = _waiting(client)
        # The first two are fresh, and begin with any.
        if n >= 2:
            firsts[texts(read(reply).answer)[0]] += 1
    assert sorted(firsts.values()) == [10] * count
    server.close()


def test_a_truncated_answer_holds_the_clients_part_from_the_cache_as_well(way):
    server = Server(way)
    client = server.client()
    replies = set()
    for n in range(9):
        client.send(ask("many.mesos."))
        server.read(next(SPARSE) if n % 2 == 0 else 0.0)
        replies.update(_waiting(client))
    (reply,) = replies
    assert reply == make_responder(ZONE).respond_udp(ask("many.mesos."), bytes((127, 0, 0, 1)))
    assert read(reply).flags & dns.flags.TC
    assert len(texts(read(reply).answer)) == 30
    assert server.responder.hits == 7
    server.close()


# --- policies ----------------------------------------------------------------------------------


class Moods:
    """A policy that goes by the ID of the query."""

    verdicts = MappingProxyType(
        {1: Drop(), 2: Refuse(dns.rcode.REFUSED, 18), 3: Answer(b"\0\3\0\2us"), 4: Answer(), 5: None}
    )

    usual = frozenset()

    def __init__(self):
        self.clients = set()

    def judge(self, request):
        self.clients.add((request.client, request.transport))
        return self.verdicts.get(int.from_bytes(request.octets[:2], "big"))


@pytest.mark.parametrize("alone", [False, True])
def test_a_policy_decides_what_becomes_of_each_datagram(way, alone):
    server = Server(way)
    server.responder.policy = policy = Moods()
    client = server.client()
    for _ in range(3):
        for mood in range(1, 6):
            client.send(ask(NAME, identifier=mood, payload=1232))
        for _ in range(5):
            server.read(next(SPARSE) if alone else 0.0)
        replies = {reply.id: reply for reply in map(read, _waiting(client))}
        assert sorted(replies) == [2, 3, 4, 5]
        assert replies[2].rcode() == dns.rcode.REFUSED
        assert [found.code for found in replies[2].options] == [18]
        assert [found.nsid for found in replies[3].options] == [b"us"]
        assert replies[4].options == replies[5].options == ()
        assert all(len(texts(replies[n].answer)) == 1 for n in (3, 4, 5))
    assert policy.clients == {(bytes((127, 0, 0, 1)), Transport.UDP)}
    assert server.responder.counters["dropped"] == server.responder.counters["refused"] == 3
    server.close()
