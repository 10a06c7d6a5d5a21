"""Fake upstreams on loopback, and a forwarder that asks them."""

import asyncio
import contextlib
import random
import socket
import struct

import dns.flags
import dns.message
import dns.name
import dns.rrset
from tests.cycles import settled
from tests.serve.asking import make_answerer, make_zone, parse

from mesos_dns.dns import message as msg
from mesos_dns.dns import name as names
from mesos_dns.serve.forward import options
from mesos_dns.serve.forward.forwarder import Forwarder
from mesos_dns.serve.forward.terms import Terms
from mesos_dns.serve.request import Forward

ROOT = names.ROOT
NAME = "www.example.test."
#: Those that a test made, to be closed behind it.
FORWARDERS = []
REFUSE = make_answerer(make_zone("")).refusal


def say(octets, *addresses, flags=dns.flags.RA, rcode=0, identifier=None, name=None):
    """An honest answer to a query, or one with something wrong."""
    query = dns.message.from_wire(octets)
    reply = dns.message.make_response(query)
    if identifier is not None:
        reply.id = identifier
    if name is not None:
        reply.question[0].name = dns.name.from_text(name)
    reply.flags |= flags
    reply.set_rcode(rcode)
    if addresses:
        reply.answer.append(dns.rrset.from_text(query.question[0].name, 300, "IN", "A", *addresses))
    return reply.to_wire(max_size=65535)


class Upstream(asyncio.DatagramProtocol):
    """A server on loopback. `udp` and `tcp` make replies (octets, or several, or None) of a query's octets."""

    def __init__(self, udp, tcp=None, address="127.0.0.1", *, keeps=False):
        self._udp, self._tcp, self._host = udp, tcp, address
        #: Whether connections take another query after the first.
        self._keeps = keeps
        #: Every query over UDP, with the port that it came from; those over TCP, and over how many connections.
        self.asked = []
        self.asked_tcp = []
        self.connections = 0
        self._news = asyncio.Event()

    async def __aenter__(self):
        loop = asyncio.get_running_loop()
        self._server = None
        while True:
            # Below the ports that the kernel gives to whoever asks for any: a test may want the same one for TCP later.
            port = random.randrange(20_000, 32_000)
            try:
                self._transport, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=(self._host, port))
            except OSError:  # somebody has it
                continue
            self.address = options.Upstream(*self._transport.get_extra_info("sockname")[:2])
            if self._tcp is None:
                return self
            try:
                self._server = await asyncio.start_server(self._serve, *self.address.address)
            except OSError:  # the port is free for UDP only: another one
                self._transport.close()
            else:
                return self

    async def __aexit__(self, *_):
        self._transport.close()
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    def datagram_received(self, data, addr):
        self.asked.append((data, addr[1]))
        self._news.set()
        replies = self._udp(data)
        for reply in [replies] if isinstance(replies, bytes) else replies or ():
            self._transport.sendto(reply, addr)

    async def until_asked(self, count):
        async with asyncio.timeout(30):
            while len(self.asked) < count:
                self._news.clear()
                await self._news.wait()

    async def _serve(self, reader, writer):
        self.connections += 1
        with contextlib.suppress(asyncio.IncompleteReadError, OSError):
            while True:
                (length,) = struct.unpack("!H", await reader.readexactly(2))
                query = await reader.readexactly(length)
                self.asked_tcp.append(query)
                reply = self._tcp(query)
                if reply is not None:
                    writer.write(struct.pack("!H", len(reply)) + reply)
                if not self._keeps:
                    break
        writer.close()


def silent(_octets):
    return None


def honest(octets):
    return say(octets, "192.0.2.1")


def truncated(octets):
    return say(octets, flags=dns.flags.TC)


def make_forwarder(*upstreams, timeout=5.0, truncate_bit=True, zones=None, ours=None, **more):
    """A forwarder that asks `upstreams` in this order; without a cache unless `cache_octets` says so. `more` is of options and terms."""
    table = zones if zones is not None else {ROOT: [upstream.address for upstream in upstreams]}
    terms = Terms(**{name: more.pop(name) for name in Terms._fields if name in more})
    table = {zone: [options.Upstream(*each) for each in those] for zone, those in table.items()}
    told = options.ForwardOptions(table, timeout, **more)
    FORWARDERS.append(Forwarder(told, truncate_bit=truncate_bit, refuse=REFUSE, terms=terms, ours=ours))
    return FORWARDERS[-1]


async def submit(forwarder, octets, limit=None):
    """What the client gets; `send` must be called once."""
    query = parse(octets)
    answered = asyncio.get_running_loop().create_future()
    forwarder.submit(Forward(query), limit or msg.udp_limit(query.edns), answered.set_result)
    async with asyncio.timeout(10):
        reply = await answered
        await forwarder.drained()
    return reply


async def unused_address():
    """An address of loopback where nobody listens."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        return options.Upstream(*sock.getsockname())


class StreamUpstream:
    """A server on loopback that keeps its connections. `answer` makes replies (octets, or several, or None) of a query's octets.

    With `closes_after` it closes each connection after so many queries. With the context `tls` it is to prove `name`.
    """

    def __init__(self, answer, *, closes_after=None, tls=None, name="", host="127.0.0.1", port=0):
        self.answer, self._closes_after, self._tls, self._name = answer, closes_after, tls, name
        self._bind = host, port
        #: The queries of each connection.
        self.asked = []
        self.writers = []
        self._news = asyncio.Event()

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._serve, *self._bind, ssl=self._tls)
        self.address = options.Upstream(*self._server.sockets[0].getsockname()[:2], self._name)
        return self

    async def __aexit__(self, *_):
        await settled()  # Connections that wait to be accepted would be lost half made.
        self._server.close()
        for writer in self.writers:
            writer.transport.abort()
        await self._server.wait_closed()
        await settled()

    async def until_asked(self, count):
        """Wait until so many queries have come, over whatever connections."""
        async with asyncio.timeout(10):
            while sum(map(len, self.asked)) < count:
                self._news.clear()
                await self._news.wait()

    async def _serve(self, reader, writer):
        queries = []
        self.asked.append(queries)
        self.writers.append(writer)
        try:
            while len(queries) != self._closes_after:
                (length,) = struct.unpack("!H", await reader.readexactly(2))
                queries.append(await reader.readexactly(length))
                self._news.set()
                replies = self.answer(queries[-1])
                for reply in [replies] if isinstance(replies, bytes) else replies or ():
                    writer.write(struct.pack("!H", len(reply)) + reply)
        except (asyncio.IncompleteReadError, OSError):
            pass  # The other side is done.
        finally:
            writer.close()
