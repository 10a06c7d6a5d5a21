"""What only the kernel knows: datagrams that it dropped because nobody read them in time (Linux)."""

import contextlib
import socket
import struct
import sys
from typing import Final

from mesos_dns.metrics import counter

_DROPPED: Final = counter(
    "udp_queue_dropped", "Queries that the kernel dropped: the queue of a worker's socket was full. Linux only."
)
#: SO_MEMINFO (socket(7), linux/sock_diag.h): nine numbers, of which the last counts drops.
_SO_MEMINFO: Final = 55
_NUMBERS: Final = struct.Struct("@9I")


class QueueDrops:
    """Follows the drops of one UDP socket, from its beginning in this process on: the socket is older, and the kernel's count wraps."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._seen = self._look()
        self._total = 0

    def __repr__(self) -> str:
        return f"QueueDrops({self._total})"

    def counts(self) -> dict[str, float]:
        """Drops so far, by series."""
        now = self._look()
        self._total += (now - self._seen) & 0xFFFFFFFF
        self._seen = now
        return {_DROPPED.series(): self._total}

    def _look(self) -> int:
        if sys.platform == "linux":
            with contextlib.suppress(OSError, struct.error):
                found = self._socket.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _NUMBERS.size)
                return int(_NUMBERS.unpack(found)[-1])
        return 0
