"""From an owner back to those that may contribute its records, by the table of names. Pure.

Nothing is stored for each record: an owner is read against the patterns of the table, which gives candidates,
and whoever is named by the same table as that owner is a contributor.
"""

from collections.abc import Iterable, Iterator
from typing import Final, Literal, NamedTuple

from mesos_dns.limits import MAX_LABEL, MAX_NAME
from mesos_dns.mesos.state import Task
from mesos_dns.names import table
from mesos_dns.names.labels import SHORT_HASH, SHORTEST, LabelRule, task_hash
from mesos_dns.names.table import Pattern, Rule

#: Octets of a shortened label that are not its text: the dash and the hash.
_NOT_TEXT: Final = SHORT_HASH + 1
#: Octets that a name has beyond NAME, FW, the domain and the agent's id, at the most: `_PORT.`, `_PROTO.`, `slave.`, `-HASH-`.
_MOST_BESIDE: Final = 160


class Contributor(NamedTuple):
    """Who contributes a record.

    `id` is that of the task, framework or agent; `address:port` of a master; empty for this server itself.
    A task has the id of its framework, too, and a number, which is 0 but for repeated ids in one framework.
    """

    kind: Literal["task", "framework", "agent", "master", "self"]
    id: str = ""
    framework_id: str = ""
    number: int = 0


class Reading(NamedTuple):
    """One way to read an owner: as that of a task of the framework with this fragment, by these rules.

    `name` is what stands for NAME. It is only the beginning of it if the owner is not `whole`: shortened, or so long that it
    may be. `fragment` is None if the framework's labels may be shortened. `task_hash` is None unless CANON shows one.
    """

    fragment: bytes | None
    name: bytes
    whole: bool
    task_hash: bytes | None
    rules: tuple[Rule, ...]


def readings(labels: list[bytes]) -> list[Reading]:
    """All ways to read an owner, given by its labels in front of the domain, as one of a task."""
    found: dict[tuple[bytes, bytes, bool, bytes | None], list[Rule]] = {}
    for rule in table.TASK_RULES:
        for front, fragment in _splits(labels, rule.owner):
            name = _name_in(front, rule.owner)
            if name is not None:
                rules = found.setdefault((fragment, *name), [])
                if rule not in rules:
                    rules.append(rule)
    return [Reading(*key, tuple(rules)) for key, rules in found.items()]


def reading_of_longest(labels: list[bytes]) -> Reading:
    """The way to read an owner of the greatest length: any label may be shortened, so only how it begins is sure."""
    first = labels[0]
    name = b"" if first.startswith(b"_") else first[: SHORTEST - _NOT_TEXT] if len(first) >= SHORTEST else first
    return Reading(None, name, whole=False, task_hash=None, rules=table.TASK_RULES)


def may_be(reading: Reading, task: Task, fragment: bytes, domain: bytes) -> bool:
    """Whether it is worth naming a task with the right label to see whether it is meant."""
    if reading.fragment is None:
        text = (task.discovery_name or task.name).encode("utf-8", "replace")
        # Few can have an owner of the greatest length at all.
        return len(text) + len(fragment) + len(domain) + len(task.agent_id) + _MOST_BESIDE >= MAX_NAME
    return reading.task_hash is None or reading.task_hash == task_hash(task.id)


def matching_labels(reading: Reading, labels: Iterable[bytes], rule: LabelRule) -> list[bytes]:
    """Those of a framework's labels whose tasks may have this name."""
    wanted = rule(reading.name.decode("utf-8", "replace"))
    if reading.whole:
        return [wanted]
    # Dashes come and go at the ends of what is cut; letters and digits stay in their order.
    beginning = wanted.replace(b"-", b"")
    found = []
    for label in labels:
        text = label.replace(b"-", b"")
        if text.startswith(beginning) or beginning.startswith(text):
            found.append(label)
    return found


def fragments_of(labels: list[bytes]) -> Iterator[bytes]:
    """The fragments of frameworks that may have this owner for themselves."""
    for rule in table.FRAMEWORK_RULES:
        before = [label.encode() for label in rule.owner.place.labels if label != "FW"]
        if labels[: len(before)] == before and len(labels) > len(before):
            yield b".".join(labels[len(before) :])


def _splits(labels: list[bytes], pattern: Pattern) -> Iterator[tuple[list[bytes], bytes]]:
    """What stands in front, and the framework's fragment, for each way in which the place of this pattern fits."""
    place = pattern.place
    base = [label.encode() for label in place.base]
    rest = labels[: len(labels) - len(base)]
    if labels[len(rest) :] != base:
        return
    before = place.labels.index("FW")
    end = len(rest) - (len(place.labels) - before - 1)
    for start in range(1, end - before):
        protocols = rest[start : start + before] + rest[end:]
        if all(label.startswith(b"_") for label in protocols):
            yield rest[:start], b".".join(rest[start + before : end])


def _name_in(front: list[bytes], pattern: Pattern) -> tuple[bytes, bool, bytes | None] | None:
    """NAME, whether it is whole, and the task's hash, as in `Reading`; None if the front is no such one."""
    parts = list(front)
    if pattern.front == "_PORT._NAME" and (len(parts) < 2 or not parts.pop(0).startswith(b"_")):
        return None
    whole, shown_hash = True, None
    for at, label in enumerate(parts):
        if len(label) == MAX_LABEL:
            parts[at:] = [label[: MAX_LABEL - _NOT_TEXT]]
            whole = False
            break
    if pattern.front in ("_NAME", "_PORT._NAME"):
        if not parts[0].startswith(b"_"):
            return None
        parts[0] = parts[0][1:]
    elif pattern.front == "CANON" and whole:
        label, *rest = parts[-1].rsplit(b"-", 2)
        if len(rest) != 2 or not label:
            return None
        parts[-1], shown_hash = label, rest[0]
    return b".".join(parts), whole, shown_hash
