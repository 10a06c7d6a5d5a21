"""Usual questions and replies: the short way says what the long way says, or nothing."""

import struct

import dns.flags
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.serve.asking import ask, parse
from tests.serve.forward.replies import reply_to

from mesos_dns.dns import message as msg
from mesos_dns.dns import name as names
from mesos_dns.serve import keys
from mesos_dns.serve.forward import rewrite
from mesos_dns.serve.forward.cache import ForwardCache, cache_key
from mesos_dns.serve.forward.check import usable
from mesos_dns.serve.forward.fast import (
    FORMS,
    MOST_TAILS,
    USUAL_TYPES,
    Tails,
    cached_reply,
    has_room_for_label,
    usual_reply,
)
from mesos_dns.serve.forward.records import BadReplyError
from mesos_dns.serve.request import Forward

OWN = (names.from_text("mesos"),)
ASKED = "www.example.test."
PARENT = names.from_text("example.test")
AD = 0x20


def with_edns(name, payload, qtype="A"):
    """A query of a client that takes so many octets; None: without EDNS."""
    return ask(name, qtype) if payload is None else ask(name, qtype, payload=payload)


def form_of(octets):
    """The form of a query, or None."""
    key = keys.any_key(octets)
    return FORMS.get(key[: keys.NAME]) or FORMS.get(key[: keys.NAME] + key[-1:])


def parent_of(query):
    return names.parent(query.name)


def long_way(octets, reply, *, trusted):
    """What a client gets of a reply; None if nothing, or if more is to be done than to pass it on."""
    query = parse(octets)
    if not rewrite.answers(reply, octets[:2] + reply[2:12] + octets[12:], query.question_end - 12):
        return None
    if rewrite.is_truncated(reply) or reply[3] & 15 not in (msg.NOERROR, msg.NXDOMAIN):
        return None
    try:
        checked = usable(reply, query.question_end, OWN)
        checked = checked if trusted else rewrite.without_ad(checked)
        return rewrite.for_client(checked, Forward(query), msg.udp_limit(query.edns), truncate_bit=True, trusted=True)
    except BadReplyError:
        return None


def short_way(octets, reply, *, trusted=False, tails=None):
    query, form = parse(octets), form_of(octets)
    passed = form.passed_trusted if trusted else form.passed
    return usual_reply(octets, query.question_end, form, passed, parent_of(query), reply, tails or Tails(OWN))


# --- questions ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "edns", [{}, {"payload": 1232}, {"payload": 512}, {"payload": 4096, "ednsflags": dns.flags.DO}], ids=str
)
@pytest.mark.parametrize("flags", [0x0100, 0x0120, 0x0110, 0x0130])
@pytest.mark.parametrize("qtype", ["A", "AAAA", "HTTPS", "TXT", "SRV"])
def test_what_an_upstream_is_asked_and_where_the_answer_is_kept(qtype, flags, edns):
    octets = bytearray(ask("WwW.example.test.", qtype, **edns))
    struct.pack_into("!H", octets, 2, flags)
    octets = bytes(octets)
    query, form, key = parse(octets), form_of(octets), keys.any_key(octets)
    end = len(key) + 2 - form.behind

    assert end == query.question_end
    assert octets[end - 4 : end] in USUAL_TYPES
    assert octets[:2] + form.head + octets[12:end] + form.opt == rewrite.question(query, int.from_bytes(octets[:2]))
    assert key[keys.NAME : end - 6] + octets[end - 4 : end] + form.bits == cache_key(query)
    assert form.limit <= msg.udp_limit(query.edns)


@pytest.mark.parametrize(
    "octets",
    [
        ask(ASKED, flags=0),
        ask(ASKED, payload=1232, edns=1),
        ask(ASKED)[:2] + b"\x81" + ask(ASKED)[3:],
        ask(ASKED)[:2] + b"\x29" + ask(ASKED)[3:],
        ask(ASKED)[:4] + b"\0\2" + ask(ASKED)[6:],
    ],
    ids=["without RD", "another version of EDNS", "a reply", "another opcode", "two questions"],
)
def test_other_messages_have_no_form(octets):
    assert form_of(octets) is None


@pytest.mark.parametrize("qtype", ["ANY", "AXFR", "IXFR", "DS", "CNAME", "OPT", "TSIG"])
def test_types_with_rules_of_their_own_are_not_usual(qtype):
    octets = ask(ASKED, qtype)
    assert octets[-4:] not in USUAL_TYPES


def test_any_label_fits_in_front_of_a_usual_parent():
    long = b"".join(bytes((49,)) + b"x" * 49 for _ in range(4))
    assert len(long) == 200
    assert not has_room_for_label(long + b"\0")
    assert has_room_for_label(long[50:] + b"\0")


# --- replies -----------------------------------------------------------------------------------

