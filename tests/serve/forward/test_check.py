"""What an upstream sent: whether it is an answer to the question, and what of it belongs."""

import itertools
import struct
import timeit

import dns.flags
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.serve.asking import ask, parse, read, texts
from tests.serve.forward.rewriting import upstream_reply

from mesos_dns.dns import name as names
from mesos_dns.serve.forward import rewrite
from mesos_dns.serve.forward.check import MAX_ALIASES, usable
from mesos_dns.serve.forward.rewrite import BadReplyError
from mesos_dns.serve.request import Forward

OWN = (names.from_text("mesos"),)
ASKED = "www.example.test."
A_RECORD = f"answer {ASKED} A 192.0.2.1"


def reply_to(*records, qtype="A", name=ASKED, **more):
    """A reply to that question, and where its question ends."""
    octets = ask(name, qtype)
    return upstream_reply(octets, *records, **more), parse(octets).question_end


def kept(*records, **more):
    """Of these records those that are left: sections and texts without TTL and class."""
    reply, end = reply_to(*records, **more)
    message = read(usable(reply, end, OWN))
    out = []
    for section, rrsets in (
        ("answer", message.answer),
        ("authority", message.authority),
        ("additional", message.additional),
    ):
        for text in texts(rrsets):
            owner, _, _, rest = text.split(" ", 3)
            out.append(f"{section} {owner} {rest}")
    return out


def why_not(*records, **more):
    """What is wrong with a reply of these records."""
    reply, end = reply_to(*records, **more)
    with pytest.raises(BadReplyError) as caught:
        usable(reply, end, OWN)
    return str(caught.value)


# --- what belongs ------------------------------------------------------------------------------

SIGNATURE = "8 3 300 20300101000000 20200101000000 1 example.test. AAAA"
ANSWERS = {
    "address": [A_RECORD, f"answer {ASKED} A 192.0.2.2"],
    "none": [],
    "alias": [f"answer {ASKED} CNAME a.example.org.", "answer a.example.org. A 192.0.2.1"],
    "alias that leads nowhere": [
        f"answer {ASKED} CNAME a.example.org.",
        "authority example.org. SOA ns.example.org. root.example.org. 1 2 3 4 5",
    ],
    "aliases behind": [
        "answer c.example.org. A 192.0.2.1",
        "answer b.example.org. CNAME c.example.org.",
        f"answer {ASKED} CNAME b.example.org.",
    ],
    "signed": [A_RECORD, f"answer {ASKED} RRSIG A {SIGNATURE}"],
    "signed alias": [f"answer {ASKED} CNAME a.example.org.", f"answer {ASKED} RRSIG CNAME {SIGNATURE}"],
    "DNAME": [
        "answer example.test. DNAME example.org.",
        f"answer {ASKED} CNAME www.example.org.",
        "answer www.example.org. A 192.0.2.1",
    ],
    "DNAME without the alias that it makes": [
        "answer example.test. DNAME example.org.",
        "answer www.example.org. A 192.0.2.1",
    ],
    "signed DNAME": ["answer example.test. DNAME example.org.", f"answer example.test. RRSIG DNAME {SIGNATURE}"],
    "negative": ["authority example.test. SOA ns.example.test. root.example.test. 1 2 3 4 5"],
    "negative, signed": [
        "authority example.test. SOA ns.example.test. root.example.test. 1 2 3 4 5",
        f"authority example.test. RRSIG SOA {SIGNATURE}",
        "authority x.example.test. NSEC z.example.test. A RRSIG NSEC",
        f"authority x.example.test. RRSIG NSEC {SIGNATURE}",
    ],
    "name servers": [A_RECORD, "authority test. NS ns.test.", "additional ns.test. A 192.0.2.53"],
    "another in capitals": ["answer WWW.example.TEST. CNAME A.example.org.", "answer a.EXAMPLE.org. A 192.0.2.1"],
}


@pytest.mark.parametrize("records", ANSWERS.values(), ids=ANSWERS)
@pytest.mark.parametrize("opt", [False, True], ids=["plain", "OPT"])
def test_an_honest_answer_is_left_as_it_is(records, opt):
    reply, end = reply_to(*records, opt=opt)
    assert usable(reply, end, OWN) is reply


