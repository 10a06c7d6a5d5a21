"""Forwarders with a cache: who is answered from memory, who waits for the same answer, and who is turned away."""

import asyncio

import dns.edns
import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest
from tests.serve.asking import ask, parse, read, texts
from tests.serve.forward.asked import turns, until
from tests.serve.forward.upstreams import NAME, Upstream, honest, make_forwarder, say, silent, submit

from mesos_dns.dns import message as msg
from mesos_dns.serve.forward import forwarder as forwarding
from mesos_dns.serve.forward.cache import cache_key
from mesos_dns.serve.request import Forward

ROOM = 1 << 20
DAY = 86_400
TTL = 300
OLD, NEW = "192.0.2.9", "192.0.2.1"
SERVFAIL, REFUSED = dns.rcode.SERVFAIL, dns.rcode.REFUSED


def caching(*upstreams, **more):
    return make_forwarder(*upstreams, **{"cache_octets": ROOM, "stale_seconds": DAY, **more})


def remember(forwarder, ago, octets=None):
    """As if an upstream had said OLD so many seconds ago."""
    octets = octets or ask(NAME)
    query, now = parse(octets), asyncio.get_running_loop().time()
    reply = dns.message.make_response(dns.message.from_wire(octets))
    reply.answer.append(dns.rrset.from_text(reply.question[0].name, TTL, "IN", "A", OLD))
    forwarder._cache.put(cache_key(query), reply.to_wire(), query.question_end, now - ago)


def send(forwarder, octets=None, *, client=b"", options=b"", limit=None):
    """Submit a question; what comes of it, in the order in which it comes."""
    query, told = parse(octets or ask(NAME)), []
    forwarder.submit(Forward(query, client, options), limit or msg.udp_limit(query.edns), told.append)
    return told


async def told(replies):
    """The one reply, as soon as it is there."""
    await until(lambda: replies)
    (reply,) = replies
    return read(reply)


def errors(reply):
    """Extended errors."""
    return [int(option.code) for option in reply.options]


class Later(Upstream):
    """An upstream that answers when it is told to."""

    def __init__(self):
        super().__init__(silent)

    def answer(self, make=honest):
        for octets, port in self.asked:
            self._transport.sendto(make(octets), ("127.0.0.1", port))


# --- from memory -------------------------------------------------------------------------------


async def test_what_was_asked_before_is_answered_at_once_and_may_be_kept():
    async with Upstream(honest) as upstream:
        forwarder = caching(upstream)
        await submit(forwarder, ask(NAME))
        replies = []
        kept = forwarder.submit(Forward(parse(ask(NAME))), 512, replies.append)
        assert replies == [kept]
        assert texts(read(kept).answer) == [f"{NAME} 300 IN A {NEW}"]
        assert len(upstream.asked) == forwarder.counters["forward_cached"] == forwarder.counters["forwarded"] == 1
        assert repr(forwarder) == "Forwarder(zones=1, pending=0, cached=1)"


async def test_without_octets_nothing_is_kept():
    async with Upstream(honest) as upstream:
        forwarder = caching(upstream, cache_octets=0)
        for _ in range(2):
            await submit(forwarder, ask(NAME))
        assert len(upstream.asked) == 2


async def test_a_cached_answer_has_the_form_that_each_client_wants():
    async with Upstream(lambda octets: say(octets, *(f"192.0.2.{n}" for n in range(1, 41)))) as upstream:
        forwarder = caching(upstream)
        await submit(forwarder, ask(NAME))
        (plain,) = send(forwarder, ask("wWw.eXample.test.", identifier=7))
        (edns,) = send(forwarder, ask(NAME, identifier=8, payload=1232))
        plain, edns = read(plain), read(edns)
        assert (plain.id, plain.question[0].name.to_text(), plain.edns) == (7, "wWw.eXample.test.", -1)
        assert (edns.id, edns.question[0].name.to_text(), edns.edns) == (8, NAME, 0)
        assert plain.flags & dns.flags.TC
        assert len(edns.answer[0]) == 40
        assert len(upstream.asked) == 1


