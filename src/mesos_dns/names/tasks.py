"""What the names of a task are made of, for both ways of naming. Pure."""

from collections.abc import Mapping
from typing import Final, NamedTuple

from mesos_dns.mesos.state import DiscoveryPort, PortMapping, Task
from mesos_dns.names import skipped
from mesos_dns.names.suffixes import Addresses, Rules
from mesos_dns.names.table import AGENT_LABELS

#: A running task, the fragment of its framework's name, and the addresses of its agent.
TaskPlacement = tuple[Task, bytes, Addresses]

#: Ports of one task that become SRV records. A port range may span thousands; each port costs two
#: to six records, and nobody can use a service with that many unnamed ports.
MAX_PORTS_PER_TASK: Final = 256

DiscoveryPorts = tuple[DiscoveryPort, ...]
Mappings = tuple[PortMapping, ...]

#: The source that looks at the task's network, and where it looks: behind a bridge, or without a network of its own, a task is reached at
#: its agent. On a container network it is not, whatever the state lacks. If nobody tells, as with Go's default.
AUTO: Final = "auto"
_AUTOMATIC: Final[Mapping[str, tuple[str, ...]]] = {
    "host": ("host",),
    "bridge": ("host",),
    "container": ("netinfo", "mesos", "docker"),
    "unknown": ("netinfo", "mesos", "host"),
}


def framework_problem(fragment: bytes) -> str | None:
    """Why neither a framework with this fragment nor its tasks can have names; None if they can."""
    if not fragment:
        return skipped.EMPTY_LABEL
    # Its names would lie where the agents' names of other frameworks' tasks lie.
    return skipped.RESERVED_NAME if fragment.rpartition(b".")[2] in AGENT_LABELS else None


def task_names(rules: Rules, framework: bytes, text: str, reasons: set[str], *, discovery: bool) -> list[bytes]:
    """The dotted names that stand for NAME in the table, in Go's order; why others do not is added to `reasons`.

    The name of a task gives its label. A discovery name gives itself, in lower case, and its label. As it is
    it must not have a label `*`, which servers that load the zone take for a wildcard (RFC 4592), nor one
    that begins with an underscore: `http._web` would be the port `http` of a service `web`.
    """
    problem = framework_problem(framework)
    if problem is not None:
        reasons.add(problem)
        return []
    label = rules.label(text)
    names = [label] if label else []
    if not label:
        reasons.add(skipped.EMPTY_LABEL)
    if discovery:
        raw = text.encode("utf-8", "replace").lower()
        if raw == label:
            return names
        labels = raw.split(b".")
        if not all(labels):
            reasons.add(skipped.EMPTY_LABEL)
        elif b"*" in labels:
            reasons.add(skipped.WILDCARD_LABEL)
        elif raw.startswith(b"_") or b"._" in raw:
            reasons.add(skipped.SERVICE_LABEL)
        else:
            names.insert(0, raw)
    return names


class Reach(NamedTuple):
    """Where a task is reached: its addresses, and its discovery ports there and at its agent."""

    addresses: Addresses
    own_ports: DiscoveryPorts
    agent_ports: DiscoveryPorts


def reach(rules: Rules, task: Task, agent: Addresses) -> Reach:
    """Where this task is reached. Ports that mean the same everywhere are the very tuple of the task.

    The sources of Go say nothing about ports. `auto` knows the network: a number that is only right at the other side of its port
    mappings is exchanged, and ports of a container that nothing maps to its agent are not to be had there.
    """
    ports = task.discovery_ports
    addresses, _, automatic = chosen(rules, task, agent)
    network = task.network
    if not automatic or not ports or network.mode in ("host", "unknown"):
        return Reach(addresses, ports, ports)
    if network.mode == "bridge":
        exchanged = _exchanged(ports, network.mappings, to_host=True)
        return Reach(addresses, exchanged, exchanged)
    own = _exchanged(ports, network.mappings, to_host=False)
    mapped = [port for port in own if _of_container(port, network.mappings)]
    return Reach(addresses, own, _exchanged(tuple(mapped), network.mappings, to_host=True))


def chosen(rules: Rules, task: Task, agent: Addresses) -> tuple[Addresses, str, bool]:
    """The addresses, the source that gives them ("" if none does), and whether `auto` chose it."""
    found: Addresses
    for source in rules.ip_sources:
        if source == AUTO:
            for one in _AUTOMATIC[task.network.mode]:
                found = agent if one == "host" else getattr(task, one)
                if found:
                    return found, one, True
        else:
            found = agent if source == "host" else getattr(task, source)
            if found:
                return found, source, False
    return (), "", False


def _exchanged(ports: DiscoveryPorts, mappings: Mappings, *, to_host: bool) -> DiscoveryPorts:
    """The ports with the numbers that they have at the agent, or in the container; the same tuple if those are no others."""
    if not mappings:
        return ports
    found = []
    for port in ports:
        mapping = _of_container(port, mappings)
        if to_host and mapping is not None:
            number = mapping.host_port
        elif not to_host and mapping is None:
            mapping = next((one for one in mappings if one.host_port == port.number and _same(one, port)), None)
            number = port.number if mapping is None else mapping.container_port
        else:
            number = port.number
        found.append(port if number == port.number else DiscoveryPort(number, port.name, port.protocol))
    return ports if tuple(found) == ports else tuple(found)


def _of_container(port: DiscoveryPort, mappings: Mappings) -> PortMapping | None:
    return next((one for one in mappings if one.container_port == port.number and _same(one, port)), None)


def _same(mapping: PortMapping, port: DiscoveryPort) -> bool:
    """Whether protocols allow that they mean the same port. One may be missing, and a port may have several, "udp,tcp"."""
    protocols = [protocol.strip() for protocol in port.protocol.lower().split(",")]
    return not mapping.protocol or protocols == [""] or mapping.protocol in protocols
