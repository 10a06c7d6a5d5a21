"""Starts processes that are not slowed by what the one who starts them has done to itself.

Control gives way to its workers once they serve: it raises its own niceness. A process begins with
the niceness of the thread that starts it, and only the privileged may lower it; so processes are
started by a thread that was there before.
"""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from mesos_dns.limits import REAP_SECONDS

Child = subprocess.Popen[bytes]


class Nursery:
    """Where processes are started. Made when the program starts, and used until it ends."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="nursery")
        self._thread.submit(os.getpid).result()  # From here on the thread exists.

    def __repr__(self) -> str:
        return "Nursery()"

    async def start(self, *command: str, pass_fds: Iterable[int]) -> Child:
        """Start a process that inherits these descriptors. OSError if it cannot be."""
        loop = asyncio.get_running_loop()
        fds = tuple(pass_fds)
        return await loop.run_in_executor(self._thread, lambda: subprocess.Popen(command, pass_fds=fds))  # noqa: S603 - no input of anybody

    def close(self) -> None:
        """Start no more."""
        self._thread.shutdown()


async def ended(process: Child) -> None:
    """Wait for the end of a process that has nothing left to do: it is looked at again and again."""
    while process.poll() is None:  # noqa: ASYNC110 - nobody says when
        await asyncio.sleep(REAP_SECONDS)


def give_way(niceness: int) -> None:
    """Let others go first when all processors are busy: raises the niceness of this thread, for good.

    Only on Linux is niceness a matter of threads. Elsewhere nothing is done, for it would slow all
    processes to come.
    """
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, 0, max(niceness, os.getpriority(os.PRIO_PROCESS, 0)))
