import itertools

from hypothesis import given
from hypothesis import strategies as st
from tests.names.cluster import rules

from mesos_dns.dns.rdata import A
from mesos_dns.mesos.state import Agent, Delta, Framework, Task
from mesos_dns.names.collisions import KINDS, MAX_SHARERS, MAX_SHOWN, NOTHING, TASKS_PER_STEP, find
from mesos_dns.names.model import Model
from mesos_dns.names.naming import Naming

AGENT = {"S0": Agent("S0", "10.0.0.1", 5051)}


def model_of(frameworks, tasks):
    """A model of these frameworks (id: name), and tasks as (framework id, name, discovery name)."""
    model = Model(Naming(rules()))
    made = [
        Task(f"t{n}", name, framework, "S0", netinfo=(bytes((10, 9, n >> 8 & 255, n & 255)),), discovery_name=discovery)
        for n, (framework, name, discovery) in enumerate(tasks)
    ]
    found = {(task.framework_id, task.id, 0): task for task in made}
    named = {each: Framework(each, name, "10.0.0.9", 8080) for each, name in frameworks.items()}
    for _ in model.apply(Delta(AGENT, named, found)):
        pass
    return model


def found_in(model):
    looking = find(model)
    while True:
        try:
            next(looking)
        except StopIteration as end:
            return end.value


def look(frameworks, *tasks):
    """Kind, name and number of sharers of each."""
    found = found_in(model_of(frameworks, tasks))
    assert sum(found.counts.values()) == len(found.shown)
    return [(each.kind, each.name, len(each.sharers)) for each in found.shown]


def test_instances_of_one_application_share_their_name_on_purpose():
    assert look({"F1": "marathon"}, *[("F1", "web", "")] * 3, ("F1", "db", "")) == []
    # Half of them were started before they had a discovery name.
    assert look({"F1": "marathon"}, ("F1", "web", ""), ("F1", "web", "web")) == []
    assert found_in(model_of({}, [])) == NOTHING


def test_applications_whose_names_are_alike():
    assert look({"F1": "marathon"}, ("F1", "web_api", ""), ("F1", "web.api", "")) == [
        ("applications", "web-api.marathon.mesos.", 2)
    ]
    assert look({"F1": "marathon"}, ("F1", "one", "web"), ("F1", "two", "web")) == [
        ("applications", "web.marathon.mesos.", 2)
    ]


def test_frameworks_of_one_name_and_their_tasks():
    found = found_in(model_of({"F1": "marathon", "F2": "Marathon"}, [("F1", "web", ""), ("F2", "web", "")]))
    assert [str(each) for each in found.shown] == [
        "marathon.mesos. of framework 'marathon' ('F1'), framework 'Marathon' ('F2')",
        "web.marathon.mesos. of 1 task 'web' of framework 'marathon' ('F1'), 1 task 'web' of framework 'Marathon' ('F2')",
    ]
    assert found.counts == {"applications": 1, "frameworks": 1, "nested": 0, "reserved": 0}


def test_frameworks_with_names_of_the_cluster():
    found = look({"F1": "slave", "F2": "leader", "F3": "master7", "F4": "mail.agent"}, ("F1", "web", ""))
    assert found == [("reserved", f"{name}.mesos.", 1) for name in ("slave", "leader", "master7", "mail.agent")]
    # Its tasks keep their names, and may collide.
    assert ("applications", "a-b.leader.mesos.", 2) in look({"F": "leader"}, ("F", "a.b", ""), ("F", "a-b", ""))


def test_a_framework_called_like_a_task_of_another():
    two = {"F1": "marathon", "F2": "web.marathon"}
    assert look(two, ("F1", "web", "")) == [("nested", "web.marathon.mesos.", 2)]
    assert look(two, ("F1", "other", "web")) == [("nested", "web.marathon.mesos.", 2)]
    assert look(two, ("F2", "web", ""), ("F1", "db", "")) == []
    three = {"F1": "marathon", "F2": "a.web.marathon"}
    assert look(three, ("F1", "x", "a.web")) == [("nested", "a.web.marathon.mesos.", 2)]
    assert look(three, ("F1", "x", "a-web")) == []


def test_a_discovery_name_with_dots_that_is_a_task_of_another_framework():
    two = {"F1": "marathon", "F2": "web.marathon"}
    assert look(two, ("F1", "y", "X.web"), ("F2", "x", "")) == [("nested", "x.web.marathon.mesos.", 2)]
    assert look(two, ("F1", "y", "x.web"), ("F2", "z", "")) == []


def test_names_of_which_nothing_is_left_are_nobodys():
    assert look({"F1": "---", "F2": "日本"}, ("F1", "web", ""), ("F2", "web", "")) == []
    assert look({"F1": "marathon"}, ("F1", "日本", ""), ("F1", "---", "")) == []


def test_all_are_counted_and_the_first_are_shown():
    tasks = [("F1", name, "") for n in range(3 * MAX_SHOWN) for name in (f"a{n}_b", f"a{n}.b")]
    found = found_in(model_of({"F1": "marathon"}, tasks))
    assert found.counts["applications"] == 3 * MAX_SHOWN
    assert len(found.shown) == MAX_SHOWN
    (one,) = found_in(model_of({"F1": "marathon"}, [("F1", f"n{n}", "web") for n in range(3 * MAX_SHARERS)])).shown
    assert (len(one.sharers), one.more) == (MAX_SHARERS, 2 * MAX_SHARERS)
    assert str(one).endswith(f" and {2 * MAX_SHARERS} more")


def test_others_get_a_turn_within_a_large_application_too():
    model = model_of({"F1": "marathon"}, [("F1", "web", "")] * (5 * TASKS_PER_STEP))
    assert len([*find(model)]) >= 5


def test_the_model_may_change_meanwhile():
    tasks = [("F1", f"a{n}.b", "") for n in range(TASKS_PER_STEP)] + [("F2", "web", ""), ("F3", "web", "")]
    model = model_of({"F1": "marathon", "F2": "x", "F3": "x", "F4": "a1-b.marathon"}, tasks)
    looking = find(model)
    next(looking)
    for _ in model.apply(Delta(frameworks_gone=("F1", "F2", "F4"), tasks_gone=tuple(model.tasks))):
        pass
    assert len([*looking]) < TASKS_PER_STEP


WORDS = st.sampled_from(["a", "b", "a.b", "a_b", "a-b", "B", "", "slave"])


@given(
    st.dictionaries(st.sampled_from(["F1", "F2", "F3"]), WORDS, max_size=3),
    st.lists(st.tuples(st.sampled_from(["F1", "F2", "F3"]), WORDS, WORDS), max_size=8),
)
def test_whoever_shares_an_address_owner_is_told(frameworks, tasks):
    model = model_of(frameworks, tasks)
    owners = {}
    for key, task in model.tasks.items():
        for owner, rrtype, _ in model.task_records(key):
            if rrtype == A and b"-s0" not in owner and b"\5slave" not in owner:
                owners.setdefault(owner, set()).add((key[0], task.name))
    shared = any(len(who) > 1 for who in owners.values())
    found = found_in(model)
    assert not shared or found.counts["applications"] + found.counts["nested"] > 0
    assert set(found.counts) == set(KINDS)
    pairs = itertools.combinations(frameworks.values(), 2)
    assert found.counts["frameworks"] or not any(one == other in ("a", "b", "a.b") for one, other in pairs)
