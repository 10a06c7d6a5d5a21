"""This machine's sockets and addresses: what the workers listen on, bound by control before any starts.

Control binds them once: port 53 needs a privilege only then, a worker that dies leaves its socket
and the packets queued there behind, and a reload hands the same sockets to new workers.
"""

import contextlib
import errno
import socket
from collections.abc import Sequence
from typing import Final, NamedTuple

import ifaddr

from mesos_dns.dns import rdata as rd
from mesos_dns.dns.prefixes import Prefix, prefix_of
from mesos_dns.serve.ancillary import ask_for_source

#: Octets of the kernel's buffers for one UDP socket, if net.core.rmem_max allows: 10,000 queries.
SOCKET_BUFFER: Final = 8 * 1024 * 1024
#: TCP connections that may wait to be accepted; net.core.somaxconn may allow fewer.
BACKLOG: Final = 512
#: The sockets of a pair.
_KINDS: Final = (socket.SOCK_DGRAM, socket.SOCK_STREAM)
#: Hosts that stand for all addresses of this machine, and one of these each.
_WILDCARDS: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared, not bound
#: A port that nobody answers from (RFC 863).
_DISCARD: Final = 9
#: How often a TCP twin is sought for a random UDP port, before we give up.
_TRIES: Final = 20


class BindError(Exception):
    """A listening socket could not be had; the message says which, why and what to do."""


class Pair(NamedTuple):
    """What one worker listens on: UDP and TCP on one port, and TCP on another one for DNS over TLS, if that is served."""

    udp: socket.socket
    tcp: socket.socket
    tls: socket.socket | None = None

    def close(self) -> None:
        """Close all."""
        self.udp.close()
        self.tcp.close()
        if self.tls is not None:
            self.tls.close()


class Given(NamedTuple):
    """Sockets that somebody else has bound, for workers to share: none of a kind means that they are bound here."""

    udp: Sequence[socket.socket] = ()
    tcp: Sequence[socket.socket] = ()
    tls: Sequence[socket.socket] = ()

    def close(self) -> None:
        """Close all; whoever bound them keeps theirs."""
        for sock in (*self.udp, *self.tcp, *self.tls):
            sock.close()


