"""`python -m fuzz`: each target for a while in a process of its own, several beside each other; a table of what they did; 1 if anything was found."""

import argparse
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from fuzz.targets import CORPORA, TARGETS

#: What was learnt stays here between runs, and goes with `make clean`; so do findings.
WORK = Path("build") / "fuzz"
FINDINGS = WORK / "findings"
#: Seconds that one input may take, on a machine that has other things to do, and octets that a target may use in all.
_LONGEST_SECONDS = 60
_MEGABYTES = 2048
#: Octets of the corpus of one target: small inputs come first, and all are run with each change.
_ROOM_OCTETS = 16_000
_STATISTICS = re.compile(r"^#(\d+)\s+(?:DONE|INITED|NEW|REDUCE|pulse)\s+cov: (\d+) ft: \d+ corp: (\d+)", re.MULTILINE)


class Outcome(NamedTuple):
    """What came of a target: inputs tried, branches seen, inputs kept, and what libFuzzer printed, if it ended badly."""

    name: str
    inputs: int
    branches: int
    kept: int
    fault: str


def fuzz(name: str, seconds: int, seed: int = 0) -> Outcome:
    learnt = WORK / name
    learnt.mkdir(parents=True, exist_ok=True)
    options = [f"-max_total_time={seconds}", f"-timeout={_LONGEST_SECONDS}", f"-rss_limit_mb={_MEGABYTES}"]
    # 0 is another one each time.
    options.append(f"-seed={seed}")
    done = _engine(name, *options, str(learnt), str(CORPORA / name))
    seen = _STATISTICS.findall(done.stdout)
    inputs, branches, kept = map(int, seen[-1]) if seen else (0, 0, 0)
    return Outcome(name, inputs, branches, kept, done.stdout if done.returncode else "")


def minimise(name: str) -> None:
    """What was learnt goes into the corpus as far as it runs what nothing smaller runs. The corpus is made anew."""
    learnt, corpus = WORK / name, CORPORA / name
    fresh = WORK / f"{name}.minimised"
    fresh.mkdir(parents=True, exist_ok=True)
    done = _engine(name, "-merge=1", str(fresh), str(corpus), str(learnt))
    if done.returncode or not any(fresh.iterdir()):
        sys.exit(f"{name} could not be merged:\n{done.stdout}")
    for path in corpus.iterdir():
        path.unlink()
    room = _ROOM_OCTETS
    for path in sorted(fresh.iterdir(), key=lambda path: path.stat().st_size):
        room -= path.stat().st_size
        if room >= 0:
            path.rename(corpus / path.name[:16])
        else:
            path.unlink()
    fresh.rmdir()


def _engine(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    FINDINGS.mkdir(parents=True, exist_ok=True)
    here = {"FUZZ_TARGET": name, "FUZZ_FINDINGS": str(FINDINGS), "PYTHONPATH": str(CORPORA.parents[1])}
    # What runs must not depend on the order of sets either.
    here["PYTHONHASHSEED"] = "0"
    return subprocess.run(
        [sys.executable, "-m", "fuzz.engine", *arguments],
        env=os.environ | here,
        # libFuzzer's words and a traceback in the order in which they came.
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(TARGETS)}; all if none is named")
    parser.add_argument("--seconds", type=int, default=10, help="for each target (10)")
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count() or 1, help="targets at the same time (as many as there are cores)"
    )
    parser.add_argument(
        "--seed",
        type=int,
        default=0,
        help="the same inputs in the same order each time, as far as the time goes and nothing was learnt before; default: others each time",
    )
    parser.add_argument(
        "--minimise",
        action="store_true",
        help="do not fuzz: make the corpora of what was learnt, each input with a reason",
    )
    options = parser.parse_args(arguments)
    if unknown := set(options.targets) - TARGETS.keys():
        parser.error(f"no such target: {', '.join(sorted(unknown))}")
    names = options.targets or list(TARGETS)
    with ThreadPoolExecutor(options.jobs) as pool:
        if options.minimise:
            list(pool.map(minimise, names))
            return 0
        outcomes = pool.map(lambda name: fuzz(name, options.seconds, options.seed), names)
        print(f"{'target':<20} {'inputs':>10} {'a second':>10} {'branches':>10} {'corpus':>8}")
        failed = [outcome for outcome in map(_show, outcomes, [options.seconds] * len(names)) if outcome.fault]
    for outcome in failed:
        print(f"\n{outcome.name}: a finding, in {FINDINGS}. The end of what was said:\n{outcome.fault[-3000:]}")
    return 1 if failed else 0


def _show(outcome: Outcome, seconds: int) -> Outcome:
    print(
        f"{outcome.name:<20} {outcome.inputs:>10,} {outcome.inputs // max(seconds, 1):>10,} {outcome.branches:>10,} {outcome.kept:>8,}",
        flush=True,
    )
    return outcome


if __name__ == "__main__":
    sys.exit(main())
