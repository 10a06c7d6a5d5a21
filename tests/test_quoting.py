"""What comes from outside is shown in one line, whatever is in it."""

import ast
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import mesos_dns
from mesos_dns.quoting import MAX_QUOTED, escaped, quoted

ROOT = Path(mesos_dns.__file__).parent
#: Where Python's own spelling of a value stands in a message, and why.
OWN_SPELLING: dict[str, str] = {}


def own_spellings():
    """Each text of the program, outside of `__repr__` and of the demo, that shows a value as Python spells it."""
    for path in sorted(ROOT.rglob("*.py")):
        if "demo" in path.relative_to(ROOT).parts:
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        of_repr = {
            id(node)
            for function in ast.walk(tree)
            if isinstance(function, ast.FunctionDef) and function.name == "__repr__"
            for node in ast.walk(function)
        }
        docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            if id(node) in of_repr or id(node) in docstrings:
                continue
            place = path.relative_to(ROOT).as_posix()
            if isinstance(node, ast.FormattedValue) and node.conversion == ord("r"):
                yield f"{place}: {ast.unparse(node.value)}"
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in {"repr", "ascii"}:
                yield f"{place}: {ast.unparse(node)}"
            elif (
                isinstance(node, ast.Constant) and isinstance(node.value, str) and re.search(r"%[.\d]*r\b", node.value)
            ):
                yield f"{place}: {node.value}"


def test_messages_are_for_people_and_not_for_python():
    """`quoted` is the one way to show a text from outside; None, objects and tuples are no words."""
    assert sorted(own_spellings()) == sorted(OWN_SPELLING)


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
