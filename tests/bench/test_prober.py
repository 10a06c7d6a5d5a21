import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import prober, wire


@given(st.lists(st.binary(min_size=12, max_size=60), max_size=10))
def test_a_stream_gives_its_messages_back(found):
    assert prober.messages(wire.stream(found)) == found


def test_a_stream_that_ends_within_a_message_is_refused():
    with pytest.raises(ValueError, match="message at octet 4"):
        prober.messages(b"\0\2ab\0\3c")


def test_the_kernel_says_when_a_packet_came():
    stamp = (socket.SOL_SOCKET, 35, struct.pack("qq", 7, 5))
    assert prober.received_at([stamp]) == 7_000_000_005


def test_a_probe_counts_what_is_answered_and_what_is_not():
    questions = [wire.query("leader.mesos.", wire.A)]
    with socket.socket(type=socket.SOCK_DGRAM) as server, socket.socket(type=socket.SOCK_DGRAM) as client:
        server.bind(("127.0.0.1", 0))
        client.connect(server.getsockname())
        client.setblocking(False)
        probe = prober.Probe(questions, [client])
        probe.send(0.0)
        probe.send(0.0)
        first, sender = server.recvfrom(512)
        assert first == questions[0]
        server.sendto(first, sender)
        server.sendto(first, sender)
        prober.listen(probe, 1.0)
        prober.listen(probe, 0.0)
        assert probe.sent == 2
        assert len(probe.delays_ms) == 1


def test_the_warm_up_does_not_count():
    with socket.socket(type=socket.SOCK_DGRAM) as server, socket.socket(type=socket.SOCK_DGRAM) as client:
        server.bind(("127.0.0.1", 0))
        client.connect(server.getsockname())
        client.setblocking(False)
        probe = prober.Probe([wire.query("leader.mesos.", wire.A)], [client])
        probe.send(0.0)
        probe.start_counting()
        server.sendto(*server.recvfrom(512))
        prober.listen(probe, 1.0)
        assert (probe.sent, probe.counted, probe.delays_ms) == (1, 0, [])


def test_what_nobody_listens_to_is_lost():
    with socket.socket(type=socket.SOCK_DGRAM) as closed:
        closed.bind(("127.0.0.1", 0))
        address = closed.getsockname()
    with socket.socket(type=socket.SOCK_DGRAM) as client:
        client.connect(address)
        client.setblocking(False)
        probe = prober.Probe([wire.query("leader.mesos.", wire.A)], [client])
        probe.send(0.0)
        prober.listen(probe, 0.1)
        probe.send(0.0)
        assert (probe.sent, probe.delays_ms) == (2, [])
