"""`mesos-dns records`: where the state comes from, and where it cannot, why."""

import gzip
import io
import json
import os
import socket
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.commands.given import CONFIG, STATES, parsed
from tests.integration.masters import Master

from mesos_dns.cli import main
from mesos_dns.commands import configured, records
from mesos_dns.commands.records import NoStateError, zone_of
from mesos_dns.config.host import ThisHost
from mesos_dns.dns import name as names
from mesos_dns.dns import rdata as rd
from mesos_dns.mesos import hosts

CLUSTER = {
    "id": "M1",
    "pid": "master@10.0.0.1:5050",
    "leader": "master@10.0.0.1:5050",
    "flags": {},
    "slaves": [{"id": "S0", "pid": "slave(1)@agent.example:5051"}],
    "frameworks": [
        {
            "id": "F",
            "name": "fw",
            "pid": "scheduler@10.0.0.9:99",
            "tasks": [
                {
                    "id": "t",
                    "name": "web",
                    "slave_id": "S0",
                    "state": "TASK_RUNNING",
                    "resources": {"ports": "[31000-31000]"},
                }
            ],
        }
    ],
}


@pytest.fixture
def resolver(monkeypatch):
    """Knows one host, and keeps what it was asked."""
    asked = []

    def getaddrinfo(host, *_, **__):
        asked.append(host)
        if host != "agent.example":
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(None, None, 0, "", ("10.0.0.5", 0))]

    monkeypatch.setattr(hosts.socket, "getaddrinfo", getaddrinfo)
    return asked


@pytest.fixture
def run(capsys, monkeypatch, tmp_path):
    """`run(*args)` of `mesos-dns records`: exit code, standard output, standard error."""
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.startswith("MESOS_DNS_"):
            monkeypatch.delenv(name)
    monkeypatch.setattr("mesos_dns.logs.configure", lambda _: None)

    def command(*args):
        with pytest.raises(SystemExit) as end:
            main(["records", *args])
        return end.value.code, *capsys.readouterr()

    return command


# --- where the state comes from ------------------------------------------------------------------


def table(output):
    """Owners and rdata of a table."""
    return {(line.split()[0], line.split()[-1]) for line in output.splitlines()}


def test_a_saved_state_without_any_configuration(run, saved, resolver):
    code, out, err = run("--state", saved(CLUSTER))
    assert (code, err) == (0, "")
    assert resolver == ["agent.example"]
    assert {("web.fw.mesos.", "10.0.0.5"), ("slave.mesos.", "10.0.0.5"), ("leader.mesos.", "10.0.0.1")} <= table(out)
    assert ("_web._tcp.fw.mesos.", "SRV") in {tuple(line.split()[:2]) for line in out.splitlines()}


def owners(output):
    return {line.split()[0] for line in output.splitlines()}


def test_without_a_list_of_masters_none_is_invented(run, saved):
    code, out, _ = run("--state", saved(CLUSTER), "--no-resolve")
    assert code == 0
    assert {("leader.mesos.", "10.0.0.1"), ("_leader._tcp.mesos.", "leader.mesos.")} <= table(out)
    assert {owner for owner in owners(out) if "master" in owner} == set()
    assert not any("master" in data for _, data in table(out))


def test_a_state_that_names_no_leader_has_none(run, saved):
    code, out, _ = run("--state", saved({**CLUSTER, "leader": ""}), "--no-resolve")
    assert code == 0
    assert {owner for owner in owners(out) if "leader" in owner or "master" in owner} == set()
    assert "_framework._tcp.fw.mesos." in owners(out)


def test_with_a_saved_state_the_configuration_needs_no_masters(run, saved, tmp_path):
    config = tmp_path / "c.json"
    config.write_text(json.dumps({"domain": "cluster", "externalOn": False}))
    code, out, err = run("--config", str(config), "--state", saved(CLUSTER), "--no-resolve")
    assert (code, err) == (0, "")
    assert ("leader.cluster.", "10.0.0.1") in table(out)
    assert "master0.cluster." not in owners(out)
    assert run("--config", str(config))[0] == 78


def test_with_a_saved_state_nobody_asks_zookeeper(run, saved, monkeypatch):
    monkeypatch.setenv("MESOS_DNS_ZK", "zk://127.0.0.1:1/mesos")
    code, out, err = run("--state", saved(CLUSTER), "--no-resolve")
    assert (code, err) == (0, "")
    assert "leader.mesos." in owners(out)
    assert "master0.mesos." not in owners(out)


def test_a_master_that_is_named_is_asked_whatever_zk_says(run, monkeypatch):
    monkeypatch.setenv("MESOS_DNS_ZK", "zk://127.0.0.1:1/mesos")
    master = Master(("127.0.0.1", 0), b"")
    at = "{}:{}".format(*master.endpoint)
    master.body = json.dumps({**CLUSTER, "pid": f"master@{at}", "leader": f"master@{at}"}).encode()
    try:
        code, out, _ = run("--master", at, "--no-resolve")
    finally:
        master.close()
    assert code == 0
    assert ("master0.mesos.", "127.0.0.1") in table(out)


