"""A reply from memory is the reply that the query would have got fresh."""

import socket
import struct
from collections import Counter

import dns.flags
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.serve.asking import AUTHORITY, ask, edits, make_answerer, make_responder, make_zone, option, read, texts
from tests.serve.hot import CLIENT, Hot, bodies, same

from mesos_dns.dns import message as msg
from mesos_dns.serve import batch as batches
from mesos_dns.serve.cache import ResponseCache
from mesos_dns.serve.policy import Answer
from mesos_dns.serve.request import CLOSE, Forward, Request, Transport
from mesos_dns.serve.responder import Responder
from mesos_dns.zone.change import ZoneChange
from mesos_dns.zone.zone import Zone

ZONE = make_zone()
NAME = "chronos.marathon.mesos."


@pytest.fixture(scope="module")
def udp_socket():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock


# --- what counts as the same question ----------------------------------------------------------


def test_random_case_hits_the_same_entry(udp_socket):
    responder = make_responder(ZONE)
    hot = Hot(responder, udp_socket)
    for name in (NAME, NAME.upper(), "cHrOnOs.mArAtHoN.mEsOs.", NAME):
        reply = read(hot.ask(ask(name)))
        assert texts(reply.answer) == [f"{name} 60 IN A 1.2.3.11"]
    # What is asked for the second time is remembered.
    assert (responder.misses, responder.hits) == (2, 2)


def test_random_case_cookies_and_sizes_hit_the_same_entry(udp_socket):
    responder = make_responder(ZONE)
    hot = Hot(responder, udp_socket)
    for name, payload, cookie in (
        (NAME, 1232, b"12345678"),
        (NAME.upper(), 4096, b"abcdefgh"),
        (NAME, 1400, bytes(24)),
        (NAME, 1232, b"xyzXYZ00"),
    ):
        reply = read(hot.ask(ask(name, payload=payload, options=[option(10, cookie)])))
        assert texts(reply.answer) == [f"{name} 60 IN A 1.2.3.11"]
        assert (reply.edns, reply.options) == (0, ())
    assert (responder.misses, responder.hits) == (2, 2)


def test_a_large_reply_from_cachery_is_not_given_to_a_small_client(udp_socket):
    hot = Hot(make_responder(ZONE), udp_socket)
    assert len(texts(read(hot.ask(ask("many.mesos.", payload=4096))).answer)) == 60
    small = read(hot.ask(ask("many.mesos.", payload=600)))
    assert small.flags & dns.flags.TC
    assert len(texts(read(hot.ask(ask("many.mesos.", payload=1232))).answer)) == 60


def test_clients_share_a_reply_that_fits_all_of_them(udp_socket):
    responder = make_responder(ZONE)
    hot = Hot(responder, udp_socket)
    for payload in (1232, 1232, 512, 4096, 900):
        assert len(texts(read(hot.ask(ask(NAME, payload=payload))).answer)) == 1
    assert (responder.misses, responder.hits) == (2, 3)


def test_a_small_client_does_not_make_the_reply_of_others_small(udp_socket):
    hot = Hot(make_responder(ZONE), udp_socket)
    assert read(hot.ask(ask("many.mesos.", payload=600))).flags & dns.flags.TC
    assert len(texts(read(hot.ask(ask("many.mesos.", payload=1232))).answer)) == 60


def test_the_orders_of_an_answer_take_turns(udp_socket):
    hot = Hot(make_responder(ZONE), udp_socket)
    firsts = [texts(read(hot.ask(ask("liquor.marathon.mesos."))).answer)[0][-8:] for _ in range(21)]
    # The first two are fresh, and begin with either.
    assert set(firsts) == {"10.3.0.1", "10.3.0.2"}
    assert abs(firsts[2:].count("10.3.0.1") - firsts[2:].count("10.3.0.2")) <= 1


