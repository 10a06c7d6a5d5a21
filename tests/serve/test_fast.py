"""The fast way says what the full way would say, or leaves the query to it."""

from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.serve.asking import AUTHORITY, ask, edits, make_answerer, make_zone, option, parse, read, reply_of, texts

from mesos_dns.dns import message as msg
from mesos_dns.dns import name as names
from mesos_dns.serve.cache import Pieces
from mesos_dns.serve.fast import FastAnswers
from mesos_dns.serve.keys import any_key, owner_of
from mesos_dns.serve.request import Forward, part_start
from mesos_dns.zone.change import ZoneChange
from mesos_dns.zone.zone import Zone

ZONE = make_zone()
NAME = "chronos.marathon.mesos."


CLIENT = bytes((192, 0, 2, 1))


def fast_reply(octets, zone=ZONE, client=CLIENT, *, tcp=False, **options):
    """The reply by the fast way, None if it has none."""
    response = FastAnswers(make_answerer(zone, **options), tcp=tcp).respond(any_key(octets), client)
    return None if response is None else response.message(octets)


def full_reply(octets, zone=ZONE, client=CLIENT, *, tcp=False, **options):
    """The reply by the full way."""
    limit = msg.TCP_SIZE if tcp else msg.udp_limit(parse(octets).edns)
    return reply_of(make_answerer(zone, **options), parse(octets), limit, client, tcp=tcp)


def kept_replies(octets, zone=ZONE, *, tcp=False):
    """The replies that would be kept for this question; None if none are."""
    orders = FastAnswers(make_answerer(zone), tcp=tcp).orders(any_key(octets))
    return None if orders is None else [response.message(octets) for response in Pieces(0).put(orders)]


@pytest.mark.parametrize("tcp", [False, True])
@pytest.mark.parametrize(
    "octets",
    [
        ask(NAME),
        ask(NAME.upper(), flags=0x0110),
        ask(NAME, flags=0),
        ask(NAME, flags=0x0120, payload=1232),
        ask(NAME, payload=512, ednsflags=0x8000),
        ask(NAME, "AAAA"),
        ask(NAME, "TXT"),
        ask(NAME, "HTTPS"),
        ask("toy.marathon.mesos.", "AAAA", payload=4096),
        ask("marathon.mesos."),
        ask("nope.mesos."),
        ask("a.b.c.nope.marathon.mesos.", payload=4096),
        ask("x.chronos.marathon.mesos."),
        ask("_lost._tcp.marathon.mesos.", "SRV"),
    ],
)
def test_simple_questions_get_the_very_reply_of_the_whole_path(octets, tcp):
    assert fast_reply(octets, tcp=tcp) == full_reply(octets, tcp=tcp)


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        ask("mesos."),
        ask("mesos.", "SOA"),
        ask("."),
        ask("example.org."),
        ask("xmesos."),
        ask(NAME, "ANY"),
        ask(NAME, "AXFR"),
        ask(NAME, "TSIG"),
        ask(NAME, "A", "CH"),
        ask(NAME, "A", "ANY"),
        ask(NAME, edns=1, payload=1232),
        ask(NAME, flags=0x8100),
        ask(NAME, flags=0x2000),
        ask("chronos.*.mesos."),
        ask(NAME)[:-1],
        ask(NAME) + b"\0",
        ask("many.mesos.", payload=900),
        bytes((0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0)) + b"\x40" + b"a" * 64 + b"\5mesos\0" + b"\0\1\0\1",
        bytes((0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0)) + b"\1a" * 130 + b"\5mesos\0" + b"\0\1\0\1",
    ],
)
def test_everything_else_is_left_to_the_whole_path(octets):
    assert fast_reply(octets) is None


def test_nothing_is_said_before_the_zone_is_loaded():
    assert fast_reply(ask(NAME), Zone(AUTHORITY)) is None
    assert fast_reply(ask("nope.mesos."), Zone(AUTHORITY)) is None


def test_the_name_of_this_server_outside_its_zone_is_not_answered_from_it():
    zone = make_zone("ns.example.org A 192.0.2.1")
    assert fast_reply(ask("ns.example.org."), zone) is None


def test_without_recursion_no_reply_says_that_it_is_available():
    octets = ask(NAME)
    assert fast_reply(octets, recursion=False) == full_reply(octets, recursion=False)


