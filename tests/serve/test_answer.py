"""Question in, reply out, as dnspython reads it."""

from random import Random

import dns.flags
import dns.message
import dns.rcode
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.serve.asking import AUTHORITY, ask, make_answerer, make_zone, option, parse, read, reply_of, texts

from mesos_dns.dns import message as msg
from mesos_dns.dns import name as names
from mesos_dns.dns import rdata as rd
from mesos_dns.serve.answer import Answerer, AnswerOptions, clean_wildcards
from mesos_dns.serve.request import Forward
from mesos_dns.zone.change import ZoneChange
from mesos_dns.zone.zone import Zone
from mesos_dns.zone.zones import Zones

AA, RD, RA, QR, TC, CD = (dns.flags.AA, dns.flags.RD, dns.flags.RA, dns.flags.QR, dns.flags.TC, dns.flags.CD)
NEGATIVE = "mesos. 30 IN SOA ns1.mesos. root.ns1.mesos. 4711 60 600 86400 30"


@pytest.fixture(scope="module")
def answerer():
    return make_answerer()


def reply_to(answerer, octets, *, tcp=False):
    query = parse(octets)
    limit = msg.TCP_SIZE if tcp else msg.udp_limit(query.edns)
    reply = reply_of(answerer, query, limit, tcp=tcp)
    assert isinstance(reply, bytes), reply
    assert len(reply) <= limit
    return read(reply)


# --- what is there -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "rdtype", "answer", "additional"),
    [
        ("chronos.marathon.mesos.", "A", ["chronos.marathon.mesos. 60 IN A 1.2.3.11"], []),
        ("cHrOnOs.MARATHON.mesoS.", "A", ["cHrOnOs.MARATHON.mesoS. 60 IN A 1.2.3.11"], []),
        ("toy.marathon.mesos.", "AAAA", ["toy.marathon.mesos. 60 IN AAAA fd01:b::1:8000:2"], []),
        (
            "liquor.marathon.mesos.",
            "A",
            ["liquor.marathon.mesos. 60 IN A 10.3.0.1", "liquor.marathon.mesos. 60 IN A 10.3.0.2"],
            [],
        ),
        (
            "_Liquor._tcp.marathon.mesos.",
            "SRV",
            [
                f"_Liquor._tcp.marathon.mesos. 60 IN SRV 0 1 {port} liquor-{task}.marathon.mesos."
                for task in "ab"
                for port in (443, 80)
            ],
            [
                "liquor-a.marathon.mesos. 60 IN A 10.3.0.1",
                "liquor-b.marathon.mesos. 60 IN A 10.3.0.2",
                "liquor-b.marathon.mesos. 60 IN AAAA fd00::2",
            ],
        ),
        (
            "_lost._tcp.marathon.mesos.",
            "SRV",
            ["_lost._tcp.marathon.mesos. 60 IN SRV 0 1 80 nobody.marathon.mesos."],
            [],
        ),
        ("mesos.", "SOA", ["mesos. 60 IN SOA ns1.mesos. root.ns1.mesos. 4711 60 600 86400 30"], []),
        (
            "MESOS.",
            "NS",
            ["MESOS. 60 IN NS ns1.mesos."],
            ["ns1.mesos. 60 IN A 192.0.2.1", "ns1.mesos. 60 IN AAAA 2001:db8::53"],
        ),
    ],
)
@pytest.mark.parametrize("tcp", [False, True])
def test_answers(answerer, name, rdtype, answer, additional, tcp):
    reply = reply_to(answerer, ask(name, rdtype), tcp=tcp)
    assert reply.id == 0xBEEF
    assert reply.flags & ~15 == QR | AA | RD | RA
    assert reply.rcode() == dns.rcode.NOERROR
    assert reply.question[0].name.to_text() == name
    assert sorted(texts(reply.answer)) == sorted(answer)
    assert texts(reply.authority) == []
    assert sorted(texts(reply.additional)) == sorted(additional)


