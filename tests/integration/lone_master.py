"""One simulated master in a process of its own, which can be stopped as a real one (SIGSTOP), with its session in ZooKeeper.

All processes simulate the same cluster, each with one living master: `steady` runs from the beginning. As in Mesos a master that loses its
session or another one's election while it leads ends. It prints what becomes of it, and takes `run NAME` as orders: a task starts.
"""

import asyncio
import importlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.integration.program import PATIENCE, Endpoint, environment, until

from mesos_dns.demo.live import Cluster
from mesos_dns.demo.masterinfo import Form, encoded
from mesos_dns.demo.registration import Ensemble, kazoo_client, sequence_of

ROOT = Path(__file__).parent.parent.parent
TICK = 0.01


class LoneMaster:
    """The test's side: the process of the master at `index` of `endpoints`. A context manager; kills on exit."""

    def __init__(self, folder: Path, index: int, url: str, session: float, endpoints: Sequence[Endpoint]) -> None:
        self.endpoint = endpoints[index]
        self._log = folder / f"master{index}.log"
        ports = [str(port) for _, port in endpoints]
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.integration.lone_master", str(index), url, str(session), *ports],
                env=environment(),
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def says(self, text: str) -> None:
        until(
            lambda: text in self.log(), lambda: f"master {self.endpoint} never said {text}: {self.log()}", 2 * PATIENCE
        )

    def log(self) -> str:
        return self._log.read_text()

    def stop(self) -> None:
        os.kill(self.process.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        os.kill(self.process.pid, signal.SIGCONT)

    def run(self, name: str) -> None:
        assert self.process.stdin
        self.process.stdin.write(f"run {name}\n".encode())
        self.process.stdin.flush()
        self.says(f"runs {name}")

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        if self.process.stdin:
            with suppress(BrokenPipeError):
                self.process.stdin.close()


class _Master:
    """The process's side."""

    def __init__(self, index: int, url: str, session: float, endpoints: Sequence[Endpoint]) -> None:
        self._index = index
        self._ports = [port for _, port in endpoints]
        self._cluster = Cluster(endpoints=endpoints, agents=3, tasks=10)
        self._world = self._cluster.world
        self._cluster.run("steady", agent=0)
        self._seat = self._world.masters[index]
        for other in range(len(endpoints)):
            if other != index:
                self._world.kill(other)
        self._seat.ledger = self._seat.believed = None
        self._ensemble = Ensemble.parse(url)
        self._client = kazoo_client(self._ensemble, session)
        self._over = asyncio.Event()

    async def serve(self) -> None:
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        orders = loop.create_task(self._obey(reader))
        await self._cluster.masters.sync()
        await asyncio.to_thread(self._register, loop)
        print("registered", flush=True)
        while not self._over.is_set():
            self._world.agenda.run_until(time.time())
            await self._cluster.masters.sync()
            await asyncio.sleep(TICK)
        orders.cancel()

    def _register(self, loop: asyncio.AbstractEventLoop) -> None:
        client, path = self._client, self._ensemble.path
        lost = importlib.import_module("kazoo.client").KazooState.LOST
        client.start(PATIENCE)
        client.add_listener(
            lambda state: loop.call_soon_threadsafe(self._end, "session lost") if state == lost else None
        )
        client.ensure_path(path)
        data = encoded(Form.JSON, self._seat.identity, self._world.release)
        client.create(f"{path}/{Form.JSON.value}", data, ephemeral=True, sequence=True)

        def look(names: list[str]) -> None:
            first = min(names, key=lambda name: sequence_of(name) or 0, default=None)
            if first is not None:
                # One that is gone already is told by another look.
                with suppress(importlib.import_module("kazoo.exceptions").NoNodeError):
                    port = json.loads(client.get(f"{path}/{first}")[0])["port"]
                    loop.call_soon_threadsafe(self._elected, self._ports.index(port))

        client.ChildrenWatch(path, look)

    def _elected(self, leader: int) -> None:
        if leader != self._index:
            if self._seat.ledger is not None:
                self._end("another one leads")
            self._seat.believed = leader
        elif self._seat.ledger is None:
            self._world.elect(leader)
            self._world.read_registry()
            self._cluster.come_back()
            print("leads", flush=True)

    def _end(self, why: str) -> None:
        print(f"ends: {why}", flush=True)
        # As the process that it stands for: at once.
        os._exit(1)

    async def _obey(self, orders: asyncio.StreamReader) -> None:
        while line := await orders.readline():
            _, name = line.decode().split()
            self._cluster.run(name)
            print(f"runs {name}", flush=True)
        self._over.set()


def main(arguments: Sequence[str]) -> None:
    index, url, session, *ports = arguments
    endpoints = [("127.0.0.1", int(port)) for port in ports]

    async def serve() -> Any:
        await _Master(int(index), url, float(session), endpoints).serve()

    asyncio.run(serve())


if __name__ == "__main__":
    main(sys.argv[1:])
