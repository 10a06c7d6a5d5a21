"""Where our DNS answers differ from Go's on purpose: each function is one rule on expected answers.

A rule gives back the alternatives that are right: mostly one, several where any of them will do.
"""

from collections.abc import Callable, Mapping

from tests.integration import wire
from tests.integration.expectations import (
    OUR_UDP_SIZE,
    RR,
    Asked,
    Expected,
    go_reply,
    known_upstream,
    parse_rr,
    rdata_size,
)
from tests.integration.upstreams import is_below, resolver_endpoint, resolvers_asked

TRANSFERS = ("AXFR", "IXFR")

Rule = Callable[[Asked, Expected], list[Expected]]


# --- the rules, in the order in which they are applied ----------------------------------------------------


def class_not_internet(asked: Asked, e: Expected) -> list[Expected]:
    if asked.rrclass in (1, 255):
        return [e]
    question = f"{asked.name} {wire.class_text(asked.rrclass)} {asked.rrtype}"
    return [Expected("REFUSED", asked.header(), question, limit=asked.limit)]


def no_transfer(asked: Asked, e: Expected) -> list[Expected]:
    if asked.rrtype not in TRANSFERS:
        return [e]
    return [Expected("REFUSED", asked.header(), f"{asked.name} IN {asked.rrtype}", limit=asked.limit)]


def ds_is_answered(asked: Asked, e: Expected) -> list[Expected]:
    return [go_reply(asked)] if asked.in_zone and asked.rrtype == "DS" else [e]


def other_records(asked: Asked, e: Expected) -> list[Expected]:
    """Not in the table itself: applies the record rules to answers (see differences.py)."""
    if not asked.in_zone or e.rcode == "REFUSED" or (asked.rrtype == "DS"):
        return [e]
    modelled = go_reply(asked)
    same = not e.silent and e.rcode == modelled.rcode and _rdata(e) == _rdata(modelled)
    return [e] if same or why_other_records(asked) is None else [modelled]


def _rdata(e: Expected) -> list[str]:
    return sorted(rr.rdata for rr in e.answer)


def why_other_records(asked: Asked) -> str | None:
    """The name of the rule by which the records at the asked name differ from what Go finds there."""
    rule = asked.view.changed.get(asked.key)
    if rule is None and asked.key in asked.view.data and any(_escapes(label) for label in asked.key):
        return "raw-octets"
    return rule


def _escapes(label: bytes) -> bool:
    return "\\" in wire.label_text(label)


def owner_as_asked(asked: Asked, e: Expected) -> list[Expected]:
    if not asked.in_zone:
        return [e]
    return [e._replace(answer=tuple(rr._replace(owner=asked.name) for rr in e.answer))]


def soa_and_ns(asked: Asked, e: Expected) -> list[Expected]:
    if not asked.in_zone or asked.rrtype not in ("SOA", "NS") or e.rcode == "REFUSED":
        return [e]
    view = asked.view
    if asked.key != view.apex:
        rcode = "NOERROR" if asked.key in view.exists else "NXDOMAIN"
        return [e._replace(rcode=rcode, authority=(asked.soa,))]
    return [_at_apex(asked, e, asked.rrtype)]


def _at_apex(asked: Asked, e: Expected, rrtype: str) -> Expected:
    view = asked.view
    if rrtype == "SOA":
        return e._replace(rcode="NOERROR", answer=(view.soa._replace(owner=asked.name),), authority=())
    ns = RR(asked.name, view.ttl, "IN", "NS", view.config["SOAMname"])
    glue = view.addresses(ns.rdata)
    return e._replace(rcode="NOERROR", answer=(ns,), authority=(), additional=tuple(glue), additional_is="fitting")


def srv_miss(asked: Asked, e: Expected) -> list[Expected]:
    if not asked.in_zone or asked.rrtype != "SRV" or e.answer or e.rcode == "REFUSED":
        return [e]
    rcode = "NOERROR" if asked.key in asked.view.exists else "NXDOMAIN"
    return [e._replace(rcode=rcode, authority=(asked.soa,))]


def any_type(asked: Asked, e: Expected) -> list[Expected]:
    if not asked.in_zone or asked.rrtype != "ANY" or e.rcode == "REFUSED":
        return [e]
    at_apex = [_at_apex(asked, e, rrtype) for rrtype in ("SOA", "NS")] if asked.key == asked.view.apex else []
    if not e.answer and not at_apex:
        return [e._replace(authority=(asked.soa,))]
    if asked.tcp:
        every = tuple(rr for one in at_apex for rr in one.answer) + e.answer
        glue = tuple(rr for one in at_apex for rr in one.additional)
        return [
            e._replace(
                rcode="NOERROR", answer=every, authority=(), additional=e.additional + glue, additional_is="fitting"
            )
        ]
    kinds = dict.fromkeys(rr.rrtype for rr in e.answer)
    return at_apex + [
        e._replace(
            answer=tuple(rr for rr in e.answer if rr.rrtype == kind),
            authority=(),
            additional=e.additional if kind == "SRV" else (),
        )
        for kind in kinds
    ]


