"""Part `watched`: what it costs answers that people and programs look on: a scrape and a status each second, and one who watches changes."""

import http.client
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from bench import dnsperf, processes, queries, ratios
from bench.answering import asking_for, start_mesos_dns
from bench.bed import Bed, Cluster, say
from bench.servers import ADDRESS, Server, UnavailableError

#: What is asked for once a second.
PATHS = ("/metrics", "/v1/status")
WORKLOAD = "a"
#: Seconds that a reply may take.
PATIENCE_SECONDS = 10.0


def measure(bed: Bed) -> None:
    """The same worker in turns alone and looked at: its own processor time, since control answers who looks."""
    for tasks in bed.settings.tasks:
        cluster = bed.attempt("watched", bed.cluster, tasks)
        if cluster is None or cluster.state is None:
            continue
        with ExitStack() as stack:
            program = bed.settings.programs[0]
            server = bed.attempt("Mesos-DNS", start_mesos_dns, bed, cluster.state, stack, program, workers=1)
            if server is not None:
                compare(bed, cluster, server)


def compare(bed: Bed, cluster: Cluster, server: Server) -> None:
    workload = next(each for each in queries.WORKLOADS if each.name == WORKLOAD)
    runs: dict[str, list[float]] = {"alone": [], "watched": []}
    for turn in range(bed.settings.runs):
        asking = asking_for(bed, cluster, workload, turn)
        for name in ratios.turned([*runs], turn):
            spent = bed.attempt(f"{workload.title}, {name}", _once, server, asking, name)
            if spent is None:
                return
            say(f"{workload.title}, {name}: {spent:.3f} µs")
            if turn:  # The first warms up.
                runs[name].append(spent)
    for name, values in runs.items():
        bed.add("watched-cpu", f"{workload.title}, {cluster.tasks:,} tasks", name, *values)
    quotients = [watched / alone for watched, alone in zip(runs["watched"], runs["alone"], strict=True)]
    bed.add("watched-cpu", f"{workload.title}, {cluster.tasks:,} tasks", "ratio", *quotients)


def _once(server: Server, asking: dnsperf.Asking, name: str) -> float:
    """Microseconds of the workers for an answer."""
    with ExitStack() as stack:
        if name == "watched":
            stack.enter_context(looked_at(server.http))
        before = _worked(server)
        load, _ = dnsperf.run(ADDRESS, server.port, asking)
        spent = _worked(server) - before
    if not load.answered:
        raise UnavailableError("no question was answered")
    return spent / load.answered * 1e6


def _worked(server: Server) -> float:
    return sum(processes.run_seconds(pid) for pid in server.workers())


@contextmanager
def looked_at(url: str) -> Iterator[list[int]]:
    """Look at the server with this address of its HTTP API all the while; the status codes that it gave."""
    host, _, port = url.rpartition("//")[2].rpartition(":")
    over, found = threading.Event(), list[int]()

    def look() -> None:
        connection = http.client.HTTPConnection(host, int(port), timeout=PATIENCE_SECONDS)
        while True:
            for path in PATHS:
                connection.request("GET", path)
                reply = connection.getresponse()
                reply.read()
                found.append(reply.status)
            if over.wait(1.0):
                break
        connection.close()

    watching = http.client.HTTPConnection(host, int(port), timeout=PATIENCE_SECONDS)
    watching.request("GET", "/v1/changes", headers={"Accept": "text/event-stream"})
    found.append(watching.getresponse().status)
    thread = threading.Thread(target=look, name="looking on")
    thread.start()
    try:
        yield found
    finally:
        over.set()
        thread.join()
        watching.close()
