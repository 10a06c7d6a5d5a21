"""What comes from outside is shown in one line, whatever is in it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesos_dns.quoting import MAX_QUOTED, escaped, quoted


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", "''"),
        ("10.0.0.1:5050", "'10.0.0.1:5050'"),
        ("日本", "'日本'"),
        ("it's", r"'it\'s'"),
        ("a\\b", r"'a\\b'"),
        ("two\nlines\t\x1b[31m", r"'two\nlines\t\x1b[31m'"),
        ("\u202egnp.exe", r"'\u202egnp.exe'"),
        ("\ud800", r"'\ud800'"),
        ("x" * 60, f"'{'x' * 60}'"),
        ("x" * 61, f"'{'x' * 60}'…"),
    ],
)
def test_quoting(text, shown):
    assert quoted(text) == shown


def test_another_limit():
    assert quoted("abcdef", 3) == "'abc'…"


@given(st.text())
def test_any_text_becomes_one_printable_line_that_is_not_too_long(text):
    shown = quoted(text)
    assert shown.isprintable()
    assert len(shown) <= 10 * MAX_QUOTED + 3
    assert escaped(text).encode().decode("utf-8").isprintable()


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=MAX_QUOTED))
def test_nothing_is_lost(text):
    inner = quoted(text)[1:-1]
    assert inner.encode("latin-1", "backslashreplace").decode("unicode_escape") == text
