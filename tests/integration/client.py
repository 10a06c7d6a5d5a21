"""Asks one server many DNS questions quickly: many in flight over one UDP socket; TCP one by one."""

import select
import socket
import struct
import time
from collections.abc import Iterator, Sequence

from tests.integration import wire

Endpoint = tuple[str, int]
#: Questions in flight: enough to keep two workers busy, few enough for default socket buffers.
WINDOW = 96
#: Seconds until a question is asked again, and until it is given up.
AGAIN, GIVE_UP = 4.0, 30.0


def connected(endpoint: Endpoint, kind: socket.SocketKind, timeout: float = GIVE_UP) -> socket.socket:
    family = socket.AF_INET6 if ":" in endpoint[0] else socket.AF_INET
    sock = socket.socket(family, kind)
    sock.settimeout(timeout)
    try:
        sock.connect(endpoint)
    except OSError:
        sock.close()
        raise
    return sock


def ask_all(endpoint: Endpoint, queries: Sequence[bytes]) -> list[wire.Reply]:
    """Replies in the order of `queries`, whose first two octets are overwritten with an ID of ours.

    Silence becomes {"timeout": True}.
    """
    replies: list[wire.Reply] = [{"timeout": True} for _ in queries]
    with connected(endpoint, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        sock.setblocking(False)
        _pump(sock, queries, replies)
    return replies


def _pump(sock: socket.socket, queries: Sequence[bytes], replies: list[wire.Reply]) -> None:
    todo: Iterator[int] = iter(range(len(queries)))
    flying: dict[int, tuple[int, float, bool]] = {}
    more = True
    while more or flying:
        while more and len(flying) < WINDOW:
            index = next(todo, None)
            if index is None:
                more = False
                break
            flying[index & 0xFFFF] = (index, time.monotonic(), False)
            sock.send(struct.pack(">H", index & 0xFFFF) + queries[index][2:])
        if not select.select([sock], [], [], 0.5)[0]:
            _overdue(sock, queries, flying)
            continue
        for _ in range(WINDOW):
            try:
                octets = sock.recv(65535)
            except BlockingIOError:
                break
            except ConnectionRefusedError:
                continue
            found = flying.pop(int.from_bytes(octets[:2], "big"), None)
            if found:
                replies[found[0]] = wire.parse(octets)


def _overdue(sock: socket.socket, queries: Sequence[bytes], flying: dict[int, tuple[int, float, bool]]) -> None:
    now = time.monotonic()
    for ident, (index, since, again) in list(flying.items()):
        if now - since > GIVE_UP:
            del flying[ident]
        elif now - since > AGAIN and not again:
            flying[ident] = (index, since, True)
            sock.send(struct.pack(">H", ident) + queries[index][2:])


def ask_tcp(endpoint: Endpoint, query: bytes) -> wire.Reply:
    """The reply over a TCP connection of its own."""
    try:
        with connected(endpoint, socket.SOCK_STREAM) as sock:
            sock.sendall(struct.pack(">H", len(query)) + query)
            (length,) = struct.unpack(">H", exactly(sock, 2))
            return wire.parse(exactly(sock, length))
    except (OSError, EOFError) as error:
        return {"timeout": True, "why": f"{type(error).__name__}: {error}"}


def exactly(sock: socket.socket, count: int) -> bytes:
    octets = b""
    while len(octets) < count:
        more = sock.recv(count - len(octets))
        if not more:
            raise EOFError("closed early")
        octets += more
    return octets


def ask(endpoint: Endpoint, name: str, rrtype: str, *, edns: int | None = None) -> wire.Reply:
    """One question over UDP."""
    return ask_all(endpoint, [wire.query(0, name, rrtype, edns=edns)])[0]
