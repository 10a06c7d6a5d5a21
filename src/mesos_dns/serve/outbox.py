"""Replies to datagrams that were received earlier, many with one system call (`sendmmsg`, Linux)."""

import ctypes
from array import array
from collections.abc import Sequence
from itertools import accumulate

from mesos_dns.serve.memory import Memory
from mesos_dns.serve.mmsg import (
    BATCH,
    MMSGHDR,
    MSG_DONTWAIT,
    NAME,
    PEER,
    SLOT,
    Iovec,
    Mmsghdr,
    control_size,
    libc_calls,
    name_size,
)


class Outbox:
    """Replies to datagrams that were received earlier, many with one system call."""

    def __init__(self, family: int, *, with_source: bool, size: int = BATCH) -> None:
        libc = libc_calls()
        self.size = size
        self._with_source = with_source
        self._messages = Memory(size * SLOT)
        self._peers = Memory(size * PEER)
        self._parts = Memory(size * ctypes.sizeof(Iovec))
        self._headers = Memory(size * MMSGHDR)
        for i in range(size):
            header = Mmsghdr.from_buffer(self._headers.octets, i * MMSGHDR).hdr
            header.name, header.namelen = self._peers.address + i * PEER, name_size(family)
            header.iov, header.iovlen = self._parts.address + i * ctypes.sizeof(Iovec), 1
            if with_source:
                header.control, header.controllen = self._peers.address + i * PEER + NAME, control_size(family)
        parts = memoryview(self._parts.octets).cast("L")
        self._bases, self._sizes = parts[0::2], parts[1::2]
        self._sendmmsg = libc.sendmmsg
        self._sendmmsg.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int)

    def __repr__(self) -> str:
        return f"Outbox(size={self.size})"

    def send(self, fd: int, peers: Sequence[bytes], messages: Sequence[bytes]) -> int:
        """Send messages[i], of at most SLOT octets, to peers[i] (see `Batch.peer`); at most `size` of them.

        Returns how many could not be sent, as `Batch.send`.
        """
        count = len(messages)
        octets = b"".join(messages)
        self._messages.octets[: len(octets)] = octets
        self._peers.octets[: count * PEER] = b"".join(peers)
        sizes = list(map(len, messages))
        self._sizes[:count] = memoryview(array("L", sizes))
        self._bases[:count] = memoryview(array("L", accumulate(sizes[:-1], initial=self._messages.address)))
        first = failed = 0
        while first < count:
            sent = int(self._sendmmsg(fd, self._headers.address + first * MMSGHDR, count - first, MSG_DONTWAIT))
            if sent <= 0:
                # The error is that of the first datagram of the rest: skip it, try the others.
                failed += 1
                sent = 1
            first += sent
        return failed
