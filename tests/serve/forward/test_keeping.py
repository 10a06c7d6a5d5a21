"""What may be kept of a reply, and for how long: transcripts of the RFCs' cases."""

import dns.flags
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.serve.forward.replies import question, reply_to, transcript

from mesos_dns.serve.forward.keeping import is_answer, kept
from mesos_dns.serve.forward.records import BadReplyError

A, AAAA, CNAME, MX, ANY, AXFR = 1, 28, 5, 15, 255, 252
SOA = "authority example.test. 3600 SOA ns.example.test. admin.example.test. 1 7200 900 604800 600"


def keep(text, name="www.example.test.", qtype="A", **options):
    query = question(name, qtype)
    reply = reply_to(query, text, **options)
    assert is_answer(reply, query.question_end)
    return kept(reply, query.question_end, query.qtype)


def life(text, **options):
    """(seconds, whether it is negative), or None if it is not kept."""
    answer = keep(text, **options)
    return answer and (answer.seconds, answer.negative)


# --- positive ----------------------------------------------------------------------------------


def test_a_positive_answer_lives_as_long_as_its_shortest_record():
    assert life("""
        answer www.example.test. 300 CNAME web.example.test.
        answer web.example.test. 60 A 192.0.2.1
        answer web.example.test. 60 A 192.0.2.2
    """) == (60, False)


def test_name_servers_and_addresses_beside_the_answer_do_not_matter():
    assert life("""
        answer www.example.test. 300 A 192.0.2.1
        authority example.test. 10 NS ns.example.test.
        additional ns.example.test. 5 A 192.0.2.53
    """) == (300, False)


def test_the_proof_of_an_answer_from_a_wildcard_matters():
    assert life("""
        answer www.example.test. 300 A 192.0.2.1
        authority example.test. 40 NSEC zzz.example.test. A
        authority example.test. 10 NS ns.example.test.
    """) == (40, False)


def test_an_alias_is_the_answer_to_who_asks_for_aliases():
    text = "answer www.example.test. 300 CNAME web.example.test."
    assert life(text, qtype="CNAME") == (300, False)
    assert life(text, qtype="ANY") == (300, False)


@pytest.mark.parametrize("ttl", [0, 0x80000000, 0xFFFFFFFF])
def test_ttl_0_and_ttls_with_the_top_bit_are_for_this_transaction_only(ttl):
    query = question()
    reply = bytearray(reply_to(query, "answer www.example.test. 300 A 192.0.2.1"))
    reply[-10:-6] = ttl.to_bytes(4, "big")
    assert kept(bytes(reply), query.question_end, A) is None


def test_aa_and_the_opt_record_are_not_kept():
    answer = keep("answer www.example.test. 300 A 192.0.2.1", flags=dns.flags.AA | dns.flags.RA, edns=True)
    message = dns.message.from_wire(answer.octets)
    assert (message.edns, message.flags) == (-1, dns.flags.QR | dns.flags.RD | dns.flags.RA)
    assert transcript(answer.octets) == ["answer www.example.test. 300 A 192.0.2.1"]


def test_all_ttls_are_known():
    text = f"""
        answer www.example.test. 300 A 192.0.2.1
        {SOA}
        additional ns.example.test. 86400 A 192.0.2.53
    """
    answer = keep(text, edns=True)
    assert [int.from_bytes(answer.octets[at : at + 4], "big") for at in answer.ttls] == [300, 600, 86400]


# --- negative (RFC 2308) -----------------------------------------------------------------------


@pytest.mark.parametrize("rcode", ["NXDOMAIN", "NOERROR"])
@pytest.mark.parametrize(("ttl", "minimum", "seconds"), [(3600, 600, 600), (60, 600, 60)])
def test_nxdomain_and_nodata_live_for_the_smaller_of_the_soas_ttl_and_minimum(rcode, ttl, minimum, seconds):
    text = f"authority example.test. {ttl} SOA ns.example.test. admin.example.test. 1 7200 900 604800 {minimum}"
    answer = keep(text, rcode=rcode)
    assert (answer.seconds, answer.negative) == (seconds, True)
    assert transcript(answer.octets)[0].split()[2] == str(seconds)


