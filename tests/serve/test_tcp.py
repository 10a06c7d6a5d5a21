"""A TCP listener in an event loop, with clients that hurry, dawdle and misbehave."""

import asyncio
import socket
import struct

import dns.rcode
import pytest
from tests.serve.asking import ask, make_answerer, make_responder, make_zone, parse, read, texts

from mesos_dns.limits import MAX_TCP_PENDING, QUERIES_PER_TURN
from mesos_dns.serve import tcp
from mesos_dns.serve.tcp import TcpListener

ZONE = make_zone()
NAME = "chronos.marathon.mesos."
OTHER = "example.org."


def framed(octets):
    return struct.pack("!H", len(octets)) + octets


class Client:
    """One connection; waits for what it expects, but not for ever."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer

    def send(self, octets):
        self.writer.write(octets)

    async def receive(self):
        """The next message, without its length."""
        async with asyncio.timeout(5):
            (length,) = struct.unpack("!H", await self.reader.readexactly(2))
            return await self.reader.readexactly(length)

    async def ask(self, octets):
        self.send(framed(octets))
        return read(await self.receive())

    async def ended(self):
        """What still comes until the server closes."""
        async with asyncio.timeout(5):
            try:
                return await self.reader.read()
            except ConnectionResetError:
                return b""

    def close(self):
        self.writer.close()


class Server:
    """A listener, what it forwards, and its clients."""

    def __init__(self, zone=ZONE, family=socket.AF_INET, address="127.0.0.1", forward=None, **options):
        self.socket = socket.socket(family, socket.SOCK_STREAM)
        self.socket.bind((address, 0))
        self.address = self.socket.getsockname()[:2]
        self.responder = make_responder(zone)
        self.forwarded = []
        self.arrived = asyncio.Event()
        self.listener = TcpListener(self.socket, self.responder, forward or self._forward, **options)
        self._clients = []

    def _forward(self, forward, limit, send):
        assert limit == 65535
        self.forwarded.append((forward, send))
        self.arrived.set()

    async def until_forwarded(self, count):
        async with asyncio.timeout(5):
            while len(self.forwarded) < count:
                self.arrived.clear()
                await self.arrived.wait()

    async def client(self, **options):
        client = Client(*await asyncio.open_connection(*self.address, **options))
        self._clients.append(client)
        return client

    async def __aenter__(self):
        await self.listener.start()
        return self

    async def __aexit__(self, *_):
        for client in self._clients:
            client.close()
        await self.listener.stop()
        for connection in list(self.listener._connections):
            connection._transport.abort()
        await until(lambda: not self.listener._connections)


async def until(condition):
    """Wait for something that the event loop brings about by itself within a few rounds."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event of its own
            await asyncio.sleep(0.001)


# --- questions and answers ---------------------------------------------------------------------


