"""Control under reloads, failures and signals. Sockets, workers and HTTP are real, sources are scripted."""

import asyncio
import contextlib
import dataclasses
import gc
import os
import signal
import time
import weakref
from itertools import pairwise

import pytest
from msgspec.structs import replace
from tests.names.test_reconciler import state
from tests.scripted import CONFIG, PATIENCE, WITH_WORKER, children, listens, taken_port

from mesos_dns import control as module
from mesos_dns import generation
from mesos_dns.certificates import Certificate, KeyPair
from mesos_dns.config import ConfigError, Problem
from mesos_dns.dns import name as names
from mesos_dns.dns import rdata as rd
from mesos_dns.mesos.source import SourceStatus
from mesos_dns.mesos.state import Endpoint
from mesos_dns.sockets import BindError, Sockets
from mesos_dns.workers import rotation
from mesos_dns.workers.pool import WorkerPool
from mesos_dns.workers.spawner import present_niceness

# --- start and end -----------------------------------------------------------------------------


async def test_it_is_ready_when_the_first_state_is_served_by_all_workers(running):
    await running.start(dataclasses.replace(WITH_WORKER, workers=2))
    assert running.generation.ready()[0] is False
    assert running.generation.ready()[1][0] == "no state of the cluster yet"
    whys = running.generation.ready()[1][1:]
    assert whys == ["worker 0 is not running", "worker 1 is not running"]
    running.sources[0].shows(state())
    await running.serving()
    assert running.generation.ready() == (True, [])
    assert running.addresses("marathon.mesos") == ["10.2.0.1"]
    assert running.addresses("ns1.mesos") == ["127.0.0.1"]
    assert [[*handle.serving.values()] for handle in running.generation.pool.workers] == [
        [running.generation.zone.serial]
    ] * 2


