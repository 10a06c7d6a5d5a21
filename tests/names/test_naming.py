"""The records of each kind of entity: the old program's vectors, and what we add to them."""

import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs
from tests.names.cluster import AGENTS, FRAMEWORKS, LEADER, TASKS, as_text, packed, rules, written

from mesos_dns.dns import name as names
from mesos_dns.limits import MAX_ADDRESSES
from mesos_dns.mesos.decoding.grammar import parse_endpoint
from mesos_dns.mesos.state import Delta, DiscoveryPort, Endpoint, Network, PortMapping, Task
from mesos_dns.names.labels import rfc952, rfc1123
from mesos_dns.names.model import Model
from mesos_dns.names.naming import Naming
from mesos_dns.names.tasks import MAX_PORTS_PER_TASK
from mesos_dns.zone.contributors import records_of

# --- the whole fixture -------------------------------------------------------------------------

GO = """
big-dog.M big-dog-4dfjd-0.M big.dog.M big.dog-4dfjd-0.M         | A | 10.3.0.1
big-dog.MS big-dog-4dfjd-0.MS big.dog.MS big.dog-4dfjd-0.MS     | A | 1.2.3.11
liquor-store.M liquor.store.M                                   | A | 10.3.0.1, 10.3.0.2
liquor-store.MS liquor.store.MS                                 | A | 1.2.3.11, 1.2.3.12
liquor-store-4dfjd-0.M liquor.store-4dfjd-0.M                   | A | 10.3.0.1
liquor-store-4dfjd-0.MS liquor.store-4dfjd-0.MS                 | A | 1.2.3.11
liquor-store-zasmd-1.M liquor.store-zasmd-1.M                   | A | 10.3.0.2
liquor-store-zasmd-1.MS liquor.store-zasmd-1.MS                 | A | 1.2.3.12
car-store.M car-store-zinaz-0.M car-store.MS car-store-zinaz-0.MS | A | 1.2.3.11
chronos.M chronos-rx8q6-0.M chronos.MS chronos-rx8q6-0.MS       | A | 1.2.3.11
nginx.M nginx-6ud99-0.M                                         | A | 10.3.0.3
nginx.MS nginx-6ud99-0.MS                                       | A | 1.2.3.11
reviewbot.M reviewbot-8sq89-1.M reviewbot.MS reviewbot-8sq89-1.MS | A | 1.2.3.12
some-box.C some-box-h3dyr-0.C some-box.CS some-box-h3dyr-0.CS   | A | 1.2.3.11
toy-store.6 toy-store-go588-3.6                                 | A | 12.0.1.2, 12.0.1.3
marathon.mesos.                                                 | A | 1.2.3.11
{C}.mesos.                                                      | A | 1.2.3.12
nopid.mesos.                                                    | A | 127.0.0.1
slave.mesos.                                                    | A | 1.2.3.10, 1.2.3.11, 1.2.3.12
leader.mesos. master.mesos. master0.mesos.                      | A | 144.76.157.37
mesos-dns.mesos.                                                | A | 127.0.0.1

toy-store.6 toy-store-go588-3.6                                 | AAAA | fd01:b::1:8000:2
toy-store.6S toy-store-go588-3.6S                               | AAAA | 2001:db8::1
ipv6-framework.mesos. slave.mesos.                              | AAAA | 2001:db8::1

_leader._tcp.mesos. _leader._udp.mesos.                         | SRV | leader.mesos.:5050
_slave._tcp.mesos.                                              | SRV | slave.mesos.:5051
_framework._tcp.M                                               | SRV | marathon.mesos.:25501
_framework._tcp.C                                               | SRV | {C}.mesos.:25501
_framework._tcp.6                                               | SRV | ipv6-framework.mesos.:25501
_big-dog._tcp.M                                                 | SRV | big-dog-4dfjd-0.M:80, big-dog-4dfjd-0.M:443
_http._big-dog._tcp.M                                           | SRV | big-dog-4dfjd-0.M:80
_https._big-dog._tcp.M                                          | SRV | big-dog-4dfjd-0.M:443
_big-dog._tcp.MS _big-dog._udp.MS                               | SRV | big-dog-4dfjd-0.MS:31354, big-dog-4dfjd-0.MS:31355
_big.dog._tcp.M                                                 | SRV | big.dog-4dfjd-0.M:80, big.dog-4dfjd-0.M:443
_http._big.dog._tcp.M                                           | SRV | big.dog-4dfjd-0.M:80
_https._big.dog._tcp.M                                          | SRV | big.dog-4dfjd-0.M:443
_big.dog._tcp.MS _big.dog._udp.MS                               | SRV | big.dog-4dfjd-0.MS:31354, big.dog-4dfjd-0.MS:31355
_liquor-store._tcp.M                   | SRV | liquor-store-4dfjd-0.M:80, liquor-store-4dfjd-0.M:443
_liquor-store._tcp.M                   | SRV | liquor-store-zasmd-1.M:80, liquor-store-zasmd-1.M:443
_http._liquor-store._tcp.M             | SRV | liquor-store-4dfjd-0.M:80, liquor-store-zasmd-1.M:80
_https._liquor-store._tcp.M            | SRV | liquor-store-4dfjd-0.M:443, liquor-store-zasmd-1.M:443
_liquor-store._tcp.MS _liquor-store._udp.MS | SRV | liquor-store-4dfjd-0.MS:31354, liquor-store-4dfjd-0.MS:31355
_liquor-store._tcp.MS _liquor-store._udp.MS | SRV | liquor-store-zasmd-1.MS:31737, liquor-store-zasmd-1.MS:31738
_liquor.store._tcp.M                   | SRV | liquor.store-4dfjd-0.M:80, liquor.store-4dfjd-0.M:443
_liquor.store._tcp.M                   | SRV | liquor.store-zasmd-1.M:80, liquor.store-zasmd-1.M:443
_http._liquor.store._tcp.M             | SRV | liquor.store-4dfjd-0.M:80, liquor.store-zasmd-1.M:80
_https._liquor.store._tcp.M            | SRV | liquor.store-4dfjd-0.M:443, liquor.store-zasmd-1.M:443
_liquor.store._tcp.MS _liquor.store._udp.MS | SRV | liquor.store-4dfjd-0.MS:31354, liquor.store-4dfjd-0.MS:31355
_liquor.store._tcp.MS _liquor.store._udp.MS | SRV | liquor.store-zasmd-1.MS:31737, liquor.store-zasmd-1.MS:31738
_car-store._tcp.M _car-store._udp.M _car-store._tcp.MS _car-store._udp.MS | SRV | car-store-zinaz-0.MS:31364, car-store-zinaz-0.MS:31365
_chronos._tcp.M _chronos._udp.M _chronos._tcp.MS _chronos._udp.MS         | SRV | chronos-rx8q6-0.MS:31332
_reviewbot._tcp.M _reviewbot._udp.M _reviewbot._tcp.MS _reviewbot._udp.MS | SRV | reviewbot-8sq89-1.MS:31744
_some-box._tcp.C _some-box._udp.C _some-box._tcp.CS _some-box._udp.CS     | SRV | some-box-h3dyr-0.CS:31354
_toy-store._tcp.6 _toy-store._udp.6 _toy-store._tcp.6S _toy-store._udp.6S | SRV | toy-store-go588-3.6S:31354, toy-store-go588-3.6S:31355
"""

