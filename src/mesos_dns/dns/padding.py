"""Padding of replies, so that who watches an encrypted connection cannot tell names by the sizes of answers. Pure.

RFC 7830 defines the option, RFC 8467 how much of it: replies become multiples of 468 octets. On a connection that is not
encrypted it hides nothing, and over UDP it would serve amplification: there it must not be used.
"""

from typing import Final

from mesos_dns.dns import message as msg
from mesos_dns.dns.message import CookieQuery, Query

#: Replies over TLS and HTTPS have a multiple of so many octets (RFC 8467 section 4.1).
BLOCK_SIZE: Final = 468
_CODE: Final = msg.PADDING.to_bytes(2)
#: Code and length of an option.
_HEAD: Final = 4


def pad(query: bytes, reply: bytes) -> bytes:
    """`reply`, padded if `query` has a Padding option (RFC 7830 section 4); else as it is.

    To be called where a reply leaves over an encrypted connection, with the whole messages without their length: by the listeners
    for DNS over TLS and DNS over HTTPS, for answers of their own, for those that were forwarded, and for refusals; never by
    those for UDP and plain TCP. `reply` is one of ours: if it has an OPT record, it is the last one. A reply without one, and one that
    a padding would make too large, stay as they are.
    """
    if _CODE not in query:
        return reply  # Nearly all, and at once.
    parsed = msg.parse(query)
    if not isinstance(parsed, Query | CookieQuery) or parsed.edns is None:
        return reply
    if not msg.has_option(parsed.edns.options, msg.PADDING):
        return reply
    at = msg.opt_start(reply)
    if at is None:
        return reply
    size = -(len(reply) + _HEAD) % BLOCK_SIZE
    if len(reply) + _HEAD + size > msg.TCP_SIZE:
        return reply
    length = int.from_bytes(reply[at + 9 : at + 11]) + _HEAD + size
    return reply[: at + 9] + length.to_bytes(2) + reply[at + 11 :] + msg.option(msg.PADDING, bytes(size))
