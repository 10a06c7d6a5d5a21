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

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeVar

import msgspec
from msgspec import Raw

from mesos_dns import limits
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
from mesos_dns.mesos.decoding.grammar import parse_address, parse_endpoint, parse_pid, parse_ranges
from mesos_dns.mesos.decoding.tolerant import Problems
from mesos_dns.mesos.state import Agent, DiscoveryPort, Endpoint, Framework, NotShown, Snapshot, Task, TaskKey
from mesos_dns.quoting import quoted

#: Examples kept per reason for which elements of a state were skipped: enough to find the culprit.
MAX_SKIPPED_EXAMPLES: Final = 3
#: Equal texts and tuples that the decoder shares between tasks before it starts anew, for each task of the last state, and for
#: none: a task has three. With a bound for the largest clusters, those of tasks long gone would fill the memory of a small one.
MAX_SHARED_PER_TASK: Final = 5
MAX_SHARED_AT_LEAST: Final = 1_000
DOCKER_LABEL: Final = "Docker.NetworkSettings.IPAddress"
MESOS_LABEL: Final = "MesosContainerizer.NetworkSettings.IPAddress"

_RUNNING: Final = "TASK_RUNNING"

T = TypeVar("T")

_decode_task: Final = msgspec.json.Decoder(wire.TaskEntry).decode
_decode_flags: Final = msgspec.json.Decoder(wire.Flags).decode
_decode_texts: Final = msgspec.json.Decoder(list[str]).decode
_decode_agent: Final = msgspec.json.Decoder(wire.AgentEntry).decode


class _WithProblems(NamedTuple):
    """What an element with faults means, and what was wrong with it."""

    task: Task | None
    problems: tuple[tuple[str, str], ...]


#: What one task element means: nothing if it is not running.
_Known = Task | _WithProblems | None
#: Stands for an element that is not known, for None is a meaning.
_UNKNOWN: Final = _WithProblems(None, ())


