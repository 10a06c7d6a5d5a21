"""Where our record set differs from Go's on purpose: each function is one rule, old zone in, new zone out."""

import ipaddress
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from tests.integration import naming
from tests.integration.recordings import Recording

#: (name with trailing dot, "A" | "AAAA" | "SRV") -> values as /v1/axfr shows them.
Zone = dict[tuple[str, str], frozenset[str]]
KINDS = {"As": "A", "AAAAs": "AAAA", "SRVs": "SRV"}


@dataclass
class Cluster:
    """What the recording says beside the records: domain, frameworks, tasks."""

    rec: Recording
    domain: str = field(init=False)
    rfc952: bool = field(init=False)

    def __post_init__(self) -> None:
        self.domain = self.rec.domain
        self.rfc952 = bool(self.rec.effective["EnforceRFC952"])

    def label(self, text: str) -> str:
        return naming.mangle(text, rfc952=self.rfc952)

    @cached_property
    def state(self) -> Any:
        return json.loads(self.rec.state_text)

    @cached_property
    def fragments(self) -> list[str]:
        """Framework name parts, each once, without the empty one (its records cannot exist)."""
        frameworks = naming.members(self.state, "frameworks")
        found = (naming.fragment(naming.member(one, "name") or "", rfc952=self.rfc952) for one in frameworks)
        return [text for text in dict.fromkeys(found) if text]

    @cached_property
    def tasks(self) -> list[tuple[str, list[str], Any]]:
        """(framework part, NAMEs of its passes, task) of every running task."""
        out = []
        for framework in naming.members(self.state, "frameworks"):
            part = naming.fragment(naming.member(framework, "name") or "", rfc952=self.rfc952)
            for task in naming.members(framework, "tasks"):
                if naming.member(task, "state") != "TASK_RUNNING":
                    continue
                raw = naming.member(naming.member(task, "discovery"), "name")
                names = [raw, self.label(raw)] if raw else [self.label(naming.member(task, "name") or "")]
                out.append((part, list(dict.fromkeys(names)), task))
        return out


def go_zone(rec: Recording) -> Zone:
    return {
        (name, rrtype): frozenset(values)
        for kind, rrtype in KINDS.items()
        for name, values in (rec.records[kind] or {}).items()
    }


def _task_services(zone: Zone, cluster: Cluster) -> list[tuple[str, str, frozenset[str]]]:
    """(what stands before the framework part, framework part, values) of the SRV names of tasks, not `.slave` ones."""
    out = []
    for part in cluster.fragments:
        tail = f".{part}.{cluster.domain}"
        own = f"{part}.{cluster.domain}:"
        for (name, rrtype), values in zone.items():
            if rrtype == "SRV" and name.endswith(tail):
                service = name[: -len(tail)]
                # `_framework._tcp.FW` points to the framework itself; only tasks are meant.
                of_tasks = frozenset(value for value in values if not value.startswith(own))
                if service.rpartition(".")[2].startswith("_") and of_tasks:
                    out.append((service, part, of_tasks))
    return out


def reserved_names(zone: Zone, cluster: Cluster) -> Zone:
    """The cluster's names without what frameworks called like them add, and nothing of frameworks among agents' names."""
    new = dict(zone)
    others = tuple(f".{part}.slave.{cluster.domain}" for part in cluster.fragments if part.split(".")[-1] != "slave")
    for framework in naming.members(cluster.state, "frameworks"):
        part = naming.fragment(naming.member(framework, "name") or "", rfc952=cluster.rfc952)
        name = f"{part}.{cluster.domain}"
        own = naming.lower(cluster.rec.effective["SOAMname"]).rstrip(".") + "."
        if re.fullmatch("leader|master[0-9]*|slave|agent", part) or name == own:
            host = (naming.member(framework, "pid") or "").partition("@")[2].rpartition(":")[0]
            new.pop((f"_framework._tcp.{name}", "SRV"), None)
            new[name, "A"] = new.get((name, "A"), frozenset()) - {host}
        if part.split(".")[-1] == "slave":
            new = {
                (at, rrtype): values
                for (at, rrtype), values in new.items()
                if at.endswith(others) or at == f"slave.{cluster.domain}" or not f".{at}".endswith(f".{name}")
            }
    return {key: values for key, values in new.items() if values}


