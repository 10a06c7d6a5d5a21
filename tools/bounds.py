"""Makes docs/bounds.md: every bound of the program with its value, its reason and where it stands, read from the source.

A bound is a constant in capitals with a number (or several) behind it and a comment that begins with `#:` in front of it.

    python -m tools.bounds            prints the page
    python -m tools.bounds --write    writes docs/bounds.md
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "mesos_dns"
PAGE = ROOT / "docs" / "bounds.md"
#: Parts whose constants are numbers of protocols, or of a simulation, and no bounds.
NOT_BOUNDS = ("dns/", "demo/")
#: What a bound's name has in it.
_WORDS = ("MAX", "SECONDS", "OCTETS", "BACKLOG", "BUFFER", "LARGEST", "LONGEST", "MOST", "MANY", "TICKS", "PER", "TIMES", "TRIES", "ROOM", "FEW", "BATCH", "SLOT", "FILES", "CONNECTIONS", "NICENESS", "PARTS", "THREADS", "GRACE", "OBJECTS", "ROUNDS", "SLICE", "TURN")  # fmt: skip


class Bound(NamedTuple):
    """One row of the page."""

    module: str
    name: str
    value: str
    reason: str


def bounds() -> Iterator[Bound]:
    """All bounds, by file and line."""
    for path in sorted(SOURCE.rglob("*.py")):
        module = path.relative_to(SOURCE).as_posix()
        if not module.startswith(NOT_BOUNDS):
            yield from _of(path.read_text(encoding="utf-8"), module)


def _of(text: str, module: str) -> Iterator[Bound]:
    lines = text.splitlines()
    for node in ast.parse(text).body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
            name, value = node.target.id, node.value
        elif isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            name, value = node.targets[0].id, node.value
        else:
            continue
        reason = _comment_above(lines, node.lineno - 1)
        words = name.strip("_").split("_")
        if reason and name.isupper() and any(word in words for word in _WORDS) and _is_number(value):
            yield Bound(module, name.strip("_"), _shown(value, text), reason)


def _comment_above(lines: list[str], line: int) -> str:
    found: list[str] = []
    while line > 0 and lines[line - 1].startswith("#:"):
        line -= 1
        found.insert(0, lines[line].removeprefix("#:").strip())
    return " ".join(found)


def _is_number(node: ast.expr) -> bool:
    """Whether the expression has numbers in it, and neither texts nor containers of anything else."""
    parts = [part for part in ast.walk(node) if isinstance(part, ast.Constant)]
    return all(isinstance(part.value, int | float) for part in parts) and not any(
        isinstance(part, ast.Dict | ast.Set | ast.List | ast.Lambda) for part in ast.walk(node)
    )


def _shown(node: ast.expr, text: str) -> str:
    code = ast.get_source_segment(text, node) or ""
    try:
        value = eval(compile(ast.Expression(node), "bound", "eval"), {"__builtins__": {"range": range}})
    except NameError:
        return f"`{' '.join(code.split())}`"  # made of other bounds
    return f"{value:,}" if isinstance(value, int | float) else f"`{' '.join(code.split())}`"


def page() -> str:
    """The whole page."""
    rows = ["| Where | Bound | Value | Why |", "|---|---|---|---|"]
    rows += [
        f"| `{bound.module}` | `{bound.name}` | {bound.value} | {bound.reason.replace('|', chr(92) + '|')} |"
        for bound in bounds()
    ]
    return "\n".join(
        [
            "# Bounds",
            "",
            "Everything that grows has a bound, and every wait an end. This table is made from the source (`python -m tools.bounds --write`);",
            "none of these is a configuration key. Times are in seconds, sizes in octets.",
            "",
            *rows,
            "",
        ]
    )


def main() -> None:
    """Print the page, or write it."""
    if sys.argv[1:] == ["--write"]:
        PAGE.write_text(page(), encoding="utf-8")
    else:
        print(page(), end="")


if __name__ == "__main__":
    main()
