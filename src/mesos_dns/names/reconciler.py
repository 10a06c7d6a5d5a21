"""From one full state to the next, across master failovers. Pure; time comes in as an argument.

A freshly elected master answers with an empty cluster and learns of agents, frameworks and tasks
only as the agents re-register (Mesos gives them 10 minutes). Whoever believes that first answer
drops every name. So after a change of master nothing is removed for being absent alone: an agent
and its tasks go when the agent is back without them, when the master stops expecting it
(`recovered_slaves`, Mesos 1.2), or when the time is up.
"""

from mesos_dns.mesos.state import Delta, Framework, Snapshot
from mesos_dns.names.model import Model

#: Seconds. Mesos marks agents unreachable that are not back after `--agent_reregister_timeout`.
GRACE = 600.0


class Reconciler:
    """Compares full states with the model: the delta that leads to them, less what may come back."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._master: str | None = None
        self._deadline = 0.0
        #: What the former master knew and the present one has not confirmed.
        self.awaited_agents: set[str] = set()
        self.awaited_frameworks: set[str] = set()
        self._expected: set[str] = set()
        #: Mesos 1.2 and later name a framework as soon as an agent with one of its tasks is back, so
        #: only there a framework's absence says nothing for its tasks on agents that are back.
        self._names_recovered = False

    def __repr__(self) -> str:
        return (
            f"Reconciler(master={self._master!r}, awaited agents={len(self.awaited_agents)}, "
            f"awaited frameworks={len(self.awaited_frameworks)})"
        )

    def inherit(self, former: "Reconciler") -> None:
        """Go on where `former` is, whose model this one's model has taken over."""
        self._master = former._master
        self._deadline = former._deadline
        self.awaited_agents = set(former.awaited_agents)
        self.awaited_frameworks = set(former.awaited_frameworks)
        self._expected = set(former._expected)
        self._names_recovered = former._names_recovered

    def delta(self, snapshot: Snapshot, now: float) -> Delta:
        """What to apply to the model; `now` in seconds of any steady clock."""
        self._note_master(snapshot, now)
        self._note_returns(snapshot)
        model = self._model
        frameworks = {key: self._keep_address(new) for key, new in snapshot.frameworks.items()}
        known_tasks = model.tasks
        return Delta(
            agents={key: new for key, new in snapshot.agents.items() if model.agents.get(key) != new},
            frameworks={key: new for key, new in frameworks.items() if model.frameworks.get(key) != new},
            # An unchanged task is mostly the very same object, which the decoder remembered.
            tasks={
                key: new
                for key, new in snapshot.tasks.items()
                if (old := known_tasks.get(key)) is not new and old != new
            },
            agents_gone=tuple(model.agents.keys() - snapshot.agents.keys() - self.awaited_agents),
            frameworks_gone=tuple(model.frameworks.keys() - snapshot.frameworks.keys() - self.awaited_frameworks),
            tasks_gone=tuple(
                key
                for key, task in known_tasks.items()
                if key not in snapshot.tasks
                and task.agent_id not in self.awaited_agents
                and (task.framework_id not in self.awaited_frameworks or self._names_recovered)
            ),
        )

    def _note_master(self, snapshot: Snapshot, now: float) -> None:
        master = snapshot.master_id or str(snapshot.leader)
        if self._master not in (None, master):
            self.awaited_agents = set(self._model.agents)
            self.awaited_frameworks = set(self._model.frameworks)
            self._expected = set()
            self._names_recovered = False
            self._deadline = now + GRACE
        self._master = master
        if now >= self._deadline:
            self.awaited_agents.clear()
            self.awaited_frameworks.clear()

    def _note_returns(self, snapshot: Snapshot) -> None:
        self.awaited_agents -= snapshot.agents.keys()
        self.awaited_frameworks -= snapshot.frameworks.keys()
        # Expected once and expected no more, without having returned: marked unreachable or gone.
        self.awaited_agents -= self._expected - snapshot.recovered_agents
        self._expected |= snapshot.recovered_agents & self.awaited_agents
        if snapshot.recovered_agents:
            self._names_recovered = True

    def _keep_address(self, new: Framework) -> Framework:
        """A framework recovered from agents has no PID until its scheduler is back: the old one stays."""
        old = self._model.frameworks.get(new.id)
        if new.recovered and new.port is None and old is not None and old.name == new.name:
            return Framework(new.id, new.name, old.host, old.port, recovered=True)
        return new
