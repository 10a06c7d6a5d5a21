"""Frameworks, agents and tasks as lists, a page at a time, and hits of a search. Pure.

A page is cut where it begins and ends in the present order, so what comes or goes between two pages shifts them.
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final, NamedTuple, TypeVar

from mesos_dns.dns import name as names
from mesos_dns.dns import rdata as rd
from mesos_dns.dns.rdata import AAAA, A
from mesos_dns.mesos.state import Agent, Framework, Task, TaskKey
from mesos_dns.names.model import Model
from mesos_dns.web import search as searching
from mesos_dns.web.go_json import line, render
from mesos_dns.web.views import Pieces
from mesos_dns.zone.zone import Zone

T = TypeVar("T")
#: Entries of a page, and those without a wish.
MAX_PAGE_ENTRIES: Final = 500
USUAL_PAGE_ENTRIES: Final = 50
#: What a task says of its health.
_HEALTH: Final = {True: "healthy", False: "unhealthy", None: ""}


class Part(NamedTuple):
    """Which part of a list: at most `limit` entries after the first `offset`."""

    offset: int = 0
    limit: int = USUAL_PAGE_ENTRIES


def framework_entry(model: Model, framework: Framework) -> dict[str, object]:
    """A framework as lists show it; `name` is what it calls itself."""
    return {
        "id": framework.id,
        "name": framework.name,
        "host": framework.host,
        "port": framework.port,
        "tasks": len(model.tasks_of_framework(framework.id)),
    }


def agent_entry(model: Model, agent: Agent) -> dict[str, object]:
    """An agent as lists show it."""
    return {
        "id": agent.id,
        "host": agent.host,
        "port": agent.port,
        "addresses": [*map(rd.address_text, model.agent_addresses(agent.id) or ())],
        "tasks": len(model.tasks_of_agent(agent.id)),
    }


def task_entry(model: Model, task: Task) -> dict[str, object]:
    """A task as lists show it: `dns` is its first name, "" if it has none, with these `addresses`."""
    framework, agent = model.frameworks.get(task.framework_id), model.agents.get(task.agent_id)
    records = model.records_of(task)
    first = records[0][0] if records else b""
    return {
        "id": task.id,
        "name": task.name,
        "framework": framework.name if framework is not None else "",
        "framework_id": task.framework_id,
        "agent": agent.host if agent is not None else "",
        "agent_id": task.agent_id,
        "health": _HEALTH[task.healthy],
        "dns": names.to_text(first) if first else "",
        "addresses": [
            rd.address_text(rdata) for owner, rrtype, rdata in records if owner == first and rrtype in (A, AAAA)
        ],
    }


def frameworks(model: Model, part: Part) -> Pieces:
    """List frameworks by name."""
    found = sorted(model.frameworks.values(), key=lambda each: (each.name.lower(), each.id))
    entries = (framework_entry(model, each) for each in _cut(found, part))
    return _page("frameworks", len(found), part, entries)


def agents(model: Model, part: Part) -> Pieces:
    """List agents by host."""
    found = sorted(model.agents.values(), key=lambda each: (each.host, each.id))
    entries = (agent_entry(model, each) for each in _cut(found, part))
    return _page("agents", len(found), part, entries)


def tasks(model: Model, part: Part, *, framework: str | None = None, agent: str | None = None) -> Pieces:
    """List running tasks, the longest known first: those of a framework, or on an agent, or all; each by its id."""
    of: Iterable[TaskKey]
    if framework is not None:
        its = model.tasks_of_framework(framework)
        of, total = its, len(its)
    elif agent is not None:
        on = model.tasks_of_agent(agent)
        of, total = on, len(on)
    else:
        of, total = model.tasks, len(model.tasks)
    # Cut at once: what they are read from may change between two pieces.
    found = [task for key in _cut(of, part) if (task := model.tasks.get(key)) is not None]
    return _page("tasks", total, part, (task_entry(model, task) for task in found))


def search(model: Model, zone: Zone, text: str, limit: int, *, every_name: bool) -> Pieces:
    """Show the best hits of each kind, and how many there are."""
    looking, found = searching.search(model, zone, text, limit, every_name=every_name), None
    while found is None:
        try:
            next(looking)
        except StopIteration as end:
            found = end.value
        yield ""
    yield render(
        {
            "q": text,
            "totals": found.totals,
            "names": [
                {
                    "name": names.to_text(owner),
                    "types": [rd.type_text(rrtype) for rrtype, _ in zone.rrsets(owner) or ()],
                }
                for owner in found.names
            ],
            "tasks": [task_entry(model, task) for task in found.tasks],
            "agents": [agent_entry(model, agent) for agent in found.agents],
            "frameworks": [framework_entry(model, framework) for framework in found.frameworks],
        }
    )


def _cut(entries: Iterable[T], part: Part) -> list[T]:
    return [*islice(entries, part.offset, part.offset + part.limit)]


def _page(name: str, total: int, part: Part, entries: Iterator[dict[str, object]]) -> Pieces:
    yield "{" + line(1) + f'"total": {total},' + line(1) + f'"offset": {part.offset},' + line(1) + f'"{name}": '
    opening = "["
    for entry in entries:
        yield opening + line(2) + render(entry, 2)
        opening = ","
    yield ("[]" if opening == "[" else line(1) + "]") + line(0) + "}"
