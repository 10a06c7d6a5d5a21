"""What the states of both APIs have in common: agents, addresses of frameworks, and the count of what cannot be used. Pure."""

from collections.abc import Iterable
from typing import Final

from mesos_dns import limits
from mesos_dns.mesos.decoding import wire
from mesos_dns.mesos.decoding.evidence import Sums
from mesos_dns.mesos.decoding.grammar import parse_pid
from mesos_dns.mesos.state import Agent
from mesos_dns.quoting import quoted

#: Examples kept per reason for which elements of a state were skipped: enough to find the culprit.
MAX_SKIPPED_EXAMPLES: Final = 3


class Skipped:
    """Counts by reason, with the first few examples."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.examples: dict[str, tuple[str, ...]] = {}

    def __repr__(self) -> str:
        return f"Skipped({self.counts})"

    def add(self, reason: str, example: str) -> None:
        """Count one. There are as many reasons as places that call this."""
        self.counts[reason] = self.counts.get(reason, 0) + 1
        shown = self.examples.get(reason, ())
        if len(shown) < MAX_SKIPPED_EXAMPLES:
            self.examples[reason] = (*shown, example[: limits.MAX_EXAMPLE_TEXT])


def read_agents(
    elements: Iterable[tuple[int, wire.AgentEntry]], skipped: Skipped, sums: Sums | None = None
) -> dict[str, Agent]:
    """The agents by id, of entries with their position in the list. What they have in use is added to `sums`."""
    agents: dict[str, Agent] = {}
    for position, found in elements:
        agent = read_agent(found, f"#{position}", skipped)
        if agent.id in agents:
            skipped.add("agent: repeated id", quoted(agent.id))
        agents[agent.id] = agent
        if sums is not None:
            sums.add_agent(found.used_resources)
    return agents


def read_agent(found: wire.AgentEntry, otherwise: str, skipped: Skipped) -> Agent:
    """One agent, called `otherwise` if it has no id."""
    agent_id = found.id or otherwise
    host, port = parse_pid(found.pid or "") or ("", None)
    if not host or port is None:
        pid = "no pid" if found.pid is None else f"pid {quoted(found.pid)}"
        skipped.add("agent: bad pid", f"{pid} of agent {quoted(agent_id)}")
    return Agent(id=agent_id, host=host, port=port or 0)


def framework_address(pid: str | None, hostname: str, name: str, skipped: Skipped) -> tuple[str, int | None]:
    """Host and port of a framework: of its PID, or its host name and no port."""
    if pid is None:
        return hostname, None
    address = parse_pid(pid)
    if address is None:
        skipped.add("framework: bad pid", f"{quoted(pid)} of framework {quoted(name)}")
        return hostname, None
    return address
