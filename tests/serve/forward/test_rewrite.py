"""Messages to and from upstreams: octets in, octets out."""

import struct
from collections import Counter

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.serve.asking import ask, option, parse, read, texts
from tests.serve.forward.upstreams import say

from mesos_dns.dns import message as msg
from mesos_dns.serve.forward import rewrite
from mesos_dns.serve.forward.rewrite import BadReplyError
from mesos_dns.serve.request import Forward

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


def rewritten(octets, reply, *, limit=None, truncate_bit=True, trusted=False, client=b""):
    query = parse(octets)
    limit = limit or msg.udp_limit(query.edns)
    out = rewrite.for_client(reply, Forward(query, client), limit, truncate_bit=truncate_bit, trusted=trusted)
    assert len(out) <= limit
    return read(out)


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


MANY = [f"answer www.example.test. A 192.0.2.{n}" for n in range(60)]


def addresses(reply):
    return [text.split()[-1] for text in texts(reply.answer)]


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


# --- a part of the answer ----------------------------------------------------------------------

ASKED = ask("www.example.test.")


def part(*records, client=b"\n\0\0\1", limit=512, truncate_bit=True, flags=0):
    """What is left of these records for a client."""
    reply = upstream_reply(ASKED, *records, flags=flags)
    return rewritten(ASKED, reply, client=client, limit=limit, truncate_bit=truncate_bit)


@given(st.permutations(MANY), st.integers(0, 300), st.binary(min_size=4, max_size=16))
def test_the_same_client_sees_the_same_part_whatever_order_and_ttl_the_upstream_gives(records, ttl, client):
    reply = upstream_reply(ASKED, *records).replace(struct.pack("!I", 300), struct.pack("!I", ttl))
    assert addresses(rewritten(ASKED, reply, client=client)) == addresses(part(*MANY, client=client))


def test_the_letter_case_of_names_does_not_change_the_part():
    targets = [f"{n % 7}-{n:02}.Node.Example.test." for n in range(40)]
    records = [f"answer www.example.test. SRV 0 0 80 {target}" for target in targets]
    mixed = [record.replace("Node.Example", "nODE.eXAMPLE") for record in reversed(records)]
    usual = [text.lower() for text in addresses(part(*records))]
    assert [text.lower() for text in addresses(part(*mixed))] == usual
    assert 8 < len(usual) < 40


def test_each_record_is_seen_by_as_many_clients():
    query, reply, seen = parse(ASKED), upstream_reply(ASKED, *MANY), Counter()
    for n in range(3000):
        out = rewrite.for_client(reply, Forward(query, bytes((10, 0, n >> 8, n & 255))), 512, truncate_bit=True)
        seen.update(out[end - 4 : end] for end in range(query.question_end + 16, len(out) + 1, 16))
    # 29 of 60 each.
    assert len(seen) == 60
    assert all(0.8 < times / (3000 * 29 / 60) < 1.2 for times in seen.values())


def test_of_a_giant_only_the_beginning_is_sorted(monkeypatch):
    monkeypatch.setattr(rewrite, "MAX_SORTED", parse(ASKED).question_end + 10 * 16)
    assert sorted(addresses(part(*MANY))) == [f"192.0.2.{n}" for n in range(10)]


def test_a_part_is_a_run_in_the_order_of_the_octets():
    found = addresses(part(*MANY))
    first = int(found[0].split(".")[-1])
    assert found == [f"192.0.2.{(first + n) % 60}" for n in range(29)]


def test_aliases_come_first_and_in_their_order():
    chain = [
        "answer www.example.test. CNAME z.example.test.",
        "answer z.example.test. CNAME b.cdn.test.",
        "answer example.net. DNAME cdn.test.",
        "answer b.cdn.test. CNAME a.cdn.test.",
    ]
    hosts = [f"answer a.cdn.test. A 192.0.2.{n}" for n in range(60)]
    reply = part(*hosts[:7], *chain[:2], *hosts[7:], *chain[2:])
    kinds = [text.split()[3:] for text in texts(reply.answer)]
    assert kinds[:4] == [
        ["CNAME", "z.example.test."],
        ["CNAME", "b.cdn.test."],
        ["DNAME", "cdn.test."],
        ["CNAME", "a.cdn.test."],
    ]
    assert {kind for kind, _ in kinds[4:]} == {"A"}
    # The chain takes 109 octets and names the owner of the others, so each of them takes 16.
    assert len(kinds[4:]) == (512 - 34 - 109) // 16


