"""From the key of a query to the rendering of its reply, for nearly all queries that come. Pure.

A key (see `keys`) says all that the reply to a simple question depends on. So it is read where it
stands, without a parsed query in between, and only what is cheap to be sure of is answered here. With it an
answer to an unknown name takes 7 µs outside the kernel instead of 15. Everything else is left to
`Answerer.compose`, which would say the same.
"""

import struct
from typing import Final

from mesos_dns.dns import message as msg
from mesos_dns.dns.rdata import AAAA, CLASS_IN, SRV, A
from mesos_dns.limits import MAX_LABEL, MAX_NAME, ZONE_PARTS
from mesos_dns.names.zone import Rdatas
from mesos_dns.serve import keys
from mesos_dns.serve.answer import Answerer, Rendering

#: Header octets 2 to 12.
_HEAD: Final = struct.Struct("!HHHHH")
#: Type and class of simple questions: class IN, and no type with rules of its own (RFC 6895 section 3.1).
_SIMPLE: Final = {struct.pack("!HH", rrtype, CLASS_IN): rrtype for rrtype in range(1, 128)}
#: The counts of a query, header octets 4 to 12: one question, and with EDNS one additional record.
_ONE_QUESTION: Final = bytes((0, 1, 0, 0, 0, 0, 0, 0))
_AND_OPT: Final = bytes((0, 1, 0, 0, 0, 0, 0, 1))
#: Flags and counts in front of the name, and type and class behind it.
_FRONT: Final = 10
_BEHIND: Final = 4
#: Octets of QR and opcode in the first flag octet: nonzero in everything that is no query.
_NO_QUERY: Final = 0xF8
#: Addresses of a name that fit any datagram behind any name: 271 octets, and 28 for each.
_MANY: Final = 8
#: Services beyond that fit no datagram: 19 octets each, and a root for a target.
_MANY_SERVICES: Final = msg.UDP_SIZE // 19
#: The length of SRV rdata, and a pointer to an offset, ready to be concatenated.
_LENGTHS: Final = tuple(struct.pack("!H", n) for n in range(6 + MAX_NAME + 1))
_POINTERS: Final = tuple(struct.pack("!H", 0xC000 | n) for n in range(msg.UDP_SIZE))
#: Octets of an SRV record of the question's name in front of the target.
_TO_TARGET: Final = 18


