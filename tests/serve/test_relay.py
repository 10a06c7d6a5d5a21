"""Messages to and from upstreams: octets in, octets out."""

import struct

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.serve.asking import ask, option, parse, read, texts

from mesos_dns.dns import message as msg
from mesos_dns.serve import relay
from mesos_dns.serve.relay import BadReplyError

QR, AA, TC, RD, RA, AD, CD = (dns.flags.QR, dns.flags.AA, dns.flags.TC, dns.flags.RD, dns.flags.RA, 0x20, dns.flags.CD)


def upstream_reply(octets, *records, flags=0, rcode=0, opt=False, identifier=None):
    """What dnspython's upstream says to the query `octets`; records as `section owner type rdata`."""
    query = dns.message.from_wire(octets)
    reply = dns.message.Message(query.id if identifier is None else identifier)
    reply.question = query.question
    reply.flags = QR | flags
    for record in records:
        section, owner, kind, *rdata = record.split()
        reply.section_from_number({"answer": 1, "authority": 2, "additional": 3}[section]).append(
            dns.rrset.from_text(owner, 300, "IN", kind, " ".join(rdata))
        )
    if opt:
        reply.use_edns(0, 0x8000, 4096, options=[option(65001, b"theirs")])
    reply.set_rcode(rcode)
    return reply.to_wire()


ADDRESS = "answer www.example.test. A 192.0.2.1"


# --- to the upstream ---------------------------------------------------------------------------


def test_the_question_goes_out_under_a_new_id_in_the_clients_spelling():
    query = parse(ask("wWw.Example.test.", "AAAA"))
    sent = dns.message.from_wire(relay.question(query, 0x1234))
    assert (sent.id, sent.flags, sent.edns) == (0x1234, RD, -1)
    assert sent.question[0].name.to_text() == "wWw.Example.test."


@pytest.mark.parametrize(
    ("asked", "passed"),
    [(0, 0), (RD, RD), (RD | CD | AD, RD | CD | AD), (AA | TC | RA | 0x40, 0)],
)
def test_flags_that_are_passed_on(asked, passed):
    sent = dns.message.from_wire(relay.question(parse(ask("a.test.", flags=asked)), 1))
    assert sent.flags == passed


@pytest.mark.parametrize("do", [0, dns.flags.DO])
def test_options_stay_here_and_do_is_passed_on(do):
    octets = ask("a.test.", payload=4096, ednsflags=do | 1, options=[option(10, b"12345678")])
    sent = dns.message.from_wire(relay.question(parse(octets), 1))
    assert (sent.edns, sent.payload, sent.ednsflags, sent.options) == (0, 1232, do, ())


# --- whether it is the answer ------------------------------------------------------------------

SENT = relay.question(parse(ask("www.example.test.")), 0x1234)
LENGTH = len(SENT) - 12
GOOD = upstream_reply(SENT, ADDRESS)


def test_the_reply_to_what_was_sent():
    assert relay.answers(GOOD, SENT, LENGTH)
    assert relay.answers(GOOD[:12] + GOOD[12:29].upper() + GOOD[29:], SENT, LENGTH)


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(GOOD[:11], id="short"),
        pytest.param(GOOD[: 12 + LENGTH - 1], id="cut in the question"),
        pytest.param(b"\x12\x35" + GOOD[2:], id="wrong ID"),
        pytest.param(SENT, id="the query itself"),
        pytest.param(GOOD[:4] + b"\0\0" + GOOD[6:], id="no question"),
        pytest.param(GOOD[:4] + b"\0\2" + GOOD[6:], id="two questions"),
        pytest.param(upstream_reply(ask("xww.example.test.", identifier=0x1234)), id="another name"),
        pytest.param(upstream_reply(ask("www.example.test.", "AAAA", identifier=0x1234)), id="another type"),
        pytest.param(upstream_reply(ask("www.example.test.", "A", "CH", identifier=0x1234)), id="another class"),
    ],
)
def test_what_is_not_the_reply(reply):
    assert not relay.answers(reply, SENT, LENGTH)


@given(st.binary(max_size=100))
def test_random_octets_are_not_the_reply(reply):
    assert not relay.answers(reply, SENT, LENGTH)


# --- back to the client ------------------------------------------------------------------------


def relayed(octets, reply, *, limit=None, truncate_bit=True):
    query = parse(octets)
    limit = limit or msg.udp_limit(query.edns)
    out = relay.relay(reply, query, limit, truncate_bit=truncate_bit)
    assert len(out) <= limit
    return read(out)


def test_the_client_gets_its_id_its_spelling_and_the_records():
    octets = ask("wWw.Example.test.")
    sent = relay.question(parse(octets), 7)
    records = [ADDRESS, "authority example.test. NS ns.example.test.", "additional ns.example.test. A 192.0.2.2"]
    reply = relayed(octets, upstream_reply(sent, *records, flags=RD | RA))
    assert (reply.id, reply.flags) == (0xBEEF, QR | RD | RA)
    assert reply.question[0].name.to_text() == "wWw.Example.test."
    assert texts(reply.answer) == ["wWw.Example.test. 300 IN A 192.0.2.1"]
    assert texts(reply.authority) == ["Example.test. 300 IN NS ns.Example.test."]
    assert texts(reply.additional) == ["ns.Example.test. 300 IN A 192.0.2.2"]


