"""From record sets to responses: the one place where answers from the zone are put into octets. Pure.

A response lacks the query's ID and question, and its OPT record stands apart: so it can be kept and given to
all who ask the same, whatever else their OPT records are to say. There is one for whoever asks now (`positive`,
`negative`), and what is worth keeping for those to come (`orders`): every order of the answer that has another record
first, or every part of an answer that is too large.
"""

import struct
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate, cycle
from random import Random
from typing import Final, NamedTuple

from mesos_dns.dns import message as msg
from mesos_dns.dns.message import Query
from mesos_dns.dns.rdata import AAAA, CLASS_CHAOS, CLASS_IN, NS, SOA, SRV, TXT, A, txt
from mesos_dns.serve import large
from mesos_dns.serve.request import part_start
from mesos_dns.zone.rrsets import RRsets
from mesos_dns.zone.zone import Zone

#: Octets of all orders of one answer, or of all parts, that may be kept: an answer of 30 services with their addresses.
LARGEST_KEPT: Final = 64 * 1024
#: Sorted record sets that are remembered: few names have answers that fit no datagram.
_MOST_SORTED: Final = 256

_RR: Final = struct.Struct("!HHIH")
_SHORT: Final = struct.Struct("!H")
_HEADER: Final = struct.Struct("!HHHHH")
#: Octets of an A record behind a compressed owner; no record of the zone is smaller.
_SMALLEST_RECORD: Final = 16
#: Records that are counted octet by octet before they are rendered: a third of the cost of rendering what will not fit.
_MANY: Final = 200
#: A compression pointer has 14 bits.
_POINTER_REACH: Final = 0x4000
#: How the only option begins of an OPT record that has room for a cookie.
_COOKIE: Final = _SHORT.pack(msg.COOKIE)
#: A pointer to the question's name, which every message has at offset 12.
_QNAME: Final = b"\xc0\x0c"
#: How far into a record with a compressed owner the name begins that it points to.
_TO_SRV_TARGET: Final = 18
_TO_NS_TARGET: Final = 12
#: The length of rdata, ready to be put before it; only the longest names make longer rdata.
_LENGTHS: Final = tuple(struct.pack("!H", n) for n in range(1024))

#: Header octets 2 to 12 of a response, and where its body begins and ends.
Window = tuple[bytes, int, int]


class Question(NamedTuple):
    """What is asked, as far as rendering depends on it.

    `owner` is the name as it was asked for, in lower case; the question ends at octet `end` of the message. `flags` are
    those of the response. It may have `limit` octets, with `opt`, its OPT record, which is empty if the query has none.
    """

    owner: bytes
    end: int
    flags: int
    opt: bytes
    limit: int


class Response(NamedTuple):
    """A message without its ID and its question, which ends at octet `question_end`.

    `header` has octets 2 to 12, `body` what stands behind the question, but for the OPT record `opt`. `found` is
    false for NXDOMAIN and NODATA. What may not be given to another client has `keep` false.
    """

    header: bytes
    body: bytes
    opt: bytes
    question_end: int
    found: bool
    keep: bool = True

    @property
    def size(self) -> int:
        """Octets of the whole reply."""
        return self.question_end + len(self.body) + len(self.opt)

    def message(self, query: bytes, options: bytes = b"") -> bytes:
        """The whole reply to `query`, with further EDNS options if it has an OPT record: in it the cookie for which `opt` has room."""
        header, body, opt, end, _, _ = self
        if options and opt:
            opt = with_options(opt, options)
        return b"".join((query[:2], header, query[12:end], body, opt))


class Orders(NamedTuple):
    """All responses to one question: `windows` into `octets`. The rest is as in `Response`.

    They are given in turn, so that every record comes first equally often; or if `by_client` is set, each client gets
    that which `part_start` says.
    """

    octets: bytes
    windows: Sequence[Window]
    opt: bytes
    question_end: int
    found: bool
    by_client: bool = False


