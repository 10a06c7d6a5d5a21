"""Many datagrams with one system call each way, on real sockets."""

import ctypes
import socket
import struct
from collections import deque

import pytest

from mesos_dns.serve import batch as mmsg

pytestmark = pytest.mark.skipif(not mmsg.available(), reason="needs recvmmsg and sendmmsg of Linux")

V4, V6 = socket.AF_INET, socket.AF_INET6


def bound(family, address):
    sock = socket.socket(family, socket.SOCK_DGRAM)
    sock.bind((address, 0))
    sock.settimeout(5)
    return sock


@pytest.fixture(params=[(V4, "127.0.0.1"), (V6, "::1")], ids=["v4", "v6"])
def pair(request):
    """A server's socket and a client's, connected to it."""
    family, address = request.param
    with bound(family, address) as server, bound(family, address) as client:
        client.connect(server.getsockname())
        yield server, client


def waiting(batch, lengths):
    """The datagrams that a batch has received."""
    return [batch.datagram(i, length) for i, length in enumerate(lengths)]


def fronts(batch, lengths):
    """The same, as the loops look at them."""
    folded = batch.folded(len(lengths))
    starts = (i * mmsg.STRIDE + mmsg.LEAD for i in range(len(lengths)))
    return [folded[at : at + min(length, mmsg.FRONT)] for at, length in zip(starts, lengths, strict=True)]


def test_nothing_waits(pair):
    server, _ = pair
    assert mmsg.Batch(server.family, with_source=False).receive(server.fileno()) == []


@pytest.mark.parametrize("with_source", [False, True])
def test_datagrams_come_in_order_and_go_back_where_they_came_from(pair, with_source):
    server, client = pair
    batch = mmsg.Batch(server.family, with_source=with_source)
    for n in range(3):
        client.send(b"question %d" % n)
    lengths = batch.receive(server.fileno())
    assert waiting(batch, lengths) == [b"question 0", b"question 1", b"question 2"]
    assert batch.address(0, server.family)[:2] == client.getsockname()[:2]
    assert batch.send(server.fileno(), [batch.whole(i, b"??answer to %d" % i) for i in range(3)]) == 0
    # A reply begins with the ID, the first two octets, of the query.
    assert [client.recv(100) for _ in range(3)] == [b"quanswer to 0", b"quanswer to 1", b"quanswer to 2"]


def test_more_than_one_batch_takes_several_calls(pair):
    server, client = pair
    batch = mmsg.Batch(server.family, size=16, with_source=False)
    for n in range(40):
        client.send(b"question %d" % n)
    received = []
    while lengths := batch.receive(server.fileno()):
        received.append(len(lengths))
        slips = [batch.whole(i, octets + b"!") for i, octets in enumerate(waiting(batch, lengths))]
        assert batch.send(server.fileno(), slips) == 0
    assert received == [16, 16, 8]
    assert [client.recv(100) for _ in range(40)] == [b"question %d!" % n for n in range(40)]


def test_a_batch_is_as_good_as_new_after_large_and_small_datagrams(pair):
    server, client = pair
    batch = mmsg.Batch(server.family, with_source=True)
    for size in (mmsg.SLOT, 1, mmsg.SLOT - 1, 0, 700):
        client.send(bytes(size))
        assert batch.receive(server.fileno()) == [size]
        assert batch.send(server.fileno(), [batch.whole(0, b"x" * 100)]) == 0
        assert client.recv(200)[2:] == b"x" * 98


def test_a_datagram_without_an_answer_is_passed_over(pair):
    server, client = pair
    batch = mmsg.Batch(server.family, with_source=False)
    for n in range(5):
        client.send(b"%d?" % n)
    assert len(batch.receive(server.fileno())) == 5
    none = mmsg.SILENCE
    slips = [none, batch.whole(1, b"??one"), none, none, batch.whole(4, b"??four")]
    assert batch.send(server.fileno(), slips) == 0
    assert [client.recv(100), client.recv(100)] == [b"1?one", b"4?four"]
    client.setblocking(False)
    assert batch.send(server.fileno(), [none] * 5) == 0
    with pytest.raises(BlockingIOError):
        client.recv(100)


def test_a_datagram_larger_than_its_slot_has_no_length_and_spoils_no_other(pair):
    server, client = pair
    batch = mmsg.Batch(server.family, with_source=False)
    for octets in (b"before", bytes(mmsg.SLOT + 1), bytes(mmsg.SLOT), b"after"):
        client.send(octets)
    assert batch.receive(server.fileno()) == [6, 0, mmsg.SLOT, 5]
    assert batch.datagram(3, 5) == b"after"


