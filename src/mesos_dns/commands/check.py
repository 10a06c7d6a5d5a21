"""The command `mesos-dns check`: what is wrong with a configuration, for people or as JSON. Touches nothing; with `--live` it asks and tries, and changes nothing."""

import asyncio
import json
from argparse import Namespace
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from mesos_dns.commands import configured
from mesos_dns.config import Config, ConfigError, Problem
from mesos_dns.preflight.findings import Finding, Level, as_values, lines_of, worst

#: Exit code of `--strict` if there are warnings and nothing worse.
WARNED: Final = 1
#: Exit code of `--live` if something would fail.
FAILED: Final = 1


def run(options: Namespace) -> int:
    """Print what was found; the exit code."""
    path = configured.path_of(options)
    try:
        problems: tuple[Problem, ...] = ()
        loaded = configured.read(path)
        warnings = loaded.warnings
        found = _tried(loaded.config) if options.live else None
    except ConfigError as error:
        if not options.json:
            return configured.complain(error)
        problems, warnings, found = error.problems, error.warnings, None
    name = configured.name_of(path)
    if options.json:
        print(as_json(name, problems, warnings, found))  # noqa: T201 - the command's output
    else:
        for warning in warnings:
            print(f"warning: {warning}")  # noqa: T201 - the command's output
        print(f"{name}: no problems")  # noqa: T201 - the command's output
        for line in lines_of(found) if found is not None else ():
            print(line)  # noqa: T201 - the command's output
    if problems:
        return configured.BAD_CONFIG
    level = worst(found or ())
    if level is Level.FAIL:
        return FAILED
    return WARNED if options.strict and (warnings or level is Level.WARN) else 0


def _tried(config: Config) -> Sequence[Finding]:
    # Only now: a plain check, which each reload begins with, need not wait for the HTTP libraries.
    from mesos_dns.assembly import plan  # noqa: PLC0415 - see above
    from mesos_dns.preflight.trying import try_everything  # noqa: PLC0415 - see above

    return asyncio.run(try_everything(config, plan(config)))


def as_json(
    name: str, problems: Iterable[Problem], warnings: Iterable[Problem], tried: Sequence[Finding] | None = None
) -> str:
    """One object: `configuration` (what was read), `usable`, and `findings`, problems first; if all was tried, also `verdict` and `probes`."""
    findings = [*_findings("problem", problems), *_findings("warning", warnings)]
    usable = all(finding["severity"] != "problem" for finding in findings)
    live = {} if tried is None else {"verdict": worst(tried), "probes": as_values(tried)}
    return json.dumps({"configuration": name, "usable": usable, "findings": findings, **live}, indent=1)


def _findings(severity: str, found: Iterable[Problem]) -> Iterator[dict[str, str]]:
    for one in found:
        yield {"severity": severity, "key": one.key, "where": one.origin, "message": one.message}
