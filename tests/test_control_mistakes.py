"""Control after mistakes of ours. Sockets, workers and HTTP are real, sources are scripted."""

import asyncio
import dataclasses
import gc

from tests.names.test_reconciler import state
from tests.scripted import CONFIG, PATIENCE, WITH_WORKER

from mesos_dns import control as module
from mesos_dns import generation
from mesos_dns.config import ConfigError, Problem


async def test_after_an_internal_error_it_starts_over_and_the_old_names_are_served_meanwhile(running, monkeypatch):
    monkeypatch.setattr(module, "START_OVER_SECONDS", 0.01)
    await running.start(WITH_WORKER)
    running.sources[0].shows(state())
    await running.serving()
    old = running.generation
    running.configs.append(WITH_WORKER)
    running.sources[0].shows(RuntimeError("a mistake"))
    await running.said("following the cluster ended by an internal error: please report it")
    await running.pending()
    assert running.generation is old
    assert running.addresses("marathon.mesos") == ["10.2.0.1"]
    assert old.ready() == (True, [])
    running.sources[1].shows(state())
    await running.in_force()
    assert running.generation is not old


async def test_it_starts_over_again_and_again_if_it_must(running, monkeypatch):
    monkeypatch.setattr(module, "START_OVER_SECONDS", 0.01)
    await running.start()
    running.configs = [CONFIG, ConfigError((Problem("", "file x", "is gone"),)), CONFIG]
    running.sources[0].shows(RuntimeError("the first mistake"))
    await running.pending()
    running.sources[1].shows(RuntimeError("the second mistake"))
    await running.said("the old one stays")
    await running.pending()
    running.sources[2].shows(state())
    await running.in_force()
    assert running.generation.ready() == (True, [])


async def test_it_starts_over_after_a_reload_as_well(running, monkeypatch):
    monkeypatch.setattr(module, "START_OVER_SECONDS", 0.01)
    await running.start()
    running.sources[0].shows(state())
    await running.serving()
    for n in (1, 3):
        running.reload(CONFIG)
        await running.pending()
        running.sources[n].shows(state())
        await running.in_force()
        running.configs.append(CONFIG)
        running.sources[n].shows(RuntimeError("a mistake"))
        await running.said("internal error")
        await running.pending()
        running.sources[n + 1].shows(state())
        await running.in_force()


async def test_a_reload_that_fails_inside_keeps_the_generation(running):
    await running.start()
    running.sources[0].shows(state())
    await running.serving()
    before = running.generation, running.listeners
    running.reload(dataclasses.replace(CONFIG, http_listener="127.0.0.2"))
    await running.pending()
    reload = running.control._reload
    running.sources[1].shows(RuntimeError("a mistake"))
    await asyncio.wait_for(asyncio.wait([reload]), PATIENCE)
    assert (running.generation, running.listeners) == before


async def test_the_collector_is_on_while_the_first_state_is_taken(running, monkeypatch):
    await running.start()
    entered = asyncio.Event()

    async def observe(_self, _observation):
        assert gc.isenabled()
        entered.set()
        await asyncio.sleep(3600)

    monkeypatch.setattr(generation.Publisher, "observe", observe)
    running.sources[0].shows(state())
    await asyncio.wait_for(entered.wait(), PATIENCE)
    await running.end()


async def test_new_addresses_of_this_machine_are_noticed(running, monkeypatch):
    seen = [[b"\x0a\0\0\1"], [b"\x0a\0\0\2"]]
    monkeypatch.setattr(generation, "INTERFACE_SECONDS", 0.001)
    monkeypatch.setattr(generation, "own_addresses", lambda _: seen[0] if len(seen) == 1 else seen.pop(0))
    await running.start()
    running.sources[0].shows(state())
    await running.serving()
    async with asyncio.timeout(PATIENCE):
        while running.addresses("ns1.mesos") != ["10.0.0.2"]:  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.001)
