"""Part `asked`: what scrapes and explanations cost control in a large cluster, and for how long its event loop does nothing else meanwhile."""

import http.client
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from bench import processes, servers, wire
from bench.bed import Bed, Cluster, say
from bench.saved_state import body, state_master
from bench.servers import ADDRESS, Program, Server, UnavailableError
from bench.spread import percentile

WORKERS: Final = 2
#: Requests of each kind, one after the other.
REQUESTS: Final = 50
#: Seconds between two of the questions by which pauses are seen.
_PULSE: Final = 0.002


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one request, in milliseconds: processor time of control, its answer as the client sees it (median), and the longest pause of the loop while such requests come."""

    cpu: float
    answer: float
    pause: float


def measure(bed: Bed) -> None:
    """Each kind of request in each size of the cluster."""
    for tasks in bed.settings.large:
        for program, runs in bed.turns(f"asked at {tasks:,} tasks", ask, tasks).items():
            for kind in runs[0] if runs else ():
                found = [run[kind] for run in runs]
                for column, values in (
                    ("time of control, ms", [each.cpu for each in found]),
                    ("answer, ms", [each.answer for each in found]),
                    ("longest pause, ms", [each.pause for each in found]),
                ):
                    bed.add(f"asked-{tasks}", kind, program.titled(column), *values)


def ask(bed: Bed, tasks: int, program: Program) -> dict[str, Cost]:
    """Start it on all cores with two workers, and ask."""
    cluster = bed.cluster(tasks)
    if cluster.state is None:
        raise UnavailableError("Mesos-DNS needs a state: it is left out with --zone")
    with ExitStack() as stack:
        master = stack.enter_context(state_master())
        master.serving = body("first", cluster.state.read_bytes(), master.port)
        config = servers.mesos_dns_config(master.port, workers=WORKERS, refresh=3600)
        server = stack.enter_context(servers.mesos_dns(config, bed.folder, program))
        servers.wait_until_ready(server)
        servers.wait_for_answer(server, cluster.names.by_type["SRV"][-1], wire.SRV)
        found = {"nothing": _quiet(server)} | {kind: _cost(server, path) for kind, path in paths(cluster).items()}
        say(f"{program.titled(f'{tasks:,} tasks')}: {found}")
        return found


def paths(cluster: Cluster) -> dict[str, str]:
    """What is asked for, by its name in the table."""
    owner = cluster.names.by_type["A"][len(cluster.names.by_type["A"]) // 2]
    label, _, rest = owner.partition(".")
    absent = f"{label[:-1] or 'x'}.{rest}"
    return {
        "a scrape": "/metrics",
        "an explanation of a name": f"/v1/explain?name={quote(owner)}",
        "an explanation of a name that is not there": f"/v1/explain?name={quote(absent)}",
        "an explanation of the name of all agents": f"/v1/explain?name=slave.{quote(cluster.names.origin)}",
        "an explanation of another framework's name": f"/v1/explain?name={quote(label)}.nobody.{quote(cluster.names.origin)}",
    }


def _quiet(server: Server) -> Cost:
    """The same of no request at all: what the machine, and the questions that show pauses, do by themselves."""
    with _pauses(server) as pauses:
        time.sleep(1.0)
    return Cost(0.0, percentile(sorted(pauses), 50), max(pauses))


def _cost(server: Server, path: str) -> Cost:
    connection = http.client.HTTPConnection(ADDRESS, _port(server), timeout=60)
    try:
        _get(connection, path)  # The first makes what is remembered.
        before = processes.run_seconds(server.process.pid)
        delays = [_get(connection, path) for _ in range(REQUESTS)]
        spent = processes.run_seconds(server.process.pid) - before
        with _pauses(server) as pauses:
            for _ in range(REQUESTS):
                _get(connection, path)
                time.sleep(_PULSE)
    finally:
        connection.close()
    return Cost(1e3 * spent / REQUESTS, percentile(sorted(delays), 50), max(pauses))


def _get(connection: http.client.HTTPConnection, path: str) -> float:
    """Milliseconds until a reply is there; UnavailableError for another status than 200."""
    started = time.monotonic()
    connection.request("GET", path)
    reply = connection.getresponse()
    reply.read()
    if reply.status != 200:
        raise UnavailableError(f"{path}: status {reply.status}")
    return 1e3 * (time.monotonic() - started)


@contextmanager
def _pauses(server: Server) -> Iterator[list[float]]:
    """The delays, in milliseconds, of a small question that is asked all the while on another connection."""
    found: list[float] = []
    over = threading.Event()

    def work() -> None:
        connection = http.client.HTTPConnection(ADDRESS, _port(server), timeout=60)
        while not over.wait(_PULSE):
            found.append(_get(connection, "/healthz"))
        connection.close()

    thread = threading.Thread(target=work, name="pauses")
    thread.start()
    try:
        yield found
    finally:
        over.set()
        thread.join()


def _port(server: Server) -> int:
    return int(server.http.rpartition(":")[2])
