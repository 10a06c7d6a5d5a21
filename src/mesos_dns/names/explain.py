"""Why a name has this answer, or none. Pure: values in, one value out; bounded, whatever the name and the cluster are.

What takes time, and what bounds it: a candidate for a name has to be named to see whether it contributes (`MOST_CANDIDATES`), so has a task
that would have the name (`absence.MOST_TASKS`); labels are compared with one that does not exist (`elsewhere.MOST_COMPARED`); and the journal
is looked through, whose size is bounded.
"""

from collections.abc import Iterable
from itertools import islice
from typing import Final, NamedTuple

from mesos_dns.dns import name as names
from mesos_dns.dns import rdata as rd
from mesos_dns.dns.rdata import AAAA, ANY, DNAME, NS, SOA, SRV, A
from mesos_dns.limits import MAX_LABEL
from mesos_dns.mesos.state import Task
from mesos_dns.names import absence, elsewhere
from mesos_dns.names.absence import Facts, left
from mesos_dns.names.explanation import Explanation, Giver, Held, Reason, Shown, Source, Upstream, Verdict
from mesos_dns.names.holds import Hold
from mesos_dns.names.model import Model
from mesos_dns.names.provenance import Contributor
from mesos_dns.names.tasks import AUTO, chosen
from mesos_dns.quoting import quoted
from mesos_dns.zone.rrsets import RRsets
from mesos_dns.zone.zone import Zone
from mesos_dns.zone.zones import Zones

#: Entities that are named to see what they contribute: 20 to 50 microseconds each.
MOST_CANDIDATES: Final = 40
#: Records that are shown, and contributors of one.
MOST_RECORDS: Final = 30
MOST_GIVERS: Final = 5
#: Labels in front of the zone of a name that is compared with those of tasks, beyond what a framework and a task together have: the ways
#: to read a name grow with the cube of its labels.
MOST_LABELS: Final = 12
#: Characters of a name that can be none, as far as it is repeated.
_MOST_NAME: Final = 260


class Outside(NamedTuple):
    """What becomes of a question for this name if it is not ours.

    `private` is the zone that is answered as an empty one here, None if
    the name lies in none. `zone` is the configured one whose `upstreams` are asked, the root for everything else; without any it is refused.
    `clients` are those who may ask about it, as configured; empty for everybody.
    """

    private: bytes | None = None
    zone: bytes = names.ROOT
    upstreams: tuple[Upstream, ...] = ()
    clients: tuple[str, ...] = ()


def explain(model: Model, zones: Zones, name: str, rrtype: int | None, facts: Facts, outside: Outside) -> Explanation:
    """Why `name`, as people write it, has this answer; `rrtype` None for all types. Never raises."""
    asked = name.strip().replace(".*", "")  # As every look-up has it.
    wanted = None if rrtype == ANY else rrtype
    labels = elsewhere.labels_of(asked)
    shown_type = "" if wanted is None else rd.type_text(wanted)
    first = next(iter(zones))
    try:
        owner = names.from_text(asked)
    except names.BadNameError as error:
        return _bad_name(model, first, asked, labels, shown_type, str(error))
    zone = zones.find(owner) or (first if first.rrsets(owner) else None)
    text = names.to_master_file(owner)
    if zone is None:
        return _outside(first, text, labels, shown_type, outside)
    if not zone.serial:
        why = Reason(
            "no-state", f"no state of the cluster has been read yet{': ' * bool(facts.trouble)}{facts.trouble}"
        )
        summary = f"{text} has no answer yet: no state of the cluster has been read"
        return Explanation(text, shown_type, "no state", False, summary, _apex(zone), reasons=(why,))
    question = _Question(model, zone, owner, zone.redirected(owner), wanted, facts)
    return _present(question, shown_type) if zone.exists(question.real) else _absent(question, labels, shown_type)


class _Question(NamedTuple):
    """`real` is the name that has the records of `owner`: another one if that is redirected."""

    model: Model
    zone: Zone
    owner: bytes
    real: bytes
    rrtype: int | None
    facts: Facts


def _apex(zone: Zone) -> str:
    return names.to_master_file(zone.authority.apex)


# --- names that exist --------------------------------------------------------------------------


