"""Messages to and from upstreams: octets in, octets out."""

import dns.flags
import dns.message
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.serve.asking import ask, option, parse, read, texts
from tests.serve.forward.rewriting import (
    AA,
    AD,
    ADDRESS,
    CD,
    MANY,
    QR,
    RA,
    RD,
    TC,
    addresses,
    rewritten,
    upstream_reply,
)
from tests.serve.forward.upstreams import say

from mesos_dns.dns import message as msg
from mesos_dns.serve.forward import rewrite
from mesos_dns.serve.forward.rewrite import BadReplyError
from mesos_dns.serve.request import Forward

# --- to the upstream ---------------------------------------------------------------------------


def test_the_question_goes_out_under_a_new_id_in_the_clients_spelling():
    query = parse(ask("wWw.Example.test.", "AAAA"))
    for edns in (True, False):
        sent = dns.message.from_wire(rewrite.question(query, 0x1234, edns=edns))
        assert (sent.id, sent.flags, sent.edns) == (0x1234, RD, 0 if edns else -1)
        assert sent.question[0].name.to_text() == "wWw.Example.test."


@pytest.mark.parametrize(
    ("asked", "passed"),
    [(0, 0), (RD, RD), (RD | CD | AD, RD | CD | AD), (AA | TC | RA | 0x40, 0)],
)
def test_flags_that_are_passed_on(asked, passed):
    sent = dns.message.from_wire(rewrite.question(parse(ask("a.test.", flags=asked)), 1))
    assert sent.flags == passed


@pytest.mark.parametrize("do", [0, dns.flags.DO])
def test_options_stay_here_and_do_is_passed_on(do):
    octets = ask("a.test.", payload=4096, ednsflags=do | 1, options=[option(10, b"12345678")])
    sent = dns.message.from_wire(rewrite.question(parse(octets), 1))
    assert (sent.edns, sent.payload, sent.ednsflags, sent.options) == (0, 1232, do, ())


# --- whether it is the answer ------------------------------------------------------------------

SENT = rewrite.question(parse(ask("www.example.test.")), 0x1234, edns=False)
LENGTH = len(SENT) - 12
WITH_EDNS = rewrite.question(parse(ask("www.example.test.")), 0x1234)
GOOD = upstream_reply(SENT, ADDRESS)


def test_the_reply_to_what_was_sent():
    assert rewrite.answers(GOOD, SENT, LENGTH)
    assert rewrite.answers(GOOD[:12] + GOOD[12:29].upper() + GOOD[29:], SENT, LENGTH)


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
    assert not rewrite.answers(reply, SENT, LENGTH)


@pytest.mark.parametrize(("rcode", "is_reply"), [(0, False), (1, True), (2, False), (4, True), (5, False)])
def test_who_does_not_take_edns_may_leave_out_the_question(rcode, is_reply):
    reply = WITH_EDNS[:2] + bytes((0x80, rcode)) + bytes(8)
    assert rewrite.answers(reply, WITH_EDNS, LENGTH) is is_reply
    assert not rewrite.answers(reply, SENT, LENGTH), "asked without EDNS"
    assert not rewrite.answers(b"\x12\x35" + reply[2:], WITH_EDNS, LENGTH)
    assert not rewrite.answers(reply[:2] + b"\0" + reply[3:], WITH_EDNS, LENGTH)


@pytest.mark.parametrize(
    ("reply", "upper"),
    [
        (say(WITH_EDNS, rcode=16), 1),
        (say(WITH_EDNS, rcode=1), 0),
        (say(WITH_EDNS, "192.0.2.1", rcode=16), 0),
        (GOOD, 0),
    ],
)
def test_the_upper_bits_of_an_rcode_without_records(reply, upper):
    assert rewrite.extended_rcode(reply, 12 + LENGTH) == upper


def test_what_nobody_validated():
    assert rewrite.without_ad(GOOD) == GOOD
    assert rewrite.without_ad(GOOD[:3] + bytes((GOOD[3] | 0x20,)) + GOOD[4:]) == GOOD


@given(st.binary(max_size=100))
def test_random_octets_are_not_the_reply(reply):
    assert not rewrite.answers(reply, SENT, LENGTH)


# --- back to the client ------------------------------------------------------------------------


def test_the_client_gets_its_id_its_spelling_and_the_records():
    octets = ask("wWw.Example.test.")
    sent = rewrite.question(parse(octets), 7)
    records = [ADDRESS, "authority example.test. NS ns.example.test.", "additional ns.example.test. A 192.0.2.2"]
    reply = rewritten(octets, upstream_reply(sent, *records, flags=RD | RA))
    assert (reply.id, reply.flags) == (0xBEEF, QR | RD | RA)
    assert reply.question[0].name.to_text() == "wWw.Example.test."
    assert texts(reply.answer) == ["wWw.Example.test. 300 IN A 192.0.2.1"]
    assert texts(reply.authority) == ["Example.test. 300 IN NS ns.Example.test."]
    assert texts(reply.additional) == ["ns.Example.test. 300 IN A 192.0.2.2"]


@pytest.mark.parametrize("rcode", [0, 2, 3, 5])
@pytest.mark.parametrize("flags", [0, AA, RA, AA | RA])
def test_the_upstreams_word_is_passed_on(rcode, flags):
    octets = ask("www.example.test.")
    reply = rewritten(octets, upstream_reply(octets, flags=flags | RD | CD, rcode=rcode))
    assert (reply.rcode(), reply.flags & ~15) == (rcode, QR | RD | flags)


