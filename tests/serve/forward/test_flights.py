"""Usual questions on the short way to their upstream, from a listener's socket and back."""

import asyncio
import contextlib
import socket
from itertools import count as counting

import dns.flags
import dns.rcode
import dns.rrset
import pytest
from tests.cycles import left_by
from tests.serve.asking import ask, make_responder, make_zone, parse, read, texts
from tests.serve.forward.asked import until
from tests.serve.forward.upstreams import ROOT, Upstream, make_forwarder, say, submit, truncated, unused_address

from mesos_dns.dns import message as msg
from mesos_dns.dns import name as names
from mesos_dns.serve import batch
from mesos_dns.serve.batched import BatchedListener
from mesos_dns.serve.forward import flights as flying
from mesos_dns.serve.forward import forwarder as forwarding
from mesos_dns.serve.forward.loops import LoopWatch, routes_of
from mesos_dns.serve.policy import Refuse

pytestmark = pytest.mark.skipif(not batch.available(), reason="needs recvmmsg of Linux")

ZONE = make_zone()
OURS = "chronos.marathon.mesos."
LATE = 0.05


def named(n):
    return f"n{n}.example.test."


def by_name(octets):
    """An answer that is another one for each name."""
    label = parse(octets).name[1:].split(b"\7")[0].decode()
    return say(octets, f"192.0.2.{int(label[1:])}")


class Server:
    """A listener before `forwarder`, on which sixteen questions or more are answered together."""

    def __init__(self, forwarder, *, host="127.0.0.1", bind=None, policy=None):
        self.forwarder = forwarder
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_DGRAM)
        self.socket.bind((bind or host, 0))
        self.client = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.client.connect((host, self.socket.getsockname()[1]))
        self.responder = make_responder(ZONE)
        self.responder.policy = policy
        self.listener = BatchedListener(self.socket, self.responder, forwarder.submit, forwarder.flights)

    async def __aenter__(self):
        await self.listener.start()
        return self

    async def __aexit__(self, *_):
        await self.listener.stop()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(5):
                await self.forwarder.drained()
        self.forwarder.close()
        self.socket.close()
        self.client.close()

    async def replies(self, *queries):
        """What comes back to these, which are sent at once, by ID; each must come once."""
        for octets in queries:
            self.client.send(octets)
        found = {}
        async with asyncio.timeout(10):
            while len(found) < len(queries):
                reply = await asyncio.get_running_loop().sock_recv(self.client, 65535)
                assert reply[:2] not in found
                found[reply[:2]] = reply
        return found

    async def ask(self, name, **more):
        octets = ask(name, **more)
        return read((await self.replies(octets))[octets[:2]])

    def count(self, series):
        return self.forwarder.counters[series]


async def addresses(server, *numbers, **more):
    """The answers to the names of these numbers, asked at once."""
    queries = {n: ask(named(n), identifier=1000 + n, **more) for n in numbers}
    replies = await server.replies(*queries.values())
    return {n: [text.split()[-1] for text in texts(read(replies[queries[n][:2]]).answer)] for n in numbers}


async def aloft(server, **more):
    """Have the first question of a parent asked, and one of that form: after it the others take the short way."""
    assert (await server.ask(named(0), **more)).answer


def expected(*numbers):
    return {n: [f"192.0.2.{n}"] for n in numbers}


@pytest.fixture
def flown(monkeypatch):
    """The keys of questions that took the short way."""
    taken = []
    take = flying.Flights.take

    def note(self, *args):
        count = self.count
        result = take(self, *args)
        if self.count > count:
            taken.append(args[1])
        return result

    monkeypatch.setattr(flying.Flights, "take", note)
    return taken


# --- as it should be ---------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("anywhere", [False, True])
@pytest.mark.parametrize("more", [{}, {"payload": 1232}, {"payload": 4096, "ednsflags": dns.flags.DO}], ids=str)
async def test_many_names_of_one_parent(flown, host, anywhere, more):
    bind = ("::" if ":" in host else "0.0.0.0") if anywhere else host
    async with Upstream(by_name) as upstream, Server(make_forwarder(upstream), host=host, bind=bind) as server:
        await aloft(server, **more)
        numbers = range(1, 100)
        assert await addresses(server, *numbers, **more) == expected(*numbers)
        assert len(flown) == 99
        assert (await server.ask(named(120), **more)).edns == (0 if more else -1)
        assert len(flown) == 100
        assert server.count("forwarded") == 101
        assert server.forwarder.pending == 0
        assert not server.forwarder._clients


