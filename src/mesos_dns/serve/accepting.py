"""Accepts TCP connections as plain descriptors: `accept4` through ctypes (Linux), or Python's own way.

A socket object of Python costs 6 µs for each connection: enumerations, an address as text, two more system calls.
"""

import ctypes
import errno
import os
import socket
import sys
from collections.abc import Callable
from typing import Final

#: Accepts one connection: its descriptor, which does not block, and the packed address of its client; None if none
#: waits. Raises OSError.
Accept = Callable[[], tuple[int, bytes] | None]

#: Why one connection cannot be accepted, and the next one may be (accept(2), "error handling").
PASSING: Final = (
    errno.ECONNABORTED, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENETDOWN, errno.ENETUNREACH, errno.ENOPROTOOPT,
    errno.EOPNOTSUPP, errno.EPERM, errno.EPROTO,
)  # fmt: skip
_NONE_WAITS: Final = (errno.EAGAIN, errno.EWOULDBLOCK)
#: Octets of the largest address of a client (sockaddr_in6).
_LARGEST: Final = 28
#: Where in the kernel's sockaddr_in and sockaddr_in6 the address lies.
_PLACES: Final = {socket.AF_INET: (4, 8), socket.AF_INET6: (8, 24)}


def acceptor(listening: socket.socket) -> Accept:
    """The fastest way to accept connections of a socket that listens and does not block."""
    if sys.platform == "linux" and listening.family in _PLACES and hasattr(ctypes.CDLL(None), "accept4"):
        return _accept4(listening)
    return plain_acceptor(listening)


def plain_acceptor(listening: socket.socket) -> Accept:
    """The way that every system has."""
    family = listening.family

    def accept() -> tuple[int, bytes] | None:
        try:
            sock, address = listening.accept()
        except BlockingIOError:
            return None
        sock.setblocking(False)
        return sock.detach(), socket.inet_pton(family, address[0].partition("%")[0])

    return accept


def _accept4(listening: socket.socket) -> Accept:
    call = ctypes.CDLL(None, use_errno=True).accept4
    call.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int)
    address = ctypes.create_string_buffer(_LARGEST)
    # The kernel leaves the length of an address here, which is the same for all of one family.
    length = ctypes.c_uint32(_LARGEST)
    at, at_length = ctypes.addressof(address), ctypes.addressof(length)
    begin, end = _PLACES[listening.family]
    fd = listening.fileno()
    flags = socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
    octets = memoryview(address)

    def accept() -> tuple[int, bytes] | None:
        accepted = call(fd, at, at_length, flags)
        if accepted < 0:
            error = ctypes.get_errno()
            if error in _NONE_WAITS:  # After each batch: an exception would cost 2 µs.
                return None
            raise OSError(error, os.strerror(error))
        assert length.value <= _LARGEST
        return accepted, octets[begin:end].tobytes()

    return accept