def test_an_answer_too_large_for_plain_udp_is_truncated_and_not_over_tcp():
    assert read(fast_reply(ask("many.mesos."))).flags & 0x0200
    assert len(texts(read(fast_reply(ask("many.mesos."), tcp=True)).answer)) == 60


def test_a_small_client_gets_what_fits_any_client():
    many = ask("_liquor._tcp.marathon.mesos.", "SRV", payload=600)
    reply = read(fast_reply(many))
    assert len(texts(reply.answer)) == 4
    assert len(texts(reply.additional)) == 3


def test_a_new_serial_shows_in_negative_replies():
    zone = make_zone()
    fast = FastAnswers(make_answerer(zone), tcp=False)
    octets = ask("nope.mesos.")
    for serial in (4711, 4712):
        zone.apply(ZoneChange(serial, ()))
        reply = read(fast.respond(any_key(octets), CLIENT).message(octets))
        assert f" {serial} " in texts(reply.authority)[0]


def test_changes_of_the_zone_are_seen():
    zone = make_zone()
    fast = FastAnswers(make_answerer(zone), tcp=False)
    octets = ask(NAME)
    zone.apply(ZoneChange(4712, tuple(edits(f"{NAME} A 1.2.3.12"))))
    assert len(texts(read(fast.respond(any_key(octets), CLIENT).message(octets)).answer)) == 2


def addresses(count, kind="A"):
    return [f"10.0.0.{n}" if kind == "A" else f"2001:db8::{n:x}" for n in range(1, count + 1)]


def services(count, *, with_addresses):
    """A table of as many services."""
    table = "app.mesos SRV " + " ".join(f"t{n}.mesos:{n}" for n in range(count))
    return table + "".join(f"\nt{n}.mesos A 10.0.0.{n}" for n in range(count)) if with_addresses else table


@pytest.mark.parametrize(
    ("kind", "table"),
    [
        *(
            (kind, f"app.mesos {kind} {' '.join(addresses(n, kind))}")
            for kind in ("A", "AAAA")
            for n in (1, 2, 3, 9, 20)
        ),
        *(("SRV", services(n, with_addresses=True)) for n in (1, 2, 7, 12)),
        *(("SRV", services(n, with_addresses=False)) for n in (2, 20)),
    ],
)
@pytest.mark.parametrize("tcp", [False, True])
def test_every_record_comes_first_in_one_of_the_orders_that_are_kept(kind, table, tcp):
    octets, zone = ask("app.mesos.", kind, payload=4096), make_zone(table)
    replies = [read(octets) for octets in kept_replies(octets, zone, tcp=tcp)]
    whole = sorted(texts(read(full_reply(octets, zone, tcp=tcp)).answer))
    additional = sorted(texts(read(full_reply(octets, zone, tcp=tcp)).additional))
    assert sorted(texts(reply.answer)[0] for reply in replies) == whole
    for reply in replies:
        assert sorted(texts(reply.answer)) == whole
        assert sorted(texts(reply.additional)) == additional


def test_what_comes_second_is_not_always_the_same():
    octets, zone = ask("app.mesos."), make_zone(f"app.mesos A {' '.join(addresses(5))}")
    follows = set()
    for seed in range(100):
        orders = FastAnswers(make_answerer(zone, seed=seed), tcp=False).orders(any_key(octets))
        for response in Pieces(0).put(orders):
            answer = texts(read(response.message(octets)).answer)
            follows.add((answer[0], answer[1]))
    assert len(follows) == 20


@pytest.mark.parametrize(
    ("octets", "kept"),
    [
        (ask("many.mesos."), 60),
        (ask("many.mesos.", payload=4096), 60),
        (ask("_many._tcp.mesos.", "SRV", payload=4096), 60),
        (ask("many.mesos.", payload=600), None),
        (ask("nope.mesos."), 1),
        (ask("example.org."), None),
    ],
)
def test_what_is_kept_for_clients_is_what_they_would_get_fresh(octets, kept):
    replies = kept_replies(octets)
    assert (None if replies is None else len(replies)) == kept
    if replies is not None:
        truncated = read(replies[0]).flags & 0x0200
        for n in range(100):
            client = bytes((192, 0, 2, n))
            expected = fast_reply(octets, client=client)
            assert full_reply(octets, client=client) == expected or not truncated
            if truncated:
                assert replies[part_start(client, owner_of(any_key(octets)), kept)] == expected
            else:
                assert sorted(map(len, replies)) == [len(expected)] * kept