def test_a_zookeeper_that_is_gone_is_named(run, monkeypatch):
    monkeypatch.setattr("mesos_dns.mesos.sources.READ_ONCE_PATIENCE", 0.5)
    monkeypatch.setenv("MESOS_DNS_ZK", "zk://me:hunter2@127.0.0.1:1/mesos")
    code, out, err = run()
    assert (code, out) == (1, "")
    assert "no master to ask: Masters lists none, and Zk has named none yet" in err
    assert "ZooKeeper zk://127.0.0.1:1/mesos has been silent for" in err
    assert "Connection refused" in err
    assert "hunter2" not in err


def test_masters_of_the_environment_are_numbered(run, saved, monkeypatch):
    monkeypatch.setenv("MESOS_DNS_MASTERS", "10.0.0.2:5050")
    code, out, _ = run("--state", saved(CLUSTER), "--no-resolve")
    assert code == 0
    assert {("master0.mesos.", "10.0.0.2"), ("master1.mesos.", "10.0.0.1")} <= table(out)


def test_a_configuration_from_standard_input(run, saved, monkeypatch):
    monkeypatch.setattr(configured, "_HOST", ThisHost())
    text = json.dumps({"masters": ["10.0.0.1:5050"], "domain": "cluster", "externalOn": False})
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    code, out, err = run("--config", "-", "--state", saved(CLUSTER), "--no-resolve")
    assert (code, err) == (0, "")
    assert ("master0.cluster.", "10.0.0.1") in table(out)


def test_host_names_need_not_be_looked_up(run, saved, resolver):
    code, out, _ = run("--state", saved(CLUSTER), "--no-resolve")
    assert (code, resolver) == (0, [])
    assert "web.fw.mesos." not in {owner for owner, _ in table(out)}
    assert ("leader.mesos.", "10.0.0.1") in table(out)


def test_hosts_that_cannot_be_resolved_are_left_out(run, saved, resolver):
    state = json.loads(json.dumps(CLUSTER).replace("agent.example", "gone.example"))
    code, out, _ = run("--state", saved(state))
    assert (code, resolver) == (0, ["gone.example"])
    assert ("leader.mesos.", "10.0.0.1") in table(out)


@pytest.mark.parametrize("form", ["table", "zone", "json"])
def test_standard_input(run, monkeypatch, resolver, form):  # noqa: ARG001 - nothing leaves this machine
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(json.dumps(CLUSTER).encode())))
    code, out, err = run("--state", "-", "--format", form)
    assert (code, err) == (0, "")
    assert "leader.mesos." in out
    if form == "zone":
        assert (names.from_text("leader.mesos"), rd.A, b"\x0a\0\0\1") in parsed(out)
    if form == "json":
        assert json.loads(out)["zone"] == "mesos."


def test_a_configuration_names_the_zone_and_the_masters(run, saved, tmp_path):
    config = tmp_path / "c.json"
    config.write_text(
        json.dumps({"masters": ["10.0.0.2:5050", "10.0.0.1:5050"], "domain": "cluster", "externalOn": False})
    )
    code, out, _ = run("--config", str(config), "--state", saved(CLUSTER), "--no-resolve")
    assert code == 0
    assert {("master0.cluster.", "10.0.0.2"), ("master1.cluster.", "10.0.0.1")} <= table(out)
    assert not any("127.0.0.1" in value for owner, value in table(out) if owner.startswith("master"))


def test_a_live_master(run, resolver):
    master = Master(("127.0.0.1", 0), b"")
    host, port = master.endpoint
    state = json.dumps(CLUSTER).replace("10.0.0.1:5050", f"{host}:{port}")
    master.body = state.encode()
    try:
        code, out, err = run("--master", f"{host}:{port}")
    finally:
        master.close()
    assert (code, err, resolver) == (0, "", ["agent.example"])
    assert {("leader.mesos.", "127.0.0.1"), ("web.fw.mesos.", "10.0.0.5")} <= table(out)
    assert master.asked == 1


# --- where it cannot come from -------------------------------------------------------------------


