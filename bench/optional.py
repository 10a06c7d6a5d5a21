"""Part `options`: what each option that looks at clients adds to the cost of an answer. Of a query log of everything a part is dropped."""

from contextlib import ExitStack
from typing import Any, Final

from bench import queries, ratios
from bench.answering import Runs, asking_for, one_run, start_mesos_dns
from bench.bed import Bed, Cluster
from bench.servers import Server

#: What stands in the configuration besides the usual. Nobody is refused and nothing held back: that would be another answer.
OPTIONS: Final[dict[str, dict[str, Any]]] = {
    "no option": {},
    "AllowQuery": {"AllowQuery": ["@private", "@loopback", "!192.0.2.0/24"]},
    "RateLimit": {"RateLimit": {"ResponsesPerSecond": 10_000}},
    "query log of a name": {"QueryLog": {"To": "json:/dev/null", "Names": ["nobody.example"]}},
    "query log, 1 of 1,000": {"QueryLog": {"To": "json:/dev/null", "Sample": 1000}},
    "query log": {"QueryLog": {"To": "json:/dev/null"}},
}
WORKLOADS: Final = ("a", "a-1000")


def measure(bed: Bed) -> None:
    """One worker for each option, asked in turn."""
    cluster = bed.attempt("options", bed.cluster, bed.settings.tasks[0])
    if cluster is None or cluster.state is None:
        return
    with ExitStack() as stack:
        found = []
        for name, keys in OPTIONS.items():
            server = bed.attempt(
                name, start_mesos_dns, bed, cluster.state, stack, bed.settings.programs[0], workers=1, **keys
            )
            if server is not None:
                server.name = name
                found.append(server)
        for workload in queries.WORKLOADS:
            if workload.name in WORKLOADS:
                compare(bed, cluster, found, workload)


def compare(bed: Bed, cluster: Cluster, found: list[Server], workload: queries.Workload) -> None:
    runs = {server.name: Runs() for server in found}
    for turn in range(bed.settings.runs):
        asking = asking_for(bed, cluster, workload, turn)
        for server in ratios.turned(found, turn):
            if server.name in runs and not one_run(bed, server, workload, asking, runs[server.name], first=turn == 0):
                del runs[server.name]
    for name, each in runs.items():
        bed.add("options-cpu", workload.title, name, *each.cpu_us)
    plain = runs.get("no option")
    for name, each in runs.items():
        if plain is not None and each is not plain:
            added = [mine - theirs for mine, theirs in zip(each.cpu_us, plain.cpu_us, strict=True)]
            bed.add("options-cpu", workload.title, f"{name} adds", *added)
