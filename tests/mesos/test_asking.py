"""Masters that say nothing, masters that both claim to lead, masters of another cluster: who is asked, and who is believed."""

import asyncio
import contextlib
import json
import logging
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.mesos.test_polling import Detector

from mesos_dns.mesos import asking
from mesos_dns.mesos.asking import MAX_ASKED_AT_ONCE, Asking
from mesos_dns.mesos.decoding.v0 import Decoder
from mesos_dns.mesos.detect.static import StaticMasters
from mesos_dns.mesos.errors import MasterTimeoutError, NobodyAnsweredError, RedirectError, UnreachableError
from mesos_dns.mesos.http.client import Answer
from mesos_dns.mesos.state import Endpoint

A, B, C, D = (Endpoint(f"127.0.0.{number}", 5050) for number in (1, 2, 3, 4))
PATIENCE = 20.0


def state(pid, *, agents=("S0",), elected=100.0, **more):
    """What the master `pid` says that leads, with these agents."""
    document = {
        "id": "M1",
        "pid": f"master@{pid}",
        "leader": f"master@{pid}",
        "elected_time": elected,
        "flags": {},
        "slaves": [{"id": each, "pid": "slave(1)@127.0.0.9:5051"} for each in agents],
        "frameworks": [],
        **more,
    }
    return json.dumps(document).encode()


class Masters:
    """Each does what the test says at the moment: octets and errors are answers, None is silence."""

    def __init__(self, **does):
        self.does = {}
        #: What follows when one has done something for a while.
        self.slow = {}
        self.asked = []
        self.ended = []
        self.open = set()
        self._news = asyncio.Event()
        for endpoint, what in does.items():
            self.does[endpoint] = what

    def now(self, endpoint, what):
        self.does[endpoint] = what
        self._news.set()

    async def until_asked(self, endpoint, times):
        async with asyncio.timeout(PATIENCE):
            while self.asked.count(endpoint) < times:  # noqa: ASYNC110 - requests are all that happens
                await asyncio.sleep(0.001)

    async def fetch(self, endpoint, heard):
        self.asked.append(endpoint)
        self.open.add(endpoint)
        try:
            while (what := self.does.get(endpoint)) is None:
                self._news.clear()
                await self._news.wait()
            if callable(what):
                await what(heard)
                what = self.slow.get(endpoint, self.does[endpoint])
            heard()
            if isinstance(what, Exception):
                raise what
            return Answer(bytearray(what), 0.0)
        finally:
            self.open.discard(endpoint)
            self.ended.append(endpoint)


