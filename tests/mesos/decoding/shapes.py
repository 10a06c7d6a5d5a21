"""One cluster in the shapes of both APIs of a master: a `/master/state` document, and the state of the operator API."""

import json


def v0_labels(labels):
    return [{"key": key, "value": value} for key, value in labels]


def v1_labels(labels):
    return {"labels": v0_labels(labels)}


def v0_ports(ranges):
    return "[" + ", ".join(f"{first}-{last}" for first, last in ranges) + "]"


def v1_resources(ranges):
    cpus = {"name": "cpus", "type": "SCALAR", "scalar": {"value": 0.5}, "allocation_info": {"role": "*"}}
    listed = [{"begin": first, "end": last} for first, last in ranges]
    revocable = {"name": "ports", "type": "RANGES", "ranges": {"range": [{"begin": 1, "end": 2}]}, "revocable": {}}
    return [cpus, revocable, *([{"name": "ports", "type": "RANGES", "ranges": {"range": listed}}] if listed else [])]


def v0_status(status):
    return {**status, "labels": v0_labels(status["labels"])}


def v1_status(status, task):
    return {
        **status,
        "labels": v1_labels(status["labels"]),
        "task_id": {"value": task["id"]},
        "agent_id": {"value": task["agent"]},
        "uuid": "AAAA",
        "message": "what happened",
    }


def v0_task(task):
    return {
        "id": task["id"],
        "name": task["name"],
        "framework_id": task["framework"],
        "slave_id": task["agent"],
        "state": task["state"],
        "resources": {"cpus": 0.5, **({"ports": v0_ports(task["ports"])} if task["ports"] else {})},
        "statuses": [v0_status(status) for status in task["statuses"]],
        "labels": v0_labels(task["labels"]),
        **{key: task[key] for key in ("discovery", "container") if task[key] is not None},
    }


def v1_task(task):
    return {
        "task_id": {"value": task["id"]},
        "name": task["name"],
        "framework_id": {"value": task["framework"]},
        "agent_id": {"value": task["agent"]},
        "state": task["state"],
        "resources": v1_resources(task["ports"]),
        "statuses": [v1_status(status, task) for status in task["statuses"]],
        "labels": v1_labels(task["labels"]),
        **{key: task[key] for key in ("discovery", "container") if task[key] is not None},
    }


def v1_agent(agent_id, pid):
    return {"agent_info": {"id": {"value": agent_id}, "hostname": "host"}, "active": True, "pid": pid}


def v1_framework(framework):
    info = {"id": {"value": framework["id"]}, "name": framework["name"], "hostname": framework["hostname"]}
    return {"framework_info": info, "active": True, "connected": True, "recovered": framework["recovered"]}


def v0_framework(framework, **more):
    pid = framework["pid"]
    return {
        **{key: framework[key] for key in ("id", "name", "hostname", "recovered")},
        **({} if pid is None else {"pid": pid}),
        "used_resources": {"cpus": 0.0, "mem": 0.0},
        **more,
    }


def v0_state(cluster):
    """The document. `cluster` has `agents` (id to pid), `recovered`, `frameworks`, `completed` and `tasks`."""
    frameworks = [
        v0_framework(
            framework,
            tasks=[v0_task(task) for task in cluster["tasks"] if task["framework"] == framework["id"]],
            executors=[],
            completed_tasks=[],
            unreachable_tasks=[],
        )
        for framework in cluster["frameworks"]
    ]
    document = {
        "id": "M1",
        "pid": "master@10.0.0.1:5050",
        "leader": "master@10.0.0.1:5050",
        "elected_time": 5.0,
        "flags": {"registry": "replicated_log", "agent_reregister_timeout": "10mins"},
        "slaves": [{"id": key, "pid": pid} for key, pid in cluster["agents"].items()],
        "recovered_slaves": [{"id": key} for key in cluster["recovered"]],
        "frameworks": frameworks,
        "completed_frameworks": [{"id": key} for key in cluster["completed"]],
        "unregistered_frameworks": [],
        "orphan_tasks": [],
    }
    return json.dumps(document).encode()


def v1_state(cluster):
    return {
        "get_tasks": {"tasks": [v1_task(task) for task in cluster["tasks"]], "completed_tasks": []},
        "get_executors": {"executors": []},
        "get_frameworks": {
            "frameworks": [v1_framework(framework) for framework in cluster["frameworks"]],
            "completed_frameworks": [{"framework_info": {"id": {"value": key}}} for key in cluster["completed"]],
        },
        "get_agents": {
            "agents": [v1_agent(*agent) for agent in cluster["agents"].items()],
            "recovered_agents": [{"id": {"value": key}, "hostname": "h"} for key in cluster["recovered"]],
        },
    }


def subscribed(cluster):
    """The first record of an event stream."""
    return json.dumps(
        {"type": "SUBSCRIBED", "subscribed": {"get_state": v1_state(cluster), "heartbeat_interval_seconds": 15.0}}
    ).encode()


def summary(cluster):
    """The `/master/state-summary`."""
    return json.dumps(
        {
            "hostname": "h",
            "slaves": [{"id": key, "pid": pid} for key, pid in cluster["agents"].items()],
            "frameworks": [v0_framework(framework) for framework in cluster["frameworks"]],
        }
    ).encode()


MASTER = json.dumps(
    {
        "type": "GET_MASTER",
        "get_master": {
            "master_info": {"id": "M1", "pid": "master@10.0.0.1:5050", "version": "1.11.0"},
            "elected_time": 5.0,
        },
    }
).encode()
FLAGS = json.dumps(
    {
        "type": "GET_FLAGS",
        "get_flags": {
            "flags": [
                {"name": "registry", "value": "replicated_log"},
                {"name": "agent_reregister_timeout", "value": "10mins"},
            ]
        },
    }
).encode()


def event(kind, **payload):
    return json.dumps({"type": kind, **({kind.lower(): payload} if payload else {})}).encode()


def task_added(task):
    return event("TASK_ADDED", task=v1_task(task))


def task_updated(task, status, state=None):
    return event(
        "TASK_UPDATED",
        framework_id={"value": task["framework"]},
        state=status["state"] if state is None else state,
        status=v1_status(status, task),
    )
