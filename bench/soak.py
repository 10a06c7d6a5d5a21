"""Does memory stay flat? The program for an hour with everything that could leave something behind.

`python -m bench.soak --minutes 60`: the demo's cluster with churn and failovers, questions about it, questions for upstreams
that are silent, refuse, talk garbage, truncate or come and go, TCP and HTTP clients that come and go in every way. With
`--forwards` nothing but questions for such upstreams, each about another name, none of which helps. All on loopback, at a bounded rate, and it
ends by itself. Prints memory each ten seconds, and at the end how much it grows.
"""

import argparse
import asyncio
import contextlib
import json
import os
import random
import socket
import struct
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from bench import processes, servers, wire
from bench.servers import ADDRESS

#: Seconds between two looks at the memory.
SAMPLE: Final = 10.0
#: The part of the run, at its end, that the growth is computed from: until then caches fill.
SETTLED: Final = 0.5
#: Seconds that the program waits for an upstream, and the soak for an answer.
TIMEOUT: Final = 1
PATIENCE: Final = 3.0
#: Names outside the cluster, by what their upstream does.
ZONES: Final = (
    *("silent.test", "refusing.test", "noise.test", "damaged.test", "forged.test", "servfail.test", "flapping.test"),
    *("large.test", "good.test"),
)
#: Those of them that are of no help, or only now and then.
FAILING: Final = ZONES[:7]
#: Seconds for which an upstream that comes and goes is there, and as long is not.
FLAPPING: Final = 15.0
CACHE_OCTETS: Final = 1 << 20
FIXED: Final = ("leader.mesos", "master.mesos", "slave.mesos", "_leader._tcp.mesos")
#: Names of the cluster that are asked for, and unknown ones: few, so that caches are full long before the end.
NAMES: Final = 200
#: What an upstream does with a TCP connection, in turn.
_TCP_MANNERS: Final = ("answers", "garbage", "closes", "resets", "hangs")
_RESET: Final = struct.pack("ii", 1, 0)


# --- upstreams ---------------------------------------------------------------------------------


