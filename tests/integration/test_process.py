"""The program as a process: start, signals, workers, sockets."""

import contextlib
import json
import os
import signal
import socket
import threading
from pathlib import Path

import pytest
from tests.integration import client, wire
from tests.integration.masters import Master
from tests.integration.program import Program, free_port, run, sample_state, until

from mesos_dns.workers.spawner import CONTROL_NICENESS

QUESTION = ("web.marathon.mesos.", "A")


def answers(program: Program, name: str = QUESTION[0]) -> list[str]:
    found = client.ask(program.dns, name, "A")
    return [text.split()[-1] for text in found.get("answer", [])]


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM], ids=["udp", "tcp"])
def test_a_port_in_use_is_said(kind: socket.SocketKind, tmp_path: Path) -> None:
    port = free_port()
    with socket.socket(socket.AF_INET, kind) as taken:
        taken.bind(("127.0.0.1", port))
        if kind == socket.SOCK_STREAM:
            taken.listen()
        with Program(tmp_path, masters=[("127.0.0.1", 1)], port=port) as program:
            assert program.process
            assert program.process.wait(15) == 1
            assert f"127.0.0.1:{port}" in program.log() or str(port) in program.log()
            until(lambda: "in use" in program.log(), program.log)
            assert "Traceback" not in program.log()


