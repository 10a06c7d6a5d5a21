"""Names that are not ours, asked of fake upstreams on loopback: honest, slow, confused and hostile ones."""

import asyncio
import socket
from collections import Counter

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest
from tests.serve.asking import ask, parse, read, texts
from tests.serve.forward.upstreams import (
    NAME,
    ROOT,
    Upstream,
    honest,
    make_forwarder,
    say,
    silent,
    submit,
    truncated,
    unused_address,
)

from mesos_dns.concurrency import spawn
from mesos_dns.dns import message as msg
from mesos_dns.dns import name as names
from mesos_dns.serve.forward import forwarder as forwarding
from mesos_dns.serve.forward import search
from mesos_dns.serve.forward.exchange import exchange_udp
from mesos_dns.serve.forward.loops import LoopWatch, routes_of
from mesos_dns.serve.forward.pool import QUESTIONS_PER_SOCKET
from mesos_dns.serve.forward.private import PrivateZones
from mesos_dns.serve.request import Forward

# --- honest upstreams --------------------------------------------------------------------------


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
async def test_the_answer_of_an_upstream(address):
    async with Upstream(honest, address=address) as upstream:
        forwarder = make_forwarder(upstream)
        reply = read(await submit(forwarder, ask("wWw.Example.test.")))
        assert (reply.id, reply.rcode()) == (0xBEEF, 0)
        assert texts(reply.answer) == ["wWw.Example.test. 300 IN A 192.0.2.1"]
        assert forwarder.counters["forwarded"] == 1
        assert repr(forwarder) == "Forwarder(zones=1, pending=0, cached=0)"


async def test_each_question_has_a_fresh_id_and_few_share_a_port():
    async with Upstream(honest) as upstream:
        forwarder = make_forwarder(upstream)
        await asyncio.gather(*(submit(forwarder, ask(f"n{n}.example.test.")) for n in range(200)))
        identifiers = {data[:2] for data, _ in upstream.asked}
        shared = Counter(port for _, port in upstream.asked)
        # By chance a few may be equal.
        assert len(identifiers) > 190
        assert max(shared.values()) <= 2 * QUESTIONS_PER_SOCKET


@pytest.mark.parametrize("rcode", [3, 6, 7, 8, 9, 10])
async def test_an_rcode_about_the_name_is_an_answer_and_ends_the_search(rcode):
    async with Upstream(lambda octets: say(octets, rcode=rcode)) as first, Upstream(honest) as second:
        assert read(await submit(make_forwarder(first, second), ask(NAME))).rcode() == rcode
        assert second.asked == []


@pytest.mark.parametrize("rcode", [1, 2, 4, 5])
async def test_an_upstream_that_does_not_do_what_it_is_asked_for_makes_the_next_be_asked(rcode):
    async with Upstream(lambda octets: say(octets, rcode=rcode)) as first, Upstream(honest) as second:
        assert texts(read(await submit(make_forwarder(first, second), ask(NAME))).answer)
        # If none does, that is what the client hears.
        reply = read(await submit(make_forwarder(first), ask(NAME)))
        assert (reply.rcode(), reply.answer) == (rcode, [])


@pytest.mark.parametrize("rcode", [2, 5])
async def test_as_in_go_any_rcode_may_be_an_answer(rcode):
    async with Upstream(lambda octets: say(octets, rcode=rcode)) as first, Upstream(honest) as second:
        forwarder = make_forwarder(first, second, ask_next_on_failure=False)
        assert read(await submit(forwarder, ask(NAME))).rcode() == rcode
        assert second.asked == []


async def test_options_of_the_client_stay_here():
    async with Upstream(honest) as upstream:
        octets = ask(NAME, payload=4096, ednsflags=0x8000, options=[(dns.edns.GenericOption(10, b"12345678"))])
        reply = read(await submit(make_forwarder(upstream), octets))
        assert (reply.edns, reply.ednsflags) == (0, 0x8000)
        sent = dns.message.from_wire(upstream.asked[0][0])
        assert (sent.payload, sent.ednsflags, sent.options) == (1232, 0x8000, ())


async def test_an_upstream_that_answers_again_is_told_as_loud_as_its_failure(caplog):
    answers = iter([noise, noise, honest, honest])
    async with Upstream(lambda octets: next(answers)(octets)) as upstream:  # noqa: PLW0108 - another each time
        forwarder = make_forwarder(upstream)
        for _ in range(4):
            await submit(forwarder, ask(NAME))
    told = [(one.levelname, one.getMessage().split(" ", 4)[4]) for one in caplog.records]
    assert [(level, text[:13]) for level, text in told] == [("WARNING", "failed: it en"), ("WARNING", "answers again")]


