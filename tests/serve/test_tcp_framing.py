"""However the network cuts the stream, each query gets its reply: the listener's steps without an event loop."""

import math
import socket
import struct
import time

from hypothesis import given
from hypothesis import strategies as st
from tests.serve.asking import ask, make_responder
from tests.serve.tcp_bed import NAME, ZONE, framed

from mesos_dns.serve.connections import Connection
from mesos_dns.serve.tcp import TcpListener

CLIENT = b"\x7f\0\0\1"
RESPONDER = make_responder(ZONE)
MESSAGES = st.one_of(
    st.sampled_from([NAME, "nope.mesos.", "many.mesos.", "_liquor._tcp.marathon.mesos."]).map(ask),
    st.binary(min_size=12, max_size=40).map(lambda octets: octets[:2] + b"\0" + octets[3:]),
)


def replies(stream):
    while stream:
        (length,) = struct.unpack_from("!H", stream)
        yield stream[2 : 2 + length]
        stream = stream[2 + length :]


@given(messages=st.lists(MESSAGES, max_size=8), cuts=st.lists(st.integers(1, 50), min_size=1), half=st.booleans())
def test_any_chunks_of_a_stream_get_the_same_replies(messages, cuts, half):
    stream = b"".join(map(framed, messages))
    ours, theirs = socket.socketpair()
    with socket.socket() as listening, theirs:
        listener = TcpListener(listening, RESPONDER, lambda *_: None)
        listener._until = math.inf
        ours.setblocking(False)
        fd = ours.detach()
        connection = listener._by_fd[fd] = Connection(fd, CLIENT)
        listener._connections.add(connection, time.monotonic())
        at = turn = 0
        while at < len(stream):
            size = cuts[turn % len(cuts)]
            theirs.sendall(stream[at : at + size])
            listener._serve(connection, time.monotonic())
            at, turn = at + size, turn + 1
        assert connection.buffer == b""
        if half:
            theirs.sendall(b"\0\x20half a query")
        theirs.shutdown(socket.SHUT_WR)
        while not connection.closed and not connection.pending:
            listener._serve(connection, time.monotonic())
        listener._close(connection)
        received = b""
        while data := theirs.recv(65536):
            received += data
        listener._poller.close()
    expected = [
        reply for message in messages if isinstance(reply := RESPONDER.respond_tcp(message, CLIENT, 100), bytes)
    ]
    assert [reply[:4] for reply in replies(received)] == [reply[:4] for reply in expected]
    assert [len(reply) for reply in replies(received)] == [len(reply) for reply in expected]
