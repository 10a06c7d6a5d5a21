"""Responses that say the same too often, at UDP listeners over real sockets: held back, counted, and told once."""

import logging
from itertools import cycle

import dns.flags
import dns.rcode
import pytest
from tests.serve.asking import ask, read
from tests.serve.test_policy import forget_nothing
from tests.serve.test_udp import NAME, SPARSE, WAYS, Server
from tests.serve.test_udp_outside import OUTSIDE, Upstream

from mesos_dns.dns.prefixes import ClientList, prefix_of
from mesos_dns.serve.ratelimit import Rates

#: Twice within a moment; what time brings meanwhile is less than one.
RATES = Rates(2, 2, 2, share=1e-9, slip=2)
TRUNCATED, WHOLE = "truncated", "whole"


@pytest.fixture(params=WAYS)
def way(request):
    return request.param


def outcome(reply):
    return TRUNCATED if reply.flags & dns.flags.TC and not reply.answer else WHOLE


def take(server, client, octets, *, alone=False):
    """What becomes of one query: the reply, or None for silence."""
    client.send(octets)
    server.read(next(SPARSE) if alone else 0.0)
    try:
        return read(client.socket.recv(4096))
    except BlockingIOError:
        return None


def outcomes(server, client, octets, times, **how):
    replies = [take(server, client, octets, **how) for _ in range(times)]
    return [reply and outcome(reply) for reply in replies]


@pytest.mark.parametrize("alone", [False, True])
@pytest.mark.parametrize("form", [{}, {"payload": 1232}])
def test_the_same_answer_is_sent_so_often_then_truncated_or_dropped(way, alone, form):
    server = Server(way, rates=RATES)
    told = outcomes(server, server.client(), ask(NAME, **form), 8, alone=alone)
    assert told == [WHOLE, WHOLE, None, TRUNCATED, None, TRUNCATED, None, TRUNCATED]
    assert server.responder.counters['rate_limited{fate="dropped"}'] == 3
    assert server.responder.counters['rate_limited{fate="truncated"}'] == 3
    server.close()


@pytest.mark.parametrize("name", [NAME, "nobody.mesos.", "marathon.mesos.", "_liquor._tcp.marathon.mesos."])
def test_a_truncated_reply_is_small_and_echoes_the_question(way, name):
    server = Server(way, rates=RATES)
    client = server.client()
    for n, form in enumerate([{}, {"payload": 1232}] * 4):
        octets = ask(name, identifier=n, **form)
        reply = take(server, client, octets)
        if n in (3, 5, 7):
            assert reply.id == n
            assert reply.flags & dns.flags.TC
            assert [*reply.answer, *reply.authority, *reply.additional] == []
            assert (reply.edns >= 0) is bool(form)
            assert len(reply.to_wire()) <= len(octets)
            assert reply.rcode() == (dns.rcode.NXDOMAIN if name == "nobody.mesos." else dns.rcode.NOERROR)
        assert (reply is None) == (n in (2, 4, 6))
    server.close()


def test_a_batch_is_judged_as_a_whole(way):
    server = Server(way, rates=RATES)
    client = server.client()
    for turn in range(2):
        for n in range(8):
            client.send(ask(NAME, identifier=n))
        server.read()
        replies = []
        while True:
            try:
                replies.append(read(client.socket.recv(4096)))
            except BlockingIOError:
                break
        assert len(replies) == (5 if turn == 0 else 4)
        assert [outcome(reply) for reply in replies].count(WHOLE) == (2 if turn == 0 else 0)
    server.close()


def test_names_that_are_made_up_are_one_account(way):
    server = Server(way, rates=RATES)
    client = server.client()
    told = [take(server, client, ask(f"q{n}.marathon.mesos.")) for n in range(200)]
    assert sum(reply is not None and outcome(reply) == WHOLE for reply in told) == 2
    server.close()


def test_errors_have_an_account_of_their_own(way):
    server = Server(way, rates=RATES)
    told = [take(server, server.client(), ask(NAME, rdclass="CH")) for n in range(6)]
    assert [reply and reply.rcode() for reply in told] == [5, 5, None, 5, None, 5]
    assert not any(reply.flags & dns.flags.TC for reply in told if reply)
    server.close()


