"""Mesos-DNS as a child process: its configuration, its readiness, its end."""

import asyncio
import json
import os
import socket
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

#: Seconds to wait for /readyz after the start, and for the end after SIGTERM.
READY_WITHIN = 30.0
STOPPED_WITHIN = 10.0


class ProgramError(RuntimeError):
    """Mesos-DNS did not start, or ended by itself; the message says why and what to do."""


def configuration(masters: Sequence[tuple[str, int]], dns_port: int, http_port: int) -> dict[str, object]:
    """Return a configuration for the simulated masters: everything on loopback, quick to follow changes.

    Queries outside the zone are refused, so that the demo sends nothing to the Internet.
    """
    return {
        "Masters": [f"{address}:{port}" for address, port in masters],
        "Domain": "mesos",
        "Listener": "127.0.0.1",
        "Port": dns_port,
        "HTTPListener": "127.0.0.1",
        "HttpPort": http_port,
        "RefreshSeconds": 1,
        "TTL": 5,
        "StateTimeoutSeconds": 10,
        "ExternalOn": False,
    }


def busy_ports(dns_port: int, http_port: int) -> list[str]:
    """Return which of the server's ports on 127.0.0.1 are taken, in words."""
    wanted = (
        (socket.SOCK_DGRAM, dns_port, "UDP"),
        (socket.SOCK_STREAM, dns_port, "TCP"),
        (socket.SOCK_STREAM, http_port, "TCP"),
    )
    return [f"127.0.0.1 port {port} ({name})" for kind, port, name in wanted if not _free(kind, port)]


def _free(kind: socket.SocketKind, port: int) -> bool:
    with socket.socket(socket.AF_INET, kind) as probe:
        if kind is socket.SOCK_STREAM:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


class Program:
    """A running Mesos-DNS; `log` is where its standard error goes, None = ours."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path | None) -> None:
        self._process = process
        self._log = log

    def __repr__(self) -> str:
        return f"Program(pid={self.pid}, returncode={self._process.returncode})"

    @property
    def pid(self) -> int:
        """The id of the child process."""
        return self._process.pid

    async def ended(self) -> ProgramError:
        """Wait until the child ends; returns the error that this is, while nobody asked it to end."""
        code = await self._process.wait()
        told = ""
        if self._log is not None:
            told = "".join(f"\n    {line}" for line in self._log.read_text(errors="replace").splitlines()[-15:])
        return ProgramError(f"Mesos-DNS ended by itself with code {code}{told or ' (run with --verbose for its log)'}")

    async def ready(self, http_port: int) -> None:
        """Wait until /readyz says 200. Raises ProgramError after READY_WITHIN seconds or when the child ends."""
        deadline = time.monotonic() + READY_WITHIN
        reason = "no answer"
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2)) as session:
            while time.monotonic() < deadline:
                if self._process.returncode is not None:
                    raise await self.ended()
                try:
                    async with session.get(f"http://127.0.0.1:{http_port}/readyz") as response:
                        reason = f"HTTP {response.status} {(await response.text())[:200].strip()}"
                        if response.status == 200:
                            return
                except (aiohttp.ClientError, TimeoutError) as error:
                    reason = f"{type(error).__name__}: {error}"
                await asyncio.sleep(0.1)
        raise ProgramError(f"Mesos-DNS was not ready within {READY_WITHIN:.0f} s: {reason} (try --verbose)")

    async def stop(self) -> None:
        """Send SIGTERM and wait; kill it when it does not end within STOPPED_WITHIN seconds."""
        if self._process.returncode is not None:
            return
        self._process.terminate()
        try:
            await asyncio.wait_for(self._process.wait(), STOPPED_WITHIN)
        except TimeoutError:
            print(f"Mesos-DNS (pid {self.pid}) did not end within {STOPPED_WITHIN:.0f} s, killing it", file=sys.stderr)
        finally:
            # Also when somebody is too impatient to wait (Ctrl-C again).
            if self._process.returncode is None:
                self._process.kill()
                await self._process.wait()


@asynccontextmanager
async def running(directory: Path, config: dict[str, object], *, verbose: bool) -> AsyncIterator[Program]:
    """Run Mesos-DNS with `config` for the time of a `with` block; its files go to `directory`."""
    path = directory / "config.json"
    path.write_text(json.dumps(config, indent=2) + "\n")
    log = None if verbose else directory / "mesos-dns.log"
    # Settings of the caller's own Mesos-DNS must not reach this one.
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MESOS_DNS_")}
    command = [sys.executable, "-m", "mesos_dns", "run", "--config", str(path)]
    output = None if log is None else log.open("wb")
    try:
        # Its own session: Ctrl-C at the terminal goes to the demo alone, which then ends the child in order.
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=environment,
            start_new_session=True,
        )
    finally:
        if output is not None:
            output.close()
    program = Program(process, log)
    try:
        yield program
    finally:
        await program.stop()
