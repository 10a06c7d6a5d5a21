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
from bench.servers import Program, Server, UnavailableError
from bench.spread import spread

WORKERS: Final = 2
#: Tasks that change at once. Their cost is divided by their number: one alone is below a clock tick.
CHANGED: Final = 1000
#: A cluster of next to nothing, to tell the memory of names from that of the program.
SMALL: Final = 10
_MEGABYTE: Final = 1e6


def measure_start(bed: Bed) -> None:
    """Start-up and memory at each size; the small cluster first, for comparison."""
    bases = {
        program: bed.attempt(program.titled("memory of a small cluster"), start_once, bed, SMALL, program)
        for program in bed.settings.programs
    }
    for tasks in bed.settings.large:
        for program, starts in bed.turns(f"start at {tasks:,} tasks", start_once, tasks).items():
            _add_starts(bed, bed.cluster(tasks), program, starts, bases[program])
            bed.attempt(program.titled(f"stages at {tasks:,} tasks"), break_down, bed, tasks, program)


def break_down(bed: Bed, tasks: int, program: Program) -> None:
    """Where the time and the memory go, stage by stage and part by part, once.

    Each checkout takes its stages with its own `bench.breakdown`, which knows its modules.
    """
    config = bed.folder / "breakdown.json"
    config.write_text(json.dumps(servers.mesos_dns_config(5050, workers=1, refresh=60)))
    output = bed.folder / "breakdown.out"
    servers.run_tool(("bench.breakdown", str(bed.cluster(tasks).state), str(config)), output, program)
    found = json.loads(output.read_text())
    column = program.titled(f"{tasks:,} tasks")
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


def start_once(bed: Bed, tasks: int, program: Program) -> Started:
    """Start on all cores with two workers, wait, put some load on it, and look at its memory."""
    cluster = bed.cluster(tasks)
    if cluster.state is None:
        raise UnavailableError("Mesos-DNS needs a state: it is left out with --zone")
    with ExitStack() as stack:
        master = stack.enter_context(state_master())
        master.serving = body("first", cluster.state.read_bytes(), master.port)
        config = servers.mesos_dns_config(master.port, workers=WORKERS, refresh=3600)
        server = stack.enter_context(servers.mesos_dns(config, bed.folder, program))
        # A name of the tasks: names of the masters could be there before the state is.
        answer = servers.wait_for_answer(server, cluster.names.by_type["SRV"][-1], wire.SRV)
        ready = servers.wait_until_ready(server)
        cpu = server.cpu_seconds()
        asked = bed.queries("memory", queries.questions(queries.WORKLOADS[0], cluster.names, seconds=1, seed=SEED))
        dnsperf.run(servers.ADDRESS, server.port, dnsperf.Asking(asked, 1, bed.load_cores))
        control, *workers = (processes.memory(pid) for pid in server.pids())
        say(
            f"{program.titled(f'{tasks:,} tasks')}: "
            f"first answer after {answer:.2f} s, ready after {ready:.2f} s, {cpu:.2f} s of CPU"
        )
        return Started(answer, ready, cpu, control, workers)


def _add_starts(bed: Bed, cluster: Cluster, program: Program, starts: list[Started], base: Started | None) -> None:
    column = program.titled(f"{cluster.tasks:,} tasks")
    bed.add("start", "execution to first answer, s", column, *(each.answer for each in starts))
    bed.add("start", "execution to ready, s", column, *(each.ready for each in starts))
    bed.add("start", "processor time until ready, s", column, *(each.cpu for each in starts))
    table = f"memory-{cluster.tasks}"

    def add_memory(row: str, rss: list[int], pss: list[int], peak: list[int]) -> None:
        for text, octets in (("resident (RSS)", rss), ("shared out (PSS)", pss), ("peak of RSS", peak)):
            bed.add(table, row, program.titled(text), *(each / _MEGABYTE for each in octets))

    for number in range(-1, WORKERS):
        row = "control" if number < 0 else f"worker {number + 1}"
        found = [each.control if number < 0 else each.workers[number] for each in starts]
        add_memory(row, [each.rss for each in found], [each.pss for each in found], [each.peak_rss for each in found])
    add_memory("all", [each.rss for each in starts], [each.pss for each in starts], [each.peak for each in starts])
    bed.add("names", "names in the zone", column, cluster.names.owners)
    if base is not None:
        _add_names(bed, column, cluster.names.owners, starts, base)


def _add_names(bed: Bed, column: str, names: int, starts: list[Started], base: Started) -> None:
    """What a name costs: memory beyond that of the same program with next to no names."""
    more = [(each.pss - base.pss) / names for each in starts]
    bed.add("names", "octets per name, all processes", column, *more)
    control = [(each.control.pss - base.control.pss) / names for each in starts]
    bed.add("names", "octets per name, control", column, *control)
    for number in range(WORKERS):
        worker = [(each.workers[number].pss - base.workers[number].pss) / names for each in starts]
        bed.add("names", f"octets per name, worker {number + 1}", column, *worker)


@dataclass(frozen=True, slots=True)
class Polled:
    """The polls of one run with what each cost every process, and how long one task's news took."""

    found: list[tuple[str, Poll, tuple[float, ...]]]
    delays: list[float]


def measure_change(bed: Bed) -> None:
    for tasks in bed.settings.large:
        for program, found in bed.turns(f"changes at {tasks:,} tasks", change, tasks).items():
            bed.attempt(f"changes at {tasks:,} tasks", _add_changes, bed, program.titled(f"{tasks:,} tasks"), found)


def change(bed: Bed, tasks: int, program: Program) -> Polled:
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
        server = stack.enter_context(servers.mesos_dns(config, bed.folder, program))
        servers.wait_until_ready(server)
        control, *workers = server.pids()
        master.sample = lambda: (processes.cpu_seconds([control]), *(processes.run_seconds(pid) for pid in workers))
        master.script.extend([base, one, base, many, base])
        seen = _watch(server, cluster, master, timeout=(refresh + 15) * 5)
    found = kinds(master.polls)
    say(f"{program.titled(f'{tasks:,} tasks')}: {[(kind, round(sum(cost), 3)) for kind, _, cost in found]}")
    return Polled(found, _delays(found, seen))


def _delays(found: list[tuple[str, Poll, tuple[float, ...]]], seen: list[float]) -> list[float]:
    """Seconds from each poll that brought one new address to the first answer with a new serial."""
    return [
        min(later) - poll.at
        for kind, poll, _ in found
        if kind == "one" and (later := [at for at in seen if at > poll.at])
    ]


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


def _add_changes(bed: Bed, column: str, runs: list[Polled]) -> None:
    delays = [delay for run in runs for delay in run.delays]
    if not delays:
        raise UnavailableError("the serial never changed after new addresses")
    bed.add("reload", "poll to first answer with its news, s", column, *delays)
    titles = {"none": "nothing new", "one": "1 task changed", "many": f"{CHANGED:,} tasks changed"}
    for number, process in enumerate(("control", *(f"worker {place + 1}" for place in range(WORKERS)))):
        spent = {kind: [cost[number] for run in runs for each, _, cost in run.found if each == kind] for kind in titles}
        for kind, text in titles.items():
            bed.add("reload", f"processor time of {process}, {text}, s", column, *spent[kind])
        usual = spread(spent["one"]).median
        bed.add("change", process, column, *((cost - usual) / (CHANGED - 1) * 1000 for cost in spent["many"]))
