"""Whom to ask next and how long to wait: transcripts of single questions, policies, EDNS."""

import pytest
from tests.serve.forward.simulated import (
    TIMEOUT,
    World,
    answering,
    make_upstreams,
    replying,
    silent,
    until,
)

from mesos_dns.serve.forward.upstreams import ALL_ASKED_SECONDS, Policy, by_zone

NEAR = answering(0.001)
SERVFAIL = replying("SERVFAIL", 0.001)


def never():
    """No jitter."""
    return 0.0


def replay(upstreams, transcript, question="q"):
    """One question: rows of time, event, and for "next" whom it gives and how long to wait."""
    states = {state.key: state for state in upstreams.states}
    attempts = upstreams.plan(transcript[0][0], never, question)
    for now, event, *expected in transcript:
        what, *args = event.split(maxsplit=2)
        if what == "next":
            state = attempts.next(now)
            found = (state and state.key, round(attempts.wait, 3))
            assert (now, *found) == (now, *expected)
        elif what in ("linger", "close"):
            found = getattr(attempts, what)(now)
            assert [now, round(found or 0, 3)] == [now, *(expected or [0])]
        else:
            getattr(attempts, what)(states[args[0]], now, *args[1:])
    return attempts


def warm(upstreams, *keys, rtt=0.001, now=0.0):
    for state in upstreams.states:
        if state.key in keys:
            state.answered(rtt, now, edns=True)
    return upstreams


# --- one question ------------------------------------------------------------------------------


def test_the_first_one_answers():
    replay(
        make_upstreams("a", "b"),
        [
            (0.0, "next", "a", 0.25),
            (0.003, "answered a"),
            (0.003, "linger", 0),
            (0.003, "close"),
        ],
    )


def test_how_long_the_first_one_has_depends_on_how_fast_it_is():
    upstreams = make_upstreams("a", "b")
    waits = []
    for now, rtt in enumerate([0.001, 0.030, 0.030, 0.030, 0.400, 0.400]):
        replay(upstreams, [(now, "next", "a", round(upstreams.states[0].delay, 3)), (now + rtt, "answered a")])
        waits.append(round(upstreams.states[0].delay, 3))
    # At least 50 ms, at most 250; in between SRTT + 4 * RTTVAR.
    assert waits == [0.05, 0.05, 0.056, 0.069, 0.25, 0.25]


def test_the_next_one_is_asked_beside_a_silent_one_and_a_late_answer_counts():
    upstreams = make_upstreams("a", "b")
    replay(
        upstreams,
        [
            (0.0, "next", "a", 0.25),
            (0.25, "next", "b", 0.25),
            (0.5, "next", None, 0.15),  # until the silence of b is worth a note
            (0.65, "next", None, 4.35),  # until the timeout
            (2.0, "answered a"),
            (2.0, "close"),
        ],
    )
    assert upstreams.states[0].srtt == 2.0


def test_a_bad_reply_has_another_asked_at_once_and_is_the_last_resort():
    replay(
        make_upstreams("a", "b"),
        [
            (0.0, "next", "a", 0.25),
            (0.01, "bad a SERVFAIL"),
            (0.01, "next", "b", 0.25),
            (0.02, "bad b REFUSED"),
            (0.02, "next", None, 0.0),
            (0.02, "close"),
        ],
    )


def test_a_bad_reply_does_not_end_the_waiting_for_one_that_lives():
    replay(
        make_upstreams("a", "b"),
        [
            (0.0, "next", "a", 0.25),
            (0.25, "next", "b", 0.25),
            (0.26, "bad b REFUSED"),
            (0.26, "next", None, 0.14),
            (0.4, "next", None, 4.6),
            (1.4, "answered a"),
        ],
    )