def test_a_change_of_the_zone_is_seen_at_once(udp_socket):
    zone = make_zone()
    responder = make_responder(zone)
    hot = Hot(responder, udp_socket)
    assert len(texts(read(hot.ask(ask(NAME))).answer)) == 1
    assert len(texts(read(responder.respond_tcp(ask(NAME))).answer)) == 1
    zone.apply(ZoneChange(4712, tuple(edits(f"{NAME} A 1.2.3.12"))))
    responder.forget()
    assert len(texts(read(hot.ask(ask(NAME))).answer)) == 2
    assert len(texts(read(responder.respond_tcp(ask(NAME))).answer)) == 2
    responder.use(make_answerer(make_zone("other.mesos A 1.1.1.1")))
    assert read(hot.ask(ask(NAME))).rcode() == msg.NXDOMAIN


def test_tcp_and_udp_do_not_share_replies(udp_socket):
    responder = make_responder(ZONE)
    hot = Hot(responder, udp_socket)
    for _ in range(3):
        assert len(texts(read(responder.respond_tcp(ask("many.mesos."))).answer)) == 60
        assert read(hot.ask(ask("many.mesos."))).flags & dns.flags.TC
    assert responder.hits > 0


def test_errors_are_not_remembered(udp_socket):
    zone = Zone(AUTHORITY)
    responder = make_responder(zone)
    hot = Hot(responder, udp_socket)
    for _ in range(3):
        assert read(hot.ask(ask(NAME))).rcode() == msg.SERVFAIL
    zone.apply(ZoneChange(1, tuple(edits(f"{NAME} A 1.2.3.12"))))
    assert read(hot.ask(ask(NAME))).rcode() == msg.NOERROR


# --- what could poison the memory --------------------------------------------------------------

TXT = b"\xc0\x0c\0\x10\0\1\0\0\0\0\0\2\1a"


def with_record(record, name=NAME):
    octets = bytearray(ask(name)) + record
    octets[11] = 1
    return bytes(octets)


def test_a_record_behind_the_question_stays_out_of_the_reply_also_the_second_time(udp_socket):
    hot = Hot(make_responder(ZONE), udp_socket)
    for _ in range(3):
        assert texts(read(hot.ask(with_record(TXT))).answer) == [f"{NAME} 60 IN A 1.2.3.11"]


def test_records_behind_the_question_are_no_way_to_fill_the_cachery(udp_socket):
    responder = make_responder(ZONE)
    hot = Hot(responder, udp_socket)
    for n in range(10):
        record = struct.pack("!HHHIH", 0xC00C, 65280, 1, n, 1000) + bytes(1000)
        for _ in range(3):
            hot.ask(with_record(record))
            responder.respond_tcp(with_record(record))
    assert all(cache.entries == cache.parts == {} for cache in responder._caches)


def test_a_query_that_promises_an_opt_record_and_has_none_is_malformed_also_from_cachery(udp_socket):
    responder = make_responder(ZONE)
    hot = Hot(responder, udp_socket)
    for do in (0, 0x8000):
        octets = ask(NAME, payload=1232, ednsflags=do)
        for _ in range(3):
            hot.ask(octets)
            responder.respond_tcp(octets)
        for rest in (b"", b"\x80", b"\0\0\x29E", b"\0\0\x29D"):
            assert hot.ask(octets[:-11] + rest)[3] & 15 == msg.FORMERR
            assert responder.respond_tcp(octets[:-11] + rest)[3] & 15 == msg.FORMERR


def test_a_zero_octet_within_a_label_does_not_confuse_the_cachery(udp_socket):
    name = "a\\000b.marathon.mesos."
    responder = make_responder(make_zone(), seed=1)
    hot = Hot(responder, udp_socket)
    for octets in (ask(name), ask(name, payload=1232)):
        fresh = make_responder(make_zone()).respond_udp(octets)
        for _ in range(3):
            assert hot.ask(octets) == fresh
            assert responder.respond_tcp(octets) == fresh


def test_an_opt_record_within_a_name_is_none(udp_socket):
    inside = b"\x11" + b"ab\0" + b"\0\1\0\1" + b"\0\0\x29\x10\0\0\0\0\0\0" + b"\5mesos\0"
    octets = ask(NAME)[:12] + inside + b"\0\1\0\1"
    other = ask(NAME)[:12] + inside.replace(b"mesos", b"MESOT") + b"\0\1\0\1"
    responder = make_responder(ZONE)
    hot = Hot(responder, udp_socket)
    for datagram in (octets, other) * 2:
        assert same(hot.ask(datagram), make_responder(ZONE).respond_udp(datagram, CLIENT))


