"""What masters and networks do to the running program, with in-zone answers watched all the time."""

import copy
import json
import threading
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any, Self

import pytest
from tests.integration import client
from tests.integration.masters import Endpoint, Master
from tests.integration.program import Program, sample_state, until

WEB = ("10.2.0.1", "10.2.0.2")
State = dict[str, Any]


class Watch:
    """Asks for names all the time, and knows every answer that there was."""

    def __init__(self, program: Program, *names: str) -> None:
        self._program = program
        self.seen: dict[str, set[tuple[str, ...]]] = {name: set() for name in names}
        self._rounds = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _work(self) -> None:
        while not self._over.wait(0.01):
            for name, seen in self.seen.items():
                seen.add(addresses(self._program, name))
            self._rounds += 1

    def saw(self, name: str = "web.marathon.mesos.") -> set[tuple[str, ...]]:
        """Every answer so far, at least one of them from now on."""
        rounds = self._rounds
        until(lambda: self._rounds >= rounds + 2, "nobody asks")
        return self.seen[name]


def addresses(program: Program, name: str = "web.marathon.mesos.") -> tuple[str, ...]:
    return tuple(sorted(text.split()[-1] for text in client.ask(program.dns, name, "A").get("answer", ())))


def status(program: Program) -> State:
    code, body = program.get("/v1/status")
    assert code == 200
    found: State = json.loads(body)
    return found


def leader(program: Program) -> str:
    found: str = status(program)["source"]["leader"]
    return found


def text(endpoint: Endpoint) -> str:
    return "{}:{}".format(*endpoint)


class Cluster:
    """Three masters of one cluster. `leads` makes one of them the leader; the others point to it."""

    def __init__(self) -> None:
        self.masters = [Master(("127.0.0.1", 0), b"") for _ in range(3)]
        self.endpoints: Sequence[Endpoint] = [one.endpoint for one in self.masters]
        self.terms = 0

    def close(self) -> None:
        for master in self.masters:
            master.close()

    def state(self, number: int, id_: str = "", **members: Any) -> State:
        """What the master says that leads; `...` leaves a member out."""
        tasks = members.pop("tasks", {})
        document = json.loads(sample_state(self.endpoints[number], **tasks))
        more = {"id": id_ or f"term-{self.terms}", "elected_time": 1e9 + self.terms, "recovered_slaves": [], **members}
        return {key: value for key, value in (document | more).items() if value is not ...}

    def leads(self, number: int, **members: Any) -> None:
        self.terms += 1
        self.shows(number, **members)
        for other, master in enumerate(self.masters):
            master.leader = None if other == number else self.endpoints[number]

    def shows(self, number: int, **members: Any) -> None:
        self.masters[number].body = json.dumps(self.state(number, **members)).encode()

    def dies(self, number: int) -> None:
        self.masters[number].close()

    def returns(self, number: int) -> None:
        """It starts again at its old address, and points to the leader if there is one."""
        former = self.masters[number]
        self.masters[number] = Master(former.endpoint, former.body)


#: What a new leader knows at first: nothing yet, then whom it expects, then one agent without its framework's scheduler.
def first_looks(whole: State) -> list[State]:
    slaves = whole["slaves"]
    one = copy.deepcopy(whole["frameworks"])
    one[0] |= {"tasks": one[0]["tasks"][:1], "recovered": True, "active": False, "pid": None}
    expected = [{"id": each["id"], "hostname": each["hostname"]} for each in slaves]
    return [
        {"slaves": [], "frameworks": [], "recovered_slaves": []},
        {"slaves": [], "frameworks": [], "recovered_slaves": expected},
        {"slaves": slaves[:1], "frameworks": one, "recovered_slaves": expected[1:]},
    ]


@pytest.fixture
def cluster() -> Generator[Cluster]:
    one = Cluster()
    one.leads(0)
    yield one
    one.close()


Start = Callable[..., Program]


@pytest.fixture
def start(cluster: Cluster, tmp_path: Path) -> Generator[Start]:
    """Starts the program with these masters, or the given ones, and waits until it is ready."""
    running: list[Program] = []

    def begin(masters: Sequence[Endpoint] = (), **keys: Any) -> Program:
        program = Program(tmp_path, masters=masters or cluster.endpoints, **{"stateTimeoutSeconds": 300, **keys})
        running.append(program.__enter__())
        program.wait_ready()
        return program

    yield begin
    for program in running:
        program.__exit__()
        assert "Traceback" not in program.log()


