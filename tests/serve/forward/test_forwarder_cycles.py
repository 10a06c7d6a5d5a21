"""What forwarding leaves to the garbage collector: nothing, however it ends."""

import asyncio
from itertools import count

import pytest
from tests.cycles import left_by, peer, reset
from tests.serve.asking import ask, parse
from tests.serve.forward.asked import until
from tests.serve.forward.upstreams import (
    NAME,
    Upstream,
    honest,
    make_forwarder,
    say,
    silent,
    submit,
    truncated,
    unused_address,
)

from mesos_dns.dns import message as msg
from mesos_dns.dns import name as names
from mesos_dns.serve.forward import forwarder as forwarding
from mesos_dns.serve.forward.cache import cache_key
from mesos_dns.serve.forward.loops import LoopWatch, routes_of
from mesos_dns.serve.request import Forward

LATE = 0.02


def garbage_records(octets):
    """A header and question as they should be, and records that are none."""
    return honest(octets)[:-1]


async def left(*upstreams, within=5.0, address=None):
    """What it leaves to ask these upstreams, or whoever has `address`."""
    forwarder = make_forwarder(*upstreams, timeout=within)
    if address is not None:
        forwarder = make_forwarder(zones={names.ROOT: [address]}, timeout=within)
    return await left_by(lambda: submit(forwarder, ask(NAME, payload=1232)))


@pytest.mark.parametrize(
    "udp", [honest, garbage_records, truncated], ids=["answer", "garbage", "truncated, TCP refused"]
)
async def test_what_comes_over_udp(udp):
    async with Upstream(udp) as upstream:
        assert await left(upstream) == {}


@pytest.mark.parametrize("udp", [honest, silent], ids=["answer", "silence"])
async def test_probes(udp):
    async with Upstream(udp) as upstream:

        async def ask_and_wait():
            zones = {names.ROOT: [upstream.address]}
            forwarder = make_forwarder(zones=zones, timeout=LATE, loops=LoopWatch(b"key", routes_of(zones)))
            await submit(forwarder, ask(NAME))
            others = [task for task in asyncio.all_tasks() if task.get_name() == "loop probe"]
            if others:
                await asyncio.wait(others)

        assert await left_by(ask_and_wait) == {}


@pytest.mark.parametrize("udp", [silent, lambda _: b"noise"], ids=["silence", "noise"])
async def test_nothing_in_time(udp):
    async with Upstream(udp) as upstream:
        assert await left(upstream, within=LATE) == {}


async def test_nobody_listens():
    assert await left(address=await unused_address()) == {}


async def test_no_way_to_the_upstream():
    # Port 0 cannot be sent to.
    assert await left(address=("127.0.0.1", 0)) == {}


def question_over_tcp(connection):
    with connection.makefile("rb") as stream:
        return stream.read(int.from_bytes(stream.read(2)))


def over_tcp(make):
    """Answer the question of a connection with what `make` makes of it."""

    def handle(connection):
        reply = make(question_over_tcp(connection))
        connection.sendall(len(reply).to_bytes(2) + reply)

    return handle


def closes_at_once(_connection):
    """Close without a look at the question, which makes it a reset."""


def closes_within(connection):
    """Close in the middle of the answer."""
    connection.sendall(b"\1\0" + question_over_tcp(connection))


def resets(connection):
    question_over_tcp(connection)
    reset(connection)


def hangs(_connection):
    return True


@pytest.mark.parametrize(
    "handle",
    [
        pytest.param(over_tcp(honest), id="answer"),
        pytest.param(over_tcp(garbage_records), id="garbage"),
        pytest.param(over_tcp(lambda _: b"noise"), id="noise"),
        closes_at_once,
        closes_within,
        resets,
        hangs,
    ],
)
async def test_what_comes_over_tcp(handle):
    async with Upstream(truncated) as upstream:
        with peer(handle, upstream.address.address):
            assert await left(upstream, within=0.1 if handle is hangs else 5.0) == {}


@pytest.mark.parametrize("name", ["resolver.example", "other.example"])
async def test_what_comes_over_tls(certificates, name):
    server = certificates.server_context()

    def handle(connection):
        with server.wrap_socket(connection, server_side=True, suppress_ragged_eofs=True) as secure:
            over_tcp(honest)(secure)

    async def ask_once():
        zones = {names.ROOT: [(*address, name)]}
        forwarder = make_forwarder(
            zones=zones, ca_file=certificates.path("ca.pem"), loops=LoopWatch(b"key", routes_of(zones))
        )
        await submit(forwarder, ask(NAME))
        forwarder.close()

    with peer(handle) as address:
        assert await left_by(ask_once) == {}


