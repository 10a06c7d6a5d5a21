"""Replies of hostile upstreams: what is damaged is refused, and what goes out holds together."""

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.serve.asking import ask, parse, read
from tests.serve.forward.rewriting import ASKED, MANY, QR, TC, rewritten, upstream_reply

from mesos_dns.dns import message as msg
from mesos_dns.serve.forward import rewrite
from mesos_dns.serve.forward.rewrite import BadReplyError
from mesos_dns.serve.request import Forward


@pytest.mark.parametrize(
    "records",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\xc0", id="half a pointer"),
        pytest.param(b"\xc0\x0c\0\1\0\1\0\0\0\0\0\4\1\2\3", id="cut in the data"),
        pytest.param(b"\xc0\x0c\0\1\0\1\0\0\0\0\0", id="cut in the length"),
        pytest.param(b"\3www", id="cut in the owner"),
        pytest.param(b"\xc0\x22\0\1\0\1\0\0\0\0\0\4\1\2\3\4", id="pointer to itself"),
        pytest.param(b"\xff\xff\0\1\0\1\0\0\0\0\0\4\1\2\3\4", id="pointer to nowhere"),
        pytest.param(b"\x40" + b"a" * 64 + b"\0\0\1\0\1\0\0\0\0\0\4\1\2\3\4", id="label of 64"),
        pytest.param(b"\xbf" + b"a" * 191 + b"\0\0\1\0\1\0\0\0\0\0\4\1\2\3\4", id="reserved label type"),
        pytest.param(msg.opt(), id="OPT in the answer"),
    ],
)
def test_damaged_records(records):
    octets = ask("www.example.test.")
    reply = upstream_reply(octets)
    with pytest.raises(BadReplyError):
        rewritten(octets, reply[:6] + b"\0\1" + reply[8:] + records)


@given(
    st.binary(max_size=200),
    st.lists(st.integers(0, 3) | st.integers(0, 65535), min_size=3, max_size=3),
    st.integers(0, 65535),
    st.booleans(),
    st.sampled_from([{}, {"payload": 600}]),
)
@settings(max_examples=300)
def test_any_octets_behind_the_question(rest, counts, flags, truncate_bit, edns):
    octets = ask("www.example.test.", **edns)
    query = parse(octets)
    reply = struct.pack("!HHHHHH", 7, flags | QR, 1, *counts) + octets[12 : query.question_end] + rest
    try:
        out = rewrite.for_client(reply, Forward(query), msg.udp_limit(query.edns), truncate_bit=truncate_bit)
    except BadReplyError:
        return
    hold_together(query, out)


@given(st.data(), st.booleans())
def test_a_good_reply_with_octets_changed(data, truncate_bit):
    octets = ask("www.example.test.")
    query = parse(octets)
    reply = bytearray(upstream_reply(octets, *MANY[:5], "authority example.test. NS ns.example.test.", opt=True))
    for _ in range(data.draw(st.integers(1, 3))):
        reply[data.draw(st.integers(query.question_end, len(reply) - 1))] = data.draw(st.integers(0, 255))
    try:
        out = rewrite.for_client(bytes(reply), Forward(query), 512, truncate_bit=truncate_bit)
    except BadReplyError:
        return
    hold_together(query, out)


NAMES = [f"answer www.example.test. {kind} n{n}.a.test." for n in range(9) for kind in ("NS", "MX 1", "CNAME")]


@given(st.data(), st.booleans(), st.integers(60, 400))
@settings(max_examples=300)
def test_a_part_of_a_reply_with_octets_changed(data, truncate_bit, limit):
    query = parse(ASKED)
    reply = bytearray(upstream_reply(ASKED, *NAMES, "answer www.example.test. SOA a.test. b.a.test. 1 2 3 4 5"))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(query.question_end, len(reply) - 1))
        reply[at] = data.draw(st.integers(0, 255) | st.sampled_from([0xC0, query.question_end]))
    try:
        out = rewrite.for_client(bytes(reply), Forward(query), limit, truncate_bit=truncate_bit)
    except BadReplyError:
        return
    assert len(out) <= limit
    hold_together(query, out)


@pytest.mark.parametrize(
    "rdata",
    [
        pytest.param(b"\xc0\x2e", id="to itself"),
        pytest.param(b"\3www\xc0\x2e", id="round and round"),
        pytest.param(b"\xff\xff", id="to nowhere"),
        pytest.param(b"\3ww", id="ends"),
        pytest.param(b"\x80a\0", id="reserved label type"),
        pytest.param(b"\0\0"[:1], id="root"),
        pytest.param(b"", id="none"),
        pytest.param((b"\x3f" + b"a" * 63) * 4 + b"\0", id="256 octets"),
    ],
)
def test_names_in_record_data_that_are_none(rdata):
    """They pass as they are if all fits, but not into a part, where they would have to be written anew."""
    query = parse(ASKED)
    record = b"\xc0\x0c\0\5\0\1\0\0\0\0" + struct.pack("!H", len(rdata)) + rdata
    reply = upstream_reply(ASKED)[:6] + b"\0\1\0\0\0\0" + ASKED[12:] + record
    if rdata == b"\0":
        assert read(rewrite.for_client(reply, Forward(query), 45, truncate_bit=True)).flags & TC
        return
    with pytest.raises(BadReplyError):
        rewrite.for_client(reply, Forward(query), 45, truncate_bit=True)


def hold_together(query, out):
    """The reply is the client's: ID and question its own, the records as many as announced, no more."""
    assert len(out) <= msg.udp_limit(query.edns)
    assert out[:2] == query.octets[:2]
    assert out[12 : query.question_end] == query.octets[12 : query.question_end]
    _, flags, questions, *counts = struct.unpack_from("!HHHHHH", out)
    assert flags & QR
    assert questions == 1
    at = query.question_end
    kinds = []
    for _ in range(sum(counts)):
        while (length := out[at]) and length < 0xC0:
            assert length <= 63
            at += length + 1
        at += 2 if length else 1
        kind, _, _, length = struct.unpack_from("!HHIH", out, at)
        kinds.append(kind)
        at += 10 + length
    assert at == len(out)
    assert kinds.count(41) == (query.edns is not None)
