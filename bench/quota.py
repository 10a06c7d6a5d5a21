"""Allows a process a part of a core (Linux control groups, either version). Needs root."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from bench.servers import UnavailableError

_GROUPS: Final = Path("/sys/fs/cgroup")
#: Microseconds. Short, so that fewer queries wait than a socket buffer holds.
_PERIOD: Final = 5000


@contextmanager
def limited(pid: int, part: float) -> Iterator[None]:
    """The process gets `part` of one core while the block lasts, and afterwards what it likes.

    UnavailableError when control groups cannot be made here.
    """
    old = (_GROUPS / "cpu").is_dir()
    group = _GROUPS / ("cpu" if old else ".") / f"mesos-dns-bench-{os.getpid()}-{pid}"
    quota = int(part * _PERIOD)
    try:
        group.mkdir()
        if old:
            (group / "cpu.cfs_period_us").write_text(str(_PERIOD))
            (group / "cpu.cfs_quota_us").write_text(str(quota))
        else:
            (group / "cpu.max").write_text(f"{quota} {_PERIOD}")
        home = _group_of(pid, "cpu" if old else "")
        (group / "cgroup.procs").write_text(str(pid))
    except OSError as error:
        with suppress(OSError):
            group.rmdir()
        raise UnavailableError(f"a control group for the processor cannot be made: {error}") from error
    try:
        yield
    finally:
        with suppress(OSError):  # the process may have ended
            (home / "cgroup.procs").write_text(str(pid))
        with suppress(OSError):
            group.rmdir()


def _group_of(pid: int, controller: str) -> Path:
    """The directory of the group that a process is in."""
    for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controller in controllers.split(","):
            return _GROUPS / controller / path.lstrip("/")
    return _GROUPS / controller
