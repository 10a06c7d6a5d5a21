"""A large cluster in which tasks change one at a time, cheap to poll and cheap to follow.

Tasks are encoded once, for the old API and, when somebody asks for that, for the operator API; a
change costs one task. The old document is joined in blocks, which polls share.
"""

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Final

from mesos_dns.demo import document, generator, v1, v1_document, wire
from mesos_dns.demo.cluster import Agent, Status, Task
from mesos_dns.demo.document import ClusterView
from mesos_dns.demo.releases import LATEST
from mesos_dns.demo.wire import AgentView, Json

#: Tasks that are joined together; about 600 kB.
BLOCK: Final = 256
#: Changes that are remembered for `/demo/changes`.
MAX_CHANGES: Final = 10_000


#: Told of an event: its text, and the number of the change that it completes, else None.
Hook = Callable[[bytes, int | None], None]


@dataclass(slots=True)
class Block:
    """Some tasks of one framework and their text; None after a change."""

    tasks: list[Task]
    #: Made when somebody asks for them: most benchmarks use one API only.
    texts: list[bytes] | None = None
    joined: bytes | None = None
    v1_texts: list[bytes] | None = None

    def text(self) -> bytes:
        """Return the elements, separated by commas."""
        if self.texts is None:
            self.texts = [wire.dump(wire.task_json(task)) for task in self.tasks]
        if self.joined is None:
            self.joined = b",".join(self.texts)
        return self.joined

    def v1_text(self) -> bytes:
        """Return the elements as the operator API writes them."""
        if self.v1_texts is None:
            self.v1_texts = [wire.dump(v1.task_json(task)) for task in self.tasks]
        return b",".join(self.v1_texts)

    def put(self, index: int, task: Task) -> None:
        """Replace one element."""
        self.tasks[index], self.joined = task, None
        if self.texts is not None:
            self.texts[index] = wire.dump(wire.task_json(task))
        if self.v1_texts is not None:
            self.v1_texts[index] = wire.dump(v1.task_json(task))


