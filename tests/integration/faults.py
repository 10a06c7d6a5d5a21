"""What tests of faults share: somebody who asks all the time, and what a process takes."""

import os
import socket
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Self

from tests.integration import client, wire
from tests.integration.program import until

Endpoint = tuple[str, int]


class Asking:
    """Asks one question over UDP again and again, each time from another port, and counts what comes: rcodes, and "silence".

    Nothing is asked twice: what is lost is seen.
    """

    def __init__(self, endpoint: Endpoint, name: str = "web.marathon.mesos.", *, patience: float = 10.0) -> None:
        self.came: Counter[str] = Counter()
        self._endpoint, self._query, self._patience = endpoint, wire.query(7, name, "A"), patience
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _work(self) -> None:
        while not self._over.wait(0.005):
            with client.connected(self._endpoint, socket.SOCK_DGRAM, self._patience) as sock:
                sock.send(self._query)
                try:
                    self.came[str(wire.parse(sock.recv(65535))["rcode"])] += 1
                except TimeoutError:
                    self.came["silence"] += 1

    def some_more(self, count: int = 20) -> Counter[str]:
        """What has come until now, so many questions later."""
        before = self.came.total()
        until(lambda: self.came.total() >= before + count, "nobody asks", 60)
        return self.came


def has_address(endpoint: Endpoint, name: str = "web.marathon.mesos.") -> bool:
    """Whether a name is answered with an address."""
    return bool(client.ask(endpoint, name, "A").get("answer"))


def resident(pid: int) -> int:
    """Octets of memory that a process occupies."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def is_closed(sock: socket.socket) -> bool:
    """Whether the peer has closed a connection, whatever else is still to be read from it."""
    sock.setblocking(False)
    try:
        while sock.recv(65536):
            pass
    except BlockingIOError:
        return False
    except OSError:
        pass
    return True


def eventually_closed(socks: list[socket.socket], seconds: float = 60.0) -> None:
    """Wait until all connections have been closed by their peer."""
    end = time.monotonic() + seconds
    while not all(is_closed(sock) for sock in socks):
        assert time.monotonic() < end, f"open after {seconds} s: {sum(not is_closed(sock) for sock in socks)}"
        time.sleep(0.1)
