"""From the key of a query to the response, for nearly all queries that come. Pure.

A key (see `keys`) says all that the response to a simple question depends on. So it is read where it
stands, without a parsed query in between, and only what is cheap to be sure of is answered here. Everything else is left to
`Answerer.compose`, which reads with more care and renders with the same renderer.
"""

import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from mesos_dns.dns import message as msg
from mesos_dns.dns.rdata import CLASS_IN
from mesos_dns.limits import MAX_LABEL, MAX_NAME, ZONE_PARTS
from mesos_dns.serve import keys
from mesos_dns.serve.answer import Answerer
from mesos_dns.serve.keys import BEHIND_NAME, NAME
from mesos_dns.serve.render import Orders, Question, Renderer, Response
from mesos_dns.zone.rrsets import RRsets
from mesos_dns.zone.zone import Zone

#: Type and class of simple questions: class IN, and no type with rules of its own (RFC 6895 section 3.1).
_SIMPLE: Final = {struct.pack("!HH", rrtype, CLASS_IN): rrtype for rrtype in range(1, 128)}
#: The counts of a query, header octets 4 to 12: one question, and with EDNS one additional record.
_ONE_QUESTION: Final = bytes((0, 1, 0, 0, 0, 0, 0, 0))
_AND_OPT: Final = bytes((0, 1, 0, 0, 0, 0, 0, 1))
#: Octets of QR and opcode in the first flag octet: nonzero in everything that is no query.
_NO_QUERY: Final = 0xF8


class _Source(NamedTuple):
    """A zone to answer from, taken apart: what follows is looked up for each question."""

    renderer: Renderer
    zone: Zone
    apex: bytes
    parts: tuple[dict[bytes, RRsets], ...]
    children: Mapping[bytes, int]
    #: Names that need a closer look, and ends of names that do.
    special: frozenset[bytes]
    redirected_ends: tuple[bytes, ...]


def _source(renderer: Renderer) -> _Source:
    zone = renderer.zone
    return _Source(renderer, zone, zone.authority.apex, zone.parts, zone.children, zone.special, zone.redirected_ends)


class _Found(NamedTuple):
    """What there is for a key: record sets, none if the answer is negative; and the octets its response may have."""

    renderer: Renderer
    question: Question
    sets: RRsets
    bound: int


