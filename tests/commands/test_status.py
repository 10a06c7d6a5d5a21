"""The page for people, from what /v1/status says. What a real server says: tests/integration/test_status.py."""

from typing import Any

import pytest

from mesos_dns.commands.status import lines_of, span

NOW = 1_700_000_000.0
STATUS: dict[str, Any] = {
    "version": "0.7.0",
    "verdict": "ok",
    "problems": [],
    "uptime": 7200,
    "configuration": {"from": "/etc/c.json", "taken": NOW - 7200, "newest": "in force", "reason": "", "at": NOW},
    "certificate": None,
    "query_log": {"to": "", "on": False, "until": None, "written": 0, "dropped": 0, "trouble": ""},
    "source": {
        "leader": "10.0.0.1:5050",
        "age": 3,
        "using": "events",
        "live": True,
        "why": "",
        "last_error": "",
        "failures": 0,
        "failures_in_a_row": 0,
        "detector": None,
    },
    "masters": [],
    "leaders": [],
    "cluster": {"tasks": 5, "agents": 2, "frameworks": 1},
    "zones": [{"zone": "mesos.", "serial": 7, "names": 33}],
    "holding": [],
    "left_out": 0,
    "skipped": {},
    "collisions": {"counts": {"applications": 0}, "shown": []},
    "workers": [],
    "upstreams": [],
    "processes": [],
}


def page(**changes: Any) -> list[str]:
    return [*lines_of({**STATUS, **changes}, NOW)]


def test_the_verdict_comes_first():
    assert page()[0] == "OK: names of 5 tasks are served, data 3 s old"
    assert page(verdict="degraded", problems=["this"])[:2] == [
        "DEGRADED: names are served; one thing is not well",
        "  ! this",
    ]
    assert page(verdict="down", problems=["this", "that"])[0] == "DOWN: names are not served; 2 things are not well"


def test_what_is_empty_takes_no_line():
    assert [line[:12].strip() for line in page()[2:]] == ["version", "config", "leader", "cluster", "zone"]


def test_a_query_log_is_shown_if_there_is_one():
    log = STATUS["query_log"] | {
        "to": "json:/q",
        "on": True,
        "written": 7,
        "trouble": "json:/q: No space left on device",
    }
    assert [line for line in page(query_log=log) if line.startswith("query log")] == [
        "query log   on, to json:/q; 7 answers written, 0 dropped; it cannot be written: json:/q: No space left on device"
    ]


def test_what_is_held_left_out_and_skipped():
    held = {"because": "a failover", "agents": 2, "frameworks": 0, "tasks": 7}
    lines = page(holding=[{**held, "seconds": 300}, {**held, "seconds": None}], left_out=3, skipped={"empty label": 4})
    assert lines[-4:] == [
        "held        2 agents, 7 tasks, because a failover; 5 min left at most",
        "held        2 agents, 7 tasks, because a failover; until a state shows them",
        "left out    3 unhealthy tasks",
        "skipped     4: empty label",
    ]


def test_collisions():
    shown = [{"kind": "applications", "name": f"n{n}.mesos.", "sharers": ["one", "two"], "more": n} for n in range(12)]
    lines = page(collisions={"counts": {"applications": 30}, "shown": shown})
    assert lines[-11:-8] == [
        "collision   n0.mesos. of one, two",
        "collision   n1.mesos. of one, two and 1 more",
        "collision   n2.mesos. of one, two and 2 more",
    ]
    assert lines[-1] == "            and 20 more collisions"


def test_long_lists_are_cut_and_columns_aligned():
    leaders = [{"since": NOW - n, "leader": f"10.0.0.{n}:5050", "id": f"m{n}"} for n in range(15)]
    lines = [line for line in page(leaders=leaders) if ":5050 " in line or line.endswith("more")]
    assert len(lines) == 11
    assert lines[0].startswith("led by      2023-11-1")
    assert lines[0].endswith("(14 s ago)  10.0.0.14:5050  m14")
    assert lines[-1] == "            and 5 more"


def test_a_process_that_is_gone_and_a_configuration_that_waits():
    configuration = {**STATUS["configuration"], "newest": "waiting", "at": NOW - 5}
    lines = page(processes=[{"process": "worker0", "pid": 7}], configuration=configuration)
    assert "processes   worker0  pid 7  gone" in lines
    assert any(line.startswith("            a newer one is waiting, ") and "(5 s ago)" in line for line in lines)


def test_an_error_that_is_over_and_one_that_lasts():
    source = {**STATUS["source"], "last_error": "no connection", "failures": 9}
    assert "last error  no connection (over by now; 9 in all)" in page(source=source)
    assert "last error  no connection (4 in a row; 9 in all)" in page(source={**source, "failures_in_a_row": 4})


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (119, "119 s"), (120, "2 min"), (7200, "2 h"), (200_000, "2 days")]
)
def test_lengths_of_time(seconds, text):
    assert span(seconds) == text
