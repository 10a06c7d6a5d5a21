"""The publisher between what sources say and what workers get: a replica of the zone looks over its shoulder."""

import asyncio
import logging

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.names.cluster import LEADER, SNAPSHOT, rules
from tests.names.test_reconciler import AGENTS, FRAMEWORKS, TASKS, state
from tests.published import AUTHORITY, HERE, NOW, Published, everything

from mesos_dns.dns import name as names
from mesos_dns.dns import rdata as rd
from mesos_dns.mesos.state import Agent, Delta, Endpoint, Framework, Snapshot, Task
from mesos_dns.names import model as model_module
from mesos_dns.names.model import Model
from mesos_dns.names.naming import Naming
from mesos_dns.names.reconciler import GRACE
from mesos_dns.publisher import Publisher
from mesos_dns.zone.zones import Zones


def task(name, agent="A-0", framework="F1"):
    return Task(f"{name}-id", name, framework, agent)


@pytest.fixture
def published():
    return Published()


@pytest.fixture
def small_slices(monkeypatch):
    """Slices of one task, so that every state needs several."""
    monkeypatch.setattr(model_module, "SLICE_OF_TASKS", 1)


# --- the first state ---------------------------------------------------------------------------


async def test_this_servers_own_name_alone_is_no_zone_to_serve(published):
    await published.publisher.self_found([HERE])
    assert published.addresses("mesos-dns.mesos") == ["192.0.2.53"]
    assert (published.zone.serial, published.reached) == (0, [])
    assert not published.publisher.loaded.is_set()


async def test_the_first_snapshot_gives_the_serial_and_all_names(published):
    await published.publisher.observe(SNAPSHOT)
    assert published.publisher.loaded.is_set()
    assert (published.zone.serial, published.reached) == (NOW, [NOW])
    assert published.addresses("leader.mesos") == ["144.76.157.37"]
    assert published.addresses("liquor-store.marathon.mesos") == ["10.3.0.1", "10.3.0.2"]
    published.assert_replicated()


async def test_what_was_known_before_the_first_snapshot_reaches_the_workers_with_it(published):
    await published.publisher.self_found([HERE])
    await published.publisher.hosts_found({"localhost": (rd.pack_address("127.0.0.1"),)})
    await published.publisher.observe(SNAPSHOT)
    assert published.reached == [NOW]
    assert published.replica.rdataset(names.from_text("mesos-dns.mesos"), rd.A) == (HERE,)
    assert published.addresses("nopid.mesos") == ["127.0.0.1"]
    published.assert_replicated()


async def test_a_delta_before_the_first_snapshot_is_nothing_to_serve_yet(published):
    await published.publisher.observe(Delta(agents=AGENTS, frameworks=FRAMEWORKS, tasks=TASKS))
    assert (published.zone.serial, published.reached) == (0, [])
    await published.publisher.observe(state())
    assert published.reached == [NOW]
    published.assert_replicated()


async def test_an_empty_cluster_has_a_serial_too(published):
    await published.publisher.observe(Snapshot("m", None, (), {}, {}, {}))
    assert (published.reached, list(published.zone)) == ([NOW], [])
    assert published.publisher.loaded.is_set()


# --- the serial --------------------------------------------------------------------------------


async def test_the_serial_stays_while_the_content_does(published):
    await published.publisher.observe(state())
    await published.publisher.self_found([HERE])
    published.take_news()
    published.time.now = 60.0
    await published.publisher.observe(state())
    await published.publisher.observe(Delta())
    await published.publisher.self_found([HERE])
    await published.publisher.hosts_found({"nobody.example": (HERE,)})
    assert (published.parts, published.edits) == ([], [])


async def test_a_task_that_moves_to_a_name_that_others_have_as_well_changes_nothing(published):
    """Two agents' tasks contribute the agent's one address; one of them ending withdraws no record."""
    twins = {("F1", f"web.{n}", 0): Task(f"web.{n}", "web", "F1", "A-0", netinfo=(HERE,)) for n in (1, 2)}
    await published.publisher.observe(Snapshot("m1", LEADER, (LEADER,), AGENTS, FRAMEWORKS, twins))
    shared = names.from_text("web.marathon.mesos"), rd.A, HERE
    assert published.publisher.is_shared(shared)
    published.take_news()
    await published.publisher.observe(Delta(tasks_gone=(("F1", "web.2", 0),)))
    assert published.addresses("web.marathon.mesos") == ["192.0.2.53"]
    assert not published.publisher.is_shared(shared)
    assert "web.marathon.mesos." not in {owner for owner, _ in published.take_news()}
    published.assert_replicated()


