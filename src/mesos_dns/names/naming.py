"""The records that one entity contributes. Pure: entity in, records out.

Each function returns the *contributions* of one task, framework, agent, master list or of this
server itself. The zone counts them, because two entities may contribute the same record.
`D` below is the domain, `fw` the framework's name fragment, `canon` the canonical task label.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

from mesos_dns.dns import rdata as rd
from mesos_dns.dns.rdata import AAAA, SRV, A, Record
from mesos_dns.limits import (
    MAX_ADDRESSES,
    MAX_LABEL,
    MAX_NAME,
    MAX_PORTS_PER_TASK,
    MAX_REMEMBERED_SERVICES,
)
from mesos_dns.mesos.state import DiscoveryPort, Endpoint, Task
from mesos_dns.names import labels as lb
from mesos_dns.names.bulk import Placed, Usual
from mesos_dns.names.suffixes import (
    BOTH,
    LENGTH,
    Addresses,
    Endings,
    Owners,
    Rules,
    Suffix,
    Suffixes,
    chosen_addresses,
    front_of,
)
from mesos_dns.zone.contributors import Contribution, contributions


class Naming:
    """Turns entities into records under `rules`; counts in `skipped` what had no usable name.

    The reasons are "empty label or name too long", "too many ports" and "port out of range".
    """

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.skipped: Counter[str] = Counter()
        self._remembered: dict[tuple[object, ...], tuple[Owners, Owners]] = {}
        self._endings = Endings(rules)
        self._usual = Usual(rules, self._endings)
        self._apex = Suffix((), rules.domain, rules.domain)

    def __repr__(self) -> str:
        return f"Naming(domain={self.rules.domain!r}, skipped={dict(self.skipped)})"

    def framework_fragment(self, name: str) -> bytes:
        """The dotted labels of a framework's name; may be empty."""
        return lb.domain_fragment(name, self.rules.label)

    # --- entities ------------------------------------------------------------------------------

    def framework(self, name: str, addresses: Addresses, port: int | None) -> list[Record]:
        """`fw.D` and, if the scheduler has a PID, `_framework._tcp.fw.D`; nothing without an address."""
        if not addresses:
            return []
        fragment = self.framework_fragment(name)
        out: list[Record] = []
        owner = self._owner(fragment, self._apex)
        self._addresses(out, [owner], addresses)
        if port is not None:
            service = self._owner(b"_framework._tcp." + fragment, self._apex)
            self._service(out, [service], owner, port)
        return out

    def agent(self, addresses: Addresses, port: int) -> list[Record]:
        """`slave.D` and `_slave._tcp.D`."""
        if not addresses:
            return []
        out: list[Record] = []
        owner = self._owner(b"slave", self._apex)
        self._addresses(out, [owner], addresses)
        self._service(out, [self._owner(b"_slave._tcp", self._apex)], owner, port)
        return out

    def masters(
        self, masters: Sequence[tuple[Endpoint, Addresses]], leader: tuple[Endpoint, Addresses]
    ) -> list[Record]:
        """`leader.D`, `master.D`, `masterN.D`, `_leader._tcp/_udp.D` and `_master._tcp/_udp.D`.

        N counts the given masters in their order, repeated ones once; a leader that is not among
        them gets the next number.
        """
        out: list[Record] = []
        owner = self._owner(b"leader", self._apex)
        self._addresses(out, [owner], leader[1])
        services = [self._owner(b"_leader." + protocol, self._apex) for protocol in BOTH]
        self._service(out, services, owner, leader[0].port)
        everyone = self._owner(b"master", self._apex)
        services = [self._owner(b"_master." + protocol, self._apex) for protocol in BOTH]
        for n, (endpoint, addresses) in enumerate(dict([*masters, leader]).items()):
            one = self._owner(b"master%d" % n, self._apex)
            self._addresses(out, [everyone, one], addresses)
            self._service(out, services, one, endpoint.port)
        return list(dict.fromkeys(out))

    def self_records(self, addresses: Iterable[bytes]) -> list[Record]:
        """The address records of this name server's own name (`SOAMname`)."""
        out: list[Record] = []
        self._addresses(out, [self.rules.self_name], tuple(addresses))
        return out

    def task(self, task: Task, framework: bytes, agent: Addresses) -> list[Record]:
        """Everything that one running task contributes, without repetitions, in Go's order.

        `framework` is `framework_fragment` of its framework's name, `agent` its agent's addresses.
        With a discovery name the task's own name is not used, and two sets of names are made: from
        the discovery name as it is (kept for compatibility), and from its label.
        """
        addresses = chosen_addresses(self.rules, task, agent)
        suffixes = self._endings.of(framework)
        out: list[Record] = []
        if task.discovery_name:
            label = self.rules.label(task.discovery_name)
            raw = task.discovery_name.encode("utf-8", "replace").lower()
            if raw != label:
                self._named_task(out, task, raw, suffixes, addresses, agent)
        else:
            label = self.rules.label(task.name)
        self._named_task(out, task, label, suffixes, addresses, agent)
        return list(dict.fromkeys(out))

    def contributions(self, tasks: Iterable[Placed]) -> list[Contribution]:
        """The records of all these tasks, each once for each of them, grouped by what they say."""
        # Nearly every task is a usual one, and has much in common with the other instances of its application.
        together: dict[tuple[bytes, str, bool], list[Placed]] = {}
        for placed in tasks:
            task, framework, _ = placed
            key = framework, task.discovery_name or task.name, bool(task.discovery_name)
            together.setdefault(key, []).append(placed)
        out: list[Contribution] = []
        for instances in together.values():
            for placed in self._usual.contributions(out, instances):
                out += contributions(self.task(*placed))
        return out

    # --- parts ---------------------------------------------------------------------------------

    def _named_task(
        self, out: list[Record], task: Task, name: bytes, suffixes: Suffixes, addresses: Addresses, agent: Addresses
    ) -> None:
        canon = lb.canonical(name, task.id, task.agent_id)
        canon_owner = self._owner(canon, suffixes.domain)
        canon_slave = self._owner(canon, suffixes.slave)
        self._addresses(out, (self._owner(name, suffixes.domain), canon_owner), addresses)
        self._addresses(out, (self._owner(name, suffixes.slave), canon_slave), agent)
        if task.ports:
            owners = self._owners_of_ports(suffixes, name, discovery=bool(task.discovery_name))
            for port in self._resource_ports(task.ports):
                self._service(out, owners, canon_slave, port)
        if task.discovery_name:
            for discovery_port in task.discovery_ports[:MAX_PORTS_PER_TASK]:
                owners, slave_owners = self._owners_of_discovery_port(suffixes, name, discovery_port)
                self._service(out, owners, canon_owner, discovery_port.number)
                self._service(out, slave_owners, canon_slave, discovery_port.number)
            if len(task.discovery_ports) > MAX_PORTS_PER_TASK:
                self.skipped["too many ports"] += 1

    def _resource_ports(self, ranges: Iterable[tuple[int, int]]) -> list[int]:
        ports: list[int] = []
        for first, last in ranges:
            room = MAX_PORTS_PER_TASK - len(ports)
            ports.extend(range(first, min(last + 1, first + room)))
            if last - first >= room:
                self.skipped["too many ports"] += 1
                break
        return ports

    # --- owners --------------------------------------------------------------------------------

    def _owners_of_ports(self, suffixes: Suffixes, name: bytes, *, discovery: bool) -> Owners:
        """The services of a resource port. With a discovery name only those below `.slave` exist."""
        remembered = self._remembered.get((suffixes.framework, name, discovery))
        if remembered is not None:
            return remembered[0]
        service = b"_" + name
        both = [self._endings.services(suffixes, protocol) for protocol in BOTH]
        owners = [self._owner(service, slave) for _, slave, _ in both]
        if not discovery:
            owners += [self._owner(service, domain) for domain, _, _ in both]
            owners += [self._owner(name, alias) for _, _, alias in both]
        return self._remember((suffixes.framework, name, discovery), (_possible(owners), ()))[0]

    def _owners_of_discovery_port(self, suffixes: Suffixes, name: bytes, port: DiscoveryPort) -> tuple[Owners, Owners]:
        """The services of a discovery port: those of the canonical name, and those of its `.slave` twin."""
        key = suffixes.framework, name, port.protocol, port.name
        remembered = self._remembered.get(key)
        if remembered is not None:
            return remembered
        protocol = self.rules.label(port.protocol)
        port_name = self.rules.label(port.name)
        services = [
            self._endings.services(suffixes, protocol) for protocol in ((b"_" + protocol,) if protocol else BOTH)
        ]
        both = []
        for place in (0, 1):
            owners = [self._owner(b"_" + name, service[place]) for service in services]
            if port_name:
                owners += [self._owner(b"_%b._%b" % (port_name, name), service[place]) for service in services]
            if place == 0:
                owners += [self._owner(name, alias) for _, _, alias in services]
            both.append(_possible(owners))
        return self._remember(key, (both[0], both[1]))

    def _remember(self, key: tuple[object, ...], owners: tuple[Owners, Owners]) -> tuple[Owners, Owners]:
        """Keep the owners of a service: the instances of an application share them, and mostly come together."""
        if len(self._remembered) >= MAX_REMEMBERED_SERVICES:
            self._remembered.clear()
        self._remembered[key] = owners
        return owners

    def _owner(self, text: bytes, suffix: Suffix) -> bytes | None:
        """Wire form of dotted `text` before `suffix`; None, and counted, if such a name cannot be."""
        if suffix.wire is not None:
            # Canonical names are unique: remembering those would only push others out.
            simple = 0 < len(text) <= MAX_LABEL and b"." not in text
            front = LENGTH[len(text)] + text if simple else front_of(text)
            if front is not None and len(front) + len(suffix.wire) <= MAX_NAME:
                return front + suffix.wire
        slow = lb.owner((*text.split(b"."), *suffix.labels), suffix.base)
        if slow is None:
            self.skipped["empty label or name too long"] += 1
        return slow

    # --- records -------------------------------------------------------------------------------

    def _addresses(self, out: list[Record], owners: Iterable[bytes | None], addresses: Addresses) -> None:
        for address in addresses if len(addresses) <= MAX_ADDRESSES else addresses[:MAX_ADDRESSES]:
            rrtype = A if len(address) == 4 else AAAA
            out += [(owner, rrtype, address) for owner in owners if owner is not None]

    def _service(self, out: list[Record], owners: Iterable[bytes | None], target: bytes | None, port: int) -> None:
        if target is None:
            return
        if not 0 <= port <= 0xFFFF:
            self.skipped["port out of range"] += 1
            return
        rdata = rd.srv(self.rules.srv_weight, port, target)
        out += [(owner, SRV, rdata) for owner in owners if owner is not None]


def _possible(owners: list[bytes | None]) -> Owners:
    return tuple(dict.fromkeys([owner for owner in owners if owner is not None]))
