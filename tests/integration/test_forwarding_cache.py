"""What the real program keeps of upstreams' answers, and how often it asks: once for all who ask the same."""

import socket
import time
from collections.abc import Iterator

import dns.flags
import dns.message
import pytest
from tests.integration import client, wire
from tests.integration.faulty import Asked, Bed, Held, NameServer, bed, honest, late, saying, silent
from tests.integration.program import until

NXDOMAIN, NOERROR = 3, 0
MANY = 10_000
#: Seconds that a question may take.
TIMEOUT = 8


def with_ttl(seconds: int) -> NameServer:
    return NameServer(lambda asked: asked.send(asked.reply("192.0.2.1", ttl=seconds)))


def negative(rcode: int, *, soa: bool) -> NameServer:
    return NameServer(lambda asked: asked.send(asked.negative(rcode, soa=soa)))


@pytest.fixture(scope="module")
def upstreams(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    zones = {
        "honest.example.": [NameServer(honest)],
        "many.example.": [NameServer(honest)],
        "held.example.": [NameServer(Held())],
        "brief.example.": [with_ttl(1)],
        "quiet.example.": [with_ttl(1)],
        "zero.example.": [with_ttl(0)],
        "nxdomain.example.": [negative(NXDOMAIN, soa=True)],
        "nodata.example.": [negative(NOERROR, soa=True)],
        "nosoa.example.": [negative(NXDOMAIN, soa=False)],
        "bits.example.": [NameServer(honest)],
        "corp.example.": [negative(NXDOMAIN, soa=True)],
    }
    with bed(tmp_path_factory.mktemp("cache"), zones, timeout=TIMEOUT) as running:
        yield running


def seconds(reply: wire.Reply) -> int:
    assert len(reply["answer"]) == 1, reply
    return int(reply["answer"][0].split()[1])


# --- how often upstreams are asked -------------------------------------------------------------


def test_identical_questions_under_way_are_one(upstreams: Bed) -> None:
    (server,) = upstreams.servers["held.example."]
    held = server.behave
    assert isinstance(held, Held)
    before = upstreams.count("forward_joined")
    with client.connected(upstreams.program.dns, socket.SOCK_DGRAM) as sock:
        for n in range(100):
            sock.send(wire.query(n, "www.held.example.", "A"))
        until(lambda: len(held.asked) == 1, "not forwarded")
        # What is ours does not wait behind them.
        upstreams.ours()
        held.release()
        replies = [sock.recv(65535) for _ in range(100)]
    assert sorted(reply[1] for reply in replies) == list(range(100))
    assert all(wire.parse(reply)["answer"] for reply in replies)
    assert server.names() == ["www.held.example."]
    until(lambda: upstreams.count("forward_joined") - before == 99, "not counted")


def test_ten_thousand_questions_for_one_name_are_one(upstreams: Bed) -> None:
    (server,) = upstreams.servers["honest.example."]
    replies = upstreams.ask_all(MANY * ["www.honest.example."])
    assert all(reply["answer"] for reply in replies)
    assert server.names() == ["www.honest.example."]


def test_of_ten_thousand_names_none_is_asked_for_twice(upstreams: Bed) -> None:
    (server,) = upstreams.servers["many.example."]
    names = [f"{n}.many.example." for n in range(MANY)]
    replies = upstreams.ask_all(names)
    for name, reply in zip(names, replies, strict=True):
        assert reply["answer"] == [f"{name} 300 IN A 192.0.2.1"]
    assert sorted(server.names()) == sorted(names)
    upstreams.ours()


def test_a_search_list_costs_one_question_for_each_name(upstreams: Bed) -> None:
    (server,) = upstreams.servers["corp.example."]
    names = [f"{name}.marathon.mesos.corp.example." for name in ("web", "db", "cache", "api")]
    for rrtype in ("A", "AAAA"):
        replies = upstreams.ask_all(250 * names, rrtype)
        assert {reply["rcode"] for reply in replies} == {"NXDOMAIN"}
    asked = [(asked.name, asked.octets[-15:-11] if asked.edns else b"") for asked in server.asked]
    assert len(asked) == len(set(asked)) == 8
    upstreams.ours()


# --- for how long ------------------------------------------------------------------------------


def test_times_to_live_count_down_those_of_negative_answers_by_their_soa(upstreams: Bed) -> None:
    zones = {"honest.example.": "NOERROR", "nxdomain.example.": "NXDOMAIN", "nodata.example.": "NOERROR"}
    seen: dict[str, list[int]] = {zone: [] for zone in zones}

    def all_count_down() -> bool:
        for zone, rcode in zones.items():
            reply = upstreams.ask(f"ttl.{zone}")
            assert reply["rcode"] == rcode
            (record,) = reply["answer"] or reply["authority"]
            seen[zone].append(int(record.split()[1]))
        return all(ttls[-1] < 300 for ttls in seen.values())

    until(all_count_down, "they do not count down")
    for zone, ttls in seen.items():
        assert ttls[0] == 300
        assert ttls == sorted(ttls, reverse=True)
        assert upstreams.servers[zone][0].names().count(f"ttl.{zone}") == 1
    assert upstreams.ask("ttl.nodata.example.")["answer"] == []


def test_what_lives_for_no_second_is_not_kept(upstreams: Bed) -> None:
    for n in range(3):
        assert seconds(upstreams.ask("www.zero.example.")) == 0
        assert len(upstreams.servers["zero.example."][0].asked) == n + 1


def test_negative_answers_without_soa_are_not_kept(upstreams: Bed) -> None:
    for n in range(3):
        assert upstreams.ask("www.nosoa.example.")["rcode"] == "NXDOMAIN"
        assert len(upstreams.servers["nosoa.example."][0].asked) == n + 1


def test_do_and_cd_have_answers_of_their_own(upstreams: Bed) -> None:
    (server,) = upstreams.servers["bits.example."]
    for _ in range(2):
        for flags in (0x0100, 0x0110):
            for do in (False, True):
                assert upstreams.ask("www.bits.example.", flags=flags, edns=1232, do=do)["answer"]
    asked = [asked.message for asked in server.asked]
    bits = [(bool(query.flags & dns.flags.CD), bool(query.ednsflags & dns.flags.DO)) for query in asked]
    assert bits == [(False, False), (False, True), (True, False), (True, True)]


# --- when no upstream answers ------------------------------------------------------------------


def stale(bed: Bed, name: str) -> bool:
    """Whether the reply is stale, and says so; else it is the fresh one."""
    reply = bed.whole(name)
    (rrset,) = reply.answer
    if rrset.ttl <= 1:
        return False
    assert (rrset.ttl, [int(error.code) for error in reply.extended_errors()]) == (30, [3])
    assert seconds(bed.ask(name)) == 30, "without EDNS there is no room for the reason"
    return True


def test_of_dead_and_of_silent_upstreams_the_last_answer_is_given(upstreams: Bed) -> None:
    (dead,), (quiet,) = upstreams.servers["brief.example."], upstreams.servers["quiet.example."]
    assert not stale(upstreams, "www.brief.example.")
    assert not stale(upstreams, "www.quiet.example.")
    dead.stop()
    quiet.behave = silent
    until(lambda: stale(upstreams, "www.brief.example."), upstreams.program.log)
    until(lambda: stale(upstreams, "www.quiet.example."), upstreams.program.log)
    for _ in range(10):
        assert stale(upstreams, "www.brief.example.")
        assert stale(upstreams, "www.quiet.example.")
    assert upstreams.failure("cold.brief.example.") == ("SERVFAIL", (22,))
    upstreams.ours()
    dead.start()
    quiet.behave = honest
    for zone in ("brief", "quiet"):
        until(
            lambda zone=zone: upstreams.ask(f"{time.monotonic_ns()}.{zone}.example.")["answer"], upstreams.program.log
        )  # type: ignore[misc]


# --- other configurations ----------------------------------------------------------------------


def test_without_a_cache_without_a_second_opinion_and_in_any_order(tmp_path_factory: pytest.TempPathFactory) -> None:
    several = [NameServer(honest) for _ in range(3)]
    failing, good, held = NameServer(saying(2)), NameServer(honest), Held()
    zones = {".": several, "failing.example.": [failing, good], "one.example.": [NameServer(held)]}
    keys = {"CacheOctets": 0, "AskNextOnFailure": False, "ForwardPolicy": "random"}
    with bed(tmp_path_factory.mktemp("off"), zones, **keys) as running:
        for n in range(60):
            assert running.ask("www.example.com.")["answer"]
            assert sum(len(server.asked) for server in several) == n + 1
        assert all(5 < len(server.asked) < 40 for server in several)
        for n in range(20):
            failed = len(failing.asked)
            rcode = running.ask("www.failing.example.")["rcode"]
            assert rcode == ("SERVFAIL" if len(failing.asked) > failed else "NOERROR")
            assert len(failing.asked) + len(good.asked) == n + 1, "the first one's word is the answer"
        # Questions under way are one all the same.
        with client.connected(running.program.dns, socket.SOCK_DGRAM) as sock:
            for n in range(10):
                sock.send(wire.query(n, "www.one.example.", "A"))
            until(lambda: running.count("forward_joined") == 9, "they are not joined")
            assert len(held.asked) == 1
            held.release()
            assert len({sock.recv(65535)[1] for _ in range(10)}) == 10


def respelled(asked: Asked) -> None:
    """An answer that makes all letters of the question small."""
    reply = asked.reply("192.0.2.1")
    asked.send(reply[:12] + reply[12:40].lower() + reply[40:])


def test_mixed_case_with_upstreams_that_keep_it_and_that_do_not(tmp_path_factory: pytest.TempPathFactory) -> None:
    zones = {
        "keeping.example.": [NameServer(honest, honest)],
        "changing.example.": [NameServer(respelled, respelled)],
        "withouttcp.example.": [NameServer(respelled)],
    }
    with bed(tmp_path_factory.mktemp("case"), zones, ForwardMixedCase=True) as running:
        for zone, (server,) in zones.items():
            names = [f"number{n}.{zone}" for n in range(8)]
            for name in names:
                assert running.ask(name)["answer"] == [f"{name} 300 IN A 192.0.2.1"]
                assert running.ask(name.upper())["answer"] == [f"{name.upper()} 300 IN A 192.0.2.1"], "from the cache"
            spelled = server.names()
            if zone == "keeping.example.":
                assert [name.lower() for name in spelled] == names
                assert not set(spelled) & set(names), "by chance one of a billion"
                assert not server.asked_tcp
            else:
                assert spelled[-7:] == names[1:], "as the client spells it"
                assert len(server.asked_tcp) == (zone == "changing.example.")
                assert len(spelled) == 8 + (zone == "withouttcp.example.")


def test_bounds_of_times_to_live_and_the_fastest_first(tmp_path_factory: pytest.TempPathFactory) -> None:
    fast, slow = NameServer(honest), NameServer(after_some_work)
    brief, lasting = with_ttl(1), with_ttl(300)
    zones = {".": [slow, fast], "brief.example.": [brief], "lasting.example.": [lasting]}
    keys = {"CacheMinTTL": 2, "CacheMaxTTL": 2, "ForwardPolicy": "fastest"}
    with bed(tmp_path_factory.mktemp("bounds"), zones, **keys) as running:
        began = time.monotonic()
        for zone in ("brief", "lasting"):
            running.ask(f"www.{zone}.example.")
        for server, zone in ((brief, "brief"), (lasting, "lasting")):
            name = f"www.{zone}.example."
            until(lambda name=name, server=server: running.ask(name) and len(server.asked) > 1, "kept for ever")  # type: ignore[misc]
            assert time.monotonic() - began > 1.5
        for n in range(60):
            assert running.ask(f"{n}.example.com.")["answer"]
        assert len(fast.asked) > 2 * len(slow.asked)


def after_some_work(asked: Asked) -> None:
    late(0.03)(asked)
