"""Questions over UDP from pooled sockets, against fake upstreams on loopback."""

import asyncio
import errno
import os
import socket
import sys
from collections import Counter
from functools import partial

import dns.flags
import pytest
from tests.serve.asking import ask
from tests.serve.forward.asked import LONG, SHORT, Asked, outcomes, turns, until
from tests.serve.forward.upstreams import NAME, Upstream, honest, say, silent, truncated, unused_address

from mesos_dns.logs import RateLimited
from mesos_dns.serve.forward import inflight
from mesos_dns.serve.forward import pool as pooling
from mesos_dns.serve.forward.pool import QUESTIONS_PER_SOCKET, UdpPool
from mesos_dns.serve.forward.wheel import TICK_SECONDS
from mesos_dns.serve.loop import DirectEventLoop


@pytest.fixture
async def pool(monkeypatch):
    # However slow the machine is; tests of that have a time of their own.
    monkeypatch.setattr(pooling, "SOCKET_SECONDS", LONG)
    pool = UdpPool(most=1000, most_per_upstream=500)
    yield pool
    pool.close()
    assert (pool.pending, pool.sockets, len(pool.timers), pool._peers) == (0, 0, 0, {})


# --- replies -----------------------------------------------------------------------------------


async def test_an_answer(pool):
    async with Upstream(honest) as upstream:
        reply = await Asked(pool, upstream.address).outcome()
        assert reply == honest(upstream.asked[0][0])
        assert pool.pending == 0


async def test_an_answer_over_ipv6(pool):
    async with Upstream(honest, address="::1") as upstream:
        assert await Asked(pool, upstream.address).outcome() == honest(upstream.asked[0][0])


def test_answers_refusals_and_strays_in_a_loop_with_direct_readers():
    async def main():
        pool = UdpPool(most=100, most_per_upstream=100)
        refusing = await unused_address()
        async with Upstream(lambda octets: [b"stray", honest(octets), b"stray"]) as upstream:
            refused = [Asked(pool, refusing) for _ in range(3)]
            for _ in range(3):
                asked = [Asked(pool, upstream.address) for _ in range(10)]
                replies = await outcomes(asked)
                assert replies == [honest(octets) for octets, _ in upstream.asked[-10:]]
            assert [error.errno for error in await outcomes(refused)] == [errno.ECONNREFUSED] * 3
            late = Asked(pool, upstream.address, within=SHORT, accept=lambda _: False)
            assert await late.outcome() is None
        pool.close()

    with asyncio.Runner(loop_factory=DirectEventLoop) as runner:
        runner.run(main())


async def test_what_is_sent_is_the_query_under_an_id_of_our_own(pool):
    async with Upstream(honest) as upstream:
        asked = [Asked(pool, upstream.address) for _ in range(64)]
        await outcomes(asked)
        assert {octets[2:] for octets, _ in upstream.asked} == {asked[0].octets[2:]}
        # Two of 64 are the same once in 32 times, 16 of them never.
        assert len({octets[:2] for octets, _ in upstream.asked}) > 48


@pytest.mark.parametrize(
    "forged",
    [
        lambda octets: say(octets, "192.0.2.66", identifier=int.from_bytes(octets[:2]) ^ 1),
        lambda octets: say(octets, "192.0.2.66", name="other.example.test."),
        lambda octets: octets,
        lambda octets: octets[:2],
    ],
    ids=["ID", "question", "no response", "nothing but the ID"],
)
async def test_what_does_not_answer_is_passed_over(pool, forged):
    async with Upstream(lambda octets: [forged(octets), honest(octets)]) as upstream:
        asked = Asked(pool, upstream.address)
        await asked.outcome()
        assert asked.told == [honest(upstream.asked[0][0])]
        assert pool.counters["upstream_strays"] == 1


async def test_each_gets_its_own_answer_in_whatever_order_they_come(pool):
    held = []

    def backwards(octets):
        held.append(honest(octets))
        return held[::-1] if len(held) == QUESTIONS_PER_SOCKET else None

    async with Upstream(backwards) as upstream:
        asked = [Asked(pool, upstream.address, f"n{n}.example.test.") for n in range(QUESTIONS_PER_SOCKET)]
        replies = await outcomes(asked)
        assert len({port for _, port in upstream.asked}) == 1
        assert all(one.octets[12:] in reply for one, reply in zip(asked, replies, strict=True))


async def test_a_truncated_reply_is_handed_over(pool):
    async with Upstream(truncated) as upstream:
        assert (await Asked(pool, upstream.address).outcome())[2] & dns.flags.TC >> 8


