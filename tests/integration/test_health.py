"""Health checks that fail and recover, through the whole program."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.integration import client
from tests.integration.masters import Master
from tests.integration.program import Program, sample_state, until

WEB = "web.marathon.mesos."


def with_health(master: Master, *verdicts: bool | None, labels: list[dict[str, str]] | None = None) -> bytes:
    """The sample state with verdicts on the two instances of `web`, each in a status of its own."""
    document: dict[str, Any] = json.loads(sample_state(master.endpoint))
    for task, healthy in zip(document["frameworks"][0]["tasks"], verdicts, strict=False):
        task["labels"] = labels or []
        for status in task["statuses"]:
            status["timestamp"] = 1.0
        if healthy is not None:
            task["statuses"].append({**task["statuses"][-1], "timestamp": 2.0, "healthy": healthy})
    return json.dumps(document).encode()


def answers(program: Program, name: str, rrtype: str = "A") -> list[str]:
    return sorted(text.split()[-1] for text in client.ask(program.dns, name, rrtype).get("answer", ()))


def has(program: Program, *wanted: str) -> Callable[[], bool]:
    return lambda: answers(program, WEB) == list(wanted)


def served(program: Program, count: int) -> Callable[[], bool]:
    return lambda: len(answers(program, "_web._tcp.marathon.mesos.", "SRV")) == count


def test_health_flips_move_shared_names_and_no_others(master: Master, tmp_path: Path) -> None:
    master.body = with_health(master, True, True)
    with Program(tmp_path, masters=[master.endpoint]) as program:
        program.wait_ready()
        both = answers(program, WEB)
        assert both == ["10.2.0.1", "10.2.0.2"]
        services = answers(program, "_web._tcp.marathon.mesos.", "SRV")
        steps: list[tuple[tuple[bool | None, bool | None], list[str]]] = [
            ((True, False), both[:1]),
            ((None, False), both[:1]),
            ((False, True), both[1:]),
            ((False, False), both),
            ((False, None), both[1:]),
            ((True, True), both),
        ]
        for verdicts, wanted in steps:
            master.body = with_health(master, *verdicts)
            until(has(program, *wanted), lambda: f"{answers(program, WEB)}: {program.log()}")
            until(served(program, len(wanted)), lambda: f"other services than addresses: {program.log()}")
            assert json.loads(program.get("/v1/status")[1])["left_out"] == 2 - len(wanted)
            # Each is there under its own name all the time.
            for target in services:
                assert answers(program, target) != []
        master.body = with_health(master, True, False, labels=[{"key": "mesos-dns.health", "value": "ignore"}])
        until(has(program, *both), "the label has no effect")


def test_it_can_be_turned_off(master: Master, tmp_path: Path) -> None:
    master.body = with_health(master, True, False)
    with Program(tmp_path, masters=[master.endpoint], HealthAware=False) as program:
        program.wait_ready()
        assert answers(program, WEB) == ["10.2.0.1", "10.2.0.2"]
