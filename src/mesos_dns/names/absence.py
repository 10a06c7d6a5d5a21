"""Why tasks do not have a name that they would have, or had a moment ago. Pure; the time comes in."""

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Final, NamedTuple

from msgspec.structs import replace

from mesos_dns.dns import name as names
from mesos_dns.mesos.state import MAX_NOT_RUNNING, Hidden, NotRunning, Task, TaskKey
from mesos_dns.names import provenance
from mesos_dns.names.explanation import Reason
from mesos_dns.names.holds import Holds
from mesos_dns.names.model import Model
from mesos_dns.names.provenance import Reading
from mesos_dns.names.tasks import chosen
from mesos_dns.quoting import quoted
from mesos_dns.zone.journal import Change, Journal

#: Tasks with the right name that are looked at: each costs its names, 20 to 50 microseconds.
MOST_TASKS: Final = 50
#: Entries of a list of clients that are told.
MOST_CLIENTS: Final = 5
#: Tasks that are told of for one reason; the others that were looked at are counted.
_MOST_TOLD: Final = 3
#: Characters of an id.
_MOST_ID: Final = 120
#: Words for states of tasks; those of another Mesos speak for themselves.
_STATES: Final = {
    "TASK_STAGING": "is being started: its agent has not taken it yet, or fetches what it needs (TASK_STAGING)",
    "TASK_STARTING": "is being started by its executor (TASK_STARTING)",
    "TASK_KILLING": "is being killed (TASK_KILLING)",
}
_SOME: Final = (b"\0\0\0\0",)


class Facts(NamedTuple):
    """What is known besides the model and the zone.

    `now` is a Unix time, `steady` the time of the clock of `holds`. `not_running` are tasks that do not run. `hidden` is what the
    last whole state did not show. `trouble` says what hinders newer states, "" if nothing does.
    `clients` are those who may ask, as configured; empty for everybody.
    """

    now: float
    steady: float
    journal: Journal
    holds: Holds
    not_running: Sequence[NotRunning] = ()
    hidden: Hidden = Hidden()
    trouble: str = ""
    clients: tuple[str, ...] = ()


def called(model: Model, task: Task) -> str:
    """A task in words."""
    framework = model.frameworks.get(task.framework_id)
    return f"task {quoted(task.id, _MOST_ID)} of framework {quoted(framework.name if framework else task.framework_id)}"


def duration(seconds: float) -> str:
    """In the largest unit of which there are two."""
    for unit, length in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length:.0f} {unit}"
    return f"{max(seconds, 0.0):.0f} s"


def left(until: float, now: float) -> int | None:
    """Whole seconds left; None for no end in sight."""
    return None if until == math.inf else round(max(until - now, 0.0))


def of_tasks(model: Model, facts: Facts, owner: bytes, rrtype: int | None, *, absent: bool) -> list[Reason]:
    """Tasks that would have records of this type at `owner` (every type: None), and why they have none.

    `absent`: there is no such record, so names that tasks cannot have are of interest, too.
    """
    found: dict[str, list[str]] = {}
    seen: set[TaskKey] = set()
    for key, reading, fragment in model.namesakes(owner):
        if key in seen:
            continue
        if len(seen) >= MOST_TASKS:
            break
        seen.add(key)
        reason = _of_task(model, key, reading, fragment, owner, rrtype, absent=absent)
        if reason is not None:
            found.setdefault(reason.code, []).append(reason.text)
    return [*_of_not_running(model, facts, owner, rrtype, absent=absent), *_told(found)]


def _told(found: dict[str, list[str]]) -> Iterator[Reason]:
    for code, texts in found.items():
        for text in texts[:_MOST_TOLD]:
            yield Reason(code, text)
        if len(texts) > _MOST_TOLD:
            yield Reason(code, f"the same is true of {len(texts) - _MOST_TOLD} or more other tasks")


def _of_task(
    model: Model, key: TaskKey, reading: Reading, fragment: bytes, owner: bytes, rrtype: int | None, *, absent: bool
) -> Reason | None:
    obstacle = _obstacle(model, model.tasks[key])
    if obstacle is None and not absent:
        return None  # Nearly all.
    task = model.tasks[key]
    reasons: set[str] = set()
    if not _would_have(model, task, fragment, reading, owner, rrtype, reasons):
        what = "; ".join(sorted(reasons))
        return Reason("skipped", f"{called(model, task)} cannot have all of its names: {what}") if what else None
    if any(record[0] == owner and rrtype in (None, record[1]) for record in model.task_records(key)):
        return None
    return obstacle


def _obstacle(model: Model, task: Task) -> Reason | None:
    """What keeps a task from some of its names."""
    agent = model.agent_addresses(task.agent_id)
    if task.framework_id not in model.frameworks:
        return Reason("framework-unknown", f"{called(model, task)} runs, but the state does not show that framework")
    if agent is None:
        where = quoted(task.agent_id, _MOST_ID)
        return Reason("agent-unknown", f"{called(model, task)} runs on agent {where}, which the state does not show")
    if model.gives_way(task):
        return Reason(
            "unhealthy", f"{called(model, task)} is unhealthy, and gives way to healthy tasks of the same name"
        )
    if not chosen(model.naming.rules, task, agent)[0]:
        sources = ", ".join(model.naming.rules.ip_sources)
        host = model.agents[task.agent_id].host
        unresolved = f"; its agent's host name {quoted(host)} has not been resolved" if host and not agent else ""
        return Reason(
            "no-address", f"{called(model, task)} has no address: IPSources ({sources}) give none{unresolved}"
        )
    if not agent:
        return Reason("no-address", f"{called(model, task)} runs on an agent without a known address")
    return None


