"""Turns each record of an event stream after the first into a small value. Pure.

What an event is called says what it is about; what became of a task, its state alone.
"""

import json
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import msgspec

from mesos_dns.mesos.decoding import tolerant, wire, wire_v1
from mesos_dns.mesos.decoding.document import UNREADABLE, excerpt, repair
from mesos_dns.mesos.decoding.members import Skipped, read_agent
from mesos_dns.mesos.decoding.tolerant import Problems
from mesos_dns.mesos.decoding.v1 import FrameworkShown, framework_shown, one_agent, one_framework
from mesos_dns.mesos.decoding.v1_tasks import (
    bare,
    flat_status,
    forgiving_task,
    id_of,
    status_entry,
    task_entry,
)
from mesos_dns.mesos.state import Agent

_decode_event: Final = msgspec.json.Decoder(wire_v1.Event).decode


class TaskShown(NamedTuple):
    """TASK_ADDED: a task as a whole, in any state."""

    framework_id: str
    entry: wire.TaskEntry
    problems: Problems


class TaskNews(NamedTuple):
    """TASK_UPDATED: the latest state, and the status that is being delivered, which may lag behind. Mesos 1.0 gave no status."""

    framework_id: str
    task_id: str
    state: str
    status: wire.Status | None
    problems: Problems


class AgentShown(NamedTuple):
    """AGENT_ADDED."""

    agent: Agent


class AgentGone(NamedTuple):
    """AGENT_REMOVED."""

    agent_id: str


class FrameworkSeen(NamedTuple):
    """FRAMEWORK_ADDED or FRAMEWORK_UPDATED."""

    framework: FrameworkShown


class FrameworkGone(NamedTuple):
    """FRAMEWORK_REMOVED."""

    framework_id: str


class Other(NamedTuple):
    """A heartbeat, or an event that says nothing about names, or one of a later Mesos."""

    type: str


Event = TaskShown | TaskNews | AgentShown | AgentGone | FrameworkSeen | FrameworkGone | Other


def read_event(record: bytes | bytearray, skipped: Skipped) -> Event | None:
    """The event; None if nothing can be made of it, which is counted."""
    try:
        found = _decode_event(record)
    except UNREADABLE:
        event = _forgiving_event(bytes(record), skipped)
    else:
        event = _event(found, skipped)
    if event is None:
        skipped.add("event: unusable", excerpt(record))
    return event


def _event(found: wire_v1.Event, skipped: Skipped) -> Event | None:
    match found.type:
        case "TASK_UPDATED":
            return _task_news(found.task_updated)
        case "TASK_ADDED":
            task = None if found.task_added is None else found.task_added.task
            return None if task is None else TaskShown(id_of(task.framework_id), task_entry(task), [])
        case "AGENT_ADDED":
            agent = None if found.agent_added is None else found.agent_added.agent
            if agent is None or agent.agent_info is None:
                return None
            return _agent_shown(wire.AgentEntry(id_of(agent.agent_info.id), agent.pid), skipped)
        case "AGENT_REMOVED":
            gone = "" if found.agent_removed is None else id_of(found.agent_removed.agent_id)
            return AgentGone(gone) if gone else None
        case "FRAMEWORK_ADDED" | "FRAMEWORK_UPDATED":
            payload = found.framework_added if found.type == "FRAMEWORK_ADDED" else found.framework_updated
            framework = None if payload is None else framework_shown(payload.framework)
            return None if framework is None or not framework.id else FrameworkSeen(framework)
        case "FRAMEWORK_REMOVED":
            info = None if found.framework_removed is None else found.framework_removed.framework_info
            gone = "" if info is None else id_of(info.id)
            return FrameworkGone(gone) if gone else None
        case None:
            return None
    return Other(found.type)


def _task_news(found: wire_v1.TaskUpdated | None) -> TaskNews | None:
    if found is None or found.framework_id is None:
        return None
    status = found.status
    task_id = id_of(found.task_id if status is None else status.task_id)
    state = found.state or (None if status is None else status.state)
    if state is None:
        return None
    return TaskNews(id_of(found.framework_id), task_id, state, None if status is None else status_entry(status), [])


def _agent_shown(entry: wire.AgentEntry | None, skipped: Skipped) -> AgentShown | None:
    return None if entry is None or not entry.id else AgentShown(read_agent(entry, "", skipped))


# --- the forgiving way -------------------------------------------------------------------------


def _forgiving_event(record: bytes, skipped: Skipped) -> Event | None:
    try:
        found = tolerant.parse(repair(record) or record)
        kind = tolerant.text(found.get("type")) if isinstance(found, dict) else None
        if kind is None:
            return None
        payload = found.get(kind.lower())
        read = _FORGIVING.get(kind)
        if read is None:
            return Other(kind)
        return read(payload, skipped) if isinstance(payload, dict) else None
    except UNREADABLE:
        return None


def _forgiving_added(payload: dict[str, Any], _: Skipped) -> Event | None:
    problems: Problems = []
    found = forgiving_task(payload.get("task"), problems)
    return None if found is None else TaskShown(*found, problems)


def _forgiving_updated(payload: dict[str, Any], _: Skipped) -> Event | None:
    problems: Problems = []
    status = payload.get("status")
    given = status if isinstance(status, dict) else {}
    framework_id, task_id = (
        tolerant.text(bare(one)) for one in (payload.get("framework_id"), given.get("task_id", payload.get("task_id")))
    )
    # Read as the only status of a task: nothing else tells how to forgive what is in it.
    entry = tolerant.task_of({"statuses": [flat_status(status)] if given else []}, problems)
    read = next(iter(entry.statuses or ()), None)
    state = tolerant.text(payload.get("state")) or (None if read is None else read.state)
    if framework_id is None or state is None:
        return None
    return TaskNews(framework_id, task_id or "", state, read, problems)


def _forgiving_framework(payload: dict[str, Any], skipped: Skipped) -> Event | None:
    framework = one_framework(_again(payload.get("framework")), skipped)
    return None if framework is None else FrameworkSeen(framework)


def _forgiving_agent(payload: dict[str, Any], skipped: Skipped) -> Event | None:
    return _agent_shown(one_agent(_again(payload.get("agent")), skipped), skipped)


def _forgiving_agent_gone(payload: dict[str, Any], _: Skipped) -> Event | None:
    gone = tolerant.text(bare(payload.get("agent_id")))
    return AgentGone(gone) if gone else None


def _forgiving_framework_gone(payload: dict[str, Any], _: Skipped) -> Event | None:
    info = payload.get("framework_info")
    gone = tolerant.text(bare(info.get("id"))) if isinstance(info, dict) else None
    return FrameworkGone(gone) if gone else None


def _again(value: Any) -> bytes:
    """As JSON once more, for a reader of elements; surrogates have no UTF-8, so escaped."""
    return json.dumps(value).encode()


_FORGIVING: Final[dict[str, Callable[[dict[str, Any], Skipped], Event | None]]] = {
    "TASK_ADDED": _forgiving_added,
    "TASK_UPDATED": _forgiving_updated,
    "AGENT_ADDED": _forgiving_agent,
    "AGENT_REMOVED": _forgiving_agent_gone,
    "FRAMEWORK_ADDED": _forgiving_framework,
    "FRAMEWORK_UPDATED": _forgiving_framework,
    "FRAMEWORK_REMOVED": _forgiving_framework_gone,
}
