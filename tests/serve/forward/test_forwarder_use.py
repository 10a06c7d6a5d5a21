"""Other upstreams while the forwarder works: what is under way, what is remembered, and what is known of those that stay."""

import asyncio

from tests.cycles import left_by
from tests.serve.asking import ask, read, texts
from tests.serve.forward.test_forwarder_cache import TTL, caching, remember, send
from tests.serve.forward.upstreams import NAME, ROOT, Upstream, honest, make_forwarder, say, silent, submit

from mesos_dns.concurrency import spawn
from mesos_dns.serve.forward.loops import LoopWatch, routes_of


def use(forwarder, *upstreams, zone=ROOT):
    servers = {zone: [upstream.address for upstream in upstreams]}
    forwarder.use(servers, LoopWatch(b"key", routes_of(servers)))


def other(octets):
    return say(octets, "192.0.2.2")


async def test_others_are_asked_and_what_the_former_ones_said_is_forgotten():
    async with Upstream(honest) as former, Upstream(other) as latter:
        forwarder = make_forwarder(former, cache_octets=10**6)
        for _ in range(2):
            assert texts(read(await submit(forwarder, ask(NAME))).answer) == [f"{NAME} 300 IN A 192.0.2.1"]
        use(forwarder, latter)
        assert texts(read(await submit(forwarder, ask(NAME))).answer) == [f"{NAME} 300 IN A 192.0.2.2"]
        assert len(former.asked) == 1


async def test_before_the_first_question():
    async with Upstream(honest) as former, Upstream(other) as latter:
        forwarder = make_forwarder(former)
        use(forwarder, latter)
        assert texts(read(await submit(forwarder, ask(NAME))).answer) == [f"{NAME} 300 IN A 192.0.2.2"]


async def test_questions_under_way_are_asked_once_more_and_lost_none():
    async with Upstream(silent) as former, Upstream(other) as latter:
        forwarder = make_forwarder(former, cache_octets=10**6)
        waiting = [spawn(submit(forwarder, ask(f"{n % 50}.example.test.")), name="ask") for n in range(100)]
        await former.until_asked(50)
        assert forwarder.pending == 100
        use(forwarder, latter)
        for reply in await asyncio.gather(*waiting):
            assert read(reply).rcode() == 0
        assert forwarder.pending == 0
        assert len([octets for octets, _ in latter.asked if b"mesos-dns-loop-" not in octets]) == 50
        assert forwarder.counters["forward_failed"] == 0


async def test_a_failure_of_the_former_ones_is_forgotten():
    async with Upstream(lambda octets: say(octets, rcode=2)) as former, Upstream(other) as latter:
        forwarder = make_forwarder(former, cache_octets=10**6)
        assert read(await submit(forwarder, ask(NAME))).rcode() == 2
        use(forwarder, latter)
        assert read(await submit(forwarder, ask(NAME))).rcode() == 0


async def test_nobody_is_left_to_ask():
    async with Upstream(silent) as former:
        forwarder = make_forwarder(former)
        waiting = spawn(submit(forwarder, ask(NAME)), name="ask")
        await former.until_asked(1)
        use(forwarder)
        assert read(await waiting).rcode() == 2
        assert read(await submit(forwarder, ask(NAME))).rcode() == 5


async def test_what_is_known_of_those_that_stay_is_kept_and_that_of_others_let_go():
    async with Upstream(honest) as stays, Upstream(honest) as goes, Upstream(honest) as comes:
        forwarder = make_forwarder(goes, stays, policy="random")
        for n in range(20):
            await submit(forwarder, ask(f"{n}.example.test."))
        before = {state.key: state for state in forwarder.upstreams_for(ROOT)[1].states}
        use(forwarder, stays, comes)
        after = {state.key: state for state in forwarder.upstreams_for(ROOT)[1].states}
        assert list(after) == [stays.address, comes.address]
        assert after[stays.address] is before[stays.address]
        assert after[stays.address].asked
        assert not after[comes.address].asked


async def test_what_is_asked_for_those_to_come_is_let_go():
    async with Upstream(silent) as former, Upstream(other) as latter:
        forwarder = caching(former)
        remember(forwarder, ago=0.95 * TTL)
        replies = [send(forwarder) for _ in range(3)]  # the third makes a new answer be sought
        await former.until_asked(1)
        assert (len(forwarder._pending), forwarder.pending, [len(each) for each in replies]) == (1, 0, [1, 1, 1])
        use(forwarder, latter)
        assert not forwarder._pending
        assert texts(read(await submit(forwarder, ask(NAME))).answer) == [f"{NAME} 300 IN A 192.0.2.2"]


async def test_changes_leave_nothing():
    async with Upstream(silent) as former, Upstream(other) as latter:
        forwarder = make_forwarder(former)

        async def change():
            waiting = spawn(submit(forwarder, ask(NAME)), name="ask")
            await asyncio.sleep(0)
            use(forwarder, latter)
            await waiting
            use(forwarder, former)

        assert await left_by(change) == {}
