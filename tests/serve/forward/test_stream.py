"""Questions over TCP and TLS, against fake upstreams on loopback."""

import asyncio
import errno
import socket
import ssl
import sys
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.serve.asking import ask
from tests.serve.forward.asked import LONG, SHORT, Asked, outcomes, turns, until
from tests.serve.forward.upstreams import NAME, StreamUpstream, honest, say, silent, unused_address

from mesos_dns.serve.forward import stream as streaming
from mesos_dns.serve.forward import tls
from mesos_dns.serve.forward.stream import (
    MANY_QUESTIONS_PER_CONNECTION,
    MOST_CONNECTIONS_PER_UPSTREAM,
    MOST_UNSENT_OCTETS,
    UNACKNOWLEDGED_SECONDS,
    StreamPool,
)
from mesos_dns.serve.forward.tls import strict_context
from mesos_dns.serve.forward.wheel import TICK_SECONDS
from mesos_dns.serve.loop import DirectEventLoop


@pytest.fixture
async def pool():
    pool = StreamPool(most=500)
    yield pool
    pool.close()
    assert (pool.pending, pool.connections, len(pool.timers), pool._connections) == (0, 0, 0, {})


def large(octets):
    """The largest message that there can be."""
    reply = honest(octets)
    return reply + bytes(65535 - len(reply))


# --- replies -----------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("answer", [honest, large])
async def test_an_answer(pool, host, answer):
    async with StreamUpstream(answer, host=host) as upstream:
        assert await Asked(pool, upstream.address).outcome() == answer(upstream.asked[0][0])


def test_answers_in_a_loop_with_direct_readers():
    async def main():
        pool = StreamPool(most=100)
        async with StreamUpstream(honest) as upstream:
            for _ in range(3):
                assert all(isinstance(reply, bytes) for reply in await outcomes([Asked(pool, upstream.address)] * 10))
        pool.close()

    with asyncio.Runner(loop_factory=DirectEventLoop) as runner:
        runner.run(main())


async def test_a_connection_is_kept_for_the_next_questions(pool):
    async with StreamUpstream(honest) as upstream:
        for n in range(5):
            asked = Asked(pool, upstream.address, f"n{n}.example.test.")
            assert asked.octets[12:] in await asked.outcome()
        assert list(map(len, upstream.asked)) == [5]


async def test_a_question_may_have_a_connection_of_its_own(pool):
    async with StreamUpstream(honest) as upstream:
        for alone in (False, True, True, False):
            await Asked(pool, upstream.address, alone=alone).outcome()
        assert sorted(map(len, upstream.asked)) == [1, 1, 2]
        await until(lambda: pool.connections == 1)


async def test_questions_do_not_wait_for_the_replies_to_those_before(pool):
    held = []

    def backwards(octets):
        held.append(honest(octets))
        return held[::-1] if len(held) == MANY_QUESTIONS_PER_CONNECTION else None

    async with StreamUpstream(backwards) as upstream:
        asked = [Asked(pool, upstream.address, f"n{n}.example.test.") for n in range(MANY_QUESTIONS_PER_CONNECTION)]
        replies = await outcomes(asked)
        assert all(one.octets[12:] in reply for one, reply in zip(asked, replies, strict=True))
        assert list(map(len, upstream.asked)) == [MANY_QUESTIONS_PER_CONNECTION]


@settings(max_examples=30)
@given(st.lists(st.integers(1, 200), max_size=20))
def test_replies_come_in_pieces_of_any_size(sizes):
    async def main():
        pool = StreamPool(most=100)
        with socket.create_server(("127.0.0.1", 0)) as listening:
            asked = [Asked(pool, listening.getsockname(), f"n{n}.example.test.") for n in range(3)]
            connection = await asyncio.to_thread(lambda: listening.accept()[0])
            with connection, connection.makefile("rb") as received:
                await until(lambda: not pool._connections[*listening.getsockname(), ""].copy().popitem()[0]._unsent)
                queries = [received.read(int.from_bytes(received.read(2))) for _ in asked]
                octets = b"".join(len(honest(q)).to_bytes(2) + honest(q) for q in queries)
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                for size in sizes:
                    connection.sendall(octets[:size])
                    octets = octets[size:]
                    await turns(2)
                connection.sendall(octets)
                assert await outcomes(asked) == [honest(query) for query in queries]
                pool.close()

    asyncio.run(main())


