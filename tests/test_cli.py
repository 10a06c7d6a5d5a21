"""The command line as people and unit files write it: flags in, exit code and text out."""

import io
import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

import mesos_dns
from mesos_dns import logs
from mesos_dns.cli import main
from mesos_dns.commands import configured
from mesos_dns.commands import run as commands_run
from mesos_dns.config.host import ThisHost
from mesos_dns.sockets import BindError

CONFIG = {"masters": ["127.0.0.1:5050"], "listener": "127.0.0.1", "externalOn": False, "ttl": 77}


class FakeControl:
    """Takes what the program would run with, instead of running."""

    started: list["FakeControl"] = []  # noqa: RUF012 - emptied for each test
    ends_with: BaseException | None = None

    def __init__(self, load, verbosity, niceness, *, origin, inherited):
        self.load = load
        self.verbosity = verbosity
        self.niceness = niceness
        self.origin = origin
        self.inherited = inherited

    async def run(self, config):
        self.config = config
        self.started.append(self)
        if self.ends_with is not None:
            raise self.ends_with


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    """No variable of the environment reaches the configuration, and logging is put back."""
    for name in list(os.environ):
        if name.startswith("MESOS_DNS_"):
            monkeypatch.delenv(name)
    root = logging.getLogger()
    level, handlers = root.level, root.handlers[:]
    yield
    for handler in root.handlers:
        if handler not in handlers:
            handler.close()  # and its thread ends
    root.setLevel(level)
    root.handlers[:] = handlers


@pytest.fixture
def fake(monkeypatch):
    monkeypatch.setattr(commands_run, "Control", FakeControl)
    monkeypatch.setattr(FakeControl, "started", [])
    monkeypatch.setattr(FakeControl, "ends_with", None)
    return FakeControl


@pytest.fixture
def run(capsys):
    """`run(*args)`: exit code, standard output, standard error."""

    def command(*args):
        with pytest.raises(SystemExit) as end:
            main(args)
        return end.value.code, *capsys.readouterr()

    return command


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def standard_input(monkeypatch):
    """`standard_input(text)`: what the next command finds there."""

    def give(text):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
        monkeypatch.setattr(configured, "_HOST", ThisHost())

    return give


@pytest.fixture
def config(here):
    """A good configuration, not in the default place."""
    path = str(here / "x.json")
    write(path, CONFIG)
    return path


def write(path, keys):
    Path(path).write_text(json.dumps(keys), encoding="utf-8")


# --- run ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "verbosity"),
    [
        (["-config={}"], 0),
        (["--config={}"], 0),
        (["-config", "{}"], 0),
        (["--config", "{}"], 0),
        (["-config={}", "-v=1"], 1),
        (["-v", "1", "-config", "{}"], 1),
        (["--v=2", "--config={}"], 2),
        (["--v", "3", "--config={}"], 3),
        (["-config=/nowhere", "-config={}"], 0),
        (["-logtostderr", "-config={}", "-v=1"], 1),
        (["-logtostderr=true", "-alsologtostderr=false", "-config={}"], 0),
        (["-stderrthreshold=INFO", "-vmodule=a=1,b=2", "-log_dir", "/var/log", "-config={}"], 0),
        (["--log_backtrace_at=x.go:1", "-config={}"], 0),
        (["-version=false", "-config={}"], 0),
        (["run", "--config", "{}"], 0),
        (["run", "-config={}", "-v=1"], 1),
    ],
)
def test_spellings(fake, run, config, args, verbosity):
    assert run(*(arg.format(config) for arg in args))[:2] == (0, "")
    (started,) = fake.started
    assert (started.config.file, started.config.ttl, started.verbosity) == (config, 77, verbosity)


@pytest.mark.parametrize(("verbosity", "level"), [("0", logging.WARNING), ("1", logging.INFO), ("2", logging.DEBUG)])
def test_verbosity(fake, run, config, verbosity, level):
    run("-config", config, "-v", verbosity)
    assert fake.started
    assert logging.getLogger().level == level


