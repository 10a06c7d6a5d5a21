"""Name servers of other people, run in the foreground for a test and ended by their own process id."""

import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.integration import client, wire
from tests.integration.program import until


@contextmanager
def server(command: Sequence[str], port: int, log: Path, *, name: str) -> Iterator[None]:
    """Runs from when it answers for the addresses of `name` on `port` of 127.0.0.1."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
    try:
        until(
            lambda: process.poll() is not None or _answers(port, name),
            lambda: f"{command[0]} does not answer: {log.read_text()}",
        )
        assert process.poll() is None, log.read_text()
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _answers(port: int, name: str) -> bool:
    try:
        return client.ask_tcp(("127.0.0.1", port), wire.query(1, name, "A")).get("rcode") == "NOERROR"
    except OSError:
        return False
