"""Part `answers`: what an answer costs, and how many a core gives, beside NSD and Knot."""

from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bench import dnsperf, queries, ratios, servers, tcp
from bench.bed import SEED, Bed, Cluster, say
from bench.saved_state import body, state_master
from bench.servers import Program, Server, Start, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

#: A server that answers fewer of its questions as expected is broken, not fast.
_RIGHT: Final = 0.99


def measure(bed: Bed) -> None:
    for tasks in bed.settings.tasks:
        cluster = bed.attempt(f"answers at {tasks:,} tasks", bed.cluster, tasks, served=True)
        if cluster is None:
            continue
        with ExitStack() as stack:
            found = start_all(bed, cluster, stack)
            for workload in queries.WORKLOADS if found else ():
                if not (bed.wanted("answers") or bed.wanted(workload.name)):
                    continue
                if bed.settings.quick and workload.long and not bed.named(workload.name):
                    bed.skip(workload.title, f"not in a quick run, unless with --only {workload.name}")
                else:
                    compare(bed, cluster, found, workload)


def start_all(bed: Bed, cluster: Cluster, stack: ExitStack, peers: tuple[str, ...] = ("NSD", "Knot")) -> list[Server]:
    """Every server that is there, each on the server core; they are loaded one after the other."""
    zones = {cluster.names.origin: cluster.zone}
    cores = bed.server_cores
    entries: dict[str, Start] = {
        "NSD": lambda: stack.enter_context(servers.nsd(zones, bed.folder, cores)),
        "Knot": lambda: stack.enter_context(servers.knot(cluster.names.origin, cluster.zone, bed.folder, cores)),
    }
    entries = {name: entries[name] for name in peers}
    if cluster.state is not None:
        entries = {
            program.name: partial(start_mesos_dns, bed, cluster.state, stack, program, workers=1)
            for program in bed.settings.programs
        } | entries
    found = (bed.attempt(name, entry) for name, entry in entries.items())
    return [server for server in found if server is not None]


def start_mesos_dns(
    bed: Bed,
    state: Path | None,
    stack: ExitStack,
    program: Program,
    *,
    workers: int,
    upstream: int | None = None,
    **keys: Any,
) -> Server:
    """Mesos-DNS with these keys besides, ready, with its workers on the server cores and its control process on the others.

    It polls once an hour, so that no poll falls into a measurement of answers. `keys` are further ones of its
    configuration.
    """
    if state is None:
        raise UnavailableError("Mesos-DNS needs a state: it is left out with --zone")
    source = stack.enter_context(state_master())
    source.serving = body("state", state.read_bytes(), source.port)
    config = servers.mesos_dns_config(source.port, workers=workers, refresh=3600, upstream=upstream) | keys
    server = stack.enter_context(servers.mesos_dns(config, bed.folder, program))
    servers.wait_until_ready(server)
    if len(server.workers()) < workers:
        raise server.failure(f"{len(server.workers())} processes below the first, expected {workers} workers")
    servers.pin_workers(server, bed.server_cores, bed.load_cores)
    return server


@dataclass(slots=True)
class Runs:
    """What was measured of one server, by run."""

    cpu_us: list[float] = field(default_factory=list)
    qps: list[float] = field(default_factory=list)
    latency_ms: list[float] = field(default_factory=list)
    octets: list[float] = field(default_factory=list)
    lost: list[float] = field(default_factory=list)


def compare(bed: Bed, cluster: Cluster, found: list[Server], workload: queries.Workload) -> None:
    """One workload, all servers, interleaved: what disturbs the machine disturbs them alike."""
    runs = {server.name: Runs() for server in found}
    for turn in range(bed.settings.runs):
        try:
            asking = asking_for(bed, cluster, workload, turn)
        except queries.NothingToAskError as error:
            bed.skip(workload.title, error)
            return
        for server in ratios.turned(found, turn):
            if server.name in runs and not one_run(bed, server, workload, asking, runs[server.name], first=turn == 0):
                del runs[server.name]
    _add(bed, cluster, workload, runs)


def asking_for(bed: Bed, cluster: Cluster, workload: queries.Workload, turn: int) -> dnsperf.Asking:
    """What is asked in one turn; NothingToAskError when the zone lacks the names."""
    seconds = bed.settings.seconds + (bed.settings.warm_up if turn == 0 else 0)
    messages = queries.questions(workload, cluster.names, seconds=seconds, seed=SEED + turn)
    return dnsperf.Asking(
        bed.queries(workload.name, messages),
        bed.settings.seconds,
        bed.load_cores,
        tcp=workload.tcp,
        tls=workload.tls,
        outstanding=workload.outstanding,
        rate=workload.rate,
        per_connection=workload.per_connection,
    )


def _add(bed: Bed, cluster: Cluster, workload: queries.Workload, runs: dict[str, Runs]) -> None:
    tables: dict[str, tuple[Callable[[Runs], list[float]], str]] = {
        "cpu": (lambda each: each.cpu_us, "NSD"),
        "qps": (lambda each: each.qps, "NSD"),
        "latency": (lambda each: each.latency_ms, "NSD"),
        "octets": (lambda each: each.octets, ""),
        "lost": (lambda each: each.lost, ""),
    }
    for name, (figures, peer) in tables.items():
        if name == "qps" and workload.rate:  # the rate is what was asked for
            continue
        columns = {server: figures(each) for server, each in runs.items()}
        bed.compare(f"answers-{name}-{cluster.tasks}", workload.title, columns, peer)


def one_run(
    bed: Bed, server: Server, workload: queries.Workload, asking: dnsperf.Asking, runs: Runs, *, first: bool
) -> bool:
    """Measure once; False, and a reason noted, when the server did not answer as expected."""
    what = f"{workload.title}, {server.name}"
    run = tcp.run if workload.own_client else dnsperf.run
    if first:
        warm = replace(asking, seconds=bed.settings.warm_up)
        if bed.attempt(what, run, servers.ADDRESS, server.port, warm) is None:
            return False
    before = server.run_seconds()
    result = bed.attempt(what, run, servers.ADDRESS, server.port, asking)
    spent = server.run_seconds() - before
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
    say(f"{what}: {runs.cpu_us[-1]:.2f} µs, {load.qps:,.0f} q/s, client {own / load.answered * 1e6:.1f} µs")
    return True
