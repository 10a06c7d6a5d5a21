"""One question to one upstream over UDP, and its reply. Edge: asyncio and sockets."""

import asyncio
import contextlib
import socket

from mesos_dns.dns import message as msg
from mesos_dns.serve.forward import rewrite
from mesos_dns.serve.forward.options import Upstream


async def exchange_udp(server: Upstream, sent: bytes, question_length: int, *, within: float) -> bytes:
    """One question from a fresh socket, hence a fresh source port.

    The socket is connected: the kernel drops what other addresses send. Datagrams that do not answer
    the question are passed over. Raises TimeoutError or OSError.
    """
    deadline = asyncio.get_running_loop().time() + within
    family = socket.AF_INET6 if ":" in server.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sock:
        sock.connect(server.address)
        sock.send(sent)
        while True:
            await _ready(sock, deadline)
            with contextlib.suppress(BlockingIOError):
                # Not until nothing is left: a flood of forged replies would never let go of the loop.
                for _ in range(16):
                    reply = sock.recv(msg.TCP_SIZE)
                    if rewrite.answers(reply, sent, question_length):
                        return reply


async def _ready(sock: socket.socket, deadline: float) -> None:
    """Wait until something can be read from `sock`. Raises TimeoutError at `deadline`, in the loop's time.

    No exception is set on a future, as asyncio's own ways do: its traceback would lead to the frame that holds the
    future, and that circle would stay until the garbage collector looks at everything.
    """
    loop = asyncio.get_running_loop()
    if loop.time() >= deadline:
        # Checked here, too: a socket that is always readable would always come before the timer.
        raise TimeoutError
    ready: asyncio.Future[bool] = loop.create_future()
    loop.add_reader(sock.fileno(), _settle, ready, True)
    timer = loop.call_at(deadline, _settle, ready, False)
    try:
        in_time = await ready
    finally:
        timer.cancel()
        loop.remove_reader(sock.fileno())
    if not in_time:
        raise TimeoutError


def _settle(future: asyncio.Future[bool], outcome: bool) -> None:
    if not future.done():
        future.set_result(outcome)