def test_a_refusal_has_another_asked_at_once():
    upstreams = make_upstreams("a", "b")
    replay(
        upstreams,
        [
            (0.0, "next", "a", 0.25),
            (0.0, "refused a Connection refused"),
            (0.0, "next", "b", 0.25),
            (0.001, "answered b"),
            (0.001, "close"),
        ],
    )
    assert upstreams.states[0].status(0.1)[:5] == ("open", 0.0, None, 1, "Connection refused")
    # The next question does not try it, until a probe is due, soon: beside the one that lives.
    replay(upstreams, [(0.1, "next", "b", 0.05), (0.101, "answered b")])
    replay(
        upstreams,
        [
            (0.25, "next", "a", 0.0),
            (0.25, "next", "b", 0.05),
            (0.251, "answered b"),
            (0.251, "linger", 0.499),
            (0.4, "answered a"),
            (0.75, "close"),
        ],
    )
    assert upstreams.states[0].status(0.75).state == "ok"


def test_all_refuse_and_the_client_has_its_failure_at_once():
    upstreams = make_upstreams("a", "b")
    replay(
        upstreams,
        [
            (0.0, "next", "a", 0.25),
            (0.0, "refused a no"),
            (0.0, "next", "b", 0.25),
            (0.0, "refused b no"),
            (0.0, "next", None, 0.0),
        ],
    )
    replay(upstreams, [(0.1, "next", None, 0.0)])


def test_an_error_of_this_machine_says_nothing_about_the_upstream():
    upstreams = make_upstreams("a", "b")
    replay(upstreams, [(0.0, "next", "a", 0.25), (0.0, "dropped a"), (0.0, "next", "b", 0.25)])
    assert upstreams.states[0].status(0.0)[:5] == ("ok", None, None, 0, None)
    assert not upstreams.states[0].closed_to("q")


def test_a_question_ends_with_its_timeout():
    replay(
        make_upstreams("a", timeout=0.3),
        [(0.0, "next", "a", 0.25), (0.25, "next", None, 0.05), (0.3, "next", None, 0.0)],
    )


def test_without_upstreams_it_is_over_at_once():
    replay(make_upstreams(), [(0.0, "next", None, 0.0)])


def test_what_was_not_asked_cannot_answer():
    with pytest.raises(LookupError, match="b was not asked"):
        replay(make_upstreams("a", "b"), [(0.0, "next", "a", 0.25), (0.1, "answered b")])


def test_zones_share_what_they_know():
    zones = by_zone({b"": ["a", "b"], b"\x03org\x00": ["b", "a", "b"]}, Policy.SEQUENTIAL, TIMEOUT)
    assert [state.key for state in zones[b"\x03org\x00"].states] == ["b", "a"]
    assert set(map(id, zones[b""].states)) == set(map(id, zones[b"\x03org\x00"].states))
    assert repr(zones[b""]).startswith("Upstreams([UpstreamState('a'")
    assert repr(zones[b""].plan(0.0, never, "q")) == "Attempts(asked=[], wait=0)"


# --- who is dead and who is not ----------------------------------------------------------------


def test_from_cold_every_one_is_asked_in_time_however_many_there_are():
    for number in range(2, 9):
        keys = [f"u{i}" for i in range(number)]
        world = World(make_upstreams(*keys), **dict.fromkeys(keys[:-1], silent), **{keys[-1]: NEAR})
        client = world.ask(0.0, "q")
        world.run()
        assert client.outcome == keys[-1]
        assert client.waited <= ALL_ASKED_SECONDS + 0.002


def test_a_suspect_has_little_time_and_shows_that_it_lives():
    upstreams = warm(make_upstreams("a", "b"), "a", "b")
    replay(
        upstreams,
        [(1.0, "next", "a", 0.05), (1.05, "next", "b", 0.05), (1.051, "answered b"), (1.051, "linger", 0.349)],
    )
    assert upstreams.states[0].status(1.1).state == "slow"
    replay(
        upstreams,
        [
            (1.1, "next", "a", 0.02),
            (1.12, "next", "b", 0.05),
            (1.121, "answered b"),
            (1.121, "linger", 0),  # one question listens already
            (1.121, "close"),
        ],
    )
    replay(upstreams, [(1.2, "next", "a", 0.02), (1.21, "answered a")])
    assert upstreams.states[0].status(1.3).state == "ok"
    replay(upstreams, [(1.3, "next", "a", 0.05)])


