"""What the kernel dropped is told, from the moment on at which a worker has the socket."""

import socket
import sys

import pytest

from mesos_dns.serve import kernel
from mesos_dns.serve.kernel import QueueDrops

SERIES = "udp_queue_dropped"


@pytest.fixture
def queue():
    """A socket with room for a few datagrams, and one that sends to it."""
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as two,
    ):
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        one.bind(("127.0.0.1", 0))
        one.setblocking(False)
        two.connect(one.getsockname())
        yield one, two


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
def test_drops_are_counted_once(queue):
    ours, theirs = queue
    before = QueueDrops(ours)
    assert before.counts() == {SERIES: 0}
    for _ in range(100):
        theirs.send(bytes(1000))
    received = 0
    while True:
        try:
            received += bool(ours.recv(2000))
        except BlockingIOError:
            break
    assert 0 < received < 100
    assert before.counts() == before.counts() == {SERIES: 100 - received}
    assert QueueDrops(ours).counts() == {SERIES: 0}


def test_the_count_of_the_kernel_wraps(monkeypatch, queue):
    seen = iter([2**32 - 3, 2])
    monkeypatch.setattr(QueueDrops, "_look", lambda _: next(seen))
    assert QueueDrops(queue[0]).counts() == {SERIES: 5}


def test_a_system_that_does_not_tell_has_none(monkeypatch, queue):
    monkeypatch.setattr(kernel, "_SO_MEMINFO", 9999)
    drops = QueueDrops(queue[0])
    assert drops.counts() == {SERIES: 0}
    assert repr(drops) == "QueueDrops(0)"
