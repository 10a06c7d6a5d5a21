"""The command line, as a program in its own process."""

import json
import signal
import subprocess
import sys
import urllib.request

import pytest

from mesos_dns.demo import cli, program

MODULE = [sys.executable, "-W", "error", "-m", "mesos_dns.demo"]


class Running:
    """A started program; `line` waits for its next line of output."""

    def __init__(self, *arguments):
        self.process = subprocess.Popen(
            [*MODULE, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()

    def line(self):
        return self.process.stdout.readline()

    def end(self, number):
        self.process.send_signal(number)
        _, errors = self.process.communicate(timeout=20)
        return self.process.returncode, errors


def fetch(port, path):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as response:
        return response.read()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_cluster_alone_starts_and_stops(base_port, number):
    with Running(
        "--no-server", "--base-port", str(base_port), "--tasks", "12", "--agents", "3", "--churn", "20"
    ) as demo:
        assert demo.line().startswith("simulated Mesos cluster: 3 agents, 12 tasks")
        assert len(json.loads(fetch(base_port, "/master/state"))["slaves"]) == 3
        assert json.loads(fetch(base_port + 1, "/version"))["version"] == "1.11.0"
        assert demo.line()[2] == ":", "an event with its time"
        assert demo.end(number) == (0, "")


def test_the_masters_behave_like_the_release_that_is_asked_for_and_take_orders(base_port, free_ports):
    (orders,) = free_ports(1)
    arguments = ("--no-server", "--base-port", str(base_port), "--churn", "0", "--failover-every", "0")
    with Running(*arguments, "--version", "0.25.0", "--control", str(orders)) as demo:
        demo.line()
        assert json.loads(fetch(base_port, "/master/state.json"))["version"] == "0.25.0"
        order = urllib.request.Request(f"http://127.0.0.1:{orders}/demo/tear-down/0", method="POST")
        assert urllib.request.urlopen(order, timeout=10).read() == b"done: remove a framework with its tasks\n"
        names = [framework["name"] for framework in json.loads(fetch(base_port, "/state"))["frameworks"]]
        assert "chronos" in names
        assert "marathon" not in names
        assert demo.end(signal.SIGTERM) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (("--version", "one"), 2, "Mesos version 'one', expected one like 1.11.0, or clusterd"),
        (("--zk", "http://x"), 1, "cannot use http://x: http://... is not zk://"),
    ],
)
def test_what_cannot_be_simulated_is_refused(base_port, arguments, code, text):
    result = subprocess.run(
        [*MODULE, "--no-server", "--base-port", str(base_port), *arguments],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip

    assert result.returncode == code
    assert text in result.stderr
    assert "Traceback" not in result.stderr


def test_a_generated_state_goes_to_standard_output():
    result = subprocess.run(
        [*MODULE, "state", "--tasks", "25", "--agents", "4"], capture_output=True, check=True, timeout=60
    )

    document = json.loads(result.stdout)
    assert sum(len(framework["tasks"]) for framework in document["frameworks"]) == 25
    assert result.stderr == b""


def test_a_reader_that_has_seen_enough_is_no_traceback():
    with subprocess.Popen(
        [*MODULE, "state", "--tasks", "3000"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as writer:
        writer.stdout.read(10)
        writer.stdout.close()
        assert writer.wait(timeout=60) == 1
        assert writer.stderr.read() == b""


def test_a_state_file_is_served_and_read_again_on_sighup(free_ports, tmp_path):
    (port,) = free_ports(1)
    path = tmp_path / "state.json"
    path.write_text(f'{{"leader":"master@127.0.0.1:{port}"}}')
    with Running("serve-state", str(path), "--port", str(port)) as master:
        assert "serving" in master.line()
        path.write_text('{"new": true}')
        assert b"leader" in fetch(port, "/state")
        master.process.send_signal(signal.SIGHUP)
        assert "again: 13 octets" in master.line()
        assert fetch(port, "/state") == b'{"new": true}'
        assert master.end(signal.SIGTERM) == (0, "")


def test_a_watched_state_file_is_read_again_when_it_changes(free_ports, tmp_path):
    (port,) = free_ports(1)
    path = tmp_path / "state.json"
    path.write_text("{}")
    with Running("serve-state", str(path), "--port", str(port), "--watch") as master:
        assert "serving" in master.line()
        path.write_text('{"new": true}')
        assert "again" in master.line()
        assert fetch(port, "/state") == b'{"new": true}'
        code, errors = master.end(signal.SIGTERM)
        assert code == 0
        assert "warning" in errors
        assert "names the leader ''" in errors


def test_the_benchmark_master_changes_tasks(free_ports):
    (port,) = free_ports(1)
    with Running(
        "bench-master", "--port", str(port), "--tasks", "100", "--agents", "5", "--change-rate", "200"
    ) as master:
        assert "ChangingState(tasks=100" in master.line()
        while not json.loads(fetch(port, "/demo/changes"))["changes"]:
            pass
        assert json.loads(fetch(port, "/master/state"))["leader"] == f"master@127.0.0.1:{port}"
        assert master.end(signal.SIGTERM) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--agents", "0"], "less than 1"),
        (["--tasks", "-1"], "negative"),
        (["--ports", "8053"], "is not DNS,HTTP"),
        (["--ports", "8053,70000"], "is not a port"),
        (["--churn", "nan"], "0 or more"),
        (["--no-server", "--try"], "--no-server"),
        (["bench-master", "--change-rate", "-1"], "0 or more"),
        (["unknown"], "unrecognized arguments"),
    ],
)
def test_bad_arguments_are_explained(arguments, complaint, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)

    assert ended.value.code == 2
    assert complaint in capsys.readouterr().err


def test_problems_are_one_line_and_exit_code_1(tmp_path, free_ports, capsys):
    assert cli.main(["state", "--leader", "nowhere"]) == 1
    assert cli.main(["serve-state", str(tmp_path / "missing.json"), "--port", str(free_ports(1)[0])]) == 1

    first, second = capsys.readouterr().err.splitlines()
    assert "ADDRESS:PORT" in first
    assert "missing.json" in second


def test_the_demo_tries_every_query_and_all_go_well(base_port, free_ports):
    dns, http = free_ports(2)
    command = [*MODULE, "--try", "--base-port", str(base_port), "--ports", f"{dns},{http}"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)

    assert result.returncode == 0, result.stdout + result.stderr
    assert "ok  A    nginx.marathon.mesos 10." in result.stdout
    assert "ok  AAAA web.marathon.mesos fd00:" in result.stdout
    assert "FAILED" not in result.stdout


def test_the_demo_says_what_to_try_and_stops_its_server(base_port, free_ports):
    dns, http = free_ports(2)
    with Running("--base-port", str(base_port), "--ports", f"{dns},{http}") as demo:
        lines = [demo.line()]
        while "Ctrl-C" not in lines[-1]:
            lines.append(demo.line())
            assert lines[-1], "the demo ended"
        assert f"  dig @127.0.0.1 -p {dns} web.marathon.mesos AAAA +noall +answer\n" in lines
        assert json.loads(fetch(http, "/v1/hosts/nginx.marathon.mesos"))[0]["ip"].startswith("10.")
        assert demo.end(signal.SIGTERM) == (0, "")
    assert program.busy_ports(dns, http) == []
