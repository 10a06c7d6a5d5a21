"""A whole cluster at rest, for benchmarks and tests: a pure function of its size and seed."""

import random
from collections.abc import Iterator
from dataclasses import dataclass

from mesos_dns.demo import identity, wire
from mesos_dns.demo.catalog import FRAMEWORKS, Application, applications
from mesos_dns.demo.cluster import Agent, Placement, Task, make_agents, settled
from mesos_dns.demo.document import ClusterView, MasterIdentity, state_pieces
from mesos_dns.demo.wire import AgentView, FrameworkView

#: The generated cluster's "now": fixed, so that the same seed gives the same octets.
EPOCH = 1_700_000_000.0
#: When the generated cluster's agents and frameworks registered.
REGISTERED = EPOCH - 90000.0


@dataclass(frozen=True, slots=True)
class Population:
    """What a new cluster consists of; `tasks` all run. `placement` goes on where it stopped."""

    origin: str
    agents: tuple[Agent, ...]
    applications: tuple[Application, ...]
    tasks: tuple[Task, ...]
    placement: Placement
    rng: random.Random


def populate(*, seed: int, agents: int, tasks: int, now: float = EPOCH) -> Population:
    """Agents and exactly `tasks` running tasks, spread round the agents.

    Raises ValueError for impossible numbers, also when the agents have too few ports.
    """
    rng = random.Random(f"population {seed}")
    origin = identity.uuid(rng)
    machines = make_agents(rng, agents, origin)
    placement = Placement(rng, machines)
    chosen = applications(seed, tasks)
    running: list[Task] = []
    for application in chosen:
        first = rng.randrange(len(machines))
        for instance in range(application.instances):
            agent = machines[(first + instance) % len(machines)]
            running.append(settled(placement, application, agent, now, rng))
    return Population(origin, machines, chosen, tuple(running), placement, rng)


def view(population: Population, master: MasterIdentity, *, now: float = EPOCH) -> ClusterView:
    """Return the population as its leading master sees it, everything registered long ago."""
    by_agent: dict[int, list[Task]] = {agent.number: [] for agent in population.agents}
    by_framework: dict[int, list[Task]] = {framework.number: [] for framework in FRAMEWORKS}
    # A master keeps its tasks in hash tables: the instances of an application are scattered over its state.
    for task in random.Random(population.origin).sample(population.tasks, len(population.tasks)):
        by_agent[task.agent.number].append(task)
        by_framework[task.framework.number].append(task)
    registered = now - 90000.0
    return ClusterView(
        master,
        registered,
        tuple(AgentView(agent, registered, None, True, tuple(by_agent[agent.number])) for agent in population.agents),
        tuple(
            FrameworkView(framework, population.origin, registered, None, False, tuple(by_framework[framework.number]))
            for framework in FRAMEWORKS
        ),
    )


def leader_identity(endpoint: str, seed: int, *, now: float = EPOCH) -> MasterIdentity:
    """Return the master at `endpoint`. Raises ValueError unless that is `address:port` with a port of 1 to 65535."""
    address, colon, port = endpoint.rpartition(":")
    if not (colon and address and port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise ValueError(f"leader {endpoint!r} is not ADDRESS:PORT")
    return MasterIdentity(identity.uuid(random.Random(f"master {seed} {endpoint}")), address, int(port), now - 90001.0)


def state_text(*, seed: int, agents: int, tasks: int, leader: str) -> Iterator[bytes]:
    """Return the state of a generated cluster in pieces; together one JSON document."""
    master = leader_identity(leader, seed)
    return state_pieces(
        view(populate(seed=seed, agents=agents, tasks=tasks), master), lambda task: wire.dump(wire.task_json(task))
    )
