"""The records of usual tasks, the short way. Pure.

Nearly every task has a name that is one plain label, ports in range and a few addresses. For those it is
known beforehand which records are alike, what the names of one application's instances have in
common, and that everything fits. `Naming.task` is the definition, and the way for all others.

Two fifths of a start are spent here: 25 µs for a task, of which no line takes more than a twentieth. What helped:
all instances of an application at once; the form of services made once for a framework (`_Shape`); loops
instead of comprehensions, which before Python 3.12 are calls. What did not: larger pages for the heap.
"""

from collections import Counter
from typing import Final, NamedTuple

from mesos_dns.dns import rdata as rd
from mesos_dns.dns.rdata import AAAA, SRV, A
from mesos_dns.limits import (
    MAX_ADDRESSES,
    MAX_KINDS_REMEMBERED,
    MAX_LABEL,
    MAX_NAME,
    MAX_PORTS_PER_TASK,
    MAX_REMEMBERED_SERVICES,
    MAX_SUFFIXES,
)
from mesos_dns.mesos.state import DiscoveryPort, Task
from mesos_dns.names import labels as lb
from mesos_dns.names.suffixes import BOTH, LENGTH, Addresses, Endings, Rules, Suffixes, chosen_addresses
from mesos_dns.zone.contributors import Contribution
from mesos_dns.zone.rrsets import Node

#: A running task, the name fragment of its framework, and the addresses of its agent.
Placed = tuple[Task, bytes, Addresses]

#: Protocol and name of a discovery port.
Kind = tuple[str, str]

Kinds = tuple[Kind, ...]
#: That of resource ports.
NO_KIND: Final[Kind] = "", ""

#: What stands in front of `_NAME` and behind it; with None in front it is an alias, and stands behind `NAME`.
_Service = tuple[bytes | None, bytes]

#: The kinds of a task's discovery ports, and what the SRV records of those begin with.
_Discovered = tuple[Kinds, list[bytes]]
_NOTHING: Final[_Discovered] = (), []
#: A usual task: what its canonical label ends in, its addresses, its agent's, what the SRV records of its
#: resource ports begin with, and its discovery ports.
_Instance = tuple[bytes, Addresses, Addresses, list[bytes], _Discovered]


class _Heads(dict[int, bytes]):
    """What SRV records of a port begin with; made when first looked up."""

    def __init__(self, weight: int) -> None:
        self._weight = weight

    def __missing__(self, port: int) -> bytes:
        head = self[port] = rd.srv(self._weight, port, b"")
        return head


class _Group(NamedTuple):
    """Services that have the same records, those in the lists at `places`; `aliases` are their endings."""

    services: list[tuple[bytes, bytes]]
    aliases: list[bytes]
    places: list[int]


class _Shape(NamedTuple):
    """The services of all applications of one framework that have ports of the same kinds.

    At place 0 are the records of resource ports; for each kind follow those of its discovery ports, and the same
    with the target below `.slave`. `_NAME` and `NAME` may have `room` octets.
    """

    groups: list[_Group]
    room: int


class _Name:
    """What the instances of one application have in common, if their names need no rule for unusual ones.

    Owners are `NAME.fw.D` and `NAME.fw.slave.D`; services are those of `_NAME`, here `service`. Canonical
    names are `front`, a label that begins with `last`, followed by up to `room` octets, and `domain` or `slave`,
    which are the wire forms of `fw.D` and `fw.slave.D`.
    """

    __slots__ = ("domain", "front", "last", "name", "owner", "room", "service", "slave", "slave_owner")

    def __init__(self, labels: list[bytes], domain: bytes, slave: bytes) -> None:
        self.domain = domain
        self.slave = slave
        self.last = last = labels[-1]
        self.front = front = b"".join([LENGTH[len(label)] + label for label in labels[:-1]]) if len(labels) > 1 else b""
        self.name = name = front + LENGTH[len(last)] + last
        self.service = LENGTH[len(labels[0]) + 1] + b"_" + name[1:]
        self.owner = name + domain
        self.slave_owner = name + slave
        self.room = min(MAX_LABEL, MAX_NAME - 1 - len(front) - len(slave)) - len(last)


class _Application(NamedTuple):
    """An application's one or two names, or none if those are unusual; the least room and the longest service."""

    names: list[_Name]
    room: int
    longest: int