class Shortcut:
    """Renders replies from the zone of `answerer`, for UDP or for TCP."""

    def __init__(self, answerer: Answerer, *, tcp: bool) -> None:
        self._answerer = answerer
        self._zone = zone = answerer.zone
        self._tcp = tcp
        opt, opt_do = msg.opt(), msg.opt(do=True)
        largest, smallest = (msg.TCP_SIZE, msg.TCP_SIZE) if tcp else (msg.UDP_SIZE, msg.PLAIN_UDP_SIZE)
        #: By mark: our OPT record, for which size is rendered, and what the reply must not exceed.
        self._forms = {
            keys.PLAIN: (opt, largest, largest),
            keys.DO: (opt_do, largest, largest),
            keys.SMALL_PLAIN: (opt, largest, smallest),
            keys.SMALL_DO: (opt_do, largest, smallest),
        }
        self._no_edns = b"", smallest, smallest
        self._apex = zone.authority.apex
        self._flags = answerer.flags
        self._random = answerer.random.random
        self._parts = zone.parts
        self._children = zone.children
        #: What stands before the rdata of a record of the question's name; for SRV without the length of the rdata.
        self._fronts = {rrtype: answerer.record_front(rrtype, length) for rrtype, length in ((A, 4), (AAAA, 16))}
        self._service_front = answerer.record_front(SRV, 0)[:-2]
        #: Tails of negative replies by OPT record and length of the name, for the serial given.
        self._serial = 0
        self._negative_tails: dict[bytes, dict[int, bytes]] = {}

    def __repr__(self) -> str:
        return f"Shortcut({self._answerer!r}, tcp={self._tcp})"

    def render(self, key: bytes, rotations: int = 1) -> Rendering | None:
        """The rendering for every query with this key, with up to `rotations` orders.

        None if `Answerer.compose` has to look at the query.
        """
        counts = key[2:_FRONT]
        if counts == _ONE_QUESTION:
            end = len(key)
            opt, limit, bound = self._no_edns
        elif counts == _AND_OPT and key[-1:] in self._forms and key[-4:-1] == keys.OPT_FRONT:
            end = len(key) - 4
            opt, limit, bound = self._forms[key[-1:]]
        else:
            return None
        name = key[_FRONT : end - _BEHIND]
        rrtype = _SIMPLE.get(key[end - _BEHIND : end])
        if rrtype is None or not name or key[0] & _NO_QUERY or b"*" in name or name == self._apex:
            return None
        # RD and CD are copied. From here on `end` is where the question ends in the message: keys lack its ID.
        flags = self._flags | (key[0] & 1) << 8 | key[1] & msg.CD
        end += 2
        node = self._parts[hash(name) % ZONE_PARTS].get(name)
        if node is None:
            rendering = self._absent(flags, name, end, opt)
        elif name.endswith(self._apex):
            for found, rdatas in node:
                if found == rrtype:
                    rendering = self._positive(flags, rrtype, rdatas, end, opt, limit, rotations)
                    break
            else:
                rendering = self._negative(flags, name, end, opt)
        else:
            return None  # This server's own name may lie outside its zone.
        if rendering is None or end + len(rendering.tail) > bound or not self._zone.serial:
            return None
        return rendering

    def _absent(self, flags: int, name: bytes, end: int, opt: bytes) -> Rendering | None:
        if name in self._children:
            return self._negative(flags, name, end, opt)
        if self._is_inside(name):
            return self._negative(flags | msg.NXDOMAIN, name, end, opt)
        return None

    def _is_inside(self, name: bytes) -> bool:
        """Whether `name` is well-formed and lies below some name of the zone, and thus below the apex."""
        if len(name) > MAX_NAME:
            return False
        children = self._children
        while name:
            length = name[0]
            if not 0 < length <= MAX_LABEL:
                return False
            name = name[length + 1 :]
            if name in children:
                return True
        return False

    def _negative(self, flags: int, name: bytes, end: int, opt: bytes) -> Rendering:
        if self._serial != self._zone.serial:
            self._serial = self._zone.serial
            self._negative_tails.clear()
        tails = self._negative_tails.get(opt)
        if tails is None:
            tails = self._negative_tails[opt] = {}
        tail = tails.get(len(name))
        if tail is None:
            # The apex ends the question's name, so it is at the same place in all names of one length.
            tail = tails[len(name)] = self._answerer.soa_record(end - 4 - len(self._apex)) + opt
        return Rendering(_HEAD.pack(flags, 1, 0, 1, 1 if opt else 0), tail, end, False)

    def _positive(
        self, flags: int, rrtype: int, rdatas: Rdatas, end: int, opt: bytes, limit: int, rotations: int
    ) -> Rendering:
        count = len(rdatas)
        if rrtype == SRV and count <= _MANY_SERVICES:
            return self._services(flags, rdatas, end, opt, limit, rotations)
        front = self._fronts.get(rrtype)
        if front is None or count > _MANY:
            return self._answerer.positive(flags, end, opt, ((rrtype, rdatas),), limit, rotations)
        head = _HEAD.pack(flags, 1, count, 0, 1 if opt else 0)
        if count == 1:
            return Rendering(head, front + rdatas[0] + opt, end, True)
        first = int(self._random() * count)
        times = min(rotations, count)
        orders = []
        for n in range(times):
            start = (first + count * n // times) % count
            orders.append(front + front.join(rdatas[start:] + rdatas[:start]) + opt)
        return Rendering(head, orders[0], end, True, tuple(orders))

    def _services(self, flags: int, rdatas: Rdatas, end: int, opt: bytes, limit: int, rotations: int) -> Rendering:
        """SRV records, and the addresses of their targets as additional records (RFC 2782)."""
        front = self._service_front
        records = [front + _LENGTHS[len(rdata)] + rdata for rdata in rdatas]
        size = end + sum(map(len, records))
        if size + len(opt) > min(limit, len(_POINTERS)):
            return self._answerer.positive(flags, end, opt, ((SRV, rdatas),), limit, rotations)
        targets = [rdata[6:] for rdata in rdatas]
        addresses = self._addresses(targets, limit - len(opt) - size)
        count = len(records)
        times = min(rotations, count)
        first = int(self._random() * count) if count > 1 else 0
        orders = []
        for n in range(times):
            start = (first + count * n // times) % count
            order = records[start:] + records[:start]
            at = end + _TO_TARGET
            owners: dict[bytes, bytes] = {}
            for record in order:
                owners.setdefault(record[_TO_TARGET:], _POINTERS[at])
                at += len(record)
            order += [owners[target] + body for target, body in addresses]
            orders.append(b"".join(order) + opt)
        head = _HEAD.pack(flags, 1, count, 0, len(addresses) + 1 if opt else len(addresses))
        return Rendering(head, orders[0], end, True, tuple(orders) if times > 1 else ())

    def _addresses(self, targets: list[bytes], room: int) -> list[tuple[bytes, bytes]]:
        """The address records of `targets`, each behind its owner: whole sets, as far as there is room."""
        found = []
        for target in dict.fromkeys(targets):
            for rrtype, rdatas in self._parts[hash(target) % ZONE_PARTS].get(target) or ():
                front = self._fronts.get(rrtype)
                if front is None:
                    continue
                # The owner is a pointer here as well, of the same two octets.
                room -= len(rdatas) * (len(front) + len(rdatas[0]))
                if room < 0:
                    room += len(rdatas) * (len(front) + len(rdatas[0]))
                else:
                    found += [(target, front[2:] + rdata) for rdata in rdatas]
        return found
