"""Part `beside-forwarding`: how long answers from the zone take while names outside are asked for and no upstream answers."""

import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Final

from bench import dnsperf, queries, ratios
from bench.answering import start_mesos_dns
from bench.bed import SEED, Bed, Cluster, say
from bench.forwarding import ZONE
from bench.probing import probe_for
from bench.servers import ADDRESS, Server, free_port

if TYPE_CHECKING:
    from bench.spread import Tail

#: Questions about names of the zone a second, and about names outside of it, none of which comes twice.
RATE: Final = 1000
OUTSIDE: Final = 5000
#: Seconds of the flood beyond those that are measured.
_LEAD: Final = 2.0


def measure(bed: Bed) -> None:
    """One worker, whose upstream is silent, or is not there."""
    tasks = bed.settings.tasks[-1]
    cluster = bed.attempt("beside-forwarding", bed.cluster, tasks)
    if cluster is None or cluster.state is None:
        return
    with ExitStack() as stack, socket.socket(type=socket.SOCK_DGRAM) as silent:
        # Nobody reads what it gets.
        silent.bind((ADDRESS, 0))
        found = []
        for name, upstream in (("silent", silent.getsockname()[1]), ("refusing", free_port())):
            server = bed.attempt(
                f"{name} upstream",
                start_mesos_dns,
                bed,
                cluster.state,
                stack,
                bed.settings.programs[0],
                workers=1,
                upstream=upstream,
            )
            if server is not None:
                server.name = name
                found.append(server)
        compare(bed, cluster, found)


def compare(bed: Bed, cluster: Cluster, found: list[Server]) -> None:
    small = bed.queries("beside-zone", queries.questions(queries.WORKLOADS[0], cluster.names, seconds=1, seed=SEED))
    for outside in (0, OUTSIDE):
        tails: dict[str, list[Tail]] = {server.name: [] for server in found}
        for turn in range(bed.settings.runs):
            for server in ratios.turned(found, turn):
                what = f"{server.name} upstream, {outside:,} outside questions a second"
                with flood(bed, server, outside, turn):
                    result = bed.attempt(
                        what, probe_for, server.port, small, bed.settings.seconds, bed.load_cores, RATE
                    )
                if result is not None:
                    say(f"{what}: {result}")
                    tails[server.name].append(result)
        bed.compare_tails(f"beside-forwarding-{cluster.tasks}", tails, f"{outside:,} outside questions a second")


@contextmanager
def flood(bed: Bed, server: Server, rate: int, turn: int) -> Iterator[None]:
    """Ask `rate` questions a second about outside names while the block lasts."""
    if not rate:
        yield
        return
    seconds = bed.settings.seconds + _LEAD
    asked = bed.queries("beside-outside", queries.forwarded(ZONE, seconds=seconds, seed=SEED + turn))
    asking = dnsperf.Asking(asked, seconds + 60, bed.load_cores, outstanding=2000, rate=rate)
    with subprocess.Popen(
        dnsperf.command(ADDRESS, server.port, asking), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            yield
        finally:
            process.terminate()
