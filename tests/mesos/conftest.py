"""Masters on the loopback: a real HTTP server for each, with whatever behaviour a test gives it."""

import asyncio

import pytest
from aiohttp import web
from tests.certificates import Certificates
from tests.mesos.looking import Resolver

from mesos_dns.mesos import hosts
from mesos_dns.mesos.state import Endpoint


@pytest.fixture
async def serve():
    """`await serve(handler, host=..., tls=...)` starts a server; `handler(request)` answers everything."""
    runners = []

    async def start(handler, *, host="127.0.0.1", port=0, tls=None):
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", handler)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
        await runner.setup()
        runners.append(runner)
        site = web.TCPSite(runner, host, port, ssl_context=tls)
        await site.start()
        return Endpoint(host, runner.addresses[0][1])

    yield start
    for runner in runners:
        await runner.cleanup()


@pytest.fixture
async def serve_octets():
    """`await serve_octets(handler)` starts a TCP server with `handler(reader, writer)`, closed after it."""
    servers = []

    async def start(handler, *, host="127.0.0.1"):
        async def talk(reader, writer):
            try:
                await handler(reader, writer)
            finally:
                writer.close()

        server = await asyncio.start_server(talk, host, 0)
        servers.append(server)
        return Endpoint(host, server.sockets[0].getsockname()[1])

    yield start
    for server in servers:
        server.close()
        await server.wait_closed()


@pytest.fixture(scope="session")
def certificates(tmp_path_factory):
    """ca.pem; server.pem/.key for 127.0.0.1; client.pem/.key; other.pem, an authority that signed nothing."""
    return Certificates.issued(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def resolver(monkeypatch):
    """Stands for the resolver of this machine."""
    resolver = Resolver()
    monkeypatch.setattr(hosts.socket, "getaddrinfo", resolver)
    yield resolver
    for event in resolver.hanging.values():
        event.set()