def _present(question: _Question, rtype: str) -> Explanation:
    model, zone, owner, real, rrtype, facts = question
    text = names.to_master_file(owner)
    rrsets = _rrsets(zone, real)
    types = tuple(rd.type_text(one) for one, _ in rrsets)
    total = sum(len(rdataset) for one, rdataset in rrsets if rrtype in (None, one))
    givers, candidates, looked_at = _givers(question)
    shown = _shown(question, rrsets, givers)
    reasons = []
    if real != owner:
        other = names.to_master_file(real)
        reasons.append(
            Reason("redirect", f"its records are those of {other}: below the same name there is another (DNAME)", other)
        )
    verdict: Verdict = "answer"
    if total:
        what = rtype or ", ".join(types)
        summary = f"{text} has {total} record{'s' * (total > 1)} ({what})"
    else:
        verdict = "nodata"
        if types:
            summary = f"{text} exists, but not with type {rtype}: it has {', '.join(types)}"
        else:
            summary = f"{text} has no records of its own: it exists because there are names below it"
        reasons += _other_type(question, types)
    reasons += [Reason("held", one) for one in _held_words(shown)]
    if len(_front(question)) <= MOST_LABELS:
        reasons += absence.of_tasks(model, facts, real, rrtype, absent=not total)
    reasons += absence.of_journal(facts, real, rrtype, absent=not total)
    reasons += absence.of_what_is_hidden(model, facts) if facts.trouble or not total else ()
    reasons += absence.of_clients("AllowQuery", facts.clients)
    return Explanation(
        text,
        rtype,
        verdict,
        True,
        summary,
        _apex(zone),
        zone.serial,
        types,
        tuple(reasons),
        shown,
        total - len(shown),
        candidates,
        looked_at,
    )


def _rrsets(zone: Zone, owner: bytes) -> RRsets:
    """All record sets of a name, those included that the server makes itself."""
    own: RRsets = tuple([(DNAME, (other,)) for above, other in zone.authority.redirects if above == owner])
    if owner == zone.authority.apex:
        own = (NS, (zone.authority.mname,)), (SOA, (zone.soa(),))
    return tuple(sorted((*own, *(zone.rrsets(owner) or ()))))


def _givers(question: _Question) -> tuple[dict[tuple[int, bytes], list[Giver]], int, int]:
    """Who contributes each record, as far as they were looked at; how many may do so, and how many were looked at."""
    model, _, _, real, rrtype, facts = question
    found: dict[tuple[int, bytes], dict[Contributor, None]] = {}
    seen: set[Contributor] = set()
    taken = [*islice(model.each_contributor(real, rrtype), MOST_CANDIDATES)]
    for contributor, records in taken:
        if records or contributor.kind == "task":
            seen.add(contributor)
        for _, one, rdata in records:
            found.setdefault((one, rdata), {})[contributor] = None
    looked_at = candidates = len(seen)
    if len(taken) == MOST_CANDIDATES:
        candidates = max(looked_at, model.namesakes_count(real))
        if real in model.naming.agent_owners:
            candidates = max(candidates, len(model.agents))
    known: dict[Contributor, Giver] = {}
    for contributors in found.values():
        for giver in islice(contributors, MOST_GIVERS):
            if giver not in known:
                known[giver] = _giver(model, facts, giver)
    # Those beyond the shown ones are counted, not described.
    return (
        {record: [known.get(each, Giver(each.kind, each.id)) for each in them] for record, them in found.items()},
        candidates,
        looked_at,
    )


def _shown(question: _Question, rrsets: RRsets, givers: dict[tuple[int, bytes], list[Giver]]) -> tuple[Shown, ...]:
    """Some records: first those whose contributors are known."""
    ttl, text = question.zone.authority.ttl, names.to_master_file(question.owner)
    wanted = [(one, some) for one, some in rrsets if question.rrtype in (None, one)]
    there = {one: frozenset(some) for one, some in wanted}
    known = [record for record in givers if record[1] in there.get(record[0], ())]
    some = islice(((one, rdata) for one, rdataset in wanted for rdata in rdataset), MOST_RECORDS)
    records = [*dict.fromkeys([*known[:MOST_RECORDS], *some])][:MOST_RECORDS]
    return tuple(
        Shown(
            text,
            rd.type_text(one),
            ttl,
            rd.to_text(one, rdata),
            tuple(givers.get((one, rdata), ())[:MOST_GIVERS]),
            max(0, len(givers.get((one, rdata), ())) - MOST_GIVERS),
        )
        for one, rdata in sorted(records, key=lambda record: record[0])
    )


