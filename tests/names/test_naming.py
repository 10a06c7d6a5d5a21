"""The records of each kind of entity: masters, agents, frameworks, tasks."""

import pytest
from tests.names.cluster import as_text, discovered, packed, rules, task_records

from mesos_dns.dns import name as names
from mesos_dns.limits import MAX_ADDRESSES
from mesos_dns.mesos.decoding.grammar import parse_endpoint
from mesos_dns.mesos.state import DiscoveryPort, Endpoint, Task
from mesos_dns.names.labels import rfc1123
from mesos_dns.names.naming import Naming
from mesos_dns.names.tasks import MAX_PORTS_PER_TASK
from mesos_dns.zone.contributors import records_of

# --- masters -----------------------------------------------------------------------------------


def masters(listed, leader):
    naming = Naming(rules(domain="foo.com"))
    known = [(endpoint, packed(endpoint.host)) for endpoint in (parse_endpoint(f"1@{text}") for text in listed)]
    chief = parse_endpoint(f"5@{leader}")
    return as_text(naming.masters(known, (chief, packed(chief.host))))


@pytest.mark.parametrize(
    ("listed", "numbered"),
    [
        ([], ["0.0.0.6"]),
        (["0.0.0.6:7"], ["0.0.0.6"]),
        (["0.0.0.8:9"], ["0.0.0.8", "0.0.0.6"]),
        (["0.0.0.8:9", "0.0.0.8:9"], ["0.0.0.8", "0.0.0.6"]),
        (["0.0.0.8:9", "0.0.0.6:7"], ["0.0.0.8", "0.0.0.6"]),
        (["0.0.0.8:9", "0.0.0.6:7", "0.0.0.6:7"], ["0.0.0.8", "0.0.0.6"]),
        (["0.0.0.8:9", "0.0.0.6:7", "0.0.0.7:0"], ["0.0.0.8", "0.0.0.6", "0.0.0.7"]),
        (["0.0.0.8:9", "0.0.0.6:7", "[2001:db8::1]:0"], ["0.0.0.8", "0.0.0.6", "2001:db8::1"]),
    ],
)
def test_masters(listed, numbered):
    ports = {"0.0.0.6": 7, "0.0.0.8": 9}
    expected = {"leader.foo.com. A 0.0.0.6", "_leader._tcp.foo.com. SRV leader.foo.com.:7"}
    expected.add("_leader._udp.foo.com. SRV leader.foo.com.:7")
    for n, address in enumerate(numbered):
        kind = "AAAA" if ":" in address else "A"
        expected |= {f"master.foo.com. {kind} {address}", f"master{n}.foo.com. {kind} {address}"}
        target = f"master{n}.foo.com.:{ports.get(address, 0)}"
        expected |= {f"_master._tcp.foo.com. SRV {target}", f"_master._udp.foo.com. SRV {target}"}
    assert masters(listed, "0.0.0.6:7") == expected


def test_a_leader_may_have_an_address_of_ipv6():
    assert "leader.foo.com. AAAA 2001:db8::1" in masters([], "[2001:db8::1]:7")


def test_a_master_whose_address_is_unknown_keeps_its_number():
    naming = Naming(rules())
    known = [(Endpoint("m0", 5050), ()), (Endpoint("10.0.0.2", 5050), packed("10.0.0.2"))]
    found = as_text(naming.masters(known, known[1]))
    assert "master1.mesos. A 10.0.0.2" in found
    assert not any(line.startswith("master0.mesos.") for line in found)


@pytest.mark.parametrize(("address", "kind"), [("4.5.6.7", "A"), ("2001:db8::", "AAAA")])
def test_the_servers_own_name(address, kind):
    naming = Naming(rules()._replace(self_name=names.from_text("ns.example.org")))
    assert as_text(naming.self_records(packed(address))) == {f"ns.example.org. {kind} {address}"}


# --- agents and frameworks ---------------------------------------------------------------------


def test_an_agent():
    assert as_text(Naming(rules()).agent(packed("1.2.3.4", "2001:db8::1"), 5051)) == {
        "slave.mesos. A 1.2.3.4",
        "slave.mesos. AAAA 2001:db8::1",
        "_slave._tcp.mesos. SRV slave.mesos.:5051",
        "agent.mesos. A 1.2.3.4",
        "agent.mesos. AAAA 2001:db8::1",
        "_agent._tcp.mesos. SRV agent.mesos.:5051",
    }


def test_an_agent_without_an_address_has_no_service_either():
    assert Naming(rules()).agent((), 5051) == []


