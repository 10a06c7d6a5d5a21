"""Are names right while everything fails? Real ZooKeeper, three simulated masters, load, and a leader that dies each minute.

`python -m bench.churn --minutes 60`: asks every worker, twice a second, for the name that each task has alone, and judges
the answers by what the cluster says of itself. Prints how many answers were checked, and each kind of wrong one. Needs java,
ZooKeeper's jars (Debian package libzookeeper-java) and dnsperf. All on loopback, and it ends by itself.
"""

import argparse
import json
import random
import select
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from bench import freshness, servers, wire
from bench.bed import say
from bench.following import canonical_name
from bench.machine import find
from bench.servers import ADDRESS, UnavailableError

#: Seconds between two looks at all tasks.
PAUSE: Final = 0.5
#: Seconds after which an answer counts as lost.
PATIENCE: Final = 1.0
#: Seconds after the leading master knows that a task runs until its name has to be there, unless a leader died meanwhile.
FRESH: Final = 2.0
#: Seconds for which the name of a task may outlive it: that long agents may take to come back to a new leader.
HOLD: Final = 600.0
#: Wrong answers of each kind that are shown.
_SHOWN: Final = 5


@dataclass(slots=True)
class Watched:
    """A task's name and addresses.

    `begun` is when the leading master knew that it runs: an agent whose last status nobody acknowledged does not tell it at once.
    `seen` is when all workers had it, `ended` when the cluster did not run it any more.
    """

    name: str
    addresses: frozenset[bytes]
    begun: float | None = None
    seen: float | None = None
    ended: float | None = None


@dataclass(slots=True)
class Judge:
    """Compares answers with the truth. Pure; times in seconds of one clock."""

    tasks: dict[str, Watched] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    #: What was wrong, the first of each kind.
    wrong: list[str] = field(default_factory=list)
    #: Seconds from a task's start to its name, and from its end to the end of its name.
    starts: list[float] = field(default_factory=list)
    ends: list[float] = field(default_factory=list)

    def learn(self, truth: dict[str, Any], now: float) -> set[str]:
        """Take what the cluster runs at `now`; the ids of running tasks that have a plain name."""
        running = set()
        for task in truth["tasks"]:
            name = canonical_name(task | {"slave_id": task["agent_id"]})
            if task["state"] != "TASK_RUNNING" or task["lost"] or not name:
                continue
            running.add(task["task_id"])
            addresses = frozenset(socket.inet_aton(text) for text in (*task["addresses"], task["agent"]) if "." in text)
            watched = self.tasks.setdefault(task["task_id"], Watched(name, addresses))
            if watched.begun is None and task["known"] == "TASK_RUNNING":
                watched.begun = now
        for key, watched in self.tasks.items():
            if key in running:
                watched.ended = None
            elif watched.ended is None:
                watched.ended = now
        return running

    def judge(self, key: str, replies: Sequence[bytes | None], now: float, *, still_running: bool, calm: bool) -> None:
        """Take the answers of all workers about one task. `calm`: no leader died of late."""
        watched = self.tasks[key]
        found = [reply is not None and wire.answers(reply) > 0 for reply in replies]
        self.counts["checks"] += len(replies)
        self.counts["unanswered"] += sum(reply is None for reply in replies)
        if watched.ended is not None:
            if not any(found) and None not in replies:
                self.ends.append(max(0.0, now - watched.ended))
                del self.tasks[key]
            elif now > watched.ended + HOLD:
                self._wrong("outlived its task", watched, now)
        elif all(found):
            if watched.seen is None:
                watched.seen = now
                self.starts.append(0.0 if watched.begun is None else now - watched.begun)
            if any(not any(address in reply for address in watched.addresses) for reply in replies if reply):
                self._wrong("another address", watched, now)
        elif still_running and None not in replies:
            if watched.seen is not None:
                self._wrong("vanished", watched, now)
            elif calm and watched.begun is not None and now > watched.begun + FRESH:
                self._wrong("late", watched, now)

    def _wrong(self, kind: str, watched: Watched, now: float) -> None:
        self.counts[kind] += 1
        if self.counts[kind] <= _SHOWN:
            self.wrong.append(f"{kind}: {watched} at {now:.1f}")


def ask(workers: Sequence[socket.socket], names: Sequence[str]) -> list[list[bytes | None]]:
    """The answers of each worker about each name; None for those that do not come."""
    replies: list[list[bytes | None]] = [[None] * len(workers) for _ in names]
    for start in range(0, len(names), 100):
        part = names[start : start + 100]
        for worker in workers:
            for number, name in enumerate(part, start):
                worker.send(wire.query(name, wire.A, identifier=number))
        until, left = time.monotonic() + PATIENCE, len(part) * len(workers)
        while left and time.monotonic() < until:
            for worker in select.select(workers, [], [], 0.1)[0]:
                with suppress(BlockingIOError):
                    while True:
                        reply = worker.recv(4096, socket.MSG_DONTWAIT)
                        number = int.from_bytes(reply[:2], "big")
                        if start <= number < start + len(part):
                            replies[number][workers.index(worker)] = reply
                            left -= 1
    return replies


