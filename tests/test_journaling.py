"""The publisher notes each change of a zone, with what it is because of."""

import asyncio

import msgspec
import pytest
from tests.names.cluster import A0, SNAPSHOT
from tests.test_publisher import HERE, Published

from mesos_dns.dns import name as names
from mesos_dns.mesos.state import Delta, Task


@pytest.fixture
def published():
    return Published()


def changes(published, since=0):
    return published.publisher.journal.since(since, 2**32 - 1).changes


async def test_the_first_state_is_one_change_without_its_names(published):
    await published.publisher.self_found([HERE])
    await published.publisher.observe(SNAPSHOT)
    (change,) = changes(published)
    assert change.because.texts == (f"the first state of the cluster: {len(SNAPSHOT.tasks)} running tasks",)
    assert (change.appeared, change.vanished) == ((), ())
    assert change.more_appeared > len(published.zone)
    assert change.serial == published.zone.serial


async def test_each_further_change_has_its_names_and_its_reason(published):
    await published.publisher.observe(SNAPSHOT)
    before = published.zone.serial
    await published.publisher.observe(Delta(tasks={("FM", "late", 0): Task("late", "late", "FM", A0)}))
    (started,) = changes(published, before)
    assert any("'late'" in text and text.endswith("runs") for text in started.because.texts)
    assert started.appeared
    assert all(b"late" in owner for owner, *_ in started.appeared)
    assert not started.vanished

    await published.publisher.observe(Delta(tasks_gone=(("FM", "late", 0),)))
    (ended,) = changes(published, started.serial)
    assert {*ended.vanished} == {*started.appeared}
    assert not ended.appeared

    await published.publisher.observe(SNAPSHOT)
    assert changes(published, ended.serial) == []


async def test_another_leader_and_what_it_no_longer_has(published):
    await published.publisher.observe(SNAPSHOT)
    before = published.zone.serial
    other = msgspec.structs.replace(SNAPSHOT.leader, host="127.0.0.9")
    await published.publisher.observe(msgspec.structs.replace(SNAPSHOT, leader=other))
    (change,) = changes(published, before)
    assert change.because.texts[0].startswith("127.0.0.9:")
    assert names.from_text("leader.mesos") in {owner for owner, *_ in change.appeared}


async def test_addresses_of_this_machine(published):
    await published.publisher.observe(SNAPSHOT)
    before = published.zone.serial
    await published.publisher.self_found([HERE])
    (change,) = changes(published, before)
    assert change.because.texts == ("this machine's addresses changed",)


async def test_whoever_waits_is_told(published):
    waiting = asyncio.ensure_future(published.publisher.news.wait())
    await asyncio.sleep(0)
    await published.publisher.observe(SNAPSHOT)
    await asyncio.wait_for(waiting, 5)
    waiting = asyncio.ensure_future(published.publisher.news.wait())
    await published.publisher.observe(SNAPSHOT)  # No change.
    await asyncio.sleep(0)
    assert not waiting.done()
    waiting.cancel()
