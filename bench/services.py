"""Pure: applications with many instances, added to the state of a simulated cluster.

The applications of the simulated cluster have a handful of instances each. What large answers cost is
asked of these; the other workloads leave their names out, so that they ask what they always asked.
"""

import json
from dataclasses import replace
from typing import Any, Final

from bench.zonefile import ZoneNames

#: How many instances each of them has. A thousand SRV records are nearly what a message holds.
SIZES: Final = (60, 200, 1000)
_FRAMEWORK: Final = "marathon"
_FIRST_PORT: Final = 20_000


def name(instances: int) -> str:
    return f"of{instances}"


def owner(instances: int, origin: str) -> str:
    """The owner of the SRV records of all instances."""
    return f"_{name(instances)}._tcp.{_FRAMEWORK}.{origin}"


def with_services(state: bytes) -> bytes:
    """The state with those applications, their instances spread over the agents; ValueError without the framework."""
    document: dict[str, Any] = json.loads(state)
    framework = next((each for each in document["frameworks"] if each["name"] == _FRAMEWORK), None)
    agents = [agent["id"] for agent in document["slaves"]]
    if framework is None or not agents:
        raise ValueError(f"the state has no framework {_FRAMEWORK} or no agent to add applications to")
    for instances in SIZES:
        framework["tasks"] += [_task(instances, number, framework["id"], agents) for number in range(instances)]
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()


def _task(instances: int, number: int, framework: str, agents: list[str]) -> dict[str, Any]:
    """A running task in the network of its host, with one port of it (Mesos 1.11, /master/state)."""
    round_, place = divmod(number, len(agents))
    port = _FIRST_PORT + 10 * instances + round_
    return {
        "id": f"{name(instances)}.instance-{instances:08x}-0000-4000-8000-{number:012x}._app.1",
        "name": name(instances),
        "framework_id": framework,
        "executor_id": "",
        "slave_id": agents[place],
        "state": "TASK_RUNNING",
        "resources": {"disk": 0.0, "mem": 128.0, "gpus": 0.0, "cpus": 0.1, "ports": f"[{port}-{port}]"},
        "role": "*",
        "statuses": [{"state": "TASK_RUNNING", "timestamp": 1_699_936_476.0, "container_status": {}}],
    }


def apart(names: ZoneNames) -> ZoneNames:
    """The names of the added applications stand in `services` alone: other workloads do not ask for them."""
    marks = tuple(
        f"{lead}{name(instances)}{end}" for instances in SIZES for lead, end in (("", "."), ("", "-"), ("_", "."))
    )
    by_type = {
        rrtype: tuple(each for each in owners if not each.startswith(marks)) for rrtype, owners in names.by_type.items()
    }
    added = {owner(instances, names.origin) for instances in SIZES}
    return replace(names, by_type=by_type, services=tuple(each for each in names.by_type["SRV"] if each in added))