def test_spellings_of_one_name_with_wildcards_are_one_account(way):
    server = Server(way, rates=RATES)
    spellings = cycle(["chronos.marathon.mesos.", "chronos.*.marathon.mesos.", "chronos.marathon.*.mesos."])
    told = [take(server, server.client(), ask(next(spellings))) for _ in range(12)]
    assert sum(reply is not None and outcome(reply) == WHOLE for reply in told) == 2
    server.close()


def test_other_networks_and_exempt_ones_are_not_held_back(way):
    exempt = ClientList(allowed=(prefix_of(bytes((127, 0, 2, 0)), 24),))
    server = Server(way, rates=Rates(2, 2, 2, share=1e-9, exempt=exempt))
    for address, whole in (("127.0.0.1", 2), ("127.0.0.9", 0), ("127.0.1.1", 2), ("127.0.2.1", 9)):
        client = server.client()
        client.socket.bind((address, 0))
        assert outcomes(server, client, ask(NAME), 9).count(WHOLE) == whole
    server.close()


def test_limits_may_only_be_told(way, caplog):
    server = Server(way, rates=Rates(2, 2, 2, share=1e-9, log_only=True))
    with caplog.at_level(logging.WARNING):
        assert outcomes(server, server.client(), ask(NAME), 9) == [WHOLE] * 9
    assert server.responder.counters['rate_limited{fate="logged"}'] == 7
    (record,) = caplog.records
    told = "rate limit: too many responses with records of chronos.marathon.mesos. to 127.0.0.0/24, "
    assert record.getMessage() == told + "which are sent all the same (RateLimit.LogOnly)"
    server.close()


def test_it_is_told_once_a_minute(way, caplog):
    server = Server(way, rates=RATES)
    client = server.client()
    with caplog.at_level(logging.WARNING):
        for name in (NAME, "nobody.mesos.", "toy.marathon.mesos."):
            outcomes(server, client, ask(name), 9)
    assert [record.getMessage() for record in caplog.records] == [
        "rate limit: too many responses with records of chronos.marathon.mesos. to 127.0.0.0/24"
    ]
    server.close()


class Known:
    """Credentials by the first octet of the ID: 1 is proven, 2 may be challenged."""

    def proven(self, octets, client):
        assert client == bytes((127, 0, 0, 1))
        return octets[0] == 1

    def challenge(self, octets, client):
        assert client == bytes((127, 0, 0, 1))
        return octets[:2] + b"\x80\0" + bytes(8) if octets[0] == 2 else None


def test_who_has_proven_its_address_is_not_held_back_and_others_may_be_asked_to(way):
    server = Server(way, rates=RATES)
    server.limit._credentials = Known()
    client = server.client()
    assert outcomes(server, client, ask(NAME, identifier=0x100), 10) == [WHOLE] * 10
    told = [take(server, client, ask(NAME, identifier=0x200)) for _ in range(4)]
    assert [reply is None for reply in told] == [True, False, True, False]
    assert not any(reply.flags & dns.flags.TC for reply in told if reply)
    assert server.responder.counters['rate_limited{fate="challenged"}'] == 2
    assert server.responder.counters['rate_limited{fate="trusted"}'] == 8
    assert outcomes(server, client, ask(NAME, identifier=0x300), 4) == [None, TRUNCATED, None, TRUNCATED]
    server.close()


@pytest.mark.parametrize("alone", [False, True])
def test_answers_of_upstreams_are_limited_from_the_cache_and_afresh(way, alone):
    server = Server(way, rates=RATES)
    server.listener._forward = Upstream().forward
    forget_nothing(server)
    told = outcomes(server, server.client(), ask(OUTSIDE, payload=1232), 8, alone=alone)
    assert told == [WHOLE, WHOLE, None, TRUNCATED, None, TRUNCATED, None, TRUNCATED]
    server.close()


def test_whatever_comes_is_answered_or_not_but_never_an_exception(way):
    server = Server(way, rates=Rates(1, 1, 1, share=1e-9))
    client = server.client()
    odd = [
        b"",
        b"x",
        bytes(12),
        bytes(17),
        ask(NAME)[:-1],
        bytes(10) + b"\0\1" + ask(NAME)[12:],
        ask(".", payload=1232),
    ]
    odd += [bytes((0, 1, opcode << 3)) + ask(NAME)[3:] for opcode in range(16)]
    for octets in odd * 3:
        take(server, client, octets)
    assert server.responder.counters['rate_limited{fate="dropped"}'] > 20
    server.close()
