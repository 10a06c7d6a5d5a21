"""What must be answered: one question, the record set, what Go sent, and how a reply is judged by it.

An expectation starts as what Go sent (`from_recording`) and is changed by the rules (answer_rules.py);
where more than one answer is right (a random subset) it becomes tolerant.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from tests.integration import wire
from tests.integration.record_rules import Zone
from tests.integration.recordings import Item, Recording
from tests.integration.upstreams import Endpoint, Knowledge, resolvers_asked

#: What our server advertises, and keeps to over UDP.
OUR_UDP_SIZE = 1232


class RR(NamedTuple):
    owner: str
    ttl: int
    rrclass: str
    rrtype: str
    rdata: str

    def text(self) -> str:
        return f"{self.owner} {self.ttl} {self.rrclass} {self.rrtype} {self.rdata}"


class Expected(NamedTuple):
    """One right answer."""

    rcode: str
    flags: frozenset[str]
    question: str
    answer: tuple[RR, ...] = ()
    authority: tuple[RR, ...] = ()
    additional: tuple[RR, ...] = ()
    opt: Mapping[str, int] | None = None
    #: "whole", or "subset": as many records as fit, any of them.
    answer_is: str = "whole"
    #: "whole"; "one-of-each": one record per owner and type (Go); "some": whole RRsets;
    #: "fitting": whole RRsets as far as they fit.
    additional_is: str = "whole"
    limit: int = 65535
    #: Go sent nothing, or nothing that can be read.
    silent: bool = False


@dataclass(frozen=True)
class Asked:
    """One question, with everything that a rule may look at."""

    view: "View"
    item: Item

    @property
    def name(self) -> str:
        """As sent, master-file form."""
        return str(self.item["q"])

    @property
    def rrtype(self) -> str:
        return str(self.item["t"])

    @property
    def given(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.item.get("with", {})
        return found

    @property
    def rrclass(self) -> int:
        return int(self.given.get("qclass", 1))

    @property
    def tcp(self) -> bool:
        return bool(self.given.get("tcp"))

    @property
    def limit(self) -> int:
        if self.tcp:
            return 65535
        return max(512, min(int(self.given.get("edns", 512)), OUR_UDP_SIZE))

    @cached_property
    def labels(self) -> tuple[bytes, ...]:
        """Lower case, as on the wire."""
        octets, at, out = wire.name_wire(self.name), 0, []
        while octets[at]:
            out.append(octets[at + 1 : at + 1 + octets[at]].lower())
            at += 1 + octets[at]
        return tuple(out)

    @cached_property
    def in_zone(self) -> bool:
        apex = self.view.apex
        return self.labels[len(self.labels) - len(apex) :] == apex if len(self.labels) >= len(apex) else False

    @cached_property
    def key(self) -> tuple[bytes, ...]:
        """What is looked up: a label that begins with `*` loses it and joins the one before (`.*` is deleted)."""
        out: list[bytes] = []
        for label in self.labels:
            if out and label.startswith(b"*"):
                out[-1] += label[1:]
            else:
                out.append(label)
        return tuple(out)

    @property
    def soa(self) -> RR:
        """The zone's SOA; its owner is the end of the asked name, in the asked case."""
        apex = wire.read_name(wire.name_wire(self.name), _offset_of_last(self.name, len(self.view.apex)))[0]
        return self.view.soa._replace(owner=apex)

    def header(self, *flags: str) -> frozenset[str]:
        """QR, what is copied from the question, and `flags`."""
        sent = self.given.get("flags", 0x0100)
        copied = {text for bit, text in ((0x0100, "RD"), (0x0010, "CD")) if sent & bit}
        return frozenset({"QR", *copied, *flags})


def _offset_of_last(name: str, count: int) -> int:
    """Where the last `count` labels of `name` begin in its wire form."""
    octets, starts, at = wire.name_wire(name), [], 0
    while octets[at]:
        starts.append(at)
        at += 1 + octets[at]
    return [*starts, at][len(starts) - count]


