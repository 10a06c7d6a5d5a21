"""What a listener hands in, and what it gets back. Pure values."""

import zlib
from enum import Enum
from typing import Final, NamedTuple

from mesos_dns.dns.message import Query


class Transport(Enum):
    """How a request came in."""

    UDP = "udp"
    TCP = "tcp"
    TLS = "tls"
    HTTPS = "https"

    @property
    def is_encrypted(self) -> bool:
        """Whether nobody on the way reads it: then its length is worth hiding (RFC 7830, RFC 8467)."""
        return self in (Transport.TLS, Transport.HTTPS)


class Request(NamedTuple):
    """A message and who sent it.

    `octets` is the whole message, over TCP without its length. `client` is the source address without the port,
    packed: 4 or 16 octets (see `dns.prefixes.client_of`). `keepalive` is for TCP and TLS: units of 100 ms that the connection may stay
    idle, which a client that sends edns-tcp-keepalive is told (RFC 7828).
    """

    octets: bytes
    client: bytes
    transport: Transport
    keepalive: int | None = None


class Forward(NamedTuple):
    """The name is not ours: ask the upstreams.

    `options` are EDNS options, in wire form, for the OPT record of the reply, besides those that the forwarder has; empty
    if the query has no OPT record.
    """

    query: Query
    client: bytes = b""
    options: bytes = b""


class Close(Enum):
    """No reply, and nothing more from this peer: it does not speak DNS, or takes us for a client."""

    CLOSE = "close"


CLOSE: Final = Close.CLOSE

#: A whole reply; the word that the name is not ours; that the connection ends; or None for silence.
Reply = bytes | Forward | Close | None


def part_start(client: bytes, owner: bytes, count: int) -> int:
    """Where in the `count` records of `owner` (lower case), sorted by rdata, the part of a truncated answer begins.

    A client sees the same part each time, from whichever worker and whichever replica: one that changed with
    each question would make proxies drop and add servers all the time. Other clients see other parts.
    """
    return zlib.crc32(client + owner) % count
