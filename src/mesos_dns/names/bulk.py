"""The records of usual tasks by the table of names, the short way. Pure.

Nearly every task has a name that is one plain label, ports in range and a few addresses. For those it is
known beforehand which records are alike, what the names of one application's instances have in
common, and that everything fits. `Naming.task` is the plain way, and the way for all others.

Two fifths of a start are spent here, and no line takes more than a twentieth of that. What helped: all instances
of an application at once; the form of services made once for a framework (`_Shape`); loops instead of
comprehensions, which before Python 3.12 are calls. What did not: larger pages for the heap.
"""

from functools import lru_cache
from typing import Final, NamedTuple

from mesos_dns.dns import rdata as rd
from mesos_dns.dns.rdata import SRV
from mesos_dns.limits import MAX_LABEL, MAX_NAME
from mesos_dns.mesos.state import DiscoveryPort
from mesos_dns.names import labels as lb
from mesos_dns.names.addresses import AgentRRsets, address_rrsets, rrsets_of_addresses, usual_addresses
from mesos_dns.names.remembered import InUse, forget_surplus
from mesos_dns.names.suffixes import BOTH, LENGTH, MAX_SUFFIXES, Addresses, Rules, SuffixTable
from mesos_dns.names.table import SCHEDULER_LABELS, TASK_RULES, Place
from mesos_dns.names.tasks import MAX_PORTS_PER_TASK, TaskPlacement, reach, task_names
from mesos_dns.zone.contributors import Contribution
from mesos_dns.zone.rrsets import RRsets

#: Applications whose names are remembered while states are taken; beyond, all are forgotten at once.
_MAX_APPLICATIONS: Final = 10_000
#: Kinds of discovery ports that an application may have to have its services' form remembered.
_MAX_KINDS_REMEMBERED: Final = 8

#: Protocol and name of a discovery port.
Kind = tuple[str, str]
Kinds = tuple[Kind, ...]
#: That of host ports.
NO_KIND: Final[Kind] = "", ""

# --- the table, as this way needs it -------------------------------------------------------------


def _places(front: str, data: str) -> tuple[Place, ...]:
    return tuple(rule.owner.place for rule in TASK_RULES if (rule.owner.front, rule.data) == (front, data))


#: Where the address records of the name and of the canonical name stand.
_TASK_PLACES: Final = _places("NAME", "addresses")
_AGENT_PLACES: Final = _places("NAME", "agent addresses")
_CANON_TASK_PLACES: Final = _places("CANON", "addresses")
_CANON_AGENT_PLACES: Final = _places("CANON", "agent addresses")
_CANON_PLACES: Final = _CANON_TASK_PLACES + _CANON_AGENT_PLACES


class _Column(NamedTuple):
    """SRV records that differ from those of other columns: by the target's place, or because host ports exclude them."""

    target: int
    unless_host_ports: bool


class _ServiceRule(NamedTuple):
    """An SRV rule of the table: its owners have the records of one column."""

    front: str
    place: Place
    with_discovery_name: bool
    column: int


def _service_rules(data: str) -> tuple[tuple[_Column, ...], tuple[_ServiceRule, ...]]:
    columns: dict[_Column, int] = {}
    rules = []
    for rule in TASK_RULES:
        if rule.data == data and rule.target is not None:
            column = _Column(_CANON_PLACES.index(rule.target.place), rule.when == "no host ports")
            number = columns.setdefault(column, len(columns))
            rules.append(_ServiceRule(*rule.owner, rule.when != "no discovery name", number))
    return tuple(columns), tuple(rules)


#: The columns of host ports come first, then each of discovery ports once for each kind of port.
_HOST_COLUMNS, _HOST_RULES = _service_rules("host ports")
_DISCOVERY_COLUMNS, _DISCOVERY_RULES = _service_rules("discovery ports")
_OF_TASK: Final = len(_CANON_TASK_PLACES)