def test_a_master_that_is_not_there(run):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        code, out, err = run("--master", f"127.0.0.1:{port}")
    assert (code, out) == (1, "")
    assert err.startswith("mesos-dns: ")
    assert f"127.0.0.1:{port}" in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("document", "kind"),
    [
        (
            {"id": "S0", "pid": "slave(1)@10.0.0.5:5051", "frameworks": [], "completed_frameworks": []},
            "the state of an agent (/slave(1)/state)",
        ),
        (
            {"pid": "slave(1)@10.0.0.5:5051", "slaves": [], "frameworks": []},
            "the state of an agent (/slave(1)/state)",
        ),
        (
            {"hostname": "m", "cluster": "c", "slaves": [{"id": "S0", "framework_ids": []}], "frameworks": []},
            "a summary without tasks (/master/state-summary)",
        ),
        (
            {"slaves": [], "frameworks": [{"id": "F", "slave_ids": ["S0"], "TASK_RUNNING": 1}]},
            "a summary without tasks (/master/state-summary)",
        ),
        ({"hostname": "m", "cluster": "c", "slaves": [], "frameworks": []}, "a summary without tasks"),
        ({"slaves": [], "recovered_slaves": []}, "a list of agents (/master/slaves)"),
        ({"frameworks": [], "completed_frameworks": []}, "a list of frameworks (/master/frameworks)"),
        ({"tasks": []}, "a list of tasks (/master/tasks)"),
        ({"type": "GET_STATE", "get_state": {}}, "an answer of the operator API (/api/v1)"),
    ],
)
def test_what_else_mesos_answers_is_refused_by_its_name(run, saved, document, kind):
    path = saved(document)
    code, out, err = run("--state", path)
    assert (code, out) == (1, "")
    assert err.startswith(f"mesos-dns: {path} is {kind}")
    assert err.endswith("; expected what a leading master answers to /master/state\n")


@pytest.mark.parametrize("state", STATES, ids=lambda path: path.stem)
def test_states_are_nothing_else(state):
    assert records.what_else(gzip.decompress(state.read_bytes())) is None


VALUES = st.recursive(st.none() | st.text(max_size=5) | st.integers() | st.just("slave(1)@a:1"), st.lists, max_leaves=5)
MARKS = st.sampled_from(["id", "pid", "type", "cluster", "tasks", "slaves", "frameworks", "framework_ids", "slave_ids"])


@given(
    st.binary()
    | st.recursive(VALUES, lambda inner: st.dictionaries(MARKS, inner, max_size=5), max_leaves=10)
    .map(json.dumps)
    .map(str.encode)
)
def test_any_octets_are_something_or_nothing(body):
    records.what_else(body)


def test_a_bad_master_is_blamed_on_its_flag(run, monkeypatch):
    monkeypatch.setenv("MESOS_DNS_MASTERS", "10.0.0.1:5050")
    code, out, err = run("--master", "nonsense")
    assert (code, out) == (78, "")
    assert "Masters (flag --master): 'nonsense' has no port; expected host:port" in err
    assert "environment" not in err


def test_only_one_thing_can_be_on_standard_input(run):
    assert run("--config", "-", "--state", "-") == (
        2,
        "",
        "mesos-dns: --config and --state cannot both be standard input\n",
    )


def test_a_file_that_cannot_be_read(run, tmp_path):
    path = tmp_path / "nowhere.json"
    assert run("--state", str(path)) == (1, "", f"mesos-dns: cannot read {path}: No such file or directory\n")
    code, _, err = run("--state", str(tmp_path))
    assert (code, err) == (1, f"mesos-dns: cannot read {tmp_path}: Is a directory\n")


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"<html><body>Please log in</body></html>", "<html><body>Please log in"),
        (b"", "nothing"),
        (b'{"frameworks": [', "'frameworks'"),
        (b"{}", "no /master/state document"),
        (b"\xff\xfe", "found"),
    ],
)
def test_a_file_that_is_no_state(run, saved, content, found):
    path = saved(content)
    code, out, err = run("--state", path)
    assert (code, out) == (1, "")
    assert err.startswith(f"mesos-dns: {path} is no state of a Mesos master: ")
    assert found.strip("'") in err
    assert len(err.splitlines()) == 1


def test_standard_input_that_is_no_state(run, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))
    code, _, err = run("--state", "-")
    assert code == 1
    assert "standard input is no state of a Mesos master" in err


def test_the_error_is_one_that_callers_can_tell():
    with pytest.raises(NoStateError, match="cannot read /nowhere: No such file"):
        zone_of(CONFIG, "/nowhere", resolve=True)
    assert records.NoStateError is NoStateError


@pytest.mark.parametrize("args", [(), ("--master", "nonsense"), ("--config", "/nowhere/c.json", "--state", "x")])
def test_a_configuration_that_cannot_be_used_ends_with_78(run, args):
    code, out, err = run(*args)
    assert (code, out) == (78, "")
    assert "the configuration cannot be used" in err


def test_a_reader_that_has_seen_enough_is_no_error(saved, tmp_path):
    """As in `mesos-dns records ... | head -1`, with more output than a pipe holds."""
    tasks = [{"id": f"t{n}", "name": f"task-{n}", "slave_id": "S0", "state": "TASK_RUNNING"} for n in range(2000)]
    state = CLUSTER | {
        "slaves": [{"id": "S0", "pid": "slave(1)@10.0.0.5:5051"}],
        "frameworks": [CLUSTER["frameworks"][0] | {"tasks": tasks}],
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "mesos_dns", "records", "--state", saved(state)],
        env={"PYTHONPATH": os.pathsep.join(sys.path), "PATH": ""},
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    with process:
        assert process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(20) == 0
