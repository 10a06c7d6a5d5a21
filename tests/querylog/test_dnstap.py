"""Answers as dnstap has them: fields as its schema numbers them, and as BIND's tool reads them."""

import subprocess
import tempfile
from itertools import starmap
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.examples import fewer
from tests.integration.program import need
from tests.querylog.given import BEGAN, answered, reply_to
from tests.serve.asking import ask

from mesos_dns.querylog import dnstap, framestream
from mesos_dns.querylog.framestream import Control


def varint(octets, at):
    value = shift = 0
    while True:
        octet = octets[at]
        value |= (octet & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if octet < 0x80:
            return value, at


def fields(octets):
    """The fields of a protocol buffer, by number."""
    found, at = {}, 0
    while at < len(octets):
        tag, at = varint(octets, at)
        number, wire = tag >> 3, tag & 7
        assert number not in found
        if wire == 0:
            found[number], at = varint(octets, at)
        elif wire == 2:
            size, at = varint(octets, at)
            found[number], at = octets[at : at + size], at + size
            assert at <= len(octets)
        else:
            assert wire == 5
            found[number], at = int.from_bytes(octets[at : at + 4], "little"), at + 4
    return found


def test_an_answer_of_the_zone():
    one = answered()
    outer = fields(dnstap.payload(one, b"ns-a", b"Mesos-DNS 1"))
    assert (outer[1], outer[2], outer[15]) == (b"ns-a", b"Mesos-DNS 1", 1)
    assert fields(outer[14]) == {
        1: 2,  # AUTH_RESPONSE
        2: 1,  # INET
        3: 1,  # UDP
        4: one.client,
        6: 40000,
        8: 1_795_753_888,
        9: 195_204_000,
        10: one.query,
        12: 1_795_753_888,
        13: 196_704_000,
        14: one.reply,
    }


def test_what_is_not_known_is_left_out():
    outer = fields(dnstap.payload(answered(client=b"", port=0)))
    assert outer.keys() == {14, 15}
    assert fields(outer[14]).keys() == {1, 3, 8, 9, 10, 12, 13, 14}


@pytest.mark.parametrize(("transport", "number"), [("udp", 1), ("tcp", 2), ("tls", 3), ("https", 4)])
def test_how_it_came(transport, number):
    found = fields(fields(dnstap.payload(answered(transport=transport, client=bytes(16))))[14])
    assert (found[2], found[3]) == (2, number)


def test_a_forwarded_answer_is_that_of_a_resolver():
    query = ask("www.example.org.")
    reply = reply_to(query, "www.example.org. 60 IN A 192.0.2.1", flags=0)
    assert fields(fields(dnstap.payload(answered(query, reply)))[14])[1] == 6  # CLIENT_RESPONSE


@given(
    st.binary(max_size=300),
    st.binary(min_size=12, max_size=300),
    st.sampled_from([b"", bytes(4), bytes(16)]),
    st.integers(0, 65535),
    st.floats(0, 4e9),
)
def test_whatever_is_said_can_be_read_again(query, reply, client, port, began):
    found = fields(fields(dnstap.payload(answered(query, reply, client=client, port=port, began=began)))[14])
    assert found.get(10, b"") == query
    assert found[14] == reply
    assert (found.get(4, b""), found.get(6, 0)) == (client, port)
    assert found.get(8, 0) + found[9] / 1e9 == pytest.approx(began, abs=1e-6)


def stream(*payloads):
    return b"".join(
        [
            framestream.control(Control.START, dnstap.CONTENT_TYPE),
            *map(framestream.frame, payloads),
            framestream.control(Control.STOP),
        ]
    )


def read_by_bind(octets, folder):
    """What `dnstap-read` makes of a file."""
    path = Path(folder) / "log.tap"
    path.write_bytes(octets)
    tool = need("dnstap-read")
    return subprocess.run([tool, path], check=True, capture_output=True, text=True).stdout.splitlines()


def test_bind_reads_it(tmp_path):
    lines = read_by_bind(
        stream(
            dnstap.payload(answered(), b"ns-a", b"1"),
            dnstap.payload(answered(transport="tcp", client=bytes(15) + b"\1", port=53, began=BEGAN + 1)),
        ),
        tmp_path,
    )
    assert [line.split(" ", 2)[2] for line in lines] == [
        "AR 192.0.2.7:40000 <- ? UDP 52b web.marathon.mesos/IN/A",
        "AR ::1:53 <- ? TCP 52b web.marathon.mesos/IN/A",
    ]


@given(st.lists(st.tuples(st.binary(max_size=40), st.binary(min_size=12, max_size=60)), min_size=1, max_size=20))
@fewer(5)
def test_bind_goes_on_behind_whatever_octets_there_were(messages):
    with tempfile.TemporaryDirectory() as folder:
        lines = read_by_bind(
            stream(*(dnstap.payload(each) for each in (*starmap(answered, messages), answered()))), folder
        )
    assert lines[-1].endswith(" AR 192.0.2.7:40000 <- ? UDP 52b web.marathon.mesos/IN/A")
