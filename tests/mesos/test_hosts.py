"""Looking up the host names of states: a resolver that is fast, slow, stuck or wrong must never be waited for."""

import asyncio
import contextlib
import gc
import logging
import socket
import subprocess
import sys
import threading
from collections import Counter

import pytest

from mesos_dns.mesos import hosts
from mesos_dns.mesos.hosts import HostLookup, look_up

PATIENCE = 10.0


class Resolver:
    """Stands for `getaddrinfo`: a table of host → address texts, hosts that hang, and what was asked."""

    def __init__(self):
        self.table = {}
        self.asked = Counter()
        self.busy = self.busiest = 0
        self.hanging = {}
        self.leads_to = {}
        self._lock = threading.Lock()

    def hang(self, host):
        """Let look-ups of `host` hang until the returned event is set."""
        return self.hanging.setdefault(host, threading.Event())

    def __call__(self, host, *_, **__):
        with self._lock:
            self.asked[host] += 1
            self.busy += 1
            self.busiest = max(self.busiest, self.busy)
        try:
            if host in self.hanging:
                assert self.hanging[host].wait(PATIENCE)
            if host not in self.table:
                raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
            first = self.leads_to.get(host, "")
            return [(None, None, 0, "" if n else first, (text, 0)) for n, text in enumerate(self.table[host])]
        finally:
            with self._lock:
                self.busy -= 1


class Looking:
    """A look-up, and what it reported."""

    def __init__(self, resolver, refresh, own=()):
        self.resolver = resolver
        self.found = {}
        self.reports = []
        self._news = asyncio.Event()
        self.lookup = HostLookup(self._note, own=own, refresh=refresh)

    def _note(self, found):
        self.reports.append(dict(found))
        self.found.update(found)
        self._news.set()

    async def until(self, condition):
        """Wait for reports until the condition holds."""
        async with asyncio.timeout(PATIENCE):
            while not condition():
                self._news.clear()
                await self._news.wait()

    async def until_asked(self, name, times=1):
        async with asyncio.timeout(PATIENCE):
            while self.resolver.asked[name] < times:  # noqa: ASYNC110 - it is a thread that counts
                await asyncio.sleep(0.001)

    async def find(self, *names):
        await self.until(lambda: set(names) <= self.found.keys())
        return [self.found[name] for name in names]


@pytest.fixture
def resolver(monkeypatch):
    resolver = Resolver()
    monkeypatch.setattr(hosts.socket, "getaddrinfo", resolver)
    yield resolver
    for event in resolver.hanging.values():
        event.set()


@contextlib.contextmanager
def looking(resolver, refresh=3600.0, own=()):
    it = Looking(resolver, refresh, own)
    it.lookup.start()
    try:
        yield it
    finally:
        it.lookup.stop()


def packed(*texts):
    return tuple(socket.inet_pton(socket.AF_INET6 if ":" in text else socket.AF_INET, text) for text in texts)


# --- finding -----------------------------------------------------------------------------------


async def test_what_is_found_is_reported_ipv4_first_and_without_repetitions(resolver):
    resolver.table["agent"] = ["2001:db8::1", "192.0.2.2", "192.0.2.1", "192.0.2.2", "fe80::1%eth0"]
    with looking(resolver) as it:
        it.lookup.want({"agent"})
        assert await it.find("agent") == [packed("192.0.2.2", "192.0.2.1", "2001:db8::1", "fe80::1")]
        assert repr(it.lookup) == "HostLookup(wanted=1)"
    assert resolver.asked == {"agent": 1}


async def test_each_is_reported_as_soon_as_it_is_there(resolver):
    resolver.table |= {"slow": ["192.0.2.1"], "fast": ["192.0.2.2"]}
    slow = resolver.hang("slow")
    with looking(resolver) as it:
        it.lookup.want({"slow", "fast"})
        await it.find("fast")
        assert it.found == {"fast": packed("192.0.2.2")}
        slow.set()
        await it.find("slow")
    assert sorted(name for report in it.reports for name in report) == ["fast", "slow"]