@pytest.mark.parametrize(
    ("qtype", "records"),
    [
        ("CNAME", [f"answer {ASKED} CNAME a.example.org."]),
        ("DNAME", [f"answer {ASKED} DNAME a.example.org."]),
        ("ANY", [A_RECORD, f"answer {ASKED} MX 10 mail.example.test.", f"answer {ASKED} TXT hello"]),
        ("ANY", [f"answer {ASKED} CNAME a.example.org."]),
        ("RRSIG", [f"answer {ASKED} RRSIG A {SIGNATURE}"]),
        ("MX", [f"answer {ASKED} MX 10 mail.example.test.", "additional mail.example.test. A 192.0.2.2"]),
        ("SRV", [f"answer {ASKED} SRV 0 1 80 a.example.test."]),
        ("SOA", [f"answer {ASKED} SOA ns.example.test. root.example.test. 1 2 3 4 5"]),
        ("TYPE999", [f"answer {ASKED} TYPE999 \\# 3 010203"]),
        ("DS", [f"answer {ASKED} DS 1 8 2 {'00' * 32}"]),
    ],
)
def test_other_types(qtype, records):
    reply, end = reply_to(*records, qtype=qtype)
    assert usable(reply, end, OWN) is reply


@pytest.mark.parametrize(
    "stranger",
    [
        "answer bank.example.org. A 6.6.6.6",
        f"answer {ASKED} TXT hello",
        "answer example.test. A 6.6.6.6",
        f"answer a.{ASKED} A 6.6.6.6",
        "answer bank.example.org. CNAME evil.example.org.",
        "answer example.org. DNAME evil.example.org.",
        f"answer {ASKED} RRSIG TXT {SIGNATURE}",
        f"answer bank.example.org. RRSIG A {SIGNATURE}",
        "authority example.org. NS ns.evil.example.",
        "authority example.org. SOA ns.evil.example. root.evil.example. 1 2 3 4 5",
        f"authority {ASKED} A 6.6.6.6",
        "answer web.marathon.mesos. A 6.6.6.6",
        "authority mesos. NS ns.evil.example.",
        "authority leader.mesos. NSEC z.mesos. A",
        "additional leader.mesos. A 6.6.6.6",
        "additional LEADER.Mesos. A 6.6.6.6",
    ],
)
def test_what_does_not_belong_is_taken_out(stranger):
    rest = ["authority example.test. NS ns.example.test.", "additional ns.example.test. A 192.0.2.53"]
    expected = sorted([A_RECORD, *rest])
    assert sorted(kept(A_RECORD, stranger, *rest)) == expected
    assert sorted(kept(stranger, *rest, A_RECORD)) == expected


def test_where_something_was_taken_out_nobody_has_validated_the_rest():
    reply, end = reply_to(A_RECORD, "answer bank.example.org. A 6.6.6.6", flags=0x20 | dns.flags.RA, opt=True)
    message = read(usable(reply, end, OWN))
    assert message.flags & 0xFFF0 == dns.flags.QR | dns.flags.RA
    assert (message.edns, [int(one.otype) for one in message.options]) == (0, [65001])


def test_names_in_what_is_left_are_still_right():
    """They pointed into what was taken out."""
    records = [
        "answer bank.evil.example. A 6.6.6.6",
        f"answer {ASKED} CNAME a.evil.example.",
        "answer a.evil.example. MX 10 mail.evil.example.",
    ]
    assert kept(*records, qtype="MX") == records[1:]


def test_an_alias_for_one_of_our_names_stays_and_what_is_said_of_that_does_not():
    alias = f"answer {ASKED} CNAME web.marathon.mesos."
    assert kept(alias, "answer web.marathon.mesos. A 10.0.0.1", "authority mesos. NS ns1.mesos.") == [alias]
    # A name that only ends so is another.
    other = f"answer {ASKED} CNAME www.xmesos."
    assert kept(other, "answer www.xmesos. A 192.0.2.1") == [other, "answer www.xmesos. A 192.0.2.1"]


def test_an_answer_of_which_nothing_belongs_is_none():
    assert why_not("answer bank.example.org. A 6.6.6.6") == "no record of its answer belongs to the question"


def test_what_is_too_large_to_be_taken_apart_is_none():
    many = [f"answer {ASKED} TXT {'x' * 250}{n}" for n in range(100)]
    assert why_not(*many, "answer bank.example.org. TXT evil", qtype="TXT") == (
        "it has records that do not belong to the question, and is too large to take them out"
    )
    reply, end = reply_to(*many, qtype="TXT")
    assert usable(reply, end, OWN) is reply


# --- aliases -----------------------------------------------------------------------------------


def chain(count):
    return [f"answer {ASKED} CNAME n1.test."] + [f"answer n{n}.test. CNAME n{n + 1}.test." for n in range(1, count)]


