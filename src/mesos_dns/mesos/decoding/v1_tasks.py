"""Tasks of the operator API, and what is kept of each between two of its events. Pure.

Every task becomes a `wire.TaskEntry`, the form in which the other API gives it, and then goes through the same `TaskReader`: so a task
means the same, whichever way it came. Between events the statuses stay as a short text of octets, so that after each a task can
be read anew: no rule about statuses stands here.
"""

from collections.abc import Iterable
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from mesos_dns.mesos.decoding import tolerant, wire, wire_v1
from mesos_dns.mesos.decoding.document import NULL, UNREADABLE, is_null
from mesos_dns.mesos.decoding.tasks import HEALTH_LABEL, RUNNING, TaskReader
from mesos_dns.mesos.decoding.tolerant import Problems
from mesos_dns.mesos.state import Task, TaskKey

#: Statuses kept of one task. Mesos keeps one for each run of equal states; nobody has seen more than a handful.
MAX_STATUSES_KEPT: Final = 32

#: States in which a task is not part of the cluster any more. One that was unreachable or lost and comes back is announced as added. What is
#: not listed here, a state of the future too, is alive and not running.
ENDED: Final = frozenset(
    f"TASK_{state}"
    for state in (
        *("FINISHED", "FAILED", "KILLED", "ERROR", "LOST", "DROPPED"),
        *("UNREACHABLE", "GONE", "GONE_BY_OPERATOR"),
    )
)

#: Stands for an object that is there.
_THERE: Final = msgspec.Raw(b"{}")

_decode_task: Final = msgspec.json.Decoder(wire_v1.UnlabelledTask).decode
_decode_labelled_task: Final = msgspec.json.Decoder(wire_v1.Task).decode
#: What stands in a task whose labels matter.
_LABELLED: Final = HEALTH_LABEL.encode()
_encode_kept: Final = msgspec.msgpack.Encoder().encode
_decode_kept: Final = msgspec.msgpack.Decoder(wire.TaskEntry).decode


class LiveTask(msgspec.Struct, frozen=True, gc=False):
    """A task that has not ended. `task` is read as if it ran; whether it does, `state` tells.

    `kept` is a `wire.TaskEntry` as msgpack, without what an event cannot alter. `digest` is the hash of the octets from which the task was read,
    0 if another look at them is worth it.
    """

    task: Task
    state: str
    kept: bytes
    digest: int = 0

    @property
    def is_running(self) -> bool:
        """Whether it has names."""
        return self.state == RUNNING


def read_task(element: bytes, problems: Problems) -> tuple[str, wire.TaskEntry] | None:
    """Framework id and task; None if it is null. ValueError (or another of UNREADABLE) if nothing can be made of it."""
    if element == b"null":
        return None
    try:
        found = (_decode_labelled_task if _LABELLED in element else _decode_task)(element)
    except UNREADABLE:
        return forgiving_task(tolerant.parse(element), problems)
    return id_of(found.framework_id), task_entry(found)


def task_entry(found: wire_v1.Task) -> wire.TaskEntry:
    """The same as the other API would give it."""
    return wire.TaskEntry(
        id=id_of(found.task_id),
        name=found.name,
        slave_id=id_of(found.agent_id),
        state=found.state,
        resources=_resources(found.resources or ()),
        statuses=[status_entry(status) for status in found.statuses or () if status is not None],
        discovery=found.discovery,
        labels=None if found.labels is None else found.labels.labels,
        container=found.container,
    )


def status_entry(found: wire_v1.Status) -> wire.Status:
    """The same as the other API would give it."""
    return wire.Status(
        state=found.state,
        timestamp=found.timestamp,
        labels=None if found.labels is None else found.labels.labels,
        container_status=found.container_status,
        healthy=found.healthy,
    )


def id_of(found: wire_v1.Id | None) -> str:
    """The id as a text; "" without one."""
    return "" if found is None else found.value or ""


def _resources(found: Iterable[wire_v1.Resource | None]) -> wire.Resources | None:
    """The port ranges of all reservations as one text, in order and with neighbours joined, as the other API prints them."""
    ranges = [
        (each.begin, each.end)
        for resource in found
        if resource is not None and resource.name == "ports" and resource.ranges is not None
        if is_null(resource.revocable)
        for each in resource.ranges.range or ()
        if each is not None and each.begin is not None and each.end is not None
    ]
    if not ranges:
        return None
    if len(ranges) > 1:
        ranges = list(_joined(sorted(ranges)))
    return wire.Resources(ports="[" + ", ".join(f"{begin}-{end}" for begin, end in ranges) + "]")


