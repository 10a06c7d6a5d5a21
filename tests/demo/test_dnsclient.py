import contextlib
import socket
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesos_dns.demo.dnsclient import BadReplyError, Reply, ask, decode_reply, encode_query

QUERY = bytes.fromhex("1234 0100 0001 0000 0000 0000") + b"\x03web\x05mesos\x00" + bytes.fromhex("0001 0001")
A_RECORD = bytes.fromhex("c00c 0001 0001 0000003c 0004 0a000001")


def reply(flags="8580", answers=b"", count=0, query=QUERY):
    return query[:2] + bytes.fromhex(flags) + b"\0\1" + count.to_bytes(2, "big") + b"\0\0\0\0" + query[12:] + answers


def test_a_query_is_one_question_with_recursion_desired():
    assert encode_query(0x1234, "web.mesos.", "A") == QUERY


@pytest.mark.parametrize("name", ["", "a..b", "x" * 64])
def test_impossible_names_are_refused(name):
    with pytest.raises(ValueError, match="label"):
        encode_query(1, name, "A")


def test_addresses_through_a_compressed_owner_name():
    assert decode_reply(QUERY, reply(answers=A_RECORD * 2, count=2)) == Reply(
        "NOERROR", True, False, ("10.0.0.1", "10.0.0.1")
    )


def test_other_types_in_the_answer_are_left_out():
    aaaa = bytes.fromhex("c00c 001c 0001 0000003c 0010") + bytes(15) + b"\1"
    query = encode_query(7, "web.mesos", "AAAA")

    assert decode_reply(query, reply(answers=A_RECORD + aaaa, count=2, query=query)).answers == ("::1",)


def test_srv_targets_may_be_compressed():
    query = encode_query(7, "web.mesos", "SRV")
    srv = bytes.fromhex("c00c 0021 0001 0000003c 000c 0000 0001 1f90 0368347a c010")  # h4z. + pointer to mesos.

    assert decode_reply(query, reply(answers=srv, count=1, query=query)).answers == ("0 1 8080 h4z.mesos.",)


def test_flags_and_response_codes():
    assert decode_reply(QUERY, reply("8183")) == Reply("NXDOMAIN", False, False, ())
    assert decode_reply(QUERY, reply("8780")).truncated


@pytest.mark.parametrize(
    "message",
    [
        b"",
        QUERY,
        b"\x99\x99" + reply()[2:],
        reply(query=encode_query(0x1234, "other.mesos", "A")),
        reply(count=1),
        reply(answers=A_RECORD[:-1], count=1),
        reply(answers=bytes.fromhex("c01b"), count=1),
        reply(answers=bytes.fromhex("c00c 0001 0001 0000003c 0003 0a0000"), count=1),
    ],
)
def test_what_is_no_reply_to_the_query_is_refused(message):
    with pytest.raises(BadReplyError):
        decode_reply(QUERY, message)


@given(st.binary(max_size=80), st.integers(0, 3))
def test_no_octets_make_the_decoder_fail_otherwise(tail, count):
    with contextlib.suppress(BadReplyError):
        decode_reply(QUERY, reply(answers=tail, count=count))


@pytest.mark.parametrize("tcp", [False, True])
def test_asking_a_server(tcp):
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(30)

        def answer():
            if tcp:
                connection, _ = server.accept()
                with connection:
                    query = connection.recv(512)[2:]
                    message = reply(answers=A_RECORD, count=1, query=query)
                    connection.sendall(len(message).to_bytes(2, "big") + message)
            else:
                query, client = server.recvfrom(512)
                server.sendto(reply(answers=A_RECORD, count=1, query=query), client)

        if tcp:
            server.listen()
        thread = threading.Thread(target=answer)
        thread.start()
        try:
            assert ask(server.getsockname(), "web.mesos", "A", tcp=tcp).answers == ("10.0.0.1",)
        finally:
            thread.join()
