"""What `GET /v1/status` shows: everything that a generation knows of itself, as plain values. Edge: reads the clocks, and /proc."""

import itertools
import math
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from mesos_dns import telemetry, verdict
from mesos_dns.dns import name as names
from mesos_dns.metrics import is_counter
from mesos_dns.names.holds import totals
from mesos_dns.serve.forward.observed import FAILURES, REQUESTS, label
from mesos_dns.verdict import Facts, Verdict
from mesos_dns.workers.protocol import UpstreamHealth

if TYPE_CHECKING:
    from mesos_dns.generation import Generation

#: Held agents, frameworks and tasks that the status shows: a failover of a large cluster holds 100,000.
MAX_HELD_SHOWN: Final = 100
#: Metrics of a process, and what they are called here.
_RESOURCES: Final = {
    "process_resident_memory_bytes": "memory",
    "process_cpu_seconds": "cpu_ms",
    "process_open_fds": "files",
    "process_max_fds": "max_files",
    "process_start_time_seconds": "started",
}
#: From best to worst: what one worker says of an upstream may differ from what another does.
_STATES: Final = ("unasked", "ok", "slow", "failing", "open")


def judged(generation: "Generation") -> Verdict:
    """Whether all is well, by the one rule."""
    now, status = time.monotonic(), generation.source.status
    no_state: list[str] = []
    detector = [] if status.detector is None else status.detector.notes(now)
    if not generation.publisher.loaded.is_set():
        tried = f": {status.last_error}" if status.last_error else ""
        no_state = [f"no state of the cluster yet{tried}", *detector]
    return verdict.judge(
        Facts(
            leaving=generation.leaving,
            no_state=tuple(no_state),
            workers=len(generation.pool.workers),
            worker_troubles=tuple(generation.pool.troubles()),
            age=None if status.last_success is None else now - status.last_success,
            refresh=generation.plan.source.refresh_seconds,
            failures=status.consecutive_failures,
            error=" ".join(status.last_error.split()),
            detector=tuple(detector),
            refused=generation.reload.note if generation.reload.state == "refused" else "",
            certificate=generation.certificate_trouble(),
            dead_upstreams=tuple(name for name, said in _said(generation).items() if _best(said).state == "open"),
        )
    )


def shown(generation: "Generation") -> dict[str, object]:
    """How everything does, for people and programs: plain values, seconds, Unix times."""
    found, now = judged(generation), time.monotonic()
    status = generation.source.status
    reload = generation.reload
    return {
        "version": generation.version,
        "verdict": found.state,
        "problems": list(found.problems),
        "notes": generation.notes(),
        "started": int(generation.started),
        "uptime": max(int(time.time() - generation.started), 0),
        "ready": found.ready,
        "reasons": list(found.reasons),
        "configuration": {
            "from": generation.origin,
            "taken": int(generation.taken),
            "newest": "in force" if reload.state == "none" else reload.state,
            "reason": reload.reason,
            "at": int(reload.at or generation.taken),
        },
        "reload": {"state": reload.state, "reason": reload.reason, "at": int(reload.at)},
        "certificate": _certificate(generation),
        "query_log": generation.log_state(),
        "source": status.as_json(now),
        "masters": [each.as_json(status.leader, now) for each in status.masters],
        "leaders": [
            {"since": int(each.at), "leader": each.leader, "id": each.master_id, "cluster": each.cluster}
            for each in generation.leaders
        ],
        "cluster": {
            "agents": len(generation.model.agents),
            "frameworks": len(generation.model.frameworks),
            "tasks": len(generation.model.tasks),
        },
        **_held(generation, now),
        "left_out": generation.model.left_out,
        "skipped": generation.model.naming.skipped.counts,
        "collisions": {
            "counts": generation.colliding.found.counts,
            # Names that nobody asked for.
            "shown": [
                {"kind": each.kind, "name": each.name, "sharers": list(each.sharers), "more": each.more}
                for each in generation.colliding.found.shown
                if generation.enumeration_on
            ],
        },
        "zones": [
            {"zone": names.to_text(zone.authority.apex), "serial": zone.serial, "names": len(zone)}
            for zone in generation.zones
        ],
        "workers": [worker.status() for worker in generation.pool.workers],
        "upstreams": _upstreams(generation),
        "processes": list(_processes(generation)),
        "counters": {series: count for series, count in sorted(generation.counters().items()) if is_counter(series)},
    }


