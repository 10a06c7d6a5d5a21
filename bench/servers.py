"""Starts and stops the programs that are measured, each as its operator would run it on one core.

Like for like: every server gets one process or thread that answers, the same zone, rotation of
answers, no rate limit and no log of queries. NSD runs with `minimal-responses`, so its SRV answers
lack the additional addresses that Knot and Mesos-DNS send: a difference in NSD's favour.
"""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from bench import processes, wire
from bench.machine import find

ADDRESS: Final = "127.0.0.1"
ROOT: Final = Path(__file__).resolve().parent.parent
#: Seconds that a server of one's own gets to end after SIGTERM.
_PATIENCE: Final = 10.0


class UnavailableError(Exception):
    """What cannot be measured here, with the reason: the bench goes on without it."""


@dataclass(frozen=True, slots=True)
class Program:
    """A checkout of this project, whose Mesos-DNS is measured. `name` is its column in the tables."""

    name: str
    root: Path

    @property
    def environment(self) -> dict[str, str]:
        """The environment in which this interpreter imports the modules of that checkout, and its bench."""
        paths = [str(self.root / "src"), str(self.root), os.environ.get("PYTHONPATH", "")]
        return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}

    def titled(self, text: str) -> str:
        """A row or column of a table that has no column for each server."""
        return text if self == OURS else f"{text}, {self.name}"


OURS: Final = Program("Mesos-DNS", ROOT)
#: What another checkout is called in the tables.
OTHER: Final = "before"


def other_checkout(root: Path) -> Program:
    """The program of another checkout; UnavailableError when this interpreter does not run that one.

    Without the check a wrong path would compare this checkout with itself, and nobody would notice.
    """
    program = Program(OTHER, root.resolve())
    command = [sys.executable, "-c", "import mesos_dns; print(mesos_dns.__file__)"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=program.environment, cwd="/")
    found = done.stdout.strip()
    if not found or not Path(found).resolve().is_relative_to(program.root / "src"):
        reason = f"the program that runs is {found}" if found else done.stderr.strip()[-300:]
        raise UnavailableError(f"{root}: expected a checkout of this project, with src/mesos_dns in it; {reason}")
    return program


@dataclass(slots=True)
class Server:
    """A running server. `name` is its column in the tables."""

    name: str
    port: int
    process: subprocess.Popen[bytes]
    log: Path
    #: Base address of its HTTP interface; empty without one.
    http: str = ""
    #: When the program was executed (monotonic seconds).
    started: float = field(default_factory=time.monotonic)

    def pids(self) -> list[int]:
        return processes.tree(self.process.pid)

    def workers(self) -> list[int]:
        """The processes below the first one; of Mesos-DNS those that answer."""
        return self.pids()[1:]

    def cpu_seconds(self) -> float:
        """User and system time of all processes, those that have ended too, in ticks of 10 ms."""
        return processes.cpu_seconds(self.pids())

    def run_seconds(self) -> float:
        """The same of the threads that run now, to the nanosecond: for runs that cost few ticks."""
        return sum(processes.run_seconds(pid) for pid in self.pids())

    def failure(self, what: str) -> UnavailableError:
        log = self.log.read_text(errors="replace")[-1500:]
        return UnavailableError(f"{self.name}: {what}; it logged: {log.strip() or '(nothing)'}")


@dataclass(frozen=True, slots=True)
class Tls:
    """Where DNS over TLS is served, with which certificate."""

    port: int
    certificate: Path
    key: Path

    @property
    def keys(self) -> dict[str, Any]:
        """The same as keys of Mesos-DNS."""
        return {
            "TlsOn": True,
            "TlsPort": self.port,
            "TlsCertFile": str(self.certificate),
            "TlsKeyFile": str(self.key),
        }


#: Starts a server and returns it when it answers.
Start = Callable[[], Server]


