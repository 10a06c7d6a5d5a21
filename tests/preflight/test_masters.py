"""Masters are asked for the beginning of their state, within bounds, and for the time."""

import asyncio
import time

import pytest
from tests.integration.masters import Master
from tests.integration.program import free_port, sample_state

from mesos_dns.assembly import plan
from mesos_dns.config import Config
from mesos_dns.mesos.errors import MasterTimeoutError, UnreachableError
from mesos_dns.mesos.http.client import MasterClient
from mesos_dns.mesos.options import ClientOptions
from mesos_dns.mesos.state import Endpoint
from mesos_dns.preflight import masters, trying
from mesos_dns.preflight.findings import Level


@pytest.fixture
def leader():
    serving = Master(("127.0.0.1", 0), b"")
    serving.body = sample_state(serving.endpoint)
    yield serving
    serving.close()


def ask(*endpoints, within=masters.MASTER_SECONDS):
    async def scenario():
        client = MasterClient(ClientOptions())
        try:
            return await masters.ask_all(client, [Endpoint(*each) for each in endpoints], listed=True, within=within)
        finally:
            await client.close()

    return asyncio.run(scenario())


def test_a_leader(leader):
    (found,) = ask(leader.endpoint)
    assert found.leads
    assert found.outcome.version == "1.11.0"
    assert abs(found.offset) < masters.MASTER_SECONDS


def test_no_more_than_the_beginning_is_read(leader, monkeypatch):
    enough = leader.body.index(b'"frameworks"')
    monkeypatch.setattr(masters, "STATE_OCTETS", enough)
    # What follows would be no JSON.
    leader.body = leader.body[:enough] + b"}" * 10_000_000
    (found,) = ask(leader.endpoint)
    assert found.leads


@pytest.mark.parametrize(
    ("ahead", "date"), [(True, "Thu, 01 Jan 2015 00:00:00 GMT"), (False, "Thu, 01 Jan 2099 00:00:00 GMT")]
)
def test_the_date_tells_how_clocks_differ(leader, ahead, date):
    leader.believe_date(date)
    (found,) = ask(leader.endpoint)
    assert (found.offset > 0) is ahead


@pytest.mark.parametrize("date", ["nonsense", "Thu, 99 Jan 2015 00:00:00 GMT", "-"])
def test_without_a_date_there_is_nothing_to_compare(leader, date):
    leader.believe_date(date)
    assert ask(leader.endpoint)[0].offset is None


def test_a_master_that_starts_in_the_future_has_another_clock(leader):
    leader.believe_date("nonsense")
    leader.body = leader.body.replace(b"{", b'{"start_time":%d,' % (time.time() + 3600), 1)
    assert -3700 < ask(leader.endpoint)[0].offset < -3500


def test_who_hangs_and_who_is_gone(leader):
    leader.stand_still()
    hangs, gone = ask(leader.endpoint, ("127.0.0.1", free_port()), within=0.2)
    leader.go_on()
    assert isinstance(hangs.outcome, MasterTimeoutError)
    assert isinstance(gone.outcome, UnreachableError)


def tried(*endpoints):
    config = Config(masters=tuple(map(text, endpoints)), dns_on=False, http_on=False, external_on=False)
    return asyncio.run(trying.try_everything(config, plan(config)))


def text(endpoint):
    return "{}:{}".format(*endpoint)


def test_all_together_have_a_bound(leader, monkeypatch):
    """A leader that hangs, and to which another one points: what is known of the others is told all the same."""
    monkeypatch.setattr(trying, "ALL_SECONDS", 1.0)
    pointing = Master(("127.0.0.1", 0), b"")
    pointing.leader = leader.endpoint
    leader.stand_still()
    found = {(line.area, line.subject): (line.level, line.found) for line in tried(pointing.endpoint)}
    leader.go_on()
    pointing.close()
    assert found["master", text(pointing.endpoint)] == (Level.OK, f"does not lead, points to {text(leader.endpoint)}")
    level, why = found["master", text(leader.endpoint)]
    assert (level, why.startswith("no complete answer within 0.")) == (Level.FAIL, True)
    assert found["leader", ""] == (Level.FAIL, "nobody leads")


def test_what_never_ends_is_given_up(monkeypatch):
    async def hang(*_):
        await asyncio.Event().wait()

    monkeypatch.setattr(trying, "ALL_SECONDS", 0.1)
    monkeypatch.setattr(trying, "_cluster", hang)
    found = tried(("127.0.0.1", 1))
    assert [(line.area, line.found) for line in found if line.level is Level.FAIL] == [
        ("cluster", "not done within 0.1 s")
    ]
