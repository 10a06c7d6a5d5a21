"""The shortcut says what the whole answering path would say, or leaves the query to it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.serve.asking import AUTHORITY, ask, edits, make_answerer, make_zone, option, parse, read, texts

from mesos_dns.dns import message as msg
from mesos_dns.dns import name as names
from mesos_dns.names.zone import Change, Zone
from mesos_dns.serve.fast import Shortcut
from mesos_dns.serve.keys import any_key
from mesos_dns.serve.request import Forward

ZONE = make_zone()
NAME = "chronos.marathon.mesos."


def rendered(octets, rendering, tail=None):
    return octets[:2] + rendering.head + octets[12 : rendering.question_end] + (tail or rendering.tail)


def shortcut_reply(octets, zone=ZONE, *, tcp=False, **options):
    """The reply by the shortcut, None if it has none."""
    rendering = Shortcut(make_answerer(zone, **options), tcp=tcp).render(any_key(octets))
    return None if rendering is None else rendered(octets, rendering)


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
    limit = msg.TCP_SIZE if tcp else msg.udp_limit(parse(octets).edns)
    expected = make_answerer(ZONE).reply(parse(octets), limit, tcp=tcp)
    assert shortcut_reply(octets, tcp=tcp) == expected


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
    assert shortcut_reply(octets) is None


def test_nothing_is_said_before_the_zone_is_loaded():
    assert shortcut_reply(ask(NAME), Zone(AUTHORITY)) is None
    assert shortcut_reply(ask("nope.mesos."), Zone(AUTHORITY)) is None


def test_the_name_of_this_server_outside_its_zone_is_not_answered_from_it():
    zone = make_zone("ns.example.org A 192.0.2.1")
    assert shortcut_reply(ask("ns.example.org."), zone) is None


def test_without_recursion_no_reply_says_that_it_is_available():
    octets = ask(NAME)
    assert shortcut_reply(octets, recursion=False) == make_answerer(recursion=False).reply(
        parse(octets), 512, tcp=False
    )


def test_an_answer_too_large_for_plain_udp_is_truncated_and_not_over_tcp():
    assert read(shortcut_reply(ask("many.mesos."))).flags & 0x0200
    assert len(texts(read(shortcut_reply(ask("many.mesos."), tcp=True)).answer)) == 60


def test_a_small_client_gets_what_fits_any_client():
    many = ask("_liquor._tcp.marathon.mesos.", "SRV", payload=600)
    reply = read(shortcut_reply(many))
    assert len(texts(reply.answer)) == 4
    assert len(texts(reply.additional)) == 3


def test_a_new_serial_shows_in_negative_replies():
    zone = make_zone()
    shortcut = Shortcut(make_answerer(zone), tcp=False)
    octets = ask("nope.mesos.")
    for serial in (4711, 4712):
        zone.apply(Change(serial, ()))
        reply = read(rendered(octets, shortcut.render(any_key(octets))))
        assert f" {serial} " in texts(reply.authority)[0]


def test_changes_of_the_zone_are_seen():
    zone = make_zone()
    shortcut = Shortcut(make_answerer(zone), tcp=False)
    octets = ask(NAME)
    zone.apply(Change(4712, tuple(edits(f"{NAME} A 1.2.3.12"))))
    assert len(texts(read(rendered(octets, shortcut.render(any_key(octets)))).answer)) == 2


def test_orders_begin_with_different_records():
    octets = ask("toy.marathon.mesos.")
    rendering = Shortcut(make_answerer(), tcp=False).render(any_key(octets), 4)
    replies = [texts(read(rendered(octets, rendering, tail)).answer) for tail in rendering.orders]
    assert len(replies) == 2
    assert replies[0] == replies[1][::-1]


@pytest.mark.parametrize("count", [1, 2, 3, 8, 9, 20])
@pytest.mark.parametrize("kind", ["A", "AAAA"])
def test_every_address_is_in_every_order(count, kind):
    addresses = [f"10.0.0.{n}" if kind == "A" else f"2001:db8::{n:x}" for n in range(1, count + 1)]
    octets = ask("app.mesos.", kind, payload=4096)
    zone = make_zone(f"app.mesos {kind} {' '.join(addresses)}")
    rendering = Shortcut(make_answerer(zone), tcp=False).render(any_key(octets), 4)
    orders = rendering.orders or (rendering.tail,)
    assert len(orders) == min(count, 4)
    for tail in orders:
        found = [text.split()[-1] for text in texts(read(rendered(octets, rendering, tail)).answer)]
        assert sorted(found) == sorted(addresses)


LABELS = st.sampled_from(["chronos", "marathon", "_tcp", "_liquor", "many", "x", "toy", "*", "a*b", "x" * 63, "\\000"])
QUESTIONS = st.builds(
    lambda labels, kind, edns, flags: ask(".".join([*labels, "mesos."]), kind, flags=flags, **edns),
    st.lists(LABELS, max_size=3),
    st.sampled_from([1, 1, 28, 33, 16, 255, 6, 2, 41, 65, 97]),
    st.sampled_from(
        [{}, {}, {"payload": 1232}, {"payload": 600}, {"payload": 4096, "options": [option(10, b"12345678")]}]
    ),
    st.sampled_from([0x0100, 0, 0x0110, 0x0120, 0x0150]),
)


@given(QUESTIONS, st.booleans())
@settings(deadline=None)
def test_what_the_shortcut_says_the_whole_path_says_too(octets, tcp):
    reply = shortcut_reply(octets, tcp=tcp)
    if reply is not None:
        limit = msg.TCP_SIZE if tcp else msg.udp_limit(parse(octets).edns)
        expected = make_answerer(ZONE).reply(parse(octets), limit, tcp=tcp)
        assert (len(reply), reply[:12]) == (len(expected), expected[:12])
        reply, expected = read(reply), read(expected)
        for one, other in zip(reply.sections, expected.sections, strict=True):
            assert sorted(texts(one)) == sorted(texts(other))


@given(st.binary(max_size=60), st.sampled_from([b"", b"\0\0\x29E", b"\0\0\x29T"]))
def test_any_key(rest, end):
    shortcut = Shortcut(make_answerer(ZONE), tcp=False)
    for counts in (b"\0\1\0\0\0\0\0\0", b"\0\1\0\0\0\0\0\1"):
        key = b"\1\0" + counts + rest + end
        rendering = shortcut.render(key)
        if rendering is not None:
            question = key[10 : rendering.question_end - 2]
            assert names.is_below_or_at(question[:-4], AUTHORITY.apex)
            assert not isinstance(
                make_answerer(ZONE).reply(parse(b"\0\0" + key[:9] + b"\0" + question), 512, tcp=False), Forward
            )


def test_repr():
    shortcut = Shortcut(make_answerer(), tcp=True)
    assert repr(shortcut) == "Shortcut(Answerer(Zone('mesos.', serial=4711, names=11)), tcp=True)"