def _without(zone: Zone, cluster: Cluster, unwanted: Any) -> Zone:
    """The zone without the names that are made of an unwanted NAME, as owners and as targets."""
    owners, targets = [], set()
    domain = re.escape(cluster.domain)
    for part, names, task in cluster.tasks:
        for name in filter(unwanted, names):
            canon = naming.canonical(name, naming.member(task, "id") or "", naming.member(task, "slave_id") or "")
            base = rf"{re.escape(part)}\.(slave\.)?{domain}"
            one, exact = re.escape(name), re.escape(canon)
            owners.append(rf"({one}|{exact})\.{base}|(_[^.]*\.)?_{one}\._[^.]*\.{base}")
            owners.append(rf"{one}\.{re.escape(part)}\._[^.]*\.{domain}")
            targets |= {f"{canon}.{part}.{end}{cluster.domain}" for end in ("", "slave.")}
    if not owners:
        return zone
    pattern = re.compile("|".join(dict.fromkeys(owners)), re.DOTALL)
    kept = _services_where(zone, lambda value: value.rpartition(":")[0] not in targets)
    return {(name, rrtype): values for (name, rrtype), values in kept.items() if not pattern.fullmatch(name)}


def wildcard_labels(zone: Zone, cluster: Cluster) -> Zone:
    return _without(zone, cluster, lambda name: "*" in name.split("."))


def alias_names(zone: Zone, cluster: Cluster) -> Zone:
    new = dict(zone)
    names = {(part, name) for part, of_task, _ in cluster.tasks for name in of_task}
    for service, part, values in _task_services(zone, cluster):
        name, _, protocol = service.rpartition(".")
        # Not the names that begin with a port's name: those are told apart by the tasks' own names.
        if (part, name[1:]) in names:
            key = (f"{name[1:]}.{part}.{protocol}.{cluster.domain}", "SRV")
            new[key] = new.get(key, frozenset()) | values
    return new


def discovery_ports_on_agents(zone: Zone, cluster: Cluster) -> Zone:
    new = dict(zone)
    names = {(part, name) for part, of_task, _ in cluster.tasks for name in of_task}
    # Go has only host ports there: who has some keeps the name of the service for them.
    end = f".slave.{cluster.domain}"
    below_slave = [values for (name, rrtype), values in zone.items() if rrtype == "SRV" and name.endswith(end)]
    with_host_ports = {value.rpartition(":")[0] for values in below_slave for value in values}
    for service, part, values in _task_services(zone, cluster):
        plain, on_agent = f".{part}.{cluster.domain}", f".{part}.slave.{cluster.domain}"
        of_all_ports = (part, service.rpartition(".")[0][1:]) in names
        moved = set()
        for value in values:
            target, _, port = value.rpartition(":")
            if target.endswith(plain) and not target.endswith(on_agent):
                at_agent = target[: -len(plain)] + on_agent
                if not (of_all_ports and at_agent in with_host_ports):
                    moved.add(f"{at_agent}:{port}")
        if moved:
            key = (service + on_agent, "SRV")
            new[key] = new.get(key, frozenset()) | moved
    return new


def agent_names(zone: Zone, cluster: Cluster) -> Zone:
    old, new = f"slave.{cluster.domain}", f"agent.{cluster.domain}"
    more: Zone = {(new, kind): zone[old, kind] for kind in ("A", "AAAA") if (old, kind) in zone}
    services = zone.get((f"_slave._tcp.{cluster.domain}", "SRV"), frozenset())
    if services:
        more[f"_agent._tcp.{cluster.domain}", "SRV"] = frozenset(one.replace(old, new, 1) for one in services)
    return {**zone, **more}


def master_services(zone: Zone, cluster: Cluster) -> Zone:
    listed = [(str(ipaddress.ip_address(host)), port) for host, port in cluster.rec.masters]
    distinct = list(dict.fromkeys([*listed, cluster.rec.leader]))
    values = frozenset(f"master{n}.{cluster.domain}:{port}" for n, (_, port) in enumerate(distinct))
    return {
        **zone,
        (f"_master._tcp.{cluster.domain}", "SRV"): values,
        (f"_master._udp.{cluster.domain}", "SRV"): values,
    }


def _addresses(status: Any, source: str, *, prefixes: bool) -> list[str]:
    if source == "netinfo":
        texts = []
        for info in naming.members(naming.member(status, "container_status"), "network_infos"):
            if naming.member(info, "ip_addresses"):
                texts += [naming.member(one, "ip_address") for one in naming.members(info, "ip_addresses")]
            else:
                texts.append(naming.member(info, "ip_address"))
    else:
        key = {"docker": "Docker", "mesos": "MesosContainerizer"}[source] + ".NetworkSettings.IPAddress"
        labels = naming.members(status, "labels")
        texts = [naming.member(one, "value") for one in labels if naming.member(one, "key") == key]
    out = []
    for text in texts:
        try:
            out.append(str(ipaddress.ip_address((text or "").partition("/")[0] if prefixes else text or "")))
        except ValueError:
            continue
    return out


