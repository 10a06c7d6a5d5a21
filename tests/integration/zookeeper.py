"""Real ZooKeepers for tests, alone or three of them, on free ports of 127.0.0.1; and masters that stand for election in them."""

import json
import os
import select
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from kazoo.client import KazooClient
from kazoo.security import make_digest_acl
from tests.integration.program import PATIENCE, Endpoint, free_port, need, until

JARS = Path("/usr/share/java")
#: What ZooKeeper 3.8 of Debian 12 needs to run.
CLASSES = [
    *("zookeeper", "zookeeper-jute", "slf4j-api", "slf4j-simple", "metrics-core", "snappy-java", "commons-io"),
    *("netty-buffer", "netty-codec", "netty-common", "netty-handler", "netty-resolver", "netty-transport"),
    *("netty-transport-native-unix-common", "netty-transport-native-epoll"),
]
#: Milliseconds.
TICK = 200
#: Ticks that a member of an ensemble may take to join, or be behind.
LIMIT = 25
#: Seconds for which the masters' nodes stay while nobody hears of them: so long that no restart of ZooKeeper, however slow, ends them.
MASTERS_SESSION = 90


class ZooKeeper:
    """One server with its data in `folder`. It can be killed, stopped, continued and started again; `close` it at the end.

    `quorum` are the two ports of each member of its ensemble, of which it is the one at `index`; it does not start by itself then.
    """

    def __init__(self, folder: Path, quorum: Sequence[tuple[int, int]] = (), index: int = 0) -> None:
        java = need("java")
        lacking = [name for name in CLASSES if not (JARS / f"{name}.jar").exists()]
        if lacking:
            pytest.skip(
                f"ZooKeeper is not installed (Debian package libzookeeper-java): {JARS} lacks {', '.join(lacking)}"
            )
        self.port = free_port()
        self.endpoint: Endpoint = ("127.0.0.1", self.port)
        self._log = folder / "zookeeper.log"
        self._data = folder / "data"
        self._data.mkdir(parents=True)
        (self._data / "myid").write_text(str(index + 1))
        members = [f"server.{number}=127.0.0.1:{one}:{two}\n" for number, (one, two) in enumerate(quorum, 1)]
        config = folder / "zoo.cfg"
        config.write_text(
            f"tickTime={TICK}\ndataDir={self._data}\nclientPortAddress=127.0.0.1\nclientPort={self.port}\n"
            f"admin.enableServer=false\nmaxClientCnxns=0\nmaxSessionTimeout={MASTERS_SESSION * 1000}\n"
            f"initLimit={LIMIT}\nsyncLimit={LIMIT}\n{''.join(members)}"
        )
        main = "quorum.QuorumPeerMain" if quorum else "ZooKeeperServerMain"
        self._command = [
            java,
            *("-Xmx64m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"),
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
            *("-cp", ":".join(str(JARS / f"{name}.jar") for name in CLASSES)),
            *(f"org.apache.zookeeper.server.{main}", str(config)),
        ]
        self._process: subprocess.Popen[bytes] | None = None
        if not quorum:
            self.start()

    def start(self) -> None:
        self.launch()
        self.wait()

    def launch(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def wait(self) -> None:
        """Until it serves."""
        process = self._process
        assert process
        until(
            lambda: process.poll() is not None or self._serves(),
            lambda: f"no ZooKeeper: {self._log.read_text()}",
            2 * PATIENCE,
        )
        assert process.poll() is None, self._log.read_text()

    def _serves(self) -> bool:
        """Whether it does, not only listens: what comes too early is never answered."""
        try:
            with socket.create_connection(self.endpoint, 1) as asking:
                asking.sendall(b"srvr")
                return b"Mode: " in asking.recv(1000)
        except OSError:
            return False

    def signal(self, number: int) -> None:
        assert self._process
        self._process.send_signal(number)

    def kill(self) -> None:
        assert self._process
        self._process.kill()
        self._process.wait()

    def revive(self, *, wait: bool = True) -> None:
        """Start it if it does not run, and continue it if it is stopped, so that the next test finds it."""
        if self._process is None or self._process.poll() is not None:
            self.launch()
        self.signal(signal.SIGCONT)
        if wait:
            self.wait()

    def wipe(self) -> None:
        """What it has kept is gone: it will begin anew. Only while it does not run."""
        shutil.rmtree(self._data)

    def close(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self.signal(signal.SIGCONT)
            self.kill()

    def url(self, path: str, credentials: str = "") -> str:
        return f"zk://{credentials}{'@' if credentials else ''}127.0.0.1:{self.port}{path}"

    @contextmanager
    def client(self) -> Iterator[Any]:
        """A client that makes nodes: the side of the masters, and of whoever administers it."""
        with client_of(self) as client:
            yield client


class Ensemble:
    """Three servers, of which any two are enough."""

    def __init__(self, folder: Path) -> None:
        quorum = [(free_port(), free_port()) for _ in range(3)]
        self.members = [ZooKeeper(folder / str(index), quorum, index) for index in range(3)]
        self.revive()

    def revive(self) -> None:
        """Let all serve: those that were stopped or are dead, too."""
        for member in self.members:
            member.revive(wait=False)
        for member in self.members:
            member.wait()

    def close(self) -> None:
        for member in self.members:
            member.close()

    def url(self, path: str) -> str:
        return f"zk://{','.join(f'127.0.0.1:{member.port}' for member in self.members)}{path}"


@contextmanager
def client_of(*servers: ZooKeeper) -> Iterator[Any]:
    client = KazooClient(",".join(f"127.0.0.1:{server.port}" for server in servers), timeout=MASTERS_SESSION)
    client.start(PATIENCE)
    try:
        yield client
    finally:
        client.stop()
        client.close()


def master_info(endpoint: Endpoint) -> bytes:
    host, port = endpoint
    return json.dumps(
        {
            "address": {"hostname": "m", "ip": host, "port": port},
            "hostname": "m",
            "id": "x",
            "ip": int.from_bytes(socket.inet_aton(host), "little"),
            "pid": f"master@{host}:{port}",
            "port": port,
            "version": "1.11.0",
        }
    ).encode()


def stand(client: Any, path: str, endpoint: Endpoint | bytes, label: str = "json.info_") -> str:
    """Let a master stand for election: the path of its node, which lives as long as the session of `client`. Octets are put there as they are."""
    content = endpoint if isinstance(endpoint, bytes) else master_info(endpoint)
    return str(client.create(f"{path}/{label}", content, ephemeral=True, sequence=True, makepath=True))


def only(user: str, password: str) -> list[Any]:
    """Rights of one user, and nobody else."""
    return [make_digest_acl(user, password, all=True)]


class Proxy:
    """Forwards TCP connections to `target`, until `freeze` lets all octets wait, as a network does that is cut."""

    def __init__(self, target: Endpoint) -> None:
        self._target = target
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.endpoint: Endpoint = self._listening.getsockname()[:2]
        self._wake, self._woken = os.pipe()[::-1]
        self._frozen = self._closing = False
        self._peers: dict[socket.socket, socket.socket] = {}
        self._thread = threading.Thread(target=self._run, name="proxy")
        self._thread.start()

    def freeze(self) -> None:
        self._frozen = True
        os.write(self._wake, b"x")

    def thaw(self) -> None:
        self._frozen = False
        os.write(self._wake, b"x")

    @property
    def connections(self) -> frozenset[socket.socket]:
        """Both ends of each."""
        return frozenset(self._peers)

    def drop(self) -> None:
        """End all connections that there are."""
        for one in self.connections:
            with suppress(OSError):  # The other end was first.
                one.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._closing = True
        os.write(self._wake, b"x")
        self._thread.join()
        for one in (self._listening, *self._peers):
            one.close()
        os.close(self._wake)
        os.close(self._woken)

    def _run(self) -> None:
        while not self._closing:
            watched = [] if self._frozen else [self._listening, *self._peers]
            ready, _, _ = select.select([self._woken, *watched], [], [])
            for one in ready:
                if one == self._woken:
                    os.read(self._woken, 100)
                elif one is self._listening:
                    self._accept()
                elif one in self._peers:
                    self._forward(one)

    def _accept(self) -> None:
        client, _ = self._listening.accept()
        try:
            server = socket.create_connection(self._target, 5)
        except OSError:
            client.close()
            return
        self._peers |= {client: server, server: client}

    def _forward(self, one: socket.socket) -> None:
        other = self._peers[one]
        try:
            octets = one.recv(65536)
            other.sendall(octets)
        except OSError:
            octets = b""
        if not octets:
            for end in (one, other):
                del self._peers[end]
                end.close()
