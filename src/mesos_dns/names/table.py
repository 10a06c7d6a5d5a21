"""The one table of names: which owners the records of each kind of entity have. Pure.

A new kind of name is one entry here. The plain way of naming (names.naming), the bulk way (names.bulk), the
reserved names and the way back from an owner to its contributors (names.provenance) are all made from this table.

Owners are written without the domain. Small words and what begins with an underscore stand for themselves, but for:

    NAME   the task's label, or its discovery name as it is
    CANON  the canonical name of one task, `NAME-HASH-TAIL` (labels.canonical)
    FW     the labels of the framework's name
    PROTO  the protocol of a port; `tcp` and `udp` for a port without
    PORT   the label of a discovery port's name; ports without a name have no such owner
    N      the number of a master
"""

from functools import cache
from typing import Final, Literal, NamedTuple

#: Where addresses come from: those of the task (`IPSources`), or those of its agent. Other entities have only their own.
#: Where ports come from: the task's resources, its discovery information, or the entity's own port.
Data = Literal["addresses", "agent addresses", "host ports", "discovery ports", "own port"]
#: Only for tasks without a discovery name; only for tasks without host ports.
Condition = Literal["always", "no discovery name", "no host ports"]


class Place:
    """What follows the first part of an owner: labels with FW and PROTO among them, and fixed labels in front of the domain.

    Made by `place`, once each: places are looked up so often that hashing what is in them would count.
    """

    __slots__ = ("base", "labels")

    def __init__(self, labels: tuple[str, ...], base: tuple[str, ...]) -> None:
        self.labels = labels
        self.base = base

    def __repr__(self) -> str:
        return f"Place({'.'.join((*self.labels, *self.base))})"


@cache
def place(labels: tuple[str, ...], base: tuple[str, ...]) -> Place:
    """The place of these labels, the same one each time."""
    return Place(labels, base)


class Pattern(NamedTuple):
    """An owner: `front` is what makes it different from others at the same `place`, one of `FRONTS`."""

    front: str
    place: Place


FRONTS: Final = ("_PORT._NAME", "_NAME", "NAME", "CANON", "")


class Rule(NamedTuple):
    """One kind of record: address records of `data` at `owner`, or SRV records that point to `target`."""

    owner: Pattern
    data: Data
    target: Pattern | None = None
    when: Condition = "always"

    @property
    def at_agent(self) -> bool:
        """Whether the target has the agent's addresses, so that ports must be those of the agent."""
        return self.target is not None and bool(self.target.place.base)


def _pattern(text: str) -> Pattern:
    front = next(front for front in FRONTS if not front or text.startswith(front + "."))
    labels = text.removeprefix(front + ".").split(".")
    # Fixed labels at the end belong to the domain, as it were: the rule for long names leaves them alone.
    end = len(labels)
    while front and labels[end - 1].islower():
        end -= 1
    return Pattern(front, place(tuple(labels[:end]), tuple(labels[end:])))


def _addresses(owner: str, data: Data = "addresses") -> Rule:
    return Rule(_pattern(owner), data)


def _service(owner: str, data: Data, target: str, when: Condition = "always") -> Rule:
    return Rule(_pattern(owner), data, _pattern(target), when)


#: In Go's order, which `/v1/enumerate` shows. A target must be the owner of an address rule.
TASK_RULES: Final = (
    _addresses("NAME.FW"),
    _addresses("CANON.FW"),
    _addresses("NAME.FW.slave", "agent addresses"),
    _addresses("CANON.FW.slave", "agent addresses"),
    _service("_NAME._PROTO.FW.slave", "host ports", "CANON.FW.slave"),
    _service("_NAME._PROTO.FW", "host ports", "CANON.FW.slave", "no discovery name"),
    _service("NAME.FW._PROTO", "host ports", "CANON.FW.slave", "no discovery name"),
    _service("_NAME._PROTO.FW", "discovery ports", "CANON.FW"),
    _service("_PORT._NAME._PROTO.FW", "discovery ports", "CANON.FW"),
    _service("NAME.FW._PROTO", "discovery ports", "CANON.FW"),
    # The fork's names. Where host ports have this name it means host ports, as it always did.
    _service("_NAME._PROTO.FW.slave", "discovery ports", "CANON.FW.slave", "no host ports"),
    _service("_PORT._NAME._PROTO.FW.slave", "discovery ports", "CANON.FW.slave"),
)
FRAMEWORK_RULES: Final = (
    _addresses("FW"),
    _service("_framework._tcp.FW", "own port", "FW"),
)
AGENT_RULES: Final = (
    _addresses("slave"),
    _service("_slave._tcp", "own port", "slave"),
    _addresses("agent"),
    _service("_agent._tcp", "own port", "agent"),
)
#: Labels in front of the domain: what is below the first is below the second. Names of agents below `slave` are nearly half of
#: all names: to have each twice would cost half as much memory again.
REDIRECTS: Final = (("agent", "slave"),)
LEADER_RULES: Final = (
    _addresses("leader"),
    _service("_leader._tcp", "own port", "leader"),
    _service("_leader._udp", "own port", "leader"),
)
MASTER_RULES: Final = (
    _addresses("master"),
    _addresses("masterN"),
    _service("_master._tcp", "own port", "masterN"),
    _service("_master._udp", "own port", "masterN"),
)

#: Labels below which names of agents lie, `NAME.FW.slave`: a framework whose name ends in one would land among them.
AGENT_LABELS: Final = frozenset(
    {label.encode() for rule in TASK_RULES for label in rule.owner.place.base}
    | {label.encode() for redirect in REDIRECTS for label in redirect}
)
#: Labels directly below the domain that belong to the cluster; `masterN` for every number.
CLUSTER_LABELS: Final = AGENT_LABELS | {
    rule.owner.place.labels[0].encode()
    for rule in (*AGENT_RULES, *LEADER_RULES, *MASTER_RULES)
    if len(rule.owner.place.labels) == 1 and not rule.owner.place.labels[0].endswith("N")
}
#: Labels of tasks whose services would be a scheduler's.
SCHEDULER_LABELS: Final = frozenset(
    rule.owner.place.labels[0][1:].encode() for rule in FRAMEWORK_RULES if rule.owner.place.labels[0].startswith("_")
)


def is_of_cluster(label: bytes) -> bool:
    """Whether a label directly below the domain belongs to the cluster: `leader`, `master3`, `slave` and so on."""
    return label in CLUSTER_LABELS or (label.startswith(b"master") and label[6:].isdigit())
