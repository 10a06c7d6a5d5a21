"""DNS over UDP: one socket, drained in batches (`batched`); here the plain way for systems without recvmmsg.

Both ways give the same replies, each from a cache of its own, and answer about `MAX_DATAGRAMS_PER_WAKE` datagrams
before other work gets its turn.
"""

import socket
from collections.abc import Iterator

from mesos_dns.serve import batch
from mesos_dns.serve.addresses import ANCILLARY_ROOM, Ancillary
from mesos_dns.serve.batched import BatchedListener
from mesos_dns.serve.limiting import ResponseLimit
from mesos_dns.serve.listening import UdpListener
from mesos_dns.serve.outside import FastForward
from mesos_dns.serve.request import Forward, Request, Transport
from mesos_dns.serve.responder import ForwardTo, Responder


def udp_listener(
    sock: socket.socket,
    responder: Responder,
    forward: ForwardTo,
    flights: FastForward | None = None,
    limit: ResponseLimit | None = None,
) -> "BatchedListener | PlainListener":
    """The fastest listener that this system can have for a bound socket."""
    if batch.available():
        return BatchedListener(sock, responder, forward, flights, limit)
    return PlainListener(sock, responder, forward, limit)


class PlainListener(UdpListener):
    """One datagram after the other."""

    def _answer_some(self) -> Iterator[int]:
        while True:
            try:
                octets, ancillary, _, address = self._socket.recvmsg(
                    batch.LARGEST, ANCILLARY_ROOM if self._wildcard else 0
                )
            except BlockingIOError:
                break
            self._answer(octets, address, ancillary)
            yield 1

    def _answer(self, octets: bytes, address: tuple[str, int], ancillary: Ancillary) -> None:
        client = self._client(address[0])
        reply = self._responder.respond_udp(octets, client)
        if isinstance(reply, bytes) and self._limit is not None:
            reply = self._limit.reply(octets, client, reply)
        if isinstance(reply, bytes):
            self._send_answer(Request(octets, client, Transport.UDP), reply, address, ancillary)
        elif isinstance(reply, Forward):
            self._submit(reply, self._later(reply, address, ancillary))
