"""What types the lines of pages, and compares."""

import pytest
from tests.integration import transcripts
from tests.integration.transcripts import Step


def test_steps_of_a_page() -> None:
    page = "```console\n$ a <<E\n> b\n> E\nsaid\n$ c\n```\n\n```sh\nd\n```\n"
    assert transcripts.steps(page) == [Step("a <<E\nb\nE\n", "said\n"), Step("c\n", "")]


@pytest.mark.parametrize(
    ("expected", "said", "fits"),
    [
        ("a\n", "a\n", True),
        ("a\n", "a\nb\n", False),
        ("a.c\n", "abc\n", False),
        ("a…c\n", "a b c\n", True),
        ("a…c\n", "a\nc\n", False),
        ("a\n…\n", "a\nb\nc\n", True),
        ("…\n", "", True),
        ("", "a\n", False),
    ],
)
def test_what_is_said_is_compared(expected: str, said: str, fits: bool) -> None:
    assert transcripts.is_said(expected, said) == fits


def test_what_is_typed_goes_to_one_shell() -> None:
    page = [Step("a=1\n", ""), Step("cat <<E\n$a\nE\n", "1\n"), Step("nobody-is-called-so\n", "")]
    first, second, third = transcripts.typed([], page, 20)
    assert (first, second) == ("", "1\n")
    assert third.endswith("command not found\n")
