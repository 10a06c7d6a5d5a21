"""The parts of the operator API's state and events that names need, as typed structs for msgspec. Pure.

As in `wire`, everything may be absent or null. Where the two APIs print the same (DiscoveryInfo, ContainerStatus), the structs are those of
`wire`; where they differ, `v1` makes the former of these: ids are wrapped as `{"value": …}`, labels as `{"labels": […]}`, resources are a list.
"""

from msgspec import Raw, Struct, field

from mesos_dns.mesos.decoding import wire
from mesos_dns.mesos.decoding.document import NULL


class Id(Struct, gc=False):
    """An id of whatever kind."""

    value: str | None = None


class Range(Struct, gc=False):
    """A range of ports, inclusive; both are unsigned 64-bit integers in Mesos."""

    begin: int | None = None
    end: int | None = None


class Ranges(Struct, gc=False):
    """The value of a resource of the type RANGES."""

    range: list[Range | None] | None = None


class Resource(Struct, gc=False):
    """One resource. Several of one name are possible. `revocable` is there (an empty object) if it is."""

    name: str | None = None
    ranges: Ranges | None = None
    revocable: Raw = NULL


class Labels(Struct, gc=False):
    """Labels are nested once."""

    labels: list[wire.Label | None] | None = None


class Status(Struct, gc=False):
    """A TaskStatus."""

    task_id: Id | None = None
    agent_id: Id | None = None
    state: str | None = None
    timestamp: float | None = None
    labels: Labels | None = None
    container_status: wire.ContainerStatus | None = None
    healthy: bool | None = None


class Task(Struct, gc=False):
    """A Task."""

    task_id: Id | None = None
    framework_id: Id | None = None
    agent_id: Id | None = None
    name: str | None = None
    state: str | None = None
    resources: list[Resource | None] | None = None
    statuses: list[Status | None] | None = None
    discovery: wire.Discovery | None = None
    container: wire.Container | None = None
    labels: Labels | None = None


class UnlabelledTask(Task, gc=False):
    """The same without its labels, which are passed over."""

    labels: Labels | None = field(default=None, name="")


class EndedTask(Struct, gc=False):
    """One element of `completed_tasks` or `unreachable_tasks`."""

    task_id: Id | None = None
    framework_id: Id | None = None


class FrameworkInfo(Struct, gc=False):
    """What a scheduler says of itself."""

    id: Id | None = None
    name: str | None = None
    hostname: str | None = None


class Framework(Struct, gc=False):
    """A framework as GET_FRAMEWORKS and the events show it: never with a PID."""

    framework_info: FrameworkInfo | None = None
    recovered: bool | None = None


class AgentInfo(Struct, gc=False):
    """What an agent says of itself, and all that is told of a recovered one."""

    id: Id | None = None


class Agent(Struct, gc=False):
    """An agent as GET_AGENTS and AGENT_ADDED show it."""

    agent_info: AgentInfo | None = None
    pid: str | None = None


# --- the snapshot ------------------------------------------------------------------------------


class GetTasks(Struct, gc=False):
    """`orphan_tasks` are those of frameworks that have not registered again: up to Mesos 1.1."""

    tasks: list[Raw] | None = None
    orphan_tasks: list[Raw] | None = None
    completed_tasks: list[Raw] | None = None
    unreachable_tasks: list[Raw] | None = None


class GetAgents(Struct, gc=False):
    """`recovered_agents`: Mesos 1.2 and later."""

    agents: list[Raw] | None = None
    recovered_agents: list[Raw] | None = None


class GetFrameworks(Struct, gc=False):
    """`completed_frameworks` have ended."""

    frameworks: list[Raw] | None = None
    completed_frameworks: list[Raw] | None = None


class GetState(Struct, gc=False):
    """The state, with every element of its lists still as the octets of the record."""

    get_tasks: GetTasks | None = None
    get_agents: GetAgents | None = None
    get_frameworks: GetFrameworks | None = None


class Subscribed(Struct, gc=False):
    """The heartbeat's interval: Mesos 1.5 and later."""

    get_state: GetState | None = None
    heartbeat_interval_seconds: float | None = None


class First(Struct, gc=False):
    """A record that may be SUBSCRIBED."""

    type: str | None = None
    subscribed: Subscribed | None = None


# --- events ------------------------------------------------------------------------------------


class TaskAdded(Struct, gc=False):
    """Payload of TASK_ADDED."""

    task: Task | None = None


class TaskUpdated(Struct, gc=False):
    """Payload of TASK_UPDATED. Mesos 1.0 had no `status`, and the ids beside it."""

    framework_id: Id | None = None
    task_id: Id | None = None
    state: str | None = None
    status: Status | None = None


class AgentAdded(Struct, gc=False):
    """Payload of AGENT_ADDED."""

    agent: Agent | None = None


class AgentRemoved(Struct, gc=False):
    """Payload of AGENT_REMOVED."""

    agent_id: Id | None = None


class FrameworkShown(Struct, gc=False):
    """Payload of FRAMEWORK_ADDED and FRAMEWORK_UPDATED."""

    framework: Framework | None = None


class FrameworkRemoved(Struct, gc=False):
    """Payload of FRAMEWORK_REMOVED."""

    framework_info: FrameworkInfo | None = None


class Event(Struct, gc=False):
    """Any record after the first; which payload counts, `type` says."""

    type: str | None = None
    task_added: TaskAdded | None = None
    task_updated: TaskUpdated | None = None
    agent_added: AgentAdded | None = None
    agent_removed: AgentRemoved | None = None
    framework_added: FrameworkShown | None = None
    framework_updated: FrameworkShown | None = None
    framework_removed: FrameworkRemoved | None = None


# --- answers to other calls --------------------------------------------------------------------


class MasterInfo(Struct, gc=False):
    """Who answers."""

    id: str | None = None
    pid: str | None = None
    version: str | None = None
    hostname: str | None = None


class GetMaster(Struct, gc=False):
    """Only the leader answers, so it is itself. `elected_time`: Mesos 1.5 and later."""

    master_info: MasterInfo | None = None
    elected_time: float | None = None


class Flag(Struct, gc=False):
    """One flag of the master."""

    name: str | None = None
    value: str | None = None


class GetFlags(Struct, gc=False):
    """All flags of the master."""

    flags: list[Flag | None] | None = None


class Response(Struct, gc=False):
    """The answer to a call."""

    type: str | None = None
    get_master: GetMaster | None = None
    get_flags: GetFlags | None = None


class SummaryFramework(Struct, gc=False):
    """One element of `frameworks` in `/master/state-summary`: the only place with PIDs but the state."""

    id: str | None = None
    name: str | None = None
    pid: str | None = None
    hostname: str | None = None
    recovered: bool | None = None
    used_resources: Raw = NULL
    running: float | None = field(default=None, name="TASK_RUNNING")


class Summary(Struct, gc=False):
    """`/master/state-summary` (Mesos 0.23 and later), its elements still as octets."""

    slaves: list[Raw] | None = None
    frameworks: list[Raw] | None = None
    cluster: str | None = None
