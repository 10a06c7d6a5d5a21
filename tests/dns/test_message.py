"""Given octets, expect what was asked, an error, or silence."""

import struct

import dns.edns
import dns.flags
import dns.message
import dns.name
import dns.rdatatype
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesos_dns.dns import message as msg
from mesos_dns.dns.message import Edns, Query, Rejected

NGINX = b"\5nginx\10marathon\5mesos\0"
QUESTION = NGINX + b"\0\1\0\1"
OPT = b"\0\0\x29\x04\xd0\0\0\0\0\0\0"
TSIG = b"\3key\0\0\xfa\0\xff\0\0\0\0\0\0"


def header(flags=0x0100, counts=(1, 0, 0, 0), identifier=0xBEEF):
    return struct.pack("!HHHHHH", identifier, flags, *counts)


def query(rest=QUESTION, flags=0x0100, counts=(1, 0, 0, 0)):
    return header(flags, counts) + rest


def with_opt(opt=OPT, additionals=1, rest=b""):
    return query(QUESTION + opt + rest, counts=(1, 0, 0, additionals))


def with_options(options):
    return with_opt(OPT[:-2] + struct.pack("!H", len(options)) + options)


def with_cookie(cookie):
    return with_options(msg.option(msg.COOKIE, cookie))


# --- what was asked ----------------------------------------------------------------------------


def test_a_query():
    octets = query()
    assert msg.parse(octets) == Query(octets, 0x0100, NGINX, 1, 1, 12 + len(QUESTION), None)


def test_the_name_is_in_lower_case_whatever_was_asked():
    parsed = msg.parse(query(b"\5nGiNx\10MARATHON\5mesos\0\0\1\0\1"))
    assert isinstance(parsed, Query)
    assert parsed.name == NGINX


def test_the_root_can_be_asked():
    parsed = msg.parse(query(b"\0\0\2\0\1"))
    assert isinstance(parsed, Query)
    assert (parsed.name, parsed.qtype, parsed.question_end) == (b"\0", 2, 17)


def test_opt_tells_size_version_and_do():
    parsed = msg.parse(with_opt(b"\0\0\x29\x10\0\0\1\x80\0\0\0"))
    assert isinstance(parsed, Query)
    assert parsed.edns == Edns(size=4096, version=1, do=True)


def test_unknown_flags_and_options_of_opt_are_ignored():
    parsed = msg.parse(with_opt(b"\0\0\x29\x02\0\0\0\x7f\xff\0\6\xff\xee\0\2ab"))
    assert isinstance(parsed, Query)
    assert parsed.edns == Edns(512, 0, do=False, options=b"\xff\xee\0\2ab")


@pytest.mark.parametrize("flags", [0x0000, 0x0100, 0x0400, 0x0200, 0x0080, 0x0040, 0x0020, 0x0010, 0x07FF, 0x000F])
def test_no_header_flag_of_a_query_matters(flags):
    parsed = msg.parse(query(flags=flags))
    assert isinstance(parsed, Query)
    assert parsed.flags == flags


def test_other_records_behind_the_question_are_passed_over():
    record = b"\xc0\x0c\0\x10\0\1\0\0\0\0\0\2\1a"
    parsed = msg.parse(query(QUESTION + record + OPT, counts=(1, 0, 0, 2)))
    assert isinstance(parsed, Query)
    assert parsed.edns == Edns(1232, 0, do=False)
    ixfr = msg.parse(query(QUESTION + record, counts=(1, 0, 1, 0)))
    assert isinstance(ixfr, Query)
    assert ixfr.edns is None


def test_a_signed_query_says_so():
    parsed = msg.parse(with_opt(OPT + TSIG, 2))
    assert isinstance(parsed, Query)
    assert parsed.signed


# --- silence -----------------------------------------------------------------------------------


@pytest.mark.parametrize("length", range(12))
def test_fewer_than_12_octets_get_no_answer(length):
    assert msg.parse(query()[:length]) is None


@pytest.mark.parametrize("flags", [0x8000, 0x8180, 0xFFFF])
def test_replies_get_no_answer(flags):
    assert msg.parse(query(flags=flags)) is None


# --- errors ------------------------------------------------------------------------------------


def rcode(octets):
    found = msg.parse(octets)
    assert isinstance(found, Rejected), found
    return found.rcode


