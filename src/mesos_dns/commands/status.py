"""The command `mesos-dns status`: how a running server does, on one page for people; the exit code says it to programs."""

import asyncio
import json
import sys
import time
from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from mesos_dns.commands import configured, log, server
from mesos_dns.config import ConfigError
from mesos_dns.verdict import EXIT_CODES

#: Lines of a list that are shown; `--json` has all.
_MOST_LINES: Final = 10
#: One thing of the status, as JSON has it.
_Values = Mapping[str, Any]


def run(options: Namespace) -> int:
    """Print the status; the exit code, that of `down` also if nobody answers."""
    url = ""
    try:
        url = server.url_of(options)
        found = asyncio.run(server.fetch(f"{url}/v1/status"))
        code = EXIT_CODES[found["verdict"]]
        text = json.dumps(found, indent=1) if options.json else "\n".join(lines_of(found, time.time()))
    except ConfigError as error:
        return configured.complain(error)
    except server.NoAnswerError as error:
        server.complain(error)
        return EXIT_CODES["down"]
    except (KeyError, TypeError, IndexError):
        print(f"mesos-dns: {url}/v1/status is not that of this version of Mesos-DNS", file=sys.stderr)  # noqa: T201 - for people
        return EXIT_CODES["down"]
    print(text)  # noqa: T201 - the command's output
    return code


def lines_of(status: _Values, now: float) -> Iterator[str]:
    """The status in lines for people, the verdict first; `now` is the Unix time."""
    yield f"{status['verdict'].upper()}: {_summary(status)}"
    yield from (f"  ! {problem}" for problem in status["problems"])
    yield ""
    yield from _program(status, now)
    yield from _source(status)
    yield from _table("masters", [_master(each) for each in status["masters"]])
    # The newest first: what happened lately is what is asked for.
    leaders = [(_when(each["since"], now), each["leader"], each["id"]) for each in reversed(status["leaders"])]
    yield from _table("led by", leaders)
    yield from _names(status)
    yield from _table("workers", [_worker(each) for each in status["workers"]])
    yield from _table("upstreams", [_upstream(each) for each in status["upstreams"]])
    yield from _table("processes", [_process(each) for each in status["processes"]])


def _summary(status: _Values) -> str:
    if status["verdict"] == "ok":
        return f"names of {status['cluster']['tasks']} tasks are served, {_age(status['source'])}"
    count = len(status["problems"])
    served = "names are served" if status["verdict"] == "degraded" else "names are not served"
    return f"{served}; {'one thing is' if count == 1 else f'{count} things are'} not well"


def _program(status: _Values, now: float) -> Iterator[str]:
    configuration = status["configuration"]
    yield _line("version", f"{status['version']}, up {span(status['uptime'])}")
    yield _line("config", f"{configuration['from'] or '?'}, read {_when(configuration['taken'], now)}")
    if configuration["newest"] != "in force":
        why = f": {configuration['reason']}" if configuration["reason"] else ""
        yield _line("", f"a newer one is {configuration['newest']}, {_when(configuration['at'], now)}{why}")
    if status["query_log"]["to"]:
        yield _line("query log", log.line_of(status["query_log"]))
    if status["certificate"] is not None:
        until = datetime.fromtimestamp(status["certificate"]["until"], UTC).astimezone()
        yield _line("certificate", f"{status['certificate']['file']}, valid until {until:%Y-%m-%d %H:%M}")


def _source(status: _Values) -> Iterator[str]:
    source = status["source"]
    live = ", live" if source["live"] else ""
    why = f" ({source['why']})" if source["why"] else ""
    yield _line("leader", f"{source['leader'] or 'none yet'}, {_age(source)}, by {source['using']}{live}{why}")
    if source["last_error"]:
        row = source["failures_in_a_row"]
        when = f"{row} in a row" if row else "over by now"
        yield _line("last error", f"{source['last_error']} ({when}; {source['failures']} in all)")
    detector = source["detector"]
    if detector is not None:
        heard = "heard" if detector["connected"] else "silent"
        yield _line("detector", f"{detector['origin']}, {heard} for {span(detector['seconds'])}, {detector['trouble']}")


