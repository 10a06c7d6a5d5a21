"""`recvmmsg` and `sendmmsg` through ctypes: many datagrams with one system call each way (Linux).

A `Batch` owns everything the two calls need, laid out once. A reply is not put together in one place: the
kernel gathers it from its front, which lies where the query was received, and its tail, which lies in an
`Arena`. What is to be sent says a *slip*, 48 octets with the reply's two iovecs and its header, made when the
reply is remembered. So what a known question costs in Python is a key and a look-up, and the rest is
done for the whole batch: joining the slips, filling in where each query is, and its new header.

Tried, and slower for each reply: writing header and tail into the slot of the query, a handful of slices for
each datagram, by 0.9 µs of processor time; four iovecs, so that no header has to be copied, by 0.1 µs.
"""

import ctypes
import errno
import mmap
import os
import socket
import struct
import sys
from array import array
from collections.abc import Sequence
from typing import Final

#: Datagrams per system call. Under full load so many may wait; with 64 an answer cost up to 9 % more.
BATCH: Final = 128
#: Octets from the front of one datagram to that of the next. The fronts of a batch lie in one row, so that all can
#: be looked at together.
STRIDE: Final = 128
#: Where in its part of the row a datagram begins: then octets 2 to 10 of its header are an aligned word.
LEAD: Final = 6
#: Octets of a datagram that its front has room for. Nearly all queries fit: a name of 70 octets and a cookie.
FRONT: Final = STRIDE - LEAD
#: Octets of a slot: the largest query that we take and the largest reply that we send fit.
SLOT: Final = 2048
_CONTROL = 64
_NAME = 32
_MMSGHDR = 64
_MSG_DONTWAIT = 0x40
_MSG_TRUNC = 0x20

#: Address and length of front and tail, and header octets 2 to 12. The address of the front is filled in by `send`.
_SLIP: Final = struct.Struct("@PNPN10s6x")
#: The slip of a datagram that gets no reply.
SILENCE: Final = bytes(_SLIP.size)
#: Octets of the ID.
_ID: Final = 2


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
    fits = ctypes.sizeof(_Mmsghdr) == _MMSGHDR and _SLIP.size == 48
    return sys.platform == "linux" and fits and hasattr(_libc(), "sendmmsg")


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


class _Memory:
    """Octets that stay where they are, and their address. Pages that nobody has written to cost no memory."""

    def __init__(self, size: int) -> None:
        self.octets = mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        # As long as this is there, the memory cannot be unmapped.
        self._pin = (ctypes.c_char * size).from_buffer(self.octets)
        self.address = ctypes.addressof(self._pin)


class Arena:
    """A ring of memory for the tails of finished replies. A `Store` of the memo, whose replies are slips.

    Replies are dropped in the order in which they came; the ring is larger than `room` by as much as makes
    sure that a new tail never lies over one that is still within it.
    """

    def __init__(self, room: int, largest: int) -> None:
        """`largest` is the number of octets of the largest tail that will be put."""
        self.room = room
        self._memory = _Memory(room + 2 * largest)
        self._at = 0

    def __repr__(self) -> str:
        return f"Arena(room={self.room})"

    def put(self, head: bytes, tail: bytes, question_end: int) -> bytes:
        """Part of `Store`: the slip of a reply to a question that ends at that octet of the message."""
        octets = self._memory.octets
        at = self._at if self._at + len(tail) <= len(octets) else 0
        self._at = end = at + len(tail)
        octets[at:end] = tail
        return _SLIP.pack(0, question_end, self._memory.address + at, len(tail), head)

    def clear(self) -> None:
        """Part of `Store`."""
        self._at = 0


