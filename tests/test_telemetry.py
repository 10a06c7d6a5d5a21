"""What control shows of itself, of a generation whose source does what the test says."""

import dataclasses
import time

from msgspec.structs import replace
from tests.names.test_reconciler import FRAMEWORKS, state
from tests.scripted import CONFIG, WITH_WORKER

from mesos_dns import metrics
from mesos_dns.mesos.source import DetectorStatus, SourceStatus
from mesos_dns.mesos.state import Endpoint, Framework


def numbers(running):
    """All numbers; each series must be of something that is declared."""
    declared, found = running.generation.measured()
    for series in found:
        name, labels = metrics.parse(series)
        metric = declared.get(name) or declared[name.rpartition("_")[0]]
        assert labels.keys() - {"le"} == {label for label, _ in metric.labels}, series
    return found


async def test_before_anything_is_known(running):
    await running.start()
    found = numbers(running)
    assert (found["ready"], found["tasks"], found["source_failures"]) == (0, 0, 0)
    assert "data_age_seconds" not in found
    assert not any(series.startswith(("leader_info", "detector")) for series in found)


async def test_what_the_source_says(running):
    await running.start()
    source = running.sources[0]
    source.shows(state())
    await running.serving()
    source.status = SourceStatus(
        leader=Endpoint("10.0.0.1", 5050),
        polls=7,
        failures=3,
        consecutive_failures=2,
        last_success=time.monotonic() - 100,
        last_duration=0.5,
        octets=1000,
        is_live=True,
        using="events",
        skipped={"agent: bad pid": 2},
        detector=DetectorStatus("ZooKeeper", connected=False, since=0.0, masters=3),
    )
    found = numbers(running)
    assert 100 <= found["data_age_seconds"] < 200
    assert (found["source_polls"], found["source_failures"], found["source_failures_in_a_row"]) == (7, 3, 2)
    assert (found["source_live"], found["source_state_bytes"], found["source_state_seconds"]) == (1, 1000, 0.5)
    assert (found['source_using{using="events"}'], found['source_using{using="polling"}']) == (1, 0)
    assert (found["detector_connected"], found["detector_masters"]) == (0, 3)
    assert found['leader_info{leader="10.0.0.1:5050"}'] == 1
    assert found['skipped_event_parts{reason="agent: bad pid"}'] == 2


async def test_leaders_that_change_what_is_held_and_names_that_are_shared(running):
    await running.start()
    source = running.sources[0]
    source.shows(state())
    await running.said("state taken")
    before = numbers(running)
    assert (before["leader_changes"], before['held{kind="agent"}'], before["framework_name_collisions"]) == (0, 0, 0)
    twin = Framework("F9", next(iter(FRAMEWORKS.values())).name)
    source.shows(replace(state("m2", ["A-0"]), frameworks={**FRAMEWORKS, "F9": twin}))
    await running.said("state taken")
    after = numbers(running)
    assert (after["leader_changes"], after["framework_name_collisions"]) == (1, 1)
    assert after['held{kind="agent"}'] == 2
    assert after['zone_changes{zone="mesos."}'] == 2


async def test_what_is_counted_stays_through_a_reload(running):
    await running.start()
    running.sources[0].shows(state())
    await running.serving()
    running.sources[0].status = SourceStatus(polls=5, failures=4)
    before = numbers(running)
    running.reload(dataclasses.replace(CONFIG, ttl=9))
    await running.pending()
    assert numbers(running)["config_waiting"] == 1
    running.sources[1].shows(state())
    await running.in_force()
    after = numbers(running)
    assert (after["source_polls"], after["source_failures"], after["config_waiting"]) == (5, 4, 0)
    counted = running.generation.counters()
    assert {series for series in counted if before.get(series, 0) > after[series]} == set()
    assert after['zone_changes{zone="mesos."}'] > before['zone_changes{zone="mesos."}']


async def test_parts_of_a_state_that_are_of_no_use(running):
    await running.start()
    running.sources[0].shows(replace(state(), skipped={"task: no id": 3}))
    await running.serving()
    assert numbers(running)['skipped_state_parts{reason="task: no id"}'] == 3


async def test_workers_and_processes(running):
    await running.start(WITH_WORKER)
    running.sources[0].shows(state())
    await running.serving()
    found = numbers(running)
    assert found['worker_up{worker="0"}'] == 1
    assert found['worker_serial{worker="0",zone="mesos."}'] == running.generation.zone.serial
    assert found['process_resident_memory_bytes{process="control"}'] > 0
    assert found['process_resident_memory_bytes{process="worker0"}'] > 0
    assert found["change_propagation_seconds_sum"] >= 0
