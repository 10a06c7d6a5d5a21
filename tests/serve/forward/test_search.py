"""One question to upstreams: what becomes of those that are overtaken, that lead back here, and of errors of this machine."""

import asyncio
import errno

import dns.flags
import dns.rcode
import pytest
from tests.serve.asking import ask, read, texts
from tests.serve.forward.asked import until
from tests.serve.forward.upstreams import NAME, ROOT, Upstream, honest, make_forwarder, say, silent, submit, truncated

from mesos_dns.serve.forward.inflight import Question
from mesos_dns.serve.forward.loops import PROBE_SECONDS, LoopWatch, routes_of
from mesos_dns.serve.forward.stream import StreamPool


def patient(forwarder, upstream):
    """Have silence of `upstream` begin late, so that a loaded machine is in time; gives what is known of it."""
    state = states(forwarder)[upstream.address]
    state.silence = 2.0
    return state


def states(forwarder):
    return {state.key: state for state in forwarder.upstreams_for(ROOT)[1].states}


async def test_who_is_overtaken_is_listened_to_for_a_while_and_no_longer():
    async with Upstream(silent) as first, Upstream(honest) as second:
        forwarder = make_forwarder(first, second, timeout=60)
        state = patient(forwarder, first)
        assert texts(read(await submit(forwarder, ask(NAME))).answer)
        pool = forwarder._means.pool
        assert pool.pending == 1, "the first may still answer"
        await until(lambda: pool.pending == 0)
        assert len(pool.timers) == pool.sockets, "no search waits, only sockets for their end"
        assert (state.asked, state.status(asyncio.get_running_loop().time()).failed) == (1, 1)


async def test_what_an_overtaken_upstream_says_is_heard_though_nobody_waits():
    def late(octets):
        held.append((octets, first.asked[-1][1]))

    held = []
    async with Upstream(late) as first, Upstream(honest) as second:
        forwarder = make_forwarder(first, second, timeout=60)
        state = patient(forwarder, first)
        await submit(forwarder, ask(NAME))
        octets, port = held[0]
        first._transport.sendto(honest(octets), ("127.0.0.1", port))
        await until(lambda: state.srtt is not None)
        assert state.suspect is None
        await until(lambda: forwarder._means.pool.pending == 0)
        assert forwarder.counters["forwarded"] == 1, "the client heard one answer"


async def test_nobody_asks_for_the_rest_of_what_came_too_late():
    def late(octets):
        held.append((octets, first.asked[-1][1]))

    held = []
    async with Upstream(late, honest) as first, Upstream(honest) as second:
        forwarder = make_forwarder(first, second, timeout=60)
        state = patient(forwarder, first)
        await submit(forwarder, ask(NAME))
        octets, port = held[0]
        first._transport.sendto(truncated(octets), ("127.0.0.1", port))
        await until(lambda: state.srtt is not None)
        pool = forwarder._means.pool
        await until(lambda: len(pool.timers) == pool.sockets)
        assert first.asked_tcp == []


async def test_an_upstream_that_is_known_to_lead_back_costs_no_time():
    async with Upstream(honest) as looping, Upstream(honest) as other:
        zones = {ROOT: [looping.address, other.address]}
        watch = LoopWatch(b"key", routes_of(zones))
        loop = asyncio.get_running_loop()
        watch._looping[ROOT, looping.address] = loop.time() + PROBE_SECONDS
        forwarder = make_forwarder(zones=zones, timeout=60, loops=watch)
        asking = asyncio.ensure_future(submit(forwarder, ask(NAME)))
        await asyncio.sleep(0)
        assert states(forwarder)[other.address].asked == 1, "at once, without a timer"
        assert texts(read(await asking).answer)
        assert looping.asked == []


async def test_errors_of_this_machine_do_not_tell_against_an_upstream(monkeypatch, caplog):
    def no_file(_pool, _upstream, octets, end, _on_reply, on_error, _deadline, **_):
        question = Question(octets, end - 12, None, on_error)
        asyncio.get_running_loop().call_soon(question.fail, OSError(errno.EMFILE, "Too many open files"))
        return question

    monkeypatch.setattr(StreamPool, "ask", no_file)
    async with Upstream(truncated) as upstream:
        forwarder = make_forwarder(upstream)
        for _ in range(5):
            assert read(await submit(forwarder, ask(NAME))).rcode() == dns.rcode.NOERROR
        assert states(forwarder)[upstream.address].tcp.failures == 0
    assert "does not answer over TCP: Too many open files" in caplog.text


async def test_after_several_failures_over_tcp_truncated_answers_are_passed_on_at_once():
    async with Upstream(truncated) as upstream:
        forwarder = make_forwarder(upstream)
        for _ in range(5):
            await submit(forwarder, ask(NAME))
        assert states(forwarder)[upstream.address].tcp.failures == 3


@pytest.mark.parametrize("rcode", [1, 2, 4, 5])
async def test_a_failure_over_tcp_is_no_better_than_the_part_that_came_over_udp(rcode, caplog):
    def part(octets):
        return say(octets, "192.0.2.1", flags=dns.flags.TC)

    async with Upstream(part, lambda octets: say(octets, rcode=rcode)) as upstream:
        reply = read(await submit(make_forwarder(upstream), ask(NAME)))
        assert (reply.rcode(), bool(reply.flags & dns.flags.TC)) == (dns.rcode.NOERROR, True)
        assert texts(reply.answer) == [f"{NAME} 300 IN A 192.0.2.1"]
    assert f"does not answer over TCP: {dns.rcode.to_text(rcode)}" in caplog.text


async def test_who_rejects_edns_is_asked_without_over_tcp_too():
    def old(make):
        # Octet 11 says whether there is an OPT record.
        return lambda octets: say(octets, rcode=1) if octets[11] else make(octets)

    async with Upstream(old(truncated), old(honest)) as upstream:
        reply = read(await submit(make_forwarder(upstream), ask(NAME)))
        assert texts(reply.answer) == [f"{NAME} 300 IN A 192.0.2.1"]
        assert [octets[11] for octets in upstream.asked_tcp] == [0]


async def test_edns_that_is_rejected_is_left_out_for_the_next_questions():
    def old(octets):
        # FORMERR and the header alone, as servers before EDNS do.
        return octets[:2] + b"\x81\x81" + bytes(8) if octets[11] else honest(octets)

    async with Upstream(old) as upstream:
        forwarder = make_forwarder(upstream)
        for _ in range(3):
            assert texts(read(await submit(forwarder, ask(NAME, payload=1232))).answer)
        assert [octets[11] for octets, _ in upstream.asked] == [1, 0, 0, 0]