async def test_each_change_of_content_gives_a_greater_serial_also_when_the_time_stands_still_or_runs_back(published):
    await published.publisher.observe(state())
    await published.publisher.observe(state(agents=["A-0"]))
    published.time.now = -1000.0
    await published.publisher.self_found([HERE])
    published.time.now = 1000.0
    await published.publisher.self_found([])
    assert published.reached == [NOW, NOW + 1, NOW + 2, NOW + 1000]


async def test_the_serial_begins_above_the_last_one():
    published = Published(last_serial=NOW + 5)
    await published.publisher.observe(state())
    assert published.reached == [NOW + 6]


async def test_the_serial_never_comes_to_0_which_means_nothing_loaded():
    published = Published(last_serial=0xFFFF_FFFF)
    published.time.epoch = lambda: 0
    await published.publisher.observe(state())
    assert published.reached == [1]


# --- slices ------------------------------------------------------------------------------------


@pytest.mark.usefixtures("small_slices")
async def test_the_serial_comes_with_the_last_of_many_slices(published):
    await published.publisher.observe(state())
    assert len(published.parts) > 3
    # The last one only says that the zone here is complete, too.
    assert published.parts == [(NOW, False)] * (len(published.parts) - 2) + [(NOW, True), (NOW, False)]
    published.assert_replicated()
    published.take_news()
    others = {key: msgspec.structs.replace(task, name=f"other-{task.name}") for key, task in TASKS.items()}
    await published.publisher.observe(msgspec.structs.replace(state(), tasks=others))
    assert published.parts == [(NOW + 1, False)] * (len(published.parts) - 1) + [(NOW + 1, True)]
    published.assert_replicated()


@pytest.mark.usefixtures("small_slices")
async def test_workers_have_a_first_state_before_it_is_counted_here():
    seen = []

    class Watched(Published):
        def publish(self, apex, change):
            super().publish(apex, change)
            seen.append((change.complete, self.zone.serial, self.zone.behind, len(self.zone)))

    published = Watched()
    await published.publisher.observe(state())
    names_in_all = len(published.replica)
    assert seen[-2:] == [(True, 0, True, 0), (False, NOW, False, names_in_all)]
    assert {entry[1:] for entry in seen[:-1]} == {(0, True, 0)}


# --- several zones -----------------------------------------------------------------------------


@pytest.mark.usefixtures("small_slices")
async def test_each_record_goes_into_the_closest_zone_and_each_zone_has_a_serial_of_its_own():
    inner = AUTHORITY._replace(apex=names.from_text("marathon.mesos"))
    zones, replicas = Zones.of([AUTHORITY, inner]), Zones.of([AUTHORITY, inner])
    parts = []

    def publish(apex, change):
        parts.append((apex, change.serial, change.complete))
        replicas[apex].apply(change)

    publisher = Publisher(Model(Naming(rules())), zones, publish, clock=lambda: 0.0, epoch=lambda: NOW)
    await publisher.observe(state())
    assert [zone.serial for zone in zones] == [zone.serial for zone in replicas] == [NOW, NOW]
    one = Published()
    await one.publisher.observe(state())
    whole = everything(one.zone)
    assert everything(zones[inner.apex]) == {row for row in whole if names.is_below_or_at(row[0], inner.apex)}
    assert everything(zones[inner.apex])
    assert everything(zones[AUTHORITY.apex]) == whole - everything(zones[inner.apex])
    assert [everything(zone) for zone in replicas] == [everything(zone) for zone in zones]
    parts.clear()
    await publisher.self_found([HERE])
    assert parts == [(AUTHORITY.apex, NOW + 1, True)]
    assert [zone.serial for zone in replicas] == [NOW + 1, NOW]
    shared = next(iter(zones[inner.apex].records()))
    assert publisher.is_shared(shared) == one.publisher.is_shared(shared)


async def test_what_several_entities_contribute_to_a_first_state_is_counted(published):
    both = {("F1", f"web.{n}", 0): Task(f"web.{n}", "web", "F1", "A-0", netinfo=(HERE,)) for n in (1, 2)}
    await published.publisher.observe(Snapshot("m", LEADER, (LEADER,), AGENTS, FRAMEWORKS, both))
    one = {("F1", "web.1", 0): both["F1", "web.1", 0]}
    await published.publisher.observe(Snapshot("m", LEADER, (LEADER,), AGENTS, FRAMEWORKS, one))
    assert published.addresses("web.marathon.mesos") == ["192.0.2.53"]
    published.assert_replicated()


