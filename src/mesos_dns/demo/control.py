"""Orders to a running demo over HTTP: `POST /demo/ORDER/NUMBER`, for example `curl -X POST :15060/demo/kill/0`.

`GET /` lists the orders; `GET /demo/tasks` is the truth, which no master need know: each task with its state,
addresses and ports, and since when. NUMBER is a master's, an agent's or a framework's; orders that need none ignore it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from mesos_dns.demo import http, wire
from mesos_dns.demo.wire import Json
from mesos_dns.demo.world import World


@dataclass(frozen=True, slots=True)
class Order:
    """What can be asked for. `of` says what the number is: master, agent, framework, or empty for none."""

    about: str
    of: str
    do: Callable[[World, int], object]


def _freeze(world: World, index: int, frozen: bool) -> None:
    world.masters[index].frozen = frozen


def _elect(world: World, index: int) -> None:
    world.elect(index)
    world.read_registry()


ORDERS: Final = {
    "kill": Order("kill a master: connections break", "master", World.kill),
    "start": Order("start a dead master", "master", World.start_master),
    "freeze": Order("stop a master without killing it", "master", lambda world, index: _freeze(world, index, True)),
    "thaw": Order("let a stopped master go on", "master", lambda world, index: _freeze(world, index, False)),
    "elect": Order("make a master the leader of an empty cluster", "master", _elect),
    "usurp": Order("let a second master claim to lead", "master", World.usurp),
    "nobody": Order("let nobody know a leader", "", lambda world, _: world.nobody_leads()),
    "back": Order("let agents and schedulers return within 2 s", "", lambda world, _: world.come_back(2.0)),
    "lose": Order("give an agent up", "agent", World.lose_agent),
    "return": Order("let an agent come back", "agent", World.return_agent),
    "unregister": Order("shut an agent down", "agent", World.unregister_agent),
    "gone": Order("mark an agent gone", "agent", World.agent_gone),
    "add-agent": Order("let a new agent register", "", lambda world, _: world.add_agent()),
    "disconnect": Order("cut a scheduler off", "framework", World.disconnect),
    "reconnect": Order("let a scheduler come back", "framework", World.reconnect),
    "tear-down": Order("remove a framework with its tasks", "framework", World.tear_down),
}


def truth(world: World) -> Json:
    """Return what runs: `time` (the masters' clock), and the tasks. `lost`: their agent is given up; `known`: the state that the leader knows."""
    ledger = None if world.leader is None else world.masters[world.leader].ledger
    known = {} if ledger is None else {key: task.state for key, task in ledger.tasks.items()}
    return {
        "time": world.now,
        "leader": None if world.leader is None else world.masters[world.leader].identity.endpoint,
        "tasks": [
            {
                "framework": task.framework.name,
                "name": task.application.discovery or task.application.name,
                "task_id": task.id,
                "agent_id": task.agent.id,
                "agent": task.agent.address,
                "addresses": [address for _, address in task.addresses],
                "ports": list(task.ports),
                "state": task.state,
                "known": known.get(task.key),
                "since": task.statuses[-1].timestamp if task.statuses else None,
                "healthy": task.statuses[-1].healthy if task.statuses else None,
                "lost": world.machines[task.agent.number].lost_at is not None,
            }
            for task in world.tasks.values()
        ],
    }


def application(world: World) -> web.Application:
    """Return a web application that takes orders for `world`."""

    async def handle(request: web.Request) -> web.Response:
        parts = request.path.strip("/").split("/")
        if request.path == "/demo/tasks":
            return http.document(request, wire.dump(truth(world)))
        if request.method != "POST":
            lines = [
                f"POST /demo/{name}{f'/{order.of.upper()}' if order.of else ''}  {order.about}"
                for name, order in ORDERS.items()
            ]
            return http.text(200, "\n".join(lines) + "\n")
        order = ORDERS.get(parts[1]) if len(parts) > 1 and parts[0] == "demo" else None
        if order is None:
            return http.text(404, "no such order; GET / lists them\n")
        number = parts[2] if len(parts) > 2 else ""
        known = {"master": range(len(world.masters)), "agent": world.machines, "framework": world.schedulers}
        if order.of and not (number.isascii() and number.isdigit() and int(number) in known[order.of]):
            return http.text(400, f"{number!r} is no {order.of}, expected one of {sorted(known[order.of])}\n")
        try:
            order.do(world, int(number) if order.of else 0)
        except ValueError as error:
            return http.text(409, f"{error}\n")
        return http.text(200, f"done: {order.about}\n")

    served = web.Application()
    served.router.add_route("*", "/{path:.*}", handle)
    return served
