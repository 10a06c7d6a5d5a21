"""Masters on the loopback: a real HTTP server for each, with whatever behaviour a test gives it."""

import asyncio
import datetime as dt
import ipaddress
import ssl
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

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


@dataclass(frozen=True)
class Certificates:
    folder: Path

    def path(self, name):
        return str(self.folder / name)

    def server_context(self, *, client_certificates=False):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.path("server.pem"), self.path("server.key"))
        if client_certificates:
            context.load_verify_locations(self.path("ca.pem"))
            context.verify_mode = ssl.CERT_REQUIRED
        return context


@pytest.fixture(scope="session")
def certificates(tmp_path_factory):
    """ca.pem; server.pem/.key for 127.0.0.1; client.pem/.key; other.pem, an authority that signed nothing."""
    folder = tmp_path_factory.mktemp("certificates")
    authority_key, authority = _issue("authority", None, None)
    _save(folder, "ca", authority_key, authority)
    _save(folder, "other", *_issue("another authority", None, None))
    _save(folder, "server", *_issue("127.0.0.1", authority_key, authority))
    _save(folder, "client", *_issue("mesos-dns", authority_key, authority))
    return Certificates(folder)


def _issue(name, issuer_key, issuer):
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    signer = issuer_key or key
    is_authority = issuer is None
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if issuer is None else issuer.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
    )
    if not is_authority:
        builder = builder.add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        ).add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False
        )
    return key, builder.sign(signer, hashes.SHA256())


def _save(folder, name, key, certificate):
    (folder / f"{name}.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / f"{name}.key").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
