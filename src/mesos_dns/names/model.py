"""The cluster as we know it, and the records that follow from it. Pure; time comes in as an argument.

The model takes deltas and gives contributions: which records are withdrawn, which contributed. A
change of one task costs what that task costs; a change of an agent or of a framework's name costs
its tasks. Work comes out in slices, so that the caller can do other things in between.
"""

from collections import ChainMap
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import Final, TypeVar, cast

from mesos_dns.dns import name as names
from mesos_dns.dns import rdata as rd
from mesos_dns.dns.rdata import Record
from mesos_dns.limits import MAX_NAME
from mesos_dns.mesos.state import Agent, Delta, Endpoint, Framework, Task, TaskKey
from mesos_dns.names import provenance
from mesos_dns.names.health import NOBODY, Cover, GroupKey, Health
from mesos_dns.names.index import TasksOfFramework
from mesos_dns.names.naming import Naming
from mesos_dns.names.provenance import Contributor, Reading
from mesos_dns.names.remembered import InUse
from mesos_dns.names.suffixes import Addresses
from mesos_dns.names.table import TASK_RULES, Rule
from mesos_dns.names.tasks import TaskPlacement
from mesos_dns.zone.contributors import Contribution, contributions

T = TypeVar("T")
K = TypeVar("K")
V = TypeVar("V")
#: Tasks whose records are made before other work gets a turn: about 10 ms. With 32 or 1,000 a start takes as long.
SLICE_OF_TASKS: Final = 250
#: Labels of one framework that are looked at one by one for those who may have a name whose label was cut.
MOST_LABELS: Final = 1000
#: Frameworks of which there are only tasks that are looked at for those who may have a name.
MOST_UNKNOWN: Final = 20
#: What a framework has that has none.
_NO_TASKS: Final = TasksOfFramework()
#: A task at its place, None if it has no records; and to whom it gives way.
_Step = tuple[TaskPlacement | None, Cover]
#: What is withdrawn and what is contributed.
Contributions = tuple[list[Contribution], list[Contribution]]