async def test_who_does_not_ask_for_recursion_gets_what_is_at_hand_and_nothing_else():
    async with Upstream(honest) as upstream:
        forwarder = caching(upstream)
        assert read(await submit(forwarder, ask(NAME, flags=0))).rcode() == REFUSED
        await submit(forwarder, ask(NAME))
        assert texts(read(await submit(forwarder, ask(NAME, flags=0))).answer)
        assert len(upstream.asked) == 1


# --- several ask the same ----------------------------------------------------------------------


async def test_clients_that_wait_for_the_same_answer_each_get_their_own_reply():
    async with Later() as upstream:
        forwarder = caching(upstream)
        option = dns.edns.GenericOption(65001, b"abc")
        plain = send(forwarder, ask("WWW.example.test.", identifier=1))
        edns = send(forwarder, ask("www.EXAMPLE.test.", identifier=2, payload=1232))
        own = send(
            forwarder,
            ask(NAME, identifier=3, payload=4096),
            options=(65001).to_bytes(2) + len(option.data).to_bytes(2) + option.data,
        )
        assert (forwarder.pending, forwarder.counters["forward_joined"]) == (3, 2)
        await upstream.until_asked(1)
        upstream.answer(lambda octets: say(octets, *(f"192.0.2.{n}" for n in range(1, 41))))
        plain, edns, own = [await told(replies) for replies in (plain, edns, own)]
        assert [reply.id for reply in (plain, edns, own)] == [1, 2, 3]
        assert [reply.question[0].name.to_text() for reply in (plain, edns)] == [
            "WWW.example.test.",
            "www.EXAMPLE.test.",
        ]
        assert [bool(reply.flags & dns.flags.TC) for reply in (plain, edns, own)] == [True, False, False]
        assert [reply.edns for reply in (plain, edns, own)] == [-1, 0, 0]
        assert (edns.options, list(own.options)) == ((), [option])
        assert (len(upstream.asked), forwarder.pending, forwarder.counters["forwarded"]) == (1, 0, 3)


# --- out of date -------------------------------------------------------------------------------


async def test_an_upstream_that_answers_in_time_beats_what_is_stale():
    async with Upstream(honest) as upstream:
        forwarder = caching(upstream)
        remember(forwarder, ago=TTL + 100)
        assert texts(read(await submit(forwarder, ask(NAME))).answer) == [f"{NAME} 300 IN A {NEW}"]


@pytest.mark.parametrize(("edns", "told_so"), [({}, []), ({"payload": 1232}, [3])])
async def test_if_upstreams_take_long_clients_get_what_is_stale_and_the_search_goes_on(monkeypatch, edns, told_so):
    monkeypatch.setattr(forwarding, "STALE_AFTER_SECONDS", 0.01)
    async with Later() as upstream:
        forwarder = caching(upstream, timeout=60)
        remember(forwarder, ago=TTL + 100)
        first = await told(send(forwarder, ask(NAME, **edns)))
        assert texts(first.answer) == [f"{NAME} 30 IN A {OLD}"]
        assert errors(first) == told_so
        # Whoever comes now does not wait.
        (second,) = send(forwarder, ask(NAME, identifier=2, **edns))
        assert (read(second).id, texts(read(second).answer)) == (2, [f"{NAME} 30 IN A {OLD}"])
        assert (forwarder.counters["forward_stale"], forwarder.pending, len(upstream.asked)) == (2, 0, 1)
        upstream.answer()
        await until(lambda: not forwarder._pending)
        assert texts(read(await submit(forwarder, ask(NAME))).answer) == [f"{NAME} 300 IN A {NEW}"]