@pytest.fixture(autouse=True, scope="module")
def impatient():
    """Seconds become milliseconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(asking, "SILENCE_SECONDS", 0.03)
        patch.setattr(asking, "CLAIM_SECONDS", 0.02)
        yield


@pytest.fixture
def masters():
    return Masters()


@contextlib.asynccontextmanager
async def asks(masters, *listed, detector=None, **options):
    detector = detector or StaticMasters(listed or (A, B, C))
    async with detector:
        one = Asking(detector, masters, **options)
        yield lambda: asyncio.wait_for(one.read(), PATIENCE)
        assert masters.open == set(), "nobody is waited for when the answer is there"


def to(endpoint, location):
    return RedirectError(endpoint, location, f"does not lead, it points to {location}")


# --- silence -----------------------------------------------------------------------------------


async def test_a_leader_that_stands_still_is_left_for_the_one_that_leads_now(masters):
    masters.does = {A: state(A), B: to(B, A), C: to(C, A)}
    async with asks(masters) as read:
        assert (await read()).asked == A
        masters.does = {A: None, B: to(B, A), C: to(C, A)}
        reading = asyncio.ensure_future(read())
        # No other one is elected yet: the others are asked again and again, and the silent one is still waited for.
        await masters.until_asked(C, 3)
        assert A in masters.open
        masters.does |= {B: state(B, id="M2"), C: to(C, B)}
        assert (await reading).asked == B
        assert (await read()).asked == B
        assert masters.asked[-1] == B


async def test_a_slow_master_that_lives_is_waited_for(masters, caplog):
    """Old masters of large clusters write their state for half a minute before the first octet."""
    caplog.set_level(logging.INFO)
    masters.does = {A: None, B: to(B, A), C: to(C, A)}
    async with asks(masters) as read:
        reading = asyncio.ensure_future(read())
        await masters.until_asked(C, 4)
        masters.now(A, state(A))
        assert (await reading).asked == A
        assert masters.asked.count(A) == 1
    assert caplog.text.count("master 127.0.0.1:5050 says nothing for 0.03 s; it is still waited for") == 1


async def test_octets_that_come_are_a_sign_of_life(masters):
    now = 0.0

    async def drips(heard):
        nonlocal now
        for _ in range(20):
            now += 0.02
            heard()
            # Longer than what it takes the loop to look whether somebody is silent.
            await asyncio.sleep(0.04)
        masters.does[A] = state(A)

    masters.does = {A: state(A), B: to(B, A), C: to(C, A)}
    async with asks(masters, clock=lambda: now) as read:
        await read()
        masters.asked.clear()
        masters.does[A] = drips
        assert (await read()).asked == A
        assert masters.asked == [A]
        assert now > 10 * asking.SILENCE_SECONDS


async def test_nobody_looks_again_and_again_while_a_state_is_decoded(masters, monkeypatch):
    """That takes seconds, in which no octet comes."""
    begun, go_on, looks = threading.Event(), threading.Event(), 0

    class Slow(Decoder):
        def decode(self, *args, **kwargs):
            begun.set()
            assert go_on.wait(PATIENCE)
            return super().decode(*args, **kwargs)

    def clock():
        nonlocal looks
        looks += 1
        return 100.0 * looks

    monkeypatch.setattr(asking, "Decoder", Slow)
    masters.does = {A: state(A), B: to(B, A)}
    async with asks(masters, A, B, clock=clock) as read:
        reading = asyncio.ensure_future(read())
        while not begun.is_set():  # noqa: ASYNC110 - it is a thread that says so
            await asyncio.sleep(0.001)
        before = looks
        for _ in range(200):
            await asyncio.sleep(0)
        assert looks <= before + 3
        go_on.set()
        assert (await reading).asked == A


async def test_a_silent_master_that_fails_at_last_is_told_with_what_the_others_say(masters):
    masters.does = {A: None, B: to(B, A), C: UnreachableError(C, "refused")}
    async with asks(masters) as read:
        reading = asyncio.ensure_future(read())
        await masters.until_asked(B, 2)
        masters.now(A, MasterTimeoutError(A, "nothing came"))
        with pytest.raises(NobodyAnsweredError) as failure:
            await reading
    assert {error.endpoint for error in failure.value.errors} == {A, B, C}


async def test_no_more_than_a_few_are_asked_at_once(masters):
    listed = [Endpoint(f"127.0.1.{number}", 5050) for number in range(1, 30)]
    async with asks(masters, *listed) as read:
        reading = asyncio.ensure_future(read())
        await masters.until_asked(listed[MAX_ASKED_AT_ONCE - 1], 1)
        assert len(masters.open) == len(masters.asked) == MAX_ASKED_AT_ONCE
        masters.now(listed[0], UnreachableError(listed[0], "no connection"))
        await masters.until_asked(listed[MAX_ASKED_AT_ONCE], 1)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading


async def test_the_detectors_word_ends_requests_to_others(masters):
    detector = Detector(A, B, C, leader=A)
    masters.does = {A: None, B: to(B, A), C: to(C, A)}
    async with asks(masters, detector=detector) as read:
        reading = asyncio.ensure_future(read())
        await masters.until_asked(B, 1)
        masters.does |= {B: state(B, id="M2"), C: None}
        detector.learns(A, B, C, leader=B)
        assert (await reading).asked == B


# --- claims ------------------------------------------------------------------------------------


async def test_of_two_that_claim_to_lead_the_one_elected_later_is_believed_and_stays(masters, caplog):
    masters.does = {A: state(A, elected=50.0), B: state(B, id="M2", elected=70.0), C: UnreachableError(C, "refused")}
    async with asks(masters) as read:
        assert [(await read()).asked for _ in range(3)] == [B, B, B]
        assert (
            caplog.text.count("2 masters claim to lead: 127.0.0.1:5050, 127.0.0.2:5050; 127.0.0.2:5050 is believed")
            == 1
        )
        # It is gone, so the other one is all there is; when it is back, nobody flaps.
        masters.does[B] = UnreachableError(B, "refused")
        assert (await read()).asked == A
        masters.does[B] = state(B, id="M3", elected=90.0)
        assert [(await read()).asked for _ in range(3)] == [A, A, A]


async def test_the_word_of_the_other_masters_counts_more_than_clocks(masters):
    masters.does = {A: state(A, elected=9e9), B: state(B, id="M2", elected=70.0), C: to(C, B)}
    async with asks(masters) as read:
        assert (await read()).asked == B


async def test_other_masters_may_call_it_by_its_host_name(masters):
    masters.does = {
        A: state(A, elected=9e9, hostname="a.example"),
        B: state(B, id="M2", elected=70.0, hostname="b.example"),
        C: to(C, Endpoint("b.example", B.port)),
    }
    async with asks(masters) as read:
        assert (await read()).asked == B


async def test_the_word_of_the_detector_counts_most(masters):
    masters.does = {A: state(A, elected=9e9), B: state(B, id="M2", elected=70.0), C: to(C, A)}
    detector = Detector(A, B, C, leader=B)
    async with asks(masters, detector=detector) as read:
        assert (await read()).asked == B
        assert masters.asked == [B]
        detector.learns(A, B, C, leader=A)
        assert (await read()).asked == A


async def test_a_new_leader_whose_clock_is_hours_behind_is_believed(masters):
    masters.does = {A: state(A, elected=90_000.0)}
    async with asks(masters) as read:
        assert (await read()).asked == A
        masters.does = {A: UnreachableError(A, "refused"), B: state(B, id="M2", elected=10.0), C: to(C, B)}
        assert (await read()).asked == B


async def test_a_claim_does_not_wait_for_one_that_says_nothing(masters):
    masters.does = {A: state(A), B: None, C: None}
    async with asks(masters) as read:
        assert (await read()).asked == A
    assert masters.asked == [A, B, C]


# --- another cluster ---------------------------------------------------------------------------


async def test_a_master_of_another_cluster_is_reported_and_not_believed(masters, caplog):
    ours = {"cluster": "ours", "agents": ("S0", "S1")}
    theirs = state(C, id="X1", cluster="theirs", agents=("X-S0",))
    masters.does = {A: state(A, **ours), B: to(B, A), C: UnreachableError(C, "refused")}
    async with asks(masters) as read:
        assert (await read()).asked == A
        masters.does = {A: UnreachableError(A, "refused"), B: UnreachableError(B, "refused"), C: theirs}
        for _ in range(3):
            with pytest.raises(NobodyAnsweredError, match="leads another cluster, as it seems") as failure:
                await read()
        assert "none of its 1 agents is known, its cluster is called 'theirs', not 'ours'" in str(failure.value)
        lines = [one.getMessage() for one in caplog.records if one.levelno >= logging.WARNING]
        assert len(lines) == 1
        assert lines[0].startswith(
            "master 127.0.0.3:5050 leads another cluster, as it seems: none of its 1 agents is known"
        )
        masters.does[B] = state(B, id="M2", **ours)
        assert (await read()).asked == B


async def test_a_master_that_comes_to_its_senses_is_said_to(masters, caplog):
    masters.does = {A: state(A, cluster="ours")}
    async with asks(masters, A) as read:
        await read()
        masters.does[A] = state(A, id="X1", cluster="theirs", agents=("X-S0",))
        with pytest.raises(NobodyAnsweredError):
            await read()
        masters.does[A] = state(A, id="M2", cluster="ours")
        await read()
    assert caplog.messages[-1] == "the state of master 127.0.0.1:5050 is believed now"


async def test_whom_the_detector_names_is_ours_whatever_it_is_called(masters, caplog):
    detector = Detector(A, B, leader=A)
    masters.does = {A: state(A, cluster="ours"), B: state(B, id="X1", cluster="renamed", agents=("X-S0",))}
    async with asks(masters, detector=detector) as read:
        assert (await read()).asked == A
        detector.learns(A, B, leader=B)
        assert (await read()).asked == B
    assert caplog.text == ""


# --- whatever they do --------------------------------------------------------------------------

doings = st.sampled_from(["claims", "refuses", "points", "is silent", "is slow", "is foreign", "says nonsense"])


def deed(what, at, number, other, elected):
    """What a master does that is drawn to do `what`."""

    async def turns(heard):
        for _ in range(3):
            await asyncio.sleep(0)
            heard()

    return {
        "claims": state(at, id=f"M{number}", cluster="ours", agents=("S0", "S1"), elected=float(elected)),
        "refuses": UnreachableError(at, "refused"),
        "points": to(at, other),
        "is silent": None,
        "is slow": turns,
        "is foreign": state(at, id=f"X{number}", cluster="theirs", agents=("X-S0",)),
        "says nonsense": b"<html>",
    }[what]


async def read_among(does, named):
    """The reading, or the error, of one who knows the cluster; nobody may be asked any more behind it."""
    listed, masters = [A, B, C, D], Masters()
    masters.does = {A: state(A, cluster="ours", agents=("S0",))}
    detector = Detector(*listed)
    one = Asking(detector, masters)
    async with detector, asyncio.timeout(PATIENCE):
        assert (await one.read()).asked == A
        for number, (at, (what, other, elected)) in enumerate(zip(listed, does, strict=True)):
            masters.does[at] = deed(what, at, number, listed[other], elected)
            masters.slow[at] = deed("claims", at, number, at, elected)
        detector.learns(*listed, leader=named)
        reading = asyncio.ensure_future(one.read())
        if not {what for what, _, _ in does} & {"claims", "is slow"}:
            while not reading.done() and not masters.open:  # noqa: ASYNC110 - requests are all that happens
                await asyncio.sleep(0)
            # Somebody must end the wait for those that are silent.
            for each in listed:
                if masters.does[each] is None:
                    masters.now(each, MasterTimeoutError(each, "nothing came"))
        (found,) = await asyncio.gather(reading, return_exceptions=True)
    assert masters.open == set()
    return found


@given(
    does=st.lists(st.tuples(doings, st.integers(0, 3), st.integers(0, 3)), min_size=4, max_size=4),
    named=st.sampled_from([None, A, B, C, D]),
)
@settings(max_examples=60, deadline=None)
def test_whatever_masters_do_a_leader_is_found_if_one_answers(does, named):
    """Each points to some other one; `named` is whom the detector names."""
    found = asyncio.run(read_among(does, named))
    by_deed = {at: what for at, (what, _, _) in zip([A, B, C, D], does, strict=True)}
    believable = {at for at, what in by_deed.items() if what in {"claims", "is slow"}}
    believable |= {at for at, what in by_deed.items() if what == "is foreign" and at == named}
    if believable:
        assert found.asked in believable
    else:
        assert isinstance(found, NobodyAnsweredError)
