"""The demo: simulated masters, Mesos-DNS beside them, and a commentary, until somebody stops it."""

import asyncio
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from mesos_dns.demo import control, http, program, trial
from mesos_dns.demo.agenda import Event
from mesos_dns.demo.catalog import applications
from mesos_dns.demo.master import Masters
from mesos_dns.demo.registration import Ensemble, Registration, RegistrationError
from mesos_dns.demo.simulation import Plan, Simulation

MASTERS = 3
#: How often the simulation is moved on, in seconds: also the precision of what a client sees.
TICK = 0.05
#: More lines than this per second are counted, not printed, unless --verbose is given.
LINES_PER_SECOND = 5
#: Lines after which what to try has scrolled off a usual terminal, and is said again.
LINES_OF_SCREEN = 40


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line asks for."""

    plan: Plan
    base_port: int
    dns_port: int
    http_port: int
    server: bool
    attempt: bool
    verbose: bool
    #: `zk://...` where the masters register; empty = nowhere.
    zk: str = ""
    #: The port for orders; None = none are taken.
    control: int | None = None

    @property
    def endpoints(self) -> list[tuple[str, int]]:
        """The addresses of the simulated masters."""
        return [("127.0.0.1", self.base_port + number) for number in range(MASTERS)]


class Narrator:
    """Prints what happens, at a rate that a person can read. Silent until `begin` is called."""

    def __init__(self, *, unlimited: bool, out: Callable[[str], None] = print) -> None:
        self._unlimited = unlimited
        self._out = out
        self._second = -1
        self._printed = 0
        self._swallowed = 0
        self._silent = True
        self._guide = ""
        #: Lines since the guide was printed.
        self._lines = 0

    def begin(self, guide: str = "") -> None:
        """Print from now on; and `guide`, which was printed, again whenever it has scrolled away."""
        self._silent = False
        self._guide = guide

    def tell(self, event: Event) -> None:
        """Print `event`, or count it."""
        if self._silent:
            return
        second = int(event.time)
        if second != self._second:
            if self._swallowed:
                self._print(f"          ... and {self._swallowed} more")
            self._second, self._printed, self._swallowed = second, 0, 0
        if self._printed >= LINES_PER_SECOND and event.kind != "leader" and not self._unlimited:
            self._swallowed += 1
            return
        self._printed += 1
        self._print(f"{time.strftime('%H:%M:%S', time.localtime(event.time))}  {event.kind:9} {event.text}")

    def _print(self, line: str) -> None:
        self._out(line)
        self._lines += 1
        if self._guide and self._lines >= LINES_OF_SCREEN:
            self._lines = 0
            self._out(f"\n{self._guide}")


async def run(options: Options) -> int:
    """Run the demo until cancelled; returns the exit code."""
    busy = program.busy_ports(options.dns_port, options.http_port) if options.server else []
    if busy:
        print(
            f"cannot start: {', '.join(busy)} in use. Stop what listens there (ss -lunpt shows it), or choose other "
            f"ports: make demo DEMO='--ports 8054,8124'",
            file=sys.stderr,
        )
        return 1
    narrator = Narrator(unlimited=options.verbose)
    simulation = Simulation(options.plan, options.endpoints, time.time())
    masters = Masters(simulation.world)
    code = 1
    try:
        async with masters.serving(), _orders(options, simulation), asyncio.TaskGroup() as group:
            following = [group.create_task(_follow(simulation, masters, narrator.tell), name="simulation")]
            registration = await _registered(options, simulation)
            if registration is not None:
                following.append(group.create_task(registration.follow(), name="registration"))
            try:
                code = await _beside(options, narrator)
            finally:
                for task in following:
                    task.cancel()
                if registration is not None:
                    await registration.close()
    except* RegistrationError as group_of_errors:
        print(f"cannot use {options.zk}: {group_of_errors.exceptions[0]}", file=sys.stderr)
    except* OSError as group_of_errors:
        last = options.base_port + MASTERS - 1
        error = group_of_errors.exceptions[0]
        print(
            f"cannot serve the masters on ports {options.base_port}-{last}: {error}; try --base-port", file=sys.stderr
        )
    return code


def _orders(options: Options, simulation: Simulation) -> AbstractAsyncContextManager[None]:
    """Take orders for the time of a `with` block, where they are wanted."""
    if options.control is None:
        return nullcontext()
    return http.listening([http.Listener("127.0.0.1", options.control, lambda: control.application(simulation.world))])


async def _registered(options: Options, simulation: Simulation) -> Registration | None:
    if not options.zk:
        return None
    simulation.election.decides = False
    registration = Registration(simulation.world, Ensemble.parse(options.zk))
    await registration.start()
    return registration


async def _follow(simulation: Simulation, masters: Masters, tell: Callable[[Event], None]) -> None:
    """Let the simulation follow the clock until cancelled; `tell` hears of every event."""
    while True:
        for event in simulation.advance(time.time()):
            tell(event)
        await masters.sync()
        await asyncio.sleep(TICK)


async def _beside(options: Options, narrator: Narrator) -> int:
    """Run what belongs beside the masters."""
    print(_headline(options), flush=True)
    if not options.server:
        narrator.begin()
        await asyncio.Event().wait()
    with tempfile.TemporaryDirectory(prefix="mesos-dns-demo-") as directory:
        config = program.configuration(options.endpoints, options.dns_port, options.http_port)
        try:
            async with program.running(Path(directory), config, verbose=options.verbose) as server:
                await server.ready(options.http_port)
                if options.attempt:
                    chosen = applications(options.plan.seed, options.plan.tasks)
                    return 0 if await trial.run(chosen, options.dns_port, options.http_port) else 1
                guide = _guide(options)
                print(guide, flush=True)
                narrator.begin(guide)
                raise await server.ended()
        except program.ProgramError as error:
            print(error, file=sys.stderr)
            return 1


def _headline(options: Options) -> str:
    plan = options.plan
    masters = ", ".join(f"http://{address}:{port}" for address, port in options.endpoints)
    return f"simulated Mesos cluster: {plan.agents} agents, {plan.tasks} tasks, masters {masters}"


def _guide(options: Options) -> str:
    """Return the lines to try."""
    chosen = applications(options.plan.seed, options.plan.tasks)
    lines = [
        f"Mesos-DNS answers on 127.0.0.1:{options.dns_port} (DNS) and 127.0.0.1:{options.http_port} (HTTP). Try:",
        "",
        "  # the page for people, in a browser",
        f"  http://127.0.0.1:{options.http_port}/",
        "",
    ]
    for question in trial.questions(chosen):
        lines += [f"  # {question.about}", f"  {question.line(options.dns_port)}"]
    lines += ["", *(f"  {page.line(options.http_port)}" for page in trial.pages(chosen))]
    lines += ["", f"  curl -sL http://127.0.0.1:{options.base_port + 1}/master/state    # what the masters say", ""]
    subscribe = "-H 'Content-Type: application/json' -d '{\"type\":\"SUBSCRIBE\"}'"
    lines += [f"  curl -sNL {subscribe} http://127.0.0.1:{options.base_port}/api/v1    # their events", ""]
    plan = options.plan
    failover = f", the leading master dies every {plan.failover_every:.0f} s" if plan.failover_every > 0 else ""
    lines.append(f"Meanwhile tasks start, fail, move and finish{failover}. Ctrl-C stops everything.")
    return "\n".join(lines) + "\n"