def free_port() -> int:
    """A port that is free for UDP and TCP now. Nothing holds it; the server binds it at once."""
    while True:
        with socket.socket() as stream, socket.socket(type=socket.SOCK_DGRAM) as datagram:
            stream.bind((ADDRESS, 0))
            port = int(stream.getsockname()[1])
            with suppress(OSError):
                datagram.bind((ADDRESS, port))
                return port


def ask(port: int, question: bytes, timeout: float = 0.5) -> bytes | None:
    """One query over UDP; None without an answer in time."""
    with socket.socket(type=socket.SOCK_DGRAM) as datagram:
        datagram.settimeout(timeout)
        try:
            datagram.connect((ADDRESS, port))
            datagram.send(question)
            return datagram.recv(65535)
        except OSError:  # refused, or no answer in time
            return None


def answered(port: int, name: str, rrtype: int = wire.A, timeout: float = 0.5) -> bool:
    """True when the server gives a record for this question."""
    reply = ask(port, wire.query(name, rrtype), timeout)
    return reply is not None and wire.code(reply) == 0 and wire.answers(reply) > 0


@contextmanager
def launched(
    name: str, command: Sequence[str], folder: Path, port: int, http: str = "", *, program: Program = OURS
) -> Iterator[Server]:
    """The program while the block lasts; it ends with the block, whatever happens in it."""
    log = folder / f"{name.replace(' ', '-').lower()}-{port}.log"
    with log.open("wb") as output:
        started = time.monotonic()
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=program.environment,
            cwd=folder,
        )
    server = Server(name, port, process, log, http, started)
    try:
        yield server
    finally:
        _stop(server)


def _stop(server: Server) -> None:
    descendants = server.workers()
    server.process.terminate()
    try:
        server.process.wait(_PATIENCE)
    except subprocess.TimeoutExpired:
        server.process.kill()
        server.process.wait()
        for pid in descendants:  # an orphan would answer for the next server, and eat its core
            with suppress(ProcessLookupError):
                os.kill(pid, 9)


def wait_for_answer(server: Server, name: str, rrtype: int = wire.A, *, timeout: float = 60.0) -> float:
    """Seconds from execution to the first record; UnavailableError when the server ends or never answers."""
    while time.monotonic() < server.started + timeout:
        if answered(server.port, name, rrtype, timeout=0.2):
            return time.monotonic() - server.started
        if server.process.poll() is not None:
            raise server.failure(f"it ended with {server.process.returncode}")
        time.sleep(0.005)
    raise server.failure(f"no record for {name} within {timeout:.0f} s")


def _required(program: str) -> str:
    path = find(program)
    if path is None:
        raise UnavailableError(
            f"{program} is not installed (Debian package {program.rstrip('d') if program == 'knotd' else program})"
        )
    return path


def _on(cores: set[int]) -> list[str]:
    return ["taskset", "-c", ",".join(map(str, sorted(cores)))]


@contextmanager
def nsd(
    zones: dict[str, Path], folder: Path, cores: set[int], servers: int = 1, tls: Tls | None = None
) -> Iterator[Server]:
    """NSD with one server process; its two others (transfers, reload) sleep."""
    port = free_port()
    own = folder / f"nsd-{port}"
    own.mkdir()
    config = own / "nsd.conf"
    text = f"""
server:
  ip-address: {ADDRESS}@{port}
  server-count: {servers}
  username: ""
  chroot: ""
  database: ""
  zonesdir: "{own}"
  pidfile: "{own}/pid"
  xfrdfile: "{own}/xfrd.state"
  xfrdir: "{own}"
  zonelistfile: "{own}/zone.list"
  rrl-ratelimit: 0
  round-robin: yes
  minimal-responses: yes
  do-ip6: no
  tcp-count: 400
  tcp-query-count: 0
"""
    if tls is not None:
        text += f"""
  ip-address: {ADDRESS}@{tls.port}
  tls-port: {tls.port}
  tls-service-pem: "{tls.certificate}"
  tls-service-key: "{tls.key}"
"""
    text += """
remote-control:
  control-enable: no
"""
    text += "".join(f'zone:\n  name: "{zone}"\n  zonefile: "{path}"\n' for zone, path in zones.items())
    config.write_text(text)
    with launched("NSD", [*_on(cores), _required("nsd"), "-d", "-c", str(config)], folder, port) as server:
        wait_for_answer(server, next(iter(zones)), wire.SOA)
        yield server


