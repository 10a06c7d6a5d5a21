"""Whatever way the cluster took, the zone is the one that its present state gives."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.names.cluster import AGENTS, FRAMEWORKS, LEADER, TASKS, as_text, packed, rules

from mesos_dns.dns.rdata import SRV
from mesos_dns.mesos.state import Agent, Delta, DiscoveryPort, Endpoint, Framework, Task
from mesos_dns.names.model import SLICE_OF_TASKS, Model
from mesos_dns.names.naming import Naming
from mesos_dns.zone.change import ZoneChange
from mesos_dns.zone.contributors import ContributorCounts, records_of
from mesos_dns.zone.zone import Authority, Zone

AUTHORITY = Authority(b"\5mesos\0", b"\3ns1\5mesos\0", b"\4root\5mesos\0", 60, 600, 86400, 60, 60)


class Cluster:
    """A model, contributor counts and a zone, wired as control wires them."""

    def __init__(self):
        self.model = Model(Naming(rules()))
        self.zone = Zone(AUTHORITY)
        self.counts = ContributorCounts(self.zone)

    def take(self, *contributions):
        """Settle contributions; how many edits that made."""
        edits = 0
        for withdrawn, contributed in contributions:
            changes = self.counts.apply(withdrawn, contributed)
            self.zone.apply(ZoneChange(self.zone.serial + 1, ()))
            edits += sum(len(owners) * (len(removed) + len(added)) for owners, removed, added in changes)
        return edits

    def apply(self, delta):
        return self.take(*self.model.apply(delta))

    def records(self):
        return set(self.zone.records())


def rebuilt(model, hosts):
    """A cluster that learns at once what `model` holds in the end."""
    fresh = Cluster()
    fresh.take(*fresh.model.set_hosts(hosts))
    fresh.apply(Delta(dict(model.agents), dict(model.frameworks), dict(model.tasks)))
    fresh.take(fresh.model.set_masters(model.masters, model.leader))
    return fresh


@pytest.fixture
def cluster():
    cluster = Cluster()
    cluster.apply(Delta(AGENTS, FRAMEWORKS, TASKS))
    return cluster


# --- examples ----------------------------------------------------------------------------------


def test_a_delta_that_says_nothing_new_changes_nothing(cluster):
    assert cluster.apply(Delta(AGENTS, FRAMEWORKS, TASKS)) == 0
    assert cluster.apply(Delta()) == 0


def test_all_that_came_can_go(cluster):
    cluster.apply(Delta({}, {}, {}, tuple(AGENTS), tuple(FRAMEWORKS), tuple(TASKS)))
    assert cluster.records() == set()
    assert cluster.zone._children == {}
    assert repr(cluster.model) == "Model(agents=0, frameworks=0, tasks=0)"
    assert (cluster.model._tasks_of_agent, cluster.model._tasks_of_framework) == ({}, {})
    assert cluster.counts._extra == {}


def test_the_order_of_arrival_does_not_matter(cluster):
    other = Cluster()
    other.apply(Delta(tasks=TASKS))
    assert other.records() == set()
    other.apply(Delta(agents=AGENTS))
    other.apply(Delta(frameworks=FRAMEWORKS))
    assert other.records() == cluster.records()


def test_a_task_costs_what_it_costs(cluster):
    key = next(key for key, task in TASKS.items() if task.name == "nginx")
    assert cluster.apply(Delta(tasks_gone=(key,))) == 4
    assert cluster.apply(Delta(tasks={key: TASKS[key]})) == 4


def test_a_record_of_two_tasks_stays_until_both_are_gone(cluster):
    first, second = (key for key, task in TASKS.items() if task.discovery_name == "liquor.store")
    service = "_slave._tcp.mesos. SRV slave.mesos.:5051"
    assert service in as_text(cluster.records())
    cluster.apply(Delta(tasks_gone=(first,)))
    assert "liquor-store.marathon.mesos. A 10.3.0.2" in as_text(cluster.records())
    assert "liquor-store.marathon.mesos. A 10.3.0.1" not in as_text(cluster.records())
    cluster.apply(Delta(tasks_gone=(second,)))
    assert not any(line.startswith("liquor-store.") for line in as_text(cluster.records()))


def test_a_task_that_moves_takes_its_records_with_it(cluster):
    key = next(key for key, task in TASKS.items() if task.name == "reviewbot")
    old = TASKS[key]
    moved = Task(old.id, old.name, old.framework_id, next(iter(AGENTS)), old.ports)
    cluster.apply(Delta(tasks={key: moved}))
    assert {line for line in as_text(cluster.records()) if line.startswith("reviewbot")} == {
        "reviewbot.marathon.mesos. A 1.2.3.10",
        "reviewbot.marathon.slave.mesos. A 1.2.3.10",
        "reviewbot-8sq89-2.marathon.mesos. A 1.2.3.10",
        "reviewbot-8sq89-2.marathon.slave.mesos. A 1.2.3.10",
        "reviewbot.marathon._tcp.mesos. SRV reviewbot-8sq89-2.marathon.slave.mesos.:31744",
        "reviewbot.marathon._udp.mesos. SRV reviewbot-8sq89-2.marathon.slave.mesos.:31744",
    }


def test_a_framework_that_is_renamed_renames_its_tasks(cluster):
    cluster.apply(Delta(frameworks={"FM": Framework("FM", "swan", "1.2.3.11", 25501)}))
    texts = as_text(cluster.records())
    assert not any("marathon" in line for line in texts)
    assert "nginx.swan.mesos. A 10.3.0.3" in texts
    assert cluster.records() == rebuilt(cluster.model, {}).records()


def test_host_names_count_from_when_they_are_resolved(cluster):
    assert cluster.model.host_names() == {"localhost"}
    cluster.take(*cluster.model.set_hosts({"localhost": packed("127.0.0.1")}))
    assert "nopid.mesos. A 127.0.0.1" in as_text(cluster.records())
    cluster.take(*cluster.model.set_hosts({"localhost": packed("::1")}))
    assert {line for line in as_text(cluster.records()) if line.startswith("nopid")} == {"nopid.mesos. AAAA ::1"}
    cluster.model.forget_hosts(set())
    cluster.take(*cluster.model.set_hosts({"localhost": ()}))
    assert not any(line.startswith("nopid") for line in as_text(cluster.records()))


def test_an_agent_with_a_host_name_gives_its_tasks_their_addresses_later():
    cluster = Cluster()
    task = Task("t", "web", "F", "A-0")
    cluster.apply(Delta({"A-0": Agent("A-0", "node1", 5051)}, {"F": Framework("F", "fw")}, {("F", "t", 0): task}))
    assert cluster.records() == set()
    assert list(cluster.model.task_records(("F", "t", 0))) == []
    cluster.take(*cluster.model.set_hosts({"node1": packed("10.0.0.1")}))
    assert "web.fw.mesos. A 10.0.0.1" in as_text(cluster.records())
    assert "slave.mesos. A 10.0.0.1" in as_text(cluster.records())


def test_masters_stay_while_nobody_knows_the_leader(cluster):
    cluster.take(cluster.model.set_masters([LEADER], LEADER))
    before = cluster.records()
    assert cluster.take(cluster.model.set_masters([LEADER], None)) == 0
    assert cluster.records() == before
    other = Endpoint("10.0.0.9", 5050)
    cluster.take(cluster.model.set_masters([LEADER, other], other))
    assert "leader.mesos. A 10.0.0.9" in as_text(cluster.records())
    assert "leader.mesos. A 144.76.157.37" not in as_text(cluster.records())
    assert "master1.mesos. A 10.0.0.9" in as_text(cluster.records())


def test_without_any_leader_there_are_no_masters():
    cluster = Cluster()
    assert cluster.model.set_masters([LEADER], None) == ([], [])


def test_own_addresses_are_replaced_as_a_whole(cluster):
    cluster.take(cluster.model.set_self(packed("10.0.0.5", "10.0.0.6")))
    cluster.take(cluster.model.set_self(packed("10.0.0.6")))
    found = {line for line in as_text(cluster.records()) if line.startswith("mesos-dns.")}
    assert found == {"mesos-dns.mesos. A 10.0.0.6"}


def test_work_comes_in_slices():
    model = Model(Naming(rules()))
    many = {("F", f"t{n}", 0): Task(f"t{n}", f"t{n}", "F", "A-0") for n in range(2 * SLICE_OF_TASKS + 1)}
    delta = Delta({"A-0": Agent("A-0", "10.0.0.1", 1)}, {"F": Framework("F", "fw")}, many)
    sizes = [len(records_of(contributed)) for _, contributed in model.apply(delta)]
    # The agent, twice nothing while the tasks are sorted, then the tasks.
    assert sizes == [4, 0, 0, 4 * SLICE_OF_TASKS, 4 * SLICE_OF_TASKS, 4]
    assert list(model.tasks_of_framework("F")) == list(many)


def test_instances_of_an_application_come_together_and_the_tasks_keep_their_order():
    model = Model(Naming(rules()))
    many = {("F", f"t{n}", 0): Task(f"t{n}", f"app{n % 3}", "F", "A-0", ((n, n),)) for n in range(99)}
    delta = Delta({"A-0": Agent("A-0", "10.0.0.1", 1)}, {"F": Framework("F", "fw")}, many)
    *_, (_, contributed) = model.apply(delta)
    services = [len(rrsets[0][1]) for owners, rrsets in contributed if rrsets[0][0] == SRV]
    assert services == [33, 33, 33]
    assert list(model.tasks) == list(model.tasks_of_framework("F")) == list(many)


# --- any series of deltas ----------------------------------------------------------------------

HOSTS = st.sampled_from(["10.0.0.1", "10.0.0.2", "fd00::1", "node1", "node2", ""])
AGENT_IDS = st.sampled_from(["A-0", "A-1", "A-2"])
FRAMEWORK_IDS = st.sampled_from(["F1", "F2", "F3"])
PORTS = st.lists(st.sampled_from([(80, 80), (80, 82), (443, 443)]), max_size=2).map(tuple)


@st.composite
def agents(draw):
    agent_id = draw(AGENT_IDS)
    return agent_id, Agent(agent_id, draw(HOSTS), draw(st.sampled_from([5051, 5052])))


@st.composite
def frameworks(draw):
    framework_id = draw(FRAMEWORK_IDS)
    name = draw(st.sampled_from(["fw", "slave", "a.b", "\u65e5"]))
    return framework_id, Framework(framework_id, name, draw(HOSTS), draw(st.sampled_from([None, 80])))


@st.composite
def tasks(draw):
    framework_id, task_id = draw(FRAMEWORK_IDS), draw(st.sampled_from(["t1", "t2", "t3"]))
    n = draw(st.integers(0, 1))
    task = Task(
        *(task_id, draw(st.sampled_from(["web", "db"])), framework_id, draw(AGENT_IDS), draw(PORTS)),
        draw(st.sampled_from(["", "web", "Web.Shop"])),
        draw(st.sampled_from([(), (DiscoveryPort(80, "http", "tcp"),)])),
        docker=draw(st.sampled_from([(), packed("10.0.0.1"), packed("172.17.0.2", "fd01::2")])),
        healthy=draw(st.sampled_from([None, True, False])),
    )
    return (framework_id, task_id, n), task


def some(strategy):
    return st.lists(strategy, max_size=3).map(dict)


def gone(strategy):
    return st.lists(strategy, max_size=2, unique=True).map(tuple)


TASK_KEYS = st.tuples(FRAMEWORK_IDS, st.sampled_from(["t1", "t2", "t3"]), st.integers(0, 1))
DELTAS = st.builds(
    Delta, some(agents()), some(frameworks()), some(tasks()), gone(AGENT_IDS), gone(FRAMEWORK_IDS), gone(TASK_KEYS)
)
RESOLVED = st.dictionaries(
    st.sampled_from(["node1", "node2"]), st.sampled_from([(), packed("10.0.0.1"), packed("10.9.9.9")]), max_size=2
)
MASTERS = st.tuples(
    st.lists(st.sampled_from([Endpoint("10.0.0.1", 5050), Endpoint("node1", 5050)]), max_size=2),
    st.sampled_from([None, Endpoint("10.0.0.1", 5050), Endpoint("node2", 5050)]),
)


@given(st.lists(DELTAS | RESOLVED | MASTERS, max_size=12))
def test_any_series_of_changes_leads_to_the_zone_of_the_end(steps):
    cluster = Cluster()
    hosts = {}
    for step in steps:
        if isinstance(step, Delta):
            cluster.apply(step)
        elif isinstance(step, dict):
            hosts.update(step)
            cluster.take(*cluster.model.set_hosts(step))
        else:
            cluster.take(cluster.model.set_masters(*step))
        fresh = rebuilt(cluster.model, hosts)
        assert as_text(cluster.records()) == as_text(fresh.records())
        assert cluster.counts._extra == fresh.counts._extra
        assert cluster.model.naming.skipped.counts == fresh.model.naming.skipped.counts
