"""Reloads of the real program under a steady load: which queries are answered, and what is said of the reload."""

import contextlib
import json
import os
import select
import signal
import socket
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from tests.integration import client, wire
from tests.integration.masters import Endpoint, Master
from tests.integration.program import Program, until

QUESTION = ("web.marathon.mesos.", "A")
#: Seconds between two queries: 2,000 a second, from as many source ports as make all workers' sockets get some.
PACE = 0.0005
PORTS = 64
#: Queries that wait for replies, at most: a busy machine gets fewer, lest those be lost that sockets have no room for.
MOST_WAITING = 200


class Load:
    """Queries at a steady pace from many ports, each with an ID of its own, and the replies to them."""

    def __init__(self, server: Endpoint) -> None:
        self._server = server
        self._stop = threading.Event()
        self.asked = 0
        self.answered: set[tuple[int, int]] = set()

    def run(self) -> None:
        with contextlib.ExitStack() as stack:
            socks = [stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in range(PORTS)]
            for sock in socks:
                sock.connect(self._server)
                sock.setblocking(False)
            tail = wire.query(0, *QUESTION)[2:]
            due = time.monotonic()
            while not self._stop.is_set():
                if self.asked - len(self.answered) >= MOST_WAITING:
                    self._collect(socks, 0.1)
                    continue
                turn, port = divmod(self.asked, PORTS)
                socks[port].send(struct.pack("!H", turn % 65536) + tail)
                self.asked += 1
                self._collect(socks, 0)
                due = max(due + PACE, time.monotonic() - 0.1)
                time.sleep(max(0.0, due - time.monotonic()))
            # Whatever is still to come comes now.
            while len(self.answered) < self.asked and self._collect(socks, 3.0):
                pass

    def _collect(self, socks: list[socket.socket], patience: float) -> bool:
        ready, _, _ = select.select(socks, [], [], patience)
        for sock in ready:
            reply = sock.recv(2048)
            # NOERROR with two answers: nothing less is an answer.
            if reply[3] & 15 == 0 and reply[6:8] == b"\0\2":
                self.answered.add((socks.index(sock), struct.unpack_from("!H", reply)[0]))
        return bool(ready)

    def reaches(self, count: int) -> None:
        until(lambda: self.asked > count, lambda: f"only {self.asked} queries")

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        thread = threading.Thread(target=self.run)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join()


def reload(program: Program, **keys: object) -> None:
    """Take a changed configuration, and wait until it is in force."""
    before = program.log().count("is in force")
    program.config.update(keys)
    program.write_config(program.config)
    os.kill(program.pid, signal.SIGHUP)
    until(lambda: program.log().count("is in force") > before, lambda: f"never in force:\n{program.log()[-3000:]}")


def test_fewer_and_more_workers_lose_no_query(master: Master, tmp_path: Path) -> None:
    with Program(tmp_path, masters=[master.endpoint], workers=4) as program:
        program.wait_ready()
        load = Load(program.dns)
        with load.running():
            reload(program, workers=2)
            assert len(program.workers()) == 2
            reload(program, workers=3)
            reload(program, workers=1)
            load.reaches(1000)
        assert load.asked - len(load.answered) == 0
        assert program.end() == 0


def test_another_listener_on_the_same_port_needs_no_restart_and_loses_no_query(master: Master, tmp_path: Path) -> None:
    with Program(tmp_path, masters=[master.endpoint], workers=2) as program:
        program.wait_ready()
        load = Load(program.dns)
        with load.running():
            reload(program, listener="0.0.0.0")
            reload(program, listener="127.0.0.1")
            load.reaches(500)
        assert load.asked - len(load.answered) == 0
        assert program.end() == 0


def test_a_refused_configuration_is_shown_until_a_good_one_comes(master: Master, tmp_path: Path) -> None:
    with Program(tmp_path, masters=[master.endpoint], workers=1) as program:
        program.wait_ready()
        assert "configuration" not in program.get("/readyz")[1]
        program.write_config({**program.config, "ttl": "long", "domain": ".x"})
        os.kill(program.pid, signal.SIGHUP)
        until(lambda: "was not taken" in program.get("/readyz")[1], lambda: f"not shown: {program.get('/readyz')}")
        status, body = program.get("/readyz")
        (line,) = [line for line in body.splitlines() if "was not taken" in line]
        assert status == 200
        assert all(word in line for word in ("TTL", "Domain", "config.json"))
        # A thread of its own writes the log.
        until(lambda: "is not taken" in program.log(), lambda: f"not logged: {program.log()}")
        (logged,) = [line for line in program.log().splitlines() if "is not taken" in line]
        assert all(word in logged for word in ("TTL", "Domain"))
        shown = json.loads(program.get("/v1/status")[1])["reload"]
        assert shown["state"] == "refused"
        assert "TTL" in shown["reason"]
        reload(program, ttl=9)
        assert "configuration" not in program.get("/readyz")[1]
        assert json.loads(program.get("/v1/status")[1])["reload"]["state"] == "in force"


def test_counts_never_step_back(master: Master, tmp_path: Path) -> None:
    with Program(tmp_path, masters=[master.endpoint], workers=1) as program:
        program.wait_ready()

        def counters() -> dict[str, int]:
            return json.loads(program.get("/v1/status")[1])["counters"]

        for _ in range(20):
            assert client.ask(program.dns, *QUESTION)["rcode"] == "NOERROR"
        until(
            lambda: counters().get("cache_hits", 0) + counters().get("cache_misses", 0) >= 20,
            "the worker never reports",
        )
        before = counters()
        os.kill(program.workers()[0], signal.SIGKILL)
        until(lambda: counters().get("worker_restarts") == 1, "no restart is counted")
        reload(program, ttl=9)
        after = counters()
        assert {name: count for name, count in before.items() if after[name] < count} == {}
        assert after["worker_restarts"] == 1
        (worker,) = json.loads(program.get("/v1/status")[1])["workers"]
        assert (worker["trouble"], worker["pid"]) == ("", program.workers()[0])
        assert worker["serials"].keys() == {"mesos."}


def test_a_configuration_that_waits_is_shown(master: Master, tmp_path: Path) -> None:
    with Program(tmp_path, masters=[master.endpoint], workers=1) as program:
        program.wait_ready()
        program.write_config({**program.config, "masters": ["127.0.0.1:1"]})
        os.kill(program.pid, signal.SIGHUP)
        until(lambda: "a new configuration waits" in program.get("/readyz")[1], "not shown")
        assert program.get("/readyz")[0] == 200
        assert program.end() == 0


def test_a_busy_http_port_refuses_the_reload_and_is_shown(master: Master, tmp_path: Path) -> None:
    with Program(tmp_path, masters=[master.endpoint], workers=1) as program, socket.socket() as taken:
        program.wait_ready()
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        program.write_config({**program.config, "httpPort": port})
        os.kill(program.pid, signal.SIGHUP)
        until(lambda: f"port {port}" in program.get("/readyz")[1], lambda: f"not shown: {program.get('/readyz')}")
        assert program.end() == 0