@pytest.mark.parametrize(
    ("asked", "comes"),
    [
        pytest.param({}, False, id="nothing"),
        pytest.param({"flags": RD | AD}, True, id="AD"),
        pytest.param({"payload": 1232, "ednsflags": dns.flags.DO}, True, id="DO"),
        pytest.param({"payload": 1232}, False, id="EDNS"),
    ],
)
def test_ad_comes_from_trusted_upstreams_to_those_who_ask_for_it(asked, comes):
    octets = ask("www.example.test.", **asked)
    reply = upstream_reply(octets, ADDRESS, flags=AD)
    assert bool(rewritten(octets, reply, trusted=True).flags & AD) is comes
    assert not rewritten(octets, reply, trusted=False).flags & AD
    assert not rewritten(octets, upstream_reply(octets, ADDRESS), trusted=True).flags & AD


def told(octets, *options, limit=None):
    """The options that reach the client if the upstream gives these."""
    reply = dns.message.from_wire(upstream_reply(octets, ADDRESS))
    reply.use_edns(0, 0, 4096, options=options)
    return [(int(one.otype), one.to_wire()) for one in rewritten(octets, reply.to_wire(), limit=limit).options]


def test_extended_errors_of_the_upstream_are_passed_on_and_its_other_options_not():
    stale, bogus = option(15, b"\0\3stale"), option(15, b"\0\6")
    octets = ask("www.example.test.", payload=1232)
    assert told(octets, option(65001, b"theirs"), stale, option(10, b"12345678"), bogus) == [
        (15, b"\0\3stale"),
        (15, b"\0\6"),
    ]
    # A novel is left out, and so is what would cost records.
    assert told(octets, option(15, b"\0\3" + b"x" * 300), bogus) == [(15, b"\0\6")]
    # No text, and no code either.
    assert told(octets, option(15, b"\0"), option(15, b"")) == []
    assert told(octets, stale, limit=12 + 18 + 4 + 4 + 16 + 11) == []
    assert rewritten(ask("www.example.test."), upstream_reply(ask("www.example.test."), ADDRESS)).edns == -1


@pytest.mark.parametrize("size", range(16))
def test_what_stands_behind_the_records_is_no_opt_record_that_could_be_read(size):
    """A truncated reply may end anywhere, and any reply may have rubbish at its end."""
    octets = ask("www.example.test.", payload=1232)
    end = b"\0\0\x29\4\xd0\0\0\0\0\0\xff\0\x0f\0\x09\0"[:size]
    for flags in (0, TC):
        assert rewritten(octets, upstream_reply(octets, ADDRESS, flags=flags) + end).options == ()


@pytest.mark.parametrize(("asks", "has"), [(False, False), (False, True), (True, False), (True, True)])
def test_the_opt_record_is_ours_and_there_only_if_the_client_has_one(asks, has):
    octets = ask("www.example.test.", **({"payload": 1232, "ednsflags": dns.flags.DO} if asks else {}))
    reply = rewritten(octets, upstream_reply(octets, ADDRESS, "additional x.test. A 192.0.2.3", opt=has))
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
    out = rewritten(octets, bytes(reply))
    assert (len(texts(out.answer)), len(texts(out.authority)), texts(out.additional)) == (1, 1, [])


def test_a_refusal_of_our_edns_is_an_error():
    octets = ask("www.example.test.", payload=1232)
    with pytest.raises(BadReplyError, match="it refuses our EDNS \\(extended RCODE 16\\)"):
        rewritten(octets, upstream_reply(octets, opt=True, rcode=16))


def test_what_is_too_large_is_cut_and_says_so():
    extra = ["authority example.test. NS ns.test.", "additional ns.test. A 192.0.2.200"]
    octets = ask("www.example.test.")
    reply = rewritten(octets, upstream_reply(octets, *MANY, *extra, flags=AD | RA))
    assert reply.flags & (TC | AD) == TC
    # 512 octets, less 12 of header and 22 of question, make room for 29 records of 16.
    assert len(set(addresses(reply))) == len(addresses(reply)) == 29
    assert set(addresses(reply)) < {f"192.0.2.{n}" for n in range(60)}
    assert (reply.authority, reply.additional) == ([], [])
    with_edns = ask("www.example.test.", payload=600)
    reply = rewritten(with_edns, upstream_reply(with_edns, *MANY, *extra, opt=True))
    assert reply.flags & TC
    # 88 octets more, less 11 of OPT.
    assert (len(addresses(reply)), reply.edns, reply.authority, reply.additional) == (34, 0, [], [])


def test_with_edns_or_over_tcp_it_is_complete():
    octets = ask("www.example.test.", payload=1232)
    assert len(texts(rewritten(octets, upstream_reply(octets, *MANY)).answer)) == 60
    octets = ask("www.example.test.")
    assert len(texts(rewritten(octets, upstream_reply(octets, *MANY), limit=65535).answer)) == 60


def test_options_for_the_client():
    octets = ask("www.example.test.", payload=1232)
    forward = Forward(parse(octets), options=b"\0\x0b\0\2\0\x64")
    reply = read(rewrite.for_client(upstream_reply(octets, ADDRESS), forward, 1232, truncate_bit=True))
    assert [(int(each.otype), each.to_wire()) for each in reply.options] == [(11, b"\0\x64")]
