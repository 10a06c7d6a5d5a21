"""The parts of a `/master/state` document that names need, as typed structs for msgspec. Pure.

Everything may be absent or null: the Go program accepted that, and proxies and fixtures produce it. Sections
1.4 to 1.9 of the Mesos sources' JSON writers give the fields; those not listed here are skipped unread.
No struct takes part in garbage collection: they hold trees, never cycles, and a large state makes millions.
"""

from typing import Annotated

from msgspec import Meta, Raw, Struct, field

#: A DiscoveryInfo port is an unsigned 32-bit integer in Mesos; Go read 64 bits with sign.
PortNumber = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]


class IpAddress(Struct, gc=False):
    """One element of `network_infos[].ip_addresses`."""

    ip_address: str | None = None


class PortMapping(Struct, gc=False):
    """A port of the agent that leads to one of the container."""

    host_port: PortNumber | None = None
    container_port: PortNumber | None = None
    protocol: str | None = None


class NetworkInfo(Struct, gc=False):
    """A network that a container has joined. `ip_address` is the form of Mesos 0.25, printed up to 0.28 next to `ip_addresses`."""

    ip_addresses: list[IpAddress | None] | None = None
    ip_address: str | None = None
    port_mappings: list[PortMapping | None] | None = None


class ContainerStatus(Struct, gc=False):
    """Mesos 0.25 and later."""

    network_infos: list[NetworkInfo | None] | None = None


class Label(Struct, gc=False):
    """A label of a status (0.24 and later) or of a task (0.22); `value` is optional in Mesos."""

    key: str | None = None
    value: str | None = None


class Status(Struct, gc=False):
    """One entry of a task's `statuses`; `timestamp` in seconds since 1970, `healthy` since 0.26, absent without a verdict."""

    state: str | None = None
    timestamp: float | None = None
    labels: list[Label | None] | None = None
    container_status: ContainerStatus | None = None
    healthy: bool | None = None


class Docker(Struct, gc=False):
    """DockerInfo: `network` is HOST (Mesos' default), BRIDGE, NONE or USER (1.0 and later)."""

    network: str | None = None
    port_mappings: list[PortMapping | None] | None = None


class WantedNetwork(Struct, gc=False):
    """A network that a container is to join: a CNI or Docker network by its `name` (1.0 and later)."""

    name: str | None = None
    port_mappings: list[PortMapping | None] | None = None


class Container(Struct, gc=False):
    """ContainerInfo, Mesos 0.27 and later: `type` is DOCKER or MESOS."""

    type: str | None = None
    docker: Docker | None = None
    network_infos: list[WantedNetwork | None] | None = None


class Resources(Struct, gc=False):
    """Of all resources only `ports`, a text of ranges."""

    ports: str | None = None


class Port(Struct, gc=False):
    """One DiscoveryInfo port; `number` is unchecked by Mesos."""

    number: PortNumber | None = None
    name: str | None = None
    protocol: str | None = None


class Ports(Struct, gc=False):
    """DiscoveryInfo nests its ports twice."""

    ports: list[Port | None] | None = None


class Discovery(Struct, gc=False):
    """DiscoveryInfo, Mesos 0.22 and later."""

    name: str | None = None
    ports: Ports | None = None


class TaskEntry(Struct, gc=False):
    """One element of a framework's `tasks`; `labels` are a flat list here, nested in the operator API."""

    id: str | None = None
    name: str | None = None
    slave_id: str | None = None
    state: str | None = None
    resources: Resources | None = None
    statuses: list[Status | None] | None = None
    discovery: Discovery | None = None
    labels: list[Label | None] | None = None
    container: Container | None = None


class UnlabelledTaskEntry(TaskEntry, gc=False):
    """The same without its labels, which are passed over: tasks have many, and hardly ever one that matters."""

    labels: list[Label | None] | None = field(default=None, name="")


class Used(Struct, gc=False):
    """Of `used_resources` what every task has: processors and MB of memory. Masters give each agent and framework its sum."""

    cpus: float | None = None
    mem: float | None = None


class AgentEntry(Struct, gc=False):
    """One element of `slaves`, or (without `pid`) of `recovered_slaves`."""

    id: str | None = None
    pid: str | None = None
    used_resources: Used | None = None


class EndedTask(Struct, gc=False):
    """One element of `completed_tasks` or `unreachable_tasks`."""

    id: str | None = None


class Flags(Struct, gc=False):
    """What of the master's `flags` (all of them texts) tells how to read the rest, and whose it is.

    `slave_reregister_timeout` is the name before Mesos 1.2.
    """

    registry: Raw = Raw(b"null")
    agent_reregister_timeout: Raw = Raw(b"null")
    slave_reregister_timeout: Raw = Raw(b"null")
    cluster: Raw = Raw(b"null")
    zk: Raw = Raw(b"null")