def test_a_framework_with_dots_in_its_name():
    assert as_text(Naming(rules(rfc1123)).framework("marathon-0.6.0", packed("1.2.3.4"), 8080)) == {
        "marathon-0.6.0.mesos. A 1.2.3.4",
        "_framework._tcp.marathon-0.6.0.mesos. SRV marathon-0.6.0.mesos.:8080",
    }


def test_a_framework_without_pid_has_no_service():
    assert as_text(Naming(rules()).framework("no pid", packed("127.0.0.1"), None)) == {"nopid.mesos. A 127.0.0.1"}


def test_a_framework_whose_name_leaves_nothing_has_no_records_and_is_counted():
    naming = Naming(rules())
    assert naming.framework("\u65e5\u672c", packed("1.2.3.4"), 80, counted=1, framework_id="F1") == []
    assert naming.skipped.counts == {"empty label": 1}
    assert naming.skipped.examples("empty label") == ("framework 'F1' called '\u65e5\u672c'",)


@pytest.mark.parametrize(
    "name", ["leader", "Leader", "master", "MASTER0", "master17", "slave", "agent", "_agent_", "ns1"]
)
def test_a_framework_called_like_the_cluster_has_no_names_of_its_own(name):
    naming = Naming(rules()._replace(self_name=names.from_text("ns1.mesos")))
    assert naming.framework(name, packed("1.2.3.4"), 80, counted=1) == []
    assert naming.skipped.counts == {"reserved name": 1}


@pytest.mark.parametrize("name", ["masters", "master-0", "masterx", "leader.prod", "my.leader", "slaves", "ns2"])
def test_a_framework_called_nearly_like_the_cluster_keeps_its_names(name):
    naming = Naming(rules(rfc1123)._replace(self_name=names.from_text("ns1.mesos")))
    assert f"{name}.mesos. A 1.2.3.4" in as_text(naming.framework(name, packed("1.2.3.4"), 80))


def test_names_below_a_reserved_name_are_the_frameworks():
    found = task_records(Task("test", "web", "F", "S-0", ((80, 80),)), framework=b"leader")
    assert "web.leader.mesos. A 10.0.0.1" in found
    assert "_web._tcp.leader.mesos. SRV web-iffe9-0.leader.slave.mesos.:80" in found


@pytest.mark.parametrize("framework", [b"slave", b"mail.slave", b"agent", b"mail.agent"])
def test_a_framework_whose_names_would_lie_among_those_of_agents_has_none(framework):
    naming = Naming(rules(rfc1123))
    placement = Task("t", "web", "F", "S-0", ((80, 80),)), framework, packed("10.0.0.1")
    assert naming.contributions([placement], counted=1) == []
    assert naming.framework(framework.decode(), packed("1.2.3.4"), 80, counted=1) == []
    assert naming.skipped.counts == {"reserved name": 2}


# --- tasks -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sources", "netinfo", "agent", "expected"),
    [
        (["host", "mesos"], ["1.2.3.4"], [], []),
        (["netinfo", "host"], ["1.2.3.4"], ["2.3.4.5"], ["1.2.3.4"]),
        (["netinfo"], ["1.2.3.4", "2.3.4.5"], [], ["1.2.3.4", "2.3.4.5"]),
        (["host", "netinfo"], ["1.2.3.4", "fd01:b::1:8000:2"], ["2.3.4.5"], ["2.3.4.5"]),
        (["netinfo", "host"], ["1.2.3.4", "fd01:b::1:8000:2"], ["2.3.4.5"], ["1.2.3.4", "fd01:b::1:8000:2"]),
        (["docker", "netinfo"], ["1.2.3.4"], [], ["1.2.3.4"]),
    ],
)
def test_all_addresses_of_the_first_source_that_has_any(sources, netinfo, agent, expected):
    found = task_records(Task("test", "t", "F", "S-0", netinfo=packed(*netinfo)), agent, rules(ip_sources=sources))
    assert {line for line in found if line.startswith("t.fw.mesos.")} == {
        f"t.fw.mesos. {'AAAA' if ':' in address else 'A'} {address}" for address in expected
    }


def services(records):
    return {line.split()[0] for line in records if " SRV " in line}


@pytest.mark.parametrize(
    ("protocol", "labels"),
    [
        ("tcp", ["_tcp"]),
        ("TCP", ["_tcp"]),
        ("", ["_tcp", "_udp"]),
        ("tcp,udp", ["_tcpudp"]),
        ("udp/tcp", ["_udptcp"]),
        ("sctp", ["_sctp"]),
    ],
)
def test_protocols_of_discovery_ports(protocol, labels):
    found = services(task_records(discovered(DiscoveryPort(80, "", protocol))))
    assert found == {
        name
        for label in labels
        for name in (f"_web.{label}.fw.mesos.", f"_web.{label}.fw.slave.mesos.", f"web.fw.{label}.mesos.")
    }


