"""The records of usual tasks, the short way. Pure.

Nearly every task has a name that is one plain label, ports in range and a few addresses. For those it is
known beforehand which records are alike, what the names of one application's instances have in
common, and that everything fits. `Naming.task` is the definition, and the way for all others.
"""

from typing import NamedTuple, cast

from mesos_dns.dns import rdata as rd
from mesos_dns.dns.rdata import AAAA, SRV, A
from mesos_dns.limits import (
    MAX_ADDRESSES,
    MAX_LABEL,
    MAX_NAME,
    MAX_PORTS_PER_TASK,
    MAX_PROTOCOLS,
    MAX_REMEMBERED_SERVICES,
    MAX_SUFFIXES,
)
from mesos_dns.mesos.state import DiscoveryPort, Task
from mesos_dns.names import labels as lb
from mesos_dns.names.endings import BOTH, LENGTH, Addresses, Endings, Owners, Rules, Suffixes, chosen_addresses
from mesos_dns.names.zone import Contribution, Node


class _Kind(NamedTuple):
    """What the services of a discovery port with this protocol and name end in, in wire form.

    `domains` and `slaves` have `_PROTO.fw.D` and `_PROTO.fw.slave.D` for each protocol, `aliases` `fw._PROTO.D`.
    `front` is `_PORTNAME`, or empty; what comes between may have `room` octets.
    """

    domains: tuple[bytes, ...]
    slaves: tuple[bytes, ...]
    aliases: tuple[bytes, ...]
    front: bytes
    room: int


class _Application:
    """What the instances of one application have in common, if their names need no rule for unusual ones.

    Owners are `NAME.fw.D` and `NAME.fw.slave.D`; services are those of `_NAME`, here `service`. Canonical
    names are `front`, a label that begins with `last` and has up to `room` octets, and `domain` or `slave`,
    which are the wire forms of `fw.D` and `fw.slave.D`.
    """

    __slots__ = (
        *("domain", "front", "last", "name", "of_ports", "owner", "room", "service", "services", "slave"),
        *("slave_owner", "suffixes"),
    )

    def __init__(self, labels: list[bytes], suffixes: Suffixes, domain: bytes, slave: bytes) -> None:
        self.suffixes = suffixes
        self.domain = domain
        self.slave = slave
        *above, self.last = labels
        self.front = b"".join([LENGTH[len(label)] + label for label in above])
        self.name = name = self.front + LENGTH[len(self.last)] + self.last
        self.service = b"%b_%b" % (LENGTH[len(labels[0]) + 1], name[1:])
        self.owner = name + domain
        self.slave_owner = name + slave
        self.room = min(MAX_LABEL, MAX_NAME - 1 - len(self.front) - len(slave))
        #: The services of a resource port.
        self.of_ports: Owners = ()
        #: For each protocol and name of a discovery port: its services, and those below `.slave`.
        self.services: dict[tuple[str, str], tuple[Owners, Owners]] = {}


