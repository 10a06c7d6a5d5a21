"""Processes that are started after their starter gave way, and are not slowed by that."""

import asyncio
import os
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from mesos_dns.workers.spawner import ProcessSpawner, ended, lower_priority

NICENESS = "import os, sys; os.write(int(sys.argv[1]), b'%d' % os.getpriority(os.PRIO_PROCESS, 0))"


def niceness():
    return os.getpriority(os.PRIO_PROCESS, 0)


@pytest.mark.skipif(sys.platform != "linux", reason="niceness is a matter of threads on Linux only")
def test_a_child_has_the_niceness_that_its_starter_had():
    async def start_one(spawner):
        readable, writable = os.pipe()
        process = await spawner.start(sys.executable, "-c", NICENESS, str(writable), pass_fds=[writable])
        os.close(writable)
        await ended(process)
        with open(readable, "rb") as pipe:  # noqa: ASYNC230, PTH123 - it has all come
            return int(pipe.read())

    def give_way_and_start_one():
        before = niceness()
        spawner = ProcessSpawner()
        lower_priority(before + 7)
        lower_priority(before + 3)  # not back
        of_child = asyncio.run(start_one(spawner))
        spawner.close()
        return before, niceness(), of_child

    # In a thread, for there is no way back.
    with ThreadPoolExecutor(1) as thread:
        before, after, of_child = thread.submit(give_way_and_start_one).result()
    assert (after, of_child) == (min(before + 7, 19), before)
    assert niceness() == before


async def test_what_cannot_be_started_is_told():
    spawner = ProcessSpawner()
    with pytest.raises(FileNotFoundError):
        await spawner.start("/nowhere/at-all", pass_fds=[])
    spawner.close()