def test_as_many_aliases_as_resolvers_follow():
    assert kept(*chain(MAX_ALIASES)) == chain(MAX_ALIASES)
    assert why_not(*chain(MAX_ALIASES + 1)) == "it has more than 16 aliases in a row"


@pytest.mark.parametrize(
    ("records", "why"),
    [
        ([f"answer {ASKED} CNAME {ASKED}"], "aliases in it lead back to where they began"),
        (
            [f"answer {ASKED} CNAME a.test.", f"answer a.test. CNAME {ASKED}"],
            "aliases in it lead back to where they began",
        ),
        ([f"answer {ASKED} CNAME a.test.", f"answer {ASKED} CNAME b.test."], "a name in it is an alias of two others"),
        (
            ["answer example.test. DNAME example.org.", f"answer {ASKED} CNAME www.evil.example."],
            "an alias in it is another than its DNAME record makes",
        ),
        (["answer test. DNAME a.test."], "it has more than 16 aliases in a row"),
    ],
)
@pytest.mark.parametrize("qtype", ["A", "CNAME"])
def test_aliases_that_contradict_one_another(records, why, qtype):
    assert why_not(*records, qtype=qtype) == why
    assert why_not(*reversed(records), qtype=qtype) == why


def test_a_redirection_to_a_name_that_is_too_long_leads_nowhere():
    """The upstream says YXDOMAIN (RFC 6672 section 2.2)."""
    target = ".".join(["x" * 60] * 4)
    records = [f"answer example.test. DNAME {target}."]
    name = "y" * 60 + ".example.test."
    assert kept(*records, name=name, rcode=6) == records


# --- what is malformed -------------------------------------------------------------------------


def crafted(*records, counts=None, qtype=1, flags=0x8180):
    """A reply of raw records (owner, type, class, rdata), all in the answer unless `counts` says otherwise."""
    name = b"\3www\7example\4test\0"
    counts = counts or (len(records), 0, 0)
    body = b"".join(
        owner + struct.pack("!HHIH", rrtype, rrclass, 300, len(rdata)) + rdata
        for owner, rrtype, rrclass, rdata in records
    )
    head = struct.pack("!HHHHHH", 1, flags, 1, *counts) + name + struct.pack("!HH", qtype, 1)
    return head + body, len(head)


Q = b"\xc0\x0c"
LONG = (b"\x3f" + b"x" * 63) * 4 + b"\0"


@pytest.mark.parametrize(
    ("rrtype", "rdata"),
    [
        *((1, bytes(n)) for n in (0, 3, 5)),
        *((28, bytes(n)) for n in (0, 4, 15, 17)),
        *((rrtype, b"") for rrtype in (2, 5, 6, 12, 15, 16, 33, 39)),
        (5, b"\3abc"),
        (5, b"\3abc\0\0"),
        (5, b"\x40" + b"x" * 64 + b"\0"),
        (5, LONG),
        (5, b"\xc0"),
        (5, b"\xff\xff"),
        (5, b"\xc0\x2e"),  # to itself
        (5, b"\1a\xc0\x2e"),  # to the label before it
        (12, b"\1a\0x"),
        (15, b"\0"),
        (15, b"\0\1"),
        (15, b"\0\1\1a\0\0"),
        (33, b"\0\1\0\1\0"),
        (33, b"\0\1\0\1\0\x50\1a\0\0"),
        (6, b"\0\0" + bytes(19)),
        (6, b"\0\0" + bytes(21)),
        (6, b"\0" + bytes(20)),
        (46, bytes(17)),
        (46, bytes(18)),
        (46, bytes(18) + b"\1a"),
        (46, bytes(18) + b"\xc0\x0c"),
        (46, bytes(18) + LONG + b"signature"),
        (47, b"\xc0\x0c\0\1\x40"),
        (65, b"\0\1\xc0\x0c"),
        (64, b"\0"),
        (16, b"\5abc"),
        (16, b"\3abc\1"),
    ],
)
def test_data_of_known_types(rrtype, rdata):
    reply, end = crafted((Q, rrtype, 1, rdata), qtype=rrtype)
    assert len(Q) + 10 + end == 0x2E, "where the pointers of this test point to"
    with pytest.raises(BadReplyError):
        usable(reply, end, OWN)
    # And in the additional section.
    reply, end = crafted((Q, rrtype, 1, rdata), qtype=1, counts=(0, 0, 1))
    with pytest.raises(BadReplyError):
        usable(reply, end, OWN)


