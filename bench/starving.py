"""Part `beside-tcp`: how long answers over UDP take while TCP clients keep asking for large ones."""

from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import Final

from bench import queries, ratios, services, tcp, wire
from bench.answering import start_all
from bench.bed import SEED, Bed, Cluster, say
from bench.probing import probe_for
from bench.servers import Server
from bench.spread import Tail

#: UDP questions a second: few, so that what they wait for is what TCP does.
RATE: Final = 1000
#: TCP connections that ask at the same time.
CONNECTIONS: Final = (0, 20, 200)
#: Instances of the application whose SRV records they ask for: an answer of some 50 kB.
INSTANCES: Final = 1000
#: Questions out on each connection, so that a server never waits for one.
_DEPTH: Final = 4
#: Seconds until the last of the connections has its first reply: 200 answers of a few milliseconds.
_BEGIN: Final = 30.0


def measure(bed: Bed) -> None:
    """Every server in turn with one process that answers, on a core of its own."""
    tasks = bed.settings.tasks[-1]
    cluster = bed.attempt("beside-tcp", bed.cluster, tasks, served=True)
    if cluster is None:
        return
    large = services.owner(INSTANCES, cluster.names.origin)
    if large not in cluster.names.services:
        bed.skip("beside-tcp", f"the zone has no {large}")
        return
    small = bed.queries("beside-udp", queries.questions(queries.WORKLOADS[0], cluster.names, seconds=1, seed=SEED))
    asked = bed.queries("beside-tcp", [wire.query(large, wire.SRV)])
    with ExitStack() as stack:
        # Knot answers UDP and TCP in threads of their own, so its one process would have two.
        found = start_all(bed, cluster, stack, ("NSD",))
        for connections in CONNECTIONS[:2] if bed.settings.quick else CONNECTIONS:
            compare(bed, cluster, found, connections, small, asked)


def compare(bed: Bed, cluster: Cluster, found: list[Server], connections: int, small: Path, asked: Path) -> None:
    tails: dict[str, list[Tail]] = {server.name: [] for server in found}
    rates: dict[str, list[float]] = {server.name: [] for server in found}
    for turn in range(bed.settings.runs):
        for server in ratios.turned(found, turn):
            if server.name not in tails:
                continue
            what = f"beside {connections} TCP connections, {server.name}"
            result = bed.attempt(what, one_run, bed, server, connections, small, asked)
            if result is None:
                del tails[server.name], rates[server.name]
                continue
            say(f"{what}: {result[0]}, {result[1]:,.0f} large answers a second")
            tails[server.name].append(result[0])
            rates[server.name].append(result[1])
    situation = f"{connections} TCP connections" if connections else "no TCP"
    table = f"beside-tcp-{cluster.tasks}"
    bed.compare_tails(table, tails, situation)
    if connections:
        bed.compare(table, f"large answers a second, {situation}", rates, "")


def one_run(bed: Bed, server: Server, connections: int, small: Path, asked: Path) -> tuple[Tail, float]:
    """The delays over UDP, and how many large answers a second the server gave meanwhile."""
    seconds = bed.settings.seconds if bed.settings.quick else 2 * bed.settings.seconds
    busy = (
        tcp.keep_asking(
            server.port, asked, bed.load_cores, connections=connections, depth=_DEPTH, seconds=seconds + _BEGIN
        )
        if connections
        else nullcontext()
    )
    with busy as kept:
        found = probe_for(server.port, small, seconds, bed.load_cores, RATE)
    return found, 0.0 if kept is None or kept.load is None else kept.load.qps