async def test_why_there_is_no_state_yet_is_said(running):
    await running.start()
    running.sources[0].status = SourceStatus(last_error="master 10.0.0.1:5050: connection refused")
    assert running.generation.ready()[1] == ["no state of the cluster yet: master 10.0.0.1:5050: connection refused"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_it_ends_and_leaves_nothing(running, number):
    await running.start(WITH_WORKER)
    running.sources[0].shows(state())
    await running.serving()
    dns, http = running.listeners.sockets.port, running.http_port
    assert listens(dns)
    assert listens(http)
    await running.end(number)
    assert not listens(dns)
    assert not listens(http)
    assert children() == set()
    assert running.sources[0].closed.is_set()


async def test_it_can_be_ended_before_the_first_state(running):
    await running.start(WITH_WORKER)
    await running.end()
    assert children() == set()


async def test_it_serves_on_while_it_says_that_it_ends(running):
    await running.start(dataclasses.replace(WITH_WORKER, lame_duck_seconds=1))
    running.sources[0].shows(state())
    await running.serving()
    os.kill(os.getpid(), signal.SIGTERM)
    await running.said("ending in 1 s; until then /readyz says no, and all is answered")
    assert running.generation.ready() == (False, ["this server ends: ask another one"])
    assert listens(running.listeners.sockets.port)
    await running.said("ending")
    await asyncio.wait_for(running.task, PATIENCE)
    assert children() == set()


async def test_ctrl_c_does_not_wait(running):
    await running.start(dataclasses.replace(CONFIG, lame_duck_seconds=600))
    await running.end(signal.SIGINT)


async def test_without_dns_there_are_no_sockets_and_without_http_no_server(running):
    await running.start(CONFIG)
    assert running.listeners.sockets.pairs == []
    assert str(running.listeners).startswith("DNS off, HTTP 127.0.0.1 port ")
    running.reload(dataclasses.replace(WITH_WORKER, http_on=False))
    await running.pending()
    port = running.http_port
    running.sources[1].shows(state())
    await running.in_force()
    assert running.listeners.web is None
    assert not listens(port)
    assert str(running.listeners) == f"DNS 127.0.0.1 port {running.listeners.sockets.port} (1 workers), HTTP off"
    running.reload(CONFIG)
    await running.pending()
    port = running.listeners.sockets.port
    running.sources[2].shows(state())
    await running.in_force()
    assert running.listeners.sockets.pairs == []
    assert not listens(port)
    assert listens(running.http_port)


async def test_a_start_without_its_port_fails_and_leaves_nothing(running):
    with taken_port() as port:
        with pytest.raises(BindError, match=f"cannot listen on TCP 127.0.0.1 port {port}"):
            await running.control.run(dataclasses.replace(WITH_WORKER, port=port))
        with pytest.raises(BindError, match=f"cannot serve HTTP: .*{port}"):
            await running.control.run(dataclasses.replace(WITH_WORKER, http_port=port))
    assert running.sources == []
    assert children() == set()


# --- what HTTP reads ---------------------------------------------------------------------------


async def test_what_the_http_api_reads(running):
    await running.start()
    running.sources[0].shows(state())
    await running.serving()
    it = running.generation
    assert (it.domain, it.mname, it.rname) == ("mesos", "ns1.mesos.", "root.ns1.mesos.")
    assert (it.refresh_seconds, it.enumeration_on) == (CONFIG.refresh_seconds, True)
    assert it.config_json()["SOASerial"] == it.zone.serial
    assert it.config_json()["Masters"] == ["127.0.0.1:5050"]
    assert it.notes() == []
    assert it.counters()['zone_changes{zone="mesos."}'] == 1
    assert it.status()["counters"]["source_failures"] == 0
    agents = names.from_text("slave.mesos"), rd.A
    assert not it.is_shared((*agents, bytes((10, 1, 0, 0))))
    assert repr(running.control) == f"Control(Generation({it.publisher!r}, WorkerPool([])))"


# --- reload ------------------------------------------------------------------------------------


async def test_a_reload_replaces_the_generation_when_the_new_one_serves(running):
    await running.start(WITH_WORKER)
    running.sources[0].shows(state())
    await running.serving()
    old, port, http = running.generation, running.listeners.sockets.port, running.http_port
    old_workers = children()
    serial = old.zone.serial
    running.warnings = ("TTL (file x): is small",)
    running.reload(dataclasses.replace(WITH_WORKER, ttl=7, domain="cluster", workers=2))
    assert await running.said("configuration:") == "configuration: TTL (file x): is small"
    await running.pending()
    assert running.generation is old
    assert running.sources[1].options.masters == (Endpoint("127.0.0.1", 5050),)
    running.sources[1].shows(state())
    await running.in_force()
    assert running.generation is not old
    assert running.generation.ready() == (True, [])
    assert running.generation.zone.authority.ttl == 7
    assert running.addresses("marathon.cluster") == ["10.2.0.1"]
    assert running.generation.zone.serial > serial
    assert (running.listeners.sockets.port, running.http_port) == (port, http)
    assert len(running.listeners.sockets.pairs) == 2
    assert not old_workers & children()
    assert running.sources[0].closed.is_set()


async def test_cookies_stay_right_through_a_reload_as_long_as_this_process_makes_the_secrets(running):
    await running.start()
    running.sources[0].shows(state())
    await running.serving()
    made = running.generation.made_secrets
    configured = dataclasses.replace(CONFIG, cookie_secrets=("ab" * 16,))
    for n, (config, expected) in enumerate([(CONFIG, made), (configured, None), (CONFIG, ...)], 1):
        running.reload(config)
        await running.pending()
        running.sources[n].shows(state())
        await running.in_force()
        assert expected is ... or running.generation.made_secrets == expected
    assert running.generation.made_secrets not in (None, made)
    running.reload(dataclasses.replace(CONFIG, cookies_on=False))
    await running.pending()
    running.sources[4].shows(state())
    await running.in_force()
    assert running.generation.made_secrets is None


async def test_secrets_of_cookies_take_turns_and_all_workers_are_told(running, monkeypatch):
    monkeypatch.setattr(rotation, "SECRET_SECONDS", 0.01)
    told = asyncio.Queue()
    monkeypatch.setattr(WorkerPool, "use_cookies", lambda _, cookies: told.put_nowait(cookies.secrets))
    await running.start()
    turns = [running.generation.made_secrets.cookies.secrets]
    async with asyncio.timeout(PATIENCE):
        turns += [await told.get() for _ in range(3)]
    for before, after in pairwise(turns):
        assert (after[0], after[2]) == (before[1], before[0])
    assert len({secret for turn in turns for secret in turn}) == 5


async def test_fewer_workers_leave_no_socket_behind(running):
    await running.start(dataclasses.replace(WITH_WORKER, workers=2))
    running.sources[0].shows(state())
    await running.serving()
    running.reload(WITH_WORKER)
    await running.pending()
    running.sources[1].shows(state())
    await running.in_force()
    assert len(running.listeners.sockets.pairs) == 1
    assert len(children()) == 1


async def test_a_reload_to_other_ports_closes_the_old_ones(running):
    await running.start(WITH_WORKER)
    running.sources[0].shows(state())
    await running.serving()
    dns, http = running.listeners.sockets.port, running.http_port
    running.reload(dataclasses.replace(WITH_WORKER, listener="127.0.0.2", http_listener="127.0.0.2"))
    await running.pending()
    assert listens(dns)
    assert listens(http)
    running.sources[1].shows(state())
    await running.in_force()
    assert not listens(dns)
    assert not listens(http)
    assert running.listeners.web.address[0] == "127.0.0.2"


async def test_a_bad_configuration_keeps_the_generation(running):
    await running.start()
    running.sources[0].shows(state())
    await running.serving()
    before = running.generation, running.listeners
    problem = Problem("TTL", "file x", "is -1, must be 0 to 2147483647")
    running.reload(ConfigError((problem,)))
    line = await running.said("the new configuration is not taken, the old one stays")
    assert str(problem) in line
    assert (running.generation, running.listeners) == before
    running.sources[0].shows(state(agents=["A-0"]))
    await running.said("state taken")
    assert running.addresses("slave.mesos") == ["10.1.0.0"]


async def test_a_reload_that_cannot_bind_dns_keeps_the_generation(running):
    await running.start(WITH_WORKER)
    before = running.generation, running.listeners
    with taken_port() as port:
        running.reload(dataclasses.replace(WITH_WORKER, port=port, workers=2))
        line = await running.said("the new configuration is not taken, the old one stays")
    assert f"cannot listen on TCP 127.0.0.1 port {port}" in line
    assert (running.generation, running.listeners) == before
    assert len(running.sources) == 1


async def test_a_reload_that_cannot_bind_http_lets_go_of_its_dns_sockets(running):
    await running.start(WITH_WORKER)
    before = running.generation, running.listeners
    opened = []
    with taken_port() as port, pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "Sockets", lambda *args, **more: opened.append(Sockets(*args, **more)) or opened[-1])
        running.reload(dataclasses.replace(WITH_WORKER, http_port=port, workers=3))
        assert "cannot serve HTTP" in await running.said("the old one stays")
        assert len(running.listeners.sockets.pairs) == 1
        running.reload(dataclasses.replace(WITH_WORKER, http_port=port, listener="127.0.0.2"))
        assert "cannot serve HTTP" in await running.said("the old one stays")
    assert (running.generation, running.listeners) == before
    assert [sockets.pairs for sockets in opened] == [[]]