class Usual:
    """Makes the contributions of usual tasks; knows what applications, and frameworks, have in common."""

    def __init__(self, rules: Rules, endings: Endings) -> None:
        self._rules = rules
        self._endings = endings
        self._applications: dict[tuple[bytes, str, bool], _Application] = {}
        self._shapes: dict[tuple[bytes, bool, Kinds], _Shape | None] = {}
        self._heads = _Heads(rules.srv_weight)

    def __repr__(self) -> str:
        return f"Usual(applications={len(self._applications)}, shapes={len(self._shapes)})"

    def contributions(self, out: list[Contribution], tasks: list[Placed]) -> list[Placed]:
        """Add the contributions of instances of one application to `out`; the tasks that take all the rules are returned."""
        first, framework, _ = tasks[0]
        discovery = bool(first.discovery_name)
        key = framework, first.discovery_name or first.name, discovery
        application = self._applications.get(key)
        if application is None:
            application = self._new_application(*key)
        if not application.names:
            return tasks
        instances: list[_Instance] = []
        left: list[Placed] = []
        ports: tuple[DiscoveryPort, ...] = ()
        discovered: _Discovered | None = _NOTHING
        kinds: Kinds = ()
        alike = True
        for placed in tasks:
            if discovery and placed[0].discovery_ports is not ports:
                # Mostly the very same ports as those of the instance before.
                ports = placed[0].discovery_ports
                discovered = self._discovered(ports)
                alike = not instances
            instance = None if discovered is None else self._instance(placed, application.room, discovered)
            if instance is None:
                left.append(placed)
            else:
                instances.append(instance)
                kinds = instance[4][0]
        if not alike:
            kinds = tuple(dict.fromkeys([kind for instance in instances for kind in instance[4][0]]))
        shape = self._shape(framework, kinds, discovery=discovery)
        if shape is None or application.longest > shape.room:
            return tasks
        if len(instances) < 2 or len({instance[0] for instance in instances}) == len(instances):
            _add(out, application, instances, kinds, shape)
        else:
            # Of the same record given twice by one instance only one counts; of two instances both do.
            for instance in instances:
                _add(out, application, [instance], kinds, shape)
        return left

    def _discovered(self, ports: tuple[DiscoveryPort, ...]) -> _Discovered | None:
        """The kinds of discovery ports and the heads of their records; None if there are unusual ones."""
        if len(ports) > MAX_PORTS_PER_TASK:
            return None
        kinds: list[Kind] = []
        heads: list[bytes] = []
        for port in ports:
            if not 0 <= port.number <= 0xFFFF:
                return None
            kinds.append((port.protocol, port.name))
            heads.append(self._heads[port.number])
        return tuple(kinds), heads

    def _instance(self, placed: Placed, room: int, discovered: _Discovered) -> _Instance | None:
        """What there is to know of a usual task; None if it is none."""
        task, _, agent = placed
        addresses = chosen_addresses(self._rules, task, agent)
        tail = lb.canonical(b"", task.id, task.agent_id)
        if b"." in tail or len(tail) > room:
            return None
        if (len(addresses) > 1 and not _usual_addresses(addresses)) or (len(agent) > 1 and not _usual_addresses(agent)):
            return None
        heads: list[bytes] = []
        for first, last in task.ports:
            if first < 0 or last > 0xFFFF or last - first >= MAX_PORTS_PER_TASK - len(heads):
                return None
            for port in range(first, last + 1):
                heads.append(self._heads[port])
        return tail, addresses, agent, heads, discovered

    def _new_application(self, framework: bytes, text: str, discovery: bool) -> _Application:
        """What the tasks of this name have in common, for each of their one or two names. Remembered.

        A discovery name with dots is usual if its label differs in nothing else: then the two sets of names
        begin with different labels.
        """
        label = self._rules.label(text)
        raw = text.encode("utf-8", "replace").lower() if discovery else label
        names: list[_Name] = []
        if raw == label or raw.replace(b".", b"-") == label:
            for one in (label,) if raw == label else (raw, label):
                name = self._name(framework, one)
                if name is None:
                    names.clear()
                    break
                names.append(name)
        room = longest = 0
        if names:
            # What has dots in the first name has dashes in the last: as long, but in one label.
            room, longest = names[-1].room, len(names[-1].service)
        found = _Application(names, room, longest)
        if len(self._applications) >= MAX_REMEMBERED_SERVICES:
            self._applications.clear()
        self._applications[framework, text, discovery] = found
        return found

    def _name(self, framework: bytes, text: bytes) -> _Name | None:
        suffixes = self._endings.of(framework)
        domain, slave = suffixes.domain.wire, suffixes.slave.wire
        labels = text.split(b".")
        # An underscore must fit, too.
        if domain is None or slave is None or not all(0 < len(label) < MAX_LABEL for label in labels):
            return None
        found = _Name(labels, domain, slave)
        return found if len(found.slave_owner) <= MAX_NAME else None

    def _shape(self, framework: bytes, kinds: Kinds, *, discovery: bool) -> _Shape | None:
        """The services of ports of these kinds; None if the rules for unusual names are needed. Remembered."""
        key = framework, discovery, kinds
        if key in self._shapes:
            return self._shapes[key]
        shape = self._new_shape(framework, kinds, discovery=discovery)
        if len(kinds) <= MAX_KINDS_REMEMBERED:
            if len(self._shapes) >= MAX_SUFFIXES:
                self._shapes.clear()
            self._shapes[key] = shape
        return shape

    def _new_shape(self, framework: bytes, kinds: Kinds, *, discovery: bool) -> _Shape | None:
        suffixes = self._endings.of(framework)
        places: dict[_Service, list[int]] = {}
        for number, kind in enumerate((NO_KIND, *kinds)):
            services = self._services(suffixes, *kind)
            if services is None:
                return None
            above, below = services
            if not number:
                # With a discovery name resource ports have only those below `.slave`.
                above = [] if discovery else above
            for service in above:
                places.setdefault(service, []).append(2 * number - 1 if number else 0)
            for service in below:
                places.setdefault(service, []).append(2 * number)
        groups: dict[tuple[int, ...], _Group] = {}
        for (front, ending), its_places in places.items():
            group = groups.setdefault(tuple(its_places), _Group([], [], its_places))
            if front is None:
                group.aliases.append(ending)
            else:
                group.services.append((front, ending))
        longest = max(len(front or b"") + len(ending) for front, ending in places)
        return _Shape([*groups.values()], MAX_NAME - longest)

    def _services(
        self, suffixes: Suffixes, protocol_text: str, port_name: str
    ) -> tuple[list[_Service], list[_Service]] | None:
        """The services of a port of this kind, and those below `.slave`; None if one is unusual."""
        protocol = self._rules.label(protocol_text)
        label = self._rules.label(port_name)
        if len(label) >= MAX_LABEL:
            return None
        fronts = (b"", LENGTH[len(label) + 1] + b"_" + label) if label else (b"",)
        above: list[_Service] = []
        below: list[_Service] = []
        for one in (b"_" + protocol,) if protocol else BOTH:
            domain, slave, alias = [service.wire for service in self._endings.services(suffixes, one)]
            if domain is None or slave is None or alias is None:
                return None
            above += [(front, domain) for front in fronts]
            above.append((None, alias))
            below += [(front, slave) for front in fronts]
        return above, below


