"""Sockets that somebody else has bound, shared out to workers."""

import contextlib
import os
import socket

import pytest
from tests.integration.program import free_port

from mesos_dns.sockets import BindError, Given, Sockets

UDP, TCP = socket.SOCK_DGRAM, socket.SOCK_STREAM
HOST = "127.0.0.1"


@pytest.fixture
def bound():
    """`bound(kind, count)`: as many sockets on one port, the same for both kinds; with them the port."""
    with contextlib.ExitStack() as stack:
        port = free_port()

        def make(kind, count):
            found = []
            for _ in range(count):
                sock = stack.enter_context(socket.socket(socket.AF_INET, kind))
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
                sock.bind((HOST, port))
                if kind == TCP:
                    sock.listen()
                found.append(sock)
            return found, port

        yield make


def sockets_of(bound, udp, tcp, **more):
    """`Sockets` with as many given, and the originals."""
    originals, port = bound(UDP, udp)
    originals_tcp, port = bound(TCP, tcp) if tcp else ([], port)
    given = Given([sock.dup() for sock in originals], [sock.dup() for sock in originals_tcp])
    return Sockets(HOST, port, given=given, **more), originals


def inode(sock):
    """What copies of one socket have in common."""
    return os.fstat(sock.fileno()).st_ino


def test_each_worker_has_one_for_itself(bound):
    with contextlib.closing(sockets_of(bound, 2, 2)[0]) as sockets:
        pairs = sockets.provide(2)
        assert len({inode(pair.udp) for pair in pairs}) == 2
        assert len({inode(pair.tcp) for pair in pairs}) == 2


def test_more_workers_share_them(bound):
    sockets, originals = sockets_of(bound, 2, 1)
    with contextlib.closing(sockets):
        pairs = sockets.provide(3)
        assert [inode(pair.udp) for pair in pairs] == [inode(originals[n]) for n in (0, 1, 0)]
        assert len({inode(pair.tcp) for pair in pairs}) == 1
        assert all(pair.udp.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) > 300_000 for pair in pairs)
        assert str(sockets) == f"{HOST} port {sockets.port} (3 workers)"


def test_those_that_go_leave_the_others_read(bound):
    sockets, (original,) = sockets_of(bound, 1, 1)
    sockets.provide(2)
    # Both are the same socket: it must not be taken out of the way of queries.
    sockets.retire(1)
    with pytest.raises(OSError, match="not connected"):
        original.getpeername()
    sockets.keep(1)
    assert len(sockets.prepare(3)) == 3
    sockets.bind()
    sockets.close()
    with socket.socket(socket.AF_INET, UDP) as client:
        client.sendto(b"x", original.getsockname())
    original.settimeout(10)
    assert original.recv(10) == b"x"


def test_one_that_nobody_reads_is_refused(bound):
    sockets, _ = sockets_of(bound, 3, 1)
    with contextlib.closing(sockets):
        for bind in (sockets.provide, sockets.prepare):
            with pytest.raises(
                BindError, match=r"hands over 3 sockets of one kind .* to 2 workers.* or set Workers to 3"
            ):
                bind(2)
        assert sockets.pairs == []
        assert len(sockets.provide(3)) == 3


def test_dns_needs_both(bound):
    sockets, _ = sockets_of(bound, 1, 0)
    with contextlib.closing(sockets), pytest.raises(BindError, match=r"hands over UDP .* without TCP"):
        sockets.provide(1)


def test_tls_alone_may_be_given(bound):
    (original,), tls_port = bound(TCP, 1)
    with contextlib.closing(Sockets(HOST, free_port(), tls_port, given=Given(tls=[original.dup()]))) as sockets:
        pairs = sockets.provide(2)
        assert {inode(pair.tls) for pair in pairs} == {inode(original)}
        assert len({inode(pair.udp) for pair in pairs}) == 2