class Model:
    """Agents, frameworks, tasks and masters, and the addresses of the host names among them."""

    def __init__(self, naming: Naming) -> None:
        self.naming = naming
        self._label = naming.rules.label
        self.agents: dict[str, Agent] = {}
        self.frameworks: dict[str, Framework] = {}
        self.tasks: dict[TaskKey, Task] = {}
        self.leader: Endpoint | None = None
        self.masters: tuple[Endpoint, ...] = ()
        self._hosts: dict[str, Addresses] = {}
        #: Derived: what the tasks' records depend on.
        self._agent_addresses: dict[str, Addresses] = {}
        self._fragments: dict[str, bytes] = {}
        self._framework_addresses: dict[str, Addresses] = {}
        self._tasks_of_agent: dict[str, dict[TaskKey, None]] = {}
        self._tasks_of_framework: dict[str, TasksOfFramework] = {}
        self._called: dict[bytes, dict[str, None]] = {}
        self._health = Health(naming.rules)
        self._master_records: list[Record] = []
        self._self_records: list[Record] = []

    def __repr__(self) -> str:
        return f"Model(agents={len(self.agents)}, frameworks={len(self.frameworks)}, tasks={len(self.tasks)})"

    # --- reading -------------------------------------------------------------------------------

    @property
    def is_empty(self) -> bool:
        """Whether there is no agent, framework or task, and never was a master."""
        return not (self.agents or self.frameworks or self.tasks or self.leader)

    def host_names(self) -> set[str]:
        """The hosts of agents, frameworks and masters that are no addresses: to be resolved."""
        hosts = {agent.host for agent in self.agents.values()}
        hosts.update(framework.host for framework in self.frameworks.values())
        hosts.update(master.host for master in self.masters)
        if self.leader is not None:
            hosts.add(self.leader.host)
        return {host for host in hosts if host and rd.pack_address(host) is None}

    def tasks_of_framework(self, framework_id: str) -> TasksOfFramework:
        """Its running tasks, oldest first; also while it is unknown itself."""
        return self._tasks_of_framework.get(framework_id) or _NO_TASKS

    def tasks_of_agent(self, agent_id: str) -> Collection[TaskKey]:
        """Its running tasks, oldest first; also while it is unknown itself."""
        return self._tasks_of_agent.get(agent_id, {})

    def fragment(self, framework_id: str) -> bytes | None:
        """The dotted labels of a framework's name; None while it is unknown."""
        return self._fragments.get(framework_id)

    @property
    def called(self) -> Mapping[bytes, Iterable[str]]:
        """Ids of the frameworks by the dotted labels of their names."""
        return self._called

    def unknown_frameworks(self) -> list[str]:
        """Ids of frameworks of which there are only tasks, the first few: usually there are none. Looks at each framework."""
        unknown = (framework_id for framework_id in self._tasks_of_framework if framework_id not in self._fragments)
        return [*islice(unknown, MOST_UNKNOWN)]

    def agent_addresses(self, agent_id: str) -> Addresses | None:
        """Where an agent is: without any if its host name is not resolved, None if it is unknown."""
        return self._agent_addresses.get(agent_id)

    def gives_way(self, task: Task) -> bool:
        """Whether it is unhealthy, and healthy ones have its names."""
        placement = self._placement(task)
        return placement is not None and bool(self._health.cover(placement))

    def task_records(self, key: TaskKey) -> list[Record]:
        """What a task contributes at present, in Go's order; nothing while its agent or framework is unknown."""
        task = self.tasks.get(key)
        return [] if task is None else self.records_of(task)

    def records_of(self, task: Task) -> list[Record]:
        """The same of one that is here."""
        placement = self._placement(task)
        return [] if placement is None else self._records(placement, TASK_RULES)

    @property
    def left_out(self) -> int:
        """How many unhealthy tasks give way to healthy ones of the same names at present."""
        return self._health.left_out

    @property
    def shared_framework_names(self) -> int:
        """How many names in DNS several frameworks have: looks at each."""
        return sum(len(called) > 1 for called in self._called.values())

    def contributors(self, owner: bytes, rrtype: int | None = None) -> list[tuple[Record, Contributor]]:
        """Who contributes the records of `owner` (wire form, lower case) at present, one of them for each record and contributor.

        Takes milliseconds with 100,000 tasks, and about as long as the records take to name if there are many.
        """
        found: dict[tuple[Record, Contributor], None] = {}
        for contributor, records in self.each_contributor(owner, rrtype):
            found.update(dict.fromkeys((record, contributor) for record in records))
        return list(found)

    def each_contributor(self, owner: bytes, rrtype: int | None = None) -> Iterator[tuple[Contributor, list[Record]]]:
        """The same one candidate after the other, for those who need not know all: some have no records, and some come twice."""
        for contributor, records in self._candidates(owner):
            yield contributor, [record for record in records if record[0] == owner and rrtype in (None, record[1])]

    def namesakes(self, owner: bytes) -> Iterator[tuple[TaskKey, Reading, bytes]]:
        """Tasks that may have this owner by their names and their frameworks', with or without records.

        With the reading of the owner by which that is so, and the fragment of the framework's name: while it is unknown, what the owner would
        have it be. Costs little for each; some come twice.
        """
        labels = self._labels_below_domain(owner)
        if not labels or len(owner) == MAX_NAME:
            return
        unknown = self.unknown_frameworks()
        for reading in provenance.readings(labels):
            fragment = reading.fragment or b""
            for framework_id in (*self._called.get(fragment, ()), *unknown):
                for key in self._called_so(reading, framework_id, MOST_LABELS):
                    yield key, reading, fragment

    def namesakes_count(self, owner: bytes) -> int:
        """How many tasks of known frameworks that are; some may be counted twice."""
        labels = self._labels_below_domain(owner)
        if not labels or len(owner) == MAX_NAME:
            return 0
        return sum(
            len(tasks.called(label))
            for reading in provenance.readings(labels)
            for tasks in map(self.tasks_of_framework, self._called.get(reading.fragment or b"", ()))
            for label in provenance.matching_labels(
                reading, islice(tasks.labels(), MOST_LABELS), self.naming.rules.label
            )
        )

    def everything(self) -> Delta:
        """All agents, frameworks and tasks, as a delta to an empty model."""
        return Delta(agents=dict(self.agents), frameworks=dict(self.frameworks), tasks=dict(self.tasks))

    # --- writing -------------------------------------------------------------------------------

    def apply(self, delta: Delta) -> Iterator[Contributions]:
        """Take the delta; yields contributions in slices. The iterator must be used up.

        What is both gone and given was replaced: it is there afterwards.
        """
        out: Contributions = [], []
        fragments_before = self._replace_frameworks(delta, out)
        agents_before = self._replace_agents(delta, out)
        keys = self._touched(delta, agents_before, fragments_before)
        yield out
        # What the tasks' records were, with the agents and names of before, and what they are now.
        old_agents = _before(agents_before, self._agent_addresses)
        old_fragments = _before(fragments_before, self._fragments)
        gone = frozenset(delta.tasks_gone)
        # The instances of an application have much in common, and the order of a state has nothing to do with it.
        together: dict[tuple[str, str], list[tuple[TaskPlacement | None, TaskPlacement | None]]] = {}
        self._health.begin()
        for number, key in enumerate(keys):
            before = self.tasks.get(key)
            after = delta.tasks.get(key, None if key in gone else before)
            task = after or before
            if task is not None:
                self._replace_task(key, before, after)
                was = None if before is None else _placement(before, old_agents, old_fragments)
                now = None if after is None else self._placement(after)
                self._health.replace(key, was, now)
                together.setdefault((key[0], task.discovery_name or task.name), []).append((was, now))
            if number % SLICE_OF_TASKS == SLICE_OF_TASKS - 1:
                yield [], []
        for number, _ in enumerate(self._health.complete(self._members)):
            if number % SLICE_OF_TASKS == SLICE_OF_TASKS - 1:
                yield [], []
        steps = self._in_order(chain.from_iterable(together.values()), keys)
        for start in range(0, len(steps), SLICE_OF_TASKS):
            part = steps[start : start + SLICE_OF_TASKS]
            yield (
                self._contributions([before for before, _ in part], counted=-1),
                self._contributions([after for _, after in part], counted=1),
            )
        self.naming.forget_surplus(InUse(len(self.agents), len(self.frameworks), len(self.tasks)))

    def set_masters(self, masters: Sequence[Endpoint], leader: Endpoint | None) -> Contributions:
        """Take the master list; without a leader the last known one stays (stale beats gone)."""
        self.masters = tuple(masters)
        self.leader = leader or self.leader
        if self.leader is None:
            return [], []
        records = self.naming.masters(*self._known_masters(self.leader))
        before, self._master_records = self._master_records, records
        return ([], []) if before == records else (contributions(before), contributions(records))

    def set_self(self, addresses: Iterable[bytes]) -> Contributions:
        """Take the addresses of this server itself."""
        before, self._self_records = self._self_records, self.naming.self_records(addresses)
        return contributions(before), contributions(self._self_records)

    def set_hosts(self, hosts: Mapping[str, Addresses]) -> Iterator[Contributions]:
        """Take resolved addresses of host names; yields like `apply`."""
        changed = {host for host, addresses in hosts.items() if self._hosts.get(host) != addresses}
        self._hosts.update(hosts)
        yield self.set_masters(self.masters, self.leader)
        yield from self.apply(
            Delta(
                agents={agent.id: agent for agent in self.agents.values() if agent.host in changed},
                frameworks={fw.id: fw for fw in self.frameworks.values() if fw.host in changed},
            )
        )

    def know_hosts_of(self, other: "Model") -> None:
        """Take over the addresses of host names from a model whose entities are about to be taken over."""
        self._hosts.update(other._hosts)

    def forget_hosts(self, wanted: set[str]) -> None:
        """Drop the addresses of host names that nobody refers to any more."""
        for host in self._hosts.keys() - wanted:
            del self._hosts[host]

    # --- parts ---------------------------------------------------------------------------------

    def _candidates(self, owner: bytes) -> Iterator[tuple[Contributor, list[Record]]]:
        """Those that may contribute to `owner`, with records of theirs, among them all of that owner."""
        yield from self._candidates_of_cluster(owner)
        labels = self._labels_below_domain(owner)
        if not labels:
            return
        longest = len(owner) == MAX_NAME
        for fragment in self._called if longest else provenance.fragments_of(labels):
            for framework_id in self._called.get(fragment, ()):
                framework = self.frameworks[framework_id]
                records = self._framework_records(framework, self._framework_addresses[framework_id], counted=0)
                yield Contributor("framework", framework_id), records
        for reading in [provenance.reading_of_longest(labels)] if longest else provenance.readings(labels):
            for fragment in self._called if reading.fragment is None else [reading.fragment]:
                for framework_id in self._called.get(fragment, ()):
                    yield from self._candidate_tasks(reading, framework_id, fragment)

    def _labels_below_domain(self, owner: bytes) -> list[bytes]:
        domain = self.naming.rules.domain
        if not names.is_below_or_at(owner, domain):
            return []
        return [*names.labels(owner[: len(owner) - len(domain)] + names.ROOT)]

    def _candidates_of_cluster(self, owner: bytes) -> Iterator[tuple[Contributor, list[Record]]]:
        if owner == self.naming.rules.self_name:
            yield Contributor("self"), self._self_records
        if owner in self.naming.agent_owners:
            for agent_id, agent in self.agents.items():
                yield Contributor("agent", agent_id), self.naming.agent(self._agent_addresses[agent_id], agent.port)
        if self.leader is not None:
            for master, records in self.naming.each_master(*self._known_masters(self.leader)):
                yield Contributor("master", str(master)), records

    def _candidate_tasks(
        self, reading: Reading, framework_id: str, fragment: bytes
    ) -> Iterator[tuple[Contributor, list[Record]]]:
        for key in self._called_so(reading, framework_id):
            task = self.tasks[key]
            addresses = self._agent_addresses.get(task.agent_id)
            if addresses is not None and provenance.may_be(reading, task, fragment, self.naming.rules.domain):
                records = self._records((task, fragment, addresses), reading.rules)
                yield Contributor("task", task.id, framework_id, key[2]), records

    def _called_so(self, reading: Reading, framework_id: str, most: int | None = None) -> Iterator[TaskKey]:
        """Tasks whose labels fit; of labels that have to be looked at one by one, the first `most`."""
        tasks = self.tasks_of_framework(framework_id)
        for label in provenance.matching_labels(reading, islice(tasks.labels(), most), self.naming.rules.label):
            yield from tasks.called(label)

    def _placement(self, task: Task) -> TaskPlacement | None:
        return _placement(task, self._agent_addresses, self._fragments)

    def _members(self, group: GroupKey) -> Iterator[tuple[TaskKey, TaskPlacement]]:
        """The tasks that may share names: those of this label in all frameworks of this fragment."""
        fragment, label = group
        for framework_id in self._called.get(fragment, ()):
            for key in self.tasks_of_framework(framework_id).called(label):
                placement = self._placement(self.tasks[key])
                if placement is not None:
                    yield key, placement

    def _records(self, placement: TaskPlacement, rules: tuple[Rule, ...]) -> list[Record]:
        cover = self._health.cover(placement)
        if cover:
            return self.naming.unhealthy_task(*placement, cover, rules=rules)
        return self.naming.task(*placement, rules=rules)

    def _in_order(
        self, changes: Iterable[tuple[TaskPlacement | None, TaskPlacement | None]], keys: Iterable[TaskKey]
    ) -> list[tuple[_Step, _Step]]:
        """What tasks contributed before, and do now; with the other unhealthy tasks that are affected.

        Those that get names back come first, and those that give way last: so no name goes and comes again in between.
        """
        first: list[tuple[_Step, _Step]] = []
        usual: list[tuple[_Step, _Step]] = []
        last: list[tuple[_Step, _Step]] = []
        for was, now in changes:
            before = NOBODY if was is None else self._health.cover_before(was)
            after = NOBODY if now is None else self._health.cover(now)
            steps = (was, before), (now, after)
            (last if after and not before else first if before and not after else usual).append(steps)
        changed = {*keys} if self._health.is_watching else set[TaskKey]()
        for key, before, after in self._health.turned():
            placement = self._placement(self.tasks[key])
            if key not in changed and placement is not None:
                (last if after and not before else first).append(((placement, before), (placement, after)))
        return first + usual + last

    def _contributions(self, steps: Iterable[_Step], *, counted: int) -> list[Contribution]:
        usual: list[TaskPlacement] = []
        out: list[Contribution] = []
        for placement, cover in steps:
            if placement is not None and cover:
                out += self.naming.unhealthy_contributions(placement, cover, counted=counted)
            elif placement is not None:
                usual.append(placement)
        return out + self.naming.contributions(usual, counted=counted)

    def _known_masters(self, leader: Endpoint) -> tuple[list[tuple[Endpoint, Addresses]], tuple[Endpoint, Addresses]]:
        # A master whose host name is not resolved yet keeps its number.
        known = [(master, self._addresses_of(master.host)) for master in self.masters]
        return known, (leader, self._addresses_of(leader.host))

    def _label_of(self, task: Task) -> bytes:
        return self._label(task.discovery_name or task.name)

    def _addresses_of(self, host: str) -> Addresses:
        packed = rd.pack_address(host)
        return (packed,) if packed is not None else self._hosts.get(host, ())

    def _replace_frameworks(self, delta: Delta, out: Contributions) -> dict[str, bytes | None]:
        """Take the frameworks; the former name fragments of those whose tasks are renamed by that."""
        before: dict[str, bytes | None] = {}
        for framework_id in delta.frameworks_gone:
            old = self.frameworks.pop(framework_id, None)
            if old is not None:
                before[framework_id] = fragment = self._fragments.pop(framework_id)
                _discard(self._called, fragment, framework_id)
                out[0].extend(
                    contributions(self._framework_records(old, self._framework_addresses.pop(framework_id), counted=-1))
                )
        for framework_id, new in delta.frameworks.items():
            old = self.frameworks.get(framework_id)
            addresses = self._addresses_of(new.host)
            if old == new and addresses == self._framework_addresses[framework_id]:
                continue
            if old is not None:
                out[0].extend(
                    contributions(self._framework_records(old, self._framework_addresses[framework_id], counted=-1))
                )
            out[1].extend(contributions(self._framework_records(new, addresses, counted=1)))
            self.frameworks[framework_id] = new
            self._framework_addresses[framework_id] = addresses
            fragment = self.naming.framework_fragment(new.name)
            if fragment != self._fragments.get(framework_id):
                former = self._fragments.get(framework_id)
                before.setdefault(framework_id, former)
                if former is not None:
                    _discard(self._called, former, framework_id)
                self._fragments[framework_id] = fragment
                self._called.setdefault(fragment, {})[framework_id] = None
        return before

    def _framework_records(self, framework: Framework, addresses: Addresses, *, counted: int) -> list[Record]:
        return self.naming.framework(
            framework.name, addresses, framework.port, counted=counted, framework_id=framework.id
        )

    def _replace_agents(self, delta: Delta, out: Contributions) -> dict[str, Addresses | None]:
        """Take the agents; the former addresses of those whose tasks are altered by that."""
        before: dict[str, Addresses | None] = {}
        for agent_id in delta.agents_gone:
            old = self.agents.pop(agent_id, None)
            if old is not None:
                addresses = before[agent_id] = self._agent_addresses.pop(agent_id)
                out[0].extend(contributions(self.naming.agent(addresses, old.port)))
        for agent_id, new in delta.agents.items():
            old = self.agents.get(agent_id)
            addresses_before = self._agent_addresses.get(agent_id)
            addresses = self._addresses_of(new.host)
            if old == new and addresses == addresses_before:
                continue
            if old is not None and addresses_before is not None:
                out[0].extend(contributions(self.naming.agent(addresses_before, old.port)))
            out[1].extend(contributions(self.naming.agent(addresses, new.port)))
            self.agents[agent_id] = new
            if addresses != addresses_before:
                before.setdefault(agent_id, addresses_before)
                self._agent_addresses[agent_id] = addresses
        return before

    def _touched(self, delta: Delta, agents: Iterable[str], frameworks: Iterable[str]) -> list[TaskKey]:
        """Keys of all tasks whose records the delta may alter, each once, in document order."""
        keys = dict.fromkeys(delta.tasks)
        keys.update(dict.fromkeys(delta.tasks_gone))
        for agent_id in agents:
            keys.update(self._tasks_of_agent.get(agent_id, {}))
        for framework_id in frameworks:
            keys.update(dict.fromkeys(self._tasks_of_framework.get(framework_id, ())))
        return list(keys)

    def _replace_task(self, key: TaskKey, before: Task | None, after: Task | None) -> None:
        if before is after:
            return
        if before is not None and (after is None or after.agent_id != before.agent_id):
            _discard(self._tasks_of_agent, before.agent_id, key)
        if after is None:
            if before is not None:
                del self.tasks[key]
                left = self._tasks_of_framework[key[0]]
                left.remove(key, self._label_of(before))
                if not left:
                    del self._tasks_of_framework[key[0]]
            return
        self.tasks[key] = after
        self._tasks_of_agent.setdefault(after.agent_id, {})[key] = None
        tasks = self._tasks_of_framework.get(key[0])
        if tasks is None:
            tasks = self._tasks_of_framework[key[0]] = TasksOfFramework()
        if before is None:
            tasks.add(key, self._label(after.discovery_name or after.name))
        else:
            tasks.rename(key, self._label_of(before), self._label_of(after))


def _placement(
    task: Task, agents: Mapping[str, Addresses | None], fragments: Mapping[str, bytes | None]
) -> TaskPlacement | None:
    """What the records of a task follow from; None while its agent or framework is unknown."""
    addresses = agents.get(task.agent_id)
    fragment = fragments.get(task.framework_id)
    return None if addresses is None or fragment is None else (task, fragment, addresses)


def _before(changed: dict[str, T | None], now: dict[str, T]) -> Mapping[str, T | None]:
    """A view of `now` as it was: `changed` holds the former values, None for what was not there."""
    former: dict[str, T | None] = cast("dict[str, T | None]", now)
    return ChainMap(changed, former) if changed else former


def _discard(index: dict[K, dict[V, None]], key: K, value: V) -> None:
    values = index.get(key)
    if values is not None:
        values.pop(value, None)
        if not values:
            del index[key]
