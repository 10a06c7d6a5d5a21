"""Turns the body of `/master/state` into a `Snapshot`. Pure.

Measured (CPython 3.11, one core of a small virtual machine) in seconds of CPU, on a synthetic state: 100,000 running tasks of 2.8 kB, 5,000
agents, five frameworks, 282 MB.

| | first | next, unchanged |
|---|---|---|
| json.loads of the document, no further work | 17 s (most of it garbage collection) | same |
| msgspec structs for the whole document, no further work | 1.5 s, but one bad element costs all | same |
| this module, as it was first | 2.9 s | 0.8 s |
| this module, when it found tasks in one pass instead of two; 232 MB | 2.2 s | 0.5 s |

Peak memory above the body: 95 MB (json.loads: 1.8 GB). What counts: one pass over the document only finds the tasks (1 GB/s), each is
decoded alone into structs that skip what names do not need, and an element whose octets did not change keeps its `Task` object
without being decoded. Unusual keys are found by bytes.translate, eight times as fast as a regular expression.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple

import msgspec
from msgspec import Raw

from mesos_dns.mesos.decoding import tolerant, wire
from mesos_dns.mesos.decoding.document import (
    UNREADABLE,
    FrameworkEntry,
    StateError,
    excerpt,
    is_null,
    list_of,
    open_document,
)
from mesos_dns.mesos.decoding.evidence import EndedTasks, Sums, number_of, read_flags
from mesos_dns.mesos.decoding.grammar import parse_endpoint
from mesos_dns.mesos.decoding.members import Skipped, framework_address, read_agents
from mesos_dns.mesos.decoding.tasks import RUNNING, TaskReader
from mesos_dns.mesos.decoding.v0_tasks import task_entry
from mesos_dns.mesos.decoding.v1_tasks import ENDED
from mesos_dns.mesos.state import (
    MAX_NOT_RUNNING,
    Endpoint,
    Framework,
    NotRunning,
    NotShown,
    Snapshot,
    Task,
    TaskKey,
)

_decode_texts: Final = msgspec.json.Decoder(list[str]).decode
_decode_agent: Final = msgspec.json.Decoder(wire.AgentEntry).decode


class _WithProblems(NamedTuple):
    """What an element with faults means, and what was wrong with it."""

    task: Task | None
    problems: tuple[tuple[str, str], ...]


#: What one task element means: its id if it has ended, or if others that do not run are enough.
_Known = Task | _WithProblems | NotRunning | str | None
#: Stands for an element that is not known, for None is a meaning.
_UNKNOWN: Final = _WithProblems(None, ())


class _Frameworks(NamedTuple):
    """Frameworks by id, running tasks, the frameworks whose list of tasks is missing, tasks that do not run by framework, and some of them as such."""

    frameworks: dict[str, Framework]
    tasks: dict[TaskKey, Task]
    without_tasks: set[str]
    ended: dict[str, frozenset[str]]
    not_running: list[NotRunning]


class Decoder:
    """Decodes states one after the other, re-using what did not change.

    Not for use by two threads at once. Between calls it holds the tasks of the last document only, never the body.
    """

    def __init__(self) -> None:
        # Framework id -> hash of a task element -> its meaning. A changed element meets the hash of another one by chance
        # once in 10^11 reloads of a thousand changes; the keyed hash of Python cannot be aimed at.
        self._known: dict[str, dict[int, _Known]] = {}
        self._reader = TaskReader()
        self._ended = EndedTasks()

    def __repr__(self) -> str:
        return f"Decoder(tasks={sum(map(len, self._known.values()))})"

    def decode(self, body: bytes | bytearray, *, masters: tuple[Endpoint, ...] = ()) -> Snapshot:
        """Return the snapshot that `body`, a `/master/state` document, describes. `masters` is passed through.

        Elements that cannot be used are left out and counted. Raises StateError if there is no state in the
        document at all; the decoder then is as it was before.
        """
        skipped = Skipped()
        top = open_document(body, skipped.add)
        sums = Sums()
        found = self._read_frameworks(top.frameworks or (), sums, skipped)
        agents = read_agents(_agents_of(top.slaves or (), skipped), skipped, sums)
        unregistered = _read_texts(top.unregistered_frameworks)
        # Orphans (before Mesos 1.2) use resources and belong to no framework that is shown.
        if unregistered or top.frameworks is None or top.slaves is None:
            sums.spoil()
        flags = read_flags(top.flags)
        return Snapshot(
            master_id=_lenient_text(top.id),
            leader=parse_endpoint(_lenient_text(top.leader)),
            masters=masters,
            agents=agents,
            frameworks=found.frameworks,
            tasks=found.tasks,
            # A registry in memory ends with its master: the next one knows no agents of its predecessor.
            recovered_agents=(
                None if flags.registry == "in_memory" else _read_recovered(top.recovered_slaves, skipped)
            ),
            unregistered_frameworks=unregistered,
            completed_frameworks=frozenset(
                _lenient_text(entry.id) for entry in top.completed_frameworks or () if entry is not None
            ),
            not_shown=NotShown(top.slaves is None, top.frameworks is None, frozenset(found.without_tasks)),
            skipped=skipped.counts,
            skipped_examples=skipped.examples,
            pid=parse_endpoint(_lenient_text(top.pid)),
            flags_hidden=is_null(top.flags),
            ended_tasks=found.ended,
            concealed=sums.judge(),
            hostname=_lenient_text(top.hostname),
            cluster=_lenient_text(top.cluster) or flags.cluster,
            ensemble=flags.ensemble,
            elected_time=number_of(top.elected_time),
            reregister_timeout=flags.reregister_timeout,
            not_running=tuple(found.not_running),
        )

    def _read_frameworks(self, entries: Iterable[FrameworkEntry | None], sums: Sums, skipped: Skipped) -> _Frameworks:
        """All frameworks with their tasks; what they use goes into `sums`. What is known of tasks is that of this document then."""
        known: dict[str, dict[int, _Known]] = {}
        found = _Frameworks({}, {}, set(), {}, [])
        self._reader.forget_surplus(sum(map(len, self._known.values())))
        for position, entry in enumerate(entries):
            if entry is None:
                continue
            framework = _read_framework(entry, position, found.frameworks, skipped)
            if framework is None:
                sums.spoil()
                continue
            found.frameworks[framework.id] = framework
            sums.add_framework(framework.id, entry)
            if entry.tasks is None:
                found.without_tasks.add(framework.id)
            known[framework.id] = meanings = self._read_tasks(framework.id, entry.tasks or [], found, skipped)
            over = self._ended.read(framework.id, entry).union(_not_running(meanings.values()))
            if over:
                found.ended[framework.id] = over
        self._known = known
        self._ended.forget_but(found.frameworks)
        return found

    def _read_tasks(
        self, framework_id: str, elements: list[Raw], found: _Frameworks, skipped: Skipped
    ) -> dict[int, _Known]:
        """Add the tasks of one framework to `found`; the meaning of each element by its hash."""
        tasks = found.tasks
        before = self._known.get(framework_id, {})
        now: dict[int, _Known] = {}
        repeats: dict[str, int] = {}
        for raw in elements:
            element = bytes(raw)
            key = hash(element)
            known = before.get(key, _UNKNOWN)
            if known is _UNKNOWN:
                known = self._read_task(element, framework_id, more=len(found.not_running) < MAX_NOT_RUNNING)
            now[key] = known
            task: Task | None = None
            if isinstance(known, Task):
                task = known
            elif isinstance(known, _WithProblems):
                task = known.task
                for problem in known.problems:
                    skipped.add(*problem)
            elif isinstance(known, NotRunning) and len(found.not_running) < MAX_NOT_RUNNING:
                found.not_running.append(known)
            if task is not None:
                task_key = (framework_id, task.id, 0)
                if task_key in tasks:
                    repeats[task.id] = repeat = repeats.get(task.id, 0) + 1
                    task_key = (framework_id, task.id, repeat)
                tasks[task_key] = task
        return now

    def _read_task(self, element: bytes, framework_id: str, *, more: bool) -> _Known:
        """What an element means; `more`: one that does not run is worth being read."""
        problems: tolerant.Problems = []
        try:
            found = task_entry(element, problems)
        except UNREADABLE as error:
            return _WithProblems(None, (("task: bad type", f"{error} in {excerpt(element)}"),))
        if found is None:
            return None
        if found.state != RUNNING:
            if not more or not found.state or found.state in ENDED:
                return found.id
            # What is wrong with it is told when it runs.
            return NotRunning(self._reader.read(found, framework_id, []), found.state)
        task = self._reader.read(found, framework_id, problems)
        return _WithProblems(task, tuple(problems)) if problems else task


def _not_running(meanings: Iterable[_Known]) -> Iterator[str]:
    """The ids of the tasks among them that do not run."""
    for known in meanings:
        if isinstance(known, str):
            yield known
        elif isinstance(known, NotRunning):
            yield known.task.id


def _text_of(raw: Raw) -> str | None:
    """Return the text, None for null. BadTypeError (or another ValueError) if it is no text."""
    return tolerant.text(tolerant.parse(bytes(raw)))


def _lenient_text(raw: Raw) -> str:
    try:
        return tolerant.text(tolerant.parse(bytes(raw))) or ""
    except (ValueError, RecursionError):
        return ""


def _read_framework(
    entry: FrameworkEntry, position: int, others: Mapping[str, Framework], skipped: Skipped
) -> Framework | None:
    """The framework; None if it cannot be used."""
    try:
        name = _text_of(entry.name) or ""
        given_id = _text_of(entry.id) or ""
        pid = _text_of(entry.pid)
        hostname = _text_of(entry.hostname) or ""
    except (ValueError, RecursionError) as error:
        skipped.add("framework: bad type", f"{error} (framework number {position})")
        return None
    host, port = framework_address(pid, hostname, name, skipped)
    unique_id = given_id if given_id and given_id not in others else f"#{position}"
    recovered = memoryview(entry.recovered) == memoryview(b"true")
    return Framework(id=unique_id, name=name, host=host, port=port, recovered=recovered)


def _agents_of(elements: Iterable[Raw], skipped: Skipped) -> Iterable[tuple[int, wire.AgentEntry]]:
    """Position and content of each usable element of `slaves` or `recovered_slaves`."""
    for position, raw in enumerate(elements):
        element = bytes(raw)
        try:
            agent = _agent_of(element)
        except UNREADABLE as error:
            skipped.add("agent: bad type", f"{error} in {excerpt(element)}")
            continue
        if agent is not None:
            yield position, agent


def _agent_of(element: bytes) -> wire.AgentEntry | None:
    if element == b"null":
        return None
    if not tolerant.has_unusual_keys(element):
        try:
            return _decode_agent(element)
        except UNREADABLE:
            pass  # the forgiving reader decides
    return tolerant.agent(element)


def _read_recovered(raw: Raw, skipped: Skipped) -> frozenset[str] | None:
    """The agents that the master expects back; None if it does not tell, or not completely."""
    try:
        elements = list_of({"recovered_slaves": raw}, "recovered_slaves")
    except StateError as error:
        skipped.add("agent: bad type", str(error))
        return None
    if elements is None:
        return None
    ids = [agent.id for _, agent in _agents_of(elements, skipped) if agent.id]
    return frozenset(ids) if len(ids) == len(elements) else None


def _read_texts(raw: Raw) -> frozenset[str] | None:
    try:
        return None if is_null(raw) else frozenset(_decode_texts(raw))
    except UNREADABLE:
        return None
