"""How a task can be reached, from what Mesos says of its container."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesos_dns.mesos.decoding import wire
from mesos_dns.mesos.decoding.networks import MAX_PORT_MAPPINGS, network_of
from mesos_dns.mesos.decoding.v0 import Decoder
from mesos_dns.mesos.state import (
    BRIDGE_NETWORK,
    CONTAINER_NETWORK,
    HOST_NETWORK,
    UNKNOWN_NETWORK,
    DiscoveryPort,
    Network,
    PortMapping,
)

TO_80 = {"host_port": 31000, "container_port": 80, "protocol": "tcp"}


def mapped(*mappings):
    return [{"host_port": host, "container_port": container} for host, container in mappings]


def docker(network, mappings=(), **more):
    return {"type": "DOCKER", "docker": {"image": "i", "network": network, "port_mappings": list(mappings)}, **more}


def network(container=None, status=None, ports=()):
    task = {
        "id": "t",
        "name": "web",
        "slave_id": "S0",
        "state": "TASK_RUNNING",
        "statuses": [{"state": "TASK_RUNNING", "timestamp": 1, "container_status": {"network_infos": status or []}}],
        "discovery": {"name": "web", "ports": {"ports": [{"number": number} for number in ports]}},
    }
    if container is not None:
        task["container"] = container
    framework = {"id": "F", "name": "fw", "tasks": [task]}
    body = json.dumps({"leader": "master@10.0.0.1:5050", "slaves": [], "frameworks": [framework]}).encode()
    (found,) = Decoder().decode(body).tasks.values()
    return found.network


@pytest.mark.parametrize(
    ("container", "status", "expected"),
    [
        (None, [], UNKNOWN_NETWORK),
        (None, [{"ip_addresses": [{"ip_address": "10.1.1.1"}], "name": "overlay"}], UNKNOWN_NETWORK),
        (None, [{"name": "mesos-bridge", "port_mappings": [TO_80]}], BRIDGE_NETWORK),  # a pod
        (None, [{"name": "overlay", "port_mappings": [{"host_port": 0, "container_port": 80}]}], UNKNOWN_NETWORK),
        ({"type": "MESOS"}, [], UNKNOWN_NETWORK),
        ({"type": "MESOS", "network_infos": [{}]}, [], UNKNOWN_NETWORK),
        ({"type": "MESOS", "network_infos": [{"name": "overlay"}]}, [], CONTAINER_NETWORK),
        ({"type": "MESOS", "network_infos": [{"name": "mesos-bridge", "port_mappings": [TO_80]}]}, [], BRIDGE_NETWORK),
        (docker("HOST"), [], HOST_NETWORK),
        (docker("NONE"), [], HOST_NETWORK),
        (docker("HOST", network_infos=[{"name": "overlay"}]), [], CONTAINER_NETWORK),
        (docker("NEW"), [], HOST_NETWORK),
        ({"type": "DOCKER"}, [], HOST_NETWORK),
        (docker("BRIDGE"), [], BRIDGE_NETWORK),
        (docker("BRIDGE", [TO_80]), [], BRIDGE_NETWORK),
        (docker("USER", [TO_80], network_infos=[{"name": "overlay"}]), [], CONTAINER_NETWORK),
    ],
)
def test_the_mode(container, status, expected):
    assert network(container, status) is expected


def test_bridges_keep_only_mappings_of_container_ports_that_discovery_names():
    mappings = [TO_80, *mapped((31001, 443), (31002, 9000))]
    assert network(docker("BRIDGE", mappings), ports=[31000, 31001]) is BRIDGE_NETWORK
    assert network(docker("BRIDGE", mappings), ports=[80, 31001]) == Network("bridge", (PortMapping(31000, 80, "tcp"),))
    # Reached as 80, and not as the 31000 of another service.
    assert network(docker("BRIDGE", [TO_80, *mapped((80, 8080))]), ports=[80]) is BRIDGE_NETWORK
    assert network(docker("BRIDGE", mapped((80, 80))), ports=[80]) is BRIDGE_NETWORK


def test_container_networks_keep_the_mappings_of_ports_that_discovery_names():
    mappings = [TO_80, *mapped((31001, 443), (31002, 9000))]
    assert network(docker("USER", mappings), ports=[80, 31001]) == Network(
        "container", (PortMapping(31000, 80, "tcp"), PortMapping(31001, 443))
    )
    assert network(docker("USER", mappings), ports=[8080]) is CONTAINER_NETWORK
    assert network(docker("USER", mapped((80, 80))), ports=[80]) == Network("container", (PortMapping(80, 80),))


def test_mappings_that_cannot_be_are_passed_over():
    bad = [None, {}, *mapped((0, 80), (65536, 80), (-1, 80), (31000, 0))]
    assert network(docker("BRIDGE", bad), ports=[80]) is BRIDGE_NETWORK


def test_a_task_keeps_a_bounded_number_of_mappings():
    mappings = [wire.PortMapping(host, 80) for host in range(1000, 2000)]
    found = network_of(wire.Container("DOCKER", wire.Docker("BRIDGE", mappings)), None, [DiscoveryPort(80)])
    assert len(found.mappings) == MAX_PORT_MAPPINGS


def test_equal_networks_are_shared():
    task = {"slave_id": "S0", "state": "TASK_RUNNING", "container": docker("USER", [TO_80])}
    task["discovery"] = {"name": "web", "ports": {"ports": [{"number": 80}]}}
    tasks = [{**task, "id": str(number)} for number in range(2)]
    body = json.dumps(
        {"leader": "m@10.0.0.1:1", "slaves": [], "frameworks": [{"id": "F", "name": "f", "tasks": tasks}]}
    )
    one, other = Decoder().decode(body.encode()).tasks.values()
    assert one.network.mappings
    assert one.network is other.network


numbers = st.none() | st.sampled_from([-1, 0, 1, 80, 81, 65535, 65536])
mappings = st.none() | st.lists(
    st.none() | st.builds(wire.PortMapping, numbers, numbers, st.none() | st.sampled_from(["tcp", "UDP", ""])),
    max_size=4,
)
wanted = st.none() | st.lists(
    st.none() | st.builds(wire.WantedNetwork, st.none() | st.text(max_size=2), mappings), max_size=3
)
dockers = st.none() | st.builds(wire.Docker, st.none() | st.sampled_from(["HOST", "BRIDGE", "USER", "?"]), mappings)
containers = st.none() | st.builds(wire.Container, st.none() | st.sampled_from(["DOCKER", "MESOS"]), dockers, wanted)


@given(containers, mappings, st.lists(st.sampled_from([0, 1, 80, 81, 70000]), max_size=3))
def test_whatever_a_container_says_the_mappings_kept_are_ports_and_concern_discovery(container, in_status, ports):
    status = wire.Status(container_status=wire.ContainerStatus([wire.NetworkInfo(port_mappings=in_status), None]))
    found = network_of(container, status, [DiscoveryPort(number) for number in ports])
    for mapping in found.mappings:
        assert 0 < mapping.host_port <= 65535
        assert 0 < mapping.container_port <= 65535
        assert {mapping.host_port, mapping.container_port} & set(ports)
    assert found.mode in ("bridge", "container") or not found.mappings
