"""Padding of replies over encrypted connections: only for who asks, whole blocks, and nothing else changes."""

import dns.edns
import dns.message
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.serve.asking import ask, make_responder, option

from mesos_dns.dns.padding import BLOCK_SIZE, pad

PADDED = [option(12, bytes(20))]


def replied(octets):
    return make_responder().respond_tcp(octets)


@pytest.mark.parametrize(
    "name", ["leader.mesos.", "chronos.marathon.mesos.", "many.mesos.", "_many._tcp.mesos.", "a" * 60]
)
@pytest.mark.parametrize("options", [PADDED, [option(3), *PADDED], [option(12)]])
def test_replies_become_whole_blocks(name, options):
    octets = ask(name, "SRV" if name.startswith("_") else "A", payload=1232, options=options)
    reply = (
        replied(octets) if "mesos" in name else make_responder().respond_tcp(ask("x." + name, "A", "CH", payload=1232))
    )
    padded = pad(octets, reply)
    assert len(padded) % BLOCK_SIZE == 0
    assert 0 <= len(padded) - len(reply) < BLOCK_SIZE + 4
    before, after = dns.message.from_wire(reply), dns.message.from_wire(padded)
    assert after.sections == before.sections
    *others, padding = after.options
    assert tuple(others) == before.options
    assert int(padding.otype) == 12
    assert set(padding.to_wire()) <= {0}


@pytest.mark.parametrize(
    "octets",
    [ask("leader.mesos."), ask("leader.mesos.", payload=1232), ask("leader.mesos.", payload=1232, options=[option(3)])],
)
def test_who_does_not_ask_gets_none(octets):
    reply = replied(octets)
    assert pad(octets, reply) is reply


def test_a_reply_without_an_opt_record_and_one_that_has_no_room_stay_as_they_are():
    octets = ask("leader.mesos.", payload=1232, options=PADDED)
    formerr = replied(octets[:12] + b"\xff" * 20)
    assert pad(octets, formerr) is formerr
    record = b"\xc0\x0c\0\1\0\1\0\0\0\0" + (65_465).to_bytes(2) + bytes(65_465)
    question_end = 12 + 14 + 4
    large = octets[:2] + b"\x84\0\0\1\0\1\0\0\0\1" + octets[12:question_end] + record + replied(octets)[-11:]
    assert pad(octets, large) is large


@given(st.binary(max_size=100))
def test_whatever_was_asked_the_reply_can_be_sent(octets):
    reply = replied(octets)
    if isinstance(reply, bytes):
        assert pad(octets, reply) is reply or len(pad(octets, reply)) % BLOCK_SIZE == 0
