"""Ready NXDOMAIN responses: only for names that certainly do not exist, and only while the zone is the same."""

import pytest
from tests.serve.asking import ask, make_answerer
from tests.serve.hot import Hot, same
from tests.serve.test_responder import ZONE, make_responder, udp_socket

from mesos_dns.serve.fast import FastAnswers
from mesos_dns.serve.keys import any_key, owner_of
from mesos_dns.serve.nxdomain import _MOST_BELOW, _MOST_KINDS, ReadyNxdomain
from mesos_dns.serve.request import Transport
from mesos_dns.serve.traffic import Kind, Traffic

__all__ = ["udp_socket"]

DESCRIPTOR = b"a descriptor"
KIND = Kind(qtype=1, do=False, rcode=3, asked=30, given=80)


def ready_for(*names, **edns):
    """What is ready when those names were found not to exist."""
    ready = ReadyNxdomain(FastAnswers(make_answerer(), tcp=False), None, Traffic(Transport.UDP))
    for name in names:
        key = any_key(ask(name, **edns))
        ready.keep(key, len(owner_of(key)), DESCRIPTOR, KIND)
    return ready


@pytest.mark.parametrize("edns", [{}, {"payload": 1232}])
def test_another_name_of_the_same_length(edns):
    ready = ready_for("nope01.mesos.", **edns)
    for name in ("nope02.mesos.", "nope03.mesos.", "abcdef.mesos."):
        assert ready.find(any_key(ask(name, **edns))).descriptor == DESCRIPTOR


@pytest.mark.parametrize(
    "name",
    [
        *("agent.mesos.", "slave.mesos.", "nop*xx.mesos.", "nope.other.", "longerer.mesos.", "mesos.", "."),
        *("toy.marathon.mesos.", "a.nope01.mesos.", "x.agent.mesos.", "many.mesos."),
    ],
)
def test_names_that_exist_or_take_a_closer_look(name):
    ready = ready_for("nope01.mesos.", "nope.mesos.", "nop.marathon.mesos.")
    ready.find(any_key(ask("nope02.mesos.")))
    assert ready.find(any_key(ask(name))) is None


def test_what_the_loop_reads_is_ready_for_all_but_the_first_label():
    ready = ready_for("nope01.mesos.")
    key = any_key(ask("nope01.mesos."))
    assert ready.find(key).descriptor == DESCRIPTOR
    assert list(ready.below) == [key[:11] + key[17:]]


def test_a_label_as_long_as_a_redirected_names_is_looked_at_each_time():
    """`agent.mesos` is no owner, and does exist."""
    ready = ready_for("abcde.mesos.")
    assert ready.find(any_key(ask("abcde.mesos."))).descriptor == DESCRIPTOR
    assert ready.below == {}


def test_another_question_about_the_same_name_is_another_kind():
    ready = ready_for("nope01.mesos.")
    for other in (ask("nope01.mesos.", "AAAA"), ask("nope01.mesos.", flags=0), ask("nope01.mesos.", payload=1232)):
        assert ready.find(any_key(other)) is None


def test_it_is_bounded():
    ready = ready_for("nope01.mesos.")
    key = any_key(ask("nope01.mesos."))
    ready.below.update((n.to_bytes(4, "big"), b"") for n in range(_MOST_BELOW))
    ready.find(key)
    assert len(ready.below) == 1
    for n in range(_MOST_KINDS + 1):
        ready.keep(n.to_bytes(2, "big") + key[2:], len(owner_of(key)), DESCRIPTOR, KIND)
    assert len(ready._kinds) < _MOST_KINDS
    assert repr(ready) == f"ReadyNxdomain({len(ready._kinds)} kinds, 0 below parents)"


@pytest.mark.parametrize("name", ["agent.mesos.", "slave.mesos.", "a*cde.mesos.", "nope6.mesos."])
def test_the_listener_gives_what_a_fresh_answer_would_be(udp_socket, name):
    hot = Hot(make_responder(ZONE), udp_socket)
    for other in ("nope1.mesos.", "nope2.mesos.", "nope01.mesos.", "nope02.mesos."):
        hot.ask(ask(other))
    for _ in range(3):
        assert same(hot.ask(ask(name)), make_responder(ZONE).respond_udp(ask(name), b""))


def test_a_name_that_appears_is_found(udp_socket):
    responder = make_responder(ZONE)
    hot = Hot(responder, udp_socket)
    for n in range(5):
        hot.ask(ask(f"nope-{n}.mesos."))
    assert hot.listener._nxdomain.below
    responder.forget()
    hot.ask(ask("chronos.marathon.mesos."))
    assert hot.listener._ready_nxdomain().below == {}
