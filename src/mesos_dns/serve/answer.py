"""From a query and the zone to a reply. Pure: octets in, octets out; randomness comes in.

`Answerer.compose` gives a *rendering*: header and tail of the reply without the query's ID and
question, so that it can be remembered and given to every client that asks the same. Its tail may come
in several rotations of the answer, for load balancing. `shortcut.Shortcut` gives the same for nearly all
queries, faster.
"""

import struct
from random import Random
from typing import Final, NamedTuple

from mesos_dns.dns import message as msg
from mesos_dns.dns import name as names
from mesos_dns.dns.message import Query
from mesos_dns.dns.rdata import AAAA, ANY, AXFR, CLASS_ANY, CLASS_IN, IXFR, NS, SOA, SRV, A
from mesos_dns.names.zone import Node, Zone
from mesos_dns.serve.request import Forward

_RR: Final = struct.Struct("!HHIH")
_HEAD: Final = struct.Struct("!HHHHH")
#: Octets of an A record behind a compressed owner; no record of the zone is smaller.
_SMALLEST_RECORD: Final = 16
#: A compression pointer has 14 bits.
_POINTER_REACH: Final = 0x4000
#: How far into a record with a compressed owner the name begins that it points to.
_TARGET_OFFSETS: Final = {SRV: 18, NS: 12}
#: A name whose addresses help, and those records without their owner.
Additional = tuple[bytes, list[bytes]]
#: A pointer to the question's name, which every message has at offset 12.
_QNAME: Final = b"\xc0\x0c"


class AnswerOptions(NamedTuple):
    """`recursion`: RA in answers for the zone (`RecurseOn`). `truncate_bit`: `SetTruncateBit`."""

    recursion: bool = True
    truncate_bit: bool = True


class Rendering(NamedTuple):
    """A reply without ID and question: the header's octets 2 to 12, and the octets behind the question.

    `question_end` is where the question ends in the message. `orders` holds tails with the answer in
    several orders, to be given in turn; it is empty if there is just `tail`. `found` is false for NXDOMAIN and
    NODATA. What may not be given to another client has `keep` false.
    """

    head: bytes
    tail: bytes
    question_end: int
    found: bool
    orders: tuple[bytes, ...] = ()
    keep: bool = True


