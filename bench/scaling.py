"""Part `cores`: what a second worker on a second core adds.

With as many cores as workers, the load generator takes its time from the same cores, so answers per
second say nothing. What is compared is the processor time that workers need: a worker whose core is
its own answers one query in that time. The busiest of two workers decides, since the kernel
spreads clients over sockets by hash, not by load. The load generator may use the same cores in
both cases, so that it disturbs one worker as much as two.
"""

import os
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final

from bench import dnsperf, processes, queries, servers
from bench.answering import start_mesos_dns
from bench.bed import SEED, Bed, say
from bench.servers import Server

#: So many that the hash spreads them almost evenly.
_CLIENTS: Final = 128


@dataclass(frozen=True, slots=True)
class Share:
    """One run: answers, and seconds of processor time of each worker."""

    answered: int
    spent: tuple[float, ...]
    qps: float
    load_us: float

    @property
    def cost_us(self) -> float:
        """Processor time of all workers for one answer."""
        return sum(self.spent) / self.answered * 1e6

    @property
    def capacity(self) -> float:
        """Answers per second when the busiest worker has a core for itself all the time."""
        return self.answered / max(self.spent)


def measure(bed: Bed) -> None:
    usable = sorted(os.sched_getaffinity(0))
    if len(usable) < 2:
        bed.skip("cores", "this machine has one core")
        return
    bed.attempt("cores", compare, bed, usable)


def compare(bed: Bed, usable: list[int]) -> None:
    cluster = bed.cluster(bed.settings.tasks[-1])
    asked = bed.queries("cores", queries.questions(queries.WORKLOADS[0], cluster.names, seconds=1, seed=SEED))
    single, double = [], []
    with ExitStack() as stack:
        one = start_mesos_dns(bed, cluster.state, stack, workers=1)
        two = start_mesos_dns(bed, cluster.state, stack, workers=2)
        for place, pid in enumerate(two.workers()):
            processes.pin([pid], {usable[place % 2]})
        asking = dnsperf.Asking(asked, bed.settings.seconds, set(usable[2:] or usable), clients=_CLIENTS)
        for _ in range(bed.settings.runs):
            single.append(run(one, asking))
            double.append(run(two, asking))
    for column, shares in (("1 worker", single), ("2 workers", double)):
        bed.add("cores", "processor time of workers for an answer, µs", column, *(each.cost_us for each in shares))
        bed.add(
            "cores",
            "part of the busiest worker, %",
            column,
            *(100 * max(each.spent) / sum(each.spent) for each in shares),
        )
        bed.add(
            "cores", "answers per second, each worker on a core of its own", column, *(each.capacity for each in shares)
        )
        bed.add(
            "cores",
            "answers per second, measured with dnsperf on the same cores",
            column,
            *(each.qps for each in shares),
        )
        bed.add("cores", "processor time of dnsperf for an answer, µs", column, *(each.load_us for each in shares))
    ratios = [after.capacity / before.capacity for before, after in zip(single, double, strict=True)]
    bed.add("cores", "times the answers of one worker", "2 workers", *ratios)


def run(server: Server, asking: dnsperf.Asking) -> Share:
    workers = server.workers()
    before = [processes.run_seconds(pid) for pid in workers]
    load, own = dnsperf.run(servers.ADDRESS, server.port, asking)
    spent = tuple(processes.run_seconds(pid) - start for pid, start in zip(workers, before, strict=True))
    share = Share(load.answered, spent, load.qps, own / load.answered * 1e6)
    say(f"{len(workers)} workers: {share}")
    return share