USUAL = {
    "an address": f"answer {ASKED} 300 A 192.0.2.1",
    "addresses": f"answer {ASKED} 300 A 192.0.2.1\nanswer {ASKED} 300 A 192.0.2.2",
    "nothing": "authority example.test. 60 SOA ns.example.test. root.example.test. 1 2 3 4 5",
    "name servers": f"""
        answer {ASKED} 300 A 192.0.2.1
        authority example.test. 60 NS ns.example.test.
        additional ns.example.test. 60 A 192.0.2.53""",
    "nothing at all": "",
}


@pytest.mark.parametrize("payload", [None, 1232, 512])
@pytest.mark.parametrize("edns", [False, True])
@pytest.mark.parametrize("records", USUAL.values(), ids=USUAL)
def test_usual_replies(records, edns, payload):
    octets = with_edns(ASKED, payload)
    reply = reply_to(parse(octets), records, edns=edns)
    assert short_way(octets, reply) == long_way(octets, reply, trusted=False) is not None


def test_ipv6_addresses():
    octets = ask(ASKED, "AAAA")
    reply = reply_to(parse(octets), f"answer {ASKED} 300 AAAA 2001:db8::1\nanswer {ASKED} 300 AAAA 2001:db8::2")
    assert short_way(octets, reply) == long_way(octets, reply, trusted=False) is not None


def test_a_name_that_does_not_exist():
    octets = ask(ASKED, payload=1232)
    reply = reply_to(parse(octets), USUAL["nothing"], rcode="NXDOMAIN", edns=True)
    assert short_way(octets, reply) == long_way(octets, reply, trusted=False) is not None


@pytest.mark.parametrize("asked", [0x0100, 0x0120])
@pytest.mark.parametrize("trusted", [False, True])
def test_validated_is_passed_on_for_trusted_upstreams_to_those_who_ask(trusted, asked):
    octets = ask(ASKED, flags=asked)
    reply = reply_to(parse(octets), USUAL["an address"], flags=0x80 | AD)
    short = short_way(octets, reply, trusted=trusted)
    assert short == (long_way(octets, reply, trusted=True) if trusted else None)
    if trusted:
        assert bool(short[3] & AD) == bool(asked & AD)


UNUSUAL = {
    "another record in the answer": f"answer {ASKED} 300 CNAME other.example.test.\nanswer other.example.test. 300 A 192.0.2.1",
    "a stranger": f"answer {ASKED} 300 A 192.0.2.1\nauthority other.test. 60 NS ns.other.test.",
    "our own zone": f"answer {ASKED} 300 A 192.0.2.1\nadditional search.marathon.mesos. 60 A 192.0.2.66",
    "an answer to another type": f"answer {ASKED} 300 AAAA 2001:db8::1",
}


@pytest.mark.parametrize("records", UNUSUAL.values(), ids=UNUSUAL)
def test_other_replies_take_a_closer_look(records):
    octets = ask(ASKED)
    assert short_way(octets, reply_to(parse(octets), records)) is None


def test_codes_and_bits_that_take_a_closer_look():
    octets = ask(ASKED)
    usual = reply_to(parse(octets), USUAL["an address"])
    assert short_way(octets, usual) is not None
    for at, octet in (
        (2, 0x83),
        (2, 0x01),
        (2, 0x89),
        (3, 0x82),
        (3, 0x85),
        (3, 0xC0),
        (5, 2),
        (7, 2),
        (9, 1),
        (11, 1),
    ):
        changed = bytearray(usual)
        changed[at] = octet
        assert short_way(octets, bytes(changed)) is None, (at, octet)
    for other in (usual[:-1], usual + b"\0", usual[:12] + usual[13:], usual[:20], usual[:13] + b"X" + usual[14:]):
        assert short_way(octets, other) is None


def test_options_of_an_upstream_take_a_closer_look():
    octets = ask(ASKED, payload=1232)
    reply = reply_to(parse(octets), USUAL["an address"], edns=True)
    assert short_way(octets, reply) is not None
    assert short_way(octets, reply[:-2] + b"\0\6\0\x0f\0\2\0\7") is None
    assert short_way(octets, reply[:-6] + b"\1" + reply[-5:]) is None


@pytest.mark.parametrize("payload", [None, 512])
def test_what_does_not_fit_takes_a_closer_look(payload):
    octets = with_edns(ASKED, payload)
    reply = reply_to(parse(octets), "\n".join(f"answer {ASKED} 300 A 192.0.2.{n}" for n in range(40)))
    assert short_way(octets, reply) is None


# --- ends that are known -----------------------------------------------------------------------


def replies_below(parent, count, *, ttl=60, label="n{:03}"):
    """Queries for names below `parent`, and replies with the same end to each."""
    for n in range(count):
        name = f"{label.format(n)}.{parent}"
        octets = ask(name, payload=1232)
        yield (
            octets,
            reply_to(
                parse(octets),
                f"""answer {name} {ttl - n} A 192.0.2.{n}
                authority {parent} {ttl - n} NS ns.{parent}
                additional ns.{parent} {ttl + n} A 192.0.2.53""",
                edns=True,
            ),
        )


