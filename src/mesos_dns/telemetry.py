"""What control shows of itself as metrics: everything that a generation knows, and the processes. Edge: reads /proc.

Read when somebody asks, from what is there anyway: nothing is kept for it but the counts that a generation hands to the next.
"""

import math
import os
import platform
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from prometheus_client.process_collector import ProcessCollector

from mesos_dns import metrics
from mesos_dns.dns import name as names
from mesos_dns.dns.rdata import TYPE_TEXT
from mesos_dns.metrics import CONFIGURED, Metric, counter, gauge, with_worker
from mesos_dns.names.collisions import KINDS
from mesos_dns.names.skipped import REASONS
from mesos_dns.serve.forward.observed import RTT
from mesos_dns.serve.recorder import DROPPED
from mesos_dns.workers.handle import WorkerHandle

if TYPE_CHECKING:
    from mesos_dns.generation import Generation

#: One series and its number.
Numbers = Iterator[tuple[str, float]]

_BUILD: Final = gauge("build_info", "Always 1; the labels tell what runs.", version=CONFIGURED, python=CONFIGURED)
_READY: Final = gauge("ready", "Whether names are loaded and every worker serves them, as /readyz says.")
_CONFIG_REFUSED: Final = gauge(
    "config_refused", "Whether the newest configuration was not taken, so that the one before stays."
)
_CONFIG_WAITING: Final = gauge("config_waiting", "Whether a new configuration waits for a state of its masters.")

_AGE: Final = gauge(
    "data_age_seconds",
    "Age of what is known of the cluster: seconds since the last good state, event or heartbeat. Absent before the first.",
)
_LIVE: Final = gauge("source_live", "Whether an open stream of events tells what happens.")
_USING: Final = gauge(
    "source_using", "1 for the way in which the cluster is followed at present.", using=("events", "polling")
)
_FAILING: Final = gauge(
    "source_failures_in_a_row", "Tries to read or follow the cluster that failed since the last good one."
)
_READ_SECONDS: Final = gauge("source_state_seconds", "Seconds from asking for the last whole state to having read it.")
_READ_OCTETS: Final = gauge("source_state_bytes", "Size of the last whole state.")
_POLLS: Final = counter("source_polls", "Polls of the state, or streams of events that began.")
_FAILURES: Final = counter("source_failures", "Tries to read or follow the cluster that failed.")
_EVENTS: Final = counter("source_events", "Events that told of something.")
_READS: Final = counter("source_reads", "Whole states that were read beside a stream of events.")
_DIFFERENCES: Final = counter("source_differences", "Agents, frameworks and tasks of which events had not told.")
_DETECTOR: Final = gauge("detector_connected", "Whether ZooKeeper is heard. Absent without Zk.")
_MASTERS_NAMED: Final = gauge("detector_masters", "Masters that ZooKeeper has named.")
_LEADER: Final = gauge(
    "leader_info", "1 for the leading master that is followed; absent if none is known.", leader=CONFIGURED
)
LEADER_CHANGES: Final = counter("leader_changes", "Changes of the leading master since the start.")

_TASKS: Final = gauge("tasks", "Running tasks that are known.")
_AGENTS: Final = gauge("agents", "Agents that are known.")
_FRAMEWORKS: Final = gauge("frameworks", "Frameworks that are known.")
_HELD: Final = gauge("held", "What is served although the newest state lacks it.", kind=("agent", "framework", "task"))
_LEFT_OUT: Final = gauge("unhealthy_left_out", "Unhealthy tasks that give way to healthy ones of the same names.")
_COLLISIONS: Final = gauge(
    "framework_name_collisions", "Names that several frameworks share: their tasks of one name share records."
)
_SHARED: Final = gauge(
    "name_collisions", "Names that have to do with several applications or frameworks: see names.md.", kind=KINDS
)
_SKIPPED: Final = gauge("skipped_names", "Tasks and frameworks of which a name is left out at present.", reason=REASONS)
_SKIPPED_PARTS: Final = gauge(
    "skipped_state_parts", "Parts of the newest whole state that could not be used.", reason=CONFIGURED
)
_SKIPPED_OF_EVENTS: Final = gauge(
    "skipped_event_parts", "Parts of the present stream of events that could not be used.", reason=CONFIGURED
)