class View:
    """The record set that we are expected to serve, as DNS looks at it."""

    def __init__(
        self, rec: Recording, zone: Zone, changed: Mapping[str, str], upstreams: Mapping[Endpoint, Knowledge]
    ) -> None:
        self.rec = rec
        self.config = rec.effective
        self.upstreams = upstreams
        #: text name -> the record rule that made it differ from Go's
        self.changed = {labels_of(name): rule for name, rule in changed.items()}
        self.apex = labels_of(rec.domain)
        self.data: dict[tuple[bytes, ...], dict[str, list[str]]] = {}
        for (name, rrtype), values in zone.items():
            self.data.setdefault(labels_of(name), {})[rrtype] = sorted(values)
        self.exists = {self.apex}
        for key in self.data:
            if key[len(key) - len(self.apex) :] == self.apex:
                self.exists.update(key[n:] for n in range(len(key) - len(self.apex) + 1))
        self.ttl = int(self.config["TTL"])
        soa = (
            self.config["SOAMname"],
            self.config["SOARname"],
            "SERIAL",
            self.config["SOARefresh"],
            self.config["SOARetry"],
        )
        self.soa = RR(rec.domain, self.ttl, "IN", "SOA", " ".join(map(str, (*soa, self.config["SOAExpire"], self.ttl))))

    def of(self, key: tuple[bytes, ...], rrtype: str, owner: str) -> list[RR]:
        """Records at `key`; ANY gives all kinds."""
        kinds = ("A", "AAAA", "SRV") if rrtype == "ANY" else (rrtype,)
        found = self.data.get(key, {})
        return [
            RR(owner, self.ttl, "IN", kind, self._rdata(kind, value)) for kind in kinds for value in found.get(kind, ())
        ]

    def _rdata(self, kind: str, value: str) -> str:
        if kind != "SRV":
            return value
        target, _, port = value.rpartition(":")
        return f"0 {self.config['SRVRecordDefaultWeight']} {int(port)} {escaped(target)}"

    def addresses(self, target: str) -> list[RR]:
        """Address records of a target in master-file form."""
        octets, at, key = wire.name_wire(target), 0, []
        while octets[at]:
            key.append(octets[at + 1 : at + 1 + octets[at]].lower())
            at += 1 + octets[at]
        return [*self.of(tuple(key), "A", target), *self.of(tuple(key), "AAAA", target)]


def labels_of(name: str) -> tuple[bytes, ...]:
    return tuple(name.encode().removesuffix(b".").split(b".")) if name != "." else ()


def escaped(name: str) -> str:
    return "".join(wire.label_text(label) + "." for label in labels_of(name))


def go_reply(asked: Asked) -> Expected:
    """What Go would say if it had our records: the start for names whose records differ on purpose."""
    view, found = asked.view, asked.view.of(asked.key, asked.rrtype, asked.name)
    flags = asked.header("AA", *(["RA"] if view.config["RecurseOn"] else []))
    base = Expected(
        "NOERROR", flags, f"{asked.name} {wire.class_text(asked.rrclass)} {asked.rrtype}", limit=asked.limit
    )
    soa = view.soa._replace(owner=asked.name)
    ns = RR(asked.name, view.ttl, "IN", "NS", view.config["SOAMname"])
    if found:
        return base._replace(answer=tuple(found), authority=(ns, soa) if asked.rrtype == "ANY" else ())
    if asked.rrtype in ("SOA", "NS"):
        return base._replace(authority=(soa if asked.rrtype == "SOA" else ns,))
    if asked.rrtype == "SRV":
        return base
    rcode = "NOERROR" if asked.key in view.data else "NXDOMAIN"
    return base._replace(rcode=rcode, authority=(soa,))


def rdata_size(rr: RR) -> int:
    """Octets of the record data, names in it uncompressed (RFC 2782 for SRV)."""
    if rr.rrtype == "SRV":
        return 6 + len(wire.name_wire(rr.rdata.split(" ", 3)[3]))
    if rr.rrtype in ("A", "AAAA"):
        return {"A": 4, "AAAA": 16}[rr.rrtype]
    return len(rr.rdata)


# --- from the recording ----------------------------------------------------------------------------------


def known_upstream(asked: Asked, endpoints: list[Endpoint]) -> Item | None:
    """What the first living one of `endpoints` says to the question."""
    for endpoint in endpoints:
        if endpoint in asked.view.upstreams:
            return asked.view.upstreams[endpoint].get((asked.name.lower(), asked.rrtype, asked.rrclass))
    return None


