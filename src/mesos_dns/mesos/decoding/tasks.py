"""From one task of a master, already typed, to the `Task` that names need. Pure.

Both wire formats come to it as `wire.TaskEntry`, so that a task means the same in each.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final, TypeVar

from mesos_dns import limits
from mesos_dns.mesos.decoding import grammar, wire
from mesos_dns.mesos.decoding.grammar import parse_address, parse_ranges
from mesos_dns.mesos.decoding.networks import network_of
from mesos_dns.mesos.decoding.tolerant import Problems
from mesos_dns.mesos.state import DiscoveryPort, Task
from mesos_dns.quoting import quoted

#: Texts and tuples of a task that others may share: its agent, its addresses, its ports, its network.
_SHARED_OF_TASK: Final = 4
DOCKER_LABEL: Final = "Docker.NetworkSettings.IPAddress"
MESOS_LABEL: Final = "MesosContainerizer.NetworkSettings.IPAddress"
#: The label with which a task asks to be served whatever its health checks say, and its only value.
HEALTH_LABEL: Final = "mesos-dns.health"
HEALTH_IGNORED: Final = "ignore"

RUNNING: Final = "TASK_RUNNING"

T = TypeVar("T")


class TaskReader:
    """Makes tasks, which share what is equal in them: agent ids, addresses, ports."""

    def __init__(self) -> None:
        self._shared: dict[Any, Any] = {}

    def __repr__(self) -> str:
        return f"TaskReader(shared={len(self._shared)})"

    def forget_surplus(self, tasks: int) -> None:
        """Forget all that is shared if it is more than `tasks` tasks account for."""
        most = limits.most_kept(_SHARED_OF_TASK * tasks)
        if len(self._shared) > most:
            self._shared.clear()
        grammar.forget_surplus(most)

    def read(self, found: wire.TaskEntry, framework_id: str, problems: Problems) -> Task:
        """The task. Parts that cannot be used are left out and added to `problems`."""
        discovery = found.discovery
        status = _chosen_status(found.statuses or ())
        netinfo: tuple[bytes, ...] = ()
        docker: tuple[bytes, ...] = ()
        mesos: tuple[bytes, ...] = ()
        if status is not None:
            netinfo = self._addresses(_netinfo_texts(status), found.id, problems)
            if status.labels:
                docker = self._addresses(_label_texts(status, DOCKER_LABEL), found.id, problems)
                mesos = self._addresses(_label_texts(status, MESOS_LABEL), found.id, problems)
        agent_id = found.slave_id or ""
        discovery_ports = () if discovery is None else self._discovery_ports(discovery)
        network = network_of(found.container, status, discovery_ports)
        return Task(
            id=found.id or "",
            name=found.name or "",
            framework_id=framework_id,
            agent_id=self._share(agent_id),
            ports=self._port_ranges(found.resources, found.id, problems),
            discovery_name="" if discovery is None else discovery.name or "",
            discovery_ports=discovery_ports,
            netinfo=netinfo,
            docker=docker,
            mesos=mesos,
            healthy=_verdict(found, problems),
            network=self._share(network) if network.mappings else network,
        )

    def _addresses(self, texts: Iterable[str | None], task_id: str | None, problems: Problems) -> tuple[bytes, ...]:
        """Parse the addresses, in order, without repetitions."""
        packed: dict[bytes, None] = {}
        for text in texts:
            if not text:
                continue  # some executors send empty addresses: nothing to report
            address = parse_address(text)
            if address is None:
                problems.append(("address: not an IP address", f"{quoted(text)} of task {quoted(task_id or '')}"))
            elif len(packed) < limits.MAX_ADDRESSES:
                packed[address] = None
            else:
                problems.append(
                    ("address: too many", f"more than {limits.MAX_ADDRESSES} of task {quoted(task_id or '')}")
                )
                break
        found = tuple(packed)
        return self._share(found) if found else ()

    def _share(self, value: T) -> T:
        shared: T = self._shared.setdefault(value, value)
        return shared

    def _port_ranges(
        self, resources: wire.Resources | None, task_id: str | None, problems: Problems
    ) -> tuple[tuple[int, int], ...]:
        text = None if resources is None else resources.ports
        if not text:
            return ()
        shared: tuple[tuple[int, int], ...] | None = self._shared.get(text)
        if shared is not None:
            return shared
        ranges, bad = parse_ranges(text)
        if bad:
            problems.append(("ports: unreadable range", f"{quoted(text)} of task {quoted(task_id or '')}"))
        else:
            self._shared[text] = ranges
        return ranges

    def _discovery_ports(self, discovery: wire.Discovery) -> tuple[DiscoveryPort, ...]:
        if discovery.ports is None or not discovery.ports.ports:
            return ()
        ports = tuple(
            DiscoveryPort(number=port.number or 0, name=port.name or "", protocol=port.protocol or "")
            for port in discovery.ports.ports
            if port is not None
        )
        return self._share(ports)


def _chosen_status(statuses: Sequence[wire.Status | None]) -> wire.Status | None:
    """Choose the status that gives a task's addresses.

    As in Go: of those in state TASK_RUNNING the one with the largest timestamp, the first of equals; one without timestamp counts
    as 0, one at -1 or before is not looked at. Beyond Go: while no TASK_RUNNING status has arrived (the agent tags the unacknowledged
    TASK_STARTING with the latest state), the newest one with network infos that hold an address.
    """
    candidates = [status for status in statuses if status is not None and status.state == RUNNING]
    if len(candidates) == 1 and (candidates[0].timestamp or 0.0) > -1.0:
        return candidates[0]
    if not candidates:
        candidates = [status for status in statuses if status is not None and _has_address(status)]
    chosen: wire.Status | None = None
    chosen_at = -1.0
    for status in candidates:
        at = status.timestamp or 0.0
        if at > chosen_at:
            chosen, chosen_at = status, at
    return chosen


def _verdict(found: wire.TaskEntry, problems: Problems) -> bool | None:
    """What the newest status that says anything says of the task's health, the last of equals; None if it is not to count."""
    verdict: bool | None = None
    decided_at = float("-inf")
    for status in found.statuses or ():
        if status is not None and status.healthy is not None and (status.timestamp or 0.0) >= decided_at:
            verdict, decided_at = status.healthy, status.timestamp or 0.0
    for label in found.labels or ():
        if label is not None and label.key == HEALTH_LABEL:
            if label.value == HEALTH_IGNORED:
                return None
            problems.append(
                (
                    "label: unknown value",
                    f"{HEALTH_LABEL}={quoted(label.value or '')} of task {quoted(found.id or '')}, expected {HEALTH_IGNORED}",
                )
            )
    return verdict


def _has_address(status: wire.Status) -> bool:
    return any(parse_address(text) for text in _netinfo_texts(status) if text)


def _netinfo_texts(status: wire.Status) -> list[str | None]:
    container = status.container_status
    if container is None or not container.network_infos:
        return []
    texts: list[str | None] = []
    for info in container.network_infos:
        if info is None:
            continue
        if info.ip_addresses:
            texts += [address.ip_address for address in info.ip_addresses if address is not None]
        else:
            texts.append(info.ip_address)
    return texts


def _label_texts(status: wire.Status, key: str) -> list[str | None]:
    return [label.value for label in status.labels or () if label is not None and label.key == key]
