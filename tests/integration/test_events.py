"""The running program follows events of simulated masters; what goes wrong with them, with in-zone answers watched all the time."""

import json
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.integration.live import Live
from tests.integration.program import PATIENCE, Program, until
from tests.integration.test_faults import Watch, addresses

STEADY = "steady.marathon.mesos."
Fault = Callable[[Live], None]


def status(program: Program) -> dict[str, Any]:
    with urllib.request.urlopen(f"http://127.0.0.1:{program.http_port}/v1/status", timeout=PATIENCE) as answer:
        found: dict[str, Any] = json.load(answer)
    return found


def source(program: Program) -> dict[str, Any]:
    found: dict[str, Any] = status(program)["source"]
    return found


@contextmanager
def steady() -> Iterator[Live]:
    """Three masters, and a task that runs all the time."""
    with Live(masters=3, agents=3, tasks=10) as cluster:
        cluster.do(lambda each: each.run("steady"))
        yield cluster


@contextmanager
def following_events(live: Live, folder: Path) -> Iterator[Program]:
    with Program(folder, masters=live.endpoints, mesosSource="auto") as running:
        running.wait_ready()
        until(lambda: source(running)["using"] == "events", running.log)
        live.do(lambda each: each.subscribed(1))
        yield running


@pytest.fixture
def live() -> Iterator[Live]:
    with steady() as cluster:
        yield cluster


@pytest.fixture
def program(live: Live, tmp_path: Path) -> Iterator[Program]:
    """Follows the events of `live`, ready."""
    with following_events(live, tmp_path) as running:
        yield running


def resolves(live: Live, program: Program, name: str = "after") -> None:
    """A task that starts now is served."""
    live.do(lambda each: each.run(name))
    served(program, name)


def served(program: Program, name: str, seconds: float = 40) -> None:
    until(
        lambda: addresses(program, f"{name}.marathon.mesos."),
        lambda: f"{name} is not served: {program.log()}",
        seconds,
    )


def streams(act: Callable[[Any], Any]) -> Fault:
    def fault(live: Live) -> None:
        live.do(lambda each: [act(stream) for stream in each.subscribers] and None)

    return fault


def leader_killed(live: Live) -> None:
    live.do(lambda each: each.kill())
    live.do(lambda each: each.take_over(1))


def leader_stopped(live: Live) -> None:
    live.do(lambda each: each.freeze(0))
    live.do(lambda each: each.take_over(1))


def leader_killed_and_agents_slow(live: Live) -> None:
    live.do(lambda each: each.kill())
    live.do(lambda each: each.elect(1, registry=False))
    time.sleep(0.5)
    live.do(lambda each: each.world.read_registry())
    live.do(lambda each: each.come_back(over=3.0))


def three_leaders_killed(live: Live) -> None:
    for index in (1, 2, 0):
        killed = live.do(lambda each: each.kill())
        live.do(lambda each, index=index: each.elect(index))
        live.do(lambda each, killed=killed: each.start(killed))
        live.do(lambda each: each.come_back(over=0.5))
        time.sleep(1.0)


def all_gone_and_back(live: Live) -> None:
    for index in range(3):
        live.do(lambda each, index=index: each.kill(index))
    time.sleep(3.0)
    for index in range(3):
        live.do(lambda each, index=index: each.start(index))
    live.do(lambda each: each.take_over(2))


def two_leaders(live: Live) -> None:
    live.do(lambda each: each.world.usurp(1))
    live.do(lambda each: each.masters.sync())


def ten_thousand_events(live: Live) -> None:
    live.do(lambda each: [each.finish(each.run(f"burst{number}")) for number in range(2500)] and None)


def lists_are_null(live: Live) -> None:
    def edit(what: str, document: Any) -> Any:
        if what == "SUBSCRIBE":
            state = document.get("subscribed", {}).get("get_state", {})
            for part in ("get_tasks", "get_agents", "get_frameworks"):
                state[part] = dict.fromkeys(state.get(part, {}))
        return document

    before = live.do(lambda each: [*each.subscribers])
    live.do(lambda each: setattr(each.settings, "edit", edit))
    streams(lambda stream: stream.abort())(live)
    until(lambda: live.do(lambda each: set(each.subscribers) - set(before)), "not asked for events again")


def updates_not_acknowledged(live: Live) -> None:
    """A task is known as running, by no event."""
    live.do(lambda each: each.world.hold_acknowledgements(0))
    live.do(lambda each: each.run("held"))
    live.do(lambda each: each.world.retry())


def scheduler_disconnected(live: Live) -> None:
    live.do(lambda each: each.world.disconnect(0))
    live.do(lambda each: each.run("held"))
    live.do(lambda each: each.world.retry())


