"""What is held through a master failover ends when its time is up, with and without a further state."""

import asyncio
import logging

from tests.names.test_reconciler import AGENTS, FRAMEWORKS, state
from tests.published import Published
from tests.scripted import CONFIG, PATIENCE

from mesos_dns.mesos.source import SourceStatus
from mesos_dns.mesos.state import Delta, NotShown
from mesos_dns.names import reconciler
from mesos_dns.names.reconciler import GRACE

ALL = ["10.1.0.0", "10.1.0.1", "10.1.0.2"]


async def test_a_tick_ends_what_is_held():
    published = Published()
    await published.publisher.observe(state())
    published.time.now = 100.0
    await published.publisher.observe(state("m2", ["A-0"], FRAMEWORKS))
    assert published.publisher.next_deadline == 100.0 + GRACE
    assert {one.key for one in published.publisher.held() if one.kind == "agent"} == {"A-1", "A-2"}
    serial = published.zone.serial
    published.time.now = 99.0 + GRACE
    await published.publisher.observe(None)
    assert (published.zone.serial, published.addresses("slave.mesos")) == (serial, ALL)
    published.time.now = 100.0 + GRACE
    await published.publisher.observe(None)
    assert published.addresses("slave.mesos") == ["10.1.0.0"]
    assert published.zone.serial > serial
    assert (published.publisher.next_deadline, [*published.publisher.held()]) == (None, [])
    published.assert_replicated()


async def test_a_delta_goes_through_the_reconciler():
    published = Published()
    await published.publisher.observe(state())
    await published.publisher.observe(state("m2", [], []))
    published.time.now = GRACE
    await published.publisher.observe(Delta(agents={"A-1": AGENTS["A-1"]}))
    assert published.addresses("slave.mesos") == ["10.1.0.1"]
    published.assert_replicated()


async def addresses_become(running, expected):
    async with asyncio.timeout(PATIENCE):
        while running.addresses("slave.mesos") != expected:  # noqa: ASYNC110 - the clock is all that happens
            await asyncio.sleep(0.001)


async def test_time_ends_holds_while_events_are_heard(running, monkeypatch):
    monkeypatch.setattr(reconciler, "GRACE", 0.05)
    await running.start(CONFIG)
    source = running.sources[0]
    source.status = SourceStatus(is_live=True)
    source.shows(state(), state("m2", ["A-0"], FRAMEWORKS))
    await running.serving()
    await addresses_become(running, ["10.1.0.0"])


async def test_between_polls_time_alone_ends_nothing(running, monkeypatch):
    """What has come back since the last poll nobody knows: the next one tells, and ends what is overdue."""
    monkeypatch.setattr(reconciler, "GRACE", 0.01)
    overdue = asyncio.Event()

    class Silent(SourceStatus):
        @property
        def is_live(self):
            overdue.set()
            return False

    await running.start(CONFIG)
    source = running.sources[0]
    source.status = Silent()
    source.shows(state(), state("m2", ["A-0"], FRAMEWORKS))
    await running.serving()
    await asyncio.wait_for(overdue.wait(), PATIENCE)
    assert running.addresses("slave.mesos") == ALL
    source.shows(state("m2", ["A-0"], FRAMEWORKS))
    await addresses_become(running, ["10.1.0.0"])


async def test_a_mistake_while_time_passes_starts_over(running, monkeypatch):
    monkeypatch.setattr(reconciler, "GRACE", 0.01)

    class Mistaken(SourceStatus):
        @property
        def is_live(self):
            raise LookupError("a mistake")

    await running.start(CONFIG)
    source = running.sources[0]
    source.status = Mistaken()
    source.shows(state(), state("m2", ["A-0"], FRAMEWORKS))
    await running.said("following the cluster ended by an internal error")
    assert running.generation.failed.is_set()
    assert running.addresses("slave.mesos") == ALL


# --- what is said of it --------------------------------------------------------------------------


def warnings(caplog):
    found = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    caplog.clear()
    return found


async def test_holding_is_told_when_it_begins_and_when_it_ends(caplog):
    published = Published()
    await published.publisher.observe(state())
    published.time.now = 100.0
    await published.publisher.observe(state("m2", ["A-0"], FRAMEWORKS))
    assert warnings(caplog) == ["held because the leading master changed: 2 agents, 4 tasks, for 600 s at most"]
    await published.publisher.observe(state("m2", ["A-0", "A-1"], FRAMEWORKS))
    await published.publisher.observe(Delta(tasks_gone=(("F1", "F1-A-0", 0),)))
    assert warnings(caplog) == [], "it goes on"
    published.time.now = 100.0 + GRACE
    await published.publisher.observe(None)
    assert warnings(caplog) == ["nothing is held any more because the leading master changed"]
    await published.publisher.observe(None)
    assert warnings(caplog) == []


async def test_holding_that_comes_and_goes_is_told_at_a_bounded_rate(caplog):
    published = Published()
    await published.publisher.observe(state())
    for number in range(20):
        published.time.now = float(number)
        await published.publisher.observe(state(not_shown=NotShown(agents=True), agents=[]))
        await published.publisher.observe(state())
    assert warnings(caplog) == [
        "held because the state lacks a list: 3 agents, until it shows them",
        "nothing is held any more because the state lacks a list",
    ]


async def test_a_reload_goes_on_with_what_is_held():
    published = Published()
    await published.publisher.observe(state(reregister_timeout=900.0))
    published.time.now = 100.0
    await published.publisher.observe(state("m2", ["A-0"], FRAMEWORKS))
    other = Published(published.time)
    await other.publisher.inherit(published.publisher)
    assert other.publisher.grace == 900.0
    assert set(other.publisher.held()) == set(published.publisher.held())
