"""Pure: figures as tables for a terminal and for docs/performance.md."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from bench.spread import spread


@dataclass(frozen=True, slots=True)
class Figure:
    """One measurement, all its runs. `table`, `row` and `column` say where it stands."""

    table: str
    row: str
    column: str
    values: tuple[float, ...]

    def as_json(self) -> dict[str, Any]:
        """The figure with its spread, so that a reader of the JSON needs no arithmetic."""
        found = spread(self.values)
        return {
            "table": self.table,
            "row": self.row,
            "column": self.column,
            "values": list(self.values),
            "median": found.median,
            "minimum": found.minimum,
            "maximum": found.maximum,
        }


def figure_from_json(data: dict[str, Any]) -> Figure:
    """The inverse of `Figure.as_json`; KeyError or TypeError for JSON of another make."""
    return Figure(data["table"], data["row"], data["column"], tuple(float(value) for value in data["values"]))


def number(value: float) -> str:
    """Three significant digits, as far as a person needs them."""
    if not math.isfinite(value):
        return "none"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    if abs(value) >= 100 or value == 0:
        return f"{value:.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def cell(values: Sequence[float]) -> str:
    """`median (minimum-maximum)`, or the value alone when the runs do not differ."""
    found = spread(values)
    middle, low, high = (number(value) for value in (found.median, found.minimum, found.maximum))
    return middle if low == high else f"{middle} ({low}-{high})"


def grid(figures: Iterable[Figure], corner: str) -> list[list[str]]:
    """Head and lines of one table; rows and columns come in the order of their first figure."""
    rows: dict[str, dict[str, str]] = {}
    columns: dict[str, None] = {}
    for figure in figures:
        columns[figure.column] = None
        rows.setdefault(figure.row, {})[figure.column] = cell(figure.values)
    head = [corner, *columns]
    return [head, *([row, *(cells.get(column, "-") for column in columns)] for row, cells in rows.items())]


def plain(lines: Sequence[Sequence[str]]) -> str:
    """A table for a terminal, columns aligned."""
    widths = [max(len(line[place]) for line in lines) for place in range(len(lines[0]))]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def markdown(lines: Sequence[Sequence[str]]) -> str:
    """The same table in Markdown."""
    head, *body = ("| " + " | ".join(line) + " |" for line in lines)
    return "\n".join([head, "|" + "---|" * len(lines[0]), *body])


def fill(text: str, name: str, content: str) -> str:
    """Replace what stands between `<!-- bench:NAME -->` and `<!-- /bench:NAME -->` in a document.

    ValueError when the document has no such place, or has it twice.
    """
    opening, closing = f"<!-- bench:{name} -->", f"<!-- /bench:{name} -->"
    if text.count(opening) != 1 or text.count(closing) != 1:
        raise ValueError(f"expected {opening} and {closing} once each in the document")
    before, rest = text.split(opening)
    _, after = rest.split(closing)
    return f"{before}{opening}\n{content}\n{closing}{after}"


def places(text: str) -> list[str]:
    """The names of all places of a document that `fill` can fill, in order."""
    return [part.split(" -->", 1)[0] for part in text.split("<!-- bench:")[1:]]
