"""Names that tasks, frameworks or the cluster have in common although they have nothing to do with each other. Pure.

| kind | what | what clients see |
|---|---|---|
| `applications` | tasks of different applications have one name: `web_api` and `web-api`, or two that chose the same discovery name | they get the instances of both |
| `frameworks` | several frameworks have one name | the schedulers share it, and tasks of one name their names |
| `nested` | a framework `web.marathon` beside a task `web` of `marathon`, or its task `x` beside a task `x.web` of `marathon` | they get both |
| `reserved` | a framework has a name of the cluster (`slave`, `leader`), or one below | it has no such name |

Instances of one application share their name on purpose, and are none of these: an application is what tasks of one framework and one name are.

All is looked at anew, step by step, for what is looked for has no trace in the zone: a record that two tasks give may well be one of two instances. With
100,000 tasks of 10,000 applications that takes 0.15 s of processor time; the caller decides how often, and what else happens in between.
"""

from collections.abc import Generator, Iterable, Iterator, Mapping
from typing import Final, Literal, NamedTuple

from mesos_dns.dns import name as names
from mesos_dns.mesos.state import TaskKey
from mesos_dns.names.model import Model
from mesos_dns.names.table import is_of_cluster
from mesos_dns.names.tasks import framework_problem
from mesos_dns.quoting import quoted

Kind = Literal["applications", "frameworks", "nested", "reserved"]
KINDS: Final[tuple[Kind, ...]] = ("applications", "frameworks", "nested", "reserved")
#: Collisions of one kind that are shown; beyond, they are counted. More than these are one mistake, made often.
MAX_SHOWN: Final = 25
#: Tasks, applications and frameworks that are shown of one collision.
MAX_SHARERS: Final = 5
#: Tasks looked at before other work gets a turn: a millisecond.
TASKS_PER_STEP: Final = 1000


class Collision(NamedTuple):
    """One name and those who share it, as people call them; `more` counts those that are not shown."""

    kind: Kind
    name: str
    sharers: tuple[str, ...]
    more: int = 0

    def __str__(self) -> str:
        more = f" and {self.more} more" if self.more else ""
        return f"{self.name} of {', '.join(self.sharers)}{more}"


class Collisions(NamedTuple):
    """What was found: how many of each kind, and the first of them."""

    counts: dict[Kind, int]
    shown: tuple[Collision, ...]


#: A framework's id, and the name that its tasks have.
_Application = tuple[str, str]
#: Labels of a name that are looked at as those of a framework: names have 127 at most, and real ones a handful.
MAX_DOTS: Final = 16
#: Before anybody has looked.
NOTHING: Final = Collisions(dict.fromkeys(KINDS, 0), ())


def find(model: Model) -> Generator[None, None, Collisions]:
    """Look at all names; gives the model a chance to change at each step. What changes meanwhile may be seen or not."""
    counts: dict[Kind, int] = dict.fromkeys(KINDS, 0)
    shown: list[Collision] = []
    for found in _each(model):
        if found is None:
            yield
            continue
        counts[found.kind] += 1
        if counts[found.kind] <= MAX_SHOWN:
            shown.append(found)
    return Collisions(counts, tuple(shown))


def _each(model: Model) -> Iterator[Collision | None]:
    """All of them; None now and then."""
    for fragment in list(model.called):
        ids = list(model.called.get(fragment, ()))
        problem = framework_problem(fragment)
        if fragment and ids and (problem is not None or is_of_cluster(fragment)):
            yield _collision(model, "reserved", fragment, _frameworks(model, ids))
        elif fragment and len(ids) > 1:
            yield _collision(model, "frameworks", fragment, _frameworks(model, ids))
        if problem is None:
            yield from _of_tasks(model, fragment, ids)
            yield from _of_framework(model, fragment, ids)
        yield None