@pytest.mark.usefixtures("small_slices")
async def test_between_slices_others_get_a_turn(published):
    turns = 0

    async def count():
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.ensure_future(count())
    await published.publisher.observe(state())
    counting.cancel()
    assert turns >= len(TASKS)


@pytest.mark.usefixtures("small_slices")
async def test_two_observations_at_once_are_taken_one_after_the_other(published):
    """Were they mixed, tasks of the first would come back after the second has removed them."""
    await asyncio.gather(
        published.publisher.observe(state()),
        published.publisher.self_found([HERE]),
        published.publisher.observe(state(agents=["A-0"], frameworks=["F1"])),
        published.publisher.hosts_found({}),
    )
    assert published.reached == [NOW, NOW + 1, NOW + 2]
    alone = Published()
    await alone.publisher.observe(state(agents=["A-0"], frameworks=["F1"]))
    await alone.publisher.self_found([HERE])
    assert everything(published.zone) == everything(alone.zone)
    published.assert_replicated()


# --- deltas and hosts --------------------------------------------------------------------------


async def test_a_delta_costs_what_it_alters(published):
    await published.publisher.observe(state())
    published.take_news()
    await published.publisher.observe(Delta(tasks={("F1", "new-id", 0): task("new")}))
    assert published.addresses("new.marathon.mesos") == ["10.1.0.0"]
    owners = {owner for owner, _ in published.take_news()}
    assert owners
    assert all(owner.startswith("new") for owner in owners)
    await published.publisher.observe(Delta(tasks_gone=(("F1", "new-id", 0),)))
    assert {owner for owner, _ in published.take_news()} == owners
    assert published.addresses("new.marathon.mesos") == []
    published.assert_replicated()


async def test_names_of_hosts_found_later_change_the_records(published):
    named = Snapshot(
        "m1",
        Endpoint("master.example", 5050),
        (),
        {"A-0": Agent("A-0", "agent.example", 5051)},
        {"F1": Framework("F1", "marathon", "scheduler.example", 8080)},
        {("F1", "web-id", 0): task("web")},
    )
    await published.publisher.observe(named)
    owners = ("leader.mesos", "slave.mesos", "marathon.mesos", "web.marathon.mesos")
    assert [published.addresses(owner) for owner in owners] == [[], [], [], []]
    found = {f"{who}.example": (bytes((10, 0, 0, n)),) for n, who in enumerate(("master", "agent", "scheduler"))}
    await published.publisher.hosts_found(found)
    assert [published.addresses(owner) for owner in owners] == [["10.0.0.0"], ["10.0.0.1"], ["10.0.0.2"], ["10.0.0.1"]]
    await published.publisher.hosts_found({"agent.example": (b"\x0a\0\0\x09",)})
    assert [published.addresses(owner) for owner in owners] == [["10.0.0.0"], ["10.0.0.9"], ["10.0.0.2"], ["10.0.0.9"]]
    assert published.reached == [NOW, NOW + 1, NOW + 2]
    published.assert_replicated()


async def test_the_addresses_of_this_machine_may_change(published):
    await published.publisher.observe(state())
    await published.publisher.self_found([HERE, rd.pack_address("2001:db8::53")])
    await published.publisher.self_found([rd.pack_address("192.0.2.54")])
    assert published.addresses("mesos-dns.mesos") == ["192.0.2.54"]
    published.assert_replicated()


# --- a successor -------------------------------------------------------------------------------


@pytest.mark.usefixtures("small_slices")
async def test_a_successor_keeps_what_was_kept_in_the_middle_of_a_failover(published):
    await published.publisher.observe(state())
    published.time.now = 100.0
    await published.publisher.observe(state("m2", ["A-0"], ["F1"]))
    assert everything(published.zone)

    heir = Published(published.time, last_serial=published.zone.serial)
    await heir.publisher.inherit(published.publisher)
    assert (heir.zone.serial, heir.reached) == (0, []), "nothing is served before the first state"
    await heir.publisher.observe(state("m2", ["A-0"], ["F1"]))
    assert everything(heir.zone) == everything(published.zone)
    assert heir.reached == [published.zone.serial + 1]
    heir.assert_replicated()

    # The time of grace is that of the failover, it does not begin anew.
    published.time.now = 100.0 + GRACE
    for each in (published, heir):
        await each.publisher.observe(state("m2", ["A-0"], ["F1"]))
        assert set(each.publisher.model.agents) == {"A-0"}
    assert everything(heir.zone) == everything(published.zone)
    heir.assert_replicated()


