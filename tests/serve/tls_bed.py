"""A listener for DNS over TLS in the running event loop, and a client whose TLS is in the test's own hands."""

import asyncio
import ssl
import struct
from functools import partial

from tests.serve.asking import read
from tests.serve.tcp_bed import Server, framed

from mesos_dns.certificates import KeyPair
from mesos_dns.serve.channel import Channel
from mesos_dns.serve.tls import PROTOCOL, TlsListener
from mesos_dns.tls import server_context


def pair_of(certificates, name="server"):
    return KeyPair(*((certificates.folder / f"{name}.{end}").read_bytes() for end in ("pem", "key")))


def trusting(certificates, authority="ca.pem", protocols=(PROTOCOL,)):
    """A client's context."""
    context = ssl.create_default_context(cafile=certificates.path(authority))
    context.set_alpn_protocols(list(protocols))
    return context


class TlsClient:
    """One connection. `speak` shakes hands; what is on the wire can be seen and altered."""

    def __init__(self, reader, writer, context):
        self.reader, self.writer = reader, writer
        self.channel = Channel(context, "resolver.example")
        self._said = b""

    def flush(self):
        octets = self.channel.outgoing()
        if octets:
            self.writer.write(octets)

    async def speak(self):
        self.channel.send(b"")
        self.flush()
        while not self.channel.is_open:
            await self._hear()
        self.flush()
        return self

    async def _hear(self):
        async with asyncio.timeout(10):
            octets = await self.reader.read(65536)
        if not octets:
            raise EOFError
        self._said += self.channel.receive(octets)
        self.flush()

    def send(self, octets):
        self.channel.send(octets)
        self.flush()

    async def receive(self):
        """The next message, without its length."""
        while len(self._said) < 2 or len(self._said) < 2 + struct.unpack_from("!H", self._said)[0]:
            await self._hear()
        end = 2 + struct.unpack_from("!H", self._said)[0]
        message, self._said = self._said[2:end], self._said[end:]
        return message

    async def ask(self, octets):
        self.send(framed(octets))
        return read(await self.receive())

    async def ended(self):
        """What is still said until the server closes, and whether it said that it would."""
        try:
            while True:
                await self._hear()
        except (EOFError, ConnectionResetError):
            return self._said, self.channel.over

    def half_close(self):
        """Say that nothing more comes."""
        self.channel.end()
        self.flush()

    def close(self):
        self.writer.close()


class TlsServer(Server):
    """The same as for TCP, over TLS."""

    def __init__(self, certificates, *args, name="server", **options):
        self.certificates = certificates
        context = server_context(pair_of(certificates, name), PROTOCOL)
        self.listener_class = partial(TlsListener, context=context)
        super().__init__(*args, **options)

    async def speaking(self, context=None, **options):
        """A client that has shaken hands."""
        if "sock" in options:
            options["sock"].setblocking(False)
            await asyncio.get_running_loop().sock_connect(options["sock"], self.address)
            reader, writer = await asyncio.open_connection(**options)
        else:
            reader, writer = await asyncio.open_connection(*self.address)
        client = TlsClient(reader, writer, context or trusting(self.certificates))
        self._clients.append(client)
        return await client.speak()
