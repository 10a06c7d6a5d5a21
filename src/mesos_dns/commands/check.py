"""The command `mesos-dns check`: what is wrong with a configuration, for people or as JSON. Touches nothing."""

import json
from argparse import Namespace
from collections.abc import Iterable, Iterator
from typing import Final

from mesos_dns.commands import configured
from mesos_dns.config import ConfigError, Problem

#: Exit code of `--strict` if there are warnings and nothing worse.
WARNED: Final = 1


def run(options: Namespace) -> int:
    """Print what was found; the exit code."""
    path = configured.path_of(options)
    try:
        problems: tuple[Problem, ...] = ()
        warnings = configured.read(path).warnings
    except ConfigError as error:
        if not options.json:
            return configured.complain(error)
        problems, warnings = error.problems, error.warnings
    if options.json:
        print(as_json(configured.name_of(path), problems, warnings))  # noqa: T201 - the command's output
    else:
        for warning in warnings:
            print(f"warning: {warning}")  # noqa: T201 - the command's output
        print(f"{configured.name_of(path)}: no problems")  # noqa: T201 - the command's output
    if problems:
        return configured.BAD_CONFIG
    return WARNED if warnings and options.strict else 0


def as_json(name: str, problems: Iterable[Problem], warnings: Iterable[Problem]) -> str:
    """One object: `configuration` (what was read), `usable`, and `findings`, problems first."""
    findings = [*_findings("problem", problems), *_findings("warning", warnings)]
    usable = all(finding["severity"] != "problem" for finding in findings)
    return json.dumps({"configuration": name, "usable": usable, "findings": findings}, indent=1)


def _findings(severity: str, found: Iterable[Problem]) -> Iterator[dict[str, str]]:
    for one in found:
        yield {"severity": severity, "key": one.key, "where": one.origin, "message": one.message}
