"""Why names have their answers, or none: a table of situations. That nothing can make it fail: test_explain_anything.py."""

import math

import pytest
from tests.names.cluster import packed
from tests.names.explained import HTTP, Cluster, task

from mesos_dns.dns import name as names
from mesos_dns.mesos.state import (
    BRIDGE_NETWORK,
    MAX_NOT_RUNNING,
    Agent,
    Concealed,
    Framework,
    Hidden,
    NotShown,
)
from mesos_dns.names import explain as explaining
from mesos_dns.names.explain import Outside
from mesos_dns.names.explanation import Upstream
from mesos_dns.names.holds import Why

WEB1 = task("web.1", netinfo=packed("10.1.0.1"), ports=((31000, 31000),))
WEB2 = task("web.2", agent="S2", netinfo=packed("10.1.0.2"), ports=((31000, 31000),))


def web(**more):
    return Cluster(WEB1, WEB2, **more)


def auto():
    return Cluster(task("web.1", network=BRIDGE_NETWORK, netinfo=packed("172.17.0.2")), ip_sources=("auto",))


#: What is so, what is asked, and lines of which the words for people consist, in their order; others may lie between them.
SITUATIONS = {
    "a task at its own address": (
        web,
        "web.marathon.mesos A",
        """
        web.marathon.mesos. has 2 records (A)
          web.marathon.mesos. 60 A 10.1.0.1
            from task 'web.1' of framework 'marathon', on agent 'S1' at '10.0.0.1', address from netinfo, the first of IPSources (netinfo, mesos, host)
          web.marathon.mesos. 60 A 10.1.0.2
          zone mesos. serial 1700000000
        """,
    ),
    "a task whose address is its agent's": (
        lambda: Cluster(task("web.1", healthy=True)),
        "web.marathon.mesos",
        """
        web.marathon.mesos. has 1 record (A)
          web.marathon.mesos. 60 A 10.0.0.1
            from task 'web.1' of framework 'marathon', on agent 'S1' at '10.0.0.1', healthy, address from host, the first of IPSources (netinfo, mesos, host) that gives an address
        """,
    ),
    "behind a bridge, with auto": (
        auto,
        "web.marathon.mesos",
        """
        web.marathon.mesos. has 1 record (A)
            from task 'web.1' of framework 'marathon', on agent 'S1' at '10.0.0.1', network bridge, address from host, auto: it is behind a bridge of its agent
        """,
    ),
    "a record that two tasks share": (
        lambda: Cluster(task("web.1"), task("web.2")),
        "web.marathon.mesos A",
        """
        web.marathon.mesos. has 1 record (A)
            from task 'web.1' of framework 'marathon', on agent 'S1' at '10.0.0.1', address from host, the first of IPSources (netinfo, mesos, host) that gives an address
            from task 'web.2' of framework 'marathon', on agent 'S1' at '10.0.0.1', address from host, the first of IPSources (netinfo, mesos, host) that gives an address
        """,
    ),
    "a task that is held": (
        lambda: web().hold("web.1", Why.EXPECTED, 75),
        "web.marathon.mesos A",
        """
        * the last state lacks some of it, which is kept because the new master expects it back, for 75 s at most
          web.marathon.mesos. 60 A 10.1.0.1
            from task 'web.1' of framework 'marathon', on agent 'S1' at '10.0.0.1', address from netinfo, the first of IPSources (netinfo, mesos, host); held because the new master expects it back, 75 s left
        """,
    ),
    "held until the state shows it": (
        lambda: web().hold("web.1", Why.NOT_SHOWN, math.inf),
        "web.marathon.mesos A",
        "* the last state lacks some of it, which is kept because the last state did not show this part of the cluster",
    ),
    "agents": (web, "slave.mesos A", "    from agent 'S1' at '10.0.0.1'"),
    "the leading master": (web, "leader.mesos A", "    from master '10.0.0.5:5050'"),
    "a scheduler": (web, "marathon.mesos A", "    from the scheduler of framework 'marathon' ('F')"),
    "the apex": (web, "mesos SOA", "  mesos. 60 SOA ns1.mesos. ns1.mesos. 1700000000 60 600 86400 60"),
    "below a redirected name": (
        web,
        "web.marathon.agent.mesos A",
        """
        web.marathon.agent.mesos. has 2 records (A)
        * its records are those of web.marathon.slave.mesos.: below the same name there is another (DNAME)
          web.marathon.agent.mesos. 60 A 10.0.0.1
        """,
    ),
    "in other letters": (web, "WEB.Marathon.MESOS. A", "web.marathon.mesos. has 2 records (A)"),
    "changed a moment ago": (
        lambda: Cluster(WEB1).run(WEB2),
        "web.marathon.mesos A",
        "* it changed 10 s ago, with serial 1700000010: task 'web.2' of framework 'marathon' runs",
    ),
    # --- no records of that type
    "services are elsewhere": (
        web,
        "web.marathon.mesos SRV",
        """
        web.marathon.mesos. exists, but not with type SRV: it has A
        * services are at _web._tcp.marathon.mesos.
        """,
    ),
    "no services at all": (
        lambda: Cluster(task("web.1")),
        "web.marathon.mesos SRV",
        "* there is no service either: no task of this name has ports in Mesos",
    ),
    "addresses are elsewhere": (
        web,
        "_web._tcp.marathon.mesos A",
        """
        _web._tcp.marathon.mesos. exists, but not with type A: it has SRV
        * addresses are at the name without underscores: web.marathon.mesos.
        """,
    ),
    "no IPv6": (
        web,
        "web.marathon.mesos AAAA",
        "* no IPv6 address of web.marathon.mesos. is known to Mesos, nor an agent's that has one",
    ),
    "names below it alone": (
        web,
        "_tcp.marathon.mesos A",
        "_tcp.marathon.mesos. has no records of its own: it exists because there are names below it",
    ),
    # --- tasks that would have it
    "being started": (
        lambda: Cluster(task("api.1")).wait(task("web.1")),
        "web.marathon.mesos",
        """
        web.marathon.mesos. does not exist (NXDOMAIN); the nearest name above is marathon.mesos.
        * task 'web.1' of framework 'marathon' is being started: its agent has not taken it yet, or fetches what it needs (TASK_STAGING)
        """,
    ),
    "being killed, and others": (
        lambda: (
            Cluster()
            .wait(task("web.1"), "TASK_KILLING")
            .wait(task("web.2"), "TASK_DREAMING")
            .wait(task("web.3"), "TASK_STARTING")
            .wait(task("web.4"))
            .wait(task("web.5"))
        ),
        "web.marathon.mesos",
        """
        * task 'web.1' of framework 'marathon' is being killed (TASK_KILLING)
        - task 'web.2' of framework 'marathon' does not run ('TASK_DREAMING')
        - task 'web.3' of framework 'marathon' is being started by its executor (TASK_STARTING)
        - the same is true of 2 or more other tasks
        """,
    ),
    "unhealthy": (
        lambda: Cluster(
            task("web.1", netinfo=packed("10.1.0.1"), healthy=True),
            task("web.2", netinfo=packed("10.1.0.2"), healthy=False),
        ),
        "web.marathon.mesos A",
        """
        web.marathon.mesos. has 1 record (A)
        * task 'web.2' of framework 'marathon' is unhealthy, and gives way to healthy tasks of the same name
        """,
    ),
    "finished a moment ago": (
        lambda: web().end(WEB1).end(WEB2),
        "web.marathon.mesos",
        "* it vanished 10 s ago, with serial 1700000020: task 'web.2' of framework 'marathon' runs no more",
    ),
    "without an address": (
        lambda: Cluster(task("web.1"), ip_sources=("netinfo", "docker")),
        "web.marathon.mesos",
        "* task 'web.1' of framework 'marathon' has no address: IPSources (netinfo, docker) give none",
    ),
    "on an agent whose host name is not resolved": (
        lambda: Cluster(task("web.1"), agents={"S1": Agent("S1", "node1.example", 5051)}),
        "web.marathon.mesos",
        "* task 'web.1' of framework 'marathon' has no address: IPSources (netinfo, mesos, host) give none; its agent's host name 'node1.example' has not been resolved",
    ),
    "on an unknown agent": (
        lambda: Cluster(task("web.1", agent="S9")),
        "web.marathon.mesos",
        "* task 'web.1' of framework 'marathon' runs on agent 'S9', which the state does not show",
    ),
    "of an unknown framework": (
        lambda: Cluster(task("web.1", framework="X")),
        "web.marathon.mesos",
        "* task 'web.1' of framework 'X' runs, but the state does not show that framework",
    ),
    "a name that cannot be": (
        lambda: Cluster(task("web.1", discovery_name="http._web", discovery_ports=HTTP)),
        "http._web.marathon.mesos",
        """
        * task 'web.1' of framework 'marathon' cannot have all of its names: service label
        - a name makes one label, with dashes for its dots: http--web.marathon.mesos. exists
        """,
    ),
    # --- another name was meant
    "the rule of labels": (
        lambda: Cluster(task("x.1", "My_Task")),
        "My_Task.marathon.mesos",
        """
        my_task.marathon.mesos. does not exist (NXDOMAIN); the nearest name above is marathon.mesos.
        * labels are made of names: other characters than letters, digits and dashes are changed or dropped, long ones cut: my-task.marathon.mesos. exists
        """,
    ),
    "the rule of labels, and being started": (
        lambda: Cluster().wait(task("x.1", "My_Task")),
        "My_Task.marathon.mesos",
        "* task 'x.1' of framework 'marathon' is being started: its agent has not taken it yet, or fetches what it needs (TASK_STAGING)",
    ),
    "a label that is cut": (
        lambda: Cluster(task("x.1", "a" * 70)),
        f"{'a' * 70}.marathon.mesos",
        f"""
        '{"a" * 70}.marathon.mesos' cannot be a name in DNS: a label has 70 octets, at most 63 are possible
        * long labels are cut: {"a" * 63}.marathon.mesos. exists
        """,
    ),
    "another protocol": (
        lambda: Cluster(task("dns.1", discovery_name="dns", discovery_ports=HTTP)),
        "_dns._udp.marathon.mesos",
        "* the port has another protocol: _dns._tcp.marathon.mesos. exists",
    ),
    "a service without its underscore": (
        web,
        "web._tcp.marathon.mesos",
        "* names of services begin with an underscore: _web._tcp.marathon.mesos. exists",
    ),
    "an underscore too much": (
        web,
        "_web.marathon.mesos",
        "* only names of services begin with an underscore: web.marathon.mesos. exists",
    ),
    "a service without ports": (
        lambda: Cluster(task("web.1")),
        "_web._tcp.marathon.mesos",
        "* there is no such service, but web.marathon.mesos. exists: its tasks may have no such ports",
    ),
    "in another framework": (
        lambda: Cluster(task("job.1", framework="C")),
        "job.marathon.mesos",
        "* another framework has a task of that name: job.chronos.mesos. exists",
    ),
    "a framework that is not there": (
        web,
        "db.marathn.mesos",
        """
        db.marathn.mesos. does not exist (NXDOMAIN); the nearest name above is mesos.
        * no framework is called 'marathn'; there are: 'marathon', 'chronos'
        """,
    ),
    "a name that is alike": (web, "wbe.marathon.mesos", "  names alike: web.marathon.mesos. (of 1 that were compared)"),
    "a name of the cluster": (
        web,
        "leadr.mesos",
        "leadr.mesos. does not exist (NXDOMAIN); the nearest name above is mesos.",
    ),
    # --- made by a resolver
    "a search list outside": (
        web,
        "web.marathon.mesos.corp.example",
        """
        web.marathon.mesos.corp.example. is not in mesos., which this server serves
        * the search list of the client's resolver seems to have appended 'corp.example': ask for web.marathon.mesos. with the dot at its end
        """,
    ),
    "a search list inside": (
        web,
        "web.marathon.mesos.mesos",
        "* the search list of the client's resolver seems to have appended 'mesos': ask for web.marathon.mesos. with the dot at its end",
    ),
    "without the domain": (
        web,
        "web.marathon",
        "* it lacks the domain: web.marathon.mesos. exists, and the client's search list does not add that",
    ),
    # --- what is not known
    "frameworks that are concealed": (
        lambda: web().hide(hidden=Hidden(concealed=Concealed(frameworks=True), flags=True)),
        "db.marathon.mesos",
        "* the master hides frameworks with their tasks from this server: its principal may not see all (authorization)",
    ),
    "tasks that are concealed": (
        lambda: web().hide(hidden=Hidden(concealed=Concealed(tasks_of=frozenset({"F"})))),
        "db.marathon.mesos",
        "* the master hides tasks of 'marathon' from this server: its principal may not see all (authorization)",
    ),
    "flags that are concealed": (
        lambda: web().hide(hidden=Hidden(flags=True)),
        "db.marathon.mesos",
        "* the master hides its flags from this server, so it may hide tasks, too (authorization)",
    ),
    "a list that is not shown": (
        lambda: web().hide(hidden=Hidden(not_shown=NotShown(tasks_of=frozenset({"F"})))),
        "db.marathon.mesos",
        "* the last state lacked a list of frameworks, tasks or agents: what is new there is not known",
    ),
    "masters that do not answer": (
        lambda: web().hide(trouble="the last 9 polls failed: connection refused"),
        "db.marathon.mesos",
        "* what is newer is not known: the last 9 polls failed: connection refused",
    ),
    "a label of nothing that labels have": (
        lambda: Cluster(frameworks={"F": Framework("F", "marathon")}),
        "é.marathon.mesos",
        "* nothing that is known of the cluster has to do with this name",
    ),
    "a server that not everybody may ask": (
        lambda: web().hide(clients=("10.0.0.0/8", "!10.9.0.0/16", *(f"192.0.2.{n}" for n in range(5)))),
        "web.marathon.mesos",
        "- only clients in AllowQuery are answered, others are refused: '10.0.0.0/8', '!10.9.0.0/16', '192.0.2.0', '192.0.2.1', '192.0.2.2' and 2 more",
    ),
    "many labels": (
        web,
        "a." * 120 + "mesos",
        "* it has 120 labels in front of the zone: so many are not compared with the names of tasks",
    ),
    "nothing known": (
        lambda: Cluster(frameworks={"F": Framework("F", "marathon")}),
        "db.marathon.mesos",
        "* nothing that is known of the cluster has to do with this name",
    ),
    "before the first state": (
        lambda: Cluster(load=False).hide(trouble="connection refused"),
        "web.marathon.mesos",
        """
        web.marathon.mesos. has no answer yet: no state of the cluster has been read
        * no state of the cluster has been read yet: connection refused
        """,
    ),
    "no name at all": (
        web,
        "web..mesos",
        """
        'web..mesos' cannot be a name in DNS: a label is empty
        * a label is empty
        """,
    ),
}