async def test_each_is_asked_once_of_the_first_upstream_with_an_id_and_our_edns():
    async with Upstream(by_name) as first, Upstream(by_name) as second:
        async with Server(make_forwarder(first, second)) as server:
            await aloft(server)
            await addresses(server, *range(1, 41))
        queries = [parse(octets) for octets, _ in first.asked]
        assert len({query.name for query in queries}) == len(queries) == 41
        assert all(query.edns is not None for query in queries)
        assert len({query.octets[:2] for query in queries}) > 35
        assert len({port for _, port in first.asked}) >= 3
        assert second.asked == []


async def test_answers_come_from_the_cache_the_second_time(flown):
    async with Upstream(by_name) as upstream, Server(make_forwarder(upstream, cache_octets=1 << 20)) as server:
        await aloft(server)
        for _ in range(4):
            assert await addresses(server, *range(1, 41)) == expected(*range(1, 41))
        assert len(flown) == 40
        assert len(upstream.asked) == 41
        assert server.count("forward_cached") + server.responder.hits == 120
        assert server.responder.hits > 0


async def test_in_the_zone_is_answered_beside_it():
    async with Upstream(by_name) as upstream, Server(make_forwarder(upstream)) as server:
        await aloft(server)
        queries = [ask(named(n), identifier=n) for n in range(1, 31)]
        ours = [ask(OURS, identifier=100 + n) for n in range(30)]
        replies = await server.replies(*[one for pair in zip(queries, ours, strict=True) for one in pair])
        assert {texts(read(replies[octets[:2]]).answer)[0].split()[-1] for octets in ours} == {"1.2.3.11"}
        assert all(read(replies[octets[:2]]).answer for octets in queries)


async def test_clients_who_ask_the_same_share_a_flight(flown):
    async with Upstream(by_name) as upstream, Server(make_forwarder(upstream)) as server:
        await aloft(server)
        await aloft(server, payload=1232)
        same = [ask("n7.EXAMPLE.test.", identifier=n) for n in range(10)]
        replies = await server.replies(*same, ask(named(7), identifier=99, payload=1232))
        assert len(replies) == 11
        assert all(texts(read(reply).answer)[0].endswith("192.0.2.7") for reply in replies.values())
        assert len(flown) == 1
        assert len(upstream.asked) == 3
        assert not server.forwarder._joined


@pytest.mark.parametrize(
    ("name", "qtype"),
    [
        ("deep.n1.example.test.", "A"),
        ("test.", "A"),
        (named(1), "ANY"),
        (named(1), "DS"),
        (".", "NS"),
    ],
)
async def test_other_questions_take_the_long_way(flown, name, qtype):
    answer = {"A": ("192.0.2.1",)}.get(qtype, ())
    async with Upstream(lambda octets: say(octets, *answer)) as upstream, Server(make_forwarder(upstream)) as server:
        await server.ask(named(0))
        assert (await server.ask(name, rdtype=qtype)).rcode() == dns.rcode.NOERROR
        assert flown == []
        assert parse(upstream.asked[-1][0]).name == names.from_text(name.rstrip("."))


async def test_a_zone_with_upstreams_of_its_own_beside_others(flown):
    async with Upstream(by_name) as general, Upstream(lambda octets: say(octets, "192.0.2.200")) as special:
        zones = {ROOT: [general.address], names.from_text("n5.example.test"): [special.address]}
        async with Server(make_forwarder(zones=zones)) as server:
            await aloft(server)
            assert await addresses(server, 4, 5) == {4: ["192.0.2.4"], 5: ["192.0.2.200"]}
            # Who stands beside a zone of its own has to be looked at each time.
            assert flown == []


async def test_a_policy_comes_first():
    class Nobody:
        usual = frozenset()

        def judge(self, request):
            return Refuse(msg.REFUSED) if parse(request.octets).name == names.from_text("n2.example.test") else None

    async with Upstream(by_name) as upstream, Server(make_forwarder(upstream), policy=Nobody()) as server:
        await aloft(server)
        assert await addresses(server, 1, 2, 3) == {1: ["192.0.2.1"], 2: [], 3: ["192.0.2.3"]}
        assert len(upstream.asked) == 3


# --- as it should not be -----------------------------------------------------------------------


async def test_who_is_silent_is_overtaken_by_the_next_and_what_is_under_way_is_still_awaited(flown):
    quiet = {names.from_text(f"n{n}.example.test") for n in range(1, 20)}

    def first_answers(octets):
        return None if parse(octets).name in quiet else by_name(octets)

    async with (
        Upstream(first_answers) as first,
        Upstream(by_name) as second,
        Server(make_forwarder(first, second)) as server,
    ):
        await aloft(server)
        assert await addresses(server, *range(1, 30)) == expected(*range(1, 30))
        assert len(flown) == 29
        assert 19 <= len(second.asked) <= 29
        # No question was asked of the first one twice.
        assert len(first.asked) == 30


