"""Whether all is well: one rule for `/readyz`, `/v1/status`, the command `mesos-dns status` and whatever else shows it. Pure.

| verdict | when |
|---|---|
| `down` | there is no state of the cluster yet, or no worker answers |
| `degraded` | names are served, but the program is about to end; or some worker does not answer as it should; or the data are older than they should be; or ZooKeeper is silent, a configuration was refused, a certificate is about to end, or an upstream is not asked any more |
| `ok` | none of these |

`/readyz` is stricter with workers and cares for nothing else: it is 200 if there is a state, every worker answers from it, and the program is not about to end. What is held through a
failover, names that collide and a configuration that waits for its masters are no faults: they are told, and leave the verdict as it is.
"""

from typing import Final, Literal, NamedTuple

#: Seconds without news of the cluster, while attempts to have some fail, before that counts: the longest pause between two polls, and an election.
STALE_SECONDS: Final = 120.0

State = Literal["ok", "degraded", "down"]
#: What the command ends with.
EXIT_CODES: Final[dict[str, int]] = {"ok": 0, "degraded": 1, "down": 2}


class Facts(NamedTuple):
    """What is judged; texts are for people, "" for nothing to tell.

    `no_state`: lines about why there is no state of the cluster, empty if there is one. `workers` is how many there are, `worker_troubles` has a line for
    each that does not answer as it should. `age` are the seconds since the last news of the cluster, None before the first; `refresh` those that
    usually lie between; `failures` the attempts in a row that failed, `error` what the last one said. `detector`: what hinders finding masters.
    """

    no_state: tuple[str, ...] = ()
    #: It ends, and serves on for those who have not noticed yet.
    leaving: bool = False
    workers: int = 0
    worker_troubles: tuple[str, ...] = ()
    age: float | None = None
    refresh: float = 0.0
    failures: int = 0
    error: str = ""
    detector: tuple[str, ...] = ()
    refused: str = ""
    certificate: str = ""
    dead_upstreams: tuple[str, ...] = ()


class Verdict(NamedTuple):
    """`state` in one word; `ready` as `/readyz` has it, with `reasons` if not; `problems`: a line for each thing that is not well."""

    state: State
    ready: bool
    reasons: tuple[str, ...]
    problems: tuple[str, ...]


def judge(facts: Facts) -> Verdict:
    """Say whether all is well, by the rule above."""
    leaving = ("this server ends: ask another one",) if facts.leaving else ()
    reasons = (*leaving, *facts.no_state, *facts.worker_troubles)
    problems = (*reasons, *_worries(facts))
    nobody = 0 < facts.workers <= len(facts.worker_troubles)
    state: State = "down" if facts.no_state or nobody else "degraded" if problems else "ok"
    return Verdict(state, not reasons, reasons, problems)


def is_stale(facts: Facts) -> bool:
    """Whether the data are older than they should be: attempts to have newer ones fail, for longer than an election takes."""
    if facts.age is None or not facts.failures:
        return False
    return facts.age > facts.refresh + STALE_SECONDS


def _worries(facts: Facts) -> list[str]:
    found = [] if facts.no_state else [*facts.detector]
    if is_stale(facts):
        found.append(f"the data are {facts.age:.0f} s old, the last {facts.failures} attempts failed: {facts.error}")
    if facts.refused:
        found.append(facts.refused)
    if facts.certificate:
        found.append(facts.certificate)
    if facts.dead_upstreams:
        found.append(f"upstreams that do not answer: {', '.join(facts.dead_upstreams)}")
    return found
