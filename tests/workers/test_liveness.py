"""When a silent worker counts as lost."""

from mesos_dns.workers.liveness import (
    SILENT_TICKS,
    STARTING_TICKS,
    STARVED_TICKS,
    STOPPED_TICKS,
    TICK_SECONDS,
    Liveness,
    Process,
    Verdict,
)

ASLEEP = Process("S", 1.0)
WELL, SILENT, LOST = Verdict.WELL, Verdict.SILENT, Verdict.LOST


def heard_once():
    liveness = Liveness()
    liveness.hear()
    assert liveness.tick(ASLEEP) is WELL
    return liveness


def ticks_until_lost(liveness, process_at):
    """How many ticks it takes; `process_at(n)` is the process at the n-th."""
    for n in range(1, 1000):
        if liveness.tick(process_at(n)) is LOST:
            return n
    raise AssertionError("never lost")


def test_a_worker_that_reports_with_each_tick_is_well():
    liveness = heard_once()
    for _ in range(100):
        liveness.hear()
        assert liveness.tick(ASLEEP) is WELL
    assert repr(liveness) == "Liveness(silent=0)"


def test_one_missed_report_is_nothing_and_two_are_silence():
    liveness = heard_once()
    assert [liveness.tick(ASLEEP) for _ in range(SILENT_TICKS)] == [WELL, SILENT, SILENT, LOST]
    assert liveness.seconds == SILENT_TICKS * TICK_SECONDS


def test_a_word_ends_the_silence():
    liveness = heard_once()
    liveness.tick(ASLEEP)
    liveness.tick(ASLEEP)
    liveness.hear()
    assert liveness.silent == 0
    assert ticks_until_lost(liveness, lambda _: ASLEEP) == SILENT_TICKS + 1, (
        "the tick in which it was heard is none of them"
    )


def test_a_stopped_process_is_lost_sooner():
    assert ticks_until_lost(heard_once(), lambda _: Process("T", 1.0)) == STOPPED_TICKS


def test_one_that_waits_for_a_processor_gets_time_and_one_that_spins_does_not():
    assert ticks_until_lost(heard_once(), lambda n: Process("R", 1.0 + 0.01 * n)) == STARVED_TICKS
    assert ticks_until_lost(heard_once(), lambda n: Process("R", 1.0 + TICK_SECONDS * n)) == SILENT_TICKS


def test_one_that_starts_gets_time_and_is_no_trouble_meanwhile():
    liveness = Liveness()
    assert {liveness.tick(ASLEEP) for _ in range(STARTING_TICKS - 1)} == {WELL}
    assert liveness.tick(ASLEEP) is LOST


def test_where_processes_cannot_be_looked_at_silence_alone_counts():
    liveness = Liveness()
    liveness.hear()
    assert ticks_until_lost(liveness, lambda _: None) == SILENT_TICKS + 1
