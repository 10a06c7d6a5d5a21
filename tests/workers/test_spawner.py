"""Processes that are started after their starter gave way, and are not slowed by that."""

import asyncio
import os
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from mesos_dns.workers.spawner import ProcessSpawner, ended, kept_environment, lower_priority

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


def test_of_the_environment_only_what_an_interpreter_needs_is_kept():
    given = {
        "MESOS_DNS_MESOS_CREDENTIALS_SECRET": "hunter2",
        "MESOS_DNS_TTL": "30",
        "AWS_SECRET_ACCESS_KEY": "hunter3",
        "HOME": "/root",
        "PATH": "/bin",
        "PYTHONPATH": "src",
        "LC_ALL": "C.UTF-8",
        "JOURNAL_STREAM": "8:1",
        "SSL_CERT_FILE": "/etc/ca.pem",
    }
    assert kept_environment(given).keys() == {"PATH", "PYTHONPATH", "LC_ALL", "JOURNAL_STREAM", "SSL_CERT_FILE"}


async def test_a_child_gets_neither_our_secrets_nor_our_input(monkeypatch):
    monkeypatch.setenv("MESOS_DNS_MESOS_CREDENTIALS_SECRET", "hunter2")
    spawner = ProcessSpawner()
    readable, writable = os.pipe()
    tell = "import os, sys; os.write(int(sys.argv[1]), repr((sys.stdin.read(), dict(os.environ))).encode())"
    process = await spawner.start(sys.executable, "-c", tell, str(writable), pass_fds=[writable])
    os.close(writable)
    await ended(process)
    spawner.close()
    with open(readable, "rb") as pipe:  # noqa: ASYNC230, PTH123 - it has all come
        told = pipe.read().decode()
    assert told.startswith("('', {")
    assert "hunter2" not in told
