"""Reads a master's answers to GET_MASTER and GET_FLAGS, and `/master/state-summary`. Pure."""

import re
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec
from msgspec import Raw

from mesos_dns.mesos.decoding import evidence, tolerant, wire, wire_v1
from mesos_dns.mesos.decoding.document import NULL, UNREADABLE, FrameworkEntry, StateError, excerpt, repair
from mesos_dns.mesos.decoding.evidence import Flags, Sums
from mesos_dns.mesos.decoding.grammar import parse_endpoint
from mesos_dns.mesos.decoding.members import Skipped, framework_address, read_agents
from mesos_dns.mesos.state import Agent, Endpoint, Framework

_decode_response: Final = msgspec.json.Decoder(wire_v1.Response).decode
_decode_summary: Final = msgspec.json.Decoder(wire_v1.Summary).decode
_decode_agent: Final = msgspec.json.Decoder(wire.AgentEntry).decode
_decode_framework: Final = msgspec.json.Decoder(wire_v1.SummaryFramework).decode
_VERSION: Final = re.compile(r"(\d{1,4})\.(\d{1,4})(?:\.(\d{1,4}))?")

Version = tuple[int, int, int]


class Master(msgspec.Struct, frozen=True):
    """Who leads: id (another one with each election), where it listens (None if it does not say), version as told, Unix time of its election, its host."""

    id: str
    pid: Endpoint | None
    version: str
    elected_time: float | None = None
    hostname: str = ""

    @property
    def number(self) -> Version | None:
        """The version's numbers; None if it does not tell."""
        found = _VERSION.match(self.version)
        return None if found is None else (int(found[1]), int(found[2]), int(found[3] or 0))


class Summary(msgspec.Struct, frozen=True):
    """What a summary of the state tells besides counts. None: it lacks that list.

    `conceals_frameworks`: by the sums in it, frameworks are there that are not shown. `cluster` is the cluster's name.
    `running` counts the running tasks of each framework.
    """

    agents: Mapping[str, Agent] | None
    frameworks: Mapping[str, Framework] | None
    conceals_frameworks: bool = False
    cluster: str = ""
    running: Mapping[str, int] = msgspec.field(default_factory=dict)


def read_master(body: bytes | bytearray) -> Master:
    """The answer to GET_MASTER. StateError if it is none."""
    found = _response(body)
    info = None if found.get_master is None else found.get_master.master_info
    if found.get_master is None or info is None or not info.id:
        raise StateError(f"expected the answer to GET_MASTER, found {excerpt(body)}")
    return Master(
        info.id, parse_endpoint(info.pid or ""), info.version or "", found.get_master.elected_time, info.hostname or ""
    )


def read_flags(body: bytes | bytearray) -> Flags:
    """The answer to GET_FLAGS. StateError if it is none."""
    found = _response(body)
    if found.get_flags is None:
        raise StateError(f"expected the answer to GET_FLAGS, found {excerpt(body)}")
    flags = {flag.name: flag.value for flag in found.get_flags.flags or () if flag is not None and flag.name}
    # As the other API shows them.
    return evidence.read_flags(Raw(msgspec.json.encode(flags)))


def _response(body: bytes | bytearray) -> wire_v1.Response:
    try:
        return _decode_response(body)
    except UNREADABLE as error:
        raise StateError(f"expected the answer to a call in JSON, found {excerpt(body)}: {error}") from error


def read_summary(body: bytes | bytearray, skipped: Skipped) -> Summary:
    """A summary of the state. StateError if it is none; elements that cannot be used are left out and counted."""
    try:
        found = _decode_summary(body)
    except UNREADABLE as error:
        repaired = repair(body)
        if repaired is None:
            raise StateError(f"expected a summary of the state, found {excerpt(body)}: {error}") from error
        return read_summary(repaired, skipped)
    sums = Sums()
    if found.slaves is None or found.frameworks is None:
        sums.spoil()
    running: dict[str, int] = {}
    return Summary(
        None if found.slaves is None else read_agents(_agents(found.slaves, skipped), skipped, sums),
        None if found.frameworks is None else dict(_frameworks(found.frameworks, skipped, sums, running)),
        sums.judge().frameworks,
        found.cluster or "",
        running,
    )


def _agents(elements: Iterable[Raw], skipped: Skipped) -> Iterable[tuple[int, wire.AgentEntry]]:
    for position, raw in enumerate(elements):
        element = bytes(raw)
        try:
            yield position, _decode_agent(element)
        except UNREADABLE:
            try:
                agent = tolerant.agent(element)
            except UNREADABLE as error:
                skipped.add("agent: bad type", f"{error} in {excerpt(element)}")
                continue
            if agent is not None:
                yield position, agent


def _frameworks(
    elements: Iterable[Raw], skipped: Skipped, sums: Sums, running: dict[str, int]
) -> Iterable[tuple[str, Framework]]:
    for raw in elements:
        try:
            found = _decode_framework(raw)
        except UNREADABLE as error:
            skipped.add("framework: bad type", f"{error} in {excerpt(raw)}")
            sums.spoil()
            continue
        sums.add_framework("", FrameworkEntry(NULL, NULL, None, used_resources=found.used_resources))
        if found.id:
            if found.running is not None:
                running[found.id] = int(found.running)
            host, port = framework_address(found.pid, found.hostname or "", found.name or "", skipped)
            yield found.id, Framework(found.id, found.name or "", host, port, bool(found.recovered))
