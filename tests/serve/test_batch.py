"""Many datagrams with one system call each way, on real sockets."""

import ctypes
import socket
import struct
from collections import deque

import pytest

from mesos_dns.serve import batch as batches
from mesos_dns.serve import mmsg
from mesos_dns.serve.render import Orders, Response

pytestmark = pytest.mark.skipif(not batches.available(), reason="needs recvbatches and sendbatches of Linux")

V4, V6 = socket.AF_INET, socket.AF_INET6


OPTS = (b"opt", b"other")
ROOM = batches.NEGATIVES + batches.ring_size(1000, 100)


def new_batch(family, **options):
    return batches.Batch(family, batches.Bodies(OPTS, ROOM), **options)


def batch_and_ring(family):
    """A batch, and a ring whose descriptors it can send."""
    bodies = batches.Bodies(OPTS, ROOM)
    return batches.Batch(family, bodies, with_source=False), batches.RingBuffer(bodies, 1000, 100)


def bound(family, address):
    sock = socket.socket(family, socket.SOCK_DGRAM)
    sock.bind((address, 0))
    sock.settimeout(30)
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


def questions(batch, lengths):
    """The same, as the loops look at them."""
    folded = batch.questions(len(lengths)).lower()
    starts = (i * batches.STRIDE + batches.LEAD for i in range(len(lengths)))
    return [folded[at : at + min(length, batches.QUESTION_ROOM)] for at, length in zip(starts, lengths, strict=True)]


def test_nothing_waits(pair):
    server, _ = pair
    assert new_batch(server.family, with_source=False).receive(server.fileno()) == []


@pytest.mark.parametrize("with_source", [False, True])
def test_datagrams_come_in_order_and_go_back_where_they_came_from(pair, with_source):
    server, client = pair
    batch = new_batch(server.family, with_source=with_source)
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
    batch = new_batch(server.family, size=16, with_source=False)
    for n in range(40):
        client.send(b"question %d" % n)
    received = []
    while lengths := batch.receive(server.fileno()):
        received.append(len(lengths))
        descriptors = [batch.whole(i, octets + b"!") for i, octets in enumerate(waiting(batch, lengths))]
        assert batch.send(server.fileno(), descriptors) == 0
    assert received == [16, 16, 8]
    assert [client.recv(100) for _ in range(40)] == [b"question %d!" % n for n in range(40)]


def test_a_batch_is_as_good_as_new_after_large_and_small_datagrams(pair):
    server, client = pair
    batch = new_batch(server.family, with_source=True)
    for size in (60_000, 1, mmsg.SLOT, 0, 700):
        client.send(bytes(size))
        assert batch.receive(server.fileno()) == [size]
        assert batch.send(server.fileno(), [batch.whole(0, b"x" * 100)]) == 0
        assert client.recv(200)[2:] == b"x" * 98


def test_a_datagram_without_an_answer_is_passed_over(pair):
    server, client = pair
    batch = new_batch(server.family, with_source=False)
    for n in range(5):
        client.send(b"%d?" % n)
    assert len(batch.receive(server.fileno())) == 5
    none = batches.SILENCE
    descriptors = [none, batch.whole(1, b"??one"), none, none, batch.whole(4, b"??four")]
    assert batch.send(server.fileno(), descriptors) == 0
    assert [client.recv(100), client.recv(100)] == [b"1?one", b"4?four"]
    client.setblocking(False)
    assert batch.send(server.fileno(), [none] * 5) == 0
    with pytest.raises(BlockingIOError):
        client.recv(100)


def test_the_largest_datagram_is_received_whole_and_spoils_no_other(pair):
    server, client = pair
    batch = new_batch(server.family, with_source=False)
    largest = bytes(range(256)) * 255
    for octets in (b"before", largest, b"between", largest[::-1], b"after"):
        client.send(octets)
    lengths = batch.receive(server.fileno())
    assert waiting(batch, lengths) == [b"before", largest, b"between", largest[::-1], b"after"]


def test_a_datagram_that_cannot_be_sent_is_counted_and_the_others_go_out(pair):
    server, client = pair
    batch = new_batch(server.family, with_source=False)
    for n in range(3):
        client.send(b"%d?" % n)
    assert len(batch.receive(server.fileno())) == 3
    # Nobody can be reached at port 0.
    batch._names.octets[mmsg.NAME + 2 : mmsg.NAME + 4] = bytes(2)
    assert batch.send(server.fileno(), [batch.whole(i, b"??!") for i in range(3)]) == 1
    assert [client.recv(100), client.recv(100)] == [b"0?!", b"2?!"]


def test_a_real_failure_is_an_error():
    batch = new_batch(V4, with_source=False)
    with pytest.raises(OSError, match="Bad file descriptor"):
        batch.receive(9999)


@pytest.mark.parametrize("asked", ["127.0.0.1", "127.0.0.2", "127.9.8.7"])
def test_on_a_wildcard_address_the_answer_comes_from_the_address_that_was_asked(asked):
    batch = new_batch(V4, with_source=True)
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
    batch = new_batch(V4, with_source=False)
    with bound(V4, "127.0.0.1") as server, bound(V4, "127.0.0.1") as client:
        client.sendto(b"x", server.getsockname())
        batch.receive(server.fileno())
        assert batch.control(0) == b""


