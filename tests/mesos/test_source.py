import pytest

from mesos_dns.mesos.source import DetectorStatus, SourceStatus
from mesos_dns.mesos.state import Endpoint

A = Endpoint("10.0.0.11", 5050)


def test_before_the_first_poll_there_is_nothing_to_say():
    assert SourceStatus().notes(100.0) == []


def test_all_is_well():
    status = SourceStatus(leader=A, last_success=100.0, last_error="long over")
    assert status.notes(103.2) == ["state of the cluster: 3 s old, from 10.0.0.11:5050"]


def test_masters_gone_since_then():
    status = SourceStatus(leader=A, last_success=100.0, consecutive_failures=4, last_error="no\nconnection")
    assert status.notes(800.0) == [
        "state of the cluster: 11 min old, from 10.0.0.11:5050",
        "the last 4 polls failed: no connection",
    ]


def test_masters_that_never_answered():
    status = SourceStatus(consecutive_failures=1, last_error="no connection")
    assert status.notes(1.0) == ["the last poll failed: no connection"]


def test_events_that_cannot_be_followed():
    status = SourceStatus(using="events", consecutive_failures=1, last_error="no connection", why="status 401")
    assert status.notes(1.0) == ["the last attempt to follow the events failed: no connection"]
    status = SourceStatus(using="events", leader=A, last_success=0.0, consecutive_failures=4, last_error="none leads")
    assert status.notes(9.0) == [
        "state of the cluster: 9 s old, from 10.0.0.11:5050",
        "the last 4 attempts to follow the events failed: none leads",
    ]


def test_why_the_state_is_polled():
    status = SourceStatus(using="polling", leader=A, last_success=0.0, why="status\n401")
    assert status.notes(1.0)[1:] == ["the state is polled: status 401"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-0.1, "0 s"),
        (0.4, "0 s"),
        (119.4, "119 s"),
        (120, "2 min"),
        (7199, "119 min"),
        (7200, "2 h"),
        (172_799, "47 h"),
        (172_800, "2 days"),
    ],
)
def test_ages(seconds, text):
    status = SourceStatus(leader=A, last_success=1000.0)
    assert status.notes(1000.0 + seconds) == [f"state of the cluster: {text} old, from 10.0.0.11:5050"]


def test_a_detector_that_does_well_is_no_news():
    status = SourceStatus(
        detector=DetectorStatus("ZooKeeper zk://a/mesos", connected=True, since=1.0, masters=3, leader=A)
    )
    assert status.notes(5.0) == []
    assert status.as_json(5.0)["detector"] == {
        "origin": "ZooKeeper zk://a/mesos",
        "connected": True,
        "seconds": 4,
        "masters": 3,
        "leader": "10.0.0.11:5050",
        "trouble": "",
    }
    assert SourceStatus().as_json(5.0)["detector"] is None


def test_a_detector_in_trouble():
    status = DetectorStatus("ZooKeeper zk://a/mesos", connected=False, since=100.0)
    assert status.notes(103.0) == ["ZooKeeper zk://a/mesos has been silent for 3 s: no server answers"]
    status = DetectorStatus(
        "ZooKeeper zk://a/mesos", connected=True, since=100.0, trouble="no master has registered there"
    )
    assert SourceStatus(detector=status).notes(103.0) == ["ZooKeeper zk://a/mesos: no master has registered there"]
