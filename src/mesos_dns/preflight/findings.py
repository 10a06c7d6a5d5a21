"""What probes found, as values, as a table for people and as plain data for programs. Pure."""

import enum
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec


class Level(enum.StrEnum):
    """How bad it is: a start or a reload goes well, goes less well, or fails or serves nobody."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


class Finding(msgspec.Struct, frozen=True):
    """What one probe found. `area` and `subject` say where, `tried` what was done; `expected` and `advice` are "" if all is well."""

    level: Level
    area: str
    subject: str
    tried: str
    found: str
    expected: str = ""
    advice: str = ""


def worst(findings: Iterable[Finding]) -> Level:
    """The worst of all; ok if there are none."""
    levels = {finding.level for finding in findings}
    return Level.FAIL if Level.FAIL in levels else Level.WARN if Level.WARN in levels else Level.OK


def lines_of(findings: Sequence[Finding]) -> Iterator[str]:
    """A table for people: one line for each, and below what is not well what was tried, what was expected and what to do; at the end the counts."""
    widths = [max((len(text) for text in column), default=0) for column in zip(*map(_front, findings), strict=True)]
    for finding in findings:
        front = "  ".join(text.ljust(width) for text, width in zip(_front(finding), widths, strict=True))
        yield f"{front}  {finding.found}".rstrip()
        if finding.level is not Level.OK:
            indent = " " * (sum(widths) + 2 * len(widths))
            for name, text in (("tried", finding.tried), ("expected", finding.expected), ("to do", finding.advice)):
                if text:
                    yield f"{indent}{name}: {text}"
    counts = Counter(finding.level for finding in findings)
    yield ", ".join(f"{counts[level]} {level}" for level in Level)


def _front(finding: Finding) -> tuple[str, str, str]:
    return finding.level, finding.area, finding.subject


def as_values(findings: Iterable[Finding]) -> list[dict[str, Any]]:
    """The same for programs: an object for each, with the members of `Finding`."""
    return [msgspec.to_builtins(finding) for finding in findings]