class FastAnswers:
    """Responses from the zones of `answerer`, for UDP or for TCP; with `cookies` those to queries with a cookie have room for one."""

    def __init__(self, answerer: Answerer, *, tcp: bool, cookies: bool = False) -> None:
        self._answerer = answerer
        self._tcp = tcp
        largest, smallest = (msg.TCP_SIZE, msg.TCP_SIZE) if tcp else (msg.UDP_SIZE, msg.PLAIN_UDP_SIZE)
        #: By mark: our OPT record, for which size is rendered, and what the response must not exceed.
        self._forms = {
            mark: (
                keys.OPT_RECORDS[mark if cookies else keys.WITHOUT_COOKIE.get(mark, mark)],
                largest,
                smallest if mark in keys.SMALL else largest,
            )
            for mark in keys.OPT_RECORDS
        }
        self._no_edns = b"", smallest, smallest
        #: Where all answers come from; None if it takes a look at the name to tell.
        self._only = None if answerer.only is None else _source(answerer.only)
        #: Whether a name certainly does not exist in the only zone; False if that takes a closer look.
        self.is_unknown = _nothing_is_unknown if self._only is None else _unknown_in(self._only)
        #: The names of the only zone, for those who cannot afford a call: see `Zone.parts` and `Zone.children`.
        self.parts: Sequence[Mapping[bytes, RRsets]] = () if self._only is None else self._only.parts
        self.children: Mapping[bytes, int] = {} if self._only is None else self._only.children
        #: Length of the first label, and the parent, of those names that take a closer look wherever they are asked for.
        special = () if self._only is None else self._only.special
        self.special_shapes = frozenset({(name[0], name[name[0] + 1 :]) for name in special})

    def __repr__(self) -> str:
        return f"FastAnswers({self._answerer!r}, tcp={self._tcp})"

    def respond(self, key: bytes, client: bytes) -> Response | None:
        """The response to every query of `client` with this key; None if `Answerer.compose` has to look at the query."""
        found = self._find(key)
        if found is None:
            return None
        renderer, question, sets, bound = found
        response = renderer.positive(question, sets, client) if sets else renderer.negative(question)
        if question.end + len(response.body) + len(question.opt) > bound:
            return None
        return response

    def orders(self, key: bytes) -> Orders | None:
        """The responses to all queries with this key, as far as they can be kept."""
        found = self._find(key)
        if found is None:
            return None
        renderer, question, sets, bound = found
        if sets:
            orders = renderer.orders(question, sets)
        else:
            header, body, opt, end, *_ = renderer.negative(question)
            orders = Orders(body, ((header, 0, len(body)),), opt, end, found=False)
        if orders is None:
            return None
        _, start, stop = orders.windows[0]
        room = bound - question.end - len(question.opt)
        return orders if stop - start <= room or (orders.by_client and bound == question.limit) else None

    def turns(self, key: bytes) -> Iterator[Response] | None:
        """The same for an answer that is too large for all of its orders to be kept."""
        found = self._find(key)
        if found is None or not found.sets or found.bound != found.question.limit:
            return None
        return found.renderer.turns(found.question, found.sets)

    def _find(self, key: bytes) -> _Found | None:  # noqa: C901 - each question comes through here: a call more is a tenth of its cost
        counts = key[2:NAME]
        if counts == _ONE_QUESTION:
            end = len(key)
            opt, limit, bound = self._no_edns
        elif counts == _AND_OPT and key[-1:] in self._forms and key[-4:-1] == keys.OPT_OWNER_AND_TYPE:
            end = len(key) - 4
            opt, limit, bound = self._forms[key[-1:]]
        else:
            return None
        name = key[NAME : end - BEHIND_NAME]
        rrtype = _SIMPLE.get(key[end - BEHIND_NAME : end])
        if rrtype is None or not name or key[0] & _NO_QUERY or b"*" in name:
            return None
        source = self._only or self._source_of(name)
        if source is None:
            return None
        renderer, zone, apex, parts, children, special, redirected_ends = source
        if name in special:
            return None
        # RD and CD are copied. In the message the question ends two octets later: keys lack its ID.
        flags = renderer.flags | (key[0] & 1) << 8 | key[1] & msg.CD
        sets: RRsets = ()
        rrsets = parts[hash(name) % ZONE_PARTS].get(name)
        if rrsets is not None:
            if not name.endswith(apex):
                return None  # This server's own name may lie outside its zone.
            for pair in rrsets:
                if pair[0] == rrtype:
                    sets = (pair,)
        elif name not in children:
            if name.endswith(redirected_ends) or not _is_inside(name, children):
                return None
            flags |= msg.NXDOMAIN
        return _Found(renderer, Question(name, end + 2, flags, opt, limit), sets, bound) if zone.serial else None

    def _source_of(self, name: bytes) -> _Source | None:
        """The closest zone above a name that may not even be well-formed."""
        try:
            renderer = self._answerer.renderer_of(name)
        except IndexError:
            return None
        return None if renderer is None else _source(renderer)


def _nothing_is_unknown(_: bytes) -> bool:
    return False


def _unknown_in(source: _Source) -> Callable[[bytes], bool]:
    """Tells whether a name certainly does not exist in a zone. Each name that an attacker makes up comes through here."""
    _, _, _, parts, children, special, redirected_ends = source

    def is_unknown(name: bytes) -> bool:
        return (
            name != b""
            and name[name[0] + 1 :] in children
            and name not in children
            and name not in parts[hash(name) % ZONE_PARTS]
            and b"*" not in name
            and name not in special
            and not name.endswith(redirected_ends)
            and 0 < name[0] <= MAX_LABEL
        )

    return is_unknown


def _is_inside(name: bytes, children: Mapping[bytes, int]) -> bool:
    """Whether `name` is well-formed and lies below some name of the zone, and thus below the apex."""
    if len(name) > MAX_NAME:
        return False
    while name:
        length = name[0]
        if not 0 < length <= MAX_LABEL:
            return False
        name = name[length + 1 :]
        if name in children:
            return True
    return False
