"""Which query logs are kept: switched on and off, for a time, and looked at by some."""

import asyncio

import pytest
from tests.integration.program import until

from mesos_dns import query_logs as module
from mesos_dns.dns import name as names
from mesos_dns.query_logs import (
    MAX_FOLLOWERS,
    MOST_FOLLOWED,
    NoDestinationError,
    QueryLogPlan,
    QueryLogs,
    TooManyError,
)
from mesos_dns.querylog.destination import Destination
from mesos_dns.querylog.logs import QueryLog, parcels
from mesos_dns.querylog.selection import Selection

CONFIGURED = Selection(rcodes=(3,))
OTHER = Selection(names=(names.from_text("web.mesos"),))


class Workers:
    """What workers were told to keep, each time."""

    def __init__(self):
        self.kept = []

    def keep(self, logs):
        self.kept.append(list(logs))


@pytest.fixture
def workers():
    return Workers()


@pytest.fixture
def plan(tmp_path):
    return QueryLogPlan(Destination(False, False, f"{tmp_path}/q.json"), True, CONFIGURED, 1024 * 1024)


def records(number, *lines):
    ((_, parcel),) = parcels(number, lines)
    return parcel


def test_without_a_destination_there_is_no_log(workers):
    logs = QueryLogs(QueryLogPlan(), workers.keep)
    assert logs.kept == []
    assert logs.state() == ("", False, None, 0, 0, "")
    with pytest.raises(NoDestinationError):
        logs.switch_on(OTHER, 60)
    logs.switch_off()
    assert workers.kept == []


def test_what_is_configured_is_kept_from_the_start(workers, plan):
    logs = QueryLogs(plan, workers.keep)
    assert logs.kept == [QueryLog(0, False, CONFIGURED)]
    assert logs.state() == (f"json:{plan.destination.path}", True, None, 0, 0, "")


async def test_a_log_may_wait_until_it_is_switched_on(workers, plan, caplog):
    logs = QueryLogs(QueryLogPlan(plan.destination, False, CONFIGURED, 1024), workers.keep)
    assert logs.kept == []
    logs.switch_on(None, 60)
    assert workers.kept == [[QueryLog(0, False, CONFIGURED)]]
    assert logs.state().on
    logs.switch_on(OTHER, 60)
    assert workers.kept[-1] == [QueryLog(0, False, OTHER)]
    logs.switch_off()
    assert workers.kept[-1] == []
    assert (logs.state().on, logs.state().until) == (False, None)
    assert caplog.messages == [f"query log: on for 60 s, to json:{plan.destination.path}"] * 2 + ["query log: off"]
    await logs.stop()


@pytest.mark.parametrize("on", [True, False])
async def test_it_ends_by_itself_and_what_is_configured_counts_again(workers, plan, caplog, on):
    logs = QueryLogs(QueryLogPlan(plan.destination, on, CONFIGURED, 1024), workers.keep)
    logs.switch_on(OTHER, 0.01)
    async with asyncio.timeout(30):
        while logs.state().until is not None:  # noqa: ASYNC110 - nobody is told
            await asyncio.sleep(0.001)
    assert workers.kept == [[QueryLog(0, False, OTHER)], [QueryLog(0, False, CONFIGURED)] if on else []]
    assert caplog.messages[-1] == f"query log: the time is over; it is {'on' if on else 'off'}, as configured"


async def test_a_log_that_was_switched_on_again_does_not_end_with_the_first_time(workers, plan):
    logs = QueryLogs(plan, workers.keep)
    logs.switch_on(OTHER, 3600)
    first = logs._ending
    logs.switch_on(OTHER, 60)
    assert first.cancelled()
    await logs.stop()
    assert logs._ending is None