class Answerer:
    """Answers from `zone`, which must not change during a call. `random` shuffles answers.

    `flags` are those that every answer from the zone has.
    """

    def __init__(self, zone: Zone, options: AnswerOptions, random: Random) -> None:
        self.zone = zone
        self.random = random
        self.flags = msg.QR | msg.AA | (msg.RA if options.recursion else 0)
        self._truncate_bit = options.truncate_bit
        authority = zone.authority
        self._apex = authority.apex
        self._ttl = authority.ttl
        self._negative_ttl = min(authority.ttl, authority.minimum)
        #: By type and rdata length: at most 255 for SRV, one each for the others.
        self._fronts: dict[int, bytes] = {}
        #: Type to length of the address records of other names, whose owner is yet to come.
        self._address_fronts = {
            rrtype: _RR.pack(rrtype, CLASS_IN, authority.ttl, length) for rrtype, length in ((A, 4), (AAAA, 16))
        }

    def __repr__(self) -> str:
        return f"Answerer({self.zone!r})"

    def reply(self, query: Query, limit: int, *, tcp: bool) -> bytes | Forward:
        """The whole reply, at most `limit` octets, or the word that the name is not ours."""
        rendering = self.compose(query, limit, tcp=tcp)
        if isinstance(rendering, Forward):
            return rendering
        octets = query.octets
        return octets[:2] + rendering.head + octets[12 : query.question_end] + rendering.tail

    def compose(self, query: Query, limit: int, *, tcp: bool, rotations: int = 1) -> Rendering | Forward:
        """The rendering of the reply to `query`, with up to `rotations` orders of its answer."""
        edns = query.edns
        if edns is not None and edns.version != 0:
            return _error(query, msg.BADVERS)
        if query.signed:
            return _error(query, msg.NOTAUTH)
        if query.qclass not in (CLASS_IN, CLASS_ANY):
            return _error(query, msg.REFUSED)
        if query.qtype in (AXFR, IXFR):
            return _error(query, msg.REFUSED, msg.EDE_PROHIBITED)
        if not names.is_below_or_at(query.name, self._apex):
            return Forward(query)
        if not self.zone.serial:
            return _error(query, msg.SERVFAIL, msg.EDE_NOT_READY)
        return self._from_zone(query, limit, tcp, rotations)

    def refusal(self, query: Query, rcode: int, ede: int | None = None) -> bytes:
        """A whole reply that says `rcode` and echoes the question."""
        rendering = _error(query, rcode, ede)
        return query.octets[:2] + rendering.head + query.octets[12 : query.question_end] + rendering.tail

    # --- the zone's answer ---------------------------------------------------------------------

    def _from_zone(self, query: Query, limit: int, tcp: bool, rotations: int) -> Rendering:
        name = query.name
        if b"*" in name:
            name = clean_wildcards(name)
        qtype = query.qtype
        flags = self.flags | query.flags & msg.COPIED
        opt = b"" if query.edns is None else msg.opt(do=query.edns.do)
        node = self.zone.node(name)
        if name == self._apex:
            node = self._apex_node(node)
        if node is not None:
            if qtype == ANY:
                wanted: Node = node if tcp else node[:1]
            else:
                wanted = tuple(pair for pair in node if pair[0] == qtype)
            if wanted:
                return self.positive(flags, query.question_end, opt, wanted, limit, rotations)
        elif not self.zone.exists(name):
            flags |= msg.NXDOMAIN
        return self._negative(flags, query.question_end, opt, limit)

    def _apex_node(self, node: Node | None) -> Node:
        authority = self.zone.authority
        own: Node = ((NS, (authority.mname,)), (SOA, (self.zone.soa(),)))
        return tuple(sorted((*own, *(node or ()))))

    def positive(self, flags: int, end: int, opt: bytes, sets: Node, limit: int, rotations: int) -> Rendering:
        """The rendering with `sets` as the answer to a question that ends at `end`, and `opt` at its end."""
        room = limit - end - len(opt)
        truncate = self._truncate_bit and limit < msg.TCP_SIZE
        if _least_size(sets) > room:
            # Rendering all of what cannot fit is work that an attacker would like to give us.
            if truncate:
                return self._truncated(flags, end, opt)
            sets = self._sample(sets, room)
        records = self._records(sets)
        size = sum(map(len, records))
        if size > room:
            if truncate:
                return self._truncated(flags, end, opt)
            # What was cut leaves no room for addresses, and those of others would only mislead. Never
            # kept, to be another part each time.
            records = self._fitting(records, room)
            return Rendering(_head(flags, len(records), 0, 0, opt), b"".join(records) + opt, end, True, keep=False)
        additional = self._additional(sets, end + size, limit - len(opt))
        count = len(records)
        head = _head(flags, count, 0, sum(len(bodies) for _, bodies in additional), opt)
        start = int(self.random.random() * count)
        # Beyond 16 kB no pointer reaches, and such giants are not worth more than one order.
        times = min(rotations, count) if size < _POINTER_REACH // 2 else 1
        orders = [_tail(records, (start + count * n // times) % count, additional, end) + opt for n in range(times)]
        return Rendering(head, orders[0], end, True, tuple(orders) if times > 1 else ())

    def _negative(self, flags: int, end: int, opt: bytes, limit: int) -> Rendering:
        tail = self.soa_record(end - 4 - len(self._apex)) + opt
        if end + len(tail) > limit:  # Only a very long SOAMname can do that.
            return self._truncated(flags, end, opt)
        return Rendering(_head(flags, 0, 1, 0, opt), tail, end, False)

    def _truncated(self, flags: int, end: int, opt: bytes) -> Rendering:
        if self._truncate_bit:
            flags |= msg.TC
        return Rendering(_head(flags, 0, 0, 0, opt), opt, end, not flags & 15)

    # --- records -------------------------------------------------------------------------------

    def _records(self, sets: Node) -> list[bytes]:
        """Complete records whose owner is the question's name."""
        fronts = self._fronts
        return [
            (fronts.get(rrtype << 16 | len(rdata)) or self.record_front(rrtype, len(rdata))) + rdata
            for rrtype, rdatas in sets
            for rdata in rdatas
        ]

    def record_front(self, rrtype: int, length: int) -> bytes:
        """What stands before rdata of so many octets, the question's name being the owner; made once for each."""
        front = _QNAME + _RR.pack(rrtype, CLASS_IN, self._ttl, length)
        self._fronts[rrtype << 16 | length] = front
        return front

    def soa_record(self, apex: int) -> bytes:
        """The SOA record of a negative answer; `apex` is where in the message its owner stands.

        The question's name ends in the apex, hence the pointer. The names in the rdata are not
        compressed: they would come back in the letter case of the question.
        """
        soa = self.zone.soa()
        return struct.pack("!H", 0xC000 | apex) + _RR.pack(SOA, CLASS_IN, self._negative_ttl, len(soa)) + soa

    def _sample(self, sets: Node, room: int) -> Node:
        """At random as much of `sets` as might fit."""
        most = room // _SMALLEST_RECORD
        return tuple(
            (rrtype, tuple(self.random.sample(rdatas, most)) if len(rdatas) > most else rdatas)
            for rrtype, rdatas in sets
        )

    def _fitting(self, records: list[bytes], room: int) -> list[bytes]:
        """At random as many of `records` as fit."""
        chosen = []
        for record in self.random.sample(records, len(records)):
            room -= len(record)
            if room < 0:
                break
            chosen.append(record)
        return chosen

    def _additional(self, sets: Node, end: int, limit: int) -> list[Additional]:
        """Whole address sets of the targets in `sets`, as far as they fit behind an answer that ends at `end`.

        Addresses of SRV and NS targets belong there (RFC 2782, RFC 1035 section 3.3.11). A set that does
        not fit is left out without TC: it was not required (RFC 2181 section 9).
        """
        targets: dict[bytes, None] = {}
        for rrtype, rdatas in sets:
            if rrtype == SRV:
                targets.update((rdata[6:], None) for rdata in rdatas)
            elif rrtype == NS:
                targets.update((rdata.lower(), None) for rdata in rdatas)
        out: list[Additional] = []
        for target in targets:
            owner = 2 if end < _POINTER_REACH else len(target)
            bodies: list[bytes] = []
            for rrtype, rdatas in self.zone.node(target) or ():
                front = self._address_fronts.get(rrtype)
                if front is None:
                    continue
                size = len(rdatas) * (owner + len(front) + len(rdatas[0]))
                if end + size <= limit:
                    end += size
                    bodies += [front + rdata for rdata in rdatas]
            if bodies:
                out.append((target, bodies))
        return out


def _least_size(sets: Node) -> int:
    """Octets that the records of `sets` take at the least, at the cost of a look at each set."""
    return sum(len(rdatas) * (_SMALLEST_RECORD if rrtype == SRV else 12 + len(rdatas[0])) for rrtype, rdatas in sets)


def _head(flags: int, answers: int, authorities: int, additionals: int, opt: bytes) -> bytes:
    return _HEAD.pack(flags, 1, answers, authorities, additionals + 1 if opt else additionals)


def _error(query: Query, rcode: int, ede: int | None = None) -> Rendering:
    """An answer without authority: neither AA nor RA."""
    opt = b""
    if query.edns is not None:
        options = msg.extended_error(ede) if ede is not None else b""
        opt = msg.opt(rcode, do=query.edns.do, options=options)
    flags = msg.QR | query.flags & msg.COPIED | rcode & 15
    return Rendering(_head(flags, 0, 0, 0, opt), opt, query.question_end, False, keep=False)


def _tail(records: list[bytes], start: int, additional: list[Additional], at: int) -> bytes:
    """The sections behind a question that ends at `at`: `records` from the one at `start` on, then `additional`.

    Owners of `additional` point into the answer.
    """
    answer = records[start:] + records[:start] if start else records
    tail = b"".join(answer)
    if not additional:
        return tail
    offsets: dict[bytes, int] = {}
    for record in answer:
        # Owner pointer, then type, class, TTL and length: 12 octets before the rdata.
        skip = _TARGET_OFFSETS.get(record[2] << 8 | record[3])
        if skip is not None:
            offsets.setdefault(record[skip:].lower(), at + skip)
        at += len(record)
    parts = [tail]
    for target, bodies in additional:
        offset = offsets.get(target, _POINTER_REACH)
        # As soon as one pointer would not reach, none is used: the room was reckoned that way.
        owner = struct.pack("!H", 0xC000 | offset) if at < _POINTER_REACH else target
        parts += [owner + body for body in bodies]
    return b"".join(parts)


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
