"""What an installation consists of: the condition of each machine, scheduler and master process."""

from dataclasses import dataclass

from mesos_dns.demo.catalog import Framework
from mesos_dns.demo.cluster import Agent
from mesos_dns.demo.document import MasterIdentity
from mesos_dns.demo.ledger import Ledger


@dataclass(slots=True)
class Machine:
    """An agent's condition. `lost_at` = when the master gave it up; None while it is registered."""

    agent: Agent
    active: bool = True
    lost_at: float | None = None
    deactivated: bool = False
    draining: str = ""


@dataclass(slots=True)
class Scheduler:
    """A framework's scheduler. While it does not acknowledge, agents keep later statuses back."""

    framework: Framework
    registered: float
    connected: bool = True
    acknowledges: bool = True


@dataclass(slots=True)
class Seat:
    """One master process. `ledger` while it leads, or claims to; `believed` = whom it takes for the leader otherwise."""

    identity: MasterIdentity
    up: bool = True
    #: Stopped but not dead: connections stay open and are accepted, nothing is answered.
    frozen: bool = False
    #: A starting master has no routes for a moment and answers 404.
    routed: bool = True
    #: False for a master that claims to lead, but that agents and schedulers do not talk to.
    heard: bool = True
    believed: int | None = None
    ledger: Ledger | None = None
