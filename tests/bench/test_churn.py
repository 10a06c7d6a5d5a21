import socket

import pytest
from bench.churn import FRESH, HOLD, Judge

TASK = {
    "framework": "marathon",
    "name": "search",
    "task_id": "search.1234",
    "agent_id": "M-S0",
    "agent": "10.0.0.1",
    "addresses": ["172.16.0.1"],
    "state": "TASK_RUNNING",
    "known": "TASK_RUNNING",
    "lost": False,
}
KEY = "search.1234"
NOBODY = {"leader": "10.0.0.9:5050", "tasks": []}
RUNNING = {"leader": "10.0.0.9:5050", "tasks": [TASK]}


def reply(*addresses):
    """The header of an answer with those addresses, and the addresses."""
    return bytes((0, 1, 0x84, 0 if addresses else 3, 0, 1, 0, len(addresses), 0, 0, 0, 0)) + b"".join(
        socket.inet_aton(each) for each in addresses
    )


THERE, ELSEWHERE, ABSENT = reply("172.16.0.1"), reply("172.16.0.99"), reply()


@pytest.fixture
def judge():
    judge = Judge()
    judge.learn(RUNNING, 0.0)
    return judge


def judged(judge, *replies, at, still_running=True, calm=True):
    judge.judge(KEY, replies, at, still_running=still_running, calm=calm)
    return {kind: count for kind, count in judge.counts.items() if kind != "checks" and count}


def test_a_task_that_the_leader_does_not_know_to_run_is_not_late():
    judge = Judge()
    judge.learn({"leader": "", "tasks": [TASK | {"known": "TASK_STARTING"}]}, 0.0)
    assert judged(judge, ABSENT, ABSENT, at=60.0) == {}
    judge.learn(RUNNING, 60.0)
    assert judged(judge, ABSENT, ABSENT, at=60.0 + FRESH) == {}
    assert judged(judge, ABSENT, ABSENT, at=61.0 + FRESH) == {"late": 1}


def test_a_name_that_comes_and_goes_in_time(judge):
    assert judged(judge, ABSENT, ABSENT, at=1.0) == {}
    assert judged(judge, THERE, THERE, at=1.5) == {}
    judge.learn(NOBODY, 10.0)
    assert judged(judge, THERE, ABSENT, at=10.5) == {}
    assert judged(judge, ABSENT, ABSENT, at=11.0) == {}
    assert (judge.starts, judge.ends, judge.tasks) == ([1.5], [1.0], {})


def test_a_name_that_is_late(judge):
    assert judged(judge, THERE, ABSENT, at=FRESH + 0.1) == {"late": 1}


def test_a_name_is_not_late_while_leaders_change(judge):
    assert judged(judge, THERE, ABSENT, at=FRESH + 0.1, calm=False) == {}


def test_a_name_that_vanishes(judge):
    judged(judge, THERE, THERE, at=1.0)
    assert judged(judge, THERE, ABSENT, at=2.0, calm=False) == {"vanished": 1}
    assert judge.wrong[0].startswith("vanished: Watched(name='search-o8w5g-s0.marathon.mesos'")


def test_a_task_that_ends_while_it_is_asked_for_proves_nothing(judge):
    judged(judge, THERE, THERE, at=1.0)
    assert judged(judge, ABSENT, ABSENT, at=2.0, still_running=False) == {}


def test_an_answer_that_does_not_come(judge):
    judged(judge, THERE, THERE, at=1.0)
    assert judged(judge, THERE, None, at=2.0) == {"unanswered": 1}


def test_another_address(judge):
    assert judged(judge, THERE, ELSEWHERE, at=1.0) == {"another address": 1}


def test_a_name_that_outlives_its_task(judge):
    judged(judge, THERE, THERE, at=1.0)
    judge.learn(NOBODY, 2.0)
    assert judged(judge, THERE, THERE, at=2.0 + HOLD) == {}
    assert judged(judge, THERE, THERE, at=2.1 + HOLD) == {"outlived its task": 1}