async def test_refused_and_shed(monkeypatch):
    async def ask_once():
        forwarder.submit(Forward(parse(ask(NAME))), msg.PLAIN_UDP_SIZE, lambda _: None)

    forwarder = make_forwarder(zones={})
    assert await left_by(ask_once) == {}
    monkeypatch.setattr(forwarding, "MAX_FORWARDS", 0)
    forwarder = make_forwarder(zones={names.ROOT: [("127.0.0.1", 1)]})
    assert await left_by(ask_once) == {}
    assert forwarder.counters["forward_shed"] > 5


async def test_a_client_that_is_gone(caplog):
    """Listeners swallow that; if one does not, it is logged."""

    def send(_reply):
        raise ConnectionResetError

    async def ask_once():
        forwarder.submit(Forward(parse(ask(NAME))), msg.PLAIN_UDP_SIZE, send)
        await forwarder.drained()
        await asyncio.sleep(0)
        # What pytest has of it leads to the frames.
        caplog.clear()

    async with Upstream(honest) as upstream:
        forwarder = make_forwarder(upstream)
        assert await left_by(ask_once) == {}


# --- with a cache ------------------------------------------------------------------------------


def servfail(octets):
    return say(octets, rcode=2)


def caching(*upstreams, within=5.0):
    return make_forwarder(*upstreams, timeout=within, cache_octets=1 << 20, stale_seconds=86_400)


async def test_cached_answers():
    async with Upstream(honest) as upstream:
        forwarder = caching(upstream)
        assert await left_by(lambda: submit(forwarder, ask(NAME, payload=1232))) == {}
        assert forwarder.counters["forward_cached"] >= 5


async def test_clients_that_wait_for_the_same_answer():
    async with Upstream(honest) as upstream:
        forwarder = caching(upstream)
        numbers = count()

        async def ask_together():
            octets = ask(f"n{next(numbers)}.{NAME}")
            await asyncio.gather(*(submit(forwarder, octets) for _ in range(3)))

        assert await left_by(ask_together) == {}
        assert forwarder.counters["forward_joined"] > 10


@pytest.mark.parametrize(
    ("udp", "after"), [(silent, 0.005), (silent, 5.0), (servfail, 5.0)], ids=["slow", "silence", "SERVFAIL"]
)
async def test_stale_answers(udp, after, monkeypatch):
    monkeypatch.setattr(forwarding, "STALE_AFTER_SECONDS", after)
    async with Upstream(udp) as upstream:
        forwarder = caching(upstream, within=LATE)
        numbers = count()

        async def ask_and_wait():
            octets = ask(f"n{next(numbers)}.{NAME}", payload=1232)
            query = parse(octets)
            long_ago = asyncio.get_running_loop().time() - 1000
            forwarder._cache.put(cache_key(query), say(octets, "192.0.2.9"), query.question_end, long_ago)
            await submit(forwarder, octets)
            await until(lambda: not forwarder._pending)

        assert await left_by(ask_and_wait) == {}
        assert forwarder.counters["forward_stale"] > 5


async def test_answers_asked_for_again_before_their_end():
    async with Upstream(honest) as upstream:
        forwarder = caching(upstream)
        octets = ask(NAME)
        query = parse(octets)

        async def ask_and_wait():
            before = asyncio.get_running_loop().time() - 290
            forwarder._cache.put(cache_key(query), say(octets, "192.0.2.9"), query.question_end, before)
            for _ in range(3):
                await submit(forwarder, octets)
            await until(lambda: not forwarder._pending)

        assert await left_by(ask_and_wait) == {}
        assert len(upstream.asked) > 5


@pytest.mark.parametrize("udp", [silent, servfail], ids=["silence", "SERVFAIL"])
async def test_failures_that_are_remembered(udp):
    async with Upstream(udp) as upstream:
        forwarder = caching(upstream, within=LATE)
        numbers = count()

        async def ask_twice():
            octets = ask(f"n{next(numbers)}.{NAME}")
            for _ in range(2):
                await submit(forwarder, octets)

        assert await left_by(ask_twice) == {}


async def test_a_search_that_listens_on():
    """The first upstream is overtaken by the second, and heard for a while."""
    async with Upstream(silent) as first, Upstream(honest) as second:
        forwarder = make_forwarder(first, second)

        async def ask_and_wait():
            await submit(forwarder, ask(NAME))
            await until(lambda: forwarder._means.pool.pending == 0)

        assert await left_by(ask_and_wait) == {}