@pytest.mark.parametrize("opcode", range(1, 16))
def test_other_opcodes_are_not_implemented(opcode):
    assert rcode(query(flags=opcode << 11)) == msg.NOTIMP
    assert rcode(header(opcode << 11, (0, 0, 0, 0))) == msg.NOTIMP


@pytest.mark.parametrize(
    "counts",
    [
        (0, 0, 0, 0),
        (2, 0, 0, 0),
        (0xFFFF, 0, 0, 0),
        (1, 1, 0, 0),
        (1, 0, 2, 0),
        (1, 0, 0, 3),
        (1, 0, 1, 0),
        (1, 0, 0, 1),
    ],
)
def test_counts_that_no_query_has_or_that_nothing_stands_for(counts):
    assert rcode(query(counts=counts)) == msg.FORMERR


@pytest.mark.parametrize(
    "rest",
    [
        pytest.param(b"", id="no question"),
        pytest.param(b"\5ngi", id="cut in a label"),
        pytest.param(NGINX[:-1], id="cut before the root"),
        pytest.param(NGINX, id="no type"),
        pytest.param(QUESTION[:-1], id="cut in the class"),
        pytest.param(b"\x40" + b"a" * 64 + b"\0\0\1\0\1", id="label of 64"),
        pytest.param(b"\x80ab\0\0\1\0\1", id="reserved label type"),
        pytest.param(b"\xc0\x0c\0\1\0\1", id="pointer to itself"),
        pytest.param(b"\1a\xc0\x0c\0\1\0\1", id="pointer loop"),
        pytest.param(b"\1a\xc0\xff\0\1\0\1", id="pointer to nowhere"),
        pytest.param((b"\x3f" + b"a" * 63) * 4 + b"\0\0\1\0\1", id="name of 257"),
        pytest.param((b"\1a" * 127) + b"\1b\0\0\1\0\1", id="name of 257 in short labels"),
    ],
)
def test_damaged_questions(rest):
    assert rcode(query(rest)) == msg.FORMERR


def test_a_name_of_255_octets_is_fine():
    name = (b"\x3f" + b"a" * 63) * 3 + b"\x3d" + b"a" * 61 + b"\0"
    parsed = msg.parse(query(name + b"\0\1\0\1"))
    assert isinstance(parsed, Query)
    assert len(parsed.name) == 255


@pytest.mark.parametrize(
    "octets",
    [
        pytest.param(with_opt(OPT + OPT, 2), id="two OPTs"),
        pytest.param(with_opt(b"\1a" + OPT), id="owner is not the root"),
        pytest.param(with_opt(b"\xc0\x0c" + OPT[1:]), id="owner is a pointer"),
        pytest.param(with_opt(b"\xc0\x20" + OPT[1:]), id="owner is a pointer to a root"),
        pytest.param(with_opt(OPT[:-1]), id="cut"),
        pytest.param(with_opt(OPT[:-1] + b"\1"), id="RDLENGTH beyond the message"),
        pytest.param(with_opt(OPT[:-1] + b"\3\0\3\0"), id="half an option header"),
        pytest.param(with_opt(OPT[:-1] + b"\5\0\3\0\2a"), id="an option longer than RDLENGTH"),
        pytest.param(with_opt(OPT[:-1] + b"\5\0\3\0\2a" + TSIG, 2), id="an option that reaches into TSIG"),
        pytest.param(with_opt(TSIG + OPT, 2), id="TSIG is not the last"),
        *(pytest.param(with_cookie(bytes(size)), id=f"cookie of {size}") for size in (0, 1, 7, 9, 15, 41, 100)),
    ],
)
def test_damaged_opt(octets):
    assert rcode(octets) == msg.FORMERR


@pytest.mark.parametrize("size", [8, 16, 17, 24, 40])
def test_a_cookie_of_a_size_that_cookies_have_is_an_option(size):
    parsed = msg.parse(with_cookie(bytes(size)))
    assert isinstance(parsed, Query)
    assert msg.find_option(parsed.edns.options, msg.COOKIE) == bytes(size)


def test_of_several_cookies_the_first_counts():
    parsed = msg.parse(with_options(msg.option(10, b"12345678") + msg.option(10, b"bad")))
    assert isinstance(parsed, Query)
    assert msg.find_option(parsed.edns.options, msg.COOKIE) == b"12345678"
    assert rcode(with_options(msg.option(10, b"bad") + msg.option(10, b"12345678"))) == msg.FORMERR


