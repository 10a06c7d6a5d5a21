"""What a state tells about what it does not show: tasks that ended, sums that do not add up, whose cluster it is. Pure.

Masters add up what agents have in use and what frameworks use. Both sums come from the same tasks and executors, and agree to the last
digit (recorded from Mesos 1.11 before, during and after failovers and teardowns). Authorization leaves frameworks and tasks out of a
state, agents and sums never: so a filtered state gives itself away, and that of an idle cluster does not.
"""

from collections.abc import Collection, Iterable
from typing import Final, NamedTuple

import msgspec
from msgspec import Raw

from mesos_dns.mesos.decoding import wire
from mesos_dns.mesos.decoding.document import UNREADABLE, FrameworkEntry, is_null
from mesos_dns.mesos.decoding.grammar import parse_duration, parse_ensemble
from mesos_dns.mesos.state import Concealed

#: Processors and MB by which sums may differ: a thousandth is the least that Mesos counts, and sums of a million floats are exact to less.
TOLERANCE: Final = 0.01
#: And the part of a sum that rounding may cost: 100,000 additions of floats.
_ROUNDING: Final = 1e-9

_decode_used: Final = msgspec.json.Decoder(wire.Used).decode
_decode_ended: Final = msgspec.json.Decoder(list[wire.EndedTask | None]).decode
_decode_flags: Final = msgspec.json.Decoder(wire.Flags).decode
_decode_text: Final = msgspec.json.Decoder(str).decode
_decode_number: Final = msgspec.json.Decoder(float).decode

_EMPTY_LIST: Final = b"[]"


class Flags(NamedTuple):
    """What the flags tell; "" and None for what they do not. `registry` is the kind of registry, `reregister_timeout` in seconds."""

    registry: str = ""
    reregister_timeout: float | None = None
    cluster: str = ""
    ensemble: str = ""


def read_flags(raw: Raw) -> Flags:
    """Read the flags, each by itself."""
    try:
        found = _decode_flags(raw)
    except UNREADABLE:
        return Flags()
    timeout = text_of(found.agent_reregister_timeout) or text_of(found.slave_reregister_timeout)
    return Flags(
        text_of(found.registry), parse_duration(timeout), text_of(found.cluster), parse_ensemble(text_of(found.zk))
    )


def text_of(raw: Raw) -> str:
    """Return the text; "" if it is none."""
    try:
        return "" if is_null(raw) else _decode_text(raw)
    except UNREADABLE:
        return ""


def number_of(raw: Raw) -> float | None:
    """Return the number; None if it is none."""
    try:
        return None if is_null(raw) else _decode_number(raw)
    except UNREADABLE:
        return None


class EndedTasks:
    """Reads the lists of ended tasks, which are long and seldom change, once for each change."""

    def __init__(self) -> None:
        #: By framework: hashes of both lists as they were, and what they held.
        self._known: dict[str, tuple[tuple[int, int], frozenset[str]]] = {}

    def __repr__(self) -> str:
        return f"EndedTasks(frameworks={len(self._known)})"

    def read(self, framework_id: str, entry: FrameworkEntry) -> frozenset[str]:
        """Return the ids of tasks that completed or became unreachable. What cannot be read tells nothing."""
        lists = [bytes(raw) for raw in (entry.completed_tasks, entry.unreachable_tasks)]
        if all(each in (_EMPTY_LIST, b"null") for each in lists):
            self._known.pop(framework_id, None)
            return frozenset()
        hashes = (hash(lists[0]), hash(lists[1]))
        before = self._known.get(framework_id)
        if before is not None and before[0] == hashes:
            return before[1]
        ended = frozenset(each for one in lists for each in _ids(one))
        self._known[framework_id] = (hashes, ended)
        return ended

    def forget_but(self, frameworks: Collection[str]) -> None:
        """Forget all frameworks but these."""
        for each in self._known.keys() - set(frameworks):
            del self._known[each]


def _ids(octets: bytes) -> Iterable[str]:
    if octets == b"null":
        return ()
    try:
        return [each.id for each in _decode_ended(octets) if each is not None and each.id]
    except UNREADABLE:
        return ()


class Sums:
    """Adds up what is in use. Judges only if every framework and agent could be read."""

    def __init__(self) -> None:
        self._by_agents = [0.0, 0.0]
        self._by_frameworks = [0.0, 0.0]
        self._complete = True
        self._tasks_of: set[str] = set()

    def __repr__(self) -> str:
        return f"Sums(agents={self._by_agents}, frameworks={self._by_frameworks}, complete={self._complete})"

    def add_agent(self, used: wire.Used | None) -> None:
        """Take an agent; one that tells nothing counts as idle."""
        if used is not None:
            _add(self._by_agents, used)

    def add_framework(self, framework_id: str, entry: FrameworkEntry) -> None:
        """Take a framework. One without sums (before Mesos 0.23, fixtures) ends the comparison."""
        try:
            used = None if is_null(entry.used_resources) else _decode_used(entry.used_resources)
        except UNREADABLE:
            used = None
        if used is None:
            self.spoil()
            return
        _add(self._by_frameworks, used)
        # Executors use resources, too, and are listed if they are a framework's own.
        idle = max(used.cpus or 0.0, used.mem or 0.0) <= TOLERANCE
        if entry.tasks == [] and bytes(entry.executors) == _EMPTY_LIST and not idle:
            self._tasks_of.add(framework_id)

    def spoil(self) -> None:
        """Take note that something could not be read: the sums tell nothing."""
        self._complete = False

    def judge(self) -> Concealed:
        """What is not shown although it uses resources."""
        more = any(
            agents > frameworks * (1 + _ROUNDING) + TOLERANCE
            for agents, frameworks in zip(self._by_agents, self._by_frameworks, strict=True)
        )
        return Concealed(self._complete and more, frozenset(self._tasks_of))


def _add(sums: list[float], used: wire.Used) -> None:
    sums[0] += used.cpus or 0.0
    sums[1] += used.mem or 0.0
