"""What the processes of a server cost: processor time and memory, read from /proc (Linux)."""

import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_PROC: Final = Path("/proc")
_TICKS: Final = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Stat:
    """The fields of /proc/PID/stat that matter here; times in seconds, user and system together."""

    parent: int
    own: float
    #: Of children that have ended and were waited for: a helper process that came and went.
    reaped: float


def parse_stat(text: str, ticks: int = _TICKS) -> Stat:
    """Read /proc/PID/stat (proc_pid_stat(5)); the command in brackets may hold anything, brackets too."""
    fields = text[text.rindex(")") + 1 :].split()
    user, system, reaped_user, reaped_system = (int(field) for field in fields[11:15])
    return Stat(int(fields[1]), (user + system) / ticks, (reaped_user + reaped_system) / ticks)


def tree(root: int) -> list[int]:
    """`root` and all that descends from it, parents first."""
    children: dict[int, list[int]] = {}
    for entry in _PROC.iterdir():
        if entry.name.isdigit():
            with suppress(OSError):  # it ended between the listing and the reading
                children.setdefault(parse_stat((entry / "stat").read_text()).parent, []).append(int(entry.name))
    found = [root]
    for pid in found:  # grows while it is walked
        found.extend(sorted(children.get(pid, ())))
    return found


def cpu_seconds(pids: Iterable[int]) -> float:
    """User and system time of the processes and of their children that have ended."""
    total = 0.0
    for pid in pids:
        with suppress(OSError):
            stat = parse_stat((_PROC / str(pid) / "stat").read_text())
            total += stat.own + stat.reaped
    return total


def run_seconds(pid: int) -> float:
    """Time that the threads of one process have run, to the nanosecond (/proc/PID/task/*/schedstat).

    Finer than `cpu_seconds`, for costs below a clock tick; threads that have ended are not in it.
    """
    total = 0
    with suppress(OSError):  # the process has ended
        for task in (_PROC / str(pid) / "task").iterdir():
            with suppress(OSError):  # the thread has ended
                total += int((task / "schedstat").read_text().split()[0])
    return total / 1e9


@dataclass(frozen=True, slots=True)
class Memory:
    """Octets. PSS counts a page shared by n processes as 1/n of a page to each, so it can be added up."""

    rss: int
    pss: int
    peak_rss: int


def parse_kilobytes(text: str) -> dict[str, int]:
    """The `Key:  123 kB` lines of smaps_rollup and status, as octets."""
    found: dict[str, int] = {}
    for line in text.splitlines():
        fields = line.split()
        if len(fields) == 3 and fields[2] == "kB":
            found[fields[0].rstrip(":")] = int(fields[1]) * 1024
    return found


def memory(pid: int) -> Memory:
    """Memory of one process; OSError when it has ended."""
    rollup = parse_kilobytes((_PROC / str(pid) / "smaps_rollup").read_text())
    status = parse_kilobytes((_PROC / str(pid) / "status").read_text())
    return Memory(rollup["Rss"], rollup["Pss"], status["VmHWM"])


def pin(pids: Iterable[int], cores: set[int]) -> None:
    """Keep every thread of the processes on `cores`."""
    for pid in pids:
        with suppress(OSError):
            for task in (_PROC / str(pid) / "task").iterdir():
                with suppress(OSError):
                    os.sched_setaffinity(int(task.name), cores)


def command(pid: int) -> str:
    """The command line of a process, for a person."""
    with suppress(OSError):
        return (_PROC / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    return "(ended)"
