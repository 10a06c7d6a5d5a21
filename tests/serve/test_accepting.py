"""Accepting as plain descriptors: both ways give the same."""

import errno
import os
import socket

import pytest

from mesos_dns.serve.accepting import acceptor, plain_acceptor


@pytest.fixture(params=[acceptor, plain_acceptor])
def way(request):
    return request.param


@pytest.mark.parametrize(
    ("family", "host", "client"),
    [(socket.AF_INET, "127.0.0.1", b"\x7f\0\0\3"), (socket.AF_INET6, "::1", bytes(15) + b"\1")],
)
def test_a_descriptor_that_does_not_block_and_is_not_inherited_and_the_packed_address(way, family, host, client):
    with socket.socket(family) as listening, socket.socket(family) as asking:
        listening.bind((host, 0))
        listening.listen()
        listening.setblocking(False)
        accept = way(listening)
        assert accept() is None
        if family == socket.AF_INET:
            asking.bind(("127.0.0.3", 0))
        asking.connect(listening.getsockname())
        fd, address = accept()
        assert address == client
        assert not os.get_blocking(fd)
        assert not os.get_inheritable(fd)
        with pytest.raises(BlockingIOError):
            os.read(fd, 1)
        asking.send(b"x")
        assert os.read(fd, 10) == b"x"
        os.close(fd)
        # And another one, whatever the first left behind.
        with socket.create_connection(listening.getsockname()[:2]):
            os.close(accept()[0])


def test_the_errors_of_the_system(way):
    with socket.socket() as listening:
        listening.setblocking(False)
        with pytest.raises(OSError, match=os.strerror(errno.EINVAL)) as caught:
            way(listening)()
        assert caught.value.errno == errno.EINVAL