# --- truncated answers -------------------------------------------------------------------------

MANY = [f"192.0.2.{n}" for n in range(1, 101)]


async def test_a_truncated_answer_is_asked_for_again_over_tcp():
    async with Upstream(truncated, lambda octets: say(octets, *MANY)) as upstream:
        forwarder = make_forwarder(upstream)
        reply = read(await submit(forwarder, ask(NAME), limit=65535))
        assert not reply.flags & dns.flags.TC
        assert len(texts(reply.answer)) == 100
        # Too much for a datagram: this client has to ask over TCP itself.
        assert read(await submit(forwarder, ask(NAME))).flags & dns.flags.TC
        assert len(upstream.asked) == len(upstream.asked_tcp) == 2


async def test_the_next_truncated_answer_is_asked_for_over_the_same_connection():
    async with Upstream(truncated, honest, keeps=True) as upstream:
        forwarder = make_forwarder(upstream)
        for n in range(3):
            assert texts(read(await submit(forwarder, ask(f"n{n}.example.test."))).answer)
        assert (len(upstream.asked_tcp), upstream.connections) == (3, 1)
        assert len({query[:2] for query in upstream.asked_tcp}) > 1
        forwarder.close()
        assert forwarder._means.streams.connections == 0


async def test_a_short_answer_over_tcp_fits_the_clients_datagram():
    async with Upstream(truncated, honest) as upstream:
        assert len(texts(read(await submit(make_forwarder(upstream), ask(NAME))).answer)) == 1


async def test_without_tcp_the_truncated_answer_is_passed_on():
    async with Upstream(truncated) as upstream:
        reply = read(await submit(make_forwarder(upstream), ask(NAME)))
        assert reply.flags & dns.flags.TC
        assert reply.answer == []


@pytest.mark.parametrize(
    "tcp",
    [
        pytest.param(silent, id="closes"),
        pytest.param(lambda octets: say(octets, name="another.test."), id="another question"),
        pytest.param(lambda octets: honest(octets)[:-1], id="cut"),
        pytest.param(lambda octets: honest(octets)[:6] + b"\xff\xff" + honest(octets)[8:], id="counts"),
        pytest.param(lambda octets: say(octets, rcode=16), id="refuses EDNS"),
        pytest.param(lambda octets: say(octets, rcode=1)[:4] + bytes(8), id="FORMERR, a header alone"),
        pytest.param(lambda octets: say(octets, rcode=2), id="SERVFAIL"),
        pytest.param(lambda _: bytes(range(256)), id="noise"),
        pytest.param(lambda _: b"", id="nothing"),
    ],
)
async def test_whatever_fails_over_tcp_the_truncated_answer_is_passed_on(tcp, caplog):
    async with Upstream(lambda octets: say(octets, "192.0.2.1", flags=dns.flags.TC), tcp) as upstream:
        reply = read(await submit(make_forwarder(upstream), ask(NAME, payload=1232)))
        assert (reply.rcode(), bool(reply.flags & dns.flags.TC)) == (0, True)
        assert texts(reply.answer) == [f"{NAME} 300 IN A 192.0.2.1"]
        assert len(upstream.asked) == len(upstream.asked_tcp) == 1
    assert "does not answer over TCP: " in caplog.text


async def test_what_was_asked_without_edns_is_asked_so_over_tcp():
    def without_edns(octets, *addresses, flags=0):
        return say(octets, rcode=1) if octets[10:12] != b"\0\0" else say(octets, *addresses, flags=flags)

    def udp(octets):
        return without_edns(octets, flags=dns.flags.TC)

    async with Upstream(udp, lambda octets: without_edns(octets, "192.0.2.1")) as upstream:
        assert texts(read(await submit(make_forwarder(upstream), ask(NAME, payload=1232))).answer)


@pytest.mark.parametrize(("timeout", "over_tcp"), [(0.1, 2.0), (60, 0.1)])
async def test_tcp_that_hangs_costs_one_time_out(timeout, over_tcp, monkeypatch):  # noqa: ASYNC109 - the forwarder's
    monkeypatch.setattr(search, "MAX_TCP_SECONDS", over_tcp)

    async def hang(_reader, writer):
        await done.wait()
        writer.close()

    done = asyncio.Event()
    async with Upstream(truncated) as upstream:
        server = await asyncio.start_server(hang, *upstream.address.address)
        async with server:
            reply = read(await submit(make_forwarder(upstream, timeout=timeout), ask(NAME)))
            done.set()
        assert reply.flags & dns.flags.TC