def test_without_a_question_a_message_may_ask_for_a_cookie():
    octets = header(0x0110, (0, 0, 0, 1)) + with_cookie(b"12345678")[12 + len(QUESTION) :]
    assert msg.parse(octets) == msg.CookieQuery(
        octets, 0x0110, Edns(1232, 0, do=False, options=msg.option(10, b"12345678"))
    )


@pytest.mark.parametrize(
    "rest",
    [
        pytest.param(OPT, id="no cookie"),
        pytest.param(TSIG, id="no OPT"),
        pytest.param(b"", id="nothing"),
        pytest.param(OPT[:-1] + b"\5\0\x0a\0\1a", id="a cookie of 1"),
    ],
)
def test_without_a_question_and_a_cookie_it_is_an_error(rest):
    assert rcode(header(0x0100, (0, 0, 0, 1)) + rest) == msg.FORMERR


@pytest.mark.parametrize("rest", [b"\0", b"x" * 20, OPT, bytes(3000)])
@pytest.mark.parametrize("octets", [query(), with_opt(OPT)])
def test_what_stands_behind_the_last_record_is_passed_over(octets, rest):
    found = msg.parse(octets + rest)
    assert isinstance(found, Query)
    assert found._replace(octets=octets) == msg.parse(octets)


def test_a_rejection_tells_id_opcode_and_rcode_and_of_a_query_rd_and_cd():
    assert Rejected(query(flags=0x7FFF), msg.NOTIMP).reply() == b"\xbe\xef\xf8\x04" + bytes(8)
    assert Rejected(query(flags=0x07FF), msg.FORMERR).reply() == b"\xbe\xef\x81\x11" + bytes(8)
    assert Rejected(query(flags=0), msg.FORMERR).reply() == b"\xbe\xef\x80\x01" + bytes(8)


@pytest.mark.parametrize(
    "octets",
    [
        *(query(counts=counts) for counts in ((1, 1, 0, 0), (1, 0, 2, 0), (1, 0, 0, 3), (1, 0, 1, 0), (1, 0, 0, 1))),
        *(with_opt(OPT + OPT, 2), with_opt(b"\1a" + OPT), with_opt(OPT[:-1]), with_opt(OPT[:-1] + b"\3\0\3\0")),
    ],
)
def test_an_error_echoes_the_question_that_could_be_read(octets):
    reply = msg.parse(octets).reply()
    assert reply == b"\xbe\xef\x81\x01" + b"\0\1" + bytes(6) + QUESTION


@pytest.mark.parametrize("octets", [query(QUESTION[:-1]), query(counts=(2, 0, 0, 0)), query(b"\xc0\x0c\0\1\0\1")])
def test_an_error_about_the_question_is_a_header(octets):
    assert msg.parse(octets).reply() == b"\xbe\xef\x81\x01" + bytes(8)


# --- options -----------------------------------------------------------------------------------


def test_options_are_found_by_their_code():
    options = msg.extended_error(14) + msg.tcp_keepalive(300) + b"\0\3\0\0"
    assert msg.tcp_keepalive(300) == b"\0\x0b\0\2\x01\x2c"
    assert [msg.has_option(options, code) for code in (15, 11, 3, 10, 14)] == [True, True, True, False, False]
    assert not msg.has_option(b"", 11)


def test_where_the_opt_record_of_a_message_begins():
    reply = header(0x8000, (1, 1, 0, 1)) + QUESTION + b"\xc0\x0c\0\1\0\1\0\0\0\0\0\4abcd"
    assert msg.opt_start(reply + msg.opt()) == len(reply)
    assert msg.opt_start(reply + msg.opt() + b"x") is None
    assert msg.opt_start(header(0x8000, (1, 0, 0, 0)) + QUESTION) is None
    assert msg.opt_start(header(0x8000, (0, 0, 0, 0))) is None


@given(st.binary(min_size=12, max_size=80))
def test_any_octets_have_an_opt_record_at_their_end_or_none(octets):
    start = msg.opt_start(octets)
    if start is not None:
        assert octets[start + 1 : start + 3] == b"\0\x29" or octets[start] != 0


# --- our own OPT -------------------------------------------------------------------------------


def test_opt_of_replies_reads_back_through_dnspython():
    octets = header(0x8000, (0, 0, 0, 1)) + msg.opt(msg.BADVERS, do=True, options=msg.extended_error(14))
    message = dns.message.from_wire(octets)
    assert message.rcode() == 16
    assert (message.edns, message.payload, message.ednsflags & 0xFFFF) == (0, 1232, dns.flags.DO)
    assert [(option.code, option.text) for option in message.options] == [(14, None)]


