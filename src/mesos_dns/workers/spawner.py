"""Starts processes that are not slowed by what the one who starts them has done to itself, and looks after them.

Control lets its workers go first once they serve: it raises its own niceness. A process begins with
the niceness of the thread that starts it, and only the privileged may lower it; so processes are
started by a thread that was there before.
"""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from mesos_dns.workers.liveness import Process

Child = subprocess.Popen[bytes]

#: Niceness that control adds to its own once workers serve: when all processors are busy they get three times its share.
CONTROL_NICENESS: Final = 5
_MOST_NICE: Final = 19
#: Seconds between two looks whether a process has ended that is about to.
REAP_SECONDS: Final = 0.01
#: Variables that a process gets, and beginnings of their names: those of the interpreter, its libraries and its log. Whatever else
#: stands in our environment may be a secret, as `MESOS_DNS_MESOS_CREDENTIALS_SECRET` is.
KEPT_VARIABLES: Final = ("PATH", "LANG", "TZ", "JOURNAL_STREAM", "GLIBC_TUNABLES")
KEPT_PREFIXES: Final = ("PYTHON", "LC_", "LD_", "MALLOC_", "SSL_CERT_", "OPENSSL_")


class ProcessSpawner:
    """Where processes are started. Made when the program starts, and used until it ends."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="spawner")
        self._thread.submit(os.getpid).result()  # From here on the thread exists.

    def __repr__(self) -> str:
        return "ProcessSpawner()"

    async def start(self, *command: str, pass_fds: Iterable[int]) -> Child:
        """Start a process that inherits these descriptors, in a process group of its own. OSError if it cannot be.

        Ctrl-C goes to the group of the terminal: this process decides what it means for the others. Of ours it gets output and error, but
        not input, which may be a configuration; nor more of the environment than `kept_environment`.
        """
        loop = asyncio.get_running_loop()
        fds = tuple(pass_fds)
        environment = kept_environment(os.environ)
        return await loop.run_in_executor(
            self._thread,
            lambda: subprocess.Popen(  # noqa: S603 - no input of anybody
                command, pass_fds=fds, process_group=0, env=environment, stdin=subprocess.DEVNULL
            ),
        )

    def close(self) -> None:
        """Start no more."""
        self._thread.shutdown()


def kept_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """What of an environment a process gets that is to know no secrets."""
    return {name: value for name, value in environ.items() if name in KEPT_VARIABLES or name.startswith(KEPT_PREFIXES)}


async def ended(process: Child) -> None:
    """Wait for the end of a process that has nothing left to do: it is looked at again and again."""
    while process.poll() is None:  # noqa: ASYNC110 - nobody says when
        await asyncio.sleep(REAP_SECONDS)


def look_at(pid: int) -> Process | None:
    """State and processor time of a process; None where that cannot be read."""
    try:
        # The name, in parentheses, may have anything in it.
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        return Process(fields[0], (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"))
    except (OSError, ValueError, IndexError):
        return None


def end_of(returncode: int) -> str:
    """How a process ended, in words: `exit code 1`, or `killed by SIGKILL`."""
    if returncode >= 0:
        return f"exit code {returncode}"
    try:
        return f"killed by {signal.Signals(-returncode).name}"
    except ValueError:
        return f"killed by signal {-returncode}"


def present_niceness() -> int:
    """The niceness of this thread."""
    return os.getpriority(os.PRIO_PROCESS, 0)


def lower_priority(niceness: int) -> None:
    """Let others go first when all processors are busy: set the niceness of this thread, for good.

    There is no way back. What is above 19 is 19. Only on Linux is niceness a matter of threads. Elsewhere nothing is done, for it would slow all
    processes to come.
    """
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, 0, max(min(niceness, _MOST_NICE), present_niceness()))
