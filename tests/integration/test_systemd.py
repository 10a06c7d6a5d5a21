"""What systemd is told, heard by a socket in its place; and how the program ends, which systemd asks for."""

import contextlib
import json
import os
import signal
import socket
import threading
from collections.abc import Callable, Generator
from pathlib import Path

import pytest
from tests.integration import client
from tests.integration.masters import Master
from tests.integration.program import Program, run, until

NAME = "web.marathon.mesos."
Told = dict[str, str]


class Manager:
    """The end of NOTIFY_SOCKET that systemd has: takes every datagram as it comes."""

    def __init__(self, address: str) -> None:
        self.heard: list[Told] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(address.replace("@", "\0"))
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        with contextlib.suppress(OSError):
            while octets := self._socket.recv(65536):
                self.heard.append(dict(line.split("=", 1) for line in octets.decode().split("\n")))

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()

    def hears(self, what: Callable[[Told], bool], after: int = 0) -> int:
        """Wait for such a word, `after` so many others; how many there were up to it."""

        def found() -> int:
            return next((n for n, told in enumerate(self.heard) if n >= after and what(told)), -1) + 1

        return until(found, lambda: f"never heard: {self.heard[-10:]}")


def says(**wanted: str) -> Callable[[Told], bool]:
    return lambda told: (
        all(text in told.get(name, "") for name, text in wanted.items()) and wanted.keys() <= told.keys()
    )


def logs(program: Program, text: str) -> None:
    """Wait for a line: those of the log have a thread of their own."""
    until(lambda: text in program.log(), lambda: f"{text!r} was never logged: {program.log()}")


@pytest.fixture
def manager(tmp_path: Path) -> Generator[Manager]:
    heard = Manager(str(tmp_path / "notify"))
    yield heard
    heard.close()


def test_a_life_under_systemd(master: Master, manager: Manager, tmp_path: Path) -> None:
    master.body, state = b"", master.body
    variables = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "2000000"}
    with Program(tmp_path, masters=[master.endpoint], workers=1, variables=variables) as program:
        # Without a state it is not ready; that masters are away is no reason to give the start up.
        at = manager.hears(says(STATUS="no state of the cluster yet: ", EXTEND_TIMEOUT_USEC="30000000"))
        assert not [told for told in manager.heard if {"READY", "WATCHDOG"} & told.keys()]
        master.body = state
        at = manager.hears(says(READY="1", STATUS=" names, serial "), at)
        at = manager.hears(
            says(WATCHDOG="1", STATUS=f"state of the cluster: 0 s old, from 127.0.0.1:{master.endpoint[1]}"), at
        )
        assert client.ask(program.dns, NAME, "A")["answer"]

        os.kill(program.pid, signal.SIGHUP)
        at = manager.hears(says(RELOADING="1", STATUS="reloading; "), at)
        assert manager.heard[at - 1]["MONOTONIC_USEC"].isdigit()
        at = manager.hears(says(READY="1"), at)
        logs(program, "the new configuration is in force")

        program.write_config("nonsense")
        os.kill(program.pid, signal.SIGHUP)
        at = manager.hears(says(RELOADING="1"), at)
        at = manager.hears(says(READY="1", STATUS="the new configuration was not taken"), at)

        (worker,) = program.workers()
        os.kill(worker, signal.SIGSTOP)
        at = manager.hears(lambda told: "WATCHDOG" not in told, at)
        logs(program, "no worker answers within 0.5 s what this server asks itself")
        # Control has replaced it.
        at = manager.hears(says(WATCHDOG="1"), at)
        logs(program, "a worker answers again what this server asks itself")
        assert worker not in program.workers()

        assert program.end() == 0
        manager.hears(says(STOPPING="1", STATUS="ending; "), at)


def test_sigterm_sends_clients_elsewhere_first_and_a_second_one_ends_at_once(master: Master, tmp_path: Path) -> None:
    address = f"@mesos-dns-test-{os.getpid()}"
    manager = Manager(address)
    variables = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "2000000", "WATCHDOG_PID": "1"}
    keys = {"LameDuckSeconds": 600, "LogFormat": "json", "DohOn": True}
    try:
        with Program(tmp_path, masters=[master.endpoint], workers=1, variables=variables, **keys) as program:
            program.wait_ready()
            at = manager.hears(says(READY="1"))
            workers = program.workers()
            names = [Path(f"/proc/{pid}/comm").read_text().strip() for pid in (program.pid, *workers)]
            assert names == ["mesos-dns", "mesos-dns w0"]
            os.kill(program.pid, signal.SIGTERM)
            at = manager.hears(says(STOPPING="1", EXTEND_TIMEOUT_USEC="630000000"), at)
            assert program.get("/readyz") == (503, "this server ends: ask another one\n")
            assert program.get("/healthz")[0] == 200
            assert client.ask(program.dns, NAME, "A")["answer"]
            os.kill(program.pid, signal.SIGHUP)  # has no effect any more
            assert program.end() == 0
            assert not any(Path(f"/proc/{pid}").exists() for pid in workers)
            # The watchdog was meant for another process.
            assert not [told for told in manager.heard if "WATCHDOG" in told]
        lines = [json.loads(line) for line in program.log().splitlines()]
        assert {(line["level"], line["module"]) for line in lines if line["message"].startswith("ending at once")} == {
            ("warning", "mesos_dns.control")
        }
        assert "the new configuration" not in program.log()
    finally:
        manager.close()


def test_the_log_is_json_from_the_first_line_if_a_flag_says_so(tmp_path: Path) -> None:
    """A configuration that is refused is told in JSON, too."""

    (tmp_path / "config.json").write_text('{"masters": ["nonsense"]}')
    done = run("-config", str(tmp_path / "config.json"), "-log-format=json")
    assert done.returncode == 78
    assert [json.loads(line)["level"] for line in done.stderr.splitlines()] == ["error", "error"]