@contextmanager
def knot(zone: str, path: Path, folder: Path, cores: set[int], upstream: int | None = None) -> Iterator[Server]:
    """Knot with one thread of each kind; with `upstream` it forwards other names to that port."""
    port = free_port()
    own = folder / f"knot-{port}"
    own.mkdir()
    config = own / "knot.conf"
    forward = f"""
remote:
  - id: upstream
    address: {ADDRESS}@{upstream}
mod-dnsproxy:
  - id: default
    remote: upstream
    fallback: on
template:
  - id: default
    global-module: mod-dnsproxy/default
"""
    config.write_text(f"""
server:
    rundir: "{own}"
    listen: {ADDRESS}@{port}
    udp-workers: 1
    tcp-workers: 1
    background-workers: 1
    tcp-max-clients: 400
    answer-rotation: on
log:
  - target: stderr
    any: warning
database:
    storage: "{own}"
{forward if upstream is not None else ""}
zone:
  - domain: {zone}
    file: "{path}"
    semantic-checks: off
    zonefile-sync: -1
    journal-content: none
""")
    with launched("Knot", [*_on(cores), _required("knotd"), "-c", str(config)], folder, port) as server:
        wait_for_answer(server, zone, wire.SOA)
        yield server


@contextmanager
def unbound(zone: str, upstream: int, folder: Path, cores: set[int]) -> Iterator[Server]:
    """Unbound as a forwarder with one thread; `zone` has a SOA at the upstream."""
    port = free_port()
    own = folder / f"unbound-{port}"
    own.mkdir()
    config = own / "unbound.conf"
    config.write_text(f"""
server:
  interface: {ADDRESS}@{port}
  num-threads: 1
  username: ""
  chroot: ""
  directory: "{own}"
  pidfile: "{own}/pid"
  use-syslog: no
  do-ip6: no
  module-config: "iterator"
  do-not-query-localhost: no
  outgoing-range: 900
  num-queries-per-thread: 900
remote-control:
  control-enable: no
forward-zone:
  name: "."
  forward-addr: {ADDRESS}@{upstream}
""")
    with launched("Unbound", [*_on(cores), _required("unbound"), "-d", "-c", str(config)], folder, port) as server:
        wait_for_answer(server, zone, wire.SOA)
        yield server


@contextmanager
def dnsmasq(zone: str, upstream: int, folder: Path, cores: set[int]) -> Iterator[Server]:
    """dnsmasq as a caching forwarder, with a cache that holds all names of a workload; it has one thread."""
    port = free_port()
    command = [
        _required("dnsmasq"),
        "--no-daemon",
        "--conf-file=/dev/null",
        "--no-resolv",
        "--no-hosts",
        "--bind-interfaces",
    ]
    command += [f"--listen-address={ADDRESS}", f"--port={port}", f"--server={ADDRESS}#{upstream}"]
    command += ["--cache-size=10000", "--dns-forward-max=1000", "--user=", "--group=", "--pid-file="]
    with launched("dnsmasq", [*_on(cores), *command], folder, port) as server:
        wait_for_answer(server, zone, wire.SOA)
        yield server


def mesos_dns_command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "mesos_dns", *arguments]


