"""What owner names end in, made once for the many names of one framework. Pure.

`D` below is the domain, `fw` the framework's name fragment.
"""

from functools import lru_cache
from typing import NamedTuple

from mesos_dns.limits import MAX_LABEL, MAX_PROTOCOLS, MAX_SUFFIXES
from mesos_dns.mesos.state import Task
from mesos_dns.names import labels as lb

#: Packed addresses of one host, A and AAAA mixed.
Addresses = tuple[bytes, ...]


Owners = tuple[bytes, ...]

#: A port without a protocol of its own is offered over both.
BOTH = (b"_tcp", b"_udp")


class Rules(NamedTuple):
    """What the configuration says about names. `domain` and `self_name` are wire form, lower case."""

    domain: bytes
    self_name: bytes
    label: lb.LabelRule
    ip_sources: tuple[str, ...]
    srv_weight: int


class Suffix(NamedTuple):
    """What follows the first label of an owner: `labels` in front of `base` (wire form).

    `wire` is both in wire form, or None if that needs the rule for long names or cannot be.
    """

    labels: tuple[bytes, ...]
    base: bytes
    wire: bytes | None


class Suffixes(NamedTuple):
    """The endings of all names of one framework's tasks.

    `services` has, for each protocol, (`_PROTO.fw.D`, `_PROTO.fw.slave.D`, `fw._PROTO.D`).
    """

    framework: bytes
    domain: Suffix
    slave: Suffix
    services: dict[bytes, tuple[Suffix, Suffix, Suffix]]


#: Length octets, ready to be concatenated.
LENGTH = tuple(bytes((n,)) for n in range(MAX_LABEL + 1))


class Endings:
    """The endings of all frameworks' names under `rules`."""

    def __init__(self, rules: Rules) -> None:
        self._domain = rules.domain
        self._slave_domain = b"\5slave" + rules.domain
        self._suffixes: dict[bytes, Suffixes] = {}

    def __repr__(self) -> str:
        return f"Endings(frameworks={len(self._suffixes)})"

    def of(self, framework: bytes) -> Suffixes:
        """The endings for one framework; remembered, since it has many tasks."""
        suffixes = self._suffixes.get(framework)
        if suffixes is None:
            if len(self._suffixes) >= MAX_SUFFIXES:
                self._suffixes.clear()
            suffixes = Suffixes(
                framework, suffix_of(framework, self._domain), suffix_of(framework, self._slave_domain), {}
            )
            self._suffixes[framework] = suffixes
        return suffixes

    def services(self, suffixes: Suffixes, protocol: bytes) -> tuple[Suffix, Suffix, Suffix]:
        """The endings of the services with this protocol label, as in `Suffixes`."""
        services = suffixes.services.get(protocol)
        if services is None:
            if len(suffixes.services) >= MAX_PROTOCOLS:
                suffixes.services.clear()
            framework = suffixes.framework
            services = suffixes.services[protocol] = (
                suffix_of(b"%b.%b" % (protocol, framework), self._domain),
                suffix_of(b"%b.%b" % (protocol, framework), self._slave_domain),
                suffix_of(b"%b.%b" % (framework, protocol), self._domain),
            )
        return services


def chosen_addresses(rules: Rules, task: Task, agent: Addresses) -> Addresses:
    """All addresses of the first of `IPSources` that has any."""
    for source in rules.ip_sources:
        found: Addresses = agent if source == "host" else getattr(task, source)
        if found:
            return found
    return ()


def suffix_of(text: bytes, base: bytes) -> Suffix:
    """Dotted `text` in front of `base`."""
    front = front_of(text)
    return Suffix(tuple(text.split(b".")), base, None if front is None else front + base)


@lru_cache(maxsize=65536)
def front_of(text: bytes) -> bytes | None:
    """Dotted `text` as length octets and labels, or None if one is empty or too long."""
    labels = text.split(b".")
    if all(0 < len(label) <= MAX_LABEL for label in labels):
        return b"".join(LENGTH[len(label)] + label for label in labels)
    return None