async def test_a_reply_that_will_not_do_is_followed_by_the_next(pool):
    async with Upstream(lambda octets: [say(octets, rcode=2), honest(octets), honest(octets)]) as upstream:
        asked = Asked(pool, upstream.address, accept=lambda reply: not reply[3] & 15)
        await asked.outcome()
        assert [reply[3] & 15 for reply in asked.told] == [2, 0]


@pytest.fixture
def fresh_log(monkeypatch):
    """As if nothing had been logged before, which holds the same line back for a while."""
    monkeypatch.setattr(inflight, "_warn", RateLimited(inflight.log))


NOT_TAKEN = "what an upstream gave is not taken, by an internal error: please report it"


@pytest.mark.usefixtures("fresh_log")
async def test_who_fails_on_a_reply_harms_nobody_else(pool, caplog):
    async with Upstream(honest) as upstream:
        bad = Asked(pool, upstream.address, within=SHORT, accept=lambda _: 1 // 0)
        good = Asked(pool, upstream.address)
        await good.outcome()
        assert await bad.outcome() is None
    assert [record.getMessage() for record in caplog.records] == [NOT_TAKEN]
    assert caplog.records[0].exc_info[0] is ZeroDivisionError


@pytest.mark.usefixtures("fresh_log")
async def test_who_fails_on_an_error_harms_nobody_else(pool, caplog):
    async with Upstream(silent) as upstream:
        bad, good = Asked(pool, upstream.address, within=0), Asked(pool, upstream.address, within=0)
        bad.handle.on_error = lambda _: 1 // 0
        assert await good.outcome() is None
    assert [record.getMessage() for record in caplog.records] == [NOT_TAKEN]


async def test_a_flood_of_forged_replies_lets_others_have_their_turn(pool):
    async with Upstream(silent) as upstream:
        asked = Asked(pool, upstream.address)
        await upstream.until_asked(1)
        octets, port = upstream.asked[0]
        for _ in range(100):
            upstream._transport.sendto(b"forged", ("127.0.0.1", port))
        upstream._transport.sendto(honest(octets), ("127.0.0.1", port))
        seen = []
        while not asked.told:
            before = pool.counters["upstream_strays"]
            await asyncio.sleep(0)
            seen.append(pool.counters["upstream_strays"] - before)
        assert sum(seen) == 100
        assert max(seen) == pooling.MOST_DATAGRAMS_PER_TURN


# --- no reply ----------------------------------------------------------------------------------


async def test_silence_ends_at_the_deadline(pool):
    async with Upstream(silent) as upstream:
        asked = [Asked(pool, upstream.address, within=SHORT * n) for n in (2, 1, 3)]
        loop = asyncio.get_running_loop()
        assert await asked[1].outcome() is None
        assert loop.time() >= asked[1].deadline
        assert asked[0].told == asked[2].told == [] or loop.time() >= asked[0].deadline
        assert await outcomes(asked) == [None] * 3
        assert loop.time() >= asked[2].deadline


async def test_a_late_reply_does_no_harm(pool):
    late = []
    async with Upstream(lambda octets: late.append(honest(octets))) as upstream:
        assert await Asked(pool, upstream.address, within=TICK_SECONDS).outcome() is None
        await upstream.until_asked(1)
        upstream._transport.sendto(late[0], ("127.0.0.1", upstream.asked[0][1]))
        await until(lambda: pool.counters["upstream_strays"])
        upstream._udp = honest
        assert await Asked(pool, upstream.address).outcome() == honest(upstream.asked[1][0])


async def test_what_is_cancelled_is_told_nothing(pool):
    async with Upstream(honest) as upstream:
        cancelled, other = Asked(pool, upstream.address), Asked(pool, upstream.address)
        cancelled.handle.cancel()
        cancelled.handle.cancel()
        await other.outcome()
        await until(lambda: pool.counters["upstream_strays"])
        assert cancelled.told == []


async def test_a_refusal_is_told_to_all_that_wait(pool):
    address = await unused_address()
    asked = [Asked(pool, address) for _ in range(5)]
    assert [error.errno for error in await outcomes(asked)] == [errno.ECONNREFUSED] * 5
    assert pool.sockets == 0


async def test_after_a_refusal_the_upstream_is_asked_again(pool):
    address = await unused_address()
    assert (await Asked(pool, address).outcome()).errno == errno.ECONNREFUSED
    again = Upstream(honest)
    again._transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: again, local_addr=address.address
    )
    assert await Asked(pool, address).outcome() == honest(again.asked[0][0])
    again._transport.close()


@pytest.mark.parametrize("address", [("127.0.0.1", 0), ("255.255.255.255", 53)], ids=["port 0", "broadcast"])
async def test_what_cannot_be_sent_fails_after_ask_has_returned(pool, address):
    asked = Asked(pool, address)
    assert isinstance(await asked.outcome(), OSError)
    assert pool.pending == 0


