"""DNS over UDP: one socket, drained in batches; the plain way for systems without recvmmsg.

Both ways give the same replies, each from a cache of its own, and answer about `MAX_DATAGRAMS_PER_WAKE` datagrams
before other work gets its turn.
"""

import asyncio
import logging
import socket
import struct
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from itertools import repeat
from typing import Final

from mesos_dns.dns import message as msg
from mesos_dns.logs import RateLimited
from mesos_dns.serve import batch
from mesos_dns.serve.batch import FRONT, LEAD, SILENCE, STRIDE, Batch, OptRecords, RingBuffer
from mesos_dns.serve.cache import FOUND_OCTETS, MISSING_OCTETS
from mesos_dns.serve.keys import (
    BEHIND_NAME,
    BEHIND_NAME_EDNS,
    NAME,
    OPT_RECORDS,
    EdnsForms,
    any_key,
    owner_of,
)
from mesos_dns.serve.policy import Verdict
from mesos_dns.serve.render import LARGEST_KEPT, Response
from mesos_dns.serve.request import Forward, Request, Transport, client_of
from mesos_dns.serve.responder import ForwardTo, Responder, cache_response

log = logging.getLogger(__name__)

#: Datagrams that one UDP socket may have answered before TCP, forwarding and zone changes get their
#: turn: about 2 ms.
MAX_DATAGRAMS_PER_WAKE: Final = 256
#: A worker waits this many seconds between two looks at a UDP socket where it found a good part of a batch: then it
#: finds more, and an answer costs up to 14 % less. Only with so many datagrams, and only so often in one turn.
_COALESCING_SECONDS: Final = 0.00005
_COALESCED_DATAGRAMS: Final = range(8, 64)
_COALESCING_TIMES: Final = 4
#: Kinds of questions (flags, type and mark) for which the negative answers are kept ready; usual are ten.
_MOST_KINDS: Final = 1000

_IPV6_PKTINFO: Final = getattr(socket, "IPV6_PKTINFO", 50)
_IP_PKTINFO: Final = getattr(socket, "IP_PKTINFO", 8)
#: Where each datagram of a batch begins.
_STARTS: Final = tuple(range(LEAD, batch.BATCH * STRIDE, STRIDE))
#: What the cache is asked to give for a key that it does not have: no descriptor, and this for all keys.
_UNKNOWN: Final = repeat(b"")
_ALL_UNKNOWN: Final = repeat(_UNKNOWN)


def udp_listener(sock: socket.socket, responder: Responder, forward: ForwardTo) -> "BatchedListener | PlainListener":
    """The fastest listener that this system can have for a bound socket."""
    return (BatchedListener if batch.available() else PlainListener)(sock, responder, forward)


class _Listener(ABC):
    """One bound UDP socket and what answers it. `start` and `stop` say when."""

    def __init__(self, sock: socket.socket, responder: Responder, forward: ForwardTo) -> None:
        self._socket = sock
        self._fd = sock.fileno()
        self._responder = responder
        self._forward = forward
        self._warn = RateLimited(log)
        self._wildcard = _is_wildcard(sock)
        sock.setblocking(False)
        if self._wildcard:
            _ask_for_source(sock)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._socket.getsockname()!r})"

    async def start(self) -> None:
        """Answer from now on, in the running event loop."""
        asyncio.get_running_loop().add_reader(self._fd, self.read)

    async def stop(self) -> None:
        """Answer what has already arrived, and no more."""
        asyncio.get_running_loop().remove_reader(self._fd)
        self.read()

    def read(self) -> None:
        """Answer what has arrived, but not more than others can wait for."""
        answered = 0
        try:
            for count in self._answer_some():
                answered += count
                if answered >= MAX_DATAGRAMS_PER_WAKE:
                    break
        except OSError as error:
            self._warn.warning("receive", "cannot receive from %s: %s", self._socket.getsockname(), error)
        self._responder.reclaim(answered)

    @abstractmethod
    def _answer_some(self) -> Iterator[int]:
        """Answer some datagrams, and say how many; then the next, until none waits. OSError if none can be received."""

    def _submit(self, forward: Forward, send: Callable[[bytes], None]) -> None:
        self._forward(forward, msg.udp_limit(forward.query.edns), send)

    def _send(self, reply: bytes, address: tuple[object, ...], ancillary: list[tuple[int, int, bytes]]) -> None:
        # As in a batch: the source address is the one that was asked, the interface is free.
        ancillary = [
            (a, b, bytes(4) + c[4:] if b == _IP_PKTINFO and a == socket.IPPROTO_IP else c) for a, b, c in ancillary
        ]
        try:
            self._socket.sendmsg([reply], ancillary, 0, address)
        except OSError:
            self._responder.count("udp_send_failed")