@pytest.mark.parametrize(("cluster", "asked", "said"), SITUATIONS.values(), ids=SITUATIONS.keys())
def test_situations(cluster, asked, said):
    lines = [line.strip() for line in cluster().lines(asked)]
    at = 0
    for wanted in filter(None, map(str.strip, said.splitlines())):
        assert wanted in lines[at:], "\n".join(lines)
        at = lines.index(wanted, at) + 1


OUTSIDE = {
    "private": (
        Outside(names.from_text("10.in-addr.arpa")),
        "* 10.in-addr.arpa. is one of PrivateZones: names in it are answered here, and nobody is asked",
    ),
    "nobody to ask": (
        Outside(),
        "* no resolver is configured that could be asked for it, so it is refused (ExternalOn, Resolvers, ZoneResolvers)",
    ),
    "forwarded": (
        Outside(None, names.ROOT, (Upstream("10.0.0.53:53", 2, 0, 12), Upstream("10.0.0.54:53", 0, 0, None))),
        """
        * it is forwarded to Resolvers: 10.0.0.53:53, 10.0.0.54:53
        resolver 10.0.0.53:53: well for 2 of 2 workers, round trip 12 ms
        resolver 10.0.0.54:53: it has not been asked yet
        """,
    ),
    "forwarded for some": (
        Outside(None, names.ROOT, (Upstream("10.0.0.53:53", 2, 0, 0),), ("@private",)),
        """
        * it is forwarded to Resolvers: 10.0.0.53:53
        - only clients in AllowRecursion are answered, others are refused: '@private'
        resolver 10.0.0.53:53: well for 2 of 2 workers, round trip under 1 ms
        """,
    ),
    "forwarded to one that is down": (
        Outside(None, names.from_text("corp.example"), (Upstream("10.0.0.53:53", 0, 2, None),)),
        """
        * no answer comes from 10.0.0.53:53 at present
        - it is forwarded to those of ZoneResolvers for corp.example.: 10.0.0.53:53
        resolver 10.0.0.53:53: well for 0 of 2 workers
        """,
    ),
}


