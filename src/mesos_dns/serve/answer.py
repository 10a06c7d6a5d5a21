"""From a parsed query and the zones to a response. Pure: octets in, octets out; randomness comes in.

This is the way that knows every case. `fast.FastAnswers` finds the same for nearly all queries, sooner; both have it put into octets by
`render.Renderer`.
"""

from random import Random
from typing import Final, NamedTuple

from mesos_dns.dns import message as msg
from mesos_dns.dns import name as names
from mesos_dns.dns.message import Query
from mesos_dns.dns.rdata import ANY, AXFR, CLASS_ANY, CLASS_CHAOS, CLASS_IN, DNAME, IXFR, NS, SOA, TXT
from mesos_dns.serve.render import Question, Renderer, Response, error, own_text
from mesos_dns.serve.request import Forward
from mesos_dns.zone.rrsets import RRsets
from mesos_dns.zone.zone import Zone
from mesos_dns.zone.zones import Zones

#: Names of class CHAOS under which servers say who they are (RFC 4892), and what (as BIND does).
_ID_NAMES: Final = (names.from_text("id.server"), names.from_text("hostname.bind"))
_VERSION_NAMES: Final = (names.from_text("version.server"), names.from_text("version.bind"))
#: Why there is no answer, for people.
_NO_CLASS: Final = b"class not served"
_NO_TSIG: Final = b"TSIG not supported"


class AnswerOptions(NamedTuple):
    """What an operator may decide about answers.

    `recursion`: RA in answers for the zone (`RecurseOn`). `truncate_bit`: `SetTruncateBit`. `minimal_any`: over which transport a
    question for ANY gets one record set instead of all (RFC 8482): "udp", "always" or "never". `server_id` and `version` are what
    this server says of itself (RFC 4892, RFC 5001), at most `limits.MAX_IDENTITY` octets; empty: nothing.
    """

    recursion: bool = True
    truncate_bit: bool = True
    minimal_any: str = "udp"
    server_id: bytes = b""
    version: bytes = b""


class Answerer:
    """Answers from `zones`, which must not change during a call. `random` shuffles answers."""

    def __init__(self, zones: Zones, options: AnswerOptions, random: Random) -> None:
        self.options = options
        self._zones = zones
        self._texts = {
            **dict.fromkeys(_ID_NAMES, options.server_id),
            **dict.fromkeys(_VERSION_NAMES, options.version),
        }
        self._renderers = {
            zone.authority.apex: Renderer(zone, random, recursion=options.recursion, truncate_bit=options.truncate_bit)
            for zone in zones
        }

    def __repr__(self) -> str:
        return f"Answerer({self._zones!r})"

    @property
    def only(self) -> Renderer | None:
        """That of the zone if there is just one: then it need not be looked for."""
        return next(iter(self._renderers.values())) if len(self._renderers) == 1 else None

    def renderer_of(self, name: bytes) -> Renderer | None:
        """That of the closest zone at or above `name` (lower-case wire form, well-formed); None if the name is not ours."""
        zone = self._zones.find(name)
        return None if zone is None else self._renderers[zone.authority.apex]

    def compose(self, query: Query, limit: int, client: bytes = b"", *, tcp: bool) -> Response | Forward:
        """The response to `query` of at most `limit` octets, or the word that the name is not ours."""
        edns = query.edns
        if edns is not None and edns.version != 0:
            return error(query, msg.BADVERS)
        if query.signed:
            return error(query, msg.NOTAUTH, msg.EDE_NOT_SUPPORTED, _NO_TSIG)
        if query.qclass == CLASS_CHAOS:
            return self._about_this_server(query)
        if query.qclass not in (CLASS_IN, CLASS_ANY):
            return error(query, msg.REFUSED, msg.EDE_NOT_SUPPORTED, _NO_CLASS)
        if query.qtype in (AXFR, IXFR):
            return error(query, msg.REFUSED, msg.EDE_PROHIBITED)
        renderer = self.renderer_of(query.name)
        if renderer is None:
            return Forward(query, client)
        if not renderer.zone.serial:
            return error(query, msg.SERVFAIL, msg.EDE_NOT_READY)
        minimal = self.options.minimal_any == "always" or (self.options.minimal_any == "udp" and not tcp)
        return _from_zone(renderer, query, limit, client, minimal_any=minimal)

    def _about_this_server(self, query: Query) -> Response:
        """The answer to a question of class CHAOS: who this server is (RFC 4892), or that it does not say."""
        text = self._texts.get(query.name)
        if text is None:
            return error(query, msg.REFUSED, msg.EDE_NOT_SUPPORTED, _NO_CLASS)
        if not text:
            return error(query, msg.REFUSED, msg.EDE_PROHIBITED)
        return own_text(query, text if query.qtype in (TXT, ANY) else b"")

    def refusal(
        self, query: Query, rcode: int, ede: int | None = None, text: bytes = b"", options: bytes = b""
    ) -> bytes:
        """A whole reply that says `rcode` and echoes the question; with EDNS also the extended error `ede` with `text`, and `options`."""
        return error(query, rcode, ede, text).message(query.octets, options)


def _from_zone(renderer: Renderer, query: Query, limit: int, client: bytes, *, minimal_any: bool) -> Response:
    zone = renderer.zone
    name = query.name
    if b"*" in name:
        name = clean_wildcards(name)
    name = zone.redirected(name)
    flags = renderer.flags | query.flags & msg.COPIED
    if query.qclass == CLASS_ANY:
        # No server is the authority for all classes (RFC 1035 section 4.3.1).
        flags &= ~msg.AA
    rrsets = zone.rrsets(name)
    if name in zone.special:
        rrsets = _special_rrsets(zone, name, rrsets)
    sets: RRsets = ()
    if rrsets is not None:
        if query.qtype == ANY:
            sets = rrsets[:1] if minimal_any else rrsets
        else:
            sets = tuple(pair for pair in rrsets if pair[0] == query.qtype)
    elif not zone.exists(name):
        flags |= msg.NXDOMAIN
    opt = b"" if query.edns is None else msg.opt(do=query.edns.do)
    question = Question(query.name, query.question_end, flags, opt, limit)
    return renderer.positive(question, sets, client) if sets else renderer.negative(question)


def _special_rrsets(zone: Zone, name: bytes, rrsets: RRsets | None) -> RRsets:
    own: RRsets = tuple([(DNAME, (other,)) for above, other in zone.authority.redirects if above == name])
    if name == zone.authority.apex:
        own = (NS, (zone.authority.mname,)), (SOA, (zone.soa(),))
    return tuple(sorted((*own, *(rrsets or ()))))


def clean_wildcards(name: bytes) -> bytes:
    """`name` without its `.*`: a label that begins with `*` loses it, and its rest joins the label before.

    So `search.*.mesos` is `search.mesos`. The first label keeps its star. The result is looked up;
    a label that became too long is in no zone.
    """
    first, *others = names.labels(name)
    cleaned = [first]
    for label in others:
        if label.startswith(b"*"):
            cleaned[-1] += label[1:]
        else:
            cleaned.append(label)
    if max(map(len, cleaned)) > 63:
        return b""
    return names.from_labels(cleaned)