def test_an_http_port_in_use_is_said(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with Program(tmp_path, masters=[("127.0.0.1", 1)], httpPort=taken.getsockname()[1]) as program:
            assert program.process
            assert program.process.wait(15) == 1
            until(lambda: "in use" in program.log(), program.log)
            assert "Traceback" not in program.log()


def test_a_bad_configuration_ends_with_78_and_names_every_problem(tmp_path: Path) -> None:
    bad = tmp_path / "config.json"
    bad.write_text('{"masters": ["nonsense"], "port": "fifty-three", "domain": ".x"}')
    done = run("run", "--config", str(bad))
    assert done.returncode == 78
    assert all(word in done.stderr for word in ("nonsense", "fifty-three", ".x"))
    assert "Traceback" not in done.stderr
    bad.write_text("this is not JSON")
    done = run(f"-config={bad}", "-v=0")
    assert done.returncode == 78
    assert str(bad) in done.stderr


def test_bad_flags_end_with_2() -> None:
    assert run("-nonsense").returncode == 2
    assert run("-v=much").returncode == 2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_it_ends_well(program: Program, number: int) -> None:
    workers = program.workers()
    assert program.end(number) == 0
    assert "Traceback" not in program.log()
    assert not any(Path(f"/proc/{pid}").exists() for pid in workers)


def test_sigterm_before_the_first_state(tmp_path: Path) -> None:
    with Program(tmp_path, masters=[("127.0.0.1", 1)]) as program:
        until(lambda: program.get("/healthz")[0] == 200, lambda: f"never alive: {program.log()}")
        status, why = program.get("/readyz")
        assert status == 503
        assert "state" in why
        assert client.ask(program.dns, *QUESTION)["rcode"] == "SERVFAIL"
        assert program.end() == 0


def test_sighup_with_a_bad_configuration_keeps_the_old_one(program: Program) -> None:
    program.write_config('{"masters": [')
    before = program.log().count("\n")
    os.kill(program.pid, signal.SIGHUP)
    until(lambda: "old one stays" in program.log(), lambda: f"nothing was said: {program.log()[-2000:]}")
    assert program.log().count("\n") > before
    assert answers(program) == ["10.2.0.1", "10.2.0.2"]
    assert program.get("/readyz")[0] == 200


def test_sighup_takes_a_new_configuration_and_loses_no_query(program: Program) -> None:
    stop = threading.Event()
    seen: list[wire.Reply] = []

    def keep_asking() -> None:
        while not stop.is_set():
            seen.append(client.ask(program.dns, "leader.mesos.", "A"))

    before = program.workers()
    asking = threading.Thread(target=keep_asking)
    asking.start()
    try:
        program.write_config({**program.config, "ttl": 7})
        os.kill(program.pid, signal.SIGHUP)
        until(
            lambda: client.ask(program.dns, *QUESTION).get("answer", [""])[0].split()[1:2] == ["7"],
            lambda: f"the new TTL never came: {program.log()[-2000:]}",
        )
        # HTTP follows when all workers have it; then the old ones end, and what is in their queues must be answered.
        until(lambda: json.loads(program.get("/v1/config")[1])["TTL"] == 7, "HTTP still shows the old configuration")
        until(lambda: not set(before) & set(program.workers()), "the old workers never ended")
    finally:
        stop.set()
        asking.join()
    assert seen
    assert {reply.get("rcode") for reply in seen} == {"NOERROR"}


def test_a_killed_worker_is_replaced_at_once(master: Master, tmp_path: Path) -> None:
    with Program(tmp_path, masters=[master.endpoint], workers=2) as program:
        program.wait_ready()
        before = program.workers()
        assert len(before) == 2
        os.kill(before[0], signal.SIGKILL)
        # Not only alive: it has the zone and says so.
        until(
            lambda: len(program.workers()) == 2 and before[0] not in program.workers(),
            lambda: f"none came: {program.log()}",
        )
        until(lambda: program.get("/readyz")[0] == 200, "a worker without a zone")
        until(lambda: " ended unasked (killed by SIGKILL); another starts in 0.0 s" in program.log(), program.log)
        # Both workers have sockets of their own; 40 questions from 40 ports reach both.
        assert all(answers(program) == ["10.2.0.1", "10.2.0.2"] for _ in range(40))
        assert program.end() == 0


def test_workers_go_first_also_those_that_came_later(master: Master, tmp_path: Path) -> None:
    ours = os.getpriority(os.PRIO_PROCESS, 0)
    with Program(tmp_path, masters=[master.endpoint], workers=1) as program:
        program.wait_ready()
        until(lambda: niceness(program.pid) == min(ours + CONTROL_NICENESS, 19), "control does not give way")
        (first,) = program.workers()
        os.kill(first, signal.SIGKILL)
        until(lambda: program.workers() not in ([], [first]), lambda: f"none came: {program.log()}")
        assert [niceness(pid) for pid in (*program.workers(),)] == [ours]
        assert program.end() == 0


def niceness(pid: int) -> int:
    return os.getpriority(os.PRIO_PROCESS, pid)


def test_a_worker_that_came_back_missed_nothing(master: Master, tmp_path: Path) -> None:
    with Program(tmp_path, masters=[master.endpoint], workers=2) as program:
        program.wait_ready()
        victim = program.workers()[0]
        os.kill(victim, signal.SIGSTOP)  # it reads no changes any more
        master.body = sample_state(master.endpoint, late="10.9.9.9")
        until(lambda: "10.9.9.9" in program.get("/v1/hosts/late.marathon.mesos")[1], "the change never came")
        with contextlib.suppress(ProcessLookupError):  # It may have been silent for too long already.
            os.kill(victim, signal.SIGKILL)
        until(
            lambda: (
                victim not in program.workers() and len(program.workers()) == 2 and program.get("/readyz")[0] == 200
            ),
            lambda: f"none came: {program.log()}",
        )
        assert all(answers(program, "late.marathon.mesos.") == ["10.9.9.9"] for _ in range(40))


NOT_DNS = [
    b"",
    b"\0",
    b"GET / HTTP/1.1\r\n\r\n",
    b"\xff" * 11,
    b"\xff" * 600,
    b"\0\1\1\0\0\1\0\0\0\0\0\0\xc0\x0c\0\1\0\1",
    os.urandom(300),
]


def test_packets_that_are_not_dns_change_nothing(shared_program: Program) -> None:
    program = shared_program
    workers = program.workers()
    with client.connected(program.dns, socket.SOCK_DGRAM) as sock:
        for octets in NOT_DNS:
            sock.send(octets)
    for octets in NOT_DNS:
        with client.connected(program.dns, socket.SOCK_STREAM) as sock:
            sock.sendall(octets)
    assert answers(program) == ["10.2.0.1", "10.2.0.2"]
    assert client.ask_tcp(program.dns, wire.query(1, *QUESTION))["rcode"] == "NOERROR"
    assert program.workers() == workers
    assert "Traceback" not in program.log()


def test_secrets_are_not_shown(master: Master, tmp_path: Path) -> None:
    credentials = {"principal": "dns", "secret": "very-secret-indeed"}
    with Program(
        tmp_path, masters=[master.endpoint], mesosCredentials=credentials, mesosAuthentication="basic"
    ) as program:
        program.wait_ready()
        shown = json.loads(program.get("/v1/config")[1])["MesosCredentials"]
        assert shown["Principal"] == "dns"
        assert set(shown["Secret"]) == {"*"}
        assert "very-secret-indeed" not in program.log()
