"""Who is idle, who has to go: as values, with the time given."""

import pytest

from mesos_dns.serve.connections import (
    STANDSTILL,
    Connection,
    Connections,
    State,
    files_needed,
    holder_of,
    holder_text,
    most_within,
)

A, B = b"\x0a\0\0\1", b"\x0a\0\0\2"


def held(*clients, most=10, most_per_client=5):
    """Connections that came one second after the other."""
    connections = Connections(most, most_per_client)
    each = [Connection(fd, client) for fd, client in enumerate(clients)]
    for now, connection in enumerate(each):
        connections.add(connection, float(now))
    return connections, each


def test_crowded_by_all_or_by_one_client():
    connections, _ = held(A, A, B, most=4, most_per_client=2)
    assert connections.crowded(A)
    assert connections.is_over_its_share(A)
    assert not connections.crowded(B)
    connections.add(Connection(9, b"\x0a\0\0\3"), 9.0)
    assert connections.crowded(B)
    assert not connections.is_over_its_share(B)
    assert len(connections) == 4
    assert repr(connections) == "Connections(4, clients=3)"


def test_over_ipv6_a_network_of_64_bits_is_one_client():
    first, second, other = (
        bytes.fromhex(f"20010db80000000{n}") + bytes((i,)) + bytes(7) for n, i in ((1, 1), (1, 2), (2, 1))
    )
    connections, (one, _) = held(first, second, most_per_client=2)
    assert connections.is_over_its_share(first)
    assert connections.crowded(second)
    assert not connections.crowded(other)
    assert next(connections.candidates(bytes.fromhex("20010db800000001") + bytes(8), 6.0)) is one
    holder, count = connections.largest_holder()
    assert (holder_text(holder), count) == ("2001:db8:0:1::/64", 2)
    assert holder_text(holder_of(A)) == "10.0.0.1"


def test_the_idlest_comes_first():
    connections, (first, second, third) = held(A, B, A)
    connections.touch(first, State.IDLE, 5.0)
    assert list(connections.candidates(B, 6.0)) == [second, third, first]


def test_a_client_over_its_share_loses_its_own():
    connections, (_, second, third) = held(B, A, A, most_per_client=2)
    assert list(connections.candidates(A, 6.0)) == [second, third]


def test_who_is_owed_an_answer_is_no_candidate_and_who_does_not_read_is_the_last():
    connections, (first, second, third) = held(A, A, A)
    connections.touch(first, State.UNREAD, 3.0)
    connections.touch(second, State.ASKING, 4.0)
    assert list(connections.candidates(B, 3.5)) == [third]
    assert list(connections.candidates(B, 3.0 + STANDSTILL)) == [third, first]
    connections.remove(third)
    assert list(connections.candidates(B, 3.5)) == []


def test_what_expires_when():
    connections, (first, second, third) = held(A, A, A)
    connections.touch(first, State.ASKING, 3.0)
    connections.touch(second, State.UNREAD, 4.0)
    assert connections.oldest() == 2.0
    assert connections.expired(1.9) == []
    assert connections.expired(2.0) == [third]
    assert connections.expired(9.0) == [third, second]
    connections.remove(third)
    assert connections.oldest() == 4.0
    assert connections.wait_for_clients()
    connections.remove(second)
    assert connections.oldest() is None
    assert not connections.wait_for_clients()
    assert list(connections) == [first]


def test_who_holds_most():
    connections, each = held(A, B, B)
    assert connections.largest_holder() == (B, 2)
    for connection in each:
        connections.remove(connection)
    assert repr(connections) == "Connections(0, clients=0)"


@pytest.mark.parametrize(("count", "pressed"), [(8, False), (9, True), (10, True)])
def test_pressure_begins_a_little_before_the_bound(count, pressed):
    connections, _ = held(*[A] * count)
    assert connections.under_pressure() is pressed


@pytest.mark.parametrize(
    ("buffer", "whole"), [(b"", False), (b"\0", False), (b"\0\0", True), (b"\0\2x", False), (b"\0\2xyz", True)]
)
def test_whether_a_query_is_complete(buffer, whole):
    connection = Connection(3, A)
    connection.buffer = buffer
    assert connection.has_query() is whole
    assert repr(connection) == "Connection(10.0.0.1, IDLE, pending=0)"


def test_files():
    assert files_needed(1000) == 2050
    assert [most_within(files) for files in (20, 250, 1024)] == [1, 100, 487]