def test_signatures_come_last_since_nobody_can_verify_a_part():
    signature = "answer www.example.test. RRSIG A 8 3 300 20300101000000 20200101000000 1 example.test. " + "A" * 340
    assert "RRSIG" not in {dns.rdatatype.to_text(each.rdtype) for each in part(*MANY, signature).answer}
    reply = part(*MANY[:10], signature, "answer www.example.test. TXT " + "x" * 200)
    assert [dns.rdatatype.to_text(each.rdtype) for each in reply.answer] == ["A", "TXT"]


def test_what_does_not_fit_is_passed_over_for_what_does():
    long = "answer www.example.test. TXT " + '"' + "x" * 250 + '"'
    reply = part(*(long.replace("x", letter) for letter in "ab"), *MANY[:5])
    assert sorted(addresses(reply)[:5]) == sorted(f"192.0.2.{n}" for n in range(5)) or len(reply.answer) == 2
    assert len(texts(reply.answer)) == 6


@pytest.mark.parametrize(
    "rdata",
    [
        "NS ns{n}.example.test.",
        "PTR host{n}.example.test.",
        "MX {n} mail.example.test.",
        "SRV 0 {n} 80 node{n}.example.test.",
        "SOA ns.example.test. root.example.test. {n} 600 600 600 60",
        "RP box{n}.example.test. text.example.test.",
        "AFSDB {n} db.example.test.",
        "RT {n} relay.example.test.",
        "KX {n} kx.example.test.",
        "PX {n} a.example.test. b.example.test.",
        "NAPTR {n} 0 S SIP+D2U !x! _sip._udp.example.test.",
        "TXT {n}",
        "AAAA 2001:db8::{n}",
        "HTTPS 1 host{n}.example.test. alpn=h2",
        "TYPE65280 \\# 4 0000{n:04}",
    ],
)
def test_records_of_any_type_stay_whole(rdata):
    records = [f"answer www.example.test. {rdata.format(n=n)}" for n in range(1, 61)]
    sent = upstream_reply(ASKED, *records)
    limit = 500 if len(sent) > 500 else len(sent) - 1
    out = rewrite.for_client(sent, Forward(parse(ASKED)), limit, truncate_bit=True)
    given_back = texts(dns.message.from_wire(out, one_rr_per_rrset=True).answer)
    assert 5 < len(given_back) <= 59
    assert set(given_back) < set(texts(dns.message.from_wire(sent, one_rr_per_rrset=True).answer))


def test_without_the_truncate_bit_a_part_is_all_there_is():
    reply = part(*MANY, "authority example.test. NS ns.test.", truncate_bit=False, flags=AD)
    assert reply.flags & (TC | AD) == 0
    assert addresses(reply) == addresses(part(*MANY))
    assert texts(reply.authority) == []


@pytest.mark.parametrize("truncate_bit", [True, False])
def test_a_truncated_reply_says_so_unless_told_otherwise_and_was_not_verified(truncate_bit):
    reply = part(ADDRESS, "authority example.test. NS ns.test.", flags=TC | AD, truncate_bit=truncate_bit)
    assert bool(reply.flags & TC) is truncate_bit
    assert not reply.flags & AD
    assert (addresses(reply), len(reply.authority)) == (["192.0.2.1"], 1)


def test_a_truncated_reply_that_ends_in_the_middle_of_a_record_gives_those_before():
    reply = upstream_reply(ASKED, *MANY[:3], flags=TC)
    for missing in range(1, 16):
        assert addresses(rewritten(ASKED, reply[:-missing])) == ["192.0.2.0", "192.0.2.1"]
    with pytest.raises(BadReplyError):
        rewritten(ASKED, upstream_reply(ASKED, *MANY[:3])[:-1])


LARGE = "answer www.example.test. TXT " + " ".join(['"' + "x" * 250 + '"'] * 3)


def test_nothing_at_all_is_never_a_whole_answer():
    reply = part(LARGE)
    assert (reply.flags & TC, reply.answer) == (TC, [])
    for said in (upstream_reply(ASKED, LARGE), upstream_reply(ASKED, flags=TC)):
        with pytest.raises(BadReplyError, match="no record of its answer fits"):
            rewritten(ASKED, said, truncate_bit=False)


def test_what_has_no_answer_is_what_it_was():
    denial = ["authority example.test. SOA ns.test. root.test. 1 2 3 4 5", LARGE.replace("answer", "authority")]
    for rcode in (0, 3):
        said = upstream_reply(ASKED, *denial, rcode=rcode)
        assert (rewritten(ASKED, said).flags & TC, rewritten(ASKED, said).rcode()) == (TC, rcode)
        assert rewritten(ASKED, said, truncate_bit=False).rcode() == rcode


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
