"""Probes that find forwarding loops: who makes them, who knows them again, and what follows."""

import dns.message
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.serve.asking import ask, parse, read, texts

from mesos_dns.dns import name as names
from mesos_dns.serve.forward.loops import NONCE_SIZE, PROBE_SECONDS, LoopWatch, routes_of
from mesos_dns.serve.forward.options import Upstream
from mesos_dns.serve.request import Forward

ROOT, CORP = names.ROOT, names.from_text("corp.example")
ROUTES = [(ROOT, Upstream("192.0.2.1", 53)), (ROOT, Upstream("192.0.2.2", 53)), (CORP, Upstream("192.0.2.1", 53))]
NONCE = bytes(range(NONCE_SIZE))


def watch(key=b"key", routes=ROUTES):
    return LoopWatch(key, routes)


def forwarded(probe, spelled=bytes):
    """The probe as somebody forwards it: under another ID, with an OPT record, in another spelling."""
    query = dns.message.from_wire(probe)
    query.id ^= 1
    query.use_edns(0, 0, 1232)
    octets = query.to_wire()
    return parse(octets[:12] + spelled(octets[12 : len(probe)]) + octets[len(probe) :])


# --- a probe -----------------------------------------------------------------------------------


@pytest.mark.parametrize("route", ROUTES)
def test_a_probe_is_a_question_that_nobody_else_asks(route):
    probe = watch().probe(route, 0, 0x1234, NONCE)
    message = dns.message.from_wire(probe)
    (question,) = message.question
    assert (message.id, message.flags, message.edns) == (0x1234, 0x0100, -1)
    assert question.to_text().startswith("mesos-dns-loop-")
    assert question.to_text().endswith(" IN TXT")
    assert probe.endswith(route[1 - 1] + b"\0\x10\0\1")
    others = [watch(b"other").probe(route, 0, 0, NONCE), watch().probe(route, 0, 0, bytes(NONCE_SIZE))]
    assert len({probe[12:], *(other[12:] for other in others)}) == 3


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("spelled", [bytes, bytes.upper])
def test_any_worker_knows_it_again_and_so_the_route_that_leads_back(route, spelled):
    one, other = watch(), watch()
    query = forwarded(one.probe(route, 0, 1, NONCE), spelled)
    assert other.returned(query, 100) == route
    assert other.leads_back(route, 100)
    assert [each for each in ROUTES if other.leads_back(each, 101)] == [route]
    assert not other.leads_back(route, 100 + PROBE_SECONDS)


def test_nobody_elses_is_taken_for_ours():
    query = forwarded(watch(b"other").probe(ROUTES[0], 0, 1, NONCE))
    assert watch().returned(query, 0) is None
    # A route that there was before a reload, and another zone than it was made for.
    assert watch(routes=ROUTES[:1]).returned(forwarded(watch().probe(ROUTES[1], 0, 1, NONCE)), 0) is None
    moved = parse(ask(texts_of(watch().probe(ROUTES[0], 0, 1, NONCE)) + "corp.example.", "TXT"))
    assert watch().returned(moved, 0) is None


def texts_of(probe):
    return dns.message.from_wire(probe).question[0].name.to_text()


@pytest.mark.parametrize(
    "name",
    ["www.example.", "mesos-dns-loop-.", "mesos-dns-loop-" + "z" * 32 + ".", "mesos-dns-loop-" + "0" * 32 + ".", "."],
)
def test_other_names(name):
    assert watch().returned(parse(ask(name, "TXT")), 0) is None


@given(st.binary(max_size=48))
def test_any_label(rest):
    label = b"mesos-dns-loop-" + rest
    octets = b"\0\0\1\0\0\1\0\0\0\0\0\0" + bytes((len(label),)) + label + b"\0\0\x10\0\1"
    assert watch().returned(parse(octets), 0) is None


# --- what comes back ---------------------------------------------------------------------------


@pytest.mark.parametrize("spelled", [bytes, bytes.upper])
def test_the_answer_tells_the_worker_that_sent_it(spelled):
    one, other = watch(), watch()
    probe = one.probe(ROUTES[1], 0, 1, NONCE)
    answer = other.answer(Forward(forwarded(probe, spelled)))
    assert len(texts(read(answer).answer)) == 1
    assert one.learn(ROUTES[1], probe, answer, 5)
    assert one.leads_back(ROUTES[1], 5)


def test_other_answers_tell_nothing():
    one = watch()
    probe = one.probe(ROUTES[0], 0, 1, NONCE)
    again = one.probe(ROUTES[0], 0, 1, bytes(NONCE_SIZE))
    query = dns.message.from_wire(probe)
    wildcard = dns.message.make_response(query)
    wildcard.answer.append(dns.rrset.from_text(query.question[0].name, 60, "IN", "TXT", "loop"))
    for reply in (
        wildcard.to_wire(),
        dns.message.make_response(query).to_wire(),
        one.answer(Forward(forwarded(again))),
    ):
        assert not one.learn(ROUTES[0], probe, reply, 0)
    assert not one.leads_back(ROUTES[0], 0)


# --- when --------------------------------------------------------------------------------------


def test_the_first_question_brings_a_probe_and_failures_more_but_few():
    one, route = watch(), ROUTES[0]
    assert one.is_due(route, 0, failed=False)
    one.probe(route, 0, 1, NONCE)
    due = [
        (now, failed)
        for now in (0, 30, 59, 60, 1000)
        for failed in (False, True)
        if one.is_due(route, now, failed=failed)
    ]
    assert due == [(60, True), (1000, True)]
    assert one.is_due(ROUTES[1], 0, failed=False), "each route has its own"


def test_a_route_that_led_back_is_tried_again_with_a_probe():
    one, route = watch(), ROUTES[0]
    query = forwarded(one.probe(route, 0, 1, NONCE))
    one.returned(query, 10)
    assert not any(one.is_due(route, now, failed=True) for now in (10, 60, 69))
    assert one.is_due(route, 70, failed=False)
    one.probe(route, 70, 1, NONCE)
    assert not one.leads_back(route, 70)
    assert not one.is_due(route, 1000, failed=False), "it answers"


def test_what_cannot_be_probed_is_not():
    long = names.from_text(".".join(["x" * 60] * 4))
    one = watch(routes=[(long, Upstream("192.0.2.1", 53))])
    assert not one.is_due((long, Upstream("192.0.2.1", 53)), 0, failed=True)
    assert not LoopWatch(b"", ()).is_due(ROUTES[0], 0, failed=True)
    assert repr(one) == "LoopWatch(routes=1, looping=0)"


def test_routes_have_the_same_order_in_all_workers():
    upstreams = {ROOT: [Upstream("192.0.2.1", 53), Upstream("192.0.2.2", 53)], CORP: [Upstream("192.0.2.1", 53)]}
    assert routes_of(upstreams) == routes_of(dict(reversed(upstreams.items()))) == ROUTES