@pytest.mark.parametrize(
    ("records", "counts", "flags"),
    [
        pytest.param([(Q, 1, 1, bytes(4))], (1, 0, 0), 0x8980, id="opcode NOTIFY"),
        pytest.param([(Q, 1, 1, bytes(4))], (2, 0, 0), 0x8180, id="fewer than it says"),
        pytest.param([(Q, 1, 1, bytes(4))], (0xFFFF, 0xFFFF, 0xFFFF), 0x8180, id="absurd counts"),
        pytest.param([(Q, 1, 3, bytes(4))], (1, 0, 0), 0x8180, id="class CH"),
        pytest.param([(Q, 1, 255, bytes(4))], (1, 0, 0), 0x8180, id="class ANY"),
        pytest.param([(b"\0", 41, 1232, b"")], (1, 0, 0), 0x8180, id="OPT in the answer"),
        pytest.param([(b"\0", 41, 1232, b"")], (0, 1, 0), 0x8180, id="OPT in the authority section"),
        pytest.param([(b"\0", 41, 1232, b"")] * 2, (0, 0, 2), 0x8180, id="two OPT"),
        pytest.param([(Q, 41, 1232, b"")], (0, 0, 1), 0x8180, id="OPT with a name"),
        pytest.param([(b"\0", 41, 1232, b"\0\3\0\1")], (0, 0, 1), 0x8180, id="option ends early"),
        pytest.param([(b"\0", 41, 1232, b"\0\3")], (0, 0, 1), 0x8180, id="half an option"),
        pytest.param([(b"\xc0\xff", 1, 1, bytes(4))], (1, 0, 0), 0x8180, id="owner points forward"),
        pytest.param([(b"\1a\xc0\4", 1, 1, bytes(4))], (0, 0, 1), 0x8180, id="owner points into the header"),
        pytest.param([(Q, 5, 1, b"\1a\xc0\0")], (1, 0, 0), 0x8180, id="alias points into the header"),
        pytest.param([(b"\x80", 1, 1, bytes(4))], (1, 0, 0), 0x8180, id="label type 10"),
    ],
)
def test_messages_that_no_server_should_send(records, counts, flags):
    reply, end = crafted(*records, counts=counts, flags=flags)
    with pytest.raises(BadReplyError):
        usable(reply, end, OWN)


@pytest.mark.parametrize(
    ("address", "at"),
    [
        pytest.param(b"\1x\5mesos\0" + bytes(7), 0, id="an address"),
        pytest.param(bytes(16), -6, id="a TTL"),
        pytest.param(bytes(16), -10, id="a type"),
    ],
)
def test_names_made_of_what_changes_are_none(address, at):
    """Addresses take turns, and TTLs count down: then these would be other names, which nobody has looked at."""
    reply, end = crafted((Q, 28, 1, address), counts=(1, 0, 1), qtype=28)
    place = end + 12 + at
    reply += struct.pack("!HHHIH", 0xC000 | place, 1, 1, 300, 4) + bytes(4)
    with pytest.raises(BadReplyError, match="points to what is no name"):
        usable(reply, end, OWN)


def test_a_label_that_reaches_into_what_changes_is_part_of_no_name():
    """The last octet of unknown data is a length: its label would be the next record's owner and type."""
    records = (Q, 65280, 1, b"\4"), (b"\0", 1, 1, bytes(4))
    reply, end = crafted(*records, counts=(1, 1, 1))
    reply += struct.pack("!HHHIH", 0xC000 | (end + 12), 1, 1, 300, 4) + bytes(4)
    with pytest.raises(BadReplyError, match="points to what is no name"):
        usable(reply, end, OWN)


def test_an_answer_with_an_extended_rcode_is_none():
    reply, end = crafted((Q, 1, 1, bytes(4)), (b"\0", 41, 1232, b""), counts=(1, 0, 1))
    with_rcode = bytearray(reply)
    with_rcode[-6] = 1
    assert usable(reply, end, OWN) == reply
    with pytest.raises(BadReplyError, match="extended RCODE"):
        usable(bytes(with_rcode), end, OWN)


def test_an_answer_that_ends_early_is_none_unless_it_says_so():
    reply, end = reply_to(A_RECORD, f"answer {ASKED} A 192.0.2.2")
    for size in range(end, len(reply)):
        with pytest.raises(BadReplyError):
            usable(reply[:size], end, OWN)
    cut, end = reply_to(A_RECORD, f"answer {ASKED} A 192.0.2.2", flags=dns.flags.TC)
    for size in range(end, len(cut)):
        assert usable(cut[:size], end, OWN) == cut[:size]