async def test_what_failed_can_still_be_cancelled(pool):
    asked = Asked(pool, ("127.0.0.1", 0))
    asked.handle.cancel()
    await turns()
    assert asked.told == []


# --- sockets -----------------------------------------------------------------------------------


async def test_a_socket_serves_a_few_questions(pool):
    async with Upstream(honest) as upstream:
        for _ in range(2 * QUESTIONS_PER_SOCKET + 1):
            await Asked(pool, upstream.address).outcome()
        ports = Counter(port for _, port in upstream.asked)
        assert list(ports.values()) == [QUESTIONS_PER_SOCKET, QUESTIONS_PER_SOCKET, 1]
        assert pool.sockets == 1


async def test_a_socket_is_used_for_a_short_time(pool, monkeypatch):
    monkeypatch.setattr(pooling, "SOCKET_SECONDS", SHORT)
    async with Upstream(honest) as upstream:
        await Asked(pool, upstream.address).outcome()
        await until(lambda: pool.sockets == 0)
        await Asked(pool, upstream.address).outcome()
        assert len({port for _, port in upstream.asked}) == 2


async def test_a_socket_that_is_too_old_stays_for_its_last_reply(pool, monkeypatch):
    monkeypatch.setattr(pooling, "SOCKET_SECONDS", 2 * TICK_SECONDS)
    async with Upstream(silent) as upstream:
        first = Asked(pool, upstream.address)
        (port,) = pool._peers[upstream.address].ports
        await until(lambda: port.left == 0)
        second = Asked(pool, upstream.address)
        await upstream.until_asked(2)
        for octets, number in upstream.asked:
            upstream._transport.sendto(honest(octets), ("127.0.0.1", number))
        assert all(await outcomes([first, second]))
        assert len({number for _, number in upstream.asked}) == 2
        await until(lambda: pool.sockets == 0)


async def test_no_id_is_in_use_twice_on_a_socket(pool):
    async with Upstream(silent) as upstream:
        pool._ids._drawn = [b"cc", b"bb", b"bb", b"aa", b"aa", b"aa"]
        for _ in range(3):
            Asked(pool, upstream.address)
        await upstream.until_asked(3)
        assert [octets[:2] for octets, _ in upstream.asked] == [b"aa", b"bb", b"cc"]


async def test_each_upstream_has_sockets_of_its_own(pool):
    async with Upstream(honest) as one, Upstream(honest) as other:
        await outcomes([Asked(pool, one.address), Asked(pool, other.address), Asked(pool, one.address)])
        assert (len(one.asked), len(other.asked), pool.sockets) == (2, 1, 2)


# --- bounds ------------------------------------------------------------------------------------


async def test_questions_in_flight_are_bounded():
    pool = UdpPool(most=5, most_per_upstream=3)
    async with Upstream(silent) as one, Upstream(silent) as other:
        asked = [Asked(pool, one.address) for _ in range(4)] + [Asked(pool, other.address) for _ in range(3)]
        assert [(await asked[n].outcome()).errno for n in (3, 6)] == [errno.ENOBUFS] * 2
        assert [len(one.told) for one in asked] == [0, 0, 0, 1, 0, 0, 1]
        asked[0].handle.cancel()
        more = [Asked(pool, other.address), Asked(pool, other.address)]
        assert (await more[1].outcome()).errno == errno.ENOBUFS
        assert more[0].told == []
    pool.close()


async def test_sockets_are_bounded_and_the_youngest_serves_more_then(pool, monkeypatch):
    monkeypatch.setattr(pooling, "MOST_SOCKETS_PER_UPSTREAM", 2)
    async with Upstream(silent) as upstream:
        for _ in range(5 * QUESTIONS_PER_SOCKET):
            Asked(pool, upstream.address)
        await upstream.until_asked(5 * QUESTIONS_PER_SOCKET)
        ports = Counter(port for _, port in upstream.asked)
        assert list(ports.values()) == [QUESTIONS_PER_SOCKET, 4 * QUESTIONS_PER_SOCKET]


@pytest.fixture
def no_more_files(monkeypatch):
    def refuse(*_):
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    def begin():
        # Not for all the world: the loop of the test wants sockets, too.
        monkeypatch.setattr(pooling, "socket", fake)

    fake = type(sys)("socket")
    vars(fake).update(vars(socket), socket=refuse)
    return begin


async def test_without_files_a_question_fails(pool, no_more_files):
    no_more_files()
    assert (await Asked(pool, ("127.0.0.1", 53)).outcome()).errno == errno.EMFILE


