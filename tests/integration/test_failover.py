"""A change of master, and states that lack a list, through the whole program."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.integration import client
from tests.integration.masters import Master
from tests.integration.program import Program, sample_state, until


def altered(master: Master, **members: Any) -> bytes:
    """The sample state with other members at the top; `...` leaves one out."""
    document = json.loads(sample_state(master.endpoint)) | members
    return json.dumps({key: value for key, value in document.items() if value is not ...}).encode()


def addresses(program: Program, name: str) -> list[str]:
    return sorted(text.split()[-1] for text in client.ask(program.dns, name, "A").get("answer", ()))


def says(program: Program, line: str) -> Callable[[], bool]:
    return lambda: line in program.log()


def wait_for_polls(master: Master, program: Program, count: int = 2) -> None:
    asked = master.asked
    until(lambda: master.asked >= asked + count, lambda: f"not asked again: {program.log()}")


def wait_until_web_is_gone(program: Program) -> None:
    until(lambda: not addresses(program, "web.marathon.mesos."), lambda: f"still there: {program.log()}")
    # For each of the workers.
    until(program.in_step, program.log)


def test_a_failover_that_no_poll_saw_leaves_nothing_of_what_ended(master: Master, tmp_path: Path) -> None:
    """The next state is complete and expects nobody: cluster-S2 had been removed, and all tasks with it."""
    master.body = altered(master)
    with Program(tmp_path, masters=[master.endpoint]) as program:
        program.wait_ready()
        assert addresses(program, "web.marathon.mesos.") == ["10.2.0.1", "10.2.0.2"]
        slaves = json.loads(master.body)["slaves"][:1]
        master.body = altered(master, id="master-2", slaves=slaves, frameworks=[], recovered_slaves=[])
        wait_until_web_is_gone(program)
        assert addresses(program, "slave.mesos.") == ["10.1.0.1"]
        # Its scheduler may be on its way.
        assert addresses(program, "marathon.mesos.") == ["10.3.0.1"]


def test_the_first_answer_of_a_new_master_drops_nothing(master: Master, tmp_path: Path) -> None:
    master.body = altered(master)
    with Program(tmp_path, masters=[master.endpoint]) as program:
        program.wait_ready()
        slaves, frameworks = (json.loads(master.body)[key] for key in ("slaves", "frameworks"))
        for recovered in ([], [{"id": slave["id"]} for slave in slaves]):
            master.body = altered(master, id="master-2", slaves=[], frameworks=[], recovered_slaves=recovered)
            wait_for_polls(master, program)
            assert addresses(program, "web.marathon.mesos.") == ["10.2.0.1", "10.2.0.2"]
        # One is back with its task, the other is given up.
        frameworks[0]["tasks"] = frameworks[0]["tasks"][:1]
        master.body = altered(master, id="master-2", slaves=slaves[:1], frameworks=frameworks, recovered_slaves=[])
        until(
            lambda: addresses(program, "web.marathon.mesos.") == ["10.2.0.1"], lambda: f"still there: {program.log()}"
        )


def test_a_state_that_lacks_a_list_empties_nothing(master: Master, tmp_path: Path) -> None:
    without_tasks = {"id": "fw-1", "name": "marathon", "pid": "scheduler@10.3.0.1:8080"}
    master.body = altered(master)
    with Program(tmp_path, masters=[master.endpoint]) as program:
        program.wait_ready()
        lacking: list[tuple[str, dict[str, Any]]] = [
            ("frameworks", {"frameworks": ...}),
            ("slaves", {"slaves": None}),
            ("slaves, frameworks", {"slaves": None, "frameworks": None}),
            ("tasks of 1 frameworks", {"frameworks": [without_tasks]}),
        ]
        for lists, members in lacking:
            master.body = altered(master, **members)
            line = f"lacks a list that every Mesos writes ({lists})"
            until(says(program, line), lambda: f"no word: {program.log()}")
            wait_for_polls(master, program)
            assert addresses(program, "web.marathon.mesos.") == ["10.2.0.1", "10.2.0.2"]
            assert addresses(program, "slave.mesos.") == ["10.1.0.1", "10.1.0.2"]
        master.body = altered(master, frameworks=[])
        wait_until_web_is_gone(program)
        until(lambda: "is complete again" in program.log(), program.log)
