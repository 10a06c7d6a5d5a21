"""TCP connections leave nothing behind, whatever becomes of them."""

import asyncio
import gc
import socket
import struct

from tests.serve.asking import ask
from tests.serve.tcp_bed import NAME, OTHER, Server, framed, until

from mesos_dns.serve import tcp


async def connection_of_each_outcome(server):
    """Answered and closed, half-closed, reset, silent, no DNS, closed while a forward is under way, half a query."""
    loop = asyncio.get_running_loop()
    sent = (
        framed(ask(NAME)), framed(ask(NAME)), framed(ask(NAME)), b"", framed(b"x"), framed(ask(OTHER)), b"\0\x20abc",
    )  # fmt: skip
    for number, octets in enumerate(sent):
        sock = socket.socket()
        sock.setblocking(False)
        await loop.sock_connect(sock, server.address)
        if octets:
            await loop.sock_sendall(sock, octets)
        if number < 3:
            await loop.sock_recv(sock, 65535)
        if number == 1:
            sock.shutdown(socket.SHUT_WR)
        if number == 2:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if number == 5:
            await server.until_forwarded(1)
        if number in (1, 4):
            assert await loop.sock_recv(sock, 65535) == b""
        sock.close()
    await until(lambda: len(server.connections) <= 1)
    server.forwarded.pop()[1](b"the answer, too late")
    await until(lambda: not server.connections)


async def test_connections_leave_nothing_to_the_garbage_collector():
    async with Server() as server:
        await connection_of_each_outcome(server)
        gc.collect()
        gc.disable()
        gc.set_debug(gc.DEBUG_SAVEALL)
        try:
            for _ in range(20):
                await connection_of_each_outcome(server)
            gc.collect()
            ours = [each for each in gc.garbage if type(each).__module__.startswith("mesos_dns")]
            others = [each for each in gc.garbage if isinstance(each, (OSError, tcp.partial, memoryview))]
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
            gc.enable()
    assert ours == []
    assert others == []
