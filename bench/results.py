"""Keeps figures as JSON, and puts them into docs/performance.md."""

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from bench import tables
from bench.machine import Machine
from bench.servers import OTHER
from bench.tables import Figure

#: Tables in their order: name up to the cluster size, title, what the rows are, unit.
TABLES: Final = (
    ("answers-cpu", "Processor time for an answer, µs", "workload"),
    ("answers-qps", "Answers per second from one core", "workload"),
    ("answers-latency", "Mean time to an answer under that load, ms", "workload"),
    ("answers-octets", "Mean size of an answer, octets", "workload"),
    ("answers-lost", "Unanswered of a million under that load", "workload"),
    ("options-cpu", "Processor time for an answer with options that look at clients, µs", "workload"),
    ("watched-cpu", "Processor time of workers for an answer while nobody and while somebody looks on, µs", "workload"),
    ("amplification", "Octets of a reply over UDP, and how many times those of its query", "kind"),
    ("forwarded-cpu", "Processor time for a forwarded query, µs", "workload"),
    ("forwarded-qps", "Forwarded queries per second", "workload"),
    ("latency", "Time to an answer at 2,000 queries a second, ms", ""),
    ("beside-tcp", "Time to an answer over UDP at 1,000 a second while TCP clients ask for large ones, ms", ""),
    (
        "beside-forwarding",
        "Time to an answer at 1,000 a second while no upstream answers outside questions, ms",
        "upstream",
    ),
    ("start", "Start-up", ""),
    ("reload", "Fetching a whole state again", ""),
    ("memory", "Memory, MB", "process"),
    ("names", "Memory of names", ""),
    ("stages", "Processor time of each stage of a state, s", "stage"),
    ("weights", "What each part holds, octets per name", "part"),
    ("change", "Processor time for the change of one task, ms", "process"),
    ("fresh", "From a task's start to its name at every worker, 50 of them a second, ms", ""),
    ("following", "What following a cluster costs", ""),
    ("asked", "What requests over HTTP cost control", "request"),
    ("tail", "Time to an answer at 2,000 queries a second while the zone is busy, ms", ""),
    ("search", "Time to an answer of the HTTP API that searches, and of DNS meanwhile, ms", ""),
    ("cores", "Two workers against one", ""),
)


def title(table: str) -> tuple[str, str]:
    """The title of a table, with the size of its cluster, and the head of its first column."""
    for name, text, corner in TABLES:
        if table == name or table.startswith(f"{name}-"):
            tasks = table.removeprefix(name).removeprefix("-")
            return (f"{text} ({int(tasks):,} tasks)" if tasks.isdigit() and int(tasks) else text), corner
    return table, ""


def rendered(figures: list[Figure]) -> str:
    """All tables as text for a terminal."""
    blocks = []
    for table in dict.fromkeys(figure.table for figure in figures):
        name, corner = title(table)
        lines = tables.grid((figure for figure in figures if figure.table == table), corner)
        blocks.append(f"{name}\n{tables.plain(lines)}")
    return "\n\n".join(blocks)


def merged(old: dict[str, Any], figures: list[Figure], machine: Machine, skipped: list[str]) -> dict[str, Any]:
    """Old results with the tables that were measured now replaced; each table knows its day and machine."""
    when = time.strftime("%Y-%m-%d %H:%M %z")
    results: dict[str, Any] = dict(old.get("tables", {}))
    for table in dict.fromkeys(figure.table for figure in figures):
        fresh = [figure.as_json() for figure in figures if figure.table == table]
        before = results.get(table, {}).get("figures", [])
        order = list(dict.fromkeys(figure["row"] for figure in before + fresh))
        measured = {figure["row"] for figure in fresh}
        both = [figure for figure in before if figure["row"] not in measured] + fresh
        both.sort(key=lambda figure: order.index(figure["row"]))
        results[table] = {"title": title(table)[0], "when": when, "figures": both}
    return {"when": when, "machine": asdict(machine), "skipped": skipped, "tables": results}


def load(path: Path) -> dict[str, Any]:
    """Results that were kept; none when there is no file yet."""
    if not path.exists():
        return {}
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def write_document(results: dict[str, Any], document: Path) -> list[str]:
    """Fill the document with all tables that are there; returns the places that have no figures yet."""
    text = document.read_text()
    missing = []
    for place in tables.places(text):
        content = _facts(results) if place == "machine" else _table(results, place)
        if content:
            text = tables.fill(text, place, content)
        else:
            missing.append(place)
    document.write_text(text)
    return missing


def of_other_checkout(figure: Figure) -> bool:
    """True for what --against measured of another checkout, or in comparison to it: of no use to users."""
    return any(OTHER in text.replace("/", ", ").split(", ") for text in (figure.row, figure.column))


def _facts(results: dict[str, Any]) -> str:
    machine = results["machine"]
    versions = ", ".join(text for text in machine["versions"].values() if " " in text)
    return (
        f"{machine['processor']}, {machine['cores']} cores, {machine['memory_mb'] // 1024} GB; {machine['system']}, "
        f"Linux {machine['kernel']}, {machine['python']}; {versions}; measured {results['when']}."
    )


def _table(results: dict[str, Any], name: str) -> str:
    found = results.get("tables", {}).get(name)
    if found is None:
        return ""
    figures = (tables.figure_from_json(figure) for figure in found["figures"])
    lines = tables.grid((figure for figure in figures if not of_other_checkout(figure)), title(name)[1])
    return tables.markdown(lines)