def test_where_a_truncated_answer_ends_early_what_does_not_belong_is_taken_out_too():
    reply, end = reply_to(A_RECORD, "answer bank.example.org. A 6.6.6.6", A_RECORD, flags=dns.flags.TC)
    message = read(usable(reply[:-1], end, OWN))
    assert texts(message.answer) == [f"{ASKED} 300 IN A 192.0.2.1"]
    assert message.flags & dns.flags.TC


def test_class_any_has_records_of_any_class():
    octets = ask(ASKED, "A", "ANY")
    end = parse(octets).question_end
    good = crafted((Q, 1, 1, bytes(4)), (Q, 1, 3, b"\1a\0\0\1"))[0]
    reply = good[: end - 2] + b"\0\xff" + good[end:]
    assert usable(reply, end, OWN) is reply


# --- any octets at all -------------------------------------------------------------------------

PIECES = st.one_of(
    st.binary(max_size=30),
    st.sampled_from([Q, b"\0", b"\1a\0", b"\5mesos\0", b"\xc0\x10", b"\xc0\x21", b"\0\1\0\1\0\0\0\1\0\4\1\2\3\4"]),
    st.sampled_from([b"\0\5\0\1\0\0\0\1\0\2\xc0\x10", b"\0\x27\0\1\0\0\0\1\0\3\1a\0", b"\0\0\x29\4\xd0\0\0\0\0\0\0"]),
)


@given(st.lists(PIECES, max_size=20), st.tuples(*[st.integers(0, 6)] * 3), st.sampled_from([0x8180, 0x8380]))
def test_any_records_are_refused_or_make_a_message_that_is_left_as_it_is(pieces, counts, flags):
    head, end = crafted(counts=counts, flags=flags)
    reply = head + b"".join(pieces)
    try:
        out = usable(reply, end, OWN)
    except BadReplyError:
        return
    assert usable(out, end, OWN) == out
    if out is not reply:
        rewrite.for_client(out, Forward(parse(ask(ASKED))), 65535, truncate_bit=True)


MADE = [
    reply_to(*records, "answer bank.example.org. A 6.6.6.6", opt=True, flags=flags)
    for records in ANSWERS.values()
    for flags in (0, dns.flags.TC)
]


@given(
    st.sampled_from(MADE), st.lists(st.tuples(st.integers(0, 300), st.integers(0, 255))), st.integers(0, 300), st.data()
)
def test_damaged_replies_too(made, changes, size, data):
    reply, end = made
    octets = bytearray(reply)
    for at, octet in changes:
        octets[end + at % (len(octets) - end)] = octet
    if data.draw(st.booleans()):
        del octets[end + size % (len(octets) - end) :]
    try:
        out = usable(bytes(octets), end, OWN)
    except BadReplyError:
        return
    assert usable(out, end, OWN) == out


def test_a_name_that_leads_to_behind_the_end_is_none_in_a_truncated_reply_either():
    """The last owner points to a label that would end behind the message: whoever cuts a message leaves earlier names whole."""
    stranger, owner = (b"\4bank\0", 1, 1, b"\x3f\0\0\0"), (b"\xc0\x42", 1, 1, b"\1\0\0\4")
    reply, end = crafted((Q, 1, 1, bytes(4)), stranger, owner, flags=0x8380)
    with pytest.raises(BadReplyError, match="it has a name that does not end"):
        usable(reply, end, OWN)


@given(st.lists(st.sampled_from(list(itertools.chain(*ANSWERS.values()))), max_size=8), st.randoms())
def test_what_is_left_does_not_depend_on_the_order_of_the_records(records, random):
    def found(records):
        try:
            return {text.lower() for text in kept(*records)}
        except BadReplyError:
            return None

    unique = list(dict.fromkeys(records))
    shuffled = random.sample(unique, len(unique))
    assert found(shuffled) == found(unique)


def test_names_made_to_take_long_take_as_long_as_the_message_is():
    """Each owner points to the one before it, 120 labels deep."""
    octets, end = crafted()
    body = bytearray(b"\0\1\0\1\0\0\0\1\0\4\1\2\3\4" * 0)
    at, last, count = end, 12, 0
    while at < 16_000:
        owner = (b"\1a" if count % 100 else b"\1b") + struct.pack("!H", 0xC000 | (last if count % 100 else 12))
        record = owner + struct.pack("!HHIH", 1, 1, 300, 4) + bytes(4)
        body += record
        last, at, count = at, at + len(record), count + 1
    reply = octets[:10] + struct.pack("!H", count) + octets[12:] + bytes(body)
    assert usable(reply, end, OWN) is reply
    taken = min(timeit.repeat(lambda: usable(reply, end, OWN), number=1, repeat=5))
    assert taken < 0.25, "5 ms are usual"
