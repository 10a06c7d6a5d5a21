"""Whom to ask next and how long to wait: many questions in virtual time, and whatever may happen."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from tests.examples import fewer
from tests.serve.forward.simulated import (
    TIMEOUT,
    World,
    answering,
    make_upstreams,
    refusing,
    replying,
    silent,
    until,
)

from mesos_dns.serve.forward.upstreams import ALL_ASKED_SECONDS, Policy

NEAR = answering(0.001)
SERVFAIL = replying("SERVFAIL", 0.001)


def percentile(values, share):
    return sorted(values)[int(len(values) * share)]


# --- many questions ----------------------------------------------------------------------------


@pytest.mark.parametrize("dead", [silent, refusing])
@pytest.mark.parametrize("policy", Policy)
@pytest.mark.parametrize("since", [0.0, 2.0])
def test_first_of_two_dead(dead, policy, since):
    world = World(make_upstreams("a", "b", policy=policy), late=0.003, a=until(since, NEAR, dead), b=NEAR)
    for i in range(10_000):
        world.ask(i / 1000, i)
    world.run()
    assert {client.outcome for client in world.clients if client.started > since} == {"b"}
    assert max(client.waited for client in world.clients) < 0.26
    warmed = [client.waited for client in world.clients if client.started > since + 1]
    assert percentile(warmed, 0.99) < 0.005
    assert max(warmed) < 0.05
    # 1 s and 2 s later, and so on; that is all the dead one gets.
    assert len([at for at in world.sent["a"] if at > since + 1.01]) <= 6


@pytest.mark.parametrize("dead", [silent, refusing])
@pytest.mark.parametrize("number", [1, 3])
def test_all_dead(dead, number):
    keys = "abc"[:number]
    world = World(make_upstreams(*keys), **dict.fromkeys(keys, dead))
    for i in range(20_000):
        world.ask(i * 0.003, i)
    world.run()
    assert {client.outcome for client in world.clients} == {"none"}
    later = [client.waited for client in world.clients if client.started > 1.4]
    # All but those whose question is the probe, and these do not wait long.
    assert sum(waited > 0.001 for waited in later) <= 21 * number
    assert percentile(later, 0.99) == 0
    assert max(later) < 1.01
    assert all(len([at for at in world.sent[key] if at > 1.4]) <= 21 for key in keys)


@pytest.mark.parametrize("dead", [silent, refusing])
@pytest.mark.parametrize("policy", Policy)
@pytest.mark.parametrize("answer", [NEAR, answering(0.9)])
def test_after_an_outage_of_an_hour_the_first_success_comes_within_five_seconds(dead, policy, answer):
    back = 3600.0
    world = World(make_upstreams("a", "b", policy=policy), a=until(back, dead, answer), b=dead)
    questions = [*range(0, 3590, 10), *(3590 + n / 10 for n in range(200))]
    for i, at in enumerate(questions):
        world.ask(at, i)
    world.run()
    first = next(client for client in world.clients if client.outcome == "a")
    assert back <= first.ended < back + 5
    assert {client.outcome for client in world.clients if client.started > back + 5} == {"a"}


@pytest.mark.parametrize("dead", [silent, refusing])
def test_after_an_outage_everything_is_as_before(dead):
    world = World(
        make_upstreams("a", "b"),
        a=until(1.0, NEAR, until(41.0, dead, NEAR)),
        b=until(1.0, NEAR, until(40.0, dead, NEAR)),
    )
    for i in range(9000):
        world.ask(i / 100, i)
    world.run()
    assert {client.outcome for client in world.clients if 3 < client.started < 40} == {"none"}
    first = next(client for client in world.clients if client.started > 3 and client.outcome != "none")
    assert first.ended < 40 + 5
    # One answers: the other is tried at once, and again.
    later = [client for client in world.clients if client.started > max(first.ended, 41) + 2.6]
    assert {(client.outcome, round(client.waited, 3)) for client in later} == {("a", 0.001)}
    assert [world.status(key).state for key in "ab"] == ["ok", "ok"]


def test_a_server_that_restarts_is_back_soon():
    world = World(make_upstreams("only"), only=until(1.0, NEAR, until(3.0, refusing, NEAR)))
    for i in range(1000):
        world.ask(i / 100, i)
    world.run()
    assert {client.outcome for client in world.clients if client.started > 5.2} == {"only"}


def test_rare_questions_reach_the_living_one_whatever_was_before():
    world = World(make_upstreams("a", "b"), a=silent, b=until(100.0, silent, NEAR))
    for i in range(100):
        world.ask(i / 10, i)
    client = world.ask(100.0, "q")
    world.run()
    assert (client.outcome, round(client.waited, 3)) == ("b", 0.001)


# --- whatever happens --------------------------------------------------------------------------

BEHAVIOURS = {"near": NEAR, "far": answering(0.12), "servfail": SERVFAIL, "silent": silent, "refusing": refusing}


class Whatever(RuleBasedStateMachine):
    """Upstreams change their minds while clients ask; some clients are many."""

    @initialize(number=st.integers(1, 4), policy=st.sampled_from(Policy), seed=st.integers(0, 1000))
    def begin(self, number, policy, seed):
        keys = "abcd"[:number]
        self.world = World(make_upstreams(*keys, policy=policy), seed=seed, late=0.001, **dict.fromkeys(keys, NEAR))
        self.changed = 0.0
        self.checked = 0

    @rule(data=st.data(), behaviour=st.sampled_from(sorted(BEHAVIOURS)))
    def change(self, data, behaviour):
        key = data.draw(st.sampled_from(sorted(self.world.behaviours)))
        self.world.behaviours[key] = BEHAVIOURS[behaviour]
        self.changed = self.world.now

    @rule(count=st.integers(1, 60), distance=st.sampled_from([0.0, 0.001, 0.02, 0.3, 3.0]), same=st.booleans())
    def ask(self, count, distance, same):
        world = self.world
        for i in range(count):
            world.ask(world.now + i * distance, "same" if same else (world.now, i))
        world.now += count * distance
        world.run(world.now)

    @rule(seconds=st.sampled_from([0.1, 1.0, 10.0, 100.0]))
    def wait(self, seconds):
        end = self.world.now + seconds
        self.world.run(end)
        self.world.now = end

    def alive(self):
        return [k for k, behaviour in self.world.behaviours.items() if behaviour in (NEAR, BEHAVIOURS["far"])]

    @rule()
    def all_is_known_after_some_time(self):
        """After 100 s of questions each upstream's circuit tells the truth, and the living ones answer at once."""
        world = self.world
        world.run()
        begin = world.now
        clients = [world.ask(begin + i / 10, (begin, i)) for i in range(1000)]
        world.run()
        world.now = max(world.now, begin + 100)
        if alive := self.alive():
            slowest = 0.123 if any(world.behaviours[key] is not NEAR for key in alive) else 0.002
            # Some are asked in vain before, of which each costs little.
            assert max(client.waited for client in clients[500:]) < slowest + 0.06
            # When all were dead, some seconds may pass until a probe finds the one that lives.
            assert all(client.outcome in alive for client in clients[500:])
        else:
            assert all(client.outcome in ("none", "bad") for client in clients)
            assert percentile([client.waited for client in clients[500:]], 0.95) < 0.01
        for key, behaviour in world.behaviours.items():
            probed = [at for at in world.sent[key] if at > begin + 50]
            if behaviour in (silent, refusing) and self.asked_in_vain(key, begin):
                assert 1 <= len(probed) <= 50
                assert world.state(key).closed_to("whatever")
            elif behaviour not in (silent, refusing):
                assert not world.state(key).closed_to("whatever")

    def asked_in_vain(self, key, since):
        return len([at for at in self.world.sent[key] if since <= at < since + 50]) > 4

    @invariant()
    def questions_end_in_time(self):
        for client in self.world.clients[self.checked :]:
            if client.outcome is None:
                assert self.world.now - getattr(client, "started", self.world.now) <= TIMEOUT + 0.01
                continue
            assert client.waited <= TIMEOUT + 0.01
            keys = [key for key, _ in client.asked]
            assert len(keys) == len(set(keys))
            assert all(after <= ALL_ASKED_SECONDS + 0.01 for _, after in client.asked)


TestWhatever = Whatever.TestCase
TestWhatever.settings = fewer(5, stateful_step_count=12)  # an example is up to 12 steps, some of 1,000 questions


@given(
    st.lists(st.sampled_from(sorted(BEHAVIOURS)), min_size=1, max_size=5),
    st.sampled_from(Policy),
    st.integers(0, 1000),
)
def test_one_living_upstream_among_others(others, policy, seed):
    keys = [f"u{i}" for i in range(len(others) + 1)]
    behaviours = {key: BEHAVIOURS[name] for key, name in zip(keys, [*others, "near"], strict=True)}
    world = World(make_upstreams(*keys, policy=policy), seed=seed, **behaviours)
    cold = world.ask(0.0, "first")
    warmed = [world.ask(2.0 + i / 100, i) for i in range(200)]
    for i in range(199):
        world.ask(i / 100, f"q{i}")
    world.run()
    assert cold.waited <= ALL_ASKED_SECONDS + 0.01
    assert cold.outcome not in ("none", "bad")
    assert max(client.waited for client in warmed) < 0.13
    assert all(client.outcome not in ("none", "bad") for client in warmed)