async def test_a_newer_reload_replaces_one_that_waits(running):
    await running.start(WITH_WORKER)
    running.sources[0].shows(state())
    await running.serving()
    running.reload(dataclasses.replace(WITH_WORKER, ttl=1, workers=2, http_listener="127.0.0.2"))
    await running.pending()
    running.reload(dataclasses.replace(WITH_WORKER, ttl=2))
    await running.pending()
    assert running.sources[1].closed.is_set()
    running.sources[2].shows(state())
    await running.in_force()
    assert running.generation.plan.zones[0].ttl == 2
    assert len(running.listeners.sockets.pairs) == 1
    assert running.listeners.web.address[0] == "127.0.0.1"
    assert len(children()) == 1


async def test_of_many_reloads_at_once_the_last_counts(running):
    """The first is still being taken down while the third is asked for: they must not meet at the sockets."""
    await running.start(WITH_WORKER)
    running.sources[0].shows(state())
    await running.serving()
    running.reload(dataclasses.replace(WITH_WORKER, workers=2, ttl=1))
    await running.pending()
    running.configs = [dataclasses.replace(WITH_WORKER, workers=2, ttl=2)]
    for _ in range(3):
        signal.raise_signal(signal.SIGHUP)
        await asyncio.sleep(0.001)  # signals of one kind that come at once are one signal
    await running.pending()
    running.sources[-1].shows(state())
    await running.in_force()
    assert running.generation.plan.zones[0].ttl == 2
    assert running.configs == []
    assert len(running.listeners.sockets.pairs) == 2
    assert [handle.is_serving for handle in running.generation.pool.workers] == [True, True]
    assert len(children()) == 2


