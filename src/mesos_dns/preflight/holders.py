"""Which process holds a port, as /proc tells: of sockets to all users, of processes only to root and their own user. Edge: Linux."""

import re
import socket
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

_PROC: Final = Path("/proc")
#: `st` of a TCP socket that listens (include/net/tcp_states.h).
_LISTENING: Final = "0A"
_SOCKET: Final = re.compile(r"socket:\[(\d+)\]")
#: Lines of a table in /proc/net that are read: a machine with more sockets than these has other worries, and is told "another program".
MAX_SOCKETS: Final = 200_000
#: Processes that are looked through.
MAX_PROCESSES: Final = 50_000


class Holder(NamedTuple):
    """A process: its id, and what it calls itself."""

    pid: int
    name: str


def holders(kind: socket.SocketKind, port: int) -> list[Holder]:
    """The processes that have a socket of this kind on `port`, whatever the address, in the order of their ids; as far as we may know."""
    inodes: set[str] = set()
    name = "udp" if kind == socket.SOCK_DGRAM else "tcp"
    for table in (name, f"{name}6"):
        try:
            with (_PROC / "net" / table).open(encoding="ascii", errors="replace") as lines:
                inodes |= set(inodes_of(lines, port, listening=kind == socket.SOCK_STREAM))
        except OSError:
            continue  # No IPv6 here, or no /proc.
    return sorted(_with(inodes)) if inodes else []


def inodes_of(lines: Iterable[str], port: int, *, listening: bool) -> Iterator[str]:
    """The inodes of the sockets on `port` in a table as /proc/net/tcp and its like have it. Pure."""
    for _, line in zip(range(MAX_SOCKETS), lines, strict=False):
        fields = line.split()
        if len(fields) < 10 or not fields[1].endswith(f":{port:04X}"):
            continue
        if fields[9] != "0" and (not listening or fields[3] == _LISTENING):
            yield fields[9]


def _with(inodes: Collection[str]) -> Iterator[Holder]:
    processes = (folder for folder in _PROC.iterdir() if folder.name.isdigit())
    for _, folder in zip(range(MAX_PROCESSES), processes, strict=False):
        try:
            if any(_inode(each) in inodes for each in (folder / "fd").iterdir()):
                yield Holder(int(folder.name), (folder / "comm").read_text(errors="replace").strip())
        except OSError:
            continue  # It has ended, or is somebody else's.


def _inode(path: Path) -> str:
    try:
        found = _SOCKET.fullmatch(str(path.readlink()))
    except OSError:
        return ""
    return found[1] if found else ""