@pytest.mark.parametrize("questions", ["different", "one"])
def test_a_silent_one_is_skipped_after_a_second(questions):
    world = World(make_upstreams("a", "b"), a=silent, b=NEAR)
    for i in range(200):
        world.ask(i / 100, i if questions == "different" else "q")
    world.run()
    assert {client.outcome for client in world.clients} == {"b"}
    assert max(client.waited for client in world.clients if client.started > 1.01) < 0.003
    if questions == "different":
        assert world.status("a")[:2] == ("open", pytest.approx(1.0, abs=0.02))
    else:
        # For this question it is as good as dead; another one would ask it.
        assert world.status("a").state == "failing"
        assert not world.state("a").closed_to("other")


def test_silence_to_one_name_closes_nobody_to_the_others():
    def behaviour(question, _now):
        return None if question == "broken" else ("answered", 0.001)

    world = World(make_upstreams("only"), only=behaviour)
    for i in range(600):
        world.ask(i / 10, "broken")
    others = [world.ask(7.0 * i + 3.33, f"name {i}") for i in range(8)]
    world.run()
    assert {(client.outcome, round(client.waited, 3)) for client in others} == {("only", 0.001)}
    # The name itself is not waited for by everybody.
    broken = [client for client in world.clients if client.question == "broken"]
    assert sum(client.waited > 0 for client in broken) < 300


@pytest.mark.parametrize("reply", [None, ("bad", 0.002, "SERVFAIL")])
def test_a_tenth_of_the_names_fails_and_nobody_is_dead(reply):
    def behaviour(question, _now):
        return reply if question % 10 == 0 else ("answered", 0.001)

    world = World(make_upstreams("a", "b"), a=behaviour, b=NEAR)
    for i in range(5000):
        world.ask(i / 100, i)
    while world.now < 49:
        world.run(world.now + 0.5)
        assert world.status("a").state in ("ok", "slow")
    world.run()
    assert {client.outcome for client in world.clients} == {"a", "b"}
    assert sum(client.outcome == "a" for client in world.clients) > 4400


def test_an_upstream_that_refuses_every_question_costs_one_round_trip():
    world = World(make_upstreams("a", "b"), a=replying("REFUSED", 0.001), b=NEAR)
    for i in range(1000):
        world.ask(i / 100, i)
    world.run()
    assert {(client.outcome, round(client.waited, 3)) for client in world.clients} == {("b", 0.002)}
    assert world.status("a").state == "failing"
    assert world.status("a").error == "REFUSED"


def test_a_slow_only_one_is_waited_for():
    world = World(make_upstreams("only"), only=answering(0.9))
    for i in range(1000):
        world.ask(i / 100, i)
    world.run()
    assert {(client.outcome, round(client.waited, 3)) for client in world.clients} == {("only", 0.9)}
    assert world.status("only").state == "slow"


def test_one_that_became_slow_is_found_out_and_not_called_dead():
    world = World(make_upstreams("a", "b"), a=until(5.0, NEAR, answering(0.15)), b=NEAR)
    for i in range(2000):
        world.ask(i / 100, i)
    world.run()
    assert max(client.waited for client in world.clients) < 0.252
    assert world.status("a").state in ("ok", "slow")
    assert world.status("a").srtt > 0.1


# --- policies ----------------------------------------------------------------------------------


def test_the_fastest_is_asked_and_a_faster_one_is_found():
    world = World(
        make_upstreams("a", "b", "c", policy=Policy.FASTEST),
        a=answering(0.030),
        b=answering(0.010),
        c=until(30.0, answering(0.045), answering(0.002)),
    )
    for i in range(6000):
        world.ask(i / 100, i)
    world.run()
    assert {client.outcome for client in world.clients if 1 < client.started < 30} == {"b"}
    assert {client.outcome for client in world.clients if client.started > 41} == {"c"}
    # To compare costs little, and no client waits for it.
    assert len(world.sent["a"]) < 12
    assert max(client.waited for client in world.clients if client.started > 1) < 0.011


