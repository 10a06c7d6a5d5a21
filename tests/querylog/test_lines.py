"""Answers as lines of JSON."""

import json

import dns.edns
import dns.flags
import dns.message
import dns.rcode
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.querylog.given import answered, reply_to
from tests.serve.asking import ask, make_responder

from mesos_dns.querylog import lines
from mesos_dns.querylog.lines import MAX_TOLD


def test_a_line():
    line = lines.line(answered())
    assert line.endswith(b"}\n")
    assert json.loads(line) == {
        "time": "2026-11-27T04:31:28.195204Z",
        "client": "192.0.2.7",
        "port": 40000,
        "transport": "udp",
        "name": "web.marathon.mesos.",
        "type": "A",
        "class": "IN",
        "rcode": "NOERROR",
        "ede": None,
        "flags": ["aa", "rd", "ra"],
        "answers": 1,
        "answer": ["A 10.0.0.1"],
        "octets": 52,
        "milliseconds": 1.5,
    }


def told(query, reply):
    found = lines.fields(answered(query, reply))
    return found["rcode"], found["answers"], found["answer"]


@pytest.mark.parametrize(
    ("rrtype", "data"),
    [
        ("AAAA", "2001:db8::1"),
        ("SRV", "0 1 8080 web-abc.marathon.mesos."),
        ("CNAME", "other.marathon.mesos."),
        ("NS", "ns1.mesos."),
        ("PTR", "web.marathon.mesos."),
        ("SOA", "ns1.mesos. root.ns1.mesos. 4711 60 600 86400 60"),
    ],
)
def test_data_is_told_as_master_files_have_it(rrtype, data):
    query = ask("web.marathon.mesos.", rrtype)
    assert told(query, reply_to(query, f"web.marathon.mesos. 60 IN {rrtype} {data}")) == (
        "NOERROR",
        1,
        [f"{rrtype} {data}"],
    )


def test_of_many_records_the_first_are_told():
    query = ask("many.mesos.")
    reply = reply_to(query, *(f"many.mesos. 60 IN A 10.0.0.{n}" for n in range(40)))
    rcode, count, data = told(query, reply)
    assert (rcode, count, data) == ("NOERROR", 40, [f"A 10.0.0.{n}" for n in range(MAX_TOLD)])


def test_our_own_answers_are_told_whole():
    responder = make_responder()
    query = ask("_liquor._tcp.marathon.mesos.", "SRV", payload=1232)
    rcode, count, data = told(query, responder.respond_udp(query))
    assert (rcode, count) == ("NOERROR", 4)
    assert sorted(data) == [
        f"SRV 0 1 {port} liquor-{which}.marathon.mesos." for port in (443, 80) for which in ("a", "b")
    ]


def test_why_there_is_no_answer():
    query = ask("www.example.org.", payload=1232)
    error = dns.edns.EDEOption(22, "no upstream answers")
    found = lines.fields(answered(query, reply_to(query, rcode=2, flags=0, edns=1232, options=[error])))
    assert (found["rcode"], found["ede"], found["flags"]) == ("SERVFAIL", "22 no upstream answers", ["rd", "ra"])


def test_an_extended_error_may_have_no_text():
    query = ask("www.example.org.", payload=1232)
    reply = reply_to(query, rcode=5, edns=1232, options=[dns.edns.EDEOption(18, None)])
    assert lines.fields(answered(query, reply))["ede"] == "18"


def test_rcodes_have_their_names_and_others_a_number():
    query = ask("web.mesos.", payload=1232)
    assert told(query, reply_to(query, rcode=16, edns=1232))[0] == "BADVERS"
    assert told(query, reply_to(query, rcode=7))[0] == "RCODE7"


@pytest.mark.parametrize(("rdclass", "word"), [("CH", "CH"), ("ANY", "ANY"), ("CLASS7", "CLASS7")])
def test_classes(rdclass, word):
    query = ask("id.server.", "TXT", rdclass)
    assert lines.fields(answered(query, query[:2] + b"\x84" + query[3:]))["class"] == word


def test_who_asks_for_nothing():
    query = bytes.fromhex("beef01000000000000000000")
    reply = bytes.fromhex("beef81010000000000000000")
    found = lines.fields(answered(query, reply, client=b"", port=0))
    assert [found[key] for key in ("client", "port", "name", "type", "class", "rcode")] == [*[None] * 5, "FORMERR"]


def test_an_address_of_ipv4_over_ipv6_is_that_address():
    assert lines.fields(answered(client=bytes(10) + b"\xff\xff\x0a\0\0\1"))["client"] == "10.0.0.1"


def test_a_name_with_any_octet_stays_on_its_line():
    query = ask('a\\010b\\255\\"<script>.mesos.')
    line = lines.line(answered(query, query[:2] + b"\x84" + query[3:]))
    assert line.count(b"\n") == 1
    assert line.isascii()
    assert json.loads(line)["name"] == 'a\\010b\\255\\"<script>.mesos.'


def test_a_clock_that_is_put_back_gives_no_time_below_zero():
    assert lines.fields(answered(began=100.0, ended=99.0))["milliseconds"] == 0


def test_options_that_are_cut_tell_nothing():
    query = ask("web.mesos.", payload=1232)
    reply = reply_to(query, rcode=2, edns=1232, options=[dns.edns.GenericOption(65001, b"")])
    # Its length says more than there is.
    assert lines.fields(answered(query, reply[:-3] + b"\x0f\0\x09"))["ede"] is None


VALID = [
    reply_to(ask("web.mesos.", "SRV"), "web.mesos. 60 IN SRV 0 1 2 a.web.mesos.", "web.mesos. 60 IN CNAME b.mesos."),
    reply_to(ask("web.mesos.", payload=512), rcode=2, edns=512, options=[dns.edns.EDEOption(3, "x")]),
]


@st.composite
def damaged(draw):
    octets = bytearray(draw(st.sampled_from(VALID)))
    for _ in range(draw(st.integers(0, 3))):
        octets[draw(st.integers(0, len(octets) - 1))] = draw(st.integers(0, 255))
    return bytes(octets[: draw(st.integers(12, len(octets)))])


@given(st.binary(max_size=60), damaged())
def test_messages_that_are_none_are_told_as_far_as_they_can_be_read(query, reply):
    line = lines.line(answered(query, reply))
    assert line.count(b"\n") == 1
    assert len(json.loads(line)["answer"]) <= MAX_TOLD