@pytest.mark.parametrize(
    ("name", "prefix"), [("http", "_http."), ("web.1", "_web-1."), ("web_1", "_web-1."), ("", None)]
)
def test_names_of_discovery_ports(name, prefix):
    found = {
        name
        for name in services(task_records(discovered(DiscoveryPort(80, name, "tcp"))))
        if name.endswith(".fw.mesos.")
    }
    assert found == {"_web._tcp.fw.mesos."} | ({f"{prefix}_web._tcp.fw.mesos."} if prefix else set())


def test_with_a_discovery_name_the_tasks_own_name_is_not_used():
    found = task_records(discovered(DiscoveryPort(80, "", "tcp"), name="Web.Shop"))
    assert "web-shop.fw.mesos. A 10.0.0.1" in found
    assert "web.shop.fw.mesos. A 10.0.0.1" in found
    assert not any("ignored" in line for line in found)


def test_the_alias_is_made_of_the_label_and_of_the_raw_discovery_name():
    found = services(task_records(discovered(DiscoveryPort(80, "", "tcp"), name="web.shop")))
    assert {name for name in found if name.endswith("._tcp.mesos.")} == {
        "web-shop.fw._tcp.mesos.",
        "web.shop.fw._tcp.mesos.",
    }


def test_a_discovery_name_without_ports_has_resource_ports_below_slave_only():
    task = Task("test", "ignored", "F", "S-0", ((31000, 31001),), discovery_name="web")
    assert services(task_records(task)) == {"_web._tcp.fw.slave.mesos.", "_web._udp.fw.slave.mesos."}


@pytest.mark.parametrize("number", [-1, 65536, 99999999])
def test_ports_out_of_range_are_skipped_and_counted(number):
    naming = Naming(rules())
    task = discovered(DiscoveryPort(number, "", "tcp"))
    found = naming.contributions([(task, b"fw", packed("10.0.0.1"))], counted=1)
    assert services(as_text(records_of(found))) == set()
    assert naming.skipped.counts == {"port out of range": 1}


@pytest.mark.parametrize("number", [0, 65535])
def test_the_first_and_the_last_port_are_ports(number):
    assert any(line.endswith(f":{number}") for line in task_records(discovered(DiscoveryPort(number, "", "tcp"))))


def test_huge_port_ranges_are_capped_and_counted():
    naming = Naming(rules())
    task = Task("test", "many", "F", "S-0", ((1000, 1009), (20000, 29999), (31000, 31000)))
    found = as_text(records_of(naming.contributions([(task, b"fw", packed("10.0.0.1"))], counted=1)))
    ports = {int(line.rpartition(":")[2]) for line in found if line.startswith("_many._tcp.fw.mesos.")}
    assert ports == {*range(1000, 1010), *range(20000, 20000 + MAX_PORTS_PER_TASK - 10)}
    assert naming.skipped.counts == {"too many ports": 1}


def test_exactly_as_many_ports_as_are_taken_are_not_too_many():
    naming = Naming(rules())
    reasons = set()
    task = Task("test", "many", "F", "S-0", ((1, MAX_PORTS_PER_TASK),))
    assert naming.task(task, b"fw", packed("10.0.0.1"), reasons=reasons)
    assert reasons == set()


def test_too_many_addresses_are_capped():
    many = tuple(bytes((10, 0, 0, n)) for n in range(MAX_ADDRESSES + 1))
    assert len(Naming(rules()).self_records(many)) == MAX_ADDRESSES


def reasons_for(task, framework=b"fw", given_rules=None):
    reasons = set()
    Naming(given_rules or rules(rfc1123)).task(task, framework, packed("10.0.0.1"), reasons=reasons)
    return reasons


@pytest.mark.parametrize("name", ["\u65e5\u672c", "---", "*", "___", ""])
def test_a_task_whose_name_leaves_nothing_has_no_names(name):
    task = Task("test", name, "F", "S-0", ((31000, 31000),))
    assert task_records(task) == set()
    assert reasons_for(task) == {"empty label"}


@pytest.mark.parametrize(("name", "raw"), [("\u65e5\u672c", "\u65e5\u672c"), ("---", "---"), ("***", "***")])
def test_a_discovery_name_whose_label_is_empty_keeps_its_names_as_it_is(name, raw):
    task = discovered(DiscoveryPort(80, "http", "tcp"), name=name)
    assert {line.split()[0] for line in task_records(task)} == {
        *(f"{raw}{canon}.fw.{base}" for canon in ("", "-iffe9-0") for base in ("mesos.", "slave.mesos.")),
        *(f"{port}_{raw}._tcp.fw.{base}" for port in ("", "_http.") for base in ("mesos.", "slave.mesos.")),
        f"{raw}.fw._tcp.mesos.",
    }
    assert reasons_for(task) == {"empty label"}


