from pathlib import Path

from bench.bed import Bed, Settings
from bench.servers import OURS, Program, UnavailableError
from bench.spread import tail

BEFORE = Program("before", Path("/elsewhere"))


def bed(**differing):
    settings = {"tasks": (10,), "large": (10,), "runs": 2, "seconds": 1.0, "quick": True, "only": frozenset()}
    return Bed(Settings(**settings | differing), Path("/nowhere"), {0}, {0})


def figures(found):
    return {(figure.row, figure.column): figure.values for figure in found.figures}


def test_a_row_has_its_runs_and_their_ratios():
    found = bed()
    found.compare("cpu", "A", {"Mesos-DNS": [9.0, 8.0], "NSD": [10.0, 10.0]}, "NSD")
    assert figures(found) == {
        ("A", "Mesos-DNS"): (9.0, 8.0),
        ("A", "NSD"): (10.0, 10.0),
        ("A", "ours/NSD"): (0.9, 0.8),
    }


def test_tails_have_ratios_of_delays_and_not_of_losses():
    found = bed()
    found.compare_tails("latency", {"Mesos-DNS": [tail([2.0], 0)], "NSD": [tail([1.0], 1)]}, "in quiet")
    rows = figures(found)
    assert rows["p99, in quiet", "ours/NSD"] == (2.0,)
    assert rows["lost of a million, in quiet", "NSD"] == (500_000.0,)
    assert ("lost of a million, in quiet", "ours/NSD") not in rows


def test_programs_take_turns():
    asked = []
    found = bed(programs=(OURS, BEFORE)).turns("what", lambda _, tasks, program: asked.append(program) or tasks, 10)
    assert asked == [OURS, BEFORE, BEFORE, OURS]
    assert found == {OURS: [10, 10], BEFORE: [10, 10]}


def test_a_program_that_fails_is_left_out_with_its_reason():
    def action(_bed, _tasks, program):
        if program == BEFORE:
            raise UnavailableError("it does not start")
        return 1

    under_test = bed(programs=(OURS, BEFORE))
    assert under_test.turns("what", action, 10) == {OURS: [1, 1]}
    assert under_test.skipped == ["what, before: it does not start"]