class BatchedListener(_Listener):
    """Many datagrams with each system call."""

    def __init__(self, sock: socket.socket, responder: Responder, forward: ForwardTo) -> None:
        super().__init__(sock, responder, forward)
        opts = OptRecords(OPT_RECORDS.values())
        self._batch = Batch(sock.family, opts, with_source=self._wildcard)
        found, missing = RingBuffer(FOUND_OCTETS, LARGEST_KEPT, opts), RingBuffer(MISSING_OCTETS, LARGEST_KEPT, opts)
        self._cache = responder.cache(found, missing)
        self._edns = EdnsForms()
        #: Keys whose responses are to be cached when the present batch is sent.
        self._asked_again: list[bytes] = []
        #: Descriptors of NXDOMAIN by kind of question and length of the name, for the zone as it is for `_generation`.
        self._unknown: dict[bytes, dict[int, bytes]] = {}
        self._generation: object = None

    def _answer_some(self) -> Iterator[int]:
        # Under load more datagrams have come while these are answered: they need not wait for a way through the
        # event loop. After a single one there hardly is another, and to look in vain is a sixth of its cost.
        waits = _COALESCING_TIMES
        while lengths := self._batch.receive(self._fd):
            self._answer(lengths)
            yield len(lengths)
            if len(lengths) == 1:
                break
            if waits and len(lengths) in _COALESCED_DATAGRAMS:
                waits -= 1
                time.sleep(_COALESCING_SECONDS)

    def _answer(self, lengths: list[int]) -> None:
        """Answer one batch. This is the hottest code of the program.

        Hence nothing but the key is made for each packet in Python's own steps: the rest is done by functions
        of C for all packets.
        """
        folded = self._batch.folded(len(lengths))
        if any(folded[LEAD + 11 :: STRIDE]):
            keys = self._edns.keys(folded, _STARTS, lengths)
        else:
            # No EDNS in the whole batch: the key of a query is all of it but its ID.
            keys = [folded[at + 2 : at + length] for at, length in zip(_STARTS, lengths)]  # noqa: B905 - there are more starts than needed, and strict costs
        if max(lengths) > FRONT:
            keys = [b"" if length > FRONT else key for key, length in zip(keys, lengths, strict=True)]
        verdicts = {} if self._responder.policy is None else self._judge(keys, lengths)
        descriptors = list(map(next, map(self._cache.entries.get, keys, _ALL_UNKNOWN)))
        if all(descriptors):
            self._responder.hits += len(descriptors)
            failed = self._batch.send(self._fd, descriptors, gaps=False)
        else:
            self._answer_rest(keys, lengths, descriptors, verdicts)
            failed = self._batch.send(self._fd, descriptors)
            while self._asked_again:
                cache_response(self._cache, self._asked_again.pop(), self._responder.fast)
        if failed:
            self._responder.count("udp_send_failed", failed)

    def _judge(self, keys: list[bytes], lengths: list[int]) -> dict[int, Verdict]:
        """What becomes of those datagrams that get another answer than the usual one. They lose their keys."""
        assert self._responder.policy is not None
        verdicts = {}
        for i, length in enumerate(lengths):
            verdict = self._responder.policy.judge(self._request(i, length))
            if verdict is not None:
                verdicts[i] = verdict
                keys[i] = b""
        return verdicts

    def _answer_rest(
        self, keys: list[bytes], lengths: list[int], descriptors: list[bytes], verdicts: dict[int, Verdict]
    ) -> None:
        """Fill in the descriptors that are not in the cache.

        Nearly all of these are of names that do not exist: such a response depends on little else than the name's
        length, and is ready after the first of its kind.
        """
        responder = self._responder
        is_unknown = responder.fast.is_unknown
        if self._generation is not self._cache.entries:
            # The cache has been emptied: the zone is another.
            self._generation = self._cache.entries
            self._unknown = {}
        kinds = self._unknown
        absent: list[bytes] = []
        misses = others = 0
        for i, descriptor in enumerate(descriptors):
            if descriptor:
                continue
            misses += 1
            key = keys[i]
            if key[NAME - 1 : NAME] == b"\1":
                kind, name = key[:NAME] + key[-BEHIND_NAME_EDNS:], key[NAME:-BEHIND_NAME_EDNS]
            else:
                kind, name = key[:NAME] + key[-BEHIND_NAME:], key[NAME:-BEHIND_NAME]
            if kind in kinds and len(name) in kinds[kind] and is_unknown(name):
                descriptors[i] = kinds[kind][len(name)]
                absent.append(key)
                continue
            descriptors[i] = self._answer_singly(i, key, lengths[i], verdicts.get(i))
            others += 1
        responder.hits += len(descriptors) - misses
        responder.misses += misses - others
        if absent:
            self._asked_again += self._cache.repeated(absent)

    def _answer_singly(self, i: int, key: bytes, length: int, verdict: Verdict | None) -> bytes:
        """The descriptor for a datagram for which there is nothing ready."""
        if key in self._cache.parts:
            self._responder.hits += 1
            return self._cache.part(key, self._batch.client(i), owner_of(key)) or SILENCE
        response = self._responder.fast.respond(key, self._batch.client(i))
        if response is not None:
            return self._fresh(i, key, response)
        request = self._request(i, length)
        if verdict is None:
            # An OPT record of a form that is not known yet, or too long a name for the front.
            key = any_key(request.octets)
            self._edns.learn(key, request.octets)
            descriptor = next(self._cache.entries.get(key, _UNKNOWN))
            if descriptor:
                self._responder.hits += 1
                return descriptor
            response = self._responder.fast.respond(key, request.client)
            if response is not None and response.question_end <= FRONT:
                return self._fresh(i, key, response)
        reply = self._responder.answer(request, verdict)
        if isinstance(reply, bytes):
            return self._batch.whole(i, reply)
        if isinstance(reply, Forward):
            address = self._batch.address(i, self._socket.family)
            ancillary = _ancillary(self._batch.control(i))
            self._submit(reply, lambda late: self._send(late, address, ancillary))
        return SILENCE

    def _fresh(self, i: int, key: bytes, response: Response) -> bytes:
        """The descriptor of a response that was made from its key."""
        self._responder.misses += 1
        if self._cache.should_cache(key, found=response.found):
            self._asked_again.append(key)
        if response.header[1] & 15 != msg.NXDOMAIN:
            return self._batch.descriptor(i, response)
        descriptor = self._batch.negative(response)
        owner = owner_of(key)
        if len(self._unknown) >= _MOST_KINDS:
            self._unknown.clear()
        kind = key[:NAME] + key[NAME + len(owner) :]
        self._unknown.setdefault(kind, {})[len(owner)] = descriptor
        return descriptor

    def _request(self, i: int, length: int) -> Request:
        return Request(self._batch.datagram(i, length), self._batch.client(i), Transport.UDP)


