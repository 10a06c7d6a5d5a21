"""What the kernel takes and gives with `recvmmsg` and `sendmmsg`: layouts in memory (Linux, 64 bits)."""

import ctypes
import socket
from typing import Final

#: Datagrams per system call. Under full load so many may wait; with 64 an answer cost up to 9 % more.
BATCH: Final = 128
#: Octets of a slot for a reply that is sent once: the largest that we send fits, and all lie close together.
SLOT: Final = 1280
#: Octets that are kept for the address of a datagram, for its control message, and for both.
NAME: Final = 32
CONTROL: Final = 64
PEER: Final = CONTROL + NAME
#: Octets of a `struct mmsghdr`.
MMSGHDR: Final = 64
MSG_DONTWAIT: Final = 0x40


class Iovec(ctypes.Structure):
    """`struct iovec`."""

    _fields_ = (("base", ctypes.c_void_p), ("len", ctypes.c_size_t))


class Msghdr(ctypes.Structure):
    """`struct msghdr`."""

    _fields_ = (
        ("name", ctypes.c_void_p),
        ("namelen", ctypes.c_uint32),
        ("iov", ctypes.c_void_p),
        ("iovlen", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("controllen", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


class Mmsghdr(ctypes.Structure):
    """`struct mmsghdr`."""

    _fields_ = (("hdr", Msghdr), ("len", ctypes.c_uint32))


def libc_calls() -> ctypes.CDLL:
    """The C library, whose calls leave `errno` for `ctypes.get_errno`."""
    return ctypes.CDLL(None, use_errno=True)


def name_size(family: int) -> int:
    """Octets of an address."""
    return 28 if family == socket.AF_INET6 else 16


def control_size(family: int) -> int:
    """Octets of the one control message that we ask for: IPV6_PKTINFO, IP_PKTINFO."""
    return socket.CMSG_SPACE(20 if family == socket.AF_INET6 else 12)