async def test_what_workers_put_down_is_written(workers, plan, tmp_path):
    logs = QueryLogs(plan, workers.keep)
    logs.take(records(0, b"a\n", b"b\n"))
    logs.take(records(0, b"c\n"))
    await logs.stop()
    assert (tmp_path / "q.json").read_text() == "a\nb\nc\n"
    assert (logs.state().written, logs.dropped) == (3, 0)


async def test_a_file_that_was_moved_away_is_made_anew(workers, plan, tmp_path):
    logs = QueryLogs(plan, workers.keep)
    logs.take(records(0, b"a\n"))
    until(lambda: logs.state().written == 1, logs.state)
    (tmp_path / "q.json").rename(tmp_path / "old")
    logs.renew()
    logs.take(records(0, b"b\n"))
    await logs.stop()
    assert (tmp_path / "q.json").read_text() == "b\n"


async def test_what_cannot_be_written_is_counted(workers):
    logs = QueryLogs(QueryLogPlan(Destination(False, False, "/nowhere/q.json"), most_octets=1), workers.keep)
    logs.take(records(0, b"a\n", b"b\n"))
    until(lambda: logs.dropped == 2, logs.state)
    assert logs.state().trouble == "json:/nowhere/q.json: No such file or directory"
    await logs.stop()


def test_what_is_no_parcel_is_told_once(workers, caplog):
    logs = QueryLogs(QueryLogPlan(), workers.keep)
    for _ in range(3):
        logs.take(b"x")
    assert caplog.messages == ["query log: a worker handed on what is no record"]


# --- those who look on ---------------------------------------------------------------------------


async def test_somebody_looks_on(workers):
    logs = QueryLogs(QueryLogPlan(), workers.keep)
    follower = logs.follow(OTHER)
    assert workers.kept == [[QueryLog(1, False, OTHER)]]
    logs.take(records(1, b"a\n", b"b\n"))
    # What is for nobody, or for somebody who has left.
    logs.take(records(0, b"x\n"))
    logs.take(records(2, b"x\n"))
    assert await follower.lines() == ([b"a", b"b"], 0)
    follower.close()
    follower.close()
    assert workers.kept[-1] == []
    logs.take(records(1, b"late\n"))


async def test_the_main_log_goes_on_beside(workers, plan):
    logs = QueryLogs(plan, workers.keep)
    followers = [logs.follow(OTHER) for _ in range(MAX_FOLLOWERS)]
    assert [each.number for each in workers.kept[-1]] == [1, 2, 3, 4, 0]
    with pytest.raises(TooManyError):
        logs.follow(OTHER)
    followers[1].close()
    assert logs.follow(CONFIGURED).number == 2
    # One that has left does not end another that has its number.
    followers[1].close()
    assert [each.number for each in logs.kept] == [1, 3, 4, 2, 0]


async def test_somebody_who_takes_nothing_loses_what_is_too_much(workers):
    logs = QueryLogs(QueryLogPlan(), workers.keep)
    follower = logs.follow(OTHER)
    line = b"x" * 999 + b"\n"
    for _ in range(300):
        logs.take(records(1, line))
    lines, dropped = await follower.lines()
    assert (len(lines), dropped) == (MOST_FOLLOWED // 1000, 300 - MOST_FOLLOWED // 1000)
    logs.take(records(1, line))
    assert await follower.lines() == ([line[:-1]], 0)


async def test_they_are_told_when_nothing_more_will_come(workers):
    logs = QueryLogs(QueryLogPlan(), workers.keep)
    follower = logs.follow(OTHER)
    waiting = asyncio.ensure_future(follower.lines())
    await asyncio.sleep(0)
    assert not waiting.done()
    await logs.stop()
    assert await waiting == ([], 0)
    assert follower.ended


def test_what_it_looks_like(workers, plan):
    logs = QueryLogs(plan, workers.keep)
    assert repr(logs) == f"QueryLogs(QueryLogWriter({plan.destination}, waiting=0), on=True, followers=0)"
    assert repr(module.Follower(1, OTHER, print)) == "Follower(1, waiting=0)"
