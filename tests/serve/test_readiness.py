"""Both pollers tell the same."""

import select
import socket
import sys

import pytest

from mesos_dns.serve.readiness import GONE, READ, WRITE, SelectorPoller, has_input, poller


@pytest.fixture(params=[poller, SelectorPoller])
def polling(request):
    polling = request.param()
    yield polling
    polling.close()
    assert polling.closed


def test_what_is_ready_and_stays_so(polling):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        fd = ours.fileno()
        polling.register(fd, READ)
        assert polling.poll(0, 10) == []
        assert not select.select([polling.fileno()], [], [], 0)[0]
        theirs.send(b"x")
        assert select.select([polling.fileno()], [], [], 0)[0]
        assert polling.poll(0, 10) == [(fd, READ)]
        assert polling.poll(0, 10) == [(fd, READ)]
        polling.modify(fd, WRITE)
        assert polling.poll(0, 10) == [(fd, WRITE)]
        polling.modify(fd, 0)
        assert polling.poll(0, 10) == []
        polling.modify(fd, READ | WRITE)
        assert polling.poll(0, 10) == [(fd, READ | WRITE)]
        if isinstance(polling, SelectorPoller):
            assert repr(polling) == "SelectorPoller(1)"
            polling.unregister(fd)
            polling.unregister(fd)


def test_no_more_than_asked_for_at_once(polling):
    pairs = [socket.socketpair() for _ in range(3)]
    for ours, _ in pairs:
        polling.register(ours.fileno(), WRITE)
    assert len(polling.poll(0, 2)) == 2
    for ours, theirs in pairs:
        if isinstance(polling, SelectorPoller):
            polling.unregister(ours.fileno())
        ours.close()
        theirs.close()
    assert polling.poll(0, 2) == []


@pytest.mark.skipif(sys.platform != "linux", reason="only epoll tells")
def test_epoll_tells_of_the_end_whatever_it_watches_for():
    polling = poller()
    ours, theirs = socket.socketpair()
    with ours:
        polling.register(ours.fileno(), 0)
        theirs.close()
        ((_, events),) = polling.poll(0, 10)
        assert events & GONE
    polling.close()


def test_whether_something_has_come():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert not has_input(ours.fileno())
        theirs.send(b"x")
        assert has_input(ours.fileno())
    assert not has_input(1_000_000)
