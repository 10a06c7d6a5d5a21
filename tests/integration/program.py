"""The real program for tests: started on free ports of 127.0.0.1, watched through its log and /readyz."""

import http.client
import importlib.util
import itertools
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self, TypeVar

import pytest

Endpoint = tuple[str, int]
T = TypeVar("T")
#: Seconds for anything that should take one: this machine may be busy.
PATIENCE = 40.0


def need(binary: str) -> str:
    """Path of a program that a test needs; the test is skipped if it is not installed."""
    found = shutil.which(binary, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if found is None:
        pytest.skip(f"{binary} is not installed")
    return found


def free_port(low: int = 15000, high: int = 32000) -> int:
    """A port of 127.0.0.1 from `low` to `high` that is free for UDP and TCP just now.

    By default below the ports that the kernel gives to clients (32768 and up): a client that connects to such a port
    before anybody listens there may get it as its own and talk to itself. And of those that no other process of these
    tests takes, and not soon again: it is used a little later.
    """
    for port in itertools.islice(_ports(low, high), 200):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp, socket.socket() as tcp:
            try:
                udp.bind(("127.0.0.1", port))
                tcp.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise RuntimeError("no port of 127.0.0.1 is free for UDP and TCP")


@cache
def _ports(low: int, high: int) -> Iterator[int]:
    """The ports of this process of the tests, one after the other in an order of chance: each comes once in a round.

    Drawn at random one by one, two servers of one test that are not yet bound would now and then get the same.
    """
    ours = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 16
    ports = range(low + ours, high, 16)
    return itertools.cycle(random.sample(ports, len(ports)))


def environment() -> dict[str, str]:
    """The environment in which `python -m mesos_dns` finds the package that the tests import."""
    spec = importlib.util.find_spec("mesos_dns")
    if spec is None or spec.origin is None:
        raise RuntimeError("mesos_dns cannot be imported: install the package or set PYTHONPATH=src")
    kept = {key: value for key, value in os.environ.items() if not key.startswith("MESOS_DNS_")}
    return {**kept, "PYTHONPATH": str(Path(spec.origin).parent.parent)}


def command(*args: str) -> list[str]:
    return [sys.executable, "-m", "mesos_dns", *args]


def run(
    *args: str, timeout: float = PATIENCE, cwd: Path | None = None, text: str = "", under: Sequence[str] = ()
) -> subprocess.CompletedProcess[str]:
    """One command of the program to its end; `under` is a command that starts it in its own place (`prlimit …`)."""
    return subprocess.run(
        [*under, *command(*args)],
        env=environment(),
        cwd=cwd,
        input=text,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def until(what: Callable[[], T], why: str | Callable[[], str], seconds: float = PATIENCE) -> T:
    """Ask `what()` until it is true; what it said. Fails with `why` (called only then)."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = what()
        if found:
            return found
        time.sleep(0.02)
    pytest.fail(f"{why if isinstance(why, str) else why()} (waited {seconds:g} s)")


class Program:
    """`mesos-dns run` with a configuration of its own in `folder`. A context manager; kills on exit.

    `under` is a command that starts the program in its own place (`prlimit …`), `variables` are added to its environment. `program` is a whole
    command in place of the program that the tests import; it sees nothing of this environment but `variables`.
    """

    def __init__(
        self,
        folder: Path,
        *,
        masters: Sequence[Endpoint],
        under: Sequence[str] = (),
        variables: Mapping[str, str] = MappingProxyType({}),
        program: Sequence[str] = (),
        **keys: Any,
    ) -> None:
        self.under, self.variables, self.program = under, variables, program
        self.dns_port, self.http_port = free_port(), free_port()
        self.config_file = folder / "config.json"
        self.log_file = folder / "program.log"
        self.config = {
            "masters": [f"{host}:{port}" for host, port in masters],
            "refreshSeconds": 1,
            "stateTimeoutSeconds": 20,
            "timeout": 2,
            "port": self.dns_port,
            "httpPort": self.http_port,
            "listener": "127.0.0.1",
            "httpListener": "127.0.0.1",
            "externalOn": "Resolvers" in keys,
            **keys,
        }
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.write_config(self.config)
        program = self.program or command("run", "--config", str(self.config_file), "-v=1")
        with self.log_file.open("wb") as log:
            self.process = subprocess.Popen(
                [*self.under, *program],
                env={**({} if self.program else environment()), **self.variables},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        return self

    def __exit__(self, *_: object) -> None:
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def write_config(self, config: dict[str, Any] | str) -> None:
        self.config_file.write_text(config if isinstance(config, str) else json.dumps(config))

    @property
    def pid(self) -> int:
        assert self.process
        return self.process.pid

    @property
    def dns(self) -> Endpoint:
        return "127.0.0.1", self.dns_port

    def log(self) -> str:
        return self.log_file.read_text(errors="backslashreplace")

    def get(self, path: str) -> tuple[int, str]:
        """Status and body; status 0 while nothing listens."""
        connection = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=PATIENCE)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()
        except (OSError, http.client.HTTPException) as error:
            return 0, f"{type(error).__name__}: {error}"
        finally:
            connection.close()

    def wait_ready(self) -> None:
        def ready() -> bool:
            assert self.process
            assert self.process.poll() is None, f"ended with {self.process.returncode}:\n{self.log()}"
            return self.get("/readyz")[0] == 200

        until(ready, lambda: f"not ready: {self.get('/readyz')}\n{self.log()}")

    def in_step(self) -> bool:
        """Whether every worker serves what control has."""
        status = json.loads(self.get("/v1/status")[1])
        newest = {zone["zone"]: zone["serial"] for zone in status["zones"]}
        return all(worker["serials"] == newest for worker in status["workers"])

    def end(self, number: int = signal.SIGTERM) -> int:
        """Send a signal, wait; the exit status."""
        assert self.process
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)

    def workers(self) -> list[int]:
        """Process ids of the children of the control process."""
        children = Path(f"/proc/{self.pid}/task").glob("*/children")
        return sorted(int(text) for path in children for text in path.read_text().split() if is_worker(int(text)))


def is_worker(pid: int) -> bool:
    """Whether a child is alive and has become a worker."""
    try:
        command_line = Path(f"/proc/{pid}/cmdline").read_bytes()
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return b"mesos_dns.workers.worker" in command_line and state != "Z"


def sample_state(leader: Endpoint, **tasks: str) -> bytes:
    """A cluster of two agents with `web` (two tasks, ports 31000 and 31001), and `tasks` (name -> address)."""
    agents = [
        {"id": f"cluster-S{n}", "hostname": f"agent{n}", "pid": f"slave(1)@10.1.0.{n}:5051", "active": True}
        for n in (1, 2)
    ]
    found = [_task("web", n, f"10.2.0.{n}", f"[3100{n - 1}-3100{n - 1}]") for n in (1, 2)]
    found += [_task(name, 1, address, "[32000-32000]") for name, address in tasks.items()]
    document = {
        "version": "1.11.0",
        "id": "master-1",
        "flags": {"port": str(leader[1])},
        "pid": f"master@{leader[0]}:{leader[1]}",
        "leader": f"master@{leader[0]}:{leader[1]}",
        "slaves": agents,
        "frameworks": [
            {"id": "fw-1", "name": "marathon", "pid": "scheduler@10.3.0.1:8080", "active": True, "tasks": found}
        ],
    }
    return json.dumps(document).encode()


def _task(name: str, agent: int, address: str, ports: str) -> dict[str, Any]:
    infos = [{"ip_addresses": [{"ip_address": address}, {"ip_address": f"fd00::{agent}"}]}]
    return {
        "id": f"{name}.{agent}",
        "name": name,
        "framework_id": "fw-1",
        "slave_id": f"cluster-S{agent}",
        "state": "TASK_RUNNING",
        "resources": {"cpus": 0.1, "ports": ports},
        "statuses": [{"state": "TASK_RUNNING", "timestamp": 1.0, "container_status": {"network_infos": infos}}],
    }
