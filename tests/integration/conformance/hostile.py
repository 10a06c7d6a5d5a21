"""Damaged messages for a running server: those of the corpora of fuzz/, and mutations of ordinary ones; the same in each run."""

import random
import socket
import struct
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from fuzz.seeds import SEEDS
from fuzz.targets import corpus
from tests.integration import client
from tests.integration.conformance.beds import Server, framed, received

#: Messages under way at the same time: no socket buffer is too small for them.
_BURST = 50
#: Octets by which memory may differ between two rounds: the allocators of three processes.
LARGEST_GROWTH = 1_000_000
_SENTINEL = b"\xff\xff\0\0\0\1\0\0\0\0\0\0\5mesos\0\0\6\0\1"


def packets(count: int) -> list[bytes]:
    """As many messages, each with an ID of its own if it has two octets for one."""
    draw = random.Random(11)
    found = [path.read_bytes() for path in corpus("queries")]
    ordinary = list(SEEDS["queries"]())
    while len(found) < count:
        octets = bytearray(draw.choice(ordinary))
        for _ in range(draw.randrange(1, 4)):
            at = draw.randrange(2, len(octets) + 1)
            end = min(len(octets), at + draw.choice((0, 1, 1, 2)))
            octets[at:end] = draw.choice(
                (b"", b"\0", b"\xc0\x0c", b"\x3f", b"\x40", b"\xff", draw.randbytes(1), draw.randbytes(9))
            )
        if draw.random() < 0.1:
            del octets[draw.randrange(len(octets)) :]
        found.append(bytes(octets))
    return [struct.pack(">H", n) + octets[2:] if len(octets) >= 2 else octets for n, octets in enumerate(found[:count])]


def exchange(server: Server, packets: Sequence[bytes], *, tcp: bool) -> Iterator[tuple[bytes, bytes]]:
    """The messages that get a reply, with it. Over TCP a message that is none ends its connection."""
    asked = {octets[:2]: octets for octets in packets if len(octets) >= 2}
    for at in range(0, len(packets), _BURST):
        burst = packets[at : at + _BURST]
        for reply in (_over_tcp if tcp else _over_udp)(server, burst):
            yield asked[reply[:2]], reply


def _over_udp(server: Server, burst: Sequence[bytes]) -> Iterator[bytes]:
    with client.connected(server.endpoint, socket.SOCK_DGRAM) as sock:
        for octets in burst:
            sock.send(octets)
        # On the same socket, so that the same worker answers them, in their order.
        sock.send(_SENTINEL)
        while (reply := sock.recv(65535))[:2] != _SENTINEL[:2]:
            yield reply


def _over_tcp(server: Server, burst: Sequence[bytes]) -> Iterator[bytes]:
    with server.connection() as sock, suppress(EOFError, ConnectionResetError, BrokenPipeError):
        sock.sendall(b"".join(map(framed, burst)))
        sock.shutdown(socket.SHUT_WR)
        while True:
            yield received(sock)


def resident(pid: int) -> int:
    """Octets of memory that a process has for itself."""
    return 4096 * int(Path(f"/proc/{pid}/statm").read_text().split()[1])