# --- any questions -----------------------------------------------------------------------------

NAMES = [
    *[NAME, "cHRONOS.marathon.mesos.", "liquor.marathon.mesos.", "toy.marathon.mesos.", "_liquor._tcp.marathon.mesos."],
    *["many.mesos.", "mesos.", "MESOS.", "marathon.mesos.", "nope.mesos.", "a.*b.mesos.", "example.org.", "."],
    *["a\\000b.mesos.", "toy.marathon.mesos\\000."],
]


@st.composite
def datagrams(draw):
    edns = draw(
        st.sampled_from(
            [{}, {}, {"payload": 1232}, {"payload": 512}, {"payload": 900, "ednsflags": 0x8000}, {"edns": 1}]
        )
    )
    if edns and draw(st.booleans()):
        edns = edns | {"options": [option(10, draw(st.binary(min_size=8, max_size=8)))]}
    octets = ask(
        draw(st.sampled_from(NAMES)),
        draw(st.sampled_from([1, 1, 28, 33, 255, 6, 2, 65, 97, 41, 252])),
        draw(st.sampled_from([1, 1, 1, 3, 255])),
        identifier=draw(st.integers(0, 65535)),
        flags=draw(st.sampled_from([0x0100, 0, 0x0110, 0x0120, 0x8100])),
        **edns,
    )
    match draw(st.integers(0, 7)):
        case 0:
            at = draw(st.integers(2, len(octets) - 1))
            return octets[:at] + bytes((draw(st.integers(0, 255)),)) + octets[at + 1 :]
        case 1:
            return octets[: draw(st.integers(0, len(octets)))]
        case 2:
            return octets + draw(st.sampled_from([b"\0", b"\x80", TXT]))
        case 3:
            return octets[:11] + bytes((octets[11] ^ 1,)) + octets[12:]
        case 4:
            return octets[:11] + bytes((octets[11] + 1,)) + octets[12:] + TXT
    return octets


