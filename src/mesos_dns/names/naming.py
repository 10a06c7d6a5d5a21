"""The records that one entity contributes, by the table of names. Pure: entity in, records out.

Each function returns the *contributions* of one task, framework, agent, master list or of this
server itself. The zone counts them, because two entities may contribute the same record.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from itertools import groupby
from typing import Final, NamedTuple

from mesos_dns.dns import rdata as rd
from mesos_dns.dns.rdata import AAAA, SRV, A, Record
from mesos_dns.limits import MAX_ADDRESSES, MAX_LABEL, MAX_NAME
from mesos_dns.mesos.state import DiscoveryPort, Endpoint, Task
from mesos_dns.names import labels as lb
from mesos_dns.names import skipped, table
from mesos_dns.names.bulk import BulkNaming
from mesos_dns.names.health import Cover, Profile, profile_of
from mesos_dns.names.remembered import InUse, forget_surplus, forget_surplus_calls
from mesos_dns.names.skipped import Skipped
from mesos_dns.names.suffixes import (
    BOTH,
    LENGTH,
    Addresses,
    Owners,
    Rules,
    Suffix,
    Suffixes,
    SuffixTable,
    front_of,
)
from mesos_dns.names.table import Data, Pattern, Rule
from mesos_dns.names.tasks import MAX_PORTS_PER_TASK, Reach, TaskPlacement, framework_problem, reach, task_names
from mesos_dns.quoting import quoted
from mesos_dns.zone.contributors import Contribution, contributions

#: Services whose owners are remembered while tasks are named; beyond, all are forgotten at once.
_MAX_REMEMBERED: Final = 10_000


class _Group(NamedTuple):
    """Rules that follow each other in the table and give their owners the same data."""

    data: Data
    target: Pattern | None
    rules: tuple[Rule, ...]
    #: Those of them that hold always.
    always: tuple[Rule, ...]
    at_agent: bool


@cache  # of the whole table, and of the few parts of it that fit one owner
def _groups(rules: tuple[Rule, ...]) -> tuple[_Group, ...]:
    groups = []
    for (data, target), some in groupby(rules, key=lambda rule: (rule.data, rule.target)):
        alike = tuple(some)
        groups.append(
            _Group(data, target, alike, tuple(rule for rule in alike if rule.when == "always"), alike[0].at_agent)
        )
    return tuple(groups)


@cache  # as above
def _of_one(rules: tuple[Rule, ...]) -> tuple[Rule, ...]:
    """Those whose owners one task has alone."""
    return tuple(rule for rule in rules if rule.owner.front == "CANON")


@cache
def _of_several(rules: tuple[Rule, ...]) -> tuple[Rule, ...]:
    """Those whose owners all instances have."""
    return tuple(rule for rule in rules if rule.owner.front != "CANON")


class _Named(NamedTuple):
    """A task under one of its names, its ports, and where the reasons go for what it cannot have."""

    task: Task
    name: bytes
    canon: bytes
    ports: list[int]
    reach: Reach
    suffixes: Suffixes
    reasons: set[str]


class Naming:
    """Turns entities into records under `rules`; `skipped` knows what has no usable name at present.

    Only what `contributions` and `framework` are told to count is counted there.
    """

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.skipped = Skipped()
        self._remembered: dict[tuple[object, ...], Owners] = {}
        self._shared: dict[tuple[bytes, Profile], frozenset[bytes]] = {}
        self._suffixes = SuffixTable(rules)
        self._bulk = BulkNaming(rules, self._suffixes)
        self._apex = Suffix((), rules.domain, rules.domain)
        #: The owners that all agents share.
        self.agent_owners = frozenset(owner for owner, _, _ in self.agent((b"\0\0\0\0",), 0))

    def __repr__(self) -> str:
        return f"Naming(domain={self.rules.domain!r}, skipped={self.skipped.counts})"

    def framework_fragment(self, name: str) -> bytes:
        """The dotted labels of a framework's name; may be empty."""
        return lb.domain_fragment(name, self.rules.label)

    # --- entities ------------------------------------------------------------------------------

    def framework(
        self, name: str, addresses: Addresses, port: int | None, *, counted: int = 0, framework_id: str = ""
    ) -> list[Record]:
        """The scheduler's own names; no service without a port (it has no PID), nothing without an address.

        `counted` is 1 if the records are contributed, -1 if they are withdrawn.
        """
        reasons: set[str] = set()
        fragment = self.framework_fragment(name)
        out: list[Record] = []
        problem = framework_problem(fragment)
        if problem is None and table.is_of_cluster(fragment):
            problem = skipped.RESERVED_NAME
        if problem is not None:
            reasons.add(problem)
        elif addresses:
            self._own(out, table.FRAMEWORK_RULES, fragment, addresses, port, reasons)
        self._count(reasons, counted, f"framework {quoted(framework_id)} called {quoted(name)}")
        return out

    def agent(self, addresses: Addresses, port: int) -> list[Record]:
        """The names that all agents share."""
        out: list[Record] = []
        if addresses:
            self._own(out, table.AGENT_RULES, b"", addresses, port, set())
        return out

    def masters(
        self, masters: Sequence[tuple[Endpoint, Addresses]], leader: tuple[Endpoint, Addresses]
    ) -> list[Record]:
        """The names of the leader, of all masters, and of each by its number; each record once."""
        return list(dict.fromkeys(record for _, records in self.each_master(masters, leader) for record in records))

    def each_master(
        self, masters: Sequence[tuple[Endpoint, Addresses]], leader: tuple[Endpoint, Addresses]
    ) -> Iterator[tuple[Endpoint, list[Record]]]:
        """The records of the leader as such, and of each master.

        The number of a master is its place among the given ones, repeated ones counted once; a leader that
        is not among them gets the next number.
        """
        out: list[Record] = []
        self._own(out, table.LEADER_RULES, b"", leader[1], leader[0].port, set())
        yield leader[0], out
        for n, (endpoint, addresses) in enumerate(dict([*masters, leader]).items()):
            out = []
            self._own(out, table.MASTER_RULES, b"", addresses, endpoint.port, set(), number=n)
            yield endpoint, out

    def self_records(self, addresses: Iterable[bytes]) -> list[Record]:
        """The address records of this name server's own name (`SOAMname`)."""
        out: list[Record] = []
        _add_addresses(out, [self.rules.self_name], tuple(addresses))
        return out

    def task(
        self,
        task: Task,
        framework: bytes,
        agent: Addresses,
        *,
        reasons: set[str] | None = None,
        rules: tuple[Rule, ...] = table.TASK_RULES,
    ) -> list[Record]:
        """Everything that one running task contributes, without repetitions, in Go's order; or what some of the `rules` give it.

        `framework` is `framework_fragment` of its framework's name, `agent` its agent's addresses.
        With a discovery name the task's own name is not used. Why something was left out is added to `reasons`.
        """
        return self._task(
            task, framework, agent, reach(self.rules, task, agent), rules, set() if reasons is None else reasons
        )

    def unhealthy_task(
        self,
        task: Task,
        framework: bytes,
        agent: Addresses,
        cover: Cover,
        *,
        reasons: set[str] | None = None,
        rules: tuple[Rule, ...] = table.TASK_RULES,
    ) -> list[Record]:
        """The same of a task that gives way to those of its instances that `cover` stands for: nothing at names that they have."""
        reached = reach(self.rules, task, agent)
        reasons = set() if reasons is None else reasons
        out = self._task(task, framework, agent, reached, _of_one(rules), reasons)
        if profile_of(self.rules, (task, framework, agent)) not in cover:
            taken = set().union(*(self._shared_owners(framework, profile) for profile in cover))
            shared = self._task(task, framework, agent, reached, _of_several(rules), reasons)
            out += [record for record in shared if record[0] not in taken]
        return list(dict.fromkeys(out))

    def _shared_owners(self, framework: bytes, profile: Profile) -> frozenset[bytes]:
        """The names that tasks of this profile share with other instances."""
        key = framework, profile
        found = self._shared.get(key)
        if found is None:
            if len(self._shared) >= _MAX_REMEMBERED:
                self._shared.clear()
            some: Addresses = (b"\0\0\0\0",)
            discovery = profile.text if profile.discovery else ""
            own, at_agent = (
                tuple([DiscoveryPort(1, name, protocol) for protocol, name in kinds])
                for kinds in (profile.own_ports, profile.agent_ports)
            )
            task = Task("", profile.text, "", "", ((1, 1),) if profile.host_ports else (), discovery, own)
            reached = Reach(some if profile.addresses else (), own, at_agent)
            agent = some if profile.agent else ()
            records = self._task(task, framework, agent, reached, _of_several(table.TASK_RULES), set())
            found = self._shared[key] = frozenset([owner for owner, _, _ in records])
        return found

    def _task(
        self,
        task: Task,
        framework: bytes,
        agent: Addresses,
        reached: Reach,
        rules: tuple[Rule, ...],
        reasons: set[str],
    ) -> list[Record]:
        text, discovery = task.discovery_name or task.name, bool(task.discovery_name)
        found = task_names(self.rules, framework, text, reasons, discovery=discovery)
        if not found:
            return []
        out: list[Record] = []
        ports = _expanded(task.ports, reasons)
        suffixes = self._suffixes.of(framework)
        for name in found:
            named = _Named(task, name, lb.canonical(name, task.id, task.agent_id), ports, reached, suffixes, reasons)
            for group in _groups(rules):
                if group.data == "addresses":
                    _add_addresses(out, self._owners(named, group.rules), reached.addresses)
                elif group.data == "agent addresses":
                    _add_addresses(out, self._owners(named, group.rules), agent)
                elif group.data == "host ports":
                    self._host_ports(out, named, group)
                elif discovery:
                    self._discovery_ports(out, named, group)
        return list(dict.fromkeys(out))

    def contributions(self, tasks: Iterable[TaskPlacement], *, counted: int = 0) -> list[Contribution]:
        """The records of all these tasks, each once for each of them, grouped by what they say.

        `counted` is 1 if they are contributed, -1 if they are withdrawn: so `skipped` says what is left out at present.
        """
        # Nearly every task is a usual one, and has much in common with the other instances of its application.
        together: dict[tuple[bytes, str, bool], list[TaskPlacement]] = {}
        for placement in tasks:
            task, framework, _ = placement
            key = framework, task.discovery_name or task.name, bool(task.discovery_name)
            together.setdefault(key, []).append(placement)
        out: list[Contribution] = []
        for instances in together.values():
            for placement in self._bulk.contributions(out, instances):
                reasons: set[str] = set()
                out += contributions(self.task(*placement, reasons=reasons))
                self._count_task(placement[0], reasons, counted)
        return out

    def unhealthy_contributions(
        self, placement: TaskPlacement, cover: Cover, *, counted: int = 0
    ) -> list[Contribution]:
        """As `contributions`, of a task that gives way to the healthy ones that `cover` stands for."""
        reasons: set[str] = set()
        records = self.unhealthy_task(*placement, cover, reasons=reasons)
        self._count_task(placement[0], reasons, counted)
        return contributions(records)

    def forget_surplus(self, in_use: InUse) -> None:
        """Forget what is remembered of entities that are gone, if it is much: so churn does not fill the memory of a small cluster."""
        forget_surplus(self._remembered, in_use.tasks)
        forget_surplus(self._shared, in_use.tasks)
        forget_surplus_calls(self.rules.label, in_use.tasks + in_use.frameworks)
        forget_surplus_calls(lb.agent_tail, in_use.agents)
        self._suffixes.forget_surplus(in_use)
        self._bulk.forget_surplus(in_use)

    # --- parts ---------------------------------------------------------------------------------

    def _count_task(self, task: Task, reasons: set[str], by: int) -> None:
        if reasons:
            self._count(reasons, by, f"task {quoted(task.id)} of framework {quoted(task.framework_id)}")

    def _count(self, reasons: set[str], by: int, example: str) -> None:
        for reason in reasons:
            if by > 0:
                self.skipped.add(reason, example)
            elif by < 0:
                self.skipped.remove(reason, example)

    def _own(
        self,
        out: list[Record],
        rules: tuple[Rule, ...],
        framework: bytes,
        addresses: Addresses,
        port: int | None,
        reasons: set[str],
        *,
        number: int = 0,
    ) -> None:
        """The records of an entity that has no more than its addresses and one port."""

        def owner(pattern: Pattern) -> bytes | None:
            words = [
                framework if label == "FW" else label.replace("N", str(number)).encode()
                for label in pattern.place.labels
            ]
            found = self._owner(b".".join(words), self._apex, reasons)
            if framework and found == self.rules.self_name:
                reasons.add(skipped.RESERVED_NAME)
                return None
            return found

        for group in _groups(rules):
            owners = [owner(rule.owner) for rule in group.rules]
            if group.target is None:
                _add_addresses(out, owners, addresses)
            elif port is not None:
                self._add_services(out, owners, owner(group.target), [port], reasons)

    def _host_ports(self, out: list[Record], named: _Named, group: _Group) -> None:
        if named.ports:
            rules = group.always if named.task.discovery_name else group.rules
            owners = self._owners_of_port(named, rules, DiscoveryPort(0))
            self._add_services(out, owners, self._target(named, group), named.ports, named.reasons)

    def _discovery_ports(self, out: list[Record], named: _Named, group: _Group) -> None:
        rules = group.always if named.ports else group.rules
        target = self._target(named, group)
        ports = named.reach.agent_ports if group.at_agent else named.reach.own_ports
        for port in ports[:MAX_PORTS_PER_TASK]:
            owners = self._owners_of_port(named, rules, port)
            self._add_services(out, owners, target, [port.number], named.reasons)
        if len(named.task.discovery_ports) > MAX_PORTS_PER_TASK:
            named.reasons.add(skipped.TOO_MANY_PORTS)

    # --- owners --------------------------------------------------------------------------------

    def _target(self, named: _Named, group: _Group) -> bytes | None:
        if group.target is None:
            return None
        suffix = named.suffixes.at(group.target.place)
        return self._task_owner(named.suffixes, named.canon, suffix, named.reasons)

    def _owners(self, named: _Named, rules: Iterable[Rule]) -> list[bytes | None]:
        """The owners of address records."""
        suffixes = named.suffixes
        owners = []
        for rule in rules:
            text = named.canon if rule.owner.front == "CANON" else named.name
            owners.append(self._task_owner(suffixes, text, suffixes.at(rule.owner.place), named.reasons))
        return owners

    def _owners_of_port(self, named: _Named, rules: tuple[Rule, ...], port: DiscoveryPort) -> Owners:
        """The owners of a port's SRV records. The instances of an application share them, and mostly come together."""
        # `_groups` keeps the rules for good: their identity is enough, and hashed at once.
        key = named.suffixes.framework, named.name, id(rules), port.protocol, port.name
        found = self._remembered.get(key)
        if found is not None:
            return found
        reasons: set[str] = set()
        protocol = self.rules.label(port.protocol)
        protocols = (b"_" + protocol,) if protocol else BOTH
        owners: dict[bytes, None] = {}
        for rule in rules:
            front = named.name
            if rule.owner.front == "_NAME":
                front = b"_" + named.name
            elif rule.owner.front == "_PORT._NAME":
                label = self.rules.label(port.name)
                if not label:
                    continue
                front = b"_%b._%b" % (label, named.name)
            for one in protocols:
                owner = self._task_owner(named.suffixes, front, named.suffixes.at(rule.owner.place, one), reasons)
                if owner is not None:
                    owners[owner] = None
        if reasons:
            named.reasons.update(reasons)
            return tuple(owners)
        if len(self._remembered) >= _MAX_REMEMBERED:
            self._remembered.clear()
        self._remembered[key] = tuple(owners)
        return self._remembered[key]

    def _task_owner(self, suffixes: Suffixes, text: bytes, suffix: Suffix, reasons: set[str]) -> bytes | None:
        """As `_owner`, but no name that belongs to this server, or to the scheduler."""
        owner = self._owner(text, suffix, reasons)
        if owner in suffixes.reserved:
            reasons.add(skipped.RESERVED_NAME)
            return None
        return owner

    def _owner(self, text: bytes, suffix: Suffix, reasons: set[str]) -> bytes | None:
        """Wire form of dotted `text` before `suffix`; None, and the reason noted, if such a name cannot be."""
        if suffix.wire is not None:
            # Canonical names are unique: remembering those would only push others out.
            simple = 0 < len(text) <= MAX_LABEL and b"." not in text
            front = LENGTH[len(text)] + text if simple else front_of(text)
            if front is not None and len(front) + len(suffix.wire) <= MAX_NAME:
                return front + suffix.wire
        slow = lb.owner((*text.split(b"."), *suffix.labels), suffix.base)
        if slow is None:
            reasons.add(skipped.NAME_TOO_LONG)
        return slow

    # --- records -------------------------------------------------------------------------------

    def _add_services(
        self,
        out: list[Record],
        owners: Iterable[bytes | None],
        target: bytes | None,
        ports: Iterable[int],
        reasons: set[str],
    ) -> None:
        if target is None:
            return
        for port in ports:
            if 0 <= port <= 0xFFFF:
                rdata = rd.srv(self.rules.srv_weight, port, target)
                out += [(owner, SRV, rdata) for owner in owners if owner is not None]
            else:
                reasons.add(skipped.PORT_OUT_OF_RANGE)


def _expanded(ranges: Iterable[tuple[int, int]], reasons: set[str]) -> list[int]:
    """The ports of inclusive ranges."""
    ports: list[int] = []
    for first, last in ranges:
        room = MAX_PORTS_PER_TASK - len(ports)
        ports.extend(range(first, min(last + 1, first + room)))
        if last - first >= room:
            reasons.add(skipped.TOO_MANY_PORTS)
            break
    return ports


def _add_addresses(out: list[Record], owners: Iterable[bytes | None], addresses: Addresses) -> None:
    for address in addresses if len(addresses) <= MAX_ADDRESSES else addresses[:MAX_ADDRESSES]:
        rrtype = A if len(address) == 4 else AAAA
        out += [(owner, rrtype, address) for owner in owners if owner is not None]
