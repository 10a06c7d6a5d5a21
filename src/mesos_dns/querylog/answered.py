"""A question that was answered, as the query log has it. Pure."""

from typing import Final, NamedTuple

from mesos_dns.dns import message as msg
from mesos_dns.dns.message import HEADER_SIZE

#: What `transport` may be.
TRANSPORTS: Final = ("udp", "tcp", "tls", "https")


class Answered(NamedTuple):
    """A query and the reply to it, both as they were on the wire (over TCP without their length, over TLS and HTTPS without that).

    `client` is the packed address, `port` its port, 0 if it is not known. `began` is when the query was taken, `ended` when the reply was
    handed on: Unix times in seconds.
    """

    transport: str
    client: bytes
    port: int
    query: bytes
    reply: bytes
    began: float
    ended: float


def rcode_of(reply: bytes) -> int:
    """The RCODE of a reply, with the upper bits that its OPT record may have (RFC 6891 section 6.1.3)."""
    rcode = reply[3] & 15
    # Those that have such bits (BADVERS, BADCOOKIE) come without records.
    start = msg.opt_start(reply) if reply[6:10] == bytes(4) else None
    return rcode if start is None else reply[start + 5] << 4 | rcode


def name_of(query: bytes) -> bytes | None:
    """The name that a message asks for, in lower-case wire form; None if there is none that can be read."""
    at = HEADER_SIZE
    if len(query) <= at or query[4:6] != b"\0\1":
        return None
    try:
        while length := query[at]:
            if length > 63:
                return None
            at += length + 1
    except IndexError:
        return None
    return query[HEADER_SIZE : at + 1].lower()
