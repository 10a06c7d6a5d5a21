from hypothesis import given
from hypothesis import strategies as st

from mesos_dns.mesos.silence import QUIET_SECONDS, SILENCE_SECONDS, Due, Silence


def ask(silence, now, heard, *, is_late=False):
    """Who is asked at `now`: "m" for the stream's master, "o" for the others."""
    due = silence.look(now, heard, is_late=is_late)
    return "m" * due.master + "o" * due.others


def test_nobody_is_asked_while_something_comes():
    silence = Silence()
    for second in range(100):
        assert silence.look(float(second), second - 4.9, is_late=False) == Due(
            False, False, second + QUIET_SECONDS - 4.9
        )


def test_a_master_that_answers_is_asked_again_and_nobody_else_is():
    silence = Silence()
    asked = []
    for tick in range(1, 300):
        now = tick / 10
        if found := ask(silence, now, 0.0):
            asked.append((now, found))
            silence.answered(now + 0.01)
    assert [each for _, each in asked] == ["m"] * len(asked)
    assert [now for now, _ in asked] == [5.0, 10.1, 15.2, 20.3, 25.4]


def test_the_others_are_asked_when_it_does_not_answer():
    silence = Silence()
    asked = [(now, found) for now in range(20) if (found := ask(silence, float(now), 0.0))]
    assert asked == [(5, "m"), (8, "o"), (10, "m"), (11, "o"), (14, "o"), (15, "m"), (17, "o")]


def test_a_late_answer_ends_it():
    """It was busy, not stopped."""
    silence = Silence()
    assert [ask(silence, float(now), 0.0) for now in range(5, 9)] == ["m", "", "", "o"]
    assert silence.is_unanswered(8.0, 0.0)
    silence.answered(8.5)
    assert not silence.is_unanswered(11.0, 0.0)
    assert [ask(silence, float(now), 0.0) for now in range(9, 14)] == [""] * 5
    # It falls silent once more: the time begins anew.
    assert [ask(silence, float(now), 0.0) for now in range(14, 18)] == ["m", "", "", "o"]


def test_an_event_ends_it():
    silence = Silence()
    assert [ask(silence, float(now), 0.0) for now in range(5, 9)] == ["m", "", "", "o"]
    assert not silence.is_unanswered(9.0, 8.5)
    assert ask(silence, 9.0, 8.5) == ""


def test_an_overdue_heartbeat_counts_whatever_the_master_answers():
    silence = Silence()
    asked = []
    for now in range(19, 29):
        found = ask(silence, float(now), 0.0, is_late=True)
        silence.answered(float(now))
        asked.append(found)
    assert asked == ["mo", "", "", "o", "", "", "o", "", "", "o"]


@given(
    st.lists(st.tuples(st.floats(0.01, 4.0), st.sampled_from(["", "heard", "answered"]), st.booleans()), max_size=60)
)
def test_its_rules(steps):
    """Each is asked at most so often; the others never sooner than a question and SILENCE_SECONDS after the last sign of life."""
    silence = Silence()
    now = heard = alive = 0.0
    asked = {"m": [], "o": []}
    for seconds, what, is_late in steps:
        now += seconds
        if what:
            alive = now
        if what == "heard":
            heard = now
        if what == "answered":
            silence.answered(now)
        due = silence.look(now, heard, is_late=is_late)
        assert due.again > now
        if due.master:
            assert now >= max([alive, *asked["m"][-1:]]) + QUIET_SECONDS
            asked["m"].append(now)
        if due.others:
            assert is_late or now >= alive + QUIET_SECONDS + SILENCE_SECONDS
            assert now >= max(asked["o"], default=-9.0) + SILENCE_SECONDS
            asked["o"].append(now)
        if due.others and not is_late:
            assert silence.is_unanswered(now, heard)