def test_without_the_truncate_bit_nothing_is_kept_of_what_is_cut():
    fast = FastAnswers(make_answerer(truncate_bit=False), tcp=False)
    assert fast.orders(any_key(ask("many.mesos."))) is None


def test_large_answers_over_tcp_have_turns():
    octets, zone = ask("app.mesos.", "SRV"), make_zone(services(100, with_addresses=True))
    fast = FastAnswers(make_answerer(zone), tcp=True)
    assert fast.orders(any_key(octets)) is None
    replies = [read(response.message(octets)) for response in islice(fast.turns(any_key(octets)), 200)]
    firsts = [texts(reply.answer)[0] for reply in replies]
    assert sorted(firsts[:100]) == sorted(firsts[100:])
    assert len(set(firsts)) == 100
    assert all(len(texts(reply.answer)) == len(texts(reply.additional)) == 100 for reply in replies)
    assert FastAnswers(make_answerer(zone), tcp=False).turns(any_key(octets)) is None
    assert fast.turns(any_key(ask("nope.mesos."))) is None


@pytest.mark.parametrize(
    ("name", "unknown"),
    [
        *(
            ("nope.mesos", True),
            ("nope.marathon.mesos", True),
            ("a.nope.mesos", False),
            ("chronos.marathon.mesos", False),
        ),
        *(("marathon.mesos", False), ("mesos", False), ("nope.org", False), ("a*.mesos", False)),
        *(("agent.mesos", False), ("x.agent.mesos", False), ("liquor-a.marathon.agent.mesos", False)),
    ],
)
def test_names_that_certainly_do_not_exist(name, unknown):
    assert FastAnswers(make_answerer(), tcp=False).is_unknown(names.from_text(name)) is unknown


LABELS = st.sampled_from(["chronos", "marathon", "_tcp", "_liquor", "many", "x", "toy", "*", "a*b", "x" * 63, "\\000"])
AGENTS = st.sampled_from(["", "", "agent.", "slave.", "xagent."])
QUESTIONS = st.builds(
    lambda labels, agent, kind, edns, flags: ask(".".join([*labels, agent + "mesos."]), kind, flags=flags, **edns),
    st.lists(LABELS | st.just("liquor-a"), max_size=3),
    AGENTS,
    st.sampled_from([1, 1, 28, 33, 16, 255, 6, 2, 39, 41, 65, 97]),
    st.sampled_from(
        [{}, {}, {"payload": 1232}, {"payload": 600}, {"payload": 4096, "options": [option(10, b"12345678")]}]
    ),
    st.sampled_from([0x0100, 0, 0x0110, 0x0120, 0x0150]),
)


@given(QUESTIONS, st.booleans())
@settings(deadline=None)
def test_what_the_fast_way_says_the_full_way_says_too(octets, tcp):
    reply = fast_reply(octets, tcp=tcp)
    if reply is not None:
        expected = full_reply(octets, tcp=tcp)
        assert (len(reply), reply[:12]) == (len(expected), expected[:12])
        reply, expected = read(reply), read(expected)
        for one, other in zip(reply.sections, expected.sections, strict=True):
            assert sorted(texts(one)) == sorted(texts(other))


@given(st.binary(max_size=60), st.sampled_from([b"", b"\0\0\x29E", b"\0\0\x29T"]))
def test_any_key(rest, end):
    fast = FastAnswers(make_answerer(ZONE), tcp=False)
    for counts in (b"\0\1\0\0\0\0\0\0", b"\0\1\0\0\0\0\0\1"):
        key = b"\1\0" + counts + rest + end
        response = fast.respond(key, CLIENT)
        if response is not None:
            question = key[10 : response.question_end - 2]
            assert names.is_below_or_at(question[:-4], AUTHORITY.apex)
            assert not isinstance(full_reply(b"\0\0" + key[:9] + b"\0" + question), Forward)


def test_repr():
    fast = FastAnswers(make_answerer(), tcp=True)
    assert repr(fast) == "FastAnswers(Answerer(Zones([Zone('mesos.', serial=4711, names=15)])), tcp=True)"