def mesos_dns_config(master: int, *, workers: int, refresh: int, upstream: int | None = None) -> dict[str, Any]:
    """A configuration as an operator would write it, on free ports of the loopback."""
    return {
        "masters": [f"{ADDRESS}:{master}"],
        "domain": "mesos",
        "listener": ADDRESS,
        "port": free_port(),
        "httplistener": ADDRESS,
        "httpport": free_port(),
        "refreshSeconds": refresh,
        "ttl": 60,
        "externalon": upstream is not None,
        "resolvers": [] if upstream is None else [f"{ADDRESS}:{upstream}"],
        "Workers": workers,
    }


@contextmanager
def mesos_dns(config: dict[str, Any], folder: Path, program: Program = OURS) -> Iterator[Server]:
    """Mesos-DNS on all cores, not yet ready: see `wait_until_ready` and `pin_workers`."""
    port = int(config["port"])
    path = folder / f"mesos-dns-{port}.json"
    path.write_text(json.dumps(config))
    http = f"http://{ADDRESS}:{config['httpport']}"
    command = mesos_dns_command("run", "--config", str(path))
    with launched(program.name, command, folder, port, http, program=program) as server:
        yield server


def wait_until_ready(server: Server, *, timeout: float = 120.0) -> float:
    """Seconds from execution until /readyz says 200: zone loaded, every worker serves it."""
    reason = "no HTTP answer"
    while time.monotonic() < server.started + timeout:
        try:
            with urllib.request.urlopen(f"{server.http}/readyz", timeout=2):
                return time.monotonic() - server.started
        except urllib.error.HTTPError as error:
            reason = f"/readyz says {error.code}: {error.read(200).decode(errors='replace').strip()}"
        except OSError as error:
            reason = f"/readyz: {error}"
        if server.process.poll() is not None:
            raise server.failure(f"it ended with {server.process.returncode}")
        time.sleep(0.01)
    raise server.failure(f"not ready within {timeout:.0f} s ({reason})")


def pin_workers(server: Server, workers: set[int], control: set[int]) -> None:
    """Keep the processes that answer on the cores `workers`, and the control process on `control`."""
    processes.pin([server.process.pid], control)
    processes.pin(server.workers(), workers)


@contextmanager
def changing_master(
    tasks: int, agents: int, rate: int, folder: Path, cores: set[int], *, events: bool = False
) -> Iterator[Server]:
    """The simulated Mesos master with `tasks` tasks, of which `rate` change every second; `events`: ready for subscribers."""
    port = free_port()
    command = [sys.executable, "-m", "mesos_dns.demo", "bench-master"]
    command += ["--tasks", str(tasks), "--agents", str(agents), "--port", str(port), "--change-rate", str(rate)]
    command += ["--events"] if events else []
    with launched("bench-master", [*_on(cores), *command], folder, port) as server:
        wait_for_connection(server)
        yield server


def wait_for_connection(server: Server, *, timeout: float = 120.0) -> None:
    """Return when the server accepts a TCP connection on its port."""
    while time.monotonic() < server.started + timeout:
        with suppress(OSError), socket.create_connection((ADDRESS, server.port), timeout=1):
            return
        if server.process.poll() is not None:
            raise server.failure(f"it ended with {server.process.returncode}")
        time.sleep(0.02)
    raise server.failure(f"nothing listens on port {server.port} within {timeout:.0f} s")


def run_tool(arguments: Sequence[str], output: Path, program: Program = OURS) -> None:
    """Run a command of this project and keep what it prints; UnavailableError when it fails."""
    with output.open("wb") as file:
        done = subprocess.run(
            [sys.executable, "-m", *arguments],
            stdout=file,
            stderr=subprocess.PIPE,
            env=program.environment,
            check=False,
            # Python looks for modules in the working directory first, which may be another checkout.
            cwd=output.parent,
        )
    if done.returncode != 0:
        tail = done.stderr.decode(errors="replace")[-500:].strip()
        raise UnavailableError(f"{' '.join(arguments[:2])} ended with {done.returncode}: {tail}")
