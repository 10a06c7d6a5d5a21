"""`mesos-dns watch` beside the real program: what appears and vanishes, through a reload and a restart."""

import json
import signal
import subprocess
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.integration.masters import Master
from tests.integration.program import Program, command, environment, run, sample_state, until

QUICK = {"RefreshSeconds": 1}


class Watching:
    """The command, and what it has printed."""

    def __init__(self, folder: Path, *args: str) -> None:
        self.out, self.err = folder / "watch.out", folder / "watch.err"
        with self.out.open("wb") as out, self.err.open("wb") as err:
            self.process = subprocess.Popen(
                command("watch", *args), env=environment(), stdin=subprocess.DEVNULL, stdout=out, stderr=err
            )

    def text(self) -> str:
        return self.out.read_text()

    def says(self, what: str) -> str:
        until(lambda: what in self.text(), lambda: f"{what} is not in {self.text()}{self.err.read_text()}")
        return self.text()


@contextmanager
def watching(folder: Path, *args: str) -> Generator[Watching]:
    started = Watching(folder, *args)
    try:
        yield started
    finally:
        started.process.send_signal(signal.SIGINT)
        assert started.process.wait(15) == 130


def changes(program: Program, since: int = 0) -> list[dict[str, Any]]:
    status, body = program.get(f"/v1/changes?since={since}")
    assert status == 200
    found: list[dict[str, Any]] = json.loads(body)["changes"]
    return found


def test_names_as_they_come_and_go(master: Master, tmp_path: Path) -> None:
    with Program(tmp_path, masters=[master.endpoint], **QUICK) as program:
        program.wait_ready()
        with watching(tmp_path, "--config", str(program.config_file), "--since", "0") as watch:
            watch.says("the first state of the cluster: 2 running tasks")
            master.body = sample_state(master.endpoint, db="10.2.0.9")
            said = watch.says("task 'db.1' of framework 'marathon' runs")
            assert "  + db.marathon.mesos. A 10.2.0.9\n" in watch.says("+ db.marathon.mesos. A")
            assert " serial " in said
            master.body = sample_state(master.endpoint)
            watch.says("task 'db.1' of framework 'marathon' runs no more")
            watch.says("  - db.marathon.mesos. A 10.2.0.9")

            # A reload goes on with what was known, and a restart is waited for.
            before = len(changes(program))
            program.write_config(program.config | {"ttl": 7})
            program.process.send_signal(signal.SIGHUP)  # type: ignore[union-attr]  # it was started
            until(lambda: "in force" in program.get("/v1/status")[1], "the reload never came")
            assert len(changes(program)) > before
            master.body = sample_state(master.endpoint, cache="10.2.0.10")
            watch.says("  + cache.marathon.mesos. A 10.2.0.10")
            assert program.end() == 0
            until(lambda: "another try every" in watch.err.read_text(), "the end was not noticed")
            # The serials of a new process are those of a later second.
            until(lambda: int(time.time()) > changes_end(watch), "time stands still")
            with program:
                program.wait_ready()
                master.body = sample_state(master.endpoint, queue="10.2.0.11")
                watch.says("  + queue.marathon.mesos. A 10.2.0.11")


def changes_end(watch: Watching) -> int:
    """The last serial that was told."""
    return max(int(line.split(" serial ")[1].split(":")[0]) for line in watch.text().splitlines() if " serial " in line)


def test_once_and_as_json(program: Program) -> None:
    url = f"127.0.0.1:{program.http_port}"
    found = run("watch", "--url", url, "--once", "--json")
    (change,) = [json.loads(line) for line in found.stdout.splitlines()]
    assert (change["zone"], change["appeared"], found.returncode) == ("mesos.", [], 0)
    assert change["appeared_more"] > 10
    assert run("watch", "--url", url, "--once", "--since", str(change["serial"])).stdout == ""


def test_no_server(tmp_path: Path) -> None:
    found = run("watch", "--url", "127.0.0.1:1")
    assert (found.returncode, found.stdout) == (1, "")
    assert found.stderr.startswith("mesos-dns: http://127.0.0.1:1/v1/changes: ")
    assert "does it run there?" in found.stderr
    found = run("watch", cwd=tmp_path)
    assert (found.returncode, found.stderr) == (
        1,
        "mesos-dns: which server? There is no config.json here: give --config FILE, or --url http://HOST:8123\n",
    )
    assert run("watch", "--since", "x").returncode == 2


def test_a_server_that_is_another(master: Master) -> None:
    found = run("watch", "--url", f"http://127.0.0.1:{master.endpoint[1]}", "--once")
    assert found.returncode == 1
    assert "/v1/changes" in found.stderr