async def test_a_reload_that_is_asked_for_while_another_binds_its_sockets(running, monkeypatch):
    await running.start()
    running.sources[0].shows(state())
    await running.serving()
    start = module.HttpServer.start

    async def slowly(self, *address):
        if address[0] == "127.0.0.2":
            running.reload(dataclasses.replace(CONFIG, ttl=2))
            for _ in range(5):
                await asyncio.sleep(0)
        await start(self, *address)

    monkeypatch.setattr(module.HttpServer, "start", slowly)
    running.reload(dataclasses.replace(CONFIG, ttl=1, http_listener="127.0.0.2"))
    for _ in range(2):
        await running.pending()
    running.sources[-1].shows(state())
    await running.in_force()
    assert running.generation.plan.zones[0].ttl == 2


async def test_a_reload_while_the_old_generation_drains_leaves_nothing_of_it(running):
    await running.start(WITH_WORKER)
    running.sources[0].shows(state())
    await running.serving()
    old, dns, http = running.generation, running.listeners.sockets.port, running.http_port
    stopped = old.pool.workers[0].pid
    os.kill(stopped, signal.SIGSTOP)  # its worker takes its time
    running.reload(dataclasses.replace(WITH_WORKER, listener="127.0.0.2", http_listener="127.0.0.2"))
    await running.pending()
    running.sources[1].shows(state())
    async with asyncio.timeout(PATIENCE):
        while running.generation is old:  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.001)
    running.reload(dataclasses.replace(WITH_WORKER, listener="127.0.0.2", http_listener="127.0.0.2", ttl=3))
    await asyncio.sleep(0.01)
    with contextlib.suppress(ProcessLookupError):  # On a busy machine it has been replaced by now.
        os.kill(stopped, signal.SIGCONT)
    await running.pending()
    running.sources[2].shows(state())
    await running.in_force()
    assert running.generation.plan.zones[0].ttl == 3
    assert not listens(dns)
    assert not listens(http)
    assert len(children()) == 1


async def test_it_can_be_ended_while_a_reload_waits(running):
    await running.start(WITH_WORKER)
    running.sources[0].shows(state())
    await running.serving()
    running.reload(dataclasses.replace(WITH_WORKER, listener="127.0.0.2", http_listener="127.0.0.2"))
    await running.pending()
    await running.end()
    assert children() == set()
    assert all(source.closed.is_set() for source in running.sources)


