"""Properties of naming, whatever tasks are called: the plain and the bulk way agree, and nobody has the names of others."""

import re
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs
from tests.names.cluster import discovered, packed, rules

from mesos_dns.dns import name as names
from mesos_dns.mesos.state import DiscoveryPort, Network, PortMapping, Task
from mesos_dns.names.labels import rfc1123
from mesos_dns.names.naming import Naming
from mesos_dns.zone.contributors import records_of

TEXT = st.text(max_size=90) | st.text(alphabet="ab.-_", max_size=90)


@given(TEXT, TEXT, TEXT, TEXT, st.integers(-5, 70000), TEXT, TEXT)
def test_whatever_a_task_is_called_its_records_are_names_that_can_exist(
    task_id, name, discovery, agent, port, port_name, protocol
):
    naming = Naming(rules(rfc1123))
    task = Task(
        *(task_id, name, "F", agent, ((80, 81),), discovery),
        (DiscoveryPort(port, port_name, protocol),),
    )
    records = naming.task(task, naming.framework_fragment(name), packed("10.0.0.1"))
    assert len(records) == len(set(records))
    for owner, rrtype, rdata in records:
        assert owner == owner.lower()
        assert len(owner) <= 255
        assert names.from_labels(names.labels(owner)) == owner
        if rrtype == 33:
            assert names.from_labels(names.labels(rdata[6:])) == rdata[6:]
            assert (rdata[6:], 1, packed("10.0.0.1")[0]) in records


#: What repeats, so that services of several ports meet; what is short, so that names are usual; and anything.
LABEL = (
    st.sampled_from(["", "web", "Web", "a.b", "a.slave", "a", "x" * 55, "x" * 30 + "." + "y" * 32, "_tcp", "tcp"])
    | st.sampled_from(["*", "a.*", "_a._tcp", "http._web", "framework", "ns", "leader", "\u65e5"])
    | TEXT
)
PORT = st.sampled_from([80, 81]) | st.integers(-5, 70000)
PACKED = st.lists(st.sampled_from(packed("10.0.0.1", "10.0.0.2", "2001:db8::1", "2001:db8::2")), max_size=3).map(tuple)
ANY_TASK = st.builds(
    Task,
    id=TEXT,
    name=LABEL,
    framework_id=st.just("F"),
    agent_id=LABEL,
    ports=st.lists(st.tuples(PORT, PORT), max_size=3).map(tuple),
    discovery_name=st.just("") | LABEL,
    discovery_ports=st.lists(st.builds(DiscoveryPort, PORT, LABEL, LABEL), max_size=4).map(tuple),
    netinfo=PACKED,
    network=st.builds(
        Network,
        st.sampled_from(["unknown", "host", "bridge", "container"]),
        st.lists(st.builds(PortMapping, PORT, PORT, st.sampled_from(["", "tcp", "udp"])), max_size=2).map(tuple),
    ),
)
#: Instances of one application: the same ports, or the same but for some, which the bulk way takes together.
INSTANCES = st.builds(
    lambda task, changes: [
        structs.replace(task, id=f"{n}", ports=ports, discovery_ports=task.discovery_ports[:left])
        for n, (ports, left) in enumerate(changes)
    ],
    ANY_TASK,
    st.lists(st.tuples(st.sampled_from([(), ((80, 80),), ((81, 82),)]), st.integers(0, 4)), max_size=5),
)
FRAMEWORK = st.sampled_from(["", "fw", "a.fw", "slave", "a.slave", "leader", "f" * 63, ".".join(["f" * 63] * 4)])


