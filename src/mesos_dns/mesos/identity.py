"""Whose state it is: a wrong address among the masters may be the leader of another cluster. Pure.

Agents and frameworks keep their ids through every failover, and no two clusters share one: one known id proves that it is the cluster that
we know. Nothing proves the contrary. Signs of it are that no id of many is known, that the cluster has another name (`--cluster`, which
operators change, and which many clusters lack), and that its election has other ZooKeeper servers or another path (which move, and
which may be written in two ways). So it takes two signs, and none against them, to refuse a master for good:

| id known | ids, none known | name, ensemble | what it is |
|---|---|---|---|
| yes | | | ours |
| | yes | one or both differ, none is equal | another |
| | yes | both are equal | ours: its registry was lost |
| | yes | anything else | doubtful |
| | no ids yet | both differ | another |
| | no ids yet | one differs, the other is not known | doubtful |
| | no ids yet | anything else | ours |

What is doubtful is believed when nobody else has given a state for DOUBT_SECONDS. The same master (its id) is always believed, and so is
the one whom the detector names: whom our ZooKeeper names is ours, whatever it is called.
"""

import enum
from typing import Final

from mesos_dns.mesos.state import Snapshot
from mesos_dns.quoting import quoted

#: Seconds for which a doubtful master is not believed: as long as agents have to come back, and show which cluster it is.
DOUBT_SECONDS: Final = 600.0
#: Ids remembered from before the last change of master: two of the largest clusters.
MAX_FORMER_IDS: Final = 20_000


class Verdict(enum.Enum):
    """What a state is to us."""

    OURS = "ours"
    DOUBTFUL = "doubtful"
    ANOTHER = "another"


class Identity:
    """What is known of the cluster that is followed. It learns from each state that is believed."""

    def __init__(self) -> None:
        self._master: str | None = None
        self._cluster = ""
        self._ensemble = ""
        #: Of agents and frameworks in the newest state that had agents.
        self._ids: frozenset[str] = frozenset()
        #: What there was with former masters: a new one shows its agents one by one.
        self._former: frozenset[str] = frozenset()
        self._doubted_since: float | None = None

    def __repr__(self) -> str:
        return f"Identity(master={self._master!r}, cluster={self._cluster!r}, ids={len(self._ids)})"

    @property
    def master(self) -> str | None:
        """The id of the master whose state was believed last; None before the first."""
        return self._master

    def learn(self, snapshot: Snapshot) -> None:
        """Take a state that is believed."""
        if self._master is not None and snapshot.master_id != self._master:
            both = self._ids | self._former
            self._former = both if len(both) <= MAX_FORMER_IDS else self._ids
        self._master = snapshot.master_id
        self._cluster = snapshot.cluster or self._cluster
        self._ensemble = snapshot.ensemble or self._ensemble
        if agents := _agents(snapshot):
            self._ids = agents.union(snapshot.frameworks)
        self._doubted_since = None

    def judge(self, snapshot: Snapshot, now: float, *, named: bool = False) -> Verdict:
        """Whose it is, by the table above. `now`: seconds of a steady clock; doubts begin with the first one. `named`: by the detector."""
        verdict = Verdict.OURS if named else self._judge(snapshot)
        if verdict is Verdict.DOUBTFUL:
            if self._doubted_since is None:
                self._doubted_since = now
            if now - self._doubted_since >= DOUBT_SECONDS:
                return Verdict.OURS
        return verdict

    def _judge(self, snapshot: Snapshot) -> Verdict:
        if self._master is None or snapshot.master_id == self._master:
            return Verdict.OURS
        agents = _agents(snapshot)
        known = self._ids | self._former
        if not known.isdisjoint(agents.union(snapshot.frameworks, snapshot.completed_frameworks)):
            return Verdict.OURS
        signs = [_compare(self._cluster, snapshot.cluster), _compare(self._ensemble, snapshot.ensemble)]
        differ, equal = signs.count("differs"), signs.count("equal")
        if agents and known:
            if differ and not equal:
                return Verdict.ANOTHER
            return Verdict.OURS if equal == len(signs) else Verdict.DOUBTFUL
        if differ == len(signs):
            return Verdict.ANOTHER
        return Verdict.DOUBTFUL if differ and not equal else Verdict.OURS

    def describe(self, snapshot: Snapshot) -> str:
        """Why it was doubted, for people."""
        agents = len(_agents(snapshot))
        words = [f"none of its {agents} agents is known"] if agents else []
        if _compare(self._cluster, snapshot.cluster) == "differs":
            words.append(f"its cluster is called {quoted(snapshot.cluster)}, not {quoted(self._cluster)}")
        if _compare(self._ensemble, snapshot.ensemble) == "differs":
            words.append(f"it is elected at {quoted(snapshot.ensemble)}, not at {quoted(self._ensemble)}")
        return ", ".join(words)


def _agents(snapshot: Snapshot) -> frozenset[str]:
    """Those that are registered or expected. Ids that the decoder made up (`#0`) say nothing."""
    return frozenset(
        each for each in (*snapshot.agents, *(snapshot.recovered_agents or ())) if not each.startswith("#")
    )


def _compare(ours: str, theirs: str) -> str:
    if not ours or not theirs:
        return "unknown"
    return "equal" if ours == theirs else "differs"
