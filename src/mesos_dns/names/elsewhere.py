"""Which name was meant by one that does not exist: wrong place, wrong spelling, or made by a resolver's search list. Pure."""

from collections.abc import Iterable, Iterator
from heapq import nlargest
from itertools import islice
from typing import Final, NamedTuple

from mesos_dns.dns import name as names
from mesos_dns.names import provenance
from mesos_dns.names.explanation import Reason
from mesos_dns.names.labels import LabelRule
from mesos_dns.names.model import Model
from mesos_dns.names.provenance import Reading
from mesos_dns.names.table import CLUSTER_LABELS
from mesos_dns.quoting import quoted
from mesos_dns.zone.zone import Zone

#: Labels that are compared with one that does not exist: 2 ms.
MOST_COMPARED: Final = 1000
#: Frameworks that are asked for a task of the same name.
MOST_FRAMEWORKS: Final = 500
#: Names that are shown as like one, and other frameworks with a task of the name.
MOST_ALIKE: Final = 5
#: Frameworks that are named when there is none of some name.
_MOST_NAMED: Final = 10
#: Octets in which labels that are alike may differ, in one place.
_MOST_DIFFERENT: Final = 2

#: Ways to read a name that are tried.
_MOST_READINGS: Final = 6

Labels = list[bytes]
_PROTOCOLS: Final = {b"_tcp": b"_udp", b"_udp": b"_tcp"}


class Alike(NamedTuple):
    """Names like one, and how many labels were compared."""

    names: tuple[str, ...]
    compared: int


def labels_of(text: str) -> Labels:
    """The labels of what was asked for, in lower case, as far as they can be told apart; also if it can be no name."""
    return [label for label in text.encode("utf-8", "replace").lower().split(b".") if label]


def wire(labels: Iterable[bytes]) -> bytes | None:
    """Their wire form; None if they cannot be a name."""
    try:
        return names.from_labels(labels)
    except names.BadNameError:
        return None


def existing(zone: Zone, labels: Iterable[bytes]) -> str:
    """The name of these labels in the form for people if it exists, else ""."""
    owner = wire(labels)
    return names.to_master_file(owner) if owner is not None and zone.exists(zone.redirected(owner)) else ""


def by_rule(labels: Labels, rule: LabelRule) -> Labels:
    """The labels as the rule for names of tasks and frameworks makes them, an underscore in front apart.

    As they are if nothing is left of one of them: then the rule does not lead from this name to another.
    """
    made = [(label[: label.startswith(b"_")], rule(label.lstrip(b"_").decode("utf-8", "replace"))) for label in labels]
    return [underscore + label for underscore, label in made] if all(label for _, label in made) else labels


def of_search_lists(zone: Zone, labels: Labels) -> Iterator[Reason]:
    """Whether a resolver's search list has made this name, or should have: what is in front of, and behind, the domain."""
    domain = [*names.labels(zone.authority.apex)]
    size = len(domain)
    for at in range(1, len(labels) - size):
        if labels[at : at + size] == domain:
            meant, rest = labels[: at + size], b".".join(labels[at + size :])
            text = existing(zone, meant)
            if text or rest == b".".join(domain):
                owner = wire(meant)
                text = text or (names.to_master_file(owner) if owner is not None else "")
                yield Reason(
                    "search-list",
                    f"the search list of the client's resolver seems to have appended {_quoted(rest)}: ask for {text} with the dot at its end",
                    text,
                )
                return
    if labels and labels[-size:] != domain and (text := existing(zone, labels + domain)):
        yield Reason(
            "no-domain", f"it lacks the domain: {text} exists, and the client's search list does not add that", text
        )


def misspelt(zone: Zone, front: Labels, rule: LabelRule) -> Iterator[Reason]:
    """Names that exist, and differ from `front` (the labels in front of the domain) by a rule, a protocol or an underscore."""
    domain = [*names.labels(zone.authority.apex)]
    made = by_rule(front, rule)
    if made != front and (text := existing(zone, made + domain)):
        yield Reason(
            "label-rule",
            f"labels are made of names: other characters than letters, digits and dashes are changed or dropped, long ones cut: {text} exists",
            text,
        )
    for size in range(2, len(front)):
        joined = rule(b".".join(front[:size]).decode("utf-8", "replace"))
        if text := existing(zone, [joined, *front[size:], *domain]):
            yield Reason("label-rule", f"a name makes one label, with dashes for its dots: {text} exists", text)
            break
    swapped = [_PROTOCOLS.get(label, label) for label in made]
    if swapped != made and (text := existing(zone, swapped + domain)):
        yield Reason("protocol", f"the port has another protocol: {text} exists", text)
    yield from _services(zone, front, made)


def _services(zone: Zone, front: Labels, made: Labels) -> Iterator[Reason]:
    """The same for underscores; `made` is `front` by the rule of labels."""
    domain = [*names.labels(zone.authority.apex)]
    bare = [label for label in made if label not in _PROTOCOLS]
    if len(bare) != len(made):
        at = next(n for n, label in enumerate(made) if label in _PROTOCOLS)
        service = [b"_" + label.lstrip(b"_") for label in made[:at]] + made[at:]
        if service != front and (text := existing(zone, service + domain)):
            yield Reason("underscore", f"names of services begin with an underscore: {text} exists", text)
        plain = [label.lstrip(b"_") for label in bare]
        if plain and (text := existing(zone, plain + domain)):
            yield Reason(
                "no-ports", f"there is no such service, but {text} exists: its tasks may have no such ports", text
            )
    elif made and made[0].startswith(b"_"):
        plain = [label.lstrip(b"_") for label in made]
        if text := existing(zone, plain + domain):
            yield Reason("underscore", f"only names of services begin with an underscore: {text} exists", text)