def test_an_end_is_looked_into_once_for_a_parent(monkeypatch):
    looks = []
    monkeypatch.setattr(Tails, "_look", lambda *args, look=Tails._look: looks.append(args) or look(*args))
    tails = Tails(OWN)
    for octets, reply in replies_below("example.test.", 20):
        assert short_way(octets, reply, tails=tails) == long_way(octets, reply, trusted=False)
    assert len(looks) == 1


def test_a_known_end_vouches_for_no_other():
    tails = Tails(OWN)
    (octets, reply), (other, usual) = replies_below("example.test.", 2)
    assert short_way(octets, reply, tails=tails) is not None
    # The NS record's owner, a pointer to the parent, points elsewhere.
    at = usual.index(b"\xc0\x11\0\2\0\1")
    forged = usual[:at] + b"\xc0\x10" + usual[at + 2 :]
    assert short_way(other, forged, tails=tails) is None
    assert short_way(other, usual, tails=tails) == long_way(other, usual, trusted=False)


def test_an_end_that_hangs_on_the_label_is_not_remembered():
    # The name server is one below the name that is asked for: for another name it would be a stranger.
    for records in (
        f"answer {ASKED} 300 A 192.0.2.1\nauthority {ASKED} 60 NS ns.example.test.",
        f"answer {ASKED} 300 A 192.0.2.1\nauthority example.test. 60 NS ns.{ASKED}",
    ):
        octets, tails = ask(ASKED), Tails(OWN)
        reply = reply_to(parse(octets), records)
        assert short_way(octets, reply, tails=tails) is None
        assert repr(tails) == "Tails(0)"


def test_the_ends_that_are_known_are_few():
    tails = Tails(OWN)
    for n in range(MOST_TAILS + 10):
        for octets, reply in replies_below(f"zone{n}.test.", 1):
            assert short_way(octets, reply, tails=tails) is not None
    assert repr(tails) == "Tails(10)"


# --- any octets --------------------------------------------------------------------------------


@st.composite
def changed_replies(draw):
    """A query, and a reply to it of which a few octets are others, or which is cut, or has something behind."""
    qtype = draw(st.sampled_from(["A", "AAAA", "NS", "SRV", "TXT"]))
    octets = with_edns(ASKED, draw(st.sampled_from([None, 512, 1232])), qtype)
    records = draw(st.sampled_from([*USUAL.values(), *UNUSUAL.values()]))
    edns = draw(st.booleans())
    reply = bytearray(reply_to(parse(octets), records, edns=edns, rcode=draw(st.sampled_from(["NOERROR", "NXDOMAIN"]))))
    for _ in range(draw(st.integers(0, 3))):
        reply[draw(st.integers(2, len(reply) - 1))] = draw(st.sampled_from([0, 1, 2, 5, 6, 12, 16, 41, 0xC0, 0xFF]))
    cut = draw(st.sampled_from([0, 0, 0, 1, 11]))
    return octets, bytes(reply[: len(reply) - cut]) + draw(st.sampled_from([b"", b"", b"\0", b"\0" * 11]))


@given(changed_replies(), st.booleans())
def test_the_short_way_says_what_the_long_way_says(case, trusted):
    octets, reply = case
    tails = Tails(OWN)
    for label in (b"www", b"abc"):
        sent, came = octets[:13] + label + octets[16:], reply[:13] + label + reply[16:]
        short = short_way(sent, came, trusted=trusted, tails=tails)
        assert short in (None, long_way(sent, came, trusted=trusted))


# --- from the cache ----------------------------------------------------------------------------


@pytest.mark.parametrize("payload", [None, 512, 1232])
@pytest.mark.parametrize("records", [USUAL["addresses"], USUAL["nothing"], UNUSUAL["another record in the answer"]])
def test_answers_from_the_cache(records, payload):
    octets = with_edns("wWw.example.test.", payload)
    query = parse(octets)
    cache = ForwardCache(1 << 20, min_ttl=0, max_ttl=86400, stale_seconds=0)
    cache.put(cache_key(query), reply_to(query, records), query.question_end, 0.0)
    assert cache_key(query) in cache

    kept = cache.fresh(cache_key(query), 3.5)
    reply = cached_reply(octets, query.question_end, form_of(octets), kept)
    limit = msg.udp_limit(query.edns)
    assert reply == rewrite.for_client(kept, Forward(query), limit, truncate_bit=True, trusted=True)


def test_what_is_not_fresh_or_soon_to_be_asked_anew_is_not_given():
    query = parse(ask(ASKED))
    key = cache_key(query)
    cache = ForwardCache(1 << 20, min_ttl=0, max_ttl=86400, stale_seconds=100)
    assert key not in cache
    assert cache.fresh(key, 0.0) is None
    cache.put(key, reply_to(query, USUAL["an address"]), query.question_end, 0.0)
    for now in (1.0, 2.0, 3.0):
        assert cache.fresh(key, now) is not None
    assert cache.fresh(key, 299.0) is None
    assert cache.find(key, 299.0).prefetch
    assert cache.fresh(key, 301.0) is None
    assert key in cache
