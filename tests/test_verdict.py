import pytest

from mesos_dns.verdict import EXIT_CODES, STALE_SECONDS, Facts, judge

GOOD = Facts(workers=2, age=5.0, refresh=60.0)
OLD = GOOD._replace(age=60.0 + STALE_SECONDS + 1, failures=7, error="no connection")


def test_all_is_well():
    assert judge(GOOD) == ("ok", True, (), ())


def test_nothing_is_served_without_a_state_or_without_any_worker():
    found = judge(GOOD._replace(no_state=("no state of the cluster yet",), detector=("ZooKeeper is silent",)))
    assert found == ("down", False, ("no state of the cluster yet",), ("no state of the cluster yet",))
    found = judge(GOOD._replace(worker_troubles=("worker 0 is not running", "worker 1 is not running")))
    assert (found.state, found.ready, len(found.reasons)) == ("down", False, 2)


def test_one_worker_of_several_is_missed_by_some_clients():
    found = judge(GOOD._replace(worker_troubles=("worker 1 is not running",)))
    assert found == ("degraded", False, ("worker 1 is not running",), ("worker 1 is not running",))


def test_whoever_is_about_to_end_sends_clients_elsewhere():
    found = judge(GOOD._replace(leaving=True))
    reason = "this server ends: ask another one"
    assert found == ("degraded", False, (reason,), (reason,))


def test_without_dns_there_are_no_workers_to_miss():
    assert judge(GOOD._replace(workers=0)).state == "ok"


@pytest.mark.parametrize(
    "worse",
    [
        {"detector": ("ZooKeeper has been silent for 3 min",)},
        {"refused": "the new configuration was not taken"},
        {"certificate": "expires in 3 days"},
        {"dead_upstreams": ("10.0.0.1:53",)},
    ],
)
def test_what_is_no_matter_of_readiness(worse):
    found = judge(GOOD._replace(**worse))
    assert (found.state, found.ready, found.reasons) == ("degraded", True, ())
    (text,) = next(iter(worse.values())) if isinstance(next(iter(worse.values())), tuple) else (worse.popitem()[1],)
    assert text in found.problems[0]


def test_old_data_count_while_attempts_fail_and_not_for_a_moment():
    assert judge(OLD).problems == ("the data are 181 s old, the last 7 attempts failed: no connection",)
    assert judge(OLD._replace(age=60.0 + STALE_SECONDS)).state == "ok"
    # A quiet cluster is no old one, however long the pause between two polls is.
    assert judge(OLD._replace(failures=0)).state == "ok"
    assert judge(OLD._replace(age=None)).state == "ok"


def test_each_verdict_has_an_exit_code_of_its_own():
    assert EXIT_CODES == {"ok": 0, "degraded": 1, "down": 2}
