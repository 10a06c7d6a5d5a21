"""Part `fresh`: how long it takes until a task that starts is found at every worker, and what it costs to follow a cluster."""

import socket
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final

from bench import following, processes, servers, wire
from bench.bed import Bed, agents, say
from bench.servers import ADDRESS, Server, UnavailableError
from bench.spread import Tail, tail

WORKERS: Final = 2
#: Tasks that start each second; as many end.
RATE: Final = 50
#: How each source is watched: its name, the configuration beside the usual one, seconds between two looks.
SOURCES: Final = (
    ("events", {"MesosSource": "events"}, 0.001),
    ("a poll each second", {"MesosSource": "polling"}, 0.02),
)
#: Seconds without any change, from which those of an hour follow.
QUIET_SECONDS: Final = 30.0
DELAYS: Final[tuple[tuple[str, Callable[[Tail], float]], ...]] = (
    ("p50", lambda each: each.p50),
    ("p99", lambda each: each.p99),
    ("slowest", lambda each: each.worst),
    ("never seen, of a thousand", lambda each: 1e3 * each.lost / max(1, each.answered + each.lost)),
)
#: Questions that tell which worker a socket has: they cost it about 10 ms.
_MARKED: Final = 300


@dataclass(frozen=True, slots=True)
class Freshness:
    """Delays from the start of a task to its name at every worker; what control needs for that, and an hour without change."""

    delays: Tail
    control_percent: float
    quiet_hour: float


def measure(bed: Bed) -> None:
    """Each source in turn, in each size of the cluster."""
    for tasks in bed.settings.large:
        found: dict[str, list[Freshness]] = {name: [] for name, _, _ in SOURCES}
        for _ in range(bed.settings.runs):
            for name, keys, pause in SOURCES:
                result = bed.attempt(f"freshness at {tasks:,} tasks, {name}", once, bed, tasks, keys, pause)
                if result is not None:
                    found[name].append(result)
        measured = {name: results for name, results in found.items() if results}
        for row, figure in DELAYS:
            for name, results in measured.items():
                bed.add(f"fresh-{tasks}", row, name, *(figure(each.delays) for each in results))
        for name, results in measured.items():
            row = f"control while {RATE} tasks start a second, % of a core"
            bed.add(f"following-{tasks}", row, name, *(each.control_percent for each in results))
            row = "all processes, seconds of CPU in an hour without change"
            bed.add(f"following-{tasks}", row, name, *(each.quiet_hour for each in results))


def once(bed: Bed, tasks: int, keys: dict[str, str], pause: float) -> Freshness:
    """Follow a changing cluster, then one that stands still."""
    events = keys["MesosSource"] == "events"
    seconds = 2 * bed.settings.seconds
    with ExitStack() as stack:
        number = agents(tasks)
        master = stack.enter_context(
            servers.changing_master(tasks, number, 0, bed.folder, bed.load_cores, events=events)
        )
        config = servers.mesos_dns_config(master.port, workers=WORKERS, refresh=1) | keys
        server = stack.enter_context(servers.mesos_dns(config, bed.folder))
        servers.wait_until_ready(server)
        sockets = [stack.enter_context(each) for each in one_socket_each(server)]
        asked = following.Master(master.port)
        stack.callback(asked.close)
        control = processes.run_seconds(server.process.pid)
        run = following.Following(asked, sockets)
        run.run(rate=RATE, seconds=seconds, pause=pause)
        control = processes.run_seconds(server.process.pid) - control
        delays = _delays(asked, run, events=events)
        found = Freshness(delays, 100 * control / seconds, _an_hour(server))
        say(f"{tasks:,} tasks, {keys['MesosSource']}: {found}")
        return found


def one_socket_each(server: Server) -> list[socket.socket]:
    """A connected socket for each worker. The kernel gives a worker the packets of a socket by its port, so some are tried."""
    workers = server.workers()
    found: dict[int, socket.socket] = {}
    for _ in range(64):
        each = socket.socket(type=socket.SOCK_DGRAM)
        each.connect((ADDRESS, server.port))
        before = {pid: processes.run_seconds(pid) for pid in workers}
        for _ in range(_MARKED):
            each.send(wire.query("mesos", wire.SOA))
            each.recv(2048)
        whose = max(workers, key=lambda pid: processes.run_seconds(pid) - before[pid])
        if whose in found:
            each.close()
        else:
            found[whose] = each
        if len(found) == len(workers):
            return [found[pid] for pid in workers]
    raise UnavailableError("the kernel gives no packets to some worker")


def _delays(master: following.Master, result: following.Following, *, events: bool) -> Tail:
    """From the writing of the event, or the change if nobody subscribed, to the last worker's first answer."""
    first = min((task.number for task in result.found), default=1) - 1
    written = master.written(first) if events else {}
    delays = []
    for task in result.found:
        begun = written.get(task.number) or task.at
        delays.append(1000 * max(0.0, max(task.seen.values()) - begun))
    return tail(delays, result.lost)


def _an_hour(server: Server) -> float:
    """Seconds of all processes in an hour in which nothing changes, from a short while of it."""
    time.sleep(2)
    before = server.run_seconds()
    time.sleep(QUIET_SECONDS)
    return (server.run_seconds() - before) * 3600 / QUIET_SECONDS