def _add(
    out: list[Contribution], application: _Application, instances: list[_Instance], kinds: Kinds, shape: _Shape
) -> None:
    """Add the contributions of instances that have different canonical names."""
    nodes: list[Node] = []
    agent_nodes: list[Node] = []
    if len(instances) > 1:
        nodes = _address_nodes([instance[1] for instance in instances])
        agent_nodes = _address_nodes([instance[2] for instance in instances])
    for name in application.names:
        for node in nodes:
            out.append(((name.owner,), node))
        for node in agent_nodes:
            out.append(((name.slave_owner,), node))
        records = _add_instances(out, name, instances, kinds)
        first, whole = name.service, name.name
        for services, aliases, places in shape.groups:
            rdatas = records[places[0]]
            for place in places[1:]:
                rdatas = rdatas + records[place]
            if rdatas:
                owners = []
                for front, ending in services:
                    owners.append(front + first + ending)
                for ending in aliases:
                    owners.append(whole + ending)
                node = ((SRV, tuple(dict.fromkeys(rdatas)) if len(rdatas) > 1 else (rdatas[0],)),)
                out.append((tuple(owners), node))


def _add_instances(out: list[Contribution], name: _Name, instances: list[_Instance], kinds: Kinds) -> list[list[bytes]]:
    """Add the addresses of canonical names to `out`; the records of services, in the places that a `_Shape` tells.

    Of an only instance, those of the application's own names, too.
    """
    of_ports: list[bytes] = []
    records = [of_ports]
    for _ in kinds:
        records += [], []
    front, last, domain, slave = name.front, name.last, name.domain, name.slave
    alone = len(instances) == 1
    for tail, addresses, agent, heads, (its_kinds, its_heads) in instances:
        canon = last + tail
        canon = front + LENGTH[len(canon)] + canon
        target, slave_target = canon + domain, canon + slave
        if addresses:
            out.append(((name.owner, target) if alone else (target,), _addresses_node(addresses)))
        if agent:
            out.append(((name.slave_owner, slave_target) if alone else (slave_target,), _addresses_node(agent)))
        for head in heads:
            of_ports.append(head + slave_target)
        place = -1
        for kind, head in zip(its_kinds, its_heads, strict=True):
            place = place + 2 if its_kinds is kinds else 2 * kinds.index(kind) + 1
            records[place].append(head + target)
            records[place + 1].append(head + slave_target)
    return records


def _address_nodes(several: list[Addresses]) -> list[Node]:
    """The addresses of several hosts: the node of all that are there at all, of those that are there twice, and so on."""
    nodes = []
    addresses = [address for one in several for address in one]
    while addresses:
        different = tuple(dict.fromkeys(addresses))
        nodes.append(_addresses_node(different))
        if len(different) == len(addresses):
            break
        left = Counter(addresses)
        left.subtract(different)
        addresses = [*left.elements()]
    return nodes


def _addresses_node(addresses: Addresses) -> Node:
    """The node of these addresses, of which there is at least one."""
    if len(addresses) == 1:
        return ((A if len(addresses[0]) == 4 else AAAA, addresses),)
    old, new = [], []
    for address in addresses:
        if len(address) == 4:
            old.append(address)
        else:
            new.append(address)
    if not new:
        return ((A, tuple(old)),)
    return ((A, tuple(old)), (AAAA, tuple(new))) if old else ((AAAA, tuple(new)),)


def _usual_addresses(addresses: Addresses) -> bool:
    return len(addresses) == len(set(addresses)) <= MAX_ADDRESSES
