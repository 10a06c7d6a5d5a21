"""Host names that cannot be looked up, whatever the reason: the others are, and it is said once."""

import asyncio
import gc
import logging
import socket
import threading
from collections import Counter

import pytest
from tests.mesos.looking import PATIENCE, looking, packed

from mesos_dns.mesos import hosts
from mesos_dns.mesos.hosts import HostLookup, look_up


async def test_a_failure_is_said_once_and_reports_nothing(resolver, caplog):
    resolver.table["good"] = ["192.0.2.1"]
    with looking(resolver, refresh=0.001) as it:
        it.lookup.want({"nobody", "good"})
        await it.until(lambda: resolver.asked["nobody"] >= 5)
    assert it.found.keys() == {"good"}
    (line,) = caplog.records
    assert line.levelno == logging.WARNING
    assert "cannot resolve host 'nobody' of the state: Name or service not known" in line.getMessage()
    assert "its records keep the last known addresses" in line.getMessage()


async def test_a_failure_after_a_success_takes_nothing_back(resolver):
    resolver.table |= {"fickle": ["192.0.2.1"], "good": ["192.0.2.2"]}
    with looking(resolver, refresh=0.001) as it:
        it.lookup.want({"fickle", "good"})
        await it.find("fickle", "good")
        del resolver.table["fickle"]
        before = resolver.asked["fickle"]
        await it.until(lambda: resolver.asked["fickle"] > before + 2)
    assert it.found["fickle"] == packed("192.0.2.1")
    assert all(all(report.values()) for report in it.reports)


def test_failures_come_again_sooner_at_first_and_later_and_later():
    it = HostLookup(print, refresh=60.0, random=lambda: 0.0)
    assert it._pause("bad") == 60.0
    pauses = []
    for _ in range(40):
        it._failing["bad"] = it._failing.get("bad", 0) + 1
        pauses.append(it._pause("bad"))
    assert pauses[:9] == [5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0, 600.0, 600.0]
    assert pauses[-1] == 600.0
    spread = HostLookup(print, refresh=60.0, random=lambda: 1.0)
    spread._failing["bad"] = 1
    assert spread._pause("bad") == 3.75


async def test_a_success_ends_the_back_off(resolver):
    with looking(resolver, refresh=0.001) as it:
        it.lookup.want({"late"})
        await it.until_asked("late", 3)
        resolver.table["late"] = ["192.0.2.1"]
        await it.find("late")
        assert it.lookup._failing == {}


async def test_hundreds_of_failures_make_no_hundreds_of_lines(resolver, caplog):
    names = {f"nobody-{n}" for n in range(300)}
    resolver.table["~last"] = ["192.0.2.1"]
    with looking(resolver, refresh=0.001) as it:
        it.lookup.want(names | {"~last"})
        await it.until(lambda: sum(resolver.asked.values()) > 1000)
    assert len(caplog.records) < 10


@pytest.mark.parametrize("name", ["a..b", "x" * 64, "\ud800", "localhost\0.example"])
async def test_a_text_that_is_no_host_name_is_a_failure_like_others(monkeypatch, caplog, name):
    real = socket.getaddrinfo

    def guarded(host, *args, **more):
        assert host in (name, "localhost"), "nothing leaves this machine"
        return real(host, *args, **more)

    monkeypatch.setattr(hosts.socket, "getaddrinfo", guarded)
    with looking(None) as it:
        it.lookup.want({name})
        async with asyncio.timeout(PATIENCE):
            while "it is no host name" not in caplog.text:  # noqa: ASYNC110 - the failure is all that happens
                await asyncio.sleep(0.001)
        it.lookup.want({name, "localhost"})
        assert b"\x7f\0\0\1" in (await it.find("localhost"))[0]
    assert name not in it.found


