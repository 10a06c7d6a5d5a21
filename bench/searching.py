"""Part `search`: how long a search of the HTTP API takes, what another request waits for meanwhile, and whether DNS notices."""

import json
import random
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Final

from bench import lifecycle, probing, processes, servers, wire
from bench.bed import SEED, Bed, Cluster, say
from bench.saved_state import body, state_master
from bench.servers import Server, UnavailableError
from bench.spread import Tail, tail

#: Searches of each kind in a run.
_SEARCHES: Final = 20


@dataclass(frozen=True, slots=True)
class Searched:
    """Delays of searches by kind, and processor time of control for one, ms; delays of another request while they go on; DNS in quiet and meanwhile.

    And octets that control has more afterwards.
    """

    delays: dict[str, Tail]
    cpu: dict[str, float]
    beside: Tail
    quiet: Tail
    busy: Tail
    more: int


def measure(bed: Bed) -> None:
    """Each size of the cluster."""
    for tasks in bed.settings.large:
        found = [
            result
            for _ in range(bed.settings.runs)
            if (result := bed.attempt(f"search at {tasks:,} tasks", once, bed, tasks)) is not None
        ]
        if not found:
            continue
        for kind in found[0].delays:
            bed.add(f"search-{tasks}", kind, "processor time", *(each.cpu[kind] for each in found))
            bed.add(f"search-{tasks}", kind, "p50", *(each.delays[kind].p50 for each in found))
            bed.add(f"search-{tasks}", kind, "slowest", *(each.delays[kind].worst for each in found))
        bed.add(f"search-{tasks}", "/healthz meanwhile", "p50", *(each.beside.p50 for each in found))
        bed.add(f"search-{tasks}", "/healthz meanwhile", "slowest", *(each.beside.worst for each in found))
        for row, tails in (
            ("DNS, nobody searches", [each.quiet for each in found]),
            ("DNS, one search after the other", [each.busy for each in found]),
        ):
            for column, name in (("p50", "p50"), ("p99", "p99"), ("slowest", "worst"), ("lost", "lost")):
                bed.add(f"search-{tasks}", row, column, *(getattr(each, name) for each in tails))
        bed.add(f"search-{tasks}", "control is larger afterwards, MB", "p50", *(each.more / 1e6 for each in found))


def once(bed: Bed, tasks: int) -> Searched:
    """Start, search for each kind of thing, then search on while DNS is asked."""
    cluster = bed.cluster(tasks)
    if cluster.state is None:
        raise UnavailableError("Mesos-DNS needs a state: it is left out with --zone")
    with ExitStack() as stack:
        master = stack.enter_context(state_master())
        master.serving = body("first", cluster.state.read_bytes(), master.port)
        config = servers.mesos_dns_config(master.port, workers=lifecycle.WORKERS, refresh=3600)
        server = stack.enter_context(servers.mesos_dns(config, bed.folder))
        servers.wait_until_ready(server)
        asked = bed.queries("tail", _questions(cluster))
        quiet = probing.probe_for(server.port, asked, bed.settings.seconds, bed.load_cores)
        before = processes.memory(server.process.pid).rss
        delays, cpu = {}, {}
        for kind, texts in _kinds(cluster).items():
            begun = processes.run_seconds(server.process.pid)
            delays[kind] = tail([_search(server, text) for text in texts], 0)
            cpu[kind] = 1000 * (processes.run_seconds(server.process.pid) - begun) / len(texts)
        more = processes.memory(server.process.pid).rss - before
        texts = _kinds(cluster)["a part of a name"]
        with _again_and_again(server, [f"/v1/search?q={urllib.parse.quote(text)}" for text in texts]):
            busy = probing.probe_for(server.port, asked, bed.settings.seconds, bed.load_cores)
            beside = tail([_get(server, "/healthz")[0] for _ in range(100)], 0)
        found = Searched(delays, cpu, beside, quiet, busy, more)
        say(f"{tasks:,} tasks: {found}")
        return found


def _questions(cluster: Cluster) -> list[bytes]:
    chosen = random.Random(SEED).choices(list(cluster.names.by_type["A"]), k=10_000)
    return [wire.query(name, wire.A) for name in chosen]


def _kinds(cluster: Cluster) -> dict[str, list[str]]:
    """What people look for, by its kind."""
    chosen = random.Random(SEED)
    plain = chosen.choices([name for name in cluster.names.by_type["A"] if name.count(".") < 4], k=_SEARCHES)
    return {
        "a part of a name": [name.partition(".")[0][:-1] for name in plain],
        "a whole name": plain,
        "a letter": chosen.choices("aeinst", k=_SEARCHES),
        "the beginning of an address": [f"10.{chosen.randrange(20)}.{chosen.randrange(10)}" for _ in range(_SEARCHES)],
        "nothing that is there": [f"{chosen.randrange(10**9)}q" for _ in range(_SEARCHES)],
        "all names one by one": [f"_tcp.{name}&names=all" for name in plain],
    }


def _search(server: Server, text: str) -> float:
    text, _, more = text.partition("&")
    delay, found = _get(server, f"/v1/search?q={urllib.parse.quote(text)}&{more}")
    if "totals" not in json.loads(found):
        raise UnavailableError("a search has no answer")
    return delay


def _get(server: Server, path: str) -> tuple[float, bytes]:
    begun = time.monotonic()
    with urllib.request.urlopen(server.http + path, timeout=60) as reply:
        found: bytes = reply.read()
    return 1000 * (time.monotonic() - begun), found


@contextmanager
def _again_and_again(server: Server, paths: list[str]) -> Iterator[None]:
    """Ask for one after the other while the block lasts."""
    ended = threading.Event()

    def ask() -> None:
        while not ended.is_set():
            for path in paths:
                if not ended.is_set():
                    _get(server, path)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
