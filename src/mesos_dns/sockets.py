"""This machine's sockets and addresses: what the workers listen on, bound by control before any starts.

Control binds them once: port 53 needs a privilege only then, a worker that dies leaves its socket
and the packets queued there behind, and a reload hands the same sockets to new workers.
"""

import contextlib
import errno
import socket
from typing import NamedTuple

import ifaddr

from mesos_dns.dns import rdata as rd
from mesos_dns.limits import SOCKET_BUFFER

#: How often a TCP twin is sought for a random UDP port, before we give up.
_TRIES = 20


class BindError(Exception):
    """A listening socket could not be had; the message says which, why and what to do."""


class Pair(NamedTuple):
    """What one worker listens on."""

    udp: socket.socket
    tcp: socket.socket

    def close(self) -> None:
        """Close both."""
        self.udp.close()
        self.tcp.close()


class Sockets:
    """One UDP and one TCP socket for each worker, all on the same address and port."""

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._asked_port = port
        self.port = port
        self.pairs: list[Pair] = []

    def __repr__(self) -> str:
        return f"Sockets({self._host!r}, port={self.port}, pairs={len(self.pairs)})"

    def __str__(self) -> str:
        return f"{self._host} port {self.port} ({len(self.pairs)} workers)" if self.pairs else "off"

    def serves(self, host: str, port: int) -> bool:
        """Whether these sockets are bound to what is asked."""
        return (self._host, self._asked_port) == (host, port)

    def provide(self, count: int) -> list[Pair]:
        """Bind until there are `count` pairs; all or none. Raises BindError."""
        before = len(self.pairs)
        try:
            if count and not self.pairs:
                self.pairs.append(self._first())
                self.port = self.pairs[0].udp.getsockname()[1]
            while len(self.pairs) < count:
                self.pairs.append(self._pair(self.port))
        except BindError:
            self.keep(before)
            raise
        return self.pairs[:count]

    def keep(self, count: int) -> None:
        """Close what is beyond the first `count` pairs."""
        for pair in self.pairs[count:]:
            pair.close()
        del self.pairs[count:]

    def close(self) -> None:
        """Close all."""
        self.keep(0)

    def _first(self) -> Pair:
        # With SO_REUSEPORT a second server of the same user would share the port without a word, and
        # each would get half of the queries. Without the option the kernel tells.
        if self._asked_port:
            for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
                _bind(self._host, self._asked_port, kind, shared=False).close()
            return self._pair(self._asked_port)
        for _ in range(_TRIES):
            with contextlib.suppress(BindError):
                return self._pair(0)
        raise BindError(f"no port of {self._host} is free for both UDP and TCP")

    def _pair(self, port: int) -> Pair:
        udp = _bind(self._host, port, socket.SOCK_DGRAM, shared=True)
        try:
            tcp = _bind(self._host, udp.getsockname()[1], socket.SOCK_STREAM, shared=True)
        except BindError:
            udp.close()
            raise
        tcp.listen(512)
        return Pair(udp, tcp)


def _bind(host: str, port: int, kind: socket.SocketKind, *, shared: bool) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, kind | socket.SOCK_NONBLOCK)
    try:
        if kind == socket.SOCK_STREAM:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        else:
            # As much as the system allows: a burst then waits in the kernel instead of being lost.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SOCKET_BUFFER)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BUFFER)
        if shared:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            # As in Go, the IPv6 wildcard means every address of both families.
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if host == "::" else 1)
        sock.bind((host, port))
    except OSError as error:
        sock.close()
        protocol = "UDP" if kind == socket.SOCK_DGRAM else "TCP"
        raise BindError(
            f"cannot listen on {protocol} {host} port {port}: {error.strerror}; {_advice(error)}"
        ) from error
    return sock


def _advice(error: OSError) -> str:
    match error.errno:
        case errno.EADDRINUSE:
            return "another program has it (`ss -lntup` shows which): stop that one, or set another Port or Listener"
        case errno.EACCES | errno.EPERM:
            return "ports below 1024 need root or the capability CAP_NET_BIND_SERVICE (see docs/install.md)"
        case errno.EADDRNOTAVAIL:
            return "Listener must be an address of this machine, 0.0.0.0 or ::"
        case _:
            return "check Listener and Port"


def own_addresses(listener: str) -> list[bytes]:
    """The addresses of this server's own name: the listener's, or all of this machine but loopback."""
    packed = rd.pack_address(listener)
    if packed is not None and any(packed):
        return [packed]
    found = []
    for adapter in ifaddr.get_adapters():
        for each in adapter.ips:
            address = rd.pack_address(each.ip if isinstance(each.ip, str) else each.ip[0])
            if address is not None and address[0] != 127 and address != bytes(15) + b"\1":
                found.append(address)
    # A machine without any network, as in a demonstration: then clients can only be on it, too.
    return sorted(set(found)) or [b"\x7f\0\0\1"]
