"""Parts `start` and `change`: start-up, reloads, what the change of a task costs, and memory."""

import json
import random
import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final

from bench import dnsperf, processes, queries, servers, wire
from bench.bed import SEED, Bed, Cluster, say
from bench.saved_state import Poll, StateMaster, body, readdressed, state_master
from bench.servers import Server, UnavailableError
from bench.spread import spread

WORKERS: Final = 2
#: Tasks that change at once. Their cost is divided by their number: one alone is below a clock tick.
CHANGED: Final = 1000
#: A cluster of next to nothing, to tell the memory of names from that of the program.
SMALL: Final = 10
_MEGABYTE: Final = 1e6


def measure_start(bed: Bed) -> None:
    """Start-up and memory at each size; the small cluster first, for comparison."""
    base = bed.attempt("memory of a small cluster", start_small, bed)
    for tasks in bed.settings.large:
        cluster = bed.attempt(f"start at {tasks:,} tasks", bed.cluster, tasks)
        if cluster is None:
            continue
        starts = []
        for _ in range(bed.settings.runs):
            found = bed.attempt(f"start at {tasks:,} tasks", start_once, bed, cluster)
            if found is None:
                break
            starts.append(found)
        if starts:
            _add_starts(bed, cluster, starts, base)
            bed.attempt(f"stages at {tasks:,} tasks", break_down, bed, cluster)


def break_down(bed: Bed, cluster: Cluster) -> None:
    """Where the time and the memory go, stage by stage and part by part, once."""
    config = bed.folder / "breakdown.json"
    config.write_text(json.dumps(servers.mesos_dns_config(5050, workers=1, refresh=60)))
    output = bed.folder / "breakdown.out"
    servers.run_tool(("bench.breakdown", str(cluster.state), str(config)), output)
    found = json.loads(output.read_text())
    column = f"{cluster.tasks:,} tasks"
    for stage, seconds in found["seconds"].items():
        bed.add("stages", stage, column, seconds)
    for part, octets in found["octets"].items():
        bed.add("weights", part, column, octets / found["names"])


@dataclass(frozen=True, slots=True)
class Started:
    """Seconds since execution, processor seconds until ready, and memory of control and each worker."""

    answer: float
    ready: float
    cpu: float
    control: processes.Memory
    workers: list[processes.Memory]

    @property
    def pss(self) -> int:
        return self.control.pss + sum(worker.pss for worker in self.workers)

    @property
    def rss(self) -> int:
        return self.control.rss + sum(worker.rss for worker in self.workers)

    @property
    def peak(self) -> int:
        return self.control.peak_rss + sum(worker.peak_rss for worker in self.workers)


def start_small(bed: Bed) -> Started:
    """What the program needs with next to no names."""
    return start_once(bed, bed.cluster(SMALL))


def start_once(bed: Bed, cluster: Cluster) -> Started:
    """Start on all cores with two workers, wait, put some load on it, and look at its memory."""
    if cluster.state is None:
        raise UnavailableError("Mesos-DNS needs a state: it is left out with --zone")
    with ExitStack() as stack:
        master = stack.enter_context(state_master())
        master.serving = body("first", cluster.state.read_bytes(), master.port)
        config = servers.mesos_dns_config(master.port, workers=WORKERS, refresh=3600)
        server = stack.enter_context(servers.mesos_dns(config, bed.folder))
        # A name of the tasks: names of the masters could be there before the state is.
        answer = servers.wait_for_answer(server, cluster.names.by_type["SRV"][-1], wire.SRV)
        ready = servers.wait_until_ready(server)
        cpu = server.cpu_seconds()
        asked = bed.queries("memory", queries.questions(queries.WORKLOADS[0], cluster.names, seconds=1, seed=SEED))
        dnsperf.run(servers.ADDRESS, server.port, dnsperf.Asking(asked, 1, bed.load_cores))
        control, *workers = (processes.memory(pid) for pid in server.pids())
        say(
            f"{cluster.tasks:,} tasks: first answer after {answer:.2f} s, ready after {ready:.2f} s, {cpu:.2f} s of CPU"
        )
        return Started(answer, ready, cpu, control, workers)


def _add_starts(bed: Bed, cluster: Cluster, starts: list[Started], base: Started | None) -> None:
    column = f"{cluster.tasks:,} tasks"
    bed.add("start", "execution to first answer, s", column, *(each.answer for each in starts))
    bed.add("start", "execution to ready, s", column, *(each.ready for each in starts))
    bed.add("start", "processor time until ready, s", column, *(each.cpu for each in starts))
    table = f"memory-{cluster.tasks}"
    for number in range(-1, WORKERS):
        row = "control" if number < 0 else f"worker {number + 1}"
        found = [each.control if number < 0 else each.workers[number] for each in starts]
        bed.add(table, row, "resident (RSS)", *(each.rss / _MEGABYTE for each in found))
        bed.add(table, row, "shared out (PSS)", *(each.pss / _MEGABYTE for each in found))
        bed.add(table, row, "peak of RSS", *(each.peak_rss / _MEGABYTE for each in found))
    bed.add(table, "all", "resident (RSS)", *(each.rss / _MEGABYTE for each in starts))
    bed.add(table, "all", "shared out (PSS)", *(each.pss / _MEGABYTE for each in starts))
    bed.add(table, "all", "peak of RSS", *(each.peak / _MEGABYTE for each in starts))
    names = cluster.names.owners
    bed.add("names", "names in the zone", column, names)
    if base is not None:
        more = [each.pss - base.pss for each in starts]
        bed.add("names", "octets per name, all processes", column, *(each / names for each in more))
        control = [(each.control.pss - base.control.pss) / names for each in starts]
        bed.add("names", "octets per name, control", column, *control)
        for number in range(WORKERS):
            worker = [(each.workers[number].pss - base.workers[number].pss) / names for each in starts]
            bed.add("names", f"octets per name, worker {number + 1}", column, *worker)