@pytest.mark.parametrize("rcode", ["NXDOMAIN", "NOERROR"])
def test_a_chain_of_aliases_to_nothing_is_nothing_and_lives_as_long_as_its_shortest_part(rcode):
    alias = "answer www.example.test. {} CNAME web.example.test."
    assert life(alias.format(30) + "\n" + SOA, rcode=rcode) == (30, True)
    assert life(alias.format(7200) + "\n" + SOA, rcode=rcode) == (600, True)


# RFC 2308 section 2.1, the types of NXDOMAIN; `kept` are those with an SOA.
ALIAS = "answer an.example. 300 CNAME tripple.xx."
NS = "authority xx. 300 NS ns1.xx.\nauthority xx. 300 NS ns2.xx."
GLUE = "additional ns1.xx. 300 A 127.0.0.2\nadditional ns2.xx. 300 A 127.0.0.3"
XX_SOA = "authority xx. 300 SOA ns1.xx. hostmaster.ns1.xx. 1 7200 900 604800 120"


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        pytest.param([ALIAS, XX_SOA, NS, GLUE], (120, True), id="type 1"),
        pytest.param([ALIAS, XX_SOA], (120, True), id="type 2"),
        pytest.param([ALIAS], None, id="type 3"),
        pytest.param([ALIAS, NS, GLUE], None, id="type 4, and a referral"),
    ],
)
@pytest.mark.parametrize("rcode", ["NXDOMAIN", "NOERROR"])
def test_the_types_of_negative_answers(lines, expected, rcode):
    assert life("\n".join(lines), name="an.example.", rcode=rcode) == expected


def test_a_referral_is_not_kept():
    assert life(f"{NS}\n{GLUE}", name="an.xx.") is None


def test_an_soa_that_was_asked_for_lives_for_its_ttl():
    assert life(SOA.replace("authority", "answer"), name="example.test.", qtype="SOA") == (3600, False)


def test_nxdomain_with_an_answer_is_still_nxdomain():
    text = "answer www.example.test. 300 A 192.0.2.1"
    assert life(text, rcode="NXDOMAIN") is None
    assert life(f"{text}\n{SOA}", rcode="NXDOMAIN") == (300, True)


def test_a_minimum_with_the_top_bit_is_0():
    assert life(SOA.removesuffix("600") + "2147483648", rcode="NXDOMAIN") is None


def test_an_soa_outside_of_the_authority_section_says_nothing():
    assert life(SOA.replace("authority", "additional"), rcode="NXDOMAIN") is None


def test_the_proof_of_a_negative_answer_matters():
    assert life(f"{SOA}\nauthority example.test. 20 NSEC zzz.example.test. A", rcode="NXDOMAIN") == (20, True)


def test_signatures_alone_are_no_answer():
    signature = "answer www.example.test. 300 RRSIG A 8 3 300 20300101000000 20200101000000 1 example.test. AAAA"
    assert life(signature) is None
    assert life(signature, qtype="RRSIG") == (300, False)


# --- not answers -------------------------------------------------------------------------------


@pytest.mark.parametrize("rcode", ["SERVFAIL", "REFUSED", "FORMERR", "NOTIMP"])
def test_other_rcodes_are_no_answers(rcode):
    query = question()
    assert not is_answer(reply_to(query, rcode=rcode), query.question_end)


def test_what_was_cut_is_no_answer():
    query = question()
    assert not is_answer(reply_to(query, flags=dns.flags.TC), query.question_end)
    assert not is_answer(b"", 12)
    assert not is_answer(reply_to(query)[:20], query.question_end)


def test_an_extended_rcode_is_no_answer():
    query = question()
    with pytest.raises(BadReplyError, match="extended RCODE"):
        kept(reply_to(query, rcode="BADVERS", edns=True), query.question_end, A)


def test_an_soa_that_is_too_short_makes_no_sense():
    query = question()
    reply = reply_to(query)[:8] + b"\0\1\0\0" + query.octets[12 : query.question_end]
    reply += b"\0" + b"\0\6\0\1" + b"\0\0\1\0" + b"\0\4" + b"\0\0\0\1"
    with pytest.raises(BadReplyError, match="SOA"):
        kept(reply, query.question_end, A)


def test_what_is_no_data_and_what_is_very_large_are_not_kept():
    many = "\n".join(f"answer www.example.test. 300 A 10.0.{n // 250}.{n % 250}" for n in range(1100))
    assert life(many) is None
    assert life("answer www.example.test. 300 TYPE200 \\# 1 00", qtype="TYPE200") is None