def parse_rr(text: str) -> RR:
    owner, ttl, rrclass, rrtype, rdata = text.split(" ", 4)
    return RR(owner, int(ttl), rrclass, rrtype, rdata)


def from_recording(asked: Asked, whole_of: Callable[[Item], Item | None]) -> Expected:
    """What Go sent. `whole_of` finds the complete answer where the recording only counts records."""
    item = asked.item
    if "rcode" not in item:
        return go_reply(asked)._replace(silent=True)
    whole = item if isinstance(item["answer"], list) else item.get("tcp") or whole_of(item)
    if whole is None and not asked.in_zone:
        whole = known_upstream(asked, resolvers_asked(asked.view.rec, asked.name))
    answer = whole["answer"] if whole else []
    if not asked.in_zone and 0 in (item.get("n_answer"), item.get("n_answer_udp", [None])[-1]):
        answer = []  # the upstream itself cut everything
    elif whole is None and len(go_reply(asked).answer) >= item["n_answer"]:
        answer = [rr.text() for rr in go_reply(asked).answer]
    additional = []
    one_of_each = False
    for entry in item["additional"]:
        values = entry.get("any_of") or [entry["rdata"]]
        one_of_each |= "any_of" in entry
        additional += [RR(entry["name"], entry["ttl"], "IN", entry["type"], value) for value in values]
    return Expected(
        item["rcode"],
        frozenset(item["flags"]),
        item.get("question", ""),
        tuple(map(parse_rr, answer)),
        tuple(map(parse_rr, item["authority"])),
        tuple(additional),
        item.get("edns"),
        "whole",
        "one-of-each" if one_of_each else "whole",
        asked.limit,
    )


# --- judging ---------------------------------------------------------------------------------------------


def disagreement(e: Expected, got: wire.Reply) -> str | None:
    """None if `got` is what `e` says, else the first thing that is different."""
    if e.silent:
        return "Go sent nothing that can be read, and no rule says what we send"
    if "rcode" not in got:
        return f"no readable reply: {got}"
    for what, want, have in (
        ("rcode", e.rcode, got["rcode"]),
        ("flags", sorted(e.flags), sorted(got["flags"])),
        ("question", e.question, got["question"]),
        ("OPT", [e.opt] if e.opt else [], got["opt"]),
        ("authority", sorted(rr.text() for rr in e.authority), got["authority"]),
    ):
        if want != have:
            return f"{what}: want {want}, got {have}"
    if got["size"] > e.limit:
        return f"size {got['size']} is over {e.limit}"
    return _answer_disagrees(e, got) or _additional_disagrees(e, got)


def _answer_disagrees(e: Expected, got: wire.Reply) -> str | None:
    want = sorted(rr.text() for rr in e.answer)
    if e.answer_is == "whole":
        return None if want == got["answer"] else f"answer: want {want}, got {got['answer']}"
    missing = list(want)
    for text in got["answer"]:
        if text not in missing:
            return f"answer: {text} is not one of the records"
        missing.remove(text)
    room = e.limit - got["size"]
    if missing and room > max(12 + rdata_size(rr) for rr in e.answer):
        return f"answer: {len(missing)} records left out although {room} octets were free"
    return None


def _additional_disagrees(e: Expected, got: wire.Reply) -> str | None:
    want = sorted(rr.text() for rr in e.additional)
    have = got["additional"]
    if e.additional_is == "whole":
        return None if want == have else f"additional: want {want}, got {have}"
    if set(have) - set(want) or len(set(have)) != len(have):
        return f"additional: {sorted(set(have) - set(want))} not wanted"
    sets: dict[tuple[str, str], list[RR]] = {}
    for rr in e.additional:
        sets.setdefault((rr.owner, rr.rrtype), []).append(rr)
    for key, rrs in sets.items():
        there = sum(rr.text() in have for rr in rrs)
        if e.additional_is == "one-of-each":
            if there != 1:
                return f"additional: {there} of {key}"
            continue
        if there not in (0, len(rrs)):
            return f"additional: {there} of {len(rrs)} records of {key}: not a whole RRset"
        needs = sum(len(wire.name_wire(rr.owner)) + 10 + rdata_size(rr) for rr in rrs)
        if not there and e.additional_is == "fitting" and got["size"] + needs <= e.limit:
            return f"additional: {key} left out although it fits"
    return None