def comes(program: Program, name: str, address: str) -> None:
    until(lambda: addresses(program, name) == (address,), lambda: f"{name} never came: {program.log()}")


def said(program: Program, line: str) -> None:
    until(lambda: line in program.log(), lambda: f"not said: {line}\n{program.log()}")


def asked_again(program: Program, master: Master, count: int = 2) -> None:
    asked = master.asked
    until(lambda: master.asked >= asked + count, lambda: f"not asked again: {program.log()}")


def test_three_leaders_are_killed_one_after_the_other(cluster: Cluster, start: Start) -> None:
    """Each new one shows its agents step by step, the first one in all steps; its clock is two hours behind. The former one comes
    back as a follower."""
    program = start()
    with Watch(program, "web.marathon.mesos.", "slave.mesos.", "marathon.mesos.", "leader.mesos.") as watch:
        for number in (1, 2, 0):
            cluster.dies((number - 1) % 3)
            behind = {"elected_time": 1e9 - 7200.0 * number, "start_time": 1e9 - 7201.0 * number}
            for look in first_looks(cluster.state(number))[: 3 if number == 1 else 1]:
                cluster.leads(number, **look, **behind)
                cluster.terms -= 1
                asked_again(program, cluster.masters[number], 1)
            cluster.terms += 1
            cluster.leads(number, tasks={f"new{number}": "10.9.9.9"}, **behind)
            comes(program, f"new{number}.marathon.mesos.", "10.9.9.9")
            assert leader(program) == text(cluster.endpoints[number])
            cluster.returns((number - 1) % 3)
            cluster.masters[(number - 1) % 3].leader = cluster.endpoints[number]
        assert watch.saw() == {WEB}
        assert watch.saw("slave.mesos.") == {("10.1.0.1", "10.1.0.2")}
        assert watch.saw("marathon.mesos.") == {("10.3.0.1",)}
        assert watch.saw("leader.mesos.") == {("127.0.0.1",)}
    assert status(program)["held"] == []
    log = program.log()
    assert log.count("held because the leading master changed: ") == log.count(
        "nothing is held any more because the leading"
    )


def test_a_leader_that_is_slow_and_then_one_that_is_stopped_but_not_dead(cluster: Cluster, start: Start) -> None:
    """Both are silent. The one is waited for, and the other one left for the next leader."""
    program = start()
    first, second = (text(each) for each in cluster.endpoints[:2])
    followers = cluster.masters[1:]
    with Watch(program, "web.marathon.mesos.") as watch:
        cluster.masters[0].stand_still()
        said(program, f"master {first} says nothing for 3 s; it is still waited for, and the others are asked")
        until(lambda: min(one.asked for one in followers) >= 2, lambda: f"nobody else was asked: {program.log()}")
        cluster.shows(0, tasks={"slow": "10.9.9.8"})
        cluster.masters[0].go_on()
        comes(program, "slow.marathon.mesos.", "10.9.9.8")
        assert (leader(program), status(program)["source"]["failures"]) == (first, 0)

        asked = followers[0].asked
        cluster.masters[0].stand_still()
        # Nobody else is elected yet: the others still point to it.
        until(lambda: followers[0].asked > asked, lambda: f"nobody else was asked: {program.log()}")
        cluster.leads(1, tasks={"late": "10.9.9.9"})
        cluster.masters[0].leader = None
        comes(program, "late.marathon.mesos.", "10.9.9.9")
        assert leader(program) == second
        # When it goes on it still believes that it leads, until it looks at ZooKeeper.
        cluster.masters[0].go_on()
        asked_again(program, cluster.masters[1], 1)
        assert leader(program) == second
        assert watch.saw() == {WEB}


def test_all_masters_are_gone_for_longer_than_any_time_out(cluster: Cluster, start: Start) -> None:
    program = start(stateTimeoutSeconds=1, failoverGraceSeconds=1)
    with Watch(program, "web.marathon.mesos.", "slave.mesos.") as watch:
        for number in range(3):
            cluster.dies(number)
        said(program, "no state of the cluster, the records stay as they are")
        until(lambda: status(program)["source"]["failures_in_a_row"] >= 4, lambda: f"no failures: {program.log()}")
        assert status(program)["source"]["age"] >= 1
        assert "the last 4 polls failed" in program.get("/readyz")[1]
        for number in range(3):
            cluster.returns(number)
        # Nobody knows what happened meanwhile, so the grace begins when a new leader is heard.
        cluster.leads(2, **first_looks(cluster.state(2))[1])
        said(program, "the state of the cluster is read from the leading master")
        cluster.leads(2, id_=f"term-{cluster.terms}", tasks={"late": "10.9.9.9"})
        comes(program, "late.marathon.mesos.", "10.9.9.9")
        assert watch.saw() == {WEB}
        assert watch.saw("slave.mesos.") == {("10.1.0.1", "10.1.0.2")}


