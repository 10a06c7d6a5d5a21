"""How `/v1/axfr` and `/v1/enumerate` are judged against the recordings."""

import json
from collections.abc import Iterator
from typing import Any

from tests.integration import naming
from tests.integration.differences import Judge, Mismatch
from tests.integration.record_rules import KINDS, Zone
from tests.integration.web_rules import layout

#: name, host, rtype as `/v1/enumerate` shows a record.
Shown = tuple[str, str, str]


def axfr(judge: Judge, body: str) -> Iterator[Mismatch]:
    """The whole record set, and what stands around it."""
    want = judge.rec.read("axfr.json")
    got = json.loads(body)
    if body != layout(got):
        yield Mismatch("axfr", "layout", body[:100])
    keys = ["TTL", "Serial", "RefreshSeconds", "Mname", "Rname", "Domain", "Records"]
    if list(got) != keys or list(got["Records"]) != ["As", "AAAAs", "SRVs"]:
        yield Mismatch("axfr", "keys", f"{list(got)}, {list(got['Records'])}")
    for key in set(keys) - {"Records", "Serial"}:
        if got[key] != want[key]:
            yield Mismatch("axfr", key, f"want {want[key]!r}, got {got[key]!r}")
    if not isinstance(got["Serial"], int) or got["Serial"] <= 0:
        yield Mismatch("axfr", "Serial", repr(got["Serial"]))
    have: Zone = {}
    for kind, rrtype in KINDS.items():
        if list(got["Records"][kind]) != sorted(got["Records"][kind], key=str.encode):
            yield Mismatch("axfr", kind, "names are not sorted")
        for name, values in got["Records"][kind].items():
            have[(name, rrtype)] = frozenset(values)
            if len(values) != len(set(values)) or not values:
                yield Mismatch("axfr", f"{name} {rrtype}", f"repeated or no values: {values}")
    yield from records(judge, have)


def records(judge: Judge, have: Zone) -> Iterator[Mismatch]:
    for name, rrtype in sorted(judge.zone.keys() | have.keys()):
        want, got = judge.zone.get((name, rrtype), frozenset()), have.get((name, rrtype), frozenset())
        if want != got:
            why = f"missing {sorted(want - got)}, too many {sorted(got - want)}"
            yield Mismatch("records", f"{name} {rrtype}", why)


def enumerate_(judge: Judge, body: str) -> Iterator[Mismatch]:
    """Frameworks and tasks in the document's order; Go's records in Go's order, ours anywhere between them."""
    want, got = wanted(judge), json.loads(body)
    if body != layout(got):
        yield Mismatch("enumerate", "layout", body[:100])
    shape = [(f["name"], [(t["name"], t["id"]) for t in f["tasks"]]) for f in want["frameworks"]]
    have_shape = [(f["name"], [(t["name"], t["id"]) for t in f["tasks"]]) for f in got["frameworks"]]
    if shape != have_shape:
        for one, other in zip(shape, have_shape, strict=False):
            if one != other:
                yield Mismatch("enumerate", f"framework {one[0]!r}", f"want {one[1]}, got {other}")
        if len(shape) != len(have_shape):
            yield Mismatch("enumerate", "frameworks", f"want {len(shape)}, got {len(have_shape)}")
        return
    yield from _tasks(judge, _flat(want), _flat(got))


def wanted(judge: Judge) -> Any:
    """The recorded enumeration without the frameworks that are null in the state."""
    recorded = judge.rec.read("enumerate.json")
    listed = naming.member(judge.cluster.state, "frameworks") or []
    kept = [
        shown for shown, framework in zip(recorded["frameworks"] or [], listed, strict=True) if framework is not None
    ]
    if len(kept) != len(listed):
        judge.used["null-frameworks"] += 1
    return {"frameworks": kept}


def _flat(shown: Any) -> list[tuple[str, Any]]:
    return [(f"{f['name']}: {t['name']} {t['id']}", t["records"]) for f in shown["frameworks"] for t in f["tasks"]]


def _tasks(judge: Judge, want: list[tuple[str, Any]], got: list[tuple[str, Any]]) -> Iterator[Mismatch]:
    from_go: set[Shown] = set()
    wanted = []
    for task, shown in want:
        mine = []
        for record in shown or ():
            here = _as_ours(record, judge.cluster.domain)
            if here not in from_go and here[1] in judge.zone.get((here[0], here[2]), ()):
                mine.append(here)
                from_go.add(here)
        wanted.append((task, mine))
    seen: set[Shown] = set()
    for (task, mine), (_, shown) in zip(wanted, got, strict=True):
        if shown == []:
            yield Mismatch("enumerate", task, "records are [], Go has null")
        ours = [(one["name"], one["host"], one["rtype"]) for one in shown or ()]
        core = [one for one in ours if one in from_go]
        if core != mine:
            at = next(
                (n for n, pair in enumerate(zip(mine, core, strict=False)) if pair[0] != pair[1]),
                min(len(mine), len(core)),
            )
            yield Mismatch("enumerate", task, f"from record {at}: want {mine[at : at + 3]}, got {core[at : at + 3]}")
        for one in ours:
            if one in seen:
                yield Mismatch("enumerate", task, f"{one} stands twice")
            if one[1] not in judge.zone.get((one[0], one[2]), ()):
                yield Mismatch("enumerate", task, f"{one} is not a record")
            seen.add(one)


def _as_ours(record: dict[str, str], domain: str) -> Shown:
    name = naming.shorten(naming.lower(record["name"]), domain) if _sound(record["name"]) else record["name"]
    host = record["host"]
    if record["rtype"] == "SRV":
        target, _, port = naming.lower(host).rpartition(":")
        host = f"{naming.shorten(target, domain) if _sound(target) else target}:{port}"
    return name, host, record["rtype"]


def _sound(name: str) -> bool:
    return not name.startswith(".") and ".." not in name