@pytest.mark.parametrize(
    ("name", "rdtype", "rcode"),
    [
        ("chronos.marathon.mesos.", "AAAA", "NOERROR"),
        ("chronos.marathon.mesos.", "SRV", "NOERROR"),
        ("chronos.marathon.mesos.", "TXT", "NOERROR"),
        ("chronos.marathon.mesos.", "NS", "NOERROR"),
        ("chronos.marathon.mesos.", "SOA", "NOERROR"),
        ("chronos.marathon.mesos.", "DS", "NOERROR"),
        ("chronos.marathon.mesos.", "TYPE666", "NOERROR"),
        ("chronos.marathon.mesos.", "TYPE65535", "NOERROR"),
        ("_liquor._tcp.marathon.mesos.", "A", "NOERROR"),
        # Names that only have descendants (RFC 8020), and the apex.
        ("marathon.mesos.", "A", "NOERROR"),
        ("_tcp.marathon.mesos.", "SRV", "NOERROR"),
        ("_tcp.mesos.", "ANY", "NOERROR"),
        ("mesos.", "A", "NOERROR"),
        ("mesos.", "DS", "NOERROR"),
        ("missing.mesos.", "A", "NXDOMAIN"),
        ("missing.mesos.", "AAAA", "NXDOMAIN"),
        ("missing.mesos.", "SRV", "NXDOMAIN"),
        ("missing.mesos.", "SOA", "NXDOMAIN"),
        ("missing.mesos.", "NS", "NXDOMAIN"),
        ("missing.mesos.", "ANY", "NXDOMAIN"),
        ("_udp.marathon.mesos.", "SRV", "NXDOMAIN"),
        ("x.chronos.marathon.mesos.", "A", "NXDOMAIN"),
        # No synthesis from wildcards: a name with a star is a name.
        ("other.marathon.mesos.", "A", "NXDOMAIN"),
        ("*.chronos.marathon.mesos.", "A", "NXDOMAIN"),
    ],
)
@pytest.mark.parametrize("tcp", [False, True])
def test_negative_answers_carry_one_soa_of_the_apex(answerer, name, rdtype, rcode, tcp):
    reply = reply_to(answerer, ask(name, rdtype), tcp=tcp)
    assert dns.rcode.to_text(reply.rcode()) == rcode
    assert reply.flags & ~15 == QR | AA | RD | RA
    assert texts(reply.answer) == texts(reply.additional) == []
    assert texts(reply.authority) == [NEGATIVE]


def test_the_ttl_of_a_negative_answer_is_the_smaller_of_ttl_and_minimum():
    answerer = make_answerer(make_zone(authority=AUTHORITY._replace(ttl=5, minimum=30)))
    assert texts(reply_to(answerer, ask("x.mesos.")).authority)[0].startswith("mesos. 5 IN SOA")


def test_a_serial_change_shows_in_the_soa(answerer):
    zone = make_zone()
    answerer = make_answerer(zone)
    zone.apply(ZoneChange(4712, ()))
    assert " 4712 " in texts(reply_to(answerer, ask("mesos.", "SOA")).answer)[0]


# --- ANY ---------------------------------------------------------------------------------------


def test_any_over_udp_is_one_record_set(answerer):
    reply = reply_to(answerer, ask("toy.marathon.mesos.", "ANY"))
    assert {rrset.rdtype for rrset in reply.answer} == {rd.A}
    assert len(texts(reply.answer)) == 2


def test_any_over_tcp_is_everything(answerer):
    reply = reply_to(answerer, ask("toy.marathon.mesos.", "ANY"), tcp=True)
    assert sorted(rrset.rdtype for rrset in reply.answer) == [rd.A, rd.AAAA]


def test_any_of_a_service_brings_its_addresses(answerer):
    reply = reply_to(answerer, ask("_liquor._tcp.marathon.mesos.", "ANY"))
    assert len(texts(reply.answer)) == 4
    assert len(texts(reply.additional)) == 3


def test_any_of_the_apex(answerer):
    over_tcp = reply_to(answerer, ask("mesos.", "ANY"), tcp=True)
    assert sorted(rrset.rdtype for rrset in over_tcp.answer) == [rd.NS, rd.SOA]
    over_udp = reply_to(answerer, ask("mesos.", "ANY"))
    assert [rrset.rdtype for rrset in over_udp.answer] == [rd.NS]


@pytest.mark.parametrize(("minimal", "udp", "tcp"), [("udp", 1, 2), ("always", 1, 1), ("never", 2, 2)])
def test_how_many_record_sets_any_gets_is_up_to_the_operator(minimal, udp, tcp):
    answerer = Answerer(Zones([make_zone()]), AnswerOptions(minimal_any=minimal), Random(0))
    for over_tcp, count in ((False, udp), (True, tcp)):
        reply = reply_to(answerer, ask("toy.marathon.mesos.", "ANY"), tcp=over_tcp)
        assert len(reply.answer) == count


