"""The whole program with an ensemble of three real ZooKeepers: members killed and stopped, the quorum lost, and all of them back.

Names are asked for all the time. `refreshSeconds` is an hour, so nothing but ZooKeeper's word moves the leader.
"""

import signal
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from kazoo.exceptions import NoNodeError
from tests.integration.masters import Endpoint, Master
from tests.integration.program import Program, sample_state
from tests.integration.test_faults import WEB, Watch
from tests.integration.test_zookeeper_program import detector, ports, wait
from tests.integration.zookeeper import Ensemble, ZooKeeper, client_of, stand

RARELY = 3600
WATCHED = ("web.marathon.mesos.", "leader.mesos.")


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Generator[Ensemble]:
    ensemble = Ensemble(tmp_path_factory.mktemp("ensemble"))
    yield ensemble
    ensemble.close()


@pytest.fixture
def ensemble(servers: Ensemble) -> Generator[Ensemble]:
    """All three serve, before and after."""
    yield servers
    servers.revive()


class Election:
    """Two masters that stand for election; `change` lets the other one lead."""

    def __init__(self, client: Any, path: str, *masters: Master) -> None:
        self._client = client
        self._path = path
        self._seats = [(each.endpoint, self._stands(each.endpoint)) for each in masters]

    def _stands(self, endpoint: Endpoint) -> str:
        return str(self._client.retry(stand, self._client, self._path, endpoint))

    @property
    def leader(self) -> Endpoint:
        return self._seats[0][0]

    def change(self) -> None:
        endpoint, node = self._seats.pop(0)
        with suppress(NoNodeError):  # Tried again after a loss of the connection, and done the first time.
            self._client.retry(self._client.delete, node)
        self._seats.append((endpoint, self._stands(endpoint)))


@pytest.fixture
def pair() -> Iterator[tuple[Master, Master]]:
    """Two masters of one cluster, both of which would say that they lead."""
    both = (Master(("127.0.0.1", 0), b""), Master(("127.0.0.1", 0), b""))
    for each in both:
        each.body = sample_state(each.endpoint)
    yield both
    for each in both:
        each.close()


def connected_to(program: Program, ensemble: Ensemble) -> list[ZooKeeper]:
    """The members to which the program has connections."""
    own = set()
    for descriptor in Path(f"/proc/{program.pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # It was closed meanwhile.
            own.add(str(descriptor.readlink()).removeprefix("socket:[").rstrip("]"))
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    found = {int(row[2].rpartition(":")[2], 16) for row in rows if row[9] in own and row[3] == "01"}
    return [member for member in ensemble.members if member.port in found]


def follows(program: Program, election: Election) -> None:
    wait(lambda: ports(program, "_leader._tcp.mesos") == [election.leader[1]], program)
    wait(lambda: detector(program)["leader"] == "{}:{}".format(*election.leader), program)


@contextmanager
def running(ensemble: Ensemble, path: str, folder: Path) -> Iterator[tuple[Program, ZooKeeper, list[ZooKeeper]]]:
    """The program; the member that it is connected to, before there is any master; the others."""
    with client_of(*ensemble.members) as client:
        client.retry(client.ensure_path, path)
    with Program(folder, masters=[], zk=ensemble.url(path), refreshSeconds=RARELY) as program:
        wait(lambda: program.get("/readyz")[0] == 503 and detector(program)["connected"], program)
        (ours,) = connected_to(program, ensemble)
        yield program, ours, [each for each in ensemble.members if each is not ours]
        assert "Traceback" not in program.log()
        assert program.end() == 0


def test_one_member_is_killed(ensemble: Ensemble, pair: tuple[Master, Master], path: str, tmp_path: Path) -> None:
    """The one that the program is connected to, then, with that one back, the one to which it went."""
    with running(ensemble, path, tmp_path) as (program, ours, others), client_of(*ensemble.members) as client:
        election = Election(client, path, *pair)
        program.wait_ready()
        with Watch(program, *WATCHED) as watch:
            for victim in (ours, None):
                killed = victim or connected_to(program, ensemble)[0]
                killed.kill()
                wait(lambda killed=killed: killed not in connected_to(program, ensemble), program)
                assert ports(program, "_leader._tcp.mesos") == [election.leader[1]]
                election.change()
                follows(program, election)
                ensemble.revive()
                election.change()
                follows(program, election)
            assert watch.saw("web.marathon.mesos.") == {WEB}
            assert watch.saw("leader.mesos.") == {("127.0.0.1",)}
        assert len(others) == 2


def test_the_member_that_it_is_connected_to_is_stopped(
    ensemble: Ensemble, pair: tuple[Master, Master], path: str, tmp_path: Path
) -> None:
    """Its connection stays open, and says nothing any more."""
    with running(ensemble, path, tmp_path) as (program, ours, others), client_of(*others) as client:
        election = Election(client, path, *pair)
        program.wait_ready()
        with Watch(program, *WATCHED) as watch:
            ours.signal(signal.SIGSTOP)
            # What happens now it hears of when it has found another member.
            election.change()
            follows(program, election)
            assert ours not in connected_to(program, ensemble)
            election.change()
            follows(program, election)
            ours.signal(signal.SIGCONT)
            ours.wait()
            election.change()
            follows(program, election)
            assert watch.saw("web.marathon.mesos.") == {WEB}
            assert watch.saw("leader.mesos.") == {("127.0.0.1",)}


@pytest.mark.parametrize("how", ["killed", "stopped"])
def test_the_quorum_is_lost_and_back(
    ensemble: Ensemble, pair: tuple[Master, Master], path: str, tmp_path: Path, how: str
) -> None:
    with running(ensemble, path, tmp_path) as (program, ours, others), client_of(*ensemble.members) as client:
        election = Election(client, path, *pair)
        program.wait_ready()
        with Watch(program, *WATCHED) as watch:
            for member in (ours, others[0]):
                if how == "killed":
                    member.kill()
                else:
                    member.signal(signal.SIGSTOP)
            wait(lambda: not detector(program)["connected"], program)
            status, text = program.get("/readyz")
            assert status == 200
            assert "has been silent for" in text
            assert detector(program)["leader"] == "{}:{}".format(*election.leader)
            assert ports(program, "_leader._tcp.mesos") == [election.leader[1]]
            ensemble.revive()
            wait(lambda: detector(program)["connected"], program)
            election.change()
            follows(program, election)
            assert watch.saw("web.marathon.mesos.") == {WEB}
            assert watch.saw("leader.mesos.") == {("127.0.0.1",)}