_NAMES: Final = gauge("zone_names", "Names with records.", zone=CONFIGURED)
_RECORDS: Final = gauge(
    "zone_records", "Records, those of the apex and redirects apart.", zone=CONFIGURED, type=CONFIGURED
)
_SERIAL: Final = gauge("zone_serial", "Serial of a zone in control.", zone=CONFIGURED)
_CHANGES: Final = counter("zone_changes", "Changes of a zone, each with a serial of its own.", zone=CONFIGURED)
_ADDED: Final = counter("zone_records_added", "Records that a zone gained.", zone=CONFIGURED)
_REMOVED: Final = counter("zone_records_removed", "Records that a zone lost.", zone=CONFIGURED)

_WORKER_UP: Final = gauge("worker_up", "Whether a worker runs, has all zones and is heard.", worker=CONFIGURED)
_WORKER_SERIAL: Final = gauge("worker_serial", "Serial that a worker answers from.", worker=CONFIGURED, zone=CONFIGURED)

#: As the library names them, which reads them: for control and each worker.
_PROCESS: Final = {
    metric.name: metric
    for metric in (
        counter("process_cpu_seconds", "User and system CPU time.", process=CONFIGURED),
        gauge("process_resident_memory_bytes", "Resident memory, what processes share included.", process=CONFIGURED),
        gauge("process_virtual_memory_bytes", "Virtual memory.", process=CONFIGURED),
        gauge("process_start_time_seconds", "Start of the process, in Unix time.", process=CONFIGURED),
        gauge("process_open_fds", "Open file descriptors.", process=CONFIGURED),
        gauge("process_max_fds", "Limit of open file descriptors.", process=CONFIGURED),
    )
}


def measured(generation: "Generation") -> tuple[dict[str, Metric], dict[str, float]]:
    """What is declared, here and by workers, and all numbers by series."""
    workers = generation.pool.workers
    declared = {**metrics.declared(), **generation.pool.declared()}
    found = {**_zeros(declared), **generation.counters()}
    for each in (_program(generation), _source(generation), _cluster(generation), _zones(generation)):
        found.update(each)
    for worker in workers:
        found.update(_worker(worker))
        found.update(_gauges_of(worker))
    found.update((metric.series(label), value) for label, metric, value in processes(pids(generation)))
    by_worker = {name: with_worker(metric) for name, metric in declared.items() if metric.by_worker}
    return {**declared, **by_worker}, found


def counted(generation: "Generation") -> dict[str, float]:
    """What control itself has counted in this generation, by series."""
    status = generation.source.status
    found: dict[str, float] = {
        _POLLS.series(): status.polls,
        _FAILURES.series(): status.failures,
        _EVENTS.series(): status.events,
        _READS.series(): status.reads,
        _DIFFERENCES.series(): status.differences,
        LEADER_CHANGES.series(): generation.leaders.changes,
        DROPPED.series("destination"): generation.query_logs.dropped,
        **dict(generation.pool.propagation.seconds.numbers()),
    }
    for editor in generation.publisher.editors:
        zone = names.to_text(editor.zone.authority.apex)
        found[_CHANGES.series(zone)] = editor.changes
        found[_ADDED.series(zone)] = editor.added
        found[_REMOVED.series(zone)] = editor.removed
    return found


def _zeros(declared: Mapping[str, Metric]) -> dict[str, float]:
    """Counters that have nothing to count yet are 0 from the start, so that the first count is seen as growth."""
    found: dict[str, float] = {}
    for metric in declared.values():
        if metric.kind == metrics.COUNTER and not metric.labels:
            found[metric.series()] = 0
        elif metric.kind == metrics.COUNTER and len(metric.labels) == 1:
            found.update((metric.series(value), 0) for value in metric.labels[0][1])
    return found


def _program(generation: "Generation") -> Numbers:
    yield _BUILD.series(generation.version, platform.python_version()), 1
    yield _READY.series(), int(generation.ready()[0])
    yield _CONFIG_REFUSED.series(), int(generation.reload.state == "refused")
    yield _CONFIG_WAITING.series(), int(generation.reload.state == "waiting")


