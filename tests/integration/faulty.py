"""Name servers on loopback that do as a test says, for a program that forwards to them.

A behaviour is called with each `Asked` question, in a thread of its server, and sends what it likes, whenever it likes: now,
later, or never. Probes for forwarding loops (docs/forwarding.md) are not shown to it.
"""

import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
from tests.integration import client, wire
from tests.integration.masters import Master
from tests.integration.program import Endpoint, Program, free_port, sample_state

_PROBE = b"mesos-dns-loop-"
_OPT = b"\0" + struct.pack(">2HIH", 41, 1232, 0, 0)


class Asked:
    """A question that a server got, and the way back to who asked it."""

    def __init__(self, octets: bytes, send: Callable[[bytes], object], address: Endpoint) -> None:
        self.octets = octets
        self.send = send
        self.address = address
        self.name, self._end = wire.read_name(octets, 12)
        self._end += 4

    @property
    def edns(self) -> bool:
        """Whether it has an OPT record: the only one that a question has."""
        return self.octets[10:12] != b"\0\0"

    @property
    def message(self) -> dns.message.Message:
        return dns.message.from_wire(self.octets)

    def reply(self, *addresses: str, rcode: int = 0, flags: int = 0x8180, ttl: int = 300, opt: bytes = b"") -> bytes:
        """A reply with these addresses of the name: made by hand, for thousands of them."""
        header = self.octets[:2] + struct.pack(">5H", flags | rcode, 1, len(addresses), 0, 1 if opt else 0)
        records = (struct.pack(">HHHIH", 0xC00C, 1, 1, ttl, 4) + socket.inet_aton(address) for address in addresses)
        return header + self.octets[12 : self._end] + b"".join(records) + opt

    def header(self, rcode: int) -> bytes:
        """A reply that is a header and nothing else."""
        return self.octets[:2] + struct.pack(">5H", 0x8180 | rcode, 0, 0, 0, 0)

    def negative(self, rcode: int, *, soa: bool = True) -> bytes:
        """NXDOMAIN, or NOERROR without data."""
        reply = dns.message.make_response(self.message)
        reply.flags |= dns.flags.RA
        reply.set_rcode(dns.rcode.Rcode.make(rcode))
        if soa:
            text = "ns.example. root.example. 1 3600 600 86400 300"
            reply.authority.append(dns.rrset.from_text("example.", 300, "IN", "SOA", text))
        return reply.to_wire()


Behaviour = Callable[[Asked], object]


def silent(_: Asked) -> None:
    """Nothing."""


def honest(asked: Asked) -> None:
    asked.send(asked.reply("192.0.2.1"))


def truncated(asked: Asked) -> None:
    """A part of the answer, and that there is more."""
    asked.send(asked.reply("192.0.2.1", flags=0x8380))


def saying(rcode: int) -> Behaviour:
    return lambda asked: asked.send(asked.reply(rcode=rcode))


def late(seconds: float) -> Behaviour:
    """An honest answer after so many seconds."""

    def behave(asked: Asked) -> None:
        timer = threading.Timer(seconds, asked.send, [asked.reply("192.0.2.1")])
        timer.daemon = True
        timer.start()

    return behave


