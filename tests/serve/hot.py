"""The batched loop of a UDP listener, one datagram at a time and without the kernel; and when two replies are the same."""

import ctypes
import socket
import struct

from tests.serve.asking import read, texts

from mesos_dns.serve import batch as batches
from mesos_dns.serve.batched import BatchedListener
from mesos_dns.serve.keys import OPT_RECORDS

#: Where `OneDatagram` says that its datagrams come from.
CLIENT = bytes((192, 0, 2, 1))


def batched(parts):
    """Pairs."""
    return zip(parts[::2], parts[1::2], strict=True)


def bodies(size):
    return batches.Bodies(OPT_RECORDS.values(), size)


class OneDatagram(batches.Batch):
    """The batch of a listener with one datagram, and instead of sending the reply is kept."""

    def __init__(self, bodies, cookies):
        super().__init__(socket.AF_INET, bodies, 1, with_source=False, cookies=cookies)
        self._names.octets[4:8] = CLIENT
        self.sent = None

    def put(self, octets):
        first = octets[: batches.QUESTION_ROOM]
        self._questions.octets[batches.LEAD : batches.LEAD + len(first)] = first
        self._rests.octets[: len(octets) - len(first)] = octets[batches.QUESTION_ROOM :]

    def _send(self, _fd, _first, count):
        parts = struct.unpack_from("@PNPNPN", self._descriptors.octets)
        self.sent = b"".join(ctypes.string_at(*part) for part in batched(parts))
        return count

    def address(self, _i, _family):
        return ("192.0.2.1", 5353)


class Hot:
    """The batched loop of a UDP listener, one datagram at a time."""

    def __init__(self, responder, sock):
        self.forwarded = []
        self.listener = BatchedListener(sock, responder, lambda forward, _limit, _send: self.forwarded.append(forward))
        self.listener._batch = self._batch = OneDatagram(bodies(batches.NEGATIVES), responder.cookies)
        self.cache = self.listener._cache

    def ask(self, octets):
        """The reply, None for silence, or a `Forward`."""
        self.forwarded.clear()
        self._batch.sent = None
        self._batch.put(octets)
        self.listener._answer([len(octets)])
        if self.forwarded:
            return self.forwarded[0]
        return self._batch.sent


def same(one, other):
    """Whether two replies differ in nothing but the order of the answer."""
    if one == other or not (isinstance(one, bytes) and isinstance(other, bytes)):
        return one == other
    if len(one) != len(other) or one[:12] != other[:12]:
        return False
    one, other = read(one), read(other)
    return all(
        sorted(texts(a)) == sorted(texts(b)) for a, b in zip(one.sections[1:], other.sections[1:], strict=True)
    ) and str(one.question) == str(other.question)