class Renderer:
    """Renders answers from `zone`, with what `random` says first.

    `flags` are those that every answer from the zone has; with `truncate_bit` off what is too large is cut without a word.
    """

    def __init__(self, zone: Zone, random: Random, *, recursion: bool, truncate_bit: bool) -> None:
        self.zone = zone
        self.flags = msg.QR | msg.AA | (msg.RA if recursion else 0)
        self._random = random
        self._truncate_bit = truncate_bit
        authority = zone.authority
        self._apex_size = len(authority.apex)
        self._ttl = authority.ttl
        self._negative_ttl = min(authority.ttl, authority.minimum)
        #: What stands before the length of the rdata of a record of the question's name, by type.
        self._prefixes = {rrtype: self._prefix(rrtype) for rrtype in (A, NS, SOA, AAAA, SRV)}
        #: The same with the length for addresses, whose owner is yet to come.
        self._addresses = {
            rrtype: _RR.pack(rrtype, CLASS_IN, authority.ttl, length) for rrtype, length in ((A, 4), (AAAA, 16))
        }
        #: SOA records of negative answers by where their owner stands, for the serial given.
        self._soa_records: dict[int, bytes] = {}
        self._serial = 0
        self._large = large.LargeAnswers()
        self._sorted_sets: dict[tuple[bytes, int], tuple[Sequence[bytes], tuple[bytes, ...]]] = {}

    def __repr__(self) -> str:
        return f"Renderer({self.zone!r})"

    # --- for whoever asks now ------------------------------------------------------------------

    def positive(self, question: Question, sets: RRsets, client: bytes) -> Response:
        """The response with `sets` as its answer, for `client`; a record at random comes first."""
        records = self._fitting(question, sets)
        if records is None:
            return self._cut(question, sets, client)
        count = len(records)
        if count > 1:
            start = int(self._random.random() * count)
            records = records[start:] + records[:start]
        additional = self._additional(question, sets, records)
        header = _header(question.flags, count, 0, len(additional), question.opt)
        return Response(header, _body(records, additional, question.end), question.opt, question.end, True)

    def negative(self, question: Question) -> Response:
        """The response that there is nothing: NODATA, or what the RCODE in the question's flags says."""
        _, end, flags, opt, limit = question
        record = self._soa_record(end - 4 - self._apex_size)
        if end + len(record) + len(opt) > limit:  # Only a very long SOAMname can do that.
            flags |= msg.TC if self._truncate_bit else 0
            return Response(_header(flags, 0, 0, 0, opt), b"", opt, end, False)
        return Response(_header(flags, 0, 1, 0, opt), record, opt, end, False)

    # --- for those to come ---------------------------------------------------------------------

    def orders(self, question: Question, sets: RRsets) -> Orders | None:
        """What can be kept of the responses with `sets` as their answer; None if that is too much, or nothing."""
        records = self._fitting(question, sets)
        if records is None:
            return self._parts(question, sets) if self._truncate_bit else None
        count = len(records)
        # What comes second has its turn, too.
        records = self._random.sample(records, count)
        additional = self._additional(question, sets, records)
        header = _header(question.flags, count, 0, len(additional), question.opt)
        bodies: list[bytes]
        if additional and count > 1:
            # Owners of addresses point into the answer: every order has pointers of its own.
            least = count * (sum(map(len, records)) + _SMALLEST_RECORD * len(additional))
            if least > LARGEST_KEPT:
                return None
            bodies = [_body(records[n:] + records[:n], additional, question.end) for n in range(count)]
            ends = [0, *accumulate(map(len, bodies))]
            windows = [(header, ends[n], ends[n + 1]) for n in range(count)]
        elif count > 1:
            # The records twice in a row: every order is a window into them.
            ends = [0, *accumulate(map(len, records))]
            windows = [(header, ends[n], ends[n] + ends[-1]) for n in range(count)]
            bodies = [*records, *records]
            if 2 * ends[-1] > LARGEST_KEPT:
                return None
        else:
            bodies = [_body(records, additional, question.end)]
            windows = [(header, 0, len(bodies[0]))]
        return Orders(b"".join(bodies), windows, question.opt, question.end, found=True)

    def turns(self, question: Question, sets: RRsets) -> Iterator[Response] | None:
        """Without end the responses of a large answer, every record first equally often; None if it does not fit."""
        owner, end, flags, opt, limit = question
        if large.least_size(sets) > limit:
            return None
        answer = large.render(owner, sets, self._ttl, limit - len(opt), self.zone.rrsets)
        return self._turns(answer, end, flags, opt) if answer.fits() else None

    def _turns(self, answer: large.LargeAnswer, end: int, flags: int, opt: bytes) -> Iterator[Response]:
        header = _header(flags, answer.records, 0, answer.additionals, opt)
        for start in cycle(self._random.sample(range(answer.records), answer.records)):
            yield Response(header, answer.part(start).octets, opt, end, True)

    # --- records -------------------------------------------------------------------------------

    def _prefix(self, rrtype: int) -> bytes:
        return _QNAME + _RR.pack(rrtype, CLASS_IN, self._ttl, 0)[:-2]

    def _fitting(self, question: Question, sets: RRsets) -> list[bytes] | None:
        """The records of `sets`, whose owner is the question's name; None if they are too many."""
        room = question.limit - question.end - len(question.opt)
        if len(sets) == 1:
            rrtype, rdataset = sets[0]
            # Rendering all of what cannot fit is work that an attacker would like to give us.
            if len(rdataset) * _SMALLEST_RECORD > room:
                return None
            if len(rdataset) > _MANY and 12 * len(rdataset) + sum(map(len, rdataset)) > room:
                return None
            records = self._records(rrtype, rdataset)
        else:
            if sum(len(rdataset) for _, rdataset in sets) * _SMALLEST_RECORD > room:
                return None
            records = [record for rrtype, rdataset in sets for record in self._records(rrtype, rdataset)]
        return records if sum(map(len, records)) <= room else None

    def _records(self, rrtype: int, rdataset: Sequence[bytes]) -> list[bytes]:
        prefix = self._prefixes.get(rrtype) or self._prefix(rrtype)
        if rdataset and rrtype in self._addresses:
            prefix += _LENGTHS[len(rdataset[0])]
            return [prefix + rdata for rdata in rdataset]
        return [prefix + _LENGTHS[len(rdata)] + rdata for rdata in rdataset]

    def _soa_record(self, apex: int) -> bytes:
        """The SOA record of a negative answer; `apex` is where in the message its owner stands.

        The question's name ends in the apex, hence the pointer. The names in the rdata are not
        compressed: they would come back in the letter case of the question.
        """
        if self._serial != self.zone.serial:
            self._serial = self.zone.serial
            self._soa_records.clear()
        record = self._soa_records.get(apex)
        if record is None:
            soa = self.zone.soa()
            front = struct.pack("!H", 0xC000 | apex) + _RR.pack(SOA, CLASS_IN, self._negative_ttl, len(soa))
            record = self._soa_records[apex] = front + soa
        return record

    def _additional(self, question: Question, sets: RRsets, records: list[bytes]) -> list[tuple[bytes, bytes]]:
        """Targets in `sets` and their address records without the owner: whole sets, as far as they fit.

        Addresses of SRV and NS targets belong there (RFC 2782, RFC 1035 section 3.3.11). A set that does
        not fit is left out without TC: it was not required (RFC 2181 section 9).
        """
        targets: list[bytes] = []
        for rrtype, rdataset in sets:
            if rrtype == SRV:
                targets += [rdata[6:] for rdata in rdataset]
            elif rrtype == NS:
                targets += [rdata.lower() for rdata in rdataset]
        if not targets:
            return []
        rrsets, prefixes = self.zone.rrsets, self._addresses
        end = question.end + sum(map(len, records))
        limit = question.limit - len(question.opt)
        found: list[tuple[bytes, bytes]] = []
        for target in dict.fromkeys(targets):
            for rrtype, rdataset in rrsets(target) or ():
                prefix = prefixes.get(rrtype)
                if prefix is None:
                    continue
                owner = 2 if end < _POINTER_REACH else len(target)
                size = len(rdataset) * (owner + len(prefix) + len(rdataset[0]))
                if end + size <= limit:
                    end += size
                    found += [(target, prefix + rdata) for rdata in rdataset]
        return found

    # --- what is too large ---------------------------------------------------------------------

    def _cut(self, question: Question, sets: RRsets, client: bytes) -> Response:
        """As many whole records as fit, and nothing in the additional section (RFC 2181 section 9).

        With the TC bit it is the client's part of them; over TCP as well, where there is no larger transport that the bit
        could point to. Without the bit any part, and another one each time.
        """
        owner, end, flags, opt, limit = question
        if limit > msg.UDP_SIZE and len(sets) == 1:
            rrtype, rdataset = sets[0]
            if self._truncate_bit:
                start = part_start(client, owner, len(rdataset))
                rdataset = self._sorted(owner, rrtype, rdataset)
            else:
                start = int(self._random.random() * len(rdataset))
            part = self._large.part(owner, rrtype, rdataset, self._ttl, start)
            return Response(_header(flags, part.answers, 0, 0, opt), part.octets, opt, end, True, keep=False)
        room = limit - end - len(opt)
        if not self._truncate_bit:
            chosen = _first_of(self._sample(sets, room), room)
            return Response(_header(flags, len(chosen), 0, 0, opt), b"".join(chosen), opt, end, True, keep=False)
        count = sum(len(rdataset) for _, rdataset in sets)
        start = part_start(client, owner, count)
        most = min(room // _SMALLEST_RECORD + 1, count)
        records: list[bytes] = []
        for rrtype, rdataset in [*sets, *sets]:
            ordered = self._sorted(owner, rrtype, rdataset)
            records += self._records(rrtype, ordered[start : start + most - len(records)])
            start = max(start - len(ordered), 0)
        chosen = _first_of(records, room)
        flags |= msg.TC if limit < msg.TCP_SIZE else 0
        return Response(_header(flags, len(chosen), 0, 0, opt), b"".join(chosen), opt, end, True)

    def _parts(self, question: Question, sets: RRsets) -> Orders | None:
        """What `_cut` says to any client with the TC bit; None if it is too much."""
        owner, end, flags, opt, limit = question
        if len(sets) != 1 or limit >= msg.TCP_SIZE or 2 * _SMALLEST_RECORD * len(sets[0][1]) > LARGEST_KEPT:
            return None
        rrtype, rdataset = sets[0]
        records = self._records(rrtype, self._sorted(owner, rrtype, rdataset))
        twice = records + records
        ends = [0, *accumulate(map(len, twice))]
        if ends[-1] > LARGEST_KEPT:
            return None
        room = limit - end - len(opt)
        windows = []
        for n in range(len(records)):
            last = bisect_right(ends, ends[n] + room) - 1
            windows.append((_header(flags | msg.TC, last - n, 0, 0, opt), ends[n], ends[last]))
        return Orders(b"".join(twice), windows, opt, end, found=True, by_client=True)

    def _sorted(self, owner: bytes, rrtype: int, rdataset: Sequence[bytes]) -> tuple[bytes, ...]:
        key = owner, rrtype
        known = self._sorted_sets.get(key)
        if known is not None and known[0] is rdataset:
            return known[1]
        if len(self._sorted_sets) >= _MOST_SORTED:
            self._sorted_sets.clear()
        ordered = tuple(sorted(rdataset))
        self._sorted_sets[key] = rdataset, ordered
        return ordered

    def _sample(self, sets: RRsets, room: int) -> list[bytes]:
        """In any order as many records of `sets` as might fit."""
        most = room // _SMALLEST_RECORD
        records = []
        for rrtype, rdataset in sets:
            records += self._records(rrtype, self._random.sample(rdataset, min(most, len(rdataset))))
        self._random.shuffle(records)
        return records


def _first_of(records: list[bytes], room: int) -> list[bytes]:
    """The first of `records`, until one does not fit."""
    return records[: bisect_right([*accumulate(map(len, records))], room)]


def error(query: Query, rcode: int, ede: int | None = None, text: bytes = b"") -> Response:
    """A response without authority: neither AA nor RA. With EDNS it has the extended error `ede` with `text` (RFC 8914)."""
    opt = b""
    if query.edns is not None:
        options = msg.extended_error(ede, text) if ede is not None else b""
        opt = msg.opt(rcode, do=query.edns.do, options=options)
    flags = msg.QR | query.flags & msg.COPIED | rcode & 15
    return Response(_header(flags, 0, 0, 0, opt), b"", opt, query.question_end, False, keep=False)


def own_text(query: Query, text: bytes) -> Response:
    """The response that this server says `text` of itself, to a question of class CHAOS; NODATA if that is empty. It fits every client."""
    opt = b"" if query.edns is None else msg.opt(do=query.edns.do)
    flags = msg.QR | msg.AA | query.flags & msg.COPIED
    rdata = txt(text) if text else b""
    record = _QNAME + _RR.pack(TXT, CLASS_CHAOS, 0, len(rdata)) + rdata if rdata else b""
    return Response(
        _header(flags, 1 if record else 0, 0, 0, opt), record, opt, query.question_end, bool(record), keep=False
    )


def cut(query: Query, rcode: int) -> Response:
    """A response with nothing but TC: who asked may ask again over TCP."""
    response = error(query, rcode)
    header = response.header
    return response._replace(header=bytes((header[0] | msg.TC >> 8, *header[1:])))


def with_options(opt: bytes, options: bytes) -> bytes:
    """The OPT record `opt`, with further options; these take the room that it has for a cookie."""
    if not options:
        return opt
    options = options if opt[11:13] == _COOKIE else opt[11:] + options
    return opt[:9] + _SHORT.pack(len(options)) + options


def _header(flags: int, answers: int, authorities: int, additionals: int, opt: bytes) -> bytes:
    return _HEADER.pack(flags, 1, answers, authorities, additionals + 1 if opt else additionals)


def _body(records: list[bytes], additional: list[tuple[bytes, bytes]], at: int) -> bytes:
    """The sections behind a question that ends at `at`. Owners of `additional` point into the answer."""
    if not additional:
        return b"".join(records)
    owners: dict[bytes, bytes] = {}
    end = at + sum(map(len, records))
    if end >= _POINTER_REACH:
        # As soon as one pointer would not reach, none is used: the room was reckoned that way.
        return b"".join([*records, *(target + body for target, body in additional)])
    for record in records:
        # Owner pointer, then type, class, TTL and length: 12 octets before the rdata.
        if record[3] == SRV:
            owners.setdefault(record[_TO_SRV_TARGET:], struct.pack("!H", 0xC000 | at + _TO_SRV_TARGET))
        elif record[3] == NS:
            owners.setdefault(record[_TO_NS_TARGET:].lower(), struct.pack("!H", 0xC000 | at + _TO_NS_TARGET))
        at += len(record)
    return b"".join([*records, *(owners[target] + body for target, body in additional)])