@pytest.mark.parametrize(
    ("name", "label", "reason"),
    [
        ("*", None, "wildcard label"),
        ("w.*", "w", "wildcard label"),
        ("*.w", "w", "wildcard label"),
        ("_search._tcp", "search--tcp", "service label"),
        ("http._web", "http--web", "service label"),
        (".a", "a", "empty label"),
        ("a..b", "a--b", "empty label"),
        ("a.", "a", "empty label"),
    ],
)
def test_discovery_names_that_would_be_other_names_have_only_those_of_their_label(name, label, reason):
    task = discovered(DiscoveryPort(80, "http", "tcp"), name=name)
    alone = discovered(DiscoveryPort(80, "http", "tcp"), name=label) if label else None
    assert task_records(task) == (task_records(alone) if alone else set())
    assert reason in reasons_for(task)


def test_no_task_adds_itself_to_the_service_of_the_scheduler():
    task = Task("test", "framework", "F", "S-0", ((80, 80),))
    found = services(task_records(task))
    assert "_framework._tcp.fw.mesos." not in found
    assert {"_framework._udp.fw.mesos.", "_framework._tcp.fw.slave.mesos.", "framework.fw._tcp.mesos."} <= found
    assert reasons_for(task) == {"reserved name"}


def test_no_task_adds_itself_to_the_name_of_this_server():
    here = rules(rfc1123)._replace(self_name=names.from_text("ns.fw.mesos"))
    task = Task("test", "ns", "F", "S-0", ((80, 80),))
    assert "ns.fw.mesos. A 10.0.0.1" not in task_records(task, given_rules=here)
    assert "ns-iffe9-0.fw.mesos. A 10.0.0.1" in task_records(task, given_rules=here)
    assert reasons_for(task, given_rules=here) == {"reserved name"}


@pytest.mark.parametrize(
    ("agent", "tail"), [("a-S.0", "s0"), ("a-S_0", "s0"), ("x.y", "xy"), ("a-\u65e5", ""), ("a-", "")]
)
def test_what_is_no_letter_or_digit_of_an_agents_id_is_dropped(agent, tail):
    found = task_records(Task("test", "web", "F", agent))
    assert f"web-iffe9-{tail}.fw.mesos. A 10.0.0.1" in found


# --- host ports and discovery ports ------------------------------------------------------------


def test_below_slave_a_service_means_host_ports_if_the_task_has_any():
    # In Go it never meant anything else; discovery ports at the agent are mostly ports that nobody listens on.
    both = Task("test", "x", "F", "S-0", ((31000, 31000),), "web", (DiscoveryPort(80, "http", "tcp"),))
    found = {line for line in task_records(both) if ".fw.slave.mesos. SRV " in line}
    target = "web-iffe9-0.fw.slave.mesos."
    assert found == {
        f"_web._tcp.fw.slave.mesos. SRV {target}:31000",
        f"_web._udp.fw.slave.mesos. SRV {target}:31000",
        f"_http._web._tcp.fw.slave.mesos. SRV {target}:80",
    }


def test_below_slave_a_service_means_discovery_ports_if_the_task_has_no_others():
    only = Task("test", "x", "F", "S-0", (), "web", (DiscoveryPort(80, "http", "tcp"),))
    assert "_web._tcp.fw.slave.mesos. SRV web-iffe9-0.fw.slave.mesos.:80" in task_records(only)
    empty = Task("test", "x", "F", "S-0", ((5, 4),), "web", (DiscoveryPort(80, "http", "tcp"),))
    assert task_records(empty) == task_records(only)


def test_the_weight_is_configured():
    found = task_records(Task("test", "t", "F", "S-0", ((80, 80),)), given_rules=rules()._replace(srv_weight=7))
    assert {line for line in found if line.startswith("_t._tcp.fw.mesos.")} == {
        "_t._tcp.fw.mesos. SRV t-iffe9-0.fw.slave.mesos.:80 weight 7"
    }


def test_a_long_name_is_shortened_the_same_way_where_it_is_an_owner_and_where_it_is_a_target():
    found = task_records(Task("test", "n" * 63, "F", "S-0", ((80, 80),)))
    (target,) = {line.split()[2].partition(":")[0] for line in found if " SRV " in line}
    assert f"{target} A 10.0.0.1" in found
    assert len(target.partition(".")[0]) == 63