async def test_without_more_files_the_socket_that_is_there_serves_on(pool, no_more_files, caplog):
    async with Upstream(silent) as upstream:
        for _ in range(3 * QUESTIONS_PER_SOCKET):
            Asked(pool, upstream.address)
            no_more_files()
        await upstream.until_asked(3 * QUESTIONS_PER_SOCKET)
        assert len({port for _, port in upstream.asked}) == 1
        host, port = upstream.address.address
    assert [record.getMessage() for record in caplog.records] == [
        f"cannot have another socket for upstream {host} port {port}: Too many open files"
    ]


# --- within callbacks, and the end -------------------------------------------------------------


async def test_who_is_told_may_ask_again_and_cancel_others(pool):
    """Each answer brings the next question, and takes away the one that was asked beside it."""
    held = []

    def in_pairs(octets):
        held.append(honest(octets))
        return held[-2:] if len(held) % 2 == 0 else None

    async with Upstream(in_pairs) as upstream:
        done = asyncio.get_running_loop().create_future()
        told = []

        def next_pair(number):
            pair = [Asked(pool, upstream.address, accept=partial(answered, number, n)) for n in (0, 1)]
            pairs[number] = pair

        def answered(number, n, _):
            told.append((number, n))
            pairs[number][1 - n].handle.cancel()
            if number < 40:
                next_pair(number + 1)
            else:
                done.set_result(None)
            return True

        pairs = {}
        next_pair(1)
        async with asyncio.timeout(10):
            await done
        assert told == [(number, 0) for number in range(1, 41)]


async def test_who_is_told_of_a_refusal_may_ask_again(pool):
    address = await unused_address()
    loop = asyncio.get_running_loop()
    errors, done = [], loop.create_future()
    octets = ask(NAME)

    def again(error):
        errors.append(error.errno)
        if len(errors) < 20:
            pool.ask(address, octets, len(octets), bool, again, loop.time() + LONG)
        else:
            done.set_result(None)

    pool.ask(address, octets, len(octets), bool, again, loop.time() + LONG)
    async with asyncio.timeout(10):
        await done
    assert errors == [errno.ECONNREFUSED] * 20


async def test_close_ends_what_is_in_flight_and_what_comes_later():
    pool = UdpPool(most=100, most_per_upstream=100)
    async with Upstream(silent) as upstream:
        asked = [Asked(pool, upstream.address) for _ in range(QUESTIONS_PER_SOCKET + 1)]
        pool.close()
        asked.append(Asked(pool, upstream.address))
        assert {error.errno for error in await outcomes(asked)} == {errno.ECANCELED}
        assert (pool.pending, pool.sockets) == (0, 0)
        pool.close()


async def test_close_within_a_reply():
    pool = UdpPool(most=100, most_per_upstream=100)
    async with Upstream(honest) as upstream:
        asked = Asked(pool, upstream.address, accept=lambda _: pool.close())
        assert (await asked.outcome()).errno == errno.ECANCELED
        assert pool.sockets == 0


# --- memory ------------------------------------------------------------------------------------


async def test_a_hundred_thousand_failures_leave_nothing(pool):
    """Refused, not answered in time, cancelled and more than there may be, a round of each."""
    octets = ask(NAME)
    refusing, loop, told = await unused_address(), asyncio.get_running_loop(), Counter()

    def fail(error):
        told[error and error.errno] += 1

    async def rounds(count):
        for _ in range(count):
            for _n in range(400):
                # The kernel refuses only so many in a second.
                pool.ask(refusing, octets, len(octets), bool, fail, loop.time() + SHORT)
            for _n in range(500):
                pool.ask(upstream.address, octets, len(octets), bool, fail, loop.time())
            for _n in range(50):
                pool.ask(upstream.address, octets, len(octets), bool, fail, loop.time())
            pool.ask(refusing, octets, len(octets), bool, fail, loop.time() + LONG).cancel()
            await until(lambda: not pool.pending)
            await turns()
            upstream.asked.clear()

    async with Upstream(silent) as upstream:
        await rounds(5)
        before = sys.getallocatedblocks()
        await rounds(105)
        after = sys.getallocatedblocks()
    assert sum(told.values()) > 100_000
    assert set(told) == {errno.ECONNREFUSED, errno.ENOBUFS, None}
    assert after - before < 1000


async def test_the_timer_rests_when_nothing_waits(pool, monkeypatch):
    monkeypatch.setattr(pooling, "SOCKET_SECONDS", TICK_SECONDS)
    async with Upstream(honest) as upstream:
        await Asked(pool, upstream.address, within=2 * TICK_SECONDS).outcome()
        await until(lambda: pool.timers.resting)
