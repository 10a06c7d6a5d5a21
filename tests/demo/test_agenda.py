import pytest

from mesos_dns.demo.agenda import Agenda, Event


def test_actions_run_in_the_order_of_time_then_of_noting():
    agenda, ran = Agenda(100.0), []
    agenda.after(2.0, lambda: ran.append(("late", agenda.now)))
    agenda.after(1.0, lambda: ran.append(("first", agenda.now)))
    agenda.after(1.0, lambda: ran.append(("second", agenda.now)))

    agenda.run_until(101.5)

    assert ran == [("first", 101.0), ("second", 101.0)]
    assert agenda.now == 101.5


def test_an_action_can_note_another_that_is_due_in_the_same_run():
    agenda, ran = Agenda(0.0), []
    agenda.after(1.0, lambda: agenda.after(1.0, lambda: ran.append(agenda.now)))

    agenda.run_until(5.0)

    assert ran == [2.0]


def test_time_never_runs_backwards():
    agenda = Agenda(10.0)
    agenda.run_until(5.0)

    assert agenda.now == 10.0
    with pytest.raises(ValueError, match="past"):
        agenda.after(-1.0, lambda: None)


def test_events_are_handed_over_once():
    agenda = Agenda(3.0)
    agenda.tell("leader", "died")

    assert agenda.take_events() == [Event(3.0, "leader", "died")]
    assert agenda.take_events() == []