@pytest.mark.parametrize(
    ("args", "variables", "log_format"),
    [
        ([], {}, "text"),
        (["-log-format=json"], {}, "json"),
        (["--log-format", "text"], {"MESOS_DNS_LOG_FORMAT": "json"}, "text"),
        ([], {"MESOS_DNS_LOG_FORMAT": "json"}, "json"),
    ],
)
def test_the_format_of_the_log(fake, run, config, monkeypatch, args, variables, log_format):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert run("-config", config, *args)[0] == 0
    (started,) = fake.started
    assert started.config.log_format == log_format
    # At a reload, too.
    assert started.load().config.log_format == log_format
    (handler,) = logging.getLogger().handlers
    assert isinstance(handler.formatter, logs.JsonFormatter) == (log_format == "json")


def test_a_format_that_does_not_exist_is_refused(run, config):
    code, _, err = run("-config", config, "-log-format=xml")
    assert code == 2
    assert "invalid choice: 'xml'" in err


def test_the_default_is_config_json_here(fake, run, here):
    write(here / "config.json", CONFIG)
    assert run()[0] == 0
    assert fake.started[0].config.ttl == 77


def test_without_a_file_the_environment_will_do(fake, run, here, monkeypatch):  # noqa: ARG001 - is empty
    monkeypatch.setenv("MESOS_DNS_MASTERS", "10.0.0.1:5050")
    monkeypatch.setenv("MESOS_DNS_EXTERNAL_ON", "false")
    assert run()[0] == 0
    assert fake.started[0].config.masters == ("10.0.0.1:5050",)


def test_the_environment_stands_above_the_file(fake, run, config, monkeypatch):
    monkeypatch.setenv("MESOS_DNS_TTL", "5")
    run("-config", config)
    assert fake.started[0].config.ttl == 5


def test_a_reload_reads_the_same_file_again(fake, run, config):
    run("-config", config)
    (started,) = fake.started
    write(config, CONFIG | {"ttl": 78})
    assert started.load().config.ttl == 78


def test_warnings_of_the_configuration_are_logged(fake, run, config):
    write(config, CONFIG | {"tll": 5})
    code, out, err = run("-config", config)
    assert (code, out) == (0, "")
    assert f" WARNING configuration: file {config}: unknown key 'tll'" in err
    assert fake.started


@pytest.mark.parametrize("args", [["-config=/nowhere/x.json"], ["run", "--config", "/nowhere/x.json"], []])
def test_without_a_configuration_it_does_not_start(fake, run, here, args):  # noqa: ARG001 - is empty
    code, out, err = run(*args)
    assert (code, out) == (78, "")
    first, second = err.splitlines()
    assert first.endswith(" ERROR the configuration cannot be used, there is no start: mend each of the following")
    assert " ERROR configuration: file /" in second
    assert second.endswith("give the path of the configuration file with -config=PATH")
    assert not fake.started


def test_a_socket_that_cannot_be_had_ends_with_1(fake, run, config, monkeypatch):
    monkeypatch.setattr(fake, "ends_with", BindError("cannot listen on UDP 127.0.0.1 port 53: why; what to do"))
    code, out, err = run("-config", config)
    assert (code, out) == (1, "")
    assert err.endswith(" ERROR no start: cannot listen on UDP 127.0.0.1 port 53: why; what to do\n")


def test_an_interrupt_ends_with_130(fake, run, config, monkeypatch):
    monkeypatch.setattr(fake, "ends_with", KeyboardInterrupt())
    assert run("-config", config)[0] == 130


def test_every_problem_of_a_refused_configuration_is_a_line_of_the_log(fake, run, config):
    write(config, {"masters": ["nonsense"], "port": "fifty-three", "tll": 5, "externalOn": False})
    code, out, err = run("-config", config)
    assert (code, out) == (78, "")
    heads = [" ".join(line.split(" ")[2:5]) for line in err.splitlines()]
    assert heads == [
        "ERROR the configuration",
        "ERROR configuration: Port",
        "ERROR configuration: Masters",
        "WARNING configuration: file",
    ]
    assert not fake.started


