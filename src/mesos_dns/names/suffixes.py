"""What owner names end in, made once for the many names of one framework. Pure."""

from functools import lru_cache
from typing import Final, NamedTuple

from mesos_dns.limits import MAX_LABEL
from mesos_dns.names import labels as lb
from mesos_dns.names.remembered import InUse, forget_surplus, forget_surplus_calls
from mesos_dns.names.table import FRAMEWORK_RULES, Place

#: Packed addresses of one host, A and AAAA mixed.
Addresses = tuple[bytes, ...]

Owners = tuple[bytes, ...]

#: A port without a protocol of its own is offered over both.
BOTH = (b"_tcp", b"_udp")

#: Frameworks whose suffixes are remembered; beyond, all are forgotten at once.
MAX_SUFFIXES: Final = 10_000
#: Suffixes that a framework usually has.
_SUFFIXES_OF_FRAMEWORK: Final = 10
#: Suffixes of one framework that are remembered: usual are ten, of two protocols; each further protocol has some more.
_MAX_SUFFIXES_OF_FRAMEWORK: Final = 500
#: Dotted names whose wire form is remembered; beyond, the one that was used longest ago is forgotten.
_MAX_FRONTS: Final = 65536


class Rules(NamedTuple):
    """What the configuration says about names. `domain` and `self_name` are wire form, lower case.

    `health_aware`: unhealthy tasks give way to healthy ones (names.health).
    """

    domain: bytes
    self_name: bytes
    label: lb.LabelRule
    ip_sources: tuple[str, ...]
    srv_weight: int
    health_aware: bool = True


class Suffix(NamedTuple):
    """What follows the front of an owner: `labels` in front of `base` (wire form).

    `wire` is both in wire form, or None if that needs the rule for long names or cannot be.
    """

    labels: tuple[bytes, ...]
    base: bytes
    wire: bytes | None


class Suffixes:
    """The suffixes of all names of one framework's tasks; made when first looked up.

    `reserved` are owners that no task may have, although they could: those of the scheduler, and of this server.
    """

    def __init__(self, framework: bytes, rules: Rules) -> None:
        self.framework = framework
        self._domain = rules.domain
        self._made: dict[tuple[Place, bytes], Suffix] = {}
        own = [self.at(rule.owner.place) for rule in FRAMEWORK_RULES]
        self.reserved = {lb.owner(suffix.labels, suffix.base) for suffix in own} | {rules.self_name}

    def __repr__(self) -> str:
        return f"Suffixes({self.framework!r}, made={len(self._made)})"

    def at(self, place: Place, protocol: bytes = b"") -> Suffix:
        """What follows the front of an owner at `place`; `protocol` is a label such as `_tcp`, if the place has one."""
        suffix = self._made.get((place, protocol))
        if suffix is None:
            if len(self._made) >= _MAX_SUFFIXES_OF_FRAMEWORK:
                self._made.clear()
            values = {"FW": self.framework, "_PROTO": protocol}
            text = b".".join([values.get(label) or label.encode() for label in place.labels])
            base = b"".join([LENGTH[len(label)] + label.encode() for label in place.base]) + self._domain
            suffix = self._made[place, protocol] = suffix_of(text, base)
        return suffix


#: Length octets, ready to be concatenated.
LENGTH = tuple(bytes((n,)) for n in range(MAX_LABEL + 1))


class SuffixTable:
    """The suffixes of all frameworks' names under `rules`."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._suffixes: dict[bytes, Suffixes] = {}

    def __repr__(self) -> str:
        return f"SuffixTable(frameworks={len(self._suffixes)})"

    def of(self, framework: bytes) -> Suffixes:
        """The suffixes for one framework's fragment; remembered, since it has many tasks."""
        suffixes = self._suffixes.get(framework)
        if suffixes is None:
            if len(self._suffixes) >= MAX_SUFFIXES:
                self._suffixes.clear()
            suffixes = self._suffixes[framework] = Suffixes(framework, self._rules)
        return suffixes

    def forget_surplus(self, in_use: InUse) -> None:
        """Forget the suffixes of frameworks that are gone, if they are many."""
        forget_surplus(self._suffixes, in_use.frameworks)
        # A framework has ten, and a dotted name of a task one.
        forget_surplus_calls(front_of, _SUFFIXES_OF_FRAMEWORK * in_use.frameworks + in_use.tasks)


def suffix_of(text: bytes, base: bytes) -> Suffix:
    """Dotted `text` in front of `base`."""
    front = front_of(text)
    return Suffix(tuple(text.split(b".")), base, None if front is None else front + base)


@lru_cache(maxsize=_MAX_FRONTS)
def front_of(text: bytes) -> bytes | None:
    """Dotted `text` as length octets and labels, or None if one is empty or too long."""
    labels = text.split(b".")
    if all(0 < len(label) <= MAX_LABEL for label in labels):
        return b"".join([LENGTH[len(label)] + label for label in labels])
    return None
