"""Nothing can make an explanation fail: any name, asked of any cluster."""

import msgspec
from hypothesis import example, given
from hypothesis import strategies as st
from tests.names.cluster import packed
from tests.names.explained import AGENTS, FRAMEWORKS, HTTP, Cluster, task

from mesos_dns.commands.explain import lines_of
from mesos_dns.dns import name as names
from mesos_dns.mesos.state import (
    Delta,
    Framework,
)
from mesos_dns.names.explanation import Explanation

TEXTS = st.one_of(
    st.text(max_size=40),
    st.lists(
        st.sampled_from(
            [
                "web",
                "_web",
                "My_Task",
                "tcp",
                "_tcp",
                "_udp",
                "marathon",
                "slave",
                "agent",
                "mesos",
                "corp",
                "",
                "*",
                "a" * 63,
                "x-y",
                "\n",
                "é",
                "web-abcde-s1",
            ]
        ),
        max_size=7,
    ).map(".".join),
)
TASKS = st.lists(
    st.builds(
        task,
        st.text(max_size=10),
        st.one_of(st.text(max_size=10), st.sampled_from(["web", "My_Task", "x" * 70])),
        st.sampled_from(["F", "C", "X"]),
        st.sampled_from(["S1", "S2", "S9", ""]),
        discovery_name=st.sampled_from(["", "web", "http._web", "*", "a.b"]),
        discovery_ports=st.sampled_from([(), HTTP]),
        ports=st.sampled_from([(), ((31000, 31001),)]),
        netinfo=st.sampled_from([(), packed("10.1.0.1"), packed("fd00::1")]),
        healthy=st.sampled_from([None, True, False]),
    ),
    max_size=4,
)


def exists(cluster, text):
    """Whether the zone has it, as DNS looks it up."""
    try:
        owner = names.from_text(text)
    except names.BadNameError:
        return False
    return cluster.zone.exists(cluster.zone.redirected(owner))


@given(TEXTS, st.sampled_from(["", "A", "AAAA", "SRV", "ANY", "TYPE9"]), TASKS, TASKS, st.text(max_size=8))
@example("\ud800.mesos", "A", [], [], "\ud800")
def test_whatever_is_asked_of_whatever_cluster(name, rrtype, tasks, waiting, framework):
    cluster = Cluster(*tasks, frameworks={**FRAMEWORKS, "C": Framework("C", framework)}, agents=AGENTS)
    for one in waiting:
        cluster.wait(one)
    cluster.apply(Delta(tasks_gone=tuple(cluster.model.tasks)[:2]))
    found = cluster.explain(name, rrtype)
    assert all(line.isprintable() for line in lines_of(found))
    assert found.exists == (found.verdict in {"answer", "nodata"}) == exists(cluster, name.strip().replace(".*", ""))
    assert found.reasons or found.exists or found.alike
    assert msgspec.convert(msgspec.to_builtins(found), Explanation) == found
