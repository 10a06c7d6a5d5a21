"""What an operation leaves to the garbage collector. Edges must leave nothing: a worker hardly ever collects.

A test makes an operation, and expects that none of its objects waits for the collector::

    assert await left_by(lambda: submit(forwarder, octets)) == {}

An operation that fails must not keep its exception: `pytest.raises` does, in the frame that the traceback leads to.
The other side of a connection must leave nothing either: `peer` is one that does not.
"""

import asyncio
import contextlib
import gc
import socket
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from aiohttp.client_proto import ResponseHandler

from mesos_dns.concurrency import let_go

#: Enough to tell what is left by each operation from what is left once, by an import that comes late.
TIMES = 5


async def left_by(
    operation: Callable[[], Awaitable[object]], times: int = TIMES, *, transports: bool = True
) -> dict[str, int]:
    """How many objects of which types `times` operations leave in cycles, by type and without what is left once.

    Each transport of asyncio is a cycle, broken by `concurrency.let_go`. Without `transports` those are not told, for
    connections that a library makes; nor a reply that came for a request of aiohttp in the moment that it was cancelled: the
    protocol keeps it, and it the protocol.
    """
    await operation()
    await settled()
    gc.collect()
    # What there is now is not looked at again, and no part of what is left.
    gc.freeze()
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        for _ in range(times):
            await operation()
        await settled()
        if not transports:
            await _closed()
            for transport in [one for one in gc.get_objects() if isinstance(one, asyncio.BaseTransport)]:
                if transport.is_closing():
                    let_go(transport)
            for protocol in [one for one in gc.get_objects() if isinstance(one, ResponseHandler)]:
                if protocol.transport is None:
                    protocol._buffer.clear()
        # What comes less often than once for each operation is none of its: a loop or a thread of another test ends late.
        left = {kind: count for kind, count in _collected().items() if count >= times}
        # Tuples alone make no cycle: they are the rest of something else that was left once.
        return left if left.keys() - {"builtins.tuple"} else {}
    finally:
        if was_enabled:
            gc.enable()


async def settled(turns: int = 20) -> None:
    """Let the loop end what it has begun: transports call back once more after they are closed."""
    for _ in range(turns):
        await asyncio.sleep(0)


async def _closed() -> None:
    """Wait for the sockets of transports that are being closed: on a busy machine that takes more turns than `settled` gives."""
    async with asyncio.timeout(30):
        while any(  # noqa: ASYNC110 - nobody tells
            isinstance(one, asyncio.BaseTransport) and one.is_closing() and getattr(one, "_sock", None) is not None
            for one in gc.get_objects()
        ):
            await asyncio.sleep(0.002)


def _collected() -> dict[str, int]:
    """Collect, and say what there was."""
    flags = gc.get_debug()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        gc.collect()
        return dict(Counter(map(_described, gc.garbage)))
    finally:
        gc.set_debug(flags)
        gc.garbage.clear()
        gc.collect()


def _described(found: Any) -> str:
    """The type, and of functions and frames where they are from."""
    kind = type(found)
    code = getattr(found, "__code__", None) or getattr(found, "f_code", None)
    return f"{kind.__module__}.{kind.__qualname__}" + (f" {code.co_qualname}" if code is not None else "")


@contextlib.contextmanager
def peer(handle: Callable[[socket.socket], object], address: tuple[str, int] = ("127.0.0.1", 0)) -> Iterator[Any]:
    """A TCP server in a thread of its own; gives its address. Connections come one after the other.

    `handle` talks on each (it blocks, 30 s at most); a connection for which it gives something true is kept open.
    """
    kept = []

    def work() -> None:
        while True:
            connection, _ = listening.accept()
            if ending:
                connection.close()
                return
            connection.settimeout(30)
            with contextlib.suppress(OSError):
                if handle(connection):
                    kept.append(connection)
                    continue
            connection.close()

    ending: list[bool] = []
    with socket.create_server(address) as listening:
        thread = threading.Thread(target=work, name="peer", daemon=True)
        thread.start()
        try:
            yield listening.getsockname()[:2]
        finally:
            ending.append(True)
            socket.create_connection(listening.getsockname()[:2]).close()
            thread.join(10)
            for connection in kept:
                connection.close()


def reset(connection: socket.socket) -> None:
    """Let `connection` end with RST when it is closed."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
