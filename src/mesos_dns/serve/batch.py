"""`recvmmsg` and `sendmmsg` through ctypes: many datagrams with one system call each way (Linux).

A `Batch` owns everything the two calls need, laid out once. A reply is not put together in one place: the
kernel gathers it from its header and question, which lie where the query was received, its body, which lies in a
`RingBuffer`, and our OPT record, which is the same for all, but for cookies. What is to be sent says a *send descriptor*, 64 octets with the reply's
three iovecs and its header, made when the response is cached. So what a known question costs in Python is a key and a
look-up, and the rest is done for the whole batch: joining the descriptors, filling in where each query is, and its new header.
What differs by client is its cookie: the descriptor of a reply that has one says how long its OPT record is, and where that begins is
filled in, too, for each batch.

Tried, and slower for each reply: writing header and body into the slot of the query, a handful of slices for
each datagram, by 0.9 µs of processor time; one more iovec, so that no header has to be copied, by 0.1 µs.
"""

import ctypes
import errno
import mmap
import os
import socket
import struct
import sys
from array import array
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Final

from mesos_dns.dns import message as msg
from mesos_dns.dns.prefixes import client_of
from mesos_dns.serve.cache import ORDER_OCTETS
from mesos_dns.serve.cookie_records import CookieRecords
from mesos_dns.serve.cookies import ServerCookies
from mesos_dns.serve.keys import COOKIE_RECORDS
from mesos_dns.serve.memory import Memory
from mesos_dns.serve.mmsg import (
    BATCH,
    CONTROL,
    MMSGHDR,
    MSG_DONTWAIT,
    NAME,
    SLOT,
    Iovec,
    Mmsghdr,
    libc_calls,
    name_size,
)
from mesos_dns.serve.render import Orders, Response, with_options

#: Octets from the header of one datagram to that of the next. Headers and questions of a batch lie in one row, so that all can
#: be looked at together.
STRIDE: Final = 128
#: Where in its part of the row a datagram begins: then octets 2 to 10 of its header are an aligned word.
LEAD: Final = 6
#: Octets of a datagram that have room there. Nearly all queries fit: a name of 70 octets and a cookie.
QUESTION_ROOM: Final = STRIDE - LEAD
#: Octets that the negative answers to names of each length take: a slot for each place where a question may end.
NEGATIVES: Final = (QUESTION_ROOM + 1) * SLOT
#: Octets of a datagram: the largest that UDP can carry fits. Only large ones touch the pages behind the first.
LARGEST: Final = 65536

#: Address and length of header and question, of the body and of the OPT record, and header octets 2 to 12. The first address
#: is filled in by `send`; until then the offset of the body in `Bodies.octets` stands there, for those that are sent singly.
DESCRIPTOR: Final = struct.Struct("@PNPNPN10s6x")
_WORDS: Final = DESCRIPTOR.size // 8
#: The descriptor of a datagram that gets no reply.
SILENCE: Final = bytes(DESCRIPTOR.size)
#: Where in a descriptor octets 2 to 12 of the header stand: zeros if the reply is whole.
HEADER_AT: Final = 48
#: Octets of the ID.
_ID: Final = 2
_NO_CONTROL: Final = bytes(CONTROL)

#: Rows of a batch, and where the OPT records of the replies to them begin.
OwnRecords = tuple[Sequence[int], memoryview]


def truncated(descriptor: bytes) -> bytes:
    """The descriptor of the same reply without any record but ours, and with TC (RFC 1035 section 4.1.1)."""
    at, end, body, _, opt, opt_size, header = DESCRIPTOR.unpack(descriptor)
    counts = bytes((*header[2:4], 0, 0, 0, 0, 0, 1 if opt_size else 0))
    return DESCRIPTOR.pack(at, end, body, 0, opt, opt_size, bytes((header[0] | msg.TC >> 8, header[1])) + counts)


def available() -> bool:
    """Whether this system has both calls and the memory layout that this module relies on."""
    fits = ctypes.sizeof(Mmsghdr) == MMSGHDR and DESCRIPTOR.size == 64
    return sys.platform == "linux" and fits and hasattr(libc_calls(), "sendmmsg")


