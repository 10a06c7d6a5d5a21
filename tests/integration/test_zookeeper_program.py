"""The whole program with `Zk` alone: names are served, the leader moves by ZooKeeper's word, and ZooKeeper's death changes nothing."""

import json
import os
import signal
import socket
from collections.abc import Callable, Generator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.integration import client
from tests.integration.masters import Master
from tests.integration.program import PATIENCE, Program, run, sample_state, until
from tests.integration.zookeeper import ZooKeeper, stand

#: Seconds between two polls: so long that nothing but ZooKeeper can bring news in time.
RARELY = 3600


@pytest.fixture
def other() -> Generator[Master]:
    """Another master, which thinks that it leads, and has a task of its own."""
    serving = Master(("127.0.0.1", 0), b"")
    serving.body = sample_state(serving.endpoint, other="10.9.0.2")
    yield serving
    serving.close()


def addresses(program: Program, name: str) -> list[str]:
    return sorted(text.split()[-1] for text in client.ask(program.dns, f"{name}.", "A").get("answer", ()))


def ports(program: Program, name: str) -> list[int]:
    return [int(text.split()[-2]) for text in client.ask(program.dns, f"{name}.", "SRV").get("answer", ())]


def detector(program: Program) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(program.get("/v1/status")[1])["source"]["detector"]
    return found


def says(program: Program, text: str) -> Callable[[], bool]:
    return lambda: text in program.log()


def wait(what: Callable[[], object], program: Program) -> None:
    until(what, lambda: f"{detector(program)}\n{program.log()}")


def test_the_leader_moves(
    master: Master, other: Master, zookeeper: ZooKeeper, masters: Any, path: str, tmp_path: Path
) -> None:
    node = stand(masters, path, master.endpoint)
    url = zookeeper.url(path, "me:hunter2")
    with Program(tmp_path, masters=[], zk=url, refreshSeconds=RARELY) as program:
        program.wait_ready()
        assert addresses(program, "web.marathon.mesos") == ["10.2.0.1", "10.2.0.2"]
        assert ports(program, "_leader._tcp.mesos") == [master.endpoint[1]]
        stand(masters, path, other.endpoint)
        masters.delete(node)
        wait(lambda: addresses(program, "other.marathon.mesos") == ["10.9.0.2"], program)
        assert ports(program, "_leader._tcp.mesos") == [other.endpoint[1]]
        told = detector(program)
        assert (told["connected"], told["masters"], told["leader"], told["trouble"]) == (
            True,
            1,
            "{}:{}".format(*other.endpoint),
            "",
        )
        shown = program.get("/v1/config")[1] + program.get("/v1/status")[1] + program.get("/readyz")[1]
        assert json.loads(program.get("/v1/config")[1])["Zk"] == f"zk://******@127.0.0.1:{zookeeper.port}{path}"
        assert "hunter2" not in shown + program.log()
        assert program.end() == 0


def test_its_word_ends_waiting_for_a_master_that_hangs(
    other: Master, zookeeper: ZooKeeper, masters: Any, path: str, tmp_path: Path
) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as hanging:
        node = stand(masters, path, hanging.getsockname())
        keys = {"zk": zookeeper.url(path), "refreshSeconds": RARELY, "stateTimeoutSeconds": RARELY}
        with Program(tmp_path, masters=[], **keys) as program:
            hanging.settimeout(PATIENCE)
            connection, _ = hanging.accept()
            stand(masters, path, other.endpoint)
            masters.delete(node)
            program.wait_ready()
            assert addresses(program, "other.marathon.mesos") == ["10.9.0.2"]
            connection.close()


