"""Names outside are for those who may ask about them, also the short way, and also what was said a moment ago."""

import asyncio
import socket

import dns.flags
import dns.rcode
import pytest
from tests.serve.asking import ask, make_answerer, read, texts
from tests.serve.forward.test_flights import ZONE, Server, Upstream, by_name, make_forwarder, named

from mesos_dns.dns.prefixes import ClientList, Clients, prefix_of
from mesos_dns.serve import batch as batches
from mesos_dns.serve.batched import BatchedListener
from mesos_dns.serve.limiting import ResponseLimit
from mesos_dns.serve.policy import Access
from mesos_dns.serve.ratelimit import RateLimiter, Rates
from mesos_dns.serve.responder import Responder

pytestmark = pytest.mark.skipif(not batches.available(), reason="needs recvmmsg of Linux")
FRIENDS = ClientList(allowed=(prefix_of(bytes((127, 0, 0, 1)), 32),))


def serving(forwarder, *, recursion=None, policy=None, rates=None):
    """A server before `forwarder` which asks who the client is."""
    server = Server(forwarder)
    server.responder = Responder(make_answerer(ZONE), policy, recursion=recursion)
    limit = None if rates is None else ResponseLimit(RateLimiter(rates, lambda _: b""), server.responder.counters)
    server.listener = BatchedListener(server.socket, server.responder, forwarder.submit, forwarder.flights, limit)
    return server


async def refused(server, numbers):
    """Whether each of these questions of a stranger, asked at once, is refused."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.setblocking(False)
        stranger.bind(("127.0.0.9", 0))
        stranger.connect(server.socket.getsockname())
        for n in numbers:
            stranger.send(ask(named(n), identifier=n))
        found = {}
        async with asyncio.timeout(10):
            while len(found) < len(numbers):
                reply = read(await asyncio.get_running_loop().sock_recv(stranger, 65535))
                found[reply.id] = reply
    return {n: found[n].rcode() == dns.rcode.REFUSED and not found[n].answer for n in numbers}


@pytest.mark.parametrize("way", ["recursion", "policy"])
@pytest.mark.parametrize("count", [1, 60])
async def test_a_stranger_gets_no_name_outside_whatever_a_friend_asked(way, count):
    numbers = range(1, count + 1)
    clients = Clients(FRIENDS)
    async with Upstream(by_name) as upstream:
        more = {"recursion": clients} if way == "recursion" else {"policy": Access(clients)}
        async with serving(make_forwarder(upstream), **more) as server:
            for _ in range(3):
                for n in numbers:
                    answer = (await server.ask(named(n))).answer
                    assert [text.split()[-1] for text in texts(answer)] == [f"192.0.2.{n}"]
                # The same names, and others beside them.
                assert all((await refused(server, numbers)).values())
                assert all((await refused(server, range(100, 100 + count))).values())
            # What was forwarded are the friend's questions.
            assert server.forwarder.counters["forwarded"] == 3 * count


async def test_with_limits_all_replies_are_counted():
    rates = Rates(1, 1, 1, share=1e-9, slip=1)
    async with Upstream(by_name) as upstream, serving(make_forwarder(upstream), rates=rates) as server:
        for n in (1, 2, 3, 4):
            assert (await server.ask(named(n))).answer
        again = [await server.ask(named(n)) for n in (1, 2, 3, 4)]
        assert not any(reply.answer for reply in again)
        assert all(reply.flags & dns.flags.TC for reply in again)
