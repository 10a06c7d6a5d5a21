"""Pure: how many times the figure of another server a figure is.

Figures of two runs an hour apart say more about the machine than about the servers. So each run is
divided by the run of the other server that came right before or after it, and the spread is that of
the quotients.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final, TypeVar

from bench.tables import Figure

T = TypeVar("T")
#: What the program of this checkout is called in the heads of columns.
_OURS: Final = "ours"


def of_runs(mine: Sequence[float], theirs: Sequence[float]) -> tuple[float, ...]:
    """Each run of mine divided by the run of theirs in the same turn; ValueError when the turns differ.

    Infinite where theirs is nothing and mine is not; a turn in which both are nothing counts as equal.
    """
    if len(mine) != len(theirs):
        raise ValueError(f"{len(mine)} runs beside {len(theirs)}: they were not interleaved")
    return tuple(_quotient(one, other) for one, other in zip(mine, theirs, strict=True))


def _quotient(mine: float, theirs: float) -> float:
    if theirs:
        return mine / theirs if math.isfinite(theirs) else (1.0 if math.isinf(mine) else 0.0)
    return math.inf if mine else 1.0


def turned(entries: Sequence[T], turn: int) -> list[T]:
    """The order of a turn, each beginning with another entry: a place in the order that is better than others goes round."""
    place = turn % len(entries) if entries else 0
    return [*entries[place:], *entries[:place]]


def columns(runs: Mapping[str, Sequence[float]], programs: Sequence[str], peer: str) -> dict[str, tuple[float, ...]]:
    """The ratios of one row: each of our programs to the peer, and the first of them to the others.

    `programs` are columns of this project, this checkout first. What was not measured has no ratio;
    an empty `peer` means none at all.
    """
    if not peer:
        return {}
    ours, *others = programs
    pairs = [(name, peer) for name in programs] + [(ours, other) for other in others]
    return {
        f"{_OURS if mine == ours else mine}/{theirs}": of_runs(runs[mine], runs[theirs])
        for mine, theirs in pairs
        if runs.get(mine) and runs.get(theirs)
    }


def beside(figures: Sequence[Figure], other: str) -> list[Figure]:
    """Ratios for tables without a column for each server, where rows or columns of `other` end in its name.

    A figure whose partner is missing, or has another number of runs, has none.
    """
    known = {(figure.table, figure.row, figure.column): figure for figure in figures}
    ending, found = f", {other}", []
    for figure in figures:
        plain = replace(figure, row=figure.row.removesuffix(ending), column=figure.column.removesuffix(ending))
        mine = known.get((plain.table, plain.row, plain.column), figure)
        if mine is figure or len(mine.values) != len(figure.values):
            continue
        titles = {
            name: f"{getattr(plain, name)}, {_OURS}/{other}"
            for name in ("row", "column")
            if getattr(plain, name) != getattr(figure, name)
        }
        found.append(replace(plain, values=of_runs(mine.values, figure.values), **titles))
    return found