#: Where a record of a discovery port goes: number of the list, place of the target, number of the port.
_Cell = tuple[int, int, int]


@lru_cache(maxsize=4 * MAX_PORTS_PER_TASK)
def _cells(kinds: int, *, host_ports: bool, at_agent: bool) -> list[_Cell]:
    """The cells of so many ports of different kinds; of a task that has host ports or not, and the ports at its agent or not."""
    return [
        (len(_HOST_COLUMNS) + number * kinds + kind, column.target, kind)
        for number, column in enumerate(_DISCOVERY_COLUMNS)
        if not (host_ports and column.unless_host_ports) and (at_agent or column.target < _OF_TASK)
        for kind in range(kinds)
    ]


# --- what is known of tasks ----------------------------------------------------------------------

#: What stands in front of `_NAME` and behind it; with None in front it is an alias, and stands behind `NAME`.
_Service = tuple[bytes | None, bytes]

#: The kinds of a task's discovery ports, and what the SRV records of those begin with.
_Discovered = tuple[Kinds, list[bytes]]
_NOTHING: Final[_Discovered] = (), []
#: A usual task: what its canonical label ends in, its addresses and their rrsets, the same of its agent, what the SRV records
#: of its host ports begin with, its discovery ports, and whether it has those at its agent, too.
_Instance = tuple[bytes, Addresses, RRsets, Addresses, RRsets, list[bytes], _Discovered, bool]


class _SrvPrefixes(dict[int, bytes]):
    """What SRV records of a port begin with; made when first looked up."""

    def __init__(self, weight: int) -> None:
        self._weight = weight

    def __missing__(self, port: int) -> bytes:
        prefix = self[port] = rd.srv(self._weight, port, b"")
        return prefix


class _Group(NamedTuple):
    """Services that have the same records, those in these columns; `aliases` are their suffixes."""

    services: list[tuple[bytes, bytes]]
    aliases: list[bytes]
    columns: list[int]


class _Shape(NamedTuple):
    """The services of all applications of one framework that have ports of the same kinds.

    `_NAME` and `NAME` may have `room` octets.
    """

    groups: list[_Group]
    room: int


class _AddressSuffixes(NamedTuple):
    """The suffixes of all owners of address records of one framework's tasks, and the length of the longest."""

    of_task: tuple[bytes, ...]
    of_agent: tuple[bytes, ...]
    of_canon: tuple[bytes, ...]
    longest: int


class _Name:
    """What the instances of one application have in common, if their names need no rule for unusual ones.

    `owners` have the tasks' addresses, `agent_owners` the agents'; services are those of `_NAME`, here `service`. Canonical
    names are `front`, a label that begins with `last`, followed by up to `room` octets, and one of `suffixes`.
    """

    __slots__ = ("agent_owners", "front", "last", "name", "owners", "room", "service", "suffixes")

    def __init__(self, labels: list[bytes], suffixes: _AddressSuffixes) -> None:
        self.last = last = labels[-1]
        self.front = front = b"".join([LENGTH[len(label)] + label for label in labels[:-1]]) if len(labels) > 1 else b""
        self.name = name = front + LENGTH[len(last)] + last
        self.service = LENGTH[len(labels[0]) + 1] + b"_" + name[1:]
        self.owners = tuple(map(name.__add__, suffixes.of_task))
        self.agent_owners = tuple(map(name.__add__, suffixes.of_agent))
        self.suffixes = suffixes.of_canon
        self.room = min(MAX_LABEL, MAX_NAME - 1 - len(front) - suffixes.longest) - len(last)


class _Application(NamedTuple):
    """An application's one or two names, or none if those are unusual; the least room and the longest service."""

    names: list[_Name]
    room: int
    longest: int


