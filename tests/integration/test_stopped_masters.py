"""Masters in processes of their own, registered in a real ZooKeeper; the leader's process is stopped (SIGSTOP) and goes on (SIGCONT).

`refreshSeconds` is an hour and heartbeats come every 15 s: the program follows by events, and by the word of ZooKeeper or of the other masters.
"""

from collections.abc import Callable, Generator
from pathlib import Path

import pytest
from tests.integration.lone_master import LoneMaster
from tests.integration.program import Program, until
from tests.integration.test_events import STEADY, served, source
from tests.integration.test_faults import Watch, addresses, said
from tests.integration.test_zookeeper_program import detector, ports
from tests.integration.zookeeper import ZooKeeper

from mesos_dns.demo.live import free_endpoints

RARELY = 3600
#: Seconds of a master's session: Mesos has 10.
SESSION = 6.0
#: Seconds within which another leader is followed: a few, and many for a busy machine.
SOON = 40.0

Start = Callable[[float], list[LoneMaster]]


@pytest.fixture
def start(zookeeper: ZooKeeper, path: str, tmp_path: Path) -> Generator[Start]:
    """Starts three masters with sessions of so many seconds; the first one leads."""
    running: list[LoneMaster] = []

    def begin(session: float) -> list[LoneMaster]:
        endpoints = free_endpoints(3)
        for index in range(3):
            running.append(LoneMaster(tmp_path, index, zookeeper.url(path), session, endpoints))
            running[-1].says("registered")
        running[0].says("leads")
        return running

    yield begin
    for each in running:
        each.close()


def text(master: LoneMaster) -> str:
    return "{}:{}".format(*master.endpoint)


def follows(program: Program, master: LoneMaster) -> None:
    until(
        lambda: source(program)["leader"] == text(master) and source(program)["live"],
        lambda: f"{text(master)} is not followed: {program.log()}",
        SOON,
    )
    until(lambda: ports(program, "_leader._tcp.mesos") == [master.endpoint[1]], program.log)
    assert source(program)["using"] == "events"


def is_left_for(program: Program, former: LoneMaster, leader: LoneMaster, number: int) -> None:
    """The `former` leader is stopped, and its session expires; the other is followed, also when the former one goes on."""
    former.stop()
    leader.says("leads")
    follows(program, leader)
    leader.run(f"late{number}")
    served(program, f"late{number}")
    former.go_on()
    # It believes that it leads, until it hears that its session is over.
    assert former.process.wait(SOON) == 1
    until(lambda: "ends: session lost" in former.log(), former.log)
    leader.run(f"later{number}")
    served(program, f"later{number}")
    assert ports(program, "_leader._tcp.mesos") == [leader.endpoint[1]]


@pytest.mark.parametrize("told_by", ["ZooKeeper", "the other masters"])
def test_a_leader_that_is_stopped_and_goes_on(
    told_by: str, start: Start, zookeeper: ZooKeeper, path: str, tmp_path: Path
) -> None:
    masters = start(SESSION)
    by_zookeeper = told_by == "ZooKeeper"
    listed = [] if by_zookeeper else [each.endpoint for each in masters]
    zk = {"zk": zookeeper.url(path)} if by_zookeeper else {}
    with Program(tmp_path, masters=listed, refreshSeconds=RARELY, stateTimeoutSeconds=300, **zk) as program:
        program.wait_ready()
        follows(program, masters[0])
        before = addresses(program, STEADY)
        assert len(before) == 1
        with Watch(program, STEADY, "leader.mesos.") as watch:
            for number in (1, 2):
                is_left_for(program, masters[number - 1], masters[number], number)
                assert not by_zookeeper or detector(program)["leader"] == text(masters[number])
            assert watch.saw(STEADY) == {before}
            assert watch.saw("leader.mesos.") == {("127.0.0.1",)}
        log = program.log()
        # Each was followed once: nobody went back to the one that went on.
        assert [log.count(f"following the events of the leading master {text(each)}") for each in masters] == [1, 1, 1]
        assert "Traceback" not in log


def test_a_leader_that_is_stopped_for_less_than_its_session(start: Start, tmp_path: Path) -> None:
    """As one that writes a state of 100,000 tasks, it is waited for; what the others say changes nothing."""
    masters = start(20.0)
    with Program(tmp_path, masters=[each.endpoint for each in masters], refreshSeconds=RARELY) as program:
        program.wait_ready()
        follows(program, masters[0])
        with Watch(program, STEADY) as watch:
            masters[0].stop()
            said(program, f"the event stream of master {text(masters[0])} is silent for ")
            assert not source(program)["live"]
            masters[0].go_on()
            masters[0].run("late")
            served(program, "late")
            assert len(watch.saw(STEADY)) == 1
        follows(program, masters[0])
        assert source(program)["failures"] == 0
        assert program.log().count("following the events of the leading master") == 1
