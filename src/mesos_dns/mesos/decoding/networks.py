"""How a task can be reached, out of its ContainerInfo and its status. Pure."""

from collections.abc import Sequence
from typing import Final, Literal

from mesos_dns.mesos.decoding import wire
from mesos_dns.mesos.state import (
    BRIDGE_NETWORK,
    CONTAINER_NETWORK,
    HOST_NETWORK,
    UNKNOWN_NETWORK,
    DiscoveryPort,
    Network,
    PortMapping,
)

#: Mappings that are kept of one task: as many ports as it can have services for.
MAX_PORT_MAPPINGS: Final = 256
_LAST_PORT: Final = 0xFFFF

_DOCKER_MODES: Final[dict[str, tuple[Literal["bridge", "container"], Network]]] = {
    "USER": ("container", CONTAINER_NETWORK),
    "BRIDGE": ("bridge", BRIDGE_NETWORK),
}


def network_of(
    container: wire.Container | None, status: wire.Status | None, discovery_ports: Sequence[DiscoveryPort]
) -> Network:
    """The network of a task.

    | ContainerInfo, status | mode |
    |---|---|
    | `docker.network` USER | `container` |
    | `docker.network` BRIDGE | `bridge` |
    | any other, and a network with a host port in its mappings | `bridge`: CNI's port mapper stands before it |
    | any other, and a network with a name in ContainerInfo | `container` |
    | type DOCKER, HOST or NONE | `host` |
    | anything else | `unknown`: before Mesos 1.0 a network without name could be any, and that of a pod is not shown |

    The address of a Docker container on a bridge means another container on every other agent: it is never worth giving.
    Agents give tasks without a network their own address.
    """
    docker = None if container is None else container.docker
    if docker is not None and docker.network is not None:
        known = _DOCKER_MODES.get(docker.network)
        if known is not None:
            mapped = docker.port_mappings
            return _network(*known, mapped, discovery_ports) if mapped and discovery_ports else known[1]
    mappings = _mappings(container, status)
    if mappings and any(_ports(one) for one in mappings):
        return _network("bridge", BRIDGE_NETWORK, mappings, discovery_ports)
    if container is None:
        return UNKNOWN_NETWORK
    for info in container.network_infos or ():
        if info is not None and info.name:
            return CONTAINER_NETWORK
    return HOST_NETWORK if docker is not None or container.type == "DOCKER" else UNKNOWN_NETWORK


def _mappings(container: wire.Container | None, status: wire.Status | None) -> list[wire.PortMapping | None]:
    """The port mappings of networks, those that were asked for and those that the status has; mostly none."""
    found: list[wire.PortMapping | None] = []
    for wanted in () if container is None else container.network_infos or ():
        if wanted is not None and wanted.port_mappings:
            found += wanted.port_mappings
    if status is not None and status.container_status is not None:
        for info in status.container_status.network_infos or ():
            if info is not None and info.port_mappings:
                found += info.port_mappings
    return found


def _ports(mapping: wire.PortMapping | None) -> tuple[int, int] | None:
    """Host port and container port; None if one of them is missing or no port. Host port 0 stands for none."""
    if mapping is None:
        return None
    host, container = mapping.host_port or 0, mapping.container_port or 0
    return (host, container) if 0 < host <= _LAST_PORT and 0 < container <= _LAST_PORT else None


def _network(
    mode: Literal["bridge", "container"],
    plain: Network,
    mappings: Sequence[wire.PortMapping | None],
    discovery_ports: Sequence[DiscoveryPort],
) -> Network:
    """`plain`, with those of the mappings that count."""
    named = {port.number for port in discovery_ports}
    found: list[tuple[wire.PortMapping, tuple[int, int]]] = []
    for one in mappings[:MAX_PORT_MAPPINGS]:
        ports = _ports(one)
        if ports is not None and one is not None:
            found.append((one, ports))
    # A number that could be either is one of where the task is reached.
    if mode == "bridge":
        containers, hosts = named.difference([host for _, (host, _) in found]), set[int]()
    else:
        containers, hosts = named, named.difference([container for _, (_, container) in found])
    if not containers and not hosts:
        return plain
    kept: dict[PortMapping, None] = {}
    for one, (host, container) in found:
        if container in containers or host in hosts:
            kept[PortMapping(host, container, (one.protocol or "").lower())] = None
    return Network(mode, tuple(kept)) if kept else plain
