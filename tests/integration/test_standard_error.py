"""The real program with a standard error that nobody reads, that is closed, or that is systemd's journal."""

import fcntl
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.integration import client
from tests.integration.masters import Master
from tests.integration.program import Program, command, environment

QUESTION = ("web.marathon.mesos.", "A")


@contextmanager
def started(folder: Path, master: Master, stderr: int, *args: str, **variables: str) -> Iterator[Program]:
    """The program, not yet ready, with this descriptor as standard error."""
    program = Program(folder, masters=[master.endpoint], workers=1)
    program.write_config(program.config)
    program.log_file.touch()
    program.process = subprocess.Popen(
        command("run", "--config", str(program.config_file), *args),
        env=environment() | variables,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=stderr,
    )
    try:
        yield program
    finally:
        program.__exit__()


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """Reading and writing end of a pipe that is full."""
    reading, writing = os.pipe()
    size = fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    os.write(writing, b"x" * size)
    yield reading, writing
    os.close(reading)
    os.close(writing)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_a_full_pipe_blocks_nothing(pipe: tuple[int, int], master: Master, tmp_path: Path, number: int) -> None:
    with started(tmp_path, master, pipe[1], "-v=2") as program:
        program.wait_ready()
        assert client.ask(program.dns, *QUESTION)["answer"]
        assert program.end(number) == 0


def test_what_waited_is_written_when_somebody_reads_again(
    pipe: tuple[int, int], master: Master, tmp_path: Path
) -> None:
    reading, writing = pipe
    with started(tmp_path, master, writing, "-v=1") as program:
        program.wait_ready()
        found = b""
        while b"state taken" not in found:
            found += os.read(reading, 65536)
        assert b" INFO serving mesos.: DNS 127.0.0.1 port" in found
        assert program.end() == 0


def test_a_refusal_of_a_start_does_not_wait_for_its_reader(pipe: tuple[int, int], tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    file.write_text('{"masters": ["nonsense"]}')
    done = subprocess.run(
        command("run", "--config", str(file)), env=environment(), stderr=pipe[1], timeout=30, check=False
    )
    assert done.returncode == 78


def test_a_closed_pipe_ends_nothing(master: Master, tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with started(tmp_path, master, writing, "-v=2") as program:
        os.close(writing)
        program.wait_ready()
        assert client.ask(program.dns, *QUESTION)["answer"]
        assert program.end() == 0


def test_the_journal_gets_a_priority_in_front_of_each_line(master: Master, tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    with journal.open("wb") as stream:
        found = os.fstat(stream.fileno())
        variables = {"JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino}"}
        with started(tmp_path, master, stream.fileno(), "-v=1", **variables) as program:
            program.wait_ready()
            assert program.end() == 0
    lines = journal.read_text().splitlines()
    assert any(line.startswith("<6>INFO serving mesos.: ") for line in lines)
    assert [line for line in lines if not re.match(r"<[3-7]>(ERROR|WARNING|INFO|DEBUG) ", line)] == []