def test_what_does_not_come_back_goes_when_the_grace_is_over(cluster: Cluster, start: Start) -> None:
    """And the status says until then what is held, why and for how long."""
    program = start(failoverGraceSeconds=3)
    _, expected, one_agent = first_looks(cluster.state(1))
    cluster.dies(0)
    cluster.leads(1, **expected)
    said(program, "held because the leading master changed: 2 agents, 1 frameworks, 2 tasks, for 3 s at most")
    cluster.shows(1, **one_agent)
    until(lambda: len(status(program)["held"]) == 2, lambda: f"{status(program)['held']}")
    found = status(program)
    assert found["grace"] == 3
    assert {(one["kind"], one["id"], one["why"]) for one in found["held"]} == {
        ("agent", "cluster-S2", "the new master expects it back"),
        ("task", "web.2", "its agent is not back yet"),
    }
    assert [(one["because"], one["agents"], one["tasks"]) for one in found["holding"]] == [
        ("the leading master changed", 1, 1)
    ]
    assert all(0 <= one["seconds"] <= 3 for one in (*found["held"], *found["holding"]))
    assert addresses(program) == WEB
    until(lambda: addresses(program) == WEB[:1], lambda: f"still there: {program.log()}")
    said(program, "nothing is held any more because the leading master changed")
    assert status(program)["holding"] == []


def test_two_masters_that_both_claim_to_lead(cluster: Cluster, start: Start) -> None:
    """One of them was elected later, and the third master names it."""
    cluster.leads(1, tasks={"late": "10.9.9.9"})
    cluster.masters[0].leader = None
    program = start()
    with Watch(program, "late.marathon.mesos.") as watch:
        said(program, "2 masters claim to lead: ")
        asked_again(program, cluster.masters[1])
        assert leader(program) == text(cluster.endpoints[1])
        assert watch.saw("late.marathon.mesos.") == {("10.9.9.9",)}
    assert program.log().count("reading the state of the cluster from the leading master") == 1


def test_a_master_of_another_cluster_in_the_list(cluster: Cluster, start: Start) -> None:
    ours = {"cluster": "ours", "flags": {"zk": "zk://a:2181/mesos"}}
    cluster.leads(0, **ours)
    stranger = Master(("127.0.0.1", 0), b"")
    foreign = json.loads(sample_state(stranger.endpoint, alien="10.66.6.6"))
    for number, agent in enumerate(foreign["slaves"]):
        agent |= {"id": f"alien-S{number}", "pid": f"slave(1)@10.66.0.{number}:5051"}
    foreign |= {"id": "alien", "cluster": "theirs", "frameworks": [foreign["frameworks"][0] | {"id": "alien-0000"}]}
    stranger.body = json.dumps(foreign).encode()
    try:
        # Asked after the leader alone: what is asked first is all that is known.
        program = start([*cluster.endpoints, stranger.endpoint])
        with Watch(program, "web.marathon.mesos.", "alien.marathon.mesos.", "slave.mesos.") as watch:
            for number in range(3):
                cluster.dies(number)
            said(
                program,
                f"master {text(stranger.endpoint)} leads another cluster, as it seems: none of its 2 agents is known, ",
            )
            asked_again(program, stranger)
            assert "its state is not believed" in status(program)["source"]["last_error"]
            cluster.returns(1)
            cluster.leads(1, **ours, tasks={"late": "10.9.9.9"})
            comes(program, "late.marathon.mesos.", "10.9.9.9")
            assert watch.saw() == {WEB}
            assert watch.saw("alien.marathon.mesos.") == {()}
            assert watch.saw("slave.mesos.") == {("10.1.0.1", "10.1.0.2")}
    finally:
        stranger.close()


def test_tasks_that_start_while_their_scheduler_is_disconnected(cluster: Cluster, start: Start) -> None:
    """Nobody acknowledges their updates, so the master shows them as running with the first update alone, or with none."""
    program = start()
    frameworks = cluster.state(0, tasks={"starting": "10.9.9.1", "silent": "10.9.9.2"})["frameworks"]
    starting, silent = frameworks[0]["tasks"][-2:]
    starting["statuses"][0]["state"] = "TASK_STARTING"
    silent["statuses"] = []
    frameworks[0] |= {"active": False, "connected": False}
    with Watch(program, "web.marathon.mesos.") as watch:
        cluster.shows(0, frameworks=frameworks)
        comes(program, "starting.marathon.mesos.", "10.9.9.1")
        comes(program, "silent.marathon.mesos.", "10.1.0.1")
        assert watch.saw() == {WEB}
        assert addresses(program, "marathon.mesos.") == ("10.3.0.1",)


