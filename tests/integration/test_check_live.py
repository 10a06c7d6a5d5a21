"""`mesos-dns check --live` with real servers: what is well, what is not, in words, and the exit code."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.certificates import Certificates
from tests.integration.faulty import NameServer, saying
from tests.integration.masters import Master
from tests.integration.program import Program, free_port, need, run
from tests.integration.unbound import unbound
from tests.integration.zookeeper import ZooKeeper, only, stand

#: (area, subject): levels and what was found.
Lines = Mapping[tuple[str, str], list[tuple[str, str]]]


@pytest.fixture
def configured(tmp_path: Path) -> Callable[..., str]:
    """`configured(**keys)`: the path of a configuration whose ports are free."""

    def write(**keys: Any) -> str:
        config = {
            "listener": "127.0.0.1",
            "httpListener": "127.0.0.1",
            "port": free_port(),
            "httpPort": free_port(),
            "externalOn": "Resolvers" in keys,
            **keys,
        }
        path = tmp_path / "live.json"
        path.write_text(json.dumps(config))
        return str(path)

    return write


def check(path: str) -> tuple[int, Lines]:
    """Exit code and what the probes found."""
    done = run("check", "--live", "--json", "--config", path)
    assert done.stderr == ""
    found = json.loads(done.stdout)
    assert found["usable"]
    lines: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for one in found["probes"]:
        lines.setdefault((one["area"], one["subject"]), []).append((one["level"], one["found"]))
    levels = {one["level"] for one in found["probes"]}
    assert found["verdict"] == next(level for level in ("fail", "warn", "ok") if level in levels)
    for one in found["probes"]:
        # Whatever is not well is said with what was tried, and what to do.
        assert one["level"] == "ok" or (one["tried"] and one["advice"]), one
    return done.returncode, lines


def text(endpoint: tuple[str, int]) -> str:
    return "{}:{}".format(*endpoint)


def test_all_is_well_beside_a_program_that_runs(shared_program: Program) -> None:
    done = run("check", "--live", "--config", str(shared_program.config_file))
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0] == f"{shared_program.config_file}: no problems"
    master = shared_program.config["masters"][0]
    assert [line.split()[:5] for line in lines if " leads; " in line] == [["ok", "master", master, "leads;", "Mesos"]]
    held = [line for line in lines if "held by a Mesos-DNS that runs ('mesos-dns', process " in line]
    assert len(held) == 3, lines
    assert lines[-1].endswith(" 0 fail")
    assert shared_program.get("/readyz")[0] == 200


def test_problems_of_the_configuration_come_first(configured: Callable[..., str]) -> None:
    done = run("check", "--live", "--config", configured(masters=["nonsense"]))
    assert (done.returncode, done.stdout) == (78, "")
    assert "Masters" in done.stderr


@pytest.fixture
def more() -> Generator[list[Master]]:
    """Four more masters, which give no state."""
    found = [Master(("127.0.0.1", 0), b"<html>") for _ in range(4)]
    yield found
    for one in found:
        one.close()


def test_masters(configured: Callable[..., str], master: Master, more: list[Master]) -> None:
    """One leads, which nobody listed; others are dead, closed, or no masters."""
    pointing, closed, forbidden, strange = more
    pointing.leader = master.endpoint
    closed.status, forbidden.status = 401, 403
    dead = ("127.0.0.1", free_port())
    masters = [text(dead), *(text(one.endpoint) for one in more)]
    credentials = {"principal": "me", "secret": "hunter2"}
    path = configured(masters=masters, mesosAuthentication="basic", mesosCredentials=credentials)
    code, lines = check(path)
    assert code == 1
    ((level, found),) = lines["master", text(master.endpoint)]
    assert (level, found.startswith("leads; Mesos 1.11.0")) == ("ok", True)
    assert lines["leader", ""] == [("ok", text(master.endpoint))]
    assert lines["master", text(pointing.endpoint)] == [("ok", f"does not lead, points to {text(master.endpoint)}")]
    assert lines["master", text(dead)] == [("warn", "no connection: connection refused")]
    for one, status in ((closed, 401), (forbidden, 403)):
        ((level, found),) = lines["master", text(one.endpoint)]
        assert (level, found.startswith(f"status {status}, realm")) == ("fail", True)
        assert "check Principal and Secret" in found
    assert lines["master", text(strange.endpoint)] == [("fail", "what came is no state of a master")]
    assert "hunter2" not in str(lines)


def test_upstreams(master: Master, configured: Callable[..., str], tmp_path: Path) -> None:
    certificates = Certificates.issued(tmp_path)
    closed = NameServer(saying(5), saying(5))
    dead = f"127.0.0.1:{free_port()}"
    with unbound(tmp_path, certificates, [], 'local-zone: "." static') as ports:
        closed.start()
        good, wrong = (f"tls://127.0.0.1:{ports.tls}#{name}" for name in ("resolver.example", "other.example"))
        code, lines = check(
            configured(
                masters=[text(master.endpoint)],
                Resolvers=[good, dead],
                ZoneResolvers={"one.test": [wrong], "two.test": [text(closed.endpoint)]},
                ForwardCAFile=certificates.path("ca.pem"),
            )
        )
        closed.stop()
    assert code == 1
    ((level, found),) = lines["upstream", f"127.0.0.1:{ports.tls} (resolver.example)"]
    assert (level, found.startswith("TLS: N")) == ("ok", True), found
    ((level, found),) = lines["upstream", f"127.0.0.1:{ports.tls} (other.example)"]
    assert (level, found.startswith("TLS: its certificate is not accepted (Hostname mismatch")) == ("fail", True)
    assert lines["upstream", dead] == [
        ("warn", "UDP: Connection refused"),
        ("warn", "TCP: Connection refused"),
    ]
    assert [level for level, _ in lines["upstream", text(closed.endpoint)]] == ["fail", "fail"]


#: Holds two ports until its input ends. A process of its own: that of the tests may have got the name of the program by other tests.
_HOLDER = """
import socket, sys
udp, tcp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM), socket.socket()
udp.bind(("127.0.0.1", int(sys.argv[1])))
tcp.bind(("127.0.0.1", int(sys.argv[2])))
tcp.listen()
print("held", flush=True)
sys.stdin.read()
"""


def test_ports_of_others(master: Master, configured: Callable[..., str]) -> None:
    port, http_port = free_port(), free_port()
    command = [sys.executable, "-c", _HOLDER, str(port), str(http_port)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        name = Path(f"/proc/{holder.pid}/comm").read_text().strip()
        code, lines = check(configured(masters=[text(master.endpoint)], port=port, httpPort=http_port))
        holder.communicate()
    assert code == 1
    for subject in (f"UDP 127.0.0.1:{port}", f"TCP 127.0.0.1:{http_port}"):
        assert lines["port", subject] == [("fail", f"held by '{name}', process {holder.pid}")]
    assert lines["port", f"TCP 127.0.0.1:{port}"] == [("ok", "free for DNS")]


def test_ports_that_need_a_right(master: Master, configured: Callable[..., str]) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become somebody who may not bind port 53")
    if int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text()) <= 53:
        pytest.skip("everybody may bind port 53 on this machine")
    path = configured(masters=[text(master.endpoint)], listener="127.0.0.53", port=53)
    setpriv = [need("setpriv"), "--bounding-set=-all", "--inh-caps=-all", "--ambient-caps=-all"]
    done = run("check", "--live", "--json", "--config", path, under=setpriv)
    assert done.returncode == 1, done.stdout + done.stderr
    found = [one for one in json.loads(done.stdout)["probes"] if one["subject"] == "UDP 127.0.0.53:53"]
    assert [one["level"] for one in found] == ["fail"]
    assert "CAP_NET_BIND_SERVICE" in found[0]["found"]


def test_zookeeper(
    master: Master, zookeeper: ZooKeeper, masters: Any, path: str, configured: Callable[..., str]
) -> None:
    """The masters that it names are asked; of two servers one is dead."""
    stand(masters, path, master.endpoint)
    dead = f"127.0.0.1:{free_port()}"
    code, lines = check(configured(zk=f"zk://{dead},127.0.0.1:{zookeeper.port}{path}"))
    assert code == 0
    server = f"127.0.0.1:{zookeeper.port}"
    assert lines["zookeeper", server] == [("ok", f"1 master at {path}, {text(master.endpoint)} leads")]
    assert [level for level, _ in lines["zookeeper", dead]] == ["warn"]
    assert lines["leader", ""] == [("ok", text(master.endpoint))]


def test_zookeeper_with_other_credentials(
    zookeeper: ZooKeeper, masters: Any, path: str, configured: Callable[..., str]
) -> None:
    masters.create(path, b"", acl=only("me", "hunter2"), makepath=True)
    server = f"127.0.0.1:{zookeeper.port}"
    for credentials, expected in (
        ("me:wrong", f"the node {path} is not shown: no right"),
        ("me:hunter2", f"no master has registered at {path}"),
    ):
        code, lines = check(configured(zk=zookeeper.url(path, credentials)))
        assert (code, lines["zookeeper", server]) == (1, [("fail", expected)])
        assert lines["leader", ""] == [("fail", "nobody leads")]