@pytest.mark.parametrize(("family", "address"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
async def test_questions_on_one_connection(family, address):
    async with Server(family=family, address=address) as server:
        client = await server.client()
        assert texts((await client.ask(ask(NAME))).answer) == [f"{NAME} 60 IN A 1.2.3.11"]
        assert len(texts((await client.ask(ask("many.mesos."))).answer)) == 60
        assert len(texts((await client.ask(ask("_many._tcp.mesos.", "SRV", payload=512))).answer)) == 60
        assert (await client.ask(ask("nope.mesos."))).rcode() == dns.rcode.NXDOMAIN


async def test_the_length_in_two_parts_and_the_body_octet_by_octet():
    async with Server() as server:
        client = await server.client()
        client.writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for octet in framed(ask(NAME)):
            client.send(bytes((octet,)))
            await asyncio.sleep(0)
        assert texts(read(await client.receive()).answer)


async def test_100_pipelined_queries_get_100_answers_in_order():
    async with Server() as server:
        client = await server.client()
        client.send(b"".join(framed(ask(NAME, identifier=n)) for n in range(100)))
        assert [read(await client.receive()).id for _ in range(100)] == list(range(100))


async def test_thousands_of_pipelined_queries_take_turns_and_are_all_answered():
    async with Server() as server:
        client = await server.client()
        count = 10 * QUERIES_PER_TURN + 7
        client.send(b"".join(framed(ask(NAME, identifier=n)) for n in range(count)))
        assert [struct.unpack_from("!H", await client.receive())[0] for _ in range(count)] == list(range(count))


async def test_a_chunk_that_ends_within_a_query():
    async with Server() as server:
        client = await server.client()
        stream = framed(ask(NAME, identifier=1)) + framed(ask(NAME, identifier=2))
        client.send(stream[:-5])
        assert read(await client.receive()).id == 1
        client.send(stream[-5:])
        assert read(await client.receive()).id == 2


async def test_what_is_no_query_gets_an_error_or_silence_and_the_connection_goes_on():
    async with Server() as server:
        client = await server.client()
        for octets in (b"", b"x", ask(NAME, flags=0x8000)):
            client.send(framed(octets))
        client.send(framed(ask(NAME)[:-1]))
        assert (await client.receive())[3] & 15 == dns.rcode.FORMERR
        assert (await client.ask(ask(NAME))).rcode() == 0


# --- half-closed connections -------------------------------------------------------------------


async def test_a_client_that_has_asked_all_it_wanted_is_still_answered():
    async with Server() as server:
        client = await server.client()
        count = 2 * QUERIES_PER_TURN + 5
        client.send(b"".join(framed(ask(NAME, identifier=n)) for n in range(count)))
        client.writer.write_eof()
        assert [read(await client.receive()).id for _ in range(count)] == list(range(count))
        assert await client.ended() == b""


async def test_a_half_closed_connection_waits_for_what_is_forwarded():
    async with Server() as server:
        client = await server.client()
        client.send(framed(ask(OTHER)))
        client.writer.write_eof()
        await server.until_forwarded(1)
        server.forwarded[0][1](b"the answer")
        assert await client.receive() == b"the answer"
        assert await client.ended() == b""


# --- forwarding --------------------------------------------------------------------------------


async def test_a_slow_forward_holds_back_nobody():
    async with Server() as server:
        client = await server.client()
        client.send(framed(ask(OTHER, identifier=1)) + framed(ask(NAME, identifier=2)))
        client.send(framed(ask(OTHER, identifier=3)) + framed(ask(NAME, identifier=4)))
        assert [read(await client.receive()).id for _ in range(2)] == [2, 4]
        for n in (1, 0):
            forward, send = server.forwarded[n]
            send(b"answer to %d" % struct.unpack_from("!H", forward.query.octets))
        assert [await client.receive() for _ in range(2)] == [b"answer to 3", b"answer to 1"]


async def test_a_refusal_that_comes_at_once():
    answerer = make_answerer(ZONE)

    def refuse(forward, _limit, send):
        send(answerer.refusal(forward.query, 5))

    async with Server(forward=refuse) as server:
        client = await server.client()
        client.send(framed(ask(OTHER, identifier=1)) + framed(ask(NAME, identifier=2)))
        assert {read(await client.receive()).id for _ in range(2)} == {1, 2}


async def test_so_many_forwards_and_no_more_are_pending_for_one_connection():
    async with Server() as server:
        client = await server.client()
        count = MAX_TCP_PENDING + 50
        client.send(b"".join(framed(ask(OTHER, identifier=n)) for n in range(count)))
        client.send(framed(ask(NAME, identifier=9999)))
        await server.until_forwarded(MAX_TCP_PENDING)
        await asyncio.sleep(0.01)
        assert len(server.forwarded) == MAX_TCP_PENDING
        # Others are not affected.
        assert (await (await server.client()).ask(ask(NAME))).rcode() == 0
        answered = 0
        while answered < count:
            await server.until_forwarded(answered + 1)
            server.forwarded[answered][1](b"x")
            answered += 1
        replies = [await client.receive() for _ in range(count + 1)]
        assert replies.count(b"x") == count


async def test_the_client_may_be_gone_when_its_answer_comes():
    async with Server() as server:
        client = await server.client()
        client.send(framed(ask(OTHER)))
        await server.until_forwarded(1)
        # With a reset, since an orderly end is a half-closed connection.
        linger = struct.pack("ii", 1, 0)
        client.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        client.writer.transport.abort()
        await until(lambda: not server.listener._connections)
        server.forwarded[0][1](b"too late")
        assert (await (await server.client()).ask(ask(NAME))).rcode() == 0


# --- bounds ------------------------------------------------------------------------------------


async def test_connections_of_one_client_are_bounded(monkeypatch):
    monkeypatch.setattr(tcp, "MAX_TCP_PER_CLIENT", 3)
    async with Server() as server:
        clients = [await server.client() for _ in range(3)]
        for client in clients:
            assert (await client.ask(ask(NAME))).rcode() == 0
        assert await (await server.client()).ended() == b""
        assert server.responder.counters["tcp_refused"] == 1
        # Another client is another address.
        assert (await (await server.client(local_addr=("127.0.0.2", 0))).ask(ask(NAME))).rcode() == 0
        clients[0].close()
        await until(lambda: server.listener._per_client["127.0.0.1"] == 2)
        assert (await (await server.client()).ask(ask(NAME))).rcode() == 0


async def test_all_connections_are_bounded(monkeypatch):
    monkeypatch.setattr(tcp, "MAX_TCP_CONNECTIONS", 2)
    async with Server() as server:
        clients = [await server.client(local_addr=(f"127.0.0.{n}", 0)) for n in (1, 2)]
        for client in clients:
            await client.ask(ask(NAME))
        assert await (await server.client(local_addr=("127.0.0.3", 0))).ended() == b""
        assert len(server.listener._connections) == 2


async def test_what_was_counted_is_forgotten_with_the_last_connection():
    async with Server() as server:
        client = await server.client()
        await client.ask(ask(NAME))
        assert repr(server.listener) == f"TcpListener({server.socket.getsockname()!r}, connections=1)"
        client.close()
        await until(lambda: not server.listener._connections)
        assert server.listener._per_client == {}


async def test_an_idle_connection_is_closed():
    async with Server(idle=0.05) as server:
        client = await server.client()
        assert (await client.ask(ask(NAME))).rcode() == 0
        assert await client.ended() == b""


async def test_half_a_query_does_not_keep_a_connection_open():
    async with Server(idle=0.2) as server:
        client = await server.client()
        for octet in framed(ask(NAME))[:-1]:
            client.send(bytes((octet,)))
            await asyncio.sleep(0.01)
            if server.listener.responder.counters["tcp_connections"] and not server.listener._connections:
                break
        assert await client.ended() == b""


async def test_queries_keep_a_connection_open():
    async with Server(idle=0.1) as server:
        client = await server.client()
        loop = asyncio.get_running_loop()
        end = loop.time() + 0.3
        while loop.time() < end:
            assert (await client.ask(ask(NAME))).rcode() == 0
            await asyncio.sleep(0.02)


async def test_a_pending_forward_keeps_a_connection_open():
    async with Server(idle=0.05) as server:
        client = await server.client()
        client.send(framed(ask(OTHER)))
        await server.until_forwarded(1)
        await asyncio.sleep(0.2)
        server.forwarded[0][1](b"the answer")
        assert await client.receive() == b"the answer"


LARGE = make_zone("many.mesos A " + " ".join(f"10.{n // 65536}.{n // 256 % 256}.{n % 256}" for n in range(3500)))


class Dawdler:
    """A client that asks and asks and does not read, or only late."""

    def __init__(self, server):
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        self.socket.setblocking(False)
        self.server = server

    async def __aenter__(self):
        await asyncio.get_running_loop().sock_connect(self.socket, self.server.address)
        await until(lambda: self.server.listener._connections)
        (self.connection,) = self.server.listener._connections
        return self

    async def __aexit__(self, *_):
        self.socket.close()

    def send_what_fits(self, octets):
        """Fill the way to the server; whether anything went out."""
        try:
            return self.socket.send(octets * 100) > 0
        except BlockingIOError:
            return False

    @property
    def held(self):
        """Octets that the server keeps for this client."""
        return self.connection._transport.get_write_buffer_size() + len(self.connection._buffer)


async def test_a_client_that_does_not_read_holds_little_memory():
    async with Server(LARGE) as server, Dawdler(server) as client:
        question = framed(ask("many.mesos."))
        for _ in range(200):
            client.send_what_fits(question)
            await asyncio.sleep(0)
            assert client.held < 1_000_000
        assert client.held > 100_000
        assert (await (await server.client()).ask(ask("many.mesos."))).rcode() == 0


async def test_forwarded_answers_do_not_reopen_what_a_client_does_not_read():
    async with Server(LARGE) as server, Dawdler(server) as client:
        client.send_what_fits(framed(ask(OTHER)))
        await server.until_forwarded(MAX_TCP_PENDING)
        question = framed(ask("many.mesos."))
        for _, send in server.forwarded[:50]:
            send(b"x" * 60_000)
            client.send_what_fits(question)
            await asyncio.sleep(0)
        held = client.held
        assert client.connection._blocked
        for _ in range(50):
            client.send_what_fits(question)
            await asyncio.sleep(0)
        assert client.held == held


async def test_a_client_that_does_not_read_is_closed_in_the_end():
    async with Server(LARGE, idle=0.1) as server, Dawdler(server) as client:
        for _ in range(20):
            client.send_what_fits(framed(ask("many.mesos.")))
            await asyncio.sleep(0)
        await until(lambda: not server.listener._connections)


async def test_a_client_that_reads_late_gets_everything():
    loop = asyncio.get_running_loop()
    async with Server(LARGE) as server, Dawdler(server) as client:
        count = 120
        await loop.sock_sendall(client.socket, b"".join(framed(ask("many.mesos.", identifier=n)) for n in range(count)))
        await until(lambda: client.connection._unread)
        stream = b""
        identifiers = []
        while len(identifiers) < count:
            async with asyncio.timeout(5):
                stream += await loop.sock_recv(client.socket, 1 << 20)
            while len(stream) >= 2 and len(stream) >= (end := 2 + struct.unpack_from("!H", stream)[0]):
                identifiers.append(struct.unpack_from("!H", stream, 2)[0])
                stream = stream[end:]
        assert identifiers == list(range(count))


# --- stopping ----------------------------------------------------------------------------------


async def test_stopping_closes_idle_connections_and_accepts_no_more():
    async with Server() as server:
        client = await server.client()
        await client.ask(ask(NAME))
        await server.listener.stop()
        assert await client.ended() == b""
        with pytest.raises(ConnectionRefusedError):
            await server.client()


async def test_stopping_waits_for_what_is_forwarded():
    async with Server() as server:
        client = await server.client()
        client.send(framed(ask(OTHER)))
        await server.until_forwarded(1)
        await server.listener.stop()
        server.forwarded[0][1](b"the answer")
        assert await client.receive() == b"the answer"
        assert await client.ended() == b""


async def test_stopping_in_the_middle_of_many_queries_answers_all_that_arrived():
    """A refusal that comes at once must not close the connection before the others are answered."""
    answerer = make_answerer(ZONE)

    def refuse(forward, _limit, send):
        send(answerer.refusal(parse(forward.query.octets), 5))

    async with Server(forward=refuse) as server:
        client = await server.client()
        await client.ask(ask(NAME))
        (connection,) = server.listener._connections
        names = [OTHER if n % 50 == 0 else NAME for n in range(2 * QUERIES_PER_TURN)]
        connection.data_received(b"".join(framed(ask(name, identifier=n)) for n, name in enumerate(names)))
        await server.listener.stop()
        assert {read(await client.receive()).id for _ in names} == set(range(len(names)))
        assert await client.ended() == b""
