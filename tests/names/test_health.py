"""Unhealthy tasks give way to healthy ones of the same name, whatever happens in which order."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.examples import fewer
from tests.names.cluster import as_text, packed, rules

from mesos_dns.mesos.state import Agent, Delta, DiscoveryPort, Framework, Network, PortMapping, Task
from mesos_dns.names import table
from mesos_dns.names.labels import rfc1123
from mesos_dns.names.model import SLICE_OF_TASKS, Model
from mesos_dns.names.naming import Naming
from mesos_dns.zone.contributors import records_of

AGENTS = {f"S{n}": Agent(f"S{n}", f"10.0.0.{n}", 5051) for n in (1, 2)}
FRAMEWORKS = {"F": Framework("F", "fw")}
HTTP = (DiscoveryPort(80, "http", "tcp"),)
ADMIN = (DiscoveryPort(81, "admin", "tcp"),)
SHARED = tuple(rule for rule in table.TASK_RULES if rule.owner.front != "CANON")


def task(task_id, name="web", *, healthy=None, framework="F", agent="S1", **more):
    return Task(task_id, name, framework, agent, healthy=healthy, **more)


def by_key(*tasks):
    return {(one.framework_id, one.id, 0): one for one in tasks}


class Cluster:
    """A model, and what all that it gave adds up to."""

    def __init__(self, *tasks, given_rules=None, agents=AGENTS, frameworks=FRAMEWORKS):
        self.model = Model(Naming(given_rules or rules(rfc1123)))
        self.records = Counter()
        self.apply(Delta(agents, frameworks, by_key(*tasks)))

    def apply(self, delta):
        """Take the delta; how many records were given and taken."""
        cost = 0
        for withdrawn, contributed in self.model.apply(delta):
            lost, gained = Counter(records_of(withdrawn)), Counter(records_of(contributed))
            cost += sum((gained - lost).values()) + sum((lost - gained).values())
            self.records.subtract(lost)
            self.records.update(gained)
        self.records = +self.records
        return cost

    def set(self, *tasks):
        return self.apply(Delta(tasks=by_key(*tasks)))

    def remove(self, *tasks):
        return self.apply(Delta(tasks_gone=tuple(by_key(*tasks))))

    def at(self, name):
        """What is there at this name."""
        return sorted(line.split(" ", 1)[1] for line in as_text(self.records) if line.startswith(f"{name}.mesos. "))


def instances(*healths):
    return [
        task(f"t{n}", healthy=healthy, agent=f"S{n}", ports=((80 + n, 80 + n),)) for n, healthy in enumerate(healths, 1)
    ]


def test_an_unhealthy_instance_gives_way_and_keeps_its_own_names():
    good, bad = instances(None, False)
    cluster = Cluster(good, bad)
    assert cluster.at("web.fw") == ["A 10.0.0.1"]
    assert cluster.at("web.fw.slave") == ["A 10.0.0.1"]
    assert [line[-2:] for line in cluster.at("_web._tcp.fw")] == ["81"]
    assert [line[-2:] for line in cluster.at("_web._tcp.fw.slave")] == ["81"]
    assert [line[-2:] for line in cluster.at("web.fw._tcp")] == ["81"]
    own = {name for name in as_text(cluster.records) if name.startswith("web-") and name.endswith(" A 10.0.0.2")}
    assert len(own) == 2
    assert cluster.model.left_out == 1


@pytest.mark.parametrize("healths", [(False, False), (False, None), (None, False), (True, None)])
def test_when_none_is_healthy_all_are_served_and_an_alone_one_always_is(healths):
    if None not in healths and True not in healths:
        cluster = Cluster(*instances(*healths))
        assert cluster.at("web.fw") == ["A 10.0.0.1", "A 10.0.0.2"]
        assert cluster.model.left_out == 0
    first, second = instances(*healths)
    for one in (first, second):
        assert Cluster(one).at("web.fw") != []


def test_a_flip_costs_the_instance_and_a_turn_the_unhealthy_ones():
    many = [task(f"t{n}", healthy=True, agent="S1", ports=((n, n),)) for n in range(100)]
    cluster = Cluster(*many)
    sick = [task(f"t{n}", healthy=False, agent="S1", ports=((n, n),)) for n in range(100)]
    assert (
        cluster.set(sick[0]) == 2 + 6
    )  # its addresses at both shared names, its port at three services over two protocols
    assert cluster.set(many[0]) == 8
    for one in sick[:99]:
        assert cluster.set(one) == 8
    # Now it is the last that turns: it stays, and the others are back.
    assert cluster.set(sick[99]) == 99 * 8
    assert cluster.model.left_out == 0
    assert cluster.set(many[50]) == 99 * 8
    assert cluster.model.left_out == 99


def test_the_configuration_turns_it_off():
    unaware = rules(rfc1123)._replace(health_aware=False)
    assert Cluster(*instances(True, False), given_rules=unaware).at("web.fw") == ["A 10.0.0.1", "A 10.0.0.2"]


def test_only_names_that_a_healthy_one_has_are_left_to_it():
    good = task("good", healthy=True, discovery_name="web", discovery_ports=HTTP)
    bad = task("bad", healthy=False, agent="S2", discovery_name="web", discovery_ports=HTTP + ADMIN)
    cluster = Cluster(good, bad)
    assert cluster.at("web.fw") == ["A 10.0.0.1"]
    assert len(cluster.at("_http._web._tcp.fw")) == 1
    assert [line.rpartition(":")[2] for line in cluster.at("_admin._web._tcp.fw")] == ["81"]
    cluster.set(task("good", healthy=True, discovery_name="web", discovery_ports=HTTP + ADMIN))
    assert len(cluster.at("_admin._web._tcp.fw")) == 1


def test_a_healthy_one_without_address_or_agent_covers_no_address():
    lost = task("lost", healthy=True, agent="S9")
    unresolved = task("unresolved", healthy=True, agent="S3")
    sick = task("sick", healthy=False)
    cluster = Cluster(lost, unresolved, sick, agents={**AGENTS, "S3": Agent("S3", "node3", 5051)})
    assert cluster.at("web.fw") == ["A 10.0.0.1"]
    for slice_ in cluster.model.set_hosts({"node3": packed("10.0.0.3")}):
        cluster.records.subtract(records_of(slice_[0]))
        cluster.records.update(records_of(slice_[1]))
    cluster.records = +cluster.records
    assert cluster.at("web.fw") == ["A 10.0.0.3"]
    cluster.apply(Delta(agents={"S9": Agent("S9", "10.0.0.9", 5051)}))
    assert cluster.at("web.fw") == ["A 10.0.0.3", "A 10.0.0.9"]


def test_frameworks_of_one_name_share_their_instances():
    frameworks = {name: Framework(name, "fw") for name in "FG"}
    other = task("other", healthy=True, framework="G", agent="S2")
    cluster = Cluster(task("sick", healthy=False), other, frameworks=frameworks)
    assert cluster.at("web.fw") == ["A 10.0.0.2"]
    cluster.apply(Delta(frameworks={"G": Framework("G", "elsewhere")}))
    assert cluster.at("web.fw") == ["A 10.0.0.1"]
    assert cluster.at("web.elsewhere") == ["A 10.0.0.2"]


def test_a_name_as_it_is_and_its_label_are_two_names():
    good = task("good", healthy=True, discovery_name="shop-web")
    bad = task("bad", healthy=False, agent="S2", discovery_name="Shop.Web")
    cluster = Cluster(good, bad)
    assert cluster.at("shop-web.fw") == ["A 10.0.0.1"]
    assert cluster.at("shop.web.fw") == ["A 10.0.0.2"]


def test_no_name_goes_and_comes_again_within_a_change():
    count = 3 * SLICE_OF_TASKS
    before = [task(f"t{n}", healthy=n == 0) for n in range(count)]
    cluster = Cluster(*before)
    owner = next(owner for owner, _, _ in cluster.records if owner.startswith(b"\3web\2fw\5mesos"))
    for after in ([task(f"t{n}", healthy=n == count - 1) for n in range(count)], before, before[1:]):
        keys = by_key(*after)
        gone = tuple(key for key in cluster.model.tasks if key not in keys)
        for withdrawn, contributed in cluster.model.apply(Delta(tasks=keys, tasks_gone=gone)):
            cluster.records.subtract(records_of(withdrawn))
            cluster.records.update(records_of(contributed))
            assert any(number > 0 for record, number in cluster.records.items() if record[0] == owner)
        cluster.records = +cluster.records


def test_a_large_group_is_looked_at_in_slices_and_only_once():
    many = [task(f"t{n}", healthy=True) for n in range(3 * SLICE_OF_TASKS)]
    cluster = Cluster(*many)
    first, second = (len([*cluster.model.apply(Delta(tasks=by_key(task(f"t{n}", healthy=False))))]) for n in (0, 1))
    assert first == second + 3


def test_nothing_is_remembered_of_tasks_that_are_gone():
    some = instances(True, False)
    cluster = Cluster(*some)
    cluster.remove(*some)
    assert repr(cluster.model._health) == "Health(groups=0)"
    assert not any(cluster.records[record] for record in cluster.records if record[0].startswith(b"\3web"))


# --- any series of changes ----------------------------------------------------------------------


def expected(model):
    """All records, by the rule itself: those of unhealthy tasks but for names that healthy ones of the group share."""
    placed = {key: model._placement(one) for key, one in model.tasks.items()}
    placed = {key: placement for key, placement in placed.items() if placement is not None}

    def group(placement):
        one, fragment, _ = placement
        return fragment, model.naming.rules.label(one.discovery_name or one.name)

    taken = {}
    for placement in placed.values():
        if placement[0].healthy is not False:
            records = model.naming.task(*placement, rules=SHARED)
            taken.setdefault(group(placement), set()).update(owner for owner, _, _ in records)
    out = Counter()
    for key, placement in placed.items():
        records = set(model.naming.task(*placement))
        if placement[0].healthy is False:
            own = set(model.naming.task(*placement, rules=tuple(set(table.TASK_RULES) - set(SHARED))))
            records = {record for record in records if record[0] not in taken.get(group(placement), ())} | own
        assert set(model.task_records(key)) == records
        out.update(records)
    return out


MAPPED = Network("container", (PortMapping(31000, 81),))
IDS = st.sampled_from(["t1", "t2", "t3", "t4"])


@st.composite
def any_task(draw):
    network_ports = draw(st.sampled_from([(), HTTP, ADMIN, HTTP + ADMIN, (DiscoveryPort(70000, "http", "tcp"),)]))
    return Task(
        draw(IDS),
        draw(st.sampled_from(["web", "Web", "db"])),
        draw(st.sampled_from(["F", "G"])),
        draw(st.sampled_from(["S1", "S2", "S3"])),
        draw(st.sampled_from([(), ((80, 80),), ((443, 444),)])),
        draw(st.sampled_from(["", "", "web", "W.eb", "we.b", "\u65e5"])),
        network_ports,
        netinfo=draw(st.sampled_from([(), packed("10.1.1.1"), packed("10.1.1.2", "fd00::2")])),
        healthy=draw(st.sampled_from([None, True, False, False])),
        network=draw(st.sampled_from([Network(), Network("bridge"), Network("container"), MAPPED])),
    )


STEPS = st.builds(
    lambda tasks, gone, agents, agents_gone, frameworks, frameworks_gone: Delta(
        agents,
        frameworks,
        by_key(*tasks),
        tuple(agents_gone),
        tuple(frameworks_gone),
        tuple(("F", one, 0) for one in gone),
    ),
    st.lists(any_task(), max_size=4),
    st.lists(IDS, max_size=2),
    st.dictionaries(st.just("S3"), st.sampled_from([Agent("S3", "10.0.0.3", 1), Agent("S3", "node3", 1)])),
    st.sets(st.sampled_from(["S1", "S3"]), max_size=1),
    st.dictionaries(
        st.just("G"), st.sampled_from([Framework("G", "fw"), Framework("G", "gw"), Framework("G", "slave")])
    ),
    st.sets(st.just("G")),
)


@given(st.lists(STEPS, max_size=8), st.sampled_from([("host",), ("netinfo", "host"), ("auto",)]))
@fewer(2)
def test_any_series_of_changes_ends_in_what_the_rule_says(steps, sources):
    cluster = Cluster(given_rules=rules(rfc1123, sources))
    for step in steps:
        cluster.apply(step)
        wanted = expected(cluster.model)
        of_agents = cluster.model.naming.agent_owners
        assert {one: n for one, n in cluster.records.items() if one[0] not in of_agents} == dict(wanted)
        fresh = Cluster(given_rules=rules(rfc1123, sources), agents={}, frameworks={})
        fresh.apply(cluster.model.everything())
        assert fresh.records == cluster.records
        assert fresh.model.left_out == cluster.model.left_out
        assert fresh.model.naming.skipped.counts == cluster.model.naming.skipped.counts