def _giver(model: Model, facts: Facts, contributor: Contributor) -> Giver:
    kind, id_, framework_id, number = contributor
    holds = facts.holds
    if kind == "agent":
        agent = model.agents[id_]
        return Giver(kind, id_, agent=agent.host, agent_id=id_, held=_held(facts, holds.hold_of_agent(id_)))
    if kind == "framework":
        name = model.frameworks[id_].name
        return Giver(kind, id_, framework=name, framework_id=id_, held=_held(facts, holds.hold_of_framework(id_)))
    key = framework_id, id_, number
    task = model.tasks.get(key)
    if kind != "task" or task is None:
        return Giver(kind, id_)
    hold = holds.hold_of_task(key) or holds.hold_of_agent(task.agent_id) or holds.hold_of_framework(framework_id)
    framework, agent_there = model.frameworks.get(framework_id), model.agents.get(task.agent_id)
    return Giver(
        kind,
        id_,
        framework=framework.name if framework else "",
        framework_id=framework_id,
        agent=agent_there.host if agent_there else "",
        agent_id=task.agent_id,
        health="" if task.healthy is None else "healthy" if task.healthy else "unhealthy",
        network=task.network.mode,
        source=_source(model, task),
        held=_held(facts, hold),
    )


_NETWORKS: Final = {
    "host": "it has the network of its agent",
    "bridge": "it is behind a bridge of its agent",
    "container": "it is on a network of containers",
    "unknown": "the state does not tell its network",
}


def _source(model: Model, task: Task) -> Source:
    rules = model.naming.rules
    addresses, source, automatic = chosen(rules, task, model.agent_addresses(task.agent_id) or ())
    listed = ", ".join(rules.ip_sources)
    if not addresses:
        return Source("", False, f"none of IPSources ({listed}) gives an address")
    if automatic:
        return Source(source, True, f"{AUTO}: {_NETWORKS[task.network.mode]}")
    if source == rules.ip_sources[0]:
        return Source(source, False, f"the first of IPSources ({listed})")
    return Source(source, False, f"the first of IPSources ({listed}) that gives an address")


def _held(facts: Facts, hold: Hold | None) -> Held | None:
    return None if hold is None else Held(hold.why.value, left(hold.until, facts.steady))


def _held_words(shown: Iterable[Shown]) -> list[str]:
    found = {giver.held.why: giver.held for one in shown for giver in one.givers if giver.held is not None}
    return [
        f"the last state lacks some of it, which is kept because {held.why}"
        + ("" if held.seconds is None else f", for {held.seconds} s at most")
        for held in found.values()
    ]


def _other_type(question: _Question, types: tuple[str, ...]) -> Iterable[Reason]:
    """Where records of the type are, if they are not here."""
    zone, real, rrtype = question.zone, question.real, question.rrtype
    front = _front(question)
    domain = [*names.labels(zone.authority.apex)]
    if rrtype in (A, AAAA) and "SRV" in types and len(front) > 2:
        plain = [label.lstrip(b"_") for label in front if label not in (b"_tcp", b"_udp")]
        if text := elsewhere.existing(zone, plain + domain):
            yield Reason("other-type", f"addresses are at the name without underscores: {text}", text)
    elif rrtype == SRV and "A" in types and front:
        for protocol in (b"_tcp", b"_udp"):
            if text := elsewhere.existing(zone, [b"_" + front[0], protocol, *front[1:], *domain]):
                yield Reason("other-type", f"services are at {text}", text)
                return
        yield Reason("no-ports", "there is no service either: no task of this name has ports in Mesos")
    elif rrtype == AAAA and "A" in types:
        yield Reason(
            "one-family",
            f"no IPv6 address of {names.to_master_file(real)} is known to Mesos, nor an agent's that has one",
        )
    elif rrtype == A and "AAAA" in types:
        yield Reason("one-family", f"no IPv4 address of {names.to_master_file(real)} is known to Mesos")


# --- names that do not ---------------------------------------------------------------------------


