"""What the command line says and how it ends, without a server."""

import contextlib
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from mesos_dns import __version__, cli

ROOT = Path(__file__).parent.parent
STATE = str(ROOT / "docs" / "examples" / "state.json")
MASTERS = {"MESOS_DNS_MASTERS": "127.0.0.1:1", "MESOS_DNS_LISTENER": "127.0.0.1"}


def ended(*args: str) -> object:
    """The exit code of a command in this process."""
    with pytest.raises(SystemExit) as caught:
        cli.main(args)
    return caught.value.code


def run(*args: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mesos_dns", *args],
        env={"PYTHONPATH": str(ROOT / "src"), "PATH": os.defpath, **environ},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (["bogus"], "unknown command 'bogus'; the commands are run, check, records, version"),
        (["-config=x.json", "bogus"], "unknown command 'bogus'"),
        (["Run"], "unknown command 'Run'"),
        (["-v=1", "records", "--state", "x"], "the command comes before all flags: mesos-dns records ..."),
        (["-nonsense"], "unknown flag -nonsense; mesos-dns -h lists the flags"),
        (["--state", "x"], "unknown flag --state"),
        (["-v=much"], "argument -v/--v: invalid int value: 'much'"),
        (["-version=perhaps"], "expected true or false, found 'perhaps'"),
        (["check", "bogus"], "unrecognized arguments: bogus"),
        (["records", "--format", "yaml"], "invalid choice: 'yaml'"),
    ],
    ids=" ".join,
)
def test_bad_command_lines_end_with_2_and_a_hint(
    args: list[str], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ended(*args) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert text in said.err


@pytest.mark.parametrize("flag", ["-h", "-help", "--help"])
def test_the_help_names_every_command(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert ended(flag) == 0
    text = capsys.readouterr().out
    for name in cli._COMMANDS:
        assert f"\n  {name} " in text
    assert "-config FILE" in text


@pytest.mark.parametrize("command", cli._COMMANDS)
def test_each_command_has_a_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert ended(command, "-h") == 0
    assert cli._ABOUT[command] in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    "args", [["version"], ["-version"], ["--version"], ["-version=true"], ["-logtostderr=true", "-v=2", "-version"]]
)
def test_the_version(args: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert ended(*args) == 0
    assert capsys.readouterr().out == f"{__version__}\n"


@pytest.mark.parametrize(
    "args",
    [
        ["-config=c.json", "-v=1"],
        ["--config", "c.json", "-v", "1"],
        ["-config", "c.json", "-logtostderr", "-stderrthreshold=INFO", "-v=1", "-version=false"],
    ],
    ids=" ".join,
)
def test_flags_of_the_go_program_mean_run(args: list[str]) -> None:
    options = cli._parse(args)
    assert (options.command, options.config, options.v, options.version) == ("run", "c.json", 1, False)


def test_records_of_a_saved_state_come_without_any_other_word() -> None:
    done = run("records", "--state", STATE, "--no-resolve")
    assert (done.returncode, done.stderr) == (0, "")
    assert "web.marathon.slave.mesos." in done.stdout


def test_records_of_masters_that_are_gone_say_so_once() -> None:
    done = run("records", **MASTERS)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "mesos-dns: no state of the cluster. master 127.0.0.1:1: no connection: connection refused\n"


@pytest.mark.parametrize("path", ["/no/such/file", STATE.replace("state.json", "config.json")])
def test_records_of_what_is_no_state(path: str) -> None:
    done = run("records", "--state", path)
    assert (done.returncode, done.stdout) == (1, "")
    assert len(done.stderr.splitlines()) == 1
    assert path in done.stderr


def test_records_of_an_empty_standard_input() -> None:
    done = run("records", "--state", "-")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("mesos-dns: standard input is no state of a Mesos master: expected the JSON object")


def test_whoever_stops_reading_is_not_told_anything() -> None:
    command = [sys.executable, "-m", "mesos_dns", "records", "--state", STATE, "--no-resolve"]
    reading, writing = os.pipe()
    os.close(reading)
    with contextlib.closing(os.fdopen(writing, "wb")) as closed_pipe:
        done = subprocess.run(
            command,
            env={"PYTHONPATH": str(ROOT / "src"), "PATH": os.defpath},
            stdout=closed_pipe,
            stderr=subprocess.PIPE,
            timeout=30,
            check=False,
        )
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_busy_http_port(tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        config.write_text(json.dumps({"DnsOn": False, "HTTPListener": "127.0.0.1", "HttpPort": port}))
        done = run(f"-config={config}", **MASTERS)
    assert done.returncode == 1
    assert f"mesos-dns: cannot serve HTTP: TCP 127.0.0.1 port {port}: Address already in use; another" in done.stderr
    assert "`ss -lntp` shows which" in done.stderr