# --- rotation ----------------------------------------------------------------------------------


def run_of(text, **options):
    return keep(text, **options).run


def test_addresses_of_one_name_may_be_rotated():
    run = run_of("""
        answer www.example.test. 300 CNAME web.example.test.
        answer web.example.test. 60 A 192.0.2.1
        answer web.example.test. 60 A 192.0.2.2
        answer web.example.test. 60 RRSIG A 8 3 300 20300101000000 20200101000000 1 example.test. AAAA
    """)
    # The owner of the first stands in the rdata of the alias: all three point to it.
    assert (run.end - run.start, run.size) == (32, 16)


@pytest.mark.parametrize(
    ("text", "qtype"),
    [
        pytest.param("answer www.example.test. 60 A 192.0.2.1", "A", id="one"),
        pytest.param(
            "answer www.example.test. 60 MX 1 a.test.\nanswer www.example.test. 60 MX 1 b.test.", "MX", id="names"
        ),
        pytest.param(
            "answer www.example.test. 60 CNAME a.test.\nanswer www.example.test. 60 CNAME b.test.\n"
            "answer b.test. 60 A 192.0.2.1",
            "A",
            id="aliases",
        ),
        pytest.param(
            "answer www.example.test. 60 A 192.0.2.1\nadditional www.example.test. 60 A 192.0.2.2", "A", id="sections"
        ),
        pytest.param(
            "answer www.example.test. 60 A 192.0.2.1\nanswer www.example.test. 60 A 192.0.2.2", "ANY", id="any"
        ),
    ],
)
def test_what_is_not_rotated(text, qtype):
    assert run_of(text, qtype=qtype) is None


def test_a_set_has_one_ttl_the_smallest():
    answer = keep("answer www.example.test. 300 A 192.0.2.1\nanswer www.example.test. 60 A 192.0.2.2")
    assert answer.seconds == 60
    assert [line.split()[2] for line in transcript(answer.octets)] == ["60", "60"]


# --- any octets --------------------------------------------------------------------------------

GOOD = reply_to(
    question(),
    f"answer www.example.test. 60 CNAME a.test.\nanswer a.test. 60 A 192.0.2.1\nanswer a.test. 9 A 192.0.2.2\n{SOA}",
    edns=True,
)


@given(
    st.one_of(
        st.binary(max_size=200),
        st.builds(lambda counts, rest: GOOD[:6] + counts + GOOD[12:33] + rest, st.binary(min_size=6, max_size=6).map(lambda b: bytes(n & 1 and n & 7 for n in b)), st.binary(max_size=80)),
        st.builds(lambda at, octet: GOOD[:at] + bytes([octet]) + GOOD[at + 1 :], st.integers(4, len(GOOD) - 1), st.integers(0, 255)),
    ),
    st.integers(0, 60),
    st.sampled_from([A, AAAA, CNAME, MX, ANY, AXFR]),
)  # fmt: skip
def test_any_octets_are_kept_as_records_or_refused(reply, question_end, qtype):
    if not is_answer(reply, question_end):
        return
    try:
        answer = kept(reply, question_end, qtype)
    except BadReplyError:
        return
    if answer is not None:
        assert 0 < answer.seconds < 1 << 31
        assert len(answer.octets) <= len(reply)
        assert all(at + 6 <= len(answer.octets) for at in answer.ttls)
        if answer.run is not None:
            start, end, size = answer.run
            assert question_end <= start < start + size < end <= len(answer.octets)
            assert (end - start) % size == 0


@given(st.integers(4, len(GOOD) - 1), st.integers(0, 255))
def test_one_wrong_octet_never_makes_a_ttl_larger(at, octet):
    end = question().question_end
    reply = GOOD[:at] + bytes([octet]) + GOOD[at + 1 :]
    if not is_answer(reply, end):
        return
    try:
        answer = kept(reply, end, A)
    except BadReplyError:
        return
    if answer is not None:
        for place in answer.ttls:
            ttl, theirs = (int.from_bytes(octets[place : place + 4], "big") for octets in (answer.octets, reply))
            assert ttl <= (theirs if theirs < 1 << 31 else 0)
