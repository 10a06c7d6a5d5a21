"""`recvmmsg` and `sendmmsg` through ctypes: many datagrams with one system call each way (Linux).

A `Batch` owns everything the two calls need, laid out once. A received datagram is answered in
place: its slot already holds the ID and the question that the reply begins with, its `msghdr` the
address to send to, and its control buffer the address that was asked (IP_PKTINFO), which `sendmmsg`
takes as the source address.
"""

import ctypes
import errno
import os
import socket
import sys
from array import array
from collections.abc import Sequence

#: Datagrams per system call. Under full load about 50 are there at each look.
BATCH = 64
#: Octets of a slot: the largest query that we take and the largest reply that we send fit.
SLOT = 2048
_CONTROL = 64
_NAME = 32
_MSG_DONTWAIT = 0x40
_MSG_TRUNC = 0x20


class _Iovec(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("len", ctypes.c_size_t))


class _Msghdr(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_void_p),
        ("namelen", ctypes.c_uint32),
        ("iov", ctypes.c_void_p),
        ("iovlen", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("controllen", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


class _Mmsghdr(ctypes.Structure):
    _fields_ = (("hdr", _Msghdr), ("len", ctypes.c_uint32))


def available() -> bool:
    """Whether this system has both calls and the memory layout that this module relies on."""
    return sys.platform == "linux" and ctypes.sizeof(_Mmsghdr) == 64 and hasattr(_libc(), "sendmmsg")


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


class Batch:
    """Buffers for up to `size` datagrams of one socket.

    `data` holds them, datagram i from octet i * SLOT on. `with_source` reserves room for control
    messages: needed on wildcard addresses only.
    """

    def __init__(self, family: int, size: int = BATCH, *, with_source: bool) -> None:
        libc = _libc()
        self.size = size
        self.data = bytearray(size * SLOT)
        self.view = memoryview(self.data)
        self._names = bytearray(size * _NAME)
        self._controls = bytearray(size * _CONTROL)
        self._headers = bytearray(size * ctypes.sizeof(_Mmsghdr))
        self._iovecs = bytearray(size * ctypes.sizeof(_Iovec))
        self._keep = [
            (ctypes.c_char * len(buffer)).from_buffer(buffer)
            for buffer in (self.data, self._names, self._controls, self._headers, self._iovecs)
        ]
        data, names, controls, headers, iovecs = map(ctypes.addressof, self._keep)
        self._address = headers
        for i in range(size):
            iovec = _Iovec.from_buffer(self._iovecs, i * ctypes.sizeof(_Iovec))
            iovec.base, iovec.len = data + i * SLOT, SLOT
            header = _Mmsghdr.from_buffer(self._headers, i * ctypes.sizeof(_Mmsghdr)).hdr
            header.name, header.namelen = names + i * _NAME, _NAME
            header.iov, header.iovlen = iovecs + i * ctypes.sizeof(_Iovec), 1
            if with_source:
                header.control, header.controllen = controls + i * _CONTROL, _CONTROL
        # What the calls alter is put back from these, a memcpy instead of a loop.
        self._fresh_headers = bytes(self._headers)
        self._fresh_iovecs = bytes(self._iovecs)
        self._words = memoryview(self._headers).cast("I")
        self._iovec_words = memoryview(self._iovecs).cast("L")
        self._recvmmsg = libc.recvmmsg
        self._sendmmsg = libc.sendmmsg
        self._recvmmsg.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int, ctypes.c_void_p)
        self._sendmmsg.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int)
        self._interfaces = memoryview(self._controls).cast("I") if with_source and family == socket.AF_INET else None
        self._no_interfaces = memoryview(array("I", bytes(4 * size)))
        self._used = 0

    def __repr__(self) -> str:
        return f"Batch(size={self.size})"

    def receive(self, fd: int) -> list[int]:
        """Take what waits at the socket: the lengths of the datagrams, none if nothing waits.

        A datagram that is larger than its slot has length 0. Raises OSError on any real failure.
        """
        if self._used:
            end = self._used * 64
            self._headers[:end] = self._fresh_headers[:end]
            self._iovecs[: self._used * 16] = self._fresh_iovecs[: self._used * 16]
        count = self._recvmmsg(fd, self._address, self.size, _MSG_DONTWAIT, None)
        if count <= 0:
            self._used = 0
            code = ctypes.get_errno()
            if count == 0 or code in (errno.EAGAIN, errno.EINTR):
                return []
            raise OSError(code, os.strerror(code))
        self._used = count
        lengths = self._words[14 : count * 16 : 16].tolist()
        if max(lengths) >= SLOT:
            flags = self._words[12 : count * 16 : 16].tolist()
            lengths = [0 if flag & _MSG_TRUNC else length for length, flag in zip(lengths, flags, strict=True)]
        return lengths

    def send(self, fd: int, sizes: Sequence[int]) -> int:
        """Send datagram i with the first sizes[i] octets of its slot, none where that is 0.

        Returns how many could not be sent: the kernel's buffer is full, or an address is bad. As
        with any lost datagram, the client asks again.
        """
        count = len(sizes)
        self._iovec_words[1 : 2 * count : 2] = memoryview(array("L", sizes))
        if self._interfaces is not None:
            # The reply takes the route to the client, which need not be where the query came in.
            self._interfaces[4 : count * 16 : 16] = self._no_interfaces[:count]
        failed = 0
        first = 0 if 0 in sizes else self._send(fd, 0, count)
        if first == count:
            return 0
        while first < count:
            if not sizes[first]:
                first += 1
                continue
            last = first + 1
            while last < count and sizes[last]:
                last += 1
            while first < last:
                sent = self._send(fd, first, last - first)
                if sent <= 0:
                    # The error is that of the first datagram of the rest: skip it, try the others.
                    failed += 1
                    sent = 1
                first += sent
        return failed

    def _send(self, fd: int, first: int, count: int) -> int:
        return max(0, int(self._sendmmsg(fd, self._address + first * 64, count, _MSG_DONTWAIT)))

    def address(self, i: int, family: int) -> tuple[object, ...]:
        """Where datagram i came from, in the form that Python's sockets take."""
        name = bytes(self._names[i * _NAME : (i + 1) * _NAME])
        port = int.from_bytes(name[2:4], "big")
        if family == socket.AF_INET6:
            flow, scope = int.from_bytes(name[4:8], "big"), int.from_bytes(name[24:28], sys.byteorder)
            return (socket.inet_ntop(family, name[8:24]), port, flow, scope)
        return (socket.inet_ntop(family, name[4:8]), port)

    def control(self, i: int) -> bytes:
        """The control message of datagram i, in the kernel's layout; empty without `with_source`."""
        length = int(self._headers[i * 64 + 40]) | int(self._headers[i * 64 + 41]) << 8
        return bytes(self._controls[i * _CONTROL : i * _CONTROL + length])
