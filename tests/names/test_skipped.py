"""What is left out is counted while it is, with a few examples."""

from tests.names.cluster import packed, rules

from mesos_dns.mesos.state import Agent, Delta, Framework, Task
from mesos_dns.names.model import Model
from mesos_dns.names.naming import Naming
from mesos_dns.names.skipped import Skipped

STATE = Delta(
    {"A-0": Agent("A-0", "10.0.0.1", 5051)},
    {"F": Framework("F", "fw", "10.0.0.2", 80), "L": Framework("L", "leader", "10.0.0.3", 80)},
    {("F", f"t{n}", 0): Task(f"t{n}", "---", "F", "A-0") for n in range(5)},
)


def test_counts_and_the_first_examples():
    skipped = Skipped()
    for n in range(5):
        skipped.add("empty label", f"task {n}")
    assert skipped.counts == {"empty label": 5}
    assert skipped.examples("empty label") == ("task 0", "task 1", "task 2")
    assert repr(skipped) == "Skipped({'empty label': 5})"


def test_what_is_no_more_left_out_is_no_example():
    skipped = Skipped()
    for n in range(4):
        skipped.add("empty label", f"task {n}")
    skipped.remove("empty label", "task 1")
    assert skipped.counts == {"empty label": 3}
    assert skipped.examples("empty label") == ("task 0", "task 2")
    for n in (0, 2, 3):
        skipped.remove("empty label", f"task {n}")
    assert skipped.counts == {}
    assert skipped.examples("empty label") == ()


def test_examples_are_short():
    skipped = Skipped()
    skipped.add("empty label", "x" * 1000)
    assert len(skipped.examples("empty label")[0]) == 160
    skipped.remove("empty label", "x" * 1000)
    assert skipped.counts == {}


def applied(model, delta):
    for _ in model.apply(delta):
        pass


def test_a_cluster_says_which_tasks_and_frameworks_lack_names():
    model = Model(Naming(rules()))
    applied(model, STATE)
    assert model.naming.skipped.counts == {"empty label": 5, "reserved name": 1}
    assert model.naming.skipped.examples("reserved name") == ("framework 'L' called 'leader'",)
    assert model.naming.skipped.examples("empty label")[0] == "task 't0' of framework 'F'"


def test_naming_the_same_task_again_counts_nothing():
    model = Model(Naming(rules()))
    applied(model, STATE)
    before = model.naming.skipped.counts
    # The agent's address, and the framework's name, change: all tasks are named again.
    applied(model, Delta({"A-0": Agent("A-0", "10.0.0.9", 5051)}, {"F": Framework("F", "fw2", "10.0.0.2", 80)}))
    applied(model, STATE)
    for key in STATE.tasks:
        model.task_records(key)
        model.contributors(b"\3fw2\5mesos\0")
    assert model.naming.skipped.counts == before


def test_what_has_gone_or_got_a_name_is_not_counted():
    model = Model(Naming(rules()))
    applied(model, STATE)
    applied(
        model,
        Delta(
            frameworks_gone=("L",),
            tasks={("F", "t0", 0): Task("t0", "web", "F", "A-0")},
            tasks_gone=tuple(("F", f"t{n}", 0) for n in range(1, 5)),
        ),
    )
    assert model.naming.skipped.counts == {}
    assert model.naming.task(STATE.tasks["F", "t0", 0], b"fw", packed("10.0.0.1")) == []
    assert model.naming.skipped.counts == {}
