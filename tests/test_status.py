"""The status of a generation whose source does what the test says."""

import dataclasses
import time

from msgspec.structs import replace
from tests.names.test_reconciler import FRAMEWORKS, state
from tests.scripted import CONFIG, WITH_WORKER

from mesos_dns import collision_watch
from mesos_dns.mesos.asked import MasterStatus
from mesos_dns.mesos.source import DetectorStatus, SourceStatus
from mesos_dns.mesos.state import Endpoint, Framework
from mesos_dns.status import shown
from mesos_dns.web.go_json import render

LEADER = Endpoint("10.0.0.1", 5050)


async def test_before_anything_is_known_it_is_down(running):
    await running.start()
    found = shown(running.generation)
    assert (found["verdict"], found["ready"]) == ("down", False)
    assert found["problems"] == found["reasons"] == ["no state of the cluster yet"]
    assert (found["masters"], found["leaders"], found["cluster"]["tasks"]) == ([], [], 0)
    assert render(found)


async def test_all_is_well(running):
    await running.start(WITH_WORKER)
    source = running.sources[0]
    source.shows(state())
    await running.serving()
    source.status = SourceStatus(
        leader=LEADER, last_success=time.monotonic(), masters=(MasterStatus(LEADER, time.monotonic(), 0.5, leads=True),)
    )
    found = shown(running.generation)
    assert (found["verdict"], found["problems"]) == ("ok", [])
    assert found["cluster"]["tasks"] == len(running.generation.model.tasks) > 0
    (master,) = found["masters"]
    assert (master["role"], master["took_us"]) == ("leading", 500_000)
    (worker,) = found["workers"]
    assert worker["serials"] == {"mesos.": running.generation.zone.serial}
    control, its = found["processes"]
    assert (control["process"], its["process"], its["pid"]) == ("control", "worker0", worker["pid"])
    assert min(its["memory"], its["files"], its["started"]) > 0
    assert abs(found["started"] + found["uptime"] - time.time()) < 60
    assert render(found)


async def test_a_source_that_fails_for_long(running):
    await running.start()
    source = running.sources[0]
    source.shows(state())
    await running.serving()
    source.status = SourceStatus(
        last_success=time.monotonic() - 1000,
        failures=9,
        consecutive_failures=9,
        last_error="no\nconnection",
        detector=DetectorStatus("ZooKeeper zk", connected=False, since=time.monotonic() - 300),
    )
    found = shown(running.generation)
    assert (found["verdict"], found["ready"]) == ("degraded", True)
    silent, old = found["problems"]
    assert silent == "ZooKeeper zk has been silent for 5 min: no server answers"
    assert old.startswith("the data are 1000 s old, the last 9 attempts failed: no connection")


async def test_leaders_stay_known_through_a_reload(running):
    await running.start()
    source = running.sources[0]
    twin = Framework("F9", "another")
    source.shows(state("m1"), replace(state("m2"), frameworks={**FRAMEWORKS, "F9": twin}))
    for _ in range(2):
        await running.said("state taken")
    await running.serving()
    started = shown(running.generation)["started"]
    running.reload(dataclasses.replace(CONFIG, ttl=9))
    await running.pending()
    waiting = shown(running.generation)
    assert (waiting["configuration"]["newest"], waiting["verdict"]) == ("waiting", "ok")
    running.sources[1].shows(replace(state("m3"), cluster="blue"))
    await running.in_force()
    found = shown(running.generation)
    assert [each["id"] for each in found["leaders"]] == ["m1", "m2", "m3"]
    assert found["leaders"][-1]["cluster"] == "blue"
    assert found["counters"]["leader_changes"] == 2
    assert (found["started"], found["configuration"]["newest"]) == (started, "in force")


async def test_a_configuration_that_was_refused(running):
    await running.start()
    running.sources[0].shows(state())
    await running.serving()
    running.reload(dataclasses.replace(CONFIG, http_port=running.http_port, http_listener="192.0.2.1"))
    await running.said("the new configuration is not taken")
    found = shown(running.generation)
    assert (found["verdict"], found["ready"], found["configuration"]["newest"]) == ("degraded", True, "refused")
    assert "cannot serve HTTP" in found["configuration"]["reason"]
    assert found["problems"][0].startswith("the new configuration was not taken, the one before stays: ")


async def test_names_that_collide_are_told_everywhere(running, monkeypatch):
    monkeypatch.setattr(collision_watch, "COLLISION_SECONDS", 0.01)
    await running.start()
    first = state()
    running.sources[0].shows(first)
    await running.serving()
    assert shown(running.generation)["collisions"]["shown"] == []
    twin = Framework("F9", "slave")
    running.sources[0].shows(replace(first, frameworks={**FRAMEWORKS, "F9": twin}))
    line = await running.said("names that collide (reserved): 1, for example slave.mesos. of framework 'slave' ('F9')")
    assert line.endswith("('F9')")
    found = shown(running.generation)["collisions"]
    assert found["counts"] == {"applications": 0, "frameworks": 0, "nested": 0, "reserved": 1}
    assert found["shown"] == [
        {"kind": "reserved", "name": "slave.mesos.", "sharers": ["framework 'slave' ('F9')"], "more": 0}
    ]
    hidden = replace(running.generation.plan, shown=replace(running.generation.plan.shown, enumeration_on=False))
    monkeypatch.setattr(running.generation, "plan", hidden)
    assert shown(running.generation)["collisions"] == {**found, "shown": []}
    assert running.generation.measured()[1]['name_collisions{kind="reserved"}'] == 1
