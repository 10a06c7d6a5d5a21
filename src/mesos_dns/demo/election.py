"""Failovers that come by themselves: who dies, who takes over, and when what comes back.

The phases of a failover, as recorded from Mesos 1.11 (the times there; here shorter by default):

    leader dies            its port refuses connections; the others still redirect to it (8 s)
    session expires        the others answer 503 "No leader elected" (0.1-0.5 s)
    elected                200, with no agents, no frameworks, no `recovered_slaves`; the operator API says 503
    registry read          every agent in `recovered_slaves` (0.1 s); the operator API answers
    agents re-register     one by one, each with its tasks; their frameworks are `recovered`
    schedulers come back   `connected` again, with `reregistered_time`
    dead master restarts   with a new id; it redirects to the leader
"""

from dataclasses import dataclass

from mesos_dns.demo.document import MasterIdentity
from mesos_dns.demo.world import World


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds that the phases of a failover take."""

    session_expiry: float = 4.0
    election: float = 0.4
    registry: float = 0.2
    reregistration: float = 2.0
    restart: float = 8.0


class Election:
    """Lets the leading master of a world die, and another one take over, at some pace."""

    def __init__(self, world: World, pace: Pace) -> None:
        self._world = world
        self._pace = pace
        #: False where ZooKeeper decides who leads: then leaders only die and are started again.
        self.decides = True

    def __repr__(self) -> str:
        return f"Election({self._world!r}, {self._pace!r})"

    @property
    def masters(self) -> list[MasterIdentity]:
        """Every master, dead ones as they were."""
        return [seat.identity for seat in self._world.masters]

    @property
    def settled(self) -> bool:
        """Whether somebody leads and every scheduler is connected, so that tasks can be launched."""
        return any(
            all(
                number in ledger.frameworks and ledger.frameworks[number].connected for number in self._world.schedulers
            )
            for ledger in self._world.ledgers
        )

    def fail_over(self) -> bool:
        """Let the leader die. False, and nothing happens, unless another master could take over."""
        world, agenda = self._world, self._world.agenda
        dead = world.leader
        if dead is None or sum(seat.up for seat in world.masters) < 2:
            return False
        world.kill(dead)
        agenda.tell("leader", f"leading master {self.masters[dead].endpoint} died")
        if self.decides:
            agenda.after(self._pace.session_expiry, self._expire)
        agenda.after(self._pace.session_expiry + self._pace.restart, lambda: self._restart(dead))
        return True

    def _expire(self) -> None:
        self._world.nobody_leads()
        self._world.agenda.after(self._pace.election, self._elect)

    def _elect(self) -> None:
        world = self._world
        chosen = world.rng.choice([index for index, seat in enumerate(world.masters) if seat.up])
        world.elect(chosen)
        world.agenda.tell("leader", f"master {self.masters[chosen].endpoint} leads now, and knows nothing yet")
        world.agenda.after(self._pace.registry, self._read_registry)

    def _read_registry(self) -> None:
        self._world.read_registry()
        self._world.come_back(self._pace.reregistration)
        self._world.agenda.after(self._pace.reregistration, self._tell)

    def _tell(self) -> None:
        for ledger in self._world.ledgers:
            text = f"every scheduler is back; {len(ledger.agents)} agents have re-registered"
            self._world.agenda.tell("leader", text)

    def _restart(self, index: int) -> None:
        self._world.start_master(index)
        self._world.agenda.tell("leader", f"master {self.masters[index].endpoint} is back, not leading")