async def test_what_answers_nothing_is_passed_over(pool):
    def noisy(octets):
        return [b"", b"x", bytes(12), say(octets, identifier=int.from_bytes(octets[:2]) ^ 1), honest(octets)]

    async with StreamUpstream(noisy) as upstream:
        asked = Asked(pool, upstream.address)
        assert await asked.outcome() == honest(upstream.asked[0][0])
        assert len(asked.told) == 1


async def test_an_answer_to_another_question(pool):
    async with StreamUpstream(lambda octets: say(octets, name="other.example.test.")) as upstream:
        assert (await Asked(pool, upstream.address).outcome()).errno == errno.EBADMSG


# --- connections that end ----------------------------------------------------------------------


async def test_nobody_listens(pool):
    asked = [Asked(pool, await unused_address()) for _ in range(3)]
    assert {error.errno for error in await outcomes(asked)} == {errno.ECONNREFUSED}


async def test_what_cannot_be_sent_fails_after_ask_has_returned(pool):
    assert isinstance(await Asked(pool, ("255.255.255.255", 53)).outcome(), OSError)


async def test_an_upstream_that_closes_after_each_answer_answers_all_the_same(pool):
    async with StreamUpstream(honest, closes_after=1) as upstream:
        asked = [Asked(pool, upstream.address, f"n{n}.example.test.") for n in range(10)]
        replies = await outcomes(asked)
        assert all(one.octets[12:] in reply for one, reply in zip(asked, replies, strict=True))
        assert list(map(len, upstream.asked)) == [1] * 10


async def test_a_connection_that_was_closed_while_idle_costs_no_answer(pool):
    async with StreamUpstream(honest) as upstream:
        await Asked(pool, upstream.address).outcome()
        # Not known here yet when the next question is asked.
        upstream.writers[0].transport.abort()
        assert isinstance(await Asked(pool, upstream.address).outcome(), bytes)
        assert list(map(len, upstream.asked)) == [1, 1]


async def test_what_cannot_go_over_another_connection_fails(pool, monkeypatch):
    async with StreamUpstream(honest, closes_after=1) as upstream:
        asked = [Asked(pool, upstream.address) for _ in range(3)]
        monkeypatch.setattr(streaming, "MOST_CONNECTIONS_PER_UPSTREAM", 0)
        await outcomes(asked)
        told = [one.told[0] if isinstance(one.told[0], bytes) else one.told[0].errno for one in asked]
        assert told == [honest(upstream.asked[0][0]), errno.ENOBUFS, errno.ENOBUFS]


async def test_the_kernel_is_told_when_to_give_up_who_acknowledges_nothing(pool):
    async with StreamUpstream(honest) as upstream:
        await Asked(pool, upstream.address).outcome()
        ((connection,),) = pool._connections.values()
        milliseconds = connection._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
        assert milliseconds == UNACKNOWLEDGED_SECONDS * 1000


async def test_an_upstream_that_closes_without_an_answer(pool):
    async with StreamUpstream(silent, closes_after=1) as upstream:
        assert (await Asked(pool, upstream.address).outcome()).errno == errno.ECONNRESET
        assert list(map(len, upstream.asked)) == [1]


async def test_no_more_is_asked_on_a_connection_that_was_silent(pool):
    async with StreamUpstream(silent) as upstream:
        late, early = Asked(pool, upstream.address), Asked(pool, upstream.address, within=SHORT)
        assert await early.outcome() is None
        upstream.answer = honest
        assert isinstance(await Asked(pool, upstream.address).outcome(), bytes)
        await upstream.until_asked(3)
        assert list(map(len, upstream.asked)) == [2, 1]
        assert late.told == []
        late.handle.cancel()
        assert pool.connections == 1


async def test_an_idle_connection_is_closed_after_a_while(pool, monkeypatch):
    monkeypatch.setattr(streaming, "IDLE_SECONDS", SHORT)
    async with StreamUpstream(honest) as upstream:
        await Asked(pool, upstream.address).outcome()
        assert pool.connections == 1
        await until(lambda: pool.connections == 0)
        await Asked(pool, upstream.address).outcome()
        assert list(map(len, upstream.asked)) == [1, 1]