@pytest.mark.parametrize(
    "size", [0, 1, batches.QUESTION_ROOM - 1, batches.QUESTION_ROOM, batches.QUESTION_ROOM + 1, 2048, 2049]
)
def test_a_datagram_is_whole_wherever_it_lies(pair, size):
    server, client = pair
    batch = new_batch(server.family, with_source=False)
    octets = (bytes(range(256)) * 9)[:size]
    client.send(b"before")
    client.send(octets)
    lengths = batch.receive(server.fileno())
    assert waiting(batch, lengths) == [b"before", octets]
    assert questions(batch, lengths) == [b"before", octets[: batches.QUESTION_ROOM].lower()]


def orders(header, octets, *windows, opt=b"", end=20):
    """Windows into octets, the whole if there is none."""
    return Orders(octets, [(header, *window) for window in windows or [(0, len(octets))]], opt, end, found=True)


def test_a_descriptor_sends_id_and_question_of_the_query_with_another_header_a_body_and_an_opt_record(pair):
    server, client = pair
    batch, ring = batch_and_ring(server.family)
    header, other = bytes(range(10, 20)), bytes(range(20, 30))
    (kept,) = ring.put(orders(header, b"body", opt=b"opt"))
    ring.put(orders(other, b"something else"))
    for n in range(3):
        client.send(b"%d?..header..QuestIOnrest" % n)
    batch.receive(server.fileno())
    (short,) = ring.put(orders(other, b"once", opt=b"other", end=18))
    descriptors = [kept, short, kept]
    assert batch.send(server.fileno(), descriptors, gaps=False) == 0
    received = [client.recv(100) for _ in range(3)]
    assert received == [
        b"0?" + header + b"QuestIOnbodyopt",
        b"1?" + other + b"QuestIonceother",
        b"2?" + header + b"QuestIOnbodyopt",
    ]


def test_every_window_of_what_is_put_at_once_has_a_descriptor(pair):
    server, client = pair
    batch, ring = batch_and_ring(server.family)
    kept = ring.put(orders(bytes(10), b"abcabc", (0, 3), (1, 4), (2, 5), (2, 2), end=12))
    for _ in kept:
        client.send(bytes(12))
    batch.receive(server.fileno())
    assert batch.send(server.fileno(), kept, gaps=False) == 0
    assert [client.recv(100)[12:] for _ in kept] == [b"abc", b"bca", b"cab", b""]


def test_negative_responses_of_a_length_share_their_octets(pair):
    server, client = pair
    batch = new_batch(server.family, with_source=False)
    descriptors = [
        batch.negative(Response(bytes(10), b"soa of %d" % end, b"opt", end, found=False)) for end in (20, 25)
    ]
    for _ in range(4):
        client.send(bytes(25))
    batch.receive(server.fileno())
    assert batch.send(server.fileno(), descriptors * 2, gaps=False) == 0
    assert [client.recv(100) for _ in range(4)] == [bytes(20) + b"soa of 20opt", bytes(25) + b"soa of 25opt"] * 2


def test_the_client_is_the_address_without_the_port(pair):
    server, client = pair
    batch = new_batch(server.family, with_source=False)
    client.send(b"x")
    batch.receive(server.fileno())
    assert batch.client(0) == socket.inet_pton(server.family, client.getsockname()[0])


def test_a_client_with_ipv4_is_the_same_one_over_a_socket_for_both():
    batch = new_batch(V6, with_source=False)
    with socket.socket(V6, socket.SOCK_DGRAM) as server, bound(V4, "127.0.0.1") as client:
        server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        server.bind(("::", 0))
        client.sendto(b"x", ("127.0.0.1", server.getsockname()[1]))
        batch.receive(server.fileno())
        assert batch.client(0) == bytes((127, 0, 0, 1))


def test_a_ring_keeps_as_much_as_it_has_room_for():
    ring = batches.RingBuffer(batches.Bodies(OPTS, ROOM), 1000, 100)
    kept = deque()
    room = ring.room
    for n in range(500):
        body = bytes((n % 256,)) * (n * 37 % 100)
        kept.append((ring.put(orders(bytes(10), body))[0], body))
        room -= len(body)
        while room < 0:
            room += len(kept.popleft()[1])
        for descriptor, expected in kept:
            address, size = struct.unpack_from("@16xPN", descriptor)
            assert ctypes.string_at(address, size) == expected


def test_repr():
    assert repr(new_batch(V4, size=8, with_source=False)) == "Batch(size=8)"
    bodies = batches.Bodies(OPTS, 100)
    assert repr(batches.RingBuffer(bodies, 8, 1)) == "RingBuffer(room=8)"
    assert repr(bodies) == f"Bodies(taken=18 of {len(bodies.octets)})"


def test_no_more_is_taken_than_there_is():
    bodies = batches.Bodies(OPTS, 100)
    with pytest.raises(ValueError, match="octets are wanted"):
        bodies.take(len(bodies.octets))


def test_the_reply_that_a_descriptor_tells_to_send_can_be_had_as_octets():
    bodies = batches.Bodies(OPTS, ROOM)
    (kept,) = batches.RingBuffer(bodies, 1000, 100).put(orders(bytes(range(10, 20)), b"body", opt=b"other", end=18))
    query = b"0?..header..QuestIOnrest"
    assert bodies.message(kept, query) == b"0?" + bytes(range(10, 20)) + b"QuestI" + b"body" + b"other"
