"""Turns the records of a master's event stream, and its answers to a few calls, into values. Pure.

As tolerant as the reader of the other API: an element, or an event, that cannot be used is counted and costs only itself. Up to Mesos 1.9
empty lists are left out, later ones write them.
"""

from collections.abc import Callable, Iterable, Mapping
from itertools import chain
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Raw

from mesos_dns.mesos.decoding import tolerant, wire, wire_v1
from mesos_dns.mesos.decoding.document import (
    NULL,
    UNREADABLE,
    StateError,
    excerpt,
    is_null,
    list_of,
    repair,
)
from mesos_dns.mesos.decoding.members import Skipped, read_agents
from mesos_dns.mesos.decoding.tasks import TaskReader
from mesos_dns.mesos.decoding.v1_tasks import (
    ENDED,
    LiveTask,
    bare,
    id_of,
    key_of,
    live_task,
    read_task,
)
from mesos_dns.mesos.state import Agent, NotShown, TaskKey
from mesos_dns.quoting import quoted

T = TypeVar("T")

#: The first version that writes empty lists.
WRITES_EMPTY_LISTS: Final = (1, 10, 0)

_decode_first: Final = msgspec.json.Decoder(wire_v1.First).decode
_decode_ended: Final = msgspec.json.Decoder(wire_v1.EndedTask).decode
_decode_agent: Final = msgspec.json.Decoder(wire_v1.Agent).decode
_decode_agent_info: Final = msgspec.json.Decoder(wire_v1.AgentInfo).decode
_decode_framework: Final = msgspec.json.Decoder(wire_v1.Framework).decode
_decode_object: Final = msgspec.json.Decoder(dict[str, Raw]).decode


class FrameworkShown(msgspec.Struct, frozen=True, gc=False):
    """A framework without its address, which this API does not tell; `hostname` stands in for it if it has no PID."""

    id: str
    name: str
    hostname: str = ""
    recovered: bool = False


class State(msgspec.Struct, frozen=True):
    """What SUBSCRIBED tells: all of the cluster but the addresses of frameworks, and who the master is.

    `heartbeat` is None for a master that sends none (before Mesos 1.5). `recovered_agents` is None if the list is missing, which before
    1.10 means that it is empty or unknown. `lacks_tasks`: so is that of tasks. The tasks are those that have not ended, running or not.
    """

    heartbeat: float | None
    agents: dict[str, Agent]
    recovered_agents: frozenset[str] | None
    frameworks: dict[str, FrameworkShown]
    completed_frameworks: frozenset[str]
    tasks: dict[TaskKey, LiveTask]
    ended_tasks: dict[str, frozenset[str]]
    not_shown: NotShown
    lacks_tasks: bool
    skipped: Skipped


def read_first(
    record: bytes | bytearray,
    reader: TaskReader,
    *,
    known: Mapping[int, LiveTask] | None = None,
    writes_empty_lists: bool = True,
) -> State | None:
    """The state that a SUBSCRIBED record holds; None if it is another record. StateError if it is none at all.

    `known` are tasks by digest from an earlier state of the same cluster: what did not change is not read again.
    """
    skipped = Skipped()
    first = _open_first(record, skipped)
    if first.type != "SUBSCRIBED":
        return None
    subscribed = first.subscribed or wire_v1.Subscribed()
    state = subscribed.get_state
    if state is None:
        raise StateError(f"SUBSCRIBED without a state: {excerpt(record)}")
    tasks = state.get_tasks or wire_v1.GetTasks()
    agents = state.get_agents or wire_v1.GetAgents()
    frameworks = state.get_frameworks or wire_v1.GetFrameworks()
    shown = _read_frameworks(frameworks.frameworks or (), skipped)
    ended: dict[str, set[str]] = {}
    for elements in (tasks.completed_tasks, tasks.unreachable_tasks):
        _read_ended(elements or (), ended)
    recovered = None if agents.recovered_agents is None else _read_recovered(agents.recovered_agents, skipped)
    return State(
        heartbeat=subscribed.heartbeat_interval_seconds,
        agents=read_agents(_agents_of(agents.agents or (), skipped), skipped),
        recovered_agents=recovered,
        frameworks=shown,
        completed_frameworks=frozenset(_read_frameworks(frameworks.completed_frameworks or (), Skipped())),
        tasks=_read_tasks(chain(tasks.tasks or (), tasks.orphan_tasks or ()), ended, reader, known or {}, skipped),
        ended_tasks={key: frozenset(ids) for key, ids in ended.items()},
        not_shown=NotShown(
            agents=_lacks(state.get_agents, agents.agents, writes_empty_lists),
            frameworks=_lacks(state.get_frameworks, frameworks.frameworks, writes_empty_lists),
        ),
        lacks_tasks=_lacks(state.get_tasks, tasks.tasks, writes_empty_lists),
        skipped=skipped,
    )