def _joined(ranges: list[tuple[int, int]]) -> Iterable[tuple[int, int]]:
    begin, end = ranges[0]
    for first, last in ranges[1:]:
        if first > end + 1:
            yield begin, end
            begin, end = first, last
        else:
            end = max(end, last)
    yield begin, end


# --- the forgiving way -------------------------------------------------------------------------


def forgiving_task(value: Any, problems: Problems) -> tuple[str, wire.TaskEntry] | None:
    """Do the same as `read_task` with what `tolerant.parse` made; parts of a wrong type cost only themselves."""
    if value is None:
        return None
    if not isinstance(value, dict):
        raise tolerant.BadTypeError("expected an object as a task")
    framework_id = tolerant.text(bare(value.get("framework_id"))) or ""
    found = {**value, "id": bare(value.get("task_id")), "slave_id": bare(value.get("agent_id"))}
    found["resources"] = _forgiving_resources(value.get("resources"), problems)
    found = flat_status(found)
    statuses = value.get("statuses")
    if isinstance(statuses, list):
        found["statuses"] = [flat_status(status) for status in statuses]
    return framework_id, tolerant.task_of(found, problems)


def bare(value: Any) -> Any:
    """What an id wraps."""
    return value.get("value") if isinstance(value, dict) else value


def flat_status(value: Any) -> Any:
    """A status, or a task, with its labels as the other API gives them."""
    labels = value.get("labels") if isinstance(value, dict) else None
    return {**value, "labels": labels.get("labels")} if isinstance(labels, dict) else value


def _forgiving_resources(value: Any, problems: Problems) -> dict[str, str | None] | None:
    if value is None:
        return None
    if not isinstance(value, list):
        problems.append(("task: bad resources", "expected a list"))
        return None
    good: list[wire_v1.Resource | None] = []
    for each in value:
        try:
            good.append(
                wire_v1.Resource(
                    each.get("name"),
                    msgspec.convert(each.get("ranges"), wire_v1.Ranges | None),
                    NULL if each.get("revocable") is None else _THERE,
                )
            )
        except (msgspec.ValidationError, AttributeError) as error:
            problems.append(("task: bad resources", str(error)))
    found = _resources(good)
    return None if found is None else {"ports": found.ports}


# --- between two events ------------------------------------------------------------------------


def key_of(task: Task) -> TaskKey:
    """Mesos tells tasks apart by framework and task id."""
    return task.framework_id, task.id, 0


def live_task(
    framework_id: str, found: wire.TaskEntry, reader: TaskReader, problems: Problems, digest: int = 0
) -> LiveTask:
    """What is kept of a task that has just been shown as a whole."""
    return LiveTask(
        task=reader.read(found, framework_id, problems),
        state=found.state or "",
        kept=_kept(found, found.statuses or []),
        digest=digest,
    )


def updated(live: LiveTask, state: str, status: wire.Status | None, reader: TaskReader, problems: Problems) -> LiveTask:
    """The task after an update: a status of the same state as the last one takes its place, as the master does it."""
    if status is None:
        return replace(live, state=state, digest=0)
    found = _decode_kept(live.kept)
    statuses = found.statuses or []
    if statuses and statuses[-1] is not None and statuses[-1].state == status.state:
        statuses.pop()
    statuses.append(status)
    before = live.task
    found.id, found.statuses, found.discovery = before.id, statuses, _discovery(before)
    after = reader.read(found, before.framework_id, problems)
    return LiveTask(
        task=replace(
            after,
            name=before.name,
            agent_id=before.agent_id,
            ports=before.ports,
        ),
        state=state,
        kept=_kept(found, statuses),
    )


def _discovery(task: Task) -> wire.Discovery:
    """The DiscoveryInfo from which this part of the task was read."""
    ports: list[wire.Port | None] = [wire.Port(port.number, port.name, port.protocol) for port in task.discovery_ports]
    return wire.Discovery(task.discovery_name, wire.Ports(ports))


def _kept(found: wire.TaskEntry, statuses: list[wire.Status | None]) -> bytes:
    """What of a task may be needed when its next status comes."""
    runs = any(status is not None and status.state == RUNNING for status in statuses)
    last = len(statuses) - 1
    needed = [
        status
        for number, status in enumerate(statuses)
        # Once one says that the task runs, addresses are taken from such alone; verdicts on its health from any.
        if status is not None and (number == last or not runs or status.state == RUNNING or status.healthy is not None)
    ][-MAX_STATUSES_KEPT:]
    return _encode_kept(
        wire.TaskEntry(statuses=[*needed], labels=_that_matter(found.labels), container=found.container)
    )


def _that_matter(labels: list[wire.Label | None] | None) -> list[wire.Label | None] | None:
    return [label for label in labels if label is not None and label.key == HEALTH_LABEL] if labels else None