async def test_a_successor_knows_the_hosts_and_the_masters(published):
    named = {"A-0": Agent("A-0", "agent.example", 5051)}
    await published.publisher.observe(Snapshot("m1", LEADER, (LEADER,), named, FRAMEWORKS, {}))
    await published.publisher.hosts_found({"agent.example": (HERE,)})
    heir = Published()
    await heir.publisher.inherit(published.publisher)
    # The new master names no leader yet and no agent: the old ones stay.
    await heir.publisher.observe(Snapshot("m2", None, (LEADER,), {}, {}, {}))
    assert heir.addresses("slave.mesos") == ["192.0.2.53"]
    assert heir.addresses("leader.mesos") == ["144.76.157.37"]
    heir.assert_replicated()


# --- words -------------------------------------------------------------------------------------


async def test_what_changed_is_said_and_what_did_not_is_a_detail(published, caplog):
    caplog.set_level(logging.INFO)
    await published.publisher.observe(state())
    assert f"6 tasks changed, 0 gone; serial {NOW}" in caplog.text
    caplog.clear()
    await published.publisher.observe(state())
    assert caplog.text == ""


async def test_what_cannot_be_named_is_said_once(published, caplog):
    nameless = {("F1", "x", 0): Task("x", "", "F1", "A-0")}
    snapshot = Snapshot("m1", LEADER, (LEADER,), AGENTS, FRAMEWORKS, nameless)
    for _ in range(3):
        await published.publisher.observe(snapshot)
    (said,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert said == "without some names: 1 (empty label), for example task 'x' of framework 'F1'"


async def test_repr(published):
    await published.publisher.observe(state())
    model = "Model(agents=3, frameworks=2, tasks=6)"
    assert repr(published.publisher) == f"Publisher({model}, Zones([{published.zone!r}]))"


# --- any history -------------------------------------------------------------------------------

KEYS = sorted(TASKS)
ADDRESSES = st.lists(st.sampled_from([HERE, b"\1\1\1\1", b"\2\2\2\2"]), unique=True).map(tuple)
SNAPSHOTS = st.builds(
    state,
    st.sampled_from(["m1", "m2"]),
    st.sets(st.sampled_from(sorted(AGENTS))),
    st.sets(st.sampled_from(sorted(FRAMEWORKS))),
)
DELTAS = st.builds(
    lambda keys, gone, name, host: Delta(
        agents={"A-0": Agent("A-0", host, 5051)},
        tasks={key: Task(key[1], name, key[0], TASKS[key].agent_id) for key in keys},
        tasks_gone=tuple(gone - keys),
    ),
    st.sets(st.sampled_from(KEYS)),
    st.sets(st.sampled_from(KEYS)),
    st.sampled_from(["web", "db", "web.db"]),
    st.sampled_from(["10.1.0.0", "a.example", "b.example"]),
)
HOSTS = st.dictionaries(st.sampled_from(["a.example", "b.example"]), ADDRESSES)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("observe"), SNAPSHOTS | DELTAS),
        st.tuples(st.just("hosts_found"), HOSTS),
        st.tuples(st.just("self_found"), ADDRESSES),
        st.tuples(st.just("sleep"), st.sampled_from([1.0, GRACE])),
        st.tuples(st.just("inherit"), st.just(None)),
    ),
    max_size=8,
)


@given(STEPS)
def test_what_is_published_makes_the_zone_and_the_serial_tells_of_every_change(steps):
    asyncio.run(_replay(steps))


async def _replay(steps):
    published = Published()
    for action, argument in steps:
        before, serial = everything(published.zone), published.zone.serial
        if action == "sleep":
            published.time.now += argument
        elif action == "inherit":
            heir = Published(published.time, last_serial=serial)
            await heir.publisher.inherit(published.publisher)
            published, before, serial = heir, set(), 0
        else:
            await getattr(published.publisher, action)(argument)
        assert everything(published.replica) == everything(published.zone)
        assert published.replica.serial == published.zone.serial
        if serial:
            assert (published.zone.serial > serial) == (everything(published.zone) != before)