async def test_one_that_comes_late_is_still_the_answer():
    waiting = []

    def late(octets):
        if octets[13:15] == b"n0":
            return by_name(octets)
        waiting.append(octets)
        return None

    async with Upstream(late) as upstream, Server(make_forwarder(upstream)) as server:
        await aloft(server)
        asking = asyncio.ensure_future(addresses(server, *range(1, 6)))
        await until(lambda: len(waiting) == 5)
        await until(lambda: server.forwarder.flights.count == 0)  # Searches have taken over.
        assert server.forwarder.pending == 5
        port = upstream.asked[-1][1]
        for octets in waiting:
            upstream._transport.sendto(by_name(octets), ("127.0.0.1", port))
        assert await asking == expected(*range(1, 6))
        assert len(upstream.asked) == 6


async def test_nobody_there_any_more():
    async with Upstream(by_name) as second:
        async with Upstream(by_name) as first:
            server = Server(make_forwarder(first, second))
            await server.listener.start()
            await aloft(server)
        # The first one is gone.
        assert await addresses(server, *range(1, 30)) == expected(*range(1, 30))
        assert await addresses(server, *range(30, 60)) == expected(*range(30, 60))
        await server.__aexit__()


@pytest.mark.parametrize(
    "lie",
    [
        lambda octets: say(octets, "192.0.2.66", identifier=1),
        lambda octets: say(octets, "192.0.2.66", name="other.test."),
        lambda _: b"\0",
        lambda octets: octets,
    ],
    ids=["another ID", "another question", "an octet", "the question itself"],
)
async def test_what_answers_nothing_is_passed_over(lie):
    def lies(octets):
        return by_name(octets) if octets[13:15] == b"n0" else [lie(octets), by_name(octets)]

    async with Upstream(lies) as upstream, Server(make_forwarder(upstream)) as server:
        await aloft(server)
        assert await addresses(server, *range(1, 20)) == expected(*range(1, 20))
        assert server.count("upstream_strays") >= 19


@pytest.mark.parametrize(
    "failure",
    [
        lambda octets: say(octets, rcode=dns.rcode.SERVFAIL),
        lambda octets: say(octets, rcode=dns.rcode.REFUSED),
        lambda octets: by_name(octets)[:-1],
        lambda octets: by_name(octets)[:2] + b"\x89" + by_name(octets)[3:],
    ],
    ids=["SERVFAIL", "REFUSED", "cut off", "another opcode"],
)
async def test_a_failure_is_the_next_ones_turn(failure):
    def fails(octets):
        return by_name(octets) if octets[13:15] == b"n0" else failure(octets)

    async with Upstream(fails) as first, Upstream(by_name) as second:
        async with Server(make_forwarder(first, second)) as server:
            await aloft(server)
            assert await addresses(server, *range(1, 10)) == expected(*range(1, 10))
        assert len(second.asked) == 9


async def test_one_that_takes_no_edns_is_asked_without():
    def old(octets):
        if octets[13:15] == b"n0" or parse(octets).edns is None:
            return by_name(octets)
        return octets[:2] + b"\x81\x81" + bytes(8)

    async with Upstream(old) as upstream, Server(make_forwarder(upstream)) as server:
        await aloft(server)
        assert await addresses(server, *range(1, 10)) == expected(*range(1, 10))


async def test_what_is_truncated_is_asked_over_tcp():
    def cut(octets):
        return by_name(octets) if octets[13:15] == b"n0" else truncated(octets)

    async with Upstream(cut, by_name) as upstream, Server(make_forwarder(upstream)) as server:
        await aloft(server)
        assert await addresses(server, 1, 2, 3) == expected(1, 2, 3)
        assert len(upstream.asked_tcp) == 3


async def test_strangers_in_an_answer():
    def more(octets):
        reply = read(by_name(octets))
        reply.answer.append(dns.rrset.from_text("other.test.", 60, "IN", "A", "192.0.2.66"))
        return reply.to_wire()

    async with Upstream(more) as upstream, Server(make_forwarder(upstream)) as server:
        await aloft(server)
        assert await addresses(server, *range(1, 10)) == expected(*range(1, 10))


async def test_a_loop_that_is_found_ends_flights(flown):
    async with Upstream(by_name) as upstream:
        zones = {ROOT: [upstream.address]}
        forwarder = make_forwarder(zones=zones, loops=LoopWatch(b"key", routes_of(zones)))
        async with Server(forwarder) as server:
            await aloft(server)
            await until(lambda: len(upstream.asked) == 2)
            probe = next(octets for octets, _ in upstream.asked if b"mesos-dns-loop" in octets)
            assert (await server.replies(probe))[probe[:2]]
            assert (await server.ask(named(1))).rcode() == dns.rcode.SERVFAIL
            assert flown == []