def _lacks(owner: object, elements: list[Raw] | None, written: bool) -> bool:
    return owner is None or (elements is None and written)


def _open_first(record: bytes | bytearray, skipped: Skipped) -> wire_v1.First:
    try:
        return _decode_first(record)
    except (msgspec.ValidationError, UnicodeDecodeError):
        return _open_unusual(record, skipped)
    except (msgspec.DecodeError, RecursionError) as error:
        repaired = repair(record)
        if repaired is not None:
            return _open_first(repaired, skipped)
        raise StateError(
            f"expected an event in JSON ({len(record)} octets), found {excerpt(record)}: {error}"
        ) from error


def _open_unusual(record: bytes | bytearray, skipped: Skipped) -> wire_v1.First:
    """Do the same if some part has a wrong type: that part is missing then."""
    try:
        top = _decode_object(record)
    except UNREADABLE as error:
        raise StateError(
            f"expected an event in JSON ({len(record)} octets), found {excerpt(record)}: {error}"
        ) from error
    type_of = top.get("type", NULL)
    if memoryview(type_of) != memoryview(b'"SUBSCRIBED"'):
        return wire_v1.First()
    subscribed = _object_of(top, "subscribed", skipped) or {}
    state = _object_of(subscribed, "get_state", skipped)
    if state is None:
        return wire_v1.First("SUBSCRIBED", wire_v1.Subscribed())
    tasks, agents, frameworks = (
        _object_of(state, f"get_{kind}", skipped) for kind in ("tasks", "agents", "frameworks")
    )

    def elements(owner: Mapping[str, Raw], key: str) -> list[Raw] | None:
        try:
            return list_of(owner, key)
        except StateError as error:
            skipped.add(f"{_kind(key)}: bad type", str(error))
            return None

    lists = ("tasks", "orphan_tasks", "completed_tasks", "unreachable_tasks")
    return wire_v1.First(
        "SUBSCRIBED",
        wire_v1.Subscribed(
            wire_v1.GetState(
                None if tasks is None else wire_v1.GetTasks(*(elements(tasks, each) for each in lists)),
                None
                if agents is None
                else wire_v1.GetAgents(elements(agents, "agents"), elements(agents, "recovered_agents")),
                None
                if frameworks is None
                else wire_v1.GetFrameworks(
                    elements(frameworks, "frameworks"), elements(frameworks, "completed_frameworks")
                ),
            ),
            _lenient_number(subscribed.get("heartbeat_interval_seconds", NULL)),
        ),
    )


def _object_of(owner: Mapping[str, Raw], key: str, skipped: Skipped) -> Mapping[str, Raw] | None:
    raw = owner.get(key, NULL)
    if is_null(raw):
        return None
    try:
        return _decode_object(raw)
    except UNREADABLE as error:
        skipped.add(f"{_kind(key)}: bad type", f"{error} in {excerpt(raw)}")
        return None


def _kind(key: str) -> str:
    """What a part of the state is about."""
    return next((kind for kind in ("agent", "framework") if kind in key), "task")


def _lenient_number(raw: Raw) -> float | None:
    try:
        return msgspec.json.decode(raw, type=float | None)
    except UNREADABLE:
        return None


# --- lists -------------------------------------------------------------------------------------


def _read_tasks(
    elements: Iterable[Raw],
    ended: dict[str, set[str]],
    reader: TaskReader,
    known: Mapping[int, LiveTask],
    skipped: Skipped,
) -> dict[TaskKey, LiveTask]:
    """The tasks that have not ended; the ids of those that have go to `ended`."""
    tasks: dict[TaskKey, LiveTask] = {}
    for raw in elements:
        element = bytes(raw)
        digest = hash(element)
        live = known.get(digest)
        if live is None:
            live = _read_live(element, digest, reader, ended, skipped)
            if live is None:
                continue
        key = key_of(live.task)
        other = tasks.get(key)
        if other is not None and not live.is_running:
            continue
        # As the other API is read: repeated ids of running tasks are told apart by a number.
        while other is not None and other.is_running:
            key = (key[0], key[1], key[2] + 1)
            other = tasks.get(key)
        tasks[key] = live
    return tasks


