"""What happens to workers under load: killed, stopped, out of memory. The others go on, and what is lost is bounded."""

import os
import resource
import selectors
import signal
import socket
import struct
import threading
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Self

import pytest
from tests.integration import client, wire
from tests.integration.faults import Asking, has_address
from tests.integration.masters import Master
from tests.integration.program import Program, sample_state, until

from mesos_dns.serve.mmsg import BATCH

WEB = wire.query(0, "web.marathon.mesos.", "A")
#: Ports that the load comes from: the kernel spreads them over both workers.
PORTS = 32


@pytest.fixture(scope="module")
def master() -> Generator[Master]:
    serving = Master(("127.0.0.1", 0), b"")
    serving.body = sample_state(serving.endpoint)
    yield serving
    serving.close()


@pytest.fixture(scope="module")
def program(master: Master, tmp_path_factory: pytest.TempPathFactory) -> Generator[Program]:
    folder = tmp_path_factory.mktemp("workers")
    with Program(folder, masters=[master.endpoint], workers=2, stateTimeoutSeconds=60) as running:
        running.wait_ready()
        yield running
        assert running.end() == 0


class Load:
    """A thousand questions a second at most, none of them twice; `unanswered` are still owed."""

    def __init__(self, program: Program) -> None:
        self.asked = self.answered = 0
        self._socks = [client.connected(program.dns, socket.SOCK_DGRAM) for _ in range(PORTS)]
        self._selector = selectors.DefaultSelector()
        for sock in self._socks:
            sock.setblocking(False)
            self._selector.register(sock, selectors.EVENT_READ)
        self._asks, self._over = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)

    def __enter__(self) -> Self:
        self._asks.set()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        for sock in self._socks:
            sock.close()
        self._selector.close()

    @property
    def unanswered(self) -> int:
        return self.asked - self.answered

    def rest(self) -> None:
        """Ask no more, and take what comes."""
        self._asks.clear()

    def _work(self) -> None:
        while not self._over.wait(0.03):
            for sock in self._socks if self._asks.is_set() else ():
                sock.send(struct.pack(">H", self.asked & 0xFFFF) + WEB[2:])
                self.asked += 1
            for key, _ in self._selector.select(0):
                while True:
                    try:
                        assert key.fileobj.recv(65535)[3] & 15 == 0  # type: ignore[union-attr] # sockets, all of them
                    except BlockingIOError:
                        break
                    self.answered += 1


def replaced(program: Program, victim: int) -> Callable[[], bool]:
    return lambda: victim not in program.workers() and len(program.workers()) == 2 and program.get("/readyz")[0] == 200


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped"])
def test_a_worker_is_lost_under_load(program: Program, number: signal.Signals) -> None:
    """What waits in its socket is answered by the next one, later; lost is at most what it had in its hands."""
    victim = program.workers()[0]
    with Load(program) as load:
        until(lambda: load.answered > 10 * PORTS, lambda: f"no answers: {program.log()}")
        os.kill(victim, number)
        until(replaced(program, victim), lambda: f"none came: {program.log()}", 60)
        asked = load.asked
        until(lambda: load.asked > asked + 10 * PORTS, "nobody asks")
        load.rest()
        answered = -1

        def settled() -> bool:
            nonlocal answered
            before, answered = answered, load.answered
            return load.unanswered == 0 or (before == answered and load.unanswered <= BATCH)

        until(settled, lambda: f"{load.unanswered} of {load.asked} were never answered: {program.log()}", 60)


# --- memory ----------------------------------------------------------------------------------------

#: A change that needs more than that: 1,500 tasks have 15,000 names.
ROOM = 512 * 1024
MANY_TASKS = 1500


def memory_group() -> Path | None:
    """A new control group of this process's own (cgroups(7), either version) for `ROOM`; None if this system lets us have none."""
    lines = Path("/proc/self/cgroup").read_text().splitlines()
    places = {controllers: path.lstrip("/") for _, controllers, path in (line.split(":", 2) for line in lines)}
    for root, controllers, limit, swap in (
        (Path("/sys/fs/cgroup/memory"), "memory", "memory.limit_in_bytes", "memory.memsw.limit_in_bytes"),
        (Path("/sys/fs/cgroup"), "", "memory.max", "memory.swap.max"),
    ):
        group = root / places.get(controllers, "nowhere") / f"mesos-dns-test-{os.getpid()}"
        try:
            group.mkdir()
        except OSError:
            continue
        try:
            (group / limit).write_text(str(ROOM))
            if (group / swap).exists():
                (group / swap).write_text("0" if swap.endswith("max") else str(ROOM))
        except OSError:
            group.rmdir()
            continue
        return group
    return None


def confine(pid: int) -> Path | None:
    """Let a process have hardly more memory than it has."""
    group = memory_group()
    if group is not None:
        (group / "cgroup.procs").write_text(str(pid))
    return group


def limit_addresses(pid: int) -> None:
    size = int(Path(f"/proc/{pid}/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.prlimit(pid, resource.RLIMIT_AS, (size + ROOM, size + ROOM))


def kernel_kills() -> bool:
    group = memory_group()
    if group is not None:
        group.rmdir()
    return group is not None


@pytest.mark.parametrize("way", ["ulimit", *(["cgroup"] if kernel_kills() else [])])
def test_a_worker_gets_no_memory(program: Program, master: Master, way: str) -> None:
    """It gives up, or is killed by the kernel: another takes its place, and nobody waits for an answer in vain."""
    victim = program.workers()[0]
    group = confine(victim) if way == "cgroup" else None
    if group is None:
        limit_addresses(victim)
    said = len(program.log())
    tasks = {f"{way}{number}": f"10.8.{number // 250}.{number % 250 + 1}" for number in range(MANY_TASKS)}
    try:
        with Asking(program.dns, patience=60) as asking:
            master.body = sample_state(master.endpoint, **tasks)
            until(replaced(program, victim), lambda: f"none came: {program.log()}", 60)
            until(
                lambda: all(has_address(program.dns, f"{way}7.marathon.mesos.") for _ in range(10)),
                lambda: f"the change never came: {program.log()}",
            )
            assert asking.some_more().keys() == {"NOERROR"}
    finally:
        if group is not None:
            if victim in program.workers():
                os.kill(victim, signal.SIGKILL)
            until(lambda: not (group / "cgroup.procs").read_text(), "the victim is still there")
            group.rmdir()
    how = "killed by SIGKILL" if way == "cgroup" else "exit code 71"
    assert f"ended unasked ({how})" in program.log()[said:]