def measure_change(bed: Bed) -> None:
    for tasks in bed.settings.large:
        bed.attempt(f"changes at {tasks:,} tasks", change, bed, tasks)


def change(bed: Bed, tasks: int) -> None:
    """Let Mesos-DNS poll: the same state again, one moved task, and many moved tasks.

    What lies between the start of one poll and that of the next is the cost of the first of them.
    """
    cluster = bed.cluster(tasks)
    if cluster.state is None:
        raise UnavailableError("Mesos-DNS needs a state: it is left out with --zone")
    with ExitStack() as stack:
        master = stack.enter_context(state_master())
        state = cluster.state.read_bytes()
        base = body("base", state, master.port)
        one = body("one", readdressed(state, 1, random.Random(SEED))[0], master.port)
        moved, count = readdressed(state, CHANGED, random.Random(SEED))
        if count < CHANGED:
            raise UnavailableError(f"{count} tasks of the state have addresses of their own, {CHANGED} are needed")
        many = body("many", moved, master.port)
        del state, moved
        master.serving = base
        # Longer than one reload takes, so that no poll begins before the work for the last one is done.
        refresh = 3 if cluster.tasks <= 10_000 else 20
        config = servers.mesos_dns_config(master.port, workers=WORKERS, refresh=refresh)
        server = stack.enter_context(servers.mesos_dns(config, bed.folder))
        servers.wait_until_ready(server)
        control, *workers = server.pids()
        master.sample = lambda: (processes.cpu_seconds([control]), *(processes.run_seconds(pid) for pid in workers))
        master.script.extend([base, one, base, many, base] * bed.settings.runs)
        seen = _watch(server, cluster, master, timeout=(refresh + 15) * 5 * bed.settings.runs)
    _add_changes(bed, cluster, master.polls, seen)


def _watch(server: Server, cluster: Cluster, master: StateMaster, timeout: float) -> list[float]:
    """Ask for the SOA until the script is over and one poll beyond; the times at which the serial was new."""
    question = wire.query(cluster.names.origin, wire.SOA)
    seen: list[float] = []
    known = servers.ask(server.port, question)
    until = time.monotonic() + timeout
    last = 0
    while not last or len(master.polls) < last:
        found = servers.ask(server.port, question)
        if found is not None and found != known:
            known = found
            seen.append(time.monotonic())
        if not master.script and not last:
            last = len(master.polls) + 1
        if time.monotonic() > until:
            raise server.failure(f"{len(master.polls)} polls within {timeout:.0f} s, too few")
        time.sleep(0.05)  # seldom enough to cost the workers little, and alike for all kinds of poll
    return seen


def kinds(polls: list[Poll]) -> list[tuple[str, Poll, tuple[float, ...]]]:
    """Each poll but the first and last with its kind and what it cost each process, in seconds.

    The kind is what differs from the poll before: `none`, `one` or `many`.
    """
    found = []
    for before, this, after in zip(polls, polls[1:], polls[2:], strict=False):
        if not this.sample:  # it came before anybody looked
            continue
        cost = tuple(end - start for start, end in zip(this.sample, after.sample, strict=True))
        kind = "none" if this.name == before.name else next(name for name in (this.name, before.name) if name != "base")
        found.append((kind, this, cost))
    return found


def _add_changes(bed: Bed, cluster: Cluster, polls: list[Poll], seen: list[float]) -> None:
    column = f"{cluster.tasks:,} tasks"
    found = kinds(polls)
    delays = [
        min(later) - poll.at
        for kind, poll, _ in found
        if kind == "one" and (later := [at for at in seen if at > poll.at])
    ]
    if not delays:
        raise UnavailableError("the serial never changed after new addresses")
    bed.add("reload", "poll to first answer with its news, s", column, *delays)
    titles = {"none": "nothing new", "one": "1 task changed", "many": f"{CHANGED:,} tasks changed"}
    for number, process in enumerate(("control", *(f"worker {place + 1}" for place in range(WORKERS)))):
        spent = {kind: [cost[number] for each, _, cost in found if each == kind] for kind in titles}
        for kind, text in titles.items():
            bed.add("reload", f"processor time of {process}, {text}, s", column, *spent[kind])
        usual = spread(spent["one"]).median
        bed.add("change", process, column, *((cost - usual) / (CHANGED - 1) * 1000 for cost in spent["many"]))
