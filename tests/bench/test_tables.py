import math

import pytest
from bench.tables import Figure, cell, figure_from_json, fill, grid, markdown, number, places, plain

FIGURES = [
    Figure("cpu", "A, UDP", "Mesos-DNS", (8.0, 7.5, 9.25)),
    Figure("cpu", "A, UDP", "NSD", (10.8,)),
    Figure("cpu", "A, TCP", "Mesos-DNS", (20.0,)),
]


@pytest.mark.parametrize(
    ("value", "text"),
    [(7.954, "7.95"), (10.84, "10.8"), (560.4, "560"), (79_123.4, "79,123"), (0.0, "0"), (math.inf, "none")],
)
def test_numbers_keep_three_digits(value, text):
    assert number(value) == text


def test_a_cell_shows_how_far_the_runs_differ():
    assert cell([8.0, 7.5, 9.25]) == "8.00 (7.50-9.25)"
    assert cell([10.8, 10.8]) == "10.8"


def test_what_was_not_measured_is_a_dash():
    assert grid(FIGURES, "workload") == [
        ["workload", "Mesos-DNS", "NSD"],
        ["A, UDP", "8.00 (7.50-9.25)", "10.8"],
        ["A, TCP", "20.0", "-"],
    ]


def test_tables_align_for_a_terminal():
    assert plain([["workload", "NSD"], ["A", "10.8"]]) == "workload  NSD\nA         10.8"


def test_tables_are_markdown_in_documents():
    assert markdown([["workload", "NSD"], ["A", "10.8"]]) == "| workload | NSD |\n|---|---|\n| A | 10.8 |"


def test_figures_survive_json():
    data = FIGURES[0].as_json()
    assert data["median"] == 8.0
    assert figure_from_json(data) == FIGURES[0]


DOCUMENT = "# Speed\n<!-- bench:cpu -->\nold\n<!-- /bench:cpu -->\nend\n"


def test_a_place_in_a_document_is_filled_and_can_be_filled_again():
    once = fill(DOCUMENT, "cpu", "new")
    assert once == "# Speed\n<!-- bench:cpu -->\nnew\n<!-- /bench:cpu -->\nend\n"
    assert fill(once, "cpu", "newer").count("newer") == 1


def test_a_document_lists_its_places():
    assert places(DOCUMENT) == ["cpu"]


def test_a_missing_place_is_an_error():
    with pytest.raises(ValueError, match="expected <!-- bench:memory -->"):
        fill(DOCUMENT, "memory", "x")
