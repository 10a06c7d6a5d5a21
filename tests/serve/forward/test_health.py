"""What is known of one upstream: its status as an operator sees it, and how far apart its probes are."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesos_dns.serve.forward import health
from mesos_dns.serve.forward.health import Status, UpstreamState


def never():
    return 0.0


def show(state, now):
    status = state.status(now)
    return status.state, status.since, status.failures, status.error


def test_a_life():
    state = UpstreamState(("192.0.2.1", 53))
    assert repr(state) == "UpstreamState(('192.0.2.1', 53), suspect=None, opened=None, silent=0)"
    assert show(state, 0.0) == ("ok", None, 0, None)
    state.answered(0.01, 1.0, edns=True)
    assert show(state, 1.0) == ("ok", 1.0, 0, None)
    state.answered(0.01, 2.0, edns=True)
    assert show(state, 2.0) == ("ok", 1.0, 0, None)
    state.bad(3.0, "SERVFAIL")
    assert show(state, 3.0) == ("ok", 3.0, 1, "SERVFAIL")
    state.bad(3.5, "SERVFAIL")
    state.bad(4.0, "REFUSED")
    assert show(state, 4.0) == ("failing", 3.0, 3, "REFUSED")
    state.refused(5.0, "Connection refused", never)
    assert show(state, 5.0) == ("open", 5.0, 4, "Connection refused")
    assert state.answered(0.01, 5.5, edns=True)
    assert show(state, 5.5) == ("ok", 5.5, 0, "Connection refused")
    assert state.status(6.0)[5:] == (0, 3, 4, True, 0, None)


def test_silence_opens_the_circuit_after_a_second():
    state = UpstreamState("a")
    for asked, opened in [(0.0, False), (0.3, False), (0.55, False), (0.7, True)]:
        state.overdue(asked)
        state.silent(asked, asked, asked + 0.4, never, edns=True)
        assert (asked, state.closed_to("q")) == (asked, opened)
    assert show(state, 1.1) == ("open", 1.1, 4, "no answer within 0.4 s")


def test_silence_to_what_was_asked_before_the_last_reply_is_none_of_all():
    state = UpstreamState("a")
    state.answered(0.01, 2.0, edns=True)
    for asked in (0.0, 0.5, 1.0):
        assert not state.overdue(asked)
        state.silent(asked, asked, asked + 3.0, never, edns=True)
    assert state.suspect is None
    assert not state.closed_to(0.0)
    assert show(state, 4.0) == ("failing", 3.0, 3, "no answer within 0.4 s")


@pytest.mark.parametrize("reply", ["answered", "bad"])
def test_any_reply_closes_the_circuit(reply):
    state = UpstreamState("a")
    state.refused(0.0, "no", never)
    assert state.closed_to("q")
    assert state.answered(0.01, 1.0, edns=True) if reply == "answered" else state.bad(1.0, "SERVFAIL")
    assert not state.closed_to("q")


def probes(state, until, chance):
    """The moments at which probes may go out."""
    found, now = [], 0.0
    while now < until:
        if state.may_probe(now):
            found.append(now)
            state.probe(now, chance)
        now += 0.05
    return found


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("silence", [1, 3, 7, 15, 31, 61, 91]),
        ("refusal", [0.25, 0.75, 1.75, 3.75, 7.75, 15.75, 31.75, 61.75, 91.75]),
    ],
)
def test_probes_double_their_distance(reason, expected):
    state = UpstreamState("a")
    if reason == "silence":
        state.overdue(-1.0)
        state.silent(-1.0, "q", 0.0, never, edns=True)
    else:
        state.refused(0.0, "no", never)
    assert probes(state, 100, never) == pytest.approx(expected, abs=0.4)


@given(st.floats(0, 1, exclude_max=True))
def test_chance_keeps_many_workers_from_probing_together(chance):
    state = UpstreamState("a")
    state.refused(0.0, "no", lambda: chance)
    moments = probes(state, 200, lambda: chance)
    distances = [after - before for before, after in pairwise(moments)]
    assert moments[0] <= 0.25 * 1.25 + 0.06
    assert max(distances) <= health.MAX_PROBE_SECONDS * 1.25 + 0.06
    assert len(moments) >= 8


def test_a_probe_may_be_hastened_but_not_beyond_one_a_second():
    state = UpstreamState("a")
    state.hasten(0.0)  # nothing to hasten
    state.refused(0.0, "no", never)
    for _ in range(6):
        state.probe(20.0, never)
    assert not state.may_probe(27.0)
    state.hasten(27.0)
    assert state.may_probe(27.0)
    state.probe(27.0, never)
    state.hasten(27.1)
    assert not state.may_probe(27.9)
    assert state.may_probe(28.0)


@given(st.lists(st.tuples(st.floats(0, 10), st.floats(0.001, 30)), min_size=1))
def test_delays_are_bounded_whatever_the_round_trip_times(samples):
    state = UpstreamState("a")
    now = 0.0
    for rtt, pause in samples:
        now += pause
        state.answered(rtt, now, edns=True)
        assert health.MIN_DELAY_SECONDS <= state.delay <= health.MAX_DELAY_SECONDS
        assert health.MIN_SILENCE_SECONDS <= state.silence <= health.MAX_SILENCE_SECONDS
        assert min(rtt for rtt, _ in samples) - 1e-9 <= state.srtt <= max(rtt for rtt, _ in samples) + 1e-9


def test_an_old_round_trip_time_is_forgotten():
    state = UpstreamState("a")
    state.answered(0.4, 0.0, edns=True)
    state.answered(0.4, 9.0, edns=True)
    state.answered(0.002, 20.0, edns=True)
    assert state.srtt == 0.002


def test_memory_is_bounded():
    state = UpstreamState("a")
    for i in range(1000):
        state.overdue(float(i))
        state.silent(float(i), i, i + 0.4, never, edns=True)
    assert len(state._silent) == health.MANY_SILENT


def test_tcp_is_a_matter_of_its_own():
    state = UpstreamState("a")
    for _ in range(3):
        assert state.tcp.used(1.0)
        state.tcp.failed(1.0, "Connection refused")
    assert not state.tcp.used(1.0)
    assert not state.tcp.used(10.9)
    assert state.tcp.used(11.0)
    assert state.status(1.0) == Status("ok", None, None, 0, None, 0, 0, 0, True, 3, "Connection refused")
    state.tcp.answered()
    assert state.tcp.used(1.0)
    assert repr(state.tcp) == "Tcp(failures=0, error='Connection refused')"


# --- silence between replies -------------------------------------------------------------------


def silence(state, question, asked, now):
    state.overdue(asked)
    state.silent(asked, question, now, never, edns=True)


def test_a_bad_reply_begins_the_run_of_silence_anew():
    state = UpstreamState("a")
    silence(state, "x", 0.0, 0.4)
    state.bad(0.9, "SERVFAIL")
    silence(state, "y", 0.95, 1.35)
    assert not state.closed_to("y")
    silence(state, "y", 1.6, 2.0)
    assert state.closed_to("y")


def test_silence_to_a_question_from_before_a_bad_reply_does_not_count():
    state = UpstreamState("a")
    silence(state, "x", 0.0, 0.4)
    state.bad(0.9, "SERVFAIL")
    silence(state, "y", 0.5, 0.95)
    state.judge(3.0, never)
    assert not state.closed_to("y")


def test_the_run_of_silence_does_not_reach_back_behind_a_bad_reply():
    state = UpstreamState("a")
    state.bad(1.0, "SERVFAIL")
    assert state.overdue(0.0)
    silence(state, "y", 1.1, 1.5)
    assert not state.closed_to("y")


def test_the_run_of_silence_begins_with_the_first_question_of_it():
    state = UpstreamState("a")
    assert state.overdue(0.5)
    silence(state, "x", 0.0, 1.0)
    assert state.closed_to("x")


@pytest.mark.parametrize("before", ["silence", "refusal"])
def test_what_was_before_an_answer_is_forgotten(before):
    state = UpstreamState("a")
    if before == "refusal":
        state.refused(0.0, "no", never)
    else:
        for i in range(3):
            silence(state, i, 0.0, 1.0 + i)
    assert state.closed_to("other")
    state.answered(0.01, 5.0, edns=True)
    silence(state, "x", 6.0, 7.0)
    assert state.closed_to("x")
    assert not state.closed_to("other")


def test_silence_before_an_answer_with_edns_says_nothing_about_edns():
    state = UpstreamState("a")
    state.answered(0.01, 1.0, edns=True)
    silence(state, "x", 0.5, 1.4)
    assert not state.edns.doubted
    state.answered(0.01, 2.0, edns=False)
    silence(state, "x", 1.5, 2.4)
    assert not state.edns.doubted, "it took EDNS a moment ago"
    later = 3.0 + health.EDNS_PROVEN_SECONDS
    silence(state, "x", later, later + 0.4)
    assert state.edns.doubted