@pytest.mark.parametrize(
    ("edns", "limit"),
    [(None, 512), (0, 512), (511, 512), (512, 512), (1000, 1000), (1232, 1232), (4096, 1232), (65535, 1232)],
)
def test_octets_over_udp(edns, limit):
    assert msg.udp_limit(None if edns is None else Edns(edns, 0, do=False)) == limit


# --- any octets --------------------------------------------------------------------------------

LABELS = st.lists(st.binary(min_size=1, max_size=63), max_size=5).filter(lambda ls: sum(map(len, ls)) + len(ls) < 255)
OPTIONS = st.lists(st.tuples(st.integers(20, 65535), st.binary(max_size=20)), max_size=3)


@st.composite
def queries(draw):
    message = dns.message.Message(draw(st.integers(0, 65535)))
    message.flags = draw(st.integers(0, 0x7F)) << 4 & 0x7F0
    name = dns.name.Name((*draw(LABELS), b""))
    message.question.append(dns.rrset.RRset(name, draw(st.integers(1, 4)), draw(st.integers(0, 65535))))
    if draw(st.booleans()):
        options = [dns.edns.GenericOption(*option) for option in draw(OPTIONS)]
        flags = draw(st.integers(0, 65535)) | draw(st.integers(0, 3)) << 16
        message.use_edns(edns=flags >> 16, ednsflags=flags, payload=draw(st.integers(0, 65535)), options=options)
    return message


@given(queries())
def test_every_query_of_dnspython_is_understood(message):
    octets = message.to_wire()
    parsed = msg.parse(octets)
    assert isinstance(parsed, Query)
    (asked,) = message.question
    assert parsed.name == asked.name.to_wire().lower()
    assert (parsed.qtype, parsed.qclass) == (asked.rdtype, asked.rdclass)
    assert octets[12 : parsed.question_end] == asked.name.to_wire() + struct.pack("!HH", asked.rdtype, asked.rdclass)
    if message.edns < 0:
        assert parsed.edns is None
    else:
        options = b"".join(msg.option(int(each.otype), each.to_wire()) for each in message.options)
        assert parsed.edns == Edns(message.payload, message.edns, bool(message.ednsflags & dns.flags.DO), options)


@given(queries(), st.data())
def test_a_query_with_one_octet_changed_never_raises(message, data):
    octets = bytearray(message.to_wire())
    at = data.draw(st.integers(0, len(octets) - 1))
    octets[at] = data.draw(st.integers(0, 255))
    judge(bytes(octets))


@given(queries(), st.data())
def test_a_query_that_is_cut_is_an_error_or_silence(message, data):
    octets = message.to_wire()
    length = data.draw(st.integers(0, len(octets) - 1))
    # A cut within what stands behind the last record changes nothing.
    found = judge(octets[:length])
    assert not isinstance(found, Query) or found == msg.parse(octets)._replace(octets=octets[:length])


@given(st.binary(max_size=600))
def test_any_octets(octets):
    judge(octets)


@given(st.binary(max_size=300), st.lists(st.integers(0, 2), min_size=4, max_size=4), st.integers(0, 0x7FF))
def test_any_octets_behind_a_plausible_header(rest, counts, flags):
    judge(header(flags, counts) + rest)


@given(st.binary(max_size=60), st.integers(1, 2))
def test_any_octets_behind_a_question(rest, additionals):
    judge(with_opt(rest, additionals))


def judge(octets):
    """Parse; whatever the octets are, hold the result to what it promises."""
    parsed = msg.parse(octets)
    if parsed is None:
        assert len(octets) < 12 or octets[2] & 0x80
    elif isinstance(parsed, Rejected):
        reply = parsed.reply()
        assert len(reply) == (parsed.question_end or 12)
        dns.message.from_wire(reply)
        assert reply[:2] == octets[:2]
        assert reply[2] & 0x80
    elif isinstance(parsed, msg.CookieQuery):
        assert octets[4:12] == b"\0\0\0\0\0\0\0\1"
        assert len(msg.find_option(parsed.edns.options, msg.COOKIE)) in msg.COOKIE_SIZES
    else:
        assert parsed.octets is octets
        assert len(parsed.name) <= 255
        assert parsed.question_end == 12 + len(parsed.name) + 4 <= len(octets)
        assert dns.name.from_wire(octets, 12)[0].to_wire().lower() == parsed.name
    return parsed