# --- bounds and ends ---------------------------------------------------------------------------


async def test_one_client_has_its_share_and_all_have_a_bound(monkeypatch):
    monkeypatch.setattr(forwarding, "MAX_WAITING_PER_CLIENT", 10)
    monkeypatch.setattr(forwarding, "CROWD_QUESTIONS", 10)

    def first_only(octets):
        return by_name(octets) if octets[13:15] == b"n0" else None

    async with Upstream(first_only) as upstream:
        server = Server(make_forwarder(upstream, timeout=0.3))
        async with server:
            await aloft(server)
            queries = [ask(named(n), identifier=n) for n in range(1, 31)]
            replies = await server.replies(*queries)
            assert {read(reply).rcode() for reply in replies.values()} == {dns.rcode.SERVFAIL}
            assert len(upstream.asked) - 1 <= 10 + 3
            assert server.count("forward_shed") >= 17


async def test_routes_are_bounded(monkeypatch):
    monkeypatch.setattr(flying, "MOST_ROUTES", 5)
    async with Upstream(lambda octets: say(octets, "192.0.2.1")) as upstream:
        forwarder = make_forwarder(upstream)
        for n in range(12):
            await submit(forwarder, ask(f"www.zone{n}.test."))
            forwarder.flights.routes or pytest.fail("nothing was learnt")
            assert len(forwarder.flights.routes) <= 5


async def test_the_end_waits_for_what_is_under_way():
    held = []

    def hold(octets):
        if octets[13:15] == b"n0":
            return by_name(octets)
        held.append(octets)
        return None

    async with Upstream(hold) as upstream:
        server = Server(make_forwarder(upstream))
        await server.listener.start()
        await aloft(server)
        asking = asyncio.ensure_future(addresses(server, *range(1, 20)))
        await until(lambda: len(held) == 19)
        await server.listener.stop()
        drained = asyncio.ensure_future(server.forwarder.drained())
        for octets, port in upstream.asked[1:]:
            upstream._transport.sendto(by_name(octets), ("127.0.0.1", port))
        await drained
        assert await asking == expected(*range(1, 20))
        assert server.forwarder.pending == 0
        await server.__aexit__()


async def test_closing_lets_go_of_what_is_under_way():
    def first_only(octets):
        return by_name(octets) if octets[13:15] == b"n0" else None

    async with Upstream(first_only) as upstream, Server(make_forwarder(upstream)) as server:
        await aloft(server)
        for n in range(1, 20):
            server.client.send(ask(named(n)))
        await until(lambda: len(upstream.asked) == 20)
        server.forwarder.close()
        assert server.forwarder.pending == 0


async def test_no_socket_to_be_had(monkeypatch):
    async with Upstream(by_name) as upstream, Server(make_forwarder(upstream, timeout=0.5)) as server:
        await aloft(server)
        pool = server.forwarder._means.pool

        def none(_):
            raise OSError(24, "Too many open files")

        monkeypatch.setattr(pool, "_next_port", none)
        for port in list(pool._peers[upstream.address].ports):
            port.left = 0
        assert {read(reply).rcode() for reply in (await server.replies(ask(named(1)))).values()} == {dns.rcode.SERVFAIL}
        monkeypatch.undo()
        assert await addresses(server, 2) == expected(2)


@pytest.mark.parametrize("what", ["answers", "silence", "failure", "nobody"])
async def test_nothing_is_left_to_the_collector(what):
    def answer(octets):
        if octets[13:15] == b"n0" or what == "answers":
            return by_name(octets)
        return say(octets, rcode=dns.rcode.SERVFAIL) if what == "failure" else None

    numbers = counting(1)
    async with (
        Upstream(answer) as upstream,
        Server(make_forwarder(upstream, timeout=LATE, cache_octets=1 << 20)) as server,
    ):
        await aloft(server)
        if what == "nobody":
            upstream._transport.close()

        async def fly():
            await server.replies(*[ask(named(next(numbers) % 250), identifier=n) for n in range(1, 20)])
            await until(lambda: not server.forwarder.pending)

        assert await left_by(fly, transports=False) == {}


async def test_an_address_where_nobody_listens_is_no_route_for_long():
    async with Server(make_forwarder(zones={ROOT: [await unused_address()]}, timeout=0.3)) as server:
        for n in range(3):
            assert (await server.ask(named(n))).rcode() == dns.rcode.SERVFAIL
