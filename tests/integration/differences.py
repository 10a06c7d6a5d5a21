"""The table of deliberate differences from the Go program: each stands here once, with its reason.

docs/migrating.md explains each under a heading with the rule's name. A rule must be as narrow as it can
be, and must be needed by the recordings (test_differences.py holds both).
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

from tests.integration import answer_rules as answers
from tests.integration import expectations, naming
from tests.integration import record_rules as records
from tests.integration import web_rules as web
from tests.integration.expectations import Asked, Expected, View
from tests.integration.record_rules import Cluster, Zone
from tests.integration.recordings import Item, Recording
from tests.integration.upstreams import Endpoint, Knowledge, learn


class Rule(NamedTuple):
    name: str
    reason: str


class RecordRule(NamedTuple):
    name: str
    reason: str
    apply: Callable[[Zone, Cluster], Zone]


class AnswerRule(NamedTuple):
    name: str
    reason: str
    apply: answers.Rule


#: On the record set, in this order: extra names first, so that the rules about bad names hold for them, too.
RECORD_RULES = (
    RecordRule(
        "reserved-names",
        "`leader`, `master`, `masterN`, `slave` and this server's name belong to the cluster: a framework called so adds nothing.",
        records.reserved_names,
    ),
    RecordRule(
        "agent-names",
        "Mesos says agent since 1.0: `agent` stands beside `slave`. Listings show it where all agents are, and once for all below it.",
        records.agent_names,
    ),
    RecordRule(
        "alias-names",
        "`task.framework._tcp.domain` is the order that Mesos-DNS was designed with, and RFC 6763 clients expect.",
        records.alias_names,
    ),
    RecordRule(
        "discovery-ports-on-agents",
        "Discovery ports have `.slave` SRV names, as in the fork m3scluster/mesos-dns since 0.8, but not where host ports have them.",
        records.discovery_ports_on_agents,
    ),
    RecordRule(
        "master-services",
        "`_master._tcp` and `_udp` exist, as the Go program's documentation always promised.",
        records.master_services,
    ),
    RecordRule(
        "network-prefixes",
        "CNI plug-ins report `address/prefix length`: the address counts, Go drops it.",
        records.network_prefixes,
    ),
    RecordRule(
        "newest-status",
        "A task without a TASK_RUNNING status has the addresses of its newest status that tells any.",
        records.newest_status,
    ),
    RecordRule(
        "ports-are-numbers",
        "A scheduler port such as `:http` cannot stand in an SRV record (RFC 2782); Go lists it by HTTP and answers nothing.",
        records.ports_are_numbers,
    ),
    RecordRule(
        "ports-in-range",
        "SRV has 16 bits for the port (RFC 2782); Go cuts larger numbers to another, wrong port.",
        records.numbers_in_range,
    ),
    RecordRule(
        "wildcard-labels",
        "A label `*` is a wildcard in every server that loads the zone (RFC 4592): a discovery name with one has only its label's names.",
        records.wildcard_labels,
    ),
    RecordRule(
        "empty-labels",
        "An empty label is the root (RFC 1035 section 3.1); where nothing is left of a name, strangers would share `_._tcp`.",
        records.empty_labels,
    ),
    RecordRule(
        "raw-case",
        "DNS does not distinguish case (RFC 4343): discovery names with capitals become reachable.",
        records.lower_case,
    ),
    RecordRule(
        "long-names",
        "Labels have at most 63 octets and names 255 (RFC 1035 section 2.3.4): longer ones are shortened with a hash; Go sends nothing at all.",
        records.long_names,
    ),
)

#: On answers, in this order.
ANSWER_RULES = (
    AnswerRule(
        "class-not-internet",
        "The zone has class IN only (RFC 1035 section 3.2.4): other classes are REFUSED, and never forwarded.",
        answers.class_not_internet,
    ),
    AnswerRule(
        "no-transfer",
        "AXFR and IXFR are not questions about a record type (RFC 5936): REFUSED, here and for other zones.",
        answers.no_transfer,
    ),
    AnswerRule(
        "ds-is-answered",
        "DS of names in the own zone is answered (RFC 4035 section 3.1.4.1); Go asks the Internet about the cluster.",
        answers.ds_is_answered,
    ),
    AnswerRule(
        "raw-octets",
        "Names with octets beyond letters, digits and dashes are found (RFC 2181 section 11); Go compares escaped text and misses them.",
        answers.other_records,
    ),
    AnswerRule(
        "owner-as-asked",
        "The owner of a record is the name that was asked, letter case and `.*` included (RFC 1034 section 4.3.2, 0x20).",
        answers.owner_as_asked,
    ),
    AnswerRule(
        "soa-and-ns-at-the-apex",
        "SOA and NS exist at the apex, and stand in ANSWER there (RFC 1034 section 4.3.2).",
        answers.soa_and_ns,
    ),
    AnswerRule(
        "srv-misses",
        "A missing SRV is NXDOMAIN or NODATA with an SOA, so that it can be cached (RFC 2308); Go sends an empty NOERROR.",
        answers.srv_miss,
    ),
    AnswerRule(
        "any-is-one-rrset",
        "ANY over UDP gives one RRset (RFC 8482), over TCP all; no SOA and NS beside it.",
        answers.any_type,
    ),
    AnswerRule(
        "names-above-names",
        "A name that has names below it exists (RFC 8020): NODATA, never NXDOMAIN, and so does the apex.",
        answers.names_above_names,
    ),
    AnswerRule(
        "soa-of-the-zone",
        "A negative answer carries one SOA, whose owner is the apex (RFC 2308 section 3).",
        answers.negative_soa,
    ),
    AnswerRule(
        "all-target-addresses",
        "ADDITIONAL has every address of every SRV target as far as it fits (RFC 2782); Go sends one of each kind.",
        answers.additional_addresses,
    ),
    AnswerRule(
        "never-truncated",
        "With SetTruncateBit off the answer is a random part that fits, for forwarded answers, too.",
        answers.never_truncated,
    ),
    AnswerRule(
        "forwarded-parts",
        "A forwarded answer that does not fit has TC and the whole records that fit (RFC 2181 section 9); Go sends none.",
        answers.forwarded_parts,
    ),
    AnswerRule(
        "whole-records",
        "Of an answer that does not fit as many whole records are sent as do, with TC (RFC 2181 section 9) and nothing else; missing additional records are no reason for TC.",
        answers.truncation,
    ),
    AnswerRule(
        "class-any",
        "Class ANY is answered without AA: no server is the authority for all classes (RFC 1035 section 4.3.1).",
        answers.class_any,
    ),
    AnswerRule(
        "zone-resolver-case",
        "A ZoneResolvers key with capitals matches (RFC 4343); Go accepts it and never uses it.",
        answers.zone_resolver_case,
    ),
    AnswerRule(
        "ds-follows-the-zone",
        "DS questions go to the zone's resolvers like all others; Go sends them to Resolvers, as if it knew the parent.",
        answers.ds_follows_the_zone,
    ),
    AnswerRule(
        "checking-disabled-comes-back",
        "CD is copied from the question into every reply (RFC 4035 section 3.2.2); Go passes on what the upstream set.",
        answers.checking_disabled_comes_back,
    ),
    AnswerRule(
        "opt-answers-opt",
        "A query with OPT gets an OPT (RFC 6891), and up to 1232 octets over UDP.",
        answers.opt_answers_opt,
    ),
)

#: On HTTP.
WEB_RULES = (
    Rule(
        "null-frameworks", "A null in the list of frameworks is no framework; Go enumerates one without name and tasks."
    ),
    Rule("config-keys", "`/v1/config` shows the fork's keys and ours, and hides secrets."),
    Rule("version", "`/v1/version` tells this program's version."),
    Rule("page", "`/` is a page for people, unless `WebOn` is false; Go knows nothing there."),
)

RULES: tuple[Rule, ...] = (
    *(Rule(rule.name, rule.reason) for rule in (*RECORD_RULES, *ANSWER_RULES)),
    *WEB_RULES,
)


class Mismatch(NamedTuple):
    """One answer that neither the recording nor a rule explains."""

    kind: str
    asked: str
    why: str


@dataclass
class Judge:
    """What we must answer where the Go program answered as recorded; counts which rules were needed."""

    rec: Recording
    upstreams: Mapping[Endpoint, Knowledge] = field(default_factory=learn)
    used: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.cluster = Cluster(self.rec)
        zone = records.go_zone(self.rec)
        changed: dict[str, str] = {}
        for rule in RECORD_RULES:
            new = rule.apply(zone, self.cluster)
            different = {key for key in zone.keys() | new.keys() if zone.get(key) != new.get(key)}
            if different:
                self.used[rule.name] += len(different)
            changed.update({naming.lower(name): rule.name for name, _ in different})
            zone = new
        self.zone = zone
        self.view = View(self.rec, zone, changed, self.upstreams)

    @cached_property
    def _whole(self) -> dict[tuple[str, str], Item]:
        return {
            (one["q"], one["t"]): one["tcp"] for one in self.rec.read("answers.json") if "answer" in one.get("tcp", ())
        }

    # --- DNS ---------------------------------------------------------------------------------------------

    def expected(self, item: Item) -> tuple[Asked, list[Expected]]:
        """Every answer that is right for a recorded question."""
        asked = Asked(self.view, item)
        right = [expectations.from_recording(asked, lambda one: self._whole.get((one["q"], one["t"])))]
        for rule in ANSWER_RULES:
            new = [result for one in right for result in rule.apply(asked, one)]
            if new != right:
                name = answers.why_other_records(asked) if rule.apply is answers.other_records else rule.name
                self.used[name or rule.name] += 1
            right = new
        return asked, right

    def dns(self, items: Iterable[Item], got: Iterable[dict[str, Any]]) -> list[Mismatch]:
        out = []
        for item, reply in zip(items, got, strict=True):
            variants = [(item, reply)]
            if "tcp" in item and "tcp" in reply:
                over_tcp = {**item["tcp"], "q": item["q"], "t": item["t"], "with": {**item.get("with", {}), "tcp": 1}}
                variants.append((over_tcp, reply["tcp"]))
            for asked_item, answer in variants:
                _, right = self.expected(asked_item)
                whys = [expectations.disagreement(one, answer) for one in right]
                if all(whys):
                    text = f"{item['q']} {item['t']} {asked_item.get('with', '')}"
                    out.append(Mismatch("dns", text, "; or ".join(dict.fromkeys(filter(None, whys)))))
        return out

    # --- HTTP --------------------------------------------------------------------------------------------

    def web_item(self, item: Item) -> Item:
        if item["path"] == "/" and item["method"] == "GET":
            self.used["page"] += 1
            return {**item, **web.PAGE}
        new, rule = web.other_records(self.view, item)
        if rule:
            self.used[rule] += 1
        return new

    def web(self, items: Iterable[Item], got: Iterable[web.Got]) -> list[Mismatch]:
        out = []
        for item, reply in zip(items, got, strict=True):
            why = web.disagreement(self.web_item(item), reply)
            if why:
                out.append(Mismatch("http", f"{item['method']} {item['path']} {item.get('accept', '')}", why))
        return out

    def version_and_config(self, report: Mapping[str, Any]) -> list[Mismatch]:
        self.used["version"] += 1
        self.used["config-keys"] += 1
        checks = (
            ("version", web.version_disagreement(self.rec.read("version.json"), report["version"]["body"])),
            ("config", web.config_disagreement(self.rec.read("config_http.json"), report["config"]["body"])),
        )
        return [Mismatch(kind, f"/v1/{kind}", why) for kind, why in checks if why]