def _front(question: _Question) -> list[bytes]:
    """The labels in front of the apex."""
    apex = question.zone.authority.apex
    return [*names.labels(question.owner[: len(question.owner) - len(apex)] + names.ROOT)]


def _absent(question: _Question, labels: list[bytes], rtype: str) -> Explanation:
    model, zone, owner, real, _, facts = question
    text = names.to_master_file(owner)
    front = _front(question)
    nearest = names.parent(owner)
    while not zone.exists(zone.redirected(nearest)) and nearest != zone.authority.apex:
        nearest = names.parent(nearest)
    reasons = [*elsewhere.of_search_lists(zone, labels)]
    vanished = absence.of_journal(facts, real, None, absent=True)
    alike = elsewhere.Alike((), 0)
    if len(front) > MOST_LABELS:
        reasons += vanished
        what = f"it has {len(front)} labels in front of the zone: so many are not compared with the names of tasks"
        reasons.append(Reason("many-labels", what))
    else:
        rule = model.naming.rules.label
        reasons += absence.of_tasks(model, facts, real, None, absent=True)
        ruled = elsewhere.by_rule(front, rule)
        made = elsewhere.wire([*ruled, *names.labels(zone.authority.apex)])
        if made is not None and made != real:
            reasons += absence.of_tasks(model, facts, made, None, absent=True)
        reasons += vanished
        reasons += elsewhere.misspelt(zone, front, rule)
        reasons += elsewhere.elsewhere(model, zone, ruled)
        alike = elsewhere.alike(model, zone, ruled)
    reasons += absence.of_what_is_hidden(model, facts)
    if not reasons and not alike.names:
        reasons.append(Reason("unknown", "nothing that is known of the cluster has to do with this name"))
    summary = f"{text} does not exist (NXDOMAIN)"
    return Explanation(
        text,
        rtype,
        "nxdomain",
        False,
        summary,
        _apex(zone),
        zone.serial,
        reasons=tuple(dict.fromkeys(reasons)),
        nearest=names.to_master_file(nearest),
        alike=alike.names,
        compared=alike.compared,
    )


def _bad_name(model: Model, zone: Zone, asked: str, labels: list[bytes], rtype: str, error: str) -> Explanation:
    shown = quoted(asked, _MOST_NAME)
    domain = [*names.labels(zone.authority.apex)]
    reasons = [Reason("bad-name", error)]
    if any(len(label) > MAX_LABEL for label in labels) and labels[-len(domain) :] == domain:
        made = elsewhere.by_rule(labels[: -len(domain)], model.naming.rules.label)
        if text := elsewhere.existing(zone, made + domain):
            reasons.insert(0, Reason("label-rule", f"long labels are cut: {text} exists", text))
    summary = f"{shown} cannot be a name in DNS: {error}"
    return Explanation(shown, rtype, "bad name", False, summary, _apex(zone), zone.serial, reasons=tuple(reasons))


def _outside(zone: Zone, text: str, labels: list[bytes], rtype: str, outside: Outside) -> Explanation:
    reasons = [*elsewhere.of_search_lists(zone, labels)]
    if outside.private is not None:
        private = names.to_master_file(outside.private)
        what = f"{private} is one of PrivateZones: names in it are answered here, and nobody is asked"
        reasons.append(Reason("private", what, private))
    elif not outside.upstreams:
        reasons.append(
            Reason(
                "no-upstream",
                "no resolver is configured that could be asked for it, so it is refused (ExternalOn, Resolvers, ZoneResolvers)",
            )
        )
    else:
        which = (
            "Resolvers"
            if outside.zone == names.ROOT
            else f"those of ZoneResolvers for {names.to_master_file(outside.zone)}"
        )
        them = ", ".join(one.address for one in outside.upstreams)
        reasons.append(Reason("forwarded", f"it is forwarded to {which}: {them}"))
        down = [one.address for one in outside.upstreams if one.down and not one.up]
        if down:
            reasons.insert(0, Reason("upstream-down", f"no answer comes from {', '.join(down)} at present"))
        reasons += absence.of_clients("AllowRecursion", outside.clients)
    summary = f"{text} is not in {_apex(zone)}, which this server serves"
    asked = outside.upstreams if outside.private is None else ()
    return Explanation(
        text, rtype, "outside", False, summary, _apex(zone), zone.serial, reasons=tuple(reasons), upstreams=asked
    )