@pytest.mark.parametrize(("outside", "said"), OUTSIDE.values(), ids=OUTSIDE.keys())
def test_names_of_others(outside, said):
    lines = [line.strip() for line in web().lines("10.in-addr.arpa", outside)]
    assert lines[0] == "10.in-addr.arpa. is not in mesos., which this server serves"
    assert [line for line in lines if line in said] == [*filter(None, map(str.strip, said.splitlines()))]


def test_names_exist_or_not():
    cluster = web()
    assert [
        (found.verdict, found.exists, found.types)
        for found in map(cluster.explain, ["web.marathon.mesos", "_tcp.marathon.mesos", "x.mesos", "example", "a..b"])
    ] == [
        ("answer", True, ("A",)),
        ("nodata", True, ()),
        ("nxdomain", False, ()),
        ("outside", False, ()),
        ("bad name", False, ()),
    ]


def test_every_name_of_a_zone_has_contributors_of_all_its_records():
    cluster = web()
    for owner in cluster.zone:
        found = cluster.explain(names.to_text(owner))
        assert found.records, found
        assert all(record.givers for record in found.records if record.rtype in {"A", "AAAA", "SRV"}), found


def test_of_many_contributors_a_few_are_shown():
    tasks = [task(f"web.{n}", agent=f"S{1 + n % 2}", netinfo=packed(f"10.1.{n // 250}.{n % 250}")) for n in range(500)]
    found = Cluster(*tasks).explain("web.marathon.mesos", "A")
    assert (len(found.records), found.records_more) == (explaining.MOST_RECORDS, 500 - explaining.MOST_RECORDS)
    assert found.looked_at <= explaining.MOST_CANDIDATES < found.candidates == 500
    assert all(record.givers for record in found.records)
    found = Cluster(*[task(f"web.{n}") for n in range(500)]).explain("web.marathon.mesos", "A")
    (record,) = found.records
    assert len(record.givers) == explaining.MOST_GIVERS
    assert record.givers_more == found.looked_at - explaining.MOST_GIVERS
    agents = {f"S{n}": Agent(f"S{n}", f"10.0.{n // 250}.{n % 250}", 5051) for n in range(500)}
    assert Cluster(agents=agents).explain("slave.mesos", "A").candidates == 500


def test_that_not_all_were_looked_at_is_said():
    cluster = Cluster()
    for n in range(MAX_NOT_RUNNING):
        cluster.wait(task(f"other.{n}"))
    assert "many-not-running" in {reason.code for reason in cluster.explain("web.marathon.mesos").reasons}
