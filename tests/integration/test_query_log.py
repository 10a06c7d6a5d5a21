"""The query log of the real program: written, switched, looked at; read by the tools of others; full disks and readers that vanish."""

import base64
import json
import signal
import subprocess
import urllib.request
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from tests.integration import client, wire
from tests.integration.masters import Master
from tests.integration.program import Program, command, environment, need, run, until

NAME = "web.marathon.mesos"


def ask(program: Program, *names: str) -> list[str]:
    return [client.ask(program.dns, name, "A")["rcode"] for name in names]


def ask_tcp(program: Program, *names: str) -> list[str]:
    return [client.ask_tcp(program.dns, wire.query(7, name, "A"))["rcode"] for name in names]


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def names(path: Path) -> list[str]:
    return [each["name"] for each in lines(path)]


def log(program: Program, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run("log", *arguments, "--config", str(program.config_file))


@pytest.fixture(scope="module")
def logged(shared_master: Master, tmp_path_factory: pytest.TempPathFactory) -> Generator[Program]:
    """A program with a log that waits to be switched on, for the tests of this file, which leave it off."""
    folder = tmp_path_factory.mktemp("logged")
    where = {"QueryLog": {"To": f"json:{folder}/q.json", "On": False}, "Resolvers": ["127.0.0.1:1"]}
    with Program(folder, masters=[shared_master.endpoint], workers=2, **where) as program:
        program.wait_ready()
        yield program


def test_a_log_is_switched_on_for_some_and_off(logged: Program) -> None:
    path = logged.config_file.parent / "q.json"
    ask(logged, NAME)
    assert log(logged, "status").stdout == f"off; it would go to json:{path}; 0 answers written, 0 dropped\n"
    said = log(logged, "on", "--name", "marathon.mesos", "--rcode", "nxdomain", "--for", "5m")
    assert (said.returncode, said.stderr) == (0, "")
    assert said.stdout.startswith(f"on, to json:{path}; until ")

    def told() -> bool:
        # Workers are told a moment later.
        ask(logged, "nope.marathon.mesos", "nope.mesos", NAME)
        return bool(lines(path))

    until(told, logged.log)
    assert {(each["name"], each["rcode"]) for each in lines(path)} == {("nope.marathon.mesos.", "NXDOMAIN")}
    assert log(logged, "off").stdout.startswith(f"off; it would go to json:{path}; ")
    status = json.loads(logged.get("/v1/status")[1])["query_log"]
    assert (status["on"], status["to"], status["dropped"], status["trouble"]) == (False, f"json:{path}", 0, "")
    assert status["written"] == len(lines(path))


def test_what_cannot_be_wanted_is_told(logged: Program) -> None:
    said = log(logged, "on", "--client", "10.0.0.0/33")
    assert said.returncode == 1
    assert "400: '10.0.0.0/33' is no prefix" in said.stderr


def test_somebody_looks_on(logged: Program) -> None:
    arguments = ["log", "follow", "--name", NAME, "--for", "1h", "--config", str(logged.config_file)]
    out = logged.config_file.parent / "follow.out"
    with out.open("wb") as output:
        looking = subprocess.Popen(command(*arguments), env=environment(), stdin=subprocess.DEVNULL, stdout=output)
    try:

        def seen() -> bool:
            ask(logged, NAME, "other.mesos")
            return "\n" in out.read_text()

        until(seen, logged.log)
    finally:
        looking.send_signal(signal.SIGINT)
        assert looking.wait(40) == 130
    said = out.read_text().splitlines()
    assert "  127.0.0.1#" in said[0]
    assert f"  udp  {NAME}. A  NOERROR  " in said[0]
    # The log itself is off.
    assert log(logged, "status").stdout.startswith("off; ")


def test_it_ends_by_itself(logged: Program) -> None:
    log(logged, "on", "--for", "1s")
    until(lambda: "the time is over; it is off, as configured" in logged.log(), logged.log)
    assert log(logged, "status").stdout.startswith("off; ")


def test_every_way_to_ask_is_there(master: Master, tmp_path: Path) -> None:
    path = tmp_path / "q.json"
    where = {"QueryLog": {"To": f"json:{path}"}, "Resolvers": ["127.0.0.1:1"], "timeout": 1, "DohOn": True}
    with Program(tmp_path, masters=[master.endpoint], workers=2, **where) as program:
        program.wait_ready()
        ask(program, NAME, "nope.mesos")
        client.ask(program.dns, "www.example.org", "A", edns=1232)
        ask_tcp(program, NAME, "www.example.org")
        query = base64.urlsafe_b64encode(wire.query(0, NAME, "AAAA")).decode().rstrip("=")
        with urllib.request.urlopen(f"http://127.0.0.1:{program.http_port}/dns-query?dns={query}", timeout=40) as reply:
            assert reply.status == 200
        until(lambda: len(lines(path)) >= 6, lambda: f"{path.read_text()}{program.log()}")
        told = [(each["transport"], each["name"], each["rcode"]) for each in lines(path)]
        assert sorted(told) == [
            ("https", f"{NAME}.", "NOERROR"),
            ("tcp", f"{NAME}.", "NOERROR"),
            ("tcp", "www.example.org.", "SERVFAIL"),
            ("udp", "nope.mesos.", "NXDOMAIN"),
            ("udp", f"{NAME}.", "NOERROR"),
            ("udp", "www.example.org.", "SERVFAIL"),
        ]
        assert [each["ede"].split()[0] for each in lines(path) if each["ede"]] == ["22"]

        # The file is rotated by somebody else, who says so.
        path.rename(tmp_path / "rotated")
        program.process.send_signal(signal.SIGHUP)  # type: ignore[union-attr]  # it was started
        until(lambda: "the new configuration is in force" in program.log(), program.log)
        ask(program, "after.mesos")
        until(lambda: "after.mesos." in names(path), program.log)
        ask(program, "last.mesos")
        assert program.end() == 0
    # What was answered before the end is there.
    assert names(path)[-1] == "last.mesos."


def test_fstrm_captures_what_bind_reads(master: Master, tmp_path: Path) -> None:
    tools = need("fstrm_capture"), need("dnstap-read")
    socket, taken = tmp_path / "q.sock", tmp_path / "taken.tap"
    arguments = [tools[0], "-t", "protobuf:dnstap.Dnstap", "-u", str(socket), "-w", str(taken)]
    capturing = subprocess.Popen(arguments, stderr=subprocess.DEVNULL)
    try:
        until(socket.exists, "it does not listen")
        where = {"QueryLog": {"To": f"dnstap+unix:{socket}"}, "ServerId": "ns-a"}
        with Program(tmp_path, masters=[master.endpoint], **where) as program:
            program.wait_ready()
            ask(program, NAME, "nope.mesos")
            until(lambda: json.loads(program.get("/v1/status")[1])["query_log"]["written"] == 2, program.log)
            assert program.end() == 0
    finally:
        capturing.send_signal(signal.SIGTERM)
        capturing.wait(40)
    read = subprocess.run([tools[1], "-y", taken], check=True, capture_output=True, text=True).stdout
    assert read.count("identity: ns-a") == read.count("type: AUTH_RESPONSE") == 2
    assert f"- '{NAME}. IN A'" in read
    assert "status: NXDOMAIN" in read


def test_a_full_disk_costs_what_is_not_written_and_nothing_else(master: Master, tmp_path: Path) -> None:
    with Program(tmp_path, masters=[master.endpoint], QueryLog={"To": "json:/dev/full"}) as program:
        program.wait_ready()
        assert ask(program, *[NAME] * 20) == ["NOERROR"] * 20
        until(lambda: json.loads(program.get("/v1/status")[1])["query_log"]["dropped"] == 20, program.log)
        assert program.log().count("No space left on device; what it should have is dropped") == 1
        assert 'mesos_dns_query_log_dropped_total{reason="destination"} 20.0' in program.get("/metrics")[1]
        assert (
            json.loads(program.get("/v1/status")[1])["query_log"]["trouble"]
            == "json:/dev/full: No space left on device"
        )
        assert ask(program, NAME) == ["NOERROR"]
