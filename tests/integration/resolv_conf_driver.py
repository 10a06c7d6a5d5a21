"""Runs inside a namespace: the real program, which asks whom /etc/resolv.conf names, and servers at port 53 that it names.

    python -m tests.integration.resolv_conf_driver FOLDER

What is wrong ends it with an exception.
"""

import json
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.integration.faulty import Bed, Held, NameServer, bed
from tests.integration.program import until

FILE = Path("/etc/resolv.conf")


def at(host: str, address: str) -> NameServer:
    """A server at `host`, which answers with this address."""
    server = NameServer(lambda asked: asked.send(asked.reply(address)))
    server.endpoint = (host, 53)
    return server


class Asking:
    """Asks names of the zone and others, new ones and one that is known, until it is told to stop."""

    def __init__(self, running: Bed) -> None:
        self._running = running
        self._over = threading.Event()
        self.asked = 0
        self.failed: list[object] = []

    def _go_on(self) -> None:
        while not self._over.wait(0.01):
            self.asked += 1
            names = [f"{self.asked}.example.com.", "known.example.com.", "web.marathon.mesos."]
            for name, reply in zip(names, self._running.ask_all(names), strict=True):
                if reply["rcode"] != "NOERROR" or not reply["answer"]:
                    self.failed.append((name, reply))

    @contextmanager
    def going_on(self) -> Iterator[None]:
        thread = threading.Thread(target=self._go_on)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()
        assert self.asked > 20
        assert not self.failed, self.failed[:3]


def follow(running: Bed, other: NameServer) -> None:
    program = running.program
    count = iter(range(10**6))

    def address() -> str:
        """What a name that nobody asked for before resolves to."""
        return str(running.ask(f"new{next(count)}.example.com.")["answer"][0].split()[-1])

    def write(text: str) -> None:
        FILE.write_text(text)

    def told(text: str, times: int = 1) -> None:
        until(lambda: program.log().count(text) >= times, program.log)

    assert address() == "192.0.2.1"
    with Asking(running).going_on():
        write("nameserver 127.0")
        write("search example.org\nnameserver 127.0.0.54\n")
        until(lambda: address() == "192.0.2.2", program.log)
        # What the former one said is forgotten.
        assert running.ask("known.example.com.")["answer"][0].endswith("192.0.2.2")
        assert json.loads(program.get("/v1/config")[1])["Resolvers"] == ["127.0.0.54"]
        write("")
        told("names no server that can be asked; the resolvers known before stay (127.0.0.54)")
        write("nameserver 127.0.0.1\n")  # an address of this machine
        write("nameserver 127.0.0.1\nnameserver 127.0.0.54\n")
        told("names servers again: 127.0.0.54")
        assert address() == "192.0.2.2"
        worker = program.workers()[0]
        os.kill(worker, signal.SIGKILL)
        until(lambda: worker not in program.workers() and len(program.workers()) == 2, program.log)
        program.wait_ready()
        assert {address() for _ in range(8)} == {"192.0.2.2"}
    assert program.log().count("can be asked") == 1
    held = other.behave = Held()
    with ExitStack() as stack:
        replies: list[str] = []
        for _ in range(4):
            thread = threading.Thread(target=lambda: replies.append(address()))
            thread.start()
            stack.callback(thread.join)
        until(lambda: len(held.asked) == 4, program.log)
        write("nameserver 127.0.0.53\n")
    # Of the first one, though the other was asked, and is silent.
    assert replies == ["192.0.2.1"] * 4


def main(folder: Path) -> None:
    FILE.write_text("nameserver 127.0.0.53\n")
    one, other = at("127.0.0.53", "192.0.2.1"), at("127.0.0.54", "192.0.2.2")
    with ExitStack() as stack:
        for server in (one, other):
            server.start()
            stack.callback(server.stop)
        keys = {"Resolvers": [], "Workers": 2, "Timeout": 30}
        running = stack.enter_context(bed(folder, {}, **keys))
        follow(running, other)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