def test_lists_of_the_state_that_are_null_or_missing(cluster: Cluster, start: Start) -> None:
    program = start()
    lists = ["recovered_slaves", "completed_frameworks", "unregistered_frameworks", "orphan_tasks"]
    with Watch(program, "web.marathon.mesos.", "slave.mesos.") as watch:
        # Without both of the first lists it is no state at all.
        for number, (nothing, told, held) in enumerate(
            [
                (None, "slaves, frameworks", "2 agents, 1 frameworks, 2 tasks"),
                (..., "frameworks", "1 frameworks, 2 tasks"),
            ]
        ):
            others = dict.fromkeys(lists, nothing)
            cluster.shows(0, **dict.fromkeys(told.split(", "), nothing), **others)
            said(program, f"lacks a list that every Mesos writes ({told})")
            until(lambda: len(status(program)["held"]) >= 3, lambda: f"nothing is held: {program.log()}")
            if not number:
                said(program, f"held because the state lacks a list: {held}, until it shows them")
            cluster.shows(0, **others, tasks={f"late{number}": "10.9.9.9"})
            comes(program, f"late{number}.marathon.mesos.", "10.9.9.9")
        assert watch.saw() == {WEB}
        assert watch.saw("slave.mesos.") == {("10.1.0.1", "10.1.0.2")}
    assert program.log().count("nothing is held any more because the state lacks a list") == 1


def busy(document: State) -> State:
    """With the sums that masters write."""
    one = {"cpus": 1.0, "mem": 64.0}
    for agent in document["slaves"]:
        agent["used_resources"] = one
    for framework in document["frameworks"]:
        framework |= {"used_resources": {"cpus": 2.0, "mem": 128.0}, "executors": []}
    return document


def test_a_filtered_state_is_not_believed_and_a_teardown_is(cluster: Cluster, start: Start) -> None:
    whole = busy(cluster.state(0))
    cluster.shows(0, **whole)
    program = start()
    with Watch(program, "web.marathon.mesos.") as watch:
        cluster.shows(0, **(whole | {"frameworks": [], "flags": ...}))
        said(program, "conceals frameworks: more resources are in use than it shows users of")
        said(program, "held because the state conceals frameworks or tasks that use resources: 1 frameworks, 2 tasks")
        asked_again(program, cluster.masters[0], 1)
        assert {one["seconds"] for one in status(program)["held"]} == {None}
        cluster.shows(0, **whole)
        said(program, "conceals nothing any more")
        said(program, "nothing is held any more because the state conceals")
        assert watch.saw() == {WEB}
        warnings = program.log().count(" WARNING ")
        idle = [agent | {"used_resources": {"cpus": 0.0, "mem": 0.0}} for agent in whole["slaves"]]
        cluster.shows(0, **(whole | {"slaves": idle, "frameworks": [], "completed_frameworks": whole["frameworks"]}))
        until(lambda: not addresses(program), lambda: f"still there: {program.log()}")
        assert program.log().count(" WARNING ") == warnings
        assert status(program)["held"] == []


def test_most_tasks_vanish_at_once_without_a_word(cluster: Cluster, start: Start) -> None:
    many = {f"task{number}": f"10.8.0.{number}" for number in range(20)}
    cluster.shows(0, tasks=many)
    program = start()
    with Watch(program, "web.marathon.mesos.", "task7.marathon.mesos.") as watch:
        cluster.shows(0, frameworks=[])
        said(
            program,
            "held because most tasks vanished at once, and nothing says that they ended: 1 frameworks, 22 tasks, for 60 s at most",
        )
        cluster.shows(0, tasks=many)
        said(program, "nothing is held any more because most tasks vanished at once")
        assert watch.saw() == {WEB}
        assert watch.saw("task7.marathon.mesos.") == {("10.8.0.7",)}
        # The same loss with a word of their end.
        whole = cluster.state(0, tasks=many)["frameworks"]
        whole[0] |= {"tasks": [], "completed_tasks": whole[0]["tasks"]}
        cluster.shows(0, frameworks=whole)
        until(lambda: not addresses(program), lambda: f"still there: {program.log()}")
        assert status(program)["held"] == []
