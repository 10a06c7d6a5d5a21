"""What happened in the cluster, in words for people: why names appear and vanish. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Final

from mesos_dns.mesos.state import Agent, Delta, Endpoint, Framework, Task, TaskKey
from mesos_dns.names.model import Model
from mesos_dns.quoting import quoted
from mesos_dns.zone.journal import Because

#: Things that are told of one change; the others are counted.
MOST_TOLD: Final = 20
#: Characters of a name or an id in such a text.
_MOST_TEXT: Final = 120
#: Fields of a task, in words; the others have a name that says it.
_FIELDS: Final = {
    "name": "name",
    "agent_id": "agent",
    "ports": "host ports",
    "discovery_name": "discovery name",
    "discovery_ports": "discovery ports",
    "netinfo": "addresses",
    "docker": "addresses",
    "mesos": "addresses",
    "network": "network",
}


def because(model: Model, delta: Delta) -> Because:
    """Why the records change when `model` takes `delta`, which it must not have taken yet."""
    given = len(delta.agents) + len(delta.frameworks) + len(delta.tasks)
    total = given + len(delta.agents_gone) + len(delta.frameworks_gone) + len(delta.tasks_gone)
    texts = tuple(islice(_texts(model, delta), MOST_TOLD))
    return Because(texts, total - len(texts))


def because_of_masters(model: Model, masters: Iterable[Endpoint], leader: Endpoint | None) -> tuple[str, ...]:
    """The same for a list of masters and a leader, which `model` must not have taken yet."""
    found = []
    if leader is not None and leader != model.leader:
        found.append(
            f"{leader} is the leading master" if model.leader is None else f"{leader} leads instead of {model.leader}"
        )
    if tuple(masters) != model.masters and model.masters:
        found.append("the list of masters changed")
    return tuple(found)


def because_of_hosts(found: Mapping[str, object]) -> Because:
    """The same for host names that were looked up."""
    texts = tuple(f"host {_short(host)} was looked up" for host in islice(found, MOST_TOLD))
    return Because(texts, len(found) - len(texts))


OWN_ADDRESSES: Final = Because(("this machine's addresses changed",))


def _texts(model: Model, delta: Delta) -> Iterator[str]:
    for key, task in delta.tasks.items():
        yield _of_task(model, key, task)
    for key in delta.tasks_gone:
        gone = model.tasks.get(key)
        yield f"{_task(model, key, gone)} runs no more"
    for agent_id, agent in delta.agents.items():
        yield _of_agent(model.agents.get(agent_id), agent)
    for agent_id in delta.agents_gone:
        yield f"agent {_short(agent_id)} is gone"
    for framework_id, framework in delta.frameworks.items():
        yield _of_framework(model.frameworks.get(framework_id), framework)
    for framework_id in delta.frameworks_gone:
        known = model.frameworks.get(framework_id)
        yield f"framework {_short(known.name if known else framework_id)} is gone"


def _of_task(model: Model, key: TaskKey, task: Task) -> str:
    before = model.tasks.get(key)
    name = _task(model, key, task)
    if before is None:
        return f"{name} runs"
    if before.healthy != task.healthy:
        return f"{name} is {_HEALTH[task.healthy]}"
    changed = dict.fromkeys(_FIELDS[field] for field in _FIELDS if getattr(before, field) != getattr(task, field))
    return f"{name} has another {', '.join(changed) or 'status'}"


_HEALTH: Final = {True: "healthy", False: "unhealthy", None: "of unknown health"}


def _task(model: Model, key: TaskKey, task: Task | None) -> str:
    framework = model.frameworks.get(key[0])
    return f"task {_short(task.id if task else key[1])} of framework {_short(framework.name if framework else key[0])}"


def _of_agent(before: Agent | None, agent: Agent) -> str:
    if before is None:
        return f"agent {_short(agent.id)} at {_short(agent.host)} is registered"
    return f"agent {_short(agent.id)} is at {_short(agent.host)} port {agent.port}"


def _of_framework(before: Framework | None, framework: Framework) -> str:
    if before is None:
        return f"framework {_short(framework.name)} is registered"
    if before.name != framework.name:
        return f"framework {_short(before.name)} is called {_short(framework.name)}"
    return f"the scheduler of framework {_short(framework.name)} is at {_short(framework.host)}"


def _short(text: str) -> str:
    return quoted(text, _MOST_TEXT)
