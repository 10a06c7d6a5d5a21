"""What the names of a task are made of, for both ways of naming. Pure."""

from typing import Final

from mesos_dns.mesos.state import Task
from mesos_dns.names import skipped
from mesos_dns.names.suffixes import Addresses, Rules
from mesos_dns.names.table import AGENT_LABELS

#: A running task, the fragment of its framework's name, and the addresses of its agent.
TaskPlacement = tuple[Task, bytes, Addresses]

#: Ports of one task that become SRV records. A port range may span thousands; each port costs two
#: to six records, and nobody can use a service with that many unnamed ports.
MAX_PORTS_PER_TASK: Final = 256


def framework_problem(fragment: bytes) -> str | None:
    """Why neither a framework with this fragment nor its tasks can have names; None if they can."""
    if not fragment:
        return skipped.EMPTY_LABEL
    # Its names would lie where the agents' names of other frameworks' tasks lie.
    return skipped.RESERVED_NAME if fragment.rpartition(b".")[2] in AGENT_LABELS else None


def task_names(rules: Rules, framework: bytes, text: str, reasons: set[str], *, discovery: bool) -> list[bytes]:
    """The dotted names that stand for NAME in the table, in Go's order; why others do not is added to `reasons`.

    The name of a task gives its label. A discovery name gives itself, in lower case, and its label. As it is
    it must not have a label `*`, which servers that load the zone take for a wildcard (RFC 4592), nor one
    that begins with an underscore: `http._web` would be the port `http` of a service `web`.
    """
    problem = framework_problem(framework)
    if problem is not None:
        reasons.add(problem)
        return []
    label = rules.label(text)
    names = [label] if label else []
    if not label:
        reasons.add(skipped.EMPTY_LABEL)
    if discovery:
        raw = text.encode("utf-8", "replace").lower()
        if raw == label:
            return names
        labels = raw.split(b".")
        if not all(labels):
            reasons.add(skipped.EMPTY_LABEL)
        elif b"*" in labels:
            reasons.add(skipped.WILDCARD_LABEL)
        elif raw.startswith(b"_") or b"._" in raw:
            reasons.add(skipped.SERVICE_LABEL)
        else:
            names.insert(0, raw)
    return names


def chosen_addresses(rules: Rules, task: Task, agent: Addresses) -> Addresses:
    """All addresses of the first of `IPSources` that has any."""
    for source in rules.ip_sources:
        found: Addresses = agent if source == "host" else getattr(task, source)
        if found:
            return found
    return ()
