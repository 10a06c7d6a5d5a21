"""Signals that come while the program starts: as soon as its first statement ran, none does harm."""

import os
import signal
from pathlib import Path

import pytest
from tests.integration.masters import Master
from tests.integration.program import Program, until


def catches(pid: int, number: signal.Signals) -> bool:
    """Whether the process has a handler for a signal (proc(5))."""
    status = Path(f"/proc/{pid}/status").read_text()
    (caught,) = [line.split()[1] for line in status.splitlines() if line.startswith("SigCgt:")]
    return bool(int(caught, 16) >> (number - 1) & 1)


def started(program: Program, number: signal.Signals) -> None:
    until(lambda: catches(program.pid, number), "the first statement never ran")


@pytest.mark.parametrize("more", [0, 3])
def test_sighup_during_the_start_does_not_end_it(master: Master, tmp_path: Path, more: int) -> None:
    with Program(tmp_path, masters=[master.endpoint], workers=1) as program:
        started(program, signal.SIGHUP)
        for _ in range(1 + more):
            os.kill(program.pid, signal.SIGHUP)
        program.wait_ready()
        # What changed after the file was read would be missed otherwise.
        until(lambda: "the new configuration is in force" in program.log(), lambda: f"no reload: {program.log()}")
        assert program.end() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_an_early_end_is_a_clean_one(master: Master, tmp_path: Path, number: signal.Signals) -> None:
    with Program(tmp_path, masters=[master.endpoint], workers=1) as program:
        started(program, signal.SIGTERM)
        assert program.end(number) == 0
        assert program.log() == ""