class Sockets:
    """One UDP and one TCP socket for each worker, all on the same address and port, and one for TLS on the port `tls_port`, if given.

    Sockets that are bound get queries at once, read or not. So those that join others which are being read are made first
    (`prepare`), handed to workers, and bound when these are ready (`bind`); those that go are taken out of the way of new
    queries first (`retire`), read to the end, and then closed (`keep`).
    """

    def __init__(
        self,
        host: str,
        port: int,
        tls_port: int | None = None,
        *,
        joins: bool = False,
        tls_joins: bool = False,
        given: Given = Given(),  # noqa: B008 - a constant: it cannot be changed
    ) -> None:
        """`joins`: this process has other sockets on the same port, so that nobody else can have it; `tls_joins`: on that of TLS."""
        self._host = host
        self._asked = port, tls_port
        self._joins = joins
        self._tls_joins = tls_joins
        self._given = given
        self.port = port
        self.tls_port = tls_port
        self.pairs: list[Pair] = []
        #: How many of `pairs` are bound.
        self._bound = 0

    def __repr__(self) -> str:
        return f"Sockets({self._host!r}, port={self.port}, pairs={len(self.pairs)})"

    def __str__(self) -> str:
        if not self.pairs:
            return "off"
        tls = f", TLS port {self.tls_port}" if self.tls_port is not None else ""
        return f"{self._host} port {self.port}{tls} ({len(self.pairs)} workers)"

    def serves(self, host: str, port: int, tls_port: int | None = None) -> bool:
        """Whether these sockets are bound to what is asked, or will be."""
        return (self._host, self._asked) == (host, (port, tls_port))

    def provide(self, count: int) -> list[Pair]:
        """Bind until there are `count` pairs; all or none. Raises BindError.

        With `tls_joins` those for TLS take no connections before `bind`.
        """
        self._check_given(count)
        before = len(self.pairs)
        try:
            self._claim_tls(count)
            if count and not self.pairs:
                self.pairs.append(self._first())
                self.port = self.pairs[0].udp.getsockname()[1]
            while len(self.pairs) < count:
                self.pairs.append(self._pair(self.port))
        except BindError:
            self.keep(before)
            raise
        self._bound = len(self.pairs)
        return self.pairs[:count]

    def prepare(self, count: int) -> list[Pair]:
        """Make sockets until there are `count` pairs, without binding them.

        Those for TLS are bound, and take no connections yet. Raises BindError; then there are as many pairs as before.
        """
        self._check_given(count)
        before = len(self.pairs)
        self._claim_tls(count)
        try:
            while len(self.pairs) < count:
                tls = self._tls()
                udp, tcp = self._taken() or (_open(self._host, kind, shared=True) for kind in _KINDS)
                self.pairs.append(Pair(udp, tcp, tls))
        except BindError:
            self.keep(before)
            raise
        return self.pairs[:count]

    def bind(self) -> None:
        """Bind what was prepared: queries come from now on. Raises BindError; what could be bound is bound then."""
        for pair in self.pairs[self._bound :]:
            if not self._given.udp:
                for sock, kind in zip((pair.udp, pair.tcp), _KINDS, strict=True):
                    _bind_to(sock, self._host, self.port, kind)
                pair.tcp.listen(BACKLOG)
            self._bound += 1
        for pair in self.pairs:
            if pair.tls is not None:
                pair.tls.listen(BACKLOG)

    def retire(self, count: int) -> None:
        """Let no new query come to the UDP sockets of the pairs beyond the first `count`; what waits there stays."""
        if self._given.udp:
            return  # All are read on: `_check_given`.
        for pair in self.pairs[count : self._bound]:
            # The kernel chooses among the sockets of a port those that are not connected to anybody else. Nothing is sent.
            with contextlib.suppress(OSError):
                pair.udp.connect((near(self._host), _DISCARD))

    def keep(self, count: int) -> None:
        """Close what is beyond the first `count` pairs."""
        for pair in self.pairs[count:]:
            pair.close()
        del self.pairs[count:]
        self._bound = min(self._bound, count)

    def close(self) -> None:
        """Close all."""
        self.keep(0)
        self._given.close()

    def _check_given(self, count: int) -> None:
        """Raise BindError if what is given cannot be shared out among so many workers."""
        given = self._given
        if bool(given.udp) != bool(given.tcp):
            has, lacks = ("UDP", "TCP") if given.udp else ("TCP", "UDP")
            raise BindError(
                f"the service manager hands over {has} {self._host} port {self.port} without {lacks}: DNS needs both "
                "(ListenDatagram= and ListenStream=)"
            )
        most = max(map(len, given))
        if count and most > count:
            raise BindError(
                f"the service manager hands over {most} sockets of one kind for port {self.port} to {count} workers: one that nobody "
                f"reads would lose queries; list each address once for each worker at most, or set Workers to {most}"
            )

    def _taken(self) -> list[socket.socket] | None:
        """UDP and TCP of the next pair if they are given, copies of its own; None if they are not. Raises BindError."""
        given, number = self._given, len(self.pairs)
        if not given.udp:
            return None
        return [_copy(one[number % len(one)]) for one in (given.udp, given.tcp)]

    def _first(self) -> Pair:
        # With SO_REUSEPORT a second server of the same user would share the port without a word, and
        # each would get half of the queries. Without the option the kernel tells.
        port, _ = self._asked
        if port:
            for kind in () if self._joins or self._given.udp else _KINDS:
                _bind(self._host, port, kind, shared=False).close()
            return self._pair(port)
        for _ in range(_TRIES):
            try:
                return self._pair(0)
            except BindError as error:
                cause = error.__cause__
                if not isinstance(cause, OSError) or cause.errno != errno.EADDRINUSE:
                    raise
        raise BindError(f"no port of {self._host} is free for both UDP and TCP")

    def _pair(self, port: int) -> Pair:
        udp, tcp = self._taken() or self._bound_pair(port)
        tcp.listen(BACKLOG)
        try:
            tls = self._tls()
        except BindError:
            Pair(udp, tcp).close()
            raise
        if tls is not None and not self._tls_joins:
            tls.listen(BACKLOG)
        return Pair(udp, tcp, tls)

    def _bound_pair(self, port: int) -> list[socket.socket]:
        udp = _bind(self._host, port, socket.SOCK_DGRAM, shared=True)
        try:
            return [udp, _bind(self._host, udp.getsockname()[1], socket.SOCK_STREAM, shared=True)]
        except BindError:
            udp.close()
            raise

    def _claim_tls(self, count: int) -> None:
        """Make sure, before the first socket, that nobody else has the port of TLS. Raises BindError."""
        if count and self.tls_port and not (self.pairs or self._tls_joins or self._given.tls):
            _bind(self._host, self.tls_port, socket.SOCK_STREAM, shared=False, key="TlsPort").close()

    def _tls(self) -> socket.socket | None:
        """One more socket for TLS, bound; None if that is not served."""
        if self.tls_port is None:
            return None
        if self._given.tls:
            return _copy(self._given.tls[len(self.pairs) % len(self._given.tls)])
        sock = _bind(self._host, self.tls_port, socket.SOCK_STREAM, shared=True, key="TlsPort")
        self.tls_port = sock.getsockname()[1]
        return sock


