"""Runs `bench.tcp_client` in a process of its own, on the cores of the load."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bench.dnsperf import Asking, Load, LoadError
from bench.servers import ROOT

#: RCODEs by number (RFC 1035 section 4.1.1), as dnsperf calls them.
_CODES: Final = ("NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED")
#: Seconds beyond those that it asks, after which a client that is still there is ended.
_PATIENCE: Final = 10.0


def load(printed: dict[str, Any]) -> Load:
    """What the client printed, in the form that dnsperf's figures have."""
    answered, seconds = printed["answered"], printed["seconds"]
    codes = {int(number): count for number, count in printed["codes"].items()}
    return Load(
        sent=printed["sent"],
        answered=answered,
        lost=printed["failed"],
        seconds=seconds,
        qps=answered / seconds,
        latency_ms=printed["delay"] / answered * 1000 if answered else 0.0,
        worst_ms=printed["slowest"] * 1000,
        request_octets=printed["asked"] // printed["sent"] if printed["sent"] else 0,
        response_octets=printed["octets"] // answered if answered else 0,
        codes={_CODES[number] if number < len(_CODES) else str(number): count for number, count in codes.items()},
    )


def command(port: int, queries: Path, seconds: float, cores: set[int], *more: str) -> list[str]:
    pinned = ["taskset", "-c", ",".join(map(str, sorted(cores)))]
    client = [sys.executable, "-m", "bench.tcp_client", "--port", str(port), "--queries", str(queries)]
    return [*pinned, *client, "--seconds", f"{seconds:g}", *more]


def run(_address: str, port: int, asking: Asking) -> tuple[Load, float]:
    """Ask for the time given; returns the figures and the client's own processor time."""
    depth = max(asking.outstanding // asking.clients, 1)
    more = ["--connections", str(asking.clients), "--depth", str(depth)]
    more += ["--per-connection", str(asking.per_connection), *(["--tls"] if asking.tls else [])]
    process = subprocess.Popen(
        command(port, asking.queries, asking.seconds, asking.cores, *more), stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert process.stdout is not None
    text = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    process.stdout.close()
    if process.returncode != 0:
        raise LoadError(f"the TCP client ended with {process.returncode}")
    found = load(json.loads(text.splitlines()[-1]))
    return found, usage.ru_utime + usage.ru_stime


@dataclass(slots=True)
class KeptAsking:
    """A client at work; `load` is there after the block that started it."""

    process: subprocess.Popen[str]
    load: Load | None = None


@contextmanager
def keep_asking(
    port: int, queries: Path, cores: set[int], *, connections: int, depth: int, seconds: float
) -> Iterator[KeptAsking]:
    """Ask on connections that stay open while the block lasts, but not longer than `seconds`.

    The block begins when each connection has had a reply, or after five seconds; LoadError when nothing was answered.
    """
    more = ("--connections", str(connections), "--depth", str(depth))
    process = subprocess.Popen(
        command(port, queries, seconds, cores, *more), stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert process.stdout is not None
    found = KeptAsking(process)
    try:
        first = process.stdout.readline().strip()
        if first != "begun":
            raise LoadError(f"the TCP client ended at once: {first[:300]}")
        yield found
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=_PATIENCE)
        found.load = load(json.loads(output.splitlines()[-1]))
        if not found.load.answered:
            raise LoadError(f"nothing was answered on {connections} TCP connections")
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
