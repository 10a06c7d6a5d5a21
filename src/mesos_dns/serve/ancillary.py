"""What the kernel says beside a datagram: the address that was asked, which must be the one that answers (RFC 2181 section 4)."""

import socket
import struct
from typing import Final

_IPV6_PKTINFO: Final = getattr(socket, "IPV6_PKTINFO", 50)
_IP_PKTINFO: Final = getattr(socket, "IP_PKTINFO", 8)


def with_any_interface(ancillary: list[tuple[int, int, bytes]]) -> list[tuple[int, int, bytes]]:
    """As in a batch: the source address is the one that was asked, the interface is free."""
    return [
        (level, kind, bytes(4) + octets[4:] if (level, kind) == (socket.IPPROTO_IP, _IP_PKTINFO) else octets)
        for level, kind, octets in ancillary
        if kind in (_IP_PKTINFO, _IPV6_PKTINFO)
    ]


def ancillary_of(control: bytes) -> list[tuple[int, int, bytes]]:
    """A control message in the kernel's layout, in the form that Python's sockets take."""
    if not control:
        return []
    _, level, kind = struct.unpack_from("@Nii", control)
    return [(level, kind, control[16 : struct.unpack_from("@N", control)[0]])]


def is_wildcard(sock: socket.socket) -> bool:
    """Whether a bound socket takes what is sent to any of our addresses."""
    return sock.getsockname()[0] in ("0.0.0.0", "::")  # noqa: S104 - compared, not bound


def ask_for_source(sock: socket.socket) -> None:
    """Have each datagram tell which of our addresses it was sent to (RFC 2181 section 4)."""
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, getattr(socket, "IPV6_RECVPKTINFO", 49), 1)
    elif hasattr(socket, "IP_PKTINFO"):
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_PKTINFO, 1)
    else:
        sock.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
