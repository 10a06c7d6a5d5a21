"""`mesos-dns check`: every problem and warning, for people and as JSON, and an exit code."""

import io
import json
import os
from pathlib import Path

import pytest

from mesos_dns.cli import main
from mesos_dns.commands import configured
from mesos_dns.config.host import ThisHost

CONFIG = {"masters": ["127.0.0.1:5050"], "listener": "127.0.0.1", "externalOn": False, "ttl": 77}


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty working directory, and no variables."""
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.startswith("MESOS_DNS_"):
            monkeypatch.delenv(name)
    return tmp_path


@pytest.fixture
def config(here):
    """A good configuration, not in the default place."""
    path = str(here / "x.json")
    write(path, CONFIG)
    return path


@pytest.fixture
def run(capsys):
    """`run(*args)`: exit code, standard output, standard error."""

    def command(*args):
        with pytest.raises(SystemExit) as end:
            main(args)
        return end.value.code, *capsys.readouterr()

    return command


def write(path, keys):
    Path(path).write_text(json.dumps(keys), encoding="utf-8")


def test_check_says_that_there_is_nothing_to_say(run, config):
    assert run("check", "--config", config) == (0, f"{config}: no problems\n", "")


def test_check_shows_warnings(run, config):
    write(config, CONFIG | {"tll": 5})
    code, out, err = run("check", "-config", config)
    assert (code, err) == (0, "")
    warning, last = out.splitlines()
    assert warning.startswith(f"warning: file {config}: unknown key 'tll'")
    assert last == f"{config}: no problems"


def test_check_prints_every_problem(run, config, monkeypatch):
    bad = {"masters": ["nonsense"], "port": "fifty-three", "domain": ".x", "httpPort": 70000, "externalOn": False}
    write(config, bad)
    monkeypatch.setenv("MESOS_DNS_TTL", "-1")
    code, out, err = run("check", "--config", config)
    assert (code, out) == (78, "")
    first, *problems = err.splitlines()
    assert first == "mesos-dns: the configuration cannot be used:"
    problems = [line for line in problems if not line.startswith("warning: ")]
    assert sorted(problem.split(" ")[0] for problem in problems) == ["Domain", "HttpPort", "Masters", "Port", "TTL"]
    assert sum(f"(file {config})" in problem for problem in problems) == 4
    assert sum("(environment MESOS_DNS_TTL)" in problem for problem in problems) == 1


def test_check_of_the_environment_alone(run, here, monkeypatch):  # noqa: ARG001 - is empty
    monkeypatch.setenv("MESOS_DNS_MASTERS", "10.0.0.1:5050")
    monkeypatch.setenv("MESOS_DNS_EXTERNAL_ON", "false")
    assert run("check") == (0, "the environment: no problems\n", "")


def test_warnings_are_shown_beside_problems(run, config):
    write(config, CONFIG | {"port": 70000, "tll": 5})
    code, out, err = run("check", "--config", config)
    assert (code, out) == (78, "")
    assert err.splitlines() == [
        "mesos-dns: the configuration cannot be used:",
        f"Port (file {config}): 70000 is out of range; expected an integer from 0 to 65535",
        f"warning: file {config}: unknown key 'tll' is ignored; did you mean TTL?",
    ]


def test_strict(run, config):
    assert run("check", "--strict", "--config", config) == (0, f"{config}: no problems\n", "")
    write(config, CONFIG | {"tll": 5})
    code, out, err = run("check", "--strict", "--config", config)
    assert (code, err) == (1, "")
    assert out.startswith("warning: ")
    write(config, CONFIG | {"tll": 5, "port": 70000})
    assert run("check", "--strict", "--config", config)[0] == 78


def test_json(run, config):
    code, out, err = run("check", "--json", "--config", config)
    assert (code, err) == (0, "")
    assert json.loads(out) == {"configuration": config, "usable": True, "findings": []}
    write(config, CONFIG | {"tll": 5, "port": 70000, "reverseDnsOn": True})
    code, out, err = run("check", "--json", "--config", config)
    assert (code, err) == (78, "")
    found = json.loads(out)
    assert (found["configuration"], found["usable"]) == (config, False)
    assert [(one["severity"], one["key"], one["where"]) for one in found["findings"]] == [
        ("problem", "Port", f"file {config}"),
        ("warning", "ReverseDnsOn", f"file {config}"),
        ("warning", "", f"file {config}"),
    ]
    assert found["findings"][0]["message"] == "70000 is out of range; expected an integer from 0 to 65535"


def test_zookeeper_alone_is_enough(run, config):
    write(config, {"zk": "zk://10.0.0.1:2181,10.0.0.2:2181/mesos", "listener": "127.0.0.1", "externalOn": False})
    assert run("check", "--config", config) == (0, f"{config}: no problems\n", "")


def test_zookeeper_in_a_file(run, config, here):
    write(config, {"zk": f"file://{here}/zk", "listener": "127.0.0.1", "externalOn": False})
    code, _, err = run("check", "--config", config)
    assert code == 78
    assert f"names the file {here}/zk, which cannot be read: No such file or directory" in err
    (here / "zk").write_text("zk://me:hunter2@10.0.0.1\n")
    code, _, err = run("check", "--config", config)
    assert code == 78
    assert "'zk://******@10.0.0.1' has no path" in err
    (here / "zk").write_text("  zk://me:hunter2@10.0.0.1/mesos\n")
    assert run("check", "--config", config) == (0, f"{config}: no problems\n", "")


def test_json_with_warnings_only(run, config):
    write(config, CONFIG | {"tll": 5})
    code, out, _ = run("check", "--json", "--strict", "--config", config)
    assert (code, json.loads(out)["usable"]) == (1, True)


def test_standard_input(run, here, monkeypatch):  # noqa: ARG001 - is empty
    for text, expected in (json.dumps(CONFIG), 0), ("nonsense", 78):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
        monkeypatch.setattr(configured, "_HOST", ThisHost())
        code, out, err = run("check", "--config", "-")
        assert code == expected
        assert "standard input: " in out + err


def test_a_closed_standard_input_is_a_problem(run, here, monkeypatch):  # noqa: ARG001 - is empty
    monkeypatch.setattr("sys.stdin", None)
    monkeypatch.setattr(configured, "_HOST", ThisHost())
    code, _, err = run("check", "--config", "-")
    assert code == 78
    assert "standard input: cannot be read: it is closed" in err


def test_a_server_that_would_ask_itself_is_found(run, config):
    write(config, CONFIG | {"externalOn": True, "listener": "0.0.0.0", "resolvers": ["127.0.0.53"]})
    code, _, err = run("check", "--config", config)
    assert code == 78
    assert "'127.0.0.53' leads back to this server" in err
