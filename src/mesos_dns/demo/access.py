"""Who may ask a simulated master, and how much of the cluster they see.

Authentication is Basic, as strict as Mesos', or by token, as in DC/OS; authorisation filters in silence: what a principal may
not see is simply not there. Agents are never filtered.
"""

import base64
import binascii
from dataclasses import dataclass, field, replace
from typing import Final

from mesos_dns.demo.catalog import Framework
from mesos_dns.demo.cluster import Task
from mesos_dns.demo.document import ClusterView
from mesos_dns.demo.wire import FrameworkView


@dataclass(frozen=True, slots=True)
class Rights:
    """What a principal may see. `frameworks` and `tasks` are names; None means all of them.

    VIEW_FRAMEWORK hides a framework with its tasks, VIEW_TASK single tasks, VIEW_FLAGS the flags and the cluster's name.
    """

    frameworks: frozenset[str] | None = None
    tasks: frozenset[str] | None = None
    flags: bool = True

    def framework(self, framework: Framework) -> bool:
        """Whether the principal may see this framework."""
        return self.frameworks is None or framework.name in self.frameworks

    def task(self, task: Task) -> bool:
        """Whether the principal may see this task and its framework."""
        return self.framework(task.framework) and (self.tasks is None or task.application.name in self.tasks)

    def summarised(self, view: ClusterView) -> ClusterView:
        """Return `view` as it is counted in `/master/state-summary`, where tasks that may not be seen count, too."""
        return replace(self, tasks=None).filtered(view)

    def filtered(self, view: ClusterView) -> ClusterView:
        """Return `view` without what the principal may not see."""
        if self == ALL:
            return view
        return replace(
            view,
            frameworks=tuple(self._framework(found) for found in view.frameworks if self.framework(found.framework)),
            completed_frameworks=tuple(
                self._framework(found) for found in view.completed_frameworks if self.framework(found.framework)
            ),
            orphans=tuple(filter(self.task, view.orphans)),
            flags=self.flags,
        )

    def _framework(self, view: FrameworkView) -> FrameworkView:
        return replace(
            view,
            tasks=tuple(filter(self.task, view.tasks)),
            unreachable=tuple(filter(self.task, view.unreachable)),
            completed=tuple(filter(self.task, view.completed)),
        )


ALL: Final = Rights()
#: A principal without any right: agents, but no frameworks and no flags.
NOTHING: Final = Rights(frozenset(), frozenset(), flags=False)

READONLY: Final = "mesos-master-readonly"
READWRITE: Final = "mesos-master-readwrite"


@dataclass(slots=True)
class Door:
    """The master's flags about authentication, its credentials and its ACLs."""

    #: `--authenticate_http_readonly`: `/state` and its like.
    readonly: bool = False
    #: `--authenticate_http_readwrite`: `/api/v1`.
    readwrite: bool = False
    credentials: dict[str, str] = field(default_factory=dict)
    #: What the authenticator of DC/OS accepts as `token=...`, and whose it is.
    tokens: dict[str, str] = field(default_factory=dict)
    rights: dict[str, Rights] = field(default_factory=dict)
    #: The rights of requests that need no credentials.
    anonymous: Rights = ALL
    #: Principals that a custom authenticator lets in with claims but without a value: 403.
    forbidden: set[str] = field(default_factory=set)

    def rights_of(self, realm: str, header: str | None) -> Rights | int:
        """Return what the sender of an `Authorization` header (None: there was none) may see, or 401 or 403."""
        if not (self.readonly if realm == READONLY else self.readwrite):
            return self.anonymous
        principal = self._principal(header)
        if principal is None:
            return 401
        if principal in self.forbidden:
            return 403
        return self.rights.get(principal, ALL)

    def _principal(self, header: str | None) -> str | None:
        """Return the principal. Two parts, `Basic` in this spelling, exactly one colon (Mesos' BasicAuthenticator)."""
        if header is not None and header.startswith("token="):
            return self.tokens.get(header.removeprefix("token="))
        parts = (header or "").split(" ")
        if len(parts) != 2 or parts[0] != "Basic":
            return None
        try:
            name, colon, secret = base64.b64decode(parts[1], validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return None
        if not colon or ":" in secret or self.credentials.get(name) != secret:
            return None
        return name
