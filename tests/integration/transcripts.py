"""Sessions at a shell as pages show them: typed again, and what is said compared.

In a block of the language `console`, `$ ` is in front of what is typed, `> ` of its further lines; all else is what is said, in which `…` stands for any
text of a line, and alone on a line for any number of lines.
"""

import re
import subprocess
from collections.abc import Sequence
from typing import NamedTuple


class Step(NamedTuple):
    """One thing typed, and what is said then."""

    typed: str
    said: str


def steps(page: str) -> list[Step]:
    """Those of all blocks of a page."""
    found: list[Step] = []
    for block in re.findall(r"^```console\n(.*?)^```$", page, re.MULTILINE | re.DOTALL):
        for line in block.splitlines(keepends=True):
            if line.startswith("$ "):
                found.append(Step(line[2:], ""))
            elif line.startswith("> "):
                found[-1] = Step(found[-1].typed + line[2:], "")
            else:
                found[-1] = Step(found[-1].typed, found[-1].said + line)
    return found


def is_said(expected: str, said: str) -> bool:
    pattern = "".join(
        "(?s:.*)" if line == "…\n" else "[^\n]*".join(map(re.escape, line.split("…")))
        for line in expected.splitlines(keepends=True)
    )
    return re.fullmatch(pattern, said) is not None


#: In front of what one step says; no page has it.
_MARK = "\x1e"


def typed(under: Sequence[str], page: list[Step], seconds: float) -> list[str]:
    """What a shell says to each step, one after the other in the same one."""
    script = "".join(f"printf '\\036'\n{step.typed}" for step in page)
    # As with somebody at a terminal: jobs have numbers, errors stand between the rest.
    command = [*under, "bash", "-c", "exec 2>&1; . /dev/stdin"]
    try:
        said = subprocess.run(command, input=script.encode(), capture_output=True, timeout=seconds, check=False).stdout
    except subprocess.TimeoutExpired as late:
        said = (late.stdout or b"") + b"(and then nothing more)\n"
    # A terminal shows no difference between these ends of lines; heads of HTTP have the longer one.
    return said.decode(errors="backslashreplace").replace("\r\n", "\n").split(_MARK)[1:]
