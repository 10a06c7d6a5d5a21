"""A reply that does not fit: which part of it which client gets."""

import struct
from collections import Counter

import dns.message
import dns.rdatatype
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.examples import fewer
from tests.serve.asking import parse, texts
from tests.serve.forward.rewriting import AD, ADDRESS, ASKED, MANY, TC, addresses, part, rewritten, upstream_reply

from mesos_dns.serve.forward import rewrite
from mesos_dns.serve.forward.rewrite import BadReplyError
from mesos_dns.serve.request import Forward


@given(st.permutations(MANY), st.integers(0, 300), st.binary(min_size=4, max_size=16))
@fewer(4)
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
