"""Control's end of the connection over which a worker hands on what it puts down in query logs. Edge: a socket."""

import asyncio
import logging
import socket
from collections.abc import Callable
from typing import Final

from mesos_dns.querylog.logs import MAX_PARCEL

log = logging.getLogger(__name__)

#: Parcels taken in one go: at the most 2 MB, which are only passed on.
_AT_ONCE: Final = 32


class Collecting:
    """Gives each parcel to `take`, until the worker closes its end or `close` is called."""

    def __init__(self, sock: socket.socket, take: Callable[[bytes], None]) -> None:
        self._socket = sock
        self._take = take
        sock.setblocking(False)
        asyncio.get_running_loop().add_reader(sock.fileno(), self._read)

    def __repr__(self) -> str:
        return f"Collecting({'open' if self._socket.fileno() >= 0 else 'closed'})"

    def _read(self) -> None:
        for _ in range(_AT_ONCE):
            if not self._take_one():
                return

    def _take_one(self) -> bool:
        """Take a parcel; False if none waits, or none will come any more."""
        try:
            parcel = self._socket.recv(MAX_PARCEL)
        except BlockingIOError:
            return False
        except OSError as error:
            log.info("what a worker puts down in query logs cannot be taken any more: %s", error.strerror)
            parcel = b""
        if not parcel:
            self._let_go()
            return False
        self._take(parcel)
        return True

    def close(self) -> None:
        """Take what waits, which the kernel bounds, and nothing more."""
        while self._socket.fileno() >= 0 and self._take_one():
            pass
        self._let_go()

    def _let_go(self) -> None:
        if self._socket.fileno() >= 0:
            asyncio.get_running_loop().remove_reader(self._socket.fileno())
            self._socket.close()