# --- upstreams that fail -----------------------------------------------------------------------


async def test_if_the_first_is_silent_the_second_is_asked():
    async with Upstream(silent) as first, Upstream(honest) as second:
        forwarder = make_forwarder(first, second)
        assert texts(read(await submit(forwarder, ask(NAME))).answer)
        assert (len(first.asked), len(second.asked)) == (1, 1)
        assert first.asked[0][0][:2] != second.asked[0][0][:2] or first.asked[0][1] != second.asked[0][1]


async def test_if_nobody_listens_at_the_first_the_second_is_asked_at_once():
    async with Upstream(honest) as second:
        forwarder = make_forwarder(zones={ROOT: [await unused_address(), second.address]}, timeout=60)
        assert texts(read(await submit(forwarder, ask(NAME))).answer)


async def test_if_none_answers_the_client_hears_of_it():
    async with Upstream(silent) as upstream:
        forwarder = make_forwarder(zones={ROOT: [upstream.address, await unused_address()]}, timeout=0.05)
        reply = read(await submit(forwarder, ask(NAME, payload=1232)))
        assert reply.rcode() == dns.rcode.SERVFAIL
        assert not reply.flags & (dns.flags.AA | dns.flags.RA)
        assert [int(option.code) for option in reply.options] == [22]
        assert forwarder.counters["forward_failed"] == 1


async def test_an_upstream_that_refuses_our_edns_is_passed_over():
    async with Upstream(lambda octets: say(octets, rcode=16)) as first, Upstream(honest) as second:
        assert texts(read(await submit(make_forwarder(first, second), ask(NAME, payload=1232))).answer)


# --- upstreams that are confused or hostile ----------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param(lambda octets: say(octets, "6.6.6.6", identifier=octets[0] << 8 | octets[1] ^ 1), id="ID"),
        pytest.param(lambda octets: say(octets, "6.6.6.6", name="www.example.tesu."), id="name"),
        pytest.param(lambda octets: octets, id="echo"),
        pytest.param(lambda _: b"", id="nothing"),
        pytest.param(lambda octets: octets[:12], id="header"),
        pytest.param(lambda _: bytes(range(256)) * 4, id="noise"),
    ],
)
async def test_what_does_not_answer_the_question_is_ignored_and_the_answer_awaited(wrong):
    async with Upstream(lambda octets: [wrong(octets), wrong(octets), honest(octets)]) as upstream:
        assert texts(read(await submit(make_forwarder(upstream), ask(NAME))).answer) == [f"{NAME} 300 IN A 192.0.2.1"]


async def test_an_answer_from_another_port_is_never_seen():
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))

        def forge(octets):
            # Right in every respect but where it comes from.
            other.sendto(say(octets, "6.6.6.6"), ("127.0.0.1", upstream.asked[-1][1]))
            loop.call_later(
                0.02, lambda: upstream._transport.sendto(honest(octets), ("127.0.0.1", upstream.asked[-1][1]))
            )

        async with Upstream(forge) as upstream:
            reply = read(await submit(make_forwarder(upstream), ask(NAME)))
            assert texts(reply.answer) == [f"{NAME} 300 IN A 192.0.2.1"]


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda reply: reply[:-1], id="cut"),
        pytest.param(lambda reply: reply[:6] + b"\xff\xff" + reply[8:], id="counts"),
        pytest.param(lambda reply: reply[:-16] + b"\xff\xff" + reply[-14:], id="pointer"),
    ],
)
async def test_a_damaged_answer_is_no_answer(damage):
    async with Upstream(lambda octets: damage(honest(octets))) as bad, Upstream(honest) as good:
        assert texts(read(await submit(make_forwarder(bad, good), ask(NAME))).answer)
        assert read(await submit(make_forwarder(bad), ask(NAME))).rcode() == dns.rcode.SERVFAIL


def noise(octets):
    """The question, and no record although there is said to be one."""
    return honest(octets)[:-16]


def poisoned(octets):
    """An answer with the address of somebody else, and of one of our own names."""
    reply = dns.message.from_wire(say(octets, "192.0.2.1", flags=0x20))
    for section, name in ((reply.answer, "bank.example.org."), (reply.additional, "leader.mesos.")):
        section.append(dns.rrset.from_text(name, 300, "IN", "A", "6.6.6.6"))
    return reply.to_wire()


