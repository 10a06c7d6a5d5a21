"""The machine and the programs that figures come from: without them a figure says nothing."""

import os
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Machine:
    """Facts that change figures. `others_busy` is the load average when the bench began."""

    processor: str
    cores: int
    kernel: str
    system: str
    python: str
    memory_mb: int
    rmem_default: int
    rmem_max: int
    others_busy: float
    versions: dict[str, str]


def machine() -> Machine:
    return Machine(
        processor=_processor(),
        cores=len(os.sched_getaffinity(0)),
        kernel=platform.release(),
        system=_system(),
        python=f"{platform.python_implementation()} {platform.python_version()}",
        memory_mb=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20,
        rmem_default=_sysctl("net/core/rmem_default"),
        rmem_max=_sysctl("net/core/rmem_max"),
        others_busy=round(os.getloadavg()[0], 2),
        versions={
            "nsd": first_line(["nsd", "-v"]),
            "knot": first_line(["knotd", "--version"]),
            "unbound": first_line(["unbound", "-V"]),
            "dnsperf": first_line(["dnsperf", "-h"], containing="Version"),
            "uvloop": _module("uvloop"),
            "aiohttp": _module("aiohttp"),
            "msgspec": _module("msgspec"),
        },
    )


def find(program: str) -> str | None:
    """The path of a server that may live in a directory outside an ordinary PATH."""
    return shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/local/sbin:/usr/sbin:/sbin")


def first_line(command: list[str], containing: str = "") -> str:
    """The first line that a program prints with `containing` in it; empty when it is not installed."""
    path = find(command[0])
    if path is None:
        return ""
    done = subprocess.run([path, *command[1:]], capture_output=True, text=True, check=False)
    for line in (done.stdout + done.stderr).splitlines():
        if line.strip() and containing in line:
            return line.strip()
    return ""


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def _system() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return platform.system()


def _sysctl(name: str) -> int:
    try:
        return int((Path("/proc/sys") / name).read_text())
    except OSError:
        return 0


def _module(name: str) -> str:
    command = f"import importlib.metadata as m; print(m.version({name!r}))"
    done = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""