#: Not in the old program: `agent` beside `slave`, the masters' services, that of discovery ports below `.slave` (from the
#: fork), and the order of labels of the first design.
OURS = """
agent.mesos.                           | A | 1.2.3.10, 1.2.3.11, 1.2.3.12
agent.mesos.                           | AAAA | 2001:db8::1
_agent._tcp.mesos.                     | SRV | agent.mesos.:5051

_master._tcp.mesos. _master._udp.mesos. | SRV | master0.mesos.:5050

_http._big-dog._tcp.MS                 | SRV | big-dog-4dfjd-0.MS:80
_https._big-dog._tcp.MS                | SRV | big-dog-4dfjd-0.MS:443
_http._big.dog._tcp.MS                 | SRV | big.dog-4dfjd-0.MS:80
_https._big.dog._tcp.MS                | SRV | big.dog-4dfjd-0.MS:443
_http._liquor-store._tcp.MS            | SRV | liquor-store-4dfjd-0.MS:80, liquor-store-zasmd-1.MS:80
_https._liquor-store._tcp.MS           | SRV | liquor-store-4dfjd-0.MS:443, liquor-store-zasmd-1.MS:443
_http._liquor.store._tcp.MS            | SRV | liquor.store-4dfjd-0.MS:80, liquor.store-zasmd-1.MS:80
_https._liquor.store._tcp.MS           | SRV | liquor.store-4dfjd-0.MS:443, liquor.store-zasmd-1.MS:443

big-dog.marathon._tcp.mesos.           | SRV | big-dog-4dfjd-0.M:80, big-dog-4dfjd-0.M:443
big.dog.marathon._tcp.mesos.           | SRV | big.dog-4dfjd-0.M:80, big.dog-4dfjd-0.M:443
liquor-store.marathon._tcp.mesos.      | SRV | liquor-store-4dfjd-0.M:80, liquor-store-4dfjd-0.M:443
liquor-store.marathon._tcp.mesos.      | SRV | liquor-store-zasmd-1.M:80, liquor-store-zasmd-1.M:443
liquor.store.marathon._tcp.mesos.      | SRV | liquor.store-4dfjd-0.M:80, liquor.store-4dfjd-0.M:443
liquor.store.marathon._tcp.mesos.      | SRV | liquor.store-zasmd-1.M:80, liquor.store-zasmd-1.M:443
car-store.marathon._tcp.mesos. car-store.marathon._udp.mesos. | SRV | car-store-zinaz-0.MS:31364, car-store-zinaz-0.MS:31365
chronos.marathon._tcp.mesos. chronos.marathon._udp.mesos.     | SRV | chronos-rx8q6-0.MS:31332
reviewbot.marathon._tcp.mesos. reviewbot.marathon._udp.mesos. | SRV | reviewbot-8sq89-1.MS:31744
some-box.{C}._tcp.mesos. some-box.{C}._udp.mesos.             | SRV | some-box-h3dyr-0.CS:31354
toy-store.ipv6-framework._tcp.mesos. toy-store.ipv6-framework._udp.mesos. | SRV | toy-store-go588-3.6S:31354, toy-store-go588-3.6S:31355
"""


