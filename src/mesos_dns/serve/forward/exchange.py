"""One question to one upstream, over UDP or TCP, and its reply. Edge: asyncio and sockets."""

import asyncio
import contextlib
import os
import socket
import struct
from typing import Final

from mesos_dns.dns import message as msg
from mesos_dns.serve.forward import rewrite
from mesos_dns.serve.forward.records import BadReplyError

_LENGTH: Final = struct.Struct("!H")

#: Host (an address) and port.
Upstream = tuple[str, int]


async def exchange_udp(server: Upstream, sent: bytes, question_length: int, *, within: float) -> bytes:
    """One question from a fresh socket, hence a fresh source port.

    The socket is connected: the kernel drops what other addresses send. Datagrams that do not answer
    the question are passed over. Raises TimeoutError or OSError.
    """
    deadline = asyncio.get_running_loop().time() + within
    with _socket(server, socket.SOCK_DGRAM) as sock:
        sock.connect(server)
        sock.send(sent)
        while True:
            await _ready(sock, deadline)
            with contextlib.suppress(BlockingIOError):
                # Not until nothing is left: a flood of forged replies would never let go of the loop.
                for _ in range(16):
                    reply = sock.recv(msg.TCP_SIZE)
                    if rewrite.answers(reply, sent, question_length):
                        return reply


async def exchange_tcp(server: Upstream, sent: bytes, question_length: int, *, within: float) -> bytes:
    """The same question over a connection of its own. Raises TimeoutError, OSError or BadReplyError."""
    deadline = asyncio.get_running_loop().time() + within
    with _socket(server, socket.SOCK_STREAM) as sock:
        with contextlib.suppress(BlockingIOError):
            sock.connect(server)
        await _ready(sock, deadline, to_write=True)
        if number := sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            raise OSError(number, os.strerror(number))
        sock.sendall(_LENGTH.pack(len(sent)) + sent)  # Fits into the buffer of a new connection.
        received = bytearray()
        while len(received) < 2 or len(received) < 2 + _LENGTH.unpack_from(received)[0]:
            await _ready(sock, deadline)
            piece = sock.recv(2 + msg.TCP_SIZE)
            if not piece:
                raise BadReplyError("it closed the connection before its answer was complete")
            received += piece
    reply = bytes(received[2 : 2 + _LENGTH.unpack_from(received)[0]])
    if not rewrite.answers(reply, sent, question_length):
        raise BadReplyError("over TCP it answers another question")
    return reply


def _socket(server: Upstream, kind: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in server[0] else socket.AF_INET
    return socket.socket(family, kind | socket.SOCK_NONBLOCK)


async def _ready(sock: socket.socket, deadline: float, *, to_write: bool = False) -> None:
    """Wait until something can be read from `sock` (or written). Raises TimeoutError at `deadline`, in the loop's time.

    No exception is set on a future, as asyncio's own ways do: its traceback would lead to the frame that holds the
    future, and that circle would stay until the garbage collector looks at everything.
    """
    loop = asyncio.get_running_loop()
    if loop.time() >= deadline:
        # Checked here, too: a socket that is always readable would always come before the timer.
        raise TimeoutError
    ready: asyncio.Future[bool] = loop.create_future()
    watch, unwatch = (loop.add_writer, loop.remove_writer) if to_write else (loop.add_reader, loop.remove_reader)
    watch(sock.fileno(), _settle, ready, True)
    timer = loop.call_at(deadline, _settle, ready, False)
    try:
        in_time = await ready
    finally:
        timer.cancel()
        unwatch(sock.fileno())
    if not in_time:
        raise TimeoutError


def _settle(future: asyncio.Future[bool], outcome: bool) -> None:
    if not future.done():
        future.set_result(outcome)
