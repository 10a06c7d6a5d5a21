"""A TCP listener in the running event loop, and clients that hurry, dawdle and misbehave."""

import asyncio
import socket
import struct

from tests.serve.asking import make_responder, make_zone, read

from mesos_dns.serve.tcp import TcpListener

ZONE = make_zone()
NAME = "chronos.marathon.mesos."
OTHER = "example.org."
LARGE = make_zone("many.mesos A " + " ".join(f"10.{n // 65536}.{n // 256 % 256}.{n % 256}" for n in range(3500)))


def framed(octets):
    return struct.pack("!H", len(octets)) + octets


class Client:
    """One connection; waits for what it expects, but not for ever."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer

    def send(self, octets):
        self.writer.write(octets)

    async def receive(self):
        """The next message, without its length."""
        async with asyncio.timeout(30):
            (length,) = struct.unpack("!H", await self.reader.readexactly(2))
            return await self.reader.readexactly(length)

    async def ask(self, octets):
        self.send(framed(octets))
        return read(await self.receive())

    async def ended(self):
        """What still comes until the server closes."""
        async with asyncio.timeout(30):
            try:
                return await self.reader.read()
            except ConnectionResetError:
                return b""

    def close(self):
        self.writer.close()

    def abort(self):
        """Close with a reset, since an orderly end is a half-closed connection."""
        linger = struct.pack("ii", 1, 0)
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.writer.transport.abort()


class Server:
    """A listener, what it forwards, and its clients."""

    listener_class = TcpListener

    def __init__(self, zone=ZONE, family=socket.AF_INET, address="127.0.0.1", forward=None, responder=None, **options):
        self.socket = socket.socket(family, socket.SOCK_STREAM)
        self.socket.bind((address, 0))
        self.address = self.socket.getsockname()[:2]
        self.responder = responder or make_responder(zone)
        self.forwarded = []
        self.arrived = asyncio.Event()
        self.listener = self.listener_class(self.socket, self.responder, forward or self._forward, **options)
        self._clients = []

    def _forward(self, forward, limit, send):
        assert limit == 65535
        self.forwarded.append((forward, send))
        self.arrived.set()

    async def until_forwarded(self, count):
        async with asyncio.timeout(30):
            while len(self.forwarded) < count:
                self.arrived.clear()
                await self.arrived.wait()

    async def client(self, **options):
        client = Client(*await asyncio.open_connection(*self.address, **options))
        self._clients.append(client)
        return client

    @property
    def connections(self):
        return list(self.listener._connections)

    @property
    def counters(self):
        return self.responder.counters

    async def __aenter__(self):
        await self.listener.start()
        return self

    async def __aexit__(self, *_):
        for client in self._clients:
            client.close()
        for connection in self.connections:
            self.listener._close(connection)
        await self.listener.stop()


class Dawdler:
    """A client that asks and asks and does not read, or only late."""

    def __init__(self, server):
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        self.socket.setblocking(False)
        self.server = server

    async def __aenter__(self):
        before = set(self.server.connections)
        await asyncio.get_running_loop().sock_connect(self.socket, self.server.address)
        await until(lambda: set(self.server.connections) - before)
        (self.connection,) = set(self.server.connections) - before
        return self

    async def __aexit__(self, *_):
        self.socket.close()

    def send_what_fits(self, octets):
        """Fill the way to the server; whether anything went out."""
        try:
            return self.socket.send(octets * 100) > 0
        except BlockingIOError:
            return False

    @property
    def held(self):
        """Octets that the server keeps for this client."""
        return len(self.connection.unsent or b"") + len(self.connection.buffer)


async def until(condition):
    """Wait for something that the event loop brings about by itself within a few rounds."""
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event of its own
            await asyncio.sleep(0.001)
