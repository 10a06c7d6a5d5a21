"""Part `forwarded`: names of other zones, passed on to a resolver that knows them, or answered from the cache."""

from contextlib import ExitStack
from functools import partial
from typing import Final

from bench import dnsperf, queries, ratios, servers, wire
from bench.answering import start_mesos_dns
from bench.bed import SEED, Bed, Cluster, say
from bench.servers import Server, Start

ZONE: Final = "forward.example."
#: Names that none has asked for, without and with EDNS; and a thousand that are in every cache.
WORKLOADS: Final = ("A, forwarded, no name twice", "the same with EDNS", "A, forwarded, cached")
#: The same at this rate: light load, as a cluster has it.
RATE: Final = 1000


def measure(bed: Bed) -> None:
    """An NSD with a wildcard is the resolver; it and dnsperf run on the load cores."""
    tasks = bed.settings.tasks[0]
    cluster = bed.attempt("forwarded", bed.cluster, tasks)
    if cluster is None:
        return
    zone = bed.folder / "forward.zone"
    zone.write_text(
        f"{ZONE} 60 IN SOA ns.{ZONE} root.{ZONE} 1 60 60 60 60\n{ZONE} 60 IN NS ns.{ZONE}\n"
        f"ns.{ZONE} 60 IN A 192.0.2.1\n*.{ZONE} 60 IN A 192.0.2.2\n"
    )
    with ExitStack() as stack:
        upstream = bed.attempt("forwarded", stack.enter_context, servers.nsd({ZONE: zone}, bed.folder, bed.load_cores))
        if upstream is not None:
            compare(bed, start_all(bed, cluster, upstream.port, stack))


def start_all(bed: Bed, cluster: Cluster, upstream: int, stack: ExitStack) -> list[Server]:
    cores = bed.server_cores
    entries: dict[str, Start] = {
        "Knot": lambda: stack.enter_context(
            servers.knot(cluster.names.origin, cluster.zone, bed.folder, cores, upstream)
        ),
        "Unbound": lambda: stack.enter_context(servers.unbound(ZONE, upstream, bed.folder, cores)),
        "dnsmasq": lambda: stack.enter_context(servers.dnsmasq(ZONE, upstream, bed.folder, cores)),
    }
    if cluster.state is not None:
        entries = {
            program.name: partial(start_mesos_dns, bed, cluster.state, stack, program, workers=1, upstream=upstream)
            for program in bed.settings.programs
        } | entries
    found = []
    for name, entry in entries.items():
        server = bed.attempt(f"forwarded, {name}", entry)
        if server is None:
            continue
        if servers.answered(server.port, f"first.{ZONE}", wire.A, timeout=5):
            found.append(server)
        else:
            bed.skip(f"forwarded, {name}", "it does not forward")
    return found


def _asking(bed: Bed, workload: str, turn: int, rate: int) -> dnsperf.Asking:
    seconds, seed = bed.settings.seconds, SEED + turn
    if workload == WORKLOADS[2]:
        messages = queries.cached(ZONE, seed=seed)
    else:
        messages = queries.forwarded(ZONE, seconds=seconds, seed=seed, edns=workload == WORKLOADS[1])
    # Fewer at once than for answers: some servers hold a socket for each until its reply is there.
    return dnsperf.Asking(bed.queries("forwarded", messages), seconds, bed.load_cores, outstanding=100, rate=rate)


def compare(bed: Bed, found: list[Server]) -> None:
    for workload in WORKLOADS:
        for rate in (0, RATE):
            _compare(bed, found, workload, rate)


def _compare(bed: Bed, found: list[Server], workload: str, rate: int) -> None:
    title = f"{workload}, {rate:,} a second" if rate else workload
    costs: dict[str, list[tuple[float, float]]] = {server.name: [] for server in found}
    for turn in range(bed.settings.runs):
        asking = _asking(bed, workload, turn, rate)
        for server in ratios.turned(found, turn):
            before = server.run_seconds()
            result = bed.attempt(f"{title}, {server.name}", dnsperf.run, servers.ADDRESS, server.port, asking)
            spent = server.run_seconds() - before
            if result is None:
                continue
            load, _ = result
            if load.codes.get("NOERROR", 0) < 0.99 * load.sent:
                bed.skip(f"{title}, {server.name}", f"expected NOERROR, got {load.codes}, {load.lost} lost")
                continue
            costs[server.name].append((spent / load.answered * 1e6, load.qps))
            say(f"{title}, {server.name}: {costs[server.name][-1][0]:.1f} µs, {load.qps:,.0f} q/s")
    whole = {name: runs for name, runs in costs.items() if len(runs) == bed.settings.runs}
    bed.compare("forwarded-cpu", title, {name: [cost for cost, _ in runs] for name, runs in whole.items()}, "Unbound")
    if not rate:
        bed.compare("forwarded-qps", title, {name: [qps for _, qps in runs] for name, runs in whole.items()}, "Unbound")