class Held:
    """A behaviour that answers when it is told to."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.answered: list[Asked] = []

    def __call__(self, asked: Asked) -> None:
        self.asked.append(asked)

    def release(self) -> None:
        held, self.asked = self.asked, []
        for asked in held:
            honest(asked)
        self.answered += held


class NameServer:
    """Over UDP it does what `behave` says, and over TCP what `tcp` says; without that nobody listens there.

    A TCP connection is closed after `most` questions; those to which nothing is sent stay open.
    """

    def __init__(self, behave: Behaviour, tcp: Behaviour | None = None, *, most: int = 1000, host: str = "127.0.0.1"):
        self.behave = behave
        self._tcp = tcp
        self._most = most
        self.endpoint = (host, free_port())
        self.text = f"[{host}]:{self.endpoint[1]}" if ":" in host else f"{host}:{self.endpoint[1]}"
        #: Questions that came, without probes.
        self.asked: list[Asked] = []
        self.asked_tcp: list[Asked] = []
        self._family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        udp = self._bound(socket.SOCK_DGRAM)
        udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self._run(self._serve_udp, udp)
        if self._tcp is not None:
            listener = self._bound(socket.SOCK_STREAM)
            listener.listen(64)
            self._run(self._accept, listener)

    def stop(self) -> None:
        """Be as a server whose process is gone: what is sent to it is refused."""
        for sock in self._sockets:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
        for sock in self._sockets:
            sock.close()
        self._sockets, self._threads = [], []

    def names(self) -> list[str]:
        return [asked.name for asked in self.asked]

    def _bound(self, kind: socket.SocketKind) -> socket.socket:
        sock = socket.socket(self._family, kind)
        if kind == socket.SOCK_STREAM:  # over UDP this would let two servers share a port in silence
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(self.endpoint)
        self._sockets.append(sock)
        return sock

    def _run(self, target: Callable[[socket.socket], None], sock: socket.socket) -> None:
        thread = threading.Thread(target=target, args=(sock,), daemon=True)
        self._threads.append(thread)
        thread.start()

    def _serve_udp(self, sock: socket.socket) -> None:
        while True:
            try:
                octets, address = sock.recvfrom(65535)
            except OSError:
                return
            if not octets:
                return
            if _PROBE not in octets:
                asked = Asked(octets, _sender(sock, address), address)
                self.asked.append(asked)
                self.behave(asked)

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            self._sockets.append(connection)
            self._run(self._serve_tcp, connection)

    def _serve_tcp(self, connection: socket.socket) -> None:
        assert self._tcp is not None
        with suppress(OSError, EOFError):
            for _ in range(self._most):
                (length,) = struct.unpack(">H", client.exactly(connection, 2))
                octets = client.exactly(connection, length)

                def send(reply: bytes) -> None:
                    connection.sendall(struct.pack(">H", len(reply)) + reply)

                asked = Asked(octets, send, connection.getpeername())
                self.asked_tcp.append(asked)
                self._tcp(asked)
        connection.close()


def _sender(sock: socket.socket, address: Any) -> Callable[[bytes], object]:
    def send(reply: bytes) -> None:
        with suppress(OSError):  # it was stopped meanwhile
            sock.sendto(reply, address)

    return send


def nobody(host: str = "127.0.0.1") -> NameServer:
    """An address where nobody listens."""
    server = NameServer(silent, host=host)
    server.start = lambda: None  # type: ignore[method-assign]
    return server


def failure(reply: bytes) -> tuple[str, tuple[int, ...]]:
    """RCODE and extended errors of a reply."""
    message = dns.message.from_wire(reply, ignore_trailing=False)
    return dns.rcode.to_text(message.rcode()), tuple(int(option.code) for option in message.extended_errors())


class Bed:
    """The program, and the servers that it asks, by zone; the root's are those of `Resolvers`."""

    def __init__(self, program: Program, servers: Mapping[str, Sequence[NameServer]]) -> None:
        self.program = program
        self.servers = servers

    def ask(self, name: str, rrtype: str = "A", **more: Any) -> wire.Reply:
        """The reply to one question, over UDP."""
        return self.ask_all([name], rrtype, **more)[0]

    def ask_all(self, names: Sequence[str], rrtype: str = "A", **more: Any) -> list[wire.Reply]:
        found = client.ask_all(self.program.dns, [wire.query(0, name, rrtype, **more) for name in names])
        for name, reply in zip(names, found, strict=True):
            assert "rcode" in reply, (name, reply, self.program.log())
        return found

    def failure(self, name: str) -> tuple[str, tuple[int, ...]]:
        """RCODE and extended errors of the reply to a question for the addresses of `name`."""
        return failure(self.whole(name).to_wire())

    def whole(self, name: str) -> dns.message.Message:
        with client.connected(self.program.dns, socket.SOCK_DGRAM) as sock:
            sock.send(wire.query(1, name, "A", edns=1232))
            return dns.message.from_wire(sock.recv(65535))

    def ours(self) -> None:
        """Names of the zone are answered."""
        assert len(self.ask("web.marathon.mesos.")["answer"]) == 2
        assert self.ask("nobody.mesos.")["rcode"] == "NXDOMAIN"

    def count(self, counter: str) -> int:
        """What a counter of all workers says."""
        counts: dict[str, int] = json.loads(self.program.get("/v1/status")[1])["counters"]
        return counts.get(counter, 0)


@contextmanager
def bed(folder: Path, zones: Mapping[str, Sequence[NameServer]], **keys: Any) -> Iterator[Bed]:
    """The program with one worker, which asks `zones`. At the end names of the zone are answered, and nothing went wrong inside."""
    keys = {"Workers": 1, "Resolvers": [server.text for server in zones.get(".", [])] or ["127.0.0.1:9"], **keys}
    keys["ZoneResolvers"] = {
        zone.rstrip("."): [server.text for server in servers] for zone, servers in zones.items() if zone != "."
    }
    with ExitStack() as stack:
        for servers in zones.values():
            for server in servers:
                server.start()
                stack.callback(server.stop)
        master = Master(("127.0.0.1", 0), b"")
        stack.callback(master.close)
        master.body = sample_state(master.endpoint)
        program = stack.enter_context(Program(folder, masters=[master.endpoint], **keys))
        program.wait_ready()
        running = Bed(program, zones)
        yield running
        running.ours()
        log = program.log()
        assert "Traceback" not in log, log
        assert "ended with an error" not in log, log
