"""What masters and clocks say, judged."""

import pytest

from mesos_dns.mesos.decoding.beginning import Beginning
from mesos_dns.mesos.errors import (
    LoginError,
    MasterTimeoutError,
    NoLeaderError,
    RedirectError,
    UnauthorizedError,
    UnreachableError,
)
from mesos_dns.mesos.source import KnownMasters
from mesos_dns.mesos.state import Endpoint
from mesos_dns.preflight import judging
from mesos_dns.preflight.findings import Level
from mesos_dns.preflight.judging import Asked

ONE, OTHER = Endpoint("10.0.0.1", 5050), Endpoint("10.0.0.2", 5050)
LEADING = Beginning(is_state=True, version="1.11.0", pid=ONE, leader=ONE)
LEADS = Asked(ONE, True, LEADING, 0.05, "1.11.0", 0.2)


def line(outcome, *, version="", listed=True, others=()):
    found = judging.masters([Asked(OTHER, listed, outcome, 0.05, version), *others])[0]
    return found.level, found.found


def test_who_leads_is_told_with_its_version():
    (found,) = judging.masters([LEADS])
    assert (found.level, found.subject, found.found) == (
        Level.OK,
        "10.0.0.1:5050",
        "leads; Mesos 1.11.0, answered in 50 ms",
    )


@pytest.mark.parametrize("pid", [OTHER, None])
def test_an_old_master_that_does_not_lead_tells_who_does(pid):
    outcome = Beginning(is_state=True, version="0.28.0", pid=pid, leader=ONE)
    assert line(outcome) == (Level.OK, "does not lead, 10.0.0.1:5050 does; Mesos 0.28.0, answered in 50 ms")
    assert Asked(OTHER, True, outcome, 0.1).points_to == ONE


def test_a_leader_without_a_pid_is_believed_if_others_named_it():
    outcome = Beginning(is_state=True, leader=Endpoint("m1", 5050))
    assert not Asked(OTHER, True, outcome, 0.1).leads
    assert Asked(OTHER, False, outcome, 0.1).leads


@pytest.mark.parametrize(
    ("outcome", "level", "says"),
    [
        (RedirectError(OTHER, ONE, "…"), Level.OK, "points to 10.0.0.1:5050"),
        (RedirectError(OTHER, None, "points to nonsense"), Level.FAIL, "points to nonsense"),
        (NoLeaderError(OTHER, "no leader at the moment"), Level.WARN, "no leader"),
        (UnauthorizedError(OTHER, "mesos", "status 401, realm 'mesos'"), Level.FAIL, "status 401"),
        (LoginError(OTHER, "the login failed"), Level.FAIL, "login"),
        (UnreachableError(OTHER, "no connection: connection refused"), Level.FAIL, "refused"),
        (MasterTimeoutError(OTHER, "nothing came"), Level.FAIL, "nothing came"),
        (Beginning(is_state=False), Level.FAIL, "no state"),
        (Beginning(is_state=True, pid=OTHER), Level.WARN, "names no leader"),
    ],
)
def test_what_comes_of_asking(outcome, level, says):
    found = line(outcome)
    assert found[0] is level
    assert says in found[1]


def test_what_an_error_says_to_do_is_said():
    (found,) = judging.masters(
        [Asked(OTHER, True, UnreachableError(OTHER, "TLS failed; set MesosHTTPSOn to false"), 0.0)]
    )
    assert (found.found, found.advice) == ("TLS failed", "set MesosHTTPSOn to false")
    (found,) = judging.masters([Asked(OTHER, True, UnreachableError(OTHER, "no connection"), 0.0)])
    assert found.advice.startswith("is it running, ")


def test_a_master_that_is_busy_with_its_state_is_no_failure():
    level, found = line(MasterTimeoutError(OTHER, "nothing came"), version="1.9.0")
    assert level is Level.WARN
    assert "answers /version (Mesos 1.9.0)" in found


@pytest.mark.parametrize(
    ("outcome", "level"),
    [
        (UnreachableError(OTHER, "…"), Level.WARN),
        (UnauthorizedError(OTHER, "", "…"), Level.FAIL),
        (Beginning(is_state=False), Level.FAIL),
    ],
)
def test_who_is_away_while_another_leads_is_a_warning(outcome, level):
    assert line(outcome, others=[LEADS])[0] is level


def test_one_must_lead():
    nobody = Asked(OTHER, True, UnreachableError(OTHER, "…"), 0.0)
    second = Asked(OTHER, True, Beginning(is_state=True, pid=OTHER, leader=OTHER), 0.0)
    unnamed = KnownMasters(())
    assert judging.leader([nobody], unnamed).level is Level.FAIL
    assert judging.leader([LEADS, nobody], unnamed).level is Level.OK
    assert judging.leader([LEADS, second], unnamed).level is Level.WARN
    assert judging.leader([LEADS, nobody], KnownMasters((ONE,), ONE)).level is Level.OK
    found = judging.leader([LEADS, nobody], KnownMasters((OTHER,), OTHER))
    assert (found.level, found.expected) == (Level.WARN, "10.0.0.2:5050, which ZooKeeper names")


def test_logging_in_is_told_once():
    failed = Asked(OTHER, True, LoginError(OTHER, "not asked, because status 401"), 0.0)
    assert judging.login([failed, failed], "http://iam/login").level is Level.FAIL
    assert judging.login([LEADS], "http://iam/login").level is Level.OK


@pytest.mark.parametrize(
    ("offsets", "level", "found"),
    [
        ((0.4, -4.9), Level.OK, "agrees with 2 masters within 5 s"),
        ((0.4, None), Level.OK, "agrees with 1 master within 5 s"),
        ((0.4, 7.2), Level.WARN, "7 s ahead of master 10.0.0.2:5050"),
        ((-3600.0, -3599.0), Level.WARN, "3600 s behind master 10.0.0.1:5050, 3599 s behind master 10.0.0.2:5050"),
        ((None, None), Level.WARN, "no master told the time"),
    ],
)
def test_clocks(offsets, level, found):
    asked = [LEADS._replace(endpoint=each, offset=offset) for each, offset in zip((ONE, OTHER), offsets, strict=True)]
    line = judging.clock(asked)
    assert (line.level, line.found) == (level, found)


def test_if_all_masters_agree_it_is_this_machines_clock():
    asked = [LEADS._replace(endpoint=each, offset=60.0) for each in (ONE, OTHER)]
    assert "set this machine's clock" in judging.clock(asked).advice
    assert "or that master's" in judging.clock(asked[:1]).advice