@given(st.lists(datagrams(), min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_replies_from_cachery_are_fresh_replies(udp_socket, asked, random):
    responder = make_responder(ZONE)
    hot = Hot(responder, udp_socket)
    # Twice to be asked, once to be remembered.
    asked = [*asked, *asked, *asked]
    random.shuffle(asked)
    fresh = make_responder(ZONE)
    for octets in asked:
        udp, tcp = (
            fresh.respond_fresh(Request(octets, CLIENT, transport)) for transport in (Transport.UDP, Transport.TCP)
        )
        assert same(hot.ask(octets), udp), octets
        assert same(responder.respond_udp(octets, CLIENT), udp), octets
        assert same(responder.respond_tcp(octets, CLIENT), tcp), octets


@given(st.binary(max_size=300))
@settings(deadline=None)
def test_any_octets(udp_socket, octets):
    responder = make_responder(ZONE)
    hot = Hot(responder, udp_socket)
    for _ in range(3):
        for reply in (hot.ask(octets), responder.respond_tcp(octets), responder.respond_udp(octets)):
            assert reply in (None, CLOSE) or isinstance(reply, Forward) or reply[:2] == octets[:2]


def test_repr():
    empty = "ResponseCache(found=0, missing=0)"
    assert repr(make_responder(ZONE)) == f"Responder([{empty}, {empty}])"


def test_a_flood_of_unknown_names_asked_twice_does_not_push_out_known_ones(udp_socket):
    responder = make_responder(ZONE)
    hot = Hot(responder, udp_socket)
    found, missing = (batches.RingBuffer(bodies(12_000), 10_000, 1000) for _ in range(2))
    hot.listener._cache = cache = ResponseCache(found, missing, 3, 10)
    for _ in range(2):
        hot.ask(ask(NAME, payload=1232))
    for n in range(40):
        for _ in range(3):
            assert read(hot.ask(ask(f"nope-{n}.mesos.", payload=1232))).rcode() == msg.NXDOMAIN
    misses = responder.misses
    hot.ask(ask(NAME, payload=1232))
    assert responder.misses == misses
    assert repr(cache) == "ResponseCache(found=1, missing=10)"


def test_a_listeners_cache_is_emptied_with_the_others(udp_socket):
    responder = make_responder(ZONE)
    hot = Hot(responder, udp_socket)
    for _ in range(2):
        hot.ask(ask(NAME))
        responder.respond_tcp(ask(NAME))
        responder.respond_udp(ask(NAME))
    assert repr(responder) == f"Responder({['ResponseCache(found=1, missing=0)'] * 3})".replace("'", "")
    responder.forget()
    responder.reclaim(1)
    assert repr(responder) == f"Responder({['ResponseCache(found=0, missing=0)'] * 3})".replace("'", "")


def test_what_answers_add_is_freed_faster_than_it_grows(udp_socket):
    responder = make_responder(ZONE)
    hot = Hot(responder, udp_socket)
    for n in range(300):
        for _ in range(2):
            hot.ask(ask(f"nope-{n}.mesos.", payload=1232))
        responder.reclaim(2)
        responder.forget()
    assert sum(map(len, hot.cache._garbage)) <= 10


# --- options behind the cache ------------------------------------------------------------------

KEEPALIVE = option(11)


@pytest.mark.parametrize("name", [NAME, "many.mesos.", "nope.mesos.", "mesos."])
def test_a_client_that_asks_for_it_is_told_how_long_a_connection_may_stay_idle(name):
    responder = make_responder(ZONE)
    for _ in range(3):
        asking = ask(name, payload=1232, options=[option(3), KEEPALIVE])
        told = read(responder.respond_tcp(asking, CLIENT, 300))
        assert [(int(found.otype), found.to_wire()) for found in told.options] == [(11, b"\x01\x2c")]
        for octets, keepalive in (
            (ask(name, payload=1232, options=[option(3)]), 300),
            (ask(name, payload=1232), 300),
            (ask(name), 300),
            (asking, None),
        ):
            assert read(responder.respond_tcp(octets, CLIENT, keepalive)).options == ()
        assert read(responder.respond_udp(asking, CLIENT)).options == ()


def test_a_forwarded_query_takes_the_option_along():
    responder = make_responder(ZONE)
    forward = responder.respond_tcp(ask("example.org.", payload=1232, options=[KEEPALIVE]), CLIENT, 300)
    assert (forward.client, forward.options) == (CLIENT, msg.tcp_keepalive(300))
    assert responder.respond_tcp(ask("example.org."), CLIENT, 300).options == b""


class Chatty:
    """A policy with a lot to say."""

    usual = frozenset()

    def judge(self, _request):
        return Answer(b"\xff\xee" + struct.pack("!H", 300) + bytes(300))


@pytest.mark.parametrize("payload", [512, 1232])
def test_with_options_a_reply_still_fits(payload):
    responder = Responder(make_answerer(ZONE), Chatty())
    for _ in range(4):
        octets = responder.respond_udp(ask("many.mesos.", payload=payload), CLIENT)
        assert len(octets) <= payload
        reply = read(octets)
        assert [int(found.otype) for found in reply.options] == [0xFFEE]
        assert bool(reply.flags & dns.flags.TC)
        assert len(texts(reply.answer)) == (payload - 28 - 11 - 304) // 16


# --- what is too large for a datagram, over TCP ------------------------------------------------


@pytest.mark.parametrize("count", [20, 200])
@pytest.mark.parametrize("kind", ["A", "SRV"])
def test_over_tcp_each_record_comes_first_equally_often_too(count, kind):
    values = [f"10.0.0.{n}" if kind == "A" else f"t{n}.mesos:{n}" for n in range(count)]
    table = f"app.mesos {kind} {' '.join(values)}"
    if kind == "SRV":
        table += "".join(f"\nt{n}.mesos A 10.0.0.{n}" for n in range(count))
    responder = make_responder(make_zone(table))
    octets = ask("app.mesos.", kind)
    first = slice(12 + 15 + 12, 12 + 15 + 12 + (4 if kind == "A" else 6))
    firsts = Counter(responder.respond_tcp(octets, CLIENT)[first] for _ in range(8 * count + 2))
    assert len(firsts) == count
    assert set(firsts.values()) <= {8, 9, 10}
    assert responder.hits == 8 * count
