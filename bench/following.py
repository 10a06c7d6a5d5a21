"""Makes tasks start on a simulated master at a fixed rate, and waits until each worker answers with their names.

Whatever happens, the next task starts when its time has come: a server that falls behind cannot hide it by delaying
the next change.
"""

import hashlib
import http.client
import json
import re
import select
import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from bench import wire
from bench.servers import ADDRESS

#: The alphabet of z-base-32.
_ALPHABET: Final = "ybndrfg8ejkmcpqxot1uwisza345h769"
#: Names and frameworks that no label rule changes: the others are started, but not waited for.
_PLAIN: Final = re.compile(r"[a-z]([a-z0-9-]{0,22}[a-z0-9])?")
#: Names that are asked for at a time; what is beyond waits: when every second is polled, 50 are out.
_MOST_ASKED: Final = 64
#: Seconds after which a name counts as never seen.
LOST_AFTER: Final = 10.0


def canonical_name(change: dict[str, Any]) -> str:
    """The name that only this task has, `NAME-HASH-TAIL.FRAMEWORK.mesos`; "" if label rules would change it.

    HASH is the begin of the z-base-32 form of the task id's SHA-1, TAIL the end of the agent's id.
    """
    name, framework = change["name"], change["framework"]
    if not _PLAIN.fullmatch(name) or not _PLAIN.fullmatch(framework):
        return ""
    bits = int.from_bytes(hashlib.sha1(change["task_id"].encode(), usedforsecurity=False).digest()[:5], "big") >> 15
    task = "".join(_ALPHABET[bits >> shift & 31] for shift in range(20, -5, -5))
    tail = change["slave_id"].rpartition("-")[2].lower()
    return f"{name}-{task}-{tail}.{framework}.mesos"


class Master:
    """What one asks of the simulated master, over one connection."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection(ADDRESS, port, timeout=60)

    def start_task(self) -> dict[str, Any]:
        """Let a task start and another one end; what that was."""
        return self._asked("POST", "/demo/change")

    def written(self, after: int) -> dict[int, float | None]:
        """When the events of the changes behind `after` were written, on the monotonic clock."""
        told = self._asked("GET", f"/demo/changes?after={after}")
        return {change["seq"]: change["written"] for change in told["changes"]}

    def close(self) -> None:
        self._connection.close()

    def _asked(self, method: str, path: str) -> dict[str, Any]:
        self._connection.request(method, path)
        with self._connection.getresponse() as response:
            found: dict[str, Any] = json.loads(response.read())
        return found


@dataclass(slots=True)
class Started:
    """A task that was started at `at`, and when each worker, by its place, answered with its name first."""

    number: int
    name: str
    at: float
    seen: dict[int, float] = field(default_factory=dict)


@dataclass(slots=True)
class Following:
    """Starts tasks and waits for their names, at `workers`: connected sockets, one for each.

    `found` are the tasks that all of them have answered for; `lost` counts those that were waited for in vain.
    """

    master: Master
    workers: Sequence[socket.socket]
    out: list[Started] = field(default_factory=list)
    found: list[Started] = field(default_factory=list)
    lost: int = 0

    def run(self, *, rate: float, seconds: float, pause: float) -> None:
        """Start `rate` tasks a second for so long, ask every `pause` seconds, and wait for the last of them."""
        begun = asked = time.monotonic()
        made = 0
        while (now := time.monotonic()) < begun + seconds or self.out:
            if now < begun + seconds and made < (now - begun) * rate:
                made += 1
                self._start(now)
            if now >= asked + pause:
                asked = now
                self._ask()
            self._receive(min(pause, 0.001))
            self._sort_out(now)

    def _start(self, now: float) -> None:
        change = self.master.start_task()
        if name := canonical_name(change):
            self.out.append(Started(change["seq"], name, now))

    def _ask(self) -> None:
        for task in self.out[:_MOST_ASKED]:
            question = wire.query(task.name, wire.A, identifier=task.number % 2**16)
            for place, worker in enumerate(self.workers):
                if place not in task.seen:
                    worker.send(question)

    def _receive(self, timeout: float) -> None:
        waiting = {task.number % 2**16: task for task in self.out}
        readable, _, _ = select.select(self.workers, [], [], timeout)
        for worker in readable:
            with suppress(BlockingIOError):
                while reply := worker.recv(2048, socket.MSG_DONTWAIT):
                    task = waiting.get(int.from_bytes(reply[:2], "big"))
                    if task is not None and wire.code(reply) == 0 and wire.answers(reply) > 0:
                        task.seen.setdefault(self.workers.index(worker), time.monotonic())

    def _sort_out(self, now: float) -> None:
        still_out = []
        for task in self.out:
            if len(task.seen) == len(self.workers):
                self.found.append(task)
            elif now > task.at + LOST_AFTER:
                self.lost += 1
            else:
                still_out.append(task)
        self.out = still_out
