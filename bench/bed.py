"""What all parts of the bench share: settings, cores, a folder, clusters, and what was left out."""

import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, ParamSpec, TypeVar

from bench import dnsperf, ratios, servers, services, wire
from bench.servers import OURS, Program, UnavailableError
from bench.spread import Tail
from bench.tables import Figure
from bench.zonefile import ZoneNames, zone_names

SEED: Final = 1
#: Tasks per agent of the simulated cluster.
DENSITY: Final = 50

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Settings:
    """What the command line asks for."""

    tasks: tuple[int, ...]
    #: Cluster sizes of start-up, memory, changes and tails, which hurt large clusters only.
    large: tuple[int, ...]
    runs: int
    seconds: float
    quick: bool
    only: frozenset[str]
    #: A zone file to measure the other servers on, without Mesos-DNS.
    zone: Path | None = None
    #: What is measured of this project: this checkout, and perhaps another one beside it.
    programs: tuple[Program, ...] = (OURS,)

    @property
    def warm_up(self) -> float:
        """Seconds of load before the first measured run: caches and memos are what they are in service."""
        return 0.3 if self.quick else 2.0


@dataclass(frozen=True, slots=True)
class Cluster:
    """A simulated cluster: its state as the master gives it, and its zone."""

    tasks: int
    state: Path | None
    zone: Path
    names: ZoneNames


@dataclass(slots=True)
class Bed:
    """Passed to every part; gathers the figures and the reasons for those that are missing."""

    settings: Settings
    folder: Path
    #: Cores of the server under test, and of everything else. The same when there is only one.
    server_cores: set[int]
    load_cores: set[int]
    figures: list[Figure] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    clusters: dict[tuple[int, bool], Cluster] = field(default_factory=dict)

    def add(self, table: str, row: str, column: str, *values: float) -> None:
        self.figures.append(Figure(table, row, column, values))

    def compare(self, table: str, row: str, runs: Mapping[str, Sequence[float]], peer: str) -> None:
        """One row with a column for each server, then its ratios; the runs were interleaved."""
        for column, values in runs.items():
            self.add(table, row, column, *values)
        for column, values in ratios.columns(runs, [program.name for program in self.settings.programs], peer).items():
            self.add(table, row, column, *values)

    def skip(self, what: str, reason: object) -> None:
        """Leave something out, and say why now and at the end."""
        text = f"{what}: {reason}"
        self.skipped.append(text)
        say(f"skipped {text}")

    def wanted(self, name: str) -> bool:
        return not self.settings.only or name in self.settings.only

    def named(self, name: str) -> bool:
        """True when the command line asks for just this."""
        return name in self.settings.only

    def attempt(self, what: str, action: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T | None:
        """The result of `action`; None, and a reason noted, when this machine cannot do it."""
        try:
            return action(*arguments, **named)
        except (UnavailableError, dnsperf.LoadError, OSError) as error:
            self.skip(what, error)
            return None

    def turns(self, what: str, action: Callable[["Bed", int, Program], T], tasks: int) -> dict[Program, list[T]]:
        """What `action` gives for each program in each turn, interleaved; a program that fails once is left out."""
        found: dict[Program, list[T]] = {program: [] for program in self.settings.programs}
        for turn in range(self.settings.runs):
            for program in ratios.turned(list(found), turn):
                result = self.attempt(program.titled(what), action, self, tasks, program)
                if result is None:
                    del found[program]
                else:
                    found[program].append(result)
        return found

    def cluster(self, tasks: int, *, served: bool = False) -> Cluster:
        """The cluster of that size, made once; UnavailableError when it cannot be made.

        `served` adds the applications of `bench.services`, for the parts that ask for answers.
        """
        key = (tasks, served)
        if key not in self.clusters:
            self.clusters[key] = _given(self.settings.zone) if self.settings.zone else self._made(tasks, served=served)
        return self.clusters[key]

    def state(self, tasks: int, seed: int = SEED) -> Path:
        """The state of a simulated cluster, as a file."""
        path = self.folder / f"state-{tasks}-{seed}.json"
        if not path.exists():
            say(f"making a cluster of {tasks:,} tasks")
            arguments = ("mesos_dns.demo", "state", "--tasks", str(tasks), "--seed", str(seed))
            servers.run_tool((*arguments, "--agents", str(agents(tasks))), path)
        return path

    def _made(self, tasks: int, *, served: bool) -> Cluster:
        state = self.state(tasks)
        if served:
            plain, state = state, self.folder / f"state-{tasks}-served.json"
            state.write_bytes(services.with_services(plain.read_bytes()))
        zone = state.with_suffix(".zone")
        config = self.folder / f"records-{tasks}.json"
        config.write_text(json.dumps(servers.mesos_dns_config(5050, workers=1, refresh=60)))
        arguments = ("mesos_dns", "records", "--config", str(config), "--state", str(state), "--format", "zone")
        servers.run_tool(arguments, zone)
        with zone.open() as lines:
            names = services.apart(zone_names(lines))
        say(f"{tasks:,} tasks: {names.owners:,} names, {names.records:,} records")
        return Cluster(tasks, state, zone, names)

    def queries(self, name: str, messages: list[bytes]) -> Path:
        """A file of questions for dnsperf and the prober."""
        path = self.folder / f"{name}.queries"
        path.write_bytes(wire.stream(messages))
        return path

    def compare_tails(self, table: str, tails: Mapping[str, Sequence[Tail]], situation: str = "") -> None:
        """The figures of the tails of all servers, each over all runs."""

        def row(name: str, figure: Callable[[Tail], float], *, ratio: bool = True) -> None:
            runs = {server: [figure(each) for each in found] for server, found in tails.items()}
            title = f"{name}, {situation}" if situation else name
            self.compare(table, title, runs, "NSD" if ratio else "")

        row("p50", lambda each: each.p50)
        row("p99", lambda each: each.p99)
        row("p99.9", lambda each: each.p999)
        row("slowest", lambda each: each.worst, ratio=False)
        row("noise", lambda each: each.noise, ratio=False)
        row("lost of a million", lambda each: 1e6 * each.lost / (each.answered + each.lost), ratio=False)


def _given(path: Path) -> Cluster:
    with path.open() as lines:
        return Cluster(0, None, path, services.apart(zone_names(lines)))


def agents(tasks: int) -> int:
    """How many agents a simulated cluster of that many tasks has."""
    return max(tasks // DENSITY, 1)


def cores() -> tuple[set[int], set[int]]:
    """One core for the server, the others for the load: with more, the load never is the limit."""
    usable = sorted(os.sched_getaffinity(0))
    return ({usable[0]}, set(usable[1:])) if len(usable) > 1 else (set(usable), set(usable))


def say(text: str) -> None:
    """Progress, for the person who waits; the tables go to standard output."""
    print(f"[{time.strftime('%H:%M:%S')}] {text}", file=sys.stderr, flush=True)