async def test_that_there_was_no_such_name_is_stale_too_and_said_so():
    async with Upstream(lambda octets: say(octets, rcode=SERVFAIL)) as upstream:
        forwarder = caching(upstream)
        query, now = parse(ask(NAME)), asyncio.get_running_loop().time()
        reply = dns.message.make_response(dns.message.from_wire(ask(NAME)))
        reply.set_rcode(dns.rcode.NXDOMAIN)
        reply.authority.append(dns.rrset.from_text("org.", TTL, "IN", "SOA", "a. b. 1 2 3 4 300"))
        forwarder._cache.put(cache_key(query), reply.to_wire(), query.question_end, now - TTL - 1)
        found = await told(send(forwarder, ask(NAME, payload=1232)))
        assert (found.rcode(), errors(found)) == (dns.rcode.NXDOMAIN, [19])


@pytest.mark.parametrize("rcode", [SERVFAIL, REFUSED])
async def test_after_upstreams_failed_what_is_stale_is_given_at_once(rcode):
    async with Upstream(lambda octets: say(octets, rcode=rcode)) as upstream:
        forwarder = caching(upstream)
        remember(forwarder, ago=TTL + 100)
        assert texts(read(await submit(forwarder, ask(NAME))).answer) == [f"{NAME} 30 IN A {OLD}"]
        (reply,) = send(forwarder, ask(NAME, payload=1232))
        assert (texts(read(reply).answer), errors(read(reply))) == ([f"{NAME} 30 IN A {OLD}"], [3])
        assert len(upstream.asked) == 1


async def test_what_is_too_old_is_given_to_nobody():
    async with Upstream(lambda octets: say(octets, rcode=SERVFAIL)) as upstream:
        forwarder = caching(upstream, stale_seconds=50)
        remember(forwarder, ago=TTL + 100)
        assert read(await submit(forwarder, ask(NAME))).rcode() == SERVFAIL


# --- failures ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("udp", "first"),
    [
        pytest.param(silent, (SERVFAIL, [22]), id="silence"),
        pytest.param(lambda octets: say(octets, rcode=REFUSED), (REFUSED, []), id="REFUSED"),
    ],
)
async def test_a_failure_is_remembered_for_its_question_alone(udp, first):
    async with Upstream(udp) as upstream:
        forwarder = caching(upstream, timeout=0.05 if udp is silent else 60)
        reply = read(await submit(forwarder, ask(NAME, payload=1232)))
        assert (reply.rcode(), errors(reply)) == first
        asked = len(upstream.asked)
        (again,) = send(forwarder, ask(NAME, payload=1232))
        assert (read(again).rcode(), errors(read(again))) == (SERVFAIL, [13])
        assert len(upstream.asked) == asked
        await submit(forwarder, ask(NAME, "AAAA"))
        assert len(upstream.asked) > asked


async def test_where_any_rcode_is_an_answer_it_is_no_failure_either():
    async with Upstream(lambda octets: say(octets, rcode=SERVFAIL)) as upstream:
        forwarder = caching(upstream, ask_next_on_failure=False)
        for _ in range(2):
            assert errors(read(await submit(forwarder, ask(NAME, payload=1232)))) == []
        assert len(upstream.asked) == 2


# --- before the end ----------------------------------------------------------------------------


async def test_what_is_popular_is_asked_for_once_before_its_end_and_nobody_waits():
    async with Later() as upstream:
        forwarder = caching(upstream)
        remember(forwarder, ago=0.95 * TTL)
        for n in range(10):
            (reply,) = send(forwarder)
            assert texts(read(reply).answer)[0].endswith(OLD), n
        await upstream.until_asked(1)
        await turns(20)
        assert (len(upstream.asked), forwarder.pending) == (1, 0)
        await forwarder.drained()
        upstream.answer()
        await until(lambda: not forwarder._pending)
        (reply,) = send(forwarder)
        assert texts(read(reply).answer) == [f"{NAME} 300 IN A {NEW}"]