def test_the_apex_may_have_addresses():
    zone = make_zone("mesos A 192.0.2.80")
    over_tcp = reply_to(make_answerer(zone), ask("mesos.", "ANY"), tcp=True)
    assert sorted(rrset.rdtype for rrset in over_tcp.answer) == [rd.A, rd.NS, rd.SOA]
    assert texts(reply_to(make_answerer(zone), ask("mesos.", "A")).answer) == ["mesos. 60 IN A 192.0.2.80"]


# --- flags -------------------------------------------------------------------------------------


@pytest.mark.parametrize("recursion", [True, False])
@pytest.mark.parametrize("name", ["chronos.marathon.mesos.", "missing.mesos."])
@pytest.mark.parametrize(
    ("asked", "copied"),
    [(0, 0), (RD, RD), (CD, CD), (RD | CD, RD | CD), (AA | RA | TC | dns.flags.AD | 0x40, 0), (0x07F0, RD | CD)],
)
def test_rd_and_cd_are_copied_and_no_other_flag(recursion, name, asked, copied):
    answerer = make_answerer(recursion=recursion)
    reply = reply_to(answerer, ask(name, flags=asked))
    assert reply.flags & ~15 == QR | AA | copied | (RA if recursion else 0)


# --- names that are cleaned --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("bob.*.mesos", "bob.mesos"),
        ("*.marathon.mesos", "*.marathon.mesos"),
        ("*x.marathon.mesos", "*x.marathon.mesos"),
        ("ng.*inx.marathon", "nginx.marathon"),
        ("nginx.*marathon.mesos", "nginxmarathon.mesos"),
        ("a.**b", "a*b"),
        ("a.*b.*c.d", "abc.d"),
        ("a.*.*.d", "a.d"),
        ("a.b*.c", "a.b*.c"),
        ("***.marathon.mesos", "***.marathon.mesos"),
    ],
)
def test_what_is_looked_up_for_names_with_a_star(text, cleaned):
    assert clean_wildcards(names.from_text(text)) == names.from_text(cleaned)


def test_a_label_that_became_too_long_is_no_name():
    assert clean_wildcards(names.from_text("a" * 40 + ".*" + "b" * 40 + ".mesos")) == b""


@given(st.lists(st.text("ab*", min_size=1, max_size=4), min_size=1, max_size=5))
def test_cleaning_removes_what_go_removes(labels):
    text = ".".join(labels) + "."
    cleaned = text.replace(".*", "")
    assert names.to_text(clean_wildcards(names.from_text(text))) == cleaned


def test_the_answer_to_a_cleaned_name_bears_the_name_that_was_asked(answerer):
    reply = reply_to(answerer, ask("chronos.*.Marathon.mesos."))
    assert texts(reply.answer) == ["chronos.*.Marathon.mesos. 60 IN A 1.2.3.11"]


def test_a_star_in_front_is_a_name_of_its_own(answerer):
    assert texts(reply_to(answerer, ask("*.marathon.mesos.")).answer) == ["*.marathon.mesos. 60 IN A 9.9.9.9"]


def test_a_name_that_is_too_long_once_cleaned_does_not_exist(answerer):
    reply = reply_to(answerer, ask("a" * 40 + ".*" + "b" * 40 + ".mesos."))
    assert reply.rcode() == dns.rcode.NXDOMAIN


# --- EDNS --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["chronos.marathon.mesos.", "missing.mesos.", "_liquor._tcp.marathon.mesos."])
@pytest.mark.parametrize("do", [0, dns.flags.DO])
def test_opt_in_opt_out(answerer, name, do):
    octets = ask(name, "SRV", ednsflags=do | 0x1234, payload=4096, options=[option(65001, b"x"), option(3)])
    reply = reply_to(answerer, octets)
    assert (reply.edns, reply.payload, reply.ednsflags, reply.options) == (0, 1232, do, ())


def test_no_opt_in_no_opt_out(answerer):
    assert reply_to(answerer, ask("chronos.marathon.mesos.")).edns == -1


@pytest.mark.parametrize("version", [1, 255])
@pytest.mark.parametrize("name", ["chronos.marathon.mesos.", "example.org."])
def test_another_version_of_edns_is_refused(answerer, version, name):
    reply = reply_to(answerer, ask(name, edns=version, options=[option(65001)]))
    assert reply.rcode() == dns.rcode.BADVERS
    assert (reply.edns, reply.answer, reply.authority) == (0, [], [])


# --- what gets an error ------------------------------------------------------------------------