class Usual:
    """Makes the contributions of usual tasks; knows what applications have in common."""

    def __init__(self, rules: Rules, endings: Endings) -> None:
        self._rules = rules
        self._endings = endings
        self._applications: dict[tuple[bytes, str, bool], tuple[_Application, ...]] = {}
        self._kinds: dict[tuple[bytes, str, str], _Kind | None] = {}

    def __repr__(self) -> str:
        return f"Usual(applications={len(self._applications)})"

    def contributions(self, task: Task, framework: bytes, agent: Addresses) -> list[Contribution] | None:
        """The contributions of a task in which everything is as usual; None if it takes all the rules."""
        discovery = task.discovery_name
        key = framework, discovery or task.name, bool(discovery)
        applications = self._applications.get(key)
        if applications is None:
            applications = self._applications_of(*key)
        addresses = chosen_addresses(self._rules, task, agent)
        if not (applications and _usual_addresses(addresses) and _usual_addresses(agent)):
            return None
        node = _addresses_node(addresses) if addresses else ()
        agent_node = _addresses_node(agent) if agent else ()
        tail = lb.canonical(b"", task.id, task.agent_id)
        if b"." in tail:
            return None
        out: list[Contribution] = []
        for application in applications:
            canon = application.last + tail
            if len(canon) > application.room:
                return None
            canon = application.front + LENGTH[len(canon)] + canon
            target, slave_target = canon + application.domain, canon + application.slave
            if node:
                out.append(((application.owner, target), node))
            if agent_node:
                out.append(((application.slave_owner, slave_target), agent_node))
            if not self._add_services(out, task, application, target, slave_target):
                return None
        return out

    def _add_services(
        self, out: list[Contribution], task: Task, application: _Application, target: bytes, slave_target: bytes
    ) -> bool:
        """Add the SRV records of a usual task; False if a port is unusual, or if there are very many."""
        weight = self._rules.srv_weight
        # Who has a record for a port already, with the target below `.slave`.
        given: dict[int, Owners] = {}
        room = MAX_PORTS_PER_TASK
        for first, last in task.ports:
            if first < 0 or last > 0xFFFF or last - first >= room:
                return False
            room -= max(last - first + 1, 0)
            for port in range(first, last + 1):
                if port not in given:
                    given[port] = application.of_ports
                    out.append((application.of_ports, ((SRV, (rd.srv(weight, port, slave_target),)),)))
        return not task.discovery_name or self._add_discovered(out, task, application, (target, slave_target), given)

    def _add_discovered(
        self,
        out: list[Contribution],
        task: Task,
        application: _Application,
        targets: tuple[bytes, bytes],
        given: dict[int, Owners],
    ) -> bool:
        """Add those of the discovery ports, but none that `given` has."""
        weight = self._rules.srv_weight
        target, slave_target = targets
        ports = task.discovery_ports
        numbers = {port.number for port in ports}
        if len(ports) > MAX_PORTS_PER_TASK or not all(0 <= number <= 0xFFFF for number in numbers):
            return False
        repeated = len(numbers) < len(ports)
        given_above: dict[int, Owners] = {}
        for discovery_port in ports:
            services = self._owners(application, discovery_port)
            if services is None:
                return False
            owners, slave_owners = services
            number = discovery_port.number
            if number in given:
                slave_owners = _others(slave_owners, given[number])
            if repeated:
                owners = _others(owners, given_above.get(number, ()))
                given_above[number] = given_above.get(number, ()) + owners
                given[number] = given.get(number, ()) + slave_owners
            head = rd.srv(weight, number, b"")
            out.append((owners, ((SRV, (head + target,)),)))
            out.append((slave_owners, ((SRV, (head + slave_target,)),)))
        return True

    def _applications_of(self, framework: bytes, name: str, discovery: bool) -> tuple[_Application, ...]:
        """What the tasks of this name have in common, for each of their one or two names; empty if one is unusual.

        A discovery name with dots is usual if its label differs in nothing else: then the two sets of names
        begin with different labels.
        """
        label = self._rules.label(name)
        raw = name.encode("utf-8", "replace").lower() if discovery else label
        found: list[_Application | None] = []
        if raw == label or raw.replace(b".", b"-") == label:
            found = [self._application(framework, one, discovery=discovery) for one in dict.fromkeys((raw, label))]
        applications = () if None in found else tuple(cast("list[_Application]", found))
        if len(self._applications) >= MAX_REMEMBERED_SERVICES:
            self._applications.clear()
        self._applications[framework, name, discovery] = applications
        return applications

    def _application(self, framework: bytes, name: bytes, *, discovery: bool) -> _Application | None:
        suffixes = self._endings.of(framework)
        domain, slave = suffixes.domain.wire, suffixes.slave.wire
        labels = name.split(b".")
        # An underscore must fit, too.
        if domain is None or slave is None or not all(0 < len(label) < MAX_LABEL for label in labels):
            return None
        found = _Application(labels, suffixes, domain, slave)
        of_ports = self._owners_of_ports(found, discovery=discovery)
        if of_ports is None or len(found.slave_owner) > MAX_NAME:
            return None
        found.of_ports = of_ports
        return found

    def _owners_of_ports(self, application: _Application, *, discovery: bool) -> Owners | None:
        """The services of a resource port; with a discovery name only those below `.slave`. None if one does not fit."""
        kind = self._kind(application.suffixes, "", "")
        service = application.service
        if kind is None or len(service) > kind.room:
            return None
        owners = [service + slave for slave in kind.slaves]
        if not discovery:
            owners += [service + domain for domain in kind.domains]
            owners += [application.name + alias for alias in kind.aliases]
        return tuple(owners)

    def _owners(self, application: _Application, port: DiscoveryPort) -> tuple[Owners, Owners] | None:
        """The services of a discovery port, and those below `.slave`; None if one does not fit."""
        services = application.services.get((port.protocol, port.name))
        if services is None:
            services = self._new_owners(application, port)
            if services is not None and len(application.services) < MAX_PROTOCOLS:
                application.services[port.protocol, port.name] = services
        return services

    def _new_owners(self, application: _Application, port: DiscoveryPort) -> tuple[Owners, Owners] | None:
        kind = self._kind(application.suffixes, port.protocol, port.name)
        service = application.service
        if kind is None or len(service) > kind.room:
            return None
        _, _, aliases, front, _ = kind
        owners = [service + domain for domain in kind.domains]
        slave_owners = [service + slave for slave in kind.slaves]
        if front:
            owners += [front + owner for owner in owners]
            slave_owners += [front + owner for owner in slave_owners]
        owners += [application.name + alias for alias in aliases]
        return tuple(owners), tuple(slave_owners)

    def _kind(self, suffixes: Suffixes, protocol_text: str, port_name: str) -> _Kind | None:
        """The endings of services; None if the rules for unusual names are needed. Remembered."""
        key = suffixes.framework, protocol_text, port_name
        if key in self._kinds:
            return self._kinds[key]
        protocol = self._rules.label(protocol_text)
        services = [self._endings.services(suffixes, one) for one in ((b"_" + protocol,) if protocol else BOTH)]
        wires = [tuple([service[place].wire for service in services]) for place in range(3)]
        label = self._rules.label(port_name)
        found: _Kind | None = None
        if len(label) < MAX_LABEL and not any(None in wire for wire in wires):
            domains, slaves, aliases = cast("list[tuple[bytes, ...]]", wires)
            front = b"%b_%b" % (LENGTH[len(label) + 1], label) if label else b""
            longest = max(map(len, (*domains, *slaves, *aliases)))
            found = _Kind(domains, slaves, aliases, front, MAX_NAME - len(front) - longest)
        if len(self._kinds) >= MAX_SUFFIXES:
            self._kinds.clear()
        self._kinds[key] = found
        return found


def _others(owners: Owners, given: Owners) -> Owners:
    return tuple([owner for owner in owners if owner not in given])


def _addresses_node(addresses: Addresses) -> Node:
    """The node of these addresses, of which there is at least one."""
    if len(addresses) == 1:
        return ((A if len(addresses[0]) == 4 else AAAA, addresses),)
    old = tuple([address for address in addresses if len(address) == 4])
    new = tuple([address for address in addresses if len(address) != 4])
    return ((A, old), (AAAA, new)) if old and new else ((A, old),) if old else ((AAAA, new),)


def _usual_addresses(addresses: Addresses) -> bool:
    return len(addresses) < 2 or len(addresses) == len(set(addresses)) <= MAX_ADDRESSES