def test_one_that_is_asked_for_comparison_may_save_the_question():
    world = World(make_upstreams("a", "b", policy=Policy.FASTEST), a=until(5.0, NEAR, SERVFAIL), b=answering(0.12))
    world.ask(1.0, "q")
    client = world.ask(20.0, "q")
    world.run()
    assert client.asked == [("b", 0.0), ("a", 0.0)]
    assert (client.outcome, round(client.waited, 3)) == ("b", 0.12)


def test_who_has_a_bad_reply_does_not_wait_for_a_dead_one():
    world = World(make_upstreams("a", "b"), a=silent, b=SERVFAIL)
    for i in range(120):
        world.ask(i / 100, i)
    client = world.ask(10.0, "q")
    world.run()
    assert [key for key, _ in client.asked] == ["a", "b"]
    assert (client.outcome, round(client.waited, 3)) == ("bad", 0.001)


def test_a_random_one_is_asked():
    world = World(make_upstreams("a", "b", "c", policy=Policy.RANDOM), a=NEAR, b=NEAR, c=NEAR)
    for i in range(3000):
        world.ask(i / 100, i)
    world.run()
    assert all(900 < len(world.sent[key]) < 1100 for key in "abc")


# --- EDNS --------------------------------------------------------------------------------------


def test_edns_is_rejected_and_plain_dns_answered():
    upstreams = make_upstreams("a")
    (state,) = upstreams.states
    attempts = upstreams.plan(0.0, never, "q")
    assert (attempts.next(0.0), attempts.edns) == (state, True)
    assert attempts.without_edns(state, 0.1)
    attempts.answered(state, 0.101)
    assert state.srtt == pytest.approx(0.001)
    for now, edns in [(1.0, False), (900.0, False), (900.2, True)]:
        attempts = upstreams.plan(now, never, "q")
        assert (attempts.next(now), attempts.edns) == (state, edns)
        attempts.answered(state, now)
    assert state.status(900.0).edns is False


def test_a_formerr_that_comes_without_edns_too_is_about_the_question():
    upstreams = make_upstreams("a")
    (state,) = upstreams.states
    attempts = upstreams.plan(0.0, never, "q")
    attempts.next(0.0)
    assert attempts.without_edns(state, 0.001)
    assert not attempts.without_edns(state, 0.002)
    attempts.bad(state, 0.002, "FORMERR")
    assert state.status(1.0).edns is True


def test_a_client_without_edns_has_none_sent():
    upstreams = make_upstreams("a")
    attempts = upstreams.plan(0.0, never, "q", edns=False)
    attempts.next(0.0)
    assert attempts.edns is False
    assert not attempts.without_edns(upstreams.states[0], 0.001)


def outcome_with(upstreams, now, answers, question):
    """One question to a single upstream; whether it was asked with EDNS."""
    (state,) = upstreams.states
    attempts = upstreams.plan(now, never, question)
    assert attempts.next(now) is state
    if answers(attempts.edns):
        attempts.answered(state, now + 0.001)
    attempts.next(now + 0.5)
    attempts.close(now + 0.5)
    return attempts.edns


def test_an_upstream_that_drops_edns_is_asked_without_it():
    upstreams = make_upstreams("a")
    used = [outcome_with(upstreams, i, lambda edns: not edns, i) for i in range(60)]
    # Silence; a trial without EDNS that is answered; once more with it to be sure.
    assert used == [True, False, True] + [False] * 57
    later = [outcome_with(upstreams, 100 + i, lambda edns: not edns, i) for i in range(40)]
    assert sum(later) <= 1


def test_an_outage_is_not_taken_for_trouble_with_edns():
    upstreams = make_upstreams("a")
    used = [outcome_with(upstreams, 40 * i, lambda _, i=i: i > 4, i) for i in range(20)]
    assert used[:5] == [True, False, True, False, True]
    assert used[5:] == [False] + [True] * 14