def _with_addresses_of(zone: Zone, cluster: Cluster, chosen: Any) -> Zone:
    """The zone with other task addresses: `chosen(statuses)` gives the status to use, None to leave the task alone."""
    new = dict(zone)
    for part, names, task in cluster.tasks:
        status = chosen(naming.members(task, "statuses"))
        if status is None:
            continue
        for name in names:
            canon = naming.canonical(name, naming.member(task, "id") or "", naming.member(task, "slave_id") or "")
            if not {(f"{canon}.{part}.slave.{cluster.domain}", rrtype) for rrtype in ("A", "AAAA")} & zone.keys():
                continue  # its agent is unknown: it has no records at all
            found: list[str] = []
            for source in cluster.rec.effective["IPSources"]:
                if source == "host":
                    at = f"{canon}.{part}.slave.{cluster.domain}"
                    found = [*zone.get((at, "A"), ()), *zone.get((at, "AAAA"), ())]
                else:
                    found = _addresses(status, source, prefixes=True)
                if found:
                    break
            _replace(new, cluster, name, canon, part, found)
    return new


def _replace(zone: Zone, cluster: Cluster, name: str, canon: str, part: str, found: list[str]) -> None:
    tail = f".{part}.{cluster.domain}"
    others = re.compile(re.escape(name) + "-[a-z0-9]{5}-[^.]*" + re.escape(tail))
    for rrtype, v6 in (("A", False), ("AAAA", True)):
        mine = frozenset(text for text in found if (":" in text) == v6)
        theirs = frozenset[str]().union(
            *(v for (n, t), v in zone.items() if t == rrtype and n != canon + tail and others.fullmatch(n))
        )
        for owner, values in ((canon, mine), (name, mine | theirs)):
            if values:
                zone[(owner + tail, rrtype)] = values
            else:
                zone.pop((owner + tail, rrtype), None)


def _newest(statuses: Iterable[Any]) -> Any:
    """The first one with the largest timestamp above -1, as Go chooses; None if there is none."""
    counting = [(naming.member(one, "timestamp") or 0, -n, one) for n, one in enumerate(statuses)]
    return max((one for one in counting if one[0] > -1), key=lambda one: one[:2], default=(0, 0, None))[2]


def network_prefixes(zone: Zone, cluster: Cluster) -> Zone:
    def chosen(statuses: list[Any]) -> Any:
        newest = _newest(one for one in statuses if naming.member(one, "state") == "TASK_RUNNING")
        if newest and _addresses(newest, "netinfo", prefixes=True) != _addresses(newest, "netinfo", prefixes=False):
            return newest
        return None

    return _with_addresses_of(zone, cluster, chosen)


def newest_status(zone: Zone, cluster: Cluster) -> Zone:
    def chosen(statuses: list[Any]) -> Any:
        if any(naming.member(one, "state") == "TASK_RUNNING" for one in statuses):
            return None
        return _newest(one for one in statuses if _addresses(one, "netinfo", prefixes=True))

    return _with_addresses_of(zone, cluster, chosen)


def _port(value: str) -> str:
    return value.rpartition(":")[2]


def _services_where(zone: Zone, keep: Any) -> Zone:
    new = {}
    for (name, rrtype), values in zone.items():
        kept = frozenset(value for value in values if keep(value)) if rrtype == "SRV" else values
        if kept:
            new[(name, rrtype)] = kept
    return new


def numbers_in_range(zone: Zone, _: Cluster) -> Zone:
    return _services_where(
        zone, lambda value: not re.fullmatch("-?[0-9]+", _port(value)) or 0 <= int(_port(value)) <= 65535
    )


def ports_are_numbers(zone: Zone, _: Cluster) -> Zone:
    return _services_where(zone, lambda value: bool(re.fullmatch("-?[0-9]+", _port(value))))


def empty_labels(zone: Zone, cluster: Cluster) -> Zone:
    zone = _without(zone, cluster, lambda name: "" in name.split("."))

    def sound(name: str) -> bool:
        return not name.startswith(".") and ".." not in name

    kept = _services_where(zone, lambda value: sound(value.rpartition(":")[0]))
    return {(name, rrtype): values for (name, rrtype), values in kept.items() if sound(name)}


def lower_case(zone: Zone, _: Cluster) -> Zone:
    new: Zone = {}
    for (name, rrtype), values in zone.items():
        key = (naming.lower(name), rrtype)
        new[key] = new.get(key, frozenset()) | frozenset(map(naming.lower, values) if rrtype == "SRV" else values)
    return new


def long_names(zone: Zone, cluster: Cluster) -> Zone:
    def short(value: str) -> str:
        target, _, port = value.rpartition(":")
        return f"{naming.shorten(target, cluster.domain)}:{port}"

    new: Zone = {}
    for (name, rrtype), values in zone.items():
        # The self record may stand in another zone; it is the operator's own choice of name.
        key = (naming.shorten(name, cluster.domain) if name.endswith("." + cluster.domain) else name, rrtype)
        new[key] = new.get(key, frozenset()) | frozenset(map(short, values) if rrtype == "SRV" else values)
    return new
