"""From a query and the zone to a reply. Pure: octets in, octets out; randomness comes in.

`Answerer.compose` gives a *rendering*: header and tail of the reply without the query's ID and
question, so that it can be remembered and given to every client that asks the same. Its tail comes
in several rotations of the answer, for load balancing; all but the first are made when asked for.
"""

import struct
from collections.abc import Iterator
from random import Random
from typing import Final, NamedTuple

from mesos_dns.dns import message as msg
from mesos_dns.dns import name as names
from mesos_dns.dns.message import Edns, Query
from mesos_dns.dns.rdata import AAAA, ANY, AXFR, CLASS_ANY, CLASS_IN, IXFR, NS, SOA, SRV, A
from mesos_dns.limits import MAX_ROTATIONS
from mesos_dns.names.zone import Node, Zone

_RR: Final = struct.Struct("!HHIH")
_HEAD: Final = struct.Struct("!HHHHH")
#: Octets of an A record behind a compressed owner; no record of the zone is smaller.
_SMALLEST_RECORD: Final = 16
#: A size that no memo takes.
NOT_TO_BE_KEPT: Final = 1 << 30
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

    `others` gives further tails with the answer in other orders, if there are any; `size` is the
    number of octets of all tails together. `found` is false for NXDOMAIN and NODATA.
    """

    head: bytes
    tail: bytes
    found: bool
    others: Iterator[bytes] | None = None
    size: int = 0


class Forward(NamedTuple):
    """The name is not ours: ask the upstreams."""

    query: Query


class Answerer:
    """Answers from `zone`, which must not change during a call. `random` shuffles answers."""

    def __init__(self, zone: Zone, options: AnswerOptions, random: Random) -> None:
        self.zone = zone
        self._options = options
        self._random = random
        self._flags = msg.QR | msg.AA | (msg.RA if options.recursion else 0)
        authority = zone.authority
        self._apex = authority.apex
        self._ttl = authority.ttl
        self._negative_ttl = min(authority.ttl, authority.minimum)
        self._soa_serial = 0
        self._soa_records: dict[int, bytes] = {}
        #: By type and rdata length: at most 255 for SRV, one each for the others.
        self._heads: dict[int, bytes] = {}
        #: Type to length of the address records of other names, whose owner is yet to come.
        self._address_heads = {
            rrtype: _RR.pack(rrtype, CLASS_IN, authority.ttl, length) for rrtype, length in ((A, 4), (AAAA, 16))
        }

    def __repr__(self) -> str:
        return f"Answerer({self.zone!r})"

    def reply(self, query: Query, limit: int, *, tcp: bool) -> bytes | Forward:
        """The whole reply, at most `limit` octets, or the word that the name is not ours."""
        rendering = self.compose(query, limit, tcp=tcp, rotations=1)
        if isinstance(rendering, Forward):
            return rendering
        octets = query.octets
        return octets[:2] + rendering.head + octets[12 : query.question_end] + rendering.tail

    def compose(self, query: Query, limit: int, *, tcp: bool, rotations: int = MAX_ROTATIONS) -> Rendering | Forward:
        """The rendering of the reply to `query`."""
        edns = query.edns
        if edns is not None and edns.version != 0:
            return self._error(query, msg.BADVERS)
        if query.signed:
            return self._error(query, msg.NOTAUTH)
        if query.qclass not in (CLASS_IN, CLASS_ANY):
            return self._error(query, msg.REFUSED)
        if query.qtype in (AXFR, IXFR):
            return self._error(query, msg.REFUSED, msg.EDE_PROHIBITED)
        if not names.is_below_or_at(query.name, self._apex):
            return Forward(query)
        if not self.zone.serial:
            return self._error(query, msg.SERVFAIL, msg.EDE_NOT_READY)
        return self._from_zone(query, limit, tcp, rotations)

    def refusal(self, query: Query, rcode: int, ede: int | None = None) -> bytes:
        """A whole reply that says `rcode` and echoes the question."""
        rendering = self._error(query, rcode, ede)
        return query.octets[:2] + rendering.head + query.octets[12 : query.question_end] + rendering.tail

    # --- the zone's answer ---------------------------------------------------------------------

    def _from_zone(self, query: Query, limit: int, tcp: bool, rotations: int) -> Rendering:
        name = query.name
        if b"*" in name:
            name = clean_wildcards(name)
        qtype = query.qtype
        node = self.zone.node(name)
        if name == self._apex:
            node = self._apex_node(node)
        if node is not None:
            if qtype == ANY:
                wanted: Node = node if tcp else node[:1]
            else:
                wanted = tuple(pair for pair in node if pair[0] == qtype)
            if wanted:
                return self._positive(query, wanted, limit, rotations)
        elif not self.zone.exists(name):
            return self._negative(query, msg.NXDOMAIN, limit)
        return self._negative(query, msg.NOERROR, limit)

    def _apex_node(self, node: Node | None) -> Node:
        authority = self.zone.authority
        own: Node = ((NS, (authority.mname,)), (SOA, (self.zone.soa(),)))
        return tuple(sorted((*own, *(node or ()))))

    def _positive(self, query: Query, sets: Node, limit: int, rotations: int) -> Rendering:
        opt = _opt(query.edns)
        room = limit - query.question_end - len(opt)
        truncate = self._options.truncate_bit and limit < msg.TCP_SIZE
        if _least_size(sets) > room:
            # Rendering all of what cannot fit is work that an attacker would like to give us.
            if truncate:
                return self._truncated(query, opt)
            sets = self._sample(sets, room)
        records = self._records(sets)
        if sum(map(len, records)) > room:
            if truncate:
                return self._truncated(query, opt)
            # What was cut leaves no room for addresses, and those of others would only mislead.
            return self._cut(query, self._fitting(records, room), opt)
        additional = self._additional(sets, query.question_end + sum(map(len, records)), limit - len(opt))
        times = _times(records, rotations)
        start = int(self._random.random() * len(records))
        tail = _tail(records, start, additional, query.question_end) + opt
        count = sum(len(bodies) for _, bodies in additional)
        head = self._header(query, msg.NOERROR, len(records), 0, count)
        others = self._others(query, sets, limit, times) if times > 1 else None
        return Rendering(head, tail, True, others, times * len(tail))

    def _others(self, query: Query, sets: Node, limit: int, times: int) -> Iterator[bytes]:
        """`times` tails, the beginnings of their answers spread evenly.

        All of it is made when the first is wanted, and nothing before: most names are asked once.
        Till then this holds on to the query and to record sets that the zone has anyway.
        """
        opt = _opt(query.edns)
        records = self._records(sets)
        additional = self._additional(sets, query.question_end + sum(map(len, records)), limit - len(opt))
        first = int(self._random.random() * len(records))
        for n in range(times):
            start = (first + len(records) * n // times) % len(records)
            yield _tail(records, start, additional, query.question_end) + opt

    def _cut(self, query: Query, records: list[bytes], opt: bytes) -> Rendering:
        """Some of the answer, without saying so (`SetTruncateBit` off); never remembered, to be another part each time."""
        head = self._header(query, msg.NOERROR, len(records), 0, 0)
        return Rendering(head, b"".join(records) + opt, True, None, NOT_TO_BE_KEPT)

    def _negative(self, query: Query, rcode: int, limit: int) -> Rendering:
        record = self._soa_record(query.question_end - 4 - len(self._apex))
        opt = _opt(query.edns)
        if query.question_end + len(record) + len(opt) > limit:  # Only a very long SOAMname can do that.
            return self._truncated(query, opt, rcode)
        return Rendering(self._header(query, rcode, 0, 1, 0), record + opt, False)

    def _truncated(self, query: Query, opt: bytes, rcode: int = msg.NOERROR) -> Rendering:
        head = self._header(query, rcode, 0, 0, 0)
        if self._options.truncate_bit:
            head = bytes((head[0] | msg.TC >> 8,)) + head[1:]
        return Rendering(head, opt, rcode == msg.NOERROR)

    def _error(self, query: Query, rcode: int, ede: int | None = None) -> Rendering:
        """An answer without authority: neither AA nor RA."""
        tail = b""
        if query.edns is not None:
            options = msg.extended_error(ede) if ede is not None else b""
            tail = msg.opt(rcode, do=query.edns.do, options=options)
        flags = msg.QR | query.flags & msg.COPIED | rcode & 15
        return Rendering(_HEAD.pack(flags, 1, 0, 0, 1 if tail else 0), tail, False)

    def _header(self, query: Query, rcode: int, answers: int, authorities: int, additionals: int) -> bytes:
        flags = self._flags | query.flags & msg.COPIED | rcode
        return _HEAD.pack(flags, 1, answers, authorities, additionals + (query.edns is not None))

    # --- records -------------------------------------------------------------------------------

    def _records(self, sets: Node) -> list[bytes]:
        """Complete records whose owner is the question's name."""
        heads = self._heads
        return [
            (heads.get(rrtype << 16 | len(rdata)) or self._head(rrtype, len(rdata))) + rdata
            for rrtype, rdatas in sets
            for rdata in rdatas
        ]

    def _head(self, rrtype: int, length: int) -> bytes:
        """What stands before rdata of so many octets; made once for each type and length."""
        head = _QNAME + _RR.pack(rrtype, CLASS_IN, self._ttl, length)
        self._heads[rrtype << 16 | length] = head
        return head

    def _soa_record(self, apex: int) -> bytes:
        """The SOA record of a negative answer; `apex` is where in the message its owner stands.

        The question's name ends in the apex, hence the pointer. The names in the rdata are not
        compressed: they would come back in the letter case of the question. Remembered as long as
        the serial is the same: each unknown name needs it.
        """
        if self._soa_serial != self.zone.serial:
            self._soa_serial = self.zone.serial
            self._soa_records.clear()
        record = self._soa_records.get(apex)
        if record is None:
            pointer = struct.pack("!H", 0xC000 | apex)
            soa = self.zone.soa()
            record = pointer + _RR.pack(SOA, CLASS_IN, self._negative_ttl, len(soa)) + soa
            self._soa_records[apex] = record
        return record

    def _sample(self, sets: Node, room: int) -> Node:
        """At random as much of `sets` as might fit."""
        most = room // _SMALLEST_RECORD
        return tuple(
            (rrtype, tuple(self._random.sample(rdatas, most)) if len(rdatas) > most else rdatas)
            for rrtype, rdatas in sets
        )

    def _fitting(self, records: list[bytes], room: int) -> list[bytes]:
        """At random as many of `records` as fit."""
        chosen = []
        for record in self._random.sample(records, len(records)):
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
                head = self._address_heads.get(rrtype)
                if head is None:
                    continue
                size = len(rdatas) * (owner + len(head) + len(rdatas[0]))
                if end + size <= limit:
                    end += size
                    bodies += [head + rdata for rdata in rdatas]
            if bodies:
                out.append((target, bodies))
        return out


def _least_size(sets: Node) -> int:
    """Octets that the records of `sets` take at the least, at the cost of a look at each set."""
    return sum(len(rdatas) * (_SMALLEST_RECORD if rrtype == SRV else 12 + len(rdatas[0])) for rrtype, rdatas in sets)


def _opt(edns: Edns | None) -> bytes:
    return b"" if edns is None else msg.opt(do=edns.do)


def _times(records: list[bytes], rotations: int) -> int:
    """How many orders of `records` are worth while."""
    # Beyond 16 kB no pointer reaches, and such giants are not worth more than one order.
    return min(rotations, len(records)) if sum(map(len, records)) < _POINTER_REACH // 2 else 1


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