def _names(status: _Values) -> Iterator[str]:
    cluster = status["cluster"]
    yield _line("cluster", f"{cluster['tasks']} tasks, {cluster['agents']} agents, {cluster['frameworks']} frameworks")
    for zone in status["zones"]:
        yield _line("zone", f"{zone['zone']} serial {zone['serial']}, {zone['names']} names")
    for held in status["holding"]:
        left = "until a state shows them" if held["seconds"] is None else f"{span(held['seconds'])} left at most"
        counts = ", ".join(f"{held[kind]} {kind}" for kind in ("agents", "frameworks", "tasks") if held[kind])
        yield _line("held", f"{counts}, because {held['because']}; {left}")
    if status["left_out"]:
        yield _line("left out", f"{status['left_out']} unhealthy tasks")
    found = status["collisions"]
    for each in found["shown"][:_MOST_LINES]:
        more = f" and {each['more']} more" if each["more"] else ""
        yield _line("collision", f"{each['name']} of {', '.join(each['sharers'])}{more}")
    beyond = sum(found["counts"].values()) - min(len(found["shown"]), _MOST_LINES)
    if beyond:
        yield _line("", f"and {beyond} more collisions")
    for reason, count in status["skipped"].items():
        yield _line("skipped", f"{count}: {reason}")


def _master(each: _Values) -> Sequence[str]:
    if each["answered"] is None and each["failed"] is None:
        return each["master"], each["role"], "not asked yet"
    answered = "never answered"
    if each["answered"] is not None:
        answered = f"answered {span(each['answered'])} ago in {each['took_us'] / 1000:.1f} ms"
    failed = f"failed {span(each['failed'])} ago: {each['last_error']}" if each["last_error"] else ""
    return each["master"], each["role"], answered, failed


def _worker(each: _Values) -> Sequence[str]:
    serials = ", ".join(f"{zone} {serial}" for zone, serial in each["serials"].items()) or "no zone yet"
    restarts = f"{each['restarts']} restarts" if each["restarts"] else ""
    number, pid = str(each["number"]), f"pid {each['pid'] or '-'}"
    return number, pid, serials, f"{each['answers_per_second']}/s", each["trouble"] or "ok", restarts


def _upstream(each: _Values) -> Sequence[str]:
    rtt = "" if each["rtt_us"] is None else f"{each['rtt_us'] / 1000:.1f} ms"
    asked = f"{each['requests']} asked, {each['failures']} failed"
    return each["upstream"], each["state"], rtt, asked, each["last_error"]


def _process(each: _Values) -> Sequence[str]:
    if "memory" not in each:
        return each["process"], f"pid {each['pid']}", "gone"
    memory, cpu = f"{each['memory'] / 1024**2:.0f} MiB", f"{each['cpu_ms'] / 1000:.1f} s of CPU"
    return each["process"], f"pid {each['pid']}", memory, cpu, f"{each['files']} of {each['max_files']} files"


def _age(source: _Values) -> str:
    return "no data yet" if source["age"] is None else f"data {span(source['age'])} old"


def _line(title: str, text: str) -> str:
    return f"{title:<12}{text.rstrip(', ')}"


def _table(title: str, rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Rows with aligned columns, the title in front of the first one."""
    shown = rows[:_MOST_LINES]
    widths = [max(len(row[at]) for row in shown if at < len(row)) for at in range(max(map(len, shown), default=0))]
    for row in shown:
        yield _line(title, "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False)))
        title = ""
    if len(rows) > len(shown):
        yield _line("", f"and {len(rows) - len(shown)} more")


def _when(at: float, now: float) -> str:
    moment = datetime.fromtimestamp(at, UTC).astimezone()
    return f"{moment:%Y-%m-%d %H:%M:%S} ({span(max(now - at, 0))} ago)"


def span(seconds: float) -> str:
    """A length of time in the largest unit of which there are two, so that nobody divides in his head."""
    for unit, length in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length:.0f} {unit}"
    return f"{seconds:.0f} s"
