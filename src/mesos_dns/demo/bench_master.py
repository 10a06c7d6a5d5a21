"""A leading master for benchmarks: many tasks of which some change each second, cheap to poll.

Tasks are encoded once, and joined in blocks; a change costs one task and one block. Besides the paths
of a master it answers

    GET  /demo/changes?after=SEQ   the changes with a higher number, oldest first: what changed and when
    POST /demo/change              make one change now, and return it

so that a benchmark knows which name has to appear, and since when it could.
"""

import asyncio
import gzip
import random
import time
from collections import deque
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

from aiohttp import web

from mesos_dns.demo import document, generator, http, wire
from mesos_dns.demo.cluster import Agent, Task
from mesos_dns.demo.wire import AgentView, Json

#: Tasks that are joined together; about 600 kB.
BLOCK: Final = 256
#: Changes that are remembered for `/demo/changes`.
MAX_CHANGES: Final = 10_000


@dataclass(slots=True)
class Block:
    """Some tasks of one framework and their text; None after a change."""

    tasks: list[Task]
    texts: list[bytes]
    joined: bytes | None = None

    def text(self) -> bytes:
        """Return the elements, separated by commas."""
        if self.joined is None:
            self.joined = b",".join(self.texts)
        return self.joined


class ChangingState:
    """A generated cluster whose tasks are replaced one at a time. Deterministic but for the times given in."""

    def __init__(self, *, seed: int, agents: int, tasks: int, leader: str) -> None:
        self._population = generator.populate(seed=seed, agents=agents, tasks=tasks)
        self._rng = random.Random(f"changes {seed}")
        view = generator.view(self._population, generator.leader_identity(leader, seed))
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
        block.tasks[index], block.texts[index], block.joined = new, wire.dump(wire.task_json(new)), None
        del self._on_agent[old.agent.number][old.key]
        self._on_agent[agent.number][new.key] = new
        for touched in (old.agent, agent):
            self._agents[touched.number] = self._agent_text(touched)
        self.sequence += 1
        change = _told(self.sequence, now, old, new)
        self.changes.append(change)
        return change

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
    }


def _blocks(tasks: tuple[Task, ...]) -> list[Block]:
    parts = [list(tasks[start : start + BLOCK]) for start in range(0, len(tasks), BLOCK)]
    return [Block(part, [wire.dump(wire.task_json(task)) for task in part]) for part in parts]


async def _send(request: web.Request, pieces: list[bytes], *, compress: bool) -> web.StreamResponse:
    """Send the document piece by piece, so that other requests are answered meanwhile."""
    if compress and "gzip" in request.headers.get("Accept-Encoding", ""):
        packed = await asyncio.to_thread(lambda: gzip.compress(b"".join(pieces), 1, mtime=0))
        return web.Response(body=packed, headers={"Content-Type": "application/json", "Content-Encoding": "gzip"})
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    response.content_length = sum(map(len, pieces))
    await response.prepare(request)
    if request.method != "HEAD":
        for piece in pieces:
            await response.write(piece)
    return response


def application(state: ChangingState, endpoint: str, *, compress: bool) -> web.Application:
    """Return a web application that answers like the leading master at `endpoint`."""

    async def handle(request: web.Request) -> web.StreamResponse:
        match http.path_of(request):
            case "/master/state":
                return await _send(request, state.pieces(), compress=compress)
            case "/master/redirect":
                return http.empty(307, {"Location": f"//{endpoint}"})
            case "/master/health":
                return http.empty(200)
            case "/demo/changes":
                return _changes(state, request)
            case "/demo/change" if request.method == "POST":
                return web.Response(body=wire.dump(state.change(time.time())), content_type="application/json")
            case _:
                return http.not_found()

    served = web.Application()
    served.router.add_route("*", "/{path:.*}", handle)
    return served


def _changes(state: ChangingState, request: web.Request) -> web.Response:
    after = request.query.get("after", "0")
    if not (after.isascii() and after.isdigit()):
        return http.text(400, f"after={after!r} is not a sequence number")
    told = [change for change in state.changes if change["seq"] > int(after)]
    return web.Response(body=wire.dump({"seq": state.sequence, "changes": told}), content_type="application/json")


async def serve(state: ChangingState, address: str, port: int, *, change_rate: float, compress: bool) -> None:
    """Serve `state` until cancelled, with `change_rate` changes per second (0: only on demand)."""
    endpoint = f"{address}:{port}"
    listener = http.Listener(address, port, lambda: application(state, endpoint, compress=compress))
    async with http.listening([listener]):
        size = sum(map(len, state.pieces()))
        print(f"serving {state!r} ({size} octets) at http://{endpoint}/master/state", flush=True)
        started, made = time.monotonic(), 0
        while True:
            await asyncio.sleep(min(1.0, 1.0 / change_rate) if change_rate > 0 else 1.0)
            while made < (time.monotonic() - started) * change_rate:
                state.change(time.time())
                made += 1
