"""What each Mesos release can do: the differences that a reader of the API can see, as one table.

Releases are compared by number. `clusterd` is the fork that calls itself 1.11.0 and behaves so.
"""

from dataclasses import dataclass
from typing import Final

#: What `--version` offers; any other number works, too.
KNOWN: Final = (
    "0.21.0", "0.22.0", "0.23.0", "0.24.0", "0.25.0", "0.26.0", "0.27.0", "0.28.0",
    "1.0.0", "1.1.0", "1.2.0", "1.3.0", "1.4.0", "1.5.0", "1.5.1", "1.5.3", "1.6.0", "1.6.2",
    "1.7.0", "1.7.2", "1.7.3", "1.8.0", "1.8.1", "1.9.0", "1.10.0", "1.11.0", "clusterd",
)  # fmt: skip

Number = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Release:
    """One release. Properties are named for what it does; the comment tells why it is so."""

    number: Number

    def __str__(self) -> str:
        return ".".join(map(str, self.number))

    def at_least(self, major: int, minor: int, patch: int = 0) -> bool:
        """Whether this release is that one or a later one."""
        return self.number >= (major, minor, patch)

    # Paths and leadership.

    @property
    def has_v1(self) -> bool:
        """The operator API at `/api/v1`."""
        return self.at_least(1, 0)

    @property
    def has_state(self) -> bool:
        """`/master/state` without an ending."""
        return self.at_least(0, 25)

    @property
    def has_state_json(self) -> bool:
        """`/master/state.json`, whose route was deleted."""
        return not self.at_least(1, 8)

    @property
    def has_summary(self) -> bool:
        """`/master/state-summary`."""
        return self.at_least(0, 23)

    @property
    def has_tasks(self) -> bool:
        """`/master/tasks` without an ending; with it, it is as old as `state.json` and went with it."""
        return self.at_least(0, 25)

    @property
    def selects_tasks(self) -> bool:
        """`/master/tasks` takes `framework_id` and `task_id`; before, it lists all tasks nevertheless."""
        return self.at_least(1, 4)

    @property
    def redirects(self) -> bool:
        """Masters that do not lead redirect or say 503; older ones answer with their own empty view."""
        return self.at_least(1, 0)

    @property
    def redirects_with_query(self) -> bool:
        """Redirects keep the query."""
        return self.at_least(1, 1)

    @property
    def absolute_location(self) -> bool:
        """`Location` names a scheme."""
        return not self.at_least(0, 23)

    @property
    def authenticates_reads(self) -> bool:
        """`--authenticate_http_readonly` exists."""
        return self.at_least(1, 0)

    # Events.

    @property
    def agent_events(self) -> bool:
        """AGENT_ADDED and AGENT_REMOVED."""
        return self.at_least(1, 1)

    @property
    def status_in_updates(self) -> bool:
        """TASK_UPDATED carries the status; 1.0 only the ids and the state."""
        return self.at_least(1, 1)

    @property
    def framework_events(self) -> bool:
        """FRAMEWORK_ADDED, FRAMEWORK_UPDATED, FRAMEWORK_REMOVED."""
        return self.at_least(1, 4)

    @property
    def heartbeats(self) -> bool:
        """HEARTBEAT, and the interval in SUBSCRIBED."""
        return self.at_least(1, 5)

    @property
    def heartbeat_first(self) -> bool:
        """A heartbeat may come before SUBSCRIBED: 1.5.0 only."""
        return self.number == (1, 5, 0)

    @property
    def filters_events(self) -> bool:
        """Events are authorised one by one; before, only the snapshot was."""
        return self.at_least(1, 5)

    @property
    def tells_every_status(self) -> bool:
        """A status whose state differs from the last delivered one is an event (else MESOS-9000: only a new latest state)."""
        return self.at_least(1, 7)

    @property
    def tells_health(self) -> bool:
        """Results of health checks are events."""
        return self.at_least(1, 7) or (
            self.number[:2] in {(1, 5), (1, 6)} and self.number[2] >= {5: 3, 6: 2}[self.number[1]]
        )

    @property
    def announces_recovered(self) -> bool:
        """FRAMEWORK_ADDED for frameworks that only agents tell of (MESOS-9785 repaired)."""
        return self.at_least(1, 9) or (self.number[:2] == (1, 7) and self.number[2] >= 3)

    @property
    def skips_unchanged_frameworks(self) -> bool:
        """No FRAMEWORK_UPDATED when an update changes nothing."""
        return self.at_least(1, 11)

    @property
    def limits_subscribers(self) -> bool:
        """One subscriber too many closes the oldest connection."""
        return self.at_least(1, 8)

    # Documents.

    @property
    def recovers_agents(self) -> bool:
        """`recovered_slaves`, `recovered_agents`, `unreachable_tasks`, `recovered` frameworks."""
        return self.at_least(1, 2)

    @property
    def empty_lists(self) -> bool:
        """The top lists of the operator API are written even when empty."""
        return self.at_least(1, 10)

    @property
    def partition_states(self) -> bool:
        """TASK_UNREACHABLE and its like, for frameworks that know them; TASK_LOST before."""
        return self.at_least(1, 1)


def release(text: str) -> Release:
    """Return the release of that name. Raises ValueError unless it is `MAJOR.MINOR[.PATCH]` or `clusterd`."""
    if text == "clusterd":
        return Release((1, 11, 0))
    parts = text.split(".")
    if not (2 <= len(parts) <= 3 and all(part.isascii() and part.isdigit() for part in parts)):
        raise ValueError(f"Mesos version {text!r}, expected one like 1.11.0, or clusterd")
    numbers = [int(part) for part in (*parts, "0")]
    return Release((numbers[0], numbers[1], numbers[2]))


LATEST: Final = release("1.11.0")
