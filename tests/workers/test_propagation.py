"""A change is served when the last worker that answers says so."""

import pytest

from mesos_dns.workers import propagation as module
from mesos_dns.workers.propagation import Propagation

APEX, OTHER = b"\5mesos\0", b"\5other\0"


def seconds(it):
    return sum(it.seconds.counts), it.seconds.total


def test_the_last_worker_counts():
    it = Propagation()
    it.acknowledged(APEX, 0, 9, 0.0)
    it.acknowledged(APEX, 1, 9, 0.0)
    it.published(APEX, 10, begun=1.0)
    it.acknowledged(APEX, 0, 10, 1.25)
    assert seconds(it) == (0, 0.0)
    it.acknowledged(APEX, 1, 10, 1.5)
    assert seconds(it) == (1, 0.5)


def test_a_later_serial_is_as_good_and_zones_are_apart():
    it = Propagation()
    it.acknowledged(OTHER, 0, 99, 0.0)
    for serial in (10, 11, 12):
        it.published(APEX, serial, begun=1.0)
    it.acknowledged(APEX, 0, 11, 2.0)
    assert seconds(it) == (2, 2.0)
    assert repr(it) == "Propagation(waiting=1)"


def test_what_is_served_before_it_is_told_of_counts():
    it = Propagation()
    it.acknowledged(APEX, 0, 10, 1.5)
    it.published(APEX, 10, begun=1.0)
    assert seconds(it) == (1, 0.5)


def test_nobody_waits_for_a_worker_that_is_gone():
    it = Propagation()
    it.acknowledged(APEX, 0, 9, 0.0)
    it.acknowledged(APEX, 1, 9, 0.0)
    it.published(APEX, 10, begun=1.0)
    it.gone(1)
    it.acknowledged(APEX, 0, 10, 2.0)
    assert seconds(it) == (1, 1.0)


def test_serials_wrap():
    it = Propagation()
    it.acknowledged(APEX, 0, 2**32 - 1, 0.0)
    it.published(APEX, 1, begun=1.0)
    assert seconds(it) == (0, 0.0)
    it.acknowledged(APEX, 0, 1, 1.0)
    assert seconds(it) == (1, 0.0)


def test_it_is_bounded(monkeypatch):
    monkeypatch.setattr(module, "_MOST_WAITING", 3)
    it = Propagation()
    for serial in range(10):
        it.published(APEX, serial, begun=0.0)
    assert repr(it) == "Propagation(waiting=3)"


@pytest.mark.parametrize("clock", [5.0, 4.0])
def test_no_time_is_negative(clock):
    it = Propagation()
    it.published(APEX, 1, begun=5.0)
    it.acknowledged(APEX, 0, 1, clock)
    assert seconds(it) == (1, 0.0)