class BulkNaming:
    """Makes the contributions of usual tasks; knows what applications, and frameworks, have in common."""

    def __init__(self, rules: Rules, suffixes: SuffixTable) -> None:
        self._rules = rules
        self._suffixes = suffixes
        self._applications: dict[tuple[bytes, str, bool], _Application] = {}
        self._addresses: dict[bytes, _AddressSuffixes] = {}
        self._shapes: dict[tuple[bytes, bool, Kinds], _Shape | None] = {}
        self._prefixes = _SrvPrefixes(rules.srv_weight)
        self._agent_nodes = AgentRRsets()

    def __repr__(self) -> str:
        return f"BulkNaming(applications={len(self._applications)}, shapes={len(self._shapes)})"

    def forget_surplus(self, in_use: InUse) -> None:
        """Forget what is remembered of those that are gone, if it is much."""
        forget_surplus(self._applications, in_use.tasks)
        forget_surplus(self._shapes, in_use.tasks)
        forget_surplus(self._prefixes, in_use.tasks)
        forget_surplus(self._addresses, in_use.frameworks)
        forget_surplus(self._agent_nodes, in_use.agents)

    def contributions(self, out: list[Contribution], tasks: list[TaskPlacement]) -> list[TaskPlacement]:
        """Add the contributions of instances of one application to `out`; the tasks that take the plain way are returned."""
        first, framework, _ = tasks[0]
        discovery = bool(first.discovery_name)
        key = framework, first.discovery_name or first.name, discovery
        application = self._applications.get(key)
        if application is None:
            application = self._new_application(*key)
        if not application.names:
            return tasks
        instances: list[_Instance] = []
        left: list[TaskPlacement] = []
        ports: tuple[DiscoveryPort, ...] = ()
        discovered: _Discovered | None = _NOTHING
        kinds: Kinds = ()
        alike = True
        for placement in tasks:
            if discovery and placement[0].discovery_ports is not ports:
                # Mostly the very same ports as those of the instance before.
                ports = placement[0].discovery_ports
                discovered = self._discovered(ports)
                alike = not instances
            instance = None if discovered is None else self._instance(placement, application.room, discovered)
            if instance is None:
                left.append(placement)
            else:
                instances.append(instance)
                kinds = instance[6][0]
        if not alike:
            kinds = tuple(dict.fromkeys([kind for instance in instances for kind in instance[6][0]]))
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
        """The kinds of discovery ports and the beginnings of their records; None if there are unusual ones."""
        if len(ports) > MAX_PORTS_PER_TASK:
            return None
        kinds: list[Kind] = []
        prefixes: list[bytes] = []
        for port in ports:
            if not 0 <= port.number <= 0xFFFF:
                return None
            kinds.append((port.protocol, port.name))
            prefixes.append(self._prefixes[port.number])
        return tuple(kinds), prefixes

    def _instance(self, placement: TaskPlacement, room: int, discovered: _Discovered) -> _Instance | None:
        """What there is to know of a usual task; None if it is none."""
        task, _, agent = placement
        addresses, own_ports, agent_ports = reach(self._rules, task, agent)
        if own_ports is not task.discovery_ports or (agent_ports and agent_ports is not own_ports):
            return None  # They have different numbers.
        tail = lb.canonical_tail(task.id, task.agent_id)
        if len(tail) > room:
            return None
        if (len(addresses) > 1 and not usual_addresses(addresses)) or (len(agent) > 1 and not usual_addresses(agent)):
            return None
        prefixes: list[bytes] = []
        for first, last in task.ports:
            if first < 0 or last > 0xFFFF or last - first >= MAX_PORTS_PER_TASK - len(prefixes):
                return None
            for port in range(first, last + 1):
                prefixes.append(self._prefixes[port])
        agent_node = self._agent_nodes[agent]
        rrsets = agent_node if addresses is agent else rrsets_of_addresses(addresses)
        return tail, addresses, rrsets, agent, agent_node, prefixes, discovered, agent_ports is own_ports

    def _new_application(self, framework: bytes, text: str, discovery: bool) -> _Application:
        """What the tasks of this name have in common, for each of their one or two names. Remembered.

        A discovery name with dots is usual if its label differs in nothing else: then the two sets of names
        begin with different labels.
        """
        reasons: set[str] = set()
        texts = task_names(self._rules, framework, text, reasons, discovery=discovery)
        names: list[_Name] = []
        if not reasons and (len(texts) == 1 or texts[0].replace(b".", b"-") == texts[1]):
            for one in texts:
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
        if len(self._applications) >= _MAX_APPLICATIONS:
            self._applications.clear()
        self._applications[framework, text, discovery] = found
        return found

    def _name(self, framework: bytes, text: bytes) -> _Name | None:
        labels = text.split(b".")
        # An underscore must fit, too.
        if len(text) >= MAX_LABEL and max(map(len, labels)) >= MAX_LABEL:
            return None
        # No owner may be one that is reserved.
        if labels[-1] in SCHEDULER_LABELS or labels[-1] in self._rules.self_name:
            return None
        suffixes = self._addresses.get(framework)
        if suffixes is None:
            suffixes = self._new_addresses(framework)
            if suffixes is None:
                return None
        found = _Name(labels, suffixes)
        return found if found.room >= 0 else None

    def _new_addresses(self, framework: bytes) -> _AddressSuffixes | None:
        """The suffixes for the addresses of this framework's tasks; None if they need the rule for long names. Remembered."""
        wires: dict[Place, bytes] = {}
        for place in (*_TASK_PLACES, *_AGENT_PLACES, *_CANON_PLACES):
            wire = self._suffixes.of(framework).at(place).wire
            if wire is None:
                return None
            wires[place] = wire
        if len(self._addresses) >= MAX_SUFFIXES:
            self._addresses.clear()
        found = self._addresses[framework] = _AddressSuffixes(
            tuple([wires[place] for place in _TASK_PLACES]),
            tuple([wires[place] for place in _AGENT_PLACES]),
            tuple([wires[place] for place in _CANON_PLACES]),
            max(map(len, wires.values())),
        )
        return found

    def _shape(self, framework: bytes, kinds: Kinds, *, discovery: bool) -> _Shape | None:
        """The services of ports of these kinds; None if the plain way is needed. Remembered."""
        key = framework, discovery, kinds
        if key in self._shapes:
            return self._shapes[key]
        shape = self._new_shape(framework, kinds, discovery=discovery)
        if len(kinds) <= _MAX_KINDS_REMEMBERED:
            if len(self._shapes) >= MAX_SUFFIXES:
                self._shapes.clear()
            self._shapes[key] = shape
        return shape

    def _new_shape(self, framework: bytes, kinds: Kinds, *, discovery: bool) -> _Shape | None:
        columns: dict[_Service, list[int]] = {}
        for number, kind in enumerate((NO_KIND, *kinds), start=-1):
            services = self._services(framework, kind, _HOST_RULES if number < 0 else _DISCOVERY_RULES)
            if services is None:
                return None
            for rule, service in services:
                if number < 0:
                    if rule.with_discovery_name or not discovery:
                        columns.setdefault(service, []).append(rule.column)
                else:
                    at = len(_HOST_COLUMNS) + rule.column * len(kinds) + number
                    columns.setdefault(service, []).append(at)
        groups: dict[tuple[int, ...], _Group] = {}
        for (front, suffix), its_columns in columns.items():
            group = groups.setdefault(tuple(its_columns), _Group([], [], its_columns))
            if front is None:
                group.aliases.append(suffix)
            else:
                group.services.append((front, suffix))
        longest = max([len(front or b"") + len(suffix) for front, suffix in columns])
        return _Shape([*groups.values()], MAX_NAME - longest)

    def _services(
        self, framework: bytes, kind: Kind, rules: tuple[_ServiceRule, ...]
    ) -> list[tuple[_ServiceRule, _Service]] | None:
        """The services that a port of this kind has by these rules; None if one is unusual."""
        protocol, port_name = [self._rules.label(text) for text in kind]
        if len(port_name) >= MAX_LABEL:
            return None
        protocols = (b"_" + protocol,) if protocol else BOTH
        suffixes = self._suffixes.of(framework)
        services: list[tuple[_ServiceRule, _Service]] = []
        for rule in rules:
            front: bytes | None = b""
            if rule.front == "_PORT._NAME":
                if not port_name:
                    continue
                front = LENGTH[len(port_name) + 1] + b"_" + port_name
            elif rule.front == "NAME":
                front = None
            for one in protocols:
                suffix = suffixes.at(rule.place, one).wire
                if suffix is None:
                    return None
                services.append((rule, (front, suffix)))
        return services