def fixture_records(label=rfc952, ip_sources=("netinfo", "docker", "mesos", "host")):
    model = Model(Naming(rules(label, ip_sources)))
    out = []
    for _, contributed in model.set_hosts({"localhost": packed("127.0.0.1")}):
        out += records_of(contributed)
    for _, contributed in model.apply(Delta(AGENTS, FRAMEWORKS, TASKS)):
        out += records_of(contributed)
    out += records_of(model.set_masters([LEADER], LEADER)[1])
    out += records_of(model.set_self(packed("127.0.0.1"))[1])
    return as_text(out)


@pytest.mark.parametrize(
    ("label", "chronos"), [(rfc952, "chronoswithaspaceandmixe"), (rfc1123, "chronoswithaspaceandmixedcase-2.0.1")]
)
def test_the_fixture_gives_the_records_of_the_old_program_and_ours(label, chronos):
    expected = written(GO, chronos) | written(OURS, chronos)
    assert fixture_records(label) == expected


def test_the_tables_have_as_many_names_as_the_old_program():
    names_of = {kind: {line.split()[0] for line in written(GO) if f" {kind} " in line} for kind in ("A", "AAAA", "SRV")}
    assert {kind: len(found) for kind, found in names_of.items()} == {"A": 50, "AAAA": 6, "SRV": 46}


LIQUOR = "liquor-store.marathon.mesos. A"
LIQUOR_SLAVE = "liquor-store.marathon.slave.mesos. A"
NGINX = "nginx.marathon.mesos. A"
CAR_SLAVE = "car-store.marathon.slave.mesos. A"
TOY, TOY_SLAVE = "toy-store.ipv6-framework.mesos.", "toy-store.ipv6-framework.slave.mesos."


@pytest.mark.parametrize(
    ("sources", "name", "values"),
    [
        (["netinfo"], LIQUOR, []),
        (["docker", "host"], LIQUOR, ["10.3.0.1", "10.3.0.2"]),
        (["mesos", "host"], LIQUOR, ["1.2.3.11", "1.2.3.12"]),
        (["host"], LIQUOR, ["1.2.3.11", "1.2.3.12"]),
        (["netinfo"], LIQUOR_SLAVE, ["1.2.3.11", "1.2.3.12"]),
        (["docker", "host"], LIQUOR_SLAVE, ["1.2.3.11", "1.2.3.12"]),
        (["netinfo"], NGINX, []),
        (["docker", "host"], NGINX, ["1.2.3.11"]),
        (["mesos", "host"], NGINX, ["10.3.0.3"]),
        (["host"], NGINX, ["1.2.3.11"]),
        (["netinfo"], CAR_SLAVE, ["1.2.3.11"]),
        (["mesos", "host"], CAR_SLAVE, ["1.2.3.11"]),
        (["netinfo"], TOY + " A", ["12.0.1.2", "12.0.1.3"]),
        (["docker", "host"], TOY + " A", []),
        (["netinfo"], TOY + " AAAA", ["fd01:b::1:8000:2"]),
        (["docker", "host"], TOY + " AAAA", ["2001:db8::1"]),
        (["mesos", "host"], TOY + " AAAA", ["2001:db8::1"]),
        (["host"], TOY + " AAAA", ["2001:db8::1"]),
        (["netinfo"], TOY_SLAVE + " AAAA", ["2001:db8::1"]),
        (["host"], TOY_SLAVE + " AAAA", ["2001:db8::1"]),
    ],
)
def test_the_order_of_address_sources_decides(sources, name, values):
    found = {line for line in fixture_records(ip_sources=sources) if line.startswith(name + " ")}
    assert found == {f"{name} {value}" for value in values}


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


def task_records(task, agent=("10.0.0.1",), given_rules=None, framework=b"fw"):
    naming = Naming(given_rules or rules(rfc1123))
    return as_text(naming.task(task, framework, packed(*agent)))


def discovered(*ports, name="web"):
    return Task("test", "ignored", "F", "S-0", discovery_name=name, discovery_ports=ports)


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
