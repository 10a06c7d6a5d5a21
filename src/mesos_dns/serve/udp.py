"""DNS over UDP: one socket, drained in batches; the plain way for systems without recvmmsg.

`batched_listener` and `plain_listener` differ in system calls only. Both call the same `Responder`
and answer at most `MAX_BATCHES_PER_WAKE` batches before other work gets its turn.
"""

import asyncio
import logging
import socket
import struct
from collections.abc import Callable

from mesos_dns.dns import message as msg
from mesos_dns.limits import MAX_BATCHES_PER_WAKE
from mesos_dns.logs import RateLimited
from mesos_dns.serve import mmsg
from mesos_dns.serve.answer import Forward
from mesos_dns.serve.memo import common_edns_key
from mesos_dns.serve.mmsg import SLOT
from mesos_dns.serve.responder import ForwardTo, Responder

log = logging.getLogger(__name__)

_IPV6_PKTINFO = getattr(socket, "IPV6_PKTINFO", 50)
_IP_PKTINFO = getattr(socket, "IP_PKTINFO", 8)


class UdpListener:
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
        self._read: Callable[[], None] = self._read_plain
        if mmsg.available():
            self._batch = mmsg.Batch(sock.family, with_source=self._wildcard)
            self._read = self._read_batches

    def __repr__(self) -> str:
        return f"UdpListener({self._socket.getsockname()!r})"

    async def start(self) -> None:
        """Answer from now on, in the running event loop."""
        asyncio.get_running_loop().add_reader(self._fd, self._read)

    async def stop(self) -> None:
        """Answer what has already arrived, and no more."""
        asyncio.get_running_loop().remove_reader(self._fd)
        self._read()

    # --- batches -------------------------------------------------------------------------------

    def _read_batches(self) -> None:
        batch = self._batch
        try:
            for _ in range(MAX_BATCHES_PER_WAKE):
                lengths = batch.receive(self._fd)
                if not lengths:
                    break
                self._answer(lengths)
                if len(lengths) == 1:
                    break
        except OSError as error:
            self._warn.warning("receive", "cannot receive from %s: %s", self._socket.getsockname(), error)
        self._responder.sweep()

    def _answer(self, lengths: list[int]) -> None:
        """Answer one batch in place. This loop is the hottest code of the program.

        Hence no call per packet for what is in the memo, and no reply that is built and then copied in.
        """
        batch = self._batch
        data, view, recall = batch.data, batch.view, self._responder.recall()
        sizes: list[int] = []
        misses = 0
        for at, length in zip(range(0, len(lengths) * SLOT, SLOT), lengths, strict=True):
            rest = 0
            if not data[at + 11]:
                # The whole datagram but its ID, in lower case, is the key of a query without EDNS.
                entry = recall(view[at + 2 : at + length].tobytes().lower())
            elif (found := common_edns_key(view, at, at + length)) is not None:
                key, rest = found
                entry = recall(key)
            else:
                entry = None
            if entry is not None:
                head, tail = entry
                if tail.__class__ is not bytes:
                    tail = tail()  # type: ignore[operator]  # a function, as the line above says
                end = length - rest
                size = end + len(tail)
                if size <= msg.PLAIN_UDP_SIZE or size <= data[at + end + 3] << 8 | data[at + end + 4]:
                    data[at + 2 : at + 12] = head
                    data[at + end : at + size] = tail
                    sizes.append(size)
                    continue
            misses += 1
            sizes.append(self._answer_slowly(len(sizes), at, length))
        self._responder.plain_hits += len(lengths) - misses
        failed = batch.send(self._fd, sizes)
        if failed:
            self._responder.count("udp_send_failed", failed)

    def _answer_slowly(self, i: int, at: int, length: int) -> int:
        batch = self._batch
        octets = batch.view[at : at + length].tobytes()
        answer = self._responder.respond_udp(octets)
        if isinstance(answer, bytes):
            batch.data[at : at + len(answer)] = answer
            return len(answer)
        if answer is not None:
            address = batch.address(i, self._socket.family)
            control = batch.control(i)
            self._submit(answer, lambda reply: self._send_later(reply, address, control))
        return 0

    def _submit(self, forward: Forward, send: Callable[[bytes], None]) -> None:
        self._forward(forward, msg.udp_limit(forward.query.edns), send)

    def _send_later(self, reply: bytes, address: tuple[object, ...], control: bytes) -> None:
        ancillary = []
        if control:
            _, level, kind = struct.unpack_from("@Nii", control)
            ancillary.append((level, kind, control[16 : struct.unpack_from("@N", control)[0]]))
        self._send_plain(reply, address, ancillary)

    # --- one by one ----------------------------------------------------------------------------

    def _read_plain(self) -> None:
        for _ in range(MAX_BATCHES_PER_WAKE * mmsg.BATCH):
            try:
                octets, ancillary, flags, address = self._socket.recvmsg(mmsg.SLOT, 64 if self._wildcard else 0)
            except BlockingIOError:
                break
            except OSError as error:
                self._warn.warning("receive", "cannot receive from %s: %s", self._socket.getsockname(), error)
                break
            if flags & socket.MSG_TRUNC:
                octets = b""
            self._answer_plain(octets, address, [item for item in ancillary if item[1] in (_IP_PKTINFO, _IPV6_PKTINFO)])
        self._responder.sweep()

    def _answer_plain(
        self, octets: bytes, address: tuple[object, ...], ancillary: list[tuple[int, int, bytes]]
    ) -> None:
        answer = self._responder.respond_udp(octets)
        if isinstance(answer, bytes):
            self._send_plain(answer, address, ancillary)
        elif answer is not None:
            self._submit(answer, lambda reply: self._send_plain(reply, address, ancillary))

    def _send_plain(self, reply: bytes, address: tuple[object, ...], ancillary: list[tuple[int, int, bytes]]) -> None:
        # As in a batch: the source address is the one that was asked, the interface is free.
        ancillary = [
            (a, b, bytes(4) + c[4:] if b == _IP_PKTINFO and a == socket.IPPROTO_IP else c) for a, b, c in ancillary
        ]
        try:
            self._socket.sendmsg([reply], ancillary, 0, address)
        except OSError:
            self._responder.count("udp_send_failed")


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