def _add(
    out: list[Contribution], application: _Application, instances: list[_Instance], kinds: Kinds, shape: _Shape
) -> None:
    """Add the contributions of instances that have different canonical names."""
    all_rrsets: list[RRsets] = []
    agent_nodes: list[RRsets] = []
    if len(instances) > 1:
        all_rrsets = address_rrsets([instance[1] for instance in instances])
        agent_nodes = address_rrsets([instance[3] for instance in instances])
    for name in application.names:
        for rrsets in all_rrsets:
            out.append((name.owners, rrsets))
        for rrsets in agent_nodes:
            out.append((name.agent_owners, rrsets))
        records = _add_instances(out, name, instances, kinds)
        first, whole = name.service, name.name
        for services, aliases, columns in shape.groups:
            rdataset = records[columns[0]]
            for column in columns[1:]:
                rdataset = rdataset + records[column]
            if rdataset:
                owners = []
                for front, suffix in services:
                    owners.append(front + first + suffix)
                for suffix in aliases:
                    owners.append(whole + suffix)
                rrsets = ((SRV, tuple(dict.fromkeys(rdataset)) if len(rdataset) > 1 else (rdataset[0],)),)
                out.append((tuple(owners), rrsets))


def _add_instances(out: list[Contribution], name: _Name, instances: list[_Instance], kinds: Kinds) -> list[list[bytes]]:
    """Add the addresses of canonical names to `out`; the SRV records of services, column by column.

    Of an only instance, those of the application's own names, too.
    """
    records: list[list[bytes]] = [[] for _ in range(len(_HOST_COLUMNS) + len(kinds) * len(_DISCOVERY_COLUMNS))]
    front, last, suffixes = name.front, name.last, name.suffixes
    alone = len(instances) == 1
    for tail, _, rrsets, _, agent_node, prefixes, (its_kinds, its_prefixes), at_agent in instances:
        canon = last + tail
        canons = tuple(map((front + LENGTH[len(canon)] + canon).__add__, suffixes))
        if rrsets:
            owners = canons[:_OF_TASK]
            out.append((name.owners + owners if alone else owners, rrsets))
        if agent_node:
            owners = canons[_OF_TASK:]
            out.append((name.agent_owners + owners if alone else owners, agent_node))
        if prefixes:
            for number, column in enumerate(_HOST_COLUMNS):
                target = canons[column.target]
                for prefix in prefixes:
                    records[number].append(prefix + target)
        its_cells = _cells(len(kinds), host_ports=bool(prefixes), at_agent=at_agent)
        if its_kinds is not kinds:
            its_cells = _aligned(its_cells, its_kinds, kinds)
        for at, place, port in its_cells:
            records[at].append(its_prefixes[port] + canons[place])
    return records


def _aligned(cells: list[_Cell], its_kinds: Kinds, kinds: Kinds) -> list[_Cell]:
    """The cells of a task that has not all of the kinds, or has them in another order, or some of them twice."""
    return [
        (at, place, port) for at, place, number in cells for port, kind in enumerate(its_kinds) if kind == kinds[number]
    ]
