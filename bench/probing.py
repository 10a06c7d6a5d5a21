"""Parts `latency` and `tail`: how long answers take at a fixed rate, in quiet and in trouble."""

import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bench import lifecycle, queries, ratios, servers, wire
from bench.answering import start_all
from bench.bed import SEED, Bed, Cluster, agents, say
from bench.prober import BEGUN
from bench.saved_state import body, readdressed, state_master
from bench.servers import ROOT, Program, Server, UnavailableError
from bench.spread import Tail

RATE: Final = 2000
#: Tasks that change in a second.
CHANGES: Final = 50
#: Addresses that differ between two states that are served in turn.
_MOVED: Final = 50


@dataclass(slots=True)
class Probing:
    """A prober at work; `result` is there after the block that started it."""

    process: subprocess.Popen[str]
    result: Tail | None = None

    def finish(self) -> dict[str, Any]:
        output, _ = self.process.communicate()
        if self.process.returncode != 0:
            raise UnavailableError(f"the prober ended with {self.process.returncode}")
        found: dict[str, Any] = json.loads(output)
        if not found["sent"]:
            raise UnavailableError("the prober asked nothing")
        self.result = Tail(**{name: found[name] for name in Tail.__slots__} | {"noise": found["lag"]["p999"]})
        return found


@contextmanager
def probing(port: int, asked: Path, seconds: float, cores: set[int], rate: int = RATE) -> Iterator[Probing]:
    """Probe while the block lasts, but not longer than `seconds`; then `result` tells the delays.

    The block begins when the questions count: on a busy machine it takes a second to get there.
    """
    command = ["taskset", "-c", ",".join(map(str, sorted(cores))), sys.executable, "-m", "bench.prober"]
    command += ["--port", str(port), "--queries", str(asked), "--rate", str(rate), "--seconds", f"{seconds:g}"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    found = Probing(process)
    try:
        assert process.stdout is not None
        if process.stdout.readline().strip() != BEGUN:
            raise UnavailableError("the prober ended before it asked anything")
        yield found
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        details = found.finish()
        say(
            f"probed: {found.result}, slowest at {details['slow'][:3]}, prober late by at most {details['lag']['worst']:.1f} ms"
        )
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()


def probe_for(port: int, asked: Path, seconds: float, cores: set[int], rate: int = RATE) -> Tail:
    """Probe for a fixed time."""
    with probing(port, asked, seconds + 1, cores, rate) as found:
        time.sleep(seconds)
    assert found.result is not None
    return found.result


def measure_latency(bed: Bed) -> None:
    """Every server in turn, one process each, nothing else going on."""
    for tasks in bed.settings.tasks[-1:]:
        cluster = bed.attempt(f"latency at {tasks:,} tasks", bed.cluster, tasks, served=True)
        if cluster is None:
            continue
        asked = bed.queries("latency", queries.questions(queries.WORKLOADS[0], cluster.names, seconds=1, seed=SEED))
        with ExitStack() as stack:
            found = start_all(bed, cluster, stack)
            tails: dict[str, list[Tail]] = {server.name: [] for server in found}
            for turn in range(bed.settings.runs):
                for server in ratios.turned(found, turn):
                    tails[server.name].append(probe_for(server.port, asked, bed.settings.seconds, bed.load_cores))
        bed.compare_tails(f"latency-{tasks}", tails)


def measure_tail(bed: Bed) -> None:
    """As installed: two workers, no process kept on any core, so that control competes with them."""
    for tasks in bed.settings.large:
        situations: list[tuple[str, Callable[[Bed, int, Program], Tail]]] = [
            ("nothing changes", quiet),
            (f"{tasks:,} tasks come to a cluster of {lifecycle.SMALL}", first_load),
            ("the same state is fetched every second", refetched),
            (f"{_MOVED} tasks move at every fetch, every second", moving),
            (f"{CHANGES} tasks a second start and end", changing),
        ]
        for title, situation in situations:
            tails = bed.turns(f"{title} ({tasks:,} tasks)", situation, tasks)
            for program, found in tails.items():
                _add(bed, f"tail-{tasks}", program.titled(title), found)


def _add(bed: Bed, table: str, title: str, tails: list[Tail]) -> None:
    bed.add(table, title, "p50", *(each.p50 for each in tails))
    bed.add(table, title, "p99", *(each.p99 for each in tails))
    bed.add(table, title, "p99.9", *(each.p999 for each in tails))
    bed.add(table, title, "slowest", *(each.worst for each in tails))
    bed.add(table, title, "lost", *(each.lost for each in tails))
    bed.add(table, title, "noise", *(each.noise for each in tails))


def _started(bed: Bed, stack: ExitStack, program: Program, master: int, refresh: int) -> Server:
    config = servers.mesos_dns_config(master, workers=lifecycle.WORKERS, refresh=refresh)
    server = stack.enter_context(servers.mesos_dns(config, bed.folder, program))
    servers.wait_until_ready(server)
    return server


def _state(cluster: Cluster) -> bytes:
    if cluster.state is None:
        raise UnavailableError("Mesos-DNS needs a state: it is left out with --zone")
    return cluster.state.read_bytes()


def _asked(bed: Bed, names: list[str]) -> Path:
    chosen = random.Random(SEED).choices(names, k=10_000)
    return bed.queries("tail", [wire.query(name, wire.A) for name in chosen])


def _in_service(bed: Bed, tasks: int, program: Program, refresh: int, *, moves: bool, seconds: float) -> Tail:
    cluster = bed.cluster(tasks)
    with ExitStack() as stack:
        master = stack.enter_context(state_master())
        state = _state(cluster)
        bodies = [body("base", state, master.port)]
        if moves:
            bodies.append(body("moved", readdressed(state, _MOVED, random.Random(SEED))[0], master.port))
        del state
        master.serving = bodies[0]
        server = _started(bed, stack, program, master.port, refresh)
        # The other one first: the start has taken the first of them.
        master.script.extend(bodies[::-1] * 1000)
        return probe_for(server.port, _asked(bed, list(cluster.names.by_type["A"])), seconds, bed.load_cores)


def quiet(bed: Bed, tasks: int, program: Program) -> Tail:
    """For comparison: no poll at all."""
    return _in_service(bed, tasks, program, 3600, moves=False, seconds=bed.settings.seconds)


def refetched(bed: Bed, tasks: int, program: Program) -> Tail:
    """Polls that bring nothing new: what each RefreshSeconds costs the answers."""
    return _in_service(bed, tasks, program, 1, moves=False, seconds=_busy_seconds(bed))


def moving(bed: Bed, tasks: int, program: Program) -> Tail:
    """Polls that each bring other addresses for some tasks."""
    return _in_service(bed, tasks, program, 1, moves=True, seconds=_busy_seconds(bed))


def _busy_seconds(bed: Bed) -> float:
    """Long enough for several polls of a large state."""
    return bed.settings.seconds * 4


def first_load(bed: Bed, tasks: int, program: Program) -> Tail:
    """The whole zone arrives while the names that are there already are asked for."""
    small, large = bed.cluster(lifecycle.SMALL), bed.cluster(tasks)
    both = sorted(set(small.names.by_type["A"]) & set(large.names.by_type["A"]))
    if not both:
        raise UnavailableError("the two clusters have no name in common")
    with ExitStack() as stack:
        master = stack.enter_context(state_master())
        master.serving = body("small", _state(small), master.port)
        server = _started(bed, stack, program, master.port, 1)
        arriving = body("large", _state(large), master.port)
        last = large.names.by_type["SRV"][-1]
        with probing(server.port, _asked(bed, both), 300, bed.load_cores) as found:
            master.serving = arriving
            _wait_for_name(server, last)
        assert found.result is not None
        return found.result


def _wait_for_name(server: Server, name: str, timeout: float = 240.0) -> None:
    until = time.monotonic() + timeout
    while not servers.answered(server.port, name, wire.SRV):
        if time.monotonic() > until:
            raise server.failure(f"{name} does not resolve within {timeout:.0f} s")
        time.sleep(0.2)


def changing(bed: Bed, tasks: int, program: Program) -> Tail:
    """The simulated cluster of the demo, with its own changes; it makes its states on the same cores."""
    with ExitStack() as stack:
        source = stack.enter_context(servers.changing_master(tasks, agents(tasks), CHANGES, bed.folder, bed.load_cores))
        server = _started(bed, stack, program, source.port, 1)
        # The same cluster at first; names of tasks that have ended meanwhile are answered, too.
        asked = _asked(bed, list(bed.cluster(tasks).names.by_type["A"]))
        return probe_for(server.port, asked, _busy_seconds(bed), bed.load_cores)
