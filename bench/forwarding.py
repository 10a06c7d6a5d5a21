"""Part `forwarded`: names of other zones, passed on to a resolver that knows them."""

from contextlib import ExitStack
from functools import partial
from typing import Final

from bench import dnsperf, queries, ratios, servers, wire
from bench.answering import start_mesos_dns
from bench.bed import SEED, Bed, Cluster, say
from bench.servers import Server, Start

ZONE: Final = "forward.example."
TITLE: Final = "A, forwarded, no name twice"


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


def compare(bed: Bed, found: list[Server]) -> None:
    costs: dict[str, list[tuple[float, float]]] = {server.name: [] for server in found}
    for turn in range(bed.settings.runs):
        messages = queries.forwarded(ZONE, seconds=bed.settings.seconds, seed=SEED + turn)
        # Fewer at once than for answers: each holds a socket of the forwarder until its reply is there.
        asking = dnsperf.Asking(
            bed.queries("forwarded", messages), bed.settings.seconds, bed.load_cores, outstanding=100
        )
        for server in ratios.turned(found, turn):
            before = server.cpu_seconds()
            result = bed.attempt(
                f"forwarded, {server.name}",
                dnsperf.run,
                servers.ADDRESS,
                server.port,
                asking,
            )
            if result is None:
                continue
            load, _ = result
            if load.codes.get("NOERROR", 0) < 0.99 * load.sent:
                bed.skip(f"forwarded, {server.name}", f"expected NOERROR, got {load.codes}, {load.lost} lost")
                continue
            costs[server.name].append(((server.cpu_seconds() - before) / load.answered * 1e6, load.qps))
            say(f"forwarded, {server.name}: {costs[server.name][-1][0]:.1f} µs, {load.qps:,.0f} q/s")
    whole = {name: runs for name, runs in costs.items() if len(runs) == bed.settings.runs}
    bed.compare("forwarded-cpu", TITLE, {name: [cost for cost, _ in runs] for name, runs in whole.items()}, "Unbound")
    bed.compare("forwarded-qps", TITLE, {name: [qps for _, qps in runs] for name, runs in whole.items()}, "Unbound")