@pytest.mark.parametrize("rdclass", ["CH", "NONE", "HS"])
@pytest.mark.parametrize("name", ["chronos.marathon.mesos.", "version.bind.", "example.org."])
def test_other_classes_are_refused(answerer, rdclass, name):
    reply = reply_to(answerer, ask(name, "TXT", rdclass))
    assert (reply.rcode(), reply.flags) == (dns.rcode.REFUSED, QR | RD | dns.rcode.REFUSED)
    assert reply.question[0].name.to_text() == name


@pytest.mark.parametrize(
    ("name", "rdclass", "ede"),
    [
        ("chronos.marathon.mesos.", "CH", (21, "class not served")),
        ("chronos.marathon.mesos.", "HS", (21, "class not served")),
        ("id.server.", "HS", (21, "class not served")),
        ("authors.bind.", "CH", (21, "class not served")),
        ("version.bind.", "CH", (18, None)),
        ("id.server.", "CH", (18, None)),
    ],
)
def test_why_a_class_is_refused(answerer, name, rdclass, ede):
    reply = reply_to(answerer, ask(name, "TXT", rdclass, payload=1232))
    assert [(int(found.code), found.text) for found in reply.options] == [ede]


def test_class_any_is_in(answerer):
    reply = reply_to(answerer, ask("chronos.marathon.mesos.", "A", "ANY"))
    assert texts(reply.answer) == ["chronos.marathon.mesos. 60 IN A 1.2.3.11"]


@pytest.mark.parametrize("rdtype", ["AXFR", "IXFR"])
@pytest.mark.parametrize("tcp", [False, True])
@pytest.mark.parametrize("name", ["mesos.", "example.org."])
def test_transfers_are_refused(answerer, rdtype, tcp, name):
    octets = ask(name, rdtype, payload=1232)
    query = parse(octets)
    reply = read(reply_of(answerer, query, 65535 if tcp else 1232, tcp=tcp))
    assert (reply.rcode(), reply.flags & AA) == (dns.rcode.REFUSED, 0)
    assert [int(found.code) for found in reply.options] == [18]


def test_signatures_are_not_verified_and_so_not_accepted(answerer):
    octets = bytearray(ask("chronos.marathon.mesos."))
    octets[11] = 1
    reply = reply_to(answerer, bytes(octets) + b"\3key\0\0\xfa\0\xff\0\0\0\0\0\0")
    assert reply.rcode() == dns.rcode.NOTAUTH
    octets = bytearray(ask("chronos.marathon.mesos.", payload=1232))
    octets[11] = 2
    reply = reply_to(answerer, bytes(octets) + b"\3key\0\0\xfa\0\xff\0\0\0\0\0\0")
    assert [(int(found.code), found.text) for found in reply.options] == [(21, "TSIG not supported")]


def test_before_the_zone_is_loaded():
    answerer = make_answerer(Zone(AUTHORITY))
    reply = reply_to(answerer, ask("chronos.marathon.mesos.", payload=1232))
    assert (reply.rcode(), reply.flags & AA) == (dns.rcode.SERVFAIL, 0)
    assert [int(found.code) for found in reply.options] == [14]
    assert reply_to(answerer, ask("chronos.marathon.mesos.")).rcode() == dns.rcode.SERVFAIL


@pytest.mark.parametrize("name", ["example.org.", "org.", ".", "xmesos.", "chronos.marathon.mesos.*."])
def test_other_names_are_to_be_forwarded(answerer, name):
    query = parse(ask(name))
    assert reply_of(answerer, query, 512, tcp=False) == Forward(query)


def test_a_refusal_echoes_the_question(answerer):
    query = parse(ask("Example.org.", payload=1232, ednsflags=dns.flags.DO))
    reply = read(answerer.refusal(query, msg.SERVFAIL, 22))
    assert (reply.id, reply.rcode(), reply.flags) == (0xBEEF, dns.rcode.SERVFAIL, QR | RD | dns.rcode.SERVFAIL)
    assert reply.question[0].name.to_text() == "Example.org."
    assert (reply.ednsflags, [int(found.code) for found in reply.options]) == (dns.flags.DO, [22])


# --- any question ------------------------------------------------------------------------------

NAMES = st.sampled_from(
    [
        *["chronos.marathon.mesos.", "liquor.marathon.mesos.", "toy.marathon.mesos.", "_liquor._tcp.marathon.mesos."],
        *[
            "many.mesos.",
            "_many._tcp.mesos.",
            "mesos.",
            "marathon.mesos.",
            "nope.mesos.",
            "a.*b.mesos.",
            "example.org.",
        ],
    ]
)
ZONE = make_zone()


