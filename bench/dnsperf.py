"""Runs dnsperf (Debian package of that name) and reads what it prints."""

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_NUMBER: Final = r"([0-9]+(?:\.[0-9]+)?)"
_CODES: Final = re.compile(r"([A-Z0-9]+) ([0-9]+) \(")


@dataclass(frozen=True, slots=True)
class Load:
    """One run of dnsperf. `latency_ms` is the mean; at saturation it is the queue's, not the server's."""

    sent: int
    answered: int
    lost: int
    seconds: float
    qps: float
    latency_ms: float
    worst_ms: float
    request_octets: int
    response_octets: int
    codes: dict[str, int]


class LoadError(Exception):
    """dnsperf did not run to its end; says what it printed."""


def parse(text: str) -> Load:
    """Read the statistics of dnsperf 2.x; LoadError when they are not there."""

    def number(pattern: str) -> float:
        found = re.search(pattern, text)
        if found is None:
            raise LoadError(f"no {pattern!r} in what dnsperf printed: {text[-500:]!r}")
        return float(found[1])

    codes = re.search(r"Response codes:(.*)", text)
    return Load(
        sent=int(number(rf"Queries sent:\s+{_NUMBER}")),
        answered=int(number(rf"Queries completed:\s+{_NUMBER}")),
        lost=int(number(rf"Queries lost:\s+{_NUMBER}")),
        seconds=number(rf"Run time \(s\):\s+{_NUMBER}"),
        qps=number(rf"Queries per second:\s+{_NUMBER}"),
        # The first of two for TCP: the other one is of connecting.
        latency_ms=number(rf"Average Latency \(s\):\s+{_NUMBER}") * 1000,
        worst_ms=number(rf"Average Latency \(s\):\s+[0-9.]+ \(min [0-9.]+, max {_NUMBER}\)") * 1000,
        request_octets=int(number(rf"request {_NUMBER}")),
        response_octets=int(number(rf"response {_NUMBER}")),
        codes={name: int(count) for name, count in _CODES.findall(codes[1])} if codes else {},
    )


@dataclass(frozen=True, slots=True)
class Asking:
    """How dnsperf or `bench.tcp` is run. `queries` is a file of messages as TCP frames them."""

    queries: Path
    seconds: float
    cores: set[int]
    tcp: bool = False
    tls: bool = False
    clients: int = 16
    outstanding: int = 400
    #: Queries a second; 0 is as many as the server answers.
    rate: int = 0
    #: Replies after which a TCP connection is closed; 0 is never. For `bench.tcp` alone.
    per_connection: int = 0


def command(address: str, port: int, asking: Asking) -> list[str]:
    return [
        *("dnsperf", "-s", address, "-p", str(port), "-B", "-d", str(asking.queries)),
        *("-l", f"{asking.seconds:g}", "-c", str(asking.clients), "-q", str(asking.outstanding), "-t", "1"),
        *(("-m", "tcp") if asking.tcp else ("-m", "dot") if asking.tls else ()),
        *(("-Q", str(asking.rate)) if asking.rate else ()),
    ]


def run(address: str, port: int, asking: Asking) -> tuple[Load, float]:
    """Ask for the time given; returns the figures and the processor time of dnsperf itself."""
    process = subprocess.Popen(
        ["taskset", "-c", ",".join(map(str, sorted(asking.cores))), *command(address, port, asking)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    text = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    process.stdout.close()
    if process.returncode != 0:
        raise LoadError(f"dnsperf ended with {process.returncode}: {text[-500:]!r}")
    return parse(text), usage.ru_utime + usage.ru_stime