def try_out(host: str, port: int, kind: socket.SocketKind, key: str) -> None:
    """Bind a port as the first server on this machine would, and let go of it. Raises BindError, whose cause is the system's error."""
    _bind(host, port, kind, shared=False, key=key).close()


def _bind(host: str, port: int, kind: socket.SocketKind, *, shared: bool, key: str = "Port") -> socket.socket:
    sock = _open(host, kind, shared=shared)
    try:
        _bind_to(sock, host, port, kind, key)
    except BindError:
        sock.close()
        raise
    return sock


def _copy(sock: socket.socket) -> socket.socket:
    """A copy of a socket that is bound, which can be closed alone; with what `_open` sets for those that we make."""
    try:
        found = sock.dup()
    except OSError as error:
        raise BindError(f"the sockets of the service manager cannot be used: {error.strerror}") from error
    if found.type == socket.SOCK_DGRAM:
        _prepare_udp(found, found.getsockname()[0])
    return found


def _prepare_udp(sock: socket.socket, host: str) -> None:
    # As much as the system allows: a burst then waits in the kernel instead of being lost.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SOCKET_BUFFER)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BUFFER)
    if host in _WILDCARDS:
        # Not first by the worker: of datagrams that come before that the kernel would not tell where they were sent to.
        ask_for_source(sock)


def _open(host: str, kind: socket.SocketKind, *, shared: bool) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        sock = socket.socket(family, kind | socket.SOCK_NONBLOCK)
    except OSError as error:
        raise BindError(f"cannot listen on {host}: {error.strerror}; {_advice(error)}") from error
    if kind == socket.SOCK_STREAM:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    else:
        _prepare_udp(sock, host)
    if shared:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    if family == socket.AF_INET6:
        # As in Go, the IPv6 wildcard means every address of both families.
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if host == "::" else 1)
    return sock


def _bind_to(sock: socket.socket, host: str, port: int, kind: socket.SocketKind, key: str = "Port") -> None:
    try:
        sock.bind((host, port))
    except OSError as error:
        protocol = "UDP" if kind == socket.SOCK_DGRAM else "TCP"
        raise BindError(
            f"cannot listen on {protocol} {host} port {port}: {error.strerror}; {_advice(error, key)}"
        ) from error


def near(host: str) -> str:
    """An address that is reached from `host` without leaving the machine."""
    return _WILDCARDS.get(host, host)


def _advice(error: OSError, key: str = "Port") -> str:
    match error.errno:
        case errno.EADDRINUSE:
            return f"another program has it (`ss -lntup` shows which): stop that one, or set another {key} or Listener"
        case errno.EACCES | errno.EPERM:
            return "ports below 1024 need root or the capability CAP_NET_BIND_SERVICE (see docs/install.md)"
        case errno.EADDRNOTAVAIL:
            return "Listener must be an address of this machine, 0.0.0.0 or ::"
        case _:
            return f"check Listener and {key}"


def own_networks() -> tuple[Prefix, ...]:
    """The networks that this machine's interfaces are in, each once. Raises OSError."""
    found = set()
    for adapter in ifaddr.get_adapters():
        for each in adapter.ips:
            packed = rd.pack_address(each.ip if isinstance(each.ip, str) else each.ip[0])
            # A length of 0 says nothing of where the interface is.
            if packed is not None and 0 < each.network_prefix <= 8 * len(packed):
                found.add(prefix_of(packed, each.network_prefix))
    return tuple(sorted(found))


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