#: They break the stream of events, and leave the cluster as it is.
FAULTS_OF_STREAMS: dict[str, Fault] = {
    "cut in the middle of a record": streams(lambda stream: stream.cut(b'120\n{"ty')),
    "reset": streams(lambda stream: stream.abort()),
    "a record of absurd length": streams(lambda stream: stream.send_raw(b"999999999999\n")),
    "garbage": streams(lambda stream: [stream.send(each) for each in (b"", b"{", b"[]", b'{"type":"TASK_ADDED"}')]),
    "an update of an unknown task": streams(
        lambda stream: stream.send(
            b'{"type":"TASK_UPDATED","task_updated":{"framework_id":{"value":"F"},"state":"TASK_RUNNING",'
            b'"status":{"task_id":{"value":"nobody"},"state":"TASK_RUNNING"}}}'
        )
    ),
}
FAULTS: dict[str, Fault] = {
    "leader killed": leader_killed,
    "leader killed, agents come back slowly": leader_killed_and_agents_slow,
    "leader stopped": leader_stopped,
    "three leaders killed": three_leaders_killed,
    "all masters gone and back": all_gone_and_back,
    "two leaders": two_leaders,
    "ten thousand events at once": ten_thousand_events,
    "lists are null": lists_are_null,
    "updates not acknowledged": updates_not_acknowledged,
    "scheduler disconnected": scheduler_disconnected,
}


@pytest.fixture(scope="module")
def following(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Live, Program]]:
    """As `live` and `program`, for tests that leave both as they are."""
    with steady() as cluster, following_events(cluster, tmp_path_factory.mktemp("program")) as running:
        yield cluster, running
        assert "Traceback" not in running.log()


@pytest.mark.parametrize("fault", FAULTS_OF_STREAMS)
def test_a_running_task_is_served_whatever_a_stream_says(following: tuple[Live, Program], fault: str) -> None:
    live, program = following
    before = addresses(program, STEADY)
    assert len(before) == 1
    live.do(lambda each: each.subscribed(1))
    with Watch(program, STEADY) as watch:
        FAULTS_OF_STREAMS[fault](live)
        resolves(live, program, f"after-{fault.replace(' ', '-')}")
        assert watch.saw(STEADY) == {before}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_running_task_is_served_throughout(live: Live, program: Program, fault: Fault) -> None:
    before = addresses(program, STEADY)
    assert len(before) == 1
    with Watch(program, STEADY) as watch:
        fault(live)
        if fault in (updates_not_acknowledged, scheduler_disconnected):
            served(program, "held")
        else:
            resolves(live, program)
        assert watch.saw(STEADY) == {before}
    assert "Traceback" not in program.log()


def test_tasks_of_a_disconnected_scheduler_are_served_one_after_the_other(live: Live, program: Program) -> None:
    """Each within seconds after the master knows that it runs, though no event tells; the whole state is not read again for it."""
    live.do(lambda each: each.world.disconnect(0))
    for name in ("first", "second", "third"):
        live.do(lambda each, name=name: each.run(name))
        live.do(lambda each: each.world.retry())
        served(program, name, 10)
    assert source(program)["reads"] == 0
    assert "reading the state of master" not in program.log()


def test_a_stream_that_is_silent_without_closing(tmp_path: Path) -> None:
    with Live(masters=1, agents=2, tasks=4) as live:
        live.do(lambda each: setattr(each.settings, "heartbeat", 0.3))
        live.do(lambda each: each.run("steady"))
        with Program(tmp_path, masters=live.endpoints) as program:
            program.wait_ready()
            before = addresses(program, STEADY)
            live.do(lambda each: each.subscribed(1))
            with Watch(program, STEADY) as watch:
                streams(lambda stream: stream.talk(False))(live)
                resolves(live, program)
                assert watch.saw(STEADY) == {before}
            until(lambda: "5 heartbeats are missing" in program.log(), program.log)


def test_the_clock_of_the_master_is_wrong_by_hours(tmp_path: Path) -> None:
    with (
        Live(masters=1, agents=2, tasks=4, clock=lambda: time.time() - 7200) as live,
        Program(tmp_path, masters=live.endpoints, mesosSource="events") as program,
    ):
        program.wait_ready()
        resolves(live, program)


def test_status_says_which_way_the_cluster_is_followed_and_why(tmp_path: Path) -> None:
    with (
        Live(masters=1, agents=2, tasks=4, version="1.4.0") as live,
        Program(tmp_path, masters=live.endpoints) as program,
    ):
        program.wait_ready()
        found = source(program)
        assert (found["using"], found["live"]) == ("polling", False)
        assert "MESOS-8469" in found["why"]
        assert program.log().count("so its state is polled") == 1
        resolves(live, program)


def test_polling_can_be_asked_for(tmp_path: Path) -> None:
    with (
        Live(masters=1, agents=2, tasks=4) as live,
        Program(tmp_path, masters=live.endpoints, mesosSource="polling") as program,
    ):
        program.wait_ready()
        assert (source(program)["using"], source(program)["why"]) == ("polling", "")
        resolves(live, program)
        assert live.do(lambda each: len(each.subscribers)) == 0