class Batch:
    """Buffers for up to `size` datagrams of one socket.

    `with_source` reserves room for control messages: needed on wildcard addresses only.
    """

    def __init__(self, family: int, size: int = BATCH, *, with_source: bool) -> None:
        libc = _libc()
        self.size = size
        self._fronts = _Memory(size * STRIDE)
        self._front_view = memoryview(self._fronts.octets)
        #: The rest of a long datagram; then a reply that is not in an arena.
        self._slots = _Memory(size * SLOT)
        self._names = _Memory(size * _NAME)
        self._controls = _Memory(size * _CONTROL)
        self._received = _Memory(size * _MMSGHDR)
        self._to_send = _Memory(size * _MMSGHDR)
        self._parts = _Memory(size * 2 * ctypes.sizeof(_Iovec))
        self._slips = _Memory(size * _SLIP.size)
        for i in range(size):
            self._lay_out(i, family, with_source=with_source)
        starts = range(self._fronts.address + LEAD, self._fronts.address + LEAD + size * STRIDE, STRIDE)
        self._starts = memoryview(array("L", starts))
        slips, fronts = memoryview(self._slips.octets), memoryview(self._fronts.octets)
        self._slip_starts = slips.cast("L")[0::6]
        # Header octets 2 to 10 and 10 to 12, in the slip and in the datagram.
        self._words_given, self._words = slips.cast("L")[4::6], fronts.cast("L")[1 :: STRIDE // 8]
        self._shorts_given, self._shorts = slips.cast("H")[20::24], fronts.cast("H")[8 :: STRIDE // 2]
        self._received_words = memoryview(self._received.octets).cast("I")
        self._recvmmsg = libc.recvmmsg
        self._sendmmsg = libc.sendmmsg
        self._recvmmsg.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int, ctypes.c_void_p)
        self._sendmmsg.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int)
        self._with_source = with_source
        self._control_room = memoryview(array("L", (_CONTROL,) * size))
        self._control_sizes_in = memoryview(self._received.octets).cast("L")[5::8]
        self._control_sizes_out = memoryview(self._to_send.octets).cast("L")[5::8]
        self._interfaces = memoryview(self._controls.octets).cast("I") if family == socket.AF_INET else None
        self._no_interfaces = memoryview(array("I", bytes(4 * size)))

    def _lay_out(self, i: int, family: int, *, with_source: bool) -> None:
        iovec = ctypes.sizeof(_Iovec)
        front = _Iovec.from_buffer(self._parts.octets, 2 * i * iovec)
        front.base, front.len = self._fronts.address + i * STRIDE + LEAD, FRONT
        rest = _Iovec.from_buffer(self._parts.octets, (2 * i + 1) * iovec)
        rest.base, rest.len = self._slots.address + i * SLOT, SLOT - FRONT
        received = _Mmsghdr.from_buffer(self._received.octets, i * _MMSGHDR).hdr
        received.iov, received.iovlen = self._parts.address + 2 * i * iovec, 2
        to_send = _Mmsghdr.from_buffer(self._to_send.octets, i * _MMSGHDR).hdr
        to_send.iov, to_send.iovlen = self._slips.address + i * _SLIP.size, 2
        for header in (received, to_send):
            # All addresses of a family have one length, so nothing has to be put back between two calls.
            header.name, header.namelen = self._names.address + i * _NAME, 28 if family == socket.AF_INET6 else 16
            if with_source:
                header.control, header.controllen = self._controls.address + i * _CONTROL, _CONTROL

    def __repr__(self) -> str:
        return f"Batch(size={self.size})"

    def receive(self, fd: int) -> list[int]:
        """Take what waits at the socket: the lengths of the datagrams, none if nothing waits.

        A datagram that is larger than a slot has length 0. Raises OSError on any real failure.
        """
        if self._with_source:
            self._control_sizes_in[:] = self._control_room
        count = self._recvmmsg(fd, self._received.address, self.size, _MSG_DONTWAIT, None)
        if count <= 0:
            code = ctypes.get_errno()
            if count == 0 or code in (errno.EAGAIN, errno.EINTR):
                return []
            raise OSError(code, os.strerror(code))
        lengths = self._received_words[14 : count * 16 : 16].tolist()
        if max(lengths) >= SLOT:
            flags = self._received_words[12 : count * 16 : 16].tolist()
            lengths = [0 if flag & _MSG_TRUNC else length for length, flag in zip(lengths, flags, strict=True)]
        return lengths

    def folded(self, count: int) -> bytes:
        """The fronts of the first `count` datagrams in lower case, datagram i from octet i * STRIDE + LEAD on.

        Behind the end of a datagram stands anything.
        """
        return self._front_view[: count * STRIDE].tobytes().lower()

    def datagram(self, i: int, length: int) -> bytes:
        """Datagram i of that length, whole."""
        at = i * STRIDE + LEAD
        front = self._front_view[at : at + min(length, FRONT)].tobytes()
        return front + self._slots.octets[i * SLOT : i * SLOT + length - FRONT] if length > FRONT else front

    def slip(self, i: int, head: bytes, tail: bytes, question_end: int) -> bytes:
        """The slip of a reply to datagram i that is sent once. The question must lie within the front."""
        at = i * SLOT
        self._slots.octets[at : at + len(tail)] = tail
        return _SLIP.pack(0, question_end, self._slots.address + at, len(tail), head)

    def whole(self, i: int, reply: bytes) -> bytes:
        """The slip of a whole reply to datagram i, which begins with its ID."""
        at = i * SLOT
        self._slots.octets[at : at + len(reply)] = reply
        return _SLIP.pack(0, _ID, self._slots.address + at + _ID, len(reply) - _ID, b"")

    def send(self, fd: int, slips: Sequence[bytes], *, gaps: bool = True) -> int:
        """Answer datagram i with slips[i], or not at all if that is `SILENCE`; without `gaps` none is.

        Returns how many could not be sent: the kernel's buffer is full, or an address is bad. As
        with any lost datagram, the client asks again.
        """
        count = len(slips)
        self._slips.octets[: count * _SLIP.size] = b"".join(slips)
        self._slip_starts[:count] = self._starts[:count]
        self._words[:count] = self._words_given[:count]
        self._shorts[:count] = self._shorts_given[:count]
        if self._with_source:
            self._control_sizes_out[:count] = self._control_sizes_in[:count]
            if self._interfaces is not None:
                # The reply takes the route to the client, which need not be where the query came in.
                self._interfaces[4 : count * 16 : 16] = self._no_interfaces[:count]
        first = 0 if gaps and SILENCE in slips else self._send(fd, 0, count)
        return 0 if first == count else self._send_rest(fd, slips, first)

    def _send_rest(self, fd: int, slips: Sequence[bytes], first: int) -> int:
        count, failed = len(slips), 0
        while first < count:
            if slips[first] == SILENCE:
                first += 1
                continue
            last = first + 1
            while last < count and slips[last] != SILENCE:
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
        return max(0, int(self._sendmmsg(fd, self._to_send.address + first * _MMSGHDR, count, _MSG_DONTWAIT)))

    def address(self, i: int, family: int) -> tuple[object, ...]:
        """Where datagram i came from, in the form that Python's sockets take."""
        name = bytes(self._names.octets[i * _NAME : (i + 1) * _NAME])
        port = int.from_bytes(name[2:4], "big")
        if family == socket.AF_INET6:
            flow, scope = int.from_bytes(name[4:8], "big"), int.from_bytes(name[24:28], sys.byteorder)
            return (socket.inet_ntop(family, name[8:24]), port, flow, scope)
        return (socket.inet_ntop(family, name[4:8]), port)

    def control(self, i: int) -> bytes:
        """The control message of datagram i, in the kernel's layout; empty without `with_source`."""
        length = self._control_sizes_in[i]
        return bytes(self._controls.octets[i * _CONTROL : i * _CONTROL + length])