def test_zookeeper_dies_and_comes_back(
    master: Master, other: Master, zookeeper: ZooKeeper, masters: Any, path: str, tmp_path: Path
) -> None:
    node = stand(masters, path, master.endpoint)
    with Program(tmp_path, masters=[], zk=zookeeper.url(path), zkDetectionTimeout=1) as program:
        program.wait_ready()
        zookeeper.kill()
        try:
            wait(says(program, "has named no leading master for 1 s (ZkDetectionTimeout)"), program)
            # Polling goes on with what is known, and names are served.
            asked = master.asked
            wait(lambda: master.asked >= asked + 2, program)
            assert addresses(program, "web.marathon.mesos") == ["10.2.0.1", "10.2.0.2"]
            status, text = program.get("/readyz")
            assert status == 200
            assert f"ZooKeeper {zookeeper.url(path)} has been silent for" in text
            assert not detector(program)["connected"]
        finally:
            zookeeper.revive()
        wait(lambda: detector(program)["connected"], program)
        wait(says(program, "names a leading master again"), program)
        masters.retry(stand, masters, path, other.endpoint)
        masters.retry(masters.delete, node)
        wait(lambda: addresses(program, "other.marathon.mesos") == ["10.9.0.2"], program)
        assert program.end() == 0


def test_a_start_without_zookeeper(
    master: Master, zookeeper: ZooKeeper, masters: Any, path: str, tmp_path: Path
) -> None:
    """It says why there is nothing yet, and serves as soon as ZooKeeper is there."""
    zookeeper.kill()
    try:
        with Program(tmp_path, masters=[], zk=zookeeper.url(path)) as program:
            reason = f"ZooKeeper {zookeeper.url(path)} has been silent for"
            wait(lambda: program.get("/readyz")[0] == 503 and reason in program.get("/readyz")[1], program)
            zookeeper.start()
            masters.retry(stand, masters, path, master.endpoint)
            program.wait_ready()
            assert addresses(program, "web.marathon.mesos") == ["10.2.0.1", "10.2.0.2"]
    finally:
        zookeeper.revive()


def test_the_list_is_asked_as_long_as_zookeeper_has_named_nobody(
    master: Master, other: Master, zookeeper: ZooKeeper, masters: Any, path: str, tmp_path: Path
) -> None:
    with Program(tmp_path, masters=[master.endpoint], zk=zookeeper.url(path), refreshSeconds=RARELY) as program:
        program.wait_ready()
        assert ports(program, "_leader._tcp.mesos") == [master.endpoint[1]]
        assert "no master has registered there yet" in program.get("/readyz")[1]
        stand(masters, path, other.endpoint)
        wait(lambda: ports(program, "_leader._tcp.mesos") == [other.endpoint[1]], program)


def test_a_file_is_read_again_at_a_reload(
    master: Master, other: Master, zookeeper: ZooKeeper, masters: Any, path: str, tmp_path: Path
) -> None:
    file = tmp_path / "zk"
    stand(masters, f"{path}/1", master.endpoint)
    stand(masters, f"{path}/2", other.endpoint)
    file.write_text(f"{zookeeper.url(path + '/1')}\n")
    with Program(tmp_path, masters=[], zk=f"file://{file}", refreshSeconds=RARELY) as program:
        program.wait_ready()
        assert addresses(program, "other.marathon.mesos") == []
        file.write_text(f"{zookeeper.url(path + '/2')}\n")
        os.kill(program.pid, signal.SIGHUP)
        wait(lambda: addresses(program, "other.marathon.mesos") == ["10.9.0.2"], program)
        file.write_text("zk://me:hunter2@127.0.0.1\n")
        os.kill(program.pid, signal.SIGHUP)
        wait(says(program, "the new configuration is not taken, the old one stays: Zk"), program)
        assert "hunter2" not in program.log()
        assert addresses(program, "other.marathon.mesos") == ["10.9.0.2"]


def test_records_of_the_masters_that_zookeeper_names(
    master: Master, zookeeper: ZooKeeper, masters: Any, path: str, tmp_path: Path
) -> None:
    stand(masters, path, master.endpoint)
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"zk": zookeeper.url(path), "listener": "127.0.0.1", "externalOn": False}))
    done = run("records", "--config", str(config))
    assert (done.returncode, done.stderr) == (0, "")
    assert {"web.marathon.mesos.", "leader.mesos.", "master0.mesos."} <= {
        line.split()[0] for line in done.stdout.splitlines()
    }
    assert run("check", "--config", str(config)).stdout == f"{config}: no problems\n"
