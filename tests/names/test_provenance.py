"""Who contributes a record: exactly those whose naming gives it."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.examples import fewer
from tests.names.cluster import AGENTS, FRAMEWORKS, LEADER, TASKS, packed, rules

from mesos_dns.dns import name as names
from mesos_dns.dns.rdata import SRV, A
from mesos_dns.mesos.state import Agent, Delta, DiscoveryPort, Endpoint, Framework, Task
from mesos_dns.names.labels import rfc952, rfc1123
from mesos_dns.names.model import Model
from mesos_dns.names.naming import Naming
from mesos_dns.names.provenance import Contributor


def model_of(agents, frameworks, tasks, *, label=rfc1123, self_name="ns.mesos", domain="mesos"):
    model = Model(Naming(rules(label, domain=domain)._replace(self_name=names.from_text(self_name))))
    for _ in model.apply(Delta(agents, frameworks, tasks)):
        pass
    model.set_masters([LEADER, Endpoint("10.0.0.9", 5050)], LEADER)
    model.set_self(packed("10.0.0.4"))
    return model


def all_contributions(model):
    """Owner to all pairs of record and contributor, by naming every entity."""
    given = [(Contributor("self"), model._self_records)]
    for framework_id, framework in model.frameworks.items():
        addresses = model._framework_addresses[framework_id]
        records = model.naming.framework(framework.name, addresses, framework.port)
        given.append((Contributor("framework", framework_id), records))
    for agent_id, agent in model.agents.items():
        records = model.naming.agent(model._agent_addresses[agent_id], agent.port)
        given.append((Contributor("agent", agent_id), records))
    for key, task in model.tasks.items():
        given.append((Contributor("task", task.id, key[0], key[2]), model.task_records(key)))
    masters = [(master, packed(master.host)) for master in model.masters]
    for master, records in model.naming.each_master(masters, (model.leader, packed(model.leader.host))):
        given.append((Contributor("master", str(master)), records))
    found = {}
    for contributor, records in given:
        for record in records:
            found.setdefault(record[0], set()).add((record, contributor))
    return found


def check(model):
    expected = all_contributions(model)
    for owner, pairs in expected.items():
        found = model.contributors(owner)
        assert len(found) == len(set(found))
        assert set(found) == pairs
        assert set(model.contributors(owner, A)) == {pair for pair in pairs if pair[0][1] == A}
    return expected


@pytest.fixture
def model():
    return model_of(AGENTS, FRAMEWORKS, TASKS, label=rfc952)


def of(model, text, rrtype=None):
    return model.contributors(names.from_text(text), rrtype)


# --- examples ----------------------------------------------------------------------------------


def test_of_every_record_of_a_cluster(model):
    assert len(check(model)) > 100


def test_the_instances_of_an_application(model):
    found = of(model, "liquor-store.marathon.mesos")
    assert [(record[2], who.kind, who.id.partition(".")[2][:8]) for record, who in found] == [
        (packed("10.3.0.1")[0], "task", "b8db9f73"),
        (packed("10.3.0.2")[0], "task", "b71166c1"),
    ]


def test_one_task_by_its_canonical_name(model):
    ((record, who),) = of(model, "reviewbot-8sq89-1.marathon.mesos")
    assert record[1:] == (A, packed("1.2.3.12")[0])
    assert who == Contributor("task", "reviewbot.8c9b3434-615a-11e4-a088-c20493233aa5", "FM", 0)


def test_a_task_whose_id_is_given_twice_has_a_number(model):
    assert {who.number for _, who in of(model, "big-dog.marathon.mesos")} == {1}


def test_the_type_may_be_chosen(model):
    assert of(model, "_reviewbot._tcp.marathon.mesos", A) == []
    assert [record[1] for record, _ in of(model, "_reviewbot._tcp.marathon.mesos", SRV)] == [SRV]


def test_agents_masters_the_server_and_frameworks(model):
    assert {who for _, who in of(model, "slave.mesos")} == {Contributor("agent", agent_id) for agent_id in AGENTS}
    assert {who for _, who in of(model, "leader.mesos")} == {Contributor("master", str(LEADER))}
    assert {who.id for _, who in of(model, "_master._tcp.mesos")} == {str(LEADER), "10.0.0.9:5050"}
    assert {who for _, who in of(model, "ns.mesos")} == {Contributor("self")}
    assert {who for _, who in of(model, "_framework._tcp.marathon.mesos")} == {Contributor("framework", "FM")}


@pytest.mark.parametrize("text", ["", "mesos", "example.org", "no-such.marathon.mesos", "_x._tcp.mesos", "a.b.c.mesos"])
def test_names_without_records_have_no_contributors(model, text):
    assert of(model, text) == []


def test_what_has_gone_contributes_no_more(model):
    gone = next(key for key, task in TASKS.items() if task.name == "reviewbot")
    for _ in model.apply(Delta(tasks_gone=(gone,))):
        pass
    assert of(model, "reviewbot.marathon.mesos") == []


def test_a_task_with_another_name_is_found_by_that(model):
    key, old = next((key, task) for key, task in TASKS.items() if task.name == "reviewbot")
    for _ in model.apply(Delta(tasks={key: Task(old.id, "critic", "FM", old.agent_id)})):
        pass
    assert of(model, "reviewbot.marathon.mesos") == []
    assert [who.id for _, who in of(model, "critic.marathon.mesos")] == [old.id]
    assert list(model.tasks_of_framework("FM")) == [key for key in TASKS if key[0] == "FM"]
    check(model)


# --- any cluster -------------------------------------------------------------------------------

LONG = "a-" * 29 + "bcdef"
NAMES = st.sampled_from(
    [
        "web",
        "Web",
        "a.b",
        "a",
        "b",
        "web-iffe9-0",
        "x" * 60,
        "x" * 63,
        "x" * 64,
        LONG,
        "x" * 30 + "." + "y" * 70,
        "*",
        "",
    ]
) | st.text("aB1-._*\u00e4", max_size=70)
FRAGMENTS = st.sampled_from(["fw", "b.fw", "a.b.fw", "slave", "x.slave", "leader", "fw2"]) | st.lists(
    st.sampled_from(["f" * 63, "g" * 40, "h" * 20]), min_size=3, max_size=5
).map(".".join)
PORTS = st.builds(
    DiscoveryPort, st.integers(79, 81), st.sampled_from(["", "http", "p" * 63]), st.sampled_from(["", "tcp"])
)


@st.composite
def clusters(draw):
    frameworks = {
        f"F{n}": Framework(f"F{n}", name, "10.0.1.1", draw(st.sampled_from([None, 80])))
        for n, name in enumerate(draw(st.lists(FRAGMENTS, min_size=1, max_size=3)))
    }
    agents = {f"A-{n}": Agent(f"A-{n}", f"10.0.2.{n}", 5051) for n in range(2)}
    tasks = {}
    for n in range(draw(st.integers(1, 5))):
        framework_id = draw(st.sampled_from(sorted(frameworks)))
        task = Task(
            *(
                draw(st.sampled_from(["t", "u", f"t{n}"])),
                draw(NAMES),
                framework_id,
                draw(st.sampled_from(["A-0", "A-1"])),
            ),
            draw(st.sampled_from([(), ((80, 81),)])),
            draw(st.just("") | NAMES),
            tuple(draw(st.lists(PORTS, max_size=2))),
            healthy=draw(st.sampled_from([None, None, True, False])),
        )
        tasks[framework_id, task.id, n] = task
    return agents, frameworks, tasks


@given(clusters(), st.sampled_from([rfc1123, rfc952]), st.sampled_from(["mesos", "d" * 60 + ".example"]))
@example(
    (
        {"A-0": Agent("A-0", "10.0.2.1", 5051)},
        {"F0": Framework("F0", ".".join(["f" * 63, "g" * 63, "h" * 63]))},
        {("F0", "t", 0): Task("t", "x" * 60, "F0", "A-0", ((80, 80),))},
    ),
    rfc1123,
    "mesos",
)
@fewer(2)
def test_contributors_are_exactly_those_whose_naming_gives_the_record(cluster, label, domain):
    check(model_of(*cluster, label=label, domain=domain))