class _Skipped:
    """Counts by reason, with the first few examples."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.examples: dict[str, tuple[str, ...]] = {}

    def __repr__(self) -> str:
        return f"_Skipped({self.counts})"

    def add(self, reason: str, example: str) -> None:
        self.counts[reason] = self.counts.get(reason, 0) + 1
        shown = self.examples.get(reason, ())
        if len(shown) < MAX_SKIPPED_EXAMPLES:
            self.examples[reason] = (*shown, example[: limits.MAX_EXAMPLE_TEXT])


class Decoder:
    """Decodes states one after the other, re-using what did not change.

    Not for use by two threads at once. Between calls it holds the tasks of the last document only, never the body.
    """

    def __init__(self) -> None:
        # Framework id -> hash of a task element -> its meaning. A changed element meets the hash of another one by chance
        # once in 10^11 reloads of a thousand changes; the keyed hash of Python cannot be aimed at.
        self._known: dict[str, dict[int, _Known]] = {}
        self._shared: dict[Any, Any] = {}

    def __repr__(self) -> str:
        return f"Decoder(tasks={sum(map(len, self._known.values()))})"

    def decode(self, body: bytes | bytearray, *, masters: tuple[Endpoint, ...] = ()) -> Snapshot:
        """Return the snapshot that `body`, a `/master/state` document, describes. `masters` is passed through.

        Elements that cannot be used are left out and counted. Raises StateError if there is no state in the
        document at all; the decoder then is as it was before.
        """
        skipped = _Skipped()
        top = open_document(body, skipped.add)
        known: dict[str, dict[int, _Known]] = {}
        frameworks: dict[str, Framework] = {}
        tasks: dict[TaskKey, Task] = {}
        if len(self._shared) > MAX_SHARED_AT_LEAST + MAX_SHARED_PER_TASK * sum(map(len, self._known.values())):
            self._shared.clear()
        without_tasks: set[str] = set()
        for position, entry in enumerate(top.frameworks or ()):
            if entry is None:
                continue
            framework = _read_framework(entry, position, frameworks, skipped)
            if framework is None:
                continue
            frameworks[framework.id] = framework
            if entry.tasks is None:
                without_tasks.add(framework.id)
            known[framework.id] = self._read_tasks(framework.id, entry.tasks or [], tasks, skipped)
        self._known = known
        return Snapshot(
            master_id=_lenient_text(top.id),
            leader=parse_endpoint(_lenient_text(top.leader)),
            masters=masters,
            agents=_read_agents(top.slaves or (), skipped),
            frameworks=frameworks,
            tasks=tasks,
            recovered_agents=None if _forgets_agents(top.flags) else _read_recovered(top.recovered_slaves, skipped),
            unregistered_frameworks=_read_texts(top.unregistered_frameworks),
            completed_frameworks=frozenset(
                _lenient_text(entry.id) for entry in top.completed_frameworks or () if entry is not None
            ),
            not_shown=NotShown(top.slaves is None, top.frameworks is None, frozenset(without_tasks)),
            skipped=skipped.counts,
            skipped_examples=skipped.examples,
            pid=parse_endpoint(_lenient_text(top.pid)),
            flags_hidden=is_null(top.flags),
        )

    def _read_tasks(
        self, framework_id: str, elements: list[Raw], tasks: dict[TaskKey, Task], skipped: _Skipped
    ) -> dict[int, _Known]:
        """Add the running tasks of one framework to `tasks`; the meaning of each element by its hash."""
        before = self._known.get(framework_id, {})
        now: dict[int, _Known] = {}
        repeats: dict[str, int] = {}
        for raw in elements:
            element = bytes(raw)
            key = hash(element)
            known = before.get(key, _UNKNOWN)
            if known is _UNKNOWN:
                known = self._read_task(element, framework_id)
            now[key] = known
            if isinstance(known, _WithProblems):
                task = known.task
                for problem in known.problems:
                    skipped.add(*problem)
            else:
                task = known
            if task is not None:
                task_key = (framework_id, task.id, 0)
                if task_key in tasks:
                    repeats[task.id] = repeat = repeats.get(task.id, 0) + 1
                    task_key = (framework_id, task.id, repeat)
                tasks[task_key] = task
        return now

    def _read_task(self, element: bytes, framework_id: str) -> _Known:
        problems: Problems = []
        try:
            found = _task_of(element, problems)
        except UNREADABLE as error:
            return _WithProblems(None, (("task: bad type", f"{error} in {excerpt(element)}"),))
        if found is None or found.state != _RUNNING:
            return None
        task = self._build_task(found, framework_id, problems)
        return _WithProblems(task, tuple(problems)) if problems else task

    def _build_task(self, found: wire.TaskEntry, framework_id: str, problems: Problems) -> Task:
        discovery = found.discovery
        status = _chosen_status(found.statuses or ())
        netinfo: tuple[bytes, ...] = ()
        docker: tuple[bytes, ...] = ()
        mesos: tuple[bytes, ...] = ()
        if status is not None:
            netinfo = self._addresses(_netinfo_texts(status), found.id, problems)
            if status.labels:
                docker = self._addresses(_label_texts(status, DOCKER_LABEL), found.id, problems)
                mesos = self._addresses(_label_texts(status, MESOS_LABEL), found.id, problems)
        agent_id = found.slave_id or ""
        return Task(
            id=found.id or "",
            name=found.name or "",
            framework_id=framework_id,
            agent_id=self._share(agent_id),
            ports=self._port_ranges(found.resources, found.id, problems),
            discovery_name="" if discovery is None else discovery.name or "",
            discovery_ports=() if discovery is None else self._discovery_ports(discovery),
            netinfo=netinfo,
            docker=docker,
            mesos=mesos,
        )

    def _addresses(self, texts: Iterable[str | None], task_id: str | None, problems: Problems) -> tuple[bytes, ...]:
        """Parse the addresses, in order, without repetitions."""
        packed: dict[bytes, None] = {}
        for text in texts:
            if not text:
                continue  # some executors send empty addresses: nothing to report
            address = parse_address(text)
            if address is None:
                problems.append(("address: not an IP address", f"{quoted(text)} of task {quoted(task_id or '')}"))
            elif len(packed) < limits.MAX_ADDRESSES:
                packed[address] = None
            else:
                problems.append(
                    ("address: too many", f"more than {limits.MAX_ADDRESSES} of task {quoted(task_id or '')}")
                )
                break
        found = tuple(packed)
        return self._share(found) if found else ()

    def _share(self, value: T) -> T:
        shared: T = self._shared.setdefault(value, value)
        return shared

    def _port_ranges(
        self, resources: wire.Resources | None, task_id: str | None, problems: Problems
    ) -> tuple[tuple[int, int], ...]:
        text = None if resources is None else resources.ports
        if not text:
            return ()
        shared: tuple[tuple[int, int], ...] | None = self._shared.get(text)
        if shared is not None:
            return shared
        ranges, bad = parse_ranges(text)
        if bad:
            problems.append(("ports: unreadable range", f"{quoted(text)} of task {quoted(task_id or '')}"))
        else:
            self._shared[text] = ranges
        return ranges

    def _discovery_ports(self, discovery: wire.Discovery) -> tuple[DiscoveryPort, ...]:
        if discovery.ports is None or not discovery.ports.ports:
            return ()
        ports = tuple(
            DiscoveryPort(number=port.number or 0, name=port.name or "", protocol=port.protocol or "")
            for port in discovery.ports.ports
            if port is not None
        )
        return self._share(ports)


def _text_of(raw: Raw) -> str | None:
    """Return the text, None for null. BadTypeError (or another ValueError) if it is no text."""
    return tolerant.text(tolerant.parse(bytes(raw)))


def _lenient_text(raw: Raw) -> str:
    try:
        return tolerant.text(tolerant.parse(bytes(raw))) or ""
    except (ValueError, RecursionError):
        return ""


def _read_framework(
    entry: FrameworkEntry, position: int, others: Mapping[str, Framework], skipped: _Skipped
) -> Framework | None:
    """The framework; None if it cannot be used."""
    try:
        name = _text_of(entry.name) or ""
        given_id = _text_of(entry.id) or ""
        pid = _text_of(entry.pid)
        host = _text_of(entry.hostname) or ""
    except (ValueError, RecursionError) as error:
        skipped.add("framework: bad type", f"{error} (framework number {position})")
        return None
    port: int | None = None
    if pid is not None:
        address = parse_pid(pid)
        if address is None:
            skipped.add("framework: bad pid", f"{quoted(pid)} of framework {quoted(name)}")
        else:
            host, port = address
    unique_id = given_id if given_id and given_id not in others else f"#{position}"
    recovered = memoryview(entry.recovered) == memoryview(b"true")
    return Framework(id=unique_id, name=name, host=host, port=port, recovered=recovered)


def _agents_of(elements: Iterable[Raw], skipped: _Skipped) -> Iterable[tuple[int, wire.AgentEntry]]:
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


def _read_agents(elements: Iterable[Raw], skipped: _Skipped) -> dict[str, Agent]:
    agents: dict[str, Agent] = {}
    for position, found in _agents_of(elements, skipped):
        agent_id = found.id or f"#{position}"
        host, port = parse_pid(found.pid or "") or ("", None)
        if not host or port is None:
            pid = "no pid" if found.pid is None else f"pid {quoted(found.pid)}"
            skipped.add("agent: bad pid", f"{pid} of agent {quoted(agent_id)}")
        if agent_id in agents:
            skipped.add("agent: repeated id", quoted(agent_id))
        agents[agent_id] = Agent(id=agent_id, host=host, port=port or 0)
    return agents


def _read_recovered(raw: Raw, skipped: _Skipped) -> frozenset[str] | None:
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


def _forgets_agents(flags: Raw) -> bool:
    """Whether the master says that its registry ends with it: then it knows no agents of its predecessor."""
    try:
        return _decode_flags(flags).registry == "in_memory"
    except UNREADABLE:
        return False


def _task_of(element: bytes, problems: Problems) -> wire.TaskEntry | None:
    if element == b"null":
        return None
    if not tolerant.has_unusual_keys(element):
        try:
            return _decode_task(element)
        except UNREADABLE:
            pass  # the forgiving reader decides
    return tolerant.task(element, problems)


def _chosen_status(statuses: Sequence[wire.Status | None]) -> wire.Status | None:
    """Choose the status that gives a task's addresses.

    As in Go: of those in state TASK_RUNNING the one with the largest timestamp, the first of equals; one without timestamp counts
    as 0, one at -1 or before is not looked at. Beyond Go: while no TASK_RUNNING status has arrived (the agent tags the unacknowledged
    TASK_STARTING with the latest state), the newest one with network infos that hold an address.
    """
    candidates = [status for status in statuses if status is not None and status.state == _RUNNING]
    if len(candidates) == 1 and (candidates[0].timestamp or 0.0) > -1.0:
        return candidates[0]
    if not candidates:
        candidates = [status for status in statuses if status is not None and _has_address(status)]
    chosen: wire.Status | None = None
    chosen_at = -1.0
    for status in candidates:
        at = status.timestamp or 0.0
        if at > chosen_at:
            chosen, chosen_at = status, at
    return chosen


def _has_address(status: wire.Status) -> bool:
    return any(parse_address(text) for text in _netinfo_texts(status) if text)


def _netinfo_texts(status: wire.Status) -> list[str | None]:
    container = status.container_status
    if container is None or not container.network_infos:
        return []
    texts: list[str | None] = []
    for info in container.network_infos:
        if info is None:
            continue
        if info.ip_addresses:
            texts += [address.ip_address for address in info.ip_addresses if address is not None]
        else:
            texts.append(info.ip_address)
    return texts


def _label_texts(status: wire.Status, key: str) -> list[str | None]:
    return [label.value for label in status.labels or () if label is not None and label.key == key]
