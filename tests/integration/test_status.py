"""`mesos-dns status` beside the real program: well, not well, and not there."""

import json
import signal
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from tests.integration import client
from tests.integration.masters import Master
from tests.integration.program import PATIENCE, Program, free_port, run, sample_state, until


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Generator[Program]:
    """One program with two workers, a dead master and a dead upstream, for the tests of this file, in their order."""
    leader = Master(("127.0.0.1", 0), b"")
    leader.body = sample_state(leader.endpoint)
    masters = [("127.0.0.1", free_port()), leader.endpoint]
    folder = tmp_path_factory.mktemp("status")
    with Program(folder, masters=masters, workers=2, Resolvers=[f"127.0.0.1:{free_port()}"]) as program:
        program.wait_ready()
        yield program
    leader.close()


def status(program: Program) -> dict[str, Any]:
    code, body = program.get("/v1/status")
    assert code == 200
    found: dict[str, Any] = json.loads(body)
    return found


def test_all_is_well(serving: Program) -> None:
    found = run("status", "--config", str(serving.config_file))
    assert (found.returncode, found.stderr) == (0, ""), found.stdout
    first, *lines = found.stdout.splitlines()
    assert first.startswith("OK: names of 2 tasks are served, data ")
    told = {line[:12].strip(): line[12:] for line in lines if line[:12].strip()}
    dead, leader = serving.config["masters"]
    assert told["config"].startswith(f"{serving.config_file}, read ")
    assert told["leader"].startswith(f"{leader}, data ")
    assert told["masters"].startswith(f"{dead}")
    assert "never answered" in told["masters"]
    assert "refused" in told["masters"]
    assert told["led by"].rstrip().endswith(f"{leader}  master-1")
    assert told["cluster"] == "2 tasks, 2 agents, 1 frameworks"
    assert told["upstreams"].startswith(f"{serving.config['Resolvers'][0]}  unasked")
    assert "MiB" in told["processes"]


def test_the_same_as_json(serving: Program) -> None:
    found = run("status", "--url", f"127.0.0.1:{serving.http_port}", "--json")
    told = json.loads(found.stdout)
    assert (found.returncode, told["verdict"], told["problems"]) == (0, "ok", [])
    assert [each["process"] for each in told["processes"]] == ["control", "worker0", "worker1"]
    assert [each["pid"] for each in told["processes"][1:]] == [each["pid"] for each in told["workers"]]
    assert told["processes"][0]["pid"] == serving.pid
    assert [each["role"] for each in told["masters"]] == ["unknown", "leading"]


def test_answers_are_told_as_a_rate(serving: Program) -> None:
    def told() -> bool:
        for _ in range(100):
            client.ask(serving.dns, "web.marathon.mesos.", "A")
        return sum(worker["answers_per_second"] for worker in status(serving)["workers"]) > 0

    until(told, "no worker tells a rate")


def test_a_dead_upstream_and_a_refused_configuration(serving: Program) -> None:
    client.ask(serving.dns, "www.example.com.", "A")
    until(lambda: status(serving)["upstreams"][0]["state"] == "open", "the dead upstream is not told")
    serving.write_config("{")
    assert serving.process
    serving.process.send_signal(signal.SIGHUP)
    until(lambda: status(serving)["configuration"]["newest"] == "refused", "the refusal is not told")
    found = run("status", "--url", f"127.0.0.1:{serving.http_port}")
    first, *problems = found.stdout.partition("\n\n")[0].splitlines()
    assert (found.returncode, first) == (1, "DEGRADED: names are served; 2 things are not well")
    assert problems[0].startswith("  ! the new configuration was not taken, the one before stays: ")
    assert problems[1] == f"  ! upstreams that do not answer: {serving.config['Resolvers'][0]}"
    assert "a newer one is refused" in found.stdout
    assert serving.get("/readyz")[0] == 200


def test_without_a_state_it_is_down(tmp_path: Path) -> None:
    with Program(tmp_path, masters=[("127.0.0.1", free_port())]) as program:
        until(lambda: program.get("/healthz")[0] == 200, "it never listens", 2 * PATIENCE)
        found = run("status", "--url", f"127.0.0.1:{program.http_port}")
        assert (found.returncode, found.stderr) == (2, "")
        assert found.stdout.startswith("DOWN: names are not served; ")
        assert "  ! no state of the cluster yet" in found.stdout


def test_nobody_there(tmp_path: Path) -> None:
    found = run("status", "--url", "127.0.0.1:1")
    assert (found.returncode, found.stdout) == (2, "")
    assert "does it run there?" in found.stderr
    assert run("status", cwd=tmp_path).returncode == 2


def test_another_server() -> None:
    other = Master(("127.0.0.1", 0), b"{}")
    try:
        found = run("status", "--url", f"127.0.0.1:{other.endpoint[1]}")
    finally:
        other.close()
    assert found.returncode == 2
    assert "/v1/status" in found.stderr