def _certificate(generation: "Generation") -> dict[str, object] | None:
    certificate = generation.plan.certificate
    if certificate is None:
        return None
    return {
        "file": certificate.file,
        "since": int(certificate.since),
        "until": int(certificate.until),
        "trouble": generation.certificate_trouble(),
    }


def _held(generation: "Generation", now: float) -> dict[str, object]:
    publisher = generation.publisher
    return {
        "grace": round(publisher.grace),
        "holding": [
            {
                "because": cause.value,
                "agents": total.agents,
                "frameworks": total.frameworks,
                "tasks": total.tasks,
                "seconds": _left(total.until, now),
            }
            for cause, total in totals(publisher.held()).items()
        ],
        "held": [
            {
                "kind": held.kind,
                "id": held.key if isinstance(held.key, str) else held.key[1],
                "why": held.hold.why.value,
                "seconds": _left(held.hold.until, now),
            }
            for held in itertools.islice(publisher.held(), MAX_HELD_SHOWN)
        ],
    }


def _left(until: float, now: float) -> int | None:
    """Whole seconds left, None for no end in sight."""
    return None if until == math.inf else round(max(until - now, 0.0))


def _said(generation: "Generation") -> dict[str, list[UpstreamHealth]]:
    """What those workers say of each upstream that have asked it."""
    found: dict[str, list[UpstreamHealth]] = {}
    for worker in generation.pool.workers:
        for health in worker.upstreams:
            if health.state != _STATES[0]:
                found.setdefault(health.upstream, []).append(health)
    return found


def _best(said: Sequence[UpstreamHealth]) -> UpstreamHealth:
    """As it does for whoever gets the best of it, so it does: another worker may just have been unlucky."""
    return min(said, key=_rank, default=UpstreamHealth(""))


def _upstreams(generation: "Generation") -> list[dict[str, object]]:
    """Each upstream once, in the order of the configuration, as the workers together see it."""
    zones: dict[str, list[str]] = {}
    for apex, upstreams in generation.plan.worker.forward.upstreams.items():
        for upstream in upstreams:
            zones.setdefault(label(upstream), []).append(names.to_text(apex))
    workers, said = generation.pool.workers, _said(generation)
    counted = generation.pool.counters()
    return [
        {
            "upstream": name,
            "zones": its_zones,
            "state": _best(said.get(name, ())).state,
            "failures_in_a_row": max((health.failures for health in said.get(name, ())), default=0),
            "last_error": next((health.error for health in said.get(name, ()) if health.error), ""),
            "rtt_us": telemetry.mean_rtt(name, workers),
            "requests": int(counted.get(REQUESTS.series(name), 0)),
            "failures": int(counted.get(FAILURES.series(name), 0)),
        }
        for name, its_zones in zones.items()
    ]


def _rank(health: UpstreamHealth) -> int:
    return _STATES.index(health.state) if health.state in _STATES else len(_STATES)


def _processes(generation: "Generation") -> Iterator[dict[str, object]]:
    """Memory in octets, processor time in milliseconds and open files of control and each worker that runs."""
    pids = telemetry.pids(generation)
    numbers: dict[str, dict[str, object]] = {name: {} for name in pids}
    for name, metric, value in telemetry.processes(pids):
        called = _RESOURCES.get(metric.name)
        if called is not None:
            numbers[name][called] = int(value * 1000 if called.endswith("_ms") else value)
    for name, pid in pids.items():
        yield {"process": name, "pid": pid, **numbers[name]}