async def test_who_asks_when_it_has_ended_meanwhile_does_not_wait_for_silent_upstreams(monkeypatch):
    monkeypatch.setattr(forwarding, "STALE_AFTER_SECONDS", 0.01)
    async with Later() as upstream:
        forwarder = caching(upstream, timeout=60)
        remember(forwarder, ago=0.95 * TTL)
        for _ in range(3):
            send(forwarder)
        await upstream.until_asked(1)
        remember(forwarder, ago=TTL + 1)
        reply = await told(send(forwarder, ask(NAME, payload=1232)))
        assert (texts(reply.answer), errors(reply)) == ([f"{NAME} 30 IN A {OLD}"], [3])


async def test_a_failure_in_the_background_changes_nothing_for_clients():
    async with Upstream(lambda octets: say(octets, rcode=SERVFAIL)) as upstream:
        forwarder = caching(upstream)
        remember(forwarder, ago=0.95 * TTL)
        for _ in range(3):
            send(forwarder)
        await until(lambda: upstream.asked and not forwarder._pending)
        (reply,) = send(forwarder)
        assert texts(read(reply).answer)[0].endswith(OLD)


# --- bounds ------------------------------------------------------------------------------------


async def test_one_client_cannot_wait_in_the_place_of_all(monkeypatch):
    monkeypatch.setattr(forwarding, "MAX_WAITING_PER_CLIENT", 2)
    monkeypatch.setattr(forwarding, "CROWD_QUESTIONS", 2)
    async with Later() as upstream:
        forwarder = caching(upstream)
        greedy = [send(forwarder, ask(f"n{n}.{NAME}", payload=1232), client=b"one.") for n in range(3)]
        assert [len(replies) for replies in greedy] == [0, 0, 1]
        assert (read(greedy[2][0]).rcode(), errors(read(greedy[2][0]))) == (SERVFAIL, [0])
        modest = send(forwarder, ask(f"n0.{NAME}"), client=b"two.")
        assert (modest, forwarder.counters["forward_shed"], forwarder.counters["forward_joined"]) == ([], 1, 1)
        await upstream.until_asked(2)
        upstream.answer()
        assert texts((await told(modest)).answer)
        await forwarder.drained()
        assert not forwarder._clients, "who does not wait is not counted"
        assert send(forwarder, ask(f"n3.{NAME}"), client=b"one.") == []


async def test_a_resolver_that_asks_for_many_may_wait_with_many_questions_unless_there_is_a_crowd(monkeypatch):
    monkeypatch.setattr(forwarding, "MAX_WAITING_PER_CLIENT", 2)
    monkeypatch.setattr(forwarding, "CROWD_QUESTIONS", 8)
    monkeypatch.setattr(forwarding, "CROWD_WAITING", 12)
    async with Later() as upstream:
        forwarder = caching(upstream)
        # Of different names: eight, then others have the rest of the room, each up to his share.
        assert [len(send(forwarder, ask(f"n{n}.{NAME}"), client=b"many")) for n in range(9)] == [0] * 8 + [1]
        assert [len(send(forwarder, ask(f"o{n}.{NAME}"), client=b"one.")) for n in range(3)] == [0, 0, 1]
        # Of one that is asked for already: as long as few wait.
        assert [len(send(forwarder, ask(f"n0.{NAME}"), client=b"many")) for n in range(3)] == [0, 0, 1]
        await upstream.until_asked(10)
        upstream.answer()
        await forwarder.drained()
        assert not forwarder._clients


async def test_clients_that_wait_are_bounded_also_if_all_ask_the_same(monkeypatch):
    monkeypatch.setattr(forwarding, "MAX_WAITING", 2)
    async with Later() as upstream:
        forwarder = caching(upstream)
        clients = [send(forwarder, client=bytes((0, 0, 0, n))) for n in range(3)]
        assert [len(replies) for replies in clients] == [0, 0, 1]
        assert read(clients[2][0]).rcode() == SERVFAIL
        assert (forwarder.counters["forward_shed"], forwarder.pending) == (1, 2)
        await upstream.until_asked(1)
        upstream.answer()
        await forwarder.drained()
        assert texts(read(send(forwarder)[0]).answer)