@pytest.mark.parametrize("over_tcp", [False, True])
async def test_records_that_do_not_belong_to_the_question_do_not_reach_the_client(over_tcp):
    udp, tcp = (truncated, poisoned) if over_tcp else (poisoned, None)
    async with Upstream(udp, tcp) as upstream:
        forwarder = make_forwarder(upstream, own=[names.from_text("mesos")], trusted={upstream.address})
        reply = read(await submit(forwarder, ask(NAME, flags=0x120)))
        assert texts(reply.answer) == [f"{NAME} 300 IN A 192.0.2.1"]
        assert (reply.authority, reply.additional, reply.flags & 0x20) == ([], [], 0)


async def test_an_answer_about_something_else_only_is_none(caplog):
    def evil(octets):
        reply = dns.message.from_wire(say(octets))
        reply.answer.append(dns.rrset.from_text("bank.example.org.", 300, "IN", "A", "6.6.6.6"))
        return reply.to_wire()

    async with Upstream(evil) as bad, Upstream(honest) as good:
        assert texts(read(await submit(make_forwarder(bad, good), ask(NAME))).answer)
        assert read(await submit(make_forwarder(bad), ask(NAME))).rcode() == dns.rcode.SERVFAIL
    assert "failed: no record of its answer belongs to the question; the next one is asked" in caplog.text


async def test_who_is_trusted_may_say_that_something_was_validated():
    validated = lambda octets: say(octets, "192.0.2.1", flags=0x20)  # noqa: E731
    async with Upstream(validated) as one, Upstream(validated) as other:
        zones = {ROOT: [one.address], names.from_text("example.test"): [other.address]}
        forwarder = make_forwarder(zones=zones, trusted={one.address})
        asked = {"flags": dns.flags.RD | dns.flags.AD}
        assert read(await submit(forwarder, ask("www.example.org.", **asked))).flags & dns.flags.AD
        assert not read(await submit(forwarder, ask("www.example.org."))).flags & dns.flags.AD
        assert not read(await submit(forwarder, ask(NAME, **asked))).flags & dns.flags.AD


# --- who is not asked --------------------------------------------------------------------------


async def test_private_names_and_questions_without_rd_do_not_leave():
    async with Upstream(honest) as upstream:
        private = PrivateZones([names.from_text("test")], [], recursion=True)
        forwarder = make_forwarder(upstream, private=private)
        assert read(await submit(forwarder, ask(NAME))).rcode() == dns.rcode.NXDOMAIN
        assert read(await submit(forwarder, ask("www.example.org.", flags=0))).rcode() == dns.rcode.REFUSED
        assert (upstream.asked, forwarder.counters["forward_private"]) == ([], 1)


def in_a_loop(forwarders, seen):
    """An upstream that forwards to one of `forwarders` in turn, as another server would."""

    def udp(octets):
        seen.append(octets)
        query = parse(octets)
        turn = forwarders[len(seen) % len(forwarders)]
        here = asyncio.get_running_loop().create_future()
        turn.submit(Forward(query), msg.udp_limit(query.edns), here.set_result)
        port = upstreams[0].asked[-1][1]
        here.add_done_callback(lambda done: upstreams[0]._transport.sendto(done.result(), ("127.0.0.1", port)))

    upstreams = []
    upstreams.append(Upstream(udp))
    return upstreams[0]


@pytest.mark.parametrize("workers", [1, 3])
async def test_a_loop_is_found_and_ended(workers, caplog):
    forwarders, seen = [], []
    async with in_a_loop(forwarders, seen) as upstream, Upstream(honest) as other:
        zones = {ROOT: [upstream.address], names.from_text("example.test"): [upstream.address, other.address]}
        forwarders += [
            make_forwarder(zones=zones, timeout=60, loops=LoopWatch(b"key", routes_of(zones))) for _ in range(workers)
        ]
        async with asyncio.timeout(30):  # So no time-out was needed.
            for forwarder in forwarders:
                reply = read(await submit(forwarder, ask("www.example.org.", payload=1232)))
                assert reply.rcode() == dns.rcode.SERVFAIL
            while not all("forward_looped" in forwarder.counters for forwarder in forwarders):
                for forwarder in forwarders:
                    reply = read(await submit(forwarder, ask("www.example.org.", payload=1232)))
        assert [(int(option.code), option.text) for option in reply.options] == [(0, "forwarding loop")]
        turns = len(seen)
        await submit(forwarders[0], ask("www.example.org."))
        assert len(seen) == turns, "it is not asked any more"
        # Another way to a zone is a matter of its own, and there is another server for it.
        answers = [read(await submit(forwarders[0], ask(NAME))) for _ in range(2)]
        assert texts(answers[1].answer) == [f"{NAME} 300 IN A 192.0.2.1"]
    told = [one.getMessage() for one in caplog.records if "leads back" in one.getMessage()]
    assert len(told) <= 2 * workers
    assert told[0].startswith(f"upstream 127.0.0.1 port {upstream.address[1]} leads back to this server")


