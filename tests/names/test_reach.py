"""`auto`: the address and the ports that a task has by its network."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.names.cluster import as_text, packed, rules

from mesos_dns.mesos.state import DiscoveryPort, Network, PortMapping, Task
from mesos_dns.names.labels import rfc1123
from mesos_dns.names.naming import Naming
from mesos_dns.names.tasks import _AUTOMATIC as AUTOMATIC
from mesos_dns.names.tasks import AUTO, reach

AGENT = packed("10.0.0.1")
OWN = packed("10.1.1.1")
LABEL = packed("10.2.2.2")
AUTOMATICALLY = rules(rfc1123, (AUTO,))


def web(mode, *mappings, ports=(80,), protocol="tcp", **more):
    network = Network(mode, tuple(PortMapping(*mapping) for mapping in mappings))
    discovery = tuple(DiscoveryPort(port, f"p{number}", protocol) for number, port in enumerate(ports))
    return Task("t", "web", "F", "S0", discovery_name="web", discovery_ports=discovery, network=network, **more)


def numbers(task, given_rules=AUTOMATICALLY):
    _, own, at_agent = reach(given_rules, task, AGENT)
    return [port.number for port in own], [port.number for port in at_agent]


@pytest.mark.parametrize(
    ("mode", "more", "addresses"),
    [
        ("host", {"netinfo": OWN}, AGENT),
        ("bridge", {"netinfo": OWN, "docker": LABEL}, AGENT),
        ("container", {"netinfo": OWN, "mesos": LABEL}, OWN),
        ("container", {"mesos": LABEL}, LABEL),
        ("container", {"docker": LABEL}, LABEL),
        ("container", {}, ()),
        ("unknown", {"netinfo": OWN}, OWN),
        ("unknown", {"docker": LABEL}, AGENT),
        ("unknown", {}, AGENT),
    ],
)
def test_the_address_by_the_network(mode, more, addresses):
    assert reach(AUTOMATICALLY, web(mode, **more), AGENT).addresses == addresses


def test_sources_behind_auto_count_if_it_finds_none():
    assert reach(rules(rfc1123, (AUTO, "host")), web("container"), AGENT).addresses == AGENT
    assert reach(rules(rfc1123, ("docker", AUTO)), web("bridge", docker=LABEL), AGENT).addresses == LABEL


@pytest.mark.parametrize(
    ("task", "own", "at_agent"),
    [
        (web("host"), [80], [80]),
        (web("unknown", netinfo=OWN), [80], [80]),
        (web("bridge"), [80], [80]),
        (web("bridge", (31000, 80, "tcp")), [31000], [31000]),
        (web("bridge", (31000, 80, "tcp"), ports=(31000, 80, 81)), [31000, 31000, 81], [31000, 31000, 81]),
        (web("bridge", (31000, 80, "udp")), [80], [80]),
        (web("bridge", (31000, 80, "udp"), protocol="udp,tcp"), [31000], [31000]),
        (web("bridge", (31000, 80, "udp"), (31001, 80, "tcp")), [31001], [31001]),
        (web("bridge", (31000, 80)), [31000], [31000]),
        (web("bridge", (31000, 80, "udp"), protocol=""), [31000], [31000]),
        (web("container", netinfo=OWN), [80], []),
        (web("container", (31000, 80, "tcp"), netinfo=OWN), [80], [31000]),
        (web("container", (80, 80, "tcp"), netinfo=OWN), [80], [80]),
        (web("container", (31000, 80, "tcp"), ports=(31000, 8080), netinfo=OWN), [80, 8080], [31000]),
    ],
)
def test_ports_are_those_of_the_address(task, own, at_agent):
    assert numbers(task) == (own, at_agent)


def test_ports_that_stay_are_the_same_tuple():
    for task in (web("host"), web("bridge"), web("bridge", (31000, 81)), web("unknown", netinfo=OWN)):
        assert reach(AUTOMATICALLY, task, AGENT)[1:] == (task.discovery_ports, task.discovery_ports)
        assert reach(AUTOMATICALLY, task, AGENT).agent_ports is task.discovery_ports
    task = web("container", netinfo=OWN)
    assert reach(AUTOMATICALLY, task, AGENT).own_ports is task.discovery_ports


@pytest.mark.parametrize("sources", [("host",), ("netinfo", "host"), ("docker", "mesos", "netinfo")])
def test_sources_of_go_leave_ports_alone(sources):
    for mode in AUTOMATIC:
        task = web(mode, (31000, 80), netinfo=OWN)
        assert numbers(task, rules(rfc1123, sources)) == ([80], [80])


def services(task):
    found = as_text(Naming(AUTOMATICALLY).task(task, b"fw", AGENT))
    return {" ".join(line.split()[::2]) for line in found if line.startswith("_p0.") and " SRV " in line}


def test_services_point_to_the_address_that_has_the_port():
    assert services(web("bridge", (31000, 80), netinfo=OWN)) == {
        "_p0._web._tcp.fw.mesos. web-t56ap-s0.fw.mesos.:31000",
        "_p0._web._tcp.fw.slave.mesos. web-t56ap-s0.fw.slave.mesos.:31000",
    }
    assert services(web("container", (31000, 80), netinfo=OWN)) == {
        "_p0._web._tcp.fw.mesos. web-t56ap-s0.fw.mesos.:80",
        "_p0._web._tcp.fw.slave.mesos. web-t56ap-s0.fw.slave.mesos.:31000",
    }
    assert services(web("container", netinfo=OWN)) == {
        "_p0._web._tcp.fw.mesos. web-t56ap-s0.fw.mesos.:80",
    }


@given(
    st.sampled_from(sorted(AUTOMATIC)),
    st.lists(
        st.tuples(st.sampled_from([31000, 80]), st.sampled_from([80, 81]), st.sampled_from(["", "tcp"])), max_size=3
    ),
    st.lists(st.sampled_from([80, 81, 31000]), max_size=3),
)
def test_whatever_the_mappings_no_port_is_added_and_names_stay(mode, mappings, ports):
    task = web(mode, *mappings, ports=ports, netinfo=OWN)
    _, own, at_agent = reach(AUTOMATICALLY, task, AGENT)
    assert [port.name for port in own] == [port.name for port in task.discovery_ports]
    assert {port.name for port in at_agent} <= {port.name for port in own}