def watch(judge: Judge, workers: Sequence[socket.socket], control: int, minutes: float) -> None:
    """Judge until the time is over."""
    begun = told = time.monotonic()
    leader, changed = "", begun
    running = judge.learn(_truth(control), begun)
    while (now := time.monotonic()) < begun + 60 * minutes:
        keys = list(judge.tasks)
        replies = ask(workers, [judge.tasks[key].name for key in keys])
        truth = _truth(control)
        before, running = running, judge.learn(truth, time.monotonic())
        if truth["leader"] != leader:
            leader, changed = truth["leader"], now
            judge.counts["changes of leader"] += 1
        for key, found in zip(keys, replies, strict=True):
            still = key in before and key in running
            judge.judge(key, found, now, still_running=still, calm=now > changed + 15)
        if now > told + 60:
            told = now
            say(f"{(now - begun) / 60:.0f} min: {dict(judge.counts)}")
        time.sleep(max(0.0, now + PAUSE - time.monotonic()))


def _truth(control: int) -> dict[str, Any]:
    with urllib.request.urlopen(f"http://{ADDRESS}:{control}/demo/tasks", timeout=30) as response:
        found: dict[str, Any] = json.loads(response.read())
    return found


@contextmanager
def zookeeper(folder: Path) -> Iterator[int]:
    """A ZooKeeper of one server; its port."""
    java = find("java")
    if java is None or not Path("/usr/share/java/zookeeper.jar").exists():
        raise UnavailableError("ZooKeeper is not installed (Debian packages libzookeeper-java, default-jre-headless)")
    port = servers.free_port()
    config = folder / "zoo.cfg"
    config.write_text(
        f"tickTime=500\ndataDir={folder / 'zookeeper'}\nclientPortAddress={ADDRESS}\nclientPort={port}\n"
        "admin.enableServer=false\nmaxClientCnxns=0\n"
    )
    command = [java, "-Xmx96m", "-cp", "/usr/share/java/*", "org.apache.zookeeper.server.ZooKeeperServerMain"]
    with servers.launched("zookeeper", [*command, str(config)], folder, port) as server:
        servers.wait_for_connection(server)
        yield port


def run(options: argparse.Namespace, folder: Path) -> Judge:
    judge = Judge()
    load = find("dnsperf")
    if load is None:
        raise UnavailableError("dnsperf is not installed (Debian package dnsperf)")
    with ExitStack() as stack:
        url = f"zk://{ADDRESS}:{stack.enter_context(zookeeper(folder))}/mesos"
        control, base = servers.free_port(), servers.free_port()
        cluster = [sys.executable, "-m", "mesos_dns.demo", "--no-server", "--base-port", str(base), "--zk", url]
        cluster += ["--tasks", str(options.tasks), "--churn", str(options.churn), "--control", str(control)]
        cluster += ["--failover-every", str(options.failover_every)]
        demo = stack.enter_context(servers.launched("demo", cluster, folder, control))
        servers.wait_for_connection(demo)
        config = servers.mesos_dns_config(base, workers=freshness.WORKERS, refresh=5) | {"zk": url}
        del config["masters"]
        server = stack.enter_context(servers.mesos_dns(config, folder))
        servers.wait_until_ready(server)
        workers = [stack.enter_context(each) for each in freshness.one_socket_each(server)]
        asked = folder / "load.queries"
        names = ["leader.mesos", *(judge.tasks[key].name for key in judge.learn(_truth(control), time.monotonic()))]
        asked.write_bytes(wire.stream([wire.query(random.choice(names), wire.A) for _ in range(1000)]))
        command = [load, "-s", ADDRESS, "-p", str(server.port), "-B", "-d", str(asked)]
        command += ["-Q", str(options.rate), "-l", str(int(60 * options.minutes))]
        with (folder / "dnsperf.out").open("wb") as output:
            process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
            try:
                watch(judge, workers, control, options.minutes)
            finally:
                process.terminate()
                process.wait()
        if options.log:
            options.log.write_bytes(server.log.read_bytes())
    return judge


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.churn", description="Watch names while everything fails.")
    parser.add_argument("--minutes", type=float, default=60, help="how long (60)")
    parser.add_argument("--tasks", type=int, default=300, help="tasks of the simulated cluster (300)")
    parser.add_argument("--churn", type=float, default=10, help="events in the cluster each second (10)")
    parser.add_argument("--failover-every", type=float, default=60, help="seconds between the deaths of leaders (60)")
    parser.add_argument("--rate", type=int, default=2000, help="questions a second of dnsperf beside (2000)")
    parser.add_argument("--log", type=Path, help="keep the program's log there")
    options = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory(prefix="mesos-dns-churn-") as folder:
            judge = run(options, Path(folder))
    except UnavailableError as error:
        print(error, file=sys.stderr)
        return 1
    for kind, count in sorted(judge.counts.items()):
        print(f"{kind:<20} {count:,}")
    for title, delays in (("start to name", judge.starts), ("end to end of name", judge.ends)):
        ordered = sorted(delays) or [0.0]
        print(
            f"{title:<20} {len(delays):,} times, median {ordered[len(ordered) // 2]:.2f} s, at most {ordered[-1]:.1f} s"
        )
    for line in judge.wrong:
        print(line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