async def test_what_is_cancelled_is_told_nothing(pool):
    async with StreamUpstream(honest) as upstream:
        cancelled, other = Asked(pool, upstream.address), Asked(pool, upstream.address)
        cancelled.handle.cancel()
        await other.outcome()
        assert cancelled.told == []
        await upstream.until_asked(2)


async def test_close_ends_what_is_in_flight_and_what_comes_later():
    pool = StreamPool(most=100)
    async with StreamUpstream(silent) as upstream:
        asked = [Asked(pool, upstream.address) for _ in range(3)]
        await upstream.until_asked(3)
        pool.close()
        asked.append(Asked(pool, upstream.address))
        assert {error.errno for error in await outcomes(asked)} == {errno.ECANCELED}
        assert (pool.pending, pool.connections) == (0, 0)


async def test_close_within_a_reply():
    pool = StreamPool(most=100)
    async with StreamUpstream(honest) as upstream:
        asked = Asked(pool, upstream.address, accept=lambda _: pool.close())
        assert (await asked.outcome()).errno == errno.ECANCELED


# --- bounds ------------------------------------------------------------------------------------


async def test_connections_are_bounded(pool):
    async with StreamUpstream(silent) as upstream:
        count = 2 * MOST_CONNECTIONS_PER_UPSTREAM * MANY_QUESTIONS_PER_CONNECTION
        for _ in range(count):
            Asked(pool, upstream.address)
        await upstream.until_asked(count)
        assert list(map(len, upstream.asked)) == [2 * MANY_QUESTIONS_PER_CONNECTION] * MOST_CONNECTIONS_PER_UPSTREAM


async def test_silent_connections_count_until_their_last_question_is_over(pool):
    async with StreamUpstream(silent) as upstream:
        for _ in range(MOST_CONNECTIONS_PER_UPSTREAM):
            lasting = Asked(pool, upstream.address)
            assert await Asked(pool, upstream.address, within=TICK_SECONDS).outcome() is None
        assert (await Asked(pool, upstream.address).outcome()).errno == errno.ENOBUFS
        lasting.handle.cancel()
        assert await Asked(pool, upstream.address, within=TICK_SECONDS).outcome() is None


async def test_questions_in_flight_are_bounded():
    pool = StreamPool(most=2)
    async with StreamUpstream(silent) as upstream:
        asked = [Asked(pool, upstream.address) for _ in range(3)]
        assert (await asked[2].outcome()).errno == errno.ENOBUFS
        assert asked[0].told == asked[1].told == []
    pool.close()


async def test_what_an_upstream_does_not_take_is_bounded(pool):
    """It does not get to be connected, and all questions but the first are given up at once."""
    address = await unused_address()
    first = Asked(pool, address)
    (connection,) = pool._connections[address]
    while not connection.retired:
        Asked(pool, address).handle.cancel()
    assert len(connection._unsent) <= MOST_UNSENT_OCTETS + len(first.octets) + 2
    assert (await first.outcome()).errno == errno.ENOBUFS


async def test_many_failures_leave_nothing(pool):
    octets = ask(NAME)
    refusing, loop, told = await unused_address(), asyncio.get_running_loop(), Counter()

    def fail(error):
        told[error and error.errno] += 1

    async def rounds(count):
        for _ in range(count):
            for _n in range(100):
                pool.ask(refusing, octets, len(octets), bool, fail, loop.time() + LONG)
                pool.ask(refusing, octets, len(octets), bool, fail, loop.time() + LONG).cancel()
            await until(lambda: not pool.pending)
            await turns()

    await rounds(5)
    before = sys.getallocatedblocks()
    await rounds(100)
    assert sys.getallocatedblocks() - before < 1000
    assert told == {errno.ECONNREFUSED: 105 * 100}


# --- TLS ---------------------------------------------------------------------------------------


@pytest.fixture
async def secure(certificates):
    """An upstream over TLS, and `ask(name, ...)`, which asks it if it proves that name."""
    pools = []

    async with StreamUpstream(honest, tls=certificates.server_context(), name="resolver.example") as upstream:

        def make(authority="ca.pem"):
            pools.append(StreamPool(most=100, context=strict_context(certificates.path(authority))))
            return pools[-1]

        upstream.pool = make
        yield upstream
        for pool in pools:
            pool.close()
            assert (pool.pending, pool.connections, len(pool.timers)) == (0, 0, 0)


