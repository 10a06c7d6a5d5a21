"""Starts a program as systemd does for a `.socket` unit: with sockets from descriptor 3 on, and LISTEN_FDS. In the place of this process.

python -m tests.integration.handing_over udp:127.0.0.1:53 tcp:127.0.0.1:53 … -- COMMAND …
"""

import os
import socket
import sys
from collections.abc import Sequence

KINDS = {"udp": socket.SOCK_DGRAM, "tcp": socket.SOCK_STREAM}


def opened(text: str) -> socket.socket:
    """A socket as systemd makes it with ReusePort=yes."""
    kind, host, port = text.split(":")
    sock = socket.socket(socket.AF_INET, KINDS[kind])
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, int(kind == "tcp"))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    sock.bind((host, int(port)))
    if kind == "tcp":
        sock.listen()
    return sock


def command(*sockets: str) -> list[str]:
    """What starts a program so, if it is put before its command."""
    return [sys.executable, "-m", "tests.integration.handing_over", *sockets, "--"]


def main(arguments: Sequence[str]) -> None:
    end = arguments.index("--")
    sockets = [opened(text) for text in arguments[:end]]
    # Out of the way first: one of them may have the place of another.
    for number, sock in enumerate(sockets):
        os.dup2(sock.fileno(), 200 + number)
    for number in range(len(sockets)):
        os.dup2(200 + number, 3 + number)
    os.closerange(3 + len(sockets), 300)
    environment = {**os.environ, "LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(len(sockets))}
    os.execvpe(arguments[end + 1], arguments[end + 1 :], environment)


if __name__ == "__main__":
    main(sys.argv[1:])