class PlainListener(_Listener):
    """One datagram after the other."""

    def _answer_some(self) -> Iterator[int]:
        while True:
            try:
                octets, ancillary, _, address = self._socket.recvmsg(batch.LARGEST, 64 if self._wildcard else 0)
            except BlockingIOError:
                break
            self._answer(octets, address, [item for item in ancillary if item[1] in (_IP_PKTINFO, _IPV6_PKTINFO)])
            yield 1

    def _answer(self, octets: bytes, address: tuple[str, int], ancillary: list[tuple[int, int, bytes]]) -> None:
        client = client_of(socket.inet_pton(self._socket.family, address[0].partition("%")[0]))
        reply = self._responder.respond_udp(octets, client)
        if isinstance(reply, bytes):
            self._send(reply, address, ancillary)
        elif isinstance(reply, Forward):
            self._submit(reply, lambda late: self._send(late, address, ancillary))


def _ancillary(control: bytes) -> list[tuple[int, int, bytes]]:
    """A control message in the kernel's layout, in the form that Python's sockets take."""
    if not control:
        return []
    _, level, kind = struct.unpack_from("@Nii", control)
    return [(level, kind, control[16 : struct.unpack_from("@N", control)[0]])]


def _is_wildcard(sock: socket.socket) -> bool:
    return sock.getsockname()[0] in ("0.0.0.0", "::")  # noqa: S104 - compared, not bound


def _ask_for_source(sock: socket.socket) -> None:
    """Have each datagram tell which of our addresses it was sent to (RFC 2181 section 4)."""
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, getattr(socket, "IPV6_RECVPKTINFO", 49), 1)
    elif hasattr(socket, "IP_PKTINFO"):
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_PKTINFO, 1)
    else:
        sock.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
