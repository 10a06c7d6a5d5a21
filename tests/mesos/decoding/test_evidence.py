"""What a state gives away about what it does not show."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesos_dns.mesos.decoding.grammar import parse_duration, parse_ensemble
from mesos_dns.mesos.decoding.v0 import Decoder
from mesos_dns.mesos.state import Concealed


def used(cpus, mem=0):
    return {"cpus": cpus, "mem": mem, "disk": 0.0, "gpus": 0, "ports": "[31000-31001]"}


def agent(number, **more):
    return {"id": f"S{number}", "pid": f"slave(1)@10.0.0.{number}:5051", **more}


def framework(number, *tasks, **more):
    return {"id": f"F{number}", "name": "fw", "tasks": list(tasks), "executors": [], **more}


def task(number, state="TASK_RUNNING"):
    return {"id": f"t{number}", "name": "web", "slave_id": "S1", "state": state}


def decode(decoder=None, **members):
    document = {"id": "M", "leader": "master@10.0.0.1:5050", "slaves": [], "frameworks": [], **members}
    return (decoder or Decoder()).decode(json.dumps(document).encode())


BUSY = [agent(1, used_resources=used(1.5, 64)), agent(2, used_resources=used(0.1))]


@pytest.mark.parametrize(
    ("members", "concealed"),
    [
        pytest.param(
            {"frameworks": [framework(1, task(1), used_resources=used(1.6, 64))]}, Concealed(), id="all is shown"
        ),
        pytest.param({"frameworks": []}, Concealed(frameworks=True), id="no framework is"),
        pytest.param(
            {"frameworks": [framework(1, task(1), used_resources=used(0.1))]},
            Concealed(frameworks=True),
            id="not all are",
        ),
        pytest.param(
            {"frameworks": [framework(1, used_resources=used(1.6))]}, Concealed(True, frozenset({"F1"})), id="memory"
        ),
        pytest.param(
            {"frameworks": [framework(1, used_resources=used(1.6, 64))]},
            Concealed(tasks_of=frozenset({"F1"})),
            id="no task is",
        ),
        pytest.param(
            {"frameworks": [framework(1, executors=[{}], used_resources=used(1.6, 64))]},
            Concealed(),
            id="executors use it",
        ),
        pytest.param({"frameworks": [framework(1)]}, Concealed(), id="a framework tells no sum"),
        pytest.param({"frameworks": [framework(1, used_resources="x")]}, Concealed(), id="a bad sum"),
        pytest.param({"frameworks": [{"id": 1, "name": [], "tasks": []}]}, Concealed(), id="a bad framework"),
        pytest.param({"unregistered_frameworks": ["F8"]}, Concealed(), id="orphans"),
        pytest.param({"frameworks": None}, Concealed(), id="no list"),
        pytest.param({"slaves": [agent(1, used_resources=used(0))]}, Concealed(), id="an idle cluster"),
        pytest.param({"slaves": [agent(1, used_resources={"cpus": "x"})]}, Concealed(), id="an agent's sum is bad"),
        pytest.param({"slaves": [agent(1)]}, Concealed(), id="an agent tells no sum"),
    ],
)
def test_sums_that_do_not_add_up(members, concealed):
    snapshot = decode(**({"slaves": BUSY} | members))
    assert snapshot.concealed == concealed
    assert bool(snapshot.concealed) is (concealed != Concealed())
    assert snapshot.agents


@given(st.lists(st.lists(st.integers(1, 4000), max_size=20), max_size=5))
def test_whatever_tasks_use_a_whole_state_conceals_nothing(tasks_of):
    """Agents and frameworks have the same tasks; sums of thousandths differ by rounding alone."""
    frameworks = [
        framework(number, *map(task, range(len(tasks))), used_resources=used(sum(one / 1000 for one in tasks)))
        for number, tasks in enumerate(tasks_of)
    ]
    everything = [one / 1000 for tasks in tasks_of for one in reversed(tasks)]
    agents = [agent(number, used_resources=used(sum(everything[number::3]))) for number in range(3)]
    assert not decode(slaves=agents, frameworks=frameworks).concealed


def test_tasks_that_ended():
    ended = {"completed_tasks": [task(1, "TASK_FINISHED"), None, {}], "unreachable_tasks": [task(2, "TASK_LOST")]}
    decoder = Decoder()
    listed = framework(1, task(3), task(4, "TASK_KILLING"), **ended)
    for _ in range(2):
        assert decode(decoder, frameworks=[listed, framework(2)]).ended_tasks == {"F1": {"t1", "t2", "t4"}}
    assert decode(decoder, frameworks=[framework(1, **(ended | {"unreachable_tasks": []}))]).ended_tasks == {
        "F1": {"t1"}
    }
    assert decode(decoder, frameworks=[framework(1, task(3))]).ended_tasks == {}


@pytest.mark.parametrize("bad", [None, "x", 7, {}, [7], [{"id": 7}]])
def test_lists_of_ended_tasks_that_cannot_be_read_tell_nothing(bad):
    snapshot = decode(frameworks=[framework(1, task(1), completed_tasks=bad, unreachable_tasks=[task(2)])])
    assert snapshot.ended_tasks == {"F1": {"t2"}}
    assert len(snapshot.tasks) == 1


def test_whose_state_it_is():
    flags = {"agent_reregister_timeout": "15mins", "cluster": "lab", "zk": "zk://user:p@ss@B:2181,a:2181/mesos/"}
    snapshot = decode(flags=flags, elected_time=12.5)
    assert (snapshot.cluster, snapshot.ensemble) == ("lab", "a:2181,b:2181/mesos")
    assert (snapshot.elected_time, snapshot.reregister_timeout) == (12.5, 900.0)
    assert decode(flags=flags, cluster="top").cluster == "top"
    assert decode(flags={"slave_reregister_timeout": "10mins"}).reregister_timeout == 600.0
    for nothing in (None, {}, [], "x", {"agent_reregister_timeout": 7, "cluster": [], "zk": {}, "registry": 1}):
        snapshot = decode(flags=nothing, elected_time="x", cluster=7)
        assert (snapshot.cluster, snapshot.ensemble, snapshot.elected_time, snapshot.reregister_timeout) == (
            "",
            "",
            None,
            None,
        )


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        *[
            ("10mins", 600.0),
            ("1.5hrs", 5400.0),
            ("90secs", 90.0),
            ("2weeks", 1209600.0),
            ("1days", 86400.0),
            ("500ms", 0.5),
        ],
        *[(bad, None) for bad in ("", "10", "mins", "-1secs", "1e3secs", "10 mins", "10minutes", "9" * 40 + "secs")],
    ],
)
def test_durations(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    ("url", "ensemble"),
    [("zk://a:1/m", "a:1/m"), ("zk://a:1", "a:1"), ("zk:///m", ""), ("file:///etc/zk", ""), ("", ""), ("zk://,/", "")],
)
def test_ensembles(url, ensemble):
    assert parse_ensemble(url) == ensemble


@given(st.text())
def test_any_text_is_read(text):
    parse_duration(text)
    parse_ensemble(text)
    parse_ensemble(f"zk://{text}")
