"""What asking a master leaves to the garbage collector: nothing but asyncio's own cycle, whatever it answers.

aiohttp opens the connection, so nobody can let go of its transport: about 1 kB for each poll, which control collects.
"""

import asyncio
import contextlib

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from tests.cycles import left_by, peer, reset

from mesos_dns.mesos.errors import MasterError
from mesos_dns.mesos.http.client import MasterClient
from mesos_dns.mesos.options import ClientOptions, IamAccount
from mesos_dns.mesos.state import Endpoint


def request(connection):
    """Read a request: head, and as much of a body as it announces."""
    received = b""
    while b"\r\n\r\n" not in received:
        piece = connection.recv(65536)
        if not piece:
            return b""
        received += piece
    head, _, body = received.partition(b"\r\n\r\n")
    _, _, announced = head.lower().partition(b"content-length: ")
    while len(body) < int(announced.partition(b"\r\n")[0] or 0):
        body += connection.recv(65536)
    return received


def answers(status, body=b"{}", *fields, length=None):
    """A master that gives this answer to each request."""
    lines = [f"HTTP/1.1 {status} Some reason", f"Content-Length: {len(body) if length is None else length}", *fields]
    octets = "\r\n".join([*lines, "", ""]).encode() + body

    def handle(connection):
        request(connection)
        connection.sendall(octets)

    return handle


def hangs(connection):
    request(connection)
    return True


def hangs_within(connection):
    answers(200, length=100)(connection)
    return True


def resets(connection):
    request(connection)
    reset(connection)


def resets_within(connection):
    answers(200, length=100)(connection)
    reset(connection)


def fetching(client, endpoint):
    async def fetch():
        with contextlib.suppress(MasterError):
            await client.fetch(endpoint)

    return fetch


@pytest.mark.parametrize(
    "handle",
    [
        pytest.param(answers(200), id="state"),
        pytest.param(answers(200, bytes(1_000_000)), id="large state"),
        pytest.param(answers(307, b"", "Location: //127.0.0.1:5050"), id="redirect"),
        pytest.param(answers(401, b"", 'WWW-Authenticate: Basic realm="x"'), id="wants credentials"),
        pytest.param(answers(404), id="unknown path"),
        pytest.param(answers(503, b"no leader"), id="no leader"),
        pytest.param(answers(200, b"no gzip", "Content-Encoding: gzip"), id="damaged"),
        pytest.param(answers(200, length=100), id="closes within"),
        pytest.param(lambda connection: connection.sendall(b"SSH-2.0\r\n\r\n"), id="no HTTP"),
        pytest.param(request, id="keeps silent"),
        resets,
        resets_within,
        hangs,
        hangs_within,
    ],
)
async def test_what_a_master_answers(handle):
    hang = handle in {hangs, hangs_within, request}
    with peer(handle) as address:
        client = MasterClient(ClientOptions(timeout=0.1 if hang else 30.0))
        try:
            assert await left_by(fetching(client, Endpoint(*address)), transports=False) == {}
        finally:
            await client.close()


async def test_nobody_listens():
    with peer(hangs) as address:
        pass
    client = MasterClient(ClientOptions(timeout=30))
    assert await left_by(fetching(client, Endpoint(*address)), transports=False) == {}
    assert await left_by(fetching(client, Endpoint("no.such.host.invalid", 1)), transports=False) == {}
    await client.close()


async def test_a_client_that_is_used_once():
    async def poll():
        client = MasterClient(ClientOptions(timeout=30))
        await fetching(client, Endpoint(*address))()
        await client.close()

    with peer(answers(200)) as address:
        assert await left_by(poll, transports=False) == {}


@pytest.mark.parametrize(
    "login",
    [
        pytest.param(answers(200, b'{"token": "opaque"}'), id="token"),
        pytest.param(answers(401), id="refused"),
        pytest.param(answers(200, b"<html>"), id="no JSON"),
        pytest.param(answers(200, length=100), id="closes within"),
        resets,
    ],
)
async def test_logging_in(login):
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private_key = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    with peer(answers(200)) as master, peer(login) as service:
        account = IamAccount("dns", private_key, f"http://127.0.0.1:{service[1]}/login")
        client = MasterClient(ClientOptions(iam=account, timeout=30))
        assert await left_by(fetching(client, Endpoint(*master)), transports=False) == {}
        await client.close()


async def test_giving_up():
    """A poll that is cancelled, as at a reload."""

    async def poll():
        task = asyncio.ensure_future(client.fetch(Endpoint(*address)))
        await asyncio.sleep(0.02)
        task.cancel()
        await asyncio.wait([task])

    with peer(hangs) as address:
        client = MasterClient(ClientOptions(timeout=30))
        assert await left_by(poll, transports=False) == {}
        await client.close()
