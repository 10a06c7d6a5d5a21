"""Sockets that the service manager has opened for this process: sd_listen_fds(3), as of a `.socket` unit of systemd. Edge.

They take the place of those that control would bind, by what they are: each must be one that the configuration wants, of this kind, address and port.
They stay open in the service manager when this process ends, and what comes meanwhile waits in them.
"""

import contextlib
import os
import socket
from collections.abc import MutableMapping, Sequence
from typing import Final

from mesos_dns.assembly import Place
from mesos_dns.dns.rdata import pack_address
from mesos_dns.quoting import quoted
from mesos_dns.sockets import BindError

#: The first descriptor that is handed over (SD_LISTEN_FDS_START).
_FIRST: Final = 3
#: Descriptors that may be handed over: three for each of the most workers, and HTTP; more is a mistake of a unit.
MAX_INHERITED: Final = 256
_VARIABLES: Final = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")
_FAMILIES: Final = (socket.AF_INET, socket.AF_INET6)
_KINDS: Final = (socket.SOCK_DGRAM, socket.SOCK_STREAM)


class Inherited:
    """The sockets that were handed over, for as long as the process lives: whoever takes some gets copies of its own."""

    def __init__(self, sockets: Sequence[tuple[socket.socket, str]] = ()) -> None:
        """`sockets`: each with its name for people, "" without one."""
        self._sockets = tuple(sockets)

    def __repr__(self) -> str:
        return f"Inherited({len(self._sockets)})"

    def __len__(self) -> int:
        return len(self._sockets)

    def check(self, wanted: Sequence[Place]) -> None:
        """Raise BindError unless each of them is wanted: what nobody reads would keep its clients waiting."""
        for sock, name in self._sockets:
            if not any(_is(sock, place) for place in wanted):
                raise BindError(
                    f"the service manager hands over {_text(sock)}{f' ({quoted(name)})' if name else ''}, which the configuration does not want: "
                    f"expected {', '.join(f'{place} ({place.key})' for place in wanted) or 'nothing'}; "
                    "let ListenDatagram= and ListenStream= of the socket unit name the address and port of the configuration"
                )

    def copies(self, place: Place) -> list[socket.socket]:
        """Those for this place, to be closed by who gets them. Raises BindError if the system has no more descriptors."""
        try:
            return [sock.dup() for sock, _ in self._sockets if _is(sock, place)]
        except OSError as error:
            raise BindError(f"the sockets of the service manager cannot be used: {error.strerror}") from error

    def close(self) -> None:
        """Let go of them; those of the service manager stay open."""
        for sock, _ in self._sockets:
            sock.close()


def inherited(environ: MutableMapping[str, str], pid: int) -> Inherited:
    """What was handed over to the process `pid`, which is this one. Raises BindError if it is of no use.

    The variables are taken out of `environ`: they are for nobody that is started from here.
    """
    whose, count, names = (environ.pop(name, "") for name in _VARIABLES)
    if whose != str(pid):
        # For another process, of which we got the environment; or there are none.
        return Inherited()
    if not (count.isascii() and count.isdigit() and len(count) <= 9) or int(count) > MAX_INHERITED:
        raise BindError(
            f"LISTEN_FDS of the service manager is {quoted(count)}; expected a number from 0 to {MAX_INHERITED}"
        )
    titles = names.split(":") if names else []
    titles += [""] * (int(count) - len(titles))
    with contextlib.ExitStack() as stack:
        found = [(stack.enter_context(_opened(_FIRST + number)), titles[number]) for number in range(int(count))]
        for sock, _ in found:
            _judge(sock)
            sock.setblocking(False)
        stack.pop_all()
    return Inherited(found)


def _opened(descriptor: int) -> socket.socket:
    try:
        os.set_inheritable(descriptor, False)
        return socket.socket(fileno=descriptor)
    except OSError as error:
        raise BindError(
            f"descriptor {descriptor}, which the service manager hands over, is no socket: {error.strerror}; "
            "use ListenDatagram= and ListenStream= only, with Accept=no"
        ) from error


def _judge(sock: socket.socket) -> None:
    """Raise BindError if it is none that can be served on."""
    stream = sock.type == socket.SOCK_STREAM
    listens = bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
    if sock.family not in _FAMILIES or sock.type not in _KINDS or stream is not listens:
        raise BindError(
            f"the service manager hands over {_text(sock)}; expected UDP sockets (ListenDatagram=), and TCP sockets "
            "that listen (ListenStream=, Accept=no)"
        )
    if sock.getsockname()[0] == "::" and sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY):
        raise BindError(
            f"the service manager hands over {_text(sock)} for IPv6 alone, but :: means IPv4, too: say BindIPv6Only=both"
        )


def _is(sock: socket.socket, place: Place) -> bool:
    host, port = sock.getsockname()[:2]
    # However the configuration spells the address.
    return (sock.type, pack_address(host), port) == (place.kind, pack_address(place.host), place.port)


def _text(sock: socket.socket) -> str:
    if sock.family not in _FAMILIES:
        return f"a socket of the family {_name(sock.family)}"
    if sock.type not in _KINDS:
        return f"a socket of the type {_name(sock.type)}"
    return str(Place("", "", sock.type, *sock.getsockname()[:2]))


def _name(constant: int) -> str:
    return getattr(constant, "name", str(constant))
