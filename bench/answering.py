"""Part `answers`: what an answer costs, and how many a core gives, beside NSD and Knot."""

from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bench import dnsperf, queries, servers
from bench.bed import SEED, Bed, Cluster, say
from bench.saved_state import body, state_master
from bench.servers import Server, Start, UnavailableError

#: Seconds of load before the first measured run of a workload: caches and memos are what they are in service.
_WARM_UP: Final = 2.0
#: A server that answers fewer of its questions as expected is broken, not fast.
_RIGHT: Final = 0.99


def measure(bed: Bed) -> None:
    for tasks in bed.settings.tasks:
        cluster = bed.attempt(f"answers at {tasks:,} tasks", bed.cluster, tasks)
        if cluster is None:
            continue
        with ExitStack() as stack:
            found = start_all(bed, cluster, stack)
            for workload in queries.WORKLOADS:
                if found and (bed.wanted("answers") or bed.wanted(workload.name)):
                    compare(bed, cluster, found, workload)


def start_all(bed: Bed, cluster: Cluster, stack: ExitStack) -> list[Server]:
    """Every server that is there, each on the server core; they are loaded one after the other."""
    zones = {cluster.names.origin: cluster.zone}
    cores = bed.server_cores
    entries: dict[str, Start] = {
        "NSD": lambda: stack.enter_context(servers.nsd(zones, bed.folder, cores)),
        "Knot": lambda: stack.enter_context(servers.knot(cluster.names.origin, cluster.zone, bed.folder, cores)),
    }
    if cluster.state is not None:
        entries = {"Mesos-DNS": lambda: start_mesos_dns(bed, cluster.state, stack, workers=1)} | entries
    found = (bed.attempt(name, entry) for name, entry in entries.items())
    return [server for server in found if server is not None]


def start_mesos_dns(
    bed: Bed, state: Path | None, stack: ExitStack, *, workers: int, refresh: int = 3600, upstream: int | None = None
) -> Server:
    """Mesos-DNS, ready, with its workers on the server cores and its control process on the others.

    It polls once an hour, so that no poll falls into a measurement of answers.
    """
    if state is None:
        raise UnavailableError("Mesos-DNS needs a state: it is left out with --zone")
    source = stack.enter_context(state_master())
    source.serving = body("state", state.read_bytes(), source.port)
    config = servers.mesos_dns_config(source.port, workers=workers, refresh=refresh, upstream=upstream)
    server = stack.enter_context(servers.mesos_dns(config, bed.folder))
    servers.wait_until_ready(server)
    if len(server.workers()) < workers:
        raise server.failure(f"{len(server.workers())} processes below the first, expected {workers} workers")
    servers.pin_workers(server, bed.server_cores, bed.load_cores)
    return server


@dataclass(slots=True)
class _Runs:
    cpu_us: list[float] = field(default_factory=list)
    qps: list[float] = field(default_factory=list)
    latency_ms: list[float] = field(default_factory=list)
    octets: list[float] = field(default_factory=list)
    lost: list[float] = field(default_factory=list)


def compare(bed: Bed, cluster: Cluster, found: list[Server], workload: queries.Workload) -> None:
    """One workload, all servers, interleaved: what disturbs the machine disturbs them alike."""
    runs = {server.name: _Runs() for server in found}
    for turn in range(bed.settings.runs):
        seconds = bed.settings.seconds + (_WARM_UP if turn == 0 else 0)
        messages = queries.questions(workload, cluster.names, seconds=seconds, seed=SEED + turn)
        asking = dnsperf.Asking(
            bed.queries(workload.name, messages), bed.settings.seconds, bed.load_cores, tcp=workload.tcp
        )
        for server in found:
            if server.name in runs and not one_run(bed, server, workload, asking, runs[server.name], first=turn == 0):
                del runs[server.name]
    for name, values in runs.items():
        for table, figures in _tables(cluster, values):
            bed.add(table, workload.title, name, *figures)


def _tables(cluster: Cluster, runs: _Runs) -> list[tuple[str, list[float]]]:
    return [
        (f"answers-cpu-{cluster.tasks}", runs.cpu_us),
        (f"answers-qps-{cluster.tasks}", runs.qps),
        (f"answers-latency-{cluster.tasks}", runs.latency_ms),
        (f"answers-octets-{cluster.tasks}", runs.octets),
        (f"answers-lost-{cluster.tasks}", runs.lost),
    ]


def one_run(
    bed: Bed, server: Server, workload: queries.Workload, asking: dnsperf.Asking, runs: _Runs, *, first: bool
) -> bool:
    """Measure once; False, and a reason noted, when the server did not answer as expected."""
    what = f"{workload.title}, {server.name}"
    if first:
        warm = dnsperf.Asking(asking.queries, _WARM_UP, asking.cores, tcp=asking.tcp)
        if bed.attempt(what, dnsperf.run, servers.ADDRESS, server.port, warm) is None:
            return False
    before = server.cpu_seconds()
    result = bed.attempt(what, dnsperf.run, servers.ADDRESS, server.port, asking)
    spent = server.cpu_seconds() - before
    if result is None:
        return False
    load, own = result
    right = sum(load.codes.get(code, 0) for code in workload.codes)
    if not load.answered or right < _RIGHT * load.answered:
        bed.skip(what, f"expected {' or '.join(workload.codes)}, got {load.codes}, {load.lost} lost")
        return False
    runs.cpu_us.append(spent / load.answered * 1e6)
    runs.qps.append(load.qps)
    runs.latency_ms.append(load.latency_ms)
    runs.octets.append(load.response_octets)
    runs.lost.append(1e6 * load.lost / load.sent)
    say(f"{what}: {runs.cpu_us[-1]:.2f} µs, {load.qps:,.0f} q/s, dnsperf {own / load.answered * 1e6:.1f} µs")
    return True
