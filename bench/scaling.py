"""Part `cores`: what a second worker on a second core adds.

With as many cores as workers, the load generator takes its time from the same cores, and answers per
second say more about it than about the server. So each worker is allowed a fifth of a core of its
own: what the load generator and others leave free is more than that at any time, and twice the
workers can show whether they give twice the answers.
"""

import os
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final

from bench import dnsperf, processes, queries, ratios, servers
from bench.answering import start_mesos_dns
from bench.bed import SEED, Bed, Cluster, say
from bench.quota import limited
from bench.servers import Program, Server

#: So many that the hash of the kernel spreads them almost evenly over the workers.
_CLIENTS: Final = 128
#: Queries on their way for each worker.
_OUTSTANDING: Final = 400
#: What each worker may have of its core.
_PART: Final = 0.2


@dataclass(frozen=True, slots=True)
class Share:
    """One run: answers per second, and processor time for an answer."""

    qps: float
    cost_us: float
    busiest: float
    load_us: float
    lost: int


def measure(bed: Bed) -> None:
    usable = sorted(os.sched_getaffinity(0))
    if len(usable) < 2:
        bed.skip("cores", "this machine has one core")
        return
    bed.attempt("cores", compare, bed, usable)


def compare(bed: Bed, usable: list[int]) -> None:
    cluster = bed.cluster(bed.settings.tasks[-1])
    asked = bed.queries("cores", queries.questions(queries.WORKLOADS[0], cluster.names, seconds=1, seed=SEED))
    shares: dict[Program, tuple[list[Share], list[Share]]] = {each: ([], []) for each in bed.settings.programs}
    with ExitStack() as stack:
        pairs = {program: _pair(bed, cluster, program, usable, stack) for program in shares}
        # As many queries on their way for each worker: with fewer it would not be the workers that limit.
        cores = set(usable[2:] or usable)
        asking = [
            dnsperf.Asking(asked, bed.settings.seconds, cores, clients=_CLIENTS, outstanding=_OUTSTANDING * workers)
            for workers in (1, 2)
        ]
        for turn in range(bed.settings.runs):
            for program, pair in ratios.turned(list(pairs.items()), turn):
                for found, server, how in zip(shares[program], pair, asking, strict=True):
                    found.append(run(server, how))
    for program, (single, double) in shares.items():
        _add(bed, program, single, double)


def _pair(bed: Bed, cluster: Cluster, program: Program, usable: list[int], stack: ExitStack) -> tuple[Server, Server]:
    """A server with one worker and one with two, each worker with its part of a core of its own."""
    one, two = (start_mesos_dns(bed, cluster.state, stack, program, workers=workers) for workers in (1, 2))
    for server in (one, two):
        for place, pid in enumerate(server.workers()):
            processes.pin([pid], {usable[place]})
            stack.enter_context(limited(pid, _PART))
    return one, two


def _add(bed: Bed, program: Program, single: list[Share], double: list[Share]) -> None:
    for text, shares in (("1 worker", single), ("2 workers", double)):
        column = program.titled(text)
        bed.add("cores", "answers per second", column, *(each.qps for each in shares))
        bed.add("cores", "processor time of workers for an answer, µs", column, *(each.cost_us for each in shares))
        bed.add("cores", "processor time of dnsperf for an answer, µs", column, *(each.load_us for each in shares))
        bed.add("cores", "part of the busiest worker, %", column, *(each.busiest for each in shares))
        bed.add("cores", "lost", column, *(each.lost for each in shares))
    times = [after.qps / before.qps for before, after in zip(single, double, strict=True)]
    bed.add("cores", "times the answers of one worker", program.titled("2 workers"), *times)


def run(server: Server, asking: dnsperf.Asking) -> Share:
    workers = server.workers()
    before = [processes.run_seconds(pid) for pid in workers]
    load, own = dnsperf.run(servers.ADDRESS, server.port, asking)
    spent = [processes.run_seconds(pid) - start for pid, start in zip(workers, before, strict=True)]
    share = Share(
        qps=load.qps,
        cost_us=sum(spent) / load.answered * 1e6,
        busiest=100 * max(spent) / sum(spent),
        load_us=own / load.answered * 1e6,
        lost=load.lost,
    )
    say(f"{len(workers)} workers: {share}")
    return share
