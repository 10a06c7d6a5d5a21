"""Whose state it is, sign by sign."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesos_dns.mesos.identity import DOUBT_SECONDS, Identity, Verdict
from mesos_dns.mesos.state import Agent, Framework, Snapshot

OURS, DOUBTFUL, ANOTHER = Verdict.OURS, Verdict.DOUBTFUL, Verdict.ANOTHER


def state(master, *agents, frameworks=(), cluster="", ensemble="", recovered=None):
    return Snapshot(
        master,
        None,
        (),
        {each: Agent(each, "10.0.0.1", 5051) for each in agents},
        {each: Framework(each, "fw") for each in frameworks},
        {},
        recovered_agents=None if recovered is None else frozenset(recovered),
        cluster=cluster,
        ensemble=ensemble,
    )


def known(*, cluster="ours", ensemble="zk1/mesos", agents=("S0", "S1")):
    identity = Identity()
    identity.learn(state("m1", *agents, frameworks=["F0"], cluster=cluster, ensemble=ensemble))
    return identity


def test_the_first_master_is_ours():
    assert Identity().judge(state("m1", "S0", cluster="any"), 0.0) is OURS


def test_whom_the_detector_names_is_ours_whatever_it_is_called():
    theirs = state("m2", "X0", cluster="theirs", ensemble="zk2/mesos")
    assert known().judge(theirs, 0.0) is ANOTHER
    assert known().judge(theirs, 0.0, named=True) is OURS


def test_the_same_master_stays_ours_whatever_it_shows():
    assert known().judge(state("m1", "S7", cluster="theirs", ensemble="zk2/mesos"), 0.0) is OURS


@pytest.mark.parametrize(
    ("cluster", "ensemble", "verdict"),
    [
        ("theirs", "zk2/mesos", ANOTHER),
        ("theirs", "", ANOTHER),
        ("", "zk2/mesos", ANOTHER),
        ("theirs", "zk1/mesos", DOUBTFUL),
        ("ours", "zk2/mesos", DOUBTFUL),
        ("ours", "", DOUBTFUL),
        ("", "", DOUBTFUL),
        ("ours", "zk1/mesos", OURS),
    ],
)
def test_a_master_none_of_whose_agents_is_known(cluster, ensemble, verdict):
    assert known().judge(state("m2", "X0", cluster=cluster, ensemble=ensemble), 0.0) is verdict
    assert known().judge(state("m2", recovered=["X0"], cluster=cluster, ensemble=ensemble), 0.0) is verdict


@pytest.mark.parametrize(
    ("cluster", "ensemble", "verdict"),
    [
        ("theirs", "zk2/mesos", ANOTHER),
        ("theirs", "", DOUBTFUL),
        ("theirs", "zk1/mesos", OURS),
        ("ours", "zk2/mesos", OURS),
        ("", "", OURS),
        ("ours", "zk1/mesos", OURS),
    ],
)
def test_a_master_that_knows_nobody_yet(cluster, ensemble, verdict):
    assert known().judge(state("m2", cluster=cluster, ensemble=ensemble, recovered=[]), 0.0) is verdict


@pytest.mark.parametrize(
    "more", [{"frameworks": ["F0"]}, {"recovered": ["S1", "S9"]}], ids=["a framework", "an expected agent"]
)
def test_one_known_id_proves_it(more):
    assert known().judge(state("m2", "S9", cluster="renamed", ensemble="zk2/mesos", **more), 0.0) is OURS


def test_ids_are_remembered_while_a_new_master_learns_of_them():
    """Before Mesos 1.2 it does not say whom it expects; two failovers in a row show two parts of the cluster."""
    identity = known(cluster="", ensemble="")
    identity.learn(state("m2"))
    identity.learn(state("m2", "S0"))
    assert identity.judge(state("m3", "S1"), 0.0) is OURS


def test_doubts_end_by_time_and_begin_anew_with_each_state_that_is_believed():
    identity = known(cluster="", ensemble="")
    stranger = state("x1", "X0")
    assert identity.judge(stranger, 100.0) is DOUBTFUL
    assert identity.judge(stranger, 99.0 + DOUBT_SECONDS) is DOUBTFUL
    identity.learn(state("m1", "S0"))
    assert identity.judge(stranger, 100.0 + DOUBT_SECONDS) is DOUBTFUL
    assert identity.judge(stranger, 100.0 + 2 * DOUBT_SECONDS) is OURS


def test_certainty_does_not_end_by_time():
    assert known().judge(state("x1", "X0", cluster="theirs"), 1e9) is ANOTHER


def test_what_people_are_told():
    words = known().describe(state("x1", "X0", "X1", cluster="theirs", ensemble="zk2/mesos"))
    assert words == (
        "none of its 2 agents is known, its cluster is called 'theirs', not 'ours', it is elected at 'zk2/mesos', not at 'zk1/mesos'"
    )


texts = st.sampled_from(["", "a", "b"])
ids = st.frozensets(st.sampled_from(["S0", "S1", "S2", "S3"]))


@given(
    history=st.lists(st.tuples(ids, texts, texts), min_size=1, max_size=4),
    agents=ids,
    cluster=texts,
    ensemble=texts,
)
def test_whoever_shares_an_agent_with_the_last_state_is_never_refused(history, agents, cluster, ensemble):
    identity = Identity()
    for number, (shown, name, servers) in enumerate(history):
        identity.learn(state(f"m{number}", *shown, cluster=name, ensemble=servers))
    verdict = identity.judge(state("new", *agents, cluster=cluster, ensemble=ensemble), 0.0)
    if agents & history[-1][0] or ({cluster, ensemble} == {""} and not agents):
        assert verdict is OURS
    if verdict is ANOTHER:
        assert {name for _, name, _ in history} - {"", cluster} or {one for _, _, one in history} - {"", ensemble}
        assert cluster or ensemble
