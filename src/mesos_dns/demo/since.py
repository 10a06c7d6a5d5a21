"""Since when the fields of `/state` and its like exist: what an older master does not write is left out.

Extracted from the writers of each Mesos release; a field that is not listed is as old as 0.21.
"""

from typing import Any, Final

from mesos_dns.demo.releases import LATEST, Release

Json = dict[str, Any]

_SINCE: Final[dict[str, dict[str, tuple[int, int]]]] = {
    "state": {"leader_info": (1, 1), "unreachable_slaves": (1, 2), "domain": (1, 4), "capabilities": (1, 5)},
    "agent": {
        "active": (0, 22),
        "used_resources": (0, 23),
        "offered_resources": (0, 23),
        "reserved_resources": (0, 23),
        "unreserved_resources": (0, 23),
        "version": (0, 26),
        "port": (1, 2),
        "capabilities": (1, 3),
        "domain": (1, 4),
        "deactivated": (1, 9),
        "drain_info": (1, 9),
    },
    "framework": {
        "pid": (0, 23),
        "executors": (0, 23),
        "capabilities": (0, 24),
        "connected": (1, 2),
        "recovered": (1, 2),
        "unreachable_tasks": (1, 2),
        "offer_constraints": (1, 11),
    },
    "task": {
        "labels": (0, 22),
        "discovery": (0, 22),
        "container": (0, 27),
        "user": (1, 0),
        "role": (1, 3),
        "health_check": (1, 8),
        "limits": (1, 10),
    },
    "status": {"labels": (0, 24), "container_status": (0, 25), "healthy": (0, 26)},
    "container_status": {"cgroup_info": (0, 28), "container_id": (1, 2)},
    "network_info": {"ip_addresses": (0, 26), "name": (1, 0), "port_mappings": (1, 5)},
}


def pruned(kind: str, value: Json, release: Release) -> Json:
    """Return `value` with the fields that `release` writes. `kind` is a key of the table; parts are pruned, too."""
    if release == LATEST:
        return value
    since = _SINCE[kind]
    kept = {key: member for key, member in value.items() if key not in since or release.at_least(*since[key])}
    match kind:
        case "task":
            kept["statuses"] = [pruned("status", status, release) for status in kept["statuses"]]
        case "status" if "container_status" in kept:
            kept["container_status"] = pruned("container_status", kept["container_status"], release)
        case "container_status":
            kept["network_infos"] = [_network_info(info, release) for info in kept["network_infos"]]
        case "framework" if "roles" in kept and not release.at_least(1, 2):
            kept["role"] = kept.pop("roles")[0]
        case "agent" if "version" in kept:
            kept["version"] = str(release)
        case _:
            pass
    return kept


def _network_info(info: Json, release: Release) -> Json:
    """0.25 to 0.28 write one `ip_address`, and the protocol stands there since its default does (1.4)."""
    kept = pruned("network_info", info, release)
    addresses = info.get("ip_addresses", [])
    if addresses and not release.at_least(1, 0):
        kept["ip_address"] = addresses[0]["ip_address"]
    if "ip_addresses" in kept and not release.at_least(1, 4):
        kept["ip_addresses"] = [{"ip_address": entry["ip_address"]} for entry in addresses]
    return kept