@pytest.mark.parametrize("rcode", [0, 2, 3, 5])
@pytest.mark.parametrize("flags", [0, AA, RA, AD, AA | RA | AD])
def test_the_upstreams_word_is_passed_on(rcode, flags):
    octets = ask("www.example.test.")
    reply = relayed(octets, upstream_reply(octets, flags=flags | RD | CD, rcode=rcode))
    assert (reply.rcode(), reply.flags & ~15) == (rcode, QR | RD | flags)


@pytest.mark.parametrize(("asks", "has"), [(False, False), (False, True), (True, False), (True, True)])
def test_the_opt_record_is_ours_and_there_only_if_the_client_has_one(asks, has):
    octets = ask("www.example.test.", **({"payload": 1232, "ednsflags": dns.flags.DO} if asks else {}))
    reply = relayed(octets, upstream_reply(octets, ADDRESS, "additional x.test. A 192.0.2.3", opt=has))
    assert len(texts(reply.answer)) == 1
    if asks:
        assert (reply.edns, reply.payload, reply.ednsflags, reply.options) == (0, 1232, dns.flags.DO, ())
    else:
        assert reply.edns == -1
    assert texts(reply.additional) == ["x.test. 300 IN A 192.0.2.3"]


def test_what_stands_behind_the_opt_record_is_left_out():
    octets = ask("www.example.test.")
    reply = bytearray(upstream_reply(octets, ADDRESS, "authority example.test. NS ns.test."))
    reply += msg.opt() + b"\0\0\1\0\1\0\0\0\0\0\4\1\2\3\4"
    reply[11] = 2
    out = relayed(octets, bytes(reply))
    assert (len(texts(out.answer)), len(texts(out.authority)), texts(out.additional)) == (1, 1, [])


def test_a_refusal_of_our_edns_is_an_error():
    octets = ask("www.example.test.", payload=1232)
    with pytest.raises(BadReplyError, match="it refuses our EDNS \\(extended RCODE 16\\)"):
        relayed(octets, upstream_reply(octets, opt=True, rcode=16))


MANY = [f"answer www.example.test. A 192.0.2.{n}" for n in range(60)]


def test_what_is_too_large_is_truncated_to_nothing():
    octets = ask("www.example.test.")
    reply = relayed(octets, upstream_reply(octets, *MANY))
    assert reply.flags & TC
    assert reply.answer == []
    with_edns = ask("www.example.test.", payload=600)
    reply = relayed(with_edns, upstream_reply(with_edns, *MANY, opt=True))
    assert reply.flags & TC
    assert (reply.answer, reply.edns) == ([], 0)


def test_with_edns_or_over_tcp_it_is_complete():
    octets = ask("www.example.test.", payload=1232)
    assert len(texts(relayed(octets, upstream_reply(octets, *MANY)).answer)) == 60
    octets = ask("www.example.test.")
    assert len(texts(relayed(octets, upstream_reply(octets, *MANY), limit=65535).answer)) == 60


def test_without_the_truncate_bit_whole_records_are_kept_as_far_as_they_fit():
    octets = ask("www.example.test.")
    extra = ["authority example.test. NS ns.test."]
    reply = relayed(octets, upstream_reply(octets, *MANY, *extra), truncate_bit=False)
    assert not reply.flags & TC
    # 512 octets, less 12 of header and 22 of question, make room for 29 records of 16.
    assert len(texts(reply.answer)) == 29
    assert texts(reply.authority) == []


@pytest.mark.parametrize("truncate_bit", [True, False])
def test_a_truncated_reply_says_so_unless_told_otherwise(truncate_bit):
    octets = ask("www.example.test.")
    reply = relayed(octets, upstream_reply(octets, ADDRESS, flags=TC), truncate_bit=truncate_bit)
    assert bool(reply.flags & TC) is truncate_bit


# --- hostile upstreams -------------------------------------------------------------------------


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
    ],
)
def test_damaged_records(records):
    octets = ask("www.example.test.")
    reply = upstream_reply(octets)
    with pytest.raises(BadReplyError):
        relayed(octets, reply[:6] + b"\0\1" + reply[8:] + records)


@given(
    st.binary(max_size=200),
    st.lists(st.integers(0, 3) | st.integers(0, 65535), min_size=3, max_size=3),
    st.integers(0, 65535),
    st.booleans(),
    st.sampled_from([{}, {"payload": 600}]),
)
def test_any_octets_behind_the_question(rest, counts, flags, truncate_bit, edns):
    octets = ask("www.example.test.", **edns)
    query = parse(octets)
    reply = struct.pack("!HHHHHH", 7, flags | QR, 1, *counts) + octets[12 : query.question_end] + rest
    try:
        out = relay.relay(reply, query, msg.udp_limit(query.edns), truncate_bit=truncate_bit)
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
        out = relay.relay(bytes(reply), query, 512, truncate_bit=truncate_bit)
    except BadReplyError:
        return
    hold_together(query, out)


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
