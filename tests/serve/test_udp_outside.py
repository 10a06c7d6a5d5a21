"""Answers of upstreams at a UDP listener: what is known by heart is given again, and what is ours comes first."""

import asyncio

import dns.flags
import dns.message
import dns.rrset
import pytest
from tests.serve.asking import ask, option, parse, read
from tests.serve.test_udp import NAME, Server

from mesos_dns.serve import batch as batches
from mesos_dns.serve import outside
from mesos_dns.serve.forward import rewrite
from mesos_dns.serve.request import Forward

pytestmark = pytest.mark.skipif(not batches.available(), reason="needs recvmmsg of Linux")
OUTSIDE = "www.example.org."


class Upstream:
    """Answers at once, as a forwarder that knows the answer by heart does."""

    def __init__(self, *addresses, flags=0):
        self.asked = []
        self._addresses, self._flags = addresses or ("192.0.2.1",), flags

    def forward(self, forward, limit, send):
        self.asked.append(forward)
        query = dns.message.from_wire(forward.query.octets)
        reply = dns.message.make_response(query)
        reply.use_edns(-1)
        reply.flags |= self._flags
        reply.answer.append(dns.rrset.from_text(query.question[0].name, 300, "IN", "A", *self._addresses))
        for_client = rewrite.for_client(reply.to_wire(), forward, limit, truncate_bit=True)
        send(for_client)
        return for_client


def serving(upstream):
    server = Server("batched")
    server.listener._forward = upstream.forward
    return server


async def answers(server, *questions):
    client = server.client()
    return [read(await client.ask(octets)) for octets in questions]


@pytest.mark.parametrize(
    "edns", [{}, {"payload": 1232}, {"payload": 512}, {"payload": 4096, "options": [option(10, bytes(8))]}]
)
async def test_what_is_known_by_heart_is_given_to_all_who_ask_the_same(edns):
    upstream = Upstream()
    async with serving(upstream) as server:
        spellings = [OUTSIDE, OUTSIDE.upper(), "wWw.ExAmPlE.oRg."]
        replies = await answers(server, *(ask(name, identifier=n, **edns) for n, name in enumerate(spellings * 2)))
    assert len(upstream.asked) == 1
    assert [reply.id for reply in replies] == list(range(6))
    assert [reply.question[0].name.to_text() for reply in replies] == spellings * 2
    assert {(reply.edns, reply.answer[0][0].address, reply.answer[0].ttl) for reply in replies} == {
        (0 if edns else -1, "192.0.2.1", 300)
    }


async def test_another_question_is_asked_of_the_upstream():
    upstream = Upstream()
    async with serving(upstream) as server:
        await answers(
            server, ask(OUTSIDE), ask(OUTSIDE, "AAAA"), ask(OUTSIDE, flags=0x0120), ask(OUTSIDE, payload=1232)
        )
    assert len(upstream.asked) == 4


async def test_after_a_moment_it_is_asked_again(monkeypatch):
    monkeypatch.setattr(outside, "OUTSIDE_SECONDS", 0.01)
    upstream = Upstream()
    async with serving(upstream) as server, asyncio.timeout(30):
        while len(upstream.asked) < 3:
            (reply,) = await answers(server, ask(OUTSIDE))
            assert reply.answer[0][0].address == "192.0.2.1"


MANY = [f"192.0.2.{n}" for n in range(1, 60)]


@pytest.mark.parametrize(
    ("upstream", "edns"),
    [
        pytest.param(Upstream(*MANY), {}, id="cut, as it does not fit"),
        pytest.param(Upstream(flags=dns.flags.TC), {"payload": 1232}, id="cut by the upstream"),
        pytest.param(Upstream(*MANY), {"payload": 1100}, id="too large for others with little room"),
    ],
)
async def test_what_others_need_otherwise_is_not_kept(upstream, edns):
    async with serving(upstream) as server:
        await answers(server, ask(OUTSIDE, **edns), ask(OUTSIDE, **edns))
    assert len(upstream.asked) == 2


async def test_a_reply_with_options_for_one_client_is_not_kept():
    upstream = Upstream()
    async with serving(upstream) as server:
        key = b"any"
        server.listener._ask_outside(
            key, Forward(parse(ask(OUTSIDE, payload=1232)), options=b"\0\x03\0\0"), ("127.0.0.1", 9), []
        )
        assert server.listener._cache.entries == {}


async def test_what_is_ours_is_answered_before_upstreams_are_asked():
    """Whatever stands first in the socket's queue: asking takes longer than answering."""
    server = Server("batched")
    client = server.client()
    order = []

    def forward(_forward, _limit, _send):
        order.append("outside")
        while True:
            try:
                order.append(read(client.socket.recv(2000)).question[0].name.to_text())
            except BlockingIOError:
                return

    server.listener._forward = forward
    for n in range(5):
        client.send(ask(f"{n}.example.org."))
    for _ in range(3):
        client.send(ask(NAME))
    server.listener._take_turn()
    server.close()
    assert order == ["outside", *[NAME] * 3, *["outside"] * 4]