class ChangingState:
    """A generated cluster whose tasks are replaced one at a time. Deterministic but for the times given in."""

    def __init__(self, *, seed: int, agents: int, tasks: int, leader: str) -> None:
        self._population = generator.populate(seed=seed, agents=agents, tasks=tasks)
        self._rng = random.Random(f"changes {seed}")
        self._first = view = generator.view(self._population, generator.leader_identity(leader, seed))
        self._opening, self._closing = document.opening(view), document.closing(view)
        self._on_agent = {agent.agent.number: {task.key: task for task in agent.tasks} for agent in view.agents}
        self._registered = generator.REGISTERED
        self._agents = {agent.number: self._agent_text(agent) for agent in self._population.agents}
        self._frameworks = {
            framework.framework.number: document.framework_edges(framework) for framework in view.frameworks
        }
        self._blocks: dict[int, list[Block]] = {
            framework.framework.number: _blocks(framework.tasks) for framework in view.frameworks
        }
        self._places = [block for blocks in self._blocks.values() for block in blocks]
        self._reach = list(accumulate(len(block.tasks) for block in self._places))
        #: Told of each event; None while nobody listens.
        self.emit: Hook | None = None
        self.sequence = 0
        self.changes: deque[Json] = deque(maxlen=MAX_CHANGES)

    def __repr__(self) -> str:
        return f"ChangingState(tasks={sum(len(block.tasks) for block in self._places)}, sequence={self.sequence})"

    def pieces(self) -> list[bytes]:
        """Return the document as it is now, in pieces that later changes leave alone."""
        pieces = [self._opening, b",".join(self._agents.values()), document.middle(())]
        for number, (head, tail) in self._frameworks.items():
            pieces.append((b"," if number else b"") + head)
            for index, block in enumerate(self._blocks[number]):
                pieces += [b","] if index else []
                pieces.append(block.text())
            pieces.append(tail)
        pieces.append(self._closing)
        return pieces

    def change(self, now: float) -> Json:
        """Replace one task by a new running instance on some agent; returns what `/demo/changes` tells.

        Raises ValueError when there are no tasks.
        """
        if not self._places:
            raise ValueError("there are no tasks, so none can change")
        block = self._rng.choices(self._places, cum_weights=self._reach)[0]
        index = self._rng.randrange(len(block.tasks))
        old = block.tasks[index]
        placement = self._population.placement
        placement.release(old)
        agent = self._rng.choice(self._population.agents)
        started = round(now - 0.3, 6)
        new = placement.launch(old.application, agent, started)
        new = new.turned("TASK_STARTING", started).turned("TASK_RUNNING", round(now, 6))
        block.put(index, new)
        del self._on_agent[old.agent.number][old.key]
        self._on_agent[agent.number][new.key] = new
        for touched in (old.agent, agent):
            self._agents[touched.number] = self._agent_text(touched)
        self.sequence += 1
        change = _told(self.sequence, now, old, new)
        self.changes.append(change)
        if self.emit is not None:
            self._tell(old, new, now)
        return change

    def _tell(self, old: Task, new: Task, now: float) -> None:
        """Send what a master sends: the new task starts and runs, then the old one is killed."""
        assert self.emit is not None, "asked before"
        origin = v1.value(wire.framework_id(self._population.origin, new.framework))

        def updated(task: Task, status: Status) -> bytes:
            update = {"framework_id": origin, "status": v1.status_json(task, status), "state": status.state}
            return wire.dump({"type": "TASK_UPDATED", "task_updated": update})

        staging = replace(new, state="TASK_STAGING", statuses=())
        added = {"task_added": {"task": v1.task_json(staging, event=True)}}
        self.emit(wire.dump({"type": "TASK_ADDED", **added}), None)
        starting, running = new.statuses
        self.emit(updated(new, starting), None)
        self.emit(updated(new, running), self.sequence)
        self.emit(updated(old, Status("TASK_KILLED", round(now, 6))), None)

    def written(self, sequence: int, at: float) -> None:
        """Note when the event that completes a change was written first, on the monotonic clock."""
        place = sequence - (self.sequence - len(self.changes)) - 1
        if 0 <= place < len(self.changes) and self.changes[place]["written"] is None:
            self.changes[place]["written"] = at

    def view(self) -> ClusterView:
        """Return the cluster as it is now: for what is asked seldom, as it takes about a second at 100,000 tasks."""
        return replace(
            self._first,
            agents=tuple(
                replace(agent, tasks=tuple(self._on_agent[agent.agent.number].values())) for agent in self._first.agents
            ),
            frameworks=tuple(
                replace(framework, tasks=tuple(task for block in self._blocks[number] for task in block.tasks))
                for framework in self._first.frameworks
                for number in (framework.framework.number,)
            ),
        )

    def v1_pieces(self, before: bytes, after: bytes) -> list[bytes]:
        """Return the member `get_state` between two texts, in pieces that later changes leave alone."""
        pieces = [before, b'{"get_tasks":{"tasks":[']
        for number, block in enumerate(self._places):
            pieces += [b","] if number else []
            pieces.append(block.v1_text())
        pieces.append(b'],"unreachable_tasks":[],"completed_tasks":[]}')
        view = self.view()
        for call in ("GET_EXECUTORS", "GET_FRAMEWORKS", "GET_AGENTS"):
            pieces.append(f',"{v1_document.PARTS[call]}":'.encode())
            pieces.append(b"".join(v1_document.part(call, view, lambda _task: b"", LATEST)))
        return [*pieces, b"}", after]

    def _agent_text(self, agent: Agent) -> bytes:
        view = AgentView(agent, self._registered, None, True, tuple(self._on_agent[agent.number].values()))
        return wire.dump(wire.agent_json(view))


def _told(sequence: int, now: float, old: Task, new: Task) -> Json:
    return {
        "seq": sequence,
        "time": now,
        "framework": new.framework.name,
        "name": new.application.discovery or new.application.name,
        "task_id": new.id,
        "replaces": old.id,
        "slave_id": new.agent.id,
        "agent": new.agent.address,
        "addresses": [address for _, address in new.addresses],
        "ports": list(new.ports),
        "written": None,
    }


def _blocks(tasks: tuple[Task, ...]) -> list[Block]:
    parts = [list(tasks[start : start + BLOCK]) for start in range(0, len(tasks), BLOCK)]
    return [Block(part) for part in parts]
