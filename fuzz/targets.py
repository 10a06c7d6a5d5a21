"""The table of targets: what is given any octets, and must neither raise nor hang nor take memory without end."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from fuzz import answering, cluster, forwarding, local, recording

CORPORA = Path(__file__).parent / "corpora"


class Target(NamedTuple):
    """Takes any octets; what it raises is a finding. Inputs of more than `longest` octets are not tried."""

    check: Callable[[bytes], None]
    longest: int = 1024

    @property
    def name(self) -> str:
        return self.check.__name__


TARGETS = {
    target.name: target
    for target in (
        Target(answering.queries),
        Target(answering.answers, 2048),
        Target(forwarding.replies, 2048),
        Target(cluster.states, 4096),
        Target(cluster.events, 4096),
        Target(cluster.calls, 2048),
        Target(cluster.zookeeper),
        Target(local.configuration),
        Target(local.resolv_conf),
        Target(local.frames),
        Target(local.paths_and_headers),
        Target(recording.query_logs),
    )
}


def corpus(name: str) -> list[Path]:
    """The inputs of a target that are kept, in a stable order."""
    return sorted((CORPORA / name).iterdir())