async def test_a_mistake_in_one_look_up_does_not_end_the_others(resolver, caplog):
    resolver.table |= {"odd": ["no address"], "good": ["192.0.2.1"]}
    with looking(resolver, refresh=0.001) as it:
        it.lookup.want({"odd", "good"})
        await it.until(lambda: resolver.asked["odd"] > 20)
    assert "odd" not in it.found
    assert "'odd'" in caplog.text


@pytest.mark.parametrize(
    "error", [MemoryError(), RecursionError("deep"), AttributeError("?"), OSError(24, "Too many open files")]
)
async def test_whatever_the_resolver_raises_costs_that_look_up_alone(resolver, monkeypatch, error):
    """More of them than there are threads for look-ups, so that none may be lost."""
    resolver.table |= {"good": ["192.0.2.1"]}
    bad = {f"bad-{n}" for n in range(2 * hosts.HOST_LOOKUP_THREADS)}

    def raising(host, *args, **more):
        if host in bad:
            raise error
        return resolver(host, *args, **more)

    monkeypatch.setattr(hosts.socket, "getaddrinfo", raising)
    with looking(resolver) as it:
        it.lookup.want(bad)
        it.lookup.want(bad | {"good"})
        await it.find("good")
    assert await look_up(bad | {"good"}) == {"good": packed("192.0.2.1")}


async def test_no_more_threads_cost_that_look_up_alone(resolver, monkeypatch, caplog):
    resolver.table["good"] = ["192.0.2.1"]
    start, refused = threading.Thread.start, []

    def refusing(thread):
        if len(refused) < 3 * hosts.HOST_LOOKUP_THREADS:
            refused.append(thread)
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(hosts.threading.Thread, "start", refusing)
    with looking(resolver, refresh=0.001) as it:
        it.lookup.want({"good"})
        await it.find("good")
    assert "can't start new thread" in caplog.text


async def test_whoever_takes_addresses_and_fails_does_not_end_the_look_ups(resolver, caplog):
    names = {f"host-{n}" for n in range(3 * hosts.HOST_LOOKUP_THREADS)}
    resolver.table = {name: ["192.0.2.1"] for name in names}
    taken, all_taken = set(), asyncio.Event()

    def take(found):
        taken.update(found)
        if taken == names:
            all_taken.set()
        raise KeyError("a mistake")

    lookup = HostLookup(take)
    lookup.want(names)
    lookup.start()
    await asyncio.wait_for(all_taken.wait(), PATIENCE)
    lookup.stop()
    (line,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert "are not taken, by an internal error (KeyError: 'a mistake'): please report it" in line.getMessage()


async def test_the_end_of_failures_is_told_as_loud_as_they_were(resolver, caplog):
    resolver.table["good"] = ["192.0.2.1"]
    with looking(resolver, refresh=0.001) as it:
        it.lookup.want({"late", "good"})
        await it.until(lambda: resolver.asked["late"] >= 3)
        resolver.table["late"] = ["192.0.2.2"]
        await it.find("late")
        await it.until(lambda: resolver.asked["late"] >= 6)
    assert [(record.levelno, record.getMessage()) for record in caplog.records][1:] == [
        (logging.WARNING, "all hosts of the state can be resolved again")
    ]


async def test_failures_leave_no_circles(resolver):
    """A future with an exception, and a frame that waits for it, keep each other: thousands of hosts may fail each minute."""
    resolver.table["good"] = ["192.0.2.1"]
    names = {f"nobody-{n}" for n in range(100)}
    with looking(resolver, refresh=0.001) as it:
        it.lookup.want(names | {"good"})
        await it.until(lambda: sum(resolver.asked.values()) > 200)
        gc.collect()
        gc.disable()
        gc.set_debug(gc.DEBUG_SAVEALL)
        try:
            asked = sum(resolver.asked.values())
            await it.until(lambda: sum(resolver.asked.values()) > asked + 500)
            gc.collect()
            kinds = Counter(type(found).__name__ for found in gc.garbage)
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
            gc.enable()
    assert not kinds.keys() & {"frame", "traceback", "gaierror", "_asyncio.Future", "Future"}