def test_a_datagram_that_cannot_be_sent_is_counted_and_the_others_go_out(pair):
    server, client = pair
    batch = mmsg.Batch(server.family, with_source=False)
    for n in range(3):
        client.send(b"%d?" % n)
    assert len(batch.receive(server.fileno())) == 3
    # Nobody can be reached at port 0.
    batch._names.octets[mmsg._NAME + 2 : mmsg._NAME + 4] = bytes(2)
    assert batch.send(server.fileno(), [batch.whole(i, b"??!") for i in range(3)]) == 1
    assert [client.recv(100), client.recv(100)] == [b"0?!", b"2?!"]


def test_a_real_failure_is_an_error():
    batch = mmsg.Batch(V4, with_source=False)
    with pytest.raises(OSError, match="Bad file descriptor"):
        batch.receive(9999)


@pytest.mark.parametrize("asked", ["127.0.0.1", "127.0.0.2", "127.9.8.7"])
def test_on_a_wildcard_address_the_answer_comes_from_the_address_that_was_asked(asked):
    batch = mmsg.Batch(V4, with_source=True)
    with bound(V4, "0.0.0.0") as server, bound(V4, "127.0.0.1") as client:
        server.setsockopt(socket.IPPROTO_IP, getattr(socket, "IP_PKTINFO", 8), 1)
        port = server.getsockname()[1]
        for n in range(2):
            client.sendto(b"%d?" % n, (asked, port))
        assert batch.receive(server.fileno()) == [2, 2]
        assert socket.inet_aton(asked) in batch.control(1)
        assert batch.send(server.fileno(), [batch.whole(i, b"??yes") for i in range(2)]) == 0
        assert [client.recvfrom(10) for _ in range(2)] == [(b"%d?yes" % n, (asked, port)) for n in range(2)]


def test_control_messages_are_empty_where_nobody_asked_for_them():
    batch = mmsg.Batch(V4, with_source=False)
    with bound(V4, "127.0.0.1") as server, bound(V4, "127.0.0.1") as client:
        client.sendto(b"x", server.getsockname())
        batch.receive(server.fileno())
        assert batch.control(0) == b""


@pytest.mark.parametrize("size", [0, 1, mmsg.FRONT - 1, mmsg.FRONT, mmsg.FRONT + 1, mmsg.SLOT])
def test_a_datagram_is_whole_wherever_it_lies(pair, size):
    server, client = pair
    batch = mmsg.Batch(server.family, with_source=False)
    octets = (bytes(range(256)) * 8)[:size]
    client.send(b"before")
    client.send(octets)
    lengths = batch.receive(server.fileno())
    assert waiting(batch, lengths) == [b"before", octets]
    assert fronts(batch, lengths) == [b"before", octets[: mmsg.FRONT].lower()]


def test_a_slip_sends_id_and_question_of_the_query_with_another_header_and_a_tail(pair):
    server, client = pair
    batch, arena = mmsg.Batch(server.family, with_source=False), mmsg.Arena(1000, 100)
    head, other = bytes(range(10, 20)), bytes(range(20, 30))
    kept = arena.put(head, b"tail", 20)
    arena.put(other, b"something else", 20)
    for n in range(3):
        client.send(b"%d?..header..QuestIOnrest" % n)
    batch.receive(server.fileno())
    slips = [kept, batch.slip(1, other, b"once", 18), kept]
    assert batch.send(server.fileno(), slips, gaps=False) == 0
    received = [client.recv(100) for _ in range(3)]
    assert received == [b"0?" + head + b"QuestIOntail", b"1?" + other + b"QuestIonce", b"2?" + head + b"QuestIOntail"]


def test_an_arena_keeps_as_much_as_it_has_room_for():
    arena = mmsg.Arena(1000, 100)
    kept = deque()
    room = arena.room
    for n in range(500):
        tail = bytes((n % 256,)) * (n * 37 % 100)
        kept.append((arena.put(bytes(10), tail, 20), tail))
        room -= len(tail)
        while room < 0:
            room += len(kept.popleft()[1])
        for slip, expected in kept:
            address, size = struct.unpack_from("@16xPN", slip)
            assert ctypes.string_at(address, size) == expected


def test_repr():
    assert repr(mmsg.Batch(V4, size=8, with_source=False)) == "Batch(size=8)"
    assert repr(mmsg.Arena(8, 1)) == "Arena(room=8)"
