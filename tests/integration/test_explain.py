"""`mesos-dns explain` beside the real program, with a master that is polled and with one whose events are followed."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from tests.integration.client import ask
from tests.integration.live import Live
from tests.integration.masters import Master
from tests.integration.program import Program, free_port, run, sample_state, until

Told = dict[str, Any]


def url(program: Program) -> str:
    return f"127.0.0.1:{program.http_port}"


def explained(program: Program, name: str, rrtype: str = "") -> Told:
    query = urlencode({"name": name, "type": rrtype})
    status, body = program.get(f"/v1/explain?{query}")
    assert status == 200, body
    found: Told = json.loads(body)
    return found


def reasons(program: Program, name: str) -> list[tuple[str, str]]:
    """Codes and texts."""
    return [(reason["code"], reason["text"]) for reason in explained(program, name)["reasons"]]


def says(program: Program, name: str, code: str, text: str) -> None:
    """Wait for a reason."""
    until(
        lambda: any(one == code and text in words for one, words in reasons(program, name)),
        lambda: f"no {code} with {text!r}: {reasons(program, name)}",
    )


@pytest.fixture(scope="module")
def polled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Program, Master]]:
    """The sample cluster with `api` being started; the one resolver does not answer."""
    master = Master(("127.0.0.1", 0), b"")
    master.body = state(master, api="TASK_STAGING", db="TASK_RUNNING")
    nobody = f"127.0.0.1:{free_port()}"
    with Program(
        tmp_path_factory.mktemp("polled"), masters=[master.endpoint], Resolvers=[nobody], Workers=1
    ) as program:
        program.wait_ready()
        yield program, master
    master.close()


def state(master: Master, **tasks: str) -> bytes:
    """The sample cluster with more tasks, by their states."""
    document = json.loads(sample_state(master.endpoint, **dict.fromkeys(tasks, "10.2.0.9")))
    for task in document["frameworks"][0]["tasks"]:
        task["state"] = tasks.get(task["name"], task["state"])
    return json.dumps(document).encode()


def test_a_name_that_exists(polled: tuple[Program, Master]) -> None:
    program, _ = polled
    found = run("explain", "web.marathon.mesos", "A", "--config", str(program.config_file))
    assert (found.returncode, found.stderr) == (0, "")
    lines = found.stdout.splitlines()
    assert lines[0] == "web.marathon.mesos. has 2 records (A)"
    at = lines.index("  web.marathon.mesos. 60 A 10.2.0.1")
    assert lines[at + 1] == (
        "    from task 'web.1' of framework 'marathon', on agent 'cluster-S1' at '10.1.0.1', "
        "address from netinfo, the first of IPSources (netinfo, mesos, host)"
    )


def test_as_json(polled: tuple[Program, Master]) -> None:
    program, _ = polled
    found = run("explain", "nosuch.mesos", "--url", url(program), "--json")
    assert found.returncode == 1
    assert json.loads(found.stdout) == explained(program, "nosuch.mesos")


def test_tasks_that_do_not_run_yet_and_no_more(polled: tuple[Program, Master]) -> None:
    program, master = polled
    found = run("explain", "api.marathon.mesos", "--url", url(program))
    assert found.returncode == 1
    assert found.stdout.splitlines()[:2] == [
        "api.marathon.mesos. does not exist (NXDOMAIN); the nearest name above is marathon.mesos.",
        "* task 'api.1' of framework 'marathon' is being started: its agent has not taken it yet, or fetches what it needs (TASK_STAGING)",
    ]
    master.body = state(master, api="TASK_RUNNING")
    until(lambda: explained(program, "api.marathon.mesos")["exists"], program.log)
    says(program, "db.marathon.mesos", "vanished", "task 'db.1' of framework 'marathon' runs no more")


def test_names_that_were_meant(polled: tuple[Program, Master]) -> None:
    program, _ = polled
    for asked, code, meant in (
        ("web.marathon.mesos.corp.example", "search-list", "web.marathon.mesos."),
        ("web.marathon.mesos.mesos", "search-list", "web.marathon.mesos."),
        ("web._tcp.marathon.mesos", "underscore", "_web._tcp.marathon.mesos."),
    ):
        first = explained(program, asked)["reasons"][0]
        assert (first["code"], first["name"]) == (code, meant)
    assert explained(program, "wep.marathon.mesos")["alike"] == ["web.marathon.mesos."]
    assert explained(program, "web.marathon.mesos", "SRV")["verdict"] == "nodata"


def test_a_name_of_others(polled: tuple[Program, Master]) -> None:
    program, _ = polled
    resolver = program.config["Resolvers"][0]
    found = explained(program, "www.example.org")
    assert (found["verdict"], found["exists"]) == ("outside", False)
    assert found["upstreams"] == [{"address": resolver, "up": 0, "down": 0, "milliseconds": None}]

    def is_down() -> bool:
        ask(program.dns, "www.example.org", "A")
        return reasons(program, "www.example.org")[0] == (
            "upstream-down",
            f"no answer comes from {resolver} at present",
        )

    until(is_down, lambda: str(explained(program, "www.example.org")))
    assert reasons(program, "1.0.0.10.in-addr.arpa")[0][0] == "private"


def test_an_api_that_does_not_explain(polled: tuple[Program, Master], tmp_path: Path) -> None:
    _, master = polled
    found = run("explain", "x.mesos", "--url", f"127.0.0.1:{master.endpoint[1]}")
    assert (found.returncode, found.stdout) == (1, "")
    assert found.stderr.startswith("mesos-dns: http://127.0.0.1:")
    assert run("explain").returncode == 2
    assert run("explain", "x.mesos", "NOTYPE").returncode == 2
    (tmp_path / "config.json").write_text("{")
    assert run("explain", "x.mesos", "--config", str(tmp_path / "config.json")).returncode == 78


def test_with_events(tmp_path: Path) -> None:
    with (
        Live(masters=1, agents=2, tasks=0) as live,
        Program(tmp_path, masters=live.endpoints, mesosSource="events", Workers=1) as program,
    ):
        live.do(lambda each: each.run("steady"))
        program.wait_ready()
        task = live.do(lambda each: each.launch("coming"))
        says(program, "coming.marathon.mesos", "not-running", "(TASK_STAGING)")
        live.do(lambda each: each.update(task, "TASK_STARTING"))
        says(program, "coming.marathon.mesos", "not-running", "(TASK_STARTING)")
        live.do(lambda each: each.update(task, "TASK_RUNNING"))
        until(lambda: explained(program, "coming.marathon.mesos")["exists"], program.log)
        live.do(lambda each: each.finish(task))
        says(program, "coming.marathon.mesos", "vanished", "of framework 'marathon' runs no more")
