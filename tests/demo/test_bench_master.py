import json
import time

import aiohttp
import pytest
from tests.demo.streaming import subscribed

from mesos_dns.demo import http, v1, v1_document, wire
from mesos_dns.demo.bench_master import application
from mesos_dns.demo.bench_state import ChangingState
from mesos_dns.demo.releases import LATEST

NOW = 1_700_000_500.0


def state(**changes):
    return ChangingState(**({"seed": 1, "agents": 12, "tasks": 700, "leader": "127.0.0.1:5050"} | changes))


def document(changing):
    return json.loads(b"".join(changing.pieces()))


def tasks(changing):
    return {task["id"]: task for framework in document(changing)["frameworks"] for task in framework["tasks"]}


def test_it_begins_as_the_generated_cluster():
    changing = state()

    assert len(tasks(changing)) == 700
    assert len(document(changing)["slaves"]) == 12
    assert document(changing)["leader"] == "master@127.0.0.1:5050"


def test_a_change_replaces_one_task_by_a_running_one_and_tells_which():
    changing = state()
    before = tasks(changing)

    change = changing.change(NOW)

    after = tasks(changing)
    assert before.keys() - after.keys() == {change["replaces"]}
    assert after.keys() - before.keys() == {change["task_id"]}
    new = after[change["task_id"]]
    assert (new["state"], new["statuses"][-1]["timestamp"], new["slave_id"]) == (
        "TASK_RUNNING",
        NOW,
        change["slave_id"],
    )
    assert change["seq"] == 1
    assert change["addresses"] == [
        entry["ip_address"] for entry in new["statuses"][-1]["container_status"]["network_infos"][0]["ip_addresses"]
    ]


def test_after_many_changes_everything_still_adds_up():
    changing = state()
    for number in range(300):
        changing.change(NOW + number)

    now = tasks(changing)
    assert len(now) == 700
    for agent in document(changing)["slaves"]:
        mine = [task["resources"]["cpus"] for task in now.values() if task["slave_id"] == agent["id"]]
        assert agent["used_resources"]["cpus"] == pytest.approx(sum(mine))


def test_a_document_in_the_course_of_being_sent_does_not_change():
    changing = state()
    pieces = changing.pieces()
    before = b"".join(pieces)

    changing.change(NOW)

    assert b"".join(pieces) == before != b"".join(changing.pieces())


def test_the_same_seed_changes_the_same_tasks():
    one, other = state(), state()

    assert [one.change(NOW) for _ in range(20)] == [other.change(NOW) for _ in range(20)]


def test_without_tasks_nothing_can_change():
    with pytest.raises(ValueError, match="no tasks"):
        state(tasks=0).change(NOW)


async def test_over_http(free_ports):
    (port,) = free_ports(1)
    changing = state()
    listener = http.Listener("127.0.0.1", port, lambda: application(changing, f"127.0.0.1:{port}", compress=True))
    base = f"http://127.0.0.1:{port}"

    async with http.listening([listener]), aiohttp.ClientSession() as session:
        made = [await (await session.post(f"{base}/demo/change")).json() for _ in range(3)]
        told = await (await session.get(f"{base}/demo/changes?after=1")).json()
        assert told == {"seq": 3, "changes": made[1:]}
        for accepted in ("gzip", "identity"):
            async with session.get(f"{base}/master/state", headers={"Accept-Encoding": accepted}) as response:
                assert await response.json() == document(changing)
        assert (await session.get(f"{base}/demo/changes?after=x")).status == 400
        assert (await session.get(f"{base}/demo/change")).status == 404
        plain = {"Accept-Encoding": "identity"}
        assert (await session.head(f"{base}/state", headers=plain)).headers["Content-Length"] == str(
            sum(map(len, changing.pieces()))
        )


async def test_its_stream_tells_each_change_and_when_that_was_written(free_ports):
    (port,) = free_ports(1)
    changing = state()
    listener = http.Listener("127.0.0.1", port, lambda: application(changing, f"127.0.0.1:{port}", compress=False))
    base = f"http://127.0.0.1:{port}"

    async with http.listening([listener]), subscribed(base) as reader, aiohttp.ClientSession() as session:
        first = (await reader.count(2))[0]["subscribed"]["get_state"]
        asked = await (await session.post(f"{base}/api/v1", json={"type": "GET_STATE"})).json()
        assert first == asked["get_state"]
        assert {task["task_id"]["value"] for task in first["get_tasks"]["tasks"]} == set(tasks(changing))
        before = time.monotonic()
        change = await (await session.post(f"{base}/demo/change")).json()
        added, starting, running, killed = (await reader.count(6))[2:]

        assert added["task_added"]["task"]["task_id"]["value"] == change["task_id"]
        assert [event["task_updated"]["state"] for event in (starting, running, killed)] == [
            "TASK_STARTING", "TASK_RUNNING", "TASK_KILLED",
        ]  # fmt: skip
        assert killed["task_updated"]["status"]["task_id"]["value"] == change["replaces"]
        (told,) = (await (await session.get(f"{base}/demo/changes")).json())["changes"]
        assert before < told["written"] < time.monotonic()
        for path in ("/state-summary", "/version"):
            assert (await session.get(base + path)).status == 200
        now = await (await session.post(f"{base}/api/v1", json={"type": "GET_TASKS"})).json()
        assert {task["task_id"]["value"] for task in now["get_tasks"]["tasks"]} == set(tasks(changing))


def test_the_snapshot_of_the_stream_is_what_the_operator_api_says():
    changing = state()
    changing.v1_pieces(b"", b"")
    for number in range(50):
        changing.change(NOW + number)

    told = json.loads(b"".join(changing.v1_pieces(b"", b"")))
    view = changing.view()
    plain = b"".join(v1_document.part("GET_STATE", view, lambda task: wire.dump(v1.task_json(task)), LATEST))
    assert told == json.loads(plain)


def test_the_time_of_writing_is_noted_once_and_for_known_changes_only():
    changing = state()
    for number in range(3):
        changing.change(NOW + number)
    for sequence, at in ((2, 5.0), (2, 6.0), (0, 7.0), (4, 8.0)):
        changing.written(sequence, at)

    assert [change["written"] for change in changing.changes] == [None, 5.0, None]