class Bodies:
    """Memory for bodies of responses and for our OPT records, where descriptors can point to them.

    One for all, so that the octets that a descriptor points to can be read as well.
    """

    def __init__(self, opts: Iterable[bytes], size: int) -> None:
        """`size` is the number of octets that will be taken for bodies."""
        self._memory = Memory(mmap.PAGESIZE + size)
        self.octets = self._memory.octets
        self.address = self._memory.address
        #: Address and length of each OPT record; of an empty one as well.
        self.opts: dict[bytes, tuple[int, int]] = {}
        self._taken = 0
        for opt in (b"", *opts):
            at = self.take(len(opt))
            self.octets[at : at + len(opt)] = opt
            self.opts[opt] = self.address + at, len(opt)

    def __repr__(self) -> str:
        return f"Bodies(taken={self._taken} of {len(self.octets)})"

    def take(self, size: int) -> int:
        """Where `size` octets begin that nobody else has."""
        at = self._taken
        if at + size > len(self.octets):
            raise ValueError(f"{size} octets are wanted, {len(self.octets) - at} are left")
        self._taken += size
        return at

    def message(self, descriptor: bytes, query: bytes, options: bytes = b"") -> bytes:
        """The whole reply that a descriptor tells to send in answer to `query`, with EDNS options as in `Response.message`."""
        # Not by ctypes, whose way is long: with a processor's caches cold it takes as long as all the rest of an answer.
        at, end, _, size, opt, opt_size, header = DESCRIPTOR.unpack(descriptor)
        opt -= self.address
        octets = self.octets
        record = with_options(octets[opt : opt + opt_size], options)
        return b"".join((query[:2], header, query[12:end], octets[at : at + size], record))


class RingBuffer:
    """A ring of memory for the bodies of finished responses. A `Store` of the response cache: what it makes are descriptors.

    Responses are dropped in the order in which they came; the ring is larger than `room` by as much as makes
    sure that a new body never lies over one that is still within it.
    """

    def __init__(self, bodies: Bodies, room: int, largest: int) -> None:
        """`largest` is the number of octets of the most that will be put at once. Takes `ring_size` octets of `bodies`."""
        self.room = room
        self._bodies = bodies
        self._begin = self._at = bodies.take(ring_size(room, largest))
        self._end = self._begin + ring_size(room, largest)

    def __repr__(self) -> str:
        return f"RingBuffer(room={self.room})"

    def put(self, orders: Orders) -> list[bytes]:
        """Part of `Store`: the descriptor for each window."""
        size = len(orders.octets)
        at = self._at if self._at + size <= self._end else self._begin
        self._at = at + size
        self._bodies.octets[at : at + size] = orders.octets
        base, end, opt = self._bodies.address + at, orders.question_end, self._bodies.opts[orders.opt]
        return [
            DESCRIPTOR.pack(at + start, end, base + start, stop - start, *opt, header)
            for header, start, stop in orders.windows
        ]

    def weight(self, orders: Orders) -> int:
        """Part of `Store`."""
        return len(orders.octets) + ORDER_OCTETS * len(orders.windows)

    def clear(self) -> None:
        """Part of `Store`."""
        self._at = self._begin


def ring_size(room: int, largest: int) -> int:
    """Octets that a ring buffer takes."""
    return room + 2 * largest


