"""What questions over TCP and TLS leave to the garbage collector: nothing, however they end."""

import asyncio
import ssl

import pytest
from tests.cycles import left_by, peer, reset
from tests.serve.asking import ask, parse
from tests.serve.forward.upstreams import NAME, honest, unused_address

from mesos_dns.serve.forward.options import Upstream
from mesos_dns.serve.forward.stream import StreamPool
from mesos_dns.serve.forward.tls import strict_context

OCTETS = ask(NAME)
END = parse(OCTETS).question_end


class Client:
    """As a forwarder's question is: it holds the handle, and the handle its methods."""

    def __init__(self, pool, address, within):
        self._over = asyncio.Event()
        self.told = None
        deadline = asyncio.get_running_loop().time() + within
        self.handle = pool.ask(Upstream(*address), OCTETS, END, self.reply, self.error, deadline)

    def reply(self, _):
        self.told = "reply"
        self._over.set()
        return True

    def error(self, error):
        # Not the error itself: this is not about what a client keeps.
        self.told = type(error)
        self._over.set()

    async def over(self):
        async with asyncio.timeout(10):
            await self._over.wait()
        return self.told


async def left(address, told, *, within=5.0, **options):
    async def operation():
        pool = StreamPool(most=10, **options)
        assert await Client(pool, address, within).over() == told
        pool.close()

    return await left_by(operation)


def query(connection):
    with connection.makefile("rb") as stream:
        return stream.read(int.from_bytes(stream.read(2)))


def answers(connection):
    reply = honest(query(connection))
    connection.sendall(len(reply).to_bytes(2) + reply)


def closes_at_once(_connection):
    """Close without a look at the question, which makes it a reset."""


def closes_within(connection):
    """Close in the middle of the answer."""
    connection.sendall(b"\1\0" + query(connection))


def resets(connection):
    query(connection)
    reset(connection)


def hangs(_connection):
    return True


@pytest.mark.parametrize(
    ("handle", "told"),
    [
        (answers, "reply"),
        (closes_at_once, ConnectionResetError),
        (closes_within, ConnectionResetError),
        (resets, ConnectionResetError),
        (hangs, type(None)),
    ],
)
async def test_what_comes_over_tcp(handle, told):
    with peer(handle) as address:
        assert await left(address, told, within=0.05 if handle is hangs else 5.0) == {}


async def test_nobody_listens():
    assert await left(await unused_address(), ConnectionRefusedError) == {}


async def test_no_way_to_the_upstream():
    assert await left(("255.255.255.255", 53), OSError) == {}


async def test_the_client_loses_interest():
    async def operation():
        pool = StreamPool(most=10)
        Client(pool, address, 5.0).handle.cancel()
        pool.close()

    with peer(hangs) as address:
        assert await left_by(operation) == {}


@pytest.mark.parametrize(
    ("name", "told"), [("resolver.example", "reply"), ("other.example", ssl.SSLCertVerificationError)]
)
async def test_what_comes_over_tls(certificates, name, told):
    server, client = certificates.server_context(), strict_context(certificates.path("ca.pem"))

    def handle(connection):
        with server.wrap_socket(connection, server_side=True, suppress_ragged_eofs=True) as secure:
            answers(secure)

    with peer(handle) as address:
        assert await left((*address, name), told, context=client) == {}