@given(
    st.lists(ANY_TASK, max_size=5) | INSTANCES,
    FRAMEWORK,
    PACKED,
    st.sampled_from(["ns.mesos", "ns.fw.mesos"]),
    st.sampled_from([("netinfo", "docker", "mesos", "host"), ("auto",)]),
)
def test_both_ways_of_naming_give_the_same_records_and_reasons(tasks, framework, agent, self_name, sources):
    given_rules = rules(rfc1123, sources)._replace(self_name=names.from_text(self_name))
    bulk, plain = Naming(given_rules), Naming(given_rules)
    fragment = bulk.framework_fragment(framework)
    expected, reasons = Counter(), Counter()
    for task in tasks:
        why = set()
        records = plain.task(task, fragment, agent, reasons=why)
        expected.update(records)
        reasons.update(why)
        assert Counter(records_of(bulk.contributions([(task, fragment, agent)]))) == Counter(records)
    contributed = bulk.contributions([(task, fragment, agent) for task in tasks], counted=1)
    assert Counter(records_of(contributed)) == expected
    assert bulk.skipped.counts == reasons
    assert all(len(set(owners)) == len(owners) for owners, _ in contributed)
    assert bulk.contributions([(task, fragment, agent) for task in tasks], counted=-1) == contributed
    assert bulk.skipped.counts == {}


def own_names(fragment):
    """What a framework and its tasks may have: their own subtree, that below `.slave`, and that below protocols."""
    framework = re.escape(fragment.decode())
    return re.compile(rf"(.+\.)?{framework}\.mesos\.|.+\.{framework}(\.slave|\._[^._]+)\.mesos\.", re.DOTALL)


@given(ANY_TASK, LABEL | FRAMEWORK, PACKED)
def test_nobody_has_names_beyond_his_own(task, framework, agent):
    naming = Naming(rules(rfc1123))
    fragment = naming.framework_fragment(framework)
    records = [*naming.task(task, fragment, agent), *naming.framework(framework, packed("10.0.0.1"), 80)]
    owners = {names.to_text(owner) for owner, _, _ in records}
    cluster = {"leader", "master", "slave", "agent", "_leader._tcp", "_master._tcp", "_slave._tcp", "_agent._tcp"}
    assert not owners & {f"{one}.mesos." for one in cluster}
    assert not any(b"*" in names.labels(owner) for owner, _, _ in records)
    if all(len(owner) < 255 for owner, _, _ in records):  # else even a framework's labels are shortened
        assert [owner for owner in owners if not own_names(fragment).fullmatch(owner)] == []


def test_most_tasks_take_the_bulk_way():
    bulk = Naming(rules(rfc1123))._bulk

    def takes_it(task, *addresses):
        return not bulk.contributions([], [(task, b"fw", packed(*addresses))])

    assert takes_it(discovered(DiscoveryPort(80, "http", "tcp"), DiscoveryPort(80, "", "")), "10.0.0.1")
    assert takes_it(Task("test", "web", "F", "S-0", ((80, 81),)), "10.0.0.1", "::1")
    assert takes_it(Task("test", "web", "F", "S.0"), "10.0.0.1")
    assert takes_it(discovered(name="a.b"), "10.0.0.1")
    assert not takes_it(discovered(name="a_b"), "10.0.0.1")
    assert not takes_it(Task("test", "framework", "F", "S-0"), "10.0.0.1")


def test_one_unusual_instance_leaves_the_others_their_short_way():
    good, bad = Task("good", "web", "F", "S-0", ((80, 81),)), Task("bad", "web", "F", "S-0", ((70000, 70000),))
    placements = [(task, b"fw", packed("10.0.0.1")) for task in (good, bad)]
    assert Naming(rules(rfc1123))._bulk.contributions([], placements) == placements[1:]


def test_an_address_that_several_instances_give_is_contributed_by_each():
    naming = Naming(rules(rfc1123))
    tasks = [(Task(str(n), "web", "F", "S-0"), b"fw", packed("10.0.0.1", "10.0.0.2")[: 1 + n % 2]) for n in range(3)]
    found = Counter(records_of(naming.contributions(tasks)))
    assert [found[names.from_text("web.fw.mesos"), 1, address] for address in packed("10.0.0.1", "10.0.0.2")] == [3, 1]