async def test_a_host_that_is_wanted_later_does_not_wait_for_those_before(resolver):
    resolver.table |= {"stuck": ["192.0.2.1"], "new": ["192.0.2.2"]}
    stuck = resolver.hang("stuck")
    with looking(resolver) as it:
        it.lookup.want({"stuck"})
        async with asyncio.timeout(PATIENCE):
            while not resolver.asked["stuck"]:  # noqa: ASYNC110 - it is a thread that counts
                await asyncio.sleep(0.001)
        it.lookup.want({"stuck", "new"})
        await it.find("new")
        assert not stuck.is_set()


async def test_look_ups_at_once_are_bounded(resolver, monkeypatch):
    monkeypatch.setattr(hosts, "HOST_LOOKUP_THREADS", 3)
    names = {f"host-{n}" for n in range(50)}
    resolver.table = {name: ["192.0.2.1"] for name in names}
    first = resolver.hang("host-0")
    with looking(resolver) as it:
        it.lookup.want(names)
        await it.find(*names - {"host-0"})
        first.set()
        await it.find("host-0")
    assert resolver.busiest <= 3
    assert set(resolver.asked.values()) == {1}


async def test_too_many_hosts_are_not_all_looked_up_and_that_is_said_once(resolver, monkeypatch, caplog):
    monkeypatch.setattr(hosts, "MAX_HOSTS", 3)
    names = {f"host-{n}" for n in range(5)}
    resolver.table = {name: ["192.0.2.1"] for name in names}
    with looking(resolver) as it:
        for _ in range(3):
            it.lookup.want(names)
            await it.find("host-0", "host-1", "host-2")
    assert resolver.asked == {"host-0": 1, "host-1": 1, "host-2": 1}
    (line,) = caplog.records
    assert line.getMessage() == "5 host names in the state, only 3 are looked up"


async def test_addresses_of_one_host_are_bounded(resolver, monkeypatch):
    monkeypatch.setattr(hosts, "MAX_ADDRESSES", 2)
    resolver.table["many"] = ["2001:db8::1", "192.0.2.1", "192.0.2.2", "192.0.2.3"]
    with looking(resolver) as it:
        it.lookup.want({"many"})
        assert await it.find("many") == [packed("192.0.2.1", "192.0.2.2")]


# --- never in a circle ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "within"),
    [
        ("mesos", True),
        ("web.marathon.mesos", True),
        ("Web.Marathon.MESOS.", True),
        ("xmesos", False),
        ("mesos.example", False),
        ("a.cluster.example", True),
        ("", False),
    ],
)
def test_what_is_within_a_domain(host, within):
    assert hosts.is_within(host, ["mesos", "cluster.example"]) is within


async def test_names_of_own_domains_are_never_asked_for(resolver, caplog):
    ours = {"web.marathon.mesos", "SLAVE.Mesos."}
    resolver.table = {name: ["192.0.2.1"] for name in {*ours, "agent.example"}}
    with looking(resolver, own=["mesos"]) as it:
        for _ in range(2):
            it.lookup.want(ours | {"agent.example"})
            await it.find("agent.example")
    assert resolver.asked == {"agent.example": 1}
    (line,) = caplog.records
    assert "'SLAVE.Mesos.' of the state is a name of this server's own domain: it is not resolved" in line.getMessage()
    assert await look_up(ours | {"agent.example"}, ["mesos"]) == {"agent.example": packed("192.0.2.1")}


async def test_what_a_search_list_or_an_alias_leads_to_an_own_domain_is_not_believed(resolver, caplog):
    resolver.table = {"marathon": ["192.0.2.1"], "node1": ["192.0.2.2"]}
    resolver.leads_to = {"marathon": "marathon.mesos", "node1": "node1.corp.example"}
    with looking(resolver, own=["mesos"]) as it:
        it.lookup.want({"marathon"})
        await it.until_asked("marathon")
        it.lookup.want({"marathon", "node1"})
        assert await it.find("node1") == [packed("192.0.2.2")]
    assert "marathon" not in it.found
    assert "it leads to marathon.mesos, a name of this server's own domain" in caplog.text


# --- again and again ---------------------------------------------------------------------------


async def test_a_host_is_looked_up_again_after_a_while(resolver):
    resolver.table["moving"] = ["192.0.2.1"]
    with looking(resolver, refresh=0.01) as it:
        it.lookup.want({"moving"})
        await it.find("moving")
        resolver.table["moving"] = ["192.0.2.2"]
        await it.until(lambda: it.found["moving"] == packed("192.0.2.2"))


