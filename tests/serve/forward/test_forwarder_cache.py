"""A forwarder with a cache: what is asked again before its end, and what is given when no upstream answers."""

import asyncio

import dns.flags
import dns.rrset
from tests.serve.asking import ask, read
from tests.serve.forward.upstreams import NAME, Upstream, make_forwarder, say, submit

from mesos_dns.serve.forward import cache
from mesos_dns.serve.forward import forwarder as forwarding

ROOM = 1 << 20
STALE = {"cache_octets": ROOM, "stale_seconds": 60}


class Changing:
    """An answer that lives for a second, until `quiet` is set; then none."""

    quiet = False

    def __call__(self, octets):
        if self.quiet:
            return None
        reply = read(say(octets))
        reply.answer.append(dns.rrset.from_text(NAME, 1, "IN", "A", "192.0.2.1"))
        return reply.to_wire()


async def answered(forwarder):
    """TTL, and the extended errors."""
    reply = read(await submit(forwarder, ask(NAME, payload=1232)))
    return reply.answer[0].ttl, [int(error.code) for error in reply.extended_errors()]


async def until_stale(forwarder):
    for _ in range(1000):
        if (found := await answered(forwarder)) != (1, []):
            return found
        await asyncio.sleep(0.01)
    return None


async def test_a_silent_upstream_costs_those_who_have_an_old_answer_little(monkeypatch):
    monkeypatch.setattr(forwarding, "STALE_AFTER_SECONDS", 0.05)
    monkeypatch.setattr(cache, "_PREFETCH_PER_LIFE", 0)
    behaviour = Changing()
    async with Upstream(behaviour) as upstream:
        forwarder = make_forwarder(upstream, timeout=60, **STALE)
        assert await answered(forwarder) == (1, [])
        behaviour.quiet = True
        assert await until_stale(forwarder) == (30, [3])
        assert forwarder.counters["forward_stale"] == 1


async def test_so_it_does_if_it_was_asked_before_the_end(monkeypatch):
    monkeypatch.setattr(forwarding, "STALE_AFTER_SECONDS", 0.05)
    monkeypatch.setattr(cache, "_PREFETCH_PER_LIFE", 1)
    behaviour = Changing()
    async with Upstream(behaviour) as upstream:
        forwarder = make_forwarder(upstream, timeout=60, **STALE)
        assert await answered(forwarder) == (1, [])
        behaviour.quiet = True
        found = await until_stale(forwarder)
        assert len(upstream.asked) == 2, "once before its end, and this is still under way"
        assert found == (30, [3])


async def test_what_was_asked_without_edns_is_not_kept_for_those_who_want_signatures():
    def without_edns(octets):
        return say(octets, rcode=1) if octets[10:12] != b"\0\0" else say(octets, "192.0.2.1")

    async with Upstream(without_edns) as upstream:
        forwarder = make_forwarder(upstream, **STALE)
        for _ in range(3):
            assert read(await submit(forwarder, ask(NAME, payload=1232, ednsflags=dns.flags.DO))).answer
        assert len(upstream.asked) == 4, "once with EDNS, and then each time"
        for _ in range(3):
            assert read(await submit(forwarder, ask(NAME, payload=1232))).answer
        assert len(upstream.asked) == 5