async def test_what_failed_in_an_outage_is_asked_again_as_soon_as_anything_is_answered():
    answers = [lambda octets: say(octets, rcode=SERVFAIL)]
    async with Upstream(lambda octets: answers[-1](octets)) as upstream:  # noqa: PLW0108 - another each time
        forwarder = caching(upstream)
        names = [f"{n}.example.test." for n in range(4)]
        for name in names:
            assert errors(await told(send(forwarder, ask(name, payload=1232)))) == []
        answers.append(honest)
        # Remembered, until the upstream has shown that it is well.
        assert errors(await told(send(forwarder, ask(names[0], payload=1232)))) == [13]
        for name in (NAME, *names):
            assert read(await submit(forwarder, ask(name))).rcode() == 0
        # Only so often.
        answers.append(answers[0])
        for name in ("a.test.", "b.test.", "c.test."):
            await submit(forwarder, ask(name))
        answers.append(honest)
        await submit(forwarder, ask("d.test."))
        assert errors(await told(send(forwarder, ask("a.test.", payload=1232)))) == [13]


async def test_who_may_not_wait_gets_what_is_stale(monkeypatch):
    monkeypatch.setattr(forwarding, "MAX_WAITING", 0)
    async with Later() as upstream:
        forwarder = caching(upstream)
        remember(forwarder, ago=TTL + 100)
        (reply,) = send(forwarder)
        assert texts(read(reply).answer) == [f"{NAME} 30 IN A {OLD}"]
        assert (forwarder.counters["forward_shed"], upstream.asked) == (0, [])


# --- the end -----------------------------------------------------------------------------------


async def test_closing_lets_go_of_everything_and_says_nothing(caplog):
    async with Later() as upstream, Later() as other:
        forwarder = caching(upstream, other, timeout=60)
        remember(forwarder, ago=TTL + 100)
        waiting = [send(forwarder), send(forwarder, ask(f"n.{NAME}")), send(forwarder, ask(f"n.{NAME}"))]
        await other.until_asked(1)
        forwarder.close()
        async with asyncio.timeout(30):
            await forwarder.drained()
        await turns()
        pool = forwarder._means.pool
        assert (forwarder.pending, pool.pending, pool.sockets, pool.timers.resting) == (0, 0, 0, True)
        assert (waiting, caplog.messages) == ([[], [], []], [])
    timers = [handle for handle in asyncio.get_running_loop()._scheduled if not handle.cancelled()]
    assert [handle for handle in timers if "Forwarder" in repr(handle)] == []


async def test_a_forwarder_that_asked_nothing_can_be_closed():
    forwarder = caching(zones={})
    forwarder.close()
    await forwarder.drained()


async def test_what_sockets_got_and_nobody_asked_for_is_counted():
    async with Upstream(lambda octets: [say(octets, identifier=octets[0] << 8 | octets[1] ^ 1), honest(octets)]) as one:
        forwarder = caching(one)
        await submit(forwarder, ask(NAME))
        assert forwarder.counters["upstream_strays"] == 1


async def test_what_was_asked_without_edns_is_not_kept_for_those_who_want_signatures():
    def without_edns(octets):
        return say(octets, rcode=1) if octets[10:12] != b"\0\0" else honest(octets)

    async with Upstream(without_edns) as upstream:
        forwarder = caching(upstream)
        for _ in range(3):
            assert read(await submit(forwarder, ask(NAME, payload=1232, ednsflags=dns.flags.DO))).answer
        assert len(upstream.asked) == 4, "once with EDNS, and then each time"
        for _ in range(3):
            assert read(await submit(forwarder, ask(NAME, payload=1232))).answer
        assert len(upstream.asked) == 5