async def test_an_honest_upstream_gets_one_probe():
    async with Upstream(honest) as upstream:
        zones = {ROOT: [upstream.address]}
        forwarder = make_forwarder(zones=zones, loops=LoopWatch(b"key", routes_of(zones)))
        for _ in range(3):
            assert texts(read(await submit(forwarder, ask(NAME))).answer)
        await upstream.until_asked(4)
        probes = [octets for octets, _ in upstream.asked if b"mesos-dns-loop-" in octets]
        assert (len(probes), len(upstream.asked)) == (1, 4)


# --- whom to ask -------------------------------------------------------------------------------


def test_the_closest_zone_decides():
    zones = {
        ROOT: [("192.0.2.1", 53)],
        names.from_text("test"): [("192.0.2.2", 53)],
        names.from_text("example.test"): [("192.0.2.3", 53)],
        names.from_text("empty"): [],
    }
    forwarder = make_forwarder(zones=zones)
    for name, expected in {
        "www.example.test": "192.0.2.3",
        "example.test": "192.0.2.3",
        "xexample.test": "192.0.2.2",
        "test": "192.0.2.2",
        "example.org": "192.0.2.1",
        ".": "192.0.2.1",
    }.items():
        assert [state.key.host for state in forwarder.upstreams_for(names.from_text(name))[1].states] == [expected]
    assert forwarder.upstreams_for(names.from_text("a.empty"))[1] is None


@pytest.mark.parametrize("zones", [{}, {ROOT: []}, {names.from_text("other"): [("192.0.2.1", 53)]}])
async def test_without_an_upstream_the_question_is_refused(zones):
    forwarder = make_forwarder(zones=zones)
    reply = read(await submit(forwarder, ask(NAME, payload=1232)))
    assert reply.rcode() == dns.rcode.REFUSED
    assert [int(option.code) for option in reply.options] == [20]
    told = []
    query = parse(ask(NAME, payload=1232))
    forwarder.submit(Forward(query, b"", msg.option(3, b"ns1")), 1232, told.append)
    assert [int(each.otype) for each in read(told[0]).options] == [15, 3]
    assert forwarder.counters["forward_refused"] == 2


# --- bounds ------------------------------------------------------------------------------------


async def test_too_many_at_once_are_shed_and_the_others_answered(monkeypatch):
    monkeypatch.setattr(forwarding, "MAX_FORWARDS", 3)
    async with Upstream(silent) as upstream:
        forwarder = make_forwarder(upstream)
        replies = []
        for n in range(5):
            forwarder.submit(Forward(parse(ask(f"n{n}.{NAME}", identifier=n))), 512, replies.append)
        assert [read(reply).rcode() for reply in replies] == [dns.rcode.SERVFAIL] * 2
        assert (forwarder.counters["forward_shed"], repr(forwarder)) == (2, "Forwarder(zones=1, pending=3, cached=0)")
        await upstream.until_asked(3)
        for octets, port in upstream.asked:
            upstream._transport.sendto(honest(octets), ("127.0.0.1", port))
        async with asyncio.timeout(30):
            await forwarder.drained()
        assert sorted(read(reply).id for reply in replies) == [0, 1, 2, 3, 4]


async def test_a_flood_of_wrong_answers_stops_nobody_else():
    """Whoever guesses at our port keeps the worker busy only as long as the question is open."""
    loop = asyncio.get_running_loop()
    flooding = True

    def flood(octets):
        port = upstream.asked[-1][1]
        wrong = say(octets, "6.6.6.6", identifier=octets[0] << 8 | octets[1] ^ 1)

        def more():
            for _ in range(50):
                upstream._transport.sendto(wrong, ("127.0.0.1", port))
            if flooding:
                loop.call_soon(more)

        more()

    async with Upstream(flood) as upstream:
        async with asyncio.timeout(30):
            reply = read(await submit(make_forwarder(upstream, timeout=0.2), ask(NAME)))
        flooding = False
        assert reply.rcode() == dns.rcode.SERVFAIL


async def test_cancelled_questions_leave_nothing_behind():
    async with Upstream(silent) as upstream:
        exchange = exchange_udp(upstream.address, ask(NAME), len(ask(NAME)) - 12, within=60)
        task = spawn(exchange, name="to be cancelled")
        await upstream.until_asked(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
