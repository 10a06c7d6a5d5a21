"""DNS over UDP: one socket, drained in batches; the plain way for systems without recvmmsg.

Both ways give the same replies, each from a memo of its own, and answer about `MAX_DATAGRAMS_PER_WAKE` datagrams
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
from mesos_dns.limits import (
    COALESCED_DATAGRAMS,
    COALESCING_SECONDS,
    COALESCING_TIMES,
    MAX_DATAGRAMS_PER_WAKE,
    MEMO_MISSING_OCTETS,
    MEMO_OCTETS,
)
from mesos_dns.logs import RateLimited
from mesos_dns.serve import batch as mmsg
from mesos_dns.serve.answer import Rendering
from mesos_dns.serve.batch import FRONT, LEAD, SILENCE, SLOT, STRIDE, Arena
from mesos_dns.serve.keys import SHORTEST_EDNS, EdnsForms, any_key, common_key
from mesos_dns.serve.request import Forward
from mesos_dns.serve.responder import LARGEST_KEPT, ForwardTo, Responder, learn

log = logging.getLogger(__name__)

_IPV6_PKTINFO: Final = getattr(socket, "IPV6_PKTINFO", 50)
_IP_PKTINFO: Final = getattr(socket, "IP_PKTINFO", 8)
#: Where each datagram of a batch begins.
_STARTS: Final = tuple(range(LEAD, mmsg.BATCH * STRIDE, STRIDE))
#: What the memo is asked to give for a key that it does not have: no slip, and this for all keys.
_UNKNOWN: Final = repeat(b"")
_ALL_UNKNOWN: Final = repeat(_UNKNOWN)


def udp_listener(sock: socket.socket, responder: Responder, forward: ForwardTo) -> "BatchedListener | PlainListener":
    """The fastest listener that this system can have for a bound socket."""
    return (BatchedListener if mmsg.available() else PlainListener)(sock, responder, forward)


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
        self._responder.sweep(answered)

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
        self._batch = mmsg.Batch(sock.family, with_source=self._wildcard)
        self._memo = responder.memo(Arena(MEMO_OCTETS, LARGEST_KEPT), Arena(MEMO_MISSING_OCTETS, LARGEST_KEPT))
        self._edns = EdnsForms()
        #: Questions whose replies are to be remembered when the present batch is sent.
        self._asked_again: list[tuple[bytes, Rendering]] = []

    def _answer_some(self) -> Iterator[int]:
        # Under load more datagrams have come while these are answered: they need not wait for a way through the
        # event loop. After a single one there hardly is another, and to look in vain is a sixth of its cost.
        waits = COALESCING_TIMES
        while lengths := self._batch.receive(self._fd):
            self._answer(lengths)
            yield len(lengths)
            if len(lengths) == 1:
                break
            if waits and len(lengths) in COALESCED_DATAGRAMS:
                waits -= 1
                time.sleep(COALESCING_SECONDS)

    def _answer(self, lengths: list[int]) -> None:
        """Answer one batch. This is the hottest code of the program.

        Hence nothing but the key is made for each packet in Python's own steps: the rest is done by functions
        of C for all packets.
        """
        batch = self._batch
        folded = batch.folded(len(lengths))
        fit = max(lengths) <= FRONT
        additional = folded[LEAD + 11 :: STRIDE]
        if fit and not any(additional):
            # No EDNS in the whole batch: the key of a query is all of it but its ID.
            keys = [folded[at + 2 : at + length] for at, length in zip(_STARTS, lengths)]  # noqa: B905 - there are more starts than needed, and strict costs
        elif fit and all(additional) and min(lengths) >= SHORTEST_EDNS:
            keys = self._edns.keys(folded, _STARTS, lengths)
        else:
            keys = [
                common_key(folded, at, length) if length <= FRONT else b""
                for at, length in zip(_STARTS, lengths)  # noqa: B905 - as above
            ]
        slips = list(map(next, map(self._memo.entries.get, keys, _ALL_UNKNOWN)))
        if all(slips):
            self._responder.hits += len(slips)
            failed = batch.send(self._fd, slips, gaps=False)
        else:
            self._answer_rest(keys, lengths, slips)
            failed = batch.send(self._fd, slips)
            while self._asked_again:
                learn(self._memo, *self._asked_again.pop(), self._responder.shortcut)
        if failed:
            self._responder.count("udp_send_failed", failed)

    def _answer_rest(self, keys: list[bytes], lengths: list[int], slips: list[bytes]) -> None:
        """Fill in the slips that are not in the memo."""
        responder, batch = self._responder, self._batch
        render, wants = responder.shortcut.render, self._memo.wants
        fresh = hits = 0
        for i, slip in enumerate(slips):
            if slip:
                hits += 1
                continue
            key = keys[i]
            rendering = render(key)
            if rendering is None:
                slips[i] = self._answer_slowly(i, lengths[i])
                continue
            fresh += 1
            head, tail, end, found, _, keep = rendering
            slips[i] = batch.slip(i, head, tail, end)
            if keep and wants(key, found=found):
                self._asked_again.append((key, rendering))
        responder.hits += hits
        responder.misses += fresh

    def _answer_slowly(self, i: int, length: int) -> bytes:
        """The slip for a datagram that the loops do not know what to do with."""
        octets = self._batch.datagram(i, length)
        key = any_key(octets)
        slip = next(self._memo.entries.get(key, _UNKNOWN))
        if slip:
            self._responder.hits += 1
            return slip
        rendering = self._responder.shortcut.render(key)
        if rendering is not None and rendering.question_end <= FRONT:
            self._responder.misses += 1
            if self._memo.wants(key, found=rendering.found):
                self._asked_again.append((key, rendering))
            return self._batch.slip(i, rendering.head, rendering.tail, rendering.question_end)
        # A long name is the reason, too: the memo's slips take the question from the front.
        reply = self._responder.respond_fresh(octets, tcp=False)
        if isinstance(reply, bytes):
            return self._batch.whole(i, reply)
        if reply is not None:
            address = self._batch.address(i, self._socket.family)
            ancillary = _ancillary(self._batch.control(i))
            self._submit(reply, lambda late: self._send(late, address, ancillary))
        return SILENCE


class PlainListener(_Listener):
    """One datagram after the other."""

    def _answer_some(self) -> Iterator[int]:
        while True:
            try:
                octets, ancillary, flags, address = self._socket.recvmsg(SLOT, 64 if self._wildcard else 0)
            except BlockingIOError:
                break
            if flags & socket.MSG_TRUNC:
                octets = b""
            self._answer(octets, address, [item for item in ancillary if item[1] in (_IP_PKTINFO, _IPV6_PKTINFO)])
            yield 1

    def _answer(self, octets: bytes, address: tuple[object, ...], ancillary: list[tuple[int, int, bytes]]) -> None:
        reply = self._responder.respond_udp(octets)
        if isinstance(reply, bytes):
            self._send(reply, address, ancillary)
        elif reply is not None:
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
