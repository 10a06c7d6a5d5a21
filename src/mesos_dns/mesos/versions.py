"""Which masters can be followed by their events. Pure: a table of what is wrong with those of each version."""

from typing import Final

from mesos_dns.mesos.decoding.v1_calls import Version

#: Up to (not including) a version: why events alone are not enough. The first that fits counts.
_LACKS: Final[tuple[tuple[Version, str], ...]] = (
    ((1, 1, 0), "tells neither addresses of tasks, nor agents and frameworks"),
    ((1, 4, 0), "does not tell of frameworks"),
    ((1, 5, 0), "may lose events (MESOS-8469) and sends no heartbeats"),
    ((1, 7, 0), "does not tell the addresses of every running task (MESOS-9000)"),
)


def lack(version: Version | None) -> str:
    """Why the events of a master of this version cannot be relied on; "" if they can, or if it does not tell its version."""
    if version is None:
        return ""
    return next((reason for before, reason in _LACKS if version < before), "")