async def test_what_nobody_wants_any_more_is_not_looked_up_again(resolver):
    resolver.table |= {"old": ["192.0.2.1"], "new": ["192.0.2.2"]}
    with looking(resolver, refresh=0.01) as it:
        it.lookup.want({"old", "new"})
        await it.find("old", "new")
        it.lookup.want({"new"})
        it.reports.clear()
        await it.until(lambda: len(it.reports) >= 3)
        before = resolver.asked["old"]
        await it.until(lambda: len(it.reports) >= 6)
        assert resolver.asked["old"] == before


async def test_wanting_the_same_again_looks_nothing_up(resolver):
    resolver.table |= {"a": ["192.0.2.1"], "b": ["192.0.2.2"]}
    with looking(resolver) as it:
        it.lookup.want({"a"})
        await it.find("a")
        it.lookup.want({"a"})
        it.lookup.want({"a", "b"})
        await it.find("b")
    assert resolver.asked == {"a": 1, "b": 1}


async def test_a_host_that_is_wanted_again_is_looked_up_at_once(resolver):
    resolver.table |= {"a": ["192.0.2.1"]}
    with looking(resolver) as it:
        it.lookup.want({"a"})
        await it.find("a")
        it.lookup.want(set())
        it.found.clear()
        it.lookup.want({"a"})
        await it.find("a")


async def test_what_is_wanted_before_the_start_is_looked_up_then(resolver):
    resolver.table |= {"a": ["192.0.2.1"]}
    it = Looking(resolver, 3600.0)
    it.lookup.want({"a"})
    it.lookup.start()
    await it.find("a")
    it.lookup.stop()


# --- failures ----------------------------------------------------------------------------------


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


# --- the end -----------------------------------------------------------------------------------


async def test_after_stop_nothing_is_reported(resolver):
    resolver.table["late"] = ["192.0.2.1"]
    late = resolver.hang("late")
    with looking(resolver) as it:
        it.lookup.want({"late"})
        async with asyncio.timeout(PATIENCE):
            while not resolver.asked["late"]:  # noqa: ASYNC110 - it is a thread that counts
                await asyncio.sleep(0.001)
    late.set()
    async with asyncio.timeout(PATIENCE):
        while resolver.busy:  # noqa: ASYNC110 - it is a thread that ends
            await asyncio.sleep(0.001)
    await asyncio.sleep(0)
    assert it.found == {}


STUCK = """
import asyncio, socket, threading, time
from mesos_dns.mesos import hosts

asked = threading.Event()

def stuck(*_, **__):
    asked.set()
    time.sleep(60)

socket.getaddrinfo = stuck

async def main():
    lookup = hosts.HostLookup(print)
    lookup.want({"host"})
    lookup.start()
    while not asked.is_set():
        await asyncio.sleep(0.001)
    lookup.stop()

asyncio.run(main())
"""


def test_a_look_up_that_hangs_does_not_keep_the_program_from_ending():
    done = subprocess.run(
        [sys.executable, "-c", STUCK],
        env={"PYTHONPATH": ":".join(sys.path)},
        timeout=30,
        capture_output=True,
        check=True,
    )
    assert (done.stdout, done.stderr) == (b"", b"")


# --- once --------------------------------------------------------------------------------------


async def test_look_up_once(resolver):
    resolver.table |= {"a": ["192.0.2.1"], "b": ["2001:db8::1", "192.0.2.2"]}
    found = await look_up({"a", "b", "nobody"})
    assert found == {"a": packed("192.0.2.1"), "b": packed("192.0.2.2", "2001:db8::1")}
    assert await look_up(set()) == {}


async def test_look_up_once_is_bounded(resolver, monkeypatch):
    monkeypatch.setattr(hosts, "HOST_LOOKUP_THREADS", 2)
    names = {f"host-{n}" for n in range(20)}
    resolver.table = {name: ["192.0.2.1"] for name in names}
    assert (await look_up(names)).keys() == names
    assert resolver.busiest <= 2


async def test_this_machine():
    assert b"\x7f\0\0\1" in (await look_up({"localhost"}))["localhost"]
