"""Single tasks as `/master/state` and `/master/tasks` show them. Pure."""

from collections.abc import Iterable
from typing import Final

import msgspec
from msgspec import Raw

from mesos_dns.mesos.decoding import tolerant, wire
from mesos_dns.mesos.decoding.document import UNREADABLE, StateError, excerpt, fold_keys, list_of, repair
from mesos_dns.mesos.decoding.members import Skipped
from mesos_dns.mesos.decoding.tasks import HEALTH_LABEL, RUNNING
from mesos_dns.mesos.decoding.tolerant import Problems
from mesos_dns.mesos.decoding.v1_events import TaskShown

_decode_task: Final = msgspec.json.Decoder(wire.UnlabelledTaskEntry).decode
_decode_labelled_task: Final = msgspec.json.Decoder(wire.TaskEntry).decode
#: What stands in a task whose labels matter. As with unusual keys, one that is written with escapes is not recognised.
_LABELLED: Final = HEALTH_LABEL.encode()
_decode_object: Final = msgspec.json.Decoder(dict[str, Raw]).decode


def task_entry(element: bytes, problems: Problems) -> wire.TaskEntry | None:
    """A task; None if it is null, or written unusually and not running. ValueError (or another of UNREADABLE) if nothing can be made of it."""
    if element == b"null":
        return None
    if not tolerant.has_unusual_keys(element):
        try:
            return _decode_labelled_task(element) if _LABELLED in element else _decode_task(element)
        except UNREADABLE:
            pass  # the forgiving reader decides
    return tolerant.task(element, problems)


def read_running(body: bytes | bytearray, framework_id: str, task_id: str, skipped: Skipped) -> TaskShown | None:
    """The running task of these ids in an answer of `/master/tasks`; None if it does not run. StateError if it is no such answer.

    Mesos lists what ended under the same id, too, and before 1.4 all tasks whatever was asked for. Elements that cannot be used are counted.
    """
    for element in _elements(body):
        problems: Problems = []
        try:
            found = task_entry(element, problems)
            if found is None or (found.state, found.id or "") != (RUNNING, task_id):
                continue
            if _framework_of(element) == framework_id:
                return TaskShown(framework_id, found, problems)
        except UNREADABLE as error:
            skipped.add("task: bad type", f"{error} in {excerpt(element)}")
    return None


def _elements(body: bytes | bytearray) -> Iterable[bytes]:
    try:
        found = list_of(fold_keys(_decode_object(body)), "tasks")
    except StateError:
        raise
    except UNREADABLE as error:
        repaired = repair(body)
        if repaired is None:
            raise StateError(f"expected a list of tasks, found {excerpt(body)}: {error}") from error
        return _elements(repaired)
    if found is None:
        raise StateError(f"no 'tasks' in {excerpt(body)}")
    return map(bytes, found)


def _framework_of(element: bytes) -> str:
    return tolerant.text(tolerant.parse(element).get("framework_id")) or ""