def test_the_configuration_may_come_from_standard_input(fake, run, standard_input):
    standard_input(json.dumps(CONFIG))
    assert run("-config", "-")[0] == 0
    (started,) = fake.started
    assert (started.config.ttl, started.config.file) == (77, "-")
    assert started.load().config == started.config  # a reload takes what it was


# --- bad flags ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "args",
    [
        ["-nonsense"],
        ["--conf=x"],  # no abbreviations: Go has none
        ["-vers"],
        ["-v"],
        ["-v=much"],
        ["-v", "1.5"],
        ["-config"],
        ["-version=perhaps"],
        ["bogus"],
        ["-v=1", "check"],
        ["run", "extra"],
        ["run", "-nonsense"],
        ["check", "--state", "x"],
        ["check", "--frob"],
        ["version", "-v=1"],
        ["records", "--format", "xml"],
        ["records", "--state", "x", "--master", "127.0.0.1:5050"],
    ],
)
def test_bad_flags_end_with_2_and_tell(fake, run, here, args):  # noqa: ARG001 - is empty
    code, out, err = run(*args)
    assert (code, out) == (2, "")
    assert err.startswith("usage: mesos-dns")
    assert "mesos-dns" in err.splitlines()[-1]
    assert "error: " in err.splitlines()[-1]
    assert not fake.started


@pytest.mark.parametrize("command", ["run", "check", "records", "version"])
def test_who_mistypes_a_flag_sees_those_of_the_command(run, command):
    code, _, err = run(command, "--frob")
    assert code == 2
    assert err.startswith(f"usage: mesos-dns {command} [-h]")
    assert "--frob" in err.splitlines()[-1]


def test_who_mistypes_a_command_learns_their_names(run):
    _, _, err = run("chekc")
    assert "'chekc'" in err
    assert all(name in err for name in ("run", "check", "records", "version"))
    assert "check" in run("-v=1", "check")[2].splitlines()[-1]


@pytest.mark.parametrize("flag", ["-h", "-help", "--help"])
def test_help(run, flag):
    code, out, err = run(flag)
    assert (code, err) == (0, "")
    assert all(word in out for word in ("-config", "-v", "-version", "check", "records"))
    assert "logtostderr" not in out
    assert run("records", "-h")[0] == 0


# --- version -----------------------------------------------------------------------------------


@pytest.mark.parametrize("args", [["version"], ["-version"], ["--version"], ["-version=true"], ["-v=1", "-version"]])
def test_version(fake, run, here, args):  # noqa: ARG001 - no configuration is needed
    assert run(*args) == (0, f"{mesos_dns.__version__}\n", "")
    assert not fake.started


# --- as a process ------------------------------------------------------------------------------


def program(*args, **more):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen([sys.executable, "-m", "mesos_dns", *args], env=environment, **more)


def test_the_module_is_the_program():
    with program("version", stdout=subprocess.PIPE) as process:
        assert process.communicate(timeout=20)[0].decode() == f"{mesos_dns.__version__}\n"
    assert process.returncode == 0


def test_a_reader_that_has_seen_enough_is_no_error(config):
    reading, writing = os.pipe()
    os.close(reading)
    with program("check", "--config", config, stdout=writing, stderr=subprocess.PIPE) as process:
        os.close(writing)
        _, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (0, b"")


@pytest.mark.parametrize(
    "args", [["version"], ["check", "--config", "CONFIG"], ["check", "--json", "--config", "CONFIG"]]
)
def test_output_to_a_full_disk_is_an_error_in_one_line(config, args):
    given = [config if arg == "CONFIG" else arg for arg in args]
    with Path("/dev/full").open("wb") as full, program(*given, stdout=full, stderr=subprocess.PIPE) as process:
        _, err = process.communicate(timeout=20)
    assert process.returncode == 1
    assert err == b"mesos-dns: the output cannot be written: No space left on device\n"


def test_the_exit_code_is_told_although_the_disk_is_full():
    with Path("/dev/full").open("wb") as full:
        for args, code in ((["check", "--config", "/nowhere"], 78), (["run", "--config", "/nowhere"], 78), (["-x"], 2)):
            with program(*args, stdout=full, stderr=full) as process:
                assert process.wait(20) == code