async def test_a_replaced_generation_leaves_the_memory(running):
    await running.start(WITH_WORKER)
    running.sources[0].shows(state())
    await running.serving()
    old = weakref.ref(running.generation), weakref.ref(running.generation.zone), weakref.ref(running.generation.model)
    running.reload(WITH_WORKER)
    await running.pending()
    running.sources[1].shows(state())
    await running.in_force()
    running.sources.clear()
    await asyncio.sleep(0)
    gc.collect()
    assert [each() for each in old] == [None, None, None]


async def test_it_gives_way_to_its_workers_once_they_serve(running, monkeypatch):
    given = asyncio.Queue()
    monkeypatch.setattr(module, "lower_priority", given.put_nowait)
    running.control._niceness = 5
    await running.start()
    assert given.empty()
    running.sources[0].shows(state())
    async with asyncio.timeout(PATIENCE):
        assert await given.get() == 5


async def test_it_gives_way_also_if_only_its_second_configuration_comes_to_serve(running, monkeypatch):
    given = []
    monkeypatch.setattr(module, "lower_priority", given.append)
    await running.start()
    running.reload(CONFIG)
    await running.pending()
    assert given == []
    running.sources[1].shows(state())
    await running.in_force()
    assert given == [present_niceness()]


# --- what a generation takes over --------------------------------------------------------------


async def test_a_failover_goes_on_over_a_reload(running):
    await running.start()
    running.sources[0].shows(state())
    await running.serving()
    everything = set(running.generation.zone)
    running.sources[0].shows(state("m2", [], []))
    await running.said("state taken")
    running.reload(dataclasses.replace(CONFIG, ttl=7))
    await running.pending()
    running.sources[1].shows(state("m2", [], []))
    await running.in_force()
    assert set(running.generation.zone) == everything


async def test_other_masters_are_another_cluster(running):
    await running.start()
    running.sources[0].shows(state())
    await running.serving()
    running.reload(dataclasses.replace(CONFIG, masters=("127.0.0.9:5050",)))
    await running.pending()
    running.sources[1].shows(state("m2", ["A-0"], []))
    await running.in_force()
    assert running.addresses("slave.mesos") == ["10.1.0.0"]
    assert running.addresses("marathon.mesos") == []


async def test_hosts_are_looked_up_in_the_background(running, monkeypatch):
    wanted = asyncio.Queue()

    class Lookup(generation.HostLookup):
        def want(self, hosts):
            wanted.put_nowait(hosts)
            if hosts:
                self._on_found(dict.fromkeys(hosts, (b"\x0a\0\0\7",)))

    monkeypatch.setattr(generation, "HostLookup", Lookup)
    await running.start()
    named = state()
    agent = replace(named.agents["A-0"], host="agent.example")
    running.sources[0].shows(replace(named, agents={"A-0": agent}))
    await running.serving()
    assert await wanted.get() == {"agent.example"}
    async with asyncio.timeout(PATIENCE):
        while running.addresses("slave.mesos") != ["10.0.0.7"]:  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.001)


# --- a certificate -----------------------------------------------------------------------------


async def test_a_certificate_that_ends_is_told_of_again_and_again(running, monkeypatch):
    monkeypatch.setattr(generation, "CERTIFICATE_SECONDS", 0.05)
    ending = Certificate(KeyPair(b"", b""), "/own.pem", 0.0, time.time() + 86_000)
    await running.start(dataclasses.replace(CONFIG, certificate=ending))
    for _ in range(2):
        assert "TLS: the certificate in /own.pem expires in 1 day, on " in await running.said("TLS: the certificate")
    told = running.generation.status()["certificate"]
    assert (told["file"], told["until"]) == ("/own.pem", int(ending.until))
    assert told["trouble"] in running.generation.notes()


async def test_without_workers_nobody_answers_what_comes_over_https(running):
    await running.start(CONFIG)
    assert await running.generation.ask(b"x", b"\x7f\0\0\1") is None
    assert running.generation.status()["certificate"] is None
