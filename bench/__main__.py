"""The command line of the bench."""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

from bench import (
    amplification,
    answering,
    asked,
    encrypted,
    flooded,
    forwarding,
    freshness,
    lifecycle,
    optional,
    probing,
    queries,
    ratios,
    results,
    scaling,
    searching,
    starving,
    watched,
)
from bench.bed import Bed, Settings, cores, say
from bench.machine import find, machine
from bench.servers import OTHER, OURS, ROOT, UnavailableError, other_checkout

#: The parts in the order in which they run.
PARTS: Final[dict[str, Callable[[Bed], None]]] = {
    "answers": answering.measure,
    "options": optional.measure,
    "watched": watched.measure,
    "amplification": amplification.measure,
    "tls": encrypted.measure,
    "forwarded": forwarding.measure,
    "latency": probing.measure_latency,
    "beside-tcp": starving.measure,
    "beside-forwarding": flooded.measure,
    "start": lifecycle.measure_start,
    "change": lifecycle.measure_change,
    "fresh": freshness.measure,
    "asked": asked.measure,
    "tail": probing.measure_tail,
    "search": searching.measure,
    "cores": scaling.measure,
}
DOCUMENT: Final = ROOT / "docs" / "performance.md"


def main() -> int:
    options = _parser().parse_args()
    kept = options.out / _file_name(options)
    if options.doc:
        return _document(kept)
    if find("dnsperf") is None or find("taskset") is None:
        print("The bench needs dnsperf and taskset: apt-get install dnsperf util-linux", file=sys.stderr)
        return 1
    try:
        settings = _settings(options)
    except UnavailableError as error:
        print(f"--against {error}", file=sys.stderr)
        return 2
    facts = machine()
    with tempfile.TemporaryDirectory(prefix="mesos-dns-bench-") as folder:
        server_cores, load_cores = cores()
        bed = Bed(settings, Path(folder), server_cores, load_cores)
        say(f"server on cores {sorted(server_cores)}, load on {sorted(load_cores)}, load average {facts.others_busy}")
        for name, part in PARTS.items():
            if bed.wanted(name) or (name == "answers" and any(bed.wanted(each.name) for each in queries.WORKLOADS)):
                bed.attempt(name, part, bed)
    bed.figures += ratios.beside(bed.figures, OTHER)
    print(results.rendered(bed.figures))
    for reason in bed.skipped:
        print(f"skipped {reason}")
    options.out.mkdir(parents=True, exist_ok=True)
    merged = results.merged(results.load(kept), bed.figures, facts, bed.skipped)
    kept.write_text(json.dumps(merged, indent=1))
    print(f"figures: {kept}")
    return 0 if bed.figures else 1


def _file_name(options: argparse.Namespace) -> str:
    return f"{'quick' if options.quick else 'full'}{'-against' if options.against else ''}.json"


def _document(kept: Path) -> int:
    found = results.load(kept)
    if not found:
        print(f"{kept} does not exist: measure first", file=sys.stderr)
        return 1
    for place in results.write_document(found, DOCUMENT):
        print(f"{DOCUMENT.name}: no figures for {place} in {kept}", file=sys.stderr)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure Mesos-DNS beside NSD and Knot.")
    names = [*PARTS, *(workload.name for workload in queries.WORKLOADS)]
    parser.add_argument("--quick", action="store_true", help="one short run of each, within two minutes")
    parser.add_argument("--only", nargs="+", choices=names, default=[], metavar="NAME", help=f"of {', '.join(names)}")
    parser.add_argument("--tasks", default="", help="cluster sizes for answers (1000,10000)")
    parser.add_argument("--large", default="", help="cluster sizes for start-up, memory, tails (10000,100000)")
    parser.add_argument("--runs", type=int, default=0, help="interleaved runs of each measurement (3)")
    parser.add_argument("--seconds", type=float, default=0, help="length of one run (5)")
    parser.add_argument("--out", type=Path, default=ROOT / "bench" / "results", help="folder for the JSON")
    parser.add_argument(
        "--against",
        type=Path,
        metavar="CHECKOUT",
        help="measure the Mesos-DNS of another checkout of this project in the same run, as the column `before`",
    )
    parser.add_argument("--zone", type=Path, help="measure the other servers alone, on this zone file")
    parser.add_argument(
        "--doc",
        action="store_true",
        help="fill docs/performance.md from the kept figures (with --against from those of such a run, without `before`)",
    )
    return parser


def _settings(options: argparse.Namespace) -> Settings:
    quick = options.quick
    tasks = "0" if options.zone else options.tasks or ("1000" if quick else "1000,10000")
    large = options.large or ("10000" if quick else "10000,100000")
    return Settings(
        tasks=tuple(int(number) for number in tasks.split(",")),
        large=tuple(int(number) for number in large.split(",")),
        runs=options.runs or (1 if quick else 3),
        seconds=options.seconds or (0.8 if quick else 5.0),
        quick=quick,
        only=frozenset(options.only),
        zone=options.zone.resolve() if options.zone else None,
        programs=(OURS, other_checkout(options.against)) if options.against else (OURS,),
    )


if __name__ == "__main__":
    sys.exit(main())