def _source(generation: "Generation") -> Numbers:
    status = generation.source.status
    if status.last_success is not None:
        yield _AGE.series(), max(time.monotonic() - status.last_success, 0.0)
    yield _LIVE.series(), int(status.is_live)
    for using in ("events", "polling"):
        yield _USING.series(using), int(status.using == using)
    yield _FAILING.series(), status.consecutive_failures
    if status.last_duration is not None:
        yield _READ_SECONDS.series(), status.last_duration
    yield _READ_OCTETS.series(), status.octets
    if status.detector is not None:
        yield _DETECTOR.series(), int(status.detector.connected)
        yield _MASTERS_NAMED.series(), status.detector.masters
    if status.leader is not None:
        yield _LEADER.series(str(status.leader)), 1
    for reason, count in generation.skipped_parts.items():
        yield _SKIPPED_PARTS.series(reason), count
    for reason, count in status.skipped.items():
        yield _SKIPPED_OF_EVENTS.series(reason), count


def _cluster(generation: "Generation") -> Numbers:
    model = generation.model
    yield _TASKS.series(), len(model.tasks)
    yield _AGENTS.series(), len(model.agents)
    yield _FRAMEWORKS.series(), len(model.frameworks)
    yield _LEFT_OUT.series(), model.left_out
    yield _COLLISIONS.series(), model.shared_framework_names
    for kind, count in generation.publisher.held_counts.items():
        yield _HELD.series(kind), count
    for kind, number in generation.colliding.found.counts.items():
        yield _SHARED.series(kind), number
    skipped = model.naming.skipped.counts
    for reason in REASONS:
        yield _SKIPPED.series(reason), skipped.get(reason, 0)


def _zones(generation: "Generation") -> Numbers:
    for editor in generation.publisher.editors:
        zone = names.to_text(editor.zone.authority.apex)
        yield _NAMES.series(zone), len(editor.zone)
        yield _SERIAL.series(zone), editor.zone.serial
        for rrtype, count in editor.records.items():
            yield _RECORDS.series(zone, TYPE_TEXT.get(rrtype, str(rrtype))), count


def _label(worker: WorkerHandle) -> str:
    return f"worker{worker.number}"


def _worker(worker: WorkerHandle) -> Numbers:
    number = str(worker.number)
    yield _WORKER_UP.series(number), int(worker.trouble is None)
    for apex, serial in worker.serving.items():
        yield _WORKER_SERIAL.series(number, names.to_text(apex)), serial


def _gauges_of(worker: WorkerHandle) -> Numbers:
    """What a worker measures, with its number."""
    for series, value in worker.gauges.items():
        name, labels = metrics.parse(series)
        metric = worker.declared.get(name)
        if metric is not None:
            yield with_worker(metric).series(str(worker.number), *labels.values()), value


def pids(generation: "Generation") -> dict[str, int]:
    """The ids of control and of each worker that runs, by what they are called."""
    return {"control": os.getpid(), **{_label(each): each.pid for each in generation.pool.workers if each.pid}}


def processes(asked_for: Mapping[str, int]) -> Iterator[tuple[str, Metric, float]]:
    """CPU, memory, files and start of processes, given by label. One that is gone has none."""
    asked = ""
    reader = ProcessCollector(pid=lambda: asked, registry=None)
    for label, pid in asked_for.items():
        asked = str(pid)
        for family in reader.collect():
            for sample in family.samples:
                metric = _PROCESS.get(sample.name.removesuffix("_total"))
                if metric is not None and math.isfinite(sample.value):
                    yield label, metric, sample.value


def mean_rtt(upstream: str, workers: Sequence[WorkerHandle]) -> int | None:
    """The smoothed round-trip time of an upstream in microseconds, the mean over workers; None if nobody knows one."""
    series = RTT.series(upstream)
    found = [worker.gauges[series] for worker in workers if series in worker.gauges]
    return round(sum(found) / len(found) * 1e6) if found else None