def _read_live(
    element: bytes, digest: int, reader: TaskReader, ended: dict[str, set[str]], skipped: Skipped
) -> LiveTask | None:
    """The task of an element; None if it has ended, or nothing can be made of it."""
    problems: list[tuple[str, str]] = []
    try:
        found = read_task(element, problems)
    except UNREADABLE as error:
        skipped.add("task: bad type", f"{error} in {excerpt(element)}")
        return None
    if found is None:
        return None
    if found[1].state in ENDED:
        ended.setdefault(found[0], set()).add(found[1].id or "")
        return None
    live = live_task(*found, reader, problems, digest)
    if not live.is_running:
        return live
    for problem in problems:
        skipped.add(*problem)
    # What has faults is to be counted each time.
    return msgspec.structs.replace(live, digest=0) if problems else live


def _read_ended(elements: Iterable[Raw], ended: dict[str, set[str]]) -> None:
    """Add ids by framework. What cannot be read tells nothing."""
    for raw in elements:
        try:
            found = _decode_ended(raw)
        except UNREADABLE:
            continue
        ended.setdefault(id_of(found.framework_id), set()).add(id_of(found.task_id))


def _agents_of(elements: Iterable[Raw], skipped: Skipped) -> Iterable[tuple[int, wire.AgentEntry]]:
    for position, raw in enumerate(elements):
        found = one_agent(bytes(raw), skipped)
        if found is not None:
            yield position, found


def one_agent(element: bytes, skipped: Skipped) -> wire.AgentEntry | None:
    """What an agent says of itself; None if it is null, or nothing can be made of it (which is counted)."""
    if element == b"null":
        return None
    try:
        found = _decode_agent(element)
    except UNREADABLE:
        pass  # the forgiving reader decides
    else:
        info = found.agent_info
        return wire.AgentEntry(id=None if info is None else id_of(info.id), pid=found.pid)
    return _forgiving(element, "agent", _forgiving_agent, skipped)


def _forgiving_agent(found: dict[str, Any]) -> wire.AgentEntry:
    pid = found.get("pid")
    # A PID of the wrong type must not cost the agent: its tasks may have addresses of their own.
    return wire.AgentEntry(
        id=tolerant.text(_id_in(found.get("agent_info"))), pid=tolerant.text(pid) if isinstance(pid, str) else None
    )


def _read_recovered(elements: Iterable[Raw], skipped: Skipped) -> frozenset[str] | None:
    """The agents that the master expects back; None if it does not tell completely."""
    found = set()
    for raw in elements:
        try:
            agent_id = id_of(_decode_agent_info(raw).id)
        except UNREADABLE as error:
            skipped.add("agent: bad type", f"{error} in {excerpt(raw)}")
            agent_id = ""
        if not agent_id:
            return None
        found.add(agent_id)
    return frozenset(found)


def _read_frameworks(elements: Iterable[Raw], skipped: Skipped) -> dict[str, FrameworkShown]:
    frameworks: dict[str, FrameworkShown] = {}
    for raw in elements:
        found = one_framework(bytes(raw), skipped)
        if found is None:
            continue
        if found.id in frameworks:
            skipped.add("framework: repeated id", quoted(found.id))
        frameworks[found.id] = found
    return frameworks


def one_framework(element: bytes, skipped: Skipped) -> FrameworkShown | None:
    """A framework; None if it is null, or nothing can be made of it (which is counted): without an id no task can refer to it."""
    if element == b"null":
        return None
    try:
        shown: FrameworkShown | None = framework_shown(_decode_framework(element))
    except UNREADABLE:
        shown = _forgiving(element, "framework", _forgiving_framework, skipped)
        if shown is None:
            return None
    if shown is None or not shown.id:
        skipped.add("framework: no id", excerpt(element))
        return None
    return shown


def framework_shown(found: wire_v1.Framework | None) -> FrameworkShown | None:
    """The same as a value; None if there is none."""
    info = None if found is None else found.framework_info
    if found is None or info is None:
        return None
    return FrameworkShown(id_of(info.id), info.name or "", info.hostname or "", bool(found.recovered))


def _forgiving_framework(found: dict[str, Any]) -> FrameworkShown:
    info = found.get("framework_info")
    if not isinstance(info, dict):
        raise tolerant.BadTypeError("expected an object as framework_info")
    return FrameworkShown(
        tolerant.text(bare(info.get("id"))) or "",
        tolerant.text(info.get("name")) or "",
        tolerant.text(info.get("hostname")) or "",
        found.get("recovered") is True,
    )


def _id_in(info: Any) -> Any:
    return bare(info.get("id")) if isinstance(info, dict) else None


def _forgiving(element: bytes, kind: str, read: Callable[[dict[str, Any]], T], skipped: Skipped) -> T | None:
    try:
        found = tolerant.parse(element)
        if not isinstance(found, dict):
            raise tolerant.BadTypeError(f"expected an object as {kind}")
        return read(found)
    except UNREADABLE as error:
        skipped.add(f"{kind}: bad type", f"{error} in {excerpt(element)}")
        return None
