"""Looking up the host names of states: a resolver that is slow or stuck must never be waited for."""

import asyncio
import subprocess
import sys

import pytest
from tests.mesos.looking import PATIENCE, Looking, looking, packed

from mesos_dns.mesos import hosts
from mesos_dns.mesos.hosts import look_up

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