def reply_to(query: bytes, manner: str) -> bytes | None:
    """What an upstream of this manner says to a query over UDP; None for silence."""
    if len(query) < 17 or manner == "silent" or (manner == "flapping" and time.monotonic() // FLAPPING % 2):
        return None
    if manner == "noise":
        return os.urandom(40)
    end = query.index(b"\0", 12) + 5
    count = 100 if manner == "large" else 1
    head = query[:2] + struct.pack("!HHHHH", 0x8180, 1, count, 0, 0) + query[12:end]
    records = b"".join(b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\xc0\0\2" + bytes((n,)) for n in range(count))
    if manner == "servfail":
        return query[:2] + struct.pack("!HHHHH", 0x8182, 1, 0, 0, 0) + query[12:end]
    if manner == "forged":
        return bytes((query[0] ^ 1,)) + head[1:] + records
    if manner == "damaged":
        return head + records[:-1]
    if manner == "large":
        return query[:2] + struct.pack("!HHHHH", 0x8380, 1, 0, 0, 0) + query[12:end]
    return head + records


class Upstream(asyncio.DatagramProtocol):
    """A server on loopback with one manner over UDP; over TCP it has all in turn."""

    def __init__(self, manner: str) -> None:
        self._manner = manner
        self._connections = 0

    async def start(self) -> int:
        loop = asyncio.get_running_loop()
        port = servers.free_port()
        self._transport, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=(ADDRESS, port))
        await asyncio.start_server(self._serve, ADDRESS, port)
        return port

    def datagram_received(self, data: bytes, addr: Any) -> None:
        reply = reply_to(data, self._manner)
        if reply is not None:
            self._transport.sendto(reply, addr)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections += 1
        manner = _TCP_MANNERS[self._connections % len(_TCP_MANNERS)]
        with contextlib.suppress(OSError, EOFError, TimeoutError):
            async with asyncio.timeout(PATIENCE):
                query = await reader.readexactly(int.from_bytes(await reader.readexactly(2)))
                if manner == "resets":
                    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                elif manner == "hangs":
                    await reader.read()
                elif manner != "closes":
                    reply = reply_to(query, "damaged" if manner == "garbage" else "good") or b""
                    writer.write(len(reply).to_bytes(2) + reply)
                    await writer.drain()
        writer.close()


# --- clients -----------------------------------------------------------------------------------


@dataclass(slots=True)
class Clients:
    """Everything that asks. `counts` tells what came of it."""

    port: int
    http: int
    names: Sequence[str]
    randomness: random.Random
    forwards: bool = False
    counts: Counter[str] = field(default_factory=Counter)

    def question(self) -> bytes:
        some = self.randomness
        if self.forwards:
            name = f"n{some.randrange(10**9)}.{some.choice(FAILING)}"
        elif some.random() < 0.5:
            name = some.choice(self.names)
        elif some.random() < 0.2:
            name = f"n{some.randrange(NAMES)}.mesos"
        else:
            name = f"n{some.randrange(10**6)}.{some.choice(ZONES)}"
        size = some.choice((None, 1232, 4096))
        return wire.query(name, some.choice((wire.A, wire.AAAA, wire.SRV)), size=size, identifier=some.randrange(65536))

    async def udp(self) -> None:
        """One question from a socket of its own."""
        loop = asyncio.get_running_loop()
        with socket.socket(type=socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            sock.connect((ADDRESS, self.port))
            sock.send(self.question())
            if self.randomness.random() < 0.1:
                return  # A client that does not wait.
            await loop.sock_recv(sock, 65535)

    async def tcp(self) -> None:
        """A connection with some questions, which ends in one way or another."""
        reader, writer = await asyncio.open_connection(ADDRESS, self.port)
        try:
            for _ in range(self.randomness.randrange(4)):
                writer.write(wire.stream([self.question()]))
                if self.randomness.random() < 0.8:
                    await reader.readexactly(int.from_bytes(await reader.readexactly(2)))
            await self._part(writer)
        finally:
            writer.close()

    async def web(self) -> None:
        """A request, or what is none, or a part of one."""
        reader, writer = await asyncio.open_connection(ADDRESS, self.http)
        path = self.randomness.choice(
            ("/readyz", "/v1/config", "/v1/axfr", "/v1/hosts/leader.mesos.", "/nope", "\x16\x03")
        )
        request = f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()
        try:
            writer.write(
                request[: self.randomness.randrange(len(request))] if self.randomness.random() < 0.2 else request
            )
            if self.randomness.random() < 0.8 and request.endswith(b"\n"):
                await reader.read(self.randomness.choice((1, 10**8)))
            await self._part(writer)
        finally:
            writer.close()

    async def _part(self, writer: asyncio.StreamWriter) -> None:
        how = self.randomness.random()
        if how < 0.3:
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        elif how < 0.4:
            await asyncio.sleep(PATIENCE - 0.5)

    async def once(self, what: Callable[[], Awaitable[None]]) -> None:
        """One of these, and what came of it."""
        try:
            async with asyncio.timeout(PATIENCE):
                await what()
        except (OSError, EOFError, TimeoutError) as error:
            self.counts[f"{what.__name__} {type(error).__name__}"] += 1
        else:
            self.counts[what.__name__] += 1

    async def go_on(self, rate: float, until: float) -> None:
        """Ask `rate` times a second on average; never more than `rate` x `PATIENCE` are under way."""
        kinds = (self.udp,) * 8 + (self.tcp,) * 3 + (self.web,) * (not self.forwards)
        async with asyncio.TaskGroup() as group:
            while time.monotonic() < until:
                group.create_task(self.once(self.randomness.choice(kinds)))
                await asyncio.sleep(1 / rate)


# --- memory ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Sample:
    """Minutes since the start, and octets of each process by its role."""

    minutes: float
    rss: dict[str, int]
    pss: dict[str, int]


def look(server: servers.Server, minutes: float) -> Sample:
    """The memory of control and its workers (their process numbers are part of the role: a new one starts anew)."""
    rss, pss = {}, {}
    for pid in server.pids():
        with contextlib.suppress(OSError):
            found = processes.memory(pid)
            role = f"control {pid}" if pid == server.process.pid else f"worker {pid}"
            rss[role], pss[role] = found.rss, found.pss
    return Sample(minutes, rss, pss)


def slope(points: Sequence[tuple[float, float]]) -> float:
    """The least-squares slope of (x, y); 0 for fewer than two different x."""
    if not points:
        return 0.0
    middle = sum(x for x, _ in points) / len(points)
    level = sum(y for _, y in points) / len(points)
    spread = sum((x - middle) ** 2 for x, _ in points)
    return sum((x - middle) * (y - level) for x, y in points) / spread if spread else 0.0


def growth(samples: Sequence[Sample]) -> Iterator[str]:
    """Lines that tell what each process has, and how fast it grows in the settled part."""
    late = [sample for sample in samples if sample.minutes >= samples[-1].minutes * (1 - SETTLED)]
    yield f"{'process':<18} {'first MB':>9} {'last MB':>9} {'most MB':>9} {'growth, kB/min':>15} {'MB/day':>8}"
    for role in samples[-1].rss:
        all_of_it = [(sample.minutes, sample.rss[role]) for sample in samples if role in sample.rss]
        each = slope([(sample.minutes, sample.rss[role]) for sample in late if role in sample.rss])
        megabytes = [octets / 1e6 for _, octets in all_of_it]
        yield (
            f"{role:<18} {megabytes[0]:>9.1f} {megabytes[-1]:>9.1f} {max(megabytes):>9.1f}"
            f" {each / 1e3:>15.1f} {each * 1440 / 1e6:>8.1f}"
        )


# --- the run -----------------------------------------------------------------------------------


def configuration(masters: int, ports: dict[str, int]) -> dict[str, Any]:
    """Two workers, three masters, and for each zone its upstream."""
    config = servers.mesos_dns_config(masters, workers=2, refresh=5)
    return config | {
        "masters": [f"{ADDRESS}:{masters + n}" for n in range(3)],
        "externalon": True,
        "resolvers": [f"{ADDRESS}:{ports['good.test']}"],
        "ZoneResolvers": {zone: [f"{ADDRESS}:{port}"] for zone, port in ports.items()},
        "timeout": TIMEOUT,
        # Full long before the end.
        "CacheOctets": CACHE_OCTETS,
        "EnumerationOn": True,
    }


async def run(options: argparse.Namespace, folder: Path) -> list[Sample]:
    ports = {zone: await Upstream(zone.partition(".")[0]).start() for zone in ZONES if zone != "refusing.test"}
    ports["refusing.test"] = servers.free_port()
    base = servers.free_port()
    cluster = [sys.executable, "-m", "mesos_dns.demo", "--no-server", "--base-port", str(base)]
    cluster += ["--tasks", str(options.tasks), "--churn", str(options.churn), "--failover-every", "60"]
    samples: list[Sample] = []
    with ExitStack() as stack:
        stack.enter_context(servers.launched("demo", cluster, folder, base))
        config = configuration(base, ports)
        server = stack.enter_context(servers.mesos_dns(config, folder))
        await asyncio.to_thread(servers.wait_until_ready, server)
        names = await asyncio.to_thread(owners, server.http)
        clients = Clients(int(config["port"]), int(config["httpport"]), names, random.Random(1), options.forwards)
        begun = time.monotonic()
        until = begun + options.minutes * 60
        async with asyncio.TaskGroup() as group:
            group.create_task(clients.go_on(options.rate, until))
            while time.monotonic() < until:
                samples.append(look(server, (time.monotonic() - begun) / 60))
                print(line(samples[-1]), flush=True)
                if server.process.poll() is not None:
                    raise server.failure(f"it ended with {server.process.returncode}")
                await asyncio.sleep(min(SAMPLE, max(0.0, until - time.monotonic())))
        samples.append(look(server, (time.monotonic() - begun) / 60))
        print(", ".join(f"{count} {what}" for what, count in sorted(clients.counts.items())))
        print(", ".join(f"{count} {what}" for what, count in (await asyncio.to_thread(counters, server.http)).items()))
    return samples


def owners(http: str) -> list[str]:
    """Names of the cluster to ask for: some of those that there are now, and some that always are."""
    with urllib.request.urlopen(f"{http}/v1/axfr", timeout=PATIENCE) as answer:
        records = json.load(answer)["Records"]
    return [*sorted({name.rstrip(".") for kind in ("As", "SRVs") for name in records[kind]})[:NAMES], *FIXED]


def counters(http: str) -> dict[str, int]:
    """What the program says that it did with outside names."""
    with urllib.request.urlopen(f"{http}/v1/status", timeout=PATIENCE) as answer:
        found: dict[str, int] = json.load(answer)["counters"]
    return {name: count for name, count in found.items() if name.startswith(("forward", "upstream"))}


def line(sample: Sample) -> str:
    """One sample as a line of the table: RSS and PSS in MB."""
    each = (f"{role} {sample.rss[role] / 1e6:.1f} ({sample.pss[role] / 1e6:.1f})" for role in sample.rss)
    return f"{sample.minutes:6.1f} min  " + "  ".join(each)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description="Watch the memory of a busy program.")
    parser.add_argument("--minutes", type=float, default=60.0, help="how long (60)")
    parser.add_argument("--rate", type=float, default=100.0, help="questions, connections and requests a second (100)")
    parser.add_argument("--tasks", type=int, default=400, help="tasks of the simulated cluster (400)")
    parser.add_argument("--churn", type=float, default=5.0, help="events in the cluster each second (5)")
    parser.add_argument("--forwards", action="store_true", help="questions for upstreams that fail, and no others")
    options = parser.parse_args()
    print("minutes, then RSS (PSS) in MB of each process")
    with tempfile.TemporaryDirectory(prefix="mesos-dns-soak-") as folder:
        samples = asyncio.run(run(options, Path(folder)))
    print("\n".join(growth(samples)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