@given(
    name=NAMES,
    rdtype=st.integers(0, 65535) | st.sampled_from([1, 2, 6, 28, 33, 255]),
    rdclass=st.sampled_from([1, 1, 1, 3, 255]),
    flags=st.integers(0, 0x7F).map(lambda bits: bits << 4),
    edns=st.just({})
    | st.fixed_dictionaries(
        {"edns": st.integers(0, 1), "payload": st.integers(0, 65535), "ednsflags": st.sampled_from([0, 0x8000])}
    ),
    tcp=st.booleans(),
    truncate_bit=st.booleans(),
    seed=st.integers(0, 100),
)
@settings(max_examples=300)
def test_any_question_gets_a_message_that_fits_and_echoes_it(
    name, rdtype, rdclass, flags, edns, tcp, truncate_bit, seed
):
    spelled = "".join(Random(seed).choice((str.upper, str.lower))(character) for character in name)
    octets = ask(spelled, rdtype, rdclass, flags=flags & ~0x7800, **edns)
    query = parse(octets)
    limit = msg.TCP_SIZE if tcp else msg.udp_limit(query.edns)
    out = reply_of(make_answerer(ZONE, truncate_bit=truncate_bit, seed=seed), query, limit, tcp=tcp)
    if isinstance(out, Forward):
        assert name == "example.org."
        return
    assert len(out) <= limit
    assert out[12 : query.question_end] == octets[12 : query.question_end]
    reply = read(out)
    assert reply.id == 0xBEEF
    assert (reply.edns == 0) is bool(edns)
    assert not reply.flags & (dns.flags.AD | 0x40)


# --- agent beside slave --------------------------------------------------------------------------


def agent_answer(name, rrtype="A", zone=None, **more):
    return read(reply_of(make_answerer(zone), parse(ask(name, rrtype)), **more))


@pytest.mark.parametrize("rrtype", ["A", "AAAA", "SRV", "ANY", "TXT"])
@pytest.mark.parametrize(
    "name", ["liquor-a.marathon.{}.mesos", "_liquor._tcp.marathon.{}.mesos", "_tcp.marathon.{}.mesos", "nope.{}.mesos"]
)
def test_a_name_below_agent_has_what_it_has_below_slave(name, rrtype):
    old, new = (agent_answer(name.format(label), rrtype) for label in ("slave", "agent"))
    assert new.rcode() == old.rcode()
    assert {str(rrset.name) for rrset in new.answer} <= {name.format("agent") + "."}
    assert [list(rrset) for rrset in new.answer] == [list(rrset) for rrset in old.answer]
    assert texts(new.additional) == texts(old.additional)
    assert [rrset.rdtype for rrset in new.authority] == [rrset.rdtype for rrset in old.authority]


def test_case_and_stars_do_not_matter_below_agent():
    reply = agent_answer("Liquor-A.*.marathon.AGENT.mesos")
    assert [str(rdata) for rdata in reply.answer[0]] == ["10.0.0.1"]


def test_agent_itself_is_a_name_and_says_where_the_names_below_it_are():
    assert [str(rdata) for rdata in agent_answer("agent.mesos").answer[0]] == ["10.0.0.1"]
    assert [str(rdata) for rdata in agent_answer("agent.mesos", "DNAME").answer[0]] == ["slave.mesos."]
    nobody = make_zone("x.mesos A 10.0.0.1")
    assert agent_answer("agent.mesos", zone=nobody).rcode() == dns.rcode.NOERROR
    assert agent_answer("x.agent.mesos", zone=nobody).rcode() == dns.rcode.NXDOMAIN


def test_names_that_only_look_alike_are_not_below_agent():
    zone = make_zone("x.slave.mesos A 10.0.0.1")
    assert agent_answer("x.agent.mesos", zone=zone).rcode() == dns.rcode.NOERROR
    assert agent_answer("x.xagent.mesos", zone=zone).rcode() == dns.rcode.NXDOMAIN
    assert agent_answer("x.agent.y.mesos", zone=zone).rcode() == dns.rcode.NXDOMAIN


def test_this_server_may_have_its_name_below_agent():
    zone = make_zone("ns.agent.mesos A 192.0.2.1")
    assert [str(rdata) for rdata in agent_answer("ns.agent.mesos", zone=zone).answer[0]] == ["192.0.2.1"]
