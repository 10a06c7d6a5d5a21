"""Who leads, what the others answer, and how a new leader learns of the cluster bit by bit.

The phases of a failover, as recorded from Mesos 1.11 (the times there; here shorter by default):

    leader dies            its port refuses connections; the others still redirect to it (8 s)
    session expires        the others answer 503 "No leader elected" (0.1-0.5 s)
    elected                200, with no agents, no frameworks, no `recovered_slaves`
    registry read          the same with every agent in `recovered_slaves` (0.1 s)
    agents re-register     one by one, each with its tasks; their frameworks are `recovered`
    schedulers come back   `connected` again, with `reregistered_time`
    dead master restarts   with a new id; it redirects to the leader
"""

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from mesos_dns.demo import identity
from mesos_dns.demo.agenda import Agenda
from mesos_dns.demo.catalog import FRAMEWORKS
from mesos_dns.demo.document import MasterIdentity


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds that the phases of a failover take."""

    session_expiry: float = 4.0
    election: float = 0.4
    registry: float = 0.2
    reregistration: float = 2.0
    restart: float = 8.0


class Election:
    """Three masters (or any number) and the knowledge of the leading one.

    The first of `endpoints` leads from the beginning and knows everything. `agents` gives the numbers
    of the agents that are alive when a new leader asks for them.
    """

    def __init__(
        self,
        agenda: Agenda,
        rng: random.Random,
        endpoints: Sequence[tuple[str, int]],
        agents: Callable[[], Iterable[int]],
        pace: Pace,
    ) -> None:
        self._agenda = agenda
        self._rng = rng
        self._agents = agents
        self._pace = pace
        start = agenda.now
        self.masters = [
            MasterIdentity(identity.uuid(rng), address, port, start - 3600.0) for address, port in endpoints
        ]
        self.up = [True for _ in endpoints]
        #: The index that really leads, and the one that the others believe to lead.
        self.leader: int | None = 0
        self.believed: int | None = 0
        self.elected = start - 3599.0
        self.registry_read = True
        #: Agents and frameworks known to the leader -> when they came back (None: never away).
        self.agents_back: dict[int, float | None] = dict.fromkeys(agents())
        self.frameworks_back: dict[int, float | None] = dict.fromkeys(framework.number for framework in FRAMEWORKS)

    def __repr__(self) -> str:
        return f"Election(leader={self.leader}, up={self.up}, agents={len(self.agents_back)})"

    @property
    def settled(self) -> bool:
        """Whether somebody leads and every scheduler is connected, so that tasks can be launched."""
        return self.leader is not None and len(self.frameworks_back) == len(FRAMEWORKS)

    def fail_over(self) -> bool:
        """Let the leader die. False, and nothing happens, unless another master could take over."""
        if self.leader is None or sum(self.up) < 2:
            return False
        dead, self.leader = self.leader, None
        self.up[dead] = False
        self._agenda.tell("leader", f"leading master {self.masters[dead].endpoint} died")
        self._agenda.after(self._pace.session_expiry, self._expire)
        self._agenda.after(self._pace.session_expiry + self._pace.restart, lambda: self._restart(dead))
        return True

    def agent_returned(self, number: int) -> None:
        """Tell the leader, if there is one, that agent `number` is there again."""
        if self.leader is not None and self.registry_read:
            self.agents_back[number] = round(self._agenda.now, 6)

    def agent_removed(self, number: int) -> None:
        """Make the leader forget agent `number`."""
        self.agents_back.pop(number, None)

    def _expire(self) -> None:
        self.believed = None
        self._agenda.after(self._pace.election, self._elect)

    def _elect(self) -> None:
        candidates = [index for index, up in enumerate(self.up) if up]
        self.leader = self.believed = self._rng.choice(candidates)
        self.elected = round(self._agenda.now, 6)
        self.registry_read = False
        self.agents_back = {}
        self.frameworks_back = {}
        self._agenda.tell("leader", f"master {self.masters[self.leader].endpoint} leads now, and knows nothing yet")
        self._agenda.after(self._pace.registry, self._read_registry)

    def _read_registry(self) -> None:
        self.registry_read = True
        for number in self._agents():
            self._agenda.after(self._rng.random() * self._pace.reregistration, self._returning(number))
        for framework in FRAMEWORKS:
            delay = self._rng.random() * self._pace.reregistration
            self._agenda.after(delay, self._reconnecting(framework.number))

    def _returning(self, number: int) -> Callable[[], None]:
        elected = self.elected

        def back() -> None:
            if elected == self.elected and self.leader is not None and number in set(self._agents()):
                self.agents_back[number] = round(self._agenda.now, 6)

        return back

    def _reconnecting(self, number: int) -> Callable[[], None]:
        elected = self.elected

        def back() -> None:
            if elected != self.elected or self.leader is None:
                return
            self.frameworks_back[number] = round(self._agenda.now, 6)
            if self.settled:
                text = f"every scheduler is back; {len(self.agents_back)} agents have re-registered"
                self._agenda.tell("leader", text)

        return back

    def _restart(self, index: int) -> None:
        self.up[index] = True
        self.masters[index] = replace(
            self.masters[index], id=identity.uuid(self._rng), started=round(self._agenda.now, 6)
        )
        self._agenda.tell("leader", f"master {self.masters[index].endpoint} is back, not leading")
