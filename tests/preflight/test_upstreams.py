"""Each upstream is asked in each way that a worker would, and what comes of it is judged."""

import asyncio

import pytest
from tests.serve.forward.upstreams import Upstream as FakeUpstream
from tests.serve.forward.upstreams import honest, say, silent

from mesos_dns.dns import name as names
from mesos_dns.preflight import upstreams
from mesos_dns.preflight.findings import Finding, Level
from mesos_dns.preflight.upstreams import Said, judge, spared
from mesos_dns.serve.forward.options import Upstream

ONE, OTHER, THIRD = (Upstream(f"10.0.0.{n}", 53) for n in (1, 2, 3))
GOOD, BAD = Finding(Level.OK, "upstream", "", "", ""), Finding(Level.FAIL, "upstream", "", "", "")
PARTLY = Finding(Level.WARN, "upstream", "", "", "")


def tried(*found, own_id=b""):
    """What trying them says, as (level, found)."""
    zones = {names.ROOT: [one.address for one in found]}
    return upstreams.try_all(zones, "", own_id)


def refused(octets):
    return say(octets, rcode=5)


def failing(octets):
    return say(octets, rcode=2)


def wrong_id(octets):
    return say(octets, identifier=7)


@pytest.mark.parametrize(
    ("udp", "tcp", "expected"),
    [
        (honest, honest, [(Level.OK, "UDP: NOERROR"), (Level.OK, "TCP: NOERROR")]),
        (honest, None, [(Level.OK, "UDP: NOERROR"), (Level.WARN, "TCP: Connection refused")]),
        (refused, honest, [(Level.FAIL, "UDP: REFUSED"), (Level.OK, "TCP: NOERROR")]),
        (failing, failing, [(Level.WARN, "UDP: SERVFAIL"), (Level.WARN, "TCP: SERVFAIL")]),
        (honest, wrong_id, [(Level.OK, "UDP: NOERROR"), (Level.WARN, "TCP: what came is no answer")]),
    ],
)
def test_ways_to_ask(udp, tcp, expected):
    async def scenario():
        async with FakeUpstream(udp, tcp) as upstream:
            return await tried(upstream)

    found = asyncio.run(scenario())
    assert [line.level for line in found] == [level for level, _ in expected]
    for line, (_, says) in zip(found, expected, strict=True):
        assert line.found.startswith(says)


def test_silence_is_given_up(monkeypatch):
    monkeypatch.setattr(upstreams, "ANSWER_SECONDS", 0.1)

    async def scenario():
        async with FakeUpstream(silent, silent) as dead, FakeUpstream(honest, honest) as living:
            return await tried(dead), await tried(dead, living)

    alone, together = asyncio.run(scenario())
    assert [line.level for line in alone] == [Level.FAIL, Level.WARN]
    assert alone[0].found == "UDP: no answer within 0.1 s"
    # Another one is there: that is what several are for.
    assert [line.level for line in together] == [Level.WARN, Level.WARN, Level.OK, Level.OK]


def test_who_calls_itself_as_this_server_is_told():
    def naming(octets):
        return say(octets) + b"\3ns1"

    async def scenario():
        async with FakeUpstream(naming, naming) as upstream:
            return await tried(upstream, own_id=b"ns1"), await tried(upstream, own_id=b"ns2")

    same, another = asyncio.run(scenario())
    assert [line.found for line in same if line.level is Level.WARN] == ["calls itself 'ns1', as this server does"]
    assert all(line.level is Level.OK for line in another)


def test_a_bad_file_of_authorities_is_told(tmp_path):
    zones = {names.ROOT: [Upstream("127.0.0.1", 853, "resolver.example")]}
    (found,) = asyncio.run(upstreams.try_all(zones, str(tmp_path / "gone"), b""))
    assert (found.level, found.subject) == (Level.FAIL, "ForwardCAFile")


def test_more_than_the_most_are_told(monkeypatch):
    monkeypatch.setattr(upstreams, "MAX_UPSTREAMS", 0)
    (found,) = asyncio.run(upstreams.try_all({names.ROOT: [ONE, OTHER]}, "", b""))
    assert (found.level, found.found) == (Level.WARN, "2 more were not tried")


@pytest.mark.parametrize("way", ["UDP", "TCP", "TLS"])
def test_no_answer_is_worst_over_the_main_way(way):
    found = judge(ONE, way, ". NS", Said(why="no answer"))
    assert found.level is (Level.WARN if way == "TCP" else Level.FAIL)


def levels(together, lines):
    return [line.level for line in spared(together, lines)]


def test_a_failure_counts_where_nobody_else_is_asked():
    lines = {ONE: [BAD, PARTLY], OTHER: [GOOD], THIRD: [BAD]}
    assert levels([[ONE, OTHER]], {ONE: [BAD, PARTLY], OTHER: [GOOD]}) == [Level.WARN, Level.WARN, Level.OK]
    # The third is asked alone for its zone; the first has somebody beside it wherever it is asked.
    assert levels([[ONE, OTHER], [THIRD]], lines) == [Level.WARN, Level.WARN, Level.OK, Level.FAIL]
    assert levels([[ONE, OTHER], [ONE]], lines)[0] is Level.FAIL