def _of_tasks(model: Model, fragment: bytes, ids: list[str]) -> Iterator[Collision | None]:
    """The names that tasks of these frameworks, all with this fragment, share with others."""
    looked_at, tasks = 0, model.tasks
    frameworks = [model.tasks_of_framework(each) for each in ids]
    for label in list(dict.fromkeys([label for each in frameworks for label in each.labels() if label])):
        keys = [key for each in frameworks for key in each.called(label)]
        if len(keys) == 1 and "." not in tasks[keys[0]].discovery_name:
            # Nearly half of all in a large cluster: nobody to share with.
            looked_at += 1
            if looked_at >= TASKS_PER_STEP:
                looked_at = 0
                yield None
            continue
        applications: dict[_Application, int] = {}
        dotted: set[str] = set()
        for start in range(0, len(keys), TASKS_PER_STEP):
            looked_at += _look_at(model, keys[start : start + TASKS_PER_STEP], applications, dotted)
            if looked_at >= TASKS_PER_STEP:
                looked_at = 0
                yield None
        if len(applications) > 1:
            yield _collision(model, "applications", label + b"." + fragment, _named(model, applications))
        for text in dotted:
            yield from _of_dotted(model, fragment, text, applications)


def _of_dotted(
    model: Model, fragment: bytes, text: str, applications: Mapping[_Application, int]
) -> Iterator[Collision]:
    """Where a discovery name with dots has the name of a task of a framework with more of them: `x.web` in `marathon`, `x` in `web.marathon`."""
    labels = text.encode("utf-8", "replace").split(b".")
    for at in range(1, min(len(labels), MAX_DOTS)):
        first, above = b".".join(labels[:at]), b".".join([*labels[at:], fragment])
        others = [key for each in model.called.get(above, ()) for key in _at(model, each, first)]
        if others:
            both = [*_named(model, _applications(model, others)), *_named(model, applications)]
            yield _collision(model, "nested", first + b"." + above, both)


def _of_framework(model: Model, fragment: bytes, ids: list[str]) -> Iterator[Collision]:
    """Where the name of a framework with dots is that of a task of another: `web.marathon`, and `web` in `marathon`."""
    labels = fragment.split(b".")
    for at in range(1, min(len(labels), MAX_DOTS)):
        front, below = b".".join(labels[:at]), b".".join(labels[at:])
        tasks = [key for each in model.called.get(below, ()) for key in _at(model, each, front)]
        if tasks:
            both = [*_frameworks(model, ids), *_named(model, _applications(model, tasks))]
            yield _collision(model, "nested", fragment, both)


def _look_at(model: Model, keys: list[TaskKey], applications: dict[_Application, int], dotted: set[str]) -> int:
    """Count the applications of these tasks, and collect their discovery names with dots; how many were looked at."""
    tasks = model.tasks
    for key in keys:
        task = tasks.get(key)
        if task is not None:
            application = key[0], task.name
            applications[application] = applications.get(application, 0) + 1
            if "." in task.discovery_name and task.discovery_name not in dotted:
                dotted.add(task.discovery_name.lower())
    return len(keys)


def _at(model: Model, framework_id: str, front: bytes) -> list[TaskKey]:
    """The tasks of a framework whose names begin with `front`: their label, or their discovery name as it is."""
    found = model.tasks_of_framework(framework_id).called(front.replace(b".", b"-"))
    if b"." not in front:
        return [*found]
    wanted = front.decode()
    return [key for key in found if key in model.tasks and model.tasks[key].discovery_name.lower() == wanted]


def _applications(model: Model, keys: list[TaskKey]) -> dict[_Application, int]:
    """How many tasks each application has among these."""
    found: dict[_Application, int] = {}
    _look_at(model, keys, found, set())
    return found


def _named(model: Model, applications: Mapping[_Application, int]) -> list[str]:
    return [
        f"{count} task{'' if count == 1 else 's'} {quoted(name)} of framework {_framework(model, framework_id)}"
        for (framework_id, name), count in applications.items()
    ]


def _frameworks(model: Model, ids: Iterable[str]) -> list[str]:
    return [f"framework {_framework(model, each)}" for each in ids]


def _framework(model: Model, framework_id: str) -> str:
    framework = model.frameworks.get(framework_id)
    return f"{quoted(framework.name if framework is not None else '')} ({quoted(framework_id)})"


def _collision(model: Model, kind: Kind, dotted: bytes, sharers: list[str]) -> Collision:
    name = f"{dotted.decode('ascii', 'replace')}.{names.to_text(model.naming.rules.domain)}"
    return Collision(kind, name, tuple(sharers[:MAX_SHARERS]), max(len(sharers) - MAX_SHARERS, 0))
