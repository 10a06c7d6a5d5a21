"""Which tasks give way to others because they are unhealthy. Pure.

The instances of a name are the tasks of equally called frameworks whose names give the same label. An unhealthy one is left out of
every name that a healthy one has, too; names that it has alone stay, among them its canonical ones.

Which names a task has together with others follows from its `Profile`, and most instances of an application have the same one. So it is
enough to count profiles, and only in groups that have, or had, an unhealthy task: a task that turns costs itself, and the other unhealthy
tasks of its group only if the set of profiles that healthy tasks have changes.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple

from mesos_dns.mesos.state import TaskKey
from mesos_dns.names.suffixes import Rules
from mesos_dns.names.tasks import MAX_PORTS_PER_TASK, DiscoveryPorts, TaskPlacement, reach

#: Protocols and names of discovery ports.
Kinds = tuple[tuple[str, str], ...]


class Profile(NamedTuple):
    """All of a task that decides which names it shares with other instances, apart from its framework's name."""

    text: str
    discovery: bool
    host_ports: bool
    own_ports: Kinds
    agent_ports: Kinds
    addresses: bool
    agent: bool


#: The profiles of the healthy tasks to which an unhealthy one gives way; empty if it gives way to none.
Cover = frozenset[Profile]
NOBODY: Final[Cover] = frozenset()

#: Fragment of the frameworks' name, label of the tasks' name.
GroupKey = tuple[bytes, bytes]
#: Yields the present members of a group.
Members = Callable[[GroupKey], Iterable[tuple[TaskKey, TaskPlacement]]]


def profile_of(rules: Rules, placement: TaskPlacement) -> Profile:
    """The profile of a task at its place."""
    task, _, agent = placement
    addresses, own_ports, agent_ports = reach(rules, task, agent)
    own = _kinds(own_ports)
    return Profile(
        task.discovery_name or task.name,
        bool(task.discovery_name),
        bool(task.ports),
        own,
        own if agent_ports is own_ports else _kinds(agent_ports),
        bool(addresses),
        bool(agent),
    )


def _kinds(ports: DiscoveryPorts) -> Kinds:
    if not ports:
        return ()
    found = [(port.protocol, port.name) for port in ports[:MAX_PORTS_PER_TASK] if 0 <= port.number <= 0xFFFF]
    return tuple(dict.fromkeys(found))


def _effective(profile: Profile, healthy: Cover) -> Cover:
    """Those that matter to an unhealthy task: one like it has all names that they could share."""
    return frozenset((profile,)) if profile in healthy else healthy


class _Group:
    """The instances of a name: how many healthy ones have each profile, and the unhealthy ones."""

    __slots__ = ("healthy", "unhealthy")

    def __init__(self) -> None:
        self.healthy: dict[Profile, int] = {}
        self.unhealthy: dict[TaskKey, Profile] = {}

    def __repr__(self) -> str:
        return f"_Group(healthy={sum(self.healthy.values())}, unhealthy={len(self.unhealthy)})"

    @property
    def cover(self) -> Cover:
        return frozenset(self.healthy)


class Health:
    """Knows the groups that have, or had, an unhealthy task, until their last task is gone."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._groups: dict[GroupKey, _Group] = {}
        #: The covers of the groups that the present change touches, as they were, and groups that it makes.
        self._before: dict[GroupKey, Cover] = {}
        self._wanted: dict[GroupKey, None] = {}

    def __repr__(self) -> str:
        return f"Health(groups={len(self._groups)})"

    @property
    def left_out(self) -> int:
        """How many tasks give way to others at present, with some of their names or all that they share."""
        return sum(len(group.unhealthy) for group in self._groups.values() if group.healthy)

    @property
    def is_watching(self) -> bool:
        """Whether there is any group."""
        return bool(self._groups)

    def cover(self, placement: TaskPlacement) -> Cover:
        """To whom this task gives way at present."""
        if not self._is_unhealthy(placement):
            return NOBODY
        group = self._groups.get(self._key(placement))
        return NOBODY if group is None else _effective(profile_of(self._rules, placement), group.cover)

    # --- a change of many tasks: begin, replace each that may have changed, complete, then ask -------

    def begin(self) -> None:
        """Forget the last change."""
        self._before.clear()
        self._wanted.clear()

    def replace(self, key: TaskKey, before: TaskPlacement | None, after: TaskPlacement | None) -> None:
        """Take a task that was at `before` and is at `after`; each None if it had, or has, no records."""
        if not self._groups and (after is None or after[0].healthy is not False):
            return  # Nearly always.
        if before is not None:
            name = self._key(before)
            group = self._groups.get(name)
            if group is not None:
                self._before.setdefault(name, group.cover)
                self._remove(group, key, before)
                if not group.healthy and not group.unhealthy:
                    del self._groups[name]
        if after is not None:
            name = self._key(after)
            group = self._groups.get(name)
            if group is not None:
                self._before.setdefault(name, group.cover)
                self._add(group, key, after)
            elif self._is_unhealthy(after):
                self._wanted[name] = None

    def complete(self, members: Members) -> Iterator[None]:
        """Take the groups in which a task is unhealthy for the first time; yields after each task taken: they may be many."""
        for name in self._wanted:
            if name not in self._groups:
                group = _Group()
                for key, placement in members(name):
                    self._add(group, key, placement)
                    yield
                self._groups[name] = group

    def cover_before(self, placement: TaskPlacement) -> Cover:
        """To whom the task gave way before the change; it must be one of those replaced."""
        if not self._is_unhealthy(placement):
            return NOBODY
        return _effective(profile_of(self._rules, placement), self._before[self._key(placement)])

    def turned(self) -> Iterator[tuple[TaskKey, Cover, Cover]]:
        """All unhealthy tasks that give way to others than before, and to whom they did and do."""
        for name, before in self._before.items():
            group = self._groups.get(name)
            if group is not None and group.cover != before:
                for key, profile in group.unhealthy.items():
                    was, now = _effective(profile, before), _effective(profile, group.cover)
                    if was != now:
                        yield key, was, now

    # --- parts ---------------------------------------------------------------------------------

    def _is_unhealthy(self, placement: TaskPlacement) -> bool:
        return placement[0].healthy is False and self._rules.health_aware

    def _key(self, placement: TaskPlacement) -> GroupKey:
        task, fragment, _ = placement
        return fragment, self._rules.label(task.discovery_name or task.name)

    def _add(self, group: _Group, key: TaskKey, placement: TaskPlacement) -> None:
        profile = profile_of(self._rules, placement)
        if self._is_unhealthy(placement):
            group.unhealthy[key] = profile
        else:
            group.healthy[profile] = group.healthy.get(profile, 0) + 1

    def _remove(self, group: _Group, key: TaskKey, placement: TaskPlacement) -> None:
        if self._is_unhealthy(placement):
            del group.unhealthy[key]
            return
        profile = profile_of(self._rules, placement)
        left = group.healthy[profile] - 1
        if left:
            group.healthy[profile] = left
        else:
            del group.healthy[profile]