class Batch:
    """Buffers for up to `size` datagrams of one socket.

    `with_source` reserves room for control messages: needed on wildcard addresses only. Replies end in OPT records of
    `bodies`, of which the batch takes `NEGATIVES` octets.
    """

    def __init__(
        self,
        family: int,
        bodies: Bodies,
        size: int = BATCH,
        *,
        with_source: bool,
        cookies: ServerCookies | None = None,
    ) -> None:
        libc = libc_calls()
        self.size = size
        self._bodies = bodies
        self._cookie_records = (
            {} if cookies is None else {opt: CookieRecords(opt, size, cookies) for opt in COOKIE_RECORDS}
        )
        self._is_v6 = family == socket.AF_INET6
        self._questions = Memory(size * STRIDE)
        self._question_view = memoryview(self._questions.octets)
        #: The rest of each long datagram.
        self._rests = Memory(size * LARGEST)
        #: Replies that are sent once.
        self._slots = Memory(size * SLOT)
        #: The body of the negative answers to names of each length; made when one is asked for.
        self._negatives = bodies.take(NEGATIVES)
        self._names = Memory(size * NAME)
        self._name_view = memoryview(self._names.octets)
        #: What of a source address is the client's.
        self._source = struct.Struct("8x16s8x" if self._is_v6 else "4x4s24x")
        self._controls = Memory(size * CONTROL)
        self._received = Memory(size * MMSGHDR)
        self._to_send = Memory(size * MMSGHDR)
        self._parts = Memory(size * 2 * ctypes.sizeof(Iovec))
        self._descriptors = Memory(size * DESCRIPTOR.size)
        for i in range(size):
            self._lay_out(i, family, with_source=with_source)
        starts = range(self._questions.address + LEAD, self._questions.address + LEAD + size * STRIDE, STRIDE)
        self._starts = memoryview(array("L", starts))
        descriptors, questions = memoryview(self._descriptors.octets), memoryview(self._questions.octets)
        self._descriptor_starts = descriptors.cast("L")[0::_WORDS]
        self._record_starts = descriptors.cast("L")[4::_WORDS]
        # Header octets 2 to 10 and 10 to 12, in the descriptor and in the datagram.
        self._words_given, self._words = descriptors.cast("L")[6::_WORDS], questions.cast("L")[1 :: STRIDE // 8]
        self._shorts_given, self._shorts = (
            descriptors.cast("H")[28 :: 4 * _WORDS],
            questions.cast("H")[8 :: STRIDE // 2],
        )
        #: Of clients on an IPv4 socket.
        self._addresses = memoryview(self._names.octets).cast("I")[1 :: NAME // 4]
        self._received_words = memoryview(self._received.octets).cast("I")
        self._recvmmsg = libc.recvmmsg
        self._sendmmsg = libc.sendmmsg
        self._recvmmsg.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int, ctypes.c_void_p)
        self._sendmmsg.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int)
        self._with_source = with_source
        self._control_room = memoryview(array("L", (CONTROL,) * size))
        self.control_sizes_in = memoryview(self._received.octets).cast("L")[5::8]
        self.control_sizes_out = memoryview(self._to_send.octets).cast("L")[5::8]
        self._interfaces = memoryview(self._controls.octets).cast("I") if family == socket.AF_INET else None
        self._no_interfaces = memoryview(array("I", bytes(4 * size)))

    def _lay_out(self, i: int, family: int, *, with_source: bool) -> None:
        iovec = ctypes.sizeof(Iovec)
        question = Iovec.from_buffer(self._parts.octets, 2 * i * iovec)
        question.base, question.len = self._questions.address + i * STRIDE + LEAD, QUESTION_ROOM
        rest = Iovec.from_buffer(self._parts.octets, (2 * i + 1) * iovec)
        rest.base, rest.len = self._rests.address + i * LARGEST, LARGEST - QUESTION_ROOM
        received = Mmsghdr.from_buffer(self._received.octets, i * MMSGHDR).hdr
        received.iov, received.iovlen = self._parts.address + 2 * i * iovec, 2
        to_send = Mmsghdr.from_buffer(self._to_send.octets, i * MMSGHDR).hdr
        to_send.iov, to_send.iovlen = self._descriptors.address + i * DESCRIPTOR.size, 3
        for header in (received, to_send):
            # All addresses of a family have one length, so nothing has to be put back between two calls.
            header.name, header.namelen = self._names.address + i * NAME, name_size(family)
            if with_source:
                header.control, header.controllen = self._controls.address + i * CONTROL, CONTROL

    def __repr__(self) -> str:
        return f"Batch(size={self.size})"

    def receive(self, fd: int) -> list[int]:
        """Take what waits at the socket: the lengths of the datagrams, none if nothing waits.

        Raises OSError on any real failure.
        """
        if self._with_source:
            self.control_sizes_in[:] = self._control_room
        count = self._recvmmsg(fd, self._received.address, self.size, MSG_DONTWAIT, None)
        if count <= 0:
            code = ctypes.get_errno()
            if count == 0 or code in (errno.EAGAIN, errno.EINTR):
                return []
            raise OSError(code, os.strerror(code))
        return self._received_words[14 : count * 16 : 16].tolist()

    def questions(self, count: int) -> bytes:
        """Header and question of the first `count` datagrams, datagram i from octet i * STRIDE + LEAD on.

        Behind the end of a datagram stands anything.
        """
        return self._question_view[: count * STRIDE].tobytes()

    def datagram(self, i: int, length: int) -> bytes:
        """Datagram i of that length, whole."""
        at = i * STRIDE + LEAD
        return self._question_view[at : at + min(length, QUESTION_ROOM)].tobytes() + self._rest(i, length)

    def as_received(self, i: int, length: int, questions: bytes) -> bytes:
        """Datagram i of that length as it came, also after it was answered: `questions` were taken before."""
        at = i * STRIDE + LEAD
        return questions[at : at + min(length, QUESTION_ROOM)] + self._rest(i, length)

    def as_sent(self, i: int) -> bytes:
        """The reply to datagram i, after `send` and before anything else is kept or received."""
        parts = struct.unpack_from("@PNPNPN", self._descriptors.octets, i * DESCRIPTOR.size)
        return b"".join(ctypes.string_at(parts[n], parts[n + 1]) for n in range(0, len(parts), 2))

    def _rest(self, i: int, length: int) -> bytes:
        if length <= QUESTION_ROOM:
            return b""
        return bytes(self._rests.octets[i * LARGEST : i * LARGEST + length - QUESTION_ROOM])

    def negative(self, response: Response) -> bytes:
        """The descriptor of a negative response, for all datagrams whose question is as long.

        What stands in such a response depends on nothing but the length of the name, until the zone changes. The
        question must end within `QUESTION_ROOM`.
        """
        header, body, opt, end, *_ = response
        at = self._negatives + end * SLOT
        self._bodies.octets[at : at + len(body)] = body
        return DESCRIPTOR.pack(at, end, self._bodies.address + at, len(body), *self._bodies.opts[opt], header)

    def whole(self, i: int, reply: bytes) -> bytes:
        """The descriptor of a whole reply to datagram i, which begins with its ID."""
        at = i * SLOT
        self._slots.octets[at : at + len(reply)] = reply
        body = self._slots.address + at + _ID
        return DESCRIPTOR.pack(0, _ID, body, len(reply) - _ID, *self._bodies.opts[b""], b"")

    def cookie_records(self, questions: bytes, places: Mapping[bytes, Sequence[int]]) -> list[OwnRecords]:
        """OPT records with cookies, for `send`: for the datagrams whose client cookies begin at these `places` of `questions`.

        `places` are by the OPT record that has room for the cookie, in ascending order. Nothing if this server sends no cookies.
        """
        found: list[OwnRecords] = []
        for opt, records in self._cookie_records.items():
            starts = places[opt]
            if starts:
                count = len(starts)
                in_a_row = starts[-1] // STRIDE == count - 1
                rows = range(count) if in_a_row else [at // STRIDE for at in starts]
                mine = [questions[at : at + msg.CLIENT_COOKIE_SIZE] for at in starts]
                if self._is_v6:
                    own = records.fill(mine, None, map(self.client, rows))
                elif in_a_row:
                    own = records.fill(mine, self._addresses[:count])
                else:
                    addresses = self._addresses
                    own = records.fill(mine, memoryview(array("I", [addresses[row] for row in rows])))
                found.append((rows, own))
        return found

    def send(self, fd: int, descriptors: Sequence[bytes], own: Sequence[OwnRecords] = (), *, gaps: bool = True) -> int:
        """Answer datagram i with descriptors[i], or not at all if that is `SILENCE`; without `gaps` none is.

        Replies that have room for a cookie have the OPT record that is their `own`. Those that were given whole have none, wherever
        it is said to begin.

        Returns how many could not be sent: the kernel's buffer is full, or an address is bad. As
        with any lost datagram, the client asks again.
        """
        count = len(descriptors)
        self._descriptors.octets[: count * DESCRIPTOR.size] = b"".join(descriptors)
        self._descriptor_starts[:count] = self._starts[:count]
        for rows, starts in own:
            if len(rows) == count:
                self._record_starts[:count] = starts
            else:
                for row, start in zip(rows, starts):  # noqa: B905 - as many, and strict costs
                    self._record_starts[row] = start
        self._words[:count] = self._words_given[:count]
        self._shorts[:count] = self._shorts_given[:count]
        if self._with_source:
            self.control_sizes_out[:count] = self.control_sizes_in[:count]
            if self._interfaces is not None:
                # The reply takes the route to the client, which need not be where the query came in.
                self._interfaces[4 : count * 16 : 16] = self._no_interfaces[:count]
        first = 0 if gaps and SILENCE in descriptors else self._send(fd, 0, count)
        return 0 if first == count else self._send_rest(fd, descriptors, first)

    def _send_rest(self, fd: int, descriptors: Sequence[bytes], first: int) -> int:
        count, failed = len(descriptors), 0
        while first < count:
            if descriptors[first] == SILENCE:
                first += 1
                continue
            last = first + 1
            while last < count and descriptors[last] != SILENCE:
                last += 1
            while first < last:
                sent = self._send(fd, first, last - first)
                if sent <= 0:
                    # The error is that of the first datagram of the rest: skip it, try the others.
                    failed += 1
                    sent = 1
                first += sent
        return failed

    def _send(self, fd: int, first: int, count: int) -> int:
        return max(0, int(self._sendmmsg(fd, self._to_send.address + first * MMSGHDR, count, MSG_DONTWAIT)))

    def sources(self, count: int) -> list[bytes]:
        """The packed addresses that the first `count` datagrams came from, IPv4 in its IPv6 form if the socket has that."""
        return [*chain.from_iterable(self._source.iter_unpack(self._name_view[: count * NAME]))]

    def client(self, i: int) -> bytes:
        """The client that datagram i came from, as in `Request`."""
        at = i * NAME
        octets = self._names.octets
        if self._is_v6:
            return client_of(octets[at + 8 : at + 24])
        return octets[at + 4 : at + 8]

    def peer(self, i: int) -> bytes:
        """Where datagram i came from, and which address of ours it was sent to, in a form that is for `Outbox` alone."""
        name = self._names.octets[i * NAME : (i + 1) * NAME]
        if not self._with_source:
            return name + _NO_CONTROL
        control = self._controls.octets[i * CONTROL : (i + 1) * CONTROL]
        # The reply takes the route to the client, which need not be where the query came in.
        return name + (control if self._is_v6 else control[:16] + bytes(4) + control[20:])

    def port(self, i: int) -> int:
        """The port that datagram i came from."""
        return int.from_bytes(self._names.octets[i * NAME + 2 : i * NAME + 4])

    def address(self, i: int, family: int) -> tuple[object, ...]:
        """Where datagram i came from, in the form that Python's sockets take."""
        name, port = bytes(self._names.octets[i * NAME : (i + 1) * NAME]), self.port(i)
        if family == socket.AF_INET6:
            flow, scope = int.from_bytes(name[4:8], "big"), int.from_bytes(name[24:28], sys.byteorder)
            return (socket.inet_ntop(family, name[8:24]), port, flow, scope)
        return (socket.inet_ntop(family, name[4:8]), port)

    def control(self, i: int) -> bytes:
        """The control message of datagram i, in the kernel's layout; empty without `with_source`."""
        length = self.control_sizes_in[i]
        return bytes(self._controls.octets[i * CONTROL : i * CONTROL + length])
