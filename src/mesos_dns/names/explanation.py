"""Why a name has this answer, or none: the value that the HTTP API, the command line and a page show. Pure.

Texts are for people, on one line, and printable whatever the cluster and the question say. Names are in master-file form, with the dot at
their end. Members may be added.
"""

from typing import Literal

import msgspec

#: What becomes of a question for the name: records; the name without records of the type; no such name; a name of others; no name at all;
#: and nothing, for there is no state of the cluster yet.
Verdict = Literal["answer", "nodata", "nxdomain", "outside", "bad name", "no state"]


class Held(msgspec.Struct, frozen=True):
    """What is served although the last state lacks it: why, and for how many seconds at most (None: until the state shows it)."""

    why: str
    seconds: int | None


class Source(msgspec.Struct, frozen=True):
    """Where the addresses of a task come from: one of IPSources, "" if none has any; whether `auto` chose it, and why."""

    name: str
    automatic: bool
    why: str


class Giver(msgspec.Struct, frozen=True):
    """Who contributes a record, or could. Of a task all is known, of others their kind and what they are called.

    `framework` and `agent` are for people: a name and an address; "" if they are unknown.
    """

    kind: Literal["task", "framework", "agent", "master", "self"]
    id: str
    framework: str = ""
    framework_id: str = ""
    agent: str = ""
    agent_id: str = ""
    health: Literal["", "healthy", "unhealthy"] = ""
    network: str = ""
    source: Source | None = None
    held: Held | None = None


class Shown(msgspec.Struct, frozen=True):
    """A record, those who contribute it, and how many more of them are known; others may not have been looked at."""

    name: str
    rtype: str
    ttl: int
    rdata: str
    givers: tuple[Giver, ...] = ()
    givers_more: int = 0


class Reason(msgspec.Struct, frozen=True):
    """Why the name has this answer. `code` is for programs, `name` another name that the reason is about ("" for none)."""

    code: str
    text: str
    name: str = ""


class Upstream(msgspec.Struct, frozen=True):
    """A server that would be asked: how many workers do ask it and how many have found it silent, and its round-trip time in milliseconds."""

    address: str
    up: int
    down: int
    milliseconds: int | None


class Explanation(msgspec.Struct, frozen=True):
    """Why `name` has this answer. `rtype` is the type that was asked for, "" for every one. `summary` says it in one line.

    `reasons` begin with the most probable. `records` are some of those there are, `records_more` counts the others; `types` are all types at
    the name. Of the `candidates` that may contribute by their names, `looked_at` were looked at. `nearest` is the closest name above that
    exists, `alike` are names like it, found among `compared` labels. `upstreams` are for names of others.
    """

    name: str
    rtype: str
    verdict: Verdict
    exists: bool
    summary: str
    zone: str = ""
    serial: int = 0
    types: tuple[str, ...] = ()
    reasons: tuple[Reason, ...] = ()
    records: tuple[Shown, ...] = ()
    records_more: int = 0
    candidates: int = 0
    looked_at: int = 0
    nearest: str = ""
    alike: tuple[str, ...] = ()
    compared: int = 0
    upstreams: tuple[Upstream, ...] = ()