@pytest.mark.parametrize("name", ["resolver.example", "127.0.0.1"])
async def test_answers_over_tls(secure, name):
    pool, address = secure.pool(), secure.address._replace(tls_name=name)
    for _ in range(3):
        replies = await outcomes([Asked(pool, address) for _ in range(10)])
        assert sorted(replies) == sorted(map(honest, secure.asked[0][-10:]))
    assert list(map(len, secure.asked)) == [30]


async def test_a_large_answer_over_tls(secure):
    secure.answer = large
    assert await Asked(secure.pool(), secure.address).outcome() == large(secure.asked[0][0])


@pytest.mark.parametrize(
    ("name", "authority"), [("other.example", "ca.pem"), ("127.0.0.2", "ca.pem"), ("resolver.example", "other.pem")]
)
async def test_who_does_not_prove_the_name_is_not_asked(secure, name, authority):
    error = await Asked(secure.pool(authority), secure.address._replace(tls_name=name)).outcome()
    assert isinstance(error, ssl.SSLCertVerificationError)
    assert "certificate verify failed" in error.strerror
    assert not any(secure.asked)


async def test_plain_text_in_the_place_of_tls(certificates):
    async with StreamUpstream(silent, name="resolver.example") as upstream:
        pool = StreamPool(most=10, context=strict_context(certificates.path("ca.pem")))
        asked = Asked(pool, upstream.address)
        await until(lambda: upstream.writers)
        upstream.writers[0].write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        assert isinstance(await asked.outcome(), ssl.SSLError)
        pool.close()


async def test_a_tls_connection_that_ends_costs_no_answer(secure):
    pool = secure.pool()
    await Asked(pool, secure.address).outcome()
    secure.writers[0].close()
    assert isinstance(await Asked(pool, secure.address).outcome(), bytes)


def resumed(pool):
    """Of each open connection whether it resumed a session."""
    return [one._tls.resumed for connections in pool._connections.values() for one in connections]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_later_connection_resumes_the_session_of_an_earlier_one(certificates, monkeypatch, version):
    server = certificates.server_context()
    server.maximum_version = version
    async with StreamUpstream(honest, tls=server, name="resolver.example") as upstream:
        pool = StreamPool(most=100, context=strict_context(certificates.path("ca.pem")))
        told = []
        for _ in range(4):
            await Asked(pool, upstream.address).outcome()
            told += resumed(pool)
            upstream.writers[-1].close()
            await until(lambda: not pool.connections)
        assert told == [False, True, True, True]
        assert repr(pool.sessions) == "Sessions(1)"
        # A certificate is not good for ever.
        monkeypatch.setattr(tls, "VERIFIED_SECONDS", 0)
        await Asked(pool, upstream.address).outcome()
        assert resumed(pool) == [False]
        pool.close()


async def test_a_session_is_for_one_connection_and_one_name(secure):
    pool = secure.pool()
    await Asked(pool, secure.address).outcome()
    secure.writers[0].close()
    await until(lambda: not pool.connections)
    await outcomes([Asked(pool, secure.address, alone=True) for _ in range(3)])
    assert pool.sessions._kept
    other = secure.address._replace(tls_name="other.example")
    assert isinstance(await Asked(pool, other).outcome(), ssl.SSLCertVerificationError)


async def test_a_server_that_forgot_its_sessions_is_asked_as_if_for_the_first_time(certificates):
    pool = StreamPool(most=100, context=strict_context(certificates.path("ca.pem")))
    async with StreamUpstream(honest, tls=certificates.server_context(), name="resolver.example") as upstream:
        address = upstream.address
        await Asked(pool, address).outcome()
    await until(lambda: not pool.connections)
    again = StreamUpstream(honest, tls=certificates.server_context(), name="resolver.example", port=address.port)
    async with again:
        assert isinstance(await Asked(pool, address).outcome(), bytes)
        assert resumed(pool) == [False]
        pool.close()


async def test_a_name_that_no_server_can_have(certificates):
    pool = StreamPool(most=10, context=strict_context(certificates.path("ca.pem")))
    error = await Asked(pool, ("127.0.0.1", 1, ".example")).outcome()
    assert error.errno == errno.EINVAL
    assert ".example" in error.strerror
    pool.close()


async def test_without_a_context_nobody_is_trusted():
    pool = StreamPool(most=10)
    assert (await Asked(pool, ("127.0.0.1", 1, "resolver.example")).outcome()).errno == errno.EPROTO
    pool.close()