def _would_have(
    model: Model,
    task: Task,
    fragment: bytes,
    reading: Reading,
    owner: bytes,
    rrtype: int | None,
    reasons: set[str],
) -> bool:
    """Whether it would have such records if nothing hindered it; why it has less than all names is added to `reasons`."""
    known = model.fragment(task.framework_id)
    as_if = replace(task, netinfo=_SOME, docker=_SOME, mesos=_SOME)
    records = model.naming.task(
        as_if, fragment if known is None else known, _SOME, reasons=reasons, rules=reading.rules
    )
    return any(record[0] == owner and rrtype in (None, record[1]) for record in records)


def _of_not_running(model: Model, facts: Facts, owner: bytes, rrtype: int | None, *, absent: bool) -> Iterator[Reason]:
    domain = model.naming.rules.domain
    if not facts.not_running or owner == domain or not names.is_below_or_at(owner, domain):
        return
    labels = [*names.labels(owner[: len(owner) - len(domain)] + names.ROOT)]
    rule = model.naming.rules.label
    whole: dict[tuple[bytes | None, bytes], list[Reading]] = {}
    parts: list[Reading] = []
    for reading in provenance.readings(labels):
        if reading.whole:
            key = reading.fragment, rule(reading.name.decode("utf-8", "replace"))
            whole.setdefault(key, []).append(reading)
        else:
            parts.append(reading)
    found: dict[str, list[str]] = {}
    labels_wanted = frozenset(label for _, label in whole)
    for each in facts.not_running:
        task, state = each.task, each.state
        label = rule(task.discovery_name or task.name)
        if label not in labels_wanted and not parts:
            continue  # Nearly all.
        fragment = model.fragment(task.framework_id)
        fitting = [*whole.get((fragment, label), ()), *(one for one in parts if one.fragment == fragment)]
        if any(_would_have(model, task, fragment or b"", one, owner, rrtype, set()) for one in fitting):
            words = _STATES.get(state, f"does not run ({quoted(state)})")
            found.setdefault("not-running", []).append(f"{called(model, task)} {words}")
            if len(found["not-running"]) > MOST_TASKS:
                break
    yield from _told(found)
    if absent and not found and len(facts.not_running) >= MAX_NOT_RUNNING:
        yield Reason(
            "many-not-running", f"{MAX_NOT_RUNNING} tasks or more do not run yet, not all of which were looked at"
        )


def of_journal(facts: Facts, owner: bytes, rrtype: int | None, *, absent: bool) -> Iterator[Reason]:
    """When the name vanished, or changed for the last time, as far as it is remembered, and because of what."""
    for change in reversed(facts.journal):
        went = _has(change.vanished, owner, rrtype)
        if went or (not absent and _has(change.appeared, owner, rrtype)):
            what = "vanished" if absent else "changed"
            texts = _because(change, owner)
            text = f"it {what} {duration(facts.now - change.at)} ago, with serial {change.serial}: {texts}"
            yield Reason(what, text)
            return


def _has(records: Iterable[tuple[bytes, int, bytes]], owner: bytes, rrtype: int | None) -> bool:
    for found, one, _ in records:  # noqa: SIM110 - a generator takes twice as long, and there are tens of thousands
        if found == owner and rrtype in (None, one):
            return True
    return False


def _because(change: Change, owner: bytes) -> str:
    """The few causes of a change that are likely those of a change at `owner`."""
    texts = change.because.texts
    longest = max((label.lstrip(b"_") for label in islice(names.labels(owner), 2)), key=len, default=b"")
    mine = [text for text in texts if longest.decode("utf-8", "replace") in text] or [*texts]
    more = len(mine) - _MOST_TOLD if mine and len(mine) > _MOST_TOLD else 0
    more += change.because.more
    return "; ".join(mine[:_MOST_TOLD]) + (f"; and {more} more" if more else "") or "for no known reason"


def of_what_is_hidden(model: Model, facts: Facts) -> Iterator[Reason]:
    """What a state did not show, and why there may be no newer one."""
    concealed, not_shown, flags = facts.hidden.concealed, facts.hidden.not_shown, facts.hidden.flags
    if concealed:
        names_of = [_framework(model, one) for one in sorted(concealed.tasks_of)[:_MOST_TOLD]]
        what = "tasks of " + ", ".join(names_of) if names_of else "frameworks with their tasks"
        yield Reason(
            "concealed", f"the master hides {what} from this server: its principal may not see all (authorization)"
        )
    elif flags:
        yield Reason(
            "concealed", "the master hides its flags from this server, so it may hide tasks, too (authorization)"
        )
    if not_shown.frameworks or not_shown.agents or not_shown.tasks_of:
        yield Reason(
            "not-shown", "the last state lacked a list of frameworks, tasks or agents: what is new there is not known"
        )
    if facts.trouble:
        yield Reason("old", f"what is newer is not known: {facts.trouble}")


def of_clients(key: str, clients: tuple[str, ...]) -> Iterator[Reason]:
    """Who is answered, if not everybody is: `clients`, as the configuration has it under `key`."""
    if clients:
        more = f" and {len(clients) - MOST_CLIENTS} more" if len(clients) > MOST_CLIENTS else ""
        them = ", ".join(quoted(one) for one in clients[:MOST_CLIENTS])
        yield Reason("clients", f"only clients in {key} are answered, others are refused: {them}{more}")


def _framework(model: Model, framework_id: str) -> str:
    framework = model.frameworks.get(framework_id)
    return quoted(framework.name if framework else framework_id)