def elsewhere(model: Model, zone: Zone, front: Labels) -> Iterator[Reason]:
    """The same name in other frameworks; and what frameworks there are if none is called like that."""
    domain = [*names.labels(zone.authority.apex)]
    rule = model.naming.rules.label
    readings = _readings(front)
    found: dict[str, None] = {}
    for reading in readings:
        label = rule(reading.name.decode("utf-8", "replace"))
        for fragment, framework_ids in islice(model.called.items(), MOST_FRAMEWORKS):
            if fragment == reading.fragment or not label:
                continue
            if any(model.tasks_of_framework(framework_id).called(label) for framework_id in framework_ids):
                text = existing(zone, _at(front, reading, fragment) + domain)
                found |= {text: None} if text else {}
        if len(found) >= MOST_ALIKE:
            break
    for text in islice(found, MOST_ALIKE):
        yield Reason("other-framework", f"another framework has a task of that name: {text} exists", text)
    fragments = {reading.fragment for reading in readings}
    if fragments and not any(fragment in model.called for fragment in fragments):
        lacking = min((one or b"" for one in fragments), key=len)
        there = [*islice(filter(None, model.called), _MOST_NAMED)]
        more = sum(map(bool, model.called)) - len(there)
        which = ", ".join(map(_quoted, there)) + (f" and {more} more" if more else "") if there else "none at all"
        yield Reason("no-framework", f"no framework is called {_quoted(lacking)}; there are: {which}")


def alike(model: Model, zone: Zone, front: Labels) -> Alike:
    """Names that exist and differ a little from `front`: in the label of the task, of the framework, or of what belongs to the cluster."""
    domain = [*names.labels(zone.authority.apex)]
    rule = model.naming.rules.label
    found: dict[str, None] = {}
    compared = 0
    for reading in _readings(front):
        label = rule(reading.name.decode("utf-8", "replace"))
        framework_ids = model.called.get(reading.fragment or b"", ())
        for framework_id in framework_ids:
            there = [*islice(model.tasks_of_framework(framework_id).labels(), max(0, MOST_COMPARED - compared))]
            compared += len(there)
            for other in similar(label, there):
                found[existing(zone, _instead(front, label, other) + domain)] = None
        if not framework_ids:
            there = [*islice(model.called, max(0, MOST_COMPARED - compared))]
            compared += len(there)
            for called in similar(reading.fragment or b"", there):
                found[existing(zone, _at(front, reading, called) + domain)] = None
    if len(front) == 1:
        there = [*islice([*CLUSTER_LABELS, *model.called], MOST_COMPARED)]
        compared += len(there)
        for other in similar(front[0], there):
            found[existing(zone, [*other.split(b"."), *domain])] = None
    return Alike(tuple(islice(filter(None, found), MOST_ALIKE)), compared)


def similar(wanted: bytes, others: Iterable[bytes]) -> list[bytes]:
    """Those that differ from `wanted` in one place by few octets, or begin like it; the most similar first."""
    found = []
    for other in others:
        # Most are out of the question, and that is seen at once.
        if other == wanted or not (other[:1] == wanted[:1] or other[-2:] == wanted[-2:]):
            continue
        begins = len(wanted) > 2 and other.startswith(wanted)
        if not begins and abs(len(other) - len(wanted)) > _MOST_DIFFERENT:
            continue
        longest = max(len(other), len(wanted))
        same = _same(wanted, other)
        few = longest - same <= _MOST_DIFFERENT
        if begins or (few and (2 * same >= longest or sorted(other) == sorted(wanted))):
            found.append((same / longest, other))
    return [other for _, other in nlargest(MOST_ALIKE, found)]


def _same(one: bytes, other: bytes) -> int:
    """How many octets are the same in front and at the end."""
    shortest = min(len(one), len(other))
    front = 0
    while front < shortest and one[front] == other[front]:
        front += 1
    end = 0
    while end < shortest - front and one[-1 - end] == other[-1 - end]:
        end += 1
    return front + end


def _readings(front: Labels) -> list[Reading]:
    """The likely ways to read labels as a task's name in a framework: neither label of these can have an underscore in front."""
    found: dict[tuple[bytes, bytes], Reading] = {}
    for reading in provenance.readings(front) if front else ():
        fragment, name = reading.fragment or b"", reading.name
        if reading.whole and fragment and b"_" not in fragment and not name.startswith(b"_") and b"._" not in name:
            found.setdefault((fragment, name), reading)
    return [*islice(found.values(), _MOST_READINGS)]


def _at(front: Labels, reading: Reading, fragment: bytes) -> Labels:
    """The labels with another framework than that of the reading."""
    given = (reading.fragment or b"").split(b".")
    at = next(n for n in range(len(front), -1, -1) if front[n : n + len(given)] == given)
    return front[:at] + fragment.split(b".") + front[at + len(given) :]


def _instead(front: Labels, label: bytes, other: bytes) -> Labels:
    """The labels with another name of a task than `label`."""
    for at, one in enumerate(front):
        if one.lstrip(b"_").replace(b"_", b"-") == label:
            return [*front[:at], one[: one.startswith(b"_")] + other, *front[at + 1 :]]
    return [other, *front[1:]]


def _quoted(octets: bytes) -> str:
    return quoted(octets.decode("utf-8", "replace"))