def names_above_names(asked: Asked, e: Expected) -> list[Expected]:
    if asked.in_zone and e.rcode == "NXDOMAIN" and asked.key in asked.view.exists:
        return [e._replace(rcode="NOERROR")]
    return [e]


def negative_soa(asked: Asked, e: Expected) -> list[Expected]:
    if not asked.in_zone or e.answer or not e.authority:
        return [e]
    return [e._replace(authority=(asked.soa,))]


def additional_addresses(asked: Asked, e: Expected) -> list[Expected]:
    targets = dict.fromkeys(rr.rdata.split(" ", 3)[3] for rr in e.answer if rr.rrtype == "SRV")
    if not asked.in_zone or not targets:
        return [e]
    every = [rr for target in targets for rr in asked.view.addresses(target)]
    if any(rr.rrtype == "NS" for rr in e.answer):
        every += [rr for rr in asked.view.addresses(asked.view.config["SOAMname"]) if rr not in every]
    return [e._replace(additional=tuple(every), additional_is="fitting")]


def least_size(asked: Asked, e: Expected) -> int:
    """Octets of header, question, OPT and the whole answer, whose owner is the question's name."""
    return (
        16
        + len(wire.name_wire(asked.name))
        + sum(12 + rdata_size(rr) for rr in e.answer)
        + (11 if "edns" in asked.given else 0)
    )


def truncation(asked: Asked, e: Expected) -> list[Expected]:
    if not asked.in_zone or e.rcode == "REFUSED" or e.answer_is == "subset":
        return [e]
    flags = e.flags - {"TC"}
    if least_size(asked, e) <= asked.limit:
        return [e._replace(flags=flags)]
    return [e._replace(flags=flags | {"TC"}, authority=(), additional=(), answer_is="subset")]


def class_any(asked: Asked, e: Expected) -> list[Expected]:
    if not asked.in_zone or asked.rrclass != 255:
        return [e]
    return [e._replace(flags=e.flags - {"AA"})]


def never_truncated(asked: Asked, e: Expected) -> list[Expected]:
    if asked.view.config["SetTruncateBit"] or asked.tcp or e.rcode != "NOERROR":
        return [e]
    if asked.in_zone and least_size(asked, e) <= asked.limit:
        return [e]
    whole = e.answer or _forwarded_whole(asked)
    if not whole or (not asked.in_zone and e.answer):
        return [e]
    return [e._replace(flags=e.flags - {"TC"}, answer=whole, additional_is="some", answer_is="subset")]


def forwarded_parts(asked: Asked, e: Expected) -> list[Expected]:
    if asked.in_zone or "TC" not in e.flags or e.answer or not asked.view.config["SetTruncateBit"]:
        return [e]
    known = known_upstream(asked, resolvers_asked(asked.view.rec, asked.name))
    if known is None or not known["answer"]:
        return [e]
    return [e._replace(answer=tuple(parse_rr(text) for text in known["answer"]), answer_is="subset")]


def _forwarded_whole(asked: Asked) -> tuple[RR, ...]:
    known = known_upstream(asked, [resolver_endpoint(text) for text in asked.view.config["Resolvers"] or []][:1])
    return tuple(parse_rr(text) for text in known["answer"]) if known else ()


def zone_resolver_case(asked: Asked, e: Expected) -> list[Expected]:
    if asked.in_zone or not asked.view.config["ExternalOn"]:
        return [e]
    zones = {zone: texts for zone, texts in (asked.view.config["ZoneResolvers"] or {}).items() if zone != zone.lower()}
    return [_answered_by(zones, asked, e)]


def ds_follows_the_zone(asked: Asked, e: Expected) -> list[Expected]:
    """Keys in lower case: those with capitals have their own rule."""
    if asked.rrtype != "DS" or asked.in_zone or not asked.view.config["ExternalOn"]:
        return [e]
    zones = {zone: texts for zone, texts in (asked.view.config["ZoneResolvers"] or {}).items() if zone == zone.lower()}
    return [_answered_by(zones, asked, e)]


def _answered_by(zones: Mapping[str, list[str]], asked: Asked, e: Expected) -> Expected:
    for zone, texts in zones.items():
        if is_below(asked.name.lower(), zone.lower() + "."):
            known = known_upstream(asked, [resolver_endpoint(text) for text in texts])
            if known and e.rcode == "REFUSED":
                flags = asked.header(*(["AA"] if "AA" in known["flags"] else []))
                answer, authority = (tuple(parse_rr(text) for text in known[part]) for part in ("answer", "authority"))
                return e._replace(rcode=known["rcode"], flags=flags, answer=answer, authority=authority)
    return e


def checking_disabled_comes_back(asked: Asked, e: Expected) -> list[Expected]:
    if asked.in_zone or "CD" not in asked.header():
        return [e]
    return [e._replace(flags=e.flags | {"CD"})]


def opt_answers_opt(asked: Asked, e: Expected) -> list[Expected]:
    if "edns" not in asked.given:
        return [e]
    return [e._replace(opt={"version": 0, "size": OUR_UDP_SIZE, "flags": 0x8000 if asked.given.get("do") else 0})]
