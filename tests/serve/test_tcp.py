"""A TCP listener in an event loop: questions, answers, forwards and the end, the fast way and the plain way."""

import asyncio
import socket
import struct

import dns.rcode
import pytest
from tests.serve.asking import ask, make_answerer, option, parse, read, texts
from tests.serve.tcp_bed import NAME, OTHER, ZONE, Server, framed, until

from mesos_dns.serve import tcp
from mesos_dns.serve.accepting import plain_acceptor
from mesos_dns.serve.readiness import SelectorPoller
from mesos_dns.serve.tcp import MAX_TCP_PENDING, QUERIES_PER_TURN


@pytest.fixture(params=["fast", "plain"], autouse=True)
def way(request, monkeypatch):
    """With `epoll` and `accept4`, and with what every system has."""
    if request.param == "plain":
        monkeypatch.setattr(tcp, "acceptor", plain_acceptor)
        monkeypatch.setattr(tcp, "poller", SelectorPoller)


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


async def test_a_malformed_query_gets_an_error_and_the_connection_goes_on():
    async with Server() as server:
        client = await server.client()
        client.send(framed(ask(NAME)[:-1]))
        assert (await client.receive())[3] & 15 == dns.rcode.FORMERR
        assert (await client.ask(ask(NAME))).rcode() == 0


@pytest.mark.parametrize("octets", [b"", b"x", ask(NAME)[:11], ask(NAME, flags=0x8000)], ids=["0", "1", "11", "QR"])
async def test_what_is_no_query_ends_the_connection_after_the_answers_to_what_came_before(octets):
    async with Server() as server:
        client = await server.client()
        client.send(framed(ask(OTHER)) + framed(ask(NAME, identifier=7)) + framed(octets) + framed(ask(NAME)))
        assert read(await client.receive()).id == 7
        server.forwarded[0][1](b"the answer")
        assert await client.receive() == b"the answer"
        assert await client.ended() == b""
        await until(lambda: not server.connections)


async def test_short_replies_do_not_wait_for_the_acknowledgement_of_those_before():
    async with Server() as server:
        client = await server.client()
        await client.ask(ask(NAME))
        (connection,) = server.connections
        with socket.socket(fileno=socket.dup(connection.fd)) as same:
            assert same.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


async def test_a_fault_in_answering_costs_the_connection_alone(monkeypatch):
    loop = asyncio.get_running_loop()
    faults = []
    loop.set_exception_handler(lambda _, context: faults.append(context["exception"]))
    async with Server() as server:
        client = await server.client()
        with monkeypatch.context() as patch:
            patch.setattr(server.responder, "respond_tcp", lambda *_: 1 / 0)
            client.send(framed(ask(NAME)))
            assert await client.ended() == b""
        assert (await (await server.client()).ask(ask(NAME))).rcode() == 0
    assert [type(fault) for fault in faults] == [ZeroDivisionError]


async def test_a_client_that_asks_how_long_it_may_stay_is_told():
    """edns-tcp-keepalive (RFC 7828): option 11, in units of 100 ms."""
    async with Server() as server:
        client = await server.client()
        reply = await client.ask(ask(NAME, options=[option(11)]))
        assert [(each.otype, each.data) for each in reply.options] == [(11, b"\0\x64")]
        assert not (await client.ask(ask(NAME, payload=1232))).options


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
        client.abort()
        await until(lambda: not server.connections)
        server.forwarded[0][1](b"too late")
        assert (await (await server.client()).ask(ask(NAME))).rcode() == 0


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


async def test_stopping_answers_what_has_arrived_but_was_not_read_yet():
    async with Server() as server:
        client = await server.client()
        await client.ask(ask(NAME))
        count = 3 * QUERIES_PER_TURN
        client.send(b"".join(framed(ask(NAME, identifier=n)) for n in range(count)))
        await server.listener.stop()
        assert [read(await client.receive()).id for _ in range(count)] == list(range(count))
        assert await client.ended() == b""


async def test_stopping_in_the_middle_of_many_queries_answers_all_that_arrived():
    """A refusal that comes at once must not close the connection before the others are answered."""
    answerer = make_answerer(ZONE)

    def refuse(forward, _limit, send):
        send(answerer.refusal(parse(forward.query.octets), 5))

    async with Server(forward=refuse) as server:
        client = await server.client()
        await client.ask(ask(NAME))
        names = [OTHER if n % 50 == 0 else NAME for n in range(2 * QUERIES_PER_TURN)]
        client.send(b"".join(framed(ask(name, identifier=n)) for n, name in enumerate(names)))
        await server.listener.stop()
        assert {read(await client.receive()).id for _ in names} == set(range(len(names)))
        assert await client.ended() == b""


async def test_stopping_lets_go_of_everything():
    async with Server() as server:
        client = await server.client()
        await client.ask(ask(NAME))
        await server.listener.stop()
        assert server.listener._poller.closed
        assert not server.listener._scheduled
        assert repr(server.listener) == "TcpListener('closed', connections=0)"


async def test_a_listener_that_never_started_can_be_stopped():
    server = Server()
    await server.listener.stop()
    assert server.socket.fileno() == -1


async def test_a_listener_that_stopped_does_not_look_at_newcomers_of_the_shared_socket():
    """Control holds the same socket, for the workers to come; epoll would go on telling of it."""
    async with Server() as server:
        with server.socket.dup():
            client = await server.client()
            client.send(framed(ask(OTHER)))
            await server.until_forwarded(1)
            await server.listener.stop()
            await server.client()
            assert server.listener._poller.poll(0, 10) == []
            server.forwarded[0][1](b"the answer")
            assert await client.receive() == b"the answer"
            await until(lambda: server.listener._poller.closed)
