"""What forwarding leaves to the garbage collector: nothing, however it ends."""

import asyncio

import pytest
from tests.cycles import left_by, peer, reset
from tests.serve.asking import ask, parse
from tests.serve.forward.upstreams import (
    NAME,
    Upstream,
    honest,
    make_forwarder,
    silent,
    submit,
    truncated,
    unused_address,
)

from mesos_dns.dns import message as msg
from mesos_dns.dns import name as names
from mesos_dns.serve.forward import forwarder as forwarding
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
